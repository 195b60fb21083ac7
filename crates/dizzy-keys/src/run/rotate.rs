//! `rotate` and `recover`: one worker per set, some sets at the same time.

use core::time::Duration;
use std::sync::Arc;

use dizzy_engine::{Finish, Generation, Goal, Phase};
use dizzy_host::{
    agenda::Agenda,
    audit::is_silent,
    driver::{self, Adoption, AdoptionWants, Halt, Lease, OpenSet, Run, Undo},
    port::Deadline,
    register::{Document, phase_name},
    retry::Failure,
};

use tracing::{Instrument as _, Span};

use super::{
    explain,
    heartbeat::Heartbeats,
    notices::Notices,
    slots::{Job, Look, Slots},
    watch::Watch,
    with_set::{block_on, composer},
};
use crate::{
    args::{Global, Recover, Rotate},
    code::{Code, Exit, Port},
    compose::{Composer, FormatRule},
    logging,
    metrics::Measured,
    render::{
        progress::Progress,
        rotate::{Nothing, RecoverReport, RotateReport, RotateRow},
    },
    report::{NOTHING_DONE, Report},
};

/// Registers that are read at a time to see which sets are due. A read is one small file or object.
const READS_AT_ONCE: usize = 32;
/// After this long a set gives its slot to the next one. A rotation without a fault takes a second or two in two clouds; a database that
/// accepts connections and stays silent is given up after `connect_timeout` and `statement_timeout`, fifteen seconds by default.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sets in all, as a multiple of those that may be worked on at once: what hangs goes on beside the others, but not without bound.
const MOST: usize = 4;

pub(super) fn rotate(global: &Global, args: &Rotate) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(rotated(global, composer, names, args))?.conclude(global.output)
}

pub(crate) async fn rotated(
    global: &Global,
    composer: Composer,
    mut names: Vec<String>,
    args: &Rotate,
) -> Result<RotateReport, Report> {
    if let Some(shard) = args.shard {
        names.retain(|name| shard.contains(name));
    }
    let task = Task {
        goal: Goal::Rotate,
        which: if args.due { Which::Due } else { Which::Every },
        rule: if args.change_format { FormatRule::Change } else { FormatRule::Keep },
        undo: if args.forward_only { Undo::ForwardOnly } else { Undo::Required },
        retry_logins: false,
        admins: Admins::Unread,
    };
    let none = if args.due { Nothing::IsDue } else { Nothing::InPart };
    let sets = all(global, composer, names, task, args.concurrency).await?;
    Ok(RotateReport { sets, none })
}

pub(super) fn recover(global: &Global, args: &Recover) -> Result<Exit, Report> {
    let (composer, names) = composer(global, &args.sets)?;
    block_on(recovered(global, composer, names, args))?.conclude(global.output)
}

pub(crate) async fn recovered(
    global: &Global,
    composer: Composer,
    names: Vec<String>,
    args: &Recover,
) -> Result<RecoverReport, Report> {
    let task = Task {
        goal: Goal::Recover,
        which: Which::Every,
        rule: FormatRule::Keep,
        undo: Undo::Required,
        retry_logins: args.retry_logins,
        admins: Admins::Unread,
    };
    let sets = all(global, composer, names, task, args.concurrency).await?;
    Ok(RecoverReport { sets })
}

/// What is asked for, the same for every set.
pub(super) struct Task {
    pub(super) goal: Goal,
    pub(super) which: Which,
    pub(super) rule: FormatRule,
    pub(super) undo: Undo,
    pub(super) retry_logins: bool,
    pub(super) admins: Admins,
}

/// Whether the administrators' logins are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admins {
    /// They are, for what no user of the set may do.
    Read,
    /// They stay where they are.
    Unread,
}

/// Which of the named sets are worked on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Which {
    /// Those that are due by their schedule, and those that an earlier run left unfinished.
    Due,
    /// All of them.
    Every,
}

/// What the work on every set shares.
struct Shared {
    composer: Composer,
    task: Task,
    program: String,
    progress: Arc<Progress>,
    notices: Notices,
    heartbeats: Heartbeats,
    /// Whether there are several, so that each that ends is told at once.
    several: bool,
}

/// Works on the sets side by side; rows in the order of the names, none for a set that there was nothing to do for.
pub(super) async fn all(
    global: &Global,
    composer: Composer,
    names: Vec<String>,
    task: Task,
    concurrency: u16,
) -> Result<Vec<RotateRow>, Report> {
    let shared = Arc::new(Shared {
        notices: Notices::new(&composer),
        heartbeats: Heartbeats::default(),
        composer,
        task,
        program: global.invocation(),
        progress: Arc::new(Progress::new(global)),
        several: names.len() > 1,
    });
    let at_once = usize::from(concurrency);
    let slots = Slots { looks: READS_AT_ONCE, at_once, most: at_once * MOST, patience: PATIENCE };
    // The tasks of the sets are polled outside of the span that is entered here.
    let outer = Span::current();
    let jobs = names.iter().map(|name| {
        let (shared, name, outer) = (Arc::clone(&shared), name.clone(), outer.clone());
        Box::pin(async move { outer.in_scope(|| look(shared, name)).await }) as Job<Look<Option<RotateRow>>>
    });
    let lost = |at: usize| names.get(at).map(|name| died(&shared.program, name));
    let rows = slots.run(jobs, lost).await;
    shared.notices.settle(&shared.composer).await;
    Ok(rows.into_iter().flatten().collect())
}

/// What is to be done on one set.
#[derive(Clone, Copy, Debug)]
struct Assignment {
    goal: Goal,
    /// Rotate from this generation only: it is the one that was found due.
    from: Option<Generation>,
    /// Whether an end that leaves the set unfinished is one too many.
    alarm: bool,
}

/// Whether there is work on a set; the lines of both carry the set.
fn look(shared: Arc<Shared>, name: String) -> impl Future<Output = Look<Option<RotateRow>>> + Send {
    let span = logging::span_of_set(&name);
    let looking = looked(shared, name, span.clone());
    looking.instrument(span)
}

async fn looked(shared: Arc<Shared>, name: String, span: Span) -> Look<Option<RotateRow>> {
    let asked = Assignment { goal: shared.task.goal, from: None, alarm: false };
    let assignment = match shared.task.which {
        Which::Every => asked,
        Which::Due => match by_schedule(&shared, &name).await {
            Ok(Scheduled::Work(assignment)) => assignment,
            Ok(Scheduled::Nothing) => return Look::Done(None),
            Ok(Scheduled::Sign) => {
                let sign = async move {
                    shared.heartbeats.beat(&shared.composer, &name).await;
                    None
                };
                return Look::Work(Box::pin(sign.instrument(span)));
            }
            Err(mut row) => {
                row.name_error();
                ended(&shared, &row);
                return Look::Done(Some(*row));
            }
        },
    };
    Look::Work(Box::pin(async move { Some(one(&shared, &name, assignment).await) }.instrument(span)))
}

/// What the schedule asks for.
enum Scheduled {
    Nothing,
    /// Nothing but a record that somebody looked.
    Sign,
    Work(Assignment),
}

/// Reads the set's register once, and nothing else.
async fn by_schedule(shared: &Shared, name: &str) -> Result<Scheduled, Box<RotateRow>> {
    let failed = |error| Box::new(explain::failed(name, error));
    let of_journal = |error| failed(Report::of_port(Port::Journal, name, &error, NOTHING_DONE));
    let composer = &shared.composer;
    let set = composer.config().set(name).map_err(|error| failed(error.into()))?;
    let journal = composer.journal().map_err(failed)?;
    let stored = journal.read(name, Deadline::after(composer.limits().call)).await.map_err(of_journal)?;
    let document = stored.map(|stored| Document::parse(&stored.bytes, name)).transpose();
    let document = document.map_err(|error| of_journal(driver::register_error(error)))?;
    let (now, document) = (composer.clock().now(), document.as_ref());
    let assigned = |goal, from, alarm| Ok(Scheduled::Work(Assignment { goal, from, alarm }));
    match (Agenda::of(set, document, now), document) {
        (Agenda::At(_) | Agenda::OnRequest | Agenda::Paused(_), _) => {
            composer.metrics().write(&Measured::at_rest(name, document.and_then(explain::rotated_at)), now);
            let is_silent = document.is_some_and(|document| is_silent(document, now));
            Ok(if is_silent { Scheduled::Sign } else { Scheduled::Nothing })
        }
        (Agenda::Rotate { from, .. }, _) => assigned(Goal::Rotate, Some(from), false),
        (Agenda::Finish { due, alarm }, _) => {
            let goal = if due { Goal::Rotate } else { Goal::Recover };
            assigned(goal, None, alarm)
        }
        (Agenda::GivenUp { failures }, Some(document)) => {
            Err(Box::new(explain::given_up(&shared.program, document, failures)))
        }
        (Agenda::Stuck, Some(document)) => Err(Box::new(explain::stuck(&shared.program, document))),
        // Both are read from a register.
        (Agenda::GivenUp { .. } | Agenda::Stuck, None) => Ok(Scheduled::Nothing),
    }
}

/// Works on one set; what goes wrong is in the row, so that other sets go on.
async fn one(shared: &Shared, name: &str, assignment: Assignment) -> RotateRow {
    let clock = shared.composer.clock();
    let began = clock.now();
    let mut row = match shared.composer.hold(name).await {
        Ok(hold) => {
            let result = attempt(shared, name, assignment, hold.lease).await;
            let ms = clock.now().0.saturating_sub(began.0).unsigned_abs();
            let row = match &result {
                Ok(report) => explain::row(&shared.program, report, ms),
                Err(error) => explain::failed(name, error.clone()),
            };
            remember(shared, name, &result, &row).await;
            drop(hold);
            row
        }
        Err(error) => explain::failed(name, error),
    };
    if let Some(error) = row.error.take() {
        let is_unfinished = error.exit_code() == Exit::Unfinished;
        row.error = Some(if assignment.alarm && is_unfinished { error.exit(Exit::NeedsHuman) } else { error });
    }
    row.name_error();
    ended(shared, &row);
    row
}

/// Tells at once how a set has ended: other sets may take a while.
fn ended(shared: &Shared, row: &RotateRow) {
    let code = row.error.as_ref().map(|error| error.code().text());
    let set = row.set.as_str();
    if let Some(rotation) = &row.rotation {
        Span::current().record("rotation", rotation);
    }
    tracing::info!(set, outcome = row.outcome.name(), code, ms = row.ms, "a set has ended");
    if row.error.as_ref().is_some_and(|error| error.exit_code() == Exit::NeedsHuman) {
        // What alarms are made on: docs/schedule.md names this message.
        tracing::error!(set, code, exit = Exit::NeedsHuman.number(), "a rotation set needs a human");
    }
    shared.composer.metrics().write(&Measured::of(row), shared.composer.clock().now());
    if shared.several {
        shared.progress.ended(&row.line());
    }
    // Its register is released by now, and its lock too.
    shared.notices.ended(&shared.composer, row);
}

/// Leaves a failure in the register, so that the schedule does not try again at once. What cannot be left is tried again a little earlier.
async fn remember(shared: &Shared, name: &str, result: &Result<driver::Report, Report>, row: &RotateRow) {
    let Some(error) = &row.error else { return };
    let (nonce, not_before) = match result {
        Err(_) if error.exit_code() == Exit::Held => return,
        Err(_) => (None, None),
        Ok(report) if report.verdict() == driver::Verdict::Busy => return,
        // Nothing is wrong with the set; the platform's next call has time again.
        Ok(report) if report.halt == Some(Halt::NoTime) => return,
        Ok(report) => {
            let not_before = match report.finish {
                Finish::Draining(until) | Finish::WindowOpen(until) => Some(until),
                Finish::Busy(_)
                | Finish::Drift
                | Finish::Failed
                | Finish::Fenced
                | Finish::JournalLost
                | Finish::Misfit
                | Finish::NoRegister
                | Finish::NotRevoked
                | Finish::NothingToDo
                | Finish::Revoked(_)
                | Finish::RolledBack(_)
                | Finish::Rotated(_)
                | Finish::Stuck
                | Finish::Unfinished => None,
            };
            (report.document.as_ref().map(|document| document.owner.nonce.as_str()), not_before)
        }
    };
    let failure = Failure { at: shared.composer.clock().now(), code: error.code().text(), not_before, nonce };
    let Ok(journal) = shared.composer.journal() else { return };
    if let Err(error) = failure.record(&*journal, name, shared.composer.limits().call).await {
        tracing::debug!(set = name, kind = ?error.kind, "a failure could not be recorded");
    }
}

/// The row of a set whose work came to an end that no code foresees.
fn died(program: &str, name: &str) -> RotateRow {
    let what = format!("{name}: the program stopped in the middle of its work on this set");
    let state = "the register says what is decided; nothing was done to this set after that moment";
    let error = Report::new(Code::Internal, what, state).hint(format!("{program} recover {name}"));
    explain::failed(name, error.about(name, None))
}

async fn attempt(shared: &Shared, name: &str, assignment: Assignment, lease: Lease) -> Result<driver::Report, Report> {
    let (composer, task) = (&shared.composer, &shared.task);
    let set = match composer.open(name, lease, task.rule).await {
        Ok(set) => {
            let admins = match task.admins {
                Admins::Read => composer.admins(&set.config).await?,
                Admins::Unread => Vec::new(),
            };
            OpenSet { undo: task.undo, admins, ..set }
        }
        Err(error) => return Err(unless_under_way(composer, name, error).await),
    };
    let watch = Watch::new(&shared.progress, name);
    let of_journal = |error| Report::of_port(Port::Journal, name, &error, NOTHING_DONE);
    if task.retry_logins {
        set.forget_wrong_logins(composer.limits()).await.map_err(of_journal)?;
    }
    let goal = assignment.goal;
    let run = async || {
        let run = Run::new(&set, composer.limits(), &watch).only_from(assignment.from);
        run.go(goal).await.map_err(of_journal)
    };
    let mut report = run().await?;
    let begins = matches!(goal, Goal::Rotate | Goal::Revoke);
    if report.finish == Finish::NoRegister && begins {
        adopt(&set, composer, name).await?;
        report = run().await?;
    }
    // What an earlier run had begun and this one undid was not what was asked for.
    if matches!(report.finish, Finish::RolledBack(_)) && !report.originator && begins {
        report = run().await?;
    }
    Ok(report)
}

/// A set that cannot be opened at rest is as it was. With a rotation under way, the old credentials may not be all that counts.
pub(crate) async fn unless_under_way(composer: &Composer, name: &str, error: Report) -> Report {
    let Ok(journal) = composer.journal() else { return error };
    let stored = journal.read(name, Deadline::after(composer.limits().call)).await;
    let document = stored.ok().flatten().and_then(|stored| Document::parse(&stored.bytes, name).ok());
    match document {
        Some(document) if document.phase != phase_name(Phase::Idle) => {
            let state = format!(
                "a rotation is under way (phase {}, generation {} is published); this run has changed nothing",
                document.phase, document.current
            );
            error.with_state(state).exit(Exit::Unfinished)
        }
        Some(_) | None => error,
    }
}

/// The first rotation adopts what is published, if that needs no administrator.
pub(crate) async fn adopt(set: &OpenSet, composer: &Composer, name: &str) -> Result<(), Report> {
    let adoption = Adoption::new(set, composer.limits());
    match adoption.go(&AdoptionWants::default()).await {
        Ok(_) => Ok(()),
        Err(trouble) => {
            Err(explain::harmless(name, &trouble, "nothing was changed; what is published stays as it was"))
        }
    }
}
