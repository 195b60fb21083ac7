//! Passwords: what they look like, and how they are drawn.
//!
//! A password is drawn uniformly from all texts that satisfy its [`Policy`], by rejection: positions are drawn
//! independently and the whole text is drawn again until it fits. Randomness comes through the port; nothing here logs.

use core::fmt;
use std::sync::LazyLock;

use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    port::{Kind, PortError, PortResult, Randomness},
    secret::Password,
};

/// Shortest password that a policy may ask for.
pub const MIN_LENGTH: usize = 12;
/// Longest password that a policy may ask for. Well under what PostgreSQL's password message and every known client take.
pub const MAX_LENGTH: usize = 128;
/// Length without a configured one: about 190 bits.
pub const DEFAULT_LENGTH: usize = 32;
/// Longest password of an Oracle user, and its default length: 30 bytes up to 21c, and 12 to 30 characters in Autonomous Database
/// (Oracle documentation: "About User Passwords on Autonomous Database").
pub const ORACLE_LENGTH: usize = 30;
/// Fewest bits that a policy may leave: a SCRAM verifier that leaks can be searched offline at some 10^7 guesses per second
/// and graphics card, so 64 bits keep a thousand of them busy for decades.
pub const MIN_ENTROPY_BITS: f64 = 64.0;

/// Draws before [`Policy::generate`] gives up. [`Policy::new`] refuses a policy unless at least [`MIN_ACCEPTANCE`] of all draws have
/// every class and contain no user name, so that all of them fail with a probability below 0.95^1024, about 10^-23.
const MAX_DRAWS: usize = 1024;
/// See [`MAX_DRAWS`].
const MIN_ACCEPTANCE: f64 = 0.05;
/// Names shorter than this are not looked for: they occur in good passwords by chance.
const MIN_NAME: usize = 3;
/// Names per database that a password must not contain: two users, forwards and backwards.
const MAX_NAMES: usize = 4;

/// A class of characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// `0` to `9`.
    Digit,
    /// `a` to `z`.
    Lower,
    /// `-`, `.`, `_` and `~`: with letters and digits, RFC 3986's "unreserved" characters. They need no escaping in URLs, in JSON,
    /// in `key=value` connection strings, in `.pgpass`, in shells (`~` is special at the start of a word only, and a password
    /// starts with a letter), in YAML, cron tables and systemd units.
    Symbol,
    /// `A` to `Z`.
    Upper,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Lower, Self::Upper, Self::Digit, Self::Symbol];

    /// Its characters.
    #[must_use]
    pub const fn characters(self) -> &'static str {
        match self {
            Self::Digit => "0123456789",
            Self::Lower => "abcdefghijklmnopqrstuvwxyz",
            Self::Symbol => "-._~",
            Self::Upper => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        }
    }

    const fn is_letter(self) -> bool {
        match self {
            Self::Lower | Self::Upper => true,
            Self::Digit | Self::Symbol => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digit => "digit",
            Self::Lower => "lower",
            Self::Symbol => "symbol",
            Self::Upper => "upper",
        })
    }
}

/// Why a policy cannot be.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum PolicyError {
    /// Length outside the limits.
    #[error("a password has {MIN_LENGTH} to {MAX_LENGTH} characters, not {0}")]
    Length(usize),
    /// No class of letters, so that there is no first character.
    #[error("a password starts with a letter, so the classes must include `lower` or `upper`")]
    NoLetters,
    /// The same class twice.
    #[error("class `{0}` is named twice")]
    Twice(Class),
    /// A class without a character left.
    #[error("`exclude` leaves no character of class `{0}`")]
    Emptied(Class),
    /// Databases that share a password demand a class that another of them forbids.
    #[error("no password satisfies the rules of every database: one demands characters that another excludes")]
    Contradiction,
    /// So few characters are left that most draws would miss a class or contain a user's name.
    #[error("so few characters are allowed that hardly any text of {length} of them would do")]
    Narrow {
        /// The length asked for.
        length: usize,
    },
    /// Too easy to guess.
    #[error(
        "such passwords have {bits:.0} bits of entropy, fewer than {MIN_ENTROPY_BITS:.0}; make them longer or allow more characters"
    )]
    Weak {
        /// Bits that there would be.
        bits: f64,
    },
}

/// What passwords look like: a length, classes of which each is present, and a letter in front.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    length: usize,
    /// The characters of each chosen class that are allowed.
    classes: Vec<Vec<u8>>,
    /// What the first character is drawn from.
    first: Vec<u8>,
    /// What the other characters are drawn from.
    rest: Vec<u8>,
    /// How many names a password must not contain.
    names: usize,
    entropy_bits: f64,
}

impl Policy {
    /// A policy of `length` characters from `classes`, without the characters in `exclude`.
    ///
    /// # Errors
    /// [`PolicyError`] if nothing, too little or nearly nothing satisfies it.
    pub fn new(length: usize, classes: &[Class], exclude: &str) -> Result<Self, PolicyError> {
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) {
            return Err(PolicyError::Length(length));
        }
        Self::unchecked(length, classes, exclude)?.checked()
    }

    /// What satisfies every one of `policies`: the shortest length, characters that all allow, every class that one of them demands.
    ///
    /// # Errors
    /// [`PolicyError`] if they contradict each other, or leave too little.
    pub fn shared(policies: &[&Self]) -> Result<Self, PolicyError> {
        let everywhere = |c: &u8, of: fn(&Self) -> &Vec<u8>| policies.iter().all(|policy| of(policy).contains(c));
        let alphabet = |of: fn(&Self) -> &Vec<u8>| {
            let first = policies.first().map(|policy| of(policy).clone()).unwrap_or_default();
            first.into_iter().filter(|c| everywhere(c, of)).collect::<Vec<u8>>()
        };
        let (first, rest) = (alphabet(|policy| &policy.first), alphabet(|policy| &policy.rest));
        if first.is_empty() {
            return Err(PolicyError::NoLetters);
        }
        let mut classes: Vec<Vec<u8>> = Vec::new();
        for class in policies.iter().flat_map(|policy| &policy.classes) {
            let allowed: Vec<u8> = class.iter().copied().filter(|c| rest.contains(c)).collect();
            if allowed.is_empty() {
                return Err(PolicyError::Contradiction);
            }
            if !classes.contains(&allowed) {
                classes.push(allowed);
            }
        }
        let length = policies.iter().map(|policy| policy.length).min().unwrap_or(DEFAULT_LENGTH);
        let names = MAX_NAMES.saturating_mul(policies.len());
        let mut policy = Self { length, classes, first, rest, names, entropy_bits: 0.0 };
        policy.entropy_bits = policy.draw_bits() + policy.acceptance().log2();
        policy.checked()
    }

    fn checked(self) -> Result<Self, PolicyError> {
        let length = self.length;
        let policy = self;
        if policy.acceptance() - policy.name_share() < MIN_ACCEPTANCE {
            return Err(PolicyError::Narrow { length });
        }
        if policy.entropy_bits < MIN_ENTROPY_BITS {
            return Err(PolicyError::Weak { bits: policy.entropy_bits });
        }
        Ok(policy)
    }

    /// Entropy of a password in bits: the logarithm of the number of texts that satisfy the policy, all equally likely.
    #[must_use]
    pub const fn entropy_bits(&self) -> f64 {
        self.entropy_bits
    }

    /// Number of characters.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Draws a password that does not contain any of `names` (the users', at most two per database), forwards or backwards, in whatever case;
    /// names of one or two characters are ignored. Servers' own password rules ask for this.
    ///
    /// # Errors
    /// If the operating system has no randomness, or hands out the same bytes again and again.
    pub fn generate(&self, randomness: &dyn Randomness, names: &[&str]) -> PortResult<Password> {
        let forbidden: Vec<String> = names
            .iter()
            .filter(|name| name.chars().count() >= MIN_NAME)
            .flat_map(|name| [name.to_ascii_lowercase(), name.to_ascii_lowercase().chars().rev().collect()])
            .collect();
        let mut pool = Pool { randomness, bytes: Zeroizing::new([0; POOL]), left: 0 };
        for _ in 0..MAX_DRAWS {
            let text = self.draw(&mut pool)?;
            let lower = Zeroizing::new(text.to_ascii_lowercase());
            if self.fits(text.as_bytes()) && !forbidden.iter().any(|name| lower.contains(name.as_str())) {
                return Ok(Password::new(text.as_str().to_owned()));
            }
        }
        Err(PortError::refused(Kind::Io, "draw a password: the random bytes repeat themselves"))
    }

    fn unchecked(length: usize, chosen: &[Class], exclude: &str) -> Result<Self, PolicyError> {
        let mut classes = Vec::new();
        let mut first = Vec::new();
        for (at, class) in chosen.iter().enumerate() {
            if chosen.iter().take(at).any(|earlier| earlier == class) {
                return Err(PolicyError::Twice(*class));
            }
            let allowed: Vec<u8> =
                class.characters().chars().filter(|c| !exclude.contains(*c)).map(|c| c as u8).collect();
            if allowed.is_empty() {
                return Err(PolicyError::Emptied(*class));
            }
            if class.is_letter() {
                first.extend_from_slice(&allowed);
            }
            classes.push(allowed);
        }
        if first.is_empty() {
            return Err(PolicyError::NoLetters);
        }
        let mut policy = Self { length, rest: classes.concat(), classes, first, names: MAX_NAMES, entropy_bits: 0.0 };
        policy.entropy_bits = policy.draw_bits() + policy.acceptance().log2();
        Ok(policy)
    }

    /// Logarithm of the number of draws.
    fn draw_bits(&self) -> f64 {
        count(self.first.len()).log2() + count(self.length - 1) * count(self.rest.len()).log2()
    }

    /// The share of draws that have every class, by inclusion and exclusion over the sets of missing classes (at most 16).
    fn acceptance(&self) -> f64 {
        let mut share = 0.0;
        for missing in 0_u32..1 << self.classes.len() {
            let without = |alphabet: &[u8]| {
                let left = alphabet.iter().filter(|c| {
                    !self.classes.iter().enumerate().any(|(i, class)| missing & (1 << i) != 0 && class.contains(c))
                });
                count(left.count()) / count(alphabet.len())
            };
            let sign = if missing.count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
            share += sign * without(&self.first) * without(&self.rest).powf(count(self.length - 1));
        }
        share
    }

    /// An upper bound of the share of draws that contain one of the forbidden names: each could stand at any place, and its
    /// characters are met at most as often as the likeliest one, in either case.
    fn name_share(&self) -> f64 {
        let likeliest = |alphabet: &[u8]| {
            let most = alphabet.iter().map(|c| alphabet.iter().filter(|d| c.eq_ignore_ascii_case(d)).count()).max();
            count(most.unwrap_or_default()) / count(alphabet.len())
        };
        let places = count((self.length + 1).saturating_sub(MIN_NAME));
        let match_rest = likeliest(&self.rest);
        let match_first = likeliest(&self.first).max(match_rest);
        count(self.names) * ((places - 1.0) * match_rest.powi(3) + match_first * match_rest.powi(2))
    }

    fn draw(&self, pool: &mut Pool<'_>) -> PortResult<Zeroizing<String>> {
        // The capacity is taken at once, so that no shorter copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(self.length));
        for position in 0..self.length {
            let alphabet = if position == 0 { &self.first } else { &self.rest };
            text.push(char::from(pool.pick(alphabet)?));
        }
        Ok(text)
    }

    fn fits(&self, text: &[u8]) -> bool {
        self.classes.iter().all(|class| text.iter().any(|c| class.contains(c)))
    }
}

impl Default for Policy {
    fn default() -> Self {
        // Counting is a millisecond's work in a debug build, and a configuration may have thousands of databases.
        static DEFAULT: LazyLock<Policy> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the default policy is a constant, and a test builds it")]
            Policy::new(DEFAULT_LENGTH, &Class::ALL, "").expect("the default policy is valid")
        });
        DEFAULT.clone()
    }
}

/// Random bytes taken from the port at once: enough for a password of the default length.
const POOL: usize = 64;

/// Random bytes, taken from the port in portions and wiped afterwards.
struct Pool<'a> {
    randomness: &'a dyn Randomness,
    bytes: Zeroizing<[u8; POOL]>,
    left: usize,
}

impl Pool<'_> {
    /// Bytes that [`pick`](Self::pick) may throw away for one character. At least half of all bytes are usable.
    const MAX_REJECTED: usize = 256;

    fn byte(&mut self) -> PortResult<u8> {
        if self.left == 0 {
            self.bytes.zeroize();
            self.randomness.fill(self.bytes.as_mut_slice())?;
            self.left = POOL;
        }
        self.left -= 1;
        Ok(self.bytes.get(self.left).copied().unwrap_or_default())
    }

    /// One of at most 66 characters, each as likely as the other: bytes above the last full multiple are thrown away.
    fn pick(&mut self, alphabet: &[u8]) -> PortResult<u8> {
        let usable = 256 - 256 % alphabet.len().max(1);
        for _ in 0..Self::MAX_REJECTED {
            let byte = usize::from(self.byte()?);
            if byte < usable
                && let Some(character) = alphabet.get(byte % alphabet.len().max(1))
            {
                return Ok(*character);
            }
        }
        Err(PortError::refused(Kind::Io, "draw a password: the random bytes repeat themselves"))
    }
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Mutex, PoisonError},
    };

    use super::*;
    use crate::port::SystemRandomness;

    #[test]
    fn a_shared_password_satisfies_every_database() {
        let postgres = Policy::new(32, &Class::ALL, "").unwrap();
        let oracle = Policy::new(30, &[Class::Lower, Class::Upper, Class::Digit], "lI1O0").unwrap();
        assert_eq!(
            Policy::shared(&[&postgres, &oracle]),
            Err(PolicyError::Contradiction),
            "symbols: demanded, excluded"
        );
        let postgres = Policy::new(32, &[Class::Lower, Class::Digit], "").unwrap();
        let lower = Policy::new(40, &[Class::Lower, Class::Digit], "abc").unwrap();
        let shared = Policy::shared(&[&postgres, &lower]).unwrap();
        assert_eq!(shared.length(), 32);
        for _ in 0..50 {
            let password = shared.generate(&Known(Mutex::new(17)), &["orders", "ORDERS"]).unwrap();
            let text = password.expose();
            assert!(postgres.fits(text.as_bytes()) && lower.fits(text.as_bytes()), "each demand is met");
            assert!(!text.contains(['a', 'b', 'c']), "and each exclusion");
        }
        assert_eq!(Policy::shared(&[&postgres]).unwrap().entropy_bits(), postgres.entropy_bits());
    }

    /// A xorshift generator: the same bytes in every run.
    struct Known(Mutex<u64>);

    impl Randomness for Known {
        fn fill(&self, bytes: &mut [u8]) -> PortResult<()> {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for byte in bytes {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                *byte = state.to_be_bytes()[3];
            }
            Ok(())
        }
    }

    /// Hands out the given bytes, then fails.
    struct Script(Mutex<Vec<u8>>);

    impl Randomness for Script {
        fn fill(&self, bytes: &mut [u8]) -> PortResult<()> {
            let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if script.is_empty() {
                return Err(PortError::refused(Kind::Io, "the script is over"));
            }
            for byte in bytes.iter_mut().rev() {
                *byte = if script.is_empty() { 255 } else { script.remove(0) };
            }
            Ok(())
        }
    }

    struct Constant(u8);

    impl Randomness for Constant {
        fn fill(&self, bytes: &mut [u8]) -> PortResult<()> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn passwords_follow_the_policy() {
        let known = Known(Mutex::new(7));
        for length in [MIN_LENGTH, DEFAULT_LENGTH, MAX_LENGTH] {
            let policy = Policy::new(length, &Class::ALL, "l1O0").unwrap();
            for _ in 0..200 {
                let password = policy.generate(&known, &["orders_a"]).unwrap();
                let text = password.expose();
                assert_eq!(text.len(), length);
                assert!(text.starts_with(|c: char| c.is_ascii_alphabetic()));
                for class in Class::ALL {
                    assert!(text.contains(|c| class.characters().contains(c)), "a class is missing");
                }
                assert!(!text.contains(|c| "l1O0".contains(c)));
            }
        }
    }

    #[test]
    fn two_draws_from_the_operating_system_differ() {
        let policy = Policy::default();
        assert_ne!(policy.generate(&SystemRandomness, &[]).unwrap(), policy.generate(&SystemRandomness, &[]).unwrap());
    }

    #[test]
    fn every_byte_maps_to_a_character_equally_often_or_to_none() {
        for size in 1..=66_u8 {
            let alphabet: Vec<u8> = (0..size).collect();
            let mut hits = vec![0_u32; usize::from(size)];
            for byte in 0..=255_u8 {
                let script = Script(Mutex::new(vec![byte]));
                let mut pool = Pool { randomness: &script, bytes: Zeroizing::new([0; 64]), left: 0 };
                // A byte that is thrown away is followed by the script's 255s and its end; what was drawn from those does not count.
                let usable = 256 - 256 % usize::from(size);
                match pool.pick(&alphabet) {
                    Ok(character) if usize::from(byte) < usable => hits[usize::from(character)] += 1,
                    Ok(_) | Err(_) => assert!(usize::from(byte) >= usable, "byte {byte} was usable for {size}"),
                }
            }
            assert!(hits.iter().all(|n| *n == 256 / u32::from(size)), "{size}: {hits:?}");
        }
    }

    #[test]
    fn entropy_is_the_logarithm_of_the_number_of_passwords() {
        // Small enough to count: 3 places, 2 letters, 2 digits, 1 symbol.
        let exclude: String =
            Class::ALL.iter().flat_map(|c| c.characters().chars()).filter(|c| !"ab12~".contains(*c)).collect();
        let policy = Policy::unchecked(3, &[Class::Lower, Class::Digit, Class::Symbol], &exclude).unwrap();
        let mut all = BTreeSet::new();
        for first in "ab".chars() {
            for second in "ab12~".chars() {
                for third in "ab12~".chars() {
                    let text = format!("{first}{second}{third}");
                    if policy.fits(text.as_bytes()) {
                        all.insert(text);
                    }
                }
            }
        }
        assert_eq!(all.len(), 2 * 2 * 2);
        assert!((policy.entropy_bits() - 3.0).abs() < 1e-9, "{}", policy.entropy_bits());
        let known = Known(Mutex::new(3));
        let drawn: BTreeSet<String> =
            (0..400).map(|_| policy.generate(&known, &[]).unwrap().expose().to_owned()).collect();
        assert_eq!(drawn, all, "every password that the policy allows is drawn, and no other");
    }

    #[test]
    fn the_default_has_some_190_bits() {
        let bits = Policy::default().entropy_bits();
        assert!((190.0..194.0).contains(&bits), "{bits}");
    }

    #[test]
    fn user_names_are_kept_out_both_ways_in_any_case() {
        let exclude: String =
            Class::ALL.iter().flat_map(|c| c.characters().chars()).filter(|c| !"abcABC12~".contains(*c)).collect();
        let policy = Policy::unchecked(12, &[Class::Lower, Class::Upper], &exclude).unwrap();
        let known = Known(Mutex::new(11));
        let drawn: Vec<String> =
            (0..200).map(|_| policy.generate(&known, &["AbC", "b"]).unwrap().expose().to_ascii_lowercase()).collect();
        assert!(!drawn.iter().any(|text| text.contains("abc") || text.contains("cba")), "a name is in one");
        assert!(drawn.iter().any(|text| text.contains('b')), "a name of one letter is no reason to refuse");
    }

    #[test]
    fn a_broken_generator_ends_in_an_error() {
        for byte in [0, 255] {
            let error = Policy::default().generate(&Constant(byte), &[]).unwrap_err();
            assert_eq!(error.kind, Kind::Io);
        }
    }

    #[test]
    fn impossible_and_weak_policies_are_refused() {
        let new = |length, classes: &[Class], exclude: &str| Policy::new(length, classes, exclude).unwrap_err();
        assert_eq!(new(11, &Class::ALL, ""), PolicyError::Length(11));
        assert_eq!(new(129, &Class::ALL, ""), PolicyError::Length(129));
        assert_eq!(new(32, &[Class::Digit, Class::Symbol], ""), PolicyError::NoLetters);
        assert_eq!(new(32, &[], ""), PolicyError::NoLetters);
        assert_eq!(new(32, &Class::ALL, "-._~"), PolicyError::Emptied(Class::Symbol));
        assert_eq!(new(32, &[Class::Lower, Class::Lower], ""), PolicyError::Twice(Class::Lower));
        assert!(matches!(new(12, &[Class::Lower], ""), PolicyError::Weak { bits } if bits > 56.0 && bits < 57.0));
        assert_eq!(new(128, &[Class::Lower], "abcdefghijklmnopqrstuvwx"), PolicyError::Narrow { length: 128 });
        assert_eq!(new(12, &Class::ALL, "012345678-._"), PolicyError::Narrow { length: 12 });
    }
}
