//! Rules about single files: they open with their purpose, hold one idea, skip no test and name no machine.

use super::TextFile;

/// A file that needs more holds two ideas.
const LINES: usize = 900;

/// The start of paths that exist on one person's or one build machine only. Written in halves, so that this file passes.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
];

/// Every breach in every file.
pub(crate) fn check(files: &[TextFile]) -> Vec<String> {
    files
        .iter()
        .flat_map(|file| if is_rust(file) { rust(file) } else { Vec::new() })
        .chain(machine_paths(files))
        .collect()
}

fn is_rust(file: &TextFile) -> bool {
    file.path.ends_with(".rs")
}

fn rust(file: &TextFile) -> Vec<String> {
    let TextFile { path, text } = file;
    let mut breaches = Vec::new();
    if !text.starts_with("//! ") {
        breaches.push(format!("{path}: does not open with its purpose (`//! ...` on the first line)"));
    }
    let lines = text.lines().count();
    if lines > LINES {
        breaches.push(format!("{path}: {lines} lines; a file holds one idea in at most {LINES}"));
    }
    for (number, line) in numbered(text) {
        let code = line.trim_start();
        if code.starts_with(concat!("#[ig", "nore")) {
            breaches.push(format!("{path}:{number}: a skipped test is no test"));
        }
    }
    breaches
}

fn machine_paths(files: &[TextFile]) -> Vec<String> {
    let mut breaches = Vec::new();
    for TextFile { path, text } in files.iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in numbered(text) {
            if MACHINE_PATHS.iter().any(|start| names_path(line, start)) {
                breaches.push(format!("{path}:{number}: names a path that exists on one machine only"));
            }
        }
    }
    breaches
}

/// Whether `start` stands in the line and a name follows it.
fn names_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        line.get(at + start.len()..).is_some_and(|rest| {
            rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '.' || next == '_')
        })
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        check(&[TextFile { path: path.to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn a_file_in_order_passes() {
        assert_eq!(breaches("crates/a/src/lib.rs", "//! A room.\n\nfn f() {}\n"), Vec::<String>::new());
        assert_eq!(breaches("docs/a.md", "no header needed; a regex like /root[/] is no path"), Vec::<String>::new());
        assert_eq!(breaches("Cargo.lock", &format!("{}x", MACHINE_PATHS[0])), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_breach_is_seen() {
        let long = format!("//! A room.\n{}", "\n".repeat(LINES));
        let skipped = format!("//! A room.\n    {}]\n", concat!("#[ig", "nore"));
        let skipped_why = format!("//! A room.\n{} = \"slow\"]\n", concat!("#[ig", "nore"));
        for (text, breach) in [
            ("fn f() {}\n", "does not open with its purpose"),
            ("\n//! Late.\n", "does not open with its purpose"),
            (long.as_str(), "901 lines"),
            (skipped.as_str(), "lib.rs:2: a skipped test"),
            (skipped_why.as_str(), "lib.rs:2: a skipped test"),
        ] {
            let found = breaches("crates/a/src/lib.rs", text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(breach), "{found:?}");
        }
        for start in MACHINE_PATHS {
            let found = breaches("docs/a.md", &format!("see\n`{start}me/x`"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("docs/a.md:2: names a path"), "{found:?}");
        }
    }
}
