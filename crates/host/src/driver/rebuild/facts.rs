//! What is found before anything is decided: whose register it was, and the highest numbers that it had used.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use dizzy_engine::{Generation, Strategy};

use super::{
    super::{
        adopt::FIRST,
        world::{World, looking},
    },
    Rebuilt, in_the_trail, unclear,
};
use crate::{
    audit,
    document::Credential,
    port::{Deadline, FenceState, Rollover},
};

/// Epochs that are left out. A worker takes one whenever it takes the set, and the last ones may have reached no fence and no record: a
/// run that is refused before it begins leaves nothing. The schedule gives up after a few dozen of these in a row.
pub(super) const EPOCH_MARGIN: u64 = 1000;

/// How long the whole trail may take to be listed: a page of a thousand names takes a bucket some tenths of a second.
pub(super) const LISTING: Duration = Duration::from_secs(120);

/// What the world says.
pub(super) struct Facts {
    /// The register's id, as long as it could be found out: 10 digits from names, 32 from fences.
    pub(super) register: String,
    /// Higher than any epoch that the lost register can have taken.
    pub(super) epoch: u64,
    /// Highest generation ever issued.
    pub(super) last: Generation,
    /// When the last record of the trail was made; milliseconds since 1970.
    pub(super) last_record: Option<i64>,
    /// Per database: its fence rows by user.
    pub(super) fences: Vec<BTreeMap<String, FenceState>>,
    /// Per database: what the server says about the windows of its user.
    pub(super) rollover: Vec<Option<Rollover>>,
}

impl Facts {
    pub(super) async fn gather(world: &World<'_>) -> Rebuilt<Self> {
        let set = &world.set.config.name;
        let named = world.registers();
        if named.len() > 1 {
            let each = named.iter().map(|(id, secrets)| format!("{id} on {}", list(secrets)));
            let what = format!("the secrets carry names of several registers: {}", each.collect::<Vec<_>>().join("; "));
            return Err(two_registers(what));
        }
        let prefix = named.into_keys().next().unwrap_or_default();
        let mut facts = Self {
            register: prefix.clone(),
            epoch: 0,
            last: world.named().into_iter().next_back().unwrap_or_default(),
            last_record: None,
            fences: Vec::new(),
            rollover: Vec::new(),
        };
        facts.ask_databases(world, &prefix).await?;
        let of_fences = |facts: &Self| facts.fences.iter().flat_map(BTreeMap::values).cloned().collect::<Vec<_>>();
        let rows = of_fences(&facts);
        let ids: BTreeSet<&String> = rows.iter().map(|row| &row.register).filter(|id| !id.is_empty()).collect();
        if ids.len() > 1 || ids.iter().any(|id| !id.starts_with(prefix.as_str())) {
            return Err(two_registers(format!("{}names of versions carry `{prefix}`", facts.owners_of_fences(world))));
        }
        if let Some(id) = ids.into_iter().next() {
            facts.register.clone_from(id);
        }
        if facts.register.is_empty() {
            let what = "no fence and no version carries the id of a register: this set was never prepared";
            return Err(unclear(what, format!("dizzy-keys prepare {set}")));
        }
        let sinks = &world.set.audit.sinks;
        let (rotation, epoch, time) =
            audit::highest(set, sinks, Deadline::after(LISTING)).await.map_err(in_the_trail)?;
        facts.last_record = time;
        let generations = rows.iter().filter_map(|row| row.generation);
        facts.last = generations.chain([Generation(rotation), FIRST]).fold(facts.last, Ord::max);
        facts.epoch = rows.iter().map(|row| row.epoch.0).fold(epoch, Ord::max).saturating_add(EPOCH_MARGIN);
        Ok(facts)
    }

    /// Fences and windows, by the first credential that logs in: what is published first, then the newest.
    async fn ask_databases(&mut self, world: &World<'_>, register: &str) -> Rebuilt<()> {
        let stamp = looking(&world.set.config.name, register);
        for (at, config) in world.set.config.databases.iter().enumerate() {
            let published = world.secrets.iter().filter_map(|seen| seen.published.get(&at));
            let kept = world.generations.iter().rev().filter(|((d, _), _)| *d == at).map(|(_, credential)| credential);
            let mut tried: Vec<&Credential> = Vec::new();
            let mut told = None;
            for credential in published.chain(kept) {
                if told.is_some() || tried.iter().any(|other| other.same_login(credential)) {
                    continue;
                }
                tried.push(credential);
                if world.logs_in(at, credential, stamp).await? {
                    told = Some(world.inspect(at, credential, stamp).await?);
                }
            }
            let Some(inspection) = told else {
                let what = format!("no credential that a secret holds logs in on the database {}", config.name);
                return Err(unclear(
                    what,
                    format!(
                        "have an administrator give the user the password that is published, then run this again: {}",
                        config.users.join(" or ")
                    ),
                ));
            };
            self.fences.push(inspection.fences.into_iter().collect());
            self.rollover.push(inspection.rollover.filter(|_| config.strategy == Strategy::Rollover));
        }
        Ok(())
    }

    fn owners_of_fences(&self, world: &World<'_>) -> String {
        let mut all = String::new();
        for (at, rows) in self.fences.iter().enumerate() {
            for (user, row) in rows.iter().filter(|(_, row)| !row.register.is_empty()) {
                all += &format!("the fence row of {user} on {} carries {}; ", world.database_name(at), row.register);
            }
        }
        all
    }
}

fn two_registers(what: String) -> super::NotRebuilt {
    unclear(
        what,
        "two installations have rotated these users or secrets: find out whose set this is, and put the journal of that one back",
    )
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
