//! The table of targets. A new one is a file here, a line in the table, a folder of seeds, and a wrapper in `fuzz/`.

mod config;
mod document;
mod reference;
mod register;
mod wallet;

/// One parser under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Gives it one input. Returns in which way the input was accepted or refused, in words that do not depend on the input's
    /// contents: inputs that are answered in a way not seen before are worth mutating further.
    ///
    /// # Panics
    /// If a promise is broken. That is a finding.
    pub run: fn(&[u8]) -> String,
    /// Part of an answer that a seed must still get, so that a corpus does not quietly grow too old to get past the first check.
    pub deep: &'static str,
    /// Words of the input's language, which random bytes would hardly ever spell.
    pub words: &'static [&'static str],
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    config::TARGET,
    document::TARGET,
    reference::TARGET,
    register::TARGET,
    wallet::ALIASES,
    wallet::PEM,
    wallet::ARCHIVE,
];

/// A message with its numbers and quoted parts taken out, so that only its kind is left.
fn kind_of(message: &str) -> String {
    let mut quoted = false;
    let keep = |c: &char| {
        if *c == '`' {
            quoted = !quoted;
        }
        !quoted && !c.is_ascii_digit()
    };
    message.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_once() {
        assert!(TARGETS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn kinds_do_not_depend_on_contents() {
        assert_eq!(kind_of("`a.b` is 7 of 9"), kind_of("`c` is 12 of 3"));
        assert_ne!(kind_of("the set `a`"), kind_of("the user `a`"));
    }
}
