//! The JSON of a secret, as somebody else may have written it.

use dizzy_host::{
    document::{Endpoint, Format, SecretDocument},
    secret::{Password, SecretText},
};
use serde_json::Value;

use super::{Target, kind_of};

pub(super) const TARGET: Target = Target {
    name: "document",
    deep: "publishes publishes",
    run,
    words: &[
        "\"rds\"",
        "\"adb\"",
        "\"username\"",
        "\"password\"",
        "\"host\"",
        "\"port\"",
        "\"dbname\"",
        "\"service\"",
        "\"engine\"",
        "{}",
        "[]",
        "null",
        "true",
        "1e999",
        "65536",
        "-0",
        "\\u0000",
        "\\ud800",
        "\\udc00",
        "\u{feff}",
        "\u{2028}",
        ":{",
        ",\"",
    ],
};

const DATABASES: [&str; 2] = ["rds", "adb"];
/// What is published in place of what was: characters that JSON has to escape, and some that it has not.
const USER: &str = "o\"r\\d\u{1}\u{e9}";
const PASSWORD: &str = "p\"\\\n\u{2028}\u{1f511}";

fn run(data: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(data) else { return "not UTF-8".to_owned() };
    let document = match SecretDocument::parse(SecretText::new(text.to_owned())) {
        Ok(document) => document,
        Err(error) => return kind_of(&error.to_string()),
    };
    assert_eq!(document.text().expose(), text, "a document stays the text it was");
    drop(document.describe());
    let mut seen = format!("{:?} ", document.format(&DATABASES));
    for database in DATABASES {
        for format in [Format::Blob, Format::Rds] {
            seen += &match document.credential(database, format) {
                Ok(_) => "publishes ".to_owned(),
                Err(error) => kind_of(&error.to_string()),
            };
            exchange(&document, database, format);
        }
    }
    seen
}

/// A credential that is put in is read back, and nothing else has changed.
fn exchange(before: &SecretDocument, database: &str, format: Format) {
    let password = Password::new(PASSWORD.to_owned());
    let endpoint = Endpoint { engine: "postgres", host: Some("h"), port: Some(1), dbname: None, service: None };
    let Ok(after) = before.with_credential(database, format, USER, &password, Some(endpoint)) else { return };
    let read = after.credential(database, format);
    if let Ok(read) = &read {
        assert!(read.username == USER && read.password == password, "what was put in is read back");
    }
    // A port or a host of the wrong type is somebody else's, and stays.
    assert!(read.is_ok() || before.credential(database, format).is_err(), "a credential that was readable stays so");
    let (Ok(mut old), Ok(mut new)) = (values(before), values(&after)) else { return };
    for side in [&mut old, &mut new] {
        let login = match format {
            Format::Blob => side.get_mut(database).and_then(Value::as_object_mut),
            Format::Rds => side.as_object_mut(),
        };
        if let Some(login) = login {
            login.remove("username");
            login.remove("password");
        }
    }
    if old.get(database).is_some() || format == Format::Rds {
        assert!(old == new, "foreign keys stay");
    }
}

fn values(document: &SecretDocument) -> serde_json::Result<Value> {
    serde_json::from_str(document.text().expose())
}
