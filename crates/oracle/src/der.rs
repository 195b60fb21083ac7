//! Reading the few fields of a certificate that the TLS library does not tell: names, public key, time of validity.
//!
//! X.509 version 1 certificates, which Oracle wallets hold, are read as well; the TLS library's own parser refuses those.
//! Nothing here decides about trust. What is not understood is `None`.

/// Context tag of the version field; absent in version 1.
const TAG_VERSION: u8 = 0xA0;
const TAG_SEQUENCE: u8 = 0x30;
const TAG_UTC_TIME: u8 = 0x17;
const TAG_GENERALIZED_TIME: u8 = 0x18;
const MS_PER_DAY: i64 = 86_400_000;

/// One element: its tag, its content, and itself as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The elements of a constructed value, in order.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(crate) const fn of(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    /// The next element; `None` if there is none or it is not DER.
    pub(crate) fn take(&mut self) -> Option<Element<'a>> {
        let (&tag, after_tag) = self.rest.split_first()?;
        let (&first, after_first) = after_tag.split_first()?;
        let (length, after_length) = match first {
            0..=0x7F => (usize::from(first), after_first),
            // Lengths of up to three bytes: no certificate is larger than 16 MiB.
            0x81..=0x83 => {
                let (bytes, rest) = after_first.split_at_checked(usize::from(first & 0x7F))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = after_length.split_at_checked(length)?;
        let whole = self.rest.get(..self.rest.len() - rest.len())?;
        self.rest = rest;
        Some(Element { tag, content, whole })
    }

    /// The next element, which must have this tag.
    pub(crate) fn take_tag(&mut self, tag: u8) -> Option<Element<'a>> {
        self.take().filter(|element| element.tag == tag)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// What we look at in a certificate. Names and key are whole DER elements, so that equal bytes mean equal values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) public_key: &'a [u8],
    /// Last moment of validity, in milliseconds since 1970.
    pub(crate) not_after_ms: i64,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate of version 1 or 3.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let certificate = Elements::of(der).take_tag(TAG_SEQUENCE)?;
        let signed = Elements::of(certificate.content).take_tag(TAG_SEQUENCE)?;
        let mut fields = Elements::of(signed.content);
        let first = fields.take()?;
        if first.tag == TAG_VERSION {
            fields.take()?;
        }
        let _algorithm = fields.take_tag(TAG_SEQUENCE)?;
        let issuer = fields.take_tag(TAG_SEQUENCE)?.whole;
        let validity = fields.take_tag(TAG_SEQUENCE)?;
        let subject = fields.take_tag(TAG_SEQUENCE)?.whole;
        let public_key = fields.take_tag(TAG_SEQUENCE)?.whole;
        let mut times = Elements::of(validity.content);
        times.take()?;
        let not_after_ms = time_ms(times.take()?)?;
        Some(Self { issuer, subject, public_key, not_after_ms })
    }
}

/// A time of validity (RFC 5280 section 4.1.2.5: always UTC, to the second).
fn time_ms(time: Element<'_>) -> Option<i64> {
    let text = core::str::from_utf8(time.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match time.tag {
        TAG_UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        TAG_GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let mut parts = [0; 5];
    let mut rest = rest;
    for part in &mut parts {
        let (digits, after) = rest.split_at_checked(2)?;
        *part = number(digits)?;
        rest = after;
    }
    let [month, day, hour, minute, second] = parts;
    if !rest.is_empty() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days_since_1970(year, month, day) * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1000)
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so that the leap day is a year's last.
pub(crate) const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years_and_centuries() {
        for ((year, month, day), days) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 23), 20_780),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn times_of_both_kinds_are_read_and_nonsense_is_not() {
        let ms = |tag, text: &str| time_ms(Element { tag, content: text.as_bytes(), whole: &[] });
        assert_eq!(ms(TAG_UTC_TIME, "700101000001Z"), Some(1000));
        assert_eq!(ms(TAG_GENERALIZED_TIME, "20700101000000Z"), Some(3_155_760_000_000));
        for bad in ["700101000001", "7001010000Z", "701301000000Z", "70010100000xZ", "Z", "äöü"] {
            assert_eq!(ms(TAG_UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn cut_off_elements_are_not_read() {
        let whole = [0x30, 0x81, 0x02, 0x05, 0x00];
        assert_eq!(Elements::of(&whole).take().unwrap().content, [0x05, 0x00]);
        for end in 0..whole.len() {
            assert!(Elements::of(&whole[..end]).take().is_none(), "{end}");
        }
        assert!(Elements::of(&[0x30, 0x84, 0, 0, 0, 1, 0]).take().is_none());
    }
}
