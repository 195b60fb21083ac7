//! Keeps the SDK from logging: at TRACE it prints whole requests, and only luck keeps the stored secret out of them.
//!
//! `aws-smithy-runtime` 1.16, `client/orchestrator.rs`: `trace!(request = ?request, "transmitting request")`. The `Debug` of
//! an in-memory body is its bytes; it is not printed only because another feature of the SDK happens to wrap the body first.

use core::future::Future;

use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

/// Log targets of the SDK and its transport. Calls made here run without a subscriber anyway; whoever sets up logging
/// should still cap these at `warn`, for what background connections say.
pub const NOISY_TARGETS: &[&str] = &[
    "aws_config",
    "aws_credential_types",
    "aws_runtime",
    "aws_sdk_secretsmanager",
    "aws_sdk_sts",
    "aws_sigv4",
    "aws_smithy_http",
    "aws_smithy_http_client",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "h2",
    "hyper",
    "hyper_util",
    "rustls",
];

/// Runs a call of the SDK with all its log events discarded, whatever level the program logs at.
pub(crate) fn quietly<F: Future>(call: F) -> impl Future<Output = F::Output> {
    call.with_subscriber(NoSubscriber::new())
}
