//! References to things in stores, as written in the configuration: where a secret, key or password is, never what it is.

use core::{fmt, str::FromStr};

use thiserror::Error;

/// A secret reference.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reference {
    /// `aws-sm:ID[#field]`: AWS Secrets Manager, by name or ARN.
    AwsSm {
        /// Name or ARN.
        id: String,
        /// Field of the JSON value; the whole text without it.
        field: Option<String>,
    },
    /// `aws-ssm:/NAME[:VERSION]`: SSM Parameter Store.
    AwsSsm {
        /// The parameter's name, beginning with `/`.
        name: String,
        /// Pinned version.
        version: Option<u64>,
    },
    /// `env:NAME`: an environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// `file:PATH`: a file, without the last line ending.
    File {
        /// The path; relative ones are relative to the working folder.
        path: String,
    },
    /// `oci-vault:OCID[#field]`: OCI Vault.
    OciVault {
        /// The secret's OCID.
        ocid: String,
        /// Field of the JSON value; the whole text without it.
        field: Option<String>,
    },
}

/// Why a text is not a secret reference.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReferenceError {
    /// No known scheme in front.
    #[error("a secret reference begins with aws-sm:, aws-ssm:, env:, file: or oci-vault:")]
    Scheme,
    /// Nothing after the scheme, or an empty field.
    #[error("`{scheme}:` needs {needs} after it")]
    Incomplete {
        /// The scheme as written.
        scheme: &'static str,
        /// What belongs there.
        needs: &'static str,
    },
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = text.split_once(':').ok_or(ReferenceError::Scheme)?;
        match scheme {
            "aws-sm" => {
                let (id, field) = with_field(rest, "aws-sm", "a secret's name or ARN")?;
                Ok(Self::AwsSm { id, field })
            }
            "oci-vault" => {
                let (ocid, field) = with_field(rest, "oci-vault", "a secret's OCID")?;
                Ok(Self::OciVault { ocid, field })
            }
            "aws-ssm" => {
                let incomplete = ReferenceError::Incomplete { scheme: "aws-ssm", needs: "/NAME or /NAME:VERSION" };
                let (name, version) = match rest.split_once(':') {
                    None => (rest, None),
                    Some((name, version)) => (name, Some(version.parse().map_err(|_| incomplete.clone())?)),
                };
                if name.len() < 2 || !name.starts_with('/') {
                    return Err(incomplete);
                }
                Ok(Self::AwsSsm { name: name.to_owned(), version })
            }
            "env" if rest.is_empty() => Err(ReferenceError::Incomplete { scheme: "env", needs: "a variable's name" }),
            "env" => Ok(Self::Env { name: rest.to_owned() }),
            "file" if rest.is_empty() => Err(ReferenceError::Incomplete { scheme: "file", needs: "a path" }),
            "file" => Ok(Self::File { path: rest.to_owned() }),
            _ => Err(ReferenceError::Scheme),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = |f: &mut fmt::Formatter<'_>, field: &Option<String>| match field {
            Some(field) => write!(f, "#{field}"),
            None => Ok(()),
        };
        match self {
            Self::AwsSm { id, field } => {
                write!(f, "aws-sm:{id}")?;
                hash(f, field)
            }
            Self::AwsSsm { name, version: None } => write!(f, "aws-ssm:{name}"),
            Self::AwsSsm { name, version: Some(version) } => write!(f, "aws-ssm:{name}:{version}"),
            Self::Env { name } => write!(f, "env:{name}"),
            Self::File { path } => write!(f, "file:{path}"),
            Self::OciVault { ocid, field } => {
                write!(f, "oci-vault:{ocid}")?;
                hash(f, field)
            }
        }
    }
}

fn with_field(
    rest: &str,
    scheme: &'static str,
    needs: &'static str,
) -> Result<(String, Option<String>), ReferenceError> {
    let (id, field) = match rest.split_once('#') {
        None => (rest, None),
        Some((id, field)) => (id, Some(field)),
    };
    if id.is_empty() || field == Some("") {
        return Err(ReferenceError::Incomplete { scheme, needs });
    }
    Ok((id.to_owned(), field.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_written() {
        for text in [
            "aws-sm:prod/orders",
            "aws-sm:arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/orders-AbCdEf#password",
            "aws-ssm:/dizzy-keys/audit-key",
            "aws-ssm:/dizzy-keys/audit-key:3",
            "env:ADMIN",
            "file:/run/secrets/admin.json",
            "oci-vault:ocid1.vaultsecret.oc1..abc#wallet",
        ] {
            assert_eq!(text.parse::<Reference>().map(|r| r.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn incomplete_references_say_what_is_missing() {
        for text in ["prod/orders", "vault:x", "aws-sm:", "aws-sm:x#", "aws-ssm:name", "aws-ssm:/n:x", "env:", "file:"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
