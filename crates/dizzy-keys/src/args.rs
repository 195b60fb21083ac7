//! The command line as clap reads it: commands, options, help texts with examples.
//!
//! Only shapes are checked here. The environment gives one thing: `DIZZY_KEYS_CONFIG`, if `--config` is not given.

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

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
#[command(name = "dizzy-keys", version, after_help = AFTER_HELP, max_term_width = 100, arg_required_else_help = true)]
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
    /// Answer yes to every question.
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub yes: bool,
    /// Say more on standard error: -v what is done, -vv details.
    #[arg(long, short, global = true, help_heading = GLOBAL, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Where the help of each command shows the options of all.
const GLOBAL: &str = "Options of every command";

/// The configuration file without `--config`.
pub const DEFAULT_CONFIG: &str = "./dizzy-keys.toml";

/// How results are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// One JSON document; errors as one JSON line on standard error.
    Json,
    /// For people.
    Text,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a commented configuration file.
    #[command(after_help = "Examples:\n  dizzy-keys init\n  dizzy-keys --config orders.toml init")]
    Init(Init),
    /// Look at everything a rotation needs, and change nothing.
    ///
    /// Reaches every database, store and journal, verifies TLS, logs in with what is published, and looks at rights, fences,
    /// expiries and the clock. Exit code 0 if a rotation could start, 1 if not.
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
    /// Sets are rotated one after the other; one that fails does not stop the others. The exit code is that of the worst.
    #[command(
        after_help = "Examples:\n  dizzy-keys rotate orders\n  dizzy-keys rotate --due        # from cron or a timer\n  dizzy-keys rotate --all --output json"
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
    /// Finish or undo what an interrupted rotation has begun.
    ///
    /// `rotate` does the same before it starts; `recover` begins no rotation of its own. Without names: every set that is unfinished.
    #[command(after_help = "Examples:\n  dizzy-keys recover\n  dizzy-keys recover orders")]
    Recover(Recover),
    /// Print the JSON schema of the configuration file.
    #[command(after_help = "Examples:\n  dizzy-keys schema > dizzy-keys.schema.json")]
    Schema,
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:\n  dizzy-keys completions bash > /etc/bash_completion.d/dizzy-keys")]
    Completions(Completions),
}

/// `init`.
#[derive(Args, Clone, Debug)]
pub struct Init {
    /// Replace a file that is there already.
    #[arg(long)]
    pub force: bool,
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
    /// Accept a rotation that cannot be undone once it has begun (strategy "single").
    #[arg(long)]
    pub forward_only: bool,
    /// Accept that a secret changes from the format it holds to the one in the configuration.
    #[arg(long)]
    pub change_format: bool,
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
}

/// `completions`.
#[derive(Args, Clone, Debug)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

impl Global {
    /// The program with the options that name the same configuration, to be put before a command in a hint.
    #[must_use]
    pub fn invocation(&self) -> String {
        let config = self.config.display().to_string();
        if config == DEFAULT_CONFIG {
            return "dizzy-keys".to_owned();
        }
        format!("dizzy-keys --config {}", quoted(&config))
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
    for command in root.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        section(&mut page, command, "###");
    }
    page
}

fn section(page: &mut String, command: &mut clap::Command, heading: &str) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n{heading} {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()));
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
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
        for line in
            ["rotate", "rotate orders --all", "rotate --all --due", "rotate --due orders", "rotate --forward-only"]
        {
            assert!(parse(&format!("dizzy-keys {line}")).is_err(), "{line}");
        }
        for line in ["rotate a b", "rotate --all", "rotate --due --change-format", "rotate a --forward-only"] {
            assert!(parse(&format!("dizzy-keys {line}")).is_ok(), "{line}");
        }
    }

    #[test]
    fn hints_name_the_same_configuration() {
        let invocation = |line: &str| parse(line).unwrap().global.invocation();
        assert_eq!(invocation("dizzy-keys --config ./dizzy-keys.toml status"), "dizzy-keys");
        assert_eq!(invocation("dizzy-keys --config /etc/dizzy.toml status"), "dizzy-keys --config /etc/dizzy.toml");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
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
