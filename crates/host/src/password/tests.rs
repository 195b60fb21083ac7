//! Passwords as they are drawn: by the rules, evenly, and as many as the entropy says.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::*;
use crate::port::SystemRandomness;

fn rules<'a>(length: usize, classes: &'a [Class], exclude: &'a str) -> Rules<'a> {
    Rules { classes, exclude, ..Rules::of_length(length) }
}

/// Everything but these characters, for `exclude`.
fn all_but(kept: &str) -> String {
    Class::ALL.iter().flat_map(|class| class.characters().chars()).filter(|c| !kept.contains(*c)).collect()
}

#[test]
fn a_shared_password_satisfies_every_database() {
    let postgres = Policy::new(&rules(32, &Class::ALL, "")).unwrap();
    let oracle = Policy::new(&rules(30, &[Class::Lower, Class::Upper, Class::Digit], "lI1O0")).unwrap();
    assert_eq!(Policy::shared(&[&postgres, &oracle]), Err(PolicyError::Contradiction), "symbols: demanded, excluded");
    let postgres = Policy::new(&rules(32, &[Class::Lower, Class::Digit], "")).unwrap();
    let lower = Policy::new(&rules(40, &[Class::Lower, Class::Digit], "abc")).unwrap();
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
        let policy = Policy::new(&rules(length, &Class::ALL, "l1O0")).unwrap();
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

/// Every text of these alphabets, first character apart, that the policy takes, counted by writing each down.
fn enumerated(policy: &Policy, forbidden: &[&str]) -> BTreeSet<String> {
    let mut all: Vec<String> = policy.first.iter().map(|c| char::from(*c).to_string()).collect();
    for _ in 1..policy.length {
        all =
            all.iter().flat_map(|text| policy.rest.iter().map(move |c| format!("{text}{}", char::from(*c)))).collect();
    }
    let taken = |text: &String| {
        policy.fits(text.as_bytes()) && !forbidden.iter().any(|word| text.to_ascii_lowercase().contains(word))
    };
    all.into_iter().filter(taken).collect()
}

fn drawn(policy: &Policy, times: usize) -> BTreeSet<String> {
    let known = Known(Mutex::new(3));
    (0..times).map(|_| policy.generate(&known, &[]).unwrap().expose().to_owned()).collect()
}

#[test]
fn entropy_is_the_logarithm_of_the_number_of_passwords() {
    // Small enough to write all of them down; nothing is taken off for names, which are not given here.
    let tiny = |length, classes, kept, first| {
        let exclude = all_but(kept);
        let policy = Policy::unchecked(&Rules { first, ..rules(length, classes, &exclude) }).unwrap();
        Policy { names: 0, ..policy }.measured()
    };
    let digits_and_symbols: &[Class] = &[Class::Digit, Class::Symbol];
    for (length, classes, kept, first) in [
        (3, [Class::Lower, Class::Digit, Class::Symbol].as_slice(), "ab12~", None),
        (4, &[Class::Lower, Class::Upper], "abAB", None),
        (4, &Class::ALL, "aA1~-", Some(digits_and_symbols)),
        (5, &[Class::Lower, Class::Digit], "abc7", Some(&[Class::Digit])),
    ] {
        let policy = tiny(length, classes, kept, first);
        let all = enumerated(&policy, &[]);
        let bits = count(all.len()).log2();
        assert!((policy.entropy_bits() - bits).abs() < 1e-9, "{kept}: {} instead of {bits}", policy.entropy_bits());
        assert_eq!(
            drawn(&policy, 40 * all.len()),
            all,
            "{kept}: every password that the policy allows is drawn, and no other"
        );
    }
}

#[test]
fn what_is_forbidden_is_taken_off_and_never_drawn() {
    let exclude = all_but("abcAB12");
    let forbidden = ["aB1".to_owned(), "bb".to_owned()];
    let given = Rules { forbidden: &forbidden, ..rules(4, &[Class::Lower, Class::Upper, Class::Digit], &exclude) };
    let policy = Policy { names: 0, ..Policy::unchecked(&given).unwrap() }.measured();
    let without = Policy { names: 0, ..Policy::unchecked(&Rules { forbidden: &[], ..given }).unwrap() }.measured();
    let all = enumerated(&policy, &["ab1", "bb"]);
    assert!(all.len() < enumerated(&without, &[]).len(), "something is forbidden");
    // The most that can be rejected is taken off, so there are at least as many passwords as are claimed.
    assert!(policy.entropy_bits() <= count(all.len()).log2(), "{} of {}", policy.entropy_bits(), all.len());
    assert!(policy.entropy_bits() > 0.0 && policy.entropy_bits() < without.entropy_bits());
    assert_eq!(drawn(&policy, 40 * all.len()), all);
    // With room, next to nothing is lost.
    let words = ["password".to_owned(), "orders".to_owned(), "qwerty".to_owned()];
    let usual = Policy::new(&Rules { forbidden: &words, ..Rules::of_length(DEFAULT_LENGTH) }).unwrap();
    assert!(Policy::default().entropy_bits() - usual.entropy_bits() < 0.001);
}

#[test]
fn the_first_character_is_of_the_classes_asked_for() {
    let policy = Policy::new(&Rules { first: Some(&[Class::Digit]), ..Rules::of_length(20) }).unwrap();
    let starts: BTreeSet<char> = drawn(&policy, 400).iter().filter_map(|text| text.chars().next()).collect();
    assert_eq!(starts, ('0'..='9').collect());
    let strange = Rules { first: Some(&[Class::Symbol]), ..rules(20, &[Class::Lower, Class::Digit], "") };
    assert_eq!(Policy::new(&strange), Err(PolicyError::First(Class::Symbol)));
    let twice = Rules { first: Some(&[Class::Lower, Class::Lower]), ..Rules::of_length(20) };
    assert_eq!(Policy::new(&twice), Err(PolicyError::Twice(Class::Lower)));
    let no_letters = Rules { first: Some(&[Class::Digit]), ..rules(24, &[Class::Digit, Class::Symbol], "") };
    assert!(
        drawn(&Policy::new(&no_letters).unwrap(), 20).iter().all(|text| text.starts_with(|c: char| c.is_ascii_digit()))
    );
}

#[test]
fn forbidden_texts_have_limits_and_are_shared() {
    let with = |forbidden: &[String]| Policy::new(&Rules { forbidden, ..Rules::of_length(30) });
    for text in ["a", "", "with space", "na\u{ef}ve", &"x".repeat(65)] {
        assert_eq!(with(&[text.to_owned()]), Err(PolicyError::Forbidden), "{text}");
    }
    let many: Vec<String> = (10..=10 + MAX_FORBIDDEN).map(|n| n.to_string()).collect();
    assert_eq!(with(&many), Err(PolicyError::TooManyForbidden));
    let every_pair: Vec<String> = "ehilnorst".chars().map(|c| format!("{c}{c}")).collect();
    assert!(with(&every_pair).is_ok());
    let (one, other) = (with(&["one".to_owned()]).unwrap(), with(&["TWO".to_owned(), "one".to_owned()]).unwrap());
    assert_eq!(Policy::shared(&[&one, &other]).unwrap().forbidden, ["one", "two"]);
    let exclude = all_but("ab1");
    let forbidden = ["a1".to_owned(), "b1".to_owned(), "aa".to_owned(), "bb".to_owned(), "11".to_owned()];
    let hopeless = Rules { forbidden: &forbidden, ..rules(128, &[Class::Lower, Class::Digit], &exclude) };
    assert_eq!(Policy::new(&hopeless), Err(PolicyError::Narrow { length: 128 }));
}

#[test]
fn the_default_has_some_190_bits() {
    let bits = Policy::default().entropy_bits();
    assert!((190.0..194.0).contains(&bits), "{bits}");
}

#[test]
fn user_names_are_kept_out_both_ways_in_any_case() {
    let exclude = all_but("abcABC12~");
    let policy = Policy::unchecked(&rules(12, &[Class::Lower, Class::Upper], &exclude)).unwrap();
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
    let new = |length, classes: &[Class], exclude: &str| Policy::new(&rules(length, classes, exclude)).unwrap_err();
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
