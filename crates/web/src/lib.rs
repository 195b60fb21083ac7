//! One HTTPS exchange: what OCI's signed calls and webhooks are sent with.
//!
//! Knows no cloud. TLS is always verified, redirects are not followed, and how far a request got is kept, because it decides whether
//! a failed write can have happened.

mod address;
mod road;
mod transport;
mod webhook;

pub use address::may_be_called;
pub use transport::{Answer, Broken, Transport};
pub use webhook::{Webhook, WebhookSource};
