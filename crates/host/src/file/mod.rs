//! Adapters on the local file system: the register journal, the run lock, the unsigned audit trail, `env:` and `file:` secrets.
//!
//! Everything durable is written here and nowhere else. Blocking calls run on threads of their own, so that a file system
//! that hangs costs a deadline and not the worker; see `blocking` for what such a call may still do afterwards.

mod audit;
mod blocking;
mod folder;
mod journal;
mod lock;
#[cfg(test)]
mod process;
mod reader;

pub use audit::FileAuditSink;
pub use journal::FileJournal;
pub use lock::RunLock;
pub use reader::EnvFileReader;
