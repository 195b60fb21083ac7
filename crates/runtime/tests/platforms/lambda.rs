//! AWS Lambda's Runtime API.

use std::{thread, time::Duration};

use dizzy_host::port::SystemClock;
use dizzy_runtime::{LambdaError, MAX_EVENT, Place, serve_lambda};
use dizzy_sandbox::{
    LambdaApi,
    platform::{Answered, Event, Quirk},
};
use serde_json::{Value, json};

use crate::scripted::Scripted;

/// A function beside the test; it ends with the test's process.
fn function(api: &LambdaApi) -> thread::JoinHandle<LambdaError> {
    let variables = api.env();
    thread::spawn(move || {
        let place =
            Place::detect(|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
        let Ok(Place::Lambda { runtime_api }) = place else { panic!("{place:?}") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve_lambda(&runtime_api, &SystemClock, &Scripted)).unwrap_err()
    })
}

fn event(value: &Value) -> Event {
    Event::new(value.to_string())
}

fn said(answered: &Answered) -> &Value {
    match answered {
        Answered::Response(value) => &value["said"],
        other @ (Answered::Error { .. } | Answered::TimedOut) => panic!("{other:?}"),
    }
}

fn error_of(answered: Answered) -> (String, Value) {
    match answered {
        Answered::Error { kind, body } => (kind.unwrap(), body),
        other @ (Answered::Response(_) | Answered::TimedOut) => panic!("{other:?}"),
    }
}

#[test]
fn events_are_answered_one_after_the_other() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    for number in 0..20 {
        let answered = api.invoke(&event(&json!({"say": number})));
        assert_eq!(said(&answered), &json!(number));
    }
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn a_failure_is_told_in_lambdas_own_form() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    let (kind, body) = error_of(api.invoke(&event(&json!({"do": "fail"}))));
    assert_eq!(kind, "DizzyKeys.DK-FAILED");
    let told = json!({"errorType": "DK-FAILED", "errorMessage": "it ended with DK-FAILED", "stackTrace": [],
                      "document": {"error": {"code": "DK-FAILED"}}});
    assert_eq!(body, told);
    assert_eq!(said(&api.invoke(&event(&json!({"say": "after"})))), "after");
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn a_panic_is_an_answer_and_the_function_lives_on() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    let (kind, body) = error_of(api.invoke(&event(&json!({"do": "panic"}))));
    assert_eq!(kind, "DizzyKeys.DK-PANICKED");
    assert!(!body.to_string().contains("canary"), "{body}");
    assert_eq!(said(&api.invoke(&event(&json!({"say": "after"})))), "after");
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn the_last_word_comes_before_the_deadline() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    let (kind, _) = error_of(api.invoke(&event(&json!({"do": "hang"})).within(Duration::from_secs(3))));
    assert_eq!(kind, "DizzyKeys.DK-LATE");
    assert_eq!(said(&api.invoke(&event(&json!({"say": "after"})))), "after");
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn an_absurd_deadline_is_unknown() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    for text in ["600000", "", "soon", "-5", "99999999999999999999", "9223372036854775807", "1.5"] {
        let Answered::Response(value) = api.invoke(&event(&json!({})).deadline_header(text)) else { panic!("{text}") };
        assert_eq!(value["has_deadline"], false, "{text}");
    }
    let Answered::Response(value) = api.invoke(&event(&json!({}))) else { panic!("no answer") };
    assert_eq!(value["has_deadline"], true);
}

#[test]
fn a_trace_is_read_where_lambda_puts_it() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let Answered::Response(value) = api.invoke(&event(&json!({})).trace(xray)) else { panic!("no answer") };
    assert_eq!(value["trace"], "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
    let Answered::Response(value) = api.invoke(&event(&json!({})).trace("nonsense")) else { panic!("no answer") };
    assert_eq!(value["trace"], Value::Null);
}

#[test]
fn an_event_that_is_too_long_is_refused_and_the_next_is_heard() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    // Long enough that the rest cannot have been on its way already.
    for length in [MAX_EVENT + 1, 6 * 1024 * 1024] {
        let (kind, _) = error_of(api.invoke(&Event::new(vec![b' '; length])));
        assert_eq!(kind, "DizzyKeys.DK-TOO-LONG", "{length}");
    }
    let mut longest = br#"{"say":"longest"}"#.to_vec();
    longest.resize(MAX_EVENT, b' ');
    assert_eq!(said(&api.invoke(&Event::new(longest))), "longest");
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn a_connection_that_died_in_a_freeze_costs_no_event() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    for number in 0..3 {
        assert!(api.wait_until_ready());
        api.quirk(Quirk::CloseWaiting);
        assert_eq!(said(&api.invoke(&event(&json!({"say": number})))), &json!(number));
    }
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn an_answer_whose_acknowledgement_is_lost_is_given_once() {
    let api = LambdaApi::start().unwrap();
    function(&api);
    api.quirk(Quirk::LoseAcknowledgement);
    assert_eq!(said(&api.invoke(&event(&json!({"say": "once"})))), "once");
    assert_eq!(said(&api.invoke(&event(&json!({"say": "next"})))), "next");
    assert_eq!(api.breaches(), Vec::<String>::new());
}

#[test]
fn a_platform_that_is_gone_ends_the_function() {
    // Bound and dropped: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(serve_lambda(&format!("127.0.0.1:{port}"), &SystemClock, &Scripted));
    assert_eq!(ended.unwrap_err(), LambdaError::Unreachable);
}
