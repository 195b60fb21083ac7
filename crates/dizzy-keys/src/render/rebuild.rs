//! A register that would be rebuilt: what it rests on, and what it would say.

use serde::Serialize;

use super::{
    View,
    moment::Moment,
    text::{Text, Tone},
};

/// What `recover --from-world` would write, or has written.
#[derive(Clone, Debug, Serialize)]
pub struct RebuildReport {
    /// One per set.
    pub sets: Vec<RebuildRow>,
}

/// The register of one set.
#[derive(Clone, Debug, Serialize)]
pub struct RebuildRow {
    /// The set.
    pub set: String,
    /// The register's id, as fences and names carry it; its first ten digits where only names do.
    pub register: String,
    /// The epoch: above all that the lost register can have taken.
    pub epoch: u64,
    /// The generation that is published.
    pub generation: u64,
    /// The generation on its way, if one is.
    pub next_generation: Option<u64>,
    /// Highest generation ever issued.
    pub last_generation: u64,
    /// Where the rotation stands.
    pub phase: String,
    /// When no request of an earlier worker can act any more.
    pub quiet_at: Option<Moment>,
    /// What was found, line by line.
    pub found: Vec<String>,
    /// What follows from it.
    pub says: String,
}

impl RebuildReport {
    /// The question before anything is written.
    #[must_use]
    pub fn question(&self) -> String {
        let names: Vec<&str> = self.sets.iter().map(|row| row.set.as_str()).collect();
        format!(
            "This is right only if the register of {} is lost for good: any other worker that still has it is fenced off.\nWrite it?",
            names.join(", ")
        )
    }
}

impl View for RebuildReport {
    const KIND: &'static str = "rebuild";

    fn text(&self, text: &mut Text) {
        for row in &self.sets {
            text.heading(&row.set);
            for line in &row.found {
                text.line(format_args!("  {line}"));
            }
            text.line(format_args!("  {}", Tone::Strong.paint(&row.says)));
            let next = row.next_generation.map_or_else(String::new, |next| format!(", next g{next}"));
            text.line(format_args!(
                "  register {}: {}, g{}{next}, highest g{}, epoch {}",
                row.register, row.phase, row.generation, row.last_generation, row.epoch
            ));
            if let Some(quiet) = row.quiet_at {
                text.line(format_args!("  until {quiet} requests of earlier workers are reckoned with"));
            }
        }
    }
}
