//! Faults on the wire, doors that are shut, and services that lag: each does what its name says, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests, in which a panic is the message"
)]

mod common;

use std::{net::TcpStream, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    Scene,
    raw::{self, Answer},
};
use dizzy_sandbox_oci::{Door, Fault, Mishap, Operation, Options, Rights, SecretOptions, Service, Settle};

/// For answers that must come: never waited out.
const LONG: Duration = Duration::from_secs(50);
/// For silence that is expected: always waited out.
const SHORT: Duration = Duration::from_millis(200);

const PENDING: &str =
    r#"{"secretContent":{"contentType":"BASE64","content":"c2Vjb25k","name":"rotation-2","stage":"PENDING"}}"#;

fn update(content: &str, stage: &str) -> String {
    let content = STANDARD.encode(content);
    format!(r#"{{"secretContent":{{"contentType":"BASE64","content":"{content}","stage":"{stage}"}}}}"#)
}

/// Whether an answer is the one that a mishap makes.
type Expected<'a> = &'a dyn Fn(&Answer) -> bool;

struct Calls {
    scene: Scene,
    secret: String,
}

impl Calls {
    fn new(options: Options) -> Self {
        let (scene, secret) = Scene::with(options, Rights::all()).with_secret();
        Self { scene, secret }
    }

    fn send(&self, service: Service, method: &str, target: &str, body: &str, patience: Duration) -> Answer {
        raw::answer(raw::send(&self.scene.emulator, &self.scene.user, service, method, target, body), patience)
    }

    fn update(&self, patience: Duration) -> Answer {
        raw::answer(self.begin_update(), patience)
    }

    fn begin_update(&self) -> Option<TcpStream> {
        let target = format!("/20180608/secrets/{}", self.secret);
        raw::send(&self.scene.emulator, &self.scene.user, Service::Vaults, "PUT", &target, PENDING)
    }

    fn read(&self, query: &str) -> Answer {
        self.send(Service::Secrets, "GET", &format!("/20190301/secretbundles/{}{query}", self.secret), "", LONG)
    }

    fn state(&self) -> String {
        let answer = self.send(Service::Vaults, "GET", &format!("/20180608/secrets/{}", self.secret), "", LONG);
        let Answer::Whole(200, body) = answer else { panic!("{answer:?}") };
        let secret: serde_json::Value = serde_json::from_str(&body).unwrap();
        secret["lifecycleState"].as_str().unwrap().to_owned()
    }

    fn versions(&self) -> usize {
        self.scene.emulator.secret(&self.secret).unwrap().versions.len()
    }
}

#[test]
fn each_mishap_happens_once_and_the_call_is_executed_or_not_as_it_says() {
    let unanswered = |answer: &Answer| *answer == Answer::Cut(None);
    let silent = |answer: &Answer| *answer == Answer::Silence;
    let half = |answer: &Answer| matches!(answer, Answer::Cut(Some(length)) if *length > 0);
    let nonsense =
        |answer: &Answer| matches!(answer, Answer::Whole(200, body) if !body.is_empty() && !body.contains('{'));
    let hollow = |answer: &Answer| *answer == Answer::Whole(200, "{}".to_owned());
    let whole = |answer: &Answer| matches!(answer, Answer::Whole(200, body) if body.ends_with('}'));
    let cases: [(Mishap, Expected<'_>, usize); 11] = [
        (Mishap::Refuse(500, "InternalServerError"), &|answer| answer.status() == Some(500), 1),
        (Mishap::Throttle, &|answer| answer.status() == Some(429), 1),
        (Mishap::DropBefore, &unanswered, 1),
        (Mishap::DropAfter, &unanswered, 2),
        (Mishap::Hang, &silent, 1),
        (Mishap::HangAfter, &silent, 2),
        (Mishap::Late, &silent, 1),
        (Mishap::Truncate, &half, 2),
        (Mishap::Garbage, &nonsense, 2),
        (Mishap::Hollow, &hollow, 2),
        (Mishap::Drip(Duration::from_millis(1)), &whole, 2),
    ];
    let mut calls = Calls::new(Options::default());
    for (number, (mishap, expected, versions)) in cases.into_iter().enumerate() {
        let fresh = SecretOptions::new(&format!("secret {number}"), "first");
        calls.secret = calls.scene.emulator.create_secret(&fresh).unwrap();
        calls.scene.emulator.forget_log();
        let fault = calls.scene.emulator.inject(Fault::next(Operation::UpdateSecret, mishap).on(&calls.secret));
        assert_eq!(fault.fired(), 0);
        let patience = if matches!(mishap, Mishap::Hang | Mishap::HangAfter | Mishap::Late) { SHORT } else { LONG };
        let begun = calls.begin_update();
        assert!(fault.wait_until_fired(1), "{mishap:?}");
        let answer = raw::answer(begun, patience);
        assert!(expected(&answer), "{mishap:?}: {answer:?}");
        assert_eq!((fault.fired(), calls.versions()), (1, versions), "{mishap:?}");
        let logged = calls.scene.emulator.log();
        assert!(logged.iter().any(|entry| entry.fault.is_some()), "{mishap:?}");
        assert!(calls.read("").status().is_some(), "{mishap:?} hits no other call");
        assert_eq!(calls.scene.emulator.clear_faults(), 0);
    }
}

#[test]
fn a_late_call_happens_when_it_is_released() {
    let calls = Calls::new(Options::default());
    let fault = calls.scene.emulator.inject(Fault::next(Operation::UpdateSecret, Mishap::Late));
    let begun = calls.begin_update();
    assert!(fault.wait_until_fired(1));
    assert_eq!(raw::answer(begun, SHORT), Answer::Silence);
    assert_eq!(calls.versions(), 1);
    assert_eq!(calls.scene.emulator.release(), 1);
    assert_eq!(calls.versions(), 2);
}

#[test]
fn faults_wait_for_their_subject_and_their_turn() {
    let calls = Calls::new(Options::default());
    let emulator = &calls.scene.emulator;
    let elsewhere = emulator.inject(Fault::next(Operation::GetSecretBundle, Mishap::Throttle).on("another").always());
    let third = emulator.inject(Fault::next(Operation::GetSecretBundle, Mishap::Throttle).after(2).times(2));
    let statuses: Vec<_> = (0..5).map(|_| calls.read("").status().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 429, 429, 200]);
    assert_eq!((elsewhere.fired(), third.fired()), (0, 2));
    assert_eq!(emulator.clear_faults(), 1);
}

#[test]
fn a_shut_door_refuses_or_is_silent_and_opens_again() {
    let calls = Calls::new(Options::default());
    let emulator = &calls.scene.emulator;
    for _ in 0..2 {
        emulator.set_door(Service::Vaults, Door::Refusing).unwrap();
        assert_eq!(calls.update(LONG), Answer::Refused);
        assert_eq!(calls.read("").status(), Some(200), "the other service is open");
        emulator.set_door(Service::Vaults, Door::Silent).unwrap();
        assert_eq!(calls.update(SHORT), Answer::Silence);
        emulator.set_door(Service::Vaults, Door::Open).unwrap();
        assert_eq!(calls.state(), "ACTIVE");
    }
    assert_eq!(calls.versions(), 1);
    emulator.set_doors(Door::Refusing).unwrap();
    assert_eq!(calls.read(""), Answer::Refused);
}

#[test]
fn an_update_settles_after_as_many_polls_as_were_chosen() {
    let calls = Calls::new(Options { settle: Settle::AfterPolls(3), ..Options::default() });
    assert_eq!(calls.update(LONG).status(), Some(200));
    assert_eq!(calls.update(LONG).status(), Some(409));
    assert_eq!(calls.read("?secretVersionName=rotation-2").status(), Some(404));
    let states: Vec<_> = (0..4).map(|_| calls.state()).collect();
    assert_eq!(states, ["UPDATING", "UPDATING", "UPDATING", "ACTIVE"]);
    assert_eq!(calls.read("?secretVersionName=rotation-2").status(), Some(200));
}

#[test]
fn an_update_that_waits_for_word_settles_when_told() {
    let calls = Calls::new(Options { settle: Settle::WhenTold, ..Options::default() });
    assert_eq!(calls.update(LONG).status(), Some(200));
    assert_eq!((0..5).map(|_| calls.state()).collect::<Vec<_>>(), ["UPDATING"; 5]);
    calls.scene.emulator.settle(&calls.secret).unwrap();
    assert_eq!(calls.state(), "ACTIVE");
}

#[test]
fn the_retrieval_service_lags_by_as_many_reads_as_were_chosen() {
    let calls = Calls::new(Options { settle: Settle::AfterPolls(0), stale_reads: 2, ..Options::default() });
    assert_eq!(calls.update(LONG).status(), Some(200));
    assert_eq!(calls.state(), "ACTIVE");
    let statuses: Vec<_> = (0..3).map(|_| calls.read("?stage=PENDING").status().unwrap()).collect();
    assert_eq!(statuses, [404, 404, 200]);
}

#[test]
fn a_lifecycle_state_that_was_set_refuses_updates() {
    let calls = Calls::new(Options::default());
    for state in ["CREATING", "UPDATING", "DELETING", "DELETED", "PENDING_DELETION", "FAILED"] {
        calls.scene.emulator.set_lifecycle_state(&calls.secret, state).unwrap();
        assert_eq!(calls.state(), state);
        assert_eq!(calls.update(LONG).status(), Some(409), "{state}");
    }
    calls.scene.emulator.set_lifecycle_state(&calls.secret, "ACTIVE").unwrap();
    assert_eq!(calls.update(LONG).status(), Some(200));
}

#[test]
fn a_deleted_version_leaves_its_number_and_under_the_rule_its_content_used() {
    for (rule, outcome) in [(true, 400), (false, 200)] {
        let options = Options { settle: Settle::AfterPolls(0), ..Options::default() };
        let mut calls = Calls::new(options);
        let emulator = &calls.scene.emulator;
        calls.secret = emulator.create_secret(&SecretOptions::new("ruled", "first").forbid_reuse(rule)).unwrap();
        let vaults = |method: &str, path: &str, body: &str| {
            calls
                .send(Service::Vaults, method, &format!("/20180608/secrets/{}{path}", calls.secret), body, LONG)
                .status()
        };
        // Two roll backs in a row leave the highest number DEPRECATED.
        let promote = |number: u32| format!(r#"{{"currentVersionNumber":{number}}}"#);
        for body in [update("two", "CURRENT"), update("three", "CURRENT"), promote(2), promote(1)] {
            assert_eq!(vaults("PUT", "", &body), Some(200));
            assert_eq!(calls.state(), "ACTIVE");
        }
        assert_eq!(emulator.secret(&calls.secret).unwrap().stages(), "1=CURRENT 2=PREVIOUS 3=DEPRECATED");
        assert_eq!(vaults("POST", "/version/3/actions/scheduleDeletion", "{}"), Some(204));
        emulator.set_clock_offset(jiff::SignedDuration::from_hours(31 * 24));
        assert_eq!(vaults("PUT", "", &update("three", "PENDING")), Some(outcome));
        let last = emulator.secret(&calls.secret).unwrap().versions.last().unwrap().number;
        assert_eq!(last, if rule { 2 } else { 4 });
    }
}

#[test]
fn the_log_finds_what_was_sent_and_what_was_answered() {
    let calls = Calls::new(Options { settle: Settle::AfterPolls(0), ..Options::default() });
    calls.update(LONG);
    calls.state();
    calls.read("?stage=PENDING");
    let log = calls.scene.emulator.log();
    let sent: Vec<_> = log.iter().map(|entry| entry.sent("c2Vjb25k")).collect();
    let answered: Vec<_> = log.iter().map(|entry| entry.answered("c2Vjb25k")).collect();
    assert_eq!((sent, answered), (vec![true, false, false], vec![false, false, true]));
    assert_eq!(
        log.iter().map(|entry| (entry.operation.unwrap(), entry.status.unwrap())).collect::<Vec<_>>(),
        [(Operation::UpdateSecret, 200), (Operation::GetSecret, 200), (Operation::GetSecretBundle, 200)]
    );
    assert!(!format!("{log:?}").contains("c2Vjb25k"));
}
