//! The figures of `make bench`: how long, how many calls, how much memory. Says how each figure was obtained and asserts nothing about time.
//!
//! Secrets Manager is moto here, which is slower than the program it serves, so its own share is measured beside it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use dizzy_sandbox_oci::Settle;

use crate::{Application, Installation, OracleUsers, PostgresOptions, SET, TwoClouds, Users, postgres::Durability};

/// Measured repetitions of everything.
const N: usize = 20;
/// Rotations before the measured ones: the first adopts, the second has both users' names in every store.
const WARM_UP: usize = 2;
/// Measured rotations in two clouds.
const N_TWO_CLOUDS: usize = 10;

/// Measures this build of the product and prints the figures. `profile` says how it was built.
///
/// # Errors
/// If a rotation does not work, or something is missing on this machine.
pub fn run(binary: &Path, profile: &str) -> Result<()> {
    let processors = thread::available_parallelism().context("count processors")?;
    line(&format!("build: {profile}; n = {N} of everything; {processors} processors; load before: {}", load()?));
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
    two_clouds(binary)?;
    line(&format!("load after: {}", load()?));
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
