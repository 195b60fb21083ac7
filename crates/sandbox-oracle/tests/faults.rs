//! What goes wrong on purpose, as the vendor's Python client meets it.

mod support;

use std::{sync::Arc, time::Duration};

use dizzy_sandbox_oracle::{Effect, Event, Fault, Listener, Mode, Options, OracleEmulator, Planted, Point};
use serde_json::{Value, json};
use support::{FIRST, SECOND, emulator, options, steps};

/// Long enough for anything that happens at all; nothing waits for so long unless it fails.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_change_is_refused_or_its_reply_is_lost_before_or_after_it_was_made() {
    let story = json!([["login", "a", "app", FIRST], ["change", "a", FIRST, SECOND]]);
    for (point, effect, made) in [
        (Point::BeforeChange, Effect::Refuse(28007), false),
        (Point::AfterChange, Effect::Refuse(600), true),
        (Point::BeforeChange, Effect::Drop, false),
        (Point::AfterChange, Effect::Drop, true),
        (Point::AfterChange, Effect::Kill, true),
    ] {
        let emulator = emulator();
        let fault = emulator.plant(Fault::at(point, effect.clone()));
        let results = steps(&emulator, story.clone());
        assert_eq!((results[0].clone(), fault.fired()), (Value::Null, 1));
        assert_eq!(emulator.password_is("app", SECOND), made, "{point:?} {effect:?}");
        assert_ne!(results[1], Value::Null, "{point:?} {effect:?}");
        if let Effect::Refuse(code) = effect {
            assert_eq!(results[1]["code"], code);
        }
    }
}

#[test]
fn a_fault_waits_for_its_user_its_statement_and_its_turn() {
    let emulator = emulator();
    let second =
        emulator.plant(Fault::at(Point::BeforeStatement, Effect::Refuse(60)).for_statement("user from").after(1));
    let other = emulator.plant(Fault::at(Point::BeforeStatement, Effect::Refuse(61)).for_user("other").always());
    let results = steps(
        &emulator,
        json!([
            ["login", "a", "app", FIRST],
            ["query", "a", "SELECT 1 FROM DUAL"],
            ["query", "a", "SELECT USER FROM DUAL"],
            ["query", "a", "SELECT USER FROM DUAL"],
            ["query", "a", "SELECT USER FROM DUAL"],
            ["login", "b", "other", FIRST],
            ["query", "b", "SELECT 1 FROM DUAL"],
            ["query", "b", "SELECT 1 FROM DUAL"],
        ]),
    );
    let codes: Vec<Option<u64>> = results.iter().map(|result| result["code"].as_u64()).collect();
    assert_eq!(codes, [None, None, None, Some(60), None, None, Some(61), Some(61)]);
    assert_eq!((second.fired(), other.fired()), (1, 2));
}

#[test]
fn the_listener_refuses_and_redirects() {
    let (emulator, elsewhere) = (emulator(), emulator());
    for code in [12514, 12516, 12528] {
        let fault = emulator.plant(Fault::at(Point::Connect, Effect::RefuseConnect(code)));
        let results = steps(&emulator, json!([["login", "a", "app", FIRST]]));
        assert!(results[0]["text"].as_str().unwrap().contains("DPY-6"), "{code} {results:?}");
        assert_eq!(fault.fired(), 1);
    }
    let effect = Effect::Redirect {
        address: elsewhere.address(Listener::Tcp),
        protocol: "tcp",
        service: elsewhere.service().to_owned(),
    };
    let fault = emulator.plant(Fault::at(Point::Connect, effect));
    let results = steps(&emulator, json!([["login", "a", "app", FIRST], ["query", "a", "SELECT USER FROM DUAL"]]));
    assert_eq!((&results[1], fault.fired()), (&json!([["APP"]]), 1));
    assert_eq!(elsewhere.user("app").unwrap().tally.logins, 1);
    assert_eq!(emulator.user("app").unwrap().tally.logins, 0);
    let unknown = json!({ "dsn": emulator.descriptor_with(Listener::Tcp, "localhost", "nowhere") });
    let results = support::steps_at(&unknown, json!([["login", "a", "app", FIRST]]));
    assert!(results[0]["text"].as_str().unwrap().contains("DPY-6001"), "{results:?}");
}

#[test]
fn refusals_may_begin_with_a_break_and_a_reset_in_every_mode() {
    for mode in Mode::ALL {
        let emulator = OracleEmulator::start(Options { mode, error_markers: true, ..options() }).unwrap();
        let results = steps(
            &emulator,
            json!([
                ["login", "a", "app", FIRST],
                ["query", "a", "SELECT NOTHING FROM DUAL"],
                ["query", "a", "SELECT USER FROM DUAL"],
                ["change", "a", FIRST, FIRST],
                ["change", "a", FIRST, SECOND],
                ["query", "a", "SELECT USER FROM DUAL"],
            ]),
        );
        assert_eq!([&results[1]["code"], &results[3]["code"]], [904, 28007], "{mode:?}");
        assert_eq!([&results[2], &results[5]], [&json!([["APP"]]), &json!([["APP"]])], "{mode:?}");
        assert_eq!(steps(&emulator, json!([["login", "a", "app", FIRST]]))[0]["code"], 1017, "{mode:?}");
    }
}

#[test]
fn a_client_breaks_off_a_busy_call_and_its_session_goes_on_and_a_silent_one_it_gives_up() {
    for mode in [Mode::V19, Mode::V23] {
        let emulator = OracleEmulator::start(Options { mode, ..options() }).unwrap();
        let story = json!([
            ["login", "a", "app", FIRST],
            // The call that is broken off has to be answered within it too, so it may not be much shorter.
            ["timeout", "a", 1000],
            ["query", "a", "SELECT USER FROM DUAL"],
            ["timeout", "a", 0],
            ["query", "a", "SELECT 1 FROM DUAL"],
        ]);
        let busy = emulator.plant(Fault::at(Point::BeforeStatement, Effect::Busy));
        let results = steps(&emulator, story);
        assert!(results[2]["text"].as_str().unwrap().contains("DPY-4024"), "{mode:?} {results:?}");
        assert_eq!((&results[4], busy.fired()), (&json!([[1]]), 1), "{mode:?}");

        let silent = emulator.plant(Fault::at(Point::AfterStatement, Effect::Hang));
        // Nothing further with this session: python-oracledb 26.1 crashes when the timeout of a dead one is set.
        let story = json!([["login", "a", "app", FIRST], ["timeout", "a", 200], ["query", "a", "SELECT 1 FROM DUAL"]]);
        let results = steps(&emulator, story);
        assert!(results[2]["text"].as_str().unwrap().contains("DPY-4011"), "{mode:?} {results:?}");
        assert_eq!(silent.fired(), 1, "{mode:?}");
    }
}

#[test]
fn what_is_held_goes_on_when_it_is_released() {
    let emulator = emulator();
    let held = emulator.plant(Fault::at(Point::AfterChange, Effect::Hold));
    std::thread::scope(|scope| {
        let story = json!([["login", "a", "app", FIRST], ["change", "a", FIRST, SECOND], ["close", "a"]]);
        let client = scope.spawn(|| steps(&emulator, story));
        assert!(held.wait(LIMIT));
        assert!(emulator.password_is("app", SECOND));
        assert_eq!(emulator.user("app").unwrap().sessions, 1);
        held.release();
        assert_eq!(client.join().unwrap(), [Value::Null, Value::Null, Value::Null]);
    });
    let changes = emulator.log().into_iter().filter(|entry| matches!(entry.event, Event::Change { refused: None, .. }));
    assert_eq!(changes.count(), 1);
}

#[test]
fn silence_at_every_point_ends_when_the_emulator_stops() {
    let points = [
        (Point::Accept, 0),
        (Point::Connect, 0),
        (Point::LoginStart, 0),
        (Point::BeforeLogin, 0),
        (Point::AfterLogin, 1),
        (Point::BeforeStatement, 1),
        (Point::BeforeChange, 1),
        (Point::AfterChange, 1),
        (Point::BeforeRoundTrip, 1),
        (Point::BeforeLogoff, 1),
    ];
    for (point, logins) in points {
        let emulator = emulator();
        let silent = emulator.plant(Fault::at(point, Effect::Hang));
        let story = json!([
            ["login", "a", "app", FIRST],
            ["query", "a", "SELECT 1 FROM DUAL"],
            ["change", "a", FIRST, SECOND],
            ["ping", "a"],
            ["close", "a"],
        ]);
        let connect = json!({ "dsn": support::plain(&emulator) });
        let client = std::thread::spawn(move || support::steps_at(&connect, story));
        assert!(silent.wait(LIMIT), "{point:?}");
        assert_eq!(emulator.user("app").unwrap().tally.logins, logins, "{point:?}");
        drop(emulator);
        client.join().unwrap();
    }
}

#[test]
fn bytes_may_drip_and_the_login_succeeds_all_the_same() {
    let emulator = emulator();
    let slow = emulator.plant(Fault::at(Point::Accept, Effect::Drip(Duration::from_micros(50))));
    let results = steps(&emulator, json!([["login", "a", "app", FIRST], ["query", "a", "SELECT USER FROM DUAL"]]));
    assert_eq!((&results[1], slow.fired()), (&json!([["APP"]]), 1));
}

#[test]
fn the_control_side_cuts_and_kills_sessions() {
    let emulator = emulator();
    let killed = emulator.plant(Fault::at(Point::BeforeRoundTrip, Effect::Hold));
    std::thread::scope(|scope| {
        let story = json!([["login", "a", "app", FIRST], ["ping", "a"], ["query", "a", "SELECT 1 FROM DUAL"]]);
        let client = scope.spawn(|| steps(&emulator, story));
        assert!(killed.wait(LIMIT));
        emulator.kill_sessions("app");
        killed.release();
        assert_eq!(client.join().unwrap()[2]["code"], 28);
    });
    let cut = emulator.plant(Fault::at(Point::BeforeRoundTrip, Effect::Hold));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| steps(&emulator, json!([["login", "a", "app", FIRST], ["ping", "a"]])));
        assert!(cut.wait(LIMIT));
        emulator.cut_connections();
        cut.release();
        assert_eq!(client.join().unwrap()[1]["full"], "DPY-4011");
    });
}

#[test]
fn a_late_change_happens_when_it_is_released_and_never_if_it_is_abandoned() {
    for (abandoned, made) in [(false, true), (true, false)] {
        let emulator = emulator();
        let late = Planted::unplanted();
        let handed_out = late.clone();
        emulator.watch(Arc::new(move |point, _, _| {
            (point == Point::BeforeChange).then(|| (Effect::Late, handed_out.clone()))
        }));
        let results = steps(&emulator, json!([["login", "a", "app", FIRST], ["change", "a", FIRST, SECOND]]));
        assert_ne!(results[1], Value::Null, "the client is sent away");
        assert!(emulator.password_is("app", FIRST), "nothing has happened yet");
        if abandoned {
            late.abandon();
        } else {
            late.release();
        }
        while emulator.connections() > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(emulator.password_is("app", SECOND), made, "abandoned: {abandoned}");
    }
}
