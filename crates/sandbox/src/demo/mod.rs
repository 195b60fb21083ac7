//! The demo: two databases in two clouds (a real PostgreSQL, an Oracle emulator; moto and an OCI emulator), an application that logs in
//! all the time; rotations, refusals, kills.
//!
//! Everything it prints as true was found true first, by the vendors' own clients, an exit code or the application's own log;
//! otherwise it ends with an error. It waits for conditions, with deadlines, and never for time.

mod acts;
mod judge;
mod screen;

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::screen::Screen;
use crate::{Application, LoginTried, OracleUsers, SET, TwoClouds, Users};

/// Pause of the application between two logins: one login takes several times as long.
const APPLICATION_PAUSE: Duration = Duration::from_millis(2);
/// Fewest logins in a phase of the demo; with less, no failure would mean little.
const LOGINS_PER_PHASE: usize = 20;
/// Fewest logins that end while one rotation runs.
const LOGINS_PER_ROTATION: usize = 3;
/// Logins to wait for after a rotation: the one that was under way, and one with every secret and database.
const LOGINS_AFTER: usize = 5;

/// Between two looks at whether it is time to kill: a rotation takes seconds.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Most looks: a minute of them, and each takes its own time besides.
const LOOKS: u32 = 3000;

/// Runs the whole demo with this build of the product.
///
/// # Errors
/// If anything that the demo shows is not true, or something is missing on this machine.
pub fn run(binary: &Path) -> Result<()> {
    let screen = Screen::new();
    screen.line(
        "dizzy-keys: databases and secrets in two clouds move to new credentials as one, while an application logs in.",
    );
    let at = TwoClouds::start(binary, Users::Alternating, OracleUsers::Alternating)?;
    let mut demo =
        Demo { binary: binary.to_owned(), at, screen, app: None, phases: Vec::new(), rotations: 0, kills: 0 };
    acts::setting(&demo)?;
    acts::look(&demo)?;
    acts::adopt(&demo)?;
    demo.app = Some(demo.at.application(APPLICATION_PAUSE)?);
    acts::rotate(&mut demo)?;
    acts::refusal(&mut demo)?;
    acts::cloud_down(&mut demo)?;
    acts::kill_between_databases(&mut demo)?;
    acts::kill_between_promotions(&mut demo)?;
    acts::trail(&mut demo)?;
    acts::closing(demo)
}

/// The demo as it goes on.
struct Demo {
    binary: PathBuf,
    at: TwoClouds,
    screen: Screen,
    app: Option<Application>,
    phases: Vec<Phase>,
    rotations: usize,
    kills: usize,
}

/// A stretch of the application's log: from one login to where the next phase begins.
struct Phase {
    name: &'static str,
    from: usize,
    rotations: usize,
    kills: usize,
}

/// What a run of the product left.
struct Ran {
    code: Option<i32>,
    signal: Option<i32>,
    out: String,
    err: String,
    /// Logins that ended while it ran.
    logins: usize,
}

impl Ran {
    fn printed(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl Demo {
    /// Runs the product in its folder. It dies with this process, however that ends.
    fn run(&self, args: &[&str], environment: &[(&str, String)]) -> Result<Ran> {
        let before = self.tried();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary).args(args);
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.at.env()).current_dir(self.at.path(""));
        for (name, value) in environment {
            command.env(name, value);
        }
        let output = command.output().context("run dizzy-keys")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran {
            code: output.status.code(),
            signal: output.status.signal(),
            out: text(&output.stdout),
            err: text(&output.stderr),
            logins: self.tried() - before,
        })
    }

    /// Runs the product, shows what it prints, and expects this exit code.
    fn show(&self, args: &[&str], code: i32) -> Result<Ran> {
        let ran = self.run(args, &[])?;
        self.screen.command(&format!("dizzy-keys {}", args.join(" ")), &ran.printed());
        ensure!(ran.code == Some(code), "dizzy-keys {} ended with {:?}, not {code}", args.join(" "), ran.code);
        Ok(ran)
    }

    /// A rotation that has to work, with the application logging in meanwhile and after it.
    fn rotation(&mut self) -> Result<Ran> {
        let ran = self.show(&["rotate", SET], 0)?;
        self.rotated();
        self.after(&ran)?;
        Ok(ran)
    }

    fn rotated(&mut self) {
        self.rotations += 1;
        if let Some(phase) = self.phases.last_mut() {
            phase.rotations += 1;
        }
    }

    /// The application logged in often enough during a run, and has logged in everywhere after it.
    fn after(&self, ran: &Ran) -> Result<()> {
        ensure!(
            ran.logins >= LOGINS_PER_ROTATION,
            "only {} logins ended during a rotation; {LOGINS_PER_ROTATION} are needed to call it undisturbed",
            ran.logins
        );
        self.more_logins(LOGINS_AFTER)
    }

    /// The points of a rotation at which it can be killed, as a traced rotation passes them: the number of the first one at which
    /// `step` has been answered.
    fn point_after(&mut self, step: &str) -> Result<usize> {
        let traced = self.run(&["rotate", SET, "--output", "json", "-vv"], &[])?;
        ensure!(traced.code == Some(0), "a traced rotation ended with {:?}:\n{}", traced.code, traced.printed());
        self.rotated();
        self.after(&traced)?;
        let points: Vec<Value> = traced.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let is = |point: &Value, name: &str, wanted: &str| point.get(name).and_then(Value::as_str) == Some(wanted);
        let points = points.iter().filter(|point| is(point, "message", "begins") || is(point, "message", "step"));
        let number = points.enumerate().find(|(_, point)| is(point, "message", "step") && is(point, "step", step));
        number.map(|(number, _)| number).with_context(|| format!("a rotation without the step: {step}"))
    }

    /// A rotation that is killed at a point, as `kill -9` does it.
    fn killed_rotation(&mut self, point: usize) -> Result<()> {
        let environment = [("DIZZY_KEYS_KILL_AT", point.to_string())];
        let ran = self.run(&["rotate", SET], &environment)?;
        self.screen.command(&format!("dizzy-keys rotate {SET}     # kill -9 at point {point}"), &ran.printed());
        self.kills += 1;
        if let Some(phase) = self.phases.last_mut() {
            phase.kills += 1;
        }
        self.screen.claim("exit status", ran.signal == Some(9), "it was killed: no clean-up, no goodbye")
    }

    /// A rotation that is killed from outside as soon as something is true.
    fn killed_once(&mut self, is_time: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary).args(["rotate", SET]);
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.at.env()).current_dir(self.at.path(""));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("run dizzy-keys")?;
        let mut looks = 0;
        while !is_time(self)? {
            looks += 1;
            ensure!(
                looks < LOOKS && child.try_wait()?.is_none(),
                "the rotation did not come to where it is to be killed"
            );
            std::thread::sleep(BETWEEN_LOOKS);
        }
        child.kill().context("kill dizzy-keys")?;
        let output = child.wait_with_output().context("wait for dizzy-keys")?;
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        self.screen.command(&format!("dizzy-keys rotate {SET}     # kill -9"), &printed);
        self.kills += 1;
        if let Some(phase) = self.phases.last_mut() {
            phase.kills += 1;
        }
        self.screen.claim("exit status", output.status.signal() == Some(9), "it was killed: no clean-up, no goodbye")
    }

    /// The phase that `status` tells.
    fn phase(&self) -> Result<String> {
        let ran = self.run(&["status", SET, "--output", "json"], &[])?;
        let status: Value = serde_json::from_str(&ran.out).context("read the status")?;
        let phase = status.pointer("/sets/0/phase").and_then(Value::as_str);
        phase.map(str::to_owned).context("the status tells no phase")
    }

    fn begin(&mut self, name: &'static str) {
        let from = self.tried();
        self.phases.push(Phase { name, from, rotations: 0, kills: 0 });
    }

    /// Waits until the phase has its logins, and shows that none failed.
    fn conclude(&self) -> Result<()> {
        let from = self.phases.last().map_or(0, |phase| phase.from);
        let short = (from + LOGINS_PER_PHASE).saturating_sub(self.tried());
        self.more_logins(short)?;
        let logins = self.logins(from, self.tried())?;
        let failed = failed(&logins);
        self.screen.claim(
            "the application's log",
            failed.is_empty() && logins.len() >= LOGINS_PER_PHASE,
            &format!("{} logins in this act, {} failed{}", logins.len(), failed.len(), failed.join("; ")),
        )
    }

    fn more_logins(&self, more: usize) -> Result<()> {
        self.app.as_ref().map_or(Ok(()), |app| app.wait_for(app.tried() + more))
    }

    fn logins(&self, from: usize, to: usize) -> Result<Vec<LoginTried>> {
        Ok(self.app.as_ref().context("no application runs")?.logins(from, to))
    }

    fn tried(&self) -> usize {
        self.app.as_ref().map_or(0, Application::tried)
    }
}

/// The failures, each in a few words.
fn failed(logins: &[LoginTried]) -> Vec<String> {
    let failed = logins.iter().filter(|login| !login.ok);
    failed
        .map(|login| {
            let user = login.user.as_deref().unwrap_or("nobody");
            format!(": {user} on {} as published by {} ({})", login.database, login.secret, why(login))
        })
        .collect()
}

fn why(login: &LoginTried) -> &str {
    login.why.as_deref().unwrap_or("no reason")
}

/// The users that logged in.
fn users(logins: &[LoginTried]) -> BTreeSet<&str> {
    logins.iter().filter(|login| login.ok).filter_map(|login| login.user.as_deref()).collect()
}
