//! A handler that does what the event says: echo, fail, panic, hang.

use core::future::pending;

use dizzy_runtime::{Handler, Invocation, Payload, Reply};
use serde_json::{Value, json};

pub(crate) struct Scripted;

impl Handler for Scripted {
    async fn handle(&self, invocation: Invocation) -> Reply {
        let payload = match &invocation.payload {
            Payload::TooLong => return failed("DK-TOO-LONG"),
            Payload::Whole(bytes) => bytes,
        };
        let event: Value = serde_json::from_slice(payload).unwrap_or_default();
        match event["do"].as_str() {
            Some("fail") => failed("DK-FAILED"),
            Some("panic") => panic!("canary-panic"),
            Some("hang") => pending().await,
            _ => Reply::Done {
                document: json!({
                    "said": event["say"],
                    "id": invocation.id,
                    "has_deadline": invocation.left.is_some(),
                    "trace": invocation.trace.map(|trace| trace.to_string()),
                }),
            },
        }
    }

    fn panicked(&self) -> Reply {
        failed("DK-PANICKED")
    }

    fn late(&self) -> Reply {
        let code = "DK-LATE".to_owned();
        Reply::Late { code: code.clone(), message: "late".to_owned(), document: json!({"error": {"code": code}}) }
    }
}

fn failed(code: &str) -> Reply {
    let document = json!({"error": {"code": code}});
    Reply::Failed { code: code.to_owned(), message: format!("it ended with {code}"), document }
}
