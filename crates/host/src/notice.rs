//! A notice: what is told to people outside when a set has come to an end that they want to know of.
//!
//! It is made of what the error says anyway, and of nothing else: names, numbers, a code, sentences of our own. No field could hold
//! a secret, and no adapter adds to it. `id` is the same for every attempt to deliver it; `key` for as long as the same trouble lasts.

use core::fmt;

use dizzy_engine::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What happened. In the configuration these are the words of `notify.on`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A rotation failed or was rolled back; the old credentials are valid.
    Failed,
    /// A set can go neither on nor back by itself, or its state is not known.
    Stuck,
    /// Decided, and not finished yet; the next run goes on by itself.
    Unfinished,
    /// What is published is not what the register records, or does not log in.
    Drift,
    /// A new generation is published, and logs in.
    Promoted,
    /// Somebody tries whether notices arrive (`notify test`).
    #[serde(skip)]
    Test,
}

impl Event {
    /// What is told if the configuration does not say: everything that is not as it should be.
    pub const DEFAULT: [Self; 4] = [Self::Failed, Self::Stuck, Self::Unfinished, Self::Drift];

    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Unfinished => "unfinished",
            Self::Drift => "drift",
            Self::Promoted => "promoted",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A notice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// Unique: who gets it twice can tell. 32 hexadecimal digits.
    pub id: String,
    /// What happened.
    pub event: Event,
    /// The rotation set; empty in a test.
    pub set: String,
    /// The error code (`DK-503`), if there is an error.
    pub code: Option<&'static str>,
    /// What happened, in one sentence.
    pub what: String,
    /// What is true now: which generation works.
    pub state: Option<String>,
    /// What to do next: a command, as a rule.
    pub next: Option<String>,
    /// The exit code that the set ended with.
    pub exit: u8,
    /// The generation that is published, if known.
    pub generation: Option<u64>,
    /// The rotation: the name that its versions have in the stores.
    pub rotation: Option<String>,
    /// When it was.
    pub time: Timestamp,
    /// The trace that the run belongs to, as the header `traceparent`.
    pub trace: Option<String>,
}

impl Notice {
    /// The document that is sent, the same to every kind of receiver; docs/notify.md describes it.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "v": 1,
            "id": self.id,
            "event": self.event.word(),
            "set": self.set,
            "code": self.code,
            "what": self.what,
            "state": self.state,
            "next": self.next,
            "exit": self.exit,
            "generation": self.generation,
            "rotation": self.rotation,
            "time": self.moment(),
            "key": self.key(),
            "text": self.text(),
        })
    }

    /// The document as text.
    #[must_use]
    pub fn body(&self) -> String {
        self.document().to_string()
    }

    /// The same for as long as the same trouble lasts: what a receiver groups by.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.set, self.event, self.code.unwrap_or_default())
    }

    /// In one line, for subjects: printable ASCII, and at most as long as the shortest limit of a receiver.
    #[must_use]
    pub fn subject(&self) -> String {
        let mut text = format!("dizzy-keys: {}", self.event);
        for part in [self.set.as_str(), self.code.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()) {
            text.push(' ');
            text.push_str(part);
        }
        text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_SUBJECT).collect()
    }

    /// What a chat shows.
    fn text(&self) -> String {
        let mut text = format!("{}\n{}", self.subject(), self.what);
        for (label, part) in [("state", &self.state), ("next", &self.next)] {
            if let Some(part) = part {
                text.push_str(&format!("\n{label}: {part}"));
            }
        }
        text
    }

    fn moment(&self) -> Option<String> {
        let time = jiff::Timestamp::from_millisecond(self.time.0).ok()?;
        Some(time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }
}

/// Longest subject: SNS takes 100 characters (API reference of Publish, `Subject`).
const MAX_SUBJECT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn notice() -> Notice {
        Notice {
            id: "0".repeat(32),
            event: Event::Stuck,
            set: "orders".to_owned(),
            code: Some("DK-503"),
            what: "orders: the rotation can go neither on nor back by itself".to_owned(),
            state: Some("generation 7 is published".to_owned()),
            next: Some("dizzy-keys recover orders".to_owned()),
            exit: 3,
            generation: Some(7),
            rotation: Some("dizzy-g0000000008-0123456789".to_owned()),
            time: Timestamp(1_800_000_000_123),
            trace: None,
        }
    }

    #[test]
    fn a_notice_says_what_an_error_says_and_nothing_else() {
        let document = notice().document();
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        let known = [
            "v",
            "id",
            "event",
            "set",
            "code",
            "what",
            "state",
            "next",
            "exit",
            "generation",
            "rotation",
            "time",
            "key",
            "text",
        ];
        assert_eq!(keys, known);
        assert_eq!(
            (&document["time"], &document["key"]),
            (&json!("2027-01-15T08:00:00.123Z"), &json!("orders/stuck/DK-503"))
        );
        let text = document["text"].as_str().unwrap();
        assert!(
            text.starts_with("dizzy-keys: stuck orders DK-503\n")
                && text.ends_with("\nnext: dizzy-keys recover orders")
        );
    }

    #[test]
    fn a_subject_fits_every_receiver() {
        let subject = Notice { set: "ü\n".repeat(200) + &"x".repeat(300), ..notice() }.subject();
        assert_eq!(subject.len(), MAX_SUBJECT);
        assert!(subject.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
    }

    #[test]
    fn a_test_cannot_be_configured() {
        assert!(serde_json::from_str::<Event>("\"drift\"").is_ok());
        assert!(serde_json::from_str::<Event>("\"test\"").is_err());
    }
}
