//! Ports, driver, configuration, secrets in memory, file and memory adapters of dizzy-keys.

pub mod agenda;
pub mod audit;
pub mod config;
pub mod document;
pub mod driver;
pub mod field;
pub mod file;
#[cfg(any(test, feature = "testkit"))]
pub mod memory;
pub mod notice;
pub mod objects;
pub mod password;
pub mod port;
pub mod proxy;
pub mod reference;
pub mod register;
pub mod retry;
pub mod secret;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
