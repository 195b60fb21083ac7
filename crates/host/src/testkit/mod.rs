//! Equipment for the tests of everything that stands on the ports: what an adapter must promise, and what may go wrong.
//!
//! [`conformance`] holds one suite per port that every adapter passes, against memory, files and real servers.
//! [`Faults`] wraps any adapter and breaks chosen calls. Nothing here is part of the product.

pub mod conformance;
mod faults;
mod faulty;

pub use faults::{Fault, Faults, Form};
