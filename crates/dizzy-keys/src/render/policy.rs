//! `policy`: rights for a cloud, why each is needed, and how they differ from a policy that somebody has.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    View,
    text::{Text, Tone, counted},
};
use crate::policy::{Line, aws::Document, compare_aws::Differences};

/// The rights.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PolicyView {
    /// `aws` or `oci`.
    pub(crate) cloud: &'static str,
    /// Whom they are for.
    #[serde(rename = "for")]
    pub(crate) role: String,
    /// AWS: the policy as IAM takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Document>,
    /// OCI: the statements.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) statements: Vec<String>,
    /// OCI: the dynamic group's matching rule, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) matching_rule: Option<MatchingRule>,
    /// Each right, the call that needs it, and why.
    pub(crate) lines: Vec<Line>,
    /// What to know before it is used.
    pub(crate) notes: Vec<String>,
    /// Whether the text is the explanation instead of the policy.
    #[serde(skip)]
    pub(crate) explain: bool,
}

/// Who belongs to a dynamic group.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MatchingRule {
    /// The group.
    pub(crate) dynamic_group: String,
    /// The rule.
    pub(crate) rule: String,
}

impl View for PolicyView {
    const KIND: &'static str = "policy";

    fn text(&self, text: &mut Text) {
        if self.explain {
            return self.explanation(text);
        }
        if let Some(policy) = &self.policy {
            // A plain struct of texts can be written as JSON.
            text.line(serde_json::to_string_pretty(policy).unwrap_or_default());
        }
        if let Some(MatchingRule { dynamic_group, rule }) = &self.matching_rule {
            text.line(format_args!("# matching rule of the dynamic group {dynamic_group}: {rule}"));
        }
        for statement in &self.statements {
            text.line(statement);
        }
    }
}

impl PolicyView {
    fn explanation(&self, text: &mut Text) {
        let row = |line: &Line| {
            let tested = if line.tested { "" } else { "*" };
            let cells = [&line.right, tested, &line.on, &line.call, &line.key, &line.why];
            cells.map(str::to_owned).to_vec()
        };
        let rows: Vec<Vec<String>> = self.lines.iter().map(row).collect();
        text.table(&["RIGHT", "", "ON", "CALL", "ASKED FOR BY", "WHY"], &rows);
        if self.lines.iter().any(|line| !line.tested) {
            text.line("");
            text.line("* known from documentation only: emulators ask for no right on keys. Every other line was seen to be needed.");
        }
    }
}

/// How a given policy differs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PolicyCheck {
    /// `aws` or `oci`.
    pub(crate) cloud: &'static str,
    /// Whom the needed rights are for.
    #[serde(rename = "for")]
    pub(crate) role: String,
    /// The file that was compared.
    pub(crate) file: String,
    /// What is needed and not granted.
    pub(crate) too_little: Vec<String>,
    /// What is granted and not needed.
    pub(crate) too_much: Vec<String>,
    /// What to know besides.
    pub(crate) notes: Vec<String>,
}

impl PolicyCheck {
    /// The result of a comparison.
    pub(crate) fn new(cloud: &'static str, role: String, file: String, found: Differences) -> Self {
        let Differences { too_little, too_much, notes } = found;
        Self { cloud, role, file, too_little, too_much, notes }
    }

    /// Whether nothing differs.
    pub(crate) fn is_equal(&self) -> bool {
        self.too_little.is_empty() && self.too_much.is_empty()
    }
}

impl View for PolicyCheck {
    const KIND: &'static str = "policy-check";

    fn text(&self, text: &mut Text) {
        for (heading, list) in [("Too little", &self.too_little), ("Too much", &self.too_much)] {
            if !list.is_empty() {
                text.heading(heading);
                for one in list {
                    text.line(format_args!("  {one}"));
                }
            }
        }
        for note in &self.notes {
            text.line(format_args!("note: {note}"));
        }
        if self.is_equal() {
            text.line(format_args!("{} grants what is needed, and nothing else.", Tone::Good.paint(&self.file)));
        } else {
            let (little, much) = (counted(self.too_little.len(), "right"), counted(self.too_much.len(), "right"));
            text.line("");
            text.line(format_args!("{}: {little} too little, {much} too much.", Tone::Bad.paint(&self.file)));
        }
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("equal", json!(self.is_equal()))])
    }
}
