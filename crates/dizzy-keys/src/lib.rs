//! The command line of dizzy-keys: arguments, errors, rendering, and the one place where adapters are put together.
//!
//! Decisions are in `dizzy-engine`, I/O is behind the ports of `dizzy-host`. Data goes to standard output, everything else to standard
//! error. No type that is rendered here can hold a secret.

pub mod args;
pub mod code;
mod compose;
mod environment;
mod function;
mod harden;
pub mod init;
pub mod logging;
mod metrics;
mod policy;
pub mod render;
pub mod report;
mod run;
mod static_build;
mod switches;

pub use harden::harden;
pub use run::run;
