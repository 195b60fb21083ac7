//! `audit export`: the lines as they were stored, or one OCSF event for each.

use super::{
    super::with_set::{block_on, composer},
    ocsf,
    records::{Seen, Wanted, read, stores},
};
use crate::{
    args::{AuditExport, ExportFormat, Global},
    code::Exit,
    render,
    report::Report,
};

pub(super) fn run(global: &Global, args: &AuditExport) -> Result<Exit, Report> {
    let (composer, sets) = composer(global, &args.records.sets)?;
    let wanted = Wanted::of(&args.records, &composer)?;
    let stores = stores(&args.records, &composer)?;
    block_on(async {
        for set in &sets {
            let mut take = |line: &[u8], record| match args.format {
                ExportFormat::Ndjson => render::print(&[line, b"\n"].concat()),
                ExportFormat::Ocsf => render::print(format!("{}\n", ocsf::event(&record)).as_bytes()),
            };
            read(&composer, &stores, (set, &wanted), &mut Seen::default(), &mut take).await?;
        }
        Ok(Exit::Done)
    })
}
