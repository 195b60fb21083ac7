//! One user: passwords past and present, locks, expiry, the rollover window, and how they show in the dictionary.

use std::collections::BTreeSet;

use crate::{
    accounts::profile::Profile,
    time::Moment,
    wire::proof::{Verifier, random},
};

/// A password with the moment it was set.
#[derive(Clone, Debug)]
pub(crate) struct Password {
    pub(crate) text: String,
    pub(crate) set: Moment,
    pub(crate) verifier: Verifier,
}

/// The password that still logs in after a change, and until when.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) first: Password,
    pub(crate) until: Moment,
}

/// How an account is locked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lock {
    /// By an administrator.
    Manual(Moment),
    /// By failed logins.
    Timed(Moment),
}

/// One user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) salt: [u8; 16],
    pub(crate) session_salt: [u8; 16],
    pub(crate) current: Password,
    pub(crate) window: Option<Window>,
    /// Every password the user has had before the current one, newest last.
    pub(crate) history: Vec<(String, Moment)>,
    pub(crate) profile: String,
    /// NO AUTHENTICATION: owns things and never logs in.
    pub(crate) schema_only: bool,
    pub(crate) lock: Option<Lock>,
    /// Expired by an administrator, or because its time ran out.
    pub(crate) expired: Option<Moment>,
    /// The end of the grace period, which begins with the first login after the life time.
    pub(crate) grace_until: Option<Moment>,
    pub(crate) failed: u32,
    pub(crate) privileges: BTreeSet<String>,
    pub(crate) roles: BTreeSet<String>,
    pub(crate) created: Moment,
    pub(crate) last_login: Option<Moment>,
    pub(crate) tally: Tally,
}

/// Counts that no Oracle keeps and tests like to have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Logins that succeeded.
    pub logins: u32,
    /// Logins that were refused, for whatever reason.
    pub refused_logins: u32,
    /// Password changes that were made.
    pub changes: u32,
    /// Password changes that were refused.
    pub refused_changes: u32,
}

impl User {
    pub(crate) fn new(name: &str, id: u64, password: &str, profile: &str, now: Moment) -> Self {
        let salt = random();
        Self {
            name: name.to_owned(),
            id,
            salt,
            session_salt: random(),
            current: Password { text: password.to_owned(), set: now, verifier: Verifier::new(password, &salt) },
            window: None,
            history: Vec::new(),
            profile: profile.to_owned(),
            schema_only: false,
            lock: None,
            expired: None,
            grace_until: None,
            failed: 0,
            privileges: BTreeSet::new(),
            roles: BTreeSet::new(),
            created: now,
            last_login: None,
            tally: Tally::default(),
        }
    }

    /// Sets a password without asking any rule.
    pub(crate) fn force_password(&mut self, password: &str, now: Moment) {
        let verifier = Verifier::new(password, &self.salt);
        let next = Password { text: password.to_owned(), set: now, verifier };
        let before = std::mem::replace(&mut self.current, next);
        self.history.push((before.text, before.set));
        (self.window, self.expired, self.grace_until) = (None, None, None);
    }

    /// Passwords that prove who one is at this moment: the current one, and the first of an open window.
    pub(crate) fn candidates(&self, now: Moment) -> impl Iterator<Item = &Password> {
        let first = self.window.as_ref().filter(|window| now < window.until).map(|window| &window.first);
        std::iter::once(&self.current).chain(first)
    }

    /// Lets go of what the passing of time has ended: a window, and a lock by failed logins.
    pub(crate) fn settle(&mut self, profile: &Profile, now: Moment) {
        if self.window.as_ref().is_some_and(|window| now >= window.until) || profile.rollover_time.is_zero() {
            self.window = None;
        }
        if let (Some(Lock::Timed(at)), Some(time)) = (self.lock, profile.lock_time)
            && now >= at + time
        {
            self.lock = None;
            self.failed = 0;
        }
        if let Some(end) = self.grace_until
            && now >= end
            && self.expired.is_none()
        {
            self.expired = Some(end);
        }
    }

    /// ACCOUNT_STATUS, with the words of the reference (DBA_USERS).
    pub(crate) fn status(&self, now: Moment) -> String {
        let expired = if self.expired.is_some() { Some("EXPIRED") } else { self.grace_until.map(|_| "EXPIRED(GRACE)") };
        let locked = self.lock.map(|lock| match lock {
            Lock::Manual(_) => "LOCKED",
            Lock::Timed(_) => "LOCKED(TIMED)",
        });
        let state: Vec<&str> = expired.into_iter().chain(locked).collect();
        let state = if state.is_empty() { "OPEN".to_owned() } else { state.join(" & ") };
        if self.candidates(now).count() > 1 { format!("{state} & IN ROLLOVER") } else { state }
    }

    /// EXPIRY_DATE: when the password expires, or did.
    pub(crate) fn expiry(&self, profile: &Profile) -> Option<Moment> {
        self.expired.or(self.grace_until).or_else(|| profile.life_time.map(|time| self.current.set + time))
    }

    /// LOCK_DATE.
    pub(crate) fn locked_at(&self) -> Option<Moment> {
        self.lock.map(|(Lock::Manual(at) | Lock::Timed(at))| at)
    }
}
