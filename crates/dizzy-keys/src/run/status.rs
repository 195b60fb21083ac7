//! `status`: what the registers say. Reaches no database and no store.

use core::time::Duration;
use std::sync::Arc;

use dizzy_engine::Timestamp;
use dizzy_host::{
    agenda::{self, Agenda},
    config::{Due, Past},
    port::Deadline,
    register::Document,
};

use super::{
    slots::{Job, Look, Slots},
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Sets},
    code::{Code, Exit},
    compose::Composer,
    render::{
        self,
        moment::Moment,
        status::{Expiry, Failures, Last, Owner, Phase, StatusReport, StatusRow},
    },
    report::{NOTHING_DONE, Report},
};

/// Registers that are read at a time.
const READS_AT_ONCE: usize = 32;

pub(super) fn run(global: &Global, args: &Sets) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    let report = block_on(report(global, composer, &names))?;
    render::show(global.output, &report)?;
    Ok(Exit::Done)
}

pub(crate) async fn report(global: &Global, composer: Composer, names: &[String]) -> Result<StatusReport, Report> {
    // Tells at once if this build has no adapter for the journal.
    drop(composer.journal()?);
    let now = composer.clock().now();
    let composer = Arc::new(composer);
    let jobs = names.iter().map(|name| {
        let (composer, name) = (Arc::clone(&composer), name.clone());
        Box::pin(async move { Look::Done(row(&composer, &name, now).await) }) as Job<Look<Result<StatusRow, Report>>>
    });
    let slots = Slots { looks: READS_AT_ONCE, at_once: 1, most: 1, patience: Duration::ZERO };
    let lost = |_| Err(Report::new(Code::Internal, "the program stopped while it read a register", NOTHING_DONE));
    let rows: Result<Vec<StatusRow>, Report> = slots.run(jobs, lost).await.into_iter().collect();
    Ok(StatusReport { at: Moment(now), program: global.invocation(), sets: rows? })
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
        failures: None,
        retry_at: None,
        given_up: false,
        owner: None,
        revoking: None,
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
    let past = document.as_ref().map_or_else(Past::default, agenda::past);
    row.due_at = match set.schedule.due(name, past, now) {
        Due::At(at) => Some(Moment(at)),
        Due::Now { since } => Some(Moment(since)),
        Due::OnRequest => None,
    };
    match Agenda::of(set, document.as_ref(), now) {
        Agenda::Paused(until) => row.retry_at = Some(Moment(until)),
        Agenda::GivenUp { .. } => row.given_up = true,
        Agenda::At(_) | Agenda::Finish { .. } | Agenda::OnRequest | Agenda::Rotate { .. } | Agenda::Stuck => {}
    }
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
        Some("stuck") => Some(Last::Stuck),
        _ => None,
    };
    row.failures = document.failures.as_ref().map(|failures| Failures {
        in_a_row: failures.in_a_row,
        last_at: Moment(Timestamp(failures.last)),
        code: failures.code.clone(),
    });
    if document.owner.until > now.0 {
        row.owner = Some(Owner { who: document.owner.who.clone(), until: Moment(Timestamp(document.owner.until)) });
    }
    row.revoking = document.revoke;
    if let Some(target) = document.revoke {
        row.attention.push(format!("passwords up to g{target} are to be revoked, and may still log in"));
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
            if let Some(expiry) = facts.expires {
                let (database, user, at) = (name.clone(), user.clone(), Moment(Timestamp(expiry.at)));
                row.expiries.push(Expiry { database, user, at, renewed: expiry.renewed });
            }
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
