//! `prepare`: adopts a set, and makes what its databases need with an administrator's login. Or prints the SQL for a person.

use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    document::Credential,
    driver::{Adoption, AdoptionWants, Lease, OpenSet, register_error},
    port::{Deadline, FenceStamp, Login, PrepareStep},
    register::Document,
};

use super::{
    confirm::confirm,
    explain,
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Prepare},
    code::{Exit, Port},
    compose::{Composer, FormatRule},
    render::{
        self,
        prepare::{PrepareReport, PrepareRow, PrepareScript, PrepareState},
    },
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, args: &Prepare) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(async {
        if args.print_sql {
            return print_sql(global, &composer, &names).await;
        }
        let mut wanted = Vec::new();
        let mut open = Vec::new();
        for name in &names {
            let set = composer.open(name, Lease::Dead, FormatRule::Keep).await?;
            let admins = composer.admins(&set.config).await?;
            let register = register(&composer, name).await?;
            for (at, admin) in admins.iter().enumerate() {
                wanted.extend(planned(&set, &register, at, admin.as_ref()).await?);
            }
            open.push((set, admins));
        }
        let missing: Vec<&PrepareRow> = wanted.iter().filter(|row| row.state == PrepareState::Wanted).collect();
        if !missing.is_empty() {
            render::show(global.output, &PrepareReport { steps: wanted.clone() })?;
            confirm(global, "Create what is missing?")?;
        }
        let mut steps = Vec::new();
        for (set, admins) in open {
            let name = set.config.name.clone();
            let lock = composer.hold(&name).await?;
            let adoption = Adoption::new(&set, composer.limits());
            let state = "nothing that is published has changed; running `prepare` again goes on from here";
            let done = adoption.go(&AdoptionWants { admins }).await;
            let done = done.map_err(|trouble| explain::harmless(&name, &trouble, state))?;
            for (database, made) in done.steps {
                steps.extend(made.into_iter().map(|step| row(&name, &database, step, PrepareState::Done)));
            }
            drop(lock);
        }
        if missing.is_empty() || global.output == crate::args::Output::Text {
            render::show(global.output, &PrepareReport { steps })?;
        }
        Ok(Exit::Done)
    })
}

async fn print_sql(global: &Global, composer: &Composer, names: &[String]) -> Result<Exit, Report> {
    let mut steps = Vec::new();
    for name in names {
        let set = composer.open(name, Lease::Respected, FormatRule::Keep).await?;
        for (config, port) in set.config.databases.iter().zip(&set.databases) {
            let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
            let sql = port.prepare_sql(&users, stamp(&set, ""));
            steps.extend(sql.into_iter().map(|step| row(name, &config.name, step, PrepareState::Wanted)));
        }
    }
    render::show(global.output, &PrepareScript { steps })?;
    Ok(Exit::Done)
}

/// The id of the set's register, which the fence rows must carry; empty if there is no register yet.
async fn register(composer: &Composer, set: &str) -> Result<String, Report> {
    let of_port = |error| Report::of_port(Port::Journal, set, &error, NOTHING_DONE);
    let stored = composer.journal()?.read(set, Deadline::after(composer.limits().call)).await.map_err(of_port)?;
    let Some(stored) = stored else { return Ok(String::new()) };
    let document = Document::parse(&stored.bytes, set).map_err(|error| of_port(register_error(error)))?;
    Ok(document.register)
}

async fn planned(
    set: &OpenSet,
    register: &str,
    at: usize,
    admin: Option<&Credential>,
) -> Result<Vec<PrepareRow>, Report> {
    let (Some(config), Some(port), Some(admin)) = (set.config.databases.get(at), set.databases.get(at), admin) else {
        return Ok(Vec::new());
    };
    let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
    let login = Login { user: &admin.username, password: &admin.password };
    let deadline = Deadline::after(config.connect_timeout + config.statement_timeout);
    let steps = port.prepare_plan(login, &users, stamp(set, register), deadline).await;
    let place = format!("{}/{} (administrator)", set.config.name, config.name);
    let steps = steps.map_err(|error| Report::of_port(Port::Database, &place, &error, NOTHING_DONE))?;
    Ok(steps.into_iter().map(|step| row(&set.config.name, &config.name, step, PrepareState::Wanted)).collect())
}

fn stamp<'a>(set: &'a OpenSet, register: &'a str) -> FenceStamp<'a> {
    FenceStamp { set: &set.config.name, register, epoch: Epoch(0), generation: Generation(0) }
}

fn row(set: &str, database: &str, step: PrepareStep, otherwise: PrepareState) -> PrepareRow {
    let state = match step {
        PrepareStep { done: true, .. } if otherwise == PrepareState::Wanted => PrepareState::AlreadyDone,
        PrepareStep { automatic: false, .. } => PrepareState::Proposed,
        PrepareStep { .. } => otherwise,
    };
    PrepareRow { set: set.to_owned(), database: database.to_owned(), why: step.why, sql: step.sql, state }
}
