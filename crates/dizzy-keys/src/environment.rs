//! Environment variables that carry secrets: read once, then gone from the process's environment.
//!
//! What a process was started with stays in its memory and in `/proc/PID/environ` for as long as it lives, whatever it unsets, and a
//! library's crash report or a child would carry it on. So the values are overwritten where the kernel shows them, through
//! `/proc/self/mem`, while no second thread exists (docs/design/0301-what-a-process-shows.md). Names stay; only values go.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dizzy_host::secret::SecretText;
use zeroize::Zeroizing;

/// Variables of the clouds' own tools, and addresses of proxies, whose values are secrets or may have one in them. `env:` references are added when the configuration is read.
/// Not among them is `AWS_CONTAINER_AUTHORIZATION_TOKEN`, which AWS's SDK reads from the environment itself.
const CARRIERS: [&str; 15] = [
    "ALL_PROXY",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "OCI_CLI_KEY_CONTENT",
    "OCI_CLI_PASSPHRASE",
    "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
    "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE",
    "OCI_RESOURCE_PRINCIPAL_RPST",
    "SECRET_ACCESS_KEY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
];

/// Largest environment that is looked through, in bytes: more than Linux lets a process start with by default (a quarter of
/// its 8 MiB of stack).
const MAX_BLOCK: u64 = 8 << 20;

static TAKEN: Mutex<Taken> = Mutex::new(Taken { values: BTreeMap::new(), memory: None });

struct Taken {
    values: BTreeMap<String, SecretText>,
    /// Opened at the start: a process that nobody may trace may not open its own memory either, unless it is root.
    memory: Option<File>,
}

/// Why a value could not be taken out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Remains;

/// Opens what [`take`] needs. Before the process stops being traceable.
pub(crate) fn open() {
    taken().memory = File::options().read(true).write(true).open("/proc/self/mem").ok();
}

/// Takes the values of the clouds' own variables.
///
/// # Errors
/// If one of them is still there.
pub(crate) fn take_carriers() -> Result<(), Remains> {
    take(&CARRIERS)
}

/// Takes the values of these variables, and remembers them for [`variable`]. Taking twice is without effect.
///
/// # Errors
/// If one of them is still in the environment. It is remembered all the same.
pub(crate) fn take(names: &[&str]) -> Result<(), Remains> {
    let mut taken = taken();
    let mut found = Vec::new();
    for name in names {
        // A value that is not text is left where it is: what reads it says so, without showing it.
        if let Some(value) = std::env::var_os(name).and_then(|value| value.into_string().ok())
            && !value.is_empty()
        {
            taken.values.insert((*name).to_owned(), SecretText::new(value));
            found.push(*name);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    taken.memory.as_ref().ok_or(Remains).and_then(|memory| overwrite(memory, &found))
}

/// No value is taken after this.
pub(crate) fn close() {
    taken().memory = None;
}

/// The value of a variable: as it was when it was taken, or as it is.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    let taken = taken().values.get(name).map(|value| OsString::from(value.expose()));
    taken.or_else(|| std::env::var_os(name))
}

/// The same as text; `None` too if it is empty, or no text.
pub(crate) fn text(name: &str) -> Option<String> {
    variable(name)?.into_string().ok().filter(|value| !value.is_empty())
}

fn taken() -> MutexGuard<'static, Taken> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Overwrites the values of these variables with zero bytes, and looks whether they are gone.
fn overwrite(memory: &File, names: &[&str]) -> Result<(), Remains> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|_| Remains)?;
    let (start, length) = block(&stat).ok_or(Remains)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    memory.read_exact_at(&mut bytes, start).map_err(|_| Remains)?;
    for value in values(&bytes, names) {
        let zeros = vec![0; value.len()];
        let at = start.checked_add(u64::try_from(value.start).map_err(|_| Remains)?).ok_or(Remains)?;
        memory.write_all_at(&zeros, at).map_err(|_| Remains)?;
    }
    memory.read_exact_at(&mut bytes, start).map_err(|_| Remains)?;
    if values(&bytes, names).is_empty() { Ok(()) } else { Err(Remains) }
}

/// Where the environment is: its address and its length, from `/proc/self/stat` (proc_pid_stat(5), fields 50 and 51).
fn block(stat: &str) -> Option<(u64, usize)> {
    // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(47);
    let (start, end): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let length = end.checked_sub(start).filter(|length| (1..=MAX_BLOCK).contains(length))?;
    Some((start, usize::try_from(length).ok()?))
}

/// The places of the values of these variables, where there is any: entries end with a zero byte.
fn values(block: &[u8], names: &[&str]) -> Vec<core::ops::Range<usize>> {
    let mut at = 0;
    let mut found = Vec::new();
    for entry in block.split(|byte| *byte == 0) {
        let value = names.iter().find_map(|name| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let end = at + entry.len();
            found.push(end - value.len()..end);
        }
        at += entry.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name_and_in_every_entry() {
        let block = b"PATH=/bin\0A_KEY=secret\0XA_KEY=other\0A_KEYS=more\0A_KEY=again\0A_KEY=\0A_KEY\0";
        let found: Vec<&[u8]> = values(block, &["A_KEY"]).into_iter().map(|range| &block[range]).collect();
        assert_eq!(found, [b"secret".as_slice(), b"again"]);
        assert!(values(b"", &["A_KEY"]).is_empty());
        assert_eq!(values(b"A_KEY=unended", &["A_KEY"]), vec![6..13]);
    }

    #[test]
    fn the_block_is_read_behind_a_name_with_spaces_and_parentheses() {
        let zeros = "0 ".repeat(46);
        assert_eq!(block(&format!("7 (a) S) b) R {zeros}4096 4100 0")), Some((4096, 4)));
        for stat in ["", "7 (a) R 0 0", &format!("7 (a) R {zeros}0 0 0"), &format!("7 (a) R {zeros}9 4 0")] {
            assert_eq!(block(stat), None, "{stat}");
        }
    }
}
