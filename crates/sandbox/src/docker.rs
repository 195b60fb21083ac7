//! Containers of the local Docker engine, hardened as in production, for tests and measurements.
//!
//! A container is removed when its guard is dropped, also by a test that fails. One whose process was killed cannot do that, so each
//! container is labelled with its owner, and the next to start one removes those whose owner has ended. Nothing is ever pulled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};

mod owner;

use owner::Owner;

/// Which process a container belongs to.
const LABEL: &str = "dizzy-keys.sandbox.owner";

/// How every container is run: as both platforms do it, and as docs/image.md says. 128 MiB is the least that either platform sells, and
/// the tmpfs what OCI Functions gives with it.
const HARDENED: [&str; 11] = [
    "--pull=never",
    "--read-only",
    "--user=1000:1000",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=32m,mode=1777",
    "--memory=128m",
    "--memory-swap=128m",
    "--network=host",
    "--log-driver=json-file",
    "--restart=no",
];

/// An image of the local engine, by its id: the digest of its configuration, which names the digest of its layer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    id: String,
}

/// What to run in a container.
#[derive(Clone, Debug)]
pub struct Plan {
    image: Image,
    env: Vec<(String, String)>,
    mounts: Vec<(PathBuf, &'static str, &'static str)>,
    options: Vec<String>,
    args: Vec<String>,
}

/// A container. Dropping it removes it, whatever state it is in.
#[derive(Debug)]
pub struct Container {
    name: String,
}

/// How a container ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 and the signal's number if a signal ended it.
    pub exit: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Image {
    /// The image whose id is in this file, as `scripts/image` writes it.
    ///
    /// # Errors
    /// If the engine does not answer, or the image is not there; the message says what to do.
    pub fn named_in(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file);
        Self::named(text.with_context(|| format!("{} is missing; run: make test-image", file.display()))?.trim())
    }

    /// The image of this name or id.
    ///
    /// # Errors
    /// As [`named_in`](Self::named_in).
    pub fn named(name: &str) -> Result<Self> {
        docker(&["info", "--format", "{{.ID}}"]).context(
            "no Docker engine answers this user (docker info); on Debian: apt-get install docker.io, and the group docker",
        )?;
        let id = docker(&["image", "inspect", "--format", "{{.Id}}", name])
            .with_context(|| format!("the engine has no image {name}; run: make test-image"))?;
        Ok(Self { id })
    }

    /// `sha256:...`
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A field of what the engine knows about it, by a Go template.
    ///
    /// # Errors
    /// If there is none.
    pub fn inspect(&self, template: &str) -> Result<String> {
        docker(&["image", "inspect", "--format", template, &self.id])
    }

    /// To run the image's program with these arguments.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Plan {
        let args = args.iter().map(ToString::to_string).collect();
        Plan { image: self.clone(), env: Vec::new(), mounts: Vec::new(), options: Vec::new(), args }
    }
}

impl Plan {
    /// With these variables. They go to the engine's client in its environment, not in its arguments.
    #[must_use]
    pub fn env(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
    }

    /// With a folder or file of this machine, read-only.
    #[must_use]
    pub fn reads(mut self, host: &Path, at: &'static str) -> Self {
        self.mounts.push((host.to_owned(), at, "ro"));
        self
    }

    /// With a folder of this machine that the program may write to.
    #[must_use]
    pub fn writes(mut self, host: &Path, at: &'static str) -> Self {
        self.mounts.push((host.to_owned(), at, "rw"));
        self
    }

    /// With an option of `docker run`, as `--add-host=NAME:ADDRESS`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Starts it, and returns while it runs.
    ///
    /// # Errors
    /// If the engine refuses.
    pub fn start(self) -> Result<Container> {
        let container = self.create()?;
        docker(&["start", &container.name])?;
        Ok(container)
    }

    /// Makes it without starting it.
    ///
    /// # Errors
    /// If the engine refuses.
    pub fn create(self) -> Result<Container> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_orphans()?;
        let owner = Owner::this()?;
        let name = format!("dizzy-sandbox-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut command = client();
        command.args(["create", "--name", &name, "--label", &format!("{LABEL}={}", owner.label())]).args(HARDENED);
        for (variable, value) in &self.env {
            command.args(["--env", variable]).env(variable, value);
        }
        for (host, at, how) in &self.mounts {
            command.arg("--volume").arg(format!("{}:{at}:{how}", host.display()));
        }
        command.args(&self.options).arg(&self.image.id).args(&self.args);
        // Before it is made, so that whatever the engine has made of it is removed.
        let container = Container { name };
        finish(&command.output().context("run docker")?, "docker create")?;
        Ok(container)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If the engine refuses; how the program ends is the caller's business.
    pub fn to_its_end(self) -> Result<Ended> {
        self.start()?.ended()
    }
}

impl Container {
    /// Sends a signal, by its name.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, name: &str) -> Result<()> {
        docker(&["kill", "--signal", name, &self.name]).map(drop)
    }

    /// Freezes every process in it, as a platform does between two calls.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<()> {
        docker(&["pause", &self.name]).map(drop)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// If it is not frozen.
    pub fn unpause(&self) -> Result<()> {
        docker(&["unpause", &self.name]).map(drop)
    }

    /// A field of what the engine knows about it, by a Go template.
    ///
    /// # Errors
    /// If there is none.
    pub fn inspect(&self, template: &str) -> Result<String> {
        docker(&["container", "inspect", "--format", template, &self.name])
    }

    /// Whether its program runs, frozen or not.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.inspect("{{.State.Running}}")? == "true")
    }

    /// Peak resident memory of its program so far, in KiB, as the kernel counts it.
    ///
    /// # Errors
    /// If it does not run, or another user's engine runs it.
    pub fn peak_kib(&self) -> Result<u64> {
        peak_kib(self.inspect("{{.State.Pid}}")?.parse().context("read a process id")?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub fn ended(self) -> Result<Ended> {
        let exit = docker(&["wait", &self.name])?.parse().context("read an exit code")?;
        let (out, err) = self.said()?;
        Ok(Ended { exit, out, err })
    }

    /// Ends it at once, and returns what it said.
    ///
    /// # Errors
    /// If it does not run.
    pub fn killed(self) -> Result<Ended> {
        self.signal("KILL")?;
        self.ended()
    }

    /// What it has said so far on standard output and standard error.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub fn said(&self) -> Result<(String, String)> {
        let output = client().args(["logs", &self.name]).output().context("run docker")?;
        ensure!(output.status.success(), "docker logs: {}", String::from_utf8_lossy(&output.stderr));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&output.stdout), text(&output.stderr)))
    }

    /// The files of its image and what was written over them, as `tar` lists an archive's.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub fn export(&self, to: &Path) -> Result<()> {
        docker(&["export", "--output", &to.display().to_string(), &self.name]).map(drop)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // An error means that it is gone, or that the engine is: the next test looks again.
        client().args(["rm", "--force", "--volumes", &self.name]).output().ok();
    }
}

/// Peak resident memory of a process so far, in KiB.
///
/// # Errors
/// If it has ended.
pub fn peak_kib(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells no peak")?;
    line.trim().trim_end_matches(" kB").parse().context("read a number of KiB")
}

/// Removes containers whose owner has ended without removing them.
fn remove_orphans() -> Result<()> {
    let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
    let all = docker(&["ps", "--all", "--no-trunc", "--filter", &format!("label={LABEL}"), "--format", &format])?;
    for (id, owner) in all.lines().filter_map(|line| line.split_once(' ')) {
        if Owner::has_ended(owner)? {
            // Another test may have been quicker.
            client().args(["rm", "--force", "--volumes", id]).output().ok();
        }
    }
    Ok(())
}

fn client() -> Command {
    let mut command = Command::new("docker");
    command.stdin(Stdio::null());
    command
}

/// Runs the engine's client and returns what it printed.
fn docker(args: &[&str]) -> Result<String> {
    let output =
        client().args(args).output().context("docker is not installed; on Debian: apt-get install docker.io")?;
    finish(&output, &format!("docker {}", args.first().unwrap_or(&"")))
}

fn finish(output: &Output, what: &str) -> Result<String> {
    if !output.status.success() {
        bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
