//! One field of a secret's JSON object, for references that name one after a `#`.

use core::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::secret::SecretText;

/// The text of one field of a JSON object; the other fields are skipped, not kept in memory.
///
/// # Errors
/// Why there is none, in our words, to be used as a hint.
pub fn field_of(text: &str, field: &str) -> Result<SecretText, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json
        .deserialize_map(Field(field))
        .map_err(|_| format!("the secret must be a JSON object in which `{field}`, after the `#`, is a text"))?;
    found.ok_or_else(|| format!("the secret's JSON object has no field `{field}`, which stands after the `#`"))
}

struct Field<'a>(&'a str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<SecretText>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = Some(SecretText::new(map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_taken_out_of_the_object() {
        let text = r#"{"wallet":{"a":1},"password":"p\u00e4ss\"","port":5432}"#;
        assert_eq!(field_of(text, "password"), Ok(SecretText::new("päss\"".to_owned())));
        assert!(field_of(text, "user").unwrap_err().contains("no field `user`"));
        for (text, field) in [(text, "port"), ("[1]", "password"), ("canary", "password"), ("", "password")] {
            let hint = field_of(text, field).unwrap_err();
            assert!(hint.contains("JSON object"), "{hint}");
            assert!(!hint.contains("canary"), "{hint}");
        }
    }
}
