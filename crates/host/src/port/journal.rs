//! The journal register port: one small document per set, changed only by compare-and-swap.

use async_trait::async_trait;

use super::{Deadline, PortResult};

/// What the store uses to tell one state of a register from another (an ETag, a digest). Opaque.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tag(pub String);

/// A register as read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// The document.
    pub bytes: Vec<u8>,
    /// Its tag.
    pub tag: Tag,
}

/// Where registers live. Holds no secret.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Where this is, for messages.
    fn place(&self) -> String;

    /// Reads the register of `set`; `None` if there is none. Linearizable: a write that returned is seen by every later read.
    ///
    /// # Errors
    /// If it cannot be read; never `None` for "cannot tell".
    async fn read(&self, set: &str, deadline: Deadline) -> PortResult<Option<Stored>>;

    /// Writes `bytes` if the register still has the tag `expected` (`None`: if there is no register). When this returns `Ok`, the bytes are durable.
    ///
    /// # Errors
    /// `Conflict` (refused) if it changed meanwhile; `Unknown` if the write may have happened: read again and look for your own nonce.
    async fn write(&self, set: &str, expected: Option<&Tag>, bytes: &[u8], deadline: Deadline) -> PortResult<Tag>;
}
