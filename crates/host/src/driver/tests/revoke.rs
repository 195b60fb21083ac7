//! A revoke against memory adapters: what was ever published is refused everywhere, whatever fails on the way.

use dizzy_engine::{Finish, Generation, Goal};

use dizzy_audit::verify::Class;

use super::place::{
    ALTERNATING, ALTERNATING_CAS, LOCKS_AFTER, MIXES, Members, Place, ROLLOVER, ROLLOVER_ENDS, SINGLE, SINGLE_CAS,
};
use crate::{
    document::{Credential, Format, SecretDocument},
    driver::{Limits, OpenSet, Quiet, Report, Run, SessionsEnd, Verdict},
    memory::{Acceptance, MemoryDatabase},
    port,
    secret::Password,
    testkit::{Fault, Faults, Form},
};

/// What the first secret publishes, by database.
fn published(place: &Place) -> Vec<(usize, Credential)> {
    let document = SecretDocument::parse(place.world.stores[0].published().unwrap()).unwrap();
    place
        .members
        .iter()
        .enumerate()
        .map(|(at, member)| (at, document.credential(member.name, Format::Blob).unwrap()))
        .collect()
}

fn accepts(database: &MemoryDatabase, credential: &Credential) -> bool {
    database.accepts(&credential.username, &credential.password)
}

/// An installation that has rotated twice, with everything that it has published.
async fn rotated(members: Members) -> (Place, Vec<(usize, Credential)>) {
    let place = Place::adopted(members, 11).await;
    let mut known = published(&place);
    for member in members {
        // The second user's first password is in a secret, too.
        let at = members.iter().position(|other| other.name == member.name).unwrap();
        if let Some(second) = place.config.sets["orders"].database(member.name).unwrap().users.get(1) {
            let password = Password::new(format!("{second}-initial-password"));
            known.push((at, Credential { username: second.clone(), password, ..known[0].1.clone() }));
        }
    }
    for _ in 0..2 {
        place.pass_windows().await;
        let report = place.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
        known.extend(published(&place));
    }
    place.pass_windows().await;
    (place, known)
}

fn alive(place: &Place, known: &[(usize, Credential)]) -> Vec<String> {
    let alive = known.iter().filter(|(at, credential)| accepts(&place.world.databases[*at], credential));
    alive.map(|(at, credential)| format!("{} on {}", credential.username, place.members[*at].name)).collect()
}

/// Until the revoke is done, at most as often as a person would.
async fn finish(place: &Place, goal: Goal) -> Report {
    let mut report = place.run(goal, &Faults::none()).await;
    for _ in 0..4 {
        if matches!(report.finish, Finish::Revoked(_) | Finish::NothingToDo) {
            break;
        }
        place.pass_windows().await;
        report = place.run(Goal::Recover, &Faults::none()).await;
    }
    report
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_published_logs_in_after_it() {
    for members in MIXES {
        let (place, known) = rotated(members).await;
        assert_ne!(alive(&place, &known), Vec::<String>::new(), "there is something to be revoked");
        let report = place.run(Goal::Revoke, &Faults::none()).await;
        let waits = members.iter().any(|member| member.acceptance == Acceptance::Rollover);
        if waits {
            // Nobody here may end the window, and until it is over the old password logs in: that is told, not hidden.
            assert!(matches!(report.finish, Finish::WindowOpen(_)), "{members:?}: {report:?}");
            assert_eq!(report.verdict(), Verdict::NeedsHuman);
            assert!(report.is_revoking());
            place.pass_windows().await;
        }
        let report = if waits { place.run(Goal::Recover, &Faults::none()).await } else { report };
        assert_eq!(report.finish, Finish::Revoked(Generation(3)), "{members:?}: {report:?}");
        assert_eq!(alive(&place, &known), Vec::<String>::new(), "{members:?}");
        place.assert_at_rest("after a revoke");
        for (member, database) in members.iter().zip(&place.world.databases) {
            for user in &place.config.sets["orders"].database(member.name).unwrap().users {
                assert_eq!(
                    database.wrong_logins(user) * u32::from(member.config.contains("oracle")),
                    0,
                    "{user}: set back"
                );
            }
        }
        let register = place.register();
        assert_eq!((register.revoke, register.revoked), (None, Some(3)));
        place.pass_windows().await;
        let report = place.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "{members:?}: the next rotation works; {report:?}");
        place.assert_at_rest("after the next rotation");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_in_is_named_not_waited_for_and_thrown_out() {
    for policy in ["wait", "refuse"] {
        let (mut place, _) = rotated(&[ALTERNATING, ALTERNATING_CAS]).await;
        let set = place.config.sets.get_mut("orders").unwrap();
        set.on_active_sessions = match policy {
            "wait" => crate::config::OnActiveSessions::Wait,
            _ => crate::config::OnActiveSessions::Refuse,
        };
        let register = place.register();
        for (member, database) in place.members.iter().zip(&place.world.databases) {
            for user in register.databases[member.name].users.keys() {
                database.hold_sessions(user, 2);
            }
        }
        let report = place.run(Goal::Rotate, &Faults::none()).await;
        assert_eq!(report.finish, Finish::Failed, "a rotation would wait: {report:?}");
        let report = place.run(Goal::Revoke, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Revoked(_)), "{report:?}");
        assert!(report.troubles.iter().any(|t| t.error.what.contains("application 1 at memory")), "{report:?}");
        // PostgreSQL users may end their own sessions; Oracle's need an administrator.
        for ended in &report.sessions_ended {
            match (&ended.end, ended.database.as_str()) {
                (SessionsEnd::Ended(count), "alpha") => assert_eq!(*count, 2),
                (SessionsEnd::Left(error), "beta") => assert!(error.hint.is_some(), "{error:?}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((report.sessions_ended.len(), report.verdict()), (4, Verdict::NeedsHuman));
    }
}

#[tokio::test(start_paused = true)]
async fn an_administrator_ends_what_the_users_may_not() {
    let (place, _) = rotated(&[ALTERNATING, ALTERNATING_CAS]).await;
    let admin = |name: &str| Credential {
        username: name.to_owned(),
        password: Password::new(format!("{name}-password")),
        ..published(&place)[0].1.clone()
    };
    for database in &place.world.databases {
        database.add_admin("root", admin("root").password);
        database.hold_sessions("beta_a", 1);
    }
    let open = OpenSet { admins: vec![None, Some(admin("root"))], ..place.open(&Faults::none()) };
    let report = Run::new(&open, Limits::default(), &Quiet).go(Goal::Revoke).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Done, "{report:?}");
    let total: u32 = report
        .sessions_ended
        .iter()
        .map(|ended| match &ended.end {
            SessionsEnd::Ended(count) => *count,
            SessionsEnd::Left(error) => panic!("{error:?}"),
        })
        .sum();
    assert_eq!(total, 1);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_set_again_is_found_and_said() {
    let (place, known) = rotated(&[ALTERNATING, SINGLE_CAS]).await;
    // Between the last change and the proof, somebody puts an old password back.
    let faults = Faults::none();
    let report = place.run(Goal::Revoke, &faults).await;
    assert!(matches!(report.finish, Finish::Revoked(_)), "{report:?}");
    let mut register = place.register();
    (register.revoke, register.revoked) = (Some(3), None);
    place.world.journal.put_by_hand("orders", Some(&register.to_bytes()));
    // ... for the user that is not published, which no look before a rotation would find.
    let live = register.databases["alpha"].live.clone();
    let (_, old) = known.iter().rev().find(|(at, old)| *at == 0 && old.username != live).unwrap();
    place.world.databases[0].change_by_hand(&old.username, &old.password);
    let report = place.run(Goal::Recover, &Faults::none()).await;
    assert_eq!(report.finish, Finish::NotRevoked, "{report:?}");
    assert!(report.troubles.iter().any(|t| t.error.what.contains("still logs in")), "{report:?}");
    assert_ne!(report.verdict(), Verdict::Done);
    assert_eq!(place.register().revoke, Some(3), "the wish stays");
}

#[tokio::test(start_paused = true)]
async fn the_trail_has_the_wish_the_proofs_and_the_end() {
    let (place, _) = rotated(&[ALTERNATING, SINGLE]).await;
    place.run(Goal::Revoke, &Faults::none()).await;
    let store = &place.world.audit[0];
    let mut trail = String::new();
    for name in store.names() {
        let object =
            port::ObjectStore::get(&**store, &name, 1 << 20, Limits::default().store()).await.unwrap().unwrap();
        trail += &String::from_utf8_lossy(&object.bytes);
    }
    for kind in ["revoke.begun", "sessions.ended", "revoke.proven", "revoke.done"] {
        assert!(trail.contains(&format!("\"type\":\"{kind}\"")), "{kind} in {trail}");
    }
    assert_eq!(place.verify_trail().await.findings.kept, [], "two rotations of one run verify");
}

/// The sweep of the rotation, over a revoke: whichever call fails, in whatever form, the wish is worked off in the end.
#[tokio::test(start_paused = true)]
async fn whatever_fails_a_revoke_is_finished() {
    const SETS: [Members; 4] = [
        &[ALTERNATING, ALTERNATING_CAS],
        &[SINGLE, SINGLE_CAS],
        &[ALTERNATING, ROLLOVER_ENDS],
        &[SINGLE_CAS, ROLLOVER],
    ];
    let mut cells = 0;
    for members in SETS {
        let (place, _) = rotated(members).await;
        let faults = Faults::none();
        place.run(Goal::Revoke, &faults).await;
        let calls = faults.calls();
        assert!(calls.iter().any(|call| call.contains("promote")), "{calls:?}");
        for (index, call) in calls.iter().enumerate() {
            for form in Form::ALL {
                cells += 1;
                let context = format!("{members:?}: {form:?} at call {index}, {call}");
                let (place, known) = rotated(members).await;
                let faults = Faults::plan([Fault::at(index, form)]);
                let report = place.run(Goal::Revoke, &faults).await;
                assert_eq!(faults.hits(), 1, "{context}: the fault fired");
                let always_up = members.iter().all(|m| !m.config.contains("\"single\""));
                if always_up {
                    assert_eq!(place.dead(), Vec::<String>::new(), "{context}: CURRENT logs in throughout");
                }
                if matches!(report.finish, Finish::Revoked(_)) {
                    assert_eq!(alive(&place, &known), Vec::<String>::new(), "{context}: it says that it is done");
                }
                faults.revive();
                faults.clear();
                faults.deliver().await;
                for seconds in [31, 31, 21 * 60] {
                    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
                    place.run(Goal::Recover, &Faults::none()).await;
                }
                // Killed before the wish was recorded, it is wished again; else that is what `recover` has done.
                if place.register().revoked.is_none() {
                    finish(&place, Goal::Revoke).await;
                }
                assert!(place.register().revoked >= Some(3), "{context}: {:?}", place.register());
                assert_eq!(alive(&place, &known), Vec::<String>::new(), "{context}");
                place.assert_at_rest(&context);
                let trail = place.verify_trail().await;
                assert!(trail.findings.worst() < Some(Class::Tampering), "{context}: {:#?}", trail.findings.kept);
                for (member, database) in members.iter().zip(&place.world.databases) {
                    for user in &place.config.sets["orders"].database(member.name).unwrap().users {
                        let most = if member.config.contains("oracle") { 3 } else { u32::MAX };
                        assert!(database.wrong_logins(user) <= most, "{context}: {user} is far from {LOCKS_AFTER}");
                    }
                }
            }
        }
    }
    println!("{cells} cells");
}
