//! Who a container belongs to, as its label says: a process, told apart from every other that has had its number.
//!
//! A container outlives its owner only if that was killed. Whoever comes next asks here whether it was.

use std::{fs, os::unix::fs::MetadataExt as _, process};

use anyhow::{Context as _, Result};

/// A process that cannot be mistaken for a later one with the same number, or for one in another container.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Owner {
    space: u64,
    process: u32,
    started: String,
}

impl Owner {
    pub(super) fn this() -> Result<Self> {
        let process = process::id();
        Ok(Self { space: space()?, process, started: started(process).context("this process has no start")? })
    }

    pub(super) fn label(&self) -> String {
        format!("{}-{}-{}", self.space, self.process, self.started)
    }

    /// Whether it is known to have ended.
    pub(super) fn has_ended(label: &str) -> Result<bool> {
        let mut parts = label.splitn(3, '-');
        let (Some(namespace), Some(process), Some(begun)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(false);
        };
        let Ok(process) = process.parse() else { return Ok(false) };
        Ok(namespace == space()?.to_string() && started(process).as_deref() != Some(begun))
    }
}

/// The space in which process numbers mean something.
fn space() -> Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid").context("look at this process")?.ino())
}

/// When a process was started, in the kernel's ticks.
fn started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the start is the twentieth field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_an_owner_that_has_ended_is_known_to_have() {
        let this = Owner::this().unwrap();
        assert!(!Owner::has_ended(&this.label()).unwrap());
        let mut child = Command::new("true").spawn().unwrap();
        let space = space().unwrap();
        let begun = started(child.id()).unwrap();
        child.wait().unwrap();
        assert!(Owner::has_ended(&format!("{space}-{}-{begun}", child.id())).unwrap());
        assert!(Owner::has_ended(&format!("{space}-{}-0", this.process)).unwrap(), "another process had the number");
        assert!(
            !Owner::has_ended(&format!("{}-{}-0", space + 1, this.process)).unwrap(),
            "nothing is known of another space"
        );
        assert!(!Owner::has_ended("somebody's").unwrap());
    }
}
