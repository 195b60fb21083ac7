//! What the lost register was, as far as it matters: at rest, in the middle of a promotion, or on its way to a generation.
//!
//! What is published everywhere and logs in everywhere is `current`. If secrets differ, the newer generation counts if it logs in
//! everywhere, as it must once it was decided; else the older one, if that does. If nothing published logs in everywhere and the next
//! generation has the rest, a `single` or a rollover was on its way, and goes on.

use std::collections::BTreeSet;

use dizzy_engine::{Capability, DRAIN_MS, Generation, Phase, Strategy};

use super::{
    super::{
        adopt::FIRST,
        world::{World, looking},
    },
    FoundUser, Rebuilt,
    facts::Facts,
    unclear,
};
use crate::{config::Database, document::Credential, port::VersionId};

/// Where the set stands.
pub(super) struct Decision {
    pub(super) phase: Phase,
    pub(super) current: Generation,
    pub(super) next: Option<Generation>,
    pub(super) users: Vec<FoundUser>,
    pub(super) moves: Vec<(usize, VersionId, VersionId)>,
    pub(super) is_new: bool,
}

impl Decision {
    pub(super) async fn of(world: &World<'_>, facts: &Facts) -> Rebuilt<Self> {
        let look = Look { world, facts };
        let shown: Vec<Option<Generation>> = world
            .secrets
            .iter()
            .enumerate()
            .map(|(at, seen)| world.generation_of(at, &seen.current, &seen.published))
            .collect();
        let distinct: BTreeSet<Option<Generation>> = shown.iter().copied().collect();
        let distinct: Vec<Option<Generation>> = distinct.into_iter().collect();
        match distinct.as_slice() {
            [None] => look.new_generation().await,
            [Some(current)] => look.one(*current).await,
            [Some(older), Some(newer)] => look.two(*older, *newer, &shown).await,
            _ => Err(look.unclear_stores().await?),
        }
    }
}

struct Look<'w> {
    world: &'w World<'w>,
    facts: &'w Facts,
}

impl Look<'_> {
    /// Nobody knows what is published: a person put it there, or adoption found it in a store that gives no names.
    async fn new_generation(&self) -> Rebuilt<Decision> {
        let mut first: Vec<Option<&Credential>> = vec![None; self.world.set.config.databases.len()];
        for seen in &self.world.secrets {
            for (at, credential) in &seen.published {
                let Some(slot) = first.get_mut(*at) else { continue };
                if slot.is_some_and(|other| !other.same_login(credential)) {
                    return Err(self.unclear_stores().await?);
                }
                *slot = Some(credential);
            }
        }
        let mut users = Vec::new();
        // Adoption issues the first generation, and Vault gives no names to what is there already.
        let adopted = self.facts.last <= FIRST && !self.world.named().contains(&FIRST);
        let current = if adopted { FIRST } else { self.facts.last.next() };
        for (at, credential) in first.into_iter().enumerate() {
            let (Some(credential), Some(config)) = (credential, self.world.set.config.databases.get(at)) else {
                continue;
            };
            if !config.users.contains(&credential.username) || !self.logs_in(at, credential).await? {
                return Err(self.unclear_stores().await?);
            }
            let live = FoundUser { at, generation: current, credential: credential.clone(), is_published: true };
            users.push(live);
            users.extend(self.idle_user(at, config, &credential.username, None).await?);
        }
        Ok(Decision { phase: Phase::Idle, current, next: None, users, moves: Vec::new(), is_new: true })
    }

    /// Every secret publishes the same generation.
    async fn one(&self, current: Generation) -> Rebuilt<Decision> {
        let next = self.world.named().into_iter().next_back().filter(|newest| *newest > current);
        let mut on_its_way = false;
        for (at, config) in self.world.set.config.databases.iter().enumerate() {
            let is_published_valid = self.generation_logs_in(at, current).await?;
            if is_published_valid && config.strategy != Strategy::Rollover {
                continue;
            }
            let has_moved = match next {
                Some(next) if config.strategy != Strategy::Alternating => self.generation_logs_in(at, next).await?,
                Some(_) | None => false,
            };
            if !is_published_valid && !has_moved {
                return Err(self.nothing_logs_in(at, current).await?);
            }
            on_its_way |= has_moved;
        }
        if let Some(next) = next {
            self.wait_for_the_drain(next)?;
        }
        let mut decision = Decision {
            phase: if on_its_way { Phase::Intent } else { Phase::Idle },
            current,
            next: next.filter(|_| on_its_way),
            users: Vec::new(),
            moves: Vec::new(),
            is_new: false,
        };
        for (at, config) in self.world.set.config.databases.iter().enumerate() {
            // What logs in with the published generation is on it; a rollover that took the next one lets both in.
            let on = if self.generation_logs_in(at, current).await? { current } else { next.unwrap_or(current) };
            decision.users.extend(self.live_and_idle(at, config, on, decision.next).await?);
        }
        Ok(decision)
    }

    /// Some secrets publish an older generation than the others.
    async fn two(&self, older: Generation, newer: Generation, shown: &[Option<Generation>]) -> Rebuilt<Decision> {
        let everywhere = async |generation| -> Rebuilt<bool> {
            for at in 0..self.world.set.config.databases.len() {
                if !self.generation_logs_in(at, generation).await? {
                    return Ok(false);
                }
            }
            Ok(self
                .world
                .secrets
                .iter()
                .zip(shown)
                .all(|(seen, shown)| *shown == Some(generation) || seen.named.contains_key(&generation)))
        };
        let mut users = Vec::new();
        let databases = || self.world.set.config.databases.iter().enumerate();
        if everywhere(newer).await? {
            for (at, config) in databases() {
                users.push(self.found(at, newer, config.strategy != Strategy::Alternating)?);
                if config.strategy == Strategy::Alternating {
                    let base = self.other_user(at, config, newer)?;
                    users.extend(self.user(at, &base, Some(older), true).await?);
                }
            }
            let next = Some(newer);
            return Ok(Decision {
                phase: Phase::Commit,
                current: older,
                next,
                users,
                moves: Vec::new(),
                is_new: false,
            });
        }
        if everywhere(older).await? {
            self.wait_for_the_drain(newer)?;
            for (at, config) in databases() {
                users.extend(self.live_and_idle(at, config, older, None).await?);
            }
            let moves = self.world.secrets.iter().zip(shown).enumerate().filter(|(_, (_, s))| **s == Some(newer));
            let moves = moves.filter_map(|(at, (seen, _))| {
                Some((at, seen.current.clone(), seen.named.get(&older).map(|(id, _)| id.clone())?))
            });
            let moves = moves.collect();
            return Ok(Decision { phase: Phase::Idle, current: older, next: None, users, moves, is_new: false });
        }
        Err(self.unclear_stores().await?)
    }

    /// A late request carries nothing but an old password where there is no fence: it could move the published user to the newer
    /// generation, or back from it, whatever is decided now. Nothing is decided before none can come any more.
    fn wait_for_the_drain(&self, next: Generation) -> Rebuilt<()> {
        let unfenced = |(config, port): (&Database, &std::sync::Arc<dyn crate::port::Database>)| {
            config.strategy != Strategy::Alternating && port.capability() == Capability::StatementCas
        };
        let set = self.world.set;
        let until = self.facts.last_record.unwrap_or_default().saturating_add(DRAIN_MS);
        if !set.config.databases.iter().zip(&set.databases).any(unfenced) || set.clock.now().0 >= until {
            return Ok(());
        }
        let minutes = (until - set.clock.now().0) / 60_000 + 1;
        Err(unclear(
            format!("generation {} was begun, and requests of earlier workers may still change a password", next.0),
            format!(
                "run this again in {minutes} minutes: the last record of the audit trail is not twenty minutes old"
            ),
        ))
    }

    async fn live_and_idle(
        &self,
        at: usize,
        config: &Database,
        on: Generation,
        next: Option<Generation>,
    ) -> Rebuilt<Vec<FoundUser>> {
        let live = self.found(at, on, true)?;
        let idle = self.idle_user(at, config, &live.credential.username, next).await?;
        Ok([live].into_iter().chain(idle).collect())
    }

    async fn idle_user(
        &self,
        at: usize,
        config: &Database,
        live: &str,
        likeliest: Option<Generation>,
    ) -> Rebuilt<Option<FoundUser>> {
        match config.users.iter().find(|user| *user != live) {
            Some(idle) if config.strategy == Strategy::Alternating => self.user(at, idle, likeliest, false).await,
            Some(_) | None => Ok(None),
        }
    }

    /// Which generation a user is on: `likeliest` first, then the newest.
    async fn user(
        &self,
        at: usize,
        user: &str,
        likeliest: Option<Generation>,
        is_published: bool,
    ) -> Rebuilt<Option<FoundUser>> {
        let mut candidates: Vec<(Generation, &Credential)> = self
            .world
            .generations
            .iter()
            .filter(|((d, _), credential)| *d == at && credential.username == user)
            .map(|((_, generation), credential)| (*generation, credential))
            .collect();
        candidates.sort_by_key(|(generation, _)| (Some(*generation) == likeliest, *generation));
        for (generation, credential) in candidates.into_iter().rev() {
            if self.logs_in(at, credential).await? {
                return Ok(Some(FoundUser { at, generation, credential: credential.clone(), is_published }));
            }
        }
        // Adoption names no version in Vault; what it found as CURRENT is PREVIOUS after the first rotation.
        for seen in &self.world.secrets {
            let Some(credential) = seen.previous.as_ref().and_then(|(_, published)| published.get(&at)) else {
                continue;
            };
            let is_first = credential.username == user && !self.world.named().contains(&FIRST);
            if is_first && self.logs_in(at, credential).await? {
                return Ok(Some(FoundUser { at, generation: FIRST, credential: credential.clone(), is_published }));
            }
        }
        let newest = self.world.generations.iter().rev().find(|((d, _), c)| *d == at && c.username == user);
        let from = newest.map_or_else(String::new, |((_, g), _)| format!(", for example that of generation {}", g.0));
        let database = self.world.database_name(at);
        Err(unclear(
            format!("no password that a secret holds lets {user} in on the database {database}"),
            format!(
                "have an administrator set the password of {user} to one that a named version holds{from}, then run this again"
            ),
        ))
    }

    /// The user of a generation, which has logged in.
    fn found(&self, at: usize, generation: Generation, is_published: bool) -> Rebuilt<FoundUser> {
        let credential = self.credential(at, generation).cloned().ok_or_else(|| {
            let database = self.world.database_name(at);
            unclear(format!("no secret holds generation {} of the database {database}", generation.0), RESTORE)
        })?;
        Ok(FoundUser { at, generation, credential, is_published })
    }

    fn other_user(&self, at: usize, config: &Database, generation: Generation) -> Rebuilt<String> {
        let published = self.found(at, generation, true)?.credential.username;
        let other = config.users.iter().find(|user| **user != published).cloned();
        other.ok_or_else(|| unclear(format!("the database {} has one user only", config.name), RESTORE))
    }

    /// That of a named version; for the generation that CURRENT shows, what it shows.
    fn credential(&self, at: usize, generation: Generation) -> Option<&Credential> {
        self.world.generations.get(&(at, generation))
    }

    async fn generation_logs_in(&self, at: usize, generation: Generation) -> Rebuilt<bool> {
        match self.credential(at, generation) {
            Some(credential) => self.logs_in(at, credential).await,
            None => Ok(false),
        }
    }

    async fn logs_in(&self, at: usize, credential: &Credential) -> Rebuilt<bool> {
        let stamp = looking(&self.world.set.config.name, &self.facts.register);
        Ok(self.world.logs_in(at, credential, stamp).await?)
    }

    async fn nothing_logs_in(&self, at: usize, current: Generation) -> Rebuilt<super::NotRebuilt> {
        let mut others = Vec::new();
        let kept = self.world.generations.iter().rev().filter(|((d, g), _)| *d == at && *g != current);
        for ((_, generation), credential) in kept {
            if self.logs_in(at, credential).await? {
                others.push(format!("g{} ({})", generation.0, credential.username));
            }
        }
        let database = self.world.database_name(at);
        let others =
            if others.is_empty() { "nothing else does".to_owned() } else { format!("{} does", others.join(", ")) };
        Ok(unclear(
            format!("generation {} is published, and does not log in on the database {database}; {others}", current.0),
            format!(
                "have an administrator set the password of the published user on {database} to that of generation {}, then run this again",
                current.0
            ),
        ))
    }

    /// Who publishes what, and where it logs in.
    async fn unclear_stores(&self) -> Rebuilt<super::NotRebuilt> {
        let mut lines = Vec::new();
        for (number, seen) in self.world.secrets.iter().enumerate() {
            let shown = self.world.generation_of(number, &seen.current, &seen.published);
            let shown = shown.map_or_else(|| "an unknown generation".to_owned(), |g| format!("generation {}", g.0));
            let mut places = Vec::new();
            for (at, credential) in &seen.published {
                let word = if self.logs_in(*at, credential).await? { "logs in" } else { "does not log in" };
                places.push(format!("{word} on {}", self.world.database_name(*at)));
            }
            lines.push(format!("{} publishes {shown}, which {}", self.world.secret_name(number), places.join(", ")));
        }
        Ok(unclear(
            format!("the secrets do not show one generation that logs in everywhere: {}", lines.join("; ")),
            format!(
                "publish in every secret the credential that logs in, then `dizzy-keys recover --from-world {}`",
                self.world.set.config.name
            ),
        ))
    }
}

const RESTORE: &str = "restore the register from a backup of the journal";
