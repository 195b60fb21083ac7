//! A static build runs in its image, and on hosts whose name services are files and DNS; anywhere else it must not start.
//!
//! A static program that uses glibc still loads the modules which `/etc/nsswitch.conf` names, and crashes in those that were built for
//! another glibc: seen with `passwd: files systemd`, as Debian and Fedora have it, when the Oracle driver asks for the user's name.

use std::path::Path;

use crate::{
    code::Code,
    report::{NOTHING_DONE, Report},
};

/// Where a host says which modules answer questions about users and names. The image has none: the built-in default is files and DNS.
const NSSWITCH: &str = "/etc/nsswitch.conf";
/// The questions that this program asks.
const ASKED: [&str; 2] = ["passwd", "hosts"];
/// What glibc answers by itself, in a static program too.
const BUILT_IN: [&str; 2] = ["files", "dns"];

/// # Errors
/// If this is a static build and the host would make it crash.
pub(crate) fn fits_this_host() -> Result<(), Report> {
    if !cfg!(target_feature = "crt-static") {
        return Ok(());
    }
    let text = std::fs::read_to_string(Path::new(NSSWITCH)).unwrap_or_default();
    match foreign(&text) {
        None => Ok(()),
        Some((question, module)) => {
            let what = format!("this static build cannot run here: {NSSWITCH} answers `{question}` by `{module}`");
            Err(Report::new(Code::Usage, what, NOTHING_DONE).hint(
                "run it in its image (`docker run dizzy-keys`), or build for this host: `cargo install --locked --path crates/dizzy-keys`",
            ))
        }
    }
}

/// The first module that is not built in, and the question that it would be asked.
fn foreign(nsswitch: &str) -> Option<(&str, &str)> {
    nsswitch.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let (question, modules) = line.split_once(':')?;
        let question = question.trim();
        if !ASKED.contains(&question) {
            return None;
        }
        // What stands in brackets says what to do with an answer.
        let mut modules = modules.split_whitespace().filter(|word| !word.starts_with('[') && !word.ends_with(']'));
        modules.find(|module| !BUILT_IN.contains(module)).map(|module| (question, module))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_dns_are_no_danger() {
        assert_eq!(foreign(""), None);
        assert_eq!(foreign("passwd: files\nhosts: files dns # mdns4\ngroup: files systemd\n"), None);
        assert_eq!(foreign("hosts:\tfiles [NOTFOUND=return] dns"), None);
    }

    #[test]
    fn any_other_module_is_told() {
        assert_eq!(foreign("passwd:         files systemd\n"), Some(("passwd", "systemd")));
        assert_eq!(
            foreign("# hosts: x\nhosts: files mdns4_minimal [NOTFOUND=return] dns"),
            Some(("hosts", "mdns4_minimal"))
        );
        assert_eq!(foreign("passwd: compat"), Some(("passwd", "compat")));
    }
}
