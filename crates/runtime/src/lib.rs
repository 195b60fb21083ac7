//! The protocols by which function platforms call this program: AWS Lambda's Runtime API and OCI Functions' http-stream.
//!
//! Knows nothing of rotations: a payload comes in with the time that is left for it, a JSON document goes out. What the
//! payload means, and in which words a failure is told, is the [`Handler`]'s business. Both platforms freeze the process
//! between two calls, so nothing here outlives a call but the connection to the platform itself, which is made again when it
//! is found dead.

mod body;
mod call;
mod functions;
mod guard;
mod lambda;
mod place;
mod time;
mod trace;

pub use call::{Handler, Invocation, Payload, Reply};
pub use functions::{FunctionsError, serve_functions};
pub use lambda::{LambdaError, serve_lambda};
pub use place::{Place, PlaceError};
pub use time::{LAST_WORD, time_left};
pub use trace::Trace;

/// Longest event that is read. The platforms allow 6 MB; the longest event that means something here has a few hundred set names.
pub const MAX_EVENT: usize = 256 * 1024;
