//! The ports with a plan of faults between them and the caller. Each wrapper only names its calls and copies what a
//! delayed request needs; everything else is decided in `faults`.

use std::sync::Arc;

use async_trait::async_trait;
use dizzy_engine::{Capability, Epoch, Generation};

use super::{
    faults::{Ageing, Call, Faults, Later},
    matrix::Point,
};
use crate::{
    memory::MemoryDatabase,
    port::{
        Change, ChangeKind, Database, Deadline, Etag, FenceStamp, FenceState, Finding, Inspection, Journal, Labels,
        Login, Object, ObjectPage, ObjectStore, PortResult, PrepareStep, SecretReader, SecretStore, Sessions, Stored,
        StoredVersion, Tag, VersionId, VersionMark, VersionName, Versions, Vote, Written,
    },
    reference::Reference,
    secret::{Password, SecretText},
};

/// How long a delayed request may take once it is delivered.
pub(super) const DELIVERY: core::time::Duration = core::time::Duration::from_secs(10);

/// For calls that change nothing.
const READ: Option<fn() -> PortResult<Later>> = None;

pub(super) struct FaultyDatabase {
    inner: Arc<dyn Database>,
    memory: Option<Arc<MemoryDatabase>>,
    faults: Arc<Faults>,
}

impl FaultyDatabase {
    pub(super) fn new(inner: Arc<dyn Database>, memory: Option<Arc<MemoryDatabase>>, faults: Arc<Faults>) -> Self {
        Self { inner, memory, faults }
    }

    fn call(&self, verb: &str, deadline: Deadline) -> Call<'static> {
        let point = self.faults.point_of_database(verb, self.inner.capability());
        Call::new(format!("database.{verb}:{}", self.inner.name()), point, deadline)
    }
}

/// A copy of a change that outlives its caller.
struct OwnedChange {
    user: String,
    old: Password,
    new: Password,
    stamp: OwnedStamp,
    kind: ChangeKind,
}

struct OwnedStamp {
    set: String,
    register: String,
    epoch: Epoch,
    generation: Generation,
}

impl OwnedStamp {
    fn of(stamp: FenceStamp<'_>) -> Self {
        Self {
            set: stamp.set.to_owned(),
            register: stamp.register.to_owned(),
            epoch: stamp.epoch,
            generation: stamp.generation,
        }
    }

    fn stamp(&self) -> FenceStamp<'_> {
        FenceStamp { set: &self.set, register: &self.register, epoch: self.epoch, generation: self.generation }
    }
}

impl OwnedChange {
    fn of(change: &Change<'_>) -> Self {
        Self {
            user: change.login.user.to_owned(),
            old: change.login.password.clone(),
            new: change.new.clone(),
            stamp: OwnedStamp::of(change.stamp),
            kind: change.kind,
        }
    }

    fn change(&self) -> Change<'_> {
        Change {
            login: Login { user: &self.user, password: &self.old },
            new: &self.new,
            stamp: self.stamp.stamp(),
            kind: self.kind,
        }
    }
}

#[async_trait]
impl Database for FaultyDatabase {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn wrong_logins_allowed(&self) -> Option<u32> {
        self.inner.wrong_logins_allowed()
    }

    fn known(&self) -> Vec<Finding> {
        self.inner.known()
    }

    async fn login(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        self.faults.run(self.call("login", deadline), |deadline| self.inner.login(login, stamp, deadline), READ).await
    }

    async fn inspect(
        &self,
        login: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Inspection> {
        let call = |deadline| self.inner.inspect(login, users, stamp, deadline);
        self.faults.run(self.call("inspect", deadline), call, READ).await
    }

    async fn sessions(
        &self,
        login: Login<'_>,
        user: &str,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Sessions> {
        let call = |deadline| self.inner.sessions(login, user, stamp, deadline);
        self.faults.run(self.call("sessions", deadline), call, READ).await
    }

    async fn apply(&self, change: Change<'_>, deadline: Deadline) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            if let Some(memory) = &self.memory {
                let submitted = memory.submit(&change)?;
                return Ok(Box::pin(async move { drop(submitted.execute()) }));
            }
            let (inner, owned) = (Arc::clone(&self.inner), OwnedChange::of(&change));
            Ok(Box::pin(async move { drop(inner.apply(owned.change(), Deadline::after(DELIVERY)).await) }))
        };
        self.faults.run(self.call("apply", deadline), |deadline| self.inner.apply(change, deadline), Some(later)).await
    }

    async fn vote(&self, change: Change<'_>, deadline: Deadline) -> PortResult<Box<dyn Vote>> {
        let call = |deadline| self.inner.vote(change, deadline);
        let inner = self.faults.run(self.call("vote", deadline), call, READ).await?;
        Ok(Box::new(FaultyVote { inner, name: self.call("commit", deadline).name, faults: Arc::clone(&self.faults) }))
    }

    async fn burn(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<FenceState> {
        let later = || -> PortResult<Later> {
            let (inner, stamp) = (Arc::clone(&self.inner), OwnedStamp::of(stamp));
            let (user, password) = (login.user.to_owned(), login.password.clone());
            Ok(Box::pin(async move {
                let login = Login { user: &user, password: &password };
                drop(inner.burn(login, stamp.stamp(), Deadline::after(DELIVERY)).await);
            }))
        };
        let call = |deadline| self.inner.burn(login, stamp, deadline);
        self.faults.run(self.call("burn", deadline), call, Some(later)).await
    }

    async fn end_window(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            let (inner, stamp) = (Arc::clone(&self.inner), OwnedStamp::of(stamp));
            let (user, password) = (login.user.to_owned(), login.password.clone());
            Ok(Box::pin(async move {
                let login = Login { user: &user, password: &password };
                drop(inner.end_window(login, stamp.stamp(), Deadline::after(DELIVERY)).await);
            }))
        };
        let call = |deadline| self.inner.end_window(login, stamp, deadline);
        self.faults.run(self.call("end_window", deadline), call, Some(later)).await
    }

    async fn end_sessions(
        &self,
        login: Login<'_>,
        user: &str,
        age: core::time::Duration,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<u32> {
        let later = || -> PortResult<Later> {
            let (inner, stamp) = (Arc::clone(&self.inner), OwnedStamp::of(stamp));
            let (owner, password, user) = (login.user.to_owned(), login.password.clone(), user.to_owned());
            Ok(Box::pin(async move {
                let login = Login { user: &owner, password: &password };
                drop(inner.end_sessions(login, &user, age, stamp.stamp(), Deadline::after(DELIVERY)).await);
            }))
        };
        let call = |deadline| self.inner.end_sessions(login, user, age, stamp, deadline);
        self.faults.run(self.call("end_sessions", deadline), call, Some(later)).await
    }

    async fn prepare_plan(
        &self,
        admin: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        let call = |deadline| self.inner.prepare_plan(admin, users, stamp, deadline);
        self.faults.run(self.call("prepare_plan", deadline), call, READ).await
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
        let call = |deadline| self.inner.prepare(admin, users, second, stamp, deadline);
        self.faults.run(self.call("prepare", deadline), call, READ).await
    }

    async fn set_password(
        &self,
        admin: Login<'_>,
        user: Login<'_>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            let (inner, stamp) = (Arc::clone(&self.inner), OwnedStamp::of(stamp));
            let owned = |login: Login<'_>| (login.user.to_owned(), login.password.clone());
            let (admin, user) = (owned(admin), owned(user));
            Ok(Box::pin(async move {
                let admin = Login { user: &admin.0, password: &admin.1 };
                let user = Login { user: &user.0, password: &user.1 };
                drop(inner.set_password(admin, user, stamp.stamp(), Deadline::after(DELIVERY)).await);
            }))
        };
        let call = |deadline| self.inner.set_password(admin, user, stamp, deadline);
        self.faults.run(self.call("set_password", deadline), call, Some(later)).await
    }
}

struct FaultyVote {
    inner: Box<dyn Vote>,
    name: String,
    faults: Arc<Faults>,
}

#[async_trait]
impl Vote for FaultyVote {
    async fn commit(self: Box<Self>, deadline: Deadline) -> PortResult<()> {
        // The open transaction goes either to the call or to the delayed request; a fault that uses neither drops it,
        // which takes the change back.
        let Self { inner, name, faults } = *self;
        let slot = std::sync::Mutex::new(Some(inner));
        let take = || slot.lock().ok().and_then(|mut vote| vote.take());
        let call = |deadline| {
            let vote = take();
            async move {
                match vote {
                    Some(vote) => vote.commit(deadline).await,
                    None => Ok(()),
                }
            }
        };
        let later = || -> PortResult<Later> {
            let vote = take();
            Ok(Box::pin(async move {
                if let Some(vote) = vote {
                    drop(vote.commit(Deadline::after(DELIVERY)).await);
                }
            }))
        };
        faults.run(Call::new(name, Point::ApplyFenced, deadline), call, Some(later)).await
    }
}

pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn SecretStore>,
    pub(super) ageing: Option<Ageing>,
    pub(super) faults: Arc<Faults>,
}

impl FaultyStore {
    fn call(&self, verb: &str, deadline: Deadline) -> Call<'_> {
        let name = self.inner.name();
        let point = self.faults.point_of_store(verb, name);
        Call { ageing: self.ageing.as_ref(), ..Call::new(format!("store.{verb}:{name}"), point, deadline) }
    }
}

#[async_trait]
impl SecretStore for FaultyStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn current(&self, deadline: Deadline) -> PortResult<StoredVersion> {
        self.faults.run(self.call("current", deadline), |deadline| self.inner.current(deadline), READ).await
    }

    async fn read(&self, id: &VersionId, deadline: Deadline) -> PortResult<StoredVersion> {
        self.faults.run(self.call("read", deadline), |deadline| self.inner.read(id, deadline), READ).await
    }

    async fn labels(&self, deadline: Deadline) -> PortResult<Labels> {
        self.faults.run(self.call("labels", deadline), |deadline| self.inner.labels(deadline), READ).await
    }

    async fn stage(&self, name: &VersionName, value: &SecretText, deadline: Deadline) -> PortResult<VersionId> {
        let later = || -> PortResult<Later> {
            let (inner, name, value) = (Arc::clone(&self.inner), name.clone(), value.clone());
            Ok(Box::pin(async move { drop(inner.stage(&name, &value, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.stage(name, value, deadline);
        self.faults.run(self.call("stage", deadline), call, Some(later)).await
    }

    async fn restage(
        &self,
        name: &VersionName,
        edited: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        let later = || -> PortResult<Later> {
            let (inner, name, edited, value) = (Arc::clone(&self.inner), name.clone(), edited.clone(), value.clone());
            Ok(Box::pin(async move { drop(inner.restage(&name, &edited, &value, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.restage(name, edited, value, deadline);
        self.faults.run(self.call("restage", deadline), call, Some(later)).await
    }

    fn stages_as_pending(&self) -> bool {
        self.inner.stages_as_pending()
    }

    async fn room(&self, deadline: Deadline) -> PortResult<()> {
        self.faults.run(self.call("room", deadline), |deadline| self.inner.room(deadline), READ).await
    }

    async fn label(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            let (inner, name, id) = (Arc::clone(&self.inner), name.clone(), id.clone());
            Ok(Box::pin(async move { drop(inner.label(&name, &id, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.label(name, id, deadline);
        self.faults.run(self.call("label", deadline), call, Some(later)).await
    }

    async fn move_pending(&self, from: Option<&VersionId>, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            let (inner, from, to) = (Arc::clone(&self.inner), from.cloned(), to.clone());
            Ok(Box::pin(async move { drop(inner.move_pending(from.as_ref(), &to, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.move_pending(from, to, deadline);
        self.faults.run(self.call("move_pending", deadline), call, Some(later)).await
    }

    async fn promote(&self, from: &VersionId, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            let (inner, from, to) = (Arc::clone(&self.inner), from.clone(), to.clone());
            Ok(Box::pin(async move { drop(inner.promote(&from, &to, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.promote(from, to, deadline);
        self.faults.run(self.call("promote", deadline), call, Some(later)).await
    }

    async fn prune(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let later = || -> PortResult<Later> {
            let (inner, name, id) = (Arc::clone(&self.inner), name.clone(), id.clone());
            Ok(Box::pin(async move { drop(inner.prune(&name, &id, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.prune(name, id, deadline);
        self.faults.run(self.call("prune", deadline), call, Some(later)).await
    }
}

pub(super) struct FaultyJournal {
    pub(super) inner: Arc<dyn Journal>,
    pub(super) ageing: Option<Ageing>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Journal for FaultyJournal {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn read(&self, set: &str, deadline: Deadline) -> PortResult<Option<Stored>> {
        let call = Call::new("journal.read".to_owned(), Point::Lease, deadline);
        let call = Call { ageing: self.ageing.as_ref(), ..call };
        let read = |deadline| async move {
            let stored = self.inner.read(set, deadline).await?;
            if let Some(stored) = &stored {
                self.faults.saw_register(set, &stored.bytes);
            }
            Ok(stored)
        };
        self.faults.run(call, read, READ).await
    }

    async fn write(&self, set: &str, expected: Option<&Tag>, bytes: &[u8], deadline: Deadline) -> PortResult<Tag> {
        let later = || -> PortResult<Later> {
            let (inner, set, expected) = (Arc::clone(&self.inner), set.to_owned(), expected.cloned());
            let bytes = bytes.to_vec();
            Ok(Box::pin(async move {
                drop(inner.write(&set, expected.as_ref(), &bytes, Deadline::after(DELIVERY)).await);
            }))
        };
        let call = Call::new("journal.write".to_owned(), self.faults.point_of_write(set, bytes), deadline);
        let call = Call { ageing: self.ageing.as_ref(), ..call };
        let write = |deadline| async move {
            let tag = self.inner.write(set, expected, bytes, deadline).await?;
            self.faults.saw_register(set, bytes);
            Ok(tag)
        };
        self.faults.run(call, write, Some(later)).await
    }
}

pub(super) struct FaultyObjects {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) faults: Arc<Faults>,
}

impl FaultyObjects {
    /// A bucket keeps a trail (`v1/SET/..`), or registers.
    fn call(&self, verb: &str, name: &str, deadline: Deadline) -> Call<'static> {
        let point = if name.starts_with("v1/") { Point::Audit } else { Point::Lease };
        Call::new(format!("objects.{verb}:{name}"), point, deadline)
    }
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    fn place(&self) -> String {
        self.inner.place()
    }

    async fn get(&self, name: &str, limit: usize, deadline: Deadline) -> PortResult<Option<Object>> {
        let call = |deadline| self.inner.get(name, limit, deadline);
        self.faults.run(self.call("get", name, deadline), call, READ).await
    }

    async fn get_version(
        &self,
        name: &str,
        version: &str,
        limit: usize,
        deadline: Deadline,
    ) -> PortResult<Option<Object>> {
        let call = |deadline| self.inner.get_version(name, version, limit, deadline);
        self.faults.run(self.call("get_version", name, deadline), call, READ).await
    }

    async fn create(&self, name: &str, bytes: &[u8], deadline: Deadline) -> PortResult<Written> {
        let later = || -> PortResult<Later> {
            let (inner, name, bytes) = (Arc::clone(&self.inner), name.to_owned(), bytes.to_vec());
            Ok(Box::pin(async move { drop(inner.create(&name, &bytes, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.create(name, bytes, deadline);
        self.faults.run(self.call("create", name, deadline), call, Some(later)).await
    }

    async fn replace(&self, name: &str, bytes: &[u8], expected: &Etag, deadline: Deadline) -> PortResult<Written> {
        let later = || -> PortResult<Later> {
            let (inner, name, bytes, expected) =
                (Arc::clone(&self.inner), name.to_owned(), bytes.to_vec(), expected.clone());
            Ok(Box::pin(async move { drop(inner.replace(&name, &bytes, &expected, Deadline::after(DELIVERY)).await) }))
        };
        let call = |deadline| self.inner.replace(name, bytes, expected, deadline);
        self.faults.run(self.call("replace", name, deadline), call, Some(later)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, most: usize, deadline: Deadline) -> PortResult<ObjectPage> {
        let call = |deadline| self.inner.list(prefix, after, most, deadline);
        self.faults.run(self.call("list", prefix, deadline), call, READ).await
    }

    async fn versions(
        &self,
        prefix: &str,
        after: Option<&VersionMark>,
        most: usize,
        deadline: Deadline,
    ) -> PortResult<Versions> {
        let call = |deadline| self.inner.versions(prefix, after, most, deadline);
        self.faults.run(self.call("versions", prefix, deadline), call, READ).await
    }
}

pub(super) struct FaultyReader {
    pub(super) inner: Arc<dyn SecretReader>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl SecretReader for FaultyReader {
    async fn read(&self, reference: &Reference, deadline: Deadline) -> PortResult<SecretText> {
        let call = Call::new(format!("secret.read:{reference}"), Point::Session, deadline);
        self.faults.run(call, |deadline| self.inner.read(reference, deadline), READ).await
    }
}
