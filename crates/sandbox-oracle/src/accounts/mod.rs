//! Accounts as the database keeps them: users, profiles, roles and procedures, and the rules about passwords.
//!
//! Pure state and decisions: no sockets, no threads, and the time is an argument.

pub(crate) mod change;
pub(crate) mod login;
pub(crate) mod policy;
pub(crate) mod profile;
pub(crate) mod user;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    accounts::{profile::Profile, user::User},
    refusal::Refusal,
    time::Moment,
};

/// What the wrong old password of a change is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WrongOldPassword {
    /// ORA-01017.
    InvalidLogin,
    /// ORA-28008.
    InvalidOldPassword,
}

/// May a user whose rollover window is open go back to the window's first password?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Restore {
    /// Yes, whatever the reuse limits say.
    Allowed,
    /// As the profile's reuse limits decide.
    ByReuseLimits,
    /// Never: ORA-28007.
    Refused,
}

/// A stored procedure: its text, and who may run it.
#[derive(Clone, Debug)]
pub(crate) struct Procedure {
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) created: Moment,
}

/// What an object grant gives.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ObjectGrant {
    pub(crate) grantee: String,
    pub(crate) privilege: String,
    pub(crate) owner: String,
    pub(crate) object: String,
    pub(crate) grantor: String,
}

/// Everything the data dictionary knows.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) profiles: BTreeMap<String, Profile>,
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    pub(crate) procedures: BTreeMap<(String, String), Procedure>,
    pub(crate) object_grants: BTreeSet<ObjectGrant>,
    pub(crate) wrong_old_password: WrongOldPassword,
    pub(crate) restore: Restore,
}

impl Accounts {
    pub(crate) fn user(&self, name: &str) -> Result<&User, Refusal> {
        self.users.get(name).ok_or_else(|| missing(name))
    }

    pub(crate) fn user_mut(&mut self, name: &str) -> Result<&mut User, Refusal> {
        self.users.get_mut(name).ok_or_else(|| missing(name))
    }

    /// A user with the profile that limits it.
    pub(crate) fn user_with_profile(&mut self, name: &str) -> Result<(&mut User, &Profile), Refusal> {
        let user = self.users.get_mut(name).ok_or_else(|| missing(name))?;
        let profile = self.profiles.get(&user.profile).ok_or_else(|| Refusal::ora(2380))?;
        Ok((user, profile))
    }

    /// System privileges of a user, by grant and by role.
    pub(crate) fn privileges(&self, user: &str) -> BTreeSet<String> {
        let Some(user) = self.users.get(user) else { return BTreeSet::new() };
        let by_role = user.roles.iter().filter_map(|role| self.roles.get(role)).flatten();
        user.privileges.iter().chain(by_role).cloned().collect()
    }

    pub(crate) fn holds(&self, user: &str, privilege: &str) -> bool {
        self.privileges(user).contains(privilege)
    }

    pub(crate) fn demand(&self, user: &str, privilege: &str) -> Result<(), Refusal> {
        if self.holds(user, privilege) { Ok(()) } else { Err(Refusal::ora(1031)) }
    }

    /// May this user use this object in this way?
    pub(crate) fn may_use(&self, user: &str, privilege: &str, owner: &str, object: &str) -> bool {
        user == owner
            || self.object_grants.iter().any(|grant| {
                (grant.grantee == user || grant.grantee == "PUBLIC" || self.has_role(user, &grant.grantee))
                    && grant.privilege == privilege
                    && grant.owner == owner
                    && grant.object == object
            })
    }

    pub(crate) fn has_role(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.roles.contains(role))
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::saying(1918, format!("user '{name}' does not exist"))
}
