//! Both platforms' protocols, spoken with doubles of the platforms that judge what they hear.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod functions;
mod lambda;
mod scripted;
