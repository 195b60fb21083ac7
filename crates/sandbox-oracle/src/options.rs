//! What an emulator is started with.

use std::sync::Arc;

use crate::{
    accounts::{Restore, WrongOldPassword, profile::Profile},
    pki::{Identity, Pki},
};

/// Which release is emulated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// 19c: classic login, no end marks.
    V19,
    /// 21c: as 19c, with a later field version.
    V21,
    /// 23ai: login in fewer round trips, answers with end marks.
    V23,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V19, Self::V21, Self::V23];

    pub(crate) const fn field_version(self) -> u8 {
        match self {
            Self::V19 => 12,
            Self::V21 => 16,
            Self::V23 => 24,
        }
    }

    pub(crate) const fn protocol_version(self) -> u16 {
        match self {
            Self::V19 | Self::V21 => 318,
            Self::V23 => 319,
        }
    }

    /// Flags of ACCEPT: fast login and end marks.
    pub(crate) const fn accept_flags(self) -> u32 {
        match self {
            Self::V19 | Self::V21 => 0,
            Self::V23 => 0x1200_0000,
        }
    }

    pub(crate) const fn end_of_response(self) -> bool {
        matches!(self, Self::V23)
    }

    /// Release and update, in the order of the digits of a full version.
    pub(crate) const fn release(self) -> (u32, u32) {
        match self {
            Self::V19 => (19, 28),
            Self::V21 => (21, 19),
            Self::V23 => (23, 9),
        }
    }
}

/// A listener; each has a port of its own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Listener {
    /// Without TLS.
    Tcp,
    /// With TLS; no client certificate is asked for.
    Tls,
    /// With TLS; a client certificate is demanded.
    MutualTls,
}

impl Listener {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Tls, Self::MutualTls];
}

/// A user that is there from the start.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name; folded to upper case unless quoted.
    pub name: String,
    /// The first password, which no rule is applied to.
    pub password: String,
    /// The name of a profile.
    pub profile: String,
    /// Whether it holds the role DBA; otherwise it may log in and no more.
    pub administrator: bool,
}

impl Account {
    /// A user with the profile DEFAULT who may log in.
    #[must_use]
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            profile: "DEFAULT".to_owned(),
            administrator: false,
        }
    }

    /// The same with another profile.
    #[must_use]
    pub fn with_profile(mut self, profile: &str) -> Self {
        profile.clone_into(&mut self.profile);
        self
    }

    /// The same as an administrator.
    #[must_use]
    pub const fn administrator(mut self) -> Self {
        self.administrator = true;
        self
    }
}

/// What an emulator is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The release.
    pub mode: Mode,
    /// The services that the listener knows.
    pub services: Vec<String>,
    /// Whether the database says that it is an Autonomous Database (`SYS_CONTEXT('USERENV', 'CLOUD_SERVICE')`).
    pub cloud: bool,
    /// Profiles besides DEFAULT, by name; one called DEFAULT replaces it.
    pub profiles: Vec<(String, Profile)>,
    /// The users.
    pub accounts: Vec<Account>,
    /// Whether the listeners with TLS demand TLS a second time on the same connection, as Oracle's do.
    pub renegotiate: bool,
    /// Whether refusals begin with a break and a reset, as on a real server.
    pub error_markers: bool,
    /// What the wrong old password of a change is answered with.
    pub wrong_old_password: WrongOldPassword,
    /// Whether a rollover window lets its first password return.
    pub restore: Restore,
    /// The authority behind the certificates; by default a fresh one.
    pub pki: Option<Arc<Pki>>,
    /// The certificate of the listeners with TLS; by default a good one for `localhost`, `127.0.0.1` and `::1`.
    pub identity: Option<Identity>,
}

/// The service that an emulator has unless told otherwise.
pub const SERVICE: &str = "sandbox_low.adb.sandbox.test";

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::V23,
            services: vec![SERVICE.to_owned()],
            cloud: true,
            profiles: Vec::new(),
            accounts: Vec::new(),
            renegotiate: false,
            error_markers: false,
            wrong_old_password: WrongOldPassword::InvalidLogin,
            restore: Restore::ByReuseLimits,
            pki: None,
            identity: None,
        }
    }
}
