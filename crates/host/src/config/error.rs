//! What is wrong with a configuration, and where: file, line, column, key, and what would be right.
//!
//! Messages never repeat a *value* from the file: somebody may have put a password where a reference belongs.

use core::fmt;

/// What sort of mistake it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mistake {
    /// The file cannot be read, is too large, or is not text.
    File,
    /// The text is not TOML, or a key stands there twice.
    Syntax,
    /// A key or a name that does not exist.
    Unknown,
    /// A value that means nothing, or values that do not go together.
    Value,
    /// The configuration is right, but this build lacks what it needs.
    Unsupported,
}

/// A place in the configuration file, counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Why a configuration cannot be used. Nothing has been done when it is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    /// What sort of mistake.
    pub mistake: Mistake,
    /// The file, as it was named.
    pub file: String,
    /// Where in the file, if it is about a place.
    pub position: Option<Position>,
    /// The key it is about: `sets.orders.databases.rds.users`.
    pub key: Option<String>,
    /// What is wrong; lower-case, no full stop.
    pub what: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.what)
    }
}

impl core::error::Error for ConfigError {}

/// The name most like `wrong`, if one is close enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        // Two typing mistakes, but never most of a short word.
        .filter(|(distance, name)| *distance <= 2 && distance * 2 <= name.chars().count())
        .map(|(_, name)| name)
}
