//! What the commands share: the runtime, the configuration, the names of the sets.

use std::future::Future;

use dizzy_host::config::{self, Config};

use crate::{
    args::Global,
    code::Code,
    compose::Composer,
    report::{NOTHING_DONE, Report},
};

/// Runs an asynchronous command to its end.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    // Fails only if there is another one already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Report::new(Code::Internal, format!("the runtime cannot be started ({})", error.kind()), NOTHING_DONE)
    })?;
    runtime.block_on(work)
}

/// The configuration, with every named set found in it; no names: every set.
pub(super) fn composer(global: &Global, sets: &[String]) -> Result<(Composer, Vec<String>), Report> {
    let config = config::load(&global.config)?;
    let names = names(&config, sets)?;
    Ok((Composer::new(config), names))
}

fn names(config: &Config, sets: &[String]) -> Result<Vec<String>, Report> {
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
