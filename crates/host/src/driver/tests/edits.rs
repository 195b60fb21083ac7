//! A person edits CURRENT after the decision: the edit is kept with the decided credentials, whatever fails meanwhile; credentials that
//! a person put there are left alone.

use core::time::Duration;

use dizzy_engine::{Finish, Goal};

use dizzy_audit::verify::Class;

use super::place::{MIXES, Members, Place};
use crate::{
    secret::SecretText,
    testkit::{Fault, Faults, Form},
};

/// Where a worker dies after the decision, so that a person can come in between.
const DEATHS: [(&str, Form); 3] = [
    ("store.promote:aws-sm:one", Form::CrashBefore),
    ("store.promote:oci-vault:two", Form::CrashAfter),
    ("store.promote:aws-sm:one", Form::CrashAfter),
];

impl Place {
    /// Adopted, and a worker has died after the decision.
    async fn decided(members: Members, (call, form): (&str, Form)) -> Self {
        let place = Self::before_the_fault(members).await;
        place.run(Goal::Rotate, &Faults::plan([Fault::nth_of(call, 0, form)])).await;
        assert_eq!(place.register().phase, "commit", "{members:?}: {call}, {form:?}");
        place
    }

    /// A person adds a key to what each secret publishes, and changes another.
    fn edit(&self, value: &str) {
        for store in &self.world.stores {
            let published = store.published().unwrap();
            let mut document: serde_json::Value = serde_json::from_str(published.expose()).unwrap();
            for member in self.members {
                document[member.name]["note"] = value.into();
            }
            document["by-hand"] = value.into();
            store.put_by_hand(SecretText::new(document.to_string()));
        }
    }

    fn assert_kept(&self, value: &str, context: &str) {
        for store in &self.world.stores {
            let document: serde_json::Value = serde_json::from_str(store.published().unwrap().expose()).unwrap();
            assert_eq!(document["by-hand"], value, "{context}");
            for member in self.members {
                assert_eq!(document[member.name]["note"], value, "{context}");
            }
        }
    }

    /// The next runs finish the rotation with the edit, and the one after them hands the edit on.
    async fn finishes_with(&self, value: &str, context: &str) {
        for seconds in [31, 31, 31] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            self.run(Goal::Recover, &Faults::none()).await;
        }
        self.assert_at_rest(context);
        self.assert_kept(value, context);
        let trail = self.verify_trail().await;
        assert!(trail.findings.worst() < Some(Class::Tampering), "{context}: {:#?}", trail.findings.kept);
        self.pass_windows().await;
        let report = self.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: the next rotation; {report:?}");
        self.assert_at_rest(context);
        self.assert_kept(value, context);
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_after_the_decision_is_kept_with_the_decided_credentials() {
    for members in MIXES {
        for death in DEATHS {
            let context = format!("{members:?}: {death:?}");
            let place = Place::decided(members, death).await;
            place.edit("edited");
            tokio::time::advance(Duration::from_secs(31)).await;
            let report = place.run(Goal::Recover, &Faults::none()).await;
            assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: {report:?}");
            place.finishes_with("edited", &context).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_while_an_edit_is_taken_in_the_next_run_ends_it() {
    let mut cells = 0;
    for members in [MIXES[1], MIXES[5]] {
        let faults = Faults::none();
        let place = Place::decided(members, DEATHS[0]).await;
        place.edit("edited");
        tokio::time::advance(Duration::from_secs(31)).await;
        place.run(Goal::Recover, &faults).await;
        assert!(faults.calls().iter().any(|call| call.starts_with("store.restage")), "{members:?}");
        for (index, call) in faults.calls().iter().enumerate() {
            for form in Form::ALL {
                cells += 1;
                let context = format!("{members:?}: {form:?} at call {index}, {call}");
                let place = Place::decided(members, DEATHS[0]).await;
                place.edit("edited");
                tokio::time::advance(Duration::from_secs(31)).await;
                let faults = Faults::plan([Fault::at(index, form)]);
                place.run(Goal::Recover, &faults).await;
                assert_eq!(faults.hits(), 1, "{context}: the fault fired");
                faults.revive();
                faults.clear();
                faults.deliver().await;
                place.finishes_with("edited", &context).await;
            }
        }
    }
    println!("{cells} cells");
}

#[tokio::test(start_paused = true)]
async fn a_second_edit_while_the_first_is_taken_in_is_kept_too() {
    for members in [MIXES[1], MIXES[5]] {
        for (call, form) in [
            ("store.restage:aws-sm:one", Form::CrashAfter),
            ("store.promote:oci-vault:two", Form::CrashBefore),
            ("store.promote:aws-sm:one", Form::CrashAfter),
        ] {
            let place = Place::decided(members, DEATHS[0]).await;
            place.edit("first");
            tokio::time::advance(Duration::from_secs(31)).await;
            // The first promotion finds the edit; the one that is hit follows it.
            let nth = usize::from(call.contains("promote"));
            place.run(Goal::Recover, &Faults::plan([Fault::nth_of(call, nth, form)])).await;
            assert_eq!(place.register().phase, "commit", "{members:?}: {form:?} at {call}");
            place.edit("second");
            place.finishes_with("second", &format!("{members:?}: {form:?} at {call}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_a_person_published_are_left_alone() {
    let place = Place::decided(MIXES[1], DEATHS[0]).await;
    let store = &place.world.stores[0];
    let published = store.published().unwrap();
    let mut document: serde_json::Value = serde_json::from_str(published.expose()).unwrap();
    document["gamma"]["password"] = "of somebody else".into();
    let by_hand = store.put_by_hand(SecretText::new(document.to_string()));
    tokio::time::advance(Duration::from_secs(31)).await;
    let report = place.run(Goal::Recover, &Faults::none()).await;
    assert_eq!(report.finish, Finish::Unfinished);
    assert_eq!(store.shown().current, Some(by_hand), "what a person published is not overwritten");
    let told = format!("{:?}", report.troubles);
    assert!(told.contains("which dizzy-keys did not make"), "{told}");
}
