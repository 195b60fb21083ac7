//! From a decision to a register: the document, and the steps after which it may be believed.

use core::time::Duration;

use dizzy_audit::Outcome;
use dizzy_engine::{Capability, DRAIN_MS, Epoch, Generation, MAX_MAYBES, Phase, Strategy, Timestamp};

use super::{
    super::{
        session::no_register,
        trouble::{Target, Trouble},
        world::{World, login},
    },
    NotRebuilt, Proposal, Rebuilt,
    decide::Decision,
    facts::{Facts, LISTING},
    in_the_trail, unclear,
};
use crate::{
    audit::{AuditEvent, Trail},
    port::{Certainty, Change, ChangeKind, Deadline, FenceStamp, Kind, PortError, VersionName},
    register::{
        DatabaseDocument, Document, OwnerDocument, RolloverDocument, UserDocument, VERSION, capability_name,
        phase_name, strategy_name,
    },
};

/// How often the register is written again after a reply was lost; each time it is read first.
const TRIES: u32 = 5;
/// Pause before that: a journal that has just lost a reply is not asked again at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Digits of a register's id.
const ID_LENGTH: usize = 32;

impl Decision {
    pub(super) fn document(&self, world: &World<'_>, facts: &Facts, now: Timestamp) -> Document {
        let set = &world.set.config;
        let mut kept: Vec<u64> = world.named().into_iter().map(|g| g.0).collect();
        kept.extend([self.current.0].into_iter().chain(self.users.iter().map(|user| user.generation.0)));
        kept.sort_unstable();
        kept.dedup();
        let phase = phase_name(self.phase).to_owned();
        let mut document = Document {
            v: VERSION,
            register: facts.register.clone(),
            set: set.name.clone(),
            adopted: true,
            epoch: facts.epoch,
            owner: OwnerDocument { nonce: format!("{:016x}-0", 0), who: world.set.who.clone(), until: 0 },
            taken: None,
            quiet: Some(now.plus_ms(DRAIN_MS).0),
            was: phase.clone(),
            phase,
            current: self.current.0,
            next: self.next.map(|g| g.0),
            last: facts.last.max(self.current).0,
            kept,
            databases: std::collections::BTreeMap::new(),
            stores: std::collections::BTreeMap::new(),
            target: set.fingerprint(),
            rotated: None,
            outcome: None,
            audit: None,
            pause: None,
            failures: None,
            revoke: None,
            revoked: None,
        };
        for (at, seen) in world.secrets.iter().enumerate() {
            let name = world.secret_name(at);
            // A secret that no generation is named after must have an entry all the same.
            document.stores.entry(name.clone()).or_default();
            for (named, id) in &seen.labels.named {
                document.record_version(&name, named.generation, id);
            }
            let shown = world.generation_of(at, &seen.current, &seen.published);
            if shown.is_none_or(|shown| shown == self.current) {
                document.record_version(&name, self.current, &seen.current);
            }
            if let Some((id, published)) = seen.previous.as_ref().filter(|_| shown != Some(super::super::adopt::FIRST))
            {
                let is_first = self.users.iter().any(|user| {
                    user.generation == super::super::adopt::FIRST
                        && published.get(&user.at).is_some_and(|c| c.same_login(&user.credential))
                });
                let named = seen.labels.named.keys().any(|name| name.generation == super::super::adopt::FIRST);
                if is_first && !named {
                    document.record_version(&name, super::super::adopt::FIRST, id);
                }
            }
        }
        for at in 0..set.databases.len() {
            if let Some((name, entry)) = self.database(world, facts, at, now) {
                document.databases.insert(name, entry);
            }
        }
        document
    }

    fn database(
        &self,
        world: &World<'_>,
        facts: &Facts,
        at: usize,
        now: Timestamp,
    ) -> Option<(String, DatabaseDocument)> {
        let (config, port) = (world.set.config.databases.get(at)?, world.set.databases.get(at)?);
        let capability = port.capability();
        let found = || self.users.iter().filter(|user| user.at == at);
        let live = found().find(|user| user.is_published)?.credential.username.clone();
        let unfenced = capability == Capability::StatementCas && config.strategy != Strategy::Alternating;
        let users = found().map(|user| {
            let is_target = (config.strategy == Strategy::Alternating) != user.is_published;
            let mut maybe: Vec<u64> = Vec::new();
            if capability == Capability::StatementCas && config.strategy == Strategy::Alternating && is_target {
                // A late request may still bring it to a generation that was begun; the fences of the others refuse those.
                let begun = world.named().into_iter().filter(|g| *g > self.current && *g != user.generation);
                maybe = begun.map(|g| g.0).collect();
                maybe.drain(..maybe.len().saturating_sub(MAX_MAYBES));
            }
            if let Some(next) = self.next.filter(|next| is_target && *next != user.generation)
                && !maybe.contains(&next.0)
                && self.phase == Phase::Intent
            {
                maybe.push(next.0);
            }
            let known = Some(user.generation.0);
            let entry = UserDocument { known, maybe, wrong: 0, expires: None, decided: None };
            (user.credential.username.clone(), entry)
        });
        let users = users.collect();
        let rollover = facts.rollover.get(at).copied().flatten();
        let length_ms = |r: crate::port::Rollover| i64::try_from(r.length.as_millis()).unwrap_or(i64::MAX);
        // At rest, and on the way to a generation that it has not taken, an open window is that of the last rotation.
        let took_next = found().any(|user| Some(user.generation) == self.next);
        let window = rollover.filter(|r| r.open && self.phase == Phase::Idle).map(|r| now.plus_ms(length_ms(r)).0);
        let entry = DatabaseDocument {
            strategy: strategy_name(config.strategy).to_owned(),
            capability: capability_name(capability).to_owned(),
            live,
            users,
            sent: unfenced && (self.phase == Phase::Intent || (self.phase == Phase::Commit && took_next)),
            window,
            // Nobody knows what it keeps valid: older than any wish to revoke.
            window_first: window.map(|_| 0),
            forward_only: false,
            rollover: rollover.map(|r| RolloverDocument { length_ms: length_ms(r), can_end: r.can_end }),
        };
        Some((config.name.clone(), entry))
    }

    /// What was found, for the person who is asked.
    pub(super) fn found(&self, world: &World<'_>, document: &Document) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, seen) in world.secrets.iter().enumerate() {
            let shown = world.generation_of(at, &seen.current, &seen.published).unwrap_or(self.current);
            lines.push(format!("{}: publishes g{} (version {})", world.secret_name(at), shown.0, seen.current));
        }
        for (name, database) in &document.databases {
            for (user, facts) in &database.users {
                let known = facts.known.unwrap_or_default();
                let published = if *user == database.live { ", published" } else { "" };
                let maybe: Vec<String> = facts.maybe.iter().map(|g| format!(", possibly soon on g{g}")).collect();
                lines.push(format!("{name}: {user} logs in with g{known}{published}{}", maybe.concat()));
            }
        }
        lines
    }

    /// What follows, in one sentence.
    pub(super) fn says(&self, facts: &Facts, document: &Document) -> String {
        let current = self.current.0;
        let next = self.next.unwrap_or(facts.last).0;
        match self.phase {
            Phase::Commit => format!(
                "generation {next} logs in everywhere and is published by some secrets: its promotion is finished"
            ),
            Phase::Intent => format!(
                "generation {current} is published, and some databases are on generation {next} already: it is finished"
            ),
            Phase::Idle | Phase::Abort | Phase::Stuck if !self.moves.is_empty() => {
                format!(
                    "generation {current} logs in everywhere, and not every secret publishes it: CURRENT of the others goes there"
                )
            }
            Phase::Idle | Phase::Abort | Phase::Stuck if self.is_new => {
                format!("what is published has no number yet and becomes generation {}", document.current)
            }
            Phase::Idle | Phase::Abort | Phase::Stuck => {
                format!("generation {current} is published and logs in everywhere")
            }
        }
    }
}

impl Proposal<'_> {
    /// Writes the register.
    ///
    /// # Errors
    /// If something is no longer as it was found, or could not be done. There is no register then, and this may be tried again; unless
    /// the very last write may have happened, which is said.
    pub async fn write(mut self) -> Rebuilt<Document> {
        let set = self.world.set;
        let mut random = [0; 24];
        set.randomness
            .fill(&mut random)
            .map_err(|error| NotRebuilt::Trouble(Box::new(Trouble { target: Target::Set, error })))?;
        self.identify(&random);
        let [a, b, c, d, ..] = random;
        let trail = Trail::new(&set.audit, &set.config.name, u32::from_be_bytes([a, b, c, d]));
        let event = |kind, outcome| AuditEvent {
            base: Some(self.document.current),
            generation: self.document.next,
            ..AuditEvent::new(set.clock.now(), kind, outcome, self.document.last, self.document.epoch)
        };
        trail.require(event("register.lost", Outcome::Ok), Deadline::after(LISTING)).await.map_err(in_the_trail)?;
        let done = self.fence_and_label().await;
        let done = match done {
            Ok(()) => {
                self.document.audit = trail.head().await;
                self.create().await
            }
            Err(error) => Err(error),
        };
        let outcome = if done.is_ok() { Outcome::Ok } else { Outcome::Fail };
        trail.note(event("register.rebuilt", outcome));
        trail.finish(self.world.limits.audit()).await;
        done.map(|()| self.document)
    }

    /// Digits that nobody knows are drawn anew: only fences carry all of them, and there are none then.
    fn identify(&mut self, random: &[u8]) {
        let known = self.document.register.len();
        let digits = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.document.register.extend(digits.chars().take(ID_LENGTH.saturating_sub(known)));
        let worker: String = digits.chars().rev().take(16).collect();
        self.document.owner.nonce = format!("{worker}-1");
    }

    fn stamp(&self, generation: Generation) -> FenceStamp<'_> {
        let (set, register) = (self.document.set.as_str(), self.document.register.as_str());
        FenceStamp { set, register, epoch: Epoch(self.document.epoch), generation }
    }

    /// From here on earlier workers are refused wherever there is a fence; then everything must still be as it was found.
    async fn fence_and_label(&self) -> Rebuilt<()> {
        for user in &self.users {
            let (Some(port), Some(config)) =
                (self.world.set.databases.get(user.at), self.world.set.config.databases.get(user.at))
            else {
                continue;
            };
            let stamp = self.stamp(user.generation);
            let in_database = |error| self.world.in_database(user.at, error);
            if port.capability() == Capability::RowFence {
                let burnt = port.burn(login(&user.credential), stamp, self.world.deadline(user.at)).await;
                let row = burnt.map_err(in_database)?;
                // What a person published by hand is unknown to the row of a `single`, which lets only known generations go on: the user
                // sets its own password once more, as that of the new generation.
                let is_single = config.strategy == Strategy::Single && user.is_published && self.is_new;
                if let Some(from) = row.generation.filter(|g| is_single && *g != user.generation) {
                    let (login, kind) = (login(&user.credential), ChangeKind::Single { from });
                    let change = Change { login, new: &user.credential.password, stamp, kind };
                    port.apply(change, self.world.deadline(user.at)).await.map_err(in_database)?;
                }
            }
            if !self.world.logs_in_now(user.at, &user.credential, stamp).await? {
                let (name, database) = (&user.credential.username, self.world.database_name(user.at));
                return Err(unclear(
                    format!("the password of {name} on the database {database} has changed since it was looked at"),
                    format!(
                        "another worker may be alive: stop it, then `dizzy-keys recover --from-world {}`",
                        self.document.set
                    ),
                ));
            }
        }
        let wrong = |at, error| self.world.in_secret(at, error);
        for (at, from, to) in &self.moves {
            let Some(open) = self.world.set.secrets.get(*at) else { continue };
            open.store.promote(from, to, self.world.limits.store()).await.map_err(|error| wrong(*at, error))?;
        }
        for (at, open) in self.world.set.secrets.iter().enumerate() {
            let versions = self.document.stores.get(&self.world.secret_name(at)).ok_or_else(no_register);
            let versions = versions.map_err(|error| wrong(at, error))?;
            let Some(seen) = self.world.secrets.get(at) else { continue };
            // Where versions vanish without a name, what counts as a generation must carry its name.
            for (generation, id) in versions.iter().filter(|_| !open.store.stages_as_pending()) {
                let name = VersionName::new(Generation(*generation), &self.document.register);
                let id = crate::port::VersionId(id.clone());
                let other = seen.labels.named.get(&name).filter(|other| **other != id);
                if let Some(other) = other {
                    open.store.prune(&name, other, self.world.limits.store()).await.map_err(|e| wrong(at, e))?;
                }
                open.store.label(&name, &id, self.world.limits.store()).await.map_err(|e| wrong(at, e))?;
            }
        }
        Ok(())
    }

    async fn create(&self) -> Rebuilt<()> {
        let set = self.world.set;
        let (name, bytes) = (&set.config.name, self.document.to_bytes());
        let in_journal = |error| NotRebuilt::Trouble(Box::new(Trouble { target: Target::Journal, error }));
        let mut lost: Option<PortError> = None;
        for _ in 0..TRIES {
            let written = set.journal.write(name, self.tag.as_ref(), &bytes, self.world.limits.journal()).await;
            let error = match written {
                Ok(_) => return Ok(()),
                Err(error) if error.certainty == Certainty::Unknown || error.kind == Kind::Conflict => error,
                Err(error) => return Err(in_journal(lost.unwrap_or(error))),
            };
            let is_refused = error.certainty == Certainty::Refused;
            match set.journal.read(name, self.world.limits.journal()).await {
                Ok(Some(stored)) if stored.bytes == bytes => return Ok(()),
                Ok(Some(stored)) if Document::parse(&stored.bytes, name).is_ok() => return Err(NotRebuilt::Exists),
                // A register that cannot be read now says nothing about a write whose reply was lost.
                Ok(_) | Err(_) if is_refused && lost.is_none() => return Err(in_journal(error)),
                Ok(_) | Err(_) => {}
            }
            if !is_refused {
                lost = Some(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(in_journal(lost.unwrap_or_else(no_register)))
    }
}
