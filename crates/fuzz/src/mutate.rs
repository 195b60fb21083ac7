//! Mutations: what an attacker, a bad disk or a hasty editor does to an input. The same seed makes the same inputs.

/// Longest input that is made. Every parser has a limit of its own, which is below this or is met by a seed.
pub const MAX_INPUT: usize = 1 << 17;

/// A reproducible stream of numbers (SplitMix64). For tests: nothing secret may be drawn from it.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    /// One of these, if there is one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Bytes on which parsers stumble.
const ODD_BYTES: &[u8] = b"\0\x01\x7f\x80\xff\n\r\t \"'\\/{}[]()=:,#-+.0919eEuAz";

/// An input like `seed`: one to eight changes, with parts of `others` and with `words`.
#[must_use]
pub fn mutated(seed: &[u8], others: &[Vec<u8>], words: &[&str], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = seed.to_vec();
    // Mostly a single change: two at once seldom get past the first check.
    let changes = 1 + numbers.below(8).saturating_sub(4 * usize::from(numbers.below(2) == 0));
    for _ in 0..changes {
        change(&mut data, others, words, numbers);
    }
    data.truncate(MAX_INPUT);
    data
}

fn change(data: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str], numbers: &mut Numbers) {
    let at = numbers.below(data.len() + 1);
    match numbers.below(9) {
        // A bit falls over.
        0 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << (numbers.byte() % 8);
            }
        }
        // A byte becomes another.
        1 => {
            let odd = numbers.pick(ODD_BYTES).copied().unwrap_or_default();
            let new = if numbers.below(2) == 0 { odd } else { numbers.byte() };
            if let Some(byte) = data.get_mut(at) {
                *byte = new;
            }
        }
        // Something is put in.
        2 => {
            let odd = numbers.pick(ODD_BYTES).copied().unwrap_or_default();
            let count = if numbers.below(16) == 0 { numbers.below(300) } else { 1 };
            insert(data, at, &vec![odd; count]);
        }
        3 => {
            let word = numbers.pick(words).copied().unwrap_or_default();
            insert(data, at, word.as_bytes());
        }
        // A word stands in place of another piece.
        4 => {
            let word = numbers.pick(words).copied().unwrap_or_default();
            let end = (at + numbers.below(word.len() * 2 + 1)).min(data.len());
            data.drain(at..end);
            insert(data, at, word.as_bytes());
        }
        // A piece is missing.
        5 => {
            let end = (at + 1 + numbers.below(32)).min(data.len());
            data.drain(at.min(end)..end);
        }
        // A piece stands there twice, or many times.
        6 => {
            let end = (at + 1 + numbers.below(64)).min(data.len());
            let piece = data.get(at..end).unwrap_or_default().to_vec();
            let times = if numbers.below(8) == 0 { numbers.below(200) } else { 1 };
            insert(data, at, &piece.repeat(times));
        }
        // It ends too early.
        7 => data.truncate(at),
        // It goes on as another input does.
        _ => {
            let Some(other) = numbers.pick(others) else { return };
            let from = numbers.below(other.len() + 1);
            let tail = other.get(from..).unwrap_or_default();
            data.truncate(at);
            data.extend_from_slice(tail);
        }
    }
}

fn insert(data: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if data.len() + piece.len() <= MAX_INPUT {
        data.splice(at..at, piece.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_makes_others() {
        let make = |seed| {
            let mut numbers = Numbers::seeded(seed);
            (0..50)
                .map(|_| mutated(b"[sets.orders]\n", &[b"a = 1".to_vec()], &["\"x\""], &mut numbers))
                .collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn empty_inputs_and_inputs_at_the_limit_are_mutated_too() {
        let mut numbers = Numbers::seeded(3);
        let full = vec![b'x'; MAX_INPUT];
        for _ in 0..500 {
            assert!(mutated(b"", &[], &[], &mut numbers).len() <= MAX_INPUT);
            assert!(mutated(&full, std::slice::from_ref(&full), &["word"], &mut numbers).len() <= MAX_INPUT);
        }
    }
}
