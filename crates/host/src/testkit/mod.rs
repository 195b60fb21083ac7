//! Equipment for the tests of everything that stands on the ports: what an adapter must promise, and what may go wrong.
//!
//! [`conformance`] holds one suite per port that every adapter passes, against memory, files and real servers.
//! [`Faults`] wraps any adapter and breaks chosen calls; [`matrix`] has the rows and columns of the fault matrix. Nothing here is
//! part of the product.

pub mod conformance;
mod count_up;
mod faults;
mod faulty;
pub mod matrix;

pub use count_up::{count_up, counted, start_counting};
pub use faults::{Fault, Faults, Form};
