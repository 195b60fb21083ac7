//! `plan`: what a rotation would do, in order. Reads the register and the secrets, and changes nothing.

use dizzy_engine::Strategy;
use dizzy_host::{
    document::SecretDocument,
    driver::{Lease, OpenSet},
    port::{Deadline, Journal as _},
    register::{Document, strategy_name},
};

use super::with_set::{block_on, composer};
use crate::{
    args::{Global, Plan},
    code::{Exit, Port},
    compose::FormatRule,
    render::{
        self,
        plan::{Lockout, PlanView, PlannedDatabase, PlannedStep, Undo},
    },
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, args: &Plan) -> Result<Exit, Report> {
    let (composer, _) = composer(global, std::slice::from_ref(&args.set))?;
    block_on(async {
        let set = composer.open(&args.set, Lease::Respected, FormatRule::Keep).await?;
        let stored = composer.journal()?.read(&args.set, Deadline::after(composer.limits().call)).await;
        let stored = stored.map_err(|error| Report::of_port(Port::Journal, &args.set, &error, NOTHING_DONE))?;
        let document = stored.and_then(|stored| Document::parse(&stored.bytes, &args.set).ok());
        render::show(global.output, &view(global, &set, document.as_ref()))?;
        Ok(Exit::Done)
    })
}

fn view(global: &Global, set: &OpenSet, document: Option<&Document>) -> PlanView {
    let from = document.map(|d| d.current);
    let to = document.map_or(2, |d| d.last + 1);
    let mut warnings = Vec::new();
    match document {
        None => warnings.push("there is no register yet: the first rotation adopts what is published as g1".to_owned()),
        Some(d) if d.phase != "idle" => {
            warnings.push(format!("a rotation is under way (phase {}): it is finished or undone first", d.phase));
        }
        Some(_) => {}
    }
    let single: Vec<String> =
        set.config.databases.iter().filter(|d| d.strategy == Strategy::Single).map(|d| d.name.clone()).collect();
    PlanView {
        program: global.invocation(),
        set: set.config.name.clone(),
        from,
        to,
        databases: set.config.databases.iter().enumerate().map(|(at, d)| planned(set, at, d, document)).collect(),
        steps: steps(set, to, !single.is_empty(), document),
        lockout: if single.is_empty() {
            Lockout::None
        } else {
            Lockout::Window { databases: single, expected_ms: None }
        },
        undo: Undo::Possible,
        warnings,
    }
}

fn planned(
    set: &OpenSet,
    at: usize,
    database: &dizzy_host::config::Database,
    document: Option<&Document>,
) -> PlannedDatabase {
    let recorded = document.and_then(|d| d.databases.get(&database.name)).map(|d| d.live.clone());
    let live = recorded.or_else(|| published_user(set, at, &database.name));
    let published = live.clone().unwrap_or_else(|| "what the secret says".to_owned());
    let user = match (database.strategy, &live) {
        (Strategy::Alternating, Some(live)) => {
            database.users.iter().find(|user| *user != live).cloned().unwrap_or_default()
        }
        (Strategy::Alternating, None) => "the other user".to_owned(),
        (Strategy::Rollover | Strategy::Single, _) => database.users.first().cloned().unwrap_or_default(),
    };
    PlannedDatabase {
        database: database.name.clone(),
        strategy: strategy_name(database.strategy).to_owned(),
        user,
        published,
        password_length: database.password.length(),
        password_bits: database.password.entropy_bits(),
    }
}

/// The user that the first secret of a database publishes.
fn published_user(set: &OpenSet, at: usize, database: &str) -> Option<String> {
    let secret = set.secrets.iter().find(|secret| secret.covers.contains(&at))?;
    let look = secret.first_look.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let text = SecretDocument::parse(look.as_ref()?.value.clone()).ok()?;
    Some(text.credential(database, secret.format).ok()?.username)
}

/// The order of protocol P*, with the billed calls of each step.
fn steps(set: &OpenSet, to: u64, announces: bool, document: Option<&Document>) -> Vec<PlannedStep> {
    let mut steps = Vec::new();
    let mut step = |what: String, at: &str, calls: &[&str]| {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        steps.push(PlannedStep { what, at: at.to_owned(), calls, decides: false });
    };
    let pending_is_known: Vec<bool> = set
        .secrets
        .iter()
        .map(|secret| {
            let look = secret.first_look.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            look.as_ref().is_some_and(|version| version.is_pending)
        })
        .collect();
    let secrets: Vec<(String, bool)> = set
        .config
        .secrets
        .iter()
        .enumerate()
        .map(|(at, secret)| {
            let leads = set.config.databases.iter().enumerate().any(|(d, database)| {
                let lead = set.secrets.iter().position(|s| s.covers.contains(&d));
                database.strategy == Strategy::Alternating && lead == Some(at)
            });
            (secret.store.to_string(), leads)
        })
        .collect();
    step("take the set under a new epoch".to_owned(), "register", &[]);
    for (name, leads) in &secrets {
        let calls: &[&str] = if *leads { &["GetSecretValue", "GetSecretValue"] } else { &["GetSecretValue"] };
        step("read what is published; nothing else may be there".to_owned(), name, calls);
    }
    for database in &set.config.databases {
        step("log in with what is published; look at fence, rights and sessions".to_owned(), &database.name, &[]);
    }
    step(format!("record the intent to move to g{to}"), "register", &[]);
    for ((name, _), known) in secrets.iter().zip(pending_is_known) {
        let calls: &[&str] = match (announces, known) {
            (true, false) => &["DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue"],
            (true, true) => &["PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue"],
            (false, _) => &["PutSecretValue", "GetSecretValue"],
        };
        step(format!("stage g{to} under its own name and read it back"), name, calls);
    }
    let named = |strategy: Strategy| set.config.databases.iter().filter(move |d| d.strategy == strategy);
    let alternating = set.config.databases.iter().enumerate().filter(|(_, d)| d.strategy == Strategy::Alternating);
    for (at, database) in alternating {
        let user = planned(set, at, database, document).user;
        step(
            format!("change the password of {user} under the fence (a SCRAM verifier, never the password)"),
            &database.name,
            &[],
        );
    }
    for database in named(Strategy::Single) {
        step("prepare the change in an open transaction, then commit it".to_owned(), &database.name, &[]);
    }
    for database in &set.config.databases {
        step(format!("log in with g{to} on a fresh connection"), &database.name, &[]);
    }
    step(format!("decide for g{to}"), "register", &[]);
    let decision = steps.len() - 1;
    for (name, _) in &secrets {
        steps.push(PlannedStep {
            what: "move CURRENT by compare-and-swap".to_owned(),
            at: name.clone(),
            calls: vec!["UpdateSecretVersionStage".to_owned()],
            decides: false,
        });
    }
    let drops = document.is_some_and(|d| d.kept.len() > 1 && d.current > 1);
    for (name, _) in &secrets {
        let mut calls = vec!["GetSecretValue".to_owned()];
        if drops {
            calls.push("UpdateSecretVersionStage".to_owned());
        }
        steps.push(PlannedStep {
            what: "log in with what consumers read; drop names that nothing needs".to_owned(),
            at: name.clone(),
            calls,
            decides: false,
        });
    }
    steps.push(PlannedStep {
        what: "come to rest".to_owned(),
        at: "register".to_owned(),
        calls: Vec::new(),
        decides: false,
    });
    if let Some(step) = steps.get_mut(decision) {
        step.decides = true;
    }
    steps
}
