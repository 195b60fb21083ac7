//! One profile of OCI's configuration file (`~/.oci/config`), as its SDKs and command line read it.
//!
//! Which file and which profile is the caller's to say: `OCI_CONFIG_FILE` and `OCI_CLI_PROFILE` are not read here. Oracle
//! documentation ("SDK and CLI Configuration File"): sections in brackets, `key=value`, values missing in a profile come from
//! `[DEFAULT]`. What the file holds never appears in an error, only the names of keys.

use std::path::{Path, PathBuf};

use dizzy_host::secret::SecretText;
use thiserror::Error;

/// The section whose values every profile inherits.
pub const DEFAULT_PROFILE: &str = "DEFAULT";

/// No configuration file is longer; a profile takes half a kilobyte.
pub(crate) const MAX_FILE: u64 = 256 * 1024;

/// What one profile says.
pub(crate) struct Profile {
    pub(crate) tenancy: String,
    pub(crate) region: Option<String>,
    pub(crate) key_file: PathBuf,
    pub(crate) pass_phrase: Option<SecretText>,
    pub(crate) identity: Identity,
}

/// Who signs.
pub(crate) enum Identity {
    /// A user, by the fingerprint of a key that was uploaded for it.
    ApiKey { user: String, fingerprint: String },
    /// A session, by a token that is renewed in this file (`oci session authenticate`).
    SecurityToken { file: PathBuf },
}

/// What is wrong with the file.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum ProfileProblem {
    #[error("it has no profile [{0}]")]
    NoProfile(String),
    #[error("the profile [{profile}] has no `{key}`")]
    Missing { profile: String, key: &'static str },
    #[error("`{key}` of the profile [{profile}] cannot be right")]
    Unusable { profile: String, key: &'static str },
}

impl Profile {
    /// Reads a profile. `home` stands for a leading `~` in paths.
    pub(crate) fn parse(text: &str, profile: &str, home: Option<&Path>) -> Result<Self, ProfileProblem> {
        let section = Section::find(text, profile).ok_or_else(|| ProfileProblem::NoProfile(profile.to_owned()))?;
        let missing = |key| ProfileProblem::Missing { profile: profile.to_owned(), key };
        let unusable = |key| ProfileProblem::Unusable { profile: profile.to_owned(), key };
        let plain = |key: &'static str, value: &str| {
            let fits = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
            if fits { Ok(value.to_owned()) } else { Err(unusable(key)) }
        };
        let needed = |key: &'static str| section.value(key).ok_or_else(|| missing(key));
        let path = |value: &str| expanded(value, home);

        let identity = match section.value("security_token_file") {
            Some(file) => Identity::SecurityToken { file: path(file) },
            None => Identity::ApiKey {
                user: plain("user", needed("user")?)?,
                fingerprint: plain("fingerprint", needed("fingerprint")?)?,
            },
        };
        Ok(Self {
            tenancy: plain("tenancy", needed("tenancy")?)?,
            region: section.value("region").map(|region| plain("region", region)).transpose()?,
            key_file: path(needed("key_file")?),
            pass_phrase: section.value("pass_phrase").map(|text| SecretText::new(text.to_owned())),
            identity,
        })
    }
}

/// A profile's own lines and those of [DEFAULT].
struct Section<'a> {
    own: Vec<(&'a str, &'a str)>,
    inherited: Vec<(&'a str, &'a str)>,
}

impl<'a> Section<'a> {
    fn find(text: &'a str, wanted: &str) -> Option<Self> {
        let mut section = Section { own: Vec::new(), inherited: Vec::new() };
        let (mut name, mut found) = (None, wanted == DEFAULT_PROFILE);
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name = Some(header.trim());
                found |= name == Some(wanted);
                continue;
            }
            let Some((key, value)) = line.split_once(['=', ':']) else { continue };
            let entry = (key.trim(), value.trim());
            match name {
                Some(name) if name == wanted => section.own.push(entry),
                Some(DEFAULT_PROFILE) => section.inherited.push(entry),
                Some(_) | None => {}
            }
        }
        (found && !(section.own.is_empty() && section.inherited.is_empty())).then_some(section)
    }

    /// The last value given for a key; an empty one counts as none.
    fn value(&self, key: &str) -> Option<&'a str> {
        let last = |entries: &[(&str, &'a str)]| {
            entries.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| *value)
        };
        last(&self.own).or_else(|| last(&self.inherited)).filter(|value| !value.is_empty())
    }
}

fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_) | None, _) => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# written by hand
[DEFAULT]
user=ocid1.user.oc1..aaaa
fingerprint = 20:3b:97:13
key_file=~/.oci/key.pem
tenancy=ocid1.tenancy.oc1..tttt
region=us-ashburn-1
pass_phrase = canary = with ; signs

[ADMIN]
; only what differs
user = ocid1.user.oc1..bbbb
region =

[session]
security_token_file=/run/token
key_file=/run/key.pem
";

    fn parse(profile: &str) -> Result<Profile, ProfileProblem> {
        Profile::parse(FILE, profile, Some(Path::new("/srv/ops")))
    }

    #[test]
    fn a_profile_inherits_what_it_does_not_say() {
        let Ok(default) = parse("DEFAULT") else { panic!("DEFAULT") };
        assert_eq!(default.key_file, Path::new("/srv/ops/.oci/key.pem"));
        assert_eq!(default.region.as_deref(), Some("us-ashburn-1"));
        assert_eq!(default.pass_phrase.unwrap().expose(), "canary = with ; signs");
        let Ok(admin) = parse("ADMIN") else { panic!("ADMIN") };
        assert!(matches!(&admin.identity, Identity::ApiKey { user, .. } if user == "ocid1.user.oc1..bbbb"));
        assert_eq!((admin.tenancy.as_str(), admin.region), ("ocid1.tenancy.oc1..tttt", None));
        let Ok(session) = parse("session") else { panic!("session") };
        assert!(matches!(&session.identity, Identity::SecurityToken { file } if file == Path::new("/run/token")));
    }

    #[test]
    fn what_is_missing_or_strange_is_named_by_its_key_and_never_quoted() {
        let problem =
            |text: &str, profile: &str| Profile::parse(text, profile, None).map(drop).unwrap_err().to_string();
        assert_eq!(problem(FILE, "PROD"), "it has no profile [PROD]");
        assert_eq!(problem("", "DEFAULT"), "it has no profile [DEFAULT]");
        assert_eq!(problem("[A]\nuser=x\n", "A"), "the profile [A] has no `fingerprint`");
        let strange = FILE.replace("20:3b:97:13", "canary\"\\,");
        assert_eq!(problem(&strange, "DEFAULT"), "`fingerprint` of the profile [DEFAULT] cannot be right");
    }
}
