//! What a revoke would do, before it is confirmed.

use serde::Serialize;

use super::{View, text::Text};

/// What `revoke` would do.
#[derive(Clone, Debug, Serialize)]
pub struct RevokePlan {
    /// One per set.
    pub sets: Vec<RevokePlanRow>,
}

/// What it would do to one set.
#[derive(Clone, Debug, Serialize)]
pub struct RevokePlanRow {
    /// The set.
    pub set: String,
    /// The newest generation that would be made useless, with all before it; `None` for a set that was never rotated or prepared.
    pub up_to: Option<u64>,
    /// How many rotations that takes.
    pub rotations: u8,
    /// Whether it was begun before.
    pub goes_on: bool,
    /// Databases for which no administrator is configured: on Oracle, nobody can end their older sessions.
    pub without_admin: Vec<String>,
}

impl RevokePlanRow {
    fn line(&self) -> String {
        let what = self.up_to.map_or_else(|| "what is published".to_owned(), |g| format!("everything up to g{g}"));
        let begun = if self.goes_on { ", begun before" } else { "" };
        let times = if self.rotations == 1 { "1 rotation".to_owned() } else { format!("{} rotations", self.rotations) };
        let who = if self.without_admin.is_empty() {
            "older sessions are ended".to_owned()
        } else {
            format!(
                "older sessions are ended as far as users may do that themselves ({})",
                self.without_admin.join(", ")
            )
        };
        format!("{}: {what} is revoked{begun}: {times} at once; {who}", self.set)
    }
}

impl RevokePlan {
    /// The question before it is begun.
    #[must_use]
    pub fn question(&self) -> String {
        let lines: Vec<String> = self.sets.iter().map(RevokePlanRow::line).collect();
        format!("{}\nRevoke?", lines.join("\n"))
    }
}

impl View for RevokePlan {
    const KIND: &'static str = "revoke-plan";

    fn text(&self, text: &mut Text) {
        for row in &self.sets {
            text.line(row.line());
        }
    }
}
