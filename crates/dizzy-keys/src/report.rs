//! How an error is told: what happened, what is true, what to do next.
//!
//! As text, three lines on standard error; with `--output json`, one JSON line there, and with `--log-format json` one line of the log, so that standard output holds either the whole
//! result or nothing. A report without a statement about the state of the world cannot be built.

use core::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use dizzy_host::{
    config::ConfigError,
    document::DocumentError,
    port::{Certainty, Mend, PortError},
};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::{
    args::Output,
    code::{Code, Exit, Port, exit_of_port},
    logging,
};

/// What is true after an error that changed nothing and found nothing changed.
pub const NOTHING_DONE: &str = "nothing was done, and nothing was changed";

/// An error for people and scripts. Holds no secret and no text from a driver or server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    code: Code,
    what: String,
    state: String,
    hint: Option<String>,
    mend: Option<Box<Mend>>,
    exit: Exit,
    /// Boxed, because errors are returned everywhere.
    about: Option<Box<About>>,
}

/// What the log line of an error belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
struct About {
    set: String,
    rotation: Option<String>,
}

impl Report {
    /// An error: what happened, and what is true (which password works where, if passwords are concerned).
    pub fn new(code: Code, what: impl Into<String>, state: impl Into<String>) -> Self {
        let (what, state, exit) = (what.into(), state.into(), code.exit());
        Self { code, what, state, hint: None, mend: None, exit, about: None }
    }

    /// An error of a port at `place` (`orders/rds`, `aws-sm:prod/orders`); `state` is what the caller knows to be true.
    pub fn of_port(port: Port, place: &str, error: &PortError, state: impl Into<String>) -> Self {
        let code = Code::of_port(port, error);
        let mut report = Self::new(code, format!("{place}: {error}"), state);
        report.hint = error.hint.clone().or_else(|| code.usual_hint().map(str::to_owned));
        report.mend = error.mend.clone().map(Box::new);
        report.exit = exit_of_port(code, error);
        if error.certainty == Certainty::Unknown {
            report.state.push_str("; the last change may have been made, or may still be made");
        }
        report
    }

    /// A secret at `place` whose text cannot be used.
    pub fn of_document(place: &str, error: &DocumentError, state: impl Into<String>) -> Self {
        let hint = match error {
            DocumentError::Ambiguous => "set `format` of this secret in the configuration",
            DocumentError::OtherFormat { .. } => {
                "configure the format that it holds, or change it with `rotate --change-format`"
            }
            DocumentError::NoCredential | DocumentError::Missing { .. } => {
                "add what is missing to the CURRENT version; a credential that works today must be there"
            }
            DocumentError::NotAnObject
            | DocumentError::NotJson { .. }
            | DocumentError::TooLarge { .. }
            | DocumentError::Twice { .. }
            | DocumentError::WrongType { .. } => "mend the CURRENT version by hand; other keys may stay as they are",
        };
        Self::new(Code::of_document(error), format!("{place}: {error}"), state).hint(hint)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces what is true, where more is known than at the place of the error.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// Replaces the exit code: what is true decides it, not what happened.
    #[must_use]
    pub const fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Says which set it is about, and which rotation, for its log line.
    #[must_use]
    pub fn about(mut self, set: &str, rotation: Option<&str>) -> Self {
        self.about = Some(Box::new(About { set: set.to_owned(), rotation: rotation.map(str::to_owned) }));
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The exit code.
    #[must_use]
    pub const fn exit_code(&self) -> Exit {
        self.exit
    }

    /// What happened.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What is true.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What mends it, where that can be carried out as it is.
    #[must_use]
    pub fn mend(&self) -> Option<&Mend> {
        self.mend.as_deref()
    }

    /// Writes it to standard error: as a log line where those are asked for, else in the form that goes with `output`.
    pub fn tell(&self, output: Output) {
        if logging::takes_errors() {
            return self.log();
        }
        let mut stderr = anstream::stderr().lock();
        // There is no other place to complain to.
        drop(self.write(&mut stderr, output));
    }

    fn log(&self) {
        let about = self.about.as_ref();
        tracing::error!(
            set = about.map(|about| about.set.as_str()),
            rotation = about.and_then(|about| about.rotation.as_deref()),
            code = self.code.text(),
            what = self.what,
            state = self.state,
            hint = self.hint,
            exit = self.exit.number(),
            "an error"
        );
    }

    /// Writes it.
    ///
    /// # Errors
    /// If `out` does not take it.
    pub fn write(&self, out: &mut dyn Write, output: Output) -> io::Result<()> {
        match output {
            Output::Json => {
                serde_json::to_writer(&mut *out, &Envelope { error: self })?;
                writeln!(out)
            }
            Output::Text => {
                let red = AnsiColor::Red.on_default().bold();
                writeln!(out, "{red}{}{red:#}: {}", self.code.text(), indented(&self.what))?;
                labelled(out, "state", &self.state)?;
                self.hint.as_ref().map_or(Ok(()), |hint| labelled(out, "hint", hint))
            }
        }
    }
}

impl From<ConfigError> for Report {
    fn from(error: ConfigError) -> Self {
        let mut report = Self::new(Code::of_config(&error), error.to_string(), NOTHING_DONE);
        report.hint = error.hint.or_else(|| report.code.usual_hint().map(str::to_owned));
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.text(), self.what)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Report", 5)?;
        object.serialize_field("code", self.code.text())?;
        object.serialize_field("what", &self.what)?;
        object.serialize_field("state", &self.state)?;
        object.serialize_field("hint", &self.hint)?;
        object.serialize_field("exit", &self.exit.number())?;
        object.end()
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Report,
}

fn labelled(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{label}:{bold:#} {}", indented(text))
}

/// Further lines of a text stand under the first.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

#[cfg(test)]
mod tests {
    use dizzy_host::port::Kind;

    use super::*;

    fn shown(report: &Report, output: Output) -> String {
        let mut bytes = Vec::new();
        report.write(&mut bytes, output).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(bytes).unwrap()).to_string()
    }

    #[test]
    fn an_error_says_what_happened_what_is_true_and_what_to_do() {
        let error = PortError::refused(Kind::Unreachable, "connect to db.example.net:5432")
            .with_code("ECONNREFUSED")
            .with_hint("is the security group open for this host?");
        let report = Report::of_port(Port::Database, "orders/rds", &error, "generation 7 works everywhere");
        assert_eq!(
            shown(&report, Output::Text),
            "DK-211: orders/rds: connect to db.example.net:5432 (ECONNREFUSED)\n\
             state: generation 7 works everywhere\n\
             hint: is the security group open for this host?\n"
        );
        assert_eq!(
            shown(&report, Output::Json),
            "{\"error\":{\"code\":\"DK-211\",\"what\":\"orders/rds: connect to db.example.net:5432 (ECONNREFUSED)\",\
             \"state\":\"generation 7 works everywhere\",\"hint\":\"is the security group open for this host?\",\"exit\":1}}\n"
        );
    }

    #[test]
    fn an_unknown_outcome_is_said() {
        let error = PortError::unknown(Kind::Timeout, "promote g8");
        let report = Report::of_port(Port::Store, "aws-sm:prod/orders", &error, "g7 was published before");
        assert_eq!(report.exit_code(), Exit::NeedsHuman);
        assert!(shown(&report, Output::Text).contains("may have been made, or may still be made"));
    }

    #[test]
    fn text_of_several_lines_stays_under_its_label() {
        let report = Report::new(Code::Usage, "one\ntwo\n", NOTHING_DONE).exit(Exit::Failed);
        assert_eq!(
            shown(&report, Output::Text),
            "DK-101: one\n  two\nstate: nothing was done, and nothing was changed\n"
        );
    }
}
