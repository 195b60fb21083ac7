//! What happened, in order: a test judges by this, not by what its subject believes, and searches it for passwords that
//! should not be there.

use crate::time::Moment;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The emulated time.
    pub at: Moment,
    /// The connection it happened on, counted from 1; zero for what the control side did.
    pub connection: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A connection was accepted on this listener.
    Accepted(crate::options::Listener),
    /// CONNECT came with this connect data.
    Connect(String),
    /// The listener refused with this TNS number.
    ConnectRefused(u32),
    /// A login succeeded.
    LoggedIn {
        /// Who.
        user: String,
        /// The program's own name for itself.
        program: String,
    },
    /// A login was refused.
    LoginRefused {
        /// Who, as the client wrote it.
        user: String,
        /// The ORA number.
        code: u32,
    },
    /// A change of a password by the protocol, not by SQL.
    Change {
        /// Whose.
        user: String,
        /// The ORA number of a refusal, or nothing.
        refused: Option<u32>,
    },
    /// A statement.
    Statement {
        /// Whose.
        user: String,
        /// Its text, as it came.
        text: String,
        /// Its binds, as text.
        binds: Vec<String>,
        /// The ORA number of a refusal, or nothing.
        refused: Option<u32>,
    },
    /// A commit, rollback, ping or logoff.
    RoundTrip {
        /// Whose.
        user: String,
        /// Which.
        what: &'static str,
    },
    /// A planted fault fired.
    Fault(crate::fault::Point),
    /// The connection came to its end, for this reason.
    Ended(String),
}
