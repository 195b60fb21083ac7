//! A secret store's promises: create-only stages, labels that move by compare-and-swap, nothing unlabelled by accident.

use core::time::Duration;

use async_trait::async_trait;
use dizzy_engine::Generation;

use super::{
    Checked, OTHER_REGISTER, REGISTER, Report, Stop, checks, ensure, fails, fails_as, ok, quotes_nothing, refused,
    returns_in_time, soon,
};
use crate::{
    port::{Certainty, Kind, Labels, SecretStore, VersionId, VersionName},
    secret::SecretText,
};

/// A secret that exists, with a CURRENT value and no version of ours, no PENDING and no other labels.
#[async_trait]
pub trait StoreFixture: Send + Sync {
    /// The adapter under test.
    fn store(&self) -> &dyn SecretStore;

    /// The CURRENT value at the start.
    fn initial(&self) -> SecretText;

    /// The adapter for a secret that does not exist; `None` if that cannot be had.
    fn absent(&self) -> Option<&dyn SecretStore>;

    /// What a consumer reads, by a client that is not the adapter.
    async fn published(&self) -> SecretText;
}

/// Runs every check against a fresh fixture each.
pub async fn store<X: StoreFixture>(factory: impl AsyncFn() -> X) -> Report {
    let mut report = Report::default();
    for check in checks![dyn StoreFixture:
        current_is_what_consumers_read,
        an_absent_secret_is_not_found,
        a_version_that_is_not_there_is_not_found,
        a_stage_touches_neither_current_nor_pending,
        values_come_back_byte_for_byte,
        a_repeated_stage_returns_the_same_version,
        a_taken_name_keeps_its_first_value,
        of_two_racing_stages_one_wins,
        generations_and_registers_have_names_of_their_own,
        an_existing_version_can_be_named,
        a_name_never_moves_to_another_version,
        pending_moves_by_compare_and_swap,
        promotion_publishes_and_keeps_the_old_as_previous,
        promotion_from_elsewhere_is_a_conflict,
        of_two_racing_promotions_at_most_one_wins,
        promotion_leaves_our_names_alone,
        promotion_back_is_possible,
        an_edit_takes_the_name_over_and_publishes_nothing,
        a_repeated_edit_makes_one_version,
        prune_takes_off_its_own_name_only,
        prune_of_a_name_that_is_elsewhere_is_a_conflict,
        a_passed_deadline_is_honoured,
    ] {
        let fixture = factory().await;
        report.note(check.name, (check.run)(&fixture).await);
    }
    report
}

const CANARY: &str = "canary-4f9d0b7e";

fn named(generation: u64) -> VersionName {
    VersionName::new(Generation(generation), REGISTER)
}

fn value(text: &str) -> SecretText {
    SecretText::new(format!("{{\"rds\":{{\"username\":\"app\",\"password\":\"{CANARY} {text}\"}}}}"))
}

async fn staged(store: &dyn SecretStore, generation: u64) -> Result<VersionId, Stop> {
    let text = format!("of generation {generation}");
    ok("stage", store.stage(&named(generation), &value(&text), soon()).await)
}

async fn labels(store: &dyn SecretStore) -> Result<Labels, Stop> {
    ok("labels", store.labels(soon()).await)
}

async fn current(store: &dyn SecretStore) -> Result<VersionId, Stop> {
    labels(store).await?.current.ok_or_else(|| Stop::Broken("no version is CURRENT".to_owned()))
}

async fn publishes(fixture: &dyn StoreFixture, expected: &SecretText) -> Checked {
    ensure(fixture.published().await == *expected, || "consumers read another value than expected".to_owned())
}

async fn current_is_what_consumers_read(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let read = ok("current", store.current(soon()).await)?;
    ensure(read.value == fixture.initial(), || "current() is not the CURRENT value".to_owned())?;
    publishes(fixture, &read.value).await?;
    let labels = labels(store).await?;
    ensure(labels.current == Some(read.id), || "current() and labels() name different versions".to_owned())?;
    ensure(labels.pending.is_none() && labels.named.is_empty(), || format!("labels at the start: {labels:?}"))
}

async fn an_absent_secret_is_not_found(fixture: &dyn StoreFixture) -> Checked {
    let Some(absent) = fixture.absent() else { return Err(Stop::Skipped("the fixture has no absent secret")) };
    fails_as("current", absent.current(soon()).await, Kind::NotFound)?;
    fails_as("labels", absent.labels(soon()).await, Kind::NotFound)?;
    refused("stage", absent.stage(&named(1), &value("x"), soon()).await, Kind::NotFound)
}

async fn a_version_that_is_not_there_is_not_found(fixture: &dyn StoreFixture) -> Checked {
    let id = VersionId("00000000-0000-4000-8000-000000000000".to_owned());
    fails_as("read", fixture.store().read(&id, soon()).await, Kind::NotFound)
}

async fn a_stage_touches_neither_current_nor_pending(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let before = labels(store).await?;
    let id = staged(store, 1).await?;
    let after = labels(store).await?;
    ensure(after.current == before.current && after.previous == before.previous, || {
        "staging moved CURRENT or PREVIOUS".to_owned()
    })?;
    ensure(after.pending == before.pending, || "staging moved PENDING".to_owned())?;
    ensure(after.named.get(&named(1)) == Some(&id), || format!("the staged version has no name: {after:?}"))?;
    publishes(fixture, &fixture.initial()).await
}

async fn values_come_back_byte_for_byte(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let text = SecretText::new(format!("{{ \"zuletzt\": 1,\n\t\"b\":\"ü€😀 \\u0000 {}\"}}\r\n", "x".repeat(8_000)));
    let id = ok("stage", store.stage(&named(1), &text, soon()).await)?;
    let read = ok("read", store.read(&id, soon()).await)?;
    ensure(read.id == id && read.value == text, || "the value differs from what was staged".to_owned())
}

async fn a_repeated_stage_returns_the_same_version(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (first, second) = (staged(store, 1).await?, staged(store, 1).await?);
    ensure(first == second, || "the same name and value made two versions".to_owned())?;
    ensure(labels(store).await?.named.len() == 1, || "a repeated stage left a second name".to_owned())
}

async fn a_taken_name_keeps_its_first_value(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let id = staged(store, 1).await?;
    let outcome = store.stage(&named(1), &value("of somebody else"), soon()).await;
    let error = fails("stage another value under a taken name", outcome)?;
    quotes_nothing("stage", &error, &[CANARY])?;
    refused::<()>("stage another value under a taken name", Err(error), Kind::Exists)?;
    ensure(labels(store).await?.named.get(&named(1)) == Some(&id), || "the name has moved".to_owned())?;
    let read = ok("read", store.read(&id, soon()).await)?;
    ensure(read.value == value("of generation 1"), || "the first writer's value is gone".to_owned())
}

async fn of_two_racing_stages_one_wins(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (mine, theirs) = (value("mine"), value("theirs"));
    let name = named(1);
    let (a, b) = tokio::join!(store.stage(&name, &mine, soon()), store.stage(&name, &theirs, soon()));
    let (id, winner) = match (a, b) {
        (Ok(id), Err(error)) => {
            refused::<()>("the stage that lost", Err(error), Kind::Exists)?;
            (id, mine)
        }
        (Err(error), Ok(id)) => {
            refused::<()>("the stage that lost", Err(error), Kind::Exists)?;
            (id, theirs)
        }
        (Ok(_), Ok(_)) => return Err(Stop::Broken("both writers were told that they won".to_owned())),
        (Err(one), Err(other)) => return Err(Stop::Broken(format!("nobody won: {one:?}, {other:?}"))),
    };
    ensure(labels(store).await?.named.get(&name) == Some(&id), || {
        "the name is not on the winner's version".to_owned()
    })?;
    ensure(ok("read", store.read(&id, soon()).await)?.value == winner, || "the winner's value is not there".to_owned())
}

async fn generations_and_registers_have_names_of_their_own(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let foreign = VersionName::new(Generation(2), OTHER_REGISTER);
    let (one, two) = (staged(store, 1).await?, staged(store, 2).await?);
    let three = ok("stage", store.stage(&foreign, &value("of another register"), soon()).await)?;
    let seen = labels(store).await?.named;
    let expected = [(named(1), one), (named(2), two), (foreign, three)].into_iter().collect();
    ensure(seen == expected, || format!("names are {seen:?} instead of {expected:?}"))
}

async fn an_existing_version_can_be_named(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let id = current(store).await?;
    for attempt in ["label", "label again"] {
        ok(attempt, store.label(&named(1), &id, soon()).await)?;
    }
    let seen = labels(store).await?;
    ensure(seen.named.get(&named(1)) == Some(&id) && seen.current == Some(id), || format!("labels are {seen:?}"))
}

async fn a_name_never_moves_to_another_version(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (id, elsewhere) = (staged(store, 1).await?, current(store).await?);
    refused("label another version", store.label(&named(1), &elsewhere, soon()).await, Kind::Conflict)?;
    ensure(labels(store).await?.named.get(&named(1)) == Some(&id), || "the name has moved".to_owned())
}

async fn pending_moves_by_compare_and_swap(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (one, two) = (staged(store, 1).await?, staged(store, 2).await?);
    ok("move PENDING from nowhere", store.move_pending(None, &one, soon()).await)?;
    ensure(labels(store).await?.pending.as_ref() == Some(&one), || "PENDING is not where it was moved".to_owned())?;
    refused(
        "move PENDING from nowhere, when it is somewhere",
        store.move_pending(None, &two, soon()).await,
        Kind::Conflict,
    )?;
    let elsewhere = current(store).await?;
    let moved = store.move_pending(Some(&elsewhere), &two, soon()).await;
    refused("move PENDING from where it is not", moved, Kind::Conflict)?;
    ensure(labels(store).await?.pending.as_ref() == Some(&one), || "a refused move moved PENDING".to_owned())?;
    ok("move PENDING on", store.move_pending(Some(&one), &two, soon()).await)?;
    let after = labels(store).await?;
    ensure(after.pending.as_ref() == Some(&two), || "PENDING was not moved on".to_owned())?;
    ensure(after.named.len() == 2, || "moving PENDING cost a version its name".to_owned())?;
    publishes(fixture, &fixture.initial()).await
}

async fn promotion_publishes_and_keeps_the_old_as_previous(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (old, new) = (current(store).await?, staged(store, 1).await?);
    ok("promote", store.promote(&old, &new, soon()).await)?;
    let after = labels(store).await?;
    ensure(after.current.as_ref() == Some(&new), || "CURRENT is not on the promoted version".to_owned())?;
    ensure(after.previous.as_ref() == Some(&old), || "PREVIOUS is not on the old version".to_owned())?;
    publishes(fixture, &value("of generation 1")).await?;
    let read = ok("read the old version", store.read(&old, soon()).await)?;
    ensure(read.value == fixture.initial(), || "the old version has another value".to_owned())
}

async fn promotion_from_elsewhere_is_a_conflict(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (one, two) = (staged(store, 1).await?, staged(store, 2).await?);
    // Any error on a promotion is read as "look at the labels"; only the kind is promised.
    fails_as("promote from where CURRENT is not", store.promote(&one, &two, soon()).await, Kind::Conflict)?;
    publishes(fixture, &fixture.initial()).await
}

async fn of_two_racing_promotions_at_most_one_wins(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (old, one, two) = (current(store).await?, staged(store, 1).await?, staged(store, 2).await?);
    let (a, b) = tokio::join!(store.promote(&old, &one, soon()), store.promote(&old, &two, soon()));
    ensure(!(a.is_ok() && b.is_ok()), || "two promotions from the same version succeeded".to_owned())?;
    let at = labels(store).await?.current;
    let winner = if a.is_ok() { Some(one) } else { b.is_ok().then_some(two) };
    ensure(winner.is_none() || at == winner, || "CURRENT is not on the winner's version".to_owned())
}

async fn promotion_leaves_our_names_alone(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let old = current(store).await?;
    ok("label", store.label(&named(1), &old, soon()).await)?;
    let (two, three) = (staged(store, 2).await?, staged(store, 3).await?);
    ok("promote", store.promote(&old, &two, soon()).await)?;
    ok("promote again", store.promote(&two, &three, soon()).await)?;
    let seen = labels(store).await?.named;
    let expected = [(named(1), old.clone()), (named(2), two), (named(3), three)].into_iter().collect();
    ensure(seen == expected, || format!("names are {seen:?} instead of {expected:?}"))?;
    let read = ok("read a version that only our name holds", store.read(&old, soon()).await)?;
    ensure(read.value == fixture.initial(), || "a version under our name has lost its value".to_owned())
}

async fn promotion_back_is_possible(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (old, new) = (current(store).await?, staged(store, 1).await?);
    ok("promote", store.promote(&old, &new, soon()).await)?;
    ok("promote back", store.promote(&new, &old, soon()).await)?;
    publishes(fixture, &fixture.initial()).await
}

async fn an_edit_takes_the_name_over_and_publishes_nothing(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let first = staged(store, 1).await?;
    let edited = current(store).await?;
    let merged = value("of generation 1, with an edit");
    let id = ok("restage", store.restage(&named(1), &edited, &merged, soon()).await)?;
    ensure(id != first, || "the edit has overwritten the staged version".to_owned())?;
    let read = ok("read", store.read(&id, soon()).await)?;
    ensure(read.value == merged, || "the value differs from what was restaged".to_owned())?;
    let labels = labels(store).await?;
    ensure(labels.current.as_ref() == Some(&edited), || "restaging moved CURRENT".to_owned())?;
    ensure(labels.named.get(&named(1)) == Some(&id), || format!("the name did not go over: {labels:?}"))?;
    publishes(fixture, &fixture.initial()).await?;
    ok("promote", store.promote(&edited, &id, soon()).await)?;
    publishes(fixture, &merged).await
}

async fn a_repeated_edit_makes_one_version(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    staged(store, 1).await?;
    let edited = current(store).await?;
    let merged = value("of generation 1, with an edit");
    let once = ok("restage", store.restage(&named(1), &edited, &merged, soon()).await)?;
    let twice = ok("restage", store.restage(&named(1), &edited, &merged, soon()).await)?;
    ensure(once == twice, || "the same edit made two versions".to_owned())?;
    let other = store.restage(&named(1), &edited, &value("of somebody else"), soon()).await;
    let error = fails("restage another value for the same edit", other)?;
    quotes_nothing("restage", &error, &[CANARY])?;
    refused::<()>("restage another value for the same edit", Err(error), Kind::Exists)?;
    ensure(labels(store).await?.named.get(&named(1)) == Some(&once), || "the name has moved".to_owned())
}

async fn prune_takes_off_its_own_name_only(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (one, two) = (staged(store, 1).await?, staged(store, 2).await?);
    let before = labels(store).await?;
    for attempt in ["prune", "prune again"] {
        ok(attempt, store.prune(&named(1), &one, soon()).await)?;
    }
    let after = labels(store).await?;
    let expected = [(named(2), two)].into_iter().collect();
    ensure(after.named == expected, || format!("names are {:?} instead of {expected:?}", after.named))?;
    ensure(after.current == before.current && after.previous == before.previous, || {
        "pruning moved CURRENT or PREVIOUS".to_owned()
    })?;
    publishes(fixture, &fixture.initial()).await
}

async fn prune_of_a_name_that_is_elsewhere_is_a_conflict(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (one, two) = (staged(store, 1).await?, staged(store, 2).await?);
    refused("prune a name from another version", store.prune(&named(1), &two, soon()).await, Kind::Conflict)?;
    let seen = labels(store).await?.named;
    let expected = [(named(1), one), (named(2), two)].into_iter().collect();
    ensure(seen == expected, || format!("names are {seen:?} instead of {expected:?}"))
}

async fn a_passed_deadline_is_honoured(fixture: &dyn StoreFixture) -> Checked {
    let store = fixture.store();
    let (old, new) = (current(store).await?, staged(store, 1).await?);
    let none = Duration::ZERO;
    let read = returns_in_time("current", none, async |deadline| store.current(deadline).await).await?;
    ensure(read.is_err(), || "a read without time succeeded".to_owned())?;
    let promote = async |deadline| store.promote(&old, &new, deadline).await;
    let error = fails("promote without time", returns_in_time("promote", none, promote).await?)?;
    if error.certainty == Certainty::Refused {
        publishes(fixture, &fixture.initial()).await?;
    }
    Ok(())
}
