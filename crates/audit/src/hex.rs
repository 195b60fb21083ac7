//! Lower-case hex digits. Upper case is refused when reading: a record has exactly one spelling.

use crate::Hash;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What stands in the table for a byte that is no lower-case hex digit.
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = values();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, over 16 digits"
)]
const fn values() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        table[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    table
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
        }
    }
    text
}

fn value(digit: u8) -> u8 {
    VALUES.get(usize::from(digit)).copied().unwrap_or(NONE)
}

/// The bytes behind hex digits of either case; for keys that people hand over.
pub(crate) fn decode_any_case(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let byte = |[high, low]: &[u8; 2]| {
        let (high, low) = (value(high.to_ascii_lowercase()), value(low.to_ascii_lowercase()));
        (high != NONE && low != NONE).then_some(high << 4 | low)
    };
    pairs.iter().map(byte).collect()
}

/// The hash behind 64 lower-case hex digits. Without a branch per digit and one step at a time, as the compiler's wide
/// instructions want it: a verifier reads two of them with every record.
pub(crate) fn decode_hash(digits: &[u8]) -> Option<Hash> {
    let digits: &[u8; 64] = digits.try_into().ok()?;
    let mut nibbles = [0; 64];
    let mut bad = 0;
    for (to, digit) in nibbles.iter_mut().zip(digits) {
        let (value, is_bad) = nibble(*digit);
        *to = value;
        bad |= is_bad;
    }
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(nibbles.as_chunks::<2>().0) {
        *byte = high << 4 | low;
    }
    (bad == 0).then_some(hash)
}

/// The eight bytes behind 16 lower-case hex digits.
pub(crate) fn decode_eight(digits: &[u8]) -> Option<[u8; 8]> {
    let digits: &[u8; 16] = digits.try_into().ok()?;
    let mut bytes = [0; 8];
    let mut bad = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let ((high, bad_high), (low, bad_low)) = (nibble(*high), nibble(*low));
        bad |= bad_high | bad_low;
        *byte = high << 4 | low;
    }
    (bad == 0).then_some(bytes)
}

/// The value of a lower-case hex digit, and something other than 0 if it is none.
const fn nibble(digit: u8) -> (u8, u8) {
    let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
    let (is_number, is_letter) = ((number < 10) as u8, (letter < 6) as u8);
    let value = (number & is_number.wrapping_neg()) | (letter.wrapping_add(10) & is_letter.wrapping_neg());
    (value, (is_number | is_letter) ^ 1)
}

/// A number written in decimal digits without a leading zero.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_spelling() {
        let hash: Hash = core::array::from_fn(|at| u8::try_from(at * 8 + 7).unwrap());
        let text = encode(&hash);
        assert_eq!(decode_hash(text.as_bytes()), Some(hash));
        assert_eq!(decode_hash(text.to_uppercase().as_bytes()), None);
        assert_eq!(decode_hash(&text.as_bytes()[1..]), None);
        assert_eq!(decode_hash(text.replace('7', "g").as_bytes()), None);
        assert_eq!(decode_any_case(text.to_uppercase().as_bytes()), Some(hash.to_vec()));
        assert_eq!(decode_any_case(b"0"), None);
        assert_eq!(decode_any_case(b"0x"), None);
    }

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"00", b"01", b"1a", b"-1", b"18446744073709551616"] {
            assert_eq!(decimal(wrong), None);
        }
    }
}
