//! A database's promises: logins, fenced changes, votes, burns, preparation, deadlines.
//!
//! Checks that need a row fence are skipped for databases that check the old password instead.

use core::time::Duration;

use async_trait::async_trait;
use dizzy_engine::{Capability, Epoch, Generation};

use super::{
    Checked, OTHER_REGISTER, REGISTER, Report, SET, Stop, checks, ensure, fails, fails_as, ok, quotes_nothing, refused,
    returns_in_time, soon,
};
use crate::{
    memory::Acceptance,
    port::{
        Certainty, Change, ChangeKind, Database, FenceStamp, FenceState, Kind, Login, PortError, PortResult, Sessions,
        Severity,
    },
    secret::Password,
};

/// A database with two users whose passwords are known, prepared for [`SET`] and [`REGISTER`], without any fenced change yet.
#[async_trait]
pub trait DatabaseFixture: Send + Sync {
    /// The adapter under test.
    fn database(&self) -> &dyn Database;

    /// The two users.
    fn users(&self) -> [&str; 2];

    /// The password that user 0 or 1 has at the start.
    fn password(&self, user: usize) -> Password;

    /// Which passwords the server accepts after a change.
    fn acceptance(&self) -> Acceptance {
        Acceptance::Newest
    }

    /// An administrator that may run `prepare`; `None` if the fixture has none.
    fn admin(&self) -> Option<Login<'_>>;

    /// Whether the login succeeds on a fresh connection, by a client that is not the adapter.
    async fn logs_in(&self, user: &str, password: &Password) -> bool;

    /// A session that an application holds as this user until the value is dropped; `None` if that cannot be had.
    async fn application_session(&self, user: &str, password: &Password) -> Option<Box<dyn Send + Sync>>;

    /// The adapter for a server that accepts connections and then stays silent; `None` if that cannot be had.
    fn silent(&self) -> Option<&dyn Database>;
}

/// Runs every check against a fresh fixture each.
pub async fn database<X: DatabaseFixture>(factory: impl AsyncFn() -> X) -> Report {
    let mut report = Report::default();
    for check in checks![dyn DatabaseFixture:
        the_right_password_logs_in,
        a_wrong_password_is_a_credential_error,
        an_unknown_user_is_a_credential_error,
        applied_means_that_the_new_password_logs_in,
        a_change_leaves_the_other_user_alone,
        a_repeated_change_is_applied,
        a_change_with_a_wrong_password_changes_nothing,
        an_alternating_change_never_goes_back,
        a_change_of_an_older_epoch_is_fenced,
        a_retry_by_a_newer_epoch_is_applied,
        a_single_change_needs_its_base,
        a_restored_password_cannot_be_changed_by_a_zombie,
        another_register_is_refused,
        a_set_without_a_fence_is_refused,
        inspection_shows_the_fence_and_changes_nothing,
        burn_raises_the_epoch_and_nothing_else,
        burn_refuses_what_is_older,
        burn_of_an_older_epoch_is_fenced,
        burn_reaches_a_user_that_was_never_changed,
        a_vote_is_invisible_until_committed,
        a_dropped_vote_is_taken_back,
        a_vote_refuses_what_a_change_refuses,
        a_newer_worker_ends_an_older_vote,
        a_burn_ends_an_older_vote,
        a_database_without_fence_does_not_vote,
        sessions_of_applications_are_counted,
        sessions_are_ended_by_their_age,
        prepare_can_be_repeated_and_keeps_the_fence,
        prepare_gives_the_second_user_its_password,
        prepare_with_another_register_is_refused,
        an_administrator_sets_a_password_that_nobody_knows,
        a_passed_deadline_is_honoured,
        a_silent_server_is_given_up_in_time,
    ] {
        let fixture = factory().await;
        report.note(check.name, (check.run)(&fixture).await);
    }
    report
}

const CANARY: &str = "Canary4f9d0b7e";

/// How long a silent server is listened to.
const SILENCE: Duration = Duration::from_millis(500);

fn password(generation: u64) -> Password {
    Password::new(format!("{CANARY}OfGeneration{generation}"))
}

const fn stamp(epoch: u64, generation: u64) -> FenceStamp<'static> {
    FenceStamp { set: SET, register: REGISTER, epoch: Epoch(epoch), generation: Generation(generation) }
}

const fn single(from: u64) -> ChangeKind {
    ChangeKind::Single { from: Generation(from) }
}

async fn change(
    fixture: &dyn DatabaseFixture,
    old: &Password,
    epoch: u64,
    generation: u64,
    kind: ChangeKind,
) -> PortResult<()> {
    let new = password(generation);
    fixture.database().apply(to(fixture, old, &new, stamp(epoch, generation), kind), soon()).await
}

/// A change of user 0.
fn to<'a>(
    fixture: &'a dyn DatabaseFixture,
    old: &'a Password,
    new: &'a Password,
    stamp: FenceStamp<'a>,
    kind: ChangeKind,
) -> Change<'a> {
    let [user, _] = fixture.users();
    Change { login: Login { user, password: old }, new, stamp, kind }
}

/// Brings user 0 to `generation`, alternating, from what it has at the start.
async fn moved_to(fixture: &dyn DatabaseFixture, epoch: u64, generation: u64) -> Result<Password, Stop> {
    ok("apply", change(fixture, &fixture.password(0), epoch, generation, ChangeKind::Alternating).await)?;
    Ok(password(generation))
}

async fn logs_in(fixture: &dyn DatabaseFixture, password: &Password, why: &str) -> Checked {
    let [user, _] = fixture.users();
    ensure(fixture.logs_in(user, password).await, || format!("{why}: the password that must log in does not"))
}

async fn is_out(fixture: &dyn DatabaseFixture, password: &Password, why: &str) -> Checked {
    if fixture.acceptance() == Acceptance::Rollover {
        return Ok(());
    }
    let [user, _] = fixture.users();
    ensure(!fixture.logs_in(user, password).await, || format!("{why}: a password that must not log in does"))
}

fn needs_fence(fixture: &dyn DatabaseFixture) -> Checked {
    match fixture.database().capability() {
        Capability::RowFence => Ok(()),
        Capability::StatementCas => Err(Stop::Skipped("the database has no row fence")),
    }
}

async fn fence(fixture: &dyn DatabaseFixture, user: &str, login: &Password) -> Result<Option<FenceState>, Stop> {
    let login = Login { user, password: login };
    let seen = ok("inspect", fixture.database().inspect(login, &fixture.users(), stamp(0, 0), soon()).await)?;
    Ok(seen.fences.into_iter().find_map(|(of, state)| (of == user).then_some(state)))
}

async fn fence_is(fixture: &dyn DatabaseFixture, login: &Password, epoch: u64, generation: Option<u64>) -> Checked {
    let [user, _] = fixture.users();
    let seen = fence(fixture, user, login).await?;
    let expected =
        FenceState { epoch: Epoch(epoch), generation: generation.map(Generation), register: REGISTER.to_owned() };
    ensure(seen.as_ref() == Some(&expected), || format!("the fence row is {seen:?} instead of {expected:?}"))
}

async fn the_right_password_logs_in(fixture: &dyn DatabaseFixture) -> Checked {
    for (index, user) in fixture.users().into_iter().enumerate() {
        let password = fixture.password(index);
        ok(user, fixture.database().login(Login { user, password: &password }, stamp(1, 1), soon()).await)?;
        ensure(fixture.logs_in(user, &password).await, || "the fixture's own client disagrees".to_owned())?;
    }
    Ok(())
}

async fn a_wrong_password_is_a_credential_error(fixture: &dyn DatabaseFixture) -> Checked {
    let [user, _] = fixture.users();
    let wrong = password(99);
    let outcome = fixture.database().login(Login { user, password: &wrong }, stamp(1, 1), soon()).await;
    let error = fails("log in with a wrong password", outcome)?;
    quotes_nothing("login", &error, &[CANARY])?;
    fails_as::<()>("log in with a wrong password", Err(error), Kind::Credential)
}

async fn an_unknown_user_is_a_credential_error(fixture: &dyn DatabaseFixture) -> Checked {
    let unknown = Login { user: "nobody_of_this_name", password: &password(99) };
    fails_as("log in as nobody", fixture.database().login(unknown, stamp(1, 1), soon()).await, Kind::Credential)
}

async fn applied_means_that_the_new_password_logs_in(fixture: &dyn DatabaseFixture) -> Checked {
    let old = fixture.password(0);
    let new = moved_to(fixture, 1, 1).await?;
    logs_in(fixture, &new, "after a change").await?;
    is_out(fixture, &old, "after a change").await?;
    let [user, _] = fixture.users();
    ok("login", fixture.database().login(Login { user, password: &new }, stamp(1, 1), soon()).await)
}

async fn a_change_leaves_the_other_user_alone(fixture: &dyn DatabaseFixture) -> Checked {
    let [_, other] = fixture.users();
    moved_to(fixture, 1, 1).await?;
    let theirs = fixture.password(1);
    ensure(fixture.logs_in(other, &theirs).await, || "the other user's password has changed".to_owned())?;
    if fixture.database().capability() == Capability::RowFence {
        let row = fence(fixture, other, &theirs).await?;
        ensure(row.as_ref().is_some_and(|row| row.generation.is_none()), || {
            format!("the other user's fence row has moved: {row:?}")
        })?;
    }
    Ok(())
}

async fn a_repeated_change_is_applied(fixture: &dyn DatabaseFixture) -> Checked {
    let new = moved_to(fixture, 1, 1).await?;
    ok("apply again", change(fixture, &new, 1, 1, ChangeKind::Alternating).await)?;
    ok("apply again as single", change(fixture, &new, 1, 1, single(0)).await)?;
    logs_in(fixture, &new, "after a repeated change").await
}

async fn a_change_with_a_wrong_password_changes_nothing(fixture: &dyn DatabaseFixture) -> Checked {
    let error = fails("apply", change(fixture, &password(99), 1, 1, ChangeKind::Alternating).await)?;
    quotes_nothing("apply", &error, &[CANARY])?;
    refused::<()>("change with a wrong password", Err(error), Kind::Credential)?;
    logs_in(fixture, &fixture.password(0), "after a refused change").await
}

async fn an_alternating_change_never_goes_back(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let newer = moved_to(fixture, 1, 5).await?;
    let outcome = change(fixture, &newer, 1, 4, ChangeKind::Alternating).await;
    refused("change to an older generation", outcome, Kind::Fenced)?;
    logs_in(fixture, &newer, "after a fenced change").await?;
    fence_is(fixture, &newer, 1, Some(5)).await?;
    ok("change to a newer one", change(fixture, &newer, 1, 7, ChangeKind::Alternating).await)?;
    logs_in(fixture, &password(7), "after skipping a generation").await
}

async fn a_change_of_an_older_epoch_is_fenced(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let at = moved_to(fixture, 5, 1).await?;
    for kind in [ChangeKind::Alternating, single(1)] {
        refused("change of an older epoch", change(fixture, &at, 4, 2, kind).await, Kind::Fenced)?;
    }
    logs_in(fixture, &at, "after a fenced change").await?;
    fence_is(fixture, &at, 5, Some(1)).await
}

async fn a_retry_by_a_newer_epoch_is_applied(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let at = moved_to(fixture, 1, 1).await?;
    ok("the same generation by a newer epoch", change(fixture, &at, 2, 1, ChangeKind::Alternating).await)?;
    fence_is(fixture, &at, 2, Some(1)).await
}

async fn a_single_change_needs_its_base(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let old = fixture.password(0);
    ok("first change, from whatever is there", change(fixture, &old, 1, 5, single(4)).await)?;
    let at = password(5);
    refused("change from a base that is not there", change(fixture, &at, 1, 6, single(3)).await, Kind::Fenced)?;
    logs_in(fixture, &at, "after a fenced change").await?;
    ok("change from the right base", change(fixture, &at, 1, 6, single(5)).await)?;
    logs_in(fixture, &password(6), "after a change").await?;
    is_out(fixture, &at, "after a change").await
}

async fn a_restored_password_cannot_be_changed_by_a_zombie(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    ok("apply", change(fixture, &fixture.password(0), 1, 4, single(3)).await)?;
    ok("apply", change(fixture, &password(4), 1, 5, single(4)).await)?;
    ok("restore by a newer epoch", change(fixture, &password(5), 2, 4, single(5)).await)?;
    logs_in(fixture, &password(4), "after an undo").await?;
    let zombie = change(fixture, &password(4), 1, 5, single(4)).await;
    refused("the older epoch's change, once more", zombie, Kind::Fenced)?;
    logs_in(fixture, &password(4), "after a zombie").await
}

async fn another_register_is_refused(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    // Whether `prepare` or the first change makes the row ours is the adapter's business; after both it is.
    let (old, new) = (moved_to(fixture, 1, 1).await?, password(9));
    let foreign = FenceStamp { register: OTHER_REGISTER, ..stamp(9, 9) };
    for kind in [ChangeKind::Alternating, single(1)] {
        let change = to(fixture, &old, &new, foreign, kind);
        refused("apply", fixture.database().apply(change, soon()).await, Kind::ForeignRegister)?;
        refused("vote", fixture.database().vote(change, soon()).await, Kind::ForeignRegister)?;
    }
    let [user, _] = fixture.users();
    let login = Login { user, password: &old };
    refused("burn", fixture.database().burn(login, foreign, soon()).await, Kind::ForeignRegister)?;
    logs_in(fixture, &old, "after another register's attempts").await?;
    fence_is(fixture, &old, 1, Some(1)).await
}

async fn a_set_without_a_fence_is_refused(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let elsewhere = FenceStamp { set: "never-prepared", ..stamp(1, 1) };
    let (old, new) = (fixture.password(0), password(1));
    let change = to(fixture, &old, &new, elsewhere, ChangeKind::Alternating);
    refused("apply", fixture.database().apply(change, soon()).await, Kind::FenceMissing)?;
    logs_in(fixture, &old, "after a refused change").await?;
    let [user, _] = fixture.users();
    let login = Login { user, password: &old };
    let seen = ok("inspect", fixture.database().inspect(login, &[user], elsewhere, soon()).await)?;
    ensure(seen.fences.is_empty() && seen.findings.iter().any(|finding| finding.severity == Severity::Error), || {
        format!("a missing fence is not found: {seen:?}")
    })
}

async fn inspection_shows_the_fence_and_changes_nothing(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let [user, _] = fixture.users();
    let login = Login { user, password: &fixture.password(0) };
    let users = fixture.users();
    let seen = ok("inspect", fixture.database().inspect(login, &users, stamp(7, 7), soon()).await)?;
    let errors: Vec<_> = seen.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    ensure(errors.is_empty(), || format!("a prepared database has errors: {errors:?}"))?;
    for user in users {
        let row = seen.fences.iter().find_map(|(of, row)| (of == user).then_some(row));
        let fresh = |row: &FenceState| {
            row.generation.is_none() && row.epoch < Epoch(7) && [REGISTER, ""].contains(&row.register.as_str())
        };
        ensure(row.is_some_and(fresh), || format!("the fence row of {user} before the first change is {row:?}"))?;
    }
    let at = moved_to(fixture, 3, 2).await?;
    fence_is(fixture, &at, 3, Some(2)).await?;
    fence_is(fixture, &at, 3, Some(2)).await?;
    logs_in(fixture, &at, "after an inspection").await
}

async fn burn(fixture: &dyn DatabaseFixture, login: &Password, epoch: u64) -> PortResult<FenceState> {
    let [user, _] = fixture.users();
    // The generation of a burn's stamp is the one under way; it must not reach the row.
    fixture.database().burn(Login { user, password: login }, stamp(epoch, 77), soon()).await
}

async fn burn_raises_the_epoch_and_nothing_else(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let at = moved_to(fixture, 1, 1).await?;
    for attempt in ["burn", "burn again"] {
        let row = ok(attempt, burn(fixture, &at, 4).await)?;
        ensure(row.epoch == Epoch(4) && row.generation == Some(Generation(1)) && row.register == REGISTER, || {
            format!("{attempt} returned {row:?}")
        })?;
    }
    fence_is(fixture, &at, 4, Some(1)).await?;
    logs_in(fixture, &at, "after a burn").await
}

async fn burn_refuses_what_is_older(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let at = moved_to(fixture, 1, 1).await?;
    ok("burn", burn(fixture, &at, 3).await)?;
    for kind in [ChangeKind::Alternating, single(1)] {
        refused("change of a burnt epoch", change(fixture, &at, 2, 2, kind).await, Kind::Fenced)?;
    }
    ok("change of the burning epoch", change(fixture, &at, 3, 2, ChangeKind::Alternating).await)?;
    logs_in(fixture, &password(2), "after a change").await
}

async fn burn_of_an_older_epoch_is_fenced(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let at = moved_to(fixture, 5, 1).await?;
    refused("burn", burn(fixture, &at, 4).await, Kind::Fenced)?;
    fence_is(fixture, &at, 5, Some(1)).await
}

async fn burn_reaches_a_user_that_was_never_changed(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let old = fixture.password(0);
    ok("burn", burn(fixture, &old, 3).await)?;
    refused("change of a burnt epoch", change(fixture, &old, 2, 1, single(0)).await, Kind::Fenced)?;
    fence_is(fixture, &old, 3, None).await?;
    logs_in(fixture, &old, "after a burn").await
}

async fn a_vote_is_invisible_until_committed(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let (old, new) = (fixture.password(0), password(1));
    let vote = ok("vote", fixture.database().vote(to(fixture, &old, &new, stamp(1, 1), single(0)), soon()).await)?;
    logs_in(fixture, &old, "while a vote is open").await?;
    is_out(fixture, &new, "while a vote is open").await?;
    ok("commit", vote.commit(soon()).await)?;
    logs_in(fixture, &new, "after the commit").await?;
    is_out(fixture, &old, "after the commit").await?;
    fence_is(fixture, &new, 1, Some(1)).await
}

async fn a_dropped_vote_is_taken_back(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let (old, new) = (fixture.password(0), password(1));
    let vote = ok("vote", fixture.database().vote(to(fixture, &old, &new, stamp(1, 1), single(0)), soon()).await)?;
    drop(vote);
    logs_in(fixture, &old, "after a dropped vote").await?;
    is_out(fixture, &new, "after a dropped vote").await?;
    ok("change after a dropped vote", change(fixture, &old, 2, 2, single(0)).await)?;
    logs_in(fixture, &password(2), "after the next change").await
}

async fn a_vote_refuses_what_a_change_refuses(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let at = moved_to(fixture, 5, 5).await?;
    let (wrong, new) = (password(99), password(6));
    let database = fixture.database();
    let older = to(fixture, &at, &new, stamp(4, 6), single(5));
    refused("vote of an older epoch", database.vote(older, soon()).await, Kind::Fenced)?;
    let elsewhere = to(fixture, &at, &new, stamp(5, 6), single(3));
    refused("vote from a base that is not there", database.vote(elsewhere, soon()).await, Kind::Fenced)?;
    let unknown = to(fixture, &wrong, &new, stamp(5, 6), single(5));
    refused("vote with a wrong password", database.vote(unknown, soon()).await, Kind::Credential)?;
    logs_in(fixture, &at, "after refused votes").await
}

async fn a_newer_worker_ends_an_older_vote(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let (old, new) = (fixture.password(0), password(1));
    let vote = ok("vote", fixture.database().vote(to(fixture, &old, &new, stamp(1, 1), single(0)), soon()).await)?;
    ok("change by a newer worker", change(fixture, &old, 2, 2, single(0)).await)?;
    logs_in(fixture, &password(2), "after the newer worker's change").await?;
    // The older worker may not be able to tell; the world must.
    let late = fails("commit of the ended vote", vote.commit(soon()).await)?;
    quotes_nothing("commit", &late, &[CANARY])?;
    logs_in(fixture, &password(2), "after the older worker's commit").await?;
    is_out(fixture, &new, "after the older worker's commit").await
}

async fn a_burn_ends_an_older_vote(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let (old, new) = (fixture.password(0), password(1));
    let vote = ok("vote", fixture.database().vote(to(fixture, &old, &new, stamp(1, 1), single(0)), soon()).await)?;
    ok("burn by a newer worker", burn(fixture, &old, 2).await)?;
    fails("commit of the ended vote", vote.commit(soon()).await).map(drop)?;
    logs_in(fixture, &old, "after the older worker's commit").await?;
    fence_is(fixture, &old, 2, None).await
}

async fn a_database_without_fence_does_not_vote(fixture: &dyn DatabaseFixture) -> Checked {
    if needs_fence(fixture).is_ok() {
        return Err(Stop::Skipped("the database has a row fence"));
    }
    let (old, new) = (fixture.password(0), password(1));
    let outcome = fixture.database().vote(to(fixture, &old, &new, stamp(1, 1), single(0)), soon()).await;
    let error = fails("vote", outcome)?;
    ensure(error.certainty == Certainty::Refused, || format!("a vote that cannot be is unknown: {error:?}"))?;
    logs_in(fixture, &old, "after a refused vote").await
}

async fn sessions_of_applications_are_counted(fixture: &dyn DatabaseFixture) -> Checked {
    let [user, _] = fixture.users();
    let password = fixture.password(0);
    let login = Login { user, password: &password };
    let count = async || match ok("sessions", fixture.database().sessions(login, user, stamp(1, 1), soon()).await)? {
        Sessions::Unknown => Err(Stop::Skipped("the server does not let us see sessions")),
        Sessions::Counted { count, clients } => {
            ensure(u32::try_from(clients.len()) == Ok(count.min(10)), || {
                format!("{count} sessions, and clients {clients:?}")
            })?;
            Ok(count)
        }
    };
    let before = count().await?;
    ensure(before == 0, || format!("{before} sessions, and nobody is logged in but us"))?;
    let Some(held) = fixture.application_session(user, &password).await else {
        return Err(Stop::Skipped("the fixture cannot hold a session"));
    };
    let during = count().await?;
    drop(held);
    ensure(during == 1, || format!("{during} sessions, and one application is logged in"))
}

async fn sessions_are_ended_by_their_age(fixture: &dyn DatabaseFixture) -> Checked {
    let database = fixture.database();
    let [user, _] = fixture.users();
    let password = fixture.password(0);
    let own = Login { user, password: &password };
    let login = match database.capability() {
        Capability::RowFence => own,
        // Where the user may not, an administrator may; and the user is told so.
        Capability::StatementCas => {
            let refused = database.end_sessions(own, user, Duration::ZERO, stamp(1, 1), soon()).await;
            ensure(refused.as_ref().is_err_and(|e| e.kind == Kind::Denied && e.hint.is_some()), || {
                format!("without the right: {refused:?}")
            })?;
            fixture.admin().ok_or(Stop::Skipped("the fixture has no administrator"))?
        }
    };
    let count = async || match ok("sessions", database.sessions(login, user, stamp(1, 1), soon()).await)? {
        Sessions::Unknown => Err(Stop::Skipped("the server does not let us see sessions")),
        Sessions::Counted { count, .. } => Ok(count),
    };
    let end = async |age| ok("end_sessions", database.end_sessions(login, user, age, stamp(1, 1), soon()).await);
    let Some(held) = fixture.application_session(user, &password).await else {
        return Err(Stop::Skipped("the fixture cannot hold a session"));
    };
    let (young, during) = (end(Duration::from_secs(3600)).await?, count().await?);
    let (old, after) = (end(Duration::ZERO).await?, count().await?);
    let again = count().await?;
    drop(held);
    ensure((young, during) == (0, 1), || format!("a young session: {young} ended, {during} left"))?;
    // A session of our own that has not quite gone yet may be among them.
    ensure(old >= 1 && (after, again) == (0, 0), || format!("an old one: {old} ended, {after} left, then {again}"))
}

async fn prepare_can_be_repeated_and_keeps_the_fence(fixture: &dyn DatabaseFixture) -> Checked {
    let Some(admin) = fixture.admin() else { return Err(Stop::Skipped("the fixture has no administrator")) };
    let database = fixture.database();
    let users = fixture.users();
    let at = moved_to(fixture, 3, 2).await?;
    for attempt in ["prepare", "prepare again"] {
        ok(attempt, database.prepare(admin, &users, None, stamp(4, 3), soon()).await)?;
    }
    let plan = ok("prepare_plan", database.prepare_plan(admin, &users, stamp(4, 3), soon()).await)?;
    let open: Vec<_> = plan.iter().filter(|step| step.automatic && !step.done).collect();
    ensure(open.is_empty(), || format!("steps that prepare has just done are not done: {open:?}"))?;
    logs_in(fixture, &at, "after prepare").await?;
    if database.capability() == Capability::RowFence {
        fence_is(fixture, &at, 3, Some(2)).await?;
    }
    Ok(())
}

async fn prepare_gives_the_second_user_its_password(fixture: &dyn DatabaseFixture) -> Checked {
    let Some(admin) = fixture.admin() else { return Err(Stop::Skipped("the fixture has no administrator")) };
    let [first, second] = fixture.users();
    let new = password(0);
    let login = Login { user: second, password: &new };
    for attempt in ["prepare", "prepare again"] {
        let outcome = fixture.database().prepare(admin, &[first, second], Some(login), stamp(1, 1), soon()).await;
        let steps = ok(attempt, outcome)?;
        let text = format!("{steps:?}");
        ensure(!text.contains(CANARY), || "the steps of prepare quote a password".to_owned())?;
    }
    ensure(fixture.logs_in(second, &new).await, || "the second user's password was not set".to_owned())?;
    logs_in(fixture, &fixture.password(0), "after prepare of the second user").await
}

async fn an_administrator_sets_a_password_that_nobody_knows(fixture: &dyn DatabaseFixture) -> Checked {
    let Some(admin) = fixture.admin() else { return Err(Stop::Skipped("the fixture has no administrator")) };
    let [first, second] = fixture.users();
    let new = password(3);
    let login = Login { user: first, password: &new };
    for attempt in ["set a password", "set it again"] {
        ok(attempt, fixture.database().set_password(admin, login, stamp(5, 3), soon()).await)?;
        ensure(fixture.logs_in(first, &new).await, || "the password was not set".to_owned())?;
    }
    ensure(!fixture.logs_in(first, &fixture.password(0)).await, || "the old password still logs in".to_owned())?;
    if fixture.database().capability() == Capability::RowFence {
        // The row is where the password is: what is older is refused, and the next change goes on from there.
        let older = Change { login, new: &password(4), stamp: stamp(4, 4), kind: single(3) };
        fails_as("a change of an older epoch", fixture.database().apply(older, soon()).await, Kind::Fenced)?;
        let late = fixture.database().set_password(admin, login, stamp(4, 3), soon()).await;
        fails_as("an older epoch", late, Kind::Fenced)?;
        let back = fixture.database().set_password(admin, login, stamp(6, 2), soon()).await;
        fails_as("an older generation", back, Kind::Fenced)?;
    }
    let next = Change { login, new: &password(4), stamp: stamp(6, 4), kind: single(3) };
    ok("the next change", fixture.database().apply(next, soon()).await)?;
    // Its own password an Oracle user may change without a right, another's not.
    let (nobody, other) = (Login { user: first, password: &password(4) }, Login { user: second, password: &new });
    let outcome = fixture.database().set_password(nobody, other, stamp(7, 4), soon()).await;
    fails("a user without the right", outcome).map(drop)
}

async fn prepare_with_another_register_is_refused(fixture: &dyn DatabaseFixture) -> Checked {
    needs_fence(fixture)?;
    let Some(admin) = fixture.admin() else { return Err(Stop::Skipped("the fixture has no administrator")) };
    let at = moved_to(fixture, 1, 1).await?;
    let (users, new) = (fixture.users(), password(0));
    let [_, second] = users;
    let foreign = FenceStamp { register: OTHER_REGISTER, ..stamp(9, 9) };
    let login = Login { user: second, password: &new };
    // A set belongs to one register as a whole, also those of its users that were never changed.
    let outcome = fixture.database().prepare(admin, &users, Some(login), foreign, soon()).await;
    fails_as("prepare for another register", outcome, Kind::ForeignRegister)?;
    ensure(fixture.logs_in(second, &fixture.password(1)).await, || {
        "another register has changed the second user's password".to_owned()
    })?;
    fence_is(fixture, &at, 1, Some(1)).await
}

async fn a_passed_deadline_is_honoured(fixture: &dyn DatabaseFixture) -> Checked {
    let (old, new) = (fixture.password(0), password(1));
    let database = fixture.database();
    let none = Duration::ZERO;
    let change = to(fixture, &old, &new, stamp(1, 1), ChangeKind::Alternating);
    let login = async |deadline| database.login(change.login, change.stamp, deadline).await;
    let error = fails("login without time", returns_in_time("login", none, login).await?)?;
    not_about_the_password("login", &error)?;
    let apply = async |deadline| database.apply(change, deadline).await;
    let error = fails("apply without time", returns_in_time("apply", none, apply).await?)?;
    not_about_the_password("apply", &error)?;
    if error.certainty == Certainty::Refused {
        logs_in(fixture, &old, "after a change without time").await?;
    }
    Ok(())
}

async fn a_silent_server_is_given_up_in_time(fixture: &dyn DatabaseFixture) -> Checked {
    let Some(silent) = fixture.silent() else { return Err(Stop::Skipped("the fixture has no silent server")) };
    let (old, new) = (fixture.password(0), password(1));
    let change = to(fixture, &old, &new, stamp(1, 1), ChangeKind::Alternating);
    let users = fixture.users();
    let login = async |deadline| silent.login(change.login, change.stamp, deadline).await;
    let inspect = async |deadline| silent.inspect(change.login, &users, change.stamp, deadline).await;
    let apply = async |deadline| silent.apply(change, deadline).await;
    for (what, error) in [
        ("login", fails("login", returns_in_time("login", SILENCE, login).await?)?),
        ("inspect", fails("inspect", returns_in_time("inspect", SILENCE, inspect).await?)?),
        ("apply", fails("apply", returns_in_time("apply", SILENCE, apply).await?)?),
    ] {
        not_about_the_password(what, &error)?;
    }
    Ok(())
}

/// A password is judged by the server's word alone, never by its silence.
fn not_about_the_password(what: &str, error: &PortError) -> Checked {
    ensure(error.kind != Kind::Credential, || format!("{what}: silence was taken for a wrong password: {error:?}"))
}
