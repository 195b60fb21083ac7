//! Executes one request: who calls, may they, what happens, what is written down.
//!
//! Synchronous and under one lock, so that calls happen one after another and a test sees each either before or after.

use std::sync::Mutex;

use crate::{
    clock::Clock,
    database::{self, Databases},
    faults::{Faults, held},
    federation,
    http::{Refused, Reply, Request},
    log::Logged,
    metadata,
    objects::{self, Objects},
    principals::Principals,
    rights::Rights,
    route::{Operation, Service, Target},
    signature::Refusal,
    topics::{self, Topics},
    vault::{self, Vault},
};

/// Everything that the emulated cloud remembers.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) principals: Principals,
    pub(crate) vault: Vault,
    pub(crate) objects: Objects,
    pub(crate) databases: Databases,
    pub(crate) topics: Topics,
}

/// What the server's threads and the control API share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) log: Mutex<Vec<Logged>>,
    pub(crate) late: Mutex<Vec<(Service, Option<Target>, Request)>>,
}

impl Shared {
    /// Executes a request and logs it.
    pub(crate) fn execute(
        &self,
        service: Service,
        target: Option<&Target>,
        request: &Request,
        fault: Option<&'static str>,
    ) -> Reply {
        let mut world = held(&self.world);
        let mut entry = entry(service, target, request, fault);
        let outcome = match target {
            None => Err(Refused::new(404, "NotFound", "there is no such operation")),
            Some(target) => world.answer(target, request, &mut entry),
        };
        let reply = outcome.unwrap_or_else(|refused| {
            entry.code = Some(refused.code.clone());
            entry.reason.get_or_insert_with(|| refused.message.clone());
            refused.reply()
        });
        entry.status = Some(reply.status);
        entry.reply = Some(reply.clone());
        // Still under the world's lock, so that the log has the order in which things happened.
        held(&self.log).push(entry);
        reply
    }

    /// Logs a request that a fault kept from being executed.
    pub(crate) fn lost(
        &self,
        service: Service,
        target: Option<&Target>,
        request: &Request,
        fault: &'static str,
        reply: Option<&Reply>,
    ) {
        let mut entry = entry(service, target, request, Some(fault));
        entry.status = reply.map(|reply| reply.status);
        entry.reply = reply.cloned();
        held(&self.log).push(entry);
    }
}

impl World {
    fn answer(&mut self, target: &Target, request: &Request, entry: &mut Logged) -> Result<Reply, Refused> {
        let now = self.clock.now();
        self.vault.pass_time(now);
        let operation = target.operation;
        match operation {
            Operation::FederateX509 => {
                return federation::answer(&mut self.principals, request, now)
                    .map_err(|refusal| not_authenticated(&refusal, entry));
            }
            Operation::GetInstanceMetadata => return metadata::answer(&self.principals, target, request),
            Operation::PreauthenticatedGet | Operation::PreauthenticatedPut => {
                return objects::preauthenticated(&mut self.objects, target, request, now);
            }
            _ => {}
        }
        let caller = self.principals.authenticate(request, operation, now);
        let caller = caller.map_err(|refusal| not_authenticated(&refusal, entry))?;
        entry.principal = Some(caller.name);
        let rights: &Rights = &caller.rights;
        match entry.service {
            Service::Secrets => vault::retrieve(&mut self.vault, target, request, rights, now),
            Service::Vaults => vault::manage(&mut self.vault, target, request, rights, now),
            Service::ObjectStorage => objects::answer(&mut self.objects, target, request, rights, now),
            Service::Database => database::answer(&mut self.databases, target, request, rights, now),
            Service::Notifications => topics::answer(&mut self.topics, target, request, rights, now),
            Service::Auth | Service::Metadata => Err(Refused::hidden()),
        }
    }
}

/// The one answer to every breach of the signature rules; which rule it was stays in the log.
fn not_authenticated(refusal: &Refusal, entry: &mut Logged) -> Refused {
    entry.reason = Some(refusal.to_string());
    let message = "The required information to complete authentication was not provided or was incorrect.";
    Refused::new(401, "NotAuthenticated", message)
}

fn entry(service: Service, target: Option<&Target>, request: &Request, fault: Option<&'static str>) -> Logged {
    Logged {
        service,
        operation: target.map(|target| target.operation),
        subject: target.map(Target::subject).unwrap_or_default().to_owned(),
        method: request.method.clone(),
        target: request.target.clone(),
        principal: None,
        status: None,
        code: None,
        reason: None,
        fault,
        request: request.clone(),
        reply: None,
    }
}
