//! The decisions of dizzy-keys: the rotation protocol as a pure function.
//!
//! [`step()`] takes a [`Worker`], the time and the answers to its last questions, and says what to ask or change next. There is no
//! clock, randomness, input/output or secret in this package, and its only dependencies are serde and thiserror.
//! Start reading at [`step`](mod@step), then [`register`] (what survives) and [`invariant`] (what must never happen).
#![forbid(unsafe_code)]

pub mod effect;
pub mod ids;
pub mod invariant;
pub mod plan;
pub mod register;
pub mod step;
pub mod worker;

pub use effect::{Effect, Outcome, Reason, Seen};
pub use ids::{DatabaseIx, Epoch, Generation, StoreIx, Timestamp, UserIx};
pub use invariant::Violation;
pub use plan::{Capability, DatabasePlan, Op, Plan, StorePlan, Strategy};
pub use register::{
    DRAIN_MS, DatabaseRegister, LEASE_MS, MAX_MAYBES, Owner, Phase, REQUEST_LIFE_MS, Register, UserRegister,
    WORKER_LIFE_MS, Window,
};
pub use step::{Step, set_down, step};
pub use worker::{Finish, Goal, Next, Pace, Progress, Stage, Then, Worker};
