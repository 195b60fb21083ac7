//! A drift: what was found, and what mends it.

use serde::Serialize;

use super::{
    View,
    text::{Text, Tone},
};

/// What `reconcile` found.
#[derive(Clone, Debug, Serialize)]
pub struct ReconcileReport {
    /// One per set.
    pub sets: Vec<ReconcileRow>,
}

/// One set.
#[derive(Clone, Debug, Serialize)]
pub struct ReconcileRow {
    /// The set.
    pub set: String,
    /// The generation that is published, as the register records it.
    pub generation: u64,
    /// What was found, line by line.
    pub found: Vec<String>,
    /// What would be done, or was done, line by line; empty: there is no drift.
    pub repairs: Vec<String>,
    /// Whether that has been done.
    pub repaired: bool,
}

impl ReconcileReport {
    /// Whether something has drifted.
    #[must_use]
    pub fn has_drift(&self) -> bool {
        self.sets.iter().any(|row| !row.repairs.is_empty())
    }
}

impl View for ReconcileReport {
    const KIND: &'static str = "reconcile";

    fn text(&self, text: &mut Text) {
        for row in &self.sets {
            text.heading(&row.set);
            for line in &row.found {
                text.line(format_args!("  {line}"));
            }
            for line in &row.repairs {
                let word = if row.repaired { Tone::Good.paint("done") } else { Tone::Strong.paint("wanted") };
                text.line(format_args!("  {word}: {line}"));
            }
            if row.repairs.is_empty() {
                text.line(format_args!("  {}", Tone::Good.paint("no drift")));
            }
        }
    }
}
