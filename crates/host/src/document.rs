//! Secret documents: the JSON that consumers read, in AWS's flat form (`rds`) or with one object per database (`blob`).
//!
//! A document stays the text it was. Values are found by their place in it and exchanged in place, so that foreign keys, their
//! order, numbers and white space survive byte for byte, and no second copy of a secret is built up as a tree of values.
//! Decoded passwords go straight into [`Password`]; errors name keys and places, never values.

use core::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::{Password, SecretText};

/// Largest document, in bytes: the limit of AWS Secrets Manager. OCI Vault's is smaller and is checked by its adapter.
pub const MAX_BYTES: usize = 65_536;
/// Longest user name and host that is believed, in bytes.
const MAX_NAME: usize = 1024;

/// How credentials are laid out.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Format {
    /// One object per database, under the database's name in the configuration.
    Blob,
    /// AWS's flat JSON for one database: `engine host port dbname username password`.
    Rds,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blob => "blob",
            Self::Rds => "rds",
        })
    }
}

/// Why a document cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DocumentError {
    /// Both formats at once.
    #[error(
        "the secret looks like both formats: it has a flat credential and an object for a database; say which with `format`"
    )]
    Ambiguous,
    /// A field is not there.
    #[error("the secret lacks `{path}`")]
    Missing {
        /// The key, with the object it belongs into: `rds.password`.
        path: String,
    },
    /// It is not an object.
    #[error("the secret is JSON, but not an object with keys")]
    NotAnObject,
    /// It is not JSON.
    #[error("the secret is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where, from 1.
        line: usize,
        /// Where, from 1; 0 at the start of a line.
        column: usize,
    },
    /// Neither format.
    #[error(
        "the secret holds no credential: neither `username` and `password` as texts, nor an object under a database's name"
    )]
    NoCredential,
    /// The other format than the configured one.
    #[error("the secret holds format \"{found}\", but format \"{configured}\" is configured")]
    OtherFormat {
        /// The configured one.
        configured: Format,
        /// What it looks like.
        found: Format,
    },
    /// Larger than a store takes.
    #[error("the secret has {bytes} bytes; {MAX_BYTES} is the limit")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A key that we need stands there twice, and JSON readers differ in which one they take.
    #[error("the secret has the key `{path}` twice")]
    Twice {
        /// The key.
        path: String,
    },
    /// A field of another type.
    #[error("`{path}` in the secret must be {expected}")]
    WrongType {
        /// The key.
        path: String,
        /// What it must be.
        expected: &'static str,
    },
}

/// A credential as a document publishes it, with what it says about the place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// The database user.
    pub username: String,
    /// Its password.
    pub password: Password,
    /// Host.
    pub host: Option<String>,
    /// Port, written as a number or a text.
    pub port: Option<u16>,
    /// PostgreSQL: the database to connect to.
    pub dbname: Option<String>,
    /// Oracle: the service.
    pub service: Option<String>,
}

impl Credential {
    /// Whether both log in as the same user with the same password. Where they do so is not compared.
    #[must_use]
    pub fn same_login(&self, other: &Self) -> bool {
        self.username == other.username && self.password == other.password
    }
}

/// What a document says about one database, without the password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Description {
    /// The key of its object in a blob; `None` in the flat format, which has no name.
    pub name: Option<String>,
    /// The field `engine`, as written.
    pub engine: Option<String>,
    /// The database user.
    pub username: String,
    /// Host.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// PostgreSQL: the database to connect to.
    pub dbname: Option<String>,
    /// Oracle: the service.
    pub service: Option<String>,
    /// The field `masterarn`: where AWS's rotation functions find an administrator's login.
    pub administrator: Option<String>,
}

/// What a document says about where a database is, when its object has to be written first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Endpoint<'a> {
    /// `postgres` or `oracle`.
    pub engine: &'a str,
    /// Host.
    pub host: Option<&'a str>,
    /// Port.
    pub port: Option<u16>,
    /// PostgreSQL: the database to connect to.
    pub dbname: Option<&'a str>,
    /// Oracle: the service.
    pub service: Option<&'a str>,
}

/// Everything about one database that goes into a document made from scratch.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Its name in the configuration.
    pub database: &'a str,
    /// Where it is.
    pub endpoint: Endpoint<'a>,
    /// The user to publish.
    pub username: &'a str,
    /// Its password.
    pub password: &'a Password,
}

/// The JSON text of a secret, with the places of its keys.
#[derive(Clone)]
pub struct SecretDocument {
    text: SecretText,
    root: Object,
}

/// Keys with the places of their values, in the order of the text.
#[derive(Clone)]
struct Object {
    /// From `{` to behind `}`.
    span: Range<usize>,
    members: Vec<(String, Range<usize>)>,
}

/// A text to put into a place.
struct Edit {
    at: Range<usize>,
    with: Zeroizing<String>,
}

/// Keys that belong to a flat credential; everything else in a flat document is foreign.
const FLAT_KEYS: [&str; 7] = ["engine", "host", "port", "dbname", "service", "username", "password"];

impl SecretDocument {
    /// Reads a secret's text.
    ///
    /// # Errors
    /// If it is too large, not JSON, or not an object.
    pub fn parse(text: SecretText) -> Result<Self, DocumentError> {
        let bytes = text.expose().len();
        if bytes > MAX_BYTES {
            return Err(DocumentError::TooLarge { bytes });
        }
        let root = Object::parse(text.expose(), 0..bytes)?;
        Ok(Self { text, root })
    }

    /// A document with these databases only, in `format`; keys of `before` that belong to no credential are carried over
    /// behind them. This is how a secret changes its format, or gets its first value.
    ///
    /// # Errors
    /// `Missing` without an entry, `Ambiguous` for several entries in the flat format, `TooLarge`.
    pub fn compose(format: Format, entries: &[Entry<'_>], before: Option<&Self>) -> Result<Self, DocumentError> {
        let mut members: Vec<(&str, Zeroizing<String>)> = match (format, entries) {
            (_, []) => return Err(DocumentError::Missing { path: "password".to_owned() }),
            (Format::Rds, [entry]) => entry_members(entry),
            (Format::Rds, [_, _, ..]) => return Err(DocumentError::Ambiguous),
            (Format::Blob, _) => {
                entries.iter().map(|entry| (entry.database, object_text(&entry_members(entry)))).collect()
            }
        };
        if let Some(before) = before {
            for (key, span) in &before.root.members {
                let ours = FLAT_KEYS.contains(&key.as_str()) || entries.iter().any(|entry| entry.database == key);
                if !ours {
                    members.push((key, Zeroizing::new(before.slice(span).to_owned())));
                }
            }
        }
        Self::parse(SecretText::new(object_text(&members).as_str().to_owned()))
    }

    /// The text, for a store.
    #[must_use]
    pub const fn text(&self) -> &SecretText {
        &self.text
    }

    /// The format that the document has. `databases` are the set's, by their names in the configuration.
    ///
    /// # Errors
    /// `NoCredential` if it has neither, `Ambiguous` if it has both.
    pub fn format(&self, databases: &[&str]) -> Result<Format, DocumentError> {
        let starts = |key: &str, with: char| {
            self.root.members.iter().any(|(name, span)| name == key && self.slice(span).starts_with(with))
        };
        let flat = starts("username", '"') && starts("password", '"');
        let blob = databases.iter().any(|database| starts(database, '{'));
        match (flat, blob) {
            (true, true) => Err(DocumentError::Ambiguous),
            (true, false) => Ok(Format::Rds),
            (false, true) => Ok(Format::Blob),
            (false, false) => Err(DocumentError::NoCredential),
        }
    }

    /// The credential that the document publishes for `database`. In the flat format that is the only one there is.
    ///
    /// # Errors
    /// If it holds the other format, lacks the object or a field, or a field has another type.
    pub fn credential(&self, database: &str, format: Format) -> Result<Credential, DocumentError> {
        let object = self.object(database, format)?;
        let fields = Fields { document: self, object: &object, database, format };
        Ok(Credential {
            username: fields.required("username")?,
            password: Password::new(fields.required("password")?),
            host: fields.optional("host")?,
            port: fields.port()?,
            dbname: fields.optional("dbname")?,
            service: fields.optional("service")?,
        })
    }

    /// What the document says about the databases that it publishes, whatever their names. For a configuration that is yet to be
    /// written; where there is one, [`format`](Self::format) goes by its names.
    ///
    /// # Errors
    /// `NoCredential` if it publishes none, `Ambiguous` if it has both formats, and those of [`credential`](Self::credential).
    pub fn describe(&self) -> Result<Vec<Description>, DocumentError> {
        let login = |object: &Object| {
            ["username", "password"].iter().all(|wanted| {
                object.members.iter().any(|(key, span)| key == wanted && self.slice(span).starts_with('"'))
            })
        };
        let mut described = Vec::new();
        for (key, span) in self.root.members.iter().filter(|(_, span)| self.slice(span).starts_with('{')) {
            let object = Object::parse(self.text.expose(), span.clone())?;
            if login(&object) {
                // A key that stands there twice is refused here.
                self.root.find(key, key)?;
                described.push(self.description(&object, Format::Blob, key)?);
            }
        }
        match (login(&self.root), described.is_empty()) {
            (true, false) => Err(DocumentError::Ambiguous),
            (true, true) => Ok(vec![self.description(&self.root, Format::Rds, "")?]),
            (false, false) => Ok(described),
            (false, true) => Err(DocumentError::NoCredential),
        }
    }

    fn description(&self, object: &Object, format: Format, name: &str) -> Result<Description, DocumentError> {
        let fields = Fields { document: self, object, database: name, format };
        // Empty passwords are refused where they are used; here they shall not be proposed either.
        drop(Zeroizing::new(fields.required("password")?));
        Ok(Description {
            name: (format == Format::Blob).then(|| name.to_owned()),
            engine: fields.optional("engine")?,
            username: fields.required("username")?,
            host: fields.optional("host")?,
            port: fields.port()?,
            dbname: fields.optional("dbname")?,
            service: fields.optional("service")?,
            administrator: fields.optional("masterarn")?,
        })
    }

    /// The same document, publishing this user and password for `database`. Nothing else changes. A missing object (`blob`) is
    /// added at the end if `endpoint` says what to write into it.
    ///
    /// # Errors
    /// If it holds the other format, lacks the object, or would become too large.
    pub fn with_credential(
        &self,
        database: &str,
        format: Format,
        username: &str,
        password: &Password,
        endpoint: Option<Endpoint<'_>>,
    ) -> Result<Self, DocumentError> {
        match (self.object(database, format), endpoint) {
            (Ok(object), _) => self.with_login(database, format, &object, username, password),
            (Err(DocumentError::Missing { .. }), Some(endpoint)) => {
                let object = object_text(&entry_members(&Entry { database, endpoint, username, password }));
                self.edited(vec![self.root.insertion(database, &object)])
            }
            (Err(error), _) => Err(error),
        }
    }

    /// This document (which a person edited meanwhile) with the credentials of `generation` for the given databases: foreign keys
    /// from here, logins from there. An object that was deleted here is put back.
    ///
    /// # Errors
    /// As [`with_credential`](Self::with_credential), and if `generation` lacks a credential.
    pub fn with_credentials_of(
        &self,
        generation: &Self,
        databases: &[&str],
        format: Format,
    ) -> Result<Self, DocumentError> {
        let mut merged = self.clone();
        for database in databases {
            let login = generation.credential(database, format)?;
            merged = match merged.object(database, format) {
                Ok(object) => merged.with_login(database, format, &object, &login.username, &login.password)?,
                Err(DocumentError::Missing { .. }) => {
                    let original = generation.object(database, format)?;
                    let text = Zeroizing::new(generation.slice(&original.span).to_owned());
                    merged.edited(vec![merged.root.insertion(database, &text)])?
                }
                Err(error) => return Err(error),
            };
        }
        Ok(merged)
    }

    /// The databases, among those given, for which the two documents do not publish the same user and password.
    ///
    /// # Errors
    /// If either lacks one of the credentials.
    pub fn differences<'d>(
        &self,
        format: Format,
        other: &Self,
        other_format: Format,
        databases: &[&'d str],
    ) -> Result<Vec<&'d str>, DocumentError> {
        let mut different = Vec::new();
        for database in databases {
            let (here, there) = (self.credential(database, format)?, other.credential(database, other_format)?);
            if !here.same_login(&there) {
                different.push(*database);
            }
        }
        Ok(different)
    }

    /// Where the credential of `database` is: an object of its own, or the whole document.
    fn object(&self, database: &str, format: Format) -> Result<Object, DocumentError> {
        match (format, self.format(&[database])) {
            (configured, Ok(found)) if configured != found => {
                return Err(DocumentError::OtherFormat { configured, found });
            }
            (Format::Rds, _) => return Ok(self.root.clone()),
            (Format::Blob, _) => {}
        }
        let Some(span) = self.root.find(database, database)? else {
            return Err(DocumentError::Missing { path: database.to_owned() });
        };
        let wrong = DocumentError::WrongType { path: database.to_owned(), expected: "an object" };
        Object::parse(self.text.expose(), span).map_err(|_| wrong)
    }

    fn with_login(
        &self,
        database: &str,
        format: Format,
        object: &Object,
        username: &str,
        password: &Password,
    ) -> Result<Self, DocumentError> {
        let fields = Fields { document: self, object, database, format };
        let mut edits = Vec::new();
        for (key, value) in [("username", username), ("password", password.expose())] {
            let json = json_text(value);
            match object.find(key, &fields.path(key))? {
                // What is right already keeps its spelling.
                Some(_) if fields.text(key)?.is_some_and(|text| text.as_str() == value) => {}
                Some(at) => edits.push(Edit { at, with: json }),
                None => edits.push(object.insertion(key, &json)),
            }
        }
        self.edited(edits)
    }

    fn edited(&self, mut edits: Vec<Edit>) -> Result<Self, DocumentError> {
        // Stable: two insertions at one place stay in their order.
        edits.sort_by_key(|edit| edit.at.start);
        let old = self.text.expose();
        // An upper bound taken at once, so that no shorter copy is left behind by growing.
        let room = old.len() + edits.iter().map(|edit| edit.with.len()).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(room));
        let mut copied = 0;
        for edit in &edits {
            text.push_str(old.get(copied..edit.at.start).unwrap_or_default());
            text.push_str(&edit.with);
            copied = edit.at.end;
        }
        text.push_str(old.get(copied..).unwrap_or_default());
        Self::parse(SecretText::new(text.as_str().to_owned()))
    }

    fn slice(&self, span: &Range<usize>) -> &str {
        self.text.expose().get(span.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for SecretDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDocument([REDACTED])")
    }
}

/// One credential's fields.
struct Fields<'a> {
    document: &'a SecretDocument,
    object: &'a Object,
    database: &'a str,
    format: Format,
}

impl Fields<'_> {
    fn path(&self, key: &str) -> String {
        match self.format {
            Format::Blob => format!("{}.{key}", self.database),
            Format::Rds => key.to_owned(),
        }
    }

    fn required(&self, key: &str) -> Result<String, DocumentError> {
        self.optional(key)?.ok_or_else(|| DocumentError::Missing { path: self.path(key) })
    }

    /// An empty text or `null` counts as absent.
    fn optional(&self, key: &str) -> Result<Option<String>, DocumentError> {
        let Some(text) = self.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        if text.len() > MAX_NAME || text.contains('\0') {
            return Err(self.wrong(key, "a text of at most 1024 bytes without zero bytes"));
        }
        Ok(Some(text.as_str().to_owned()))
    }

    fn port(&self) -> Result<Option<u16>, DocumentError> {
        let Some(span) = self.object.find("port", &self.path("port"))? else { return Ok(None) };
        let digits = self.document.slice(&span).trim_matches('"');
        if digits.is_empty() || digits == "null" {
            return Ok(None);
        }
        match digits.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            Ok(_) | Err(_) => Err(self.wrong("port", "a number from 1 to 65535")),
        }
    }

    fn text(&self, key: &str) -> Result<Option<Zeroizing<String>>, DocumentError> {
        let Some(span) = self.object.find(key, &self.path(key))? else { return Ok(None) };
        let raw = self.document.slice(&span);
        if raw == "null" {
            return Ok(None);
        }
        serde_json::from_str(raw).map(|text: String| Some(Zeroizing::new(text))).map_err(|_| self.wrong(key, "a text"))
    }

    fn wrong(&self, key: &str, expected: &'static str) -> DocumentError {
        DocumentError::WrongType { path: self.path(key), expected }
    }
}

impl Object {
    /// The keys of the object at `span` of `text`.
    fn parse(text: &str, span: Range<usize>) -> Result<Self, DocumentError> {
        let part = text.get(span.clone()).unwrap_or_default();
        let members: Members<'_> = serde_json::from_str(part).map_err(|error| {
            if error.is_data() {
                return DocumentError::NotAnObject;
            }
            DocumentError::NotJson { line: error.line(), column: error.column() }
        })?;
        let base = text.as_ptr().addr();
        let place = |raw: &RawValue| {
            // Borrowed raw values are parts of `text`, which the type of `Members` guarantees.
            let start = raw.get().as_ptr().addr() - base;
            start..start + raw.get().len()
        };
        let open = part.find('{').unwrap_or_default();
        let close = part.rfind('}').map_or(part.len(), |at| at + 1);
        Ok(Self {
            span: span.start + open..span.start + close,
            members: members.0.into_iter().map(|(key, raw)| (key, place(raw))).collect(),
        })
    }

    /// The place of the value of `key`.
    fn find(&self, key: &str, path: &str) -> Result<Option<Range<usize>>, DocumentError> {
        let mut found = self.members.iter().filter(|(name, _)| name == key);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(DocumentError::Twice { path: path.to_owned() }),
            (first, _) => Ok(first.map(|(_, span)| span.clone())),
        }
    }

    /// Adds a key behind the last one.
    fn insertion(&self, key: &str, json: &str) -> Edit {
        let (at, comma) = match self.members.last() {
            Some((_, last)) => (last.end, ","),
            None => (self.span.start + 1, ""),
        };
        let key = json_text(key);
        Edit { at: at..at, with: Zeroizing::new([comma, &key, ":", json].concat()) }
    }
}

/// The members of an object in their order, values untouched.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn entry_members<'a>(entry: &Entry<'a>) -> Vec<(&'a str, Zeroizing<String>)> {
    let Endpoint { engine, host, port, dbname, service } = entry.endpoint;
    let texts = [
        ("engine", Some(engine).filter(|engine| !engine.is_empty())),
        ("host", host),
        ("port", None),
        ("dbname", dbname),
        ("service", service),
        ("username", Some(entry.username)),
        ("password", Some(entry.password.expose())),
    ];
    texts
        .into_iter()
        .filter_map(|(key, text)| match (key, text) {
            ("port", _) => port.map(|port| (key, Zeroizing::new(port.to_string()))),
            (_, text) => text.map(|text| (key, json_text(text))),
        })
        .collect()
}

fn object_text(members: &[(&str, Zeroizing<String>)]) -> Zeroizing<String> {
    let parts: Vec<Zeroizing<String>> = members
        .iter()
        .map(|(key, json)| Zeroizing::new([json_text(key).as_str(), ":", json.as_str()].concat()))
        .collect();
    let room = parts.iter().map(|part| part.len() + 1).sum::<usize>() + 2;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push('{');
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(part);
    }
    text.push('}');
    text
}

/// A text as JSON, in quotes.
fn json_text(text: &str) -> Zeroizing<String> {
    // Six bytes is the longest escape (`\u001f`), so that the buffer never grows and leaves a copy behind.
    let mut json = Zeroizing::new(Vec::with_capacity(text.len() * 6 + 2));
    #[expect(clippy::expect_used, reason = "a text is always JSON, and a Vec takes every write")]
    serde_json::to_writer(&mut *json, text).expect("texts are JSON");
    #[expect(clippy::expect_used, reason = "serde_json writes UTF-8")]
    Zeroizing::new(core::str::from_utf8(&json).expect("JSON is UTF-8").to_owned())
}

#[cfg(test)]
mod tests;
