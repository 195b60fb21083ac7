//! The journal's promises: create-only, compare-and-swap, linearizable reads, separate sets, deadlines.

use core::time::Duration;
use std::sync::Arc;

use super::{Checked, Report, Stop, checks, ensure, ok, refused, returns_in_time, soon};
use crate::port::{Certainty, Journal, Kind, Stored};

/// A place without any register, seen by two workers.
pub trait JournalFixture: Send + Sync {
    /// The adapter.
    fn first(&self) -> Arc<dyn Journal>;

    /// Another value of the adapter for the same place, as another worker would have it.
    fn second(&self) -> Arc<dyn Journal>;
}

/// Runs every check against a fresh fixture each.
pub async fn journal<X: JournalFixture>(factory: impl AsyncFn() -> X) -> Report {
    let mut report = Report::default();
    for check in checks![dyn JournalFixture:
        an_absent_register_reads_as_none,
        a_register_reads_back_byte_for_byte,
        creation_never_overwrites,
        a_write_with_the_right_tag_replaces,
        every_write_changes_the_tag,
        a_write_with_an_old_tag_is_a_conflict,
        a_write_with_a_tag_never_creates,
        sets_do_not_share_a_register,
        the_other_worker_sees_a_write_at_once,
        of_many_creations_exactly_one_wins,
        concurrent_increments_lose_no_update,
        a_passed_deadline_is_honoured,
    ] {
        let fixture = factory().await;
        report.note(check.name, (check.run)(&fixture).await);
    }
    report
}

/// Increments per worker in the race.
const INCREMENTS: u32 = 20;

/// Attempts per increment: each failed one means that the other worker succeeded, so there is always an end.
const ATTEMPTS: u32 = 10_000;

async fn an_absent_register_reads_as_none(fixture: &dyn JournalFixture) -> Checked {
    let read = ok("read", fixture.first().read("orders", soon()).await)?;
    ensure(read.is_none(), || "a register where none was written".to_owned())
}

async fn a_register_reads_back_byte_for_byte(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let bytes = format!("{{ \"v\":1,\r\n\t\"set\":\"örders {}\"}}\n", "x".repeat(40_000)).into_bytes();
    let tag = ok("create", journal.write("orders", None, &bytes, soon()).await)?;
    let read = ok("read", journal.read("orders", soon()).await)?;
    ensure(read == Some(Stored { bytes, tag }), || "bytes or tag differ from what was written".to_owned())
}

async fn creation_never_overwrites(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    ok("create", journal.write("orders", None, br#""first""#, soon()).await)?;
    refused("create again", journal.write("orders", None, br#""second""#, soon()).await, Kind::Conflict)?;
    holds(&*journal, "orders", br#""first""#).await
}

async fn a_write_with_the_right_tag_replaces(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let tag = ok("create", journal.write("orders", None, br#""first""#, soon()).await)?;
    ok("replace", journal.write("orders", Some(&tag), br#""second""#, soon()).await)?;
    holds(&*journal, "orders", br#""second""#).await
}

async fn every_write_changes_the_tag(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let first = ok("create", journal.write("orders", None, br#""first""#, soon()).await)?;
    let second = ok("replace", journal.write("orders", Some(&first), br#""second""#, soon()).await)?;
    ensure(first != second, || "the tag is the same after a write".to_owned())?;
    let read = ok("read", journal.read("orders", soon()).await)?;
    ensure(read.map(|stored| stored.tag) == Some(second), || "read and write disagree on the tag".to_owned())
}

async fn a_write_with_an_old_tag_is_a_conflict(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let old = ok("create", journal.write("orders", None, br#""first""#, soon()).await)?;
    ok("replace", journal.write("orders", Some(&old), br#""second""#, soon()).await)?;
    refused(
        "write with the old tag",
        journal.write("orders", Some(&old), br#""third""#, soon()).await,
        Kind::Conflict,
    )?;
    holds(&*journal, "orders", br#""second""#).await
}

async fn a_write_with_a_tag_never_creates(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let tag = ok("create another set", journal.write("payments", None, br#""first""#, soon()).await)?;
    refused("write where none is", journal.write("orders", Some(&tag), br#""x""#, soon()).await, Kind::Conflict)?;
    an_absent_register_reads_as_none(fixture).await
}

async fn sets_do_not_share_a_register(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let sets = ["orders", "orders-eu", "orders.eu", "orders_eu", "orders2"];
    for set in sets {
        ok(set, journal.write(set, None, &document(set), soon()).await)?;
    }
    for set in sets {
        holds(&*journal, set, &document(set)).await?;
    }
    Ok(())
}

async fn the_other_worker_sees_a_write_at_once(fixture: &dyn JournalFixture) -> Checked {
    let (first, second) = (fixture.first(), fixture.second());
    let tag = ok("create", first.write("orders", None, br#""first""#, soon()).await)?;
    holds(&*second, "orders", br#""first""#).await?;
    ok("replace by the other", second.write("orders", Some(&tag), br#""second""#, soon()).await)?;
    holds(&*first, "orders", br#""second""#).await?;
    refused("write with the old tag", first.write("orders", Some(&tag), br#""third""#, soon()).await, Kind::Conflict)
}

async fn of_many_creations_exactly_one_wins(fixture: &dyn JournalFixture) -> Checked {
    let (first, second) = (fixture.first(), fixture.second());
    let create = async |journal: &dyn Journal, bytes: &'static [u8]| {
        let outcome = journal.write("orders", None, bytes, soon()).await;
        outcome.map(|_| bytes)
    };
    let (a, b, c, d) = tokio::join!(
        create(&*first, br#""a""#),
        create(&*second, br#""b""#),
        create(&*first, br#""c""#),
        create(&*second, br#""d""#)
    );
    let mut winner = None;
    for outcome in [a, b, c, d] {
        match outcome {
            Ok(bytes) if winner.is_none() => winner = Some(bytes),
            Ok(_) => return Err(Stop::Broken("two creations succeeded".to_owned())),
            Err(error) => refused::<()>("a creation that lost", Err(error), Kind::Conflict)?,
        }
    }
    let Some(bytes) = winner else { return Err(Stop::Broken("no creation succeeded".to_owned())) };
    holds(&*first, "orders", bytes).await
}

async fn concurrent_increments_lose_no_update(fixture: &dyn JournalFixture) -> Checked {
    let (first, second) = (fixture.first(), fixture.second());
    ok("create", first.write("orders", None, br#""0 -""#, soon()).await)?;
    let (one, other) = tokio::join!(count_up(&*first, "a"), count_up(&*second, "b"));
    one.and(other)?;
    let total = number(&read(&*first, "orders").await?)?;
    ensure(total == 2 * INCREMENTS, || format!("{total} after 2 x {INCREMENTS} increments"))
}

async fn a_passed_deadline_is_honoured(fixture: &dyn JournalFixture) -> Checked {
    let journal = fixture.first();
    let tag = ok("create", journal.write("orders", None, br#""first""#, soon()).await)?;
    let none = Duration::ZERO;
    let read = returns_in_time("read", none, async |deadline| journal.read("orders", deadline).await).await?;
    if let Ok(stored) = read {
        ensure(stored.is_some(), || "no time to read was reported as no register".to_owned())?;
    }
    let write = async |deadline| journal.write("orders", Some(&tag), br#""second""#, deadline).await;
    match returns_in_time("write", none, write).await? {
        Ok(_) => holds(&*journal, "orders", br#""second""#).await,
        Err(error) if error.certainty == Certainty::Refused => holds(&*journal, "orders", br#""first""#).await,
        Err(_) => Ok(()),
    }
}

async fn count_up(journal: &dyn Journal, who: &str) -> Checked {
    for _ in 0..INCREMENTS {
        let mut done = false;
        for _ in 0..ATTEMPTS {
            let stored = read(journal, "orders").await?;
            let next = document(&format!("{} {who}", number(&stored)? + 1));
            match journal.write("orders", Some(&stored.tag), &next, soon()).await {
                Ok(_) => {
                    done = true;
                    break;
                }
                Err(error) => refused::<()>("an increment that lost", Err(error), Kind::Conflict)?,
            }
            tokio::task::yield_now().await;
        }
        ensure(done, || format!("no increment succeeded in {ATTEMPTS} attempts"))?;
    }
    Ok(())
}

async fn read(journal: &dyn Journal, set: &str) -> Result<Stored, Stop> {
    ok("read", journal.read(set, soon()).await)?.ok_or_else(|| Stop::Broken(format!("{set} has no register")))
}

/// Registers are JSON documents; a text is the shortest.
fn document(text: &str) -> Vec<u8> {
    format!("\"{text}\"").into_bytes()
}

fn number(stored: &Stored) -> Result<u32, Stop> {
    let text = String::from_utf8_lossy(&stored.bytes);
    let digits = text.trim_start_matches('"').split(' ').next().unwrap_or_default();
    digits.parse().map_err(|_| Stop::Broken(format!("`{text}` was never written")))
}

async fn holds(journal: &dyn Journal, set: &str, bytes: &[u8]) -> Checked {
    let stored = read(journal, set).await?;
    ensure(stored.bytes == bytes, || {
        format!(
            "{set} holds `{}` instead of `{}`",
            String::from_utf8_lossy(&stored.bytes),
            String::from_utf8_lossy(bytes)
        )
    })
}
