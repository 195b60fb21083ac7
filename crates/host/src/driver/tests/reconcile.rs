//! Drifts in memory: what somebody changed by hand is mended, whatever fails on the way; and what has no one reading is told.

use core::time::Duration;
use std::sync::Arc;

use dizzy_engine::{Finish, Generation, Goal};

use dizzy_audit::verify::Class;

use super::place::{ALTERNATING, ALTERNATING_CAS, LOCKS_AFTER, Members, Place, ROLLOVER, SINGLE, SINGLE_CAS};
use crate::{
    document::{Credential, Format, SecretDocument},
    driver::{BreakGlass, Limits, NotRepaired, OpenSet, Reconcile, Repair, Target},
    port::{Certainty, VersionId},
    secret::{Password, SecretText},
    testkit::{Fault, Faults, Form},
};

const BY_HAND: &str = "ByHand123456";

/// Something that a person does beside the register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mischief {
    /// A published user gets the password back that the generation before had.
    OldPassword,
    /// A published user gets a password that nobody knows.
    UnknownPassword,
    /// The user whose turn is next gets one.
    UnknownIdlePassword,
    /// A key of one secret that is no credential is edited.
    EditedKey,
    /// One secret goes back to the version before.
    CurrentMovedBack,
    /// One secret gets a credential that nobody has.
    ForeignSecret,
    /// A published password is changed, and published in every secret.
    RotatedByHand,
}

impl Mischief {
    const ALL: [Self; 7] = [
        Self::OldPassword,
        Self::UnknownPassword,
        Self::UnknownIdlePassword,
        Self::EditedKey,
        Self::CurrentMovedBack,
        Self::ForeignSecret,
        Self::RotatedByHand,
    ];

    const fn needs_glass(self) -> bool {
        matches!(self, Self::UnknownPassword | Self::UnknownIdlePassword)
    }

    fn applies(self, members: Members) -> bool {
        let alternating = |m: &super::place::Member| m.name == ALTERNATING.name || m.name == ALTERNATING_CAS.name;
        match self {
            Self::UnknownIdlePassword => members.iter().any(alternating),
            // The user of a pair was on another password two generations ago.
            Self::OldPassword => members.iter().any(|m| !alternating(m)),
            Self::UnknownPassword
            | Self::EditedKey
            | Self::CurrentMovedBack
            | Self::ForeignSecret
            | Self::RotatedByHand => true,
        }
    }
}

/// An installation that has rotated, and then something happened.
async fn after(mischief: Mischief, members: Members) -> Place {
    let place = Place::adopted(members, 13).await;
    for _ in 0..2 {
        place.pass_windows().await;
        let report = place.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "{report:?}");
    }
    place.pass_windows().await;
    for database in &place.world.databases {
        database.add_admin("root", Password::new("root-password".to_owned()));
    }
    let register = place.register();
    let one = &place.world.stores[0];
    let edit = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_str(one.published().unwrap().expose()).unwrap();
        change(&mut value);
        SecretText::new(value.to_string())
    };
    match mischief {
        Mischief::OldPassword => {
            let single = |m: &&super::place::Member| m.name != ALTERNATING.name && m.name != ALTERNATING_CAS.name;
            let at = members.iter().position(|m| single(&m)).unwrap();
            let id = VersionId(register.stores["aws-sm:one"][&(register.current - 1)].clone());
            let before = SecretDocument::parse(one.value(&id).unwrap()).unwrap();
            let old = before.credential(members[at].name, Format::Blob).unwrap();
            place.world.databases[at].change_by_hand(&old.username, &old.password);
        }
        Mischief::UnknownPassword => {
            let live = &register.databases[members[0].name].live;
            place.world.databases[0].change_by_hand(live, &Password::new(BY_HAND.to_owned()));
        }
        Mischief::UnknownIdlePassword => {
            for (member, database) in members.iter().zip(&place.world.databases) {
                let entry = &register.databases[member.name];
                if let Some(idle) = entry.users.keys().find(|user| **user != entry.live) {
                    database.change_by_hand(idle, &Password::new(BY_HAND.to_owned()));
                }
            }
        }
        Mischief::EditedKey => {
            one.put_by_hand(edit(&|value| value[members[0].name]["note"] = "edited".into()));
        }
        Mischief::CurrentMovedBack => {
            let id = VersionId(register.stores["aws-sm:one"][&(register.current - 1)].clone());
            let deadline = Limits::default().store();
            let now = one.shown().current.unwrap();
            crate::port::SecretStore::promote(&**one, &now, &id, deadline).await.unwrap();
        }
        Mischief::ForeignSecret => {
            one.put_by_hand(edit(&|value| value[members[0].name]["password"] = "nobody-has-this".into()));
        }
        Mischief::RotatedByHand => {
            let at = members.len() - 1;
            let live = &register.databases[members[at].name].live;
            place.world.databases[at].change_by_hand(live, &Password::new(BY_HAND.to_owned()));
            let text = edit(&|value| value[members[at].name]["password"] = BY_HAND.into());
            for store in &place.world.stores {
                store.put_by_hand(text.clone());
            }
        }
    }
    place
}

impl Place {
    fn open_with_admins(&self, faults: &Arc<Faults>) -> OpenSet {
        let (username, password) = ("root".to_owned(), Password::new("root-password".to_owned()));
        let root = Credential { username, password, host: None, port: None, dbname: None, service: None };
        OpenSet { admins: self.members.iter().map(|_| Some(root.clone())).collect(), ..self.open(faults) }
    }

    async fn reconcile(&self, break_glass: BreakGlass, faults: &Arc<Faults>) -> Result<Vec<Repair>, NotRepaired> {
        let open = self.open_with_admins(faults);
        let reconcile = Reconcile::new(&open, Limits::default(), break_glass);
        let drift = reconcile.look().await?;
        if !drift.repairs.is_empty() {
            reconcile.mend(&drift).await?;
        }
        Ok(drift.repairs)
    }

    fn assert_few_wrong_logins(&self, context: &str) {
        for (member, database) in self.members.iter().zip(&self.world.databases) {
            for user in &self.config.sets["orders"].database(member.name).unwrap().users {
                let most = if member.config.contains("oracle") { 3 } else { u32::MAX };
                assert!(database.wrong_logins(user) <= most, "{context}: {user} is far from {LOCKS_AFTER}");
            }
        }
    }

    async fn is_well(&self, context: &str) {
        self.assert_at_rest(context);
        let again = self.reconcile(BreakGlass::Kept, &Faults::none()).await;
        assert_eq!(again, Ok(Vec::new()), "{context}: no drift is left");
        let trail = self.verify_trail().await;
        assert!(trail.findings.worst() < Some(Class::Tampering), "{context}: {:#?}", trail.findings.kept);
        self.pass_windows().await;
        let report = self.run(Goal::Rotate, &Faults::none()).await;
        assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: the next rotation; {report:?}");
        self.assert_at_rest(context);
    }
}

const SETS: [Members; 5] =
    [&[ALTERNATING, SINGLE], &[ALTERNATING_CAS, SINGLE_CAS], &[SINGLE], &[ALTERNATING], &[ALTERNATING, ROLLOVER]];

#[tokio::test(start_paused = true)]
async fn without_a_drift_nothing_changes() {
    for members in SETS {
        let place = Place::adopted(members, 3).await;
        let before = place.world.journal.latest("orders");
        assert_eq!(place.reconcile(BreakGlass::Kept, &Faults::none()).await, Ok(Vec::new()), "{members:?}");
        assert_eq!(place.world.journal.latest("orders"), before);
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_is_mended() {
    for members in SETS {
        for mischief in Mischief::ALL.into_iter().filter(|m| m.applies(members)) {
            let context = format!("{members:?}: {mischief:?}");
            let place = after(mischief, members).await;
            if mischief.needs_glass() {
                let error = place.reconcile(BreakGlass::Kept, &Faults::none()).await;
                assert!(
                    matches!(&error, Err(NotRepaired::Unclear { hint, .. }) if hint.contains("--break-glass")),
                    "{context}: {error:?}"
                );
            } else if mischief != Mischief::UnknownIdlePassword {
                let report = place.run(Goal::Rotate, &Faults::none()).await;
                assert_eq!(report.finish, Finish::Drift, "{context}: a rotation stops; {report:?}");
            }
            let last = place.register().last;
            let repairs = place.reconcile(BreakGlass::Allowed, &Faults::none()).await;
            let repairs = repairs.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            println!("{context}: {repairs:?}");
            let expected = |repair: &Repair| match (mischief, repair) {
                (Mischief::OldPassword, Repair::Change { from, .. }) => *from == Generation(2),
                (Mischief::UnknownPassword | Mischief::UnknownIdlePassword, Repair::Reset { .. })
                | (Mischief::EditedKey, Repair::Record { secret: 0, .. })
                | (Mischief::CurrentMovedBack | Mischief::ForeignSecret, Repair::Move { secret: 0, .. }) => true,
                (Mischief::RotatedByHand, Repair::Adopt { generation }) => generation.0 == last + 1,
                _ => false,
            };
            assert!(!repairs.is_empty() && repairs.iter().all(expected), "{context}: {repairs:?}");
            if mischief == Mischief::EditedKey {
                assert!(
                    place.world.stores[0].published().unwrap().expose().contains("edited"),
                    "{context}: the edit stays"
                );
                // Secrets that differ in what is no credential go on differing, until the next rotation.
                assert_eq!(place.dead(), Vec::<String>::new(), "{context}");
                let report = place.run(Goal::Rotate, &Faults::none()).await;
                assert!(matches!(report.finish, Finish::Rotated(_)), "{context}: {report:?}");
                assert!(
                    place.world.stores[0].published().unwrap().expose().contains("edited"),
                    "{context}: and goes on"
                );
                continue;
            }
            place.is_well(&context).await;
        }
    }
}

/// Every call of every repair fails, in a third of all forms each.
async fn sweep(members: Members) {
    let mut cells = 0;
    for mischief in Mischief::ALL.into_iter().filter(|m| m.applies(members) && *m != Mischief::EditedKey) {
        let faults = Faults::none();
        after(mischief, members).await.reconcile(BreakGlass::Allowed, &faults).await.unwrap();
        for (index, call) in faults.calls().iter().enumerate() {
            let turn = |(nr, _): &(usize, Form)| nr % 3 == index % 3;
            for (_, form) in Form::ALL.into_iter().enumerate().filter(turn) {
                cells += 1;
                let context = format!("{members:?}: {mischief:?}, {form:?} at call {index}, {call}");
                let place = after(mischief, members).await;
                let faults = Faults::plan([Fault::at(index, form)]);
                let first = place.reconcile(BreakGlass::Allowed, &faults).await;
                assert_eq!(faults.hits(), 1, "{context}: the fault fired; {first:?}");
                faults.revive();
                faults.clear();
                faults.deliver().await;
                let mut last = None;
                for seconds in [31, 31, 21 * 60] {
                    tokio::time::advance(Duration::from_secs(seconds)).await;
                    last = Some(place.reconcile(BreakGlass::Allowed, &Faults::none()).await);
                }
                assert_eq!(last, Some(Ok(Vec::new())), "{context}: {first:?}");
                place.assert_few_wrong_logins(&context);
                place.is_well(&context).await;
            }
        }
    }
    println!("{cells} cells");
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_repair_with_a_pair_and_a_single_the_next_one_ends_it() {
    let [set, _, _, _, _] = SETS;
    sweep(set).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_repair_in_oracle_the_next_one_ends_it() {
    let [_, set, _, _, _] = SETS;
    sweep(set).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_repair_with_a_single_the_next_one_ends_it() {
    let [_, _, set, _, _] = SETS;
    sweep(set).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_repair_with_a_pair_the_next_one_ends_it() {
    let [_, _, _, set, _] = SETS;
    sweep(set).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_a_repair_with_a_rollover_the_next_one_ends_it() {
    let [_, _, _, _, set] = SETS;
    sweep(set).await;
}

#[tokio::test(start_paused = true)]
async fn a_world_that_changes_between_question_and_answer_is_left_alone() {
    let place = after(Mischief::CurrentMovedBack, &[ALTERNATING, SINGLE]).await;
    let open = place.open(&Faults::none());
    let reconcile = Reconcile::new(&open, Limits::default(), BreakGlass::Kept);
    let drift = reconcile.look().await.unwrap();
    let text = place.world.stores[0].published().unwrap();
    place.world.stores[0].put_by_hand(text);
    let before = place.world.stores[0].shown();
    assert_eq!(reconcile.mend(&drift).await, Err(NotRepaired::Changed));
    assert_eq!(place.world.stores[0].shown(), before);
}

#[tokio::test(start_paused = true)]
async fn a_newer_generation_is_never_overwritten_and_a_rotation_comes_first() {
    // The fence of a published user shows a newer generation than the register: somebody else's register has worked here.
    let place = after(Mischief::UnknownPassword, &[SINGLE]).await;
    let register = place.register();
    let database = &place.world.databases[0];
    let stamp = crate::port::FenceStamp {
        set: "orders",
        register: &register.register,
        epoch: dizzy_engine::Epoch(register.epoch),
        generation: Generation(9),
    };
    let old = Password::new(BY_HAND.to_owned());
    let kind = crate::port::ChangeKind::Single { from: Generation(3) };
    let change = crate::port::Change {
        login: crate::port::Login { user: "gamma", password: &old },
        new: &Password::new("Newer1234567".to_owned()),
        stamp,
        kind,
    };
    database.submit(&change).unwrap().execute().unwrap();
    let refused = place.reconcile(BreakGlass::Allowed, &Faults::none()).await;
    let Err(NotRepaired::Trouble(trouble)) = refused else { panic!("{refused:?}") };
    assert_eq!(trouble.error.kind, crate::port::Kind::Fenced, "{trouble:?}");
    assert!(database.accepts("gamma", &Password::new("Newer1234567".to_owned())), "it was not overwritten");

    let place = Place::adopted(&[ALTERNATING, SINGLE], 3).await;
    let crash = Faults::plan([Fault::nth_of("database.apply:alpha", 0, Form::CrashAfter)]);
    place.run(Goal::Rotate, &crash).await;
    tokio::time::advance(Duration::from_secs(31)).await;
    let refused = place.reconcile(BreakGlass::Kept, &Faults::none()).await;
    assert_eq!(refused, Err(NotRepaired::UnderWay(dizzy_engine::Phase::Intent)));
}

#[tokio::test(start_paused = true)]
async fn a_repair_whose_register_was_lost_on_the_way_and_cannot_be_read_may_have_begun() {
    for (lost, is_done) in [(Form::LostBefore, true), (Form::ReplyLost, false)] {
        let place = after(Mischief::CurrentMovedBack, &[ALTERNATING, SINGLE]).await;
        let faults = Faults::in_turn([Fault::nth_of("journal.write", 0, lost)]);
        faults.add(Fault::every("journal.read", Form::Refused).following());
        match place.reconcile(BreakGlass::Kept, &faults).await {
            Ok(_) => assert!(is_done, "{lost:?}"),
            Err(NotRepaired::Trouble(trouble)) if !is_done => {
                assert_eq!((trouble.target, trouble.error.certainty), (Target::Journal, Certainty::Unknown));
            }
            Err(error) => panic!("{lost:?}: {error:?}"),
        }
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(place.reconcile(BreakGlass::Kept, &Faults::none()).await.is_ok(), "{lost:?}");
        place.is_well(&format!("{lost:?}")).await;
    }
}
