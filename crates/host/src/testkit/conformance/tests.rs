//! The suites judged: memory adapters pass them, and adapters with one known defect fail the check that is about it.
//!
//! A defect is a wrapper that breaks one promise and passes everything else on.

use std::sync::Arc;

use async_trait::async_trait;
use dizzy_engine::{Capability, Epoch, Generation};

use super::{
    DatabaseFixture, JournalFixture, ObjectFixture, REGISTER, Report, SET, StoreFixture, database as database_suite,
    journal as journal_suite, objects as objects_suite, store as store_suite,
};
use crate::{
    memory::{Acceptance, MemoryDatabase, MemoryJournal, MemoryObjects, MemoryStore, Retention},
    port::{
        Change, ChangeKind, Database, Deadline, Etag, FenceStamp, FenceState, Inspection, Journal, Kind, Labels, Login,
        Object, ObjectPage, ObjectStore, PortError, PortResult, PrepareStep, SecretStore, Sessions, Stored,
        StoredVersion, Tag, VersionId, VersionMark, VersionName, Versions, Vote, Written,
    },
    secret::{Password, SecretText},
};

#[tokio::test(start_paused = true)]
async fn the_memory_journal_keeps_every_promise() {
    let held = journal_suite(async || JournalWith(Arc::new(BrokenJournal::new(JournalDefect::None)))).await;
    assert_eq!(held.into_result().unwrap().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_defective_journal_breaks_the_promise_it_is_about() {
    for (defect, check) in [
        (JournalDefect::LastWriterWins, "a_write_with_an_old_tag_is_a_conflict"),
        (JournalDefect::LastWriterWins, "concurrent_increments_lose_no_update"),
        (JournalDefect::CreationOverwrites, "creation_never_overwrites"),
        (JournalDefect::OneRegisterForAll, "sets_do_not_share_a_register"),
    ] {
        breaks(&journal_suite(async || JournalWith(Arc::new(BrokenJournal::new(defect)))).await, check);
    }
}

#[tokio::test(start_paused = true)]
async fn objects_in_memory_keep_every_promise() {
    let report = objects_suite(async || ObjectsWith::new(ObjectsDefect::None)).await;
    assert_eq!(report.into_result().unwrap().len(), 19);
}

#[tokio::test(start_paused = true)]
async fn defective_objects_break_the_promise_they_are_about() {
    for (defect, check) in [
        (ObjectsDefect::LastWriterWins, "a_replacement_needs_the_present_tag"),
        (ObjectsDefect::LastWriterWins, "of_many_replacements_exactly_one_wins"),
        (ObjectsDefect::CreationOverwrites, "creation_never_overwrites"),
        (ObjectsDefect::CreationOverwrites, "of_many_creations_exactly_one_wins"),
        (ObjectsDefect::ListStopsEarly, "a_list_has_every_name_once_and_in_order"),
        (ObjectsDefect::ListForgetsPrefix, "a_list_keeps_to_its_prefix"),
        (ObjectsDefect::MarkersHidden, "versions_tell_what_was_there_or_that_they_are_not_listed"),
        (ObjectsDefect::VersionsStopEarly, "versions_come_in_parts_that_leave_nothing_out"),
        (ObjectsDefect::LimitIgnored, "an_object_longer_than_expected_is_not_taken_in"),
        (ObjectsDefect::OldReads, "the_other_worker_sees_a_write_at_once"),
    ] {
        breaks(&objects_suite(async || ObjectsWith::new(defect)).await, check);
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_every_promise() {
    for retention in [Retention::DropUnlabelled, Retention::KeepAll] {
        let report = store_suite(async || StoreWith::new(StoreDefect::None, retention)).await;
        assert_eq!(report.into_result().unwrap().len(), 22);
    }
}

#[tokio::test(start_paused = true)]
async fn a_defective_store_breaks_the_promise_it_is_about() {
    for (defect, check) in [
        (StoreDefect::PromoteWithoutCompare, "promotion_from_elsewhere_is_a_conflict"),
        (StoreDefect::PromoteWithoutCompare, "of_two_racing_promotions_at_most_one_wins"),
        (StoreDefect::PendingWithoutCompare, "pending_moves_by_compare_and_swap"),
        (StoreDefect::StageTakesPending, "a_stage_touches_neither_current_nor_pending"),
        (StoreDefect::StageIgnoresTaken, "a_taken_name_keeps_its_first_value"),
        (StoreDefect::PromoteDropsOldName, "promotion_leaves_our_names_alone"),
        (StoreDefect::PruneTakesAny, "prune_of_a_name_that_is_elsewhere_is_a_conflict"),
        (StoreDefect::ErrorsQuoteValues, "a_taken_name_keeps_its_first_value"),
        (StoreDefect::RestagePublishes, "an_edit_takes_the_name_over_and_publishes_nothing"),
        (StoreDefect::RestageKeepsTheName, "an_edit_takes_the_name_over_and_publishes_nothing"),
    ] {
        breaks(&store_suite(async || StoreWith::new(defect, Retention::DropUnlabelled)).await, check);
    }
}

#[tokio::test(start_paused = true)]
async fn memory_databases_keep_every_promise() {
    for (capability, acceptance, checks) in [
        (Capability::RowFence, Acceptance::Newest, 32),
        (Capability::StatementCas, Acceptance::Newest, 15),
        (Capability::StatementCas, Acceptance::Rollover, 15),
    ] {
        let report = database_suite(async || DatabaseWith::new(DatabaseDefect::None, capability, acceptance)).await;
        assert_eq!(report.into_result().unwrap().len(), checks, "{capability:?} {acceptance:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_defective_database_breaks_the_promise_it_is_about() {
    for (defect, check) in [
        (DatabaseDefect::IgnoresEpoch, "a_change_of_an_older_epoch_is_fenced"),
        (DatabaseDefect::IgnoresEpoch, "a_restored_password_cannot_be_changed_by_a_zombie"),
        (DatabaseDefect::IgnoresBase, "a_single_change_needs_its_base"),
        (DatabaseDefect::IgnoresOrder, "an_alternating_change_never_goes_back"),
        (DatabaseDefect::IgnoresRegister, "another_register_is_refused"),
        (DatabaseDefect::VoteAppliesAtOnce, "a_vote_is_invisible_until_committed"),
        (DatabaseDefect::VoteAppliesAtOnce, "a_dropped_vote_is_taken_back"),
        (DatabaseDefect::BurnDoesNothing, "burn_refuses_what_is_older"),
        (DatabaseDefect::ApplyDoesNothing, "applied_means_that_the_new_password_logs_in"),
        (DatabaseDefect::NeverComesBack, "a_silent_server_is_given_up_in_time"),
        (DatabaseDefect::SilenceIsWrongPassword, "a_passed_deadline_is_honoured"),
        (DatabaseDefect::PrepareResetsFence, "prepare_can_be_repeated_and_keeps_the_fence"),
        (DatabaseDefect::EndsNoSessions, "sessions_are_ended_by_their_age"),
        (DatabaseDefect::EndsEverySession, "sessions_are_ended_by_their_age"),
    ] {
        let report = database_suite(async || DatabaseWith::new(defect, Capability::RowFence, Acceptance::Newest)).await;
        breaks(&report, check);
    }
}

fn breaks(report: &Report, check: &str) {
    let broken: Vec<&str> = report.broken.iter().map(|(name, _)| *name).collect();
    assert!(broken.contains(&check), "{check} held although it must not; broken: {broken:?}");
    assert!(report.held.len() > 2, "one defect broke nearly everything: {:?}", report.broken);
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum JournalDefect {
    None,
    LastWriterWins,
    CreationOverwrites,
    OneRegisterForAll,
}

struct BrokenJournal {
    inner: MemoryJournal,
    defect: JournalDefect,
}

impl BrokenJournal {
    fn new(defect: JournalDefect) -> Self {
        Self { inner: MemoryJournal::default(), defect }
    }

    fn set<'a>(&self, set: &'a str) -> &'a str {
        if self.defect == JournalDefect::OneRegisterForAll { "all" } else { set }
    }
}

#[async_trait]
impl Journal for BrokenJournal {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn read(&self, set: &str, deadline: Deadline) -> PortResult<Option<Stored>> {
        let stored = self.inner.read(self.set(set), deadline).await;
        // Lets the other worker in between reading and writing, as a real store does.
        tokio::task::yield_now().await;
        stored
    }

    async fn write(&self, set: &str, expected: Option<&Tag>, bytes: &[u8], deadline: Deadline) -> PortResult<Tag> {
        let set = self.set(set);
        let there = self.inner.read(set, deadline).await?.map(|stored| stored.tag);
        let overwrites = match self.defect {
            JournalDefect::LastWriterWins => expected.is_some(),
            JournalDefect::CreationOverwrites => expected.is_none(),
            JournalDefect::None | JournalDefect::OneRegisterForAll => false,
        };
        let expected = if overwrites { there.as_ref() } else { expected };
        self.inner.write(set, expected, bytes, deadline).await
    }
}

struct JournalWith(Arc<BrokenJournal>);

impl JournalFixture for JournalWith {
    fn first(&self) -> Arc<dyn Journal> {
        Arc::<BrokenJournal>::clone(&self.0)
    }

    fn second(&self) -> Arc<dyn Journal> {
        Arc::<BrokenJournal>::clone(&self.0)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StoreDefect {
    None,
    PromoteWithoutCompare,
    PendingWithoutCompare,
    StageTakesPending,
    StageIgnoresTaken,
    PromoteDropsOldName,
    PruneTakesAny,
    ErrorsQuoteValues,
    RestagePublishes,
    RestageKeepsTheName,
}

struct BrokenStore {
    inner: MemoryStore,
    defect: StoreDefect,
}

#[async_trait]
impl SecretStore for BrokenStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn current(&self, deadline: Deadline) -> PortResult<StoredVersion> {
        self.inner.current(deadline).await
    }

    async fn read(&self, id: &VersionId, deadline: Deadline) -> PortResult<StoredVersion> {
        self.inner.read(id, deadline).await
    }

    async fn labels(&self, deadline: Deadline) -> PortResult<Labels> {
        self.inner.labels(deadline).await
    }

    async fn stage(&self, name: &VersionName, value: &SecretText, deadline: Deadline) -> PortResult<VersionId> {
        let outcome = self.inner.stage(name, value, deadline).await;
        match (self.defect, outcome) {
            (StoreDefect::StageTakesPending, Ok(id)) => {
                let pending = self.inner.labels(deadline).await?.pending;
                self.inner.move_pending(pending.as_ref(), &id, deadline).await?;
                Ok(id)
            }
            (StoreDefect::StageIgnoresTaken, Err(error)) if error.kind == Kind::Exists => {
                let labels = self.inner.labels(deadline).await?;
                labels.named.get(name).cloned().ok_or(error)
            }
            (StoreDefect::ErrorsQuoteValues, Err(error)) => Err(error.with_hint(value.expose())),
            (_, outcome) => outcome,
        }
    }

    async fn restage(
        &self,
        name: &VersionName,
        edited: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        let id = self.inner.restage(name, edited, value, deadline).await?;
        if self.defect == StoreDefect::RestagePublishes {
            let labels = self.inner.labels(deadline).await?;
            self.inner.promote(&labels.current.unwrap_or_else(|| edited.clone()), &id, deadline).await?;
        }
        if self.defect == StoreDefect::RestageKeepsTheName {
            self.inner.prune(name, &id, deadline).await?;
        }
        Ok(id)
    }

    async fn label(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        self.inner.label(name, id, deadline).await
    }

    async fn move_pending(&self, from: Option<&VersionId>, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let there = self.inner.labels(deadline).await?.pending;
        let from = if self.defect == StoreDefect::PendingWithoutCompare { there.as_ref() } else { from };
        self.inner.move_pending(from, to, deadline).await
    }

    async fn promote(&self, from: &VersionId, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let labels = self.inner.labels(deadline).await?;
        let there = labels.current.unwrap_or_else(|| from.clone());
        let from = if self.defect == StoreDefect::PromoteWithoutCompare { &there } else { from };
        self.inner.promote(from, to, deadline).await?;
        if self.defect == StoreDefect::PromoteDropsOldName {
            for (name, id) in labels.named.iter().filter(|(_, id)| *id == from) {
                self.inner.prune(name, id, deadline).await?;
            }
        }
        Ok(())
    }

    async fn prune(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let there = self.inner.labels(deadline).await?.named.get(name).cloned();
        let id = if self.defect == StoreDefect::PruneTakesAny { there.as_ref().unwrap_or(id) } else { id };
        self.inner.prune(name, id, deadline).await
    }
}

struct StoreWith {
    store: BrokenStore,
    absent: AbsentStore,
}

impl StoreWith {
    fn new(defect: StoreDefect, retention: Retention) -> Self {
        let inner = MemoryStore::new("mem:orders", initial(), retention);
        Self { store: BrokenStore { inner, defect }, absent: AbsentStore }
    }
}

fn initial() -> SecretText {
    SecretText::new("{\"rds\":{\"username\":\"app\",\"password\":\"first\"}}".to_owned())
}

#[async_trait]
impl StoreFixture for StoreWith {
    fn store(&self) -> &dyn SecretStore {
        &self.store
    }

    fn initial(&self) -> SecretText {
        initial()
    }

    fn absent(&self) -> Option<&dyn SecretStore> {
        Some(&self.absent)
    }

    async fn published(&self) -> SecretText {
        self.store.inner.published().unwrap()
    }
}

/// A secret that does not exist.
struct AbsentStore;

impl AbsentStore {
    fn not_found<T>() -> PortResult<T> {
        Err(PortError::refused(Kind::NotFound, "mem:absent: the secret does not exist"))
    }
}

#[async_trait]
impl SecretStore for AbsentStore {
    fn name(&self) -> &'static str {
        "mem:absent"
    }

    async fn current(&self, _: Deadline) -> PortResult<StoredVersion> {
        Self::not_found()
    }

    async fn read(&self, _: &VersionId, _: Deadline) -> PortResult<StoredVersion> {
        Self::not_found()
    }

    async fn labels(&self, _: Deadline) -> PortResult<Labels> {
        Self::not_found()
    }

    async fn stage(&self, _: &VersionName, _: &SecretText, _: Deadline) -> PortResult<VersionId> {
        Self::not_found()
    }

    async fn restage(&self, _: &VersionName, _: &VersionId, _: &SecretText, _: Deadline) -> PortResult<VersionId> {
        Self::not_found()
    }

    async fn label(&self, _: &VersionName, _: &VersionId, _: Deadline) -> PortResult<()> {
        Self::not_found()
    }

    async fn move_pending(&self, _: Option<&VersionId>, _: &VersionId, _: Deadline) -> PortResult<()> {
        Self::not_found()
    }

    async fn promote(&self, _: &VersionId, _: &VersionId, _: Deadline) -> PortResult<()> {
        Self::not_found()
    }

    async fn prune(&self, _: &VersionName, _: &VersionId, _: Deadline) -> PortResult<()> {
        Self::not_found()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum DatabaseDefect {
    None,
    IgnoresEpoch,
    IgnoresBase,
    IgnoresOrder,
    IgnoresRegister,
    VoteAppliesAtOnce,
    BurnDoesNothing,
    ApplyDoesNothing,
    NeverComesBack,
    SilenceIsWrongPassword,
    PrepareResetsFence,
    EndsNoSessions,
    EndsEverySession,
}

struct BrokenDatabase {
    inner: MemoryDatabase,
    defect: DatabaseDefect,
    silent: bool,
}

impl BrokenDatabase {
    /// What this database makes of a request that it is to judge.
    fn misread<'a>(&self, change: Change<'a>) -> Change<'a> {
        let stamp = change.stamp;
        let row = self.inner.fence(stamp.set, change.login.user);
        let generation = row.as_ref().and_then(|row| row.generation).unwrap_or(stamp.generation);
        match (self.defect, change.kind) {
            (DatabaseDefect::IgnoresEpoch, _) => {
                let epoch = row.map_or(stamp.epoch, |row| row.epoch.max(stamp.epoch));
                Change { stamp: FenceStamp { epoch, ..stamp }, ..change }
            }
            (DatabaseDefect::IgnoresRegister, _) => {
                Change { stamp: FenceStamp { register: REGISTER, ..stamp }, ..change }
            }
            (DatabaseDefect::IgnoresBase, ChangeKind::Single { .. })
            | (DatabaseDefect::IgnoresOrder, ChangeKind::Alternating) => {
                Change { kind: ChangeKind::Single { from: generation }, ..change }
            }
            (_, _) => change,
        }
    }

    async fn silence<T>(&self, deadline: Deadline) -> PortResult<T> {
        if self.defect == DatabaseDefect::NeverComesBack {
            core::future::pending::<()>().await;
        }
        tokio::time::sleep_until(deadline.instant()).await;
        Err(PortError::unknown(Kind::Timeout, "mem:silent: no answer"))
    }

    fn out_of_time<T>(&self, outcome: PortResult<T>) -> PortResult<T> {
        outcome.map_err(|error| {
            let wrong = self.defect == DatabaseDefect::SilenceIsWrongPassword && error.kind == Kind::Timeout;
            if wrong { PortError::refused(Kind::Credential, "mem: wrong password") } else { error }
        })
    }
}

#[async_trait]
impl Database for BrokenDatabase {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn login(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        if self.silent {
            return self.silence(deadline).await;
        }
        self.out_of_time(self.inner.login(login, stamp, deadline).await)
    }

    async fn inspect(
        &self,
        login: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Inspection> {
        if self.silent {
            return self.silence(deadline).await;
        }
        self.inner.inspect(login, users, stamp, deadline).await
    }

    async fn sessions(
        &self,
        login: Login<'_>,
        user: &str,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Sessions> {
        self.inner.sessions(login, user, stamp, deadline).await
    }

    async fn apply(&self, change: Change<'_>, deadline: Deadline) -> PortResult<()> {
        if self.silent {
            return self.silence(deadline).await;
        }
        if self.defect == DatabaseDefect::ApplyDoesNothing {
            return self.inner.login(change.login, change.stamp, deadline).await;
        }
        self.out_of_time(self.inner.apply(self.misread(change), deadline).await)
    }

    async fn vote(&self, change: Change<'_>, deadline: Deadline) -> PortResult<Box<dyn Vote>> {
        if self.defect == DatabaseDefect::VoteAppliesAtOnce {
            self.inner.apply(change, deadline).await?;
            return Ok(Box::new(NoVote));
        }
        self.inner.vote(self.misread(change), deadline).await
    }

    async fn burn(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<FenceState> {
        if self.defect == DatabaseDefect::BurnDoesNothing {
            let row = self.inner.fence(stamp.set, login.user);
            let missing = || PortError::refused(Kind::FenceMissing, "mem: there is no fence row");
            return Ok(FenceState { epoch: stamp.epoch, ..row.ok_or_else(missing)? });
        }
        self.inner.burn(login, stamp, deadline).await
    }

    async fn prepare_plan(
        &self,
        admin: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        self.inner.prepare_plan(admin, users, stamp, deadline).await
    }

    fn prepare_sql(&self, users: &[&str], stamp: FenceStamp<'_>) -> Vec<PrepareStep> {
        self.inner.prepare_sql(users, stamp)
    }

    async fn prepare(
        &self,
        admin: Login<'_>,
        users: &[&str],
        second: Option<Login<'_>>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        if self.defect == DatabaseDefect::PrepareResetsFence {
            self.inner.remove_fence(stamp.set);
        }
        self.inner.prepare(admin, users, second, stamp, deadline).await
    }

    async fn set_password(
        &self,
        admin: Login<'_>,
        user: Login<'_>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<()> {
        self.inner.set_password(admin, user, stamp, deadline).await
    }

    async fn end_sessions(
        &self,
        login: Login<'_>,
        user: &str,
        age: core::time::Duration,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<u32> {
        let age = if self.defect == DatabaseDefect::EndsNoSessions { core::time::Duration::MAX } else { age };
        let age = if self.defect == DatabaseDefect::EndsEverySession { core::time::Duration::ZERO } else { age };
        self.inner.end_sessions(login, user, age, stamp, deadline).await
    }
}

/// Has nothing left to commit.
struct NoVote;

#[async_trait]
impl Vote for NoVote {
    async fn commit(self: Box<Self>, _deadline: Deadline) -> PortResult<()> {
        Ok(())
    }
}

struct DatabaseWith {
    database: BrokenDatabase,
    silent: BrokenDatabase,
    acceptance: Acceptance,
    admin: Password,
}

impl DatabaseWith {
    fn new(defect: DatabaseDefect, capability: Capability, acceptance: Acceptance) -> Self {
        let admin = Password::new("admin".to_owned());
        let memory = || {
            let database = MemoryDatabase::new("rds", capability, acceptance);
            database.add_admin("admin", admin.clone());
            for (index, user) in USERS.into_iter().enumerate() {
                database.add_user(user, first_password(index));
            }
            if capability == Capability::RowFence {
                database.add_fence(SET, REGISTER, &USERS);
            }
            database
        };
        let database = BrokenDatabase { inner: memory(), defect, silent: false };
        let silent = BrokenDatabase { inner: memory(), defect, silent: true };
        Self { database, silent, acceptance, admin }
    }
}

const USERS: [&str; 2] = ["orders_a", "orders_b"];

fn first_password(index: usize) -> Password {
    Password::new(format!("first-{index}"))
}

#[async_trait]
impl DatabaseFixture for DatabaseWith {
    fn database(&self) -> &dyn Database {
        &self.database
    }

    fn users(&self) -> [&str; 2] {
        USERS
    }

    fn password(&self, user: usize) -> Password {
        first_password(user)
    }

    fn acceptance(&self) -> Acceptance {
        self.acceptance
    }

    fn admin(&self) -> Option<Login<'_>> {
        Some(Login { user: "admin", password: &self.admin })
    }

    async fn logs_in(&self, user: &str, password: &Password) -> bool {
        self.database.inner.accepts(user, password)
    }

    async fn application_session(&self, user: &str, _password: &Password) -> Option<Box<dyn Send + Sync>> {
        self.database.inner.hold_sessions(user, 1);
        Some(Box::new(()))
    }

    fn silent(&self) -> Option<&dyn Database> {
        Some(&self.silent)
    }
}

/// The C9 of the design notes: a login is no fence, because a session outlives the password that opened it.
#[tokio::test(start_paused = true)]
async fn a_request_that_logged_in_earlier_is_stopped_by_the_fence_only() {
    let (old, mid, late) = (first_password(0), Password::new("g2".to_owned()), Password::new("g1".to_owned()));
    let stamp = |epoch, generation| FenceStamp {
        set: SET,
        register: REGISTER,
        epoch: Epoch(epoch),
        generation: Generation(generation),
    };
    let login = Login { user: USERS[0], password: &old };
    let zombie = Change { login, new: &late, stamp: stamp(1, 1), kind: ChangeKind::Alternating };
    let newer = Change { login, new: &mid, stamp: stamp(2, 2), kind: ChangeKind::Alternating };

    let fenced = DatabaseWith::new(DatabaseDefect::None, Capability::RowFence, Acceptance::Newest);
    let submitted = fenced.database.inner.submit(&zombie).unwrap();
    fenced.database.apply(newer, Deadline::after(core::time::Duration::from_secs(1))).await.unwrap();
    assert_eq!(submitted.execute().unwrap_err().kind, Kind::Fenced);
    assert!(fenced.database.inner.accepts(USERS[0], &mid));

    let by_statement = DatabaseWith::new(DatabaseDefect::None, Capability::StatementCas, Acceptance::Newest);
    let submitted = by_statement.database.inner.submit(&zombie).unwrap();
    by_statement.database.apply(newer, Deadline::after(core::time::Duration::from_secs(1))).await.unwrap();
    assert_eq!(submitted.execute().unwrap_err().kind, Kind::Credential, "the old password is checked at execution");
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ObjectsDefect {
    None,
    CreationOverwrites,
    LastWriterWins,
    LimitIgnored,
    ListForgetsPrefix,
    ListStopsEarly,
    MarkersHidden,
    OldReads,
    VersionsStopEarly,
}

struct BrokenObjects {
    inner: Arc<MemoryObjects>,
    defect: ObjectsDefect,
}

struct ObjectsWith(Arc<MemoryObjects>, ObjectsDefect);

impl ObjectsWith {
    fn new(defect: ObjectsDefect) -> Self {
        Self(Arc::default(), defect)
    }
}

#[async_trait]
impl ObjectFixture for ObjectsWith {
    fn first(&self) -> Arc<dyn ObjectStore> {
        Arc::new(BrokenObjects { inner: Arc::clone(&self.0), defect: self.1 })
    }

    fn second(&self) -> Arc<dyn ObjectStore> {
        self.first()
    }

    async fn overwrite(&self, name: &str, bytes: &[u8]) {
        self.0.overwrite(name, bytes);
    }

    async fn delete(&self, name: &str) {
        self.0.delete(name);
    }

    fn keeps_versions(&self) -> bool {
        true
    }
}

#[async_trait]
impl ObjectStore for BrokenObjects {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        if self.defect == ObjectsDefect::OldReads {
            self.inner.answer_old_once();
        }
        let limit = if self.defect == ObjectsDefect::LimitIgnored { usize::MAX } else { limit };
        self.inner.get(name, limit, deadline).await
    }

    async fn get_version(
        &self,
        name: &str,
        version: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        self.inner.get_version(name, version, limit, deadline).await
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        if self.defect == ObjectsDefect::CreationOverwrites
            && let Some(object) = self.inner.get(name, usize::MAX, deadline).await?
        {
            return self.inner.replace(name, bytes, &object.etag, deadline).await;
        }
        self.inner.create(name, bytes, deadline).await
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        if self.defect == ObjectsDefect::LastWriterWins
            && let Some(object) = self.inner.get(name, usize::MAX, deadline).await?
        {
            return self.inner.replace(name, bytes, &object.etag, deadline).await;
        }
        self.inner.replace(name, bytes, expected, deadline).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        let prefix = if self.defect == ObjectsDefect::ListForgetsPrefix { "" } else { prefix };
        let mut page = self.inner.list(prefix, after, most, deadline).await?;
        if self.defect == ObjectsDefect::ListStopsEarly {
            page.next = None;
        }
        Ok(page)
    }

    async fn versions(
        &self,
        prefix: &str,
        after: Option<&VersionMark>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<Versions> {
        let Versions::Page(mut page) = self.inner.versions(prefix, after, most, deadline).await? else {
            return Ok(Versions::NotListed);
        };
        if self.defect == ObjectsDefect::MarkersHidden {
            page.versions.retain(|version| version.etag.is_some());
        }
        if self.defect == ObjectsDefect::VersionsStopEarly {
            page.next = None;
        }
        Ok(Versions::Page(page))
    }
}
