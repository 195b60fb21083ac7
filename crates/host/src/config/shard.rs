//! A part of the sets: `--shard 2/5` is the second of five. Pure, and the same on every machine.
//!
//! A set's part follows from its name alone, so workers need not talk to each other, and adding a set moves no other. Another number
//! of parts deals all sets anew.

use core::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

/// Most parts: more workers than this for one configuration are a typing mistake.
pub const MAX_SHARDS: u16 = 1024;

/// One of some parts. Every set is in exactly one of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    /// Which, counted from 1.
    number: u16,
    /// Of how many.
    of: u16,
}

impl Shard {
    /// Whether the set with this name is in it.
    #[must_use]
    pub fn contains(self, set: &str) -> bool {
        let digest = Sha256::digest(["dizzy-keys/shard/v1\0", set].concat().as_bytes());
        let number = digest.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        number % u64::from(self.of) == u64::from(self.number - 1)
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "it is written I/N, for example 2/5: the second of five parts";
        let (number, of) = text.split_once('/').ok_or(FORM)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(number) || !digits(of) {
            return Err(FORM);
        }
        // Whatever does not fit into the type is above the limit as well.
        let of = of.parse().ok().filter(|of| *of <= MAX_SHARDS).ok_or("there are at most 1024 parts")?;
        match number.parse() {
            Ok(number) if (1..=of).contains(&number) => Ok(Self { number, of }),
            Ok(_) | Err(_) => Err("parts are counted from 1 to N"),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_in_exactly_one_part() {
        for of in [1, 2, 3, 7, 64, MAX_SHARDS] {
            let mut sizes = vec![0; usize::from(of)];
            for set in (0..300).map(|n| format!("set-{n}")) {
                let all = (1..=of).filter(|number| Shard { number: *number, of }.contains(&set));
                let [number] = all.collect::<Vec<_>>()[..] else { panic!("{set} of {of}") };
                sizes[usize::from(number) - 1] += 1;
            }
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(of > 7 || most <= &(least * 2), "{of} parts of {least} to {most} sets");
        }
    }

    #[test]
    fn a_set_stays_in_its_part() {
        // A set that moved between two releases would be rotated by two workers, or by none, while both are in use.
        let part = |set: &str| (1..=5).find(|number| Shard { number: *number, of: 5 }.contains(set)).unwrap();
        assert_eq!(["orders", "billing", "users", "carts"].map(part), PARTS);
    }

    /// As computed once by another program.
    const PARTS: [u16; 4] = [4, 3, 5, 3];

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["1/1", "2/5", "1024/1024", "01/05"] {
            assert!(text.parse::<Shard>().is_ok(), "{text}");
        }
        assert_eq!("2/5".parse::<Shard>().unwrap().to_string(), "2/5");
        for text in [
            "", "/", "1", "1/", "/3", "0/3", "4/3", "a/b", "-1/3", "+1/3", "1/0", "0/0", "1/1025", "1/70000",
            "70000/3", "1/2/3", " 1/2", "1.0/2",
        ] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
