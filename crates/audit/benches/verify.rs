//! How fast the verifier reads an exported trail of a million records, on one core, and in how much memory. Prints figures and
//! asserts that the trail is clean; nothing about time. With `-- --gigabytes N` a trail of that size instead, verified while it
//! is written, so that no disk has to hold it: what counts is the peak memory.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement tells the time and prints, and stops at the first surprise"
)]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    time::Instant,
};

use dizzy_audit::{
    Chain, Facts, Hash, Head, Outcome, RootKey, StreamId, ZERO,
    record::kinds,
    verify::{Expected, Keys, bundle::Bundle},
};

/// Streams, and records of each: what a rotation of one database and two secrets writes.
const STREAMS: u64 = 50_000;
const RECORDS: u64 = 20;
/// Readings; the best counts, since whatever else runs on the machine only slows them.
const READINGS: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--gigabytes").skip(1);
    match arguments.next() {
        Some(size) => verify_much(size.parse().unwrap()),
        None => verify_fast(),
    }
}

/// The trail of a set that rotates again and again.
struct Trail {
    root: RootKey,
    rotation: u64,
    last: Hash,
    records: u64,
    head: Option<Head>,
}

impl Trail {
    fn new() -> Self {
        let root = RootKey::from_text(&"k".repeat(32)).unwrap();
        Self { root, rotation: 0, last: ZERO, records: 0, head: None }
    }

    /// The lines of the next rotation.
    fn rotate(&mut self, mut take: impl FnMut(&[u8])) {
        self.rotation += 1;
        let rotation = self.rotation;
        let stream = StreamId { set: "orders".to_owned(), rotation, epoch: rotation, run: 7 };
        let mut chain = Chain::begin(stream, self.last, self.records, Some(&self.root));
        for at in 0..RECORDS {
            let kind = match at {
                0 => kinds::INTENT,
                at if at + 1 == RECORDS => kinds::CLOSED,
                _ => "promote.done",
            };
            let facts = Facts {
                generation: Some(rotation),
                base: Some(rotation),
                target: Some("aws-sm:prod/orders"),
                version_id: Some("f4b1c8a2-5c1e-4c5e-9d53-1f0a2b3c4d5e"),
                ms: Some(12),
                actor: Some("rotator-5d9c7b6f4-x2x7p/1"),
                program: Some("0.1.0"),
                ..Facts::new(kind, Outcome::Ok, "orders", rotation)
            };
            take(&chain.append("2026-01-01T00:00:00.000Z", &facts).unwrap().line);
        }
        (self.last, self.records, self.head) = (chain.last(), chain.records(), chain.head());
    }
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.ring.insert(RootKey::from_text(&"k".repeat(32)).unwrap());
    keys
}

/// The end is known only once it is written, so nothing but the end is left unchecked.
fn verify_much(gigabytes: u64) {
    let (keys, mut trail, mut bytes) = (keys(), Trail::new(), 0_u64);
    let mut bundle = Bundle::new(&keys, "file", |_| Expected { compared: true, ..Expected::default() });
    while bytes < gigabytes << 30 {
        trail.rotate(|line| {
            bytes += line.len() as u64;
            bundle.line(line.strip_suffix(b"\n").unwrap());
        });
    }
    let reports = bundle.finish();
    let report = reports.first().unwrap();
    assert_eq!((report.findings.worst(), report.summary.checked), (None, trail.records));
    assert_eq!(report.summary.head, trail.head);
    println!("verify, {} records, {bytes} bytes: peak memory {}", trail.records, peak());
}

fn verify_fast() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trail.ndjson");
    let keys = keys();
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut trail = Trail::new();
    for _ in 1..=STREAMS {
        trail.rotate(|line| file.write_all(line).unwrap());
    }
    file.flush().unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    let mut best = [f64::INFINITY; 2];
    for _ in 0..READINGS {
        let (wall, cpu) = (Instant::now(), processor_seconds());
        let expected = |_: &str| Expected { head: trail.head.clone(), at_rest: Some(STREAMS), ..Expected::default() };
        let mut bundle = Bundle::new(&keys, "file", expected);
        let mut reader = BufReader::with_capacity(1 << 20, File::open(&path).unwrap());
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            bundle.line(line.strip_suffix(b"\n").unwrap_or(&line));
            line.clear();
        }
        let reports = bundle.finish();
        let report = reports.first().unwrap();
        assert_eq!((report.findings.worst(), report.summary.checked), (None, STREAMS * RECORDS));
        best = [best[0].min(wall.elapsed().as_secs_f64()), best[1].min(processor_seconds() - cpu)];
    }
    let records = (STREAMS * RECORDS) as f64;
    let rate = |seconds: f64| records / seconds / 1e6;
    println!(
        "verify, {records} records of {} bytes from a local file, best of {READINGS}: {:.2} M records/s of processor time, {:.2} M/s by the clock; peak memory {}",
        bytes / (STREAMS * RECORDS),
        rate(best[1]),
        rate(best[0]),
        peak()
    );
}

/// Processor time of this process, user and system, in seconds.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().to_owned()
}
