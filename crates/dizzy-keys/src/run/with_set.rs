//! What the commands share: the runtime, the configuration, the names of the sets.

use std::future::Future;

use dizzy_host::{
    config::{self, Config, Engine},
    reference::Reference,
};
use dizzy_runtime::Trace;

use crate::{
    args::Global,
    code::Code,
    compose::{self, Composer},
    environment, harden,
    report::{NOTHING_DONE, Report},
};

/// Runs an asynchronous command to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    // Fails only if there is another one already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Report::new(Code::Internal, format!("the runtime cannot be started ({})", error.kind()), NOTHING_DONE)
    })?;
    let result = runtime.block_on(work);
    // A file system or a name server that hangs keeps a thread; the process does not wait for it.
    runtime.shutdown_background();
    result
}

/// The configuration, with every named set found in it; no names: every set.
pub(super) fn composer(global: &Global, sets: &[String]) -> Result<(Composer, Vec<String>), Report> {
    let config = config::load(&global.config)?;
    let names = names(&config, sets)?;
    ready(&config)?;
    Ok((Composer::new(config).traced(trace().map(|trace| trace.to_string())), names))
}

/// The trace that this run belongs to, if who started it says so. What is no trace is left alone, as W3C Trace Context asks for.
pub(super) fn trace() -> Option<Trace> {
    environment::text("TRACEPARENT").and_then(|text| Trace::parse(&text))
}

/// Takes out of the process's environment what the configuration says is a secret, and refuses an environment that would show some.
pub(crate) fn ready(config: &Config) -> Result<(), Report> {
    refuse_packet_dump(config)?;
    compose::proxy()?;
    let variables = config.references().filter_map(|reference| match reference {
        Reference::Env { name } => Some(name.as_str()),
        Reference::AwsSm { .. } | Reference::AwsSsm { .. } | Reference::File { .. } | Reference::OciVault { .. } => {
            None
        }
    });
    harden::take_references(&variables.collect::<Vec<_>>());
    harden::tell();
    Ok(())
}

/// With this variable Oracle's driver prints all that goes over the wire, statements and proofs of passwords included.
const PACKET_DUMP: &str = "RSO_DEBUG_PACKETS";

fn refuse_packet_dump(config: &Config) -> Result<(), Report> {
    let has_oracle = config.sets.values().flat_map(|set| &set.databases).any(|d| d.engine == Engine::Oracle);
    if !has_oracle || environment::variable(PACKET_DUMP).is_none() {
        return Ok(());
    }
    let what = format!("{PACKET_DUMP} is set: Oracle's driver would print every packet, proofs of passwords included");
    Err(Report::new(Code::ConfigValue, what, NOTHING_DONE)
        .hint("unset it; a configuration with an Oracle database is not worked on while it is set"))
}

/// The named sets of a configuration, each once; no names: every set.
pub(crate) fn names(config: &Config, sets: &[String]) -> Result<Vec<String>, Report> {
    if sets.is_empty() {
        return Ok(config.sets.keys().cloned().collect());
    }
    let mut named: Vec<String> = Vec::new();
    for set in sets {
        config.set(set)?;
        if !named.contains(set) {
            named.push(set.clone());
        }
    }
    Ok(named)
}
