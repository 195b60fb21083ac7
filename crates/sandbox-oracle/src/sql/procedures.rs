//! Stored procedures: kept as text. Running one does what its text shows it to be for, which is at most to end a
//! password's rollover window.

use crate::{
    accounts::Procedure,
    refusal::Refusal,
    sql::{
        lexer::{self, Hand, Token},
        names,
    },
    world::World,
};

/// What a body must say to end a window.
const ENDS_WINDOW: &str = "EXPIRE PASSWORD ROLLOVER PERIOD";

impl Procedure {
    /// AUTHID CURRENT_USER: it runs with the rights of who calls it.
    pub(crate) fn of_invoker(&self) -> bool {
        let words: Vec<String> = self.text.split_whitespace().map(str::to_uppercase).collect();
        words
            .windows(2)
            .any(|pair| matches!(pair, [first, second] if first == "AUTHID" && second.starts_with("CURRENT_USER")))
    }
}

/// `CREATE [OR REPLACE] PROCEDURE ..`; `text` begins with the word PROCEDURE.
pub(crate) fn create(world: &mut World, actor: &str, text: &str, replace: bool) -> Result<(), Refusal> {
    let heading: String = text.chars().take_while(|letter| *letter != '\n').collect();
    let tokens = lexer::tokens(&heading)?;
    let mut hand = Hand::new(&tokens);
    hand.expect("PROCEDURE")?;
    let (owner, name) = hand.qualified()?;
    let owner = owner.unwrap_or_else(|| actor.to_owned());
    let privilege = if owner == actor { "CREATE PROCEDURE" } else { "CREATE ANY PROCEDURE" };
    if !world.accounts.holds(actor, "CREATE ANY PROCEDURE") {
        world.accounts.demand(actor, privilege)?;
    }
    world.accounts.user(&owner)?;
    let key = (owner.clone(), name.clone());
    if world.accounts.procedures.contains_key(&key) && !replace {
        return Err(Refusal::saying(955, "name is already used by an existing object"));
    }
    let created = world.now();
    world.accounts.procedures.insert(key, Procedure { owner, name, text: text.to_owned(), created });
    Ok(())
}

/// `DROP PROCEDURE owner.name`, from after the word PROCEDURE.
pub(crate) fn drop_procedure(world: &mut World, actor: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    let (owner, name) = hand.qualified()?;
    hand.end()?;
    let owner = owner.unwrap_or_else(|| actor.to_owned());
    if owner != actor {
        world.accounts.demand(actor, "DROP ANY PROCEDURE")?;
    }
    world.accounts.object_grants.retain(|grant| (&grant.owner, &grant.object) != (&owner, &name));
    world.accounts.procedures.remove(&(owner, name)).map(|_| ()).ok_or_else(|| Refusal::ora(4042))
}

/// A call, from the procedure's name on.
pub(crate) fn call(world: &mut World, caller: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    let (owner, name) = hand.qualified()?;
    let owner = owner.unwrap_or_else(|| caller.to_owned());
    if hand.sign("(") {
        hand.expect_sign(")")?;
    }
    let accounts = &world.accounts;
    let allowed = accounts.may_use(caller, "EXECUTE", &owner, &name) || accounts.holds(caller, "EXECUTE ANY PROCEDURE");
    let procedure = accounts.procedures.get(&(owner.clone(), name.clone())).filter(|_| allowed).ok_or_else(|| {
        // What exists and may not be used looks as what does not exist.
        let identifier = if owner == caller { name.clone() } else { format!("{owner}.{name}") };
        Refusal::saying(
            6550,
            format!("line 1, column 7:\nPLS-00201: identifier '{identifier}' must be declared\nORA-06550: line 1, column 7:\nPL/SQL: Statement ignored"),
        )
    })?;
    let plain = procedure.text.to_uppercase();
    if !plain.contains(ENDS_WINDOW) {
        return Ok(());
    }
    let invoker = procedure.of_invoker();
    let actor = if invoker { caller.to_owned() } else { owner };
    let target =
        target(&plain, caller, &actor).ok_or_else(|| Refusal::saying(900, "the emulator cannot tell whose window"))?;
    // Oracle documentation (Database PL/SQL Language Reference): roles are off in definer's rights units.
    let by_grant = accounts.users.get(&actor).is_some_and(|user| user.privileges.contains("ALTER USER"));
    let by_role = invoker && accounts.holds(&actor, "ALTER USER");
    if !(by_grant || by_role) {
        return Err(Refusal::ora(1031));
    }
    world.accounts.end_window(&target)
}

/// Whose window a body ends: a name that it spells out, or the session's user.
fn target(plain: &str, caller: &str, actor: &str) -> Option<String> {
    let before = plain.split(ENDS_WINDOW).next()?;
    let after_verb = before.rsplit("ALTER USER").next().unwrap_or(before);
    if before.contains("SESSION_USER") {
        return Some(caller.to_owned());
    }
    if before.contains("CURRENT_USER") {
        return Some(actor.to_owned());
    }
    let named = after_verb.split_whitespace().next().map(|name| name.trim_matches('\''))?;
    let is_name = !named.is_empty()
        && named.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '#' | '"'));
    is_name.then(|| names::fold(named))
}

/// An anonymous block: calls, `NULL;`, and `EXECUTE IMMEDIATE` of a literal, whose statements it hands back.
pub(crate) fn block(tokens: &[Token]) -> Result<Vec<Step>, Refusal> {
    let mut hand = Hand::new(tokens);
    hand.expect("BEGIN")?;
    let mut steps = Vec::new();
    while !hand.words("END") {
        if hand.words("EXECUTE IMMEDIATE") {
            let Some(Token::Text(text)) = hand.next() else { return Err(not_understood()) };
            steps.push(Step::Statement(text.clone()));
        } else if !hand.words("NULL") {
            let mut call = Vec::new();
            while let Some(token) = hand.peek()
                && *token != Token::Sign(";")
            {
                call.push(token.clone());
                hand.next();
            }
            steps.push(Step::Call(call));
        }
        if !hand.sign(";") {
            return Err(not_understood());
        }
    }
    Ok(steps)
}

/// A step of an anonymous block.
#[derive(Debug)]
pub(crate) enum Step {
    Call(Vec<Token>),
    Statement(String),
}

fn not_understood() -> Refusal {
    Refusal::saying(6550, "line 1, column 1:\nPLS-00103: the emulator does not understand this block")
}
