//! The platforms that call functions, played on this machine: Lambda's Runtime API, and the agent of Fn and OCI Functions.
//!
//! They judge while they play: whoever speaks to them otherwise than the platform's documents say is refused, and the breach
//! is kept for the test to see. Beside them an emulator of Lambda that others wrote.

mod cargo_lambda;
mod fn_agent;
mod lambda_api;
mod wire;

pub use cargo_lambda::CargoLambda;
pub use fn_agent::{FnAgent, FnAnswer};
pub use lambda_api::{Answered, Event, LambdaApi, Quirk};
