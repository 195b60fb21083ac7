//! Starting and stopping the emulator, and the parts of its control API that are about the whole cloud.

use core::{fmt, time::Duration};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, mpsc as std_mpsc},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::mpsc,
};

use crate::{
    TENANCY,
    clock::{Clock, days_later},
    control::SecretOptions,
    database::{AdminPasswordHook, Databases, WalletSource},
    dispatch::{Shared, World},
    faults::{Fault, FaultHandle, Faults, held},
    keys::{KeyFormat, RsaKey},
    log::Logged,
    objects::Objects,
    principals::{Instance, Principal, Principals, Session},
    rights::Rights,
    route::Service,
    server::{self, Door, Order},
    topics::Topics,
    vault::{Settle, Vault},
};

/// How the emulated cloud behaves where the real one varies or is not known.
#[derive(Clone)]
pub struct Options {
    /// When an update of a secret is over.
    pub settle: Settle,
    /// Reads of the retrieval service that still show the old versions after each settled update.
    pub stale_reads: u32,
    /// Status and code when a version's name is taken. Unverified.
    pub duplicate_version_name: (u16, &'static str),
    /// Status and code when a retained object is to be changed. Unverified.
    pub retained_object: (u16, &'static str),
    /// The zip of a wallet.
    pub wallet: WalletSource,
    /// Called when ADMIN's password changes.
    pub admin_password: AdminPasswordHook,
    /// The ports, in the order of [`Service::ALL`]; 0 takes a free one.
    pub ports: [u16; 7],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle: Settle::AfterPolls(2),
            stale_reads: 0,
            duplicate_version_name: (409, "NotAuthorizedOrResourceAlreadyExists"),
            retained_object: (409, "ObjectRetained"),
            wallet: Arc::new(|_| b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            admin_password: Arc::new(|_, _| {}),
            ports: [0; 7],
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("settle", &self.settle)
            .field("stale_reads", &self.stale_reads)
            .finish_non_exhaustive()
    }
}

/// A running emulator. Dropping it closes every connection.
#[derive(Debug)]
pub struct OciEmulator {
    pub(crate) shared: Arc<Shared>,
    runtime: Option<Runtime>,
    doors: BTreeMap<Service, (u16, mpsc::UnboundedSender<Order>)>,
}

impl OciEmulator {
    /// Starts every service on a port of its own.
    ///
    /// # Errors
    /// If a port or a thread cannot be had.
    pub fn start(options: Options) -> Result<Self> {
        let Options { settle, stale_reads, duplicate_version_name, retained_object, wallet, admin_password, ports } =
            options;
        let world = World {
            clock: Clock::default(),
            principals: Principals::new(),
            vault: Vault::new(settle, stale_reads, duplicate_version_name),
            objects: Objects::new(retained_object),
            databases: Databases { all: BTreeMap::new(), wallet, admin_password },
            topics: Topics::default(),
        };
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            faults: Mutex::new(Faults::default()),
            log: Mutex::new(Vec::new()),
            late: Mutex::new(Vec::new()),
        });
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("oci-emulator").enable_all().build()?;
        let mut doors = BTreeMap::new();
        for (service, port) in Service::ALL.into_iter().zip(ports) {
            let listener = server::bind(port).with_context(|| format!("no port for {}", service.name()))?;
            let port = listener.local_addr()?.port();
            let entered = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            drop(entered);
            let (orders, received) = mpsc::unbounded_channel();
            runtime.spawn(server::keep(service, listener, Arc::clone(&shared), received));
            doors.insert(service, (port, orders));
        }
        Ok(Self { shared, runtime: Some(runtime), doors })
    }

    /// `http://127.0.0.1:PORT`, without the version that paths begin with.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> String {
        let port = self.doors.get(&service).map_or(0, |(port, _)| *port);
        format!("http://127.0.0.1:{port}")
    }

    /// `OCI_ENDPOINT_SECRETS`, `_VAULTS`, `_OBJECTSTORAGE`, `_DATABASE`, `_AUTH` and `_NOTIFICATIONS`, and `OCI_METADATA_BASE_URL`.
    #[must_use]
    pub fn endpoint_env(&self) -> Vec<(String, String)> {
        let variable = |service: Service| match service {
            Service::Metadata => ("OCI_METADATA_BASE_URL".to_owned(), self.metadata_url()),
            other => (format!("OCI_ENDPOINT_{}", other.name()), self.endpoint(other)),
        };
        Service::ALL.into_iter().map(variable).collect()
    }

    /// `http://127.0.0.1:PORT/opc/v2`: the metadata service of the instance that was made last.
    #[must_use]
    pub fn metadata_url(&self) -> String {
        format!("{}/opc/v2", self.endpoint(Service::Metadata))
    }

    /// Opens or shuts one service. When this returns, its connections are closed and later ones meet the door as it is.
    ///
    /// # Errors
    /// If the port is lost.
    pub fn set_door(&self, service: Service, door: Door) -> Result<()> {
        let (_, orders) = self.doors.get(&service).context("no such service")?;
        let (done, outcome) = std_mpsc::channel::<io::Result<()>>();
        orders.send((door, done)).map_err(|_| anyhow!("{} has ended", service.name()))?;
        outcome.recv_timeout(TURN_LIMIT)?.with_context(|| format!("{} cannot be turned", service.name()))
    }

    /// Opens or shuts every service.
    ///
    /// # Errors
    /// If a port is lost.
    pub fn set_doors(&self, door: Door) -> Result<()> {
        Service::ALL.into_iter().try_for_each(|service| self.set_door(service, door))
    }

    /// Makes a user with an API key. Names are unique; they appear in the log.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn principal(&self, name: &str, rights: Rights) -> Result<Principal> {
        let principal = Principal::make(name)?;
        held(&self.shared.world).principals.add(principal.clone(), rights);
        Ok(principal)
    }

    /// Makes a session token that is good for this long, as a function or `oci session authenticate` has one. Calling it
    /// again with the same name renews it.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn session(&self, name: &str, rights: Rights, lifetime: SignedDuration) -> Result<Session> {
        let key = RsaKey::generate()?;
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        let until = now.checked_add(lifetime)?;
        let (modulus, exponent) = key.components();
        let token = world.principals.issue(name, (&modulus, &exponent), now, until)?;
        world.principals.add_session(name, rights);
        Ok(Session::new(token, Arc::new(key)))
    }

    /// Makes a compute instance, which gets its sessions by the federation call. Calling it again with the same name replaces
    /// its certificate: the former one is not accepted any more.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn instance(&self, name: &str, rights: Rights) -> Result<Instance> {
        let key = RsaKey::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("ocid1.instance.oc1.iad.{name}"));
        params.distinguished_name.push(DnType::OrganizationalUnitName, format!("opc-tenant:{TENANCY}"));
        let pair = KeyPair::from_pem_and_sign_algo(&key.pem(KeyFormat::Pkcs8)?, &PKCS_RSA_SHA256)?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "sandbox intermediate");
        let authority_pair = KeyPair::generate()?;
        let intermediate = authority.self_signed(&authority_pair)?;
        let certificate = params.signed_by(&pair, &Issuer::new(authority, authority_pair))?;
        let instance = Instance {
            name: name.to_owned(),
            certificate: certificate.der().to_vec(),
            certificate_pem: certificate.pem(),
            intermediate: intermediate.der().to_vec(),
            intermediate_pem: intermediate.pem(),
            key: Arc::new(key),
        };
        let mut world = held(&self.shared.world);
        world.principals.instances.retain(|known| known.name != name);
        world.principals.instances.push(instance.clone());
        world.principals.add_session(name, rights);
        Ok(instance)
    }

    /// Replaces what a principal may do.
    ///
    /// # Errors
    /// If there is no such principal.
    pub fn set_rights(&self, name: &str, rights: &Rights) -> Result<()> {
        ensure!(held(&self.shared.world).principals.set_rights(name, rights), "there is no principal {name}");
        Ok(())
    }

    /// Takes a principal's key or tokens away.
    pub fn forget_principal(&self, name: &str) {
        held(&self.shared.world).principals.forget(name);
    }

    /// Sets the cloud's clock this far from the machine's.
    pub fn set_clock_offset(&self, offset: SignedDuration) {
        held(&self.shared.world).clock.set_offset(offset);
    }

    /// The time in the cloud.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        held(&self.shared.world).clock.now()
    }

    /// Injects a fault.
    #[must_use = "the handle tells whether the fault fired"]
    pub fn inject(&self, fault: Fault) -> FaultHandle {
        held(&self.shared.faults).inject(fault)
    }

    /// Takes back every fault and says how many would still have hit something.
    pub fn clear_faults(&self) -> usize {
        held(&self.shared.faults).clear()
    }

    /// Executes every late request; returns how many there were.
    pub fn release(&self) -> usize {
        let late = core::mem::take(&mut *held(&self.shared.late));
        for (service, target, request) in &late {
            self.shared.execute(*service, target.as_ref(), request, Some("released"));
        }
        late.len()
    }

    /// Every request since the start or the last [`forget_log`](Self::forget_log), in the order in which they happened.
    #[must_use]
    pub fn log(&self) -> Vec<Logged> {
        held(&self.shared.log).clone()
    }

    /// Empties the log.
    pub fn forget_log(&self) {
        held(&self.shared.log).clear();
    }

    /// Makes a secret that is ACTIVE, with one version, and returns its OCID.
    ///
    /// # Errors
    /// What CreateSecret would refuse.
    pub fn create_secret(&self, options: &SecretOptions) -> Result<String> {
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        world.vault.create(options.build()?, now).map_err(|refused| anyhow!("{}: {}", refused.code, refused.message))
    }

    /// Thirty days from now in the cloud, for deletion dates.
    #[must_use]
    pub fn days_from_now(&self, days: i64) -> Timestamp {
        days_later(self.now(), days)
    }
}

impl Drop for OciEmulator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waiting: hanging requests hang for ever, and the drop may happen inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Closing connections takes a moment; more than this means that the emulator's threads are gone.
const TURN_LIMIT: Duration = Duration::from_secs(30);
