//! Changing a password: who may, with which old one, to which new one, and what becomes of the old.

use crate::{
    accounts::{
        Accounts, Restore, WrongOldPassword, policy,
        profile::{Profile, Verify},
        user::{Password, User, Window},
    },
    refusal::Refusal,
    time::Moment,
    wire::proof::Verifier,
};

impl Accounts {
    /// A user's own change over the protocol, with the old password.
    pub(crate) fn change_own(&mut self, name: &str, old: &str, fresh: &str, now: Moment) -> Result<(), Refusal> {
        let outcome = self.check_old(name, old, now).and_then(|()| self.change(name, fresh, now));
        self.count_refusal(name, &outcome);
        outcome
    }

    /// `ALTER USER target IDENTIFIED BY fresh [REPLACE old]` by `actor`.
    pub(crate) fn alter_password(
        &mut self,
        actor: &str,
        target: &str,
        fresh: &str,
        old: Option<&str>,
        now: Moment,
    ) -> Result<(), Refusal> {
        let outcome = self.may_alter(actor, target, old, now).and_then(|()| self.change(target, fresh, now));
        self.count_refusal(target, &outcome);
        outcome
    }

    /// Ends a rollover window in favour of the newest password.
    pub(crate) fn end_window(&mut self, target: &str) -> Result<(), Refusal> {
        self.user_mut(target)?.window = None;
        Ok(())
    }

    /// Changes a password after whoever asks was found to be allowed to.
    pub(crate) fn change(&mut self, name: &str, fresh: &str, now: Moment) -> Result<(), Refusal> {
        let restore = self.restore;
        let (user, profile) = self.user_with_profile(name)?;
        user.settle(profile, now);
        if fresh.is_empty() {
            return Err(Refusal::ora(988));
        }
        policy::check(profile, name, fresh)?;
        check_reuse(user, profile, fresh, restore, now)?;
        replace(user, profile, fresh, now);
        user.tally.changes += 1;
        Ok(())
    }

    fn may_alter(&mut self, actor: &str, target: &str, old: Option<&str>, now: Moment) -> Result<(), Refusal> {
        if self.holds(actor, "ALTER USER") {
            // A holder of ALTER USER is not asked for the old password (Oracle documentation, ALTER USER, REPLACE).
            return self.user(target).map(|_| ());
        }
        if actor != target {
            return Err(Refusal::ora(1031));
        }
        let (_, profile) = self.user_with_profile(target)?;
        let demanded = profile.verify == Verify::Cloud;
        match old {
            Some(old) => self.check_old(target, old, now).map_err(|_| Refusal::ora(28008)),
            None if demanded => Err(Refusal::ora(28221)),
            None => Ok(()),
        }
    }

    fn check_old(&mut self, name: &str, old: &str, now: Moment) -> Result<(), Refusal> {
        let wrong = Refusal::ora(match self.wrong_old_password {
            WrongOldPassword::InvalidLogin => 1017,
            WrongOldPassword::InvalidOldPassword => 28008,
        });
        let (user, profile) = self.user_with_profile(name)?;
        user.settle(profile, now);
        // Oracle documentation (gradual password rollover): either valid password will do as the old one.
        if user.candidates(now).any(|candidate| candidate.text == old) { Ok(()) } else { Err(wrong) }
    }

    fn count_refusal(&mut self, name: &str, outcome: &Result<(), Refusal>) {
        if let (Err(_), Ok(user)) = (outcome, self.user_mut(name)) {
            user.tally.refused_changes += 1;
        }
    }
}

/// Oracle documentation (CREATE PROFILE): with both limits set, a password may return when both are satisfied; with only
/// one of them set it never may; with none it always may.
fn check_reuse(user: &User, profile: &Profile, fresh: &str, restore: Restore, now: Moment) -> Result<(), Refusal> {
    let is_first = user.window.as_ref().is_some_and(|window| window.first.text == fresh);
    match restore {
        Restore::Allowed if is_first => return Ok(()),
        Restore::Refused if is_first => return Err(Refusal::ora(28007)),
        Restore::Allowed | Restore::ByReuseLimits | Restore::Refused => {}
    }
    let past = || {
        let current = (user.current.text.as_str(), user.current.set);
        std::iter::once(current).chain(user.history.iter().rev().map(|(text, set)| (text.as_str(), *set)))
    };
    let reused = match (profile.reuse_max, profile.reuse_time) {
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => past().any(|(text, _)| text == fresh),
        (Some(max), Some(time)) => past().enumerate().any(|(age, (text, set))| {
            text == fresh && (u32::try_from(age).is_ok_and(|age| age < max) || now < set + time)
        }),
    };
    if reused { Err(Refusal::ora(28007)) } else { Ok(()) }
}

fn replace(user: &mut User, profile: &Profile, fresh: &str, now: Moment) {
    let verifier = Verifier::new(fresh, &user.salt);
    let next = Password { text: fresh.to_owned(), set: now, verifier };
    let before = std::mem::replace(&mut user.current, next);
    user.history.push((before.text.clone(), before.set));
    let rolls = !profile.rollover_time.is_zero() && user.expired.is_none();
    // The window is that of its first change: a further change keeps its end and its first password, and the one
    // between the two is gone (Oracle documentation for the end; the rest is unverified on a real server).
    if user.window.is_none() && rolls {
        user.window = Some(Window { first: before, until: now + profile.rollover_time });
    }
    user.expired = None;
    user.grace_until = None;
}
