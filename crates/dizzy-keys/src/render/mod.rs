//! Results as people and scripts read them. Every command's result is a plain struct here that the command fills.
//!
//! The text form and the JSON form are API: snapshots hold them. No struct here has a field that could hold a secret: names,
//! generations, version ids, times and sentences of ours only.

pub mod audit;
pub mod check;
pub mod moment;
pub mod notify;
pub mod plan;
pub mod policy;
pub mod prepare;
pub mod progress;
pub mod rebuild;
pub mod reconcile;
pub mod revoke;
pub mod rotate;
pub mod status;
mod text;
pub mod verify;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Write as _},
};

use serde::Serialize;
use serde_json::Value;

pub use text::{Text, Tone};

use crate::{args::Output, code::Code, report::Report};

/// A result that can be shown.
pub trait View: Serialize {
    /// What the JSON document calls itself.
    const KIND: &'static str;

    /// The form for people.
    fn text(&self, text: &mut Text);

    /// What follows from the fields and stands in the JSON document beside them.
    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::new()
    }
}

/// Version of the JSON documents. Fields may be added under the same version; none is removed or changes its meaning.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Document<'a, V> {
    kind: &'static str,
    v: u8,
    #[serde(flatten)]
    view: &'a V,
    #[serde(flatten)]
    derived: BTreeMap<&'static str, Value>,
}

/// Writes a result to standard output. A reader that has gone away is no error.
///
/// # Errors
/// [`Code::Output`] if it cannot be written.
pub fn show<V: View>(output: Output, view: &V) -> Result<(), Report> {
    print(render(output, view)?.as_bytes())
}

/// Writes bytes to standard output, without colours unless it is a terminal.
///
/// # Errors
/// As [`show`].
pub fn print(bytes: &[u8]) -> Result<(), Report> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritable(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A result as the document that `--output json` prints.
///
/// # Errors
/// As [`show`].
pub fn document<V: View>(view: &V) -> Result<Value, Report> {
    let document = Document { kind: V::KIND, v: VERSION, view, derived: view.derived() };
    serde_json::to_value(&document).map_err(|error| unwritable(&error.into()))
}

/// A result as it is written.
///
/// # Errors
/// As [`show`].
pub fn render<V: View>(output: Output, view: &V) -> Result<String, Report> {
    match output {
        Output::Json => {
            let document = Document { kind: V::KIND, v: VERSION, view, derived: view.derived() };
            let mut json = serde_json::to_string_pretty(&document).map_err(|error| unwritable(&error.into()))?;
            json.push('\n');
            Ok(json)
        }
        Output::Text => {
            let mut text = Text::default();
            view.text(&mut text);
            Ok(text.finish())
        }
    }
}

fn unwritable(error: &io::Error) -> Report {
    Report::new(
        Code::Output,
        format!("the result cannot be written to standard output ({})", error.kind()),
        "the command itself is complete; only what it had to say is lost",
    )
    .hint("`dizzy-keys status` tells where every set is")
}

#[cfg(test)]
mod tests;
