//! The Oracle Database adapter of dizzy-keys: wallets in memory, TLS of our own in front of the vendor's driver, and the database port.
//!
//! It is a package of its own so that its driver is built only where it is used. No text of a server or driver leaves it. `docs/oracle.md`
//! tells users what it does on the server, and what was not seen on a real one.

mod account;
mod bridge;
mod change;
mod database;
mod der;
mod dn;
mod driver;
mod inspect;
mod prepare;
mod session;
mod sessions;
mod sql;
mod tls;
mod tns;
mod trouble;
mod wallet;

pub use database::{OracleConfig, OracleDatabase, Service};
pub use session::Limits;
pub use tls::{PublicRoots, Roots};
pub use wallet::Wallet;
