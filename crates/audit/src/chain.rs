//! The writer's side: a chain gives each record its place, its hash and its signature.

use serde::{Deserialize, Serialize};

use crate::{
    EncodeError, Facts, Hash, Kid, RootKey, UNSIGNED, hex,
    key::StreamKey,
    record::{Place, seal},
    sha256,
    stream::StreamId,
};

/// The hash before the first record of a set.
pub const ZERO: Hash = [0; 32];

/// The end of a chain: what a register remembers and a checkpoint signs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Head {
    /// The stream of the last record.
    pub stream: String,
    /// Its number there.
    pub seq: u64,
    /// Its hash, as 64 hex digits.
    pub hash: String,
    /// The key that signs the next record: 16 hex digits, all zeros without a key.
    pub kid: String,
    /// How many records the chain has, this one included.
    pub records: u64,
}

impl Head {
    /// The hash; `None` if the head was damaged.
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        hex::decode_hash(self.hash.as_bytes())
    }

    /// The key that signs the next record; `None` if the head was damaged.
    #[must_use]
    pub fn kid(&self) -> Option<Kid> {
        Kid::parse(self.kid.as_bytes())
    }
}

/// A record with its place and signature.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its number in the stream.
    pub seq: u64,
    /// The line, with the line feed at its end.
    pub line: Vec<u8>,
    /// The hash of the line (without the line feed).
    pub hash: Hash,
}

/// The chain of one stream while it is written.
#[derive(Debug)]
pub struct Chain {
    stream: StreamId,
    name: String,
    key: Option<StreamKey>,
    next: u64,
    prev: Hash,
    records: u64,
    kid: Kid,
}

impl Chain {
    /// A stream that continues the record with the hash `after`, the last of `records`. Without a key it is not signed.
    #[must_use]
    pub fn begin(stream: StreamId, after: Hash, records: u64, key: Option<&RootKey>) -> Self {
        let name = stream.to_string();
        let kid = key.map_or(UNSIGNED, RootKey::kid);
        let key = key.map(|key| key.stream_key(&stream));
        Self { stream, name, key, next: 0, prev: after, records, kid }
    }

    /// Seals the next record. `time` is RFC 3339 in UTC with milliseconds.
    ///
    /// # Errors
    /// If the record cannot be written; the chain is as it was.
    pub fn append(&mut self, time: &str, facts: &Facts<'_>) -> Result<Sealed, EncodeError> {
        self.seal(time, facts, None)
    }

    /// Seals the record after which another key signs. The same stream goes on under that key.
    ///
    /// # Errors
    /// If the record cannot be written; the chain is as it was.
    pub fn rotate_key(&mut self, time: &str, facts: &Facts<'_>, next: &RootKey) -> Result<Sealed, EncodeError> {
        let key = next.stream_key(&self.stream);
        let sealed = self.seal(time, facts, Some(&key))?;
        self.kid = key.kid();
        self.key = Some(key);
        Ok(sealed)
    }

    fn seal(&mut self, time: &str, facts: &Facts<'_>, next: Option<&StreamKey>) -> Result<Sealed, EncodeError> {
        let place = Place { stream: &self.name, seq: self.next, prev: &self.prev };
        let mut line = seal(&place, time, facts, self.key.as_ref(), next)?;
        let hash = sha256(&line);
        line.push(b'\n');
        let sealed = Sealed { seq: self.next, line, hash };
        self.next += 1;
        self.records += 1;
        self.prev = hash;
        Ok(sealed)
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The number of the next record.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// How many records the history has.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The hash that the next record will name.
    #[must_use]
    pub const fn last(&self) -> Hash {
        self.prev
    }

    /// The key that signs the next record.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// The end of the chain; `None` before its first record.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        Some(Head {
            stream: self.name.clone(),
            seq: self.next.checked_sub(1)?,
            hash: hex::encode(&self.prev),
            kid: self.kid.to_string(),
            records: self.records,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outcome, line::Line, record::MAX_TEXT_BYTES};

    const TIME: &str = "2026-01-01T00:00:00.000Z";

    fn root(text: &str) -> RootKey {
        RootKey::from_text(&text.repeat(32)).unwrap()
    }

    fn chain(key: Option<&RootKey>) -> Chain {
        let stream = StreamId { set: "orders".to_owned(), rotation: 3, epoch: 9, run: 1 };
        Chain::begin(stream, ZERO, 0, key)
    }

    fn facts() -> Facts<'static> {
        Facts { target: Some("rds"), ms: Some(12), ..Facts::new("apply.done", Outcome::Ok, "orders", 9) }
    }

    #[test]
    fn a_line_is_the_same_bytes_for_the_same_record() {
        let mut chain = chain(None);
        let sealed = chain.append(TIME, &facts()).unwrap();
        let expected = format!(
            "{{\"v\":1,\"stream\":\"orders/0000000003/0000000009-00000001\",\"seq\":0,\"prev\":\"{0}\",\"kid\":\"0000000000000000\",\
             \"time\":\"2026-01-01T00:00:00.000Z\",\"type\":\"apply.done\",\"outcome\":\"ok\",\"set\":\"orders\",\"epoch\":9,\
             \"target\":\"rds\",\"ms\":12,\"mac\":\"{0}\"}}\n",
            "0".repeat(64)
        );
        assert_eq!(String::from_utf8(sealed.line).unwrap(), expected);
    }

    #[test]
    fn each_line_names_the_one_before_and_carries_a_mac_over_its_bytes() {
        let root = root("k");
        let mut chain = chain(Some(&root));
        let first = chain.append(TIME, &facts()).unwrap();
        let second = chain.append(TIME, &facts()).unwrap();
        let line = Line::parse(second.line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((line.seq, line.prev, line.kind, line.time), (1, first.hash, "apply.done", TIME));
        assert!(root.stream_key(chain.stream()).is_mac(line.covered, &line.mac));
        let head = chain.head().unwrap();
        assert_eq!((head.seq, head.records, head.hash()), (1, 2, Some(second.hash)));
    }

    #[test]
    fn a_rotation_of_the_key_is_signed_by_both() {
        let (old, new) = (root("o"), root("n"));
        let mut chain = chain(Some(&old));
        let turn = chain.rotate_key(TIME, &facts(), &new).unwrap();
        let after = chain.append(TIME, &facts()).unwrap();
        let line = Line::parse(turn.line.strip_suffix(b"\n").unwrap()).unwrap();
        assert!(old.stream_key(chain.stream()).is_mac(line.covered, &line.mac));
        let (kid, signed, mac) = line.next_key().unwrap();
        assert_eq!(kid, new.kid());
        assert!(new.stream_key(chain.stream()).is_mac(signed, &mac));
        assert_eq!(Line::parse(after.line.strip_suffix(b"\n").unwrap()).unwrap().kid, new.kid());
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_the_chain_alone() {
        let mut chain = chain(None);
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let wrong = Facts { code: Some(&long), ..facts() };
        assert_eq!(chain.append(TIME, &wrong).err(), Some(EncodeError::Text("code")));
        let wrong = Facts { target: Some("a\nb"), ..facts() };
        assert_eq!(chain.append(TIME, &wrong).err(), Some(EncodeError::Text("target")));
        assert_eq!(chain.append("yesterday", &facts()).err(), Some(EncodeError::Time));
        assert_eq!((chain.next(), chain.head()), (0, None));
    }

    #[test]
    fn a_line_has_one_layout() {
        let mut chain = chain(Some(&root("k")));
        let sealed = chain.append(TIME, &facts()).unwrap();
        let text = String::from_utf8(sealed.line).unwrap();
        let text = text.trim_end();
        assert!(Line::parse(text.as_bytes()).is_some());
        for wrong in [
            text.replace("\"v\":1", "\"v\":2"),
            text.replace("\"seq\":0", "\"seq\":00"),
            text.replace("\"seq\":0", "\"seq\": 0"),
            text.replace("Z\"", "z\""),
            text.replace("\"kid\":\"", "\"kid\":\"x"),
            format!("{text} "),
            text.to_uppercase(),
        ] {
            assert_eq!(Line::parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Line::parse(b""), None);
        assert_eq!(Line::parse(&vec![b'x'; 100_000]), None);
    }
}
