//! `status`: what the registers say. Reaches no database and no store.

use dizzy_engine::Timestamp;
use dizzy_host::{
    config::Due,
    port::{Deadline, Journal as _},
    register::Document,
};

use super::with_set::{block_on, composer};
use crate::{
    args::{Global, Sets},
    code::Exit,
    compose::Composer,
    render::{
        self,
        moment::Moment,
        status::{Last, Owner, Phase, StatusReport, StatusRow},
    },
    report::Report,
};

pub(super) fn run(global: &Global, args: &Sets) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(async {
        let now = composer.clock().now();
        let mut sets = Vec::new();
        for name in &names {
            sets.push(row(&composer, name, now).await?);
        }
        let report = StatusReport { at: Moment(now), program: global.invocation(), sets };
        render::show(global.output, &report)?;
        Ok(Exit::Done)
    })
}

async fn row(composer: &Composer, name: &str, now: Timestamp) -> Result<StatusRow, Report> {
    let set = composer.config().set(name)?;
    let mut row = StatusRow {
        set: name.to_owned(),
        phase: Phase::Absent,
        generation: None,
        next_generation: None,
        rotated_at: None,
        due_at: None,
        last: None,
        owner: None,
        expiries: Vec::new(),
        attention: Vec::new(),
    };
    let journal = composer.journal()?;
    let document = match journal.read(name, Deadline::after(composer.limits().call)).await {
        Ok(None) => None,
        Ok(Some(stored)) => match Document::parse(&stored.bytes, name) {
            Ok(document) => Some(document),
            Err(error) => {
                row.phase = Phase::Unreadable;
                row.attention.push(error.to_string());
                return Ok(row);
            }
        },
        Err(error) => {
            row.phase = Phase::Unreadable;
            row.attention.push(error.to_string());
            return Ok(row);
        }
    };
    let last = document.as_ref().and_then(|d| d.rotated).map(Timestamp);
    row.due_at = match set.schedule.due(name, last, now) {
        Due::At(at) => Some(Moment(at)),
        Due::Now { since } => Some(Moment(since)),
        Due::OnRequest => None,
    };
    if let Some(document) = document {
        fill(&mut row, &document, set, now);
    }
    Ok(row)
}

fn fill(row: &mut StatusRow, document: &Document, set: &dizzy_host::config::RotationSet, now: Timestamp) {
    row.phase = match document.phase.as_str() {
        _ if !document.adopted => Phase::Absent,
        "idle" => Phase::Idle,
        "intent" => Phase::Intent,
        "commit" => Phase::Commit,
        "abort" => Phase::Abort,
        "stuck" => Phase::Stuck,
        _ => Phase::Unreadable,
    };
    row.generation = Some(document.current);
    row.next_generation = document.next;
    row.rotated_at = document.rotated.map(|ms| Moment(Timestamp(ms)));
    row.last = match document.outcome.as_deref() {
        Some("rotated") => Some(Last::Finished),
        Some("rolled-back") => Some(Last::RolledBack),
        _ => None,
    };
    if document.owner.until > now.0 {
        row.owner = Some(Owner { who: document.owner.who.clone(), until: Moment(Timestamp(document.owner.until)) });
    }
    if document.target != set.fingerprint() {
        row.attention.push("the configuration of the set has changed since its last run".to_owned());
    }
    for (name, database) in &document.databases {
        if let Some(until) = database.window.filter(|until| *until > now.0) {
            let until = Moment(Timestamp(until));
            row.attention.push(format!("{name}: a rollover window is open until {until}: the old password works too"));
        }
        for (user, facts) in &database.users {
            if facts.wrong > 0 {
                row.attention.push(format!("{name}: {} logins as {user} were wrong or never answered", facts.wrong));
            }
            if !facts.maybe.is_empty() {
                let maybe: Vec<String> = facts.maybe.iter().map(|g| format!("g{g}")).collect();
                let known = facts.known.map_or_else(|| "nothing".to_owned(), |g| format!("g{g}"));
                row.attention.push(format!("{name}: {user} is on {known}, or possibly on {}", maybe.join(" or ")));
            }
        }
    }
}
