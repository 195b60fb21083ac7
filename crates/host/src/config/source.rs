//! From a file to the written [`Model`]: reading with limits, parsing, and finding the place of a key again.
//!
//! What the TOML library says about a mistake is put into our words here, without the values it may quote.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read as _},
    path::Path,
};

use serde::Deserialize as _;
use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    error::{ConfigError, Mistake, Position, nearest},
    model::Model,
};

/// Largest configuration file: ten thousand sets of a dozen lines.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// One step to a value: `sets`, `orders`, `secrets`, `[0]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The text of a configuration with the places of its keys.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    root: Spanned<DeTable<'a>>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let name = path.display().to_string();
    let wrong = |what: &str, hint: Option<&str>| ConfigError {
        mistake: Mistake::File,
        file: name.clone(),
        position: None,
        key: None,
        what: what.to_owned(),
        hint: hint.map(str::to_owned),
    };
    let unreadable = |error: &Error| {
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            wrong("there is no such file", Some("write one with `dizzy-keys init`, or name it with --config"))
        } else if kind == ErrorKind::PermissionDenied {
            wrong("the file may not be read by this user", None)
        } else if kind == ErrorKind::IsADirectory {
            wrong("this is a folder, not a file", Some("name the file in it"))
        } else {
            wrong(&format!("the file cannot be read ({kind})"), None)
        }
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(wrong("the file is larger than 4 MiB", Some("split it, one file per group of sets")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let upto = error.utf8_error().valid_up_to();
        let good = String::from_utf8_lossy(error.as_bytes().get(..upto).unwrap_or_default()).into_owned();
        let position = Some(position(&good, &line_starts(&good), upto));
        ConfigError { position, ..wrong("the file is not UTF-8 text", Some("save it as UTF-8")) }
    })
}

impl<'a> Source<'a> {
    /// Parses `text`; `name` is what messages call the file.
    pub(super) fn parse(name: &'a str, text: &'a str) -> Result<(Self, Model), ConfigError> {
        let root = DeTable::parse(text).map_err(|error| ConfigError {
            mistake: Mistake::Syntax,
            file: name.to_owned(),
            position: error.span().map(|span| position(text, &line_starts(text), span.start)),
            key: None,
            what: match error.message() {
                "duplicate key" => "this key or table stands in the file a second time".to_owned(),
                message => message.lines().collect::<Vec<_>>().join(", "),
            },
            hint: None,
        })?;
        let source = Self { name, text, lines: line_starts(text), root };
        let model = Model::deserialize(toml::Deserializer::from(source.root.clone()))
            .map_err(|error| source.reworded(error.message(), error.span().map_or(0, |span| span.start)))?;
        Ok((source, model))
    }

    /// A mistake at the value that `steps` lead to, or as near to it as the file goes.
    pub(super) fn wrong(&self, steps: &[Step], what: impl Into<String>, hint: Option<String>) -> ConfigError {
        ConfigError {
            mistake: Mistake::Value,
            file: self.name.to_owned(),
            position: Some(self.position_of(steps)),
            key: (!steps.is_empty()).then(|| dotted(steps)),
            what: what.into(),
            hint,
        }
    }

    /// Where the key that `steps` lead to stands; the nearest one around it if it is not written.
    pub(super) fn position_of(&self, steps: &[Step]) -> Position {
        let mut at = 0;
        let mut table = Some(self.root.get_ref());
        let mut array: Option<&[Spanned<DeValue<'_>>]> = None;
        for step in steps {
            let value = match step {
                Step::Key(name) => {
                    let Some((key, value)) = table.and_then(|t| t.get_key_value(name.as_str())) else {
                        break;
                    };
                    at = key.span().start;
                    value
                }
                Step::Index(index) => {
                    let Some(value) = array.and_then(|values| values.get(*index)) else { break };
                    at = value.span().start;
                    value
                }
            };
            (table, array) = match value.get_ref() {
                DeValue::Table(inner) => (Some(inner), None),
                DeValue::Array(inner) => (None, Some(inner.as_ref())),
                DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Float(_)
                | DeValue::Integer(_)
                | DeValue::String(_) => (None, None),
            };
        }
        self.position(at)
    }

    fn position(&self, at: usize) -> Position {
        position(self.text, &self.lines, at)
    }

    /// serde's message in our words: the key's path, what is allowed, and never the value.
    fn reworded(&self, message: &str, at: usize) -> ConfigError {
        let mut steps = Vec::new();
        steps_to(self.root.get_ref(), at, &mut steps);
        let position = Some(self.position(at));
        let key = (!steps.is_empty()).then(|| dotted(&steps));
        let error = |mistake, what: String, hint| ConfigError {
            mistake,
            file: self.name.to_owned(),
            position,
            key: key.clone(),
            what,
            hint,
        };
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        if message.starts_with("unknown field") {
            let (wrong, allowed) = quoted.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
            let what = format!("there is no key `{wrong}` here");
            return error(Mistake::Unknown, what, Some(instead(wrong, allowed)));
        }
        if message.starts_with("unknown variant") {
            let (wrong, allowed) = quoted.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
            return error(
                Mistake::Value,
                "this is none of the values it can have".to_owned(),
                Some(instead(wrong, allowed)),
            );
        }
        if let Some(field) = message.strip_prefix("missing field ") {
            return error(Mistake::Value, format!("the key {field} is missing"), None);
        }
        if let Some((_, expected)) = message.rsplit_once(", expected ") {
            return error(Mistake::Value, format!("the value must be {}", in_toml_words(expected)), None);
        }
        error(Mistake::Value, "the value cannot be understood".to_owned(), None)
    }
}

/// What Rust calls it, as TOML and people call it.
fn in_toml_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "a string" => "a text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other if other.starts_with("enum ") => "a text in quotes",
        other => other,
    }
}

fn instead(wrong: &str, allowed: &[&str]) -> String {
    let list = allowed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(wrong, allowed.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? (allowed: {list})"),
        None => format!("allowed: {list}"),
    }
}

/// The steps to the innermost key or value whose text covers the byte `at`.
fn steps_to(table: &DeTable<'_>, at: usize, steps: &mut Vec<Step>) -> bool {
    for (key, value) in table.iter() {
        steps.push(Step::Key(key.get_ref().to_string()));
        if inside(value, at, steps) || key.span().contains(&at) {
            return true;
        }
        steps.pop();
    }
    false
}

/// A table's own span ends with its header, so its contents are looked at whether or not the span covers `at`.
fn inside(value: &Spanned<DeValue<'_>>, at: usize, steps: &mut Vec<Step>) -> bool {
    match value.get_ref() {
        DeValue::Table(inner) => steps_to(inner, at, steps) || value.span().contains(&at),
        DeValue::Array(inner) => {
            for (index, item) in inner.iter().enumerate() {
                steps.push(Step::Index(index));
                if inside(item, at, steps) {
                    return true;
                }
                steps.pop();
            }
            value.span().contains(&at)
        }
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Float(_) | DeValue::Integer(_) | DeValue::String(_) => {
            value.span().contains(&at)
        }
    }
}

pub(super) fn dotted(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// Where each line starts; the first at 0.
fn line_starts(text: &str) -> Vec<usize> {
    core::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn position(text: &str, lines: &[usize], at: usize) -> Position {
    let line = lines.partition_point(|start| *start <= at);
    let start = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
    let column = text.get(start..at).map_or(0, |before| before.chars().count());
    // A file has at most 4 MiB, so that neither number can be out of range.
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(line), column: number(column + 1) }
}
