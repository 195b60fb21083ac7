//! What was asked of the emulator, in order.
//!
//! Entries keep whole requests and replies, so that a test can search them for a text that must never be sent. They are for
//! looking at through the methods; `Debug` shows the line, not the bodies.

use core::fmt;

use crate::{
    http::{Reply, Request},
    route::{Operation, Service},
};

/// One request and its answer.
#[derive(Clone)]
pub struct Logged {
    /// The service that was called.
    pub service: Service,
    /// What it was, if it was any operation.
    pub operation: Option<Operation>,
    /// What it was about: the OCID of a secret or database, the name of an object.
    pub subject: String,
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The name of the principal whose signature was good.
    pub principal: Option<String>,
    /// The status of the answer; `None` if nothing was executed.
    pub status: Option<u16>,
    /// The code of a refusal.
    pub code: Option<String>,
    /// Why, where the answer must not tell: the rule of the signature that was broken, the right that is missing.
    pub reason: Option<String>,
    /// The fault that hit it.
    pub fault: Option<&'static str>,
    pub(crate) request: Request,
    pub(crate) reply: Option<Reply>,
}

impl Logged {
    /// Whether a text was sent by the client: in the target, a header or the body.
    #[must_use]
    pub fn sent(&self, text: &str) -> bool {
        let request = &self.request;
        request.target.contains(text)
            || request.headers.iter().any(|(name, value)| name.contains(text) || value.contains(text))
            || holds(&request.body, text)
    }

    /// Whether a text was answered: in a header or the body.
    #[must_use]
    pub fn answered(&self, text: &str) -> bool {
        self.reply.as_ref().is_some_and(|reply| {
            reply.headers.iter().any(|(_, value)| value.contains(text)) || holds(&reply.body, text)
        })
    }

    /// A header of the request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// The body of the request.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.request.body
    }
}

impl fmt::Debug for Logged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = self.operation.map_or("?", Operation::name);
        write!(out, "{operation} {} {} by ", self.method, self.target)?;
        write!(out, "{}: {:?}", self.principal.as_deref().unwrap_or("nobody"), self.status)?;
        for note in [self.code.as_deref(), self.reason.as_deref(), self.fault].into_iter().flatten() {
            write!(out, ", {note}")?;
        }
        Ok(())
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    !text.is_empty() && bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
