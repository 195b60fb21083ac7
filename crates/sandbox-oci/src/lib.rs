//! An emulator of the OCI services that a rotation talks to: Vault (management and retrieval), Object Storage, Autonomous
//! Database, Notifications, the federation call that hands out session tokens, and the metadata service of an instance.
//!
//! Real signatures are required and checked, state is kept as the services keep it, and every call can meet a fault. It
//! speaks plain HTTP on loopback, one port per service, on threads of its own, and ends when the [`OciEmulator`] is dropped.
//! Depends on no product package and is never linked into the product. The README says what each behaviour rests on.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each service answers its own part of the one list of operations; route has sent it no other"
)]

mod clock;
mod control;
mod database;
mod dispatch;
mod emulator;
mod faults;
mod federation;
mod http;
mod keys;
mod log;
mod metadata;
mod objects;
mod policy;
mod principals;
mod rights;
mod route;
mod server;
mod signature;
mod tokens;
mod topics;
mod vault;

pub use control::{BucketOptions, ObjectView, SecretOptions, SecretView, VersionView};
pub use database::{AdminPasswordHook, WalletRequest, WalletSource};
pub use emulator::{OciEmulator, Options};
pub use faults::{Fault, FaultHandle, Mishap};
pub use keys::{KeyFormat, PASS_PHRASE};
pub use log::Logged;
pub use principals::{ConfigFiles, Instance, Principal, Session};
pub use rights::{Permission, Rights};
pub use route::{Operation, Service};
pub use server::Door;
pub use signature::{Refusal, check_headers, signing_string};
pub use topics::Message;
pub use vault::{Settle, Stage};

/// The region of everything in the emulator.
pub const REGION: &str = "us-ashburn-1";
/// The tenancy that owns everything in the emulator.
pub const TENANCY: &str = "ocid1.tenancy.oc1..sandbox";
/// The compartment that everything is in, unless it says otherwise.
pub const COMPARTMENT: &str = "ocid1.compartment.oc1..sandbox";
/// The vault that secrets are in, unless they say otherwise.
pub const VAULT: &str = "ocid1.vault.oc1.iad.sandbox";
/// The master key that secrets are encrypted with, by name only.
pub const MASTER_KEY: &str = "ocid1.key.oc1.iad.sandbox";
/// The Object Storage namespace of the tenancy.
pub const NAMESPACE: &str = "sandboxns";
