//! The commands that need adapters: they read the configuration, and hand over to the driver.

use dizzy_host::config::{self, Config};

use super::confirm::confirm;
use crate::{
    args::{Global, Plan, Prepare, Rotate, Sets},
    code::{Code, Exit},
    report::{NOTHING_DONE, Report},
};

pub(super) fn check(global: &Global, args: &Sets) -> Result<Exit, Report> {
    configuration(global, &args.sets)?;
    Err(unwired("check"))
}

pub(super) fn plan(global: &Global, args: &Plan) -> Result<Exit, Report> {
    configuration(global, std::slice::from_ref(&args.set))?;
    Err(unwired("plan"))
}

pub(super) fn prepare(global: &Global, args: &Prepare) -> Result<Exit, Report> {
    configuration(global, &args.sets)?;
    if !args.print_sql {
        confirm(global, "Create what is missing?")?;
    }
    Err(unwired("prepare"))
}

pub(super) fn recover(global: &Global, args: &Sets) -> Result<Exit, Report> {
    configuration(global, &args.sets)?;
    Err(unwired("recover"))
}

pub(super) fn rotate(global: &Global, args: &Rotate) -> Result<Exit, Report> {
    configuration(global, &args.sets)?;
    Err(unwired("rotate"))
}

pub(super) fn status(global: &Global, args: &Sets) -> Result<Exit, Report> {
    configuration(global, &args.sets)?;
    Err(unwired("status"))
}

pub(super) fn verify(global: &Global, args: &Sets) -> Result<Exit, Report> {
    configuration(global, &args.sets)?;
    Err(unwired("verify"))
}

/// The configuration, with every named set found in it; no names: every set.
fn configuration(global: &Global, sets: &[String]) -> Result<(Config, Vec<String>), Report> {
    let config = config::load(&global.config)?;
    if sets.is_empty() {
        let all = config.sets.keys().cloned().collect();
        return Ok((config, all));
    }
    let mut named: Vec<String> = Vec::new();
    for set in sets {
        config.set(set)?;
        if !named.contains(set) {
            named.push(set.clone());
        }
    }
    Ok((config, named))
}

/// What a command without an adapter answers.
fn unwired(command: &str) -> Report {
    Report::new(Code::Internal, format!("`{command}` is not connected to its adapters"), NOTHING_DONE)
}
