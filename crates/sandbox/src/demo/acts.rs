//! The acts, in their order. Each begins with what will happen and ends with what the judges found.

use anyhow::{Context as _, Result, ensure};
use dizzy_sandbox_oci::{Door, Permission, Rights, Service};
use dizzy_sandbox_oracle::{Effect, Fault as OracleFault, Point};

use super::{
    Demo, LOGINS_PER_PHASE, LOGINS_PER_ROTATION, failed,
    judge::{STORES, all_log_in, changed, passwords, published},
    users,
};
use crate::{
    SET,
    moto::{Fault, Mishap},
    two_clouds::{AWS_SECRET, ORACLE, POSTGRES},
};

/// Rotations in a row.
const ROTATIONS: usize = 5;
/// The judges of what is published and what logs in.
const CLIENTS: &str = "boto3, OCI SDK, psycopg, python-oracledb";
/// ORA-28003: the password verify function refuses the password.
const POLICY: u32 = 28003;

/// What is there.
pub(super) fn setting(demo: &Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(0, "The setting");
    let at = &demo.at;
    let version = at.postgres.psql("SHOW server_version")?;
    let tls = at.postgres.psql("SHOW ssl")?;
    let what = format!(
        "database {POSTGRES}: PostgreSQL {version} on localhost:{}, TLS; users {}",
        at.postgres.port(),
        at.postgres_users.join(" and ")
    );
    screen.claim("psql", tls == "on", &what)?;
    let published = published(at)?;
    let what = format!(
        "database {ORACLE}: an emulator of Oracle 23ai behind mutual TLS; its wallet is in Object Storage; users {}",
        at.oracle_users.join(" and ")
    );
    screen.claim("python-oracledb", all_log_in(&published), &what)?;
    for (store, one) in &published {
        let users: Vec<&str> = one.users.values().map(String::as_str).collect();
        screen.claim(
            CLIENTS,
            one.dead.is_empty(),
            &format!("{store} publishes {}, who log in", users.join(" and ")),
        )?;
    }
    screen.say("Secrets Manager is moto; Vault and Object Storage are an emulator that demands OCI's signatures. The configuration:");
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).context("read the configuration")?;
    let folder = at.path("").display().to_string();
    screen.command("cat dizzy-keys.toml", &text.replace(folder.trim_end_matches('/'), "."));
    Ok(())
}

/// Before anything is changed.
pub(super) fn look(demo: &Demo) -> Result<()> {
    demo.screen.act(1, "Before the first rotation: check, prepare, plan");
    let ran = demo.run(&["check", SET], &[])?;
    demo.screen.command(&format!("dizzy-keys check {SET}"), &ran.printed());
    let what = "check finds what is missing, and changes nothing";
    demo.screen.claim("exit code 1; no register", ran.code == Some(1) && demo.at.register().is_err(), what)
}

/// `prepare`, and the plan.
pub(super) fn adopt(demo: &Demo) -> Result<()> {
    let before = published(&demo.at)?;
    demo.show(&["--yes", "prepare", SET], 0)?;
    demo.show(&["check", SET], 0)?;
    demo.show(&["plan", SET], 0)?;
    demo.screen.claim(CLIENTS, published(&demo.at)? == before, "what consumers read is as it was, and logs in")
}

/// Rotations in a row, undisturbed.
pub(super) fn rotate(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(2, &format!("{ROTATIONS} rotations, while an application logs in all the time"));
    screen.say("The application: Python with boto3, OCI's SDK, psycopg and python-oracledb, TLS verified, no retries; it reads");
    screen.say("CURRENT afresh for every login and goes through both stores and both databases in turn.");
    demo.begin("before");
    demo.more_logins(LOGINS_PER_PHASE)?;
    demo.begin("rotations");
    let mut fewest = usize::MAX;
    for _ in 0..ROTATIONS {
        let from = demo.tried();
        let ran = demo.rotation()?;
        fewest = fewest.min(ran.logins);
        let logins = demo.logins(from, demo.tried())?;
        let failed = failed(&logins);
        let what = format!("{} logins ended during it, and {} failed{}", ran.logins, failed.len(), failed.join("; "));
        screen.claim("the application's log", failed.is_empty(), &what)?;
    }
    screen.claim(
        "the application's log",
        fewest >= LOGINS_PER_ROTATION,
        &format!("at least {fewest} logins ended during each of {ROTATIONS} rotations"),
    )?;
    demo.conclude()?;
    let phase = demo.phases.last().context("a phase")?.from;
    let logins = demo.logins(phase, demo.tried())?;
    let seen = users(&logins);
    let both = demo.at.postgres_users.iter().chain(&demo.at.oracle_users).all(|user| seen.contains(user.as_str()));
    let names: Vec<&str> = seen.iter().copied().collect();
    screen.claim("the application's log", both, &format!("it logged in as {}", names.join(", ")))?;
    screen.claim(CLIENTS, all_log_in(&published(&demo.at)?), "every published credential logs in")
}

/// One database refuses after the other one has accepted.
pub(super) fn refusal(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(3, "Oracle refuses when PostgreSQL has accepted: everything stays on the old generation");
    demo.begin("refusal");
    let (was_published, had) = (published(&demo.at)?, passwords(&demo.at)?);
    screen.say("The Oracle database refuses the password (ORA-28003), as a verify function can.");
    let fault = demo.at.oracle.plant(OracleFault::at(Point::BeforeChange, Effect::Refuse(POLICY)));
    let ran = demo.show(&["rotate", SET], 1)?;
    screen.claim(
        "exit code 1",
        ran.code == Some(1),
        "the rotation failed, and the old credentials are valid everywhere",
    )?;
    let has = changed(&had, &passwords(&demo.at)?);
    let one_sided =
        fault.fired() == 1 && !has.is_empty() && has.iter().all(|user| demo.at.postgres_users.contains(user));
    let what = format!("{POSTGRES} had accepted already ({} changed), {ORACLE} had not", has.join(", "));
    screen.claim("psql, the emulator's books", one_sided, &what)?;
    untouched(demo, &was_published)?;
    demo.after(&ran)?;
    screen.say("The next rotation goes through.");
    moves_on(demo, &was_published)?;
    demo.conclude()
}

/// One cloud does not play along: without a right, and not at all.
pub(super) fn cloud_down(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(4, "OCI fails: without a right, and then without an answer");
    demo.begin("OCI fails");
    let was_published = published(&demo.at)?;
    screen.say("Somebody takes the right to update secrets away.");
    demo.at.oci.set_rights("rotator", &Rights::all().without(Permission::SecretUpdate))?;
    let ran = demo.show(&["rotate", SET], 1)?;
    demo.at.oci.set_rights("rotator", &Rights::all())?;
    screen.claim(
        "exit code 1",
        ran.code == Some(1),
        "rolled back: Secrets Manager had the next version already, unused",
    )?;
    untouched(demo, &was_published)?;
    screen.say("All of OCI refuses connections, but for the service that the application reads from.");
    let away = [Service::Vaults, Service::ObjectStorage];
    away.iter().try_for_each(|service| demo.at.oci.set_door(*service, Door::Refusing))?;
    let ran = demo.run(&["rotate", SET], &[])?;
    away.iter().try_for_each(|service| demo.at.oci.set_door(*service, Door::Open))?;
    screen.command(&format!("dizzy-keys rotate {SET}"), &ran.printed());
    screen.claim("exit code 1", ran.code == Some(1), "the rotation does not begin")?;
    untouched(demo, &was_published)?;
    screen.say("OCI is back; the next rotation goes through.");
    moves_on(demo, &was_published)?;
    demo.conclude()
}

/// What is published is what was published, it logs in, and the set is at rest.
fn untouched(demo: &Demo, was_published: &std::collections::BTreeMap<String, super::judge::Published>) -> Result<()> {
    let screen = demo.screen;
    let published = published(&demo.at)?;
    screen.claim(
        "boto3, OCI SDK",
        published == *was_published,
        "both stores publish the very versions that they published",
    )?;
    screen.claim(CLIENTS, all_log_in(&published), "every published credential logs in")?;
    screen.claim("status", demo.phase()? == "idle", "the set is at rest")
}

/// A rotation after which every store publishes another version, which logs in.
fn moves_on(
    demo: &mut Demo,
    was_published: &std::collections::BTreeMap<String, super::judge::Published>,
) -> Result<()> {
    demo.rotation()?;
    let again = published(&demo.at)?;
    let moved = again.iter().all(|(store, one)| was_published.get(store).is_some_and(|old| old.version != one.version));
    let what = "both stores publish the next generation, and it logs in";
    demo.screen.claim(CLIENTS, moved && all_log_in(&again), what)
}

/// Killed when one database has changed its password and the other one's change is on its way.
pub(super) fn kill_between_databases(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(5, "kill -9 between two databases, and a change that arrives late");
    demo.begin("kill, deciding");
    screen.say("Oracle holds the change of its password back; the rotation dies once PostgreSQL has made its own.");
    let (was_published, had) = (published(&demo.at)?, passwords(&demo.at)?);
    let held = demo.at.oracle.plant(OracleFault::at(Point::BeforeChange, Effect::Hold));
    demo.killed_once(|demo| Ok(held.fired() == 1 && !changed(&had, &passwords(&demo.at)?).is_empty()))?;
    let has = changed(&had, &passwords(&demo.at)?);
    let one_sided = matches!(has.as_slice(), [user] if demo.at.postgres_users.contains(user));
    screen.claim(
        "psql, the emulator's books",
        one_sided,
        &format!("only {POSTGRES} is changed ({})", has.join(", ")),
    )?;
    screen.claim("status", demo.phase()? == "intent", "nothing was decided: the register is in phase intent")?;
    demo.show(&["status", SET], 0)?;
    let published_now = published(&demo.at)?;
    let untouched = published_now == was_published && all_log_in(&published_now);
    screen.claim(CLIENTS, untouched, "both stores publish what they published, and it logs in")?;
    recovered(demo)?;
    let rested = published(&demo.at)?;
    held.release();
    let unmoved = published(&demo.at)? == rested && all_log_in(&rested);
    screen.claim("the emulator", held.fired() == 1, "the dead worker's change is let go only now")?;
    screen.claim(CLIENTS, unmoved, "it harms nobody: every published credential still logs in")?;
    demo.conclude()
}

/// Killed when one store is promoted and the request to promote the other is still on its way.
pub(super) fn kill_between_promotions(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(6, "kill -9 between two promotions, and a request that arrives late");
    demo.begin("kill, promoting");
    let point = demo.point_after("promote a secret")?;
    let was_published = published(&demo.at)?;
    // Vault takes longer than Secrets Manager, whose answer is held back: so Vault's is the first.
    demo.at.moto.inject(&Fault::next("UpdateSecretVersionStage", Mishap::Late).on(AWS_SECRET))?;
    demo.killed_rotation(point)?;
    screen.claim(
        "status",
        demo.phase()? == "commit",
        "the next generation was decided: the register is in phase commit",
    )?;
    demo.show(&["status", SET], 0)?;
    let published_now = published(&demo.at)?;
    let [aws, vault] = STORES;
    let moved: Vec<&str> =
        STORES.into_iter().filter(|store| was_published.get(*store) != published_now.get(*store)).collect();
    screen.claim(
        "boto3, OCI SDK",
        moved == [vault],
        &format!("{vault} is promoted; the request for {aws} is on its way"),
    )?;
    screen.claim(CLIENTS, all_log_in(&published_now), "old here and next there: every published credential logs in")?;
    recovered(demo)?;
    let rested = published(&demo.at)?;
    let released = demo.at.moto.release()?;
    let unmoved = published(&demo.at)? == rested && all_log_in(&rested);
    screen.claim("moto", released == 1, "the dead worker's request arrives only now")?;
    screen.claim(CLIENTS, unmoved, "it moved nothing: every published credential still logs in")?;
    demo.conclude()
}

/// `recover`, `verify`, and what the judges say.
fn recovered(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    demo.more_logins(super::LOGINS_AFTER)?;
    let generation = |demo: &Demo| -> Result<Option<u64>> {
        Ok(demo.at.register()?.get("current").and_then(serde_json::Value::as_u64))
    };
    let before = generation(demo)?;
    demo.show(&["recover", SET], 0)?;
    if generation(demo)? > before {
        demo.rotated();
    }
    demo.show(&["verify", SET], 0)?;
    let at_rest = demo.phase()? == "idle";
    let published = published(&demo.at)?;
    let users: Vec<_> = published.values().map(|one| &one.users).collect();
    let alike = users.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
    screen.claim(
        "status and the clients",
        at_rest && alike && all_log_in(&published),
        "at rest; both stores publish the same users, and every published credential logs in",
    )
}

/// Who changes one byte of the trail is found out.
pub(super) fn trail(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    demo.begin("the trail");
    screen.act(7, "The audit trail: verified, tampered with, found out");
    screen.say("Every step so far is a signed record in two places, each naming the hash of the one before.");
    demo.show(&["audit", "verify"], 0)?;
    let decision = "\"type\":\"decision.commit\"";
    let (name, text) = objects(&demo.at.path("audit"))?
        .into_iter()
        .find(|(_, text)| text.contains(decision))
        .context("a decision in the trail")?;
    let at = name.strip_prefix(demo.at.path("")).unwrap_or(&name).display().to_string();
    screen.say(&format!("Somebody with the right to write there dates one decision years back, in {at}."));
    let line = text.lines().find(|line| line.contains(decision)).context("the decision")?;
    let day = line.split_once("\"time\":\"").and_then(|(_, rest)| rest.get(..10)).context("its day")?;
    let forged = text.replace(&format!("\"time\":\"{day}"), "\"time\":\"2001-01-01");
    ensure!(forged != text, "nothing was changed");
    demo.at.write(&at, &forged)?;
    let found = demo.show(&["audit", "verify"], 5)?;
    let named =
        found.out.contains("BAD_MAC") && found.out.contains(name.file_name().and_then(|n| n.to_str()).unwrap_or("?"));
    screen.claim("exit code 5 and the report", named, "the record is named, with its object and byte")?;
    demo.at.write(&at, &text)?;
    demo.show(&["audit", "verify"], 0)?;
    demo.conclude()
}

/// Every object of a trail in a folder, with its text.
fn objects(folder: &std::path::Path) -> Result<Vec<(std::path::PathBuf, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).context("look at the trail")? {
            let path = entry.context("look at the trail")?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "ndjson") {
                let text = std::fs::read_to_string(&path).context("read a record")?;
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The figures.
pub(super) fn closing(mut demo: Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(8, "What the application saw");
    let logins = demo.app.take().context("the application")?.end()?;
    screen.say(&row(["phase", "rotations", "kills", "logins", "failed", "slowest"]));
    let ends = demo.phases.iter().skip(1).map(|phase| phase.from).chain([logins.len()]);
    let mut counted = 0;
    for (phase, to) in demo.phases.iter().zip(ends) {
        let part = logins.get(phase.from..to).unwrap_or_default();
        counted += part.len();
        ensure!(part.len() >= LOGINS_PER_PHASE, "only {} logins in the phase: {}", part.len(), phase.name);
        let slowest = part.iter().map(|login| login.ms).fold(0.0, f64::max);
        screen.say(&row([
            phase.name,
            &phase.rotations.to_string(),
            &phase.kills.to_string(),
            &part.len().to_string(),
            &failed(part).len().to_string(),
            &format!("{slowest:.0} ms"),
        ]));
    }
    let failures = failed(&logins);
    let (rotations, kills) = (demo.rotations.to_string(), demo.kills.to_string());
    screen.say(&row(["all", &rotations, &kills, &logins.len().to_string(), &failures.len().to_string(), ""]));
    screen.claim("the sum of the phases", counted == logins.len(), "every login is counted once")?;
    screen.claim(
        "the application's log",
        failures.is_empty(),
        &format!("{} of {} logins failed{}", failures.len(), logins.len(), failures.join("; ")),
    )
}

fn row([phase, rotations, kills, logins, failed, slowest]: [&str; 6]) -> String {
    format!("{phase:<18}{rotations:>10}{kills:>7}{logins:>8}{failed:>8}{slowest:>10}").trim_end().to_owned()
}
