//! Runs a call so that the platform always gets an answer: a panic becomes one, and so does time that is over.

use core::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    task::{Context, Poll},
};
use std::panic::catch_unwind;

use tokio::time::{Instant, sleep_until};

use crate::{Handler, Invocation, LAST_WORD, Reply};

/// The handler's answer, or what it says for itself when it has none.
pub(crate) async fn answered(handler: &impl Handler, invocation: Invocation) -> Reply {
    let left = invocation.left;
    let guarded = Guarded(pin!(handler.handle(invocation)));
    let result = match left {
        Some(left) => {
            let end = Instant::now() + left.saturating_sub(LAST_WORD);
            tokio::select! {
                // An answer that is ready goes before the end of the time.
                biased;
                result = guarded => result,
                () = sleep_until(end) => return handler.late(),
            }
        }
        None => guarded.await,
    };
    result.unwrap_or_else(|Panicked| handler.panicked())
}

/// The panic itself was told by the process's hook, which knows where it was; its payload may hold anything.
struct Panicked;

/// A future whose panics are caught. It is not polled again after one.
struct Guarded<F>(F);

impl<F: Future + Unpin> Future for Guarded<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = Pin::new(&mut self.0);
        // What the future leaves half-done is dropped with it; what lies outside is the register's to keep consistent.
        match catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => {
                drop(payload);
                Poll::Ready(Err(Panicked))
            }
        }
    }
}
