//! The command line as clap reads it: commands, options, help texts with examples.
//!
//! Only shapes are checked here. The environment gives one thing: `DIZZY_KEYS_CONFIG`, if `--config` is not given.

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint, value_parser};
use clap_complete::Shell;
use dizzy_host::{config::Shard, port::shell_word};

const AFTER_HELP: &str = "\
A first rotation:
  dizzy-keys init                     # write a commented dizzy-keys.toml, then edit it
  dizzy-keys check                    # look at everything, change nothing
  dizzy-keys prepare orders           # fence table, second user, grants
  dizzy-keys plan orders              # what a rotation would do, in order
  dizzy-keys rotate orders

Exit codes:
  0  done
  1  failed, and the old credentials are valid everywhere
  2  wrong usage or configuration; nothing was done
  3  needs a human; the message says which password works where
  4  another worker holds the set
  5  the audit trail does not verify
  6  decided but unfinished: resumes by itself at the next run

Data goes to standard output, everything else to standard error. Each error has a code (DK-...) with a page in docs/errors/.";

/// Rotates database credentials atomically, across databases and clouds.
///
/// A rotation set is a number of database accounts and the secrets that publish them. It moves to new credentials as one unit: all of
/// it, or none. Whatever is killed, at any moment, the next run finishes the job.
#[derive(Clone, Debug, Parser)]
#[command(name = "dizzy-keys", version = VERSION, after_help = AFTER_HELP, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        help_heading = GLOBAL,
        env = "DIZZY_KEYS_CONFIG",
        default_value = DEFAULT_CONFIG,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        hide_env_values = true
    )]
    pub config: PathBuf,
    /// How to write results: for people, or as one JSON document.
    #[arg(long, short, global = true, help_heading = GLOBAL, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub output: Output,
    /// How to write what goes to standard error: for people, or as one flat JSON object per line, errors too.
    ///
    /// Without it, log lines have the form of --output.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Answer yes to every question.
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub yes: bool,
    /// Say more on standard error: -v what is done, -vv details.
    #[arg(long, short, global = true, help_heading = GLOBAL, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Where the help of each command shows the options of all.
const GLOBAL: &str = "Options of every command";

/// The version, and the commit if an image was built from one.
pub const VERSION: &str = env!("DIZZY_KEYS_VERSION");

/// The configuration file without `--config`.
pub const DEFAULT_CONFIG: &str = "./dizzy-keys.toml";

/// Sets that are worked on at the same time. A rotation is mostly waiting, so one core serves more than this; Secrets Manager takes 50
/// changing calls a second per account and region (AWS, "Secrets Manager quotas"), and a rotation makes about four in half a second.
pub const DEFAULT_CONCURRENCY: u16 = 8;
/// More would wait for the processor, and each holds some connections.
const MAX_CONCURRENCY: i64 = 64;

/// How results are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// One JSON document; errors as one JSON line on standard error.
    Json,
    /// For people.
    Text,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One flat JSON object per line.
    Json,
    /// For people.
    Text,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a configuration file: commented, or from secrets that exist.
    ///
    /// Without options, a commented example. With --from-aws-secret or --from-oci-secret, which may be repeated and mixed: one set with
    /// these secrets and the databases that they publish, as short as it can be. CURRENT is read for that, and never shown.
    #[command(
        after_help = "Examples:\n  dizzy-keys init\n  dizzy-keys --config orders.toml init\n  dizzy-keys init --from-aws-secret prod/orders --admin aws-sm:prod/orders-admin\n  dizzy-keys init --set orders --from-aws-secret prod/orders --from-oci-secret ocid1.vaultsecret.oc1..."
    )]
    Init(Init),
    /// Look at everything a rotation needs, and change nothing.
    ///
    /// Reaches every database, store and journal, verifies TLS, logs in with what is published, and looks at rights, fences,
    /// expiries and the clock. It ends with a list of what is missing and what mends each: a command, a statement for an
    /// administrator, keys of the configuration. Exit code 0 if a rotation could start, 1 if not.
    #[command(after_help = "Examples:\n  dizzy-keys check\n  dizzy-keys check orders --output json")]
    Check(Sets),
    /// Create what a set needs: the fence table, second users, grants.
    ///
    /// Logs in with the database's `admin` reference, shows what is missing, asks, and creates it. Can be repeated. With --print-sql it
    /// reaches no database and prints the statements for an administrator to run.
    #[command(
        after_help = "Examples:\n  dizzy-keys prepare orders\n  dizzy-keys prepare --yes\n  dizzy-keys prepare orders --print-sql > prepare.sql"
    )]
    Prepare(Prepare),
    /// Show what a rotation would do, in order, and change nothing.
    ///
    /// Steps, calls to the clouds and how many of them are billed, the lockout window to expect, whether it can be undone, and the
    /// strength of the passwords.
    #[command(after_help = "Examples:\n  dizzy-keys plan orders\n  dizzy-keys plan orders --output json")]
    Plan(Plan),
    /// Rotate the credentials of sets.
    ///
    /// Several sets are worked on at the same time and do not wait for each other: one that fails or hangs does not stop the others.
    /// The exit code is that of the worst.
    #[command(
        after_help = "Examples:\n  dizzy-keys rotate orders\n  dizzy-keys rotate --due                # from cron or a timer\n  dizzy-keys rotate --due --shard 2/5    # the second of five workers\n  dizzy-keys rotate --all --output json"
    )]
    Rotate(Rotate),
    /// Show phase, generation, age and next rotation of sets, and what to do next.
    #[command(after_help = "Examples:\n  dizzy-keys status\n  dizzy-keys status orders --output json")]
    Status(Sets),
    /// Log in with what every secret publishes.
    ///
    /// Exit code 0 if every published credential logs in, 3 if one is refused, 1 if it could not be tried.
    #[command(after_help = "Examples:\n  dizzy-keys verify\n  dizzy-keys verify orders")]
    Verify(Sets),
    /// Make every credential useless that was published before: for one that has leaked.
    ///
    /// Two rotations, one after the other (one for a database with a single user), so that every user gets a password that nobody has
    /// seen; open rollover windows are ended, and then older sessions. Afterwards each earlier credential that a secret still holds is
    /// tried, and must be refused. `every`, `window`, `pause` and sessions of consumers do not delay it; it asks before it begins. Once
    /// begun it is remembered: whatever stops it, `recover` or `revoke` goes on.
    #[command(
        after_help = "Examples:\n  dizzy-keys revoke orders\n  dizzy-keys revoke orders billing --yes\n  dizzy-keys revoke orders --dry-run"
    )]
    Revoke(Revoke),
    /// Try whether notices arrive.
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Repair what somebody changed beside the register: passwords and secrets that drifted.
    ///
    /// Shows what it found and what it would do, asks, and brings the published generation back: a user changes its password by itself,
    /// CURRENT moves by compare-and-swap. What every secret publishes and every database accepts is kept, whoever put it there.
    /// Exit code 0 if there is no drift, or none is left.
    #[command(
        after_help = "Examples:\n  dizzy-keys reconcile orders --dry-run\n  dizzy-keys reconcile orders\n  dizzy-keys reconcile orders --break-glass    # an administrator sets a password that nobody knows"
    )]
    Reconcile(Reconcile),
    /// Verify, read and export the audit trail.
    #[command(subcommand)]
    Audit(Audit),
    /// Finish or undo what an interrupted rotation has begun.
    ///
    /// `rotate` does the same before it starts; `recover` begins no rotation of its own. Without names: every set that is unfinished.
    #[command(
        after_help = "Examples:\n  dizzy-keys recover\n  dizzy-keys recover orders\n  dizzy-keys recover --from-world orders    # the register is lost for good"
    )]
    Recover(Recover),
    /// Print the rights that this configuration needs in a cloud, and no others.
    ///
    /// Made from the configuration alone; nothing is asked or changed. Rights are bound to the secrets, parameters, buckets and prefixes
    /// that the configuration names.
    #[command(subcommand)]
    Policy(Policy),
    /// Print the JSON schema of the configuration file.
    #[command(after_help = "Examples:\n  dizzy-keys schema > dizzy-keys.schema.json")]
    Schema,
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:\n  dizzy-keys completions bash > /etc/bash_completion.d/dizzy-keys")]
    Completions(Completions),
}

/// `notify`.
#[derive(Clone, Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send one test notice to every receiver of `[notify]`.
    ///
    /// Exit code 0 if each has taken it. Nothing else is looked at; `check` reads the receivers' secrets and sends nothing.
    #[command(after_help = "Examples:\n  dizzy-keys notify test\n  dizzy-keys notify test --output json")]
    Test,
}

/// `init`.
#[derive(Args, Clone, Debug)]
pub struct Init {
    /// Replace a file that is there already.
    #[arg(long)]
    pub force: bool,
    /// A secret in AWS Secrets Manager, by name or ARN, to fill the configuration from; may be repeated.
    #[arg(long, value_name = "NAME-OR-ARN")]
    pub from_aws_secret: Vec<String>,
    /// A secret in OCI Vault to fill the configuration from; may be repeated.
    #[arg(long, value_name = "OCID")]
    pub from_oci_secret: Vec<String>,
    /// Name of the set (default: made from the name of the secret or database).
    #[arg(long, value_name = "SET")]
    pub set: Option<String>,
    /// How passwords change: two users that take turns, or one.
    #[arg(long, value_enum, default_value_t = DraftStrategy::Alternating)]
    pub strategy: DraftStrategy,
    /// Reference to an administrator's login, for `prepare`: aws-sm:NAME, oci-vault:OCID, env:NAME or file:PATH.
    #[arg(long, value_name = "REFERENCE")]
    pub admin: Option<String>,
    /// Reference to private roots (PEM) for TLS to the databases.
    #[arg(long, value_name = "REFERENCE")]
    pub tls_ca: Option<String>,
}

/// The strategy that `init` writes for every database.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum DraftStrategy {
    /// Two users take turns: no moment without a working credential.
    Alternating,
    /// One user, Oracle only: both passwords are valid for a time.
    Rollover,
    /// One user: a short lockout at each rotation.
    Single,
}

/// Commands that take any number of sets.
#[derive(Args, Clone, Debug)]
pub struct Sets {
    /// Names of sets (default: every set of the configuration).
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
}

/// `prepare`.
#[derive(Args, Clone, Debug)]
pub struct Prepare {
    /// Names of sets (default: every set of the configuration).
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// Print the SQL statements for an administrator, and run none.
    #[arg(long)]
    pub print_sql: bool,
}

/// `plan`.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// Name of the set.
    pub set: String,
}

/// `rotate`.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Rotate {
    /// Names of sets.
    #[arg(value_name = "SET", group = "which")]
    pub sets: Vec<String>,
    /// Every set of the configuration.
    #[arg(long, group = "which")]
    pub all: bool,
    /// Every set whose `every` or `cron` says so, within its window.
    #[arg(long, group = "which")]
    pub due: bool,
    /// Only a part of the sets, by their names: `2/5` is the second of five (at most 1024).
    ///
    /// Each set is in exactly one part. Another N deals all sets anew: change it for all workers at once.
    #[arg(long, value_name = "I/N", conflicts_with = "sets")]
    pub shard: Option<Shard>,
    /// How many sets to work on at the same time.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY, value_parser = value_parser!(u16).range(1..=MAX_CONCURRENCY))]
    pub concurrency: u16,
    /// Accept a rotation that cannot be undone once it has begun (strategy "single").
    #[arg(long)]
    pub forward_only: bool,
    /// Accept that a secret changes from the format it holds to the one in the configuration.
    #[arg(long)]
    pub change_format: bool,
}

/// `revoke`.
#[derive(Args, Clone, Debug)]
pub struct Revoke {
    /// Names of sets.
    #[arg(value_name = "SET", required = true)]
    pub sets: Vec<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How many sets to work on at the same time.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY, value_parser = value_parser!(u16).range(1..=MAX_CONCURRENCY))]
    pub concurrency: u16,
}

/// `reconcile`.
#[derive(Args, Clone, Debug)]
pub struct Reconcile {
    /// Names of sets.
    #[arg(value_name = "SET", required = true)]
    pub sets: Vec<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where no password that a secret holds logs in: set the one that is published with the login of the database's `admin`.
    #[arg(long)]
    pub break_glass: bool,
}

/// `recover`.
#[derive(Args, Clone, Debug)]
pub struct Recover {
    /// Names of sets (default: every set that is unfinished).
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// Try logins again where earlier runs stopped so as not to lock an account.
    #[arg(long)]
    pub retry_logins: bool,
    /// Rebuild a register that is lost, from fences, names of versions, the audit trail and logins; asks before it writes one.
    ///
    /// Only where the lost register cannot be brought back, and nothing works with it any more: the new one fences every other worker
    /// off. A register that can be read is never replaced.
    #[arg(long, requires = "sets", conflicts_with = "retry_logins")]
    pub from_world: bool,
    /// How many sets to work on at the same time.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONCURRENCY, value_parser = value_parser!(u16).range(1..=MAX_CONCURRENCY))]
    pub concurrency: u16,
}

/// `audit`.
#[derive(Clone, Debug, Subcommand)]
pub enum Audit {
    /// Find out whether anything in the trail was changed, removed or added.
    ///
    /// Reads every record of every place, checks signatures and the chain, and compares the places with each other and with the register.
    /// Exit code 0 if nothing was found and all was checked, 1 if not all could be checked, 5 if the trail is not what was written.
    #[command(
        after_help = "Examples:\n  dizzy-keys audit verify\n  dizzy-keys audit verify orders --from s3://ops-audit/dizzy\n  dizzy-keys audit verify --from file:trail.ndjson --key-file key.txt --head STREAM:SEQ:HASH"
    )]
    Verify(AuditVerify),
    /// Show what happened, one line per record.
    #[command(
        after_help = "Examples:\n  dizzy-keys audit show orders --since 2d\n  dizzy-keys audit show orders --rotation 7\n  dizzy-keys audit show orders --follow"
    )]
    Show(AuditShow),
    /// Write records for another system: OCSF events, or the lines as they were stored.
    ///
    /// An `ndjson` export can be verified with `audit verify --from file:FILE`. Nothing is verified while exporting.
    #[command(
        after_help = "Examples:\n  dizzy-keys audit export --format ocsf --since 1d > events.jsonl\n  dizzy-keys audit export > trail.ndjson"
    )]
    Export(AuditExport),
    /// Show which credentials were rotated when, and which are over age.
    ///
    /// Exit code 0 if no set is over age, 1 otherwise. What it says is what the trail says: verify it first.
    #[command(
        after_help = "Examples:\n  dizzy-keys audit report --since 365d --max-age 90d\n  dizzy-keys audit report --format csv > report.csv"
    )]
    Report(AuditReport),
    /// Record a sign of life for sets, so that a silence of the trail means something. For a daily timer.
    #[command(after_help = "Examples:\n  dizzy-keys audit heartbeat")]
    Heartbeat(Sets),
    /// Hand over to another signing key.
    #[command(subcommand)]
    Key(AuditKey),
}

/// `audit key`.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditKey {
    /// Record that the key in `audit.key` signs from here on, signed by both keys.
    ///
    /// Put the key so far into `audit.former_keys` before. Sets that have been handed over are left alone.
    #[command(
        after_help = "Examples:\n  dizzy-keys audit key rotate\n  dizzy-keys audit key rotate orders\n  dizzy-keys audit key rotate orders --former-key-lost"
    )]
    Rotate(KeyRotate),
}

/// `audit key rotate`.
#[derive(Args, Clone, Debug)]
pub struct KeyRotate {
    /// Which sets.
    #[command(flatten)]
    pub sets: Sets,
    /// The key so far is lost: go on without its signature. `audit verify` tells of the break for ever, with exit code 1.
    #[arg(long)]
    pub former_key_lost: bool,
}

/// `audit verify`.
#[derive(Args, Clone, Debug)]
pub struct AuditVerify {
    /// Names of sets (default: every set of the configuration and of the places).
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// A place to read instead of those in `audit.sinks`; `file:` also takes an exported file. Can be repeated.
    #[arg(long, value_name = "PLACE")]
    pub from: Vec<String>,
    /// A file with a signing key, instead of those in the configuration. Can be repeated.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key_file: Vec<PathBuf>,
    /// A public key of signed notes, or a file with one, instead of the MAC keys. Can be repeated.
    #[arg(long, value_name = "KEY")]
    pub public_key: Vec<String>,
    /// A signed note that was kept elsewhere; the trail must agree with it. Can be repeated.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub note: Vec<PathBuf>,
    /// The last record that must be there, as an earlier verification printed it.
    #[arg(long, value_name = "STREAM:SEQ:HASH")]
    pub head: Option<String>,
    /// Do not read the registers.
    #[arg(long)]
    pub offline: bool,
    /// Accept that the trail begins in the middle, because older records were removed by a lifecycle rule.
    #[arg(long)]
    pub begins_late: bool,
    /// Tell sets whose last record is older than this (`36h`, `2d`).
    #[arg(long, value_name = "SPAN")]
    pub max_silence: Option<String>,
}

/// Which records.
#[derive(Args, Clone, Debug)]
pub struct Records {
    /// Names of sets (default: every set of the configuration).
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// A place to read instead of the first of `audit.sinks` that answers.
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
    /// Only records since then: a span (`2d`) or a time (`2026-01-31T00:00:00Z`).
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only records before then.
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// Only records of this rotation (the generation that it issued).
    #[arg(long, value_name = "N")]
    pub rotation: Option<u64>,
}

/// `audit show`.
#[derive(Args, Clone, Debug)]
pub struct AuditShow {
    /// Which records.
    #[command(flatten)]
    pub records: Records,
    /// Go on with what is added, until interrupted.
    #[arg(long)]
    pub follow: bool,
}

/// `audit export`.
#[derive(Args, Clone, Debug)]
pub struct AuditExport {
    /// Which records.
    #[command(flatten)]
    pub records: Records,
    /// The form.
    #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson, value_name = "FORMAT")]
    pub format: ExportFormat,
}

/// Forms of an export.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ExportFormat {
    /// The lines as they were stored.
    Ndjson,
    /// One OCSF 1.5 event per line.
    Ocsf,
}

/// `audit report`.
#[derive(Args, Clone, Debug)]
pub struct AuditReport {
    /// Which records.
    #[command(flatten)]
    pub records: Records,
    /// How old a credential may be before it is told as over age.
    #[arg(long, value_name = "SPAN")]
    pub max_age: Option<String>,
    /// The form.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, value_name = "FORMAT")]
    pub format: ReportFormat,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ReportFormat {
    /// One line per rotation, separated by commas.
    Csv,
    /// For people; with `--output json` a JSON document.
    Text,
}

/// `policy`.
#[derive(Clone, Debug, Subcommand)]
pub enum Policy {
    /// Print an identity policy of IAM, as JSON.
    ///
    /// What the configuration does not know stands as `*`: name region and account.
    #[command(
        after_help = "Examples:\n  dizzy-keys policy aws --region us-west-2 --account 111122223333 > policy.json\n  dizzy-keys policy aws --for operator --explain\n  aws iam get-role-policy --role-name dizzy-keys-function --policy-name rotate > given.json\n  dizzy-keys policy aws --region us-west-2 --account 111122223333 --check given.json"
    )]
    Aws(PolicyAws),
    /// Print the statements of an OCI policy, one per line.
    ///
    /// The line that begins with # is the matching rule of the dynamic group.
    #[command(
        after_help = "Examples:\n  dizzy-keys policy oci --dynamic-group rotator --function ocid1.fnfunc.oc1..example\n  dizzy-keys policy oci --group rotators --explain\n  oci iam policy get --policy-id ocid1.policy.oc1..example > given.json\n  dizzy-keys policy oci --dynamic-group rotator --check given.json"
    )]
    Oci(PolicyOci),
}

/// What both policies take.
#[derive(Args, Clone, Debug)]
pub struct PolicyCommon {
    /// Names of sets (default: every set of the configuration).
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// Whom the rights are for.
    #[arg(long = "for", value_enum, default_value_t = Role::Worker, value_name = "ROLE")]
    pub role: Role,
    /// Say which call needs which right, and which key of the configuration asks for it.
    #[arg(long)]
    pub explain: bool,
    /// Compare with the policy in this file; exit code 1 if it grants too little or too much.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "explain")]
    pub check: Option<PathBuf>,
    /// Where a function reads its configuration: aws-ssm:/NAME, s3://BUCKET/KEY or oci://NAMESPACE/BUCKET/OBJECT.
    #[arg(long, value_name = "PLACE")]
    pub config_location: Option<String>,
}

/// Whom rights are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Role {
    /// The scheduled worker: rotate, recover, check, plan, status, verify.
    Worker,
    /// A person who prepares and revokes: the worker's, and the secrets of administrators.
    Operator,
    /// Who verifies and reads the audit trail: registers and trail, read only.
    Auditor,
}

/// `policy aws`.
#[derive(Args, Clone, Debug)]
pub struct PolicyAws {
    /// What both policies take.
    #[command(flatten)]
    pub common: PolicyCommon,
    /// The region of secrets and parameters that are given by name.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The account of secrets and parameters that are given by name: twelve digits.
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// The partition: aws, aws-cn, aws-us-gov.
    #[arg(long, value_name = "PARTITION", default_value = "aws")]
    pub partition: String,
    /// A customer managed key: its ARN, or SERVICE=ARN for what secretsmanager, ssm or s3 encrypts with it. Can be repeated.
    #[arg(long, value_name = "[SERVICE=]ARN")]
    pub kms_key: Vec<KmsKey>,
}

/// `policy oci`.
#[derive(Args, Clone, Debug)]
pub struct PolicyOci {
    /// What both policies take.
    #[command(flatten)]
    pub common: PolicyCommon,
    /// The dynamic group of the function, instance or workload.
    #[arg(long, value_name = "NAME", default_value = "dizzy-keys")]
    pub dynamic_group: String,
    /// Instead of a dynamic group: the group of a user who signs with an API key.
    #[arg(long, value_name = "NAME", conflicts_with = "dynamic_group")]
    pub group: Option<String>,
    /// The function's OCID, for the matching rule of the dynamic group.
    #[arg(long, value_name = "OCID")]
    pub function: Option<String>,
    /// Instead of a function: the OCID of an instance of OCI compute.
    #[arg(long, value_name = "OCID", conflicts_with = "function")]
    pub instance: Option<String>,
    /// Instead of a function: the compartment whose instances, every one of them, are in the dynamic group.
    #[arg(long, value_name = "OCID", conflicts_with_all = ["function", "instance"])]
    pub instance_compartment: Option<String>,
    /// The compartment of everything (default: the whole tenancy; rights are bound to OCIDs and buckets either way).
    #[arg(long, value_name = "OCID")]
    pub compartment: Option<String>,
    /// The master key of a published secret. Can be repeated.
    #[arg(long, value_name = "OCID")]
    pub vault_key: Vec<String>,
}

/// A key of KMS, and which service uses it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KmsKey {
    /// `None`: every one that is used.
    pub service: Option<KmsService>,
    /// Its ARN.
    pub arn: String,
}

/// A service that encrypts with a caller's key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KmsService {
    /// Buckets.
    S3,
    /// Secrets.
    SecretsManager,
    /// Parameters.
    Ssm,
}

impl KmsService {
    /// As `kms:ViaService` begins.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
        }
    }
}

impl core::str::FromStr for KmsKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, arn) = match text.split_once('=') {
            None => (None, text),
            Some((name, arn)) => {
                let known = [KmsService::S3, KmsService::SecretsManager, KmsService::Ssm];
                let service = known.into_iter().find(|service| service.name() == name);
                (Some(service.ok_or("the service is one of s3, secretsmanager, ssm")?), arn)
            }
        };
        // An alias is no resource of a policy on identities (KMS developer guide, "Using aliases to control access").
        if !arn.starts_with("arn:") || !arn.contains(":key/") {
            return Err(
                "name the key by its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias does not work in a policy"
                    .to_owned(),
            );
        }
        Ok(Self { service, arn: arn.to_owned() })
    }
}

/// `completions`.
#[derive(Args, Clone, Debug)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

impl Global {
    /// How log lines are written.
    #[must_use]
    pub const fn lines(&self) -> LogFormat {
        match (self.log_format, self.output) {
            (Some(format), _) => format,
            (None, Output::Json) => LogFormat::Json,
            (None, Output::Text) => LogFormat::Text,
        }
    }

    /// The program with the options that name the same configuration, to be put before a command in a hint.
    #[must_use]
    pub fn invocation(&self) -> String {
        let config = self.config.display().to_string();
        if config == DEFAULT_CONFIG {
            return "dizzy-keys".to_owned();
        }
        format!("dizzy-keys --config {}", shell_word(&config))
    }
}

/// The completion script for `shell`.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dizzy-keys", &mut script);
    script
}

/// The whole command line as a page: the help of the program and of every command.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Command line\n\nMade from the program's own help; a test keeps it so.\nRegenerate with `INSTA_UPDATE=always cargo test -p dizzy-keys`.\n",
    );
    let mut root = Cli::command();
    root.build();
    section(&mut page, &mut root, "##");
    sections(&mut page, &mut root, "###");
    page
}

fn sections(page: &mut String, of: &mut clap::Command, heading: &str) {
    for command in of.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        section(page, command, heading);
        sections(page, command, heading);
    }
}

fn section(page: &mut String, command: &mut clap::Command, heading: &str) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n{heading} {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn clap_finds_no_fault_with_the_definitions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_behind_the_command() {
        for line in [
            "dizzy-keys --config x.toml --output json --yes -vv rotate orders",
            "dizzy-keys rotate orders --config x.toml --output json --yes -vv",
        ] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.global.config, PathBuf::from("x.toml"));
            assert_eq!((cli.global.output, cli.global.yes, cli.global.verbose), (Output::Json, true, 2));
            assert!(matches!(cli.command, Command::Rotate(Rotate { ref sets, .. }) if sets == &["orders"]));
        }
    }

    #[test]
    fn rotate_wants_exactly_one_way_of_naming_sets() {
        for line in [
            "rotate",
            "rotate orders --all",
            "rotate --all --due",
            "rotate --due orders",
            "rotate --forward-only",
            "rotate --shard 1/2",
        ] {
            assert!(parse(&format!("dizzy-keys {line}")).is_err(), "{line}");
        }
        for line in ["rotate a b", "rotate --all", "rotate --due --change-format", "rotate a --forward-only"] {
            assert!(parse(&format!("dizzy-keys {line}")).is_ok(), "{line}");
        }
    }

    #[test]
    fn parts_and_numbers_of_sets_have_limits() {
        for line in
            ["rotate --due --shard 1/1", "rotate --all --shard 1024/1024 --concurrency 64", "recover --concurrency 1"]
        {
            assert!(parse(&format!("dizzy-keys {line}")).is_ok(), "{line}");
        }
        for wrong in ["0/3", "4/3", "a/b", "1", "1/1025", "-1/3"] {
            assert!(parse(&format!("dizzy-keys rotate --all --shard={wrong}")).is_err(), "{wrong}");
        }
        for wrong in ["0", "65", "-1", "many", "70000"] {
            assert!(parse(&format!("dizzy-keys rotate --all --concurrency={wrong}")).is_err(), "{wrong}");
        }
        assert!(parse("dizzy-keys rotate orders --shard 1/2").is_err(), "a set that is named is meant");
    }

    #[test]
    fn hints_name_the_same_configuration() {
        let invocation = |line: &str| parse(line).unwrap().global.invocation();
        assert_eq!(invocation("dizzy-keys --config ./dizzy-keys.toml status"), "dizzy-keys");
        assert_eq!(invocation("dizzy-keys --config /etc/dizzy.toml status"), "dizzy-keys --config /etc/dizzy.toml");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test reads its own switch and writes its own page")]
    fn the_reference_page_is_what_the_program_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let page = reference();
        if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            page,
            "regenerate docs/cli.md, see its first lines"
        );
    }
}
