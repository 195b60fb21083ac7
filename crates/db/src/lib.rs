//! Database adapters of dizzy-keys: PostgreSQL, with its own TLS roots and SCRAM verifiers.
//!
//! Each adapter implements [`dizzy_host::port::Database`]. No text of a server or driver leaves this package,
//! and no password appears in SQL text.

pub mod postgres;
mod scram;
mod tls;

pub use postgres::{PostgresConfig, PostgresDatabase};
pub use tls::{PublicRoots, Roots};
