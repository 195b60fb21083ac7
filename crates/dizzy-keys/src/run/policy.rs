//! `policy`: the rights that a configuration needs, printed, explained, or compared with those that somebody has. Reaches nothing.

use std::{fs::File, io::Read as _, path::Path};

use clap::ValueEnum as _;
use dizzy_host::{
    config::{self, OciAuth, Place},
    reference::Reference,
};

use super::with_set::names;
use crate::{
    args::{Global, Output, Policy, PolicyAws, PolicyCommon, PolicyOci, Role},
    code::{Code, Exit},
    logging,
    policy::{Thing, Use, aws, compare_aws, compare_oci, oci, uses},
    render::{
        self,
        policy::{MatchingRule, PolicyCheck, PolicyView},
    },
    report::{NOTHING_DONE, Report},
};

/// Longest policy that is read: more than a hundred times what either cloud takes.
const MOST_BYTES: u64 = 1 << 20;
/// What stands in a matching rule for a function that was not named.
const FUNCTION: &str = "OCID-OF-THE-FUNCTION";
/// The same for an instance.
const INSTANCE: &str = "OCID-OF-THE-INSTANCE";

pub(super) fn run(global: &Global, command: &Policy) -> Result<Exit, Report> {
    match command {
        Policy::Aws(args) => of_aws(global, args),
        Policy::Oci(args) => of_oci(global, args),
    }
}

fn of_aws(global: &Global, args: &PolicyAws) -> Result<Exit, Report> {
    let common = &args.common;
    let scope = aws::Scope {
        role: config::load(&global.config)?.aws_role.map(|role| role.arn),
        partition: args.partition.clone(),
        region: args.region.clone(),
        account: args.account.clone(),
        keys: args.kms_key.clone(),
    };
    let made = aws::policy(&needs(global, common)?, common.role, &scope);
    if let Some(file) = &common.check {
        return compared("aws", global, common, compare_aws::compare(&made.document, &read(file)?));
    }
    show(
        global,
        PolicyView {
            cloud: "aws",
            role: word(common.role),
            policy: Some(made.document),
            statements: Vec::new(),
            matching_rule: None,
            lines: made.lines,
            notes: made.notes,
            explain: common.explain,
        },
    )
}

fn of_oci(global: &Global, args: &PolicyOci) -> Result<Exit, Report> {
    let common = &args.common;
    let subject = match &args.group {
        Some(group) => format!("group {group}"),
        None => format!("dynamic-group {}", args.dynamic_group),
    };
    let scope = oci::Scope { subject, compartment: args.compartment.clone(), keys: args.vault_key.clone() };
    let needs = needs(global, common)?;
    let mut made = oci::policy(&needs, common.role, &scope);
    if let Some(file) = &common.check {
        return compared("oci", global, common, compare_oci::compare(&made.statements, &read(file)?));
    }
    if args.group.is_none() && needs.iter().any(|one| one.key == "oci.key") {
        made.notes.push("requests to OCI are signed with an API key: name its user's group with --group".to_owned());
    }
    let on_instance = config::load(&global.config)?.oci.auth == OciAuth::InstancePrincipal;
    let matching_rule = args.group.is_none().then(|| {
        let (rule, note) = matching_rule(args, on_instance);
        made.notes.extend(note);
        MatchingRule { dynamic_group: args.dynamic_group.clone(), rule }
    });
    show(
        global,
        PolicyView {
            cloud: "oci",
            role: word(common.role),
            policy: None,
            statements: made.statements,
            matching_rule,
            lines: made.lines,
            notes: made.notes,
            explain: common.explain,
        },
    )
}

/// Who belongs to the dynamic group, and what is to be said if nobody was named. The variables are those of Oracle documentation,
/// "Writing Matching Rules to Define Dynamic Groups".
fn matching_rule(args: &PolicyOci, on_instance: bool) -> (String, Option<String>) {
    let function = |ocid: &str| format!("ALL {{resource.type = 'fnfunc', resource.id = '{ocid}'}}");
    let instance = |ocid: &str| format!("ALL {{instance.id = '{ocid}'}}");
    match (&args.function, &args.instance, &args.instance_compartment) {
        (Some(ocid), _, _) => (function(ocid), None),
        (None, Some(ocid), _) => (instance(ocid), None),
        (None, None, Some(ocid)) => (format!("ALL {{instance.compartment.id = '{ocid}'}}"), None),
        (None, None, None) if on_instance => {
            let note = format!(
                "{INSTANCE} stands for the instance: name it with --instance, or all of a compartment with --instance-compartment"
            );
            (instance(INSTANCE), Some(note))
        }
        (None, None, None) => {
            (function(FUNCTION), Some(format!("{FUNCTION} stands for the function: name it with --function")))
        }
    }
}

/// What the configuration makes this role touch.
fn needs(global: &Global, common: &PolicyCommon) -> Result<Vec<Use>, Report> {
    let config = config::load(&global.config)?;
    let names = names(&config, &common.sets)?;
    let location = common.config_location.as_deref().map(location).transpose()?;
    Ok(uses(&config, &names, common.role, location.as_ref()))
}

/// Where a function's configuration is: a parameter or one object.
fn location(text: &str) -> Result<Thing, Report> {
    if let Ok(reference @ Reference::AwsSsm { .. }) = text.parse() {
        return Ok(Thing::Secret(reference));
    }
    match text.parse::<Place>() {
        Ok(place @ (Place::S3 { .. } | Place::Oci { .. })) if !text.ends_with('/') => Ok(Thing::Object(place)),
        Ok(_) | Err(_) => {
            Err(Report::new(Code::Usage, format!("--config-location: `{text}` is no such place"), NOTHING_DONE)
                .hint("expected aws-ssm:/NAME, s3://BUCKET/KEY or oci://NAMESPACE/BUCKET/OBJECT"))
        }
    }
}

fn show(global: &Global, view: PolicyView) -> Result<Exit, Report> {
    if view.lines.is_empty() {
        let cloud = view.cloud.to_uppercase();
        tell(&format!("nothing in this configuration is in {cloud}: no right is needed there"), global.output);
    }
    for note in &view.notes {
        tell(note, global.output);
    }
    render::show(global.output, &view).map(|()| Exit::Done)
}

/// What is no part of the policy goes to standard error; the JSON document has it.
fn tell(note: &str, output: Output) {
    use std::io::Write as _;
    if logging::takes_errors() {
        tracing::warn!(note, "a note on the policy");
    } else if output == Output::Text {
        // There is no other place to complain to.
        drop(writeln!(anstream::stderr().lock(), "note: {note}"));
    }
}

fn read(file: &Path) -> Result<String, Report> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| {
        let what = format!("{}: the policy cannot be read ({})", file.display(), error.kind());
        Report::new(Code::PolicyUnreadable, what, NOTHING_DONE).hint("name a text file with the policy")
    })
}

fn compared(
    cloud: &'static str,
    global: &Global,
    common: &PolicyCommon,
    found: Result<compare_aws::Differences, String>,
) -> Result<Exit, Report> {
    let file = common.check.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let found = found.map_err(|why| {
        let hint = match cloud {
            "aws" => "expected the JSON of a policy, or what `aws iam get-role-policy` prints",
            _ => "expected one statement per line, or what `oci iam policy get` prints",
        };
        Report::new(Code::PolicyUnreadable, format!("{file}: {why}"), NOTHING_DONE).hint(hint)
    })?;
    let check = PolicyCheck::new(cloud, word(common.role), file, found);
    render::show(global.output, &check)?;
    if check.is_equal() {
        return Ok(Exit::Done);
    }
    let what = format!("{} does not grant what the configuration needs, or grants more", check.file);
    Err(Report::new(Code::PolicyDiffers, what, "nothing was asked of the cloud and nothing was changed").hint(format!(
        "replace it by what `dizzy-keys policy {cloud}` prints; `--explain` says what each right is for"
    )))
}

fn word(role: Role) -> String {
    role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
