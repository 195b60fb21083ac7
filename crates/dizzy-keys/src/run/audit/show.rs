//! `audit show`: one line per record, as a person reads it.

use core::time::Duration;
use std::collections::BTreeMap;

use dizzy_audit::read::Record;

use super::{
    super::with_set::{block_on, composer},
    records::{Seen, Wanted, read, stores},
};
use crate::{
    args::{AuditShow, Global, Output},
    code::{Code, Exit},
    render::{self, audit::line},
    report::{NOTHING_DONE, Report},
};

/// Between two looks at what was added. A look is one list per set.
const FOLLOW: Duration = Duration::from_secs(2);

pub(super) fn run(global: &Global, args: &AuditShow) -> Result<Exit, Report> {
    let (composer, sets) = composer(global, &args.records.sets)?;
    let wanted = Wanted::of(&args.records, &composer)?;
    let stores = stores(&args.records, &composer)?;
    block_on(async {
        let mut seen: BTreeMap<&String, Seen> = BTreeMap::new();
        loop {
            for set in &sets {
                let mut take = |line: &[u8], record| print(global.output, line, &record);
                read(&composer, &stores, (set, &wanted), seen.entry(set).or_default(), &mut take).await?;
            }
            if !args.follow {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(FOLLOW).await;
        }
    })
}

/// In JSON each record is a document of its own, one per line, so that `--follow` has no end to wait for.
fn print(output: Output, stored: &[u8], record: &Record) -> Result<(), Report> {
    match output {
        Output::Text => render::print(line(record).as_bytes()),
        Output::Json => {
            let text = core::str::from_utf8(stored)
                .map_err(|_| Report::new(Code::Internal, "a record is no text", NOTHING_DONE))?;
            render::print(format!("{text}\n").as_bytes())
        }
    }
}
