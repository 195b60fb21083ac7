//! Doing what was agreed: under an epoch of its own, each step by compare-and-swap, and the register at rest last.

use core::time::Duration;

use dizzy_audit::Outcome;
use dizzy_engine::{
    Capability, DRAIN_MS, DatabaseIx, Effect, Generation, LEASE_MS, Register, Strategy, Timestamp, UserIx,
};

use super::{
    super::{
        number,
        session::{Session, no_register, register_error},
        trouble::{Target, Trouble},
        world::{Published, World, login},
    },
    Drift, NotRepaired, Reconcile, Repair, Repaired, at_rest,
    plan::Plan,
};
use crate::{
    audit::AuditEvent,
    port::{Certainty, Change, ChangeKind, Kind, Login, PortError, VersionName},
    register::{Document, UserDocument},
};

/// How often a write of the register or a change of a password is tried again after a lost reply; each time the world is asked first.
const TRIES: u32 = 5;
/// Pause before that.
const PAUSE: Duration = Duration::from_millis(200);

/// A repair under way.
struct Mend<'w> {
    at: &'w Reconcile<'w>,
    session: &'w Session<'w>,
    world: &'w World<'w>,
    document: Document,
    writes: u64,
    worker: u64,
    /// Whether a request of this run may still act.
    loose_ends: bool,
    /// Whether the epoch of this run is in the register.
    is_taken: bool,
    /// What the records of this run belong to: the highest generation before it. One that this run issues is nobody's before the
    /// register has it, and the trail's order must not depend on whether it ever does.
    rotation: u64,
}

impl Reconcile<'_> {
    /// Does what was agreed, unless the world has changed since.
    ///
    /// # Errors
    /// What stopped it. What was done until then is done, and the next run finds what is left.
    pub async fn mend(&self, agreed: &Drift) -> Repaired<()> {
        let session = self.session()?;
        let document = self.load(&session).await?;
        let mut id = [0; 8];
        let filled = self.set.randomness.fill(&mut id);
        filled.map_err(|error| Box::new(Trouble { target: Target::Set, error }))?;
        let world = World::look(self.set, self.limits).await?.counting(&session);
        let plan = Plan::of(&world, &session, &document, self.break_glass).await?;
        if plan.drift.repairs != agreed.repairs {
            return Err(NotRepaired::Changed);
        }
        // Logins may have been counted in the register meanwhile.
        let document = session.document().ok_or_else(|| in_journal(no_register()))?;
        let worker = u64::from_be_bytes(id);
        let mut mend = Mend {
            at: self,
            session: &session,
            world: &world,
            rotation: document.last,
            document,
            writes: 0,
            worker,
            loose_ends: false,
            is_taken: false,
        };
        let done = mend.all(&plan).await;
        // A run that did not get as far as to take the set has no place in its history.
        if mend.is_taken {
            let outcome = if done.is_ok() { Outcome::Ok } else { Outcome::Fail };
            session.trail.note(mend.event("repair.ended", outcome));
        }
        session.trail.finish(self.limits.audit()).await;
        done
    }
}

impl Mend<'_> {
    async fn all(&mut self, plan: &Plan) -> Repaired<()> {
        let now = self.at.set.clock.now();
        self.document.epoch += 1;
        self.document.quiet =
            self.document.quiet.max(self.document.taken.map(|taken| Timestamp(taken).plus_ms(DRAIN_MS).0));
        self.document.taken = Some(now.0);
        self.write(now.plus_ms(LEASE_MS)).await?;
        self.is_taken = true;
        let done = self.record_and_do(plan).await;
        // Others need not wait for us either way.
        let now = self.at.set.clock.now();
        if !self.loose_ends {
            self.document.taken = None;
        }
        self.session.trail.flush(self.at.limits.audit()).await;
        let written = self.write(now).await;
        done.and(written)
    }

    /// The set is ours; nothing is done before it is recorded.
    async fn record_and_do(&mut self, plan: &Plan) -> Repaired<()> {
        let begun = self.event("repair.begun", Outcome::Ok);
        let recorded = self.session.trail.require(begun, self.at.limits.audit()).await;
        recorded.map_err(|mut error| {
            error.certainty = Certainty::Refused;
            Box::new(Trouble { target: Target::Audit, error })
        })?;
        // What may be sent is in the register before it is sent.
        for repair in &plan.drift.repairs {
            match repair {
                Repair::Change { database, user, from } => {
                    let current = number(plan.drift.current);
                    self.user(*database, user, |facts| {
                        (facts.known, facts.maybe) = (Some(number(*from)), vec![current]);
                    })?;
                    self.open_window(*database, *from);
                }
                Repair::Reset { database, user, to } => {
                    let to = number(*to);
                    self.user(*database, user, |facts| {
                        if !facts.maybe.contains(&to) {
                            facts.maybe = vec![to];
                        }
                    })?;
                }
                Repair::Adopt { .. } | Repair::Move { .. } | Repair::Record { .. } | Repair::Settle { .. } => {}
            }
        }
        self.write(self.at.set.clock.now().plus_ms(LEASE_MS)).await?;
        self.steps(plan).await
    }

    async fn steps(&mut self, plan: &Plan) -> Repaired<()> {
        for repair in &plan.drift.repairs {
            let done = self.step(repair, plan).await;
            let outcome = if done.is_ok() { Outcome::Ok } else { Outcome::Fail };
            let event = self.event("drift.repaired", outcome);
            self.session.trail.note(AuditEvent { target: Some(self.target(repair)), ..event });
            done?;
        }
        self.verify(plan).await
    }

    async fn step(&mut self, repair: &Repair, plan: &Plan) -> Repaired<()> {
        let current = plan.drift.current;
        match repair {
            Repair::Settle { database, user, on } => self.settle(*database, user, *on),
            Repair::Change { database, user, from } => {
                self.change(*database, user, *from, current).await?;
                self.settle(*database, user, current)
            }
            Repair::Reset { database, user, to } => {
                self.reset(*database, user, *to).await?;
                self.settle(*database, user, *to)
            }
            Repair::Record { secret, version } => {
                self.name(*secret, current, version).await?;
                self.document.record_version(&self.world.secret_name(*secret), current, version);
                Ok(())
            }
            Repair::Move { secret, from, to } => {
                let open = self.at.set.secrets.get(*secret).ok_or_else(|| in_journal(no_register()))?;
                let moved = open.store.promote(from, to, self.at.limits.store()).await;
                let Err(error) = moved else { return Ok(()) };
                // The labels tell the truth, whatever the answer was.
                let labels = open.store.labels(self.at.limits.store()).await;
                match labels {
                    Ok(labels) if labels.current.as_ref() == Some(to) => Ok(()),
                    Ok(_) | Err(_) => {
                        self.loose_ends |= error.certainty == Certainty::Unknown;
                        Err(self.world.in_secret(*secret, error).into())
                    }
                }
            }
            Repair::Adopt { generation } => self.adopt(*generation, &plan.adopted).await,
        }
    }

    /// The user changes its password by itself, under its fence: what is newer there refuses.
    async fn change(&mut self, at: usize, user: &str, from: Generation, to: Generation) -> Repaired<()> {
        let register = self.register()?;
        let (database, user_ix) = self.places(at, user)?;
        let epoch = register.epoch;
        let effect = Effect::Apply { database, user: user_ix, from, to, epoch };
        let mut last = None;
        for _ in 0..TRIES {
            let error = match self.session.change(&register, &effect).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // A lost reply: what logs in tells. A request that is still on its way brings the same password.
            let is_on = self.session.login(&register, database, user_ix, to).await;
            if is_on.is_ok() {
                return Ok(());
            }
            let is_unknown = error.certainty == Certainty::Unknown;
            self.loose_ends |= is_unknown;
            last = Some(error);
            if !is_unknown {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let error = last.unwrap_or_else(no_register);
        Err(self.world.in_database(at, error).into())
    }

    /// An administrator sets the password; the fence row takes the epoch with it.
    async fn reset(&mut self, at: usize, user: &str, to: Generation) -> Repaired<()> {
        let register = self.register()?;
        let (database, user_ix) = self.places(at, user)?;
        let set = self.at.set;
        let in_database = |error| self.world.in_database(at, error);
        let (Some(port), Some(Some(admin))) = (set.databases.get(at), set.admins.get(at)) else {
            return Err(in_database(no_administrator()).into());
        };
        let loaded = self.session.load(database, to).await.map_err(in_database)?;
        let credential = loaded.ok_or_else(|| in_database(super::super::session::missing_version(to)))?;
        self.session.announce_change(&register, database, false).await.map_err(in_database)?;
        let stamp = self.session.stamp(&register, register.epoch, to).map_err(in_database)?;
        let mut last = None;
        for _ in 0..TRIES {
            let wanted = Login { user, password: &credential.password };
            let answer = port.set_password(login(admin), wanted, stamp.borrow(), self.world.deadline(at)).await;
            match answer {
                Ok(()) => return Ok(self.session.forget_wrong(database, user_ix).await.map_err(in_database)?),
                // To set it again is as good as to look, and costs no wrong login.
                Err(error) if error.certainty == Certainty::Unknown => {
                    self.loose_ends = true;
                    last = Some(error);
                }
                Err(error) => return Err(in_database(error).into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let error = last.unwrap_or_else(no_register);
        Err(in_database(error).into())
    }

    /// What is published by hand gets a number and names, and the fences of `single` users learn of it.
    async fn adopt(&mut self, generation: Generation, adopted: &Published) -> Repaired<()> {
        for (at, credential) in adopted {
            let (Some(port), Some(config)) = (self.at.set.databases.get(*at), self.at.set.config.databases.get(*at))
            else {
                return Err(in_journal(no_register()).into());
            };
            if port.capability() != Capability::RowFence || config.strategy == Strategy::Alternating {
                continue;
            }
            let register = self.register()?;
            let in_database = |error| self.world.in_database(*at, error);
            let stamp = self.session.stamp(&register, register.epoch, generation).map_err(in_database)?;
            let deadline = || self.world.deadline(*at);
            let row = port.burn(login(credential), stamp.borrow(), deadline()).await.map_err(in_database)?;
            if let Some(from) = row.generation.filter(|from| *from != generation) {
                // The same password once more: only the row changes its generation.
                let kind = ChangeKind::Single { from };
                let change =
                    Change { login: login(credential), new: &credential.password, stamp: stamp.borrow(), kind };
                port.apply(change, deadline()).await.map_err(in_database)?;
            }
        }
        for (secret, seen) in self.world.secrets.iter().enumerate() {
            self.name(secret, generation, &seen.current).await?;
            self.document.record_version(&self.world.secret_name(secret), generation, &seen.current);
        }
        self.document.kept.push(number(generation));
        self.document.last = number(generation);
        self.document.current = number(generation);
        for (at, credential) in adopted {
            self.settle(*at, &credential.username, generation)?;
        }
        Ok(())
    }

    /// Puts the name of a generation on a version. Where versions never vanish, names are given at creation only, and none is needed.
    async fn name(&self, secret: usize, generation: Generation, version: &crate::port::VersionId) -> Repaired<()> {
        let open = self.at.set.secrets.get(secret).ok_or_else(|| in_journal(no_register()))?;
        if open.store.stages_as_pending() {
            return Ok(());
        }
        let wrong = |error| self.world.in_secret(secret, error);
        let name = VersionName::new(generation, &self.document.register);
        let labels = open.store.labels(self.at.limits.store()).await.map_err(wrong)?;
        // The version that had the name holds nothing that the other one lacks.
        if let Some(other) = labels.named.get(&name).filter(|other| *other != version) {
            open.store.prune(&name, other, self.at.limits.store()).await.map_err(wrong)?;
        }
        Ok(open.store.label(&name, version, self.at.limits.store()).await.map_err(wrong)?)
    }

    /// As consumers see it: CURRENT, read anew, is the recorded version, and logs in.
    async fn verify(&self, plan: &Plan) -> Repaired<()> {
        let current = Generation(self.document.current);
        for (secret, open) in self.at.set.secrets.iter().enumerate() {
            let wrong = |error| self.world.in_secret(secret, error);
            let labels = open.store.labels(self.at.limits.store()).await.map_err(wrong)?;
            let recorded = self.document.version(&self.world.secret_name(secret), current);
            if labels.current != recorded {
                let error = PortError::refused(Kind::Conflict, "CURRENT was moved again while it was repaired");
                return Err(wrong(error).into());
            }
        }
        let register = self.register()?;
        for at in 0..self.at.set.databases.len() {
            let live = self.at.live(&self.document, at)?;
            let (database, user) = self.places(at, &live)?;
            let answer = match plan.adopted.get(&at) {
                Some(credential) => {
                    let stamp = super::super::world::looking(&self.document.set, &self.document.register);
                    self.world.logs_in_now(at, credential, stamp).await?
                }
                None => {
                    let tried = self.session.login(&register, database, user, current).await;
                    tried.map_err(|error| self.world.in_database(at, error))?;
                    true
                }
            };
            if !answer {
                let error = PortError::refused(Kind::Credential, "log in with what is published");
                return Err(self.world.in_database(at, error).into());
            }
        }
        Ok(())
    }

    /// A change of a rollover user opens a window, which the next rotation must know of.
    fn open_window(&mut self, at: usize, first: Generation) {
        let now = self.at.set.clock.now();
        let is_rollover = self.at.set.config.databases.get(at).is_some_and(|c| c.strategy == Strategy::Rollover);
        let name = self.world.database_name(at).to_owned();
        if let Some(entry) = self.document.databases.get_mut(&name).filter(|_| is_rollover)
            && let Some(rollover) = entry.rollover
        {
            entry.window = Some(now.plus_ms(rollover.length_ms).0);
            entry.window_first = Some(number(first));
        }
    }

    fn settle(&mut self, at: usize, user: &str, on: Generation) -> Repaired<()> {
        self.user(at, user, |facts| {
            facts.known = Some(number(on));
            facts.maybe.clear();
        })
    }

    fn user(&mut self, at: usize, user: &str, change: impl FnOnce(&mut UserDocument)) -> Repaired<()> {
        let name = self.world.database_name(at).to_owned();
        let facts = self.document.databases.get_mut(&name).and_then(|entry| entry.users.get_mut(user));
        change(facts.ok_or_else(|| in_journal(no_register()))?);
        Ok(())
    }

    fn places(&self, at: usize, user: &str) -> Repaired<(DatabaseIx, UserIx)> {
        let config = self.at.set.config.databases.get(at);
        let place = config.and_then(|config| config.users.iter().position(|name| name == user));
        let both =
            place.and_then(|place| Some((DatabaseIx(u8::try_from(at).ok()?), UserIx(u8::try_from(place).ok()?))));
        both.ok_or_else(|| in_journal(no_register()).into())
    }

    fn register(&self) -> Repaired<Register> {
        let register = self.document.to_engine(&self.at.set.config).map_err(register_error);
        Ok(register.map_err(in_journal)?)
    }

    /// Writes the register with a nonce of its own; a lost reply is settled by looking for it.
    async fn write(&mut self, until: Timestamp) -> Repaired<()> {
        let set = self.at.set;
        let name = &set.config.name;
        self.writes += 1;
        self.document.phase = at_rest();
        self.document.owner.nonce = format!("{:016x}-{}", self.worker, self.writes);
        self.document.owner.who.clone_from(&set.who);
        self.document.owner.until = until.0;
        self.document.audit = self.session.trail.head().await;
        // Wrong logins were counted in the register beside this one.
        if let Some(written) = self.session.document() {
            for (database, entry) in &mut self.document.databases {
                for (user, facts) in &mut entry.users {
                    facts.wrong = written.wrong(database, user);
                }
            }
        }
        let bytes = self.document.to_bytes();
        let mut lost: Option<PortError> = None;
        for _ in 0..TRIES {
            let tag = self.session.state().register.as_ref().map(|(_, tag)| tag.clone());
            let written = set.journal.write(name, tag.as_ref(), &bytes, self.at.limits.journal()).await;
            let error = match written {
                Ok(tag) => {
                    self.session.state().register = Some((self.document.clone(), tag));
                    return Ok(());
                }
                Err(error) => error,
            };
            // What refuses after a lost reply may be the very write that was lost.
            let is_refused = error.certainty == Certainty::Refused;
            if is_refused && lost.is_none() {
                return Err(in_journal(error).into());
            }
            // A register that cannot be read now says nothing about the write, which may have happened.
            match set.journal.read(name, self.at.limits.journal()).await {
                Ok(Some(stored)) if stored.bytes == bytes => {
                    self.session.state().register = Some((self.document.clone(), stored.tag));
                    return Ok(());
                }
                Ok(_) if is_refused => return Err(in_journal(error).into()),
                Ok(_) | Err(_) => {}
            }
            if !is_refused {
                lost = Some(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(in_journal(lost.unwrap_or_else(no_register)).into())
    }

    fn target(&self, repair: &Repair) -> String {
        match repair {
            Repair::Record { secret, .. } | Repair::Move { secret, .. } => self.world.secret_name(*secret),
            Repair::Change { database, .. } | Repair::Reset { database, .. } | Repair::Settle { database, .. } => {
                self.world.database_name(*database).to_owned()
            }
            Repair::Adopt { .. } => self.document.set.clone(),
        }
    }

    fn event(&self, kind: &'static str, outcome: Outcome) -> AuditEvent {
        AuditEvent {
            base: Some(self.document.current),
            ..AuditEvent::new(self.at.set.clock.now(), kind, outcome, self.rotation, self.document.epoch)
        }
    }
}

/// Only plans with an administrator's login have a reset.
fn no_administrator() -> PortError {
    PortError::refused(Kind::Denied, "set a password without an administrator's login")
}

fn in_journal(error: PortError) -> Box<Trouble> {
    Box::new(Trouble { target: Target::Journal, error })
}
