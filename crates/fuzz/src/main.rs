//! Hunts every target, or the named ones, for a number of seconds each: `dizzy-fuzz --seconds 30 [--seed N] [TARGET ...]`.
//!
//! Prints executions per target. An input that breaks a promise is written to the folder of `--findings`, and the exit code is 1.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person at the terminal")]

use std::{
    fs::{self, File},
    io::Write as _,
    panic,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use dizzy_fuzz::{
    TARGETS, Target, corpus,
    pursuit::{Finding, Pursuit},
};

/// Executions between two looks at the clock.
const BATCH: u64 = 64;

struct Wanted {
    seconds: u64,
    seed: u64,
    findings: PathBuf,
    targets: Vec<Target>,
}

fn main() -> ExitCode {
    match wanted(std::env::args().skip(1)).and_then(|wanted| run(&wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dizzy-fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn wanted(mut args: impl Iterator<Item = String>) -> Result<Wanted> {
    let mut wanted = Wanted { seconds: 10, seed: 1, findings: "target/findings".into(), targets: Vec::new() };
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok()).with_context(|| format!("{arg} NUMBER"));
        match arg.as_str() {
            "--seconds" => wanted.seconds = number()?,
            "--seed" => wanted.seed = number()?,
            "--findings" => wanted.findings = args.next().context("--findings FOLDER")?.into(),
            name => match TARGETS.iter().find(|target| target.name == name) {
                Some(target) => wanted.targets.push(*target),
                None => {
                    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                    bail!("no target `{name}`; there are: {}", names.join(", "));
                }
            },
        }
    }
    if wanted.targets.is_empty() {
        wanted.targets.extend(TARGETS);
    }
    Ok(wanted)
}

/// Whether every target held.
fn run(wanted: &Wanted) -> Result<bool> {
    // Findings are told below; a parser's panics are not to fill the terminal.
    panic::set_hook(Box::new(|_| ()));
    let mut held = true;
    for target in &wanted.targets {
        let seeds: Vec<Vec<u8>> = corpus::read(target.name)?.into_iter().map(|(_, input)| input).collect();
        let count = seeds.len();
        let (pursuit, outcome, spent) = hunt(*target, seeds, wanted);
        let tally = pursuit.tally();
        let rate = u128::from(tally.executions) * 1000 / spent.as_millis().max(1);
        println!(
            "{:12} {:>10} executions in {:>3} s ({rate}/s), {count} seeds, {} different answers, seed {}",
            target.name,
            tally.executions,
            spent.as_secs(),
            tally.answers,
            wanted.seed
        );
        if let Err(finding) = outcome {
            held = false;
            let path = keep(wanted, target.name, &finding)?;
            println!("{:12} BROKEN: {}\n{:12} the input is in {}", "", finding.message, "", path.display());
        }
    }
    Ok(held)
}

#[expect(clippy::disallowed_methods, reason = "the hunt ends when its time is over")]
fn hunt(target: Target, seeds: Vec<Vec<u8>>, wanted: &Wanted) -> (Pursuit, Result<(), Finding>, Duration) {
    let start = Instant::now();
    let mut pursuit = Pursuit::new(target, seeds.clone(), wanted.seed);
    let mut outcome = seeds.iter().try_for_each(|seed| pursuit.give(seed).map(drop));
    while outcome.is_ok() && start.elapsed() < Duration::from_secs(wanted.seconds) {
        outcome = pursuit.hunt(BATCH);
    }
    (pursuit, outcome, start.elapsed())
}

fn keep(wanted: &Wanted, target: &str, finding: &Finding) -> Result<PathBuf> {
    fs::create_dir_all(&wanted.findings).context("make the folder of findings")?;
    let path = wanted.findings.join(format!("{target}-seed-{}", wanted.seed));
    let written = File::create(&path).and_then(|mut file| file.write_all(&finding.input));
    written.with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
