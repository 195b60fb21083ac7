//! Reads the body of a call: all of it, or no further than the longest event that means something.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use zeroize::Zeroizing;

use crate::{MAX_EVENT, Payload};

/// The whole event; `None` if the connection broke first.
pub(crate) async fn event(mut body: Incoming) -> Option<Payload> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.ok()?.into_data() else { continue };
        if bytes.len() + part.len() > MAX_EVENT {
            return Some(Payload::TooLong);
        }
        if bytes.capacity() == 0 {
            // Never grows past what was reserved, so that no unwiped copy is left behind.
            bytes.reserve_exact(MAX_EVENT);
        }
        bytes.extend_from_slice(&part);
    }
    Some(Payload::Whole(bytes))
}
