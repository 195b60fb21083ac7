//! From what was found to the steps of the checklist: which program's command, statement or key of the configuration mends it.
//!
//! What can be carried out as it is comes from where the fault was seen ([`Mend`]); here it meets the configuration: whether there is an
//! administrator for `prepare`, which file the next command has to name, where a key for the trail can live.

use dizzy_host::{
    config::{Config, Place},
    port::{Cloud, Mend, shell_word},
};

use crate::{
    code::Code,
    render::check::{Action, CheckItem, Level, Step},
};

/// One thing as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) level: Level,
    pub(super) at: String,
    pub(super) what: String,
    pub(super) hint: Option<String>,
    pub(super) code: Option<Code>,
    pub(super) remedy: Option<Remedy>,
}

/// What mends it.
#[derive(Clone, Debug)]
pub(super) enum Remedy {
    /// What the place of the fault says.
    Known(Mend),
    /// The set has no register yet.
    Adopt,
    /// The trail has no key.
    AuditKey,
    /// A rotation was begun and not finished.
    Recover,
    /// The budget of wrong logins is spent.
    RetryLogins,
}

/// What the steps of one set need to know.
pub(super) struct Remedies<'a> {
    /// How the next command calls this program.
    pub(super) program: &'a str,
    pub(super) config: &'a Config,
    pub(super) set: &'a str,
}

impl Remedies<'_> {
    /// The finding with its steps.
    pub(super) fn item(&self, found: Found) -> CheckItem {
        let steps = self.steps(&found);
        let Found { level, at, what, hint, code, .. } = found;
        CheckItem { level, at, what, hint, code: code.map(Code::text), steps }
    }

    fn steps(&self, found: &Found) -> Vec<Step> {
        let advice = || found.hint.iter().map(|hint| step(Action::Read, hint)).collect::<Vec<_>>();
        let after_advice = |more: Vec<Step>| [advice(), more].concat();
        match &found.remedy {
            Some(Remedy::Known(Mend::Prepare { sql })) => self.prepared(&found.at, sql.as_deref()),
            Some(Remedy::Known(Mend::Sql(sql))) => vec![step(Action::Sql, sql)],
            Some(Remedy::Known(Mend::Shell(command))) => vec![step(Action::Run, command)],
            Some(Remedy::Known(Mend::Setting(toml))) => after_advice(vec![step(Action::Configure, toml)]),
            Some(Remedy::Known(Mend::Rights(cloud))) => after_advice(self.granted(*cloud)),
            Some(Remedy::Adopt) => vec![self.own("prepare")],
            Some(Remedy::AuditKey) => self.audit_key().unwrap_or_else(advice),
            Some(Remedy::Recover) => vec![self.own("recover")],
            Some(Remedy::RetryLogins) => after_advice(vec![self.own("recover --retry-logins")]),
            None if found.level < Level::Warning => Vec::new(),
            None if found.level == Level::Error && found.hint.is_none() => {
                let page = found.code.map(|code| format!("see docs/errors/{}.md", code.text()));
                let usual = found.code.and_then(Code::usual_hint).map(str::to_owned).or(page);
                usual.iter().map(|usual| step(Action::Read, usual)).collect()
            }
            None => advice(),
        }
    }

    /// A command of this program for this set.
    fn own(&self, command: &str) -> Step {
        step(Action::Run, &format!("{} {command} {}", self.program, shell_word(self.set)))
    }

    /// `prepare` if it has an administrator's login; else the statements for one, or where to name one.
    fn prepared(&self, database: &str, sql: Option<&str>) -> Vec<Step> {
        let set = self.config.sets.get(self.set);
        let found = set.and_then(|set| set.databases.iter().find(|one| one.name == database));
        match (found.is_some_and(|one| one.admin.is_some()), sql) {
            (true, _) => vec![self.own("prepare")],
            (false, Some(sql)) => vec![step(Action::Sql, sql)],
            (false, None) => {
                let toml = format!(
                    "[sets.{}.databases.{database}]\nadmin = \"REFERENCE\"   # a secret with the username and password of an administrator",
                    self.set
                );
                vec![step(Action::Configure, &toml), self.own("prepare")]
            }
        }
    }

    /// The whole policy for the configuration, not one right: what is missing next would be refused next.
    fn granted(&self, cloud: Cloud) -> Vec<Step> {
        let commands = match cloud {
            Cloud::Aws => format!(
                "{} policy aws --region \"$AWS_REGION\" --account \"$ACCOUNT\" > policy.json\n\
                 aws iam put-role-policy --role-name \"$ROLE\" --policy-name dizzy-keys --policy-document file://policy.json",
                self.program
            ),
            Cloud::Oci => format!(
                "{} policy oci --dynamic-group \"$GROUP\" --compartment \"$COMPARTMENT\" --output json | jq .statements > statements.json\n\
                 oci iam policy create --compartment-id \"$COMPARTMENT\" --name dizzy-keys --description dizzy-keys --statements file://statements.json",
                self.program
            ),
        };
        vec![step(Action::Run, &commands)]
    }

    /// A key where the registers are. `None` for Vault: its command takes a value from the command line only, where others see it.
    fn audit_key(&self) -> Option<Vec<Step>> {
        let (command, reference) = match &self.config.journal {
            Place::File(_) => ("(umask 077 && openssl rand -hex 32 > audit-key)", "file:audit-key"),
            Place::S3 { .. } => (
                "openssl rand -hex 32 | aws ssm put-parameter --name /dizzy-keys/audit-key --type SecureString --value file:///dev/stdin",
                "aws-ssm:/dizzy-keys/audit-key",
            ),
            Place::Oci { .. } => return None,
        };
        Some(vec![step(Action::Run, command), step(Action::Configure, &format!("[audit]\nkey = \"{reference}\""))])
    }
}

fn step(action: Action, text: &str) -> Step {
    Step { action, text: text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use dizzy_host::config;

    use super::*;

    const SET: &str = "[sets.orders.databases.rds]\nengine = \"postgres\"\nusers = [\"a\", \"b\"]\nADMIN[[sets.orders.secrets]]\nstore = \"aws-sm:x\"\n";

    fn steps(head: &str, admin: &str, remedy: Option<Remedy>) -> Vec<(Action, String)> {
        let config = config::parse("test.toml", &format!("{head}{}", SET.replace("ADMIN", admin))).unwrap();
        let remedies = Remedies { program: "dizzy-keys --config c.toml", config: &config, set: "orders" };
        let found = Found {
            level: Level::Error,
            at: "rds".to_owned(),
            what: "it is missing".to_owned(),
            hint: Some("an advice".to_owned()),
            code: Some(Code::DatabaseTimeout),
            remedy,
        };
        remedies.item(found).steps.into_iter().map(|step| (step.action, step.text)).collect()
    }

    fn known(head: &str, admin: &str, mend: Mend) -> Vec<(Action, String)> {
        steps(head, admin, Some(Remedy::Known(mend)))
    }

    #[test]
    fn statements_are_for_those_who_have_no_administrator_in_the_configuration() {
        let sql = || Mend::Prepare { sql: Some("GRANT x;\n".to_owned()) };
        let prepare = (Action::Run, "dizzy-keys --config c.toml prepare orders".to_owned());
        assert_eq!(known("", "admin = \"env:A\"\n", sql()), std::slice::from_ref(&prepare));
        assert_eq!(known("", "", sql()), [(Action::Sql, "GRANT x;".to_owned())]);
        let named = known("", "", Mend::Prepare { sql: None });
        assert!(named[0].0 == Action::Configure && named[0].1.contains("admin = "), "{named:?}");
        assert_eq!(named[1], prepare);
    }

    #[test]
    fn what_cannot_be_carried_out_is_an_advice_and_never_nothing() {
        assert_eq!(steps("", "", None), [(Action::Read, "an advice".to_owned())]);
        let key = "[journal]\nurl = \"oci://n/b/j\"\n";
        assert_eq!(steps(key, "", Some(Remedy::AuditKey)), [(Action::Read, "an advice".to_owned())]);
        let config = config::parse("test.toml", &SET.replace("ADMIN", "")).unwrap();
        let remedies = Remedies { program: "dizzy-keys", config: &config, set: "orders" };
        for code in Code::ALL {
            let found = Found {
                level: Level::Error,
                at: "rds".to_owned(),
                what: "x".to_owned(),
                hint: None,
                code: Some(*code),
                remedy: None,
            };
            assert_eq!(remedies.item(found).steps.len(), 1, "{code:?}");
        }
    }

    #[test]
    fn rights_are_the_whole_policy_of_the_configuration() {
        for (cloud, words) in [
            (Cloud::Aws, ["policy aws", "put-role-policy", "file://policy.json"]),
            (Cloud::Oci, ["policy oci", "oci iam policy create", "file://statements.json"]),
        ] {
            let steps = known("", "", Mend::Rights(cloud));
            assert!(words.iter().all(|word| steps[1].1.contains(word)) && steps[1].0 == Action::Run, "{steps:?}");
        }
    }
}
