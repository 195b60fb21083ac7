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
/// every class and contain no user name and nothing forbidden, so that all of them fail with a probability below 0.95^1024, about 10^-23.
const MAX_DRAWS: usize = 1024;
/// See [`MAX_DRAWS`].
const MIN_ACCEPTANCE: f64 = 0.05;
/// Names shorter than this are not looked for: they occur in good passwords by chance.
const MIN_NAME: usize = 3;
/// Names per database that a password must not contain: two users, forwards and backwards.
const MAX_NAMES: usize = 4;

/// Most texts that a policy forbids.
pub const MAX_FORBIDDEN: usize = 32;
/// Length of a forbidden text, in characters. One character is for `exclude`.
pub const FORBIDDEN_LENGTH: core::ops::RangeInclusive<usize> = 2..=64;

/// What a policy is made from.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Number of characters.
    pub length: usize,
    /// Each is present at least once.
    pub classes: &'a [Class],
    /// What the first character may be; `None`: a letter. Others are at risk in shells and on command lines (`-`, `~`), and where
    /// unquoted names must begin with a letter.
    pub first: Option<&'a [Class]>,
    /// Characters never to use.
    pub exclude: &'a str,
    /// Texts that a password must not contain, in whatever case.
    pub forbidden: &'a [String],
}

impl Rules<'_> {
    /// Every class, a letter in front, nothing excluded or forbidden.
    #[must_use]
    pub const fn of_length(length: usize) -> Self {
        Self { length, classes: &Class::ALL, first: None, exclude: "", forbidden: &[] }
    }
}

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
    /// A class in front that is not among the password's.
    #[error("a password cannot start with class `{0}`, which is not one of its classes")]
    First(Class),
    /// A forbidden text that is too short, too long, or not plain.
    #[error("a forbidden text has {} to {} visible ASCII characters; single characters belong into `exclude`", FORBIDDEN_LENGTH.start(), FORBIDDEN_LENGTH.end())]
    Forbidden,
    /// More forbidden texts than are looked for.
    #[error("at most {MAX_FORBIDDEN} texts can be forbidden")]
    TooManyForbidden,
    /// No class of letters, so that there is no first character.
    #[error(
        "a password starts with a letter, so the classes must include `lower` or `upper`, or `first` must say what else it starts with"
    )]
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
    /// So few characters are left, or so much is forbidden, that most draws would miss a class or contain what they must not.
    #[error(
        "so few characters are allowed, or so much is forbidden, that hardly any text of {length} characters would do"
    )]
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

/// What passwords look like: a length, classes of which each is present, what stands in front, and what they must not contain.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    length: usize,
    /// The characters of each chosen class that are allowed.
    classes: Vec<Vec<u8>>,
    /// What the first character is drawn from.
    first: Vec<u8>,
    /// What the other characters are drawn from.
    rest: Vec<u8>,
    /// Texts that it must not contain, in lower case.
    forbidden: Vec<String>,
    /// How many names a password must not contain.
    names: usize,
    entropy_bits: f64,
}

impl Policy {
    /// The policy of these rules.
    ///
    /// # Errors
    /// [`PolicyError`] if nothing, too little or nearly nothing satisfies them.
    pub fn new(rules: &Rules<'_>) -> Result<Self, PolicyError> {
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&rules.length) {
            return Err(PolicyError::Length(rules.length));
        }
        Self::unchecked(rules)?.checked()
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
        let mut forbidden: Vec<String> = policies.iter().flat_map(|policy| policy.forbidden.clone()).collect();
        forbidden.sort();
        forbidden.dedup();
        Self { length, classes, first, rest, forbidden, names, entropy_bits: 0.0 }.measured().checked()
    }

    fn checked(self) -> Result<Self, PolicyError> {
        let length = self.length;
        let policy = self;
        if policy.fitting_share() < MIN_ACCEPTANCE {
            return Err(PolicyError::Narrow { length });
        }
        if policy.entropy_bits < MIN_ENTROPY_BITS {
            return Err(PolicyError::Weak { bits: policy.entropy_bits });
        }
        Ok(policy)
    }

    /// Entropy of a password in bits: the logarithm of the number of texts that satisfy the policy, all equally likely. What is
    /// rejected for a missing class is counted exactly; what is rejected for a name or a forbidden text is counted as the most that it
    /// can be, so that there are at least so many bits.
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
    /// names of one or two characters are ignored. Nor does it contain what the policy forbids. Servers' own password rules ask for this.
    ///
    /// # Errors
    /// If the operating system has no randomness, or hands out the same bytes again and again.
    pub fn generate(&self, randomness: &dyn Randomness, names: &[&str]) -> PortResult<Password> {
        let mut forbidden = self.forbidden.clone();
        for name in names.iter().filter(|name| name.chars().count() >= MIN_NAME) {
            let name = name.to_ascii_lowercase();
            forbidden.extend([name.chars().rev().collect(), name]);
        }
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

    fn unchecked(rules: &Rules<'_>) -> Result<Self, PolicyError> {
        let Rules { length, classes: chosen, first: in_front, exclude, forbidden } = *rules;
        let mut classes = Vec::new();
        let mut first = Vec::new();
        if let Some(stranger) = in_front.unwrap_or_default().iter().find(|class| !chosen.contains(class)) {
            return Err(PolicyError::First(*stranger));
        }
        for class in chosen {
            let twice = |all: &[Class]| all.iter().filter(|other| *other == class).count() > 1;
            if twice(chosen) || in_front.is_some_and(twice) {
                return Err(PolicyError::Twice(*class));
            }
            let allowed: Vec<u8> =
                class.characters().chars().filter(|c| !exclude.contains(*c)).map(|c| c as u8).collect();
            if allowed.is_empty() {
                return Err(PolicyError::Emptied(*class));
            }
            if in_front.map_or(class.is_letter(), |in_front| in_front.contains(class)) {
                first.extend_from_slice(&allowed);
            }
            classes.push(allowed);
        }
        if first.is_empty() {
            return Err(PolicyError::NoLetters);
        }
        if forbidden.len() > MAX_FORBIDDEN {
            return Err(PolicyError::TooManyForbidden);
        }
        let is_plain = |text: &String| {
            text.bytes().all(|byte| byte.is_ascii_graphic()) && FORBIDDEN_LENGTH.contains(&text.chars().count())
        };
        if !forbidden.iter().all(is_plain) {
            return Err(PolicyError::Forbidden);
        }
        let forbidden = forbidden.iter().map(|text| text.to_ascii_lowercase()).collect();
        let rest = classes.concat();
        Ok(Self { length, classes, first, rest, forbidden, names: MAX_NAMES, entropy_bits: 0.0 }.measured())
    }

    fn measured(mut self) -> Self {
        self.entropy_bits = self.draw_bits() + self.fitting_share().log2();
        self
    }

    /// The share of draws that fit, or less.
    fn fitting_share(&self) -> f64 {
        (self.acceptance() - self.name_share() - self.forbidden_share()).max(0.0)
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

    /// An upper bound of the share of draws that contain a forbidden text: it could stand at any place.
    fn forbidden_share(&self) -> f64 {
        let meets = |alphabet: &[u8], c: u8| {
            count(alphabet.iter().filter(|d| c.eq_ignore_ascii_case(d)).count()) / count(alphabet.len())
        };
        let share = |text: &String| {
            let tail: f64 = text.bytes().skip(1).map(|c| meets(&self.rest, c)).product();
            let head = text.bytes().next().unwrap_or_default();
            match self.length.checked_sub(text.len()) {
                None => 0.0,
                Some(later) => (meets(&self.first, head) + count(later) * meets(&self.rest, head)) * tail,
            }
        };
        self.forbidden.iter().map(share).sum()
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
            Policy::new(&Rules::of_length(DEFAULT_LENGTH)).expect("the default policy is valid")
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
mod tests;
