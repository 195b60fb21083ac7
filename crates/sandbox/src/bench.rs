//! The figures of `make bench`: how long, how many calls, how much memory. Says how each figure was obtained and asserts nothing about time.
//!
//! Secrets Manager is moto here, which is slower than the program it serves, so its own share is measured beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use dizzy_sandbox_oci::Settle;

use crate::{
    Application, Fleet, Installation, LoginTried, Oddity, OracleUsers, PostgresOptions, Registers, SET, SilentHost,
    TwoClouds, Users, postgres::Durability, two_clouds::ORACLE,
};

mod start;
mod trail;

/// Measured repetitions of everything.
const N: usize = 20;
/// Rotations before the measured ones: the first adopts, the second has both users' names in every store.
const WARM_UP: usize = 2;
/// Measured rotations in two clouds.
const N_TWO_CLOUDS: usize = 10;
/// Sets of the run in which one hangs.
const SETS: usize = 20;

/// Measures one part of what the program does.
type Part = fn(&Path) -> Result<()>;

/// The parts, in the order in which they are measured.
const PARTS: [(&str, Part); 6] = [
    ("rotation", rotation),
    ("two-clouds", two_clouds),
    ("logins", logins),
    ("hanging", hanging),
    ("start", start::measure),
    ("trail", trail::measure),
];

/// Measures this build of the product and prints the figures. `profile` says how it was built; `wanted` names parts, none of them: all.
///
/// # Errors
/// If a rotation does not work, something is missing on this machine, or there is no such part.
pub fn run(binary: &Path, profile: &str, wanted: &[String]) -> Result<()> {
    let names = PARTS.map(|(name, _)| name);
    if let Some(unknown) = wanted.iter().find(|part| !names.contains(&part.as_str())) {
        bail!("there is no part `{unknown}`; the parts are {}", names.join(", "));
    }
    let processors = thread::available_parallelism().context("count processors")?;
    line(&format!(
        "build: {profile}; n = {N} where nothing else is said; {processors} processors; load before: {}",
        load()?
    ));
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            part(binary)?;
        }
    }
    line(&format!("load after: {}", load()?));
    Ok(())
}

/// One set: how long, how many calls, how much memory.
fn rotation(binary: &Path) -> Result<()> {
    // As in production: a change of a password is durable before it is answered.
    let options = PostgresOptions { durability: Durability::Fsync, ..PostgresOptions::default() };
    let at = Installation::start(binary, &[("rds", Users::Alternating)], 1, &options)?;
    line(&format!("one set: PostgreSQL {} (alternating, TLS, fsync), one secret in moto", version(&at)?));
    at.prepare()?;

    line("");
    line(&row("what", "p50", "p90", "how"));
    let start = |name: &str, args: &[&str], how: &str| -> Result<()> {
        let times = (0..N).map(|_| process(&at, args).map(|(ms, _)| ms)).collect::<Result<Vec<f64>>>()?;
        line(&figures(name, times, how));
        Ok(())
    };
    start("start: --version", &["--version"], "process, from spawn to exit")?;
    start("start: status", &["status", SET], "process; configuration and register are read")?;

    for _ in 0..WARM_UP {
        at.must(&["rotate", SET])?;
    }
    let (mut whole, mut inside, mut calls) = (Vec::new(), Vec::new(), BTreeMap::<String, Vec<u64>>::new());
    for _ in 0..N {
        at.moto.forget_calls()?;
        let (ms, out) = process(&at, &["rotate", SET, "--output", "json"])?;
        whole.push(ms);
        let result: Value = serde_json::from_slice(&out).context("read the result")?;
        inside.push(result.pointer("/sets/0/ms").and_then(Value::as_f64).context("the result tells no time")?);
        let counts = at.moto.counts(None)?;
        for (operation, count) in counts.as_object().context("counts are an object")? {
            calls.entry(operation.clone()).or_default().push(count.as_u64().context("a count is a number")?);
        }
    }
    line(&figures("rotation: process", whole, "from spawn to exit"));
    line(&figures("rotation: inside", inside, "`ms` of rotate --output json, whole milliseconds"));
    let stored = (0..N).map(|_| {
        let began = now();
        at.moto.current_text(at.secrets.first().context("a secret")?)?;
        Ok(ms(began.elapsed()))
    });
    line(&figures("one call of moto", stored.collect::<Result<Vec<f64>>>()?, "GetSecretValue, plain HTTP, unsigned"));
    let app = Application::start(&at, Duration::from_millis(1))?;
    app.wait_for(N)?;
    let connects: Vec<f64> = app.end()?.iter().take(N).filter_map(|login| login.connect_ms).collect();
    ensure!(connects.len() == N, "only {} of {N} logins worked", connects.len());
    let floor: Vec<f64> = connects.iter().map(|one| one * 2.0).collect();
    line(&figures("one login", connects, "TCP, TLS, SCRAM by psycopg (libpq), on the same server"));
    line(&figures("floor: two logins", floor, "twice the login"));

    line("");
    let mut sum = 0;
    for (operation, counts) in &calls {
        let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
        sum += most;
        let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
        // An operation that some rotations did without is not listed for them.
        line(&format!("calls of a rotation: {operation:<28}{range:>8}   in {} of {N}", counts.len()));
    }
    line(&format!("calls of a rotation: {:<28}{sum:>8}   counted by moto", "at most"));
    let peak = memory(&at, &at.command(&["rotate", SET]))?;
    let floor = memory(&at, &Command::new("true"))?;
    line(&format!(
        "peak memory of a rotation: {peak:.1} MiB resident (the kernel's count; what measures it needs {floor:.1})"
    ));
    Ok(())
}

/// A set in two clouds. Most of its time is spent waiting for Vault, which works on an update by itself; how long the real one
/// takes is not known, so the emulator's is told.
fn two_clouds(binary: &Path) -> Result<()> {
    let at = TwoClouds::start(binary, Users::Alternating, OracleUsers::Alternating)?;
    at.oci.set_settle(Settle::AfterPolls(1));
    at.prepare()?;
    line("");
    line(
        "two clouds: PostgreSQL and the Oracle emulator (both alternating), moto and the OCI emulator, which is done with an update",
    );
    line(&format!(
        "at the first look after it; n = {N_TWO_CLOUDS} (a secret in Vault takes about thirty versions a day)"
    ));
    for _ in 0..WARM_UP {
        at.must(&["rotate", SET])?;
    }
    let (mut whole, mut aws, mut vault) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..N_TWO_CLOUDS {
        at.moto.forget_calls()?;
        at.oci.forget_log();
        let began = now();
        at.must(&["rotate", SET])?;
        whole.push(ms(began.elapsed()));
        let counts = at.moto.counts(None)?;
        let counts = counts.as_object().context("counts are an object")?;
        aws.push(counts.values().filter_map(Value::as_u64).sum::<u64>());
        vault.push(at.oci.log().iter().filter(|call| call.subject == at.vault_secret).count());
    }
    line(&figures("rotation: process", whole, "from spawn to exit"));
    let most = |counts: &[u64]| counts.iter().max().copied().unwrap_or_default();
    line(&format!("calls of a rotation: Secrets Manager {}, at most", most(&aws)));
    line(&format!("calls of a rotation: Vault {}, at most", vault.iter().max().copied().unwrap_or_default()));
    let dead = at.dead()?;
    ensure!(dead.is_empty(), "after it: {}", dead.join("; "));
    Ok(())
}

/// What an application that logs in all the time notices of rotations, by strategy.
fn logins(binary: &Path) -> Result<()> {
    line("");
    line(&format!(
        "an application that logs in without a pause, over {N} rotations of each strategy; a lockout window, as it sees it, is from the"
    ));
    line("beginning of the first login that fails to that of the next one that works");
    line(&format!(
        "{:<34}{:>8}{:>8}{:>9}{:>12}{:>12}",
        "strategy", "logins", "failed", "windows", "window p50", "longest"
    ));
    for (name, users) in [("alternating, PostgreSQL", Users::Alternating), ("single, PostgreSQL", Users::Single)] {
        let options = PostgresOptions { durability: Durability::Fsync, ..PostgresOptions::default() };
        let at = Installation::start(binary, &[("rds", users)], 1, &options)?;
        at.prepare()?;
        let application = Application::start(&at, Duration::ZERO)?;
        noticed(name, application, |_| true, || at.must(&["rotate", SET]).map(drop))?;
    }
    for (name, users) in [
        ("alternating, Oracle emulator", OracleUsers::Alternating),
        ("rollover, Oracle emulator", OracleUsers::Rollover),
        ("single, Oracle emulator", OracleUsers::Single),
    ] {
        let at = TwoClouds::start(binary, Users::Alternating, users)?;
        at.oci.set_settle(Settle::AfterPolls(1));
        at.prepare()?;
        let application = at.application(Duration::ZERO)?;
        // A secret in Vault takes about thirty versions a day, and this is fewer.
        noticed(name, application, |login| login.database == ORACLE, || at.must(&["rotate", SET]).map(drop))?;
    }
    Ok(())
}

/// Rotates under an application, and tells what came of those of its logins that count.
fn noticed(
    name: &str,
    application: Application,
    counts: impl Fn(&LoginTried) -> bool,
    rotate: impl Fn() -> Result<()>,
) -> Result<()> {
    application.wait_for(1)?;
    for _ in 0..N {
        rotate()?;
        // It has been everywhere since: two databases, as published in two stores.
        application.wait_for(application.tried() + 4)?;
    }
    let logins: Vec<LoginTried> = application.end()?.into_iter().filter(counts).collect();
    let failed = logins.iter().filter(|login| !login.ok).count();
    let mut windows = Vec::new();
    // Each secret is a consumer of its own: stores are promoted one after the other.
    let secrets: BTreeSet<&str> = logins.iter().map(|login| login.secret.as_str()).collect();
    for secret in secrets {
        let mut since = None;
        for login in logins.iter().filter(|login| login.secret == secret) {
            match (login.ok, since) {
                (false, None) => since = Some(login.at),
                (true, Some(began)) => {
                    windows.push((login.at - began) * 1000.0);
                    since = None;
                }
                (true, None) | (false, Some(_)) => {}
            }
        }
        ensure!(since.is_none(), "{name}: {secret} still does not log in at the end");
    }
    windows.sort_by(f64::total_cmp);
    let told = |at: usize| windows.get(at).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
    let (middle, last) = (windows.len().saturating_sub(1) / 2, windows.len().saturating_sub(1));
    line(&format!(
        "{name:<34}{:>8}{failed:>8}{:>9}{:>12}{:>12}",
        logins.len(),
        windows.len(),
        told(middle),
        told(last)
    ));
    Ok(())
}

/// Whether sets whose database answers notice one whose database does not: the same sets, in the same run of this program.
fn hanging(binary: &Path) -> Result<()> {
    let options = PostgresOptions { durability: Durability::Fsync, ..PostgresOptions::default() };
    let fleet = Fleet::start(binary, SETS, Registers::Folder, &options)?;
    fleet.must(&["--yes", "prepare"])?;
    for _ in 0..WARM_UP {
        fleet.must(&["rotate", "--all"])?;
    }
    line("");
    line(&format!(
        "rotate --all over {SETS} sets (alternating, one PostgreSQL, moto); healthy sets a second, from the start of the process to the"
    ));
    line(
        "end of the last healthy set; both by turns, five times each; the hanging database accepts connections and stays silent",
    );
    line(&format!("{:<14}{:>26}{:>26}{:>10}", "concurrency", "none hangs (p50)", "one of them hangs (p50)", "share"));
    let silent = SilentHost::start()?;
    let elsewhere = format!("host = \"127.0.0.1\"\nport = {}", silent.port()?);
    for concurrency in ["1", "8", "16"] {
        let (mut all, mut others) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            fleet.configure(|_| Oddity::default(), "")?;
            all.push(rate(&fleet, concurrency, SETS)?);
            // The first in the order, so that it has a slot from the start.
            let odd = |set: &str| Oddity {
                database: if set == "s01" { elsewhere.clone() } else { String::new() },
                ..Oddity::default()
            };
            fleet.configure(odd, "")?;
            others.push(rate(&fleet, concurrency, SETS - 1)?);
        }
        let middle = |rates: &mut Vec<f64>| {
            rates.sort_by(f64::total_cmp);
            rates.get(rates.len() / 2).copied().unwrap_or_default()
        };
        let (all, others) = (middle(&mut all), middle(&mut others));
        line(&format!("{concurrency:<14}{all:>24.1}/s{others:>24.1}/s{:>9.0}%", others / all * 100.0));
    }
    fleet.configure(|_| Oddity::default(), "")?;
    fleet.must(&["rotate", "--all"])?;
    for set in &fleet.sets {
        ensure!(fleet.logs_in(set)?, "{set}: what is published does not log in");
    }
    Ok(())
}

/// Sets a second, until the last that is rotated; the log tells when each has ended.
fn rate(fleet: &Fleet, concurrency: &str, healthy: usize) -> Result<f64> {
    let mut command = fleet.command(&["-v", "--output", "json", "rotate", "--all", "--concurrency", concurrency]);
    let began = now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("run")?;
    let mut rotated = (0, began.elapsed());
    for text in BufReader::new(child.stderr.take().context("standard error")?).lines() {
        let text = text.context("read the log")?;
        if text.contains("a set has ended") && text.contains("rotated") {
            rotated = (rotated.0 + 1, began.elapsed());
        }
    }
    child.wait().context("wait for the end")?;
    ensure!(rotated.0 == healthy, "{} of {healthy} sets were rotated", rotated.0);
    Ok(f64::from(u32::try_from(healthy)?) / rotated.1.as_secs_f64())
}

/// Runs the product to its end: milliseconds, and what it printed.
fn process(at: &Installation, args: &[&str]) -> Result<(f64, Vec<u8>)> {
    let mut command = at.command(args);
    let began = now();
    let output = command.output().context("run dizzy-keys")?;
    let took = ms(began.elapsed());
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok((took, output.stdout))
}

/// Peak resident memory of a program in MiB, as the kernel tells a parent that waits for it. The parent is a small Python; its own
/// memory before the program starts counts too, so a figure near that of `true` says nothing.
fn memory(at: &Installation, command: &Command) -> Result<f64> {
    let program = "import os, resource, sys\n\
        pid = os.fork()\n\
        if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
        _, status, usage = os.wait4(pid, 0)\n\
        print(usage.ru_maxrss)\n\
        sys.exit(os.waitstatus_to_exitcode(status))";
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    let mut parent = Command::new(at.moto.python());
    parent.args(["-I", "-S", "-c", program]).args(words).env_clear().env("PATH", "/usr/bin:/bin");
    parent.envs(at.moto.env()).stdin(Stdio::null());
    let output = parent.output().context("measure memory")?;
    ensure!(output.status.success(), "measuring memory: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let kib: f64 = text.lines().last().unwrap_or_default().trim().parse().context("read a number of KiB")?;
    Ok(kib / 1024.0)
}

fn version(at: &Installation) -> Result<String> {
    at.members.first().context("a database")?.server.psql("SHOW server_version")
}

fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read the machine's load")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn figures(name: &str, mut times: Vec<f64>, how: &str) -> String {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
        format!("{:.1} ms", times.get(place).copied().unwrap_or_default())
    };
    row(name, &at(50), &at(90), how)
}

fn row(name: &str, p50: &str, p90: &str, how: &str) -> String {
    format!("{name:<22}{p50:>10}{p90:>11}   {how}")
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is what clocks are for")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "a benchmark talks to the person at the terminal")]
fn line(text: &str) {
    println!("{text}");
}
