//! What is kept as objects, over any [`ObjectStore`](crate::port::ObjectStore).

mod journal;

pub use journal::ObjectJournal;
