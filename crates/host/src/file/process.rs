//! For tests that need a second process: they run themselves again, with a part to play in the environment.
//!
//! Such a process dies with the thread that started it, however that ends.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const ROLE: &str = "DIZZY_TEST_ROLE";
const FOLDER: &str = "DIZZY_TEST_FOLDER";

/// The test of this name (with its module path) once more, as another process. What it says to its test goes to stderr.
pub(super) fn again(test: &str, role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(ROLE, role).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// As [`again`], with files of at most 8 KiB. The signal that comes with the limit is ignored, so that writing fails.
pub(super) fn again_with_small_files(test: &str, role: &str, folder: &Path) -> Command {
    let plain = again(test, role, folder);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.env(ROLE, role).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The part that this process is to play and the folder to play it in, if a test started it.
pub(super) fn role() -> Option<(OsString, PathBuf)> {
    let (role, folder) = (std::env::var_os(ROLE)?, std::env::var_os(FOLDER)?);
    // A process that outlives its test would be worse than a test that fails here.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).ok()?;
    Some((role, folder.into()))
}

/// Ended with the test, also if it panics.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
