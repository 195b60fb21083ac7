//! What an event asks for. Four shapes are known; of any other, the keys are named and never the values.

use dizzy_host::secret::SecretText;
use dizzy_runtime::Trace;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    code::Code,
    report::{NOTHING_DONE, Report},
};

/// An event.
#[derive(Debug)]
pub(super) enum Event {
    /// A command.
    Direct(Direct),
    /// A step of Secrets Manager's rotation.
    FourSteps(FourSteps),
    /// A step of Vault's rotation.
    Vault(VaultStep),
}

/// A command with its arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Direct {
    /// Which.
    pub(super) action: Action,
    /// The sets; for some actions nothing means all.
    #[serde(default)]
    pub(super) sets: Vec<String>,
    /// `rotate`: the sets that are due.
    #[serde(default)]
    pub(super) due: bool,
    /// `rotate`: every set.
    #[serde(default)]
    pub(super) all: bool,
    /// `rotate`: a part of the sets, `2/5`.
    #[serde(default)]
    pub(super) shard: Option<String>,
    /// `rotate`: as `--forward-only`.
    #[serde(default)]
    pub(super) forward_only: bool,
    /// `rotate`: as `--change-format`.
    #[serde(default)]
    pub(super) change_format: bool,
    /// `recover`: as `--retry-logins`.
    #[serde(default)]
    pub(super) retry_logins: bool,
}

/// The commands that make sense without a person.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Check,
    Plan,
    Recover,
    Revoke,
    Rotate,
    #[default]
    Status,
    Verify,
}

/// A call of Secrets Manager (user guide, "Lambda rotation functions").
#[derive(Debug)]
pub(super) struct FourSteps {
    pub(super) step: Step,
    /// The secret's ARN.
    pub(super) secret: String,
    /// The version that the service has made.
    pub(super) token: String,
    /// To be passed on, and nothing else.
    pub(super) rotation_token: Option<SecretText>,
}

/// Its steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Create,
    Set,
    Test,
    Finish,
}

impl Step {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "createSecret",
            Self::Set => "setSecret",
            Self::Test => "testSecret",
            Self::Finish => "finishSecret",
        }
    }
}

/// A call of Vault.
#[derive(Debug)]
pub(super) struct VaultStep {
    pub(super) step: VaultStepName,
    /// The secret's OCID.
    pub(super) secret: String,
    /// A version, whose meaning depends on the step.
    pub(super) version: Option<u64>,
}

/// Its steps.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum VaultStepName {
    VerifyConnection,
    CreatePendingVersion,
    UpdateTargetSystem,
    PromotePendingVersion,
}

/// Sources of schedules: EventBridge rules and EventBridge Scheduler without an input of its own.
const SCHEDULES: [&str; 2] = ["aws.events", "aws.scheduler"];
/// Keys that are named of an event that is not understood, and how much of each.
const MOST_KEYS: usize = 20;
const LONGEST_KEY: usize = 64;
/// Tokens are UUIDs of 36 characters; the API allows 32 to 64.
const TOKEN: core::ops::RangeInclusive<usize> = 32..=64;

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Code::EventUnknown`] for any other shape.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Report> {
        // Resource Scheduler of OCI sends no body: it calls to see what is due.
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::due());
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            unknown(format!("the event is no JSON (line {}, column {})", error.line(), error.column()))
        })?;
        let Value::Object(fields) = value else {
            return Err(unknown("the event is no JSON object".to_owned()));
        };
        let has = |name: &str| fields.contains_key(name);
        if has("action") {
            return direct(&fields);
        }
        if has("Step") && has("SecretId") && has("ClientRequestToken") {
            return four_steps(&fields).ok_or_else(|| not_understood(&fields, "a step of Secrets Manager's rotation"));
        }
        if has("step") && has("secretId") {
            return vault(&fields).ok_or_else(|| not_understood(&fields, "a step of Vault's rotation"));
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        if text("detail-type") == Some("Scheduled Event") && text("source").is_some_and(|s| SCHEDULES.contains(&s)) {
            return Ok(Self::due());
        }
        Err(unknown(format!("no event of a known shape: its keys are {}", keys(&fields))))
    }

    /// The trace that an event brings along itself, whatever its shape: Lambda's headers carry X-Ray's alone.
    pub(super) fn trace(bytes: &[u8]) -> Option<Trace> {
        #[derive(Deserialize)]
        struct Traced {
            traceparent: String,
        }
        serde_json::from_slice::<Traced>(bytes).ok().and_then(|event| Trace::parse(&event.traceparent))
    }

    fn due() -> Self {
        Self::Direct(Direct { action: Action::Rotate, due: true, ..Direct::default() })
    }
}

fn direct(fields: &Map<String, Value>) -> Result<Event, Report> {
    // The trace may come along in any event.
    let wanted: Map<String, Value> =
        fields.iter().filter(|(name, _)| *name != "traceparent").map(|(n, v)| (n.clone(), v.clone())).collect();
    match serde_json::from_value(Value::Object(wanted)) {
        Ok(direct) => Ok(Event::Direct(direct)),
        // What serde says may quote a value.
        Err(_) => Err(not_understood(fields, "a command")),
    }
}

fn four_steps(fields: &Map<String, Value>) -> Option<Event> {
    let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
    let step = match text("Step")?.as_str() {
        "createSecret" | "create_secret" => Step::Create,
        "setSecret" | "set_secret" => Step::Set,
        "testSecret" | "test_secret" => Step::Test,
        "finishSecret" | "finish_secret" => Step::Finish,
        _ => return None,
    };
    let token = text("ClientRequestToken")?;
    let plain = token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let known = ["Step", "SecretId", "ClientRequestToken", "RotationToken"];
    let whole = plain && TOKEN.contains(&token.len()) && fields.keys().all(|key| known.contains(&key.as_str()));
    let rotation_token = match fields.get("RotationToken") {
        None | Some(Value::Null) => None,
        Some(token) => Some(SecretText::new(token.as_str()?.to_owned())),
    };
    whole.then_some(Event::FourSteps(FourSteps { step, secret: text("SecretId")?, token, rotation_token }))
}

fn vault(fields: &Map<String, Value>) -> Option<Event> {
    let version = match fields.get("versionNo") {
        None | Some(Value::Null) => None,
        Some(number) => Some(number.as_u64()?),
    };
    let step = serde_json::from_value(fields.get("step")?.clone()).ok()?;
    let secret = fields.get("secretId")?.as_str()?.to_owned();
    Some(Event::Vault(VaultStep { step, secret, version }))
}

fn not_understood(fields: &Map<String, Value>, what: &str) -> Report {
    unknown(format!("the event looks like {what}, and cannot be understood: its keys are {}", keys(fields)))
}

fn unknown(what: String) -> Report {
    Report::new(Code::EventUnknown, what, NOTHING_DONE)
        .hint("for example {\"action\":\"rotate\",\"due\":true}; docs/lambda.md and docs/functions.md show every event")
}

/// The keys of an event, for a message.
fn keys(fields: &Map<String, Value>) -> String {
    let mut all: Vec<String> = fields
        .keys()
        .take(MOST_KEYS)
        .map(|key| key.chars().take(LONGEST_KEY).filter(|c| !c.is_control()).collect())
        .collect();
    if fields.len() > MOST_KEYS {
        all.push(format!("and {} more", fields.len() - MOST_KEYS));
    }
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Event, Report> {
        Event::parse(text.as_bytes())
    }

    #[test]
    fn schedules_ask_for_what_is_due() {
        for text in [
            "",
            " \n",
            r#"{"version":"0","id":"1","detail-type":"Scheduled Event","source":"aws.events","account":"1","detail":{}}"#,
            r#"{"detail-type":"Scheduled Event","source":"aws.scheduler"}"#,
        ] {
            let Ok(Event::Direct(direct)) = parse(text) else { panic!("{text}") };
            assert_eq!((direct.action, direct.due, direct.all), (Action::Rotate, true, false), "{text}");
        }
    }

    #[test]
    fn commands_are_as_on_the_command_line() {
        let Ok(Event::Direct(direct)) =
            parse(r#"{"action":"rotate","sets":["orders"],"forward_only":true,"traceparent":"00-x"}"#)
        else {
            panic!()
        };
        assert_eq!(
            (direct.action, direct.sets, direct.forward_only),
            (Action::Rotate, vec!["orders".to_owned()], true)
        );
    }

    #[test]
    fn both_clouds_steps_are_read_in_every_spelling() {
        let token = "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111";
        for (name, step) in [("createSecret", Step::Create), ("finish_secret", Step::Finish)] {
            let text = format!(
                r#"{{"Step":"{name}","SecretId":"arn:x","ClientRequestToken":"{token}","RotationToken":"canary"}}"#
            );
            let Ok(Event::FourSteps(event)) = parse(&text) else { panic!("{text}") };
            assert_eq!((event.step, event.token.as_str()), (step, token));
            assert!(!format!("{event:?}").contains("canary"));
        }
        let Ok(Event::Vault(event)) =
            parse(r#"{"step":"UPDATE_TARGET_SYSTEM","secretId":"ocid1.vaultsecret.x","versionNo":7}"#)
        else {
            panic!()
        };
        assert_eq!((event.step, event.version), (VaultStepName::UpdateTargetSystem, Some(7)));
        let Ok(Event::Vault(event)) = parse(r#"{"step":"VERIFY_CONNECTION","secretId":"o","versionNo":null}"#) else {
            panic!()
        };
        assert_eq!(event.version, None);
    }

    #[test]
    fn what_is_not_understood_is_told_by_its_keys_and_never_by_its_values() {
        for text in [
            "{}",
            "[\"canary\"]",
            "\"canary\"",
            "{\"canary\"",
            r#"{"password":"canary"}"#,
            r#"{"action":"canary"}"#,
            r#"{"action":"rotate","password":"canary"}"#,
            r#"{"action":"rotate","sets":"canary"}"#,
            r#"{"Step":"canary","SecretId":"canary","ClientRequestToken":"a1b2c3d4-5678-90ab-cdef-EXAMPLE11111"}"#,
            r#"{"Step":"setSecret","SecretId":"canary","ClientRequestToken":"short"}"#,
            r#"{"Step":"setSecret","SecretId":"x","ClientRequestToken":"a1b2c3d4-5678-90ab-cdef-EXAMPLE1111/"}"#,
            r#"{"step":"canary","secretId":"canary"}"#,
            r#"{"step":"VERIFY_CONNECTION","secretId":"x","versionNo":"canary"}"#,
            r#"{"detail-type":"Scheduled Event","source":"canary"}"#,
        ] {
            let report = parse(text).unwrap_err();
            let told = serde_json::to_string(&report).unwrap();
            assert_eq!(report.code(), Code::EventUnknown, "{text}");
            assert!(!told.contains("canary"), "{text}: {told}");
        }
        let told = parse(r#"{"password":"canary","x":1}"#).unwrap_err().what().to_owned();
        assert!(told.contains("password, x"), "{told}");
        let many: Map<String, Value> = (0..50).map(|n| (format!("{n:0>200}"), Value::Null)).collect();
        let told = Event::parse(Value::Object(many).to_string().as_bytes()).unwrap_err().what().to_owned();
        assert!(told.len() < 2_000 && told.contains("30 more"), "{told}");
    }
}
