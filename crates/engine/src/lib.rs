//! The decisions of dizzy-keys.
#![forbid(unsafe_code)]

pub mod ids;
pub mod plan;

pub use ids::{DatabaseIx, Epoch, Generation, StoreIx, Timestamp, UserIx};
pub use plan::{Capability, DatabasePlan, Plan, Strategy};
