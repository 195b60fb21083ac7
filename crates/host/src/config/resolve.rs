//! From what is written to what is meant: every rule about the configuration that a type cannot say.
//!
//! Reads top-down like the file. The first mistake in that order is reported; nothing outside the file is looked at.

use core::{ops::RangeInclusive, time::Duration};
use std::collections::{BTreeMap, BTreeSet};

use dizzy_engine::Strategy;

use super::{
    MAX_DATABASES, MAX_SECRETS, aws_role,
    error::ConfigError,
    model::{
        AuditModel, ClassModel, DatabaseModel, Engine, FormatModel, Model, OciModel, PasswordModel, Passwords,
        SecretModel, SetModel, StrategyModel,
    },
    notify,
    resolved::{Adapter, Audit, Config, Database, Need, Oci, Place, RotationSet, Secret, Wallet},
    schedule::{self, Rule, Schedule, Window},
    source::{Source, Step, dotted},
};
use crate::{
    document::Format,
    password::{Class, DEFAULT_LENGTH, MAX_LENGTH, ORACLE_LENGTH, Policy, Rules},
    reference::Reference,
};

/// Longest name of a set. It is part of PostgreSQL's `application_name` (63 bytes) beside a generation and an epoch.
const MAX_SET_NAME: usize = 32;
/// Longest name of a database in the configuration.
const MAX_DATABASE_NAME: usize = 63;
/// Longest user name: PostgreSQL's identifiers; Oracle's are longer.
const MAX_POSTGRES_USER: usize = 63;
const MAX_ORACLE_USER: usize = 128;
/// Longest text of any other kind (host names, OCIDs, paths).
const MAX_TEXT: usize = 1024;
const MAX_SINKS: usize = 4;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// A rotation more often than this is a mistake in the unit.
const EVERY: RangeInclusive<Duration> = MINUTE..=DAY.saturating_mul(3650);
/// Less than a day would leave no time for a second try, or for the next window.
const RENEW: RangeInclusive<Duration> = DAY..=DAY.saturating_mul(365);
const SPREAD: RangeInclusive<Duration> = Duration::ZERO..=DAY.saturating_mul(30);
/// A server that has not answered for a minute would keep the whole set waiting.
const CONNECT: RangeInclusive<Duration> = Duration::from_millis(100)..=MINUTE;
const STATEMENT: RangeInclusive<Duration> = Duration::from_millis(100)..=MINUTE.saturating_mul(5);
const DEFAULT_CONNECT: Duration = SECOND.saturating_mul(5);
const DEFAULT_STATEMENT: Duration = SECOND.saturating_mul(10);

const DEFAULT_JOURNAL: &str = "file:./dizzy-state";
/// Most keys that were replaced; a key a month for ten years.
const MAX_FORMER_KEYS: usize = 120;

const DEFAULT_SINK: &str = "file:./dizzy-audit";

pub(super) type Resolved<T> = Result<T, ConfigError>;

pub(super) fn resolve(source: &Source<'_>, model: Model) -> Resolved<Config> {
    let mut needs = Vec::new();
    let root = At { source, steps: Vec::new() };
    let at = root.key("journal").key("url");
    let journal = at.place(model.journal.url.as_deref().unwrap_or(DEFAULT_JOURNAL))?;
    needs.extend(at.need_of_place(&journal));
    let audit = audit(&root.key("audit"), model.audit, &mut needs)?;
    let aws_role = aws_role::resolve(&root.key("aws"), model.aws)?;
    let oci = oci(&root.key("oci"), model.oci, &mut needs)?;
    let notify = notify::resolve(&root.key("notify"), model.notify, &mut needs)?;
    let at = root.key("sets");
    if model.sets.is_empty() {
        return Err(
            at.wrong("there is no rotation set", "add one: [sets.NAME.databases.NAME] and [[sets.NAME.secrets]]")
        );
    }
    let mut sets = BTreeMap::new();
    for (name, set) in model.sets {
        let set = rotation_set(&at.key(&name), &name, set, &mut needs)?;
        sets.insert(name, set);
    }
    sets_are_disjoint(&at, &sets)?;
    Ok(Config { file: source.name.to_owned(), journal, audit, aws_role, oci, notify, sets, needs })
}

fn audit(at: &At<'_>, model: AuditModel, needs: &mut Vec<Need>) -> Resolved<Audit> {
    let key = match &model.key {
        None => None,
        Some(text) => {
            let at = at.key("key");
            needs.push(at.need(Adapter::AuditKey));
            Some(at.reference(text, needs)?)
        }
    };
    let mut former_keys = Vec::new();
    let at_former = at.key("former_keys");
    for (index, text) in model.former_keys.unwrap_or_default().iter().take(MAX_FORMER_KEYS).enumerate() {
        former_keys.push(at_former.index(index).reference(text, needs)?);
    }
    let note_key = match &model.note_key {
        None => None,
        Some(text) => Some(at.key("note_key").reference(text, needs)?),
    };
    let at = at.key("sinks");
    let texts = model.sinks.unwrap_or_else(|| vec![DEFAULT_SINK.to_owned()]);
    if texts.is_empty() || texts.len() > MAX_SINKS {
        return Err(at.wrong(format!("there must be 1 to {MAX_SINKS} sinks"), "leave the key out for the default"));
    }
    let mut sinks = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let at = at.index(index);
        let sink = at.place(text)?;
        if sinks.contains(&sink) {
            return Err(at.wrong("this sink is named twice", "name each sink once"));
        }
        needs.extend(at.need_of_place(&sink));
        sinks.push(sink);
    }
    Ok(Audit { key, former_keys, note_key, sinks, require: model.require.unwrap_or_default() })
}

fn oci(at: &At<'_>, model: OciModel, needs: &mut Vec<Need>) -> Resolved<Oci> {
    let key_at = at.key("key");
    let key = match &model.key {
        None => None,
        Some(text) => match key_at.reference(text, needs)? {
            Reference::OciVault { .. } => {
                return Err(key_at.wrong(
                    "the key to OCI cannot be in OCI",
                    "allowed: `aws-sm:NAME`, `aws-ssm:/NAME`, `env:NAME`, `file:PATH`",
                ));
            }
            other @ (Reference::AwsSm { .. }
            | Reference::AwsSsm { .. }
            | Reference::Env { .. }
            | Reference::File { .. }) => Some(other),
        },
    };
    let at = at.key("endpoints");
    let endpoint = |key: &str, url: Option<String>| match url {
        None => Ok(None),
        Some(url) => at.key(key).endpoint(url).map(Some),
    };
    Ok(Oci {
        auth: model.auth.unwrap_or_default(),
        key,
        secrets: endpoint("secrets", model.endpoints.secrets)?,
        vaults: endpoint("vaults", model.endpoints.vaults)?,
        objectstorage: endpoint("objectstorage", model.endpoints.objectstorage)?,
        database: endpoint("database", model.endpoints.database)?,
        notifications: endpoint("notifications", model.endpoints.notifications)?,
        federation: endpoint("auth", model.endpoints.auth)?,
    })
}

fn rotation_set(at: &At<'_>, name: &str, model: SetModel, needs: &mut Vec<Need>) -> Resolved<RotationSet> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > MAX_SET_NAME || !name.chars().all(fits) || name.starts_with(['-', '_']) {
        return Err(at.wrong(
            "this cannot be the name of a set",
            format!("use lower-case letters, digits, `-` and `_`, at most {MAX_SET_NAME}, a letter or digit first"),
        ));
    }
    let before = needs.len();
    let schedule = schedule(at, &model)?;
    let databases = databases(&at.key("databases"), model.databases, needs)?;
    let secrets = secrets(&at.key("secrets"), model.secrets, &databases, needs)?;
    every_database_is_covered(&at.key("secrets"), &databases, &secrets)?;
    let shared_password = match model.passwords.unwrap_or_default() {
        Passwords::Each => None,
        Passwords::Shared => {
            let policies: Vec<&Policy> = databases.iter().map(|database| &database.password).collect();
            let shared = Policy::shared(&policies);
            Some(shared.map_err(|error| {
                at.key("passwords").wrong(
                    error.to_string(),
                    "make the `password` tables of the databases agree, or use passwords = \"each\"",
                )
            })?)
        }
    };
    for need in needs.iter_mut().skip(before) {
        need.set = Some(name.to_owned());
    }
    Ok(RotationSet {
        name: name.to_owned(),
        schedule,
        on_active_sessions: model.on_active_sessions.unwrap_or_default(),
        shared_password,
        databases,
        secrets,
    })
}

fn schedule(at: &At<'_>, model: &SetModel) -> Resolved<Schedule> {
    let rule = match (&model.every, &model.cron) {
        (None, None) => Rule::OnRequest,
        (Some(every), None) => Rule::Every(at.key("every").duration(every, &EVERY)?),
        (None, Some(cron)) => Rule::Cron(Box::new(schedule::cron(cron).ok_or_else(|| {
            at.key("cron").wrong(
                "this is not a cron expression with a next time",
                "five fields, in UTC: `0 3 * * 0` is Sundays at 03:00",
            )
        })?)),
        (Some(_), Some(_)) => {
            return Err(at.key("cron").wrong("`every` and `cron` exclude each other", "keep one of them"));
        }
    };
    let renew_before = match &model.renew_before {
        None => None,
        Some(_) if !model.databases.values().any(|database| database.engine == Engine::Oracle) => {
            return Err(at.key("renew_before").wrong(
                "no database of this set gives a new password a new life",
                "PostgreSQL's VALID UNTIL stays as it is when a password changes: use `every`, and have an administrator move the date",
            ));
        }
        Some(text) => Some(at.key("renew_before").duration(text, &RENEW)?),
    };
    let on_request = rule == Rule::OnRequest && renew_before.is_none();
    let timed = |key: &str| {
        at.key(key).wrong(
            format!("`{key}` means nothing without `every`, `cron` or `renew_before`"),
            "add `every = \"30d\"`, or leave it out",
        )
    };
    let window = match &model.window {
        None => None,
        Some(_) if on_request => return Err(timed("window")),
        Some(_) if model.cron.is_some() => {
            return Err(at.key("window").wrong("`window` and `cron` exclude each other", "cron says the hour already"));
        }
        Some(text) => Some(Window::parse(text).ok_or_else(|| {
            at.key("window")
                .wrong("this is not a window of the day", "two times in UTC: `02:00-04:00`; it may span midnight")
        })?),
    };
    let spread = match &model.spread {
        None => Duration::ZERO,
        Some(_) if on_request => return Err(timed("spread")),
        Some(text) => at.key("spread").duration(text, &SPREAD)?,
    };
    if window.is_some_and(|window| spread > window.length()) {
        return Err(at
            .key("spread")
            .wrong("the spread is longer than the window", "make it at most as long as the window"));
    }
    let min_interval = match &model.min_interval {
        None => Duration::ZERO,
        Some(_) if on_request => return Err(timed("min_interval")),
        Some(text) => at.key("min_interval").duration(text, &EVERY)?,
    };
    Ok(Schedule { rule, window, spread, min_interval, renew_before })
}

fn databases(at: &At<'_>, models: BTreeMap<String, DatabaseModel>, needs: &mut Vec<Need>) -> Resolved<Vec<Database>> {
    if models.is_empty() || models.len() > MAX_DATABASES {
        return Err(at.wrong(format!("a set has 1 to {MAX_DATABASES} databases"), "add [sets.NAME.databases.NAME]"));
    }
    let mut databases: Vec<Database> = Vec::new();
    for (name, model) in models {
        let at = at.key(&name);
        let database = database(&at, name, model, needs)?;
        if database.strategy == Strategy::Rollover && databases.iter().any(|d| d.strategy == Strategy::Rollover) {
            return Err(at.key("strategy").wrong(
                "a set can have one rollover database: with two, a refusal by the second leaves no way back",
                "use `alternating` for all but one, or put them into sets of their own",
            ));
        }
        if let Some(other) = databases.iter().find(|other| same_account(other, &database)) {
            return Err(at.key("users").wrong(
                format!("database `{}` of this set rotates a user of this name on the same server", other.name),
                "each account belongs to one database of one set",
            ));
        }
        databases.push(database);
    }
    Ok(databases)
}

fn database(at: &At<'_>, name: String, model: DatabaseModel, needs: &mut Vec<Need>) -> Resolved<Database> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > MAX_DATABASE_NAME || !name.chars().all(fits) {
        return Err(at.wrong(
            "this cannot be the name of a database",
            format!("use letters, digits, `-` and `_`, at most {MAX_DATABASE_NAME}"),
        ));
    }
    needs.push(at.key("engine").need(match model.engine {
        Engine::Oracle => Adapter::Oracle,
        Engine::Postgres => Adapter::Postgres,
    }));
    keys_fit_the_engine(at, &model)?;
    let users = users(&at.key("users"), model.engine, model.users)?;
    let strategy = strategy(at, model.engine, users.len(), model.strategy)?;
    let optional_text = |key: &str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => at.key(key).text(text).map(Some),
    };
    if model.port == Some(0) {
        return Err(at.key("port").wrong("there is no port 0", "leave it out for the usual one"));
    }
    let mut reference = |key: &str, text: Option<String>| match text {
        None => Ok(None),
        Some(text) => at.key(key).reference(&text, needs).map(Some),
    };
    let (tls_ca, wallet_password, admin) = (
        reference("tls_ca", model.tls_ca)?,
        reference("wallet_password", model.wallet_password)?,
        reference("admin", model.admin)?,
    );
    let wallet = match model.wallet {
        None => None,
        Some(text) => Some(at.key("wallet").wallet(&text, needs)?),
    };
    if let (Some(Wallet::Generated { .. }), Some(_)) = (&wallet, &wallet_password) {
        return Err(at.key("wallet_password").wrong(
            "a wallet that the database service makes gets a random password, used once",
            "leave `wallet_password` out",
        ));
    }
    let time = |key: &str, text: Option<String>, limits: &RangeInclusive<Duration>, default: Duration| match text {
        None => Ok(default),
        Some(text) => at.key(key).duration(&text, limits),
    };
    Ok(Database {
        name,
        engine: model.engine,
        host: optional_text("host", model.host)?,
        port: model.port,
        dbname: optional_text("dbname", model.dbname)?,
        service: optional_text("service", model.service)?,
        service_name: optional_text("service_name", model.service_name)?,
        users,
        strategy,
        tls_ca,
        wallet,
        wallet_password,
        admin,
        connect_timeout: time("connect_timeout", model.connect_timeout, &CONNECT, DEFAULT_CONNECT)?,
        statement_timeout: time("statement_timeout", model.statement_timeout, &STATEMENT, DEFAULT_STATEMENT)?,
        password: policy(&at.key("password"), model.engine, model.password)?,
    })
}

/// A key of the other engine is a mistake that would otherwise be silently without effect.
fn keys_fit_the_engine(at: &At<'_>, model: &DatabaseModel) -> Resolved<()> {
    let foreign = match model.engine {
        Engine::Oracle => [("dbname", model.dbname.is_some()), ("", false), ("", false), ("", false)],
        Engine::Postgres => [
            ("service", model.service.is_some()),
            ("service_name", model.service_name.is_some()),
            ("wallet", model.wallet.is_some()),
            ("wallet_password", model.wallet_password.is_some()),
        ],
    };
    let (engine, instead) = match model.engine {
        Engine::Oracle => ("oracle", "Oracle takes `service`, or `host`, `port` and `service_name`"),
        Engine::Postgres => {
            ("postgres", "PostgreSQL takes `host`, `port` and `dbname`, all of which the secret may hold")
        }
    };
    if let Some((key, _)) = foreign.iter().find(|(_, written)| *written) {
        return Err(at.key(key).wrong(format!("`{key}` means nothing with engine \"{engine}\""), instead));
    }
    if model.service.is_some() && model.service_name.is_some() {
        return Err(at.key("service_name").wrong(
            "`service` and `service_name` exclude each other",
            "`service` is an alias in the wallet; `service_name` goes with `host` and `port`",
        ));
    }
    Ok(())
}

fn users(at: &At<'_>, engine: Engine, users: Option<Vec<String>>) -> Resolved<Vec<String>> {
    let users = users.unwrap_or_default();
    let longest = match engine {
        Engine::Oracle => MAX_ORACLE_USER,
        Engine::Postgres => MAX_POSTGRES_USER,
    };
    for (index, user) in users.iter().enumerate() {
        if user.is_empty() || user.len() > longest || user.chars().any(char::is_control) {
            return Err(at.index(index).wrong(
                "this cannot be a user's name",
                format!("1 to {longest} bytes without control characters, exactly as the database spells it"),
            ));
        }
    }
    match users.as_slice() {
        [] => Err(at.wrong("there are no users", "name two, which take turns, or one and a `strategy`")),
        [first, second] if same_user(engine, first, second) => {
            Err(at.index(1).wrong("both users are the same", "name two different users, or one and a `strategy`"))
        }
        [_] | [_, _] => Ok(users),
        [_, _, ..] => Err(at.index(2).wrong("there are more than two users", "two take turns; a third has no turn")),
    }
}

fn strategy(at: &At<'_>, engine: Engine, users: usize, written: Option<StrategyModel>) -> Resolved<Strategy> {
    let key = at.key("strategy");
    match (written, users, engine) {
        (None, 1, _) => Err(at.key("users").wrong(
            "one user needs a strategy",
            match engine {
                Engine::Oracle => "add a second user (no lockout), or strategy = \"rollover\", or strategy = \"single\" (a short lockout)",
                Engine::Postgres => "add a second user (no lockout), or strategy = \"single\" (a short lockout at each rotation)",
            },
        )),
        (Some(StrategyModel::Alternating), 1, _) => {
            Err(key.wrong("`alternating` needs two users", "add the second to `users`; `prepare` can create it"))
        }
        (Some(StrategyModel::Single | StrategyModel::Rollover), 2.., _) => {
            Err(key.wrong("this strategy has one user", "leave one in `users`, or use `alternating`"))
        }
        (Some(StrategyModel::Rollover), _, Engine::Postgres) => Err(key.wrong(
            "PostgreSQL has one password per user, so there is no rollover",
            "use two users (`alternating`), or `single`",
        )),
        (None | Some(StrategyModel::Alternating), _, _) => Ok(Strategy::Alternating),
        (Some(StrategyModel::Rollover), _, Engine::Oracle) => Ok(Strategy::Rollover),
        (Some(StrategyModel::Single), _, _) => Ok(Strategy::Single),
    }
}

fn policy(at: &At<'_>, engine: Engine, model: PasswordModel) -> Resolved<Policy> {
    let PasswordModel { length, classes, exclude, first, forbidden } = model;
    let (default, longest) = match engine {
        Engine::Oracle => (ORACLE_LENGTH, ORACLE_LENGTH),
        Engine::Postgres => (DEFAULT_LENGTH, MAX_LENGTH),
    };
    let says_nothing = length.is_none() && classes.is_none() && exclude.is_none() && first.is_none();
    if engine == Engine::Postgres && says_nothing && forbidden.is_none() {
        return Ok(Policy::default());
    }
    if length.is_some_and(|length| usize::from(length) > longest && usize::from(length) <= MAX_LENGTH) {
        return Err(at.key("length").wrong(
            format!("an Oracle password has at most {longest} characters here"),
            "longer ones work in some versions only; Autonomous Database takes 12 to 30",
        ));
    }
    let first = first.map(|first| classes_of(&first));
    if first.as_ref().is_some_and(Vec::is_empty) {
        return Err(at.key("first").wrong("no class is named", "leave it out: a password starts with a letter"));
    }
    let is_letter = |class: &Class| matches!(class, Class::Lower | Class::Upper);
    if engine == Engine::Oracle && first.as_ref().is_some_and(|first| !first.iter().all(is_letter)) {
        return Err(at.key("first").wrong(
            "an Oracle password starts with a letter here",
            "Oracle's own tools take others between double quotes only; classes are \"lower\" and \"upper\"",
        ));
    }
    let exclude = exclude.unwrap_or_default();
    // With the default classes, excluding every symbol means "no symbols" and nothing else.
    let emptied = |class: &Class| class.characters().chars().all(|c| exclude.contains(c));
    let classes = match classes {
        None => Class::ALL.into_iter().filter(|class| !emptied(class)).collect(),
        Some(classes) => classes_of(&classes),
    };
    let rules = Rules {
        length: length.map_or(default, usize::from),
        classes: &classes,
        first: first.as_deref(),
        exclude: &exclude,
        forbidden: &forbidden.unwrap_or_default(),
    };
    Policy::new(&rules).map_err(|error| ConfigError { hint: None, ..at.wrong(error.to_string(), "") })
}

fn classes_of(models: &[ClassModel]) -> Vec<Class> {
    let class = |model: &ClassModel| match model {
        ClassModel::Digit => Class::Digit,
        ClassModel::Lower => Class::Lower,
        ClassModel::Symbol => Class::Symbol,
        ClassModel::Upper => Class::Upper,
    };
    models.iter().map(class).collect()
}

fn secrets(
    at: &At<'_>,
    models: Vec<SecretModel>,
    databases: &[Database],
    needs: &mut Vec<Need>,
) -> Resolved<Vec<Secret>> {
    if models.is_empty() || models.len() > MAX_SECRETS {
        return Err(at.wrong(format!("a set has 1 to {MAX_SECRETS} secrets"), "add [[sets.NAME.secrets]] with `store`"));
    }
    let mut secrets: Vec<Secret> = Vec::new();
    for (index, model) in models.into_iter().enumerate() {
        let at = at.index(index);
        let secret = secret(&at, model, databases, needs)?;
        if secrets.iter().any(|other| other.store == secret.store) {
            return Err(at.key("store").wrong("this secret is named twice in the set", "name each secret once"));
        }
        secrets.push(secret);
    }
    Ok(secrets)
}

fn secret(at: &At<'_>, model: SecretModel, databases: &[Database], needs: &mut Vec<Need>) -> Resolved<Secret> {
    let store_at = at.key("store");
    let store = store_at.reference(&model.store, needs)?;
    match &store {
        Reference::AwsSm { field: None, .. } | Reference::OciVault { field: None, .. } => {}
        Reference::AwsSm { .. } | Reference::OciVault { .. } => {
            return Err(store_at.wrong("a store is a whole secret, without `#field`", "leave out `#` and what follows"));
        }
        Reference::AwsSsm { .. } | Reference::Env { .. } | Reference::File { .. } => {
            return Err(store_at.wrong(
                "credentials cannot be published there: it has no version stages",
                "allowed: `aws-sm:NAME-OR-ARN`, `oci-vault:OCID`",
            ));
        }
    }
    let format = model.format.map(|format| match format {
        FormatModel::Blob => Format::Blob,
        FormatModel::Rds => Format::Rds,
    });
    let names = || databases.iter().map(|database| format!("`{}`", database.name)).collect::<Vec<_>>().join(", ");
    let database = match (&model.database, databases) {
        (Some(_), _) if format == Some(Format::Blob) => {
            return Err(at
                .key("database")
                .wrong("a blob publishes every database", "leave out `database`, or use format = \"rds\""));
        }
        (Some(name), _) if !databases.iter().any(|database| database.name == *name) => {
            return Err(at
                .key("database")
                .wrong("the set has no database of this name", format!("it has: {}", names())));
        }
        (None, [_, _, ..]) if format == Some(Format::Rds) => {
            return Err(at.key("format").wrong(
                "format \"rds\" publishes one database, and the set has several",
                format!("add `database`, one of {}; or use format = \"blob\"", names()),
            ));
        }
        (None, [only]) if format != Some(Format::Blob) => Some(only.name.clone()),
        (written, _) => written.clone(),
    };
    Ok(Secret { store, format, database })
}

/// Every database's credential can be read back from at least one secret (rulings §5.4).
fn every_database_is_covered(at: &At<'_>, databases: &[Database], secrets: &[Secret]) -> Resolved<()> {
    let covers = |secret: &Secret, name: &str| secret.database.as_deref().is_none_or(|covered| covered == name);
    match databases.iter().find(|database| !secrets.iter().any(|secret| covers(secret, &database.name))) {
        None => Ok(()),
        Some(uncovered) => Err(at.wrong(
            format!("no secret publishes database `{}`", uncovered.name),
            "add a secret with `database` set to it, or one with format = \"blob\"",
        )),
    }
}

/// Two sets that publish into one secret, or rotate one account, would undo each other's work.
fn sets_are_disjoint(at: &At<'_>, sets: &BTreeMap<String, RotationSet>) -> Resolved<()> {
    let mut stores: BTreeMap<&Reference, &str> = BTreeMap::new();
    let mut accounts: BTreeMap<(String, Option<u16>, &str), &str> = BTreeMap::new();
    for (name, set) in sets {
        for (index, secret) in set.secrets.iter().enumerate() {
            if let Some(other) = stores.insert(&secret.store, name) {
                return Err(at.key(name).key("secrets").index(index).key("store").wrong(
                    format!("set `{other}` publishes into the same secret"),
                    "a secret belongs to one set; put the databases into one set, or use two secrets",
                ));
            }
        }
        for database in &set.databases {
            let Some(host) = &database.host else { continue };
            let own: BTreeSet<&str> = database.users.iter().map(String::as_str).collect();
            for user in own {
                let account = (host.to_ascii_lowercase(), database.port, user);
                if let Some(other) = accounts.insert(account, name)
                    && other != name
                {
                    return Err(at.key(name).key("databases").key(&database.name).key("users").wrong(
                        format!("set `{other}` rotates a user of this name on the same server"),
                        "an account belongs to one set",
                    ));
                }
            }
        }
    }
    Ok(())
}

/// As far as the file tells: hosts that only the secret knows are compared at run time, by the fence.
fn same_account(a: &Database, b: &Database) -> bool {
    let same_host = match (&a.host, &b.host) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        (None, _) | (_, None) => false,
    };
    // Roles are common to all databases of a PostgreSQL server, so dbname does not matter; Oracle's are per service.
    let same_server = a.engine == b.engine && same_host && a.port == b.port && a.service_name == b.service_name;
    same_server && a.users.iter().any(|user| b.users.iter().any(|other| same_user(a.engine, user, other)))
}

/// Oracle folds unquoted names to upper case; PostgreSQL's names are compared as stored.
fn same_user(engine: Engine, a: &str, b: &str) -> bool {
    match engine {
        Engine::Oracle => a.eq_ignore_ascii_case(b),
        Engine::Postgres => a == b,
    }
}

/// A place in the file while it is being checked.
pub(super) struct At<'a> {
    source: &'a Source<'a>,
    steps: Vec<Step>,
}

impl At<'_> {
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { source: self.source, steps }
    }

    pub(super) fn wrong(&self, what: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        self.source.wrong(&self.steps, what, Some(hint.into()))
    }

    pub(super) fn need(&self, adapter: Adapter) -> Need {
        Need { adapter, set: None, key: dotted(&self.steps), position: self.source.position_of(&self.steps) }
    }

    fn need_of_place(&self, place: &Place) -> Option<Need> {
        match place {
            Place::File(_) => None,
            Place::Oci { .. } => Some(self.need(Adapter::OciObjects)),
            Place::S3 { .. } => Some(self.need(Adapter::S3)),
        }
    }

    fn text(&self, text: String) -> Resolved<String> {
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(self.wrong(
                "the text is empty, too long, or has control characters",
                "leave the key out if the secret tells",
            ));
        }
        Ok(text)
    }

    fn duration(&self, text: &str, limits: &RangeInclusive<Duration>) -> Resolved<Duration> {
        let length = schedule::duration(text).ok_or_else(|| {
            self.wrong("this is not a length of time", "such as `30d`, `12h`, `90m`, `1h 30m`, `5s`, `250ms`")
        })?;
        if !limits.contains(&length) {
            let what = "this length of time is outside its limits";
            return Err(self.wrong(what, format!("{} to {}", in_words(*limits.start()), in_words(*limits.end()))));
        }
        Ok(length)
    }

    pub(super) fn reference(&self, text: &str, needs: &mut Vec<Need>) -> Resolved<Reference> {
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(self.wrong("the reference is too long or has control characters", "see `dizzy-keys schema`"));
        }
        let reference: Reference = text.parse().map_err(|error: crate::reference::ReferenceError| {
            self.wrong(error.to_string(), "a secret's text never stands in the configuration, only where it is")
        })?;
        match &reference {
            Reference::AwsSm { .. } => needs.push(self.need(Adapter::AwsSecrets)),
            Reference::AwsSsm { .. } => needs.push(self.need(Adapter::AwsParameters)),
            Reference::OciVault { .. } => needs.push(self.need(Adapter::OciVault)),
            Reference::Env { .. } | Reference::File { .. } => {}
        }
        Ok(reference)
    }

    fn place(&self, text: &str) -> Resolved<Place> {
        const ALLOWED: &str = "allowed: `file:DIR`, `s3://BUCKET/PREFIX`, `oci://NAMESPACE/BUCKET/PREFIX`";
        let wrong = || self.wrong("this is not a place", ALLOWED);
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(wrong());
        }
        text.parse().map_err(|_| wrong())
    }

    fn wallet(&self, text: &str, needs: &mut Vec<Need>) -> Resolved<Wallet> {
        if text.starts_with("https:") || text.starts_with("http:") {
            return Err(self.wrong(
                "a pre-authenticated URL is a secret and does not belong into the configuration",
                "put the URL into a secret and name that here: `aws-sm:NAME`, `oci-vault:OCID`, `env:NAME`, `file:PATH`",
            ));
        }
        if let Some(ocid) = text.strip_prefix("oci-adb:") {
            needs.push(self.need(Adapter::OciDatabase));
            return Ok(Wallet::Generated { ocid: self.text(ocid.to_owned())? });
        }
        if text.starts_with("oci://") {
            return match self.place(text)? {
                Place::Oci { namespace, bucket, prefix } if !prefix.is_empty() => {
                    needs.push(self.need(Adapter::OciObjects));
                    Ok(Wallet::Object { namespace, bucket, object: prefix })
                }
                Place::File(_) | Place::Oci { .. } | Place::S3 { .. } => {
                    Err(self.wrong("the object's name is missing", "`oci://NAMESPACE/BUCKET/OBJECT`"))
                }
            };
        }
        self.reference(text, needs).map(Wallet::Reference)
    }

    /// https, or http on this machine.
    fn endpoint(&self, url: String) -> Resolved<String> {
        let wrong = || self.wrong("this is not an endpoint", "`https://HOST[:PORT]`; http for loopback addresses only");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong());
        }
        let host = match authority.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: core::net::IpAddr| ip.is_loopback());
        if scheme == "https" || (scheme == "http" && loopback) { Ok(url) } else { Err(wrong()) }
    }
}

/// `5m`, `3650d`: the largest unit that divides it.
fn in_words(length: Duration) -> String {
    let ms = length.as_millis();
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit))
        .map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
