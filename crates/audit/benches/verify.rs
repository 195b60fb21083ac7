//! How fast the verifier reads an exported trail of a million records from a local file, on one core, and in how much memory: records of
//! the size that a rotation in two clouds writes, and of the 400 bytes that the goal of a million a second was set for. Prints figures and
//! asserts that the trail is clean; nothing about time. With `-- --gigabytes N` one trail of that size instead, read once.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement tells the time and prints, and stops at the first surprise"
)]

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    path::Path,
    time::Instant,
};

use dizzy_audit::{
    Chain, Facts, Hash, Head, Outcome, RootKey, StreamId, ZERO,
    record::kinds,
    verify::{Expected, Keys, bundle::Bundle},
};

/// Records of each stream: what a rotation of one database and two secrets writes.
const RECORDS: u64 = 20;
/// Streams of the trail that is read as fast as possible: a million records.
const STREAMS: u64 = 50_000;
/// Readings; the best counts, since whatever else runs on the machine only slows them.
const READINGS: usize = 5;
/// Read at a time, as `audit verify` does.
const CHUNK: usize = 128 * 1024;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--gigabytes").skip(1);
    match arguments.next() {
        Some(size) => {
            let gigabytes: u64 = size.parse().unwrap();
            measure(Shape::Real, |_, bytes| bytes < gigabytes << 30, 1);
        }
        None => [Shape::Real, Shape::Goal].into_iter().for_each(|shape| {
            measure(shape, |rotations, _| rotations < STREAMS, READINGS);
        }),
    }
}

/// How long records are.
#[derive(Clone, Copy)]
enum Shape {
    /// With everything that a worker in a container tells.
    Real,
    /// 400 bytes.
    Goal,
}

impl Shape {
    fn facts(self, kind: &'static str, rotation: u64) -> Facts<'static> {
        let facts = Facts::new(kind, Outcome::Ok, "orders", rotation);
        match self {
            Self::Real => Facts {
                target: Some("aws-sm:prod/orders"),
                version_id: Some("f4b1c8a2-5c1e-4c5e-9d53-1f0a2b3c4d5e"),
                actor: Some("rotator-5d9c7b6f4-x2x7p/1"),
                program: Some("0.1.0"),
                ..facts
            },
            Self::Goal => Facts { target: Some("rds"), actor: Some("h/1"), ..facts },
        }
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
    fn rotate(&mut self, shape: Shape, mut take: impl FnMut(&[u8])) {
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
            let facts =
                Facts { generation: Some(rotation), base: Some(rotation), ms: Some(12), ..shape.facts(kind, rotation) };
            // A millisecond for each, so that none is before the one before it.
            let ms = self.records + at;
            let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
            let time = format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", ms % 1000);
            take(&chain.append(&time, &facts).unwrap().line);
        }
        (self.last, self.records, self.head) = (chain.last(), chain.records(), chain.head());
    }
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.ring.insert(RootKey::from_text(&"k".repeat(32)).unwrap());
    keys
}

/// Writes a trail while `goes_on` says so, by the numbers of its rotations and bytes, and reads it.
fn measure(shape: Shape, goes_on: impl Fn(u64, u64) -> bool, readings: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trail.ndjson");
    let keys = keys();
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let (mut trail, mut bytes) = (Trail::new(), 0);
    while goes_on(trail.rotation, bytes) {
        trail.rotate(shape, |line| {
            bytes += line.len() as u64;
            file.write_all(line).unwrap();
        });
    }
    file.flush().unwrap();
    let mut best = [f64::INFINITY; 2];
    for _ in 0..readings {
        let (wall, cpu) = (Instant::now(), processor_seconds());
        verify(&keys, &path, &trail);
        best = [best[0].min(wall.elapsed().as_secs_f64()), best[1].min(processor_seconds() - cpu)];
    }
    let records = trail.records;
    let rate = |seconds: f64| records as f64 / seconds / 1e6;
    println!(
        "verify, {records} records of {} bytes ({:.2} GiB) from a local file, best of {readings}: {:.2} M records/s of processor time, {:.2} M/s by the clock; peak memory {}",
        bytes / records,
        bytes as f64 / f64::from(1 << 30),
        rate(best[1]),
        rate(best[0]),
        peak()
    );
}

fn verify(keys: &Keys, path: &Path, trail: &Trail) {
    let expected =
        |_: &str| Expected { head: trail.head.clone(), at_rest: Some(trail.rotation), ..Expected::default() };
    let mut bundle = Bundle::new(keys, "file", expected);
    let (mut file, mut chunk) = (File::open(path).unwrap(), vec![0; CHUNK]);
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => break,
            length => bundle.bytes(chunk.get(..length).unwrap()),
        }
    }
    let reports = bundle.finish();
    let report = reports.first().unwrap();
    assert_eq!((report.findings.worst(), report.summary.checked), (None, trail.records));
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
