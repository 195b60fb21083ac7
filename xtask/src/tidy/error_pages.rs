//! Error codes: every `DK-NNN` that the product can print has a page, and every page belongs to a code.

use std::collections::BTreeMap;

use super::TextFile;

/// Every code without a page, and every page without a code.
pub(crate) fn check(files: &[TextFile]) -> Vec<String> {
    let mut pages: BTreeMap<&str, &str> = BTreeMap::new();
    let mut mentions: BTreeMap<&str, &str> = BTreeMap::new();
    for TextFile { path, text } in files {
        if let Some(code) = path.strip_prefix("docs/errors/").and_then(|name| name.strip_suffix(".md")) {
            if is_code(code) {
                pages.insert(code, path);
            }
        } else if path.starts_with("crates/") && path.ends_with(".rs") {
            for code in codes(text) {
                mentions.entry(code).or_insert(path);
            }
        }
    }
    let without_page = mentions
        .iter()
        .filter(|(code, _)| !pages.contains_key(*code))
        .map(|(code, path)| format!("{path}: {code} has no page docs/errors/{code}.md"));
    let without_code = pages
        .iter()
        .filter(|(code, _)| !mentions.contains_key(*code))
        .map(|(code, path)| format!("{path}: nothing in crates/ mentions {code}"));
    without_page.chain(without_code).collect()
}

fn is_code(text: &str) -> bool {
    text.strip_prefix("DK-").is_some_and(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("DK-").filter_map(|(at, _)| text.get(at..at + 6)).filter(|code| is_code(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn codes_and_pages_in_pairs_pass() {
        let files = [
            file("crates/a/src/lib.rs", "\"DK-001\" and DK-NNN"),
            file("docs/errors/DK-001.md", ""),
            file("docs/errors/README.md", ""),
            file("README.md", "DK-999"),
        ];
        assert_eq!(check(&files), Vec::<String>::new());
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_seen() {
        let found = check(&[file("crates/a/src/lib.rs", "DK-001"), file("docs/errors/DK-002.md", "DK-002")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("DK-001 has no page"));
        assert!(found[1].contains("nothing in crates/ mentions DK-002"));
    }
}
