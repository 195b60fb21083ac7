//! What a process does before anything else, so that what it knows stays with it: no core dumps, no tracing, no secrets left in the
//! environment, and panics that say where and never what.

use std::{
    panic::{self, PanicHookInfo},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::{args::LogFormat, environment, logging};

/// What could not be done. Told by [`tell`] once there is a log.
static SHORTCOMINGS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
/// Where the last panic was.
static PLACE: Mutex<Option<String>> = Mutex::new(None);
/// Whether lines on standard error are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Hardens the process. The first thing that `main` does, while there is one thread.
///
/// What the system refuses is not fatal (a sandbox may forbid it, and may do the same by its own means); it is told as a warning.
pub fn harden() {
    panic::set_hook(Box::new(on_panic));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() {
        falls_short("the size of core dumps could not be limited to nothing");
    }
    // In this order: whoever may not be traced may not open his own memory, which is how values are taken out of the environment.
    environment::open();
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        falls_short("other processes of this user may read this process's memory");
    }
    take(environment::take_carriers());
}

/// Takes the values of the variables that `env:` references name, and ends the taking.
pub(crate) fn take_references(names: &[&str]) {
    take(environment::take(names));
    environment::close();
}

fn take(outcome: Result<(), environment::Remains>) {
    if outcome.is_err() {
        falls_short("a secret could not be taken out of the process's environment: root can read it there");
    }
}

fn falls_short(what: &'static str) {
    let mut all = SHORTCOMINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if !all.contains(&what) {
        all.push(what);
    }
}

/// Warns of what could not be done, each time once.
pub(crate) fn tell() {
    let all = std::mem::take(&mut *SHORTCOMINGS.lock().unwrap_or_else(PoisonError::into_inner));
    for what in all {
        tracing::warn!("{what}");
    }
}

/// From here on panics are told in the form of log lines.
pub(crate) fn speak(lines: LogFormat) {
    JSON.store(lines == LogFormat::Json, Ordering::Relaxed);
}

/// Where the last panic was, once.
pub(crate) fn place_of_panic() -> Option<String> {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Says that there was a panic, and where. Its message may quote anything, so it is not looked at.
fn on_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |at| format!("{}:{}", shortened(at.file()), at.line()));
    let line = if JSON.load(Ordering::Relaxed) {
        serde_json::json!({"timestamp": logging::now(), "level": "ERROR", "message": "internal error", "at": place})
            .to_string()
    } else {
        format!("internal error at {place}")
    };
    {
        use std::io::Write as _;
        // There is no other place to complain to.
        drop(writeln!(anstream::stderr().lock(), "{line}"));
    }
    *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
}

/// A source file without the folders of the machine that built the program.
fn shortened(file: &str) -> &str {
    if !Path::new(file).is_absolute() {
        return file;
    }
    let behind = |marker| file.split_once(marker).and_then(|(_, rest)| rest.split_once('/')).map(|(_, rest)| rest);
    behind("/registry/src/").or_else(|| behind("/rustc/")).unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file))
}

/// A panic as the test suite wants it: `DIZZY_KEYS_PANIC_AT=main`, or `thread` for one on a thread of its own; its message is
/// `DIZZY_KEYS_PANIC_WITH`. Debug builds only; a release build does not contain it.
#[cfg(debug_assertions)]
#[expect(clippy::panic, clippy::disallowed_methods, reason = "a switch of the test suite, absent from release builds")]
pub(crate) fn panic_if_asked() {
    // Taken out like every other secret: a process that takes its time to end is looked at meanwhile.
    const WITH: &str = "DIZZY_KEYS_PANIC_WITH";
    environment::take(&[WITH]).ok();
    let with = || environment::text(WITH).unwrap_or_default();
    match std::env::var("DIZZY_KEYS_PANIC_AT").as_deref() {
        Ok("main") => panic!("{}", with()),
        // Its end is what was asked for.
        Ok("thread") => drop(std::thread::spawn(move || panic!("{}", with())).join()),
        Ok(_) | Err(_) => {}
    }
}

#[cfg(not(debug_assertions))]
pub(crate) const fn panic_if_asked() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_name_no_machine() {
        for (file, short) in [
            ("crates/dizzy-keys/src/harden.rs", "crates/dizzy-keys/src/harden.rs"),
            ("/somebody/.cargo/registry/src/index.crates.io-1949/tokio-1.50.0/src/lib.rs", "tokio-1.50.0/src/lib.rs"),
            ("/rustc/5980/library/core/src/option.rs", "library/core/src/option.rs"),
            ("/somebody/checkout/crates/x/src/lib.rs", "lib.rs"),
        ] {
            assert_eq!(shortened(file), short);
        }
    }
}
