//! Scalars as the clients write them: integers with a length byte, byte strings with one or two lengths.
//!
//! A request may span packets and does not say so: whoever reads past the end gets [`Short`], fetches a further packet
//! and reads the request again from its start.

/// More bytes are needed to read this request.
#[derive(Debug)]
pub(crate) struct Short;

pub(crate) type Read<T> = Result<T, Short>;

/// The length byte of a string that comes in chunks.
const CHUNKED: u8 = 254;
/// The length byte of an absent string.
const ABSENT: u8 = 255;

/// Reads from the bytes of a request.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn raw(&mut self, count: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Read<()> {
        self.raw(count).map(|_| ())
    }

    pub(crate) fn u8(&mut self) -> Read<u8> {
        self.raw(1)?.first().copied().ok_or(Short)
    }

    pub(crate) fn u16(&mut self) -> Read<u16> {
        match *self.raw(2)? {
            [a, b] => Ok(u16::from_be_bytes([a, b])),
            _ => Err(Short),
        }
    }

    /// An integer: a byte that says how many bytes follow, most significant first.
    pub(crate) fn int(&mut self) -> Read<u64> {
        // The top bit marks a negative number, which no request that is read here has.
        let count = usize::from(self.u8()? & 0x7f);
        Ok(self.raw(count)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(crate) fn size(&mut self) -> Read<usize> {
        usize::try_from(self.int()?).map_err(|_| Short)
    }

    /// Reads and drops `count` integers.
    pub(crate) fn skip_ints(&mut self, count: usize) -> Read<()> {
        (0..count).try_for_each(|_| self.int().map(|_| ()))
    }

    /// Text up to a NUL.
    pub(crate) fn until_nul(&mut self) -> Read<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(Short)?;
        let text = self.raw(end)?;
        self.skip(1)?;
        Ok(text)
    }

    /// A string with its length, or `None` for NULL.
    pub(crate) fn bytes(&mut self) -> Read<Option<Vec<u8>>> {
        match self.u8()? {
            0 | ABSENT => Ok(None),
            CHUNKED => {
                let mut bytes = Vec::new();
                loop {
                    let count = self.size()?;
                    if count == 0 {
                        return Ok(Some(bytes));
                    }
                    bytes.extend(self.raw(count)?);
                }
            }
            count => Ok(Some(self.raw(usize::from(count))?.to_vec())),
        }
    }

    /// A string that is preceded by an integer length, and if that is not zero by its own length.
    pub(crate) fn bytes_twice(&mut self) -> Read<Vec<u8>> {
        match self.int()? {
            0 => Ok(Vec::new()),
            _ => Ok(self.bytes()?.unwrap_or_default()),
        }
    }

    pub(crate) fn text_twice(&mut self) -> Read<String> {
        Ok(String::from_utf8_lossy(&self.bytes_twice()?).into_owned())
    }
}
