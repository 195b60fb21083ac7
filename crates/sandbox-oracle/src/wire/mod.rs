//! The wire protocol: packets, scalars, the login proof, requests as read and replies as written.
//!
//! Nothing in here knows of accounts or SQL, and nothing decides: bytes become requests, answers become bytes.
//! The layout was taken from the sources of the vendor's own clients (python-oracledb 26.1, crate oracledb
//! 26.0.0-beta.5) and confirmed by them: the tests of this package drive both.

pub(crate) mod channel;
pub(crate) mod packet;
pub(crate) mod proof;
pub(crate) mod reader;
pub(crate) mod replies;
pub(crate) mod requests;
pub(crate) mod values;
pub(crate) mod writer;
