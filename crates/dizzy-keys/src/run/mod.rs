//! From the arguments to an exit code: which command runs, and how its error is told.

mod audit;
pub(crate) mod check;
mod confirm;
pub(crate) mod explain;
mod heartbeat;
pub(crate) mod notices;
mod notify;
pub(crate) mod plan;
mod policy;
mod prepare;
mod rebuild;
mod reconcile;
pub(crate) mod revoke;
pub(crate) mod rotate;
mod slots;
pub(crate) mod status;
pub(crate) mod verify;
mod watch;
pub(crate) mod with_set;

pub(crate) use with_set::{block_on, names, ready};

use std::{
    ffi::OsString,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use clap::{
    Parser as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use dizzy_host::config;
use dizzy_runtime::{Place, Trace};
use serde::Serialize;

use crate::{
    args::{self, Cli, Command, Global, LogFormat, Output},
    code::{Code, Exit},
    environment, function, harden, init, logging, render,
    report::{NOTHING_DONE, Report},
    static_build,
};

/// Serves the platform that has started the program, or runs the command that the arguments name and tells its error.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Place::detect(environment::text) {
        Ok(Place::CommandLine) => command(args),
        Ok(place) => function::serve(&place),
        Err(error) => {
            let report = Report::new(Code::PlatformUnclear, error.to_string(), NOTHING_DONE)
                .hint("only the platform sets these variables; on a command line, unset them");
            report.tell(Output::Json);
            report.exit_code().into()
        }
    }
}

fn command(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(not_a_command(&error, &args)),
    };
    let output = cli.global.output;
    harden::speak(cli.global.lines());
    logging::start(&cli.global);
    harden::tell();
    let run = || static_build::fits_this_host().and_then(|()| dispatch(cli));
    let trace = with_set::trace();
    tracing::error_span!("run", trace_id = trace.as_ref().map(Trace::id)).in_scope(|| {
        match panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(broken())) {
            Ok(exit) => exit.into(),
            Err(report) => {
                report.tell(output);
                report.exit_code().into()
            }
        }
    })
}

/// What a panic is told as. Its message may quote anything, so it is not looked at.
fn broken() -> Report {
    let place = harden::place_of_panic().unwrap_or_default();
    let state = "it is not known how far this run came; every password that may be in use is in the stores, and the register says \
                 where each set is";
    Report::new(Code::Internal, format!("the program has a fault and gave up, at {place}"), state)
        .hint("`dizzy-keys status` shows where each set is, `dizzy-keys recover SET` finishes or undoes what was begun; please report the place")
}

fn dispatch(cli: Cli) -> Result<Exit, Report> {
    harden::panic_if_asked();
    let Cli { global, command } = cli;
    match command {
        Command::Init(args) => init::run(&global, &args).map(|()| Exit::Done),
        Command::Schema => schema().map(|()| Exit::Done),
        Command::Completions(args) => render::print(&args::completions(args.shell)).map(|()| Exit::Done),
        Command::Audit(command) => audit::run(&global, &command),
        Command::Check(args) => check::run(&global, &args),
        Command::Notify(command) => notify::run(&global, &command),
        Command::Plan(args) => plan::run(&global, &args),
        Command::Policy(command) => policy::run(&global, &command),
        Command::Prepare(args) => prepare::run(&global, &args),
        Command::Reconcile(args) => reconcile::run(&global, &args),
        Command::Recover(args) if args.from_world => rebuild::run(&global, &args),
        Command::Recover(args) => rotate::recover(&global, &args),
        Command::Revoke(args) => revoke::run(&global, &args),
        Command::Rotate(args) => rotate::rotate(&global, &args),
        Command::Status(args) => status::run(&global, &args),
        Command::Verify(args) => verify::run(&global, &args),
    }
}

/// The schema is JSON in either output form.
fn schema() -> Result<(), Report> {
    render::print(pretty(&config::schema())?.as_bytes())
}

fn pretty(value: &impl Serialize) -> Result<String, Report> {
    serde_json::to_string_pretty(value)
        .map(|json| json + "\n")
        .map_err(|_| Report::new(Code::Internal, "the schema cannot be written as JSON", NOTHING_DONE))
}

/// Help and version go to standard output; anything else is a usage error in our form.
fn not_a_command(error: &clap::Error, args: &[OsString]) -> Exit {
    let kind = error.kind();
    let asked_for = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked_for || kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that has gone away is no error, and there is nothing else to say.
        drop(error.print());
        return if asked_for { Exit::Done } else { Exit::Usage };
    }
    // The first paragraph of clap's own rendering is the message; usage and tips follow.
    let rendered = error.render().to_string();
    let message = rendered.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    let suggested = error.context().find_map(|(kind, value)| match (kind, value) {
        (
            ContextKind::SuggestedArg | ContextKind::SuggestedSubcommand | ContextKind::SuggestedValue,
            ContextValue::String(name),
        ) => Some(name.clone()),
        (
            ContextKind::SuggestedArg | ContextKind::SuggestedSubcommand | ContextKind::SuggestedValue,
            ContextValue::Strings(names),
            // From the least to the most alike.
        ) => names.last().cloned(),
        _ => None,
    });
    let hint = match suggested {
        Some(name) => format!("did you mean `{name}`? `dizzy-keys --help` lists everything"),
        None => "`dizzy-keys --help` lists the commands, `dizzy-keys COMMAND --help` what each takes".to_owned(),
    };
    let report = Report::new(Code::Usage, lines.join(" "), NOTHING_DONE).hint(hint);
    let global = wanted(args);
    logging::start(&global);
    report.tell(global.output);
    report.exit_code()
}

/// The forms of output that were asked for, as far as they can be told from arguments that cannot be understood.
fn wanted(args: &[OsString]) -> Global {
    let texts: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let pairs = texts.windows(2).any(|pair| matches!(pair, ["--output" | "-o", "json"]));
    let joined = texts.iter().any(|arg| matches!(*arg, "--output=json" | "-o=json" | "-ojson"));
    let lines = texts.windows(2).any(|pair| matches!(pair, ["--log-format", "json"]));
    let lines = lines || texts.contains(&"--log-format=json");
    Global {
        config: args::DEFAULT_CONFIG.into(),
        output: if pairs || joined { Output::Json } else { Output::Text },
        log_format: lines.then_some(LogFormat::Json),
        yes: false,
        verbose: 0,
    }
}
