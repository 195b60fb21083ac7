//! What Vault's two services say, as far as it matters here. Field names as in Oracle's Python SDK (oci 2.189.0, `vault` and
//! `secrets` models); unknown fields and stages are passed over, so that additions do no harm.

use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_host::{
    port::{VersionId, VersionName},
    secret::SecretText,
};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

/// A secret, without its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secret {
    pub(super) lifecycle_state: String,
    pub(super) current_version_number: Option<u64>,
    is_replica: Option<bool>,
    rotation_config: Option<RotationConfig>,
    /// The `etag` header of the answer.
    #[serde(skip)]
    pub(super) etag: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RotationConfig {
    is_scheduled_rotation_enabled: Option<bool>,
    target_system_details: Option<TargetSystem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetSystem {
    target_system_type: Option<String>,
}

/// Whether a secret can be worked with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Writes are accepted.
    Active,
    /// It will be active by itself.
    Passing,
    /// It is on its way out.
    Leaving,
    /// None of these; nothing of ours helps.
    Stuck,
}

impl Secret {
    pub(super) fn state(&self) -> State {
        match self.lifecycle_state.as_str() {
            "ACTIVE" => State::Active,
            "CREATING" | "UPDATING" | "CANCELLING_DELETION" => State::Passing,
            "SCHEDULING_DELETION" | "PENDING_DELETION" | "DELETING" | "DELETED" => State::Leaving,
            _ => State::Stuck,
        }
    }

    pub(super) fn is_replica(&self) -> bool {
        self.is_replica == Some(true)
    }

    /// Whether Vault changes a database's password by itself, on a schedule.
    pub(super) fn is_rotated_by_vault(&self) -> bool {
        self.rotation_config.as_ref().is_some_and(|config| {
            let target = config.target_system_details.as_ref().and_then(|target| target.target_system_type.as_deref());
            config.is_scheduled_rotation_enabled == Some(true) && target == Some("ADB")
        })
    }
}

/// A version, without its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub(super) version_number: u64,
    name: Option<String>,
    stages: Option<Vec<String>>,
    time_of_deletion: Option<String>,
}

/// A label of Vault's own. LATEST says nothing that the number does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Current,
    Pending,
    Previous,
    Deprecated,
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::Current => "CURRENT",
            Self::Pending => "PENDING",
            Self::Previous => "PREVIOUS",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

impl Version {
    pub(super) fn id(&self) -> VersionId {
        VersionId(self.version_number.to_string())
    }

    pub(super) const fn number(&self) -> u64 {
        self.version_number
    }

    pub(super) fn is(&self, stage: Stage) -> bool {
        self.stages.iter().flatten().any(|word| word == stage.word())
    }

    /// Our name on it, if it has one. Also that of a generation that took a person's edit in.
    pub(super) fn named(&self) -> Option<VersionName> {
        let name = self.name.as_deref()?;
        VersionName::parse(name).or_else(|| VersionName::parse(edit_of(name)?.0))
    }

    /// Whether its name says that it is a generation with a person's edit.
    pub(super) fn is_edit(&self) -> bool {
        self.name.as_deref().is_some_and(|name| edit_of(name).is_some())
    }

    /// Whether it was made under exactly this name.
    pub(super) fn was_made_as(&self, name: &NewName<'_>) -> bool {
        self.name.as_deref() == Some(name.to_string().as_str())
    }

    /// Whether it carries a name that an operator gave it to say that this PENDING is nobody's.
    pub(super) fn is_released(&self) -> bool {
        self.name.as_deref().is_some_and(|name| name.starts_with(RELEASED))
    }

    /// Whether it is deleted, or will be.
    pub(super) fn is_leaving(&self) -> bool {
        self.time_of_deletion.is_some()
    }
}

/// How the name of a version begins that an operator puts over somebody's abandoned PENDING, which no call can take away.
pub(super) const RELEASED: &str = "dizzy-released";

/// The name of a version that is to be made. Vault gives names once: the version that takes a person's edit in cannot have that of the
/// generation, so it has the number of the edited version behind it.
pub(super) struct NewName<'a> {
    pub(super) generation: &'a VersionName,
    pub(super) edited: Option<u64>,
}

impl fmt::Display for NewName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.generation.fmt(f)?;
        self.edited.map_or(Ok(()), |number| write!(f, "{EDIT}{number}"))
    }
}

/// Between the name of a generation and the number of the version whose edit it took in.
const EDIT: &str = "-e";

/// The name of the generation, and the number of the edited version.
fn edit_of(name: &str) -> Option<(&str, u64)> {
    let (generation, number) = name.rsplit_once(EDIT)?;
    Some((generation, number.parse().ok()?))
}

/// A version with its value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle {
    pub(super) version_number: u64,
    stages: Option<Vec<String>>,
    secret_bundle_content: Content,
}

#[derive(Deserialize)]
struct Content {
    #[serde(deserialize_with = "hidden")]
    content: Zeroizing<String>,
}

fn hidden<'de, D: Deserializer<'de>>(source: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(source).map(Zeroizing::new)
}

impl Bundle {
    pub(super) fn is_pending(&self) -> bool {
        self.stages.iter().flatten().any(|word| word == Stage::Pending.word())
    }

    /// The value; `None` if it is not text.
    pub(super) fn text(&self) -> Option<SecretText> {
        let encoded = self.secret_bundle_content.content.as_bytes();
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
        let length = STANDARD.decode_slice(encoded, &mut bytes).ok()?;
        let text = str::from_utf8(bytes.get(..length)?).ok()?;
        Some(SecretText::new(text.to_owned()))
    }
}

/// The body of an UpdateSecret that makes a version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MakeVersion<'a> {
    pub(super) secret_content: NewContent<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewContent<'a> {
    pub(super) content_type: &'static str,
    pub(super) content: &'a str,
    pub(super) name: &'a str,
    pub(super) stage: &'static str,
}

impl MakeVersion<'_> {
    /// The body as JSON, in memory that is wiped.
    pub(super) fn body(name: &NewName<'_>, value: &SecretText) -> Option<Zeroizing<Vec<u8>>> {
        let value = value.expose().as_bytes();
        let mut content = Zeroizing::new(String::with_capacity(value.len().div_ceil(3) * 4));
        STANDARD.encode_string(value, &mut content);
        let name = name.to_string();
        let new = NewContent { content_type: "BASE64", content: &content, name: &name, stage: Stage::Pending.word() };
        // Never grows past what was reserved, so that no unwiped copy is left behind: base64 needs no escapes.
        let mut body = Zeroizing::new(Vec::with_capacity(content.len() + name.len() + FRAME));
        serde_json::to_writer(&mut *body, &MakeVersion { secret_content: new }).ok()?;
        Some(body)
    }
}

/// More than the braces, field names and fixed values of [`MakeVersion`] take.
const FRAME: usize = 256;

#[cfg(test)]
mod tests {
    use dizzy_engine::Generation;

    use super::*;

    #[test]
    fn a_new_version_is_always_pending_and_always_named() {
        let name = VersionName::new(Generation(7), "0123456789abcdef");
        let name = NewName { generation: &name, edited: None };
        let body = MakeVersion::body(&name, &SecretText::new("päss".to_owned())).unwrap();
        assert_eq!(
            str::from_utf8(&body).unwrap(),
            "{\"secretContent\":{\"contentType\":\"BASE64\",\"content\":\"cMOkc3M=\",\
             \"name\":\"dizzy-g0000000007-0123456789\",\"stage\":\"PENDING\"}}"
        );
        let long = MakeVersion::body(&name, &SecretText::new("x".repeat(25_000))).unwrap();
        assert!(long.len() <= "x".repeat(25_000).len().div_ceil(3) * 4 + name.to_string().len() + FRAME);
    }

    #[test]
    fn what_the_services_add_does_no_harm() {
        let version: Version = serde_json::from_str(
            r#"{"versionNumber":3,"name":null,"stages":["LATEST","SOMETHING","PENDING"],"systemTags":{},"timeOfDeletion":null}"#,
        )
        .unwrap();
        assert!(version.is(Stage::Pending) && !version.is(Stage::Current) && !version.is_leaving());
        assert_eq!((version.named(), version.id()), (None, VersionId("3".to_owned())));
        let secret: Secret = serde_json::from_str(r#"{"lifecycleState":"ODD","new":1}"#).unwrap();
        assert_eq!(secret.state(), State::Stuck);
    }

    #[test]
    fn a_secret_that_vault_rotates_itself_is_told_from_one_that_calls_a_function() {
        for (config, is_rotated) in [
            (r#"{"isScheduledRotationEnabled":true,"targetSystemDetails":{"targetSystemType":"ADB"}}"#, true),
            (r#"{"isScheduledRotationEnabled":false,"targetSystemDetails":{"targetSystemType":"ADB"}}"#, false),
            (r#"{"isScheduledRotationEnabled":true,"targetSystemDetails":{"targetSystemType":"FUNCTION"}}"#, false),
            ("null", false),
        ] {
            let text = format!(r#"{{"lifecycleState":"ACTIVE","rotationConfig":{config}}}"#);
            let secret: Secret = serde_json::from_str(&text).unwrap();
            assert_eq!(secret.is_rotated_by_vault(), is_rotated, "{config}");
        }
    }
}
