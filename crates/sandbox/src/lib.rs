//! Equipment for tests and the demo: certificates, a real PostgreSQL with TLS, a proxy that loses replies,
//! and moto for AWS.
//!
//! Depends on no product package and is never linked into the product. Plain threads and programs, no async runtime.
//! Everything listens on loopback, on ports the system gave, and ends with the process that started it, however that ends.

pub mod application;
pub mod bench;
pub mod certs;
pub mod connect_proxy;
pub mod cut_proxy;
pub mod demo;
pub mod dns;
pub mod docker;
pub mod fleet;
pub mod gates;
pub mod installation;
pub mod judge;
pub mod moto;
pub mod ocsf;
pub mod platform;
pub mod postgres;
pub mod receiver;
pub mod stand;
pub mod two_clouds;

pub use application::{Application, LoginTried};
pub use certs::{Certificates, ServerCertificate};
pub use connect_proxy::{ConnectProxy, Manner};
pub use cut_proxy::{CutProxy, Loss, SilentHost};
pub use dns::NameServer;
pub use docker::{Container, Image};
pub use fleet::{Fleet, Oddity, Registers};
pub use installation::{Installation, SET, Users};
pub use judge::Judge;
pub use moto::Moto;
pub use platform::{CargoLambda, FnAgent, LambdaApi};
pub use postgres::{Durability, HeldSession, Postgres, PostgresOptions, Tls};
pub use receiver::Receiver;
pub use stand::Stand;
pub use two_clouds::{OracleUsers, Published, TwoClouds};
