//! `plan`: what a rotation would do, in order. Reads the register and the secrets, looks at the databases, and changes nothing.

mod look;

use dizzy_engine::Strategy;
use dizzy_host::{
    config::{Database, Engine},
    document::SecretDocument,
    driver::{Lease, OpenSet},
    port::Deadline,
    reference::Reference,
    register::{Document, strategy_name},
};

use self::look::Look;
use super::with_set::{block_on, composer};
use crate::{
    args::{Global, Plan},
    code::{Exit, Port},
    compose::{Composer, FormatRule},
    render::{
        self,
        plan::{Lockout, PlanView, PlannedDatabase, PlannedStep, Undo},
    },
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, args: &Plan) -> Result<Exit, Report> {
    let (composer, _) = composer(global, std::slice::from_ref(&args.set))?;
    block_on(async {
        render::show(global.output, &report(global, &composer, &args.set).await?)?;
        Ok(Exit::Done)
    })
}

pub(crate) async fn report(global: &Global, composer: &Composer, name: &str) -> Result<PlanView, Report> {
    let set = composer.open(name, Lease::Respected, FormatRule::Keep).await?;
    let stored = composer.journal()?.read(name, Deadline::after(composer.limits().call)).await;
    let stored = stored.map_err(|error| Report::of_port(Port::Journal, name, &error, NOTHING_DONE))?;
    let document = stored.and_then(|stored| Document::parse(&stored.bytes, name).ok());
    let looks = look::at_databases(&set, document.as_ref()).await;
    Ok(view(global, &set, document.as_ref(), &looks))
}

fn view(global: &Global, set: &OpenSet, document: Option<&Document>, looks: &[Look]) -> PlanView {
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
    warnings.extend(looks.iter().filter_map(|look| look.warning.clone()));
    let single: Vec<String> =
        set.config.databases.iter().filter(|d| d.strategy == Strategy::Single).map(|d| d.name.clone()).collect();
    PlanView {
        program: global.invocation(),
        set: set.config.name.clone(),
        from,
        to,
        databases: set.config.databases.iter().enumerate().map(|(at, d)| planned(set, at, d, document)).collect(),
        steps: steps(set, to, document),
        lockout: if single.is_empty() {
            Lockout::None
        } else {
            Lockout::Window { databases: single, expected_ms: None }
        },
        undo: match looks.iter().find_map(|look| look.no_way_back.clone()) {
            Some(why) => Undo::Impossible { why },
            None => Undo::Possible,
        },
        warnings,
    }
}

fn planned(set: &OpenSet, at: usize, database: &Database, document: Option<&Document>) -> PlannedDatabase {
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
    let policy = set.config.shared_password.as_ref().unwrap_or(&database.password);
    PlannedDatabase {
        database: database.name.clone(),
        strategy: strategy_name(database.strategy).to_owned(),
        user,
        published,
        password_length: policy.length(),
        password_bits: policy.entropy_bits(),
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
fn steps(set: &OpenSet, to: u64, document: Option<&Document>) -> Vec<PlannedStep> {
    let mut steps = Vec::new();
    let mut step = |what: String, at: &str, calls: &[&str]| {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        steps.push(PlannedStep { what, at: at.to_owned(), calls, decides: false });
    };
    let secrets: Vec<PlannedSecret> = (0..set.secrets.len()).filter_map(|at| PlannedSecret::of(set, at)).collect();
    step("take the set under a new epoch".to_owned(), "register", &[]);
    for secret in &secrets {
        let calls: &[&str] = if secret.leads { &["GetSecretValue", "GetSecretValue"] } else { &["GetSecretValue"] };
        let room = if secret.bills { "" } else { "; three versions must still fit" };
        step(format!("read what is published; nothing else may be there{room}"), &secret.name, secret.billed(calls));
    }
    for database in &set.config.databases {
        let what = match database.engine {
            Engine::Oracle => "log in with what is published; look at account, profile, rights and sessions",
            Engine::Postgres => "log in with what is published; look at fence, rights and sessions",
        };
        step(what.to_owned(), &database.name, &[]);
    }
    step(format!("record the intent to move to g{to}"), "register", &[]);
    for secret in &secrets {
        let calls: &[&str] = if secret.announces {
            &["PutSecretValue", "UpdateSecretVersionStage", "GetSecretValue"]
        } else {
            &["PutSecretValue", "GetSecretValue"]
        };
        let how = if secret.bills { "under its own name" } else { "as PENDING, under its own name," };
        step(format!("stage g{to} {how} and read it back"), &secret.name, secret.billed(calls));
    }
    for (at, database, change) in changes(set, document) {
        let user = planned(set, at, database, document).user;
        for what in change.words(&user) {
            step(what, &database.name, &[]);
        }
    }
    for database in &set.config.databases {
        step(format!("log in with g{to} on a fresh connection"), &database.name, &[]);
    }
    step(format!("decide for g{to}"), "register", &[]);
    let decision = steps.len() - 1;
    let mut step = |what: &str, at: &str, calls: &[&str]| {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        steps.push(PlannedStep { what: what.to_owned(), at: at.to_owned(), calls, decides: false });
    };
    for secret in &secrets {
        step("move CURRENT by compare-and-swap", &secret.name, secret.billed(&["UpdateSecretVersionStage"]));
    }
    let drops = document.is_some_and(|d| d.kept.len() > 1 && d.current > 1);
    for secret in &secrets {
        let calls: &[&str] = if drops { &["GetSecretValue", "UpdateSecretVersionStage"] } else { &["GetSecretValue"] };
        step("log in with what consumers read; drop names that nothing needs", &secret.name, secret.billed(calls));
    }
    step("come to rest", "register", &[]);
    if let Some(step) = steps.get_mut(decision) {
        step.decides = true;
    }
    steps
}

/// What a secret's place among the others means for its calls.
struct PlannedSecret {
    name: String,
    /// Whether its store bills calls. OCI publishes no price per call of Vault.
    bills: bool,
    /// Whether idle users' passwords are read from it.
    leads: bool,
    /// Whether it moves PENDING: consumers of a `single` may try that next.
    announces: bool,
}

impl PlannedSecret {
    fn of(set: &OpenSet, at: usize) -> Option<Self> {
        let (config, secret) = (set.config.secrets.get(at)?, set.secrets.get(at)?);
        let leads = set.config.databases.iter().enumerate().any(|(d, database)| {
            let lead = set.secrets.iter().position(|s| s.covers.contains(&d));
            database.strategy == Strategy::Alternating && lead == Some(at)
        });
        Some(Self {
            name: config.store.to_string(),
            bills: matches!(config.store, Reference::AwsSm { .. }),
            leads,
            announces: secret.covers.iter().any(|d| is_single(set, *d)),
        })
    }

    fn billed<'a>(&self, calls: &'a [&'a str]) -> &'a [&'a str] {
        if self.bills { calls } else { &[] }
    }
}

fn is_single(set: &OpenSet, database: usize) -> bool {
    set.config.databases.get(database).is_some_and(|d| d.strategy == Strategy::Single)
}

/// How one database changes.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Change {
    Alternating(Engine),
    Voting,
    Unfenced,
    Rollover { ends: bool },
    Commit,
}

impl Change {
    fn words(self, user: &str) -> Vec<String> {
        let oracle = "with the protocol's own password change, never in SQL";
        match self {
            Self::Alternating(Engine::Postgres) => {
                vec![format!("change the password of {user} under the fence (a SCRAM verifier, never the password)")]
            }
            Self::Alternating(Engine::Oracle) => vec![format!("change the password of {user} {oracle}")],
            Self::Voting => vec![format!("prepare the change of {user} in an open transaction")],
            Self::Unfenced => vec![
                format!("record that {user} may have changed (register)"),
                format!("change the password of {user} {oracle}; from here a taker-over waits before it undoes"),
            ],
            Self::Rollover { ends } => {
                let end = ends.then(|| "end the rollover window of the last rotation, if one is open".to_owned());
                end.into_iter()
                    .chain([
                        format!("record that {user} may have changed (register)"),
                        format!("change the password of {user} {oracle}; the old one works on during its window"),
                    ])
                    .collect()
            }
            Self::Commit => vec![format!("commit the change of {user}")],
        }
    }
}

/// The databases in the order of apply (rulings: idle users, votes, unfenced `single`s, rollovers, commits).
fn changes<'s>(set: &'s OpenSet, document: Option<&Document>) -> Vec<(usize, &'s Database, Change)> {
    let mut all = Vec::new();
    for (at, database) in set.config.databases.iter().enumerate() {
        let changes = match (database.strategy, database.engine) {
            (Strategy::Alternating, engine) => vec![Change::Alternating(engine)],
            (Strategy::Single, Engine::Postgres) => vec![Change::Voting, Change::Commit],
            (Strategy::Single, Engine::Oracle) => vec![Change::Unfenced],
            (Strategy::Rollover, _) => {
                let known = document.and_then(|d| d.databases.get(&database.name)?.rollover);
                vec![Change::Rollover { ends: known.is_some_and(|rollover| rollover.can_end) }]
            }
        };
        all.extend(changes.into_iter().map(|change| (at, database, change)));
    }
    all.sort_by_key(|(at, _, change)| (*change, *at));
    all
}
