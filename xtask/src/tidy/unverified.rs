//! What is marked as unverified is on the checklist of docs/live.md, file by file, and nothing else is.

use std::collections::BTreeMap;

use super::TextFile;

/// The page with the checklist.
const PAGE: &str = "docs/live.md";
/// Where marks are looked for.
const PLACES: [&str; 2] = ["crates/", "docs/"];

pub(super) fn check(files: &[TextFile]) -> Vec<String> {
    let marked: BTreeMap<&str, usize> = files
        .iter()
        .filter(|file| PLACES.iter().any(|place| file.path.starts_with(place)) && file.path != PAGE)
        .map(|file| (file.path.as_str(), marks(&file.text)))
        .filter(|(_, marks)| *marks > 0)
        .collect();
    let page = files.iter().find(|file| file.path == PAGE).map_or("", |file| file.text.as_str());
    let listed: BTreeMap<&str, usize> = page.lines().filter_map(entry).collect();
    let told = |path: &str, number: &usize| {
        format!("{path}: {number} marks of what is unverified, and {PAGE} says another number")
    };
    let gone = |path: &str| format!("{PAGE}: {path} has no mark of what is unverified");
    let mut found: Vec<String> = marked
        .iter()
        .filter(|(path, number)| listed.get(*path) != Some(number))
        .map(|(path, n)| told(path, n))
        .collect();
    found.extend(listed.keys().filter(|path| !marked.contains_key(*path)).map(|path| gone(path)));
    found
}

/// Lines that say so.
fn marks(text: &str) -> usize {
    let says = |line: &&str| {
        let line = line.to_lowercase();
        line.contains("unverified") || line.contains("not verified")
    };
    text.lines().filter(says).count()
}

/// `| [path](link) | 3 | ...`.
fn entry(line: &str) -> Option<(&str, usize)> {
    let mut cells = line.strip_prefix("| [")?.split(" | ");
    let path = cells.next()?.split(']').next()?;
    Some((path, cells.next()?.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str, source: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        check(&[file(PAGE, page), file("crates/a.rs", source), file("README.md", "unverified")])
    }

    #[test]
    fn a_mark_and_its_line_need_each_other() {
        let line = "| [crates/a.rs](../crates/a.rs) | 2 | live |\n";
        assert_eq!(found(line, "// Unverified.\nx\n// not verified"), Vec::<String>::new());
        assert_eq!(found(line, "// Unverified.").len(), 1, "one of two was settled");
        assert_eq!(found("", "// Unverified.").len(), 1, "nobody listed it");
        assert_eq!(found(line, "").len(), 1, "all were settled");
    }
}
