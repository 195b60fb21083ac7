//! Values as they travel: text, NUMBER, DATE and TIMESTAMP WITH TIME ZONE.

use crate::time::Moment;

const TYPE_VARCHAR: u8 = 1;
const TYPE_NUMBER: u8 = 2;
const TYPE_INTEGER: u8 = 3;
const TYPE_DATE: u8 = 12;
const TYPE_TIMESTAMP_TZ: u8 = 181;
/// Text in the national character set, which travels as UTF-16.
const FORM_NATIONAL: u8 = 2;

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Number(i64),
    Date(Moment),
    Timestamp(Moment),
}

/// A value that a client bound.
pub(crate) type Bind = Value;

/// What a client says of a bind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BindType {
    pub(crate) kind: u8,
    pub(crate) form: u8,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ColumnType {
    Text,
    Number,
    Date,
    Timestamp,
}

impl ColumnType {
    /// The number of the type on the wire.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Text => TYPE_VARCHAR,
            Self::Number => TYPE_NUMBER,
            Self::Date => TYPE_DATE,
            Self::Timestamp => TYPE_TIMESTAMP_TZ,
        }
    }

    /// The largest size of a value in bytes. Of text it must not be zero: clients take that for a column of NULLs.
    pub(crate) const fn size(self) -> u64 {
        match self {
            Self::Text => 4000,
            Self::Number => 22,
            Self::Date => 7,
            Self::Timestamp => 13,
        }
    }
}

impl BindType {
    /// The value behind the bytes.
    pub(crate) fn decode(self, bytes: Option<Vec<u8>>) -> Value {
        let Some(bytes) = bytes else { return Value::Null };
        match self.kind {
            TYPE_NUMBER | TYPE_INTEGER => decode_number(&bytes),
            _ if self.form == FORM_NATIONAL => {
                let (units, _) = bytes.as_chunks::<2>();
                let units: Vec<u16> = units.iter().copied().map(u16::from_be_bytes).collect();
                Value::Text(String::from_utf16_lossy(&units))
            }
            _ => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

impl Value {
    /// The bytes of a row; NULL is none.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Null => Vec::new(),
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Number(number) => encode_number(*number),
            Self::Date(at) => encode_date(*at),
            Self::Timestamp(at) => {
                let nanoseconds = u32::try_from(at.calendar().millisecond * 1_000_000).unwrap_or(0);
                // UTC: the offsets of hour and minute are kept in excess 20 and 60.
                [&encode_date(*at)[..], &nanoseconds.to_be_bytes(), &[20, 60]].concat()
            }
        }
    }
}

/// Century and year in excess 100, then month and day, then time in excess 1.
fn encode_date(at: Moment) -> Vec<u8> {
    let at = at.calendar();
    [at.year / 100 + 100, at.year % 100 + 100, at.month, at.day, at.hour + 1, at.minute + 1, at.second + 1]
        .into_iter()
        .map(|part| u8::try_from(part).unwrap_or(1))
        .collect()
}

/// The length of the longest mantissa; shorter negative ones are ended by a mark.
const LONGEST_MANTISSA: usize = 20;
const NEGATIVE_END: u8 = 102;

/// An exponent of base 100 and digits of base 100, each shifted so that the bytes sort like the numbers.
fn encode_number(number: i64) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        digits.push(u8::try_from(rest % 100).unwrap_or(0));
        rest /= 100;
    }
    let exponent = 0xc0 + u8::try_from(digits.len()).unwrap_or(0);
    let mantissa: Vec<u8> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
    let mantissa = mantissa.into_iter().rev();
    match number {
        0 => vec![0x80],
        1.. => std::iter::once(exponent).chain(mantissa.map(|digit| digit + 1)).collect(),
        _ => {
            let mut bytes: Vec<u8> = std::iter::once(!exponent).chain(mantissa.map(|digit| 101 - digit)).collect();
            if bytes.len() <= LONGEST_MANTISSA {
                bytes.push(NEGATIVE_END);
            }
            bytes
        }
    }
}

/// A whole number, or the text of another.
fn decode_number(bytes: &[u8]) -> Value {
    let Some((first, mantissa)) = bytes.split_first() else { return Value::Null };
    if *first == 0x80 {
        return Value::Number(0);
    }
    let positive = first & 0x80 != 0;
    let exponent = i32::from(if positive { *first } else { !first }) - 0xc1;
    let mantissa = if positive { mantissa } else { mantissa.strip_suffix(&[NEGATIVE_END]).unwrap_or(mantissa) };
    let digit = |byte: &u8| if positive { f64::from(*byte) - 1.0 } else { 101.0 - f64::from(*byte) };
    let size: f64 = mantissa.iter().zip(0..).map(|(byte, at)| digit(byte) * 100_f64.powi(exponent - at)).sum();
    let number = if positive { size } else { -size };
    let text = number.to_string();
    text.parse().map_or(Value::Text(text), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round_trip() {
        let number = BindType { kind: TYPE_NUMBER, form: 0 };
        for value in [0, 1, -1, 7, 99, 100, 101, -100, 12_345, -987_654_321, 1_000_000, 4_503_599_627_370_496] {
            assert_eq!(number.decode(Some(encode_number(value))), Value::Number(value), "{value}");
        }
        assert_eq!(encode_number(1), [0xc1, 2]);
        assert_eq!(encode_number(-5), [0x3e, 96, 102]);
        assert_eq!(number.decode(Some(vec![0xc0, 51])), Value::Text("0.5".to_owned()));
    }

    #[test]
    fn national_text_is_utf_16() {
        let national = BindType { kind: TYPE_VARCHAR, form: FORM_NATIONAL };
        assert_eq!(national.decode(Some(vec![0, b'a', 0, 0xe9])), Value::Text("aé".to_owned()));
    }
}
