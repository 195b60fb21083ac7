//! One call of the platform: what comes in, what goes out, and who is in between.

use core::{fmt, future::Future, time::Duration};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::Trace;

/// What a platform asks for.
pub struct Invocation {
    /// The platform's own id of the call, for logs: what its support asks for.
    pub id: String,
    /// The event.
    pub payload: Payload,
    /// How long the platform waits for the answer; `None` if it does not say, or says nonsense.
    pub left: Option<Duration>,
    /// The trace that the call belongs to.
    pub trace: Option<Trace>,
}

/// An event. It may hold a token, so it is wiped when dropped and never shown.
pub enum Payload {
    /// All of it.
    Whole(Zeroizing<Vec<u8>>),
    /// It is longer than [`MAX_EVENT`](crate::MAX_EVENT), and was not read to its end.
    TooLong,
}

/// The answer to a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The call did what it was asked for.
    Done {
        /// The answer.
        document: Value,
    },
    /// It did not.
    Failed {
        /// An error code (`DK-105`), for the platform's own statistics.
        code: String,
        /// What happened, for the platform's own error display.
        message: String,
        /// The whole of it.
        document: Value,
    },
    /// The platform's time was over before the call was.
    Late {
        /// As in `Failed`.
        code: String,
        /// As in `Failed`.
        message: String,
        /// As in `Failed`.
        document: Value,
    },
}

/// Who answers calls. One call at a time: the platforms send no second one before the first is answered.
pub trait Handler {
    /// Answers a call. Dropped without an answer when the time is over, which must do no more harm than a `kill -9`.
    fn handle(&self, invocation: Invocation) -> impl Future<Output = Reply>;

    /// What to say when [`handle`](Self::handle) panicked.
    fn panicked(&self) -> Reply;

    /// What to say when [`handle`](Self::handle) was dropped because the time was over.
    fn late(&self) -> Reply;
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::TooLong => f.write_str("TooLong"),
        }
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("id", &self.id)
            .field("payload", &self.payload)
            .field("left", &self.left)
            .field("trace", &self.trace)
            .finish()
    }
}
