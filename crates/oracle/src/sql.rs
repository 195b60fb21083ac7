//! Text for the server: names in SQL, and what our sessions call themselves.
//!
//! DDL takes no bind variables, so names are written into it; this file is the only place that quotes. No password is ever written into SQL,
//! with one exception that `prepare` explains.

use core::fmt::Write as _;

use dizzy_host::port::FenceStamp;
use sha2::{Digest as _, Sha256};

/// Longest module name that the server keeps (Oracle documentation: `DBMS_APPLICATION_INFO.SET_MODULE`: 48 bytes, 64 from 12.2 on).
const MODULE_LIMIT: usize = 48;

/// Whether Oracle takes the name as it stands, folding it to upper case.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '#'))
}

/// The name as the data dictionary has it.
pub(crate) fn stored(name: &str) -> String {
    if is_plain(name) { name.to_ascii_uppercase() } else { name.to_owned() }
}

/// The name as an identifier, quoted. Names with a double quote are refused before they come here.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", stored(name).replace('"', ""))
}

/// What `V$SESSION.MODULE` shows for a worker: `dizzy-keys/<set>/<generation>/<epoch>`; a set name that is too long becomes a digest.
pub(crate) fn module(stamp: &FenceStamp<'_>) -> String {
    let tail = format!("/{}/{}", stamp.generation.0, stamp.epoch.0);
    let room = MODULE_LIMIT.saturating_sub("dizzy-keys/".len() + tail.len());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if stamp.set.len() <= room && stamp.set.chars().all(plain) {
        return format!("dizzy-keys/{}{tail}", stamp.set);
    }
    let mut digest = String::new();
    for byte in Sha256::digest(stamp.set.as_bytes()).iter().take(4) {
        // Writing to a string cannot fail.
        write!(digest, "{byte:02x}").ok();
    }
    let mut module = format!("dizzy-keys/~{digest}{tail}");
    module.truncate(MODULE_LIMIT);
    module
}

#[cfg(test)]
mod tests {
    use dizzy_engine::{Epoch, Generation};

    use super::*;

    #[test]
    fn plain_names_are_folded_and_others_are_exact() {
        for (name, quoted) in
            [("app", "\"APP\""), ("App_1$#", "\"APP_1$#\""), ("my app", "\"my app\""), ("1st", "\"1st\"")]
        {
            assert_eq!(identifier(name), quoted);
        }
    }

    fn stamp(set: &str) -> FenceStamp<'_> {
        FenceStamp { set, register: "r", epoch: Epoch(12), generation: Generation(7) }
    }

    #[test]
    fn the_module_fits_whatever_the_set_is_called() {
        assert_eq!(module(&stamp("orders")), "dizzy-keys/orders/7/12");
        for set in ["x".repeat(100), "größe".to_owned(), "a/b".to_owned()] {
            let largest = FenceStamp { epoch: Epoch(u64::MAX), generation: Generation(u64::MAX), ..stamp(&set) };
            assert!(module(&largest).len() <= MODULE_LIMIT && module(&largest).is_ascii());
            assert_ne!(module(&stamp(&set)), module(&stamp("other set")));
        }
    }
}
