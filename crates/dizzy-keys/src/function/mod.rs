//! The program as a function: AWS Lambda or OCI Functions calls it with an event, and it answers with the document that the
//! command line would print.
//!
//! Everything is put together anew for each call (configuration, credentials, connections), because the process is frozen
//! between two and nothing that may expire is worth keeping. An end that is not exit code 0 is a failed call, so that the
//! platform's own repetition, alarms and statistics see it; what an end leaves unfinished is finished by the repetition.

mod direct;
mod event;
mod four_steps;
mod stretch;
mod time;
mod vault_steps;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use dizzy_host::{
    config::{Config, Place as Kept},
    driver::Limits,
    port::{Deadline, SystemClock},
};
use dizzy_runtime::{Handler, Invocation, Payload, Place, Reply, Trace, serve_functions, serve_lambda};
use serde_json::{Value, json};
use tracing::{Instrument as _, field};

use self::{event::Event, time::limits};
use crate::{
    args::{DEFAULT_CONFIG, Global, LogFormat, Output},
    code::{Code, Exit},
    compose::{self, Composer},
    harden, logging,
    metrics::Metrics,
    report::{NOTHING_DONE, Report},
    run,
};

/// What a call came to.
pub(crate) struct Answer {
    /// What the command line would print.
    pub(crate) document: Value,
    /// How it would exit.
    pub(crate) exit: Exit,
    /// The worst error.
    pub(crate) error: Option<Report>,
}

/// Serves the platform until it goes away.
pub(crate) fn serve(place: &Place) -> ExitCode {
    let global = global();
    harden::speak(LogFormat::Json);
    logging::start(&global);
    harden::tell();
    let served = run::block_on(async {
        let gone = |what: String| {
            Report::new(Code::PlatformGone, what, "no call was under way; what an earlier one left is in the registers")
                .hint("the platform starts the function again at the next call")
        };
        match place {
            Place::CommandLine => Ok(()),
            Place::Lambda { runtime_api } => {
                match serve_lambda(runtime_api, &SystemClock, &Function { place: "lambda", metrics: Metrics::Embedded })
                    .await
                {
                    Ok(never) => match never {},
                    Err(error) => Err(gone(error.to_string())),
                }
            }
            Place::Functions { socket } => {
                let function = Function { place: "functions", metrics: Metrics::Lines };
                match serve_functions(socket, Arc::new(SystemClock), function).await {
                    Ok(never) => match never {},
                    Err(error) => Err(gone(error.to_string())),
                }
            }
        }
    });
    match served {
        Ok(()) => Exit::Done.into(),
        Err(report) => {
            report.tell(Output::Json);
            report.exit_code().into()
        }
    }
}

/// The options of a command line that a function does not have.
fn global() -> Global {
    let (config, log_format) = (PathBuf::from(DEFAULT_CONFIG), Some(LogFormat::Json));
    Global { config, output: Output::Json, log_format, yes: true, verbose: 1 }
}

struct Function {
    place: &'static str,
    metrics: Metrics,
}

/// What every command and every step gets from the call.
#[derive(Clone)]
struct Around {
    limits: Limits,
    trace: Option<String>,
    metrics: Metrics,
}

impl Around {
    fn composer(&self, config: Config) -> Composer {
        Composer::new(config).within(self.limits).traced(self.trace.clone()).measured(self.metrics)
    }
}

impl Handler for Function {
    async fn handle(&self, invocation: Invocation) -> Reply {
        let invocation = Invocation { trace: trace_of(&invocation), ..invocation };
        // As an error, so that it exists however little is logged. A step of a cloud's rotation fills in the last two.
        let span = tracing::error_span!(
            "call",
            call = invocation.id,
            trace_id = invocation.trace.as_ref().map(Trace::id),
            set = field::Empty,
            rotation = field::Empty,
        );
        let work = async {
            tracing::info!(left_ms = invocation.left.map(|left| left.as_millis()), "called");
            let answer = self.answer(&invocation).await;
            let code = answer.error.as_ref().map(|error| error.code().text());
            tracing::info!(exit = answer.exit.number(), code, "answered");
            reply(answer)
        };
        // Boxed: the futures of all commands in one are large.
        Box::pin(work.instrument(span)).await
    }

    fn panicked(&self) -> Reply {
        let what = "the program stopped in the middle of a call";
        let state = "the registers say what is decided; nothing was done after that moment";
        reply(failed(Report::new(Code::Internal, what, state).hint("the next call goes on; report this with its log")))
    }

    fn late(&self) -> Reply {
        let state = "the registers say what is decided; nothing was done after that moment";
        let hint = "the next call goes on by itself; give the function a longer timeout: five minutes suit most sets";
        reply(failed(Report::new(Code::NoTime, "the platform's time was over before the work was", state).hint(hint)))
    }
}

impl Function {
    async fn answer(&self, invocation: &Invocation) -> Answer {
        let event = match &invocation.payload {
            Payload::TooLong => Err(too_long()),
            Payload::Whole(bytes) => Event::parse(bytes),
        };
        let limits = limits(invocation.left);
        let event = match event {
            Ok(event) => event,
            Err(report) => return failed(report),
        };
        let trace = invocation.trace.as_ref().map(ToString::to_string);
        let around = Around { limits, trace, metrics: self.metrics };
        let contract = matches!(event, Event::Vault(_));
        let work = async {
            let config = compose::configuration(Deadline::after(limits.call)).await?;
            self.refuse_local(&config)?;
            run::ready(&config)?;
            match event {
                Event::Direct(direct) => direct::act(&global(), config, &around, direct).await,
                Event::FourSteps(step) => four_steps::act(config, around, &step).await,
                Event::Vault(step) => vault_steps::act(config, around, &step).await,
            }
        };
        match work.await {
            Ok(answer) => answer,
            // Vault reads failures in a successful answer.
            Err(report) if contract => vault_steps::refused(&report),
            Err(report) => failed(report),
        }
    }

    /// A register or a trail on the disk of a function is gone with it.
    fn refuse_local(&self, config: &Config) -> Result<(), Report> {
        let journal = (
            "journal.url",
            &config.journal,
            "keep registers in `s3://BUCKET/PREFIX` or `oci://NAMESPACE/BUCKET/PREFIX`",
        );
        let sink_hint =
            "set `audit.sinks` to `s3://BUCKET/PREFIX` or `oci://NAMESPACE/BUCKET/PREFIX`, best one of each";
        let sinks = config.audit.sinks.iter().map(|sink| ("audit.sinks", sink, sink_hint));
        for (key, kept, hint) in core::iter::once(journal).chain(sinks) {
            if let Kept::File(_) = kept {
                let what = format!("{key}: {kept} is on the disk of a {} container, which does not last", self.place);
                return Err(Report::new(Code::LocalPlace, what, NOTHING_DONE).hint(hint));
            }
        }
        Ok(())
    }
}

/// The event's own word goes before the platform's: it is nearer to who asked for the call.
fn trace_of(invocation: &Invocation) -> Option<Trace> {
    let own = match &invocation.payload {
        Payload::Whole(bytes) => Event::trace(bytes),
        Payload::TooLong => None,
    };
    own.or_else(|| invocation.trace.clone())
}

/// A call that ended with an error alone.
pub(crate) fn failed(report: Report) -> Answer {
    Answer { document: json!({"error": report}), exit: report.exit_code(), error: Some(report) }
}

/// The platform's form: what is not exit code 0 is a failed call.
fn reply(answer: Answer) -> Reply {
    let Answer { mut document, exit, error } = answer;
    if let Some(error) = &error {
        error.tell(Output::Json);
    }
    // What Vault reads has a form of its own.
    if let Some(fields) = document.as_object_mut().filter(|fields| !fields.contains_key("responseCode")) {
        fields.entry("exit").or_insert_with(|| json!(exit.number()));
        if let Some(error) = &error {
            fields.entry("error").or_insert_with(|| json!(error));
        }
    }
    let Some(error) = error.filter(|_| exit != Exit::Done) else { return Reply::Done { document } };
    let mut message = format!("{}; {}", error.what(), error.state());
    if let Some(hint) = error.next() {
        message.push_str(&format!("; hint: {hint}"));
    }
    let code = error.code().text().to_owned();
    if error.code() == Code::NoTime {
        return Reply::Late { code, message, document };
    }
    Reply::Failed { code, message, document }
}

fn too_long() -> Report {
    let what = format!("the event is longer than {} bytes", dizzy_runtime::MAX_EVENT);
    Report::new(Code::EventTooLong, what, NOTHING_DONE).hint("docs/lambda.md and docs/functions.md show the events")
}
