//! What documents promise: foreign keys survive byte for byte, mistakes are named without values, nothing panics.

use proptest::prelude::*;

use super::*;

const CANARY: &str = "canary-7f3a";

fn document(text: &str) -> SecretDocument {
    SecretDocument::parse(SecretText::new(text.to_owned())).unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

#[test]
fn a_flat_secret_keeps_everything_but_the_login() {
    let before = "{\n  \"masterarn\": \"arn:x\",\n  \"engine\": \"postgres\", \"host\": \"db.example.net\",\n  \"port\": 5432,\n  \"username\": \"orders_a\",\n  \"password\": \"old\",\n  \"weight\": 1.50e3, \"z\": {\"b\": 1, \"a\": [ ]}, \"dbname\": \"orders\"\n}\n";
    let after = document(before).with_credential("rds", Format::Rds, "orders_b", &password("n\"w"), None).unwrap();
    let expected = before.replace("\"orders_a\"", "\"orders_b\"").replace("\"old\"", "\"n\\\"w\"");
    assert_eq!(after.text().expose(), expected);
    let credential = after.credential("rds", Format::Rds).unwrap();
    assert_eq!((credential.username.as_str(), credential.password.expose()), ("orders_b", "n\"w"));
    assert_eq!((credential.host.as_deref(), credential.port), (Some("db.example.net"), Some(5432)));
    assert_eq!(credential.dbname.as_deref(), Some("orders"));
}

#[test]
fn a_blob_changes_only_the_named_database() {
    let before = r#"{"note":"x","rds":{"username":"a","password":"1","port":"5433"},"adb":{"password":"2","username":"b","service":"orders_low"}}"#;
    let after = document(before).with_credential("adb", Format::Blob, "c", &password("3"), None).unwrap();
    assert_eq!(
        after.text().expose(),
        r#"{"note":"x","rds":{"username":"a","password":"1","port":"5433"},"adb":{"password":"3","username":"c","service":"orders_low"}}"#
    );
    assert_eq!(after.credential("rds", Format::Blob).unwrap().port, Some(5433));
    assert_eq!(after.credential("adb", Format::Blob).unwrap().service.as_deref(), Some("orders_low"));
}

#[test]
fn an_unchanged_login_leaves_the_text_as_it_is() {
    let before = r#"{"username":"\u0061","password":"p\u0022"}"#;
    let after = document(before).with_credential("x", Format::Rds, "a", &password("p\""), None).unwrap();
    assert_eq!(after.text().expose(), before);
}

#[test]
fn a_missing_object_is_added_only_if_its_place_is_known() {
    let before = document(r#"{"rds":{"username":"a","password":"1"} }"#);
    let missing = before.with_credential("adb", Format::Blob, "b", &password("2"), None).unwrap_err();
    assert_eq!(missing, DocumentError::Missing { path: "adb".to_owned() });
    let endpoint = Endpoint { engine: "oracle", service: Some("orders_low"), ..Endpoint::default() };
    let after = before.with_credential("adb", Format::Blob, "b", &password("2"), Some(endpoint)).unwrap();
    assert_eq!(
        after.text().expose(),
        r#"{"rds":{"username":"a","password":"1"},"adb":{"engine":"oracle","service":"orders_low","username":"b","password":"2"} }"#
    );
    let empty = document("{ }").with_credential("adb", Format::Blob, "b", &password("2"), Some(endpoint)).unwrap();
    assert_eq!(empty.credential("adb", Format::Blob).unwrap().username, "b");
}

#[test]
fn formats_are_told_apart() {
    let names = ["rds", "adb"];
    for (text, expected) in [
        (r#"{"username":"a","password":"b"}"#, Ok(Format::Rds)),
        (r#"{"adb":{}}"#, Ok(Format::Blob)),
        (r#"{"other":{}}"#, Err(DocumentError::NoCredential)),
        (r#"{"username":"a"}"#, Err(DocumentError::NoCredential)),
        (r#"{"username":1,"password":"b"}"#, Err(DocumentError::NoCredential)),
        (r#"{"username":"a","password":"b","rds":{}}"#, Err(DocumentError::Ambiguous)),
    ] {
        assert_eq!(document(text).format(&names), expected, "{text}");
    }
    let flat = document(r#"{"username":"a","password":"b"}"#);
    let other = DocumentError::OtherFormat { configured: Format::Blob, found: Format::Rds };
    assert_eq!(flat.credential("rds", Format::Blob).unwrap_err(), other);
    let blob = document(r#"{"rds":{"username":"a","password":"b"}}"#);
    let other = DocumentError::OtherFormat { configured: Format::Rds, found: Format::Blob };
    assert_eq!(blob.credential("rds", Format::Rds).unwrap_err(), other);
}

#[test]
fn mistakes_name_the_key_and_never_the_value() {
    let parse = |text: &str| SecretDocument::parse(SecretText::new(text.to_owned()));
    assert_eq!(parse("").unwrap_err(), DocumentError::NotJson { line: 1, column: 0 });
    assert_eq!(parse(CANARY).unwrap_err(), DocumentError::NotJson { line: 1, column: 1 });
    assert!(matches!(parse("{\"a\":1} x").unwrap_err(), DocumentError::NotJson { .. }));
    assert_eq!(parse(&format!("\"{CANARY}\"")).unwrap_err(), DocumentError::NotAnObject);
    assert_eq!(parse("[1]").unwrap_err(), DocumentError::NotAnObject);
    assert_eq!(parse("17").unwrap_err(), DocumentError::NotAnObject);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
    assert_eq!(parse(&large).unwrap_err(), DocumentError::TooLarge { bytes: MAX_BYTES + 8 });
    let wrong = |text: String, format| document(&text).credential("rds", format).unwrap_err();
    for (text, format, path) in [
        (format!(r#"{{"username":"{CANARY}"}}"#), Format::Rds, "password"),
        (format!(r#"{{"username":"","password":"{CANARY}"}}"#), Format::Rds, "username"),
        (format!(r#"{{"rds":{{"username":null,"password":"{CANARY}"}}}}"#), Format::Blob, "rds.username"),
        (format!(r#"{{"adb":{{"username":"x","password":"{CANARY}"}}}}"#), Format::Blob, "rds"),
    ] {
        assert_eq!(wrong(text, format), DocumentError::Missing { path: path.to_owned() });
    }
    for text in [
        format!(r#"{{"username":["{CANARY}"],"password":"b"}}"#),
        format!(r#"{{"username":"a","password":"b","port":"{CANARY}"}}"#),
        r#"{"username":"a","password":"b","port":70000}"#.to_owned(),
        r#"{"username":"a","password":"b","port":0}"#.to_owned(),
        r#"{"username":"a","password":"b","host":{}}"#.to_owned(),
        format!(r#"{{"username":"a\u0000","password":"{CANARY}"}}"#),
    ] {
        let error = wrong(text, Format::Rds);
        assert!(matches!(error, DocumentError::WrongType { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains(CANARY));
    }
    let blob = wrong(format!(r#"{{"rds":"{CANARY}"}}"#), Format::Blob);
    assert_eq!(blob, DocumentError::WrongType { path: "rds".to_owned(), expected: "an object" });
    let twice = wrong(r#"{"username":"a","password":"b","password":"c"}"#.to_owned(), Format::Rds);
    assert_eq!(twice, DocumentError::Twice { path: "password".to_owned() });
}

#[test]
fn nothing_shows_a_secret() {
    let text = format!(r#"{{"username":"a","password":"{CANARY}"}}"#);
    let document = document(&text);
    let credential = document.credential("rds", Format::Rds).unwrap();
    assert!(!format!("{document:?} {credential:?}").contains(CANARY));
}

#[test]
fn a_growing_document_stops_at_the_limit() {
    let filler = "x".repeat(MAX_BYTES - 50);
    let full = document(&format!(r#"{{"username":"a","password":"b","f":"{filler}"}}"#));
    let error = full.with_credential("x", Format::Rds, "a", &password(&"p".repeat(100)), None).unwrap_err();
    assert!(matches!(error, DocumentError::TooLarge { .. }), "{error}");
}

#[test]
fn an_edit_by_a_person_is_kept_and_the_generation_put_in() {
    let generation =
        document(r#"{"rds":{"username":"b","password":"2","host":"h"},"adb":{"username":"B","password":"3"}}"#);
    let edited = document(r#"{"owner":"team-x","rds":{"host":"other","username":"a","password":"1"}}"#);
    let merged = edited.with_credentials_of(&generation, &["rds", "adb"], Format::Blob).unwrap();
    assert_eq!(
        merged.text().expose(),
        r#"{"owner":"team-x","rds":{"host":"other","username":"b","password":"2"},"adb":{"username":"B","password":"3"}}"#
    );
    let all = ["rds", "adb"];
    assert_eq!(merged.differences(Format::Blob, &generation, Format::Blob, &all).unwrap(), Vec::<&str>::new());
    let flat = document(r#"{"username":"b","password":"other"}"#);
    assert_eq!(merged.differences(Format::Blob, &flat, Format::Rds, &["rds"]).unwrap(), ["rds"]);
}

#[test]
fn a_secret_changes_its_format_and_keeps_foreign_keys() {
    let flat = document(r#"{"engine":"postgres","host":"h","port":1,"username":"a","password":"p","team":"x"}"#);
    let secret = password("p");
    let endpoint = Endpoint { engine: "postgres", host: Some("h"), port: Some(1), ..Endpoint::default() };
    let entry = Entry { database: "rds", endpoint, username: "a", password: &secret };
    let blob = SecretDocument::compose(Format::Blob, &[entry], Some(&flat)).unwrap();
    assert_eq!(
        blob.text().expose(),
        r#"{"rds":{"engine":"postgres","host":"h","port":1,"username":"a","password":"p"},"team":"x"}"#
    );
    let back = SecretDocument::compose(Format::Rds, &[entry], Some(&blob)).unwrap();
    assert_eq!(
        back.text().expose(),
        r#"{"engine":"postgres","host":"h","port":1,"username":"a","password":"p","team":"x"}"#
    );
    assert!(SecretDocument::compose(Format::Rds, &[entry, entry], None).is_err());
    assert!(SecretDocument::compose(Format::Blob, &[], None).is_err());
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!(r#"{{"username":"a","password":"b","x":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(document(&deep).credential("x", Format::Rds).unwrap().username, "a");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(document) = SecretDocument::parse(SecretText::new(text)) {
            let _format = document.format(&["rds"]);
            let _credential = document.credential("rds", Format::Blob);
        }
    }

    #[test]
    fn near_json_is_read_or_refused(text in r#"[{}\[\]",:\\a0 -]{0,60}|\{("(username|password|rds)":("[a-z]{0,3}"|1|null|\{\}|\[\]),?){0,4}\}"#) {
        if let Ok(document) = SecretDocument::parse(SecretText::new(text)) {
            for format in [Format::Blob, Format::Rds] {
                let changed = document.with_credential("rds", format, "u", &password("p"), Some(Endpoint::default()));
                if let Ok(changed) = changed {
                    let credential = changed.credential("rds", format).unwrap();
                    prop_assert_eq!(credential.username, "u");
                    prop_assert_eq!(credential.password.expose(), "p");
                }
            }
        }
    }

    #[test]
    fn foreign_keys_survive_in_value_and_order(
        foreign in proptest::collection::vec(("[k-z]{1,8}", any::<f64>().prop_filter("JSON", |n| n.is_finite()), ".{0,12}"), 0..6),
        at in 0_usize..6,
        user in ".{1,20}",
        secret in ".{1,40}",
    ) {
        prop_assume!(!user.contains('\0') && !secret.contains('\0'));
        let mut members: Vec<String> = foreign
            .iter()
            .enumerate()
            .map(|(i, (key, number, text))| format!("{}: [{number:e} ,{}]", serde_json::to_string(&format!("{key}{i}")).unwrap(), serde_json::to_string(text).unwrap()))
            .collect();
        members.insert(at.min(members.len()), r#""username" :"u1""#.to_owned());
        members.push(r#""password":  "p1""#.to_owned());
        let before = format!("{{{}}}", members.join(" ,\n"));
        let there = document(&before).with_credential("x", Format::Rds, &user, &password(&secret), None).unwrap();
        let changed = there.credential("x", Format::Rds).unwrap();
        prop_assert_eq!(changed.password.expose(), secret.as_str());
        let back = there.with_credential("x", Format::Rds, "u1", &password("p1"), None).unwrap();
        prop_assert_eq!(back.text().expose(), before.as_str());
    }
}

#[test]
fn a_document_is_described_without_a_configuration_and_without_its_passwords() {
    let flat = document(
        r#"{"engine":"postgres","host":"h","port":"5433","dbname":"d","username":"u","password":"p","masterarn":"arn:x"}"#,
    );
    let described = flat.describe().unwrap();
    assert_eq!(
        described,
        [Description {
            name: None,
            engine: Some("postgres".to_owned()),
            username: "u".to_owned(),
            host: Some("h".to_owned()),
            port: Some(5433),
            dbname: Some("d".to_owned()),
            service: None,
            administrator: Some("arn:x".to_owned()),
        }]
    );
    let blob = document(
        r#"{"owner":{"team":"x"},"b":{"username":"u","password":"p"},"a":{"username":"v","password":"q","service":"s"}}"#,
    );
    let names: Vec<_> = blob.describe().unwrap().into_iter().map(|said| (said.name.unwrap(), said.username)).collect();
    assert_eq!(names, [("b".to_owned(), "u".to_owned()), ("a".to_owned(), "v".to_owned())]);

    for (text, error) in [
        (r#"{"a":1}"#, DocumentError::NoCredential),
        (r#"{"username":"u","password":"p","a":{"username":"u","password":"p"}}"#, DocumentError::Ambiguous),
        (r#"{"username":"u","password":""}"#, DocumentError::Missing { path: "password".to_owned() }),
        (
            r#"{"a":{"username":"u","password":"p"},"a":{"username":"u","password":"p"}}"#,
            DocumentError::Twice { path: "a".to_owned() },
        ),
        (
            r#"{"a":{"username":"u","password":"p","port":"x"}}"#,
            DocumentError::WrongType { path: "a.port".to_owned(), expected: "a number from 1 to 65535" },
        ),
    ] {
        assert_eq!(document(text).describe().unwrap_err(), error, "{text}");
    }
}
