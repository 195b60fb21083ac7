//! The emulator as a test sees it: start, look, meddle, stop.
//!
//! Everything here goes past the wire and past all privileges: it is the hand of the person who built the database.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    accounts::{
        profile::Profile,
        user::{Lock, Tally, User},
    },
    fault::{Fault, Planted, Watch},
    log::{Entry, Event},
    options::{Account, Listener, Mode, Options},
    pki::{CertificateVersion, Identity, Pki},
    session::{self, Service},
    sql::names,
    time::Moment,
    tls::{self, Client},
    world::Shared,
};

/// A running emulator. Dropping it ends every session and frees the ports.
#[derive(Debug)]
pub struct OracleEmulator {
    shared: Arc<Shared>,
    ports: BTreeMap<Listener, SocketAddr>,
    pki: Arc<Pki>,
    identity: Identity,
    services: Vec<String>,
    threads: Vec<JoinHandle<()>>,
    sessions: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// A user as it is.
#[derive(Clone, Debug)]
pub struct UserState {
    /// ACCOUNT_STATUS.
    pub status: String,
    /// Wrong passwords in a row.
    pub failed_logins: u32,
    /// When the current password was set.
    pub password_set: Moment,
    /// EXPIRY_DATE.
    pub expiry: Option<Moment>,
    /// The end of an open rollover window.
    pub rollover_until: Option<Moment>,
    /// The name of its profile.
    pub profile: String,
    /// System privileges, by grant and by role.
    pub privileges: Vec<String>,
    /// How many sessions it has.
    pub sessions: usize,
    /// Counts since it was created.
    pub tally: Tally,
}

/// A session as it is.
#[derive(Clone, Debug)]
pub struct SessionState {
    /// SID.
    pub id: u64,
    /// Whose.
    pub user: String,
    /// PROGRAM.
    pub program: String,
    /// MODULE.
    pub module: String,
    /// CLIENT_IDENTIFIER.
    pub client_identifier: String,
    /// The connection in the log.
    pub connection: u64,
}

impl OracleEmulator {
    /// Starts an emulator with all three listeners on loopback ports that the system chooses.
    ///
    /// # Errors
    /// If certificates cannot be made, a user's profile does not exist, or no port can be had.
    pub fn start(options: Options) -> Result<Self> {
        let pki = match &options.pki {
            Some(pki) => Arc::clone(pki),
            None => Arc::new(Pki::create(CertificateVersion::V3)?),
        };
        let identity = match &options.identity {
            Some(identity) => identity.clone(),
            None => pki.server(&[("C", "US"), ("O", "dizzy sandbox"), ("CN", "adb.sandbox.test")])?,
        };
        let mut emulator = Self {
            shared: Arc::new(Shared::new(&options)?),
            ports: BTreeMap::new(),
            pki,
            identity,
            services: options.services.clone(),
            threads: Vec::new(),
            sessions: Arc::default(),
        };
        for listener in Listener::ALL {
            emulator.listen(listener, options.renegotiate)?;
        }
        Ok(emulator)
    }

    fn listen(&mut self, listener: Listener, renegotiate: bool) -> Result<()> {
        let client = match listener {
            Listener::Tcp => None,
            Listener::Tls => Some(Client::Anonymous),
            Listener::MutualTls => Some(Client::Certified),
        };
        let tls = client.map(|client| tls::config(&self.identity, &self.pki, client)).transpose()?;
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind a listener")?;
        self.ports.insert(listener, socket.local_addr().context("ask for a port")?);
        let service = Service { shared: Arc::clone(&self.shared), listener, tls, renegotiate };
        let sessions = Arc::clone(&self.sessions);
        self.threads.push(std::thread::spawn(move || accept(&socket, &service, &sessions)));
        Ok(())
    }

    /// The address of a listener.
    ///
    /// # Panics
    /// Never: all listeners are started.
    #[must_use]
    pub fn address(&self, listener: Listener) -> SocketAddr {
        *self.ports.get(&listener).expect("start() opens every listener")
    }

    /// The port of a listener.
    #[must_use]
    pub fn port(&self, listener: Listener) -> u16 {
        self.address(listener).port()
    }

    /// The first service.
    #[must_use]
    pub fn service(&self) -> &str {
        self.services.first().map_or("", String::as_str)
    }

    /// All services.
    #[must_use]
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// A full connect descriptor for a listener and the first service.
    ///
    /// The host is `localhost`: the vendor's Python client does not match addresses in certificates.
    #[must_use]
    pub fn descriptor(&self, listener: Listener) -> String {
        self.descriptor_with(listener, "localhost", self.service())
    }

    /// The same with a host and a service of one's own.
    #[must_use]
    pub fn descriptor_with(&self, listener: Listener, host: &str, service: &str) -> String {
        let protocol = match listener {
            Listener::Tcp => "tcp",
            Listener::Tls | Listener::MutualTls => "tcps",
        };
        let port = self.port(listener);
        format!(
            "(DESCRIPTION=(ADDRESS=(PROTOCOL={protocol})(HOST={host})(PORT={port}))(CONNECT_DATA=(SERVICE_NAME={service})))"
        )
    }

    /// The authority behind the certificates.
    #[must_use]
    pub const fn pki(&self) -> &Arc<Pki> {
        &self.pki
    }

    /// The certificate of the listeners with TLS.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The release that is emulated.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.shared.lock().mode
    }

    /// A user's state, or nothing if there is no such user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<UserState> {
        let name = names::fold(name);
        let mut world = self.shared.lock();
        let now = world.now();
        let privileges = world.accounts.privileges(&name).into_iter().collect();
        let sessions = world.sessions.values().filter(|session| session.user == name).count();
        let (user, profile) = world.accounts.user_with_profile(&name).ok()?;
        user.settle(profile, now);
        Some(UserState {
            status: user.status(now),
            failed_logins: user.failed,
            password_set: user.current.set,
            expiry: user.expiry(profile),
            rollover_until: user.window.as_ref().map(|window| window.until),
            profile: user.profile.clone(),
            privileges,
            sessions,
            tally: user.tally,
        })
    }

    /// Is this the user's current password? (In a rollover window: the newest.)
    #[must_use]
    pub fn password_is(&self, name: &str, password: &str) -> bool {
        let world = self.shared.lock();
        world.accounts.users.get(&names::fold(name)).is_some_and(|user| user.current.text == password)
    }

    /// Would this password log in at this moment? (In a rollover window there are two; locks and expiry are not looked at.)
    #[must_use]
    pub fn password_logs_in(&self, name: &str, password: &str) -> bool {
        let world = self.shared.lock();
        let now = world.now();
        let user = world.accounts.users.get(&names::fold(name));
        user.is_some_and(|user| user.candidates(now).any(|candidate| candidate.text == password))
    }

    /// The sessions that are logged in.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionState> {
        let world = self.shared.lock();
        let state = |(connection, session): (&u64, &crate::world::Session)| SessionState {
            id: session.id,
            user: session.user.clone(),
            program: session.program.clone(),
            module: session.module.clone(),
            client_identifier: session.identifier.clone(),
            connection: *connection,
        };
        world.sessions.iter().map(state).collect()
    }

    /// How many connections are open, logged in or not.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// Everything that has happened so far.
    #[must_use]
    pub fn log(&self) -> Vec<Entry> {
        self.shared.lock().log.clone()
    }

    /// The log as text, to search it.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.log().iter().map(|entry| format!("{} {:?}\n", entry.connection, entry.event)).collect()
    }

    /// The statements so far, with the user of each.
    #[must_use]
    pub fn statements(&self) -> Vec<(String, String)> {
        let statement = |entry: Entry| match entry.event {
            Event::Statement { user, text, .. } => Some((user, text)),
            Event::Accepted(_)
            | Event::Connect(_)
            | Event::ConnectRefused(_)
            | Event::LoggedIn { .. }
            | Event::LoginRefused { .. }
            | Event::Change { .. }
            | Event::RoundTrip { .. }
            | Event::Fault(_)
            | Event::Ended(_) => None,
        };
        self.log().into_iter().filter_map(statement).collect()
    }

    /// Plants a fault.
    #[must_use = "the handle tells whether it has fired"]
    pub fn plant(&self, fault: Fault) -> Planted {
        self.shared.lock().faults.plant(fault)
    }

    /// From here on `watch` looks at every point that a session comes to, before the planted faults do.
    pub fn watch(&self, watch: Watch) {
        self.shared.lock().faults.watch(watch);
    }

    /// Takes all faults away and lets go of what they hold.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// The emulated time.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.shared.lock().now()
    }

    /// Moves the emulated time on.
    pub fn advance(&self, by: Duration) {
        let mut world = self.shared.lock();
        let then = world.now() + by;
        world.set_now(then);
    }

    /// Sets the emulated time, from where it goes on.
    pub fn set_now(&self, now: Moment) {
        self.shared.lock().set_now(now);
    }

    /// Adds a profile or replaces it.
    pub fn set_profile(&self, name: &str, profile: Profile) {
        self.shared.lock().accounts.profiles.insert(name.to_uppercase(), profile);
    }

    /// Adds a user.
    ///
    /// # Errors
    /// If the profile does not exist.
    pub fn add_user(&self, account: &Account) -> Result<()> {
        self.shared.lock().add(account)
    }

    /// Locks a user as an administrator would.
    pub fn lock_user(&self, name: &str) {
        self.with_user(name, |user, now| user.lock = Some(Lock::Manual(now)));
    }

    /// Unlocks a user.
    pub fn unlock_user(&self, name: &str) {
        self.with_user(name, |user, _| {
            user.lock = None;
            user.failed = 0;
        });
    }

    /// Expires a user's password.
    pub fn expire_user(&self, name: &str) {
        self.with_user(name, |user, now| user.expired = Some(now));
    }

    /// Sets a password as if an administrator had, with none of the rules and no window.
    pub fn set_password(&self, name: &str, password: &str) {
        self.with_user(name, |user, now| user.force_password(password, now));
    }

    /// Gives a user a system privilege.
    pub fn grant(&self, name: &str, privilege: &str) {
        self.with_user(name, |user, _| {
            user.privileges.insert(privilege.to_uppercase());
        });
    }

    /// Takes a system privilege from a user.
    pub fn revoke(&self, name: &str, privilege: &str) {
        self.with_user(name, |user, _| {
            user.privileges.remove(&privilege.to_uppercase());
        });
    }

    /// Ends a user's rollover window in favour of the newest password.
    pub fn end_window(&self, name: &str) {
        self.with_user(name, |user, _| user.window = None);
    }

    /// Ends a user's sessions as an administrator would: the next call of each is refused with ORA-00028.
    pub fn kill_sessions(&self, name: &str) {
        let name = names::fold(name);
        for session in self.shared.lock().sessions.values_mut().filter(|session| session.user == name) {
            session.killed = true;
        }
    }

    /// Cuts every connection, as a crash would. The listeners stay.
    pub fn cut_connections(&self) {
        for stream in self.shared.lock().connections.values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn with_user(&self, name: &str, work: impl FnOnce(&mut User, Moment)) {
        let mut world = self.shared.lock();
        let now = world.now();
        if let Ok(user) = world.accounts.user_mut(&names::fold(name)) {
            work(user, now);
        }
    }
}

impl Drop for OracleEmulator {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.clear_faults();
        self.cut_connections();
        for address in self.ports.values() {
            // Wakes the thread that waits for a connection.
            drop(TcpStream::connect(address));
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
        self.cut_connections();
        let sessions = std::mem::take(&mut *self.sessions.lock().unwrap_or_else(PoisonError::into_inner));
        for session in sessions {
            drop(session.join());
        }
    }
}

/// Takes connections until the emulator stops.
fn accept(socket: &TcpListener, service: &Service, sessions: &Mutex<Vec<JoinHandle<()>>>) {
    for stream in socket.incoming() {
        let Some((number, stream)) = admit(service, stream) else { return };
        let service = service.clone();
        let thread = std::thread::spawn(move || session::serve(&service, number, stream));
        let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| !session.is_finished());
        sessions.push(thread);
    }
}

/// Registers a connection, so that a stop can end it; `None` when the emulator stops.
fn admit(service: &Service, stream: io::Result<TcpStream>) -> Option<(u64, TcpStream)> {
    let mut world = service.shared.lock();
    if world.stopping {
        return None;
    }
    let stream = stream.ok()?;
    let number = world.next_connection();
    world.connections.insert(number, stream.try_clone().ok()?);
    Some((number, stream))
}
