//! The page of the first hour: its commands, in its order, print what it says they print.
//!
//! `INSTA_UPDATE=always` writes the page anew. What differs from run to run stands in capitals there.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic as tests do, and this one writes its own page"
)]

mod common;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use common::binary;
use dizzy_sandbox::Stand;

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/first-hour.md")
}

/// Runs one command as the page's reader does, and returns what the terminal shows. `PATH` has what `env` puts there.
fn shown(at: &Stand, folder: &Path, command: &str) -> (Option<i32>, String) {
    let script = format!(". '{}/env' && {{ {command}; }} 2>&1", at.folder().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).current_dir(folder);
    let output = shell.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// What differs from run to run, in capitals.
fn settled(at: &Stand, folder: &Path, text: &str) -> String {
    let sandbox = at.folder().display().to_string();
    let mut text =
        text.replace(sandbox.trim_end_matches('/'), "SANDBOX").replace(&folder.display().to_string(), "FOLDER");
    text = text.replace(&at.at.postgres.port().to_string(), "PORT");
    let words = |line: &str| {
        // Columns are as wide as what stands in them.
        let parts =
            line.trim_start().split("  ").map(|part| part.trim_start_matches(' ')).filter(|part| !part.is_empty());
        let indent = " ".repeat(line.len() - line.trim_start().len());
        let parts = parts.map(|part| part.split(' ').map(settled_word).collect::<Vec<_>>().join(" "));
        indent + &parts.collect::<Vec<_>>().join("  ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

/// Times, lengths, and names that are made at random.
fn settled_word(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let digits = core.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let all_numbers = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_time =
        digits >= 4 && core.contains(['T', ':']) && core.chars().all(|c| c.is_ascii_digit() || "T:-Z.".contains(c));
    let is_date = digits == 8 && core.len() == 10 && core.matches('-').count() == 2;
    let is_length = ["ms", "s"].iter().any(|unit| core.strip_suffix(unit).is_some_and(all_numbers));
    let is_release = all_numbers(core) && core.matches('.').count() == 1;
    let is_uuid = core.len() == 36 && core.matches('-').count() == 4;
    let is_version = core.starts_with("dizzy-g");
    let is_name = core.len() >= 10 && digits > 0 && is_hex(core);
    let new = match () {
        () if is_version => "VERSION",
        () if is_uuid || is_name => "ID",
        () if is_time || is_date => "TIME",
        () if is_length => "LENGTH",
        () if is_release => "RELEASE",
        () => return word.to_owned(),
    };
    word.replace(core, new)
}

#[test]
fn the_page_says_what_the_commands_print() {
    let text = std::fs::read_to_string(page()).unwrap();
    let at = Stand::start(binary()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut made = String::new();
    let mut commands = 0;
    for (number, part) in text.split("```").enumerate() {
        if number > 0 {
            made.push_str("```");
        }
        let Some(block) = part.strip_prefix("console\n") else {
            made.push_str(part);
            continue;
        };
        made.push_str("console\n");
        for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            commands += 1;
            made.push_str(&format!("$ {command}\n"));
            let (exit, told) = shown(&at, folder.path(), command);
            // Only the first look finds something that is missing.
            let expected = i32::from(command == "dizzy-keys check" && !made.contains("A rotation would not start"));
            assert_eq!(exit, Some(expected), "{command}: {told}");
            let told = settled(&at, folder.path(), &told);
            made.push_str(told.trim_end());
            made.push_str(if told.trim_end().is_empty() { "" } else { "\n" });
        }
    }
    assert!(commands >= 8, "the page has lost its commands");
    // It leads where it says, whatever is written on the page.
    assert!(made.contains("A rotation can start") && made.contains("A rotation would not start"), "{made}");
    if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
        std::fs::write(page(), &made).unwrap();
    }
    let known = std::fs::read_to_string(page()).unwrap();
    assert_eq!(known, made, "regenerate docs/first-hour.md with INSTA_UPDATE=always");
}
