//! Text for the server: quoting of identifiers and strings, and the application name that workers carry.
//!
//! Utility statements take no parameters, so names and strings are written into SQL; this file is the only place that quotes.

use std::fmt::Write as _;

use dizzy_host::port::FenceStamp;
use sha2::{Digest as _, Sha256};

/// Longest identifier of PostgreSQL in bytes (`NAMEDATALEN - 1`). It cuts longer ones silently, so we refuse them.
pub(super) const IDENTIFIER_LIMIT: usize = 63;
/// First part of every worker's application name.
const PREFIX: &str = "dizzy-keys";
/// Longest set name that is shown whole: 11 for the prefix, 22 for two numbers of ten digits, 30 are left of 63.
const LABEL_LIMIT: usize = 30;
/// How much of a longer name is shown, before a digest of the whole.
const LABEL_HEAD: usize = 17;
/// Generations and epochs beyond ten digits are shown as this. Equal epochs never end each other's sessions, so that is safe.
const NUMBER_LIMIT: u64 = 9_999_999_999;

/// An identifier, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Identifiers, quoted, separated by commas.
pub(super) fn identifiers(names: &[&str]) -> String {
    names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

/// A string, quoted; right whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// A body in dollar quotes, with a tag that does not occur in it.
pub(super) fn dollar(body: &str) -> String {
    let mut tag = "$dizzy$".to_owned();
    while body.contains(&tag) {
        tag.insert(tag.len() - 1, '_');
    }
    format!("{tag}{body}{tag}")
}

/// What the server shows for a worker's session: `dizzy-keys/<set>/<generation>/<epoch>`, at most 63 printable bytes.
pub(super) fn application_name(stamp: &FenceStamp<'_>) -> String {
    let (generation, epoch) = (stamp.generation.0.min(NUMBER_LIMIT), stamp.epoch.0.min(NUMBER_LIMIT));
    format!("{}{generation}/{epoch}", set_prefix(stamp.set))
}

/// What the application names of a set's workers begin with.
pub(super) fn set_prefix(set: &str) -> String {
    format!("{PREFIX}/{}/", label(set))
}

/// The set's name where it is short and plain, else its head and a digest: never a slash, never another set's label.
fn label(set: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if set.len() <= LABEL_LIMIT && set.chars().all(plain) {
        return set.to_owned();
    }
    let mut label: String = set.chars().map(|c| if plain(c) { c } else { '_' }).take(LABEL_HEAD).collect();
    label.push('~');
    for byte in Sha256::digest(set.as_bytes()).iter().take(6) {
        // Writing to a string cannot fail.
        write!(label, "{byte:02x}").ok();
    }
    label
}

/// Selects the pids of this set's workers that log in as the caller with an older epoch.
pub(super) fn older_workers(stamp: &FenceStamp<'_>) -> String {
    let prefix = set_prefix(stamp.set);
    let epoch = stamp.epoch.0.min(NUMBER_LIMIT);
    // CASE, because nothing else fixes the order of a test and a cast.
    format!(
        "SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE a.usename = session_user AND a.pid <> pg_backend_pid() \
         AND CASE WHEN left(a.application_name, {}) = {} AND split_part(a.application_name, '/', 4) ~ '^[0-9]{{1,10}}$' \
         THEN split_part(a.application_name, '/', 4)::bigint < {epoch} ELSE false END",
        prefix.len(),
        literal(&prefix),
    )
}

#[cfg(test)]
mod tests {
    use dizzy_engine::{Epoch, Generation};

    use super::*;

    fn stamp(set: &str, generation: u64, epoch: u64) -> FenceStamp<'_> {
        FenceStamp { set, register: "r", epoch: Epoch(epoch), generation: Generation(generation) }
    }

    #[test]
    fn a_plain_set_is_shown_whole() {
        assert_eq!(application_name(&stamp("orders", 7, 12)), "dizzy-keys/orders/7/12");
    }

    #[test]
    fn the_longest_application_name_fits_and_keeps_four_parts() {
        for set in ["x".repeat(30), "x".repeat(200), "a/b".to_owned(), "größe".to_owned(), "\u{1F511}".repeat(40)] {
            let name = application_name(&stamp(&set, u64::MAX, u64::MAX));
            assert!(name.len() <= IDENTIFIER_LIMIT, "{name}");
            assert_eq!(name.split('/').count(), 4, "{name}");
            assert!(name.is_ascii(), "{name}");
        }
    }

    #[test]
    fn similar_long_sets_have_different_labels() {
        let (one, other) = (format!("{}1", "x".repeat(40)), format!("{}2", "x".repeat(40)));
        assert_ne!(set_prefix(&one), set_prefix(&other));
        assert_ne!(set_prefix("a/b"), set_prefix("a_b"));
    }

    #[test]
    fn quoting_doubles_what_would_end_the_quote() {
        assert_eq!(identifier("we\"ird"), "\"we\"\"ird\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("back\\slash'"), "E'back\\\\slash'''");
        assert_eq!(dollar("SELECT '$dizzy$'"), "$dizzy_$SELECT '$dizzy$'$dizzy_$");
    }
}
