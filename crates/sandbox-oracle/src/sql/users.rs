//! CREATE, ALTER and DROP USER and PROFILE.

use crate::{
    accounts::{
        policy,
        user::{Lock, User},
    },
    refusal::Refusal,
    sql::lexer::{Hand, Token},
    world::World,
};

/// `CREATE USER name IDENTIFIED BY password ..`, from after the word USER.
pub(crate) fn create(world: &mut World, actor: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    world.accounts.demand(actor, "CREATE USER")?;
    let name = hand.name()?;
    let mut wanted = Wanted::read(hand)?;
    if world.accounts.users.contains_key(&name) || world.accounts.roles.contains_key(&name) {
        return Err(Refusal::saying(1920, format!("user name '{name}' conflicts with another user or role name")));
    }
    let profile = wanted.profile.take().unwrap_or_else(|| "DEFAULT".to_owned());
    let limits = world.accounts.profiles.get(&profile).ok_or_else(|| Refusal::ora(2380))?;
    let now = world.now();
    let password = match (&wanted.password, wanted.schema_only) {
        (Some(password), _) => {
            policy::check(limits, &name, password)?;
            password.clone()
        }
        // Nobody knows it, and a login is refused before it is asked for.
        (None, true) => crate::wire::proof::hex(&crate::wire::proof::random::<32>()),
        (None, false) => return Err(Refusal::ora(988)),
    };
    let id = world.fresh_id();
    let mut user = User::new(&name, id, &password, &profile, now);
    user.schema_only = wanted.schema_only;
    world.accounts.users.insert(name.clone(), user);
    wanted.password = None;
    wanted.apply(world, &name)
}

/// `ALTER USER name ..`, from after the word USER.
pub(crate) fn alter(world: &mut World, actor: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    let name = hand.name()?;
    let now = world.now();
    if hand.words("EXPIRE PASSWORD ROLLOVER PERIOD") {
        world.accounts.demand(actor, "ALTER USER")?;
        hand.end()?;
        return world.accounts.end_window(&name);
    }
    let wanted = Wanted::read(hand)?;
    if let Some(password) = &wanted.password {
        world.accounts.alter_password(actor, &name, password, wanted.replace.as_deref(), now)?;
    }
    let only_password = wanted.profile.is_none() && wanted.lock.is_none() && !wanted.expire && !wanted.schema_only;
    if !only_password || wanted.password.is_none() {
        world.accounts.demand(actor, "ALTER USER")?;
    }
    world.accounts.user(&name)?;
    wanted.apply(world, &name)
}

/// `DROP USER name [CASCADE]`, from after the word USER.
pub(crate) fn drop_user(world: &mut World, actor: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    world.accounts.demand(actor, "DROP USER")?;
    let name = hand.name()?;
    hand.words("CASCADE");
    hand.end()?;
    world.accounts.user(&name)?;
    if world.sessions.values().any(|session| session.user == name) {
        return Err(Refusal::ora(1940));
    }
    world.accounts.users.remove(&name);
    world.accounts.procedures.retain(|(owner, _), _| *owner != name);
    world.accounts.object_grants.retain(|grant| grant.owner != name && grant.grantee != name);
    Ok(())
}

/// `CREATE PROFILE name LIMIT ..` and `ALTER PROFILE ..`, from after the word PROFILE.
pub(crate) fn profile(world: &mut World, hand: &mut Hand<'_>, exists: bool) -> Result<(), Refusal> {
    let name = hand.name()?;
    let default = world.accounts.profiles.get("DEFAULT").cloned().ok_or_else(|| Refusal::ora(2380))?;
    let known = world.accounts.profiles.get(&name).cloned();
    let mut profile = match (known, exists) {
        (Some(profile), true) => profile,
        (None, false) => default.clone(),
        (Some(_), false) => return Err(Refusal::ora(2379)),
        (None, true) => return Err(Refusal::ora(2380)),
    };
    hand.expect("LIMIT")?;
    // Limits are checked against each other, so the rollover time is set after those that bound it.
    let mut limits = Vec::new();
    while !hand.is_empty() {
        let resource = hand.name()?;
        limits.push((resource, limit(hand)?));
    }
    limits.sort_by_key(|(resource, _)| resource == "PASSWORD_ROLLOVER_TIME");
    for (resource, value) in limits {
        profile.set(&resource, &value, &default)?;
    }
    world.accounts.profiles.insert(name, profile);
    Ok(())
}

/// A value: a word, a number or a fraction.
fn limit(hand: &mut Hand<'_>) -> Result<String, Refusal> {
    let mut value = match hand.next() {
        Some(Token::Word(word)) => word.to_uppercase(),
        Some(Token::Number(number)) => number.clone(),
        _ => return Err(Refusal::ora(2377)),
    };
    if hand.sign("/")
        && let Some(Token::Number(below)) = hand.next()
    {
        value = format!("{value}/{below}");
    }
    Ok(value)
}

/// What a statement wants of a user.
#[derive(Debug, Default)]
struct Wanted {
    password: Option<String>,
    replace: Option<String>,
    schema_only: bool,
    profile: Option<String>,
    lock: Option<bool>,
    expire: bool,
}

impl Wanted {
    fn read(hand: &mut Hand<'_>) -> Result<Self, Refusal> {
        let mut wanted = Self::default();
        while !hand.is_empty() {
            if hand.words("IDENTIFIED BY") {
                wanted.password = Some(password(hand)?);
                if hand.words("REPLACE") {
                    wanted.replace = Some(password(hand)?);
                }
            } else if hand.words("NO AUTHENTICATION") {
                wanted.schema_only = true;
            } else if hand.words("PROFILE") {
                wanted.profile = Some(hand.name()?);
            } else if hand.words("ACCOUNT LOCK") {
                wanted.lock = Some(true);
            } else if hand.words("ACCOUNT UNLOCK") {
                wanted.lock = Some(false);
            } else if hand.words("PASSWORD EXPIRE") {
                wanted.expire = true;
            } else if hand.words("DEFAULT TABLESPACE") || hand.words("TEMPORARY TABLESPACE") {
                hand.name()?;
            } else if hand.words("QUOTA") {
                hand.next();
                // `10M` is a number and a word.
                if !hand.words("ON") {
                    hand.next();
                    hand.expect("ON")?;
                }
                hand.name()?;
            } else if hand.words("CONTAINER") {
                hand.expect_sign("=")?;
                hand.name()?;
            } else {
                return Err(Refusal::ora(922));
            }
        }
        Ok(wanted)
    }

    /// Everything but the password.
    fn apply(self, world: &mut World, name: &str) -> Result<(), Refusal> {
        let now = world.now();
        if let Some(profile) = &self.profile
            && !world.accounts.profiles.contains_key(profile)
        {
            return Err(Refusal::ora(2380));
        }
        let user = world.accounts.user_mut(name)?;
        if let Some(profile) = self.profile {
            user.profile = profile;
        }
        match self.lock {
            None => {}
            Some(true) => user.lock = Some(Lock::Manual(now)),
            Some(false) => {
                user.lock = None;
                user.failed = 0;
            }
        }
        if self.expire {
            user.expired = Some(now);
        }
        user.schema_only |= self.schema_only;
        Ok(())
    }
}

/// A password: in quotes, or a word as it is written.
fn password(hand: &mut Hand<'_>) -> Result<String, Refusal> {
    match hand.next() {
        Some(Token::Quoted(password) | Token::Word(password)) => Ok(password.clone()),
        _ => Err(Refusal::ora(988)),
    }
}
