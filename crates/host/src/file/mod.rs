//! Adapters on the local file system: the register journal, the run lock, objects, `env:` and `file:` secrets.
//!
//! Everything durable is written here and nowhere else. Blocking calls run on threads of their own, so that a file system
//! that hangs costs a deadline and not the worker; see `blocking` for what such a call may still do afterwards.

mod blocking;
mod folder;
mod journal;
mod lock;
mod objects;
#[cfg(test)]
mod process;
mod reader;

pub use journal::FileJournal;
pub use lock::RunLock;
pub use objects::FileObjects;
pub use reader::EnvFileReader;
