//! Who may log in: proofs, locks, expiry and the count of failures.

use crate::{
    accounts::{
        Accounts,
        user::{Lock, User},
    },
    refusal::Refusal,
    time::{DAY, Moment},
    wire::proof::SessionKey,
};

/// What a client sent to prove itself.
#[derive(Debug)]
pub(crate) struct Proof<'a> {
    /// The server's half of the session key, as it was sent.
    pub(crate) sent: &'a [u8],
    /// The client's half, sealed.
    pub(crate) clients: &'a [u8],
    /// `AUTH_PASSWORD`.
    pub(crate) password: &'a str,
    /// `AUTH_NEWPASSWORD`: change the password on the way in.
    pub(crate) fresh: Option<&'a str>,
}

/// A login that succeeded.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) key: SessionKey,
    /// ORA-28002 while the grace period runs.
    pub(crate) warning: Option<Refusal>,
    /// The password was changed on the way in.
    pub(crate) changed: bool,
}

impl Accounts {
    /// Decides a login. Every refusal of a wrong password counts towards the lock.
    pub(crate) fn log_in(&mut self, name: &str, proof: &Proof<'_>, now: Moment) -> Result<Admitted, Refusal> {
        let outcome = self.decide_login(name, proof, now);
        if let Ok(user) = self.user_mut(name) {
            match &outcome {
                Ok(_) => {
                    user.tally.logins += 1;
                    user.failed = 0;
                    user.last_login = Some(now);
                }
                Err(_) => user.tally.refused_logins += 1,
            }
        }
        outcome
    }

    fn decide_login(&mut self, name: &str, proof: &Proof<'_>, now: Moment) -> Result<Admitted, Refusal> {
        let Ok((user, profile)) = self.user_with_profile(name) else { return Err(Refusal::ora(1017)) };
        user.settle(profile, now);
        if user.schema_only {
            return Err(Refusal::ora(1017));
        }
        // Oracle tells that an account is locked even to those with a wrong password. An attempt on a locked account is
        // not counted.
        if user.lock.is_some() {
            return Err(Refusal::ora(28000));
        }
        let Some(key) = key_of(user, proof, now) else {
            user.failed += 1;
            if profile.failed_login_attempts.is_some_and(|limit| user.failed >= limit) {
                user.lock = Some(Lock::Timed(now));
            }
            return Err(Refusal::ora(1017));
        };
        if user.grace_until.is_none()
            && user.expired.is_none()
            && profile.life_time.is_some_and(|time| now >= user.current.set + time)
        {
            // Oracle documentation (CREATE PROFILE): the grace period begins with the first login after the life time.
            match profile.grace_time {
                Some(grace) if !grace.is_zero() => user.grace_until = Some(now + grace),
                _ => user.expired = Some(now),
            }
        }
        let expired = user.expired.is_some();
        let grace_until = user.grace_until;
        let changed = match proof.fresh {
            Some(sealed) => {
                let fresh = key.open(sealed).ok_or_else(|| Refusal::ora(988))?;
                self.change(name, &fresh, now)?;
                true
            }
            None if expired => return Err(Refusal::ora(28001)),
            None => false,
        };
        self.demand(name, "CREATE SESSION")
            .map_err(|_| Refusal::saying(1045, format!("user {name} lacks CREATE SESSION privilege; logon denied")))?;
        let warning = grace_until.filter(|_| !changed).map(|end| {
            let days = end.since(now).as_secs().div_ceil(DAY.as_secs());
            Refusal::saying(28002, format!("the password will expire within {days} days"))
        });
        Ok(Admitted { key, warning, changed })
    }
}

/// The session key, if the proof was made with a password that is valid at this moment.
///
/// The server's half went out sealed with the current password. For each candidate this computes what the client would
/// have computed with it and looks whether the password it sent opens. How a real server tells two valid passwords
/// apart is unknown; clients cannot see the difference.
fn key_of(user: &User, proof: &Proof<'_>, now: Moment) -> Option<SessionKey> {
    user.candidates(now).find_map(|candidate| {
        let key = candidate.verifier.session_key(proof.sent, proof.clients, &user.session_salt)?;
        (key.open(proof.password)? == candidate.text).then_some(key)
    })
}
