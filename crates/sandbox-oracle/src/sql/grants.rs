//! GRANT, REVOKE, and CREATE ROLE.

use std::collections::BTreeSet;

use crate::{
    accounts::ObjectGrant,
    refusal::Refusal,
    sql::lexer::{Hand, Token},
    world::World,
};

/// Which way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Give,
    Take,
}

/// `GRANT .. TO ..` or `REVOKE .. FROM ..`, from after the first word.
pub(crate) fn run(world: &mut World, actor: &str, hand: &mut Hand<'_>, way: Way) -> Result<(), Refusal> {
    let target = if way == Way::Give { "TO" } else { "FROM" };
    let mut rights = vec![right(hand, target)?];
    while hand.sign(",") {
        rights.push(right(hand, target)?);
    }
    let object = if hand.words("ON") {
        let of_schema = hand.words("SCHEMA");
        let (owner, name) = hand.qualified()?;
        Some(if of_schema { (name, "*".to_owned()) } else { (owner.unwrap_or_else(|| actor.to_owned()), name) })
    } else {
        None
    };
    hand.expect(target)?;
    let mut grantees = vec![hand.name()?];
    while hand.sign(",") {
        grantees.push(hand.name()?);
    }
    let _ = hand.words("WITH ADMIN OPTION") || hand.words("WITH GRANT OPTION");
    hand.end()?;
    for grantee in &grantees {
        let known = world.accounts.users.contains_key(grantee)
            || world.accounts.roles.contains_key(grantee)
            || grantee == "PUBLIC";
        if !known {
            return Err(Refusal::saying(1917, format!("user or role '{grantee}' does not exist")));
        }
    }
    for right in rights {
        for grantee in &grantees {
            match &object {
                Some((owner, name)) => on_object(world, actor, way, &right, (owner, name), grantee)?,
                None => on_system(world, actor, way, &right, grantee)?,
            }
        }
    }
    Ok(())
}

/// `CREATE ROLE name`, from after the word ROLE.
pub(crate) fn create_role(world: &mut World, actor: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    world.accounts.demand(actor, "CREATE ROLE")?;
    let name = hand.name()?;
    hand.end()?;
    if world.accounts.users.contains_key(&name) || world.accounts.roles.contains_key(&name) {
        return Err(Refusal::ora(1921));
    }
    world.accounts.roles.insert(name, BTreeSet::new());
    Ok(())
}

/// The words of a privilege, up to a comma, ON, or whoever it is for.
fn right(hand: &mut Hand<'_>, target: &str) -> Result<String, Refusal> {
    let mut words = Vec::new();
    while let Some(Token::Word(word)) = hand.peek() {
        let word = word.to_uppercase();
        if word == target || word == "ON" {
            break;
        }
        words.push(word);
        hand.next();
    }
    if let (true, Some(Token::Quoted(role))) = (words.is_empty(), hand.peek()) {
        hand.next();
        return Ok(role.clone());
    }
    if words.is_empty() { Err(Refusal::saying(990, "missing or invalid privilege")) } else { Ok(words.join(" ")) }
}

fn on_object(
    world: &mut World,
    actor: &str,
    way: Way,
    right: &str,
    (owner, object): (&str, &str),
    grantee: &str,
) -> Result<(), Refusal> {
    if actor != owner {
        world.accounts.demand(actor, "GRANT ANY OBJECT PRIVILEGE")?;
    }
    let is_known = owner == "SYS"
        || object == "*"
        || world.accounts.procedures.contains_key(&(owner.to_owned(), object.to_owned()))
        || right != "EXECUTE";
    if !is_known {
        return Err(Refusal::ora(942));
    }
    let grant = ObjectGrant {
        grantee: grantee.to_owned(),
        privilege: right.to_owned(),
        owner: owner.to_owned(),
        object: object.to_owned(),
        grantor: owner.to_owned(),
    };
    match way {
        Way::Give => world.accounts.object_grants.insert(grant),
        Way::Take => world.accounts.object_grants.remove(&grant),
    };
    Ok(())
}

fn on_system(world: &mut World, actor: &str, way: Way, right: &str, grantee: &str) -> Result<(), Refusal> {
    let is_role = world.accounts.roles.contains_key(right);
    world.accounts.demand(actor, if is_role { "GRANT ANY ROLE" } else { "GRANT ANY PRIVILEGE" })?;
    if !is_role && !right.contains(' ') {
        return Err(Refusal::saying(1919, format!("role '{right}' does not exist")));
    }
    if let Some(role) = world.accounts.roles.get_mut(grantee) {
        match way {
            Way::Give => role.insert(right.to_owned()),
            Way::Take => role.remove(right),
        };
        return Ok(());
    }
    let user = world.accounts.user_mut(grantee)?;
    let held = if is_role { &mut user.roles } else { &mut user.privileges };
    let was_held = match way {
        Way::Give => !held.insert(right.to_owned()),
        Way::Take => held.remove(right),
    };
    if way == Way::Take && !was_held {
        return Err(Refusal::saying(1952, format!("system privileges not granted to '{grantee}'")));
    }
    Ok(())
}
