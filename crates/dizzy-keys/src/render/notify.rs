//! `notify test`: each receiver, what it is told, and whether the test arrived.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    View,
    text::{Text, Tone},
};
use crate::{args::Output, code::Exit, render, report::Report};

/// What became of the test.
#[derive(Clone, Debug, Serialize)]
pub struct NotifyReport {
    /// One per receiver, in the order of the configuration.
    pub receivers: Vec<NotifyRow>,
}

/// A receiver.
#[derive(Clone, Debug, Serialize)]
pub struct NotifyRow {
    /// A topic, or the reference to a webhook's URL.
    pub receiver: String,
    /// What it is told.
    pub on: Vec<&'static str>,
    /// Whether it took the test.
    pub delivered: bool,
    /// Why not.
    pub error: Option<Report>,
}

impl NotifyReport {
    /// Shows the result, tells each error, and says how to exit.
    ///
    /// # Errors
    /// [`Code::Output`](crate::code::Code::Output) if the result cannot be written.
    pub fn conclude(&self, output: Output) -> Result<Exit, Report> {
        render::show(output, self)?;
        for error in self.receivers.iter().filter_map(|row| row.error.as_ref()) {
            error.tell(output);
        }
        Ok(self.exit())
    }

    fn exit(&self) -> Exit {
        let errors = self.receivers.iter().filter_map(|row| row.error.as_ref());
        errors.map(Report::exit_code).max().unwrap_or(Exit::Done)
    }
}

impl View for NotifyReport {
    const KIND: &'static str = "notify";

    fn text(&self, text: &mut Text) {
        let rows: Vec<Vec<String>> = self
            .receivers
            .iter()
            .map(|row| {
                let word = if row.delivered { Tone::Good.paint("delivered") } else { Tone::Bad.paint("NOT DELIVERED") };
                vec![row.receiver.clone(), word, row.on.join(", ")]
            })
            .collect();
        text.table(&["RECEIVER", "TEST", "IS TOLD OF"], &rows);
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("exit", json!(self.exit().number()))])
    }
}
