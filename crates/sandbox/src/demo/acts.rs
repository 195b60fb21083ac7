//! The acts, in their order. Each begins with what will happen and ends with what the judges found.

use anyhow::{Context as _, Result, ensure};

use super::{
    Demo, LOGINS_PER_PHASE, LOGINS_PER_ROTATION, failed,
    judge::{all_log_in, changed, published, verifiers},
    users,
};
use crate::{
    SET,
    moto::{Fault, Mishap},
    postgres::Postgres,
};

/// Rotations in a row.
const ROTATIONS: usize = 6;

/// What is there.
pub(super) fn setting(demo: &Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(0, "The setting");
    for member in &demo.at.members {
        let version = member.server.psql("SHOW server_version")?;
        let tls = member.server.psql("SHOW ssl")?;
        let what = format!("database {}: PostgreSQL {version} on localhost:{}", member.name, member.server.port());
        screen.claim("psql", tls == "on", &format!("{what}, TLS; users {}", member.users.join(" and ")))?;
    }
    let published = published(&demo.at)?;
    for (secret, one) in &published {
        let users: Vec<&str> = one.users.values().map(String::as_str).collect();
        let what = format!("secret {secret} in Secrets Manager (moto) publishes {}", users.join(" and "));
        screen.claim("AWS CLI, psql", one.dead.is_empty(), &what)?;
    }
    screen.say("the configuration:");
    let text = std::fs::read_to_string(demo.at.path("dizzy-keys.toml")).context("read the configuration")?;
    let folder = demo.at.path("").display().to_string();
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
    demo.screen.claim("AWS CLI, psql", published(&demo.at)? == before, "what consumers read is as it was, and logs in")
}

/// Rotations in a row, undisturbed.
pub(super) fn rotate(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(2, &format!("{ROTATIONS} rotations, while an application logs in all the time"));
    screen.say("The application: Python with boto3 and psycopg, verify-full, no retries; it reads CURRENT afresh for");
    screen.say("every login and goes through both secrets and both databases in turn.");
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
    let both = demo.at.members.iter().flat_map(|member| &member.users).all(|user| seen.contains(user.as_str()));
    let names: Vec<&str> = seen.iter().copied().collect();
    screen.claim("the application's log", both, &format!("it logged in as {}", names.join(", ")))?;
    screen.claim("AWS CLI, psql", all_log_in(&published(&demo.at)?), "every published credential logs in")
}

/// One database refuses after the intent is recorded.
pub(super) fn refusal(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(3, "One database refuses: everything stays on the old generation");
    demo.begin("refusal");
    let (was_published, had) = (published(&demo.at)?, verifiers(&demo.at)?);
    screen.say("On billing an administrator forbids changes: a trigger on dizzy.fence that raises an error.");
    billing(demo)?.psql(
        "CREATE FUNCTION public.change_freeze() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'change freeze' USING ERRCODE = 'insufficient_privilege'; END $$; \
         CREATE TRIGGER change_freeze BEFORE UPDATE ON dizzy.fence FOR EACH ROW EXECUTE FUNCTION public.change_freeze()",
    )?;
    let ran = demo.show(&["rotate", SET], 1)?;
    screen.claim(
        "exit code 1",
        ran.code == Some(1),
        "the rotation failed, and the old credentials are valid everywhere",
    )?;
    let has = changed(&had, &verifiers(&demo.at)?);
    let one_sided = !has.is_empty() && has.iter().all(|user| user.starts_with("rds_"));
    screen.claim(
        "psql",
        one_sided,
        &format!("rds had accepted already ({} changed), billing had not", has.join(", ")),
    )?;
    let published_now = published(&demo.at)?;
    screen.claim(
        "AWS CLI",
        published_now == was_published,
        "both secrets publish the very versions that they published",
    )?;
    screen.claim("psql", all_log_in(&published_now), "every published credential logs in")?;
    let phase = demo.phase()?;
    screen.claim("status", phase == "idle", "the set is at rest")?;
    demo.after(&ran)?;
    billing_thaws(demo)?;
    demo.rotation()?;
    let again = published(&demo.at)?;
    let moved =
        again.iter().all(|(secret, one)| was_published.get(secret).is_some_and(|old| old.version != one.version));
    screen.claim(
        "AWS CLI, psql",
        moved && all_log_in(&again),
        "both secrets publish the next generation, and it logs in",
    )?;
    demo.conclude()
}

fn billing_thaws(demo: &Demo) -> Result<()> {
    demo.screen.say("The administrator takes the trigger away; the next rotation goes through.");
    billing(demo)?.psql("DROP TRIGGER change_freeze ON dizzy.fence; DROP FUNCTION public.change_freeze()").map(drop)
}

/// Killed when one database has changed its password and the other one has its change in an open transaction.
pub(super) fn kill_between_databases(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(4, "kill -9 between two databases");
    demo.begin("kill, deciding");
    screen.say(
        "A traced rotation shows the point at which the first database has answered its change. The next rotation dies",
    );
    screen.say("there, while its change of billing waits for a lock that somebody holds.");
    let point = demo.point_after("change a password")?;
    let (was_published, had) = (published(&demo.at)?, verifiers(&demo.at)?);
    let held = billing(demo)?.hold_transaction("SELECT FROM dizzy.fence FOR UPDATE")?;
    demo.killed_rotation(point)?;
    let has = changed(&had, &verifiers(&demo.at)?);
    let one_sided = matches!(has.as_slice(), [user] if user.starts_with("rds_"));
    screen.claim("psql", one_sided, &format!("only rds is changed ({})", has.join(", ")))?;
    screen.claim("status", demo.phase()? == "intent", "nothing was decided: the register is in phase intent")?;
    demo.show(&["status", SET], 0)?;
    let published_now = published(&demo.at)?;
    let untouched = published_now == was_published && all_log_in(&published_now);
    screen.claim("AWS CLI, psql", untouched, "both secrets publish what they published, and it logs in")?;
    drop(held);
    recovered(demo)?;
    demo.conclude()
}

/// Killed when one secret is promoted and the request to promote the other is still on its way.
pub(super) fn kill_between_promotions(demo: &mut Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(5, "kill -9 between two promotions, and a request that arrives late");
    demo.begin("kill, promoting");
    let point = demo.point_after("promote a secret")?;
    let was_published = published(&demo.at)?;
    let late = demo.at.secrets.last().context("a second secret")?.clone();
    demo.at.moto.inject(&Fault::next("UpdateSecretVersionStage", Mishap::Late).on(&late))?;
    demo.killed_rotation(point)?;
    screen.claim(
        "status",
        demo.phase()? == "commit",
        "the next generation was decided: the register is in phase commit",
    )?;
    demo.show(&["status", SET], 0)?;
    let published_now = published(&demo.at)?;
    let moved: Vec<&String> = published_now
        .iter()
        .filter(|(secret, one)| was_published.get(*secret) != Some(one))
        .map(|(name, _)| name)
        .collect();
    let first = demo.at.secrets.first().context("a first secret")?;
    screen.claim("AWS CLI", moved == [first], &format!("{first} is promoted; the request for {late} is on its way"))?;
    screen.claim("psql", all_log_in(&published_now), "old here and next there: every published credential logs in")?;
    recovered(demo)?;
    let rested = published(&demo.at)?;
    let released = demo.at.moto.release()?;
    let unmoved = published(&demo.at)? == rested && all_log_in(&rested);
    screen.claim("moto", released == 1, "the dead worker's request arrives only now")?;
    screen.claim("AWS CLI, psql", unmoved, "it moved nothing: every published credential still logs in")?;
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
        "status, AWS CLI, psql",
        at_rest && alike && all_log_in(&published),
        "at rest; both secrets publish the same users, and every published credential logs in",
    )
}

fn billing(demo: &Demo) -> Result<&Postgres> {
    let billing = demo.at.members.iter().find(|member| member.name == "billing").context("the second database")?;
    Ok(&billing.server)
}

/// The figures.
pub(super) fn closing(mut demo: Demo) -> Result<()> {
    let screen = demo.screen;
    screen.act(6, "What the application saw");
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
