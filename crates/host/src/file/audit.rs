//! The audit sink `file:DIR`: plain JSON lines, one file per set. **Unsigned**: it tells what happened, and proves nothing to
//! somebody who distrusts the machine. The first line of every file says so.
//!
//! Lines are appended under a lock and are durable when `append` returns. A line that a crash cut short stays as it is: the
//! next append ends it and leaves a `trail.torn` record, so that nobody takes it for an altered one.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{
    blocking::{self, Claim, refused, unknown},
    folder, lock,
};
use crate::port::{AuditEvent, AuditSink, Clock, Deadline, Kind, PortError, PortResult};

/// Version of the plain format. The signed trail has versions of its own.
const FORMAT: &str = "plain-1";

/// More than the longest line; the last whole line lies within this distance from the end.
const TAIL_BYTES: u64 = 64 * 1024;

/// Unsigned records in a folder of the local machine.
pub struct FileAuditSink {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

impl FileAuditSink {
    /// The sink in this folder. The folder is made by the first record.
    #[must_use]
    pub fn new(folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { folder, clock }
    }
}

#[async_trait]
impl AuditSink for FileAuditSink {
    async fn append(&self, event: &AuditEvent, deadline: Deadline) -> PortResult<()> {
        let path = folder::file(&self.folder, &event.set, ".jsonl")?;
        let lock_path = folder::file(&self.folder, &event.set, ".lock")?;
        let (folder, event, time) = (self.folder.clone(), event.clone(), self.clock.now().0);
        let what = format!("append to the audit trail {}", path.display());
        blocking::run(deadline, what.clone(), move |claim| {
            let time = jiff::Timestamp::from_millisecond(time)
                .map_err(|_| PortError::refused(Kind::Other, format!("{what}: the clock shows no date")))?;
            folder::make(&folder)?;
            let _held = lock::lock(&lock_path, deadline)?;
            let mut trail = Trail::open(path, what)?;
            let time = format!("{time:.3}");
            let mut lines = Vec::new();
            match trail.end {
                End::Empty => lines.push(trail.line(&time, &Opened::default())?),
                End::Torn => {
                    // Ends the torn line, so that the record stands on its own.
                    lines.push(vec![b'\n']);
                    lines.push(trail.line(&time, &Torn::default())?);
                }
                End::Whole => {}
            }
            lines.push(trail.line(&time, &event)?);
            trail.append(&lines.concat(), claim, &folder)
        })
        .await
    }
}

/// The first record of every file.
#[derive(Serialize)]
struct Opened {
    #[serde(rename = "type")]
    kind: &'static str,
    signed: Signed,
    note: &'static str,
}

impl Default for Opened {
    fn default() -> Self {
        Self { kind: "trail.opened", signed: Signed::No, note: "plain records, not signed: they prove nothing" }
    }
}

#[derive(Serialize)]
enum Signed {
    #[serde(rename = "no")]
    No,
}

/// Says that the line before it was cut short, so nothing can be said about what it was to hold.
#[derive(Serialize)]
struct Torn {
    #[serde(rename = "type")]
    kind: &'static str,
    outcome: &'static str,
}

impl Default for Torn {
    fn default() -> Self {
        Self { kind: "trail.torn", outcome: "unknown" }
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    v: &'static str,
    seq: u64,
    time: &'a str,
    #[serde(flatten)]
    event: &'a T,
}

struct Trail {
    file: File,
    length: u64,
    next: u64,
    end: End,
    what: String,
}

enum End {
    Empty,
    Torn,
    Whole,
}

impl Trail {
    fn open(path: PathBuf, what: String) -> PortResult<Self> {
        let mut options = folder::options();
        options.append(true).create(true);
        let opened = folder::open_existing(&mut options, &path, &what)?;
        let Some(mut file) = opened else {
            return Err(PortError::refused(Kind::Io, format!("{what}: it vanished while it was opened")));
        };
        let length = file.metadata().map_err(|error| refused(&error, &*what))?.len();
        let mut tail = Vec::new();
        let read = file
            .seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
            .and_then(|_| (&file).take(TAIL_BYTES).read_to_end(&mut tail));
        read.map_err(|error| refused(&error, &*what))?;
        let (next, end) = match tail.last() {
            None => (0, End::Empty),
            Some(b'\n') => (after_last(&tail, &what)?, End::Whole),
            // A crash may cut the very first line.
            Some(_) if !tail.contains(&b'\n') && length < TAIL_BYTES => (0, End::Torn),
            Some(_) => (after_last(&tail, &what)?, End::Torn),
        };
        Ok(Self { file, length, next, end, what })
    }

    fn line<T: Serialize>(&mut self, time: &str, event: &T) -> PortResult<Vec<u8>> {
        let line = Line { v: FORMAT, seq: self.next, time, event };
        let mut bytes = serde_json::to_vec(&line)
            .map_err(|_| PortError::refused(Kind::Other, format!("{}: write it as JSON", self.what)))?;
        bytes.push(b'\n');
        self.next += 1;
        Ok(bytes)
    }

    fn append(mut self, bytes: &[u8], claim: &Claim, folder: &Path) -> PortResult<()> {
        claim.take()?;
        if let Err(error) = self.file.write_all(bytes) {
            // What was written of the line is taken back under the lock, so that a full disk leaves a whole trail.
            return Err(match self.file.set_len(self.length) {
                Ok(()) => refused(&error, self.what),
                Err(_) => unknown(&error, self.what),
            });
        }
        self.file.sync_all().map_err(|error| unknown(&error, &*self.what))?;
        if self.length == 0 { folder::sync_after(folder, &self.what) } else { Ok(()) }
    }
}

/// The sequence number after that of the last whole line which is a record; a line that was torn and then ended is none.
fn after_last(tail: &[u8], what: &str) -> PortResult<u64> {
    let whole = tail.iter().rposition(|byte| *byte == b'\n').and_then(|end| tail.get(..end)).unwrap_or_default();
    whole
        .rsplit(|byte| *byte == b'\n')
        .find_map(|line| serde_json::from_slice::<Value>(line).ok()?.get("seq")?.as_u64())
        .map(|last| last + 1)
        .ok_or_else(|| {
            PortError::refused(Kind::Malformed, format!("{what}: its last lines are no records"))
                .with_hint("move the file away and keep it; a fresh one is begun")
        })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::fs;

    use super::*;
    use crate::{file::process, memory::ManualClock, port::Certainty};

    fn event(kind: &'static str) -> AuditEvent {
        AuditEvent {
            kind,
            outcome: "ok",
            set: "orders".to_owned(),
            generation: Some(3),
            base: None,
            epoch: 2,
            target: Some("rds".to_owned()),
            version_id: None,
            code: None,
            ms: None,
        }
    }

    async fn append(folder: &Path, kind: &'static str) -> PortResult<()> {
        let sink = FileAuditSink::new(folder.to_owned(), Arc::new(ManualClock::default()));
        sink.append(&event(kind), Deadline::after(Duration::from_secs(20))).await
    }

    fn lines(folder: &Path) -> Vec<String> {
        fs::read_to_string(folder.join("orders.jsonl")).unwrap().lines().map(str::to_owned).collect()
    }

    fn field<'a>(records: &'a [Value], name: &str) -> Vec<&'a Value> {
        records.iter().map(|record| &record[name]).collect()
    }

    fn records(folder: &Path) -> Vec<Value> {
        lines(folder).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_trail_says_first_that_it_is_unsigned_and_then_counts_its_records() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("audit");
        append(&folder, "rotation.intent").await.unwrap();
        append(&folder, "apply.begin").await.unwrap();
        assert_eq!(
            lines(&folder),
            [
                r#"{"v":"plain-1","seq":0,"time":"2026-01-01T00:00:00.000Z","type":"trail.opened","signed":"no","note":"plain records, not signed: they prove nothing"}"#,
                r#"{"v":"plain-1","seq":1,"time":"2026-01-01T00:00:00.000Z","type":"rotation.intent","outcome":"ok","set":"orders","gen":3,"epoch":2,"target":"rds"}"#,
                r#"{"v":"plain-1","seq":2,"time":"2026-01-01T00:00:00.000Z","type":"apply.begin","outcome":"ok","set":"orders","gen":3,"epoch":2,"target":"rds"}"#,
            ]
        );
    }

    #[tokio::test]
    async fn a_torn_line_is_ended_and_noted_wherever_it_was_cut() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        append(folder, "rotation.intent").await.unwrap();
        append(folder, "apply.begin").await.unwrap();
        let whole = fs::read(folder.join("orders.jsonl")).unwrap();
        let last = whole.len() - lines(folder)[2].len() - 1;
        for cut in last + 1..whole.len() {
            let file = File::options().write(true).open(folder.join("orders.jsonl")).unwrap();
            file.set_len(0).unwrap();
            (&file).write_all(&whole[..cut]).unwrap();
            append(folder, "apply.done").await.unwrap();
            let after = lines(folder);
            assert_eq!(after.len(), 5, "cut at {cut}");
            let kept = [&after[..2], &after[3..]].concat();
            let records: Vec<Value> = kept.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(field(&records, "type"), ["trail.opened", "rotation.intent", "trail.torn", "apply.done"]);
            assert_eq!(field(&records, "seq"), [0, 1, 2, 3]);
        }
        append(folder, "rotation.closed").await.unwrap();
        let last: Value = serde_json::from_str(&lines(folder)[5]).unwrap();
        assert_eq!((&last["seq"], &last["type"]), (&Value::from(4), &Value::from("rotation.closed")));
    }

    #[tokio::test]
    async fn a_torn_first_line_is_no_reason_to_stop() {
        let temp = tempfile::tempdir().unwrap();
        (&File::create(temp.path().join("orders.jsonl")).unwrap()).write_all(b"{\"v\":\"pl").unwrap();
        append(temp.path(), "rotation.intent").await.unwrap();
        let last: Value = serde_json::from_str(&lines(temp.path())[2]).unwrap();
        assert_eq!((&last["seq"], &last["type"]), (&Value::from(1), &Value::from("rotation.intent")));
    }

    #[tokio::test]
    async fn a_file_that_is_no_trail_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        (&File::create(temp.path().join("orders.jsonl")).unwrap()).write_all(b"dear diary\n").unwrap();
        let error = append(temp.path(), "rotation.intent").await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed);
        assert_eq!(lines(temp.path()), ["dear diary"]);
    }

    #[tokio::test]
    async fn a_record_that_does_not_fit_is_taken_back_whole() {
        if let Some((_, folder)) = process::role() {
            let refused = loop {
                if let Err(error) = append(&folder, "apply.begin").await {
                    break error;
                }
            };
            assert_eq!((refused.certainty, refused.code.as_deref()), (Certainty::Refused, Some("EFBIG")));
            eprintln!("refused");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let name = "file::audit::tests::a_record_that_does_not_fit_is_taken_back_whole";
        let limited = process::again_with_small_files(name, "limited", temp.path()).output().unwrap();
        assert_eq!((limited.status.success(), &*limited.stderr), (true, b"refused\n".as_slice()));
        append(temp.path(), "rotation.closed").await.unwrap();
        let records = records(temp.path());
        assert!(records.len() > 10);
        assert!(!field(&records, "type").contains(&&Value::from("trail.torn")));
        let expected: Vec<Value> = (0..records.len()).map(Value::from).collect();
        assert_eq!(field(&records, "seq"), expected.iter().collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn concurrent_writers_number_their_records_without_gap() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        let many = async |kind| {
            for _ in 0..20 {
                append(folder, kind).await.unwrap();
            }
        };
        tokio::join!(many("apply.begin"), many("apply.done"));
        let records = records(folder);
        let expected: Vec<Value> = (0..41).map(Value::from).collect();
        assert_eq!(field(&records, "seq"), expected.iter().collect::<Vec<_>>());
    }
}
