//! A race that shows lost updates: whoever takes part reads a number from one register and writes the next one.
//!
//! For processes that compete: each calls [`count_up`], and the test that started them looks at [`counted`] in the end.

use core::time::Duration;

use crate::port::{Certainty, Deadline, Journal, Kind, PortError, PortResult};

/// The set whose register is raced for.
const SET: &str = "race";

/// One call, on a machine with other things to do.
const CALL: Duration = Duration::from_secs(30);

fn soon() -> Deadline {
    Deadline::after(CALL)
}

/// Writes 0.
///
/// # Errors
/// What the journal says.
pub async fn start_counting(journal: &dyn Journal) -> PortResult<()> {
    journal.write(SET, None, &document(0, "start"), soon()).await.map(drop)
}

/// Adds one, `times` times. Whoever loses a round tries again.
///
/// # Errors
/// What the journal says, other than that somebody else was faster.
pub async fn count_up(journal: &dyn Journal, who: &str, times: u32) -> PortResult<()> {
    for _ in 0..times {
        loop {
            let (number, tag) = look(journal).await?;
            match journal.write(SET, Some(&tag), &document(number + 1, who), soon()).await {
                Ok(_) => break,
                Err(error)
                    if error.certainty == Certainty::Refused && matches!(error.kind, Kind::Busy | Kind::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The number that is there.
///
/// # Errors
/// What the journal says.
pub async fn counted(journal: &dyn Journal) -> PortResult<u32> {
    look(journal).await.map(|(number, _)| number)
}

async fn look(journal: &dyn Journal) -> PortResult<(u32, crate::port::Tag)> {
    let none = || PortError::refused(Kind::NotFound, "count up: there is no number");
    let stored = journal.read(SET, soon()).await?.ok_or_else(none)?;
    let value: serde_json::Value = serde_json::from_slice(&stored.bytes).map_err(|_| none())?;
    let number = value.get("number").and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
    Ok((number.ok_or_else(none)?, stored.tag))
}

/// Says who wrote it, so that no two who compete write the same bytes.
fn document(number: u32, who: &str) -> Vec<u8> {
    format!("{{\"number\":{number},\"who\":\"{who}\"}}").into_bytes()
}
