//! Scalars as a server writes them; the counterpart of [`reader`](super::reader).

/// The longest string with a single length byte; longer ones go in chunks.
const LONGEST_PLAIN: usize = 252;
const CHUNKED: u8 = 254;
/// The size of a chunk; clients read any.
const CHUNK: usize = 8000;

/// The bytes of an answer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u16_little(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn zeros(&mut self, count: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len() + count, 0);
        self
    }

    /// An integer in as many bytes as it needs, after their count. Zero is the count alone.
    pub(crate) fn int(&mut self, value: u64) -> &mut Self {
        let bytes = value.to_be_bytes();
        let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
        // The readers take 0, 1, 2, 4 and 8 bytes.
        let width = significant.len().next_power_of_two() * usize::from(!significant.is_empty());
        self.u8(u8::try_from(width).unwrap_or(8));
        self.zeros(width - significant.len()).raw(&significant)
    }

    pub(crate) fn size(&mut self, value: usize) -> &mut Self {
        self.int(u64::try_from(value).unwrap_or(u64::MAX))
    }

    /// Writes `count` integers of value zero.
    pub(crate) fn zero_ints(&mut self, count: usize) -> &mut Self {
        self.zeros(count)
    }

    /// A string with its length; empty is NULL, as everywhere in Oracle.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some(length) = u8::try_from(bytes.len()).ok().filter(|length| usize::from(*length) <= LONGEST_PLAIN) {
            return self.u8(length).raw(bytes);
        }
        self.u8(CHUNKED);
        for chunk in bytes.chunks(CHUNK) {
            self.size(chunk.len()).raw(chunk);
        }
        self.int(0)
    }

    /// A string that is preceded by an integer length, and if that is not zero by its own length.
    pub(crate) fn bytes_twice(&mut self, bytes: &[u8]) -> &mut Self {
        self.size(bytes.len());
        if bytes.is_empty() { self } else { self.bytes(bytes) }
    }
}
