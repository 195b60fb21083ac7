//! An emulator of Oracle Database: its wire protocol, its accounts, and as much SQL as changing passwords takes.
//!
//! Equipment for tests and the demo; it depends on no product package and is never linked into the product. Plain
//! threads, loopback only, ports that the system gave, everything in memory, gone when dropped. What supports each
//! behaviour, and what nothing does, is listed in this package's README.md.

mod accounts;
mod der;
mod emulator;
mod fault;
mod log;
mod options;
mod pki;
mod refusal;
mod session;
mod sql;
mod time;
mod tls;
mod wallet;
mod wire;
mod world;

pub use accounts::{
    Restore, WrongOldPassword,
    profile::{Profile, Verify},
    user::Tally,
};
pub use der::pem;
pub use emulator::{OracleEmulator, SessionState, UserState};
pub use fault::{Effect, Fault, Planted, Point, Watch};
pub use log::{Entry, Event};
pub use options::{Account, Listener, Mode, Options, SERVICE};
pub use pki::{CertificateVersion, Identity, NamePart, Pki};
pub use refusal::Refusal;
pub use time::{DAY, HOUR, Moment};
pub use wallet::{Wallet, WalletKey, WalletMaker, WalletOptions};
