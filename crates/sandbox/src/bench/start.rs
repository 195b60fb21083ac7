//! From nothing to the first answer of a function: this program, and a function in Python with the libraries that one rotates with.
//!
//! Both are processes of this machine and read one object of the same bucket through the same double of Lambda's Runtime API. What a
//! platform adds (fetching an image, starting a machine) is in neither. They take turns, so that both meet the same load; the time
//! that they had a processor depends on it less than the time that passed.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use dizzy_sandbox_oci::Settle;
use serde_json::json;

use super::{line, ms, now};
use crate::{
    LambdaApi, OracleUsers, SET, TwoClouds, Users,
    docker::peak_kib,
    moto::BucketKind,
    platform::{Answered, Event},
};

/// Starts of each.
const N: usize = 15;
const BUCKET: &str = "registers";

/// One kind of function.
struct Function<'w> {
    name: &'static str,
    command: Box<dyn Fn() -> Command + 'w>,
    event: &'static str,
    /// Milliseconds from the start of the process to its first answer.
    first: Vec<f64>,
    /// Milliseconds of these in which it had a processor.
    work: Vec<f64>,
    /// Milliseconds of a second event.
    second: Vec<f64>,
    /// Peak resident memory after both, in MiB.
    peak: Vec<f64>,
}

/// A function's process, which ends with the measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(super) fn measure(binary: &Path) -> Result<()> {
    let at = TwoClouds::start(binary, Users::Alternating, OracleUsers::Alternating)?;
    at.oci.set_settle(Settle::AfterPolls(1));
    at.moto.create_bucket(BUCKET, BucketKind::Versioned)?;
    let config = at.path("dizzy-keys.toml");
    let text = fs::read_to_string(&config).context("read the configuration")?;
    let folder = format!("file:{}", at.path("journal").display());
    at.write("dizzy-keys.toml", text.replace(&folder, &format!("s3://{BUCKET}/journal")))?;
    at.prepare()?;

    let ours = || {
        let mut command = Command::new(binary);
        command.env_clear().envs(at.env()).env("DIZZY_KEYS_CONFIG", &config);
        command
    };
    let python = |arguments: &'static [&'static str]| {
        let at = &at;
        move || {
            let mut command = Command::new(at.moto.python());
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/function.py")).args(arguments);
            command.env_clear().envs(at.moto.env()).env("OBJECT", format!("{BUCKET}/journal/{SET}.json"));
            command
        }
    };
    let function = |name, command, event| Function {
        name,
        command,
        event,
        first: vec![],
        work: vec![],
        second: vec![],
        peak: vec![],
    };
    let mut functions = [
        function("dizzy-keys, status of a set", Box::new(ours) as Box<dyn Fn() -> Command>, r#"{"action":"status"}"#),
        function("Python: boto3, oracledb, psycopg2", Box::new(python(&[])), "{}"),
        function("Python: the same and oci", Box::new(python(&["--oci"])), "{}"),
    ];
    // Before the first that counts: programs, libraries and compiled Python are in memory, and the emulated bucket has been used.
    for _ in 0..=N {
        for function in &mut functions {
            once(function)?;
        }
    }
    line("");
    line(&format!(
        "functions: from the start of the process to its first answer, processor time of that, a second event, peak memory after both; n = {N}"
    ));
    line("each, by turns; all read one object from moto; the page cache is warm; p50 (least to most)");
    for function in &mut functions {
        let figure = |values: &mut Vec<f64>, unit: &str| {
            values.remove(0);
            values.sort_by(f64::total_cmp);
            let at = |place: usize| values.get(place).copied().unwrap_or_default();
            format!("{:.1} {unit} ({:.1} to {:.1})", at(N / 2), at(0), at(N - 1))
        };
        let (first, second) = (figure(&mut function.first, "ms"), figure(&mut function.second, "ms"));
        let work = figure(&mut function.work, "ms");
        line(&format!("{:<36}{first:<30}{work:<28}{second:<26}{}", function.name, figure(&mut function.peak, "MiB")));
    }
    let whole = rotation(&ours, &at)?;
    line(&format!("dizzy-keys after a rotation in two clouds: peak {whole:.1} MiB"));
    Ok(())
}

fn once(function: &mut Function<'_>) -> Result<()> {
    let (api, event) = (LambdaApi::start()?, Event::new(function.event));
    let mut command = (function.command)();
    let began = now();
    let running = start(&mut command, &api)?;
    answered(&api, &event).context(function.name)?;
    function.first.push(ms(began.elapsed()));
    function.work.push(processor_ms(running.0.id())?);
    let again = now();
    answered(&api, &event).context(function.name)?;
    function.second.push(ms(again.elapsed()));
    function.peak.push(mib(&running)?);
    Ok(())
}

/// Peak memory of a function that has rotated once.
fn rotation(ours: &dyn Fn() -> Command, at: &TwoClouds) -> Result<f64> {
    let api = LambdaApi::start()?;
    let running = start(&mut ours(), &api)?;
    answered(&api, &Event::new(json!({"action": "rotate", "sets": [SET]}).to_string()))?;
    let peak = mib(&running)?;
    ensure!(at.dead()?.is_empty(), "what is published does not log in");
    Ok(peak)
}

fn start(command: &mut Command, api: &LambdaApi) -> Result<Running> {
    let command = command.envs(api.env()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Running(command.spawn().context("start a function")?))
}

fn answered(api: &LambdaApi, event: &Event) -> Result<()> {
    match api.invoke(event) {
        Answered::Response(_) => Ok(()),
        Answered::Error { body, .. } => bail!("the function failed: {body}"),
        Answered::TimedOut => bail!("the function did not answer; with the Python environment it should: make deps"),
    }
}

/// Milliseconds in which the threads of a process had a processor, as the kernel counts them in nanoseconds.
fn processor_ms(process: u32) -> Result<f64> {
    let mut all = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("look at a process")? {
        let text =
            fs::read_to_string(thread?.path().join("schedstat")).context("the kernel counts no processor time")?;
        let nanoseconds = text.split(' ').next().unwrap_or_default().parse::<f64>().context("read a number")?;
        all += nanoseconds / 1e6;
    }
    Ok(all)
}

fn mib(running: &Running) -> Result<f64> {
    Ok(f64::from(u32::try_from(peak_kib(running.0.id())?)?) / 1024.0)
}
