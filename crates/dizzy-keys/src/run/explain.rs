//! From the driver's report to the three lines that a person reads: what happened, what is true, what to do next.

use dizzy_engine::{Finish, Generation, Phase, Timestamp};
use dizzy_host::{
    driver::{self, Halt, SessionsEnd, Target, Trouble, Verdict},
    port::{Kind, PortError, VersionName},
    register::Document,
};

use super::revoke;
use crate::{
    code::{Code, Exit, Port},
    render::{
        moment::Moment,
        rotate::{EndedSessions, Outcome, RotateRow, Working},
    },
    report::Report,
};

/// A row of the result.
pub(super) fn row(program: &str, report: &driver::Report, ms: u64) -> RotateRow {
    RotateRow {
        set: report.set.clone(),
        outcome: outcome(report),
        generation: published(report),
        rotation: rotation(report),
        rotated_at: report.document.as_ref().and_then(rotated_at),
        ms,
        lockout_ms: lockout_ms(report),
        billable_calls: None,
        working: working(report),
        sessions: sessions(report),
        error: error(program, report).map(|error| revoke::remembered(report, error).exit(exit_of(report.verdict()))),
    }
}

/// When the last rotation came to its end.
pub(crate) fn rotated_at(document: &Document) -> Option<Timestamp> {
    document.rotated.map(Timestamp)
}

/// The exit code of a verdict.
pub(crate) const fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Done => Exit::Done,
        Verdict::OldIsValid => Exit::Failed,
        Verdict::NeedsHuman => Exit::NeedsHuman,
        Verdict::Busy => Exit::Held,
        Verdict::Unfinished => Exit::Unfinished,
    }
}

/// A set that could not be opened or adopted.
pub(super) fn failed(set: &str, error: Report) -> RotateRow {
    RotateRow {
        set: set.to_owned(),
        outcome: if error.exit_code() == Exit::Held { Outcome::Held } else { Outcome::Failed },
        generation: None,
        rotation: None,
        rotated_at: None,
        ms: 0,
        lockout_ms: None,
        billable_calls: None,
        working: Vec::new(),
        sessions: Vec::new(),
        error: Some(error),
    }
}

/// A set that is stuck, as its register tells it; nothing is tried by schedule.
pub(super) fn stuck(program: &str, document: &Document) -> RotateRow {
    let state = format!("generation {} is published; {}", document.current, undecided(Some(document)));
    let error = neither_on_nor_back(program, &document.set, "", state);
    RotateRow {
        outcome: Outcome::Stuck,
        generation: Some(document.current),
        rotation: document.next.map(|next| VersionName::new(Generation(next), &document.register).to_string()),
        rotated_at: rotated_at(document),
        working: known_to_work(document),
        ..failed(&document.set, error)
    }
}

/// A set that has failed too often in a row to be tried by schedule.
pub(super) fn given_up(program: &str, document: &Document, failures: u32) -> RotateRow {
    let set = &document.set;
    let code = document.failures.as_ref().map_or_else(String::new, |last| format!(", the last with {}", last.code));
    let what = format!("{set}: {failures} runs in a row have failed{code}; no more are tried by schedule");
    let state = format!("generation {} is published, as before; this run has changed nothing", document.current);
    let error = Report::new(Code::GivenUp, what, state);
    let hint = format!("{program} check {set} says what stops it; remove that, then {program} rotate {set}");
    let (generation, rotated_at) = (Some(document.current), rotated_at(document));
    RotateRow { generation, rotated_at, ..failed(set, error.hint(hint)) }
}

fn neither_on_nor_back(program: &str, set: &str, because: &str, state: String) -> Report {
    let what = format!("{set}: the rotation can go neither on nor back by itself{because}");
    Report::new(Code::Stuck, what, state).hint(format!("remove the cause, then {program} recover {set}"))
}

fn outcome(report: &driver::Report) -> Outcome {
    match report.finish {
        Finish::Rotated(_) => Outcome::Rotated,
        Finish::Revoked(_) => Outcome::Revoked,
        Finish::NotRevoked => Outcome::Unfinished,
        Finish::RolledBack(_) => Outcome::RolledBack,
        // Only `recover` meets a set without a register: nothing was ever begun there.
        Finish::NothingToDo | Finish::NoRegister => Outcome::Nothing,
        Finish::Busy(_) | Finish::Fenced => Outcome::Held,
        Finish::Stuck => Outcome::Stuck,
        Finish::Unfinished | Finish::JournalLost if report.phase != Phase::Idle => Outcome::Unfinished,
        Finish::Unfinished
        | Finish::JournalLost
        | Finish::Failed
        | Finish::Drift
        | Finish::Misfit
        | Finish::WindowOpen(_)
        | Finish::Draining(_) => Outcome::Failed,
    }
}

/// With alternating users alone there is no lockout window; how long another one was is not measured.
fn lockout_ms(report: &driver::Report) -> Option<u64> {
    let document = report.document.as_ref()?;
    let alternating = dizzy_host::register::strategy_name(dizzy_engine::Strategy::Alternating);
    document.databases.values().all(|d| d.strategy == alternating).then_some(0)
}

fn published(report: &driver::Report) -> Option<u64> {
    report.document.as_ref().map(|document| document.current)
}

/// The name of the rotation that this run has worked on: that of its versions in the stores.
fn rotation(report: &driver::Report) -> Option<String> {
    let generation = match report.finish {
        Finish::Rotated(generation) | Finish::RolledBack(generation) | Finish::Revoked(generation) => generation,
        Finish::Busy(_)
        | Finish::Drift
        | Finish::Draining(_)
        | Finish::Failed
        | Finish::Fenced
        | Finish::JournalLost
        | Finish::Misfit
        | Finish::NoRegister
        | Finish::NotRevoked
        | Finish::NothingToDo
        | Finish::Stuck
        | Finish::Unfinished
        | Finish::WindowOpen(_) => report.under_way?,
    };
    Some(VersionName::new(generation, &report.document.as_ref()?.register).to_string())
}

fn working(report: &driver::Report) -> Vec<Working> {
    report.document.as_ref().map_or_else(Vec::new, known_to_work)
}

fn known_to_work(document: &Document) -> Vec<Working> {
    let mut all = Vec::new();
    for (database, entry) in &document.databases {
        for (user, facts) in &entry.users {
            if let (Some(generation), true) = (facts.known, facts.maybe.is_empty()) {
                let published = *user == entry.live && generation == document.current;
                all.push(Working { database: database.clone(), user: user.clone(), generation, published });
            }
        }
    }
    all
}

pub(crate) fn error(program: &str, report: &driver::Report) -> Option<Report> {
    let set = &report.set;
    let base = published(report).map_or_else(|| "what was published before".to_owned(), |g| format!("generation {g}"));
    let recover = format!("{program} recover {set}");
    let cause = report.troubles.last();
    let because = cause.map_or_else(String::new, |t| format!(": {}: {}", t.target, t.error));
    let hint_of = |otherwise: &str| cause.and_then(|t| t.error.hint.clone()).unwrap_or_else(|| otherwise.to_owned());
    if let Some(violation) = &report.violation {
        let what = format!("{set}: {violation}");
        let state = format!("the program stopped before acting; {base} is published");
        return Some(Report::new(Code::Invariant, what, state).hint(format!("{program} status {set}")));
    }
    Some(match report.finish {
        Finish::Rotated(_) | Finish::NothingToDo | Finish::NoRegister => return None,
        Finish::Revoked(target) => return revoke::sessions_left(set, report, target.0),
        Finish::NotRevoked => revoke::not_revoked(program, set, report, &because).hint(hint_of(&recover)),
        Finish::WindowOpen(until) if report.is_revoking() => revoke::window_open(program, set, report, until),
        Finish::RolledBack(_) if report.verdict() == Verdict::Done => return None,
        Finish::RolledBack(given_up) => {
            let what = format!("{set}: the rotation to generation {} was rolled back{because}", given_up.0);
            let state = format!(
                "{base} is published and was seen to log in on every database; generation {} stays in the secrets under its name, unused",
                given_up.0
            );
            Report::new(Code::RolledBack, what, state)
                .hint(hint_of(&format!("remove the cause, then {program} rotate {set}")))
        }
        Finish::Busy(until) => {
            let until = Moment(until);
            let what = format!("{set}: another worker holds the set until {until}");
            Report::new(Code::JournalHeld, what, "this run has changed nothing").hint(format!("{program} status {set}"))
        }
        Finish::Fenced => {
            let what = format!("{set}: another worker has taken the set over");
            let state = format!("this run has stopped; the other worker finishes or undoes what was begun{because}");
            Report::new(Code::JournalHeld, what, state).hint(format!("{program} status {set}"))
        }
        Finish::Failed => before_the_start(set, report, &base),
        Finish::Drift => drift(program, set, report, &base),
        Finish::Misfit => {
            let what = format!("{set}: the register describes other databases or users than the configuration");
            Report::new(Code::TargetChanged, what, "nothing was changed").hint(hint_of("put the configuration back"))
        }
        Finish::WindowOpen(until) => {
            let what = format!("{set}: the rollover window of the last rotation is open until {}", Moment(until));
            Report::new(Code::DatabaseBusy, what, format!("nothing was changed; {base} is published"))
                .hint("run again after that time")
        }
        Finish::Draining(until) => {
            let what = format!("{set}: requests of earlier workers may still execute until {}", Moment(until));
            Report::new(Code::Unknown, what, format!("nothing was changed; {base} is published and logs in"))
                .hint("run again after that time")
        }
        Finish::Unfinished if report.halt == Some(Halt::NoTime) => no_time(set, report, &base, &because),
        Finish::Unfinished => {
            let hint = match cause.and_then(|t| t.error.hint.clone()) {
                Some(hint) if hint.contains("recover") => hint,
                Some(hint) => format!("{hint}; then {recover}"),
                None => recover,
            };
            unfinished(set, report, &base, &because).hint(hint)
        }
        Finish::Stuck => {
            let state = format!("{base} is published; {}", undecided(report.document.as_ref()));
            let stuck = neither_on_nor_back(program, set, &because, state);
            // While no login may be risked, no run gets further: that is to be allowed first.
            match cause.filter(|t| t.error.code.as_deref() == Some(driver::ATTEMPTS_SPENT)) {
                Some(spent) => stuck.hint(spent.error.hint.clone().unwrap_or(recover)),
                None => stuck,
            }
        }
        Finish::JournalLost => journal_lost(set, report, &base, cause).hint(hint_of(&recover)),
    })
}

fn sessions(report: &driver::Report) -> Vec<EndedSessions> {
    let row = |ended: &driver::EndedWhere| EndedSessions {
        database: ended.database.clone(),
        user: ended.user.clone(),
        ended: match &ended.end {
            SessionsEnd::Ended(count) => Some(*count),
            SessionsEnd::Left(_) => None,
        },
    };
    report.sessions_ended.iter().map(row).collect()
}

/// The code that goes with a trouble.
pub(super) fn port_of(target: &Target) -> Port {
    match target {
        Target::Audit => Port::Audit,
        Target::Database(_) => Port::Database,
        Target::Journal | Target::Set => Port::Journal,
        Target::Secret(_) => Port::Store,
    }
}

/// A trouble as an error, where nothing was changed.
pub(super) fn harmless(set: &str, trouble: &Trouble, state: &str) -> Report {
    let place = format!("{set}: {}", trouble.target);
    let own = match trouble.error.code.as_deref() {
        Some(driver::ACTIVE_SESSIONS) => Some(Code::ActiveSessions),
        Some(driver::NOT_UNDOABLE) => Some(Code::NotUndoable),
        Some(driver::ATTEMPTS_SPENT) => Some(Code::DatabaseLocked),
        _ => None,
    };
    if let Some(code) = own {
        let mut error: PortError = trouble.error.clone();
        error.code = None;
        let report = Report::new(code, format!("{place}: {error}"), state);
        return match error.hint {
            Some(hint) => report.hint(hint),
            None => report,
        };
    }
    Report::of_port(port_of(&trouble.target), &place, &trouble.error, state).exit(Exit::Failed)
}

fn before_the_start(set: &str, report: &driver::Report, base: &str) -> Report {
    let state = format!("nothing was changed; {base} is published");
    // The first that will not pass by itself explains the rest.
    let passing = |t: &&Trouble| !matches!(t.error.kind, Kind::Busy | Kind::Throttled | Kind::Timeout);
    match report.troubles.iter().find(passing).or(report.troubles.last()) {
        Some(trouble) => harmless(set, trouble, &state),
        None => Report::new(Code::CheckFailed, format!("{set}: the preflight failed"), state),
    }
}

fn drift(program: &str, set: &str, report: &driver::Report, base: &str) -> Report {
    let refused = report.troubles.iter().find(|t| t.error.kind == Kind::Credential);
    let hint = format!("{program} verify {set}");
    match refused {
        Some(trouble) => {
            let what = format!("{set}: a published credential does not log in: {}: {}", trouble.target, trouble.error);
            let state = format!("nothing was changed by this run; {base} is published, and this database refuses it");
            // The server's answer is the same for a wrong password and for one whose time is over.
            let hint = format!(
                "{hint}; `{program} reconcile {set} --dry-run` says what would mend it; if the password is right, look at when it expires on the server (PostgreSQL: VALID UNTIL; Oracle: ACCOUNT_STATUS)"
            );
            Report::new(Code::PublishedRefused, what, state).hint(hint)
        }
        None => {
            let cause = report.troubles.last();
            let because = cause.map_or_else(String::new, |t| format!(": {}: {}", t.target, t.error));
            let what = format!("{set}: what is published is not what the register records{because}");
            let state = format!("nothing was changed by this run; the register records {base}");
            Report::new(Code::Drift, what, state)
                .hint(format!("{hint}; `{program} reconcile {set} --dry-run` says what would mend it"))
        }
    }
}

/// The platform's time was nearly over.
fn no_time(set: &str, report: &driver::Report, base: &str, because: &str) -> Report {
    if report.phase == Phase::Idle {
        let what = format!("{set}: the platform leaves too little time to begin");
        return Report::new(Code::NoTime, what, format!("nothing was changed; {base} is published"))
            .hint("give the function a longer timeout: five minutes suit most sets, half a minute is the least");
    }
    let what = format!("{set}: the platform's time is over{because}");
    let state = unfinished(set, report, base, because).state().to_owned();
    Report::new(Code::NoTime, what, state).hint("the next call goes on by itself; a longer timeout saves it")
}

fn unfinished(set: &str, report: &driver::Report, base: &str, because: &str) -> Report {
    let next = report.under_way.map_or_else(String::new, |g| format!("generation {}", g.0));
    let (what, state) = match report.phase {
        Phase::Commit => (
            format!("{set}: {next} is decided, and not yet published everywhere{because}"),
            format!("every database accepts {next}; a secret that still shows {base} is promoted by the next run"),
        ),
        Phase::Abort => (
            format!("{set}: {next} is given up, and not yet undone everywhere{because}"),
            format!("{base} is published; databases that are not undone yet are listed as unknown"),
        ),
        Phase::Idle | Phase::Intent | Phase::Stuck => (
            format!("{set}: {next} is not decided yet{because}"),
            format!("{base} is published; {}", undecided(report.document.as_ref())),
        ),
    };
    Report::new(Code::Unfinished, what, state)
}

/// What holds for databases while nothing is decided.
fn undecided(document: Option<&Document>) -> String {
    let Some(document) = document else { return "nothing more is known".to_owned() };
    let unsure: Vec<&str> = document
        .databases
        .iter()
        .filter(|(_, entry)| entry.users.get(&entry.live).is_some_and(|live| !live.maybe.is_empty()) || entry.sent)
        .map(|(name, _)| name.as_str())
        .collect();
    if unsure.is_empty() {
        return "it logs in on every database (only idle users were changed)".to_owned();
    }
    format!("on {} either it or the generation under way logs in; both are in the secrets", unsure.join(", "))
}

fn journal_lost(set: &str, report: &driver::Report, base: &str, cause: Option<&Trouble>) -> Report {
    let nothing = PortError::refused(Kind::Io, "the register cannot be used");
    let error = cause.map_or(&nothing, |t| &t.error);
    let port = cause.map_or(Port::Journal, |t| port_of(&t.target));
    let place = format!("{set}: {}", cause.map_or(&Target::Journal, |t| &t.target));
    if report.phase == Phase::Idle {
        let state = match &report.document {
            Some(_) => format!("nothing was changed; {base} is published"),
            None => "nothing was changed".to_owned(),
        };
        return Report::of_port(port, &place, error, state);
    }
    let state = format!("{base} is published; {}", undecided(report.document.as_ref()));
    Report::of_port(port, &place, error, state)
}
