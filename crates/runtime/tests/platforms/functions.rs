//! The Unix socket of OCI Functions.

use std::{fs, sync::Arc, thread};

use dizzy_host::port::SystemClock;
use dizzy_runtime::{FunctionsError, MAX_EVENT, Place, serve_functions};
use dizzy_sandbox::FnAgent;
use serde_json::{Value, json};

use crate::scripted::Scripted;

/// A container beside the test; it ends with the test's process.
fn container(agent: &FnAgent) -> thread::JoinHandle<FunctionsError> {
    let variables = agent.env();
    thread::spawn(move || {
        let place =
            Place::detect(|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
        let Ok(Place::Functions { socket }) = place else { panic!("{place:?}") };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve_functions(&socket, Arc::new(SystemClock), Scripted)).unwrap_err()
    })
}

fn started() -> FnAgent {
    let mut agent = FnAgent::start().unwrap();
    container(&agent);
    agent.connect().unwrap();
    agent
}

fn call(agent: &mut FnAgent, headers: &[(&str, &str)], event: &Value) -> (u16, Value) {
    let answer = agent.call(headers, event.to_string().as_bytes()).unwrap();
    (answer.status, answer.body)
}

#[test]
fn the_socket_is_as_the_agent_wants_it_and_calls_are_answered_on_one_connection() {
    let mut agent = started();
    for number in 0..20 {
        let (status, body) = call(&mut agent, &[("Fn-Call-Id", "01ABC")], &json!({"say": number}));
        assert_eq!((status, &body["said"], &body["id"]), (200, &json!(number), &json!("01ABC")));
    }
}

#[test]
fn a_failure_is_502_and_the_container_lives_on() {
    let mut agent = started();
    let (status, body) = call(&mut agent, &[], &json!({"do": "fail"}));
    assert_eq!((status, &body["error"]["code"]), (502, &json!("DK-FAILED")));
    let (status, body) = call(&mut agent, &[], &json!({"do": "panic"}));
    assert_eq!((status, &body["error"]["code"]), (502, &json!("DK-PANICKED")));
    assert_eq!(call(&mut agent, &[], &json!({"say": "after"})).1["said"], "after");
}

#[test]
fn time_that_is_over_is_504() {
    let mut agent = started();
    let end = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2)).to_string();
    let (status, body) = call(&mut agent, &[("Fn-Deadline", &end)], &json!({"do": "hang"}));
    assert_eq!((status, &body["error"]["code"]), (504, &json!("DK-LATE")));
    assert_eq!(call(&mut agent, &[], &json!({"say": "after"})).1["said"], "after");
}

#[test]
fn a_gateway_is_told_the_applications_own_status() {
    let mut agent = started();
    let gateway = [("Fn-Intent", "httprequest"), ("Fn-Http-Method", "POST"), ("Fn-Http-Request-Url", "/rotate")];
    for (event, own) in [(json!({"say": 1}), 200), (json!({"do": "fail"}), 500), (json!({"do": "panic"}), 500)] {
        let answer = agent.call(&gateway, event.to_string().as_bytes()).unwrap();
        assert_eq!((answer.status, answer.own_status), (200, Some(own)), "{event}");
    }
}

#[test]
fn a_deadline_is_known_or_unknown_and_a_trace_is_read() {
    let mut agent = started();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(30)).to_string();
    for (end, known) in [(soon.as_str(), true), ("1970-01-01T00:10:00Z", false), ("soon", false), ("", false)] {
        assert_eq!(call(&mut agent, &[("Fn-Deadline", end)], &json!({})).1["has_deadline"], known, "{end}");
    }
    let trace = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    for name in ["traceparent", "Fn-Http-H-Traceparent"] {
        assert_eq!(call(&mut agent, &[(name, trace)], &json!({})).1["trace"], trace, "{name}");
    }
}

#[test]
fn an_event_that_is_too_long_is_refused() {
    let mut agent = started();
    let answer = agent.call(&[], &vec![b' '; MAX_EVENT + 1]).unwrap();
    assert_eq!((answer.status, &answer.body["error"]["code"]), (502, &json!("DK-TOO-LONG")));
}

#[test]
fn what_an_earlier_process_left_is_replaced_and_what_is_not_ours_stays() {
    let mut agent = FnAgent::after_a_kill().unwrap();
    container(&agent);
    agent.connect().unwrap();
    assert_eq!(call(&mut agent, &[], &json!({"say": "again"})).1["said"], "again");

    let agent = FnAgent::start().unwrap();
    let file = agent.socket();
    fs::File::create(&file).unwrap();
    let ended = container(&agent).join().unwrap();
    assert!(matches!(ended, FunctionsError::Occupied(_)), "{ended:?}");
    assert!(file.exists());
}
