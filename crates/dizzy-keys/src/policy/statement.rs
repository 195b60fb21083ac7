//! A policy statement of OCI, read: who may do what, where, and when.
//!
//! `allow SUBJECT to VERB KIND in PLACE [where CONDITION]`, with conditions nested in `all {..}` and `any {..}` (Oracle documentation,
//! "Policy Syntax", "Conditions"). Words are told apart as OCI does, whatever their case.

use core::iter::Peekable;

/// A statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Statement {
    /// `dynamic-group x`, in lower case and without quotes.
    pub(super) subject: String,
    pub(super) verb: String,
    /// Permissions instead of a verb: `{OBJECT_READ, ..}`.
    pub(super) permissions: Vec<String>,
    pub(super) kind: String,
    /// `tenancy`, or `compartment id x`, `compartment x`.
    pub(super) place: String,
    /// Alternatives, each a list of what must hold together; one empty list without a condition.
    pub(super) alternatives: Vec<Vec<Test>>,
}

/// One comparison.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Test {
    /// In lower case.
    pub(super) variable: String,
    pub(super) is_equal: bool,
    /// As written, a pattern with its slashes.
    pub(super) value: String,
}

/// More alternatives than any statement that a person can read.
const MOST_ALTERNATIVES: usize = 256;

/// Reads a statement.
///
/// # Errors
/// What was expected, in words.
pub(super) fn parse(text: &str) -> Result<Statement, String> {
    let mut words = Words { tokens: tokens(text)?.into_iter().peekable() };
    words.expect("allow")?;
    let mut subject = Vec::new();
    while !words.next_is("to") {
        subject.push(words.any("`to`")?.trim_matches(['\'', '"']).to_lowercase());
    }
    words.expect("to")?;
    let (mut verb, mut permissions) = (words.any("a verb")?, Vec::new());
    let mut kind = String::new();
    if verb == "{" {
        verb.clear();
        loop {
            permissions.push(words.any("a permission")?.to_uppercase());
            if words.any("`,` or `}`")? == "}" {
                break;
            }
        }
    } else {
        kind = words.any("a kind of resource")?.to_lowercase();
    }
    words.expect("in")?;
    let mut place = Vec::new();
    while words.tokens.peek().is_some() && !words.next_is("where") {
        place.push(words.any("a place")?.to_lowercase());
    }
    let alternatives = if words.tokens.peek().is_some() {
        words.expect("where")?;
        words.condition(0)?
    } else {
        vec![Vec::new()]
    };
    match words.tokens.next() {
        Some(more) => Err(format!("`{more}` is not expected at the end")),
        None => Ok(Statement {
            subject: subject.join(" "),
            verb: verb.to_lowercase(),
            permissions,
            kind,
            place: place.join(" "),
            alternatives,
        }),
    }
}

struct Words<T: Iterator<Item = String>> {
    tokens: Peekable<T>,
}

impl<T: Iterator<Item = String>> Words<T> {
    fn next_is(&mut self, word: &str) -> bool {
        self.tokens.peek().is_some_and(|next| next.eq_ignore_ascii_case(word))
    }

    fn any(&mut self, what: &str) -> Result<String, String> {
        self.tokens.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        let found = self.any(&format!("`{word}`"))?;
        if found.eq_ignore_ascii_case(word) {
            Ok(())
        } else {
            Err(format!("`{found}` stands where `{word}` is expected"))
        }
    }

    /// Alternatives of a condition.
    fn condition(&mut self, depth: usize) -> Result<Vec<Vec<Test>>, String> {
        if depth > 8 {
            return Err("conditions are nested too deeply".to_owned());
        }
        let is_all = self.next_is("all");
        if !is_all && !self.next_is("any") {
            return Ok(vec![vec![self.test()?]]);
        }
        self.any("a condition")?;
        self.expect("{")?;
        let mut found: Vec<Vec<Test>> = if is_all { vec![Vec::new()] } else { Vec::new() };
        loop {
            let inner = self.condition(depth + 1)?;
            if is_all {
                let both =
                    |left: &Vec<Test>| inner.iter().map(|right| [left.as_slice(), right].concat()).collect::<Vec<_>>();
                found = found.iter().flat_map(both).collect();
            } else {
                found.extend(inner);
            }
            if found.len() > MOST_ALTERNATIVES {
                return Err("the condition has too many alternatives".to_owned());
            }
            if self.any("`,` or `}`")? == "}" {
                return Ok(found);
            }
        }
    }

    fn test(&mut self) -> Result<Test, String> {
        let variable = self.any("a variable")?.to_lowercase();
        let is_equal = match self.any("`=`")?.as_str() {
            "=" => true,
            "!=" => false,
            other => return Err(format!("`{other}` stands where `=` or `!=` is expected")),
        };
        let value = self.any("a value")?;
        let value = value.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(&value).to_owned();
        Ok(Test { variable, is_equal, value })
    }
}

/// Words, `{`, `}`, `,`, `=`, `!=`, texts in quotes with them.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            space if space.is_whitespace() => {}
            '{' | '}' | ',' | '=' => tokens.push(c.to_string()),
            '!' if chars.next_if_eq(&'=').is_some() => tokens.push("!=".to_owned()),
            '\'' | '"' => {
                let mut quoted = String::from(c);
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some(inner) => quoted.push(inner),
                        None => return Err("a quote is not closed".to_owned()),
                    }
                }
                quoted.push(c);
                tokens.push(quoted);
            }
            first => {
                let mut word = String::from(first);
                while let Some(next) =
                    chars.next_if(|c| !c.is_whitespace() && !matches!(c, '{' | '}' | ',' | '=' | '!'))
                {
                    word.push(next);
                }
                tokens.push(word);
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_with_nested_conditions() {
        let read = parse(
            "Allow dynamic-group 'Default'/'Rotator' to manage objects in compartment id ocid1.c where all {target.bucket.name = 'b', any {request.permission='OBJECT_READ', request.permission = 'OBJECT_CREATE'}}",
        );
        let read = read.unwrap();
        assert_eq!((read.verb.as_str(), read.kind.as_str()), ("manage", "objects"));
        assert_eq!(read.place, "compartment id ocid1.c");
        assert_eq!(read.alternatives.len(), 2);
        assert_eq!(read.alternatives[1][1].value, "OBJECT_CREATE");
        let bare = parse("allow group x to {OBJECT_READ, OBJECT_INSPECT} in tenancy").unwrap();
        assert_eq!(bare.permissions, ["OBJECT_READ", "OBJECT_INSPECT"]);
        assert_eq!(bare.alternatives, [Vec::new()]);
    }

    #[test]
    fn what_is_no_statement_is_told() {
        for text in [
            "",
            "deny group x to read objects in tenancy",
            "allow group x",
            "allow group x to read objects",
            "allow group x to read objects in tenancy where",
            "allow group x to read objects in tenancy where all {a = 'b'",
            "allow group x to read objects in tenancy where a ~ 'b'",
            "allow group x to read objects in tenancy where a = 'b",
            "allow group x to read objects in tenancy where a = 'b' c",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
