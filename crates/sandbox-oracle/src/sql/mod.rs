//! The SQL that the emulator understands: what it takes to look after passwords, and no more.
//!
//! A statement that is not understood is refused with ORA-00900 and stands in the log with its text.

mod dictionary;
mod expression;
mod grants;
mod lexer;
pub(crate) mod names;
mod procedures;
mod select;
mod table;
mod users;

use crate::{
    refusal::Refusal,
    sql::{
        dictionary::Dictionary,
        expression::Surroundings,
        grants::Way,
        lexer::{Hand, Token},
        procedures::Step,
        select::Query,
    },
    time::Moment,
    wire::{
        replies::Column,
        values::{Bind, Value},
    },
    world::World,
};

/// What a statement comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    Done { rows: u64 },
    Rows(Rows),
}

/// The result of a query.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Runs a statement for the session on this connection.
pub(crate) fn run(world: &mut World, connection: u64, sql: &str, binds: &[Bind]) -> Result<Answer, Refusal> {
    let user = session_user(world, connection);
    settle_all(world);
    let plain = sql.trim();
    if let Some((text, replace)) = procedure_text(plain) {
        // Kept as it is, not as tokens.
        return procedures::create(world, &user, text, replace).map(|()| Answer::Done { rows: 0 });
    }
    let tokens = lexer::tokens(plain)?;
    let is_block = matches!(tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("BEGIN"));
    if is_block {
        for step in procedures::block(&tokens)? {
            match step {
                Step::Call(call) => call_in_block(world, &user, &call)?,
                Step::Statement(text) => {
                    run(world, connection, &text, &[])?;
                }
            }
        }
        return Ok(Answer::Done { rows: 0 });
    }
    if tokens.last() == Some(&Token::Sign(";")) {
        return Err(Refusal::ora(933));
    }
    let mut hand = Hand::new(&tokens);
    if matches!(tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("SELECT")) {
        let query = select::parse(&mut hand)?;
        hand.end()?;
        let session = SessionView::new(world, connection, &user, &tokens, binds);
        return select::run(&query, &session, &session.dictionary).map(Answer::Rows);
    }
    change(world, connection, &user, &mut hand)?;
    Ok(Answer::Done { rows: 0 })
}

/// What running it would answer, without doing it.
pub(crate) fn describe(world: &mut World, connection: u64, sql: &str) -> Result<Answer, Refusal> {
    let user = session_user(world, connection);
    let tokens = lexer::tokens(sql.trim())?;
    if !matches!(tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("SELECT")) {
        return Ok(Answer::Done { rows: 0 });
    }
    let mut hand = Hand::new(&tokens);
    let query = select::parse(&mut hand)?;
    hand.end()?;
    let nulls = vec![Value::Null; tokens.len()];
    let session = SessionView::new(world, connection, &user, &tokens, &nulls);
    let Rows { columns, .. } = select::run(&query, &session, &session.dictionary)?;
    Ok(Answer::Rows(Rows { columns, rows: Vec::new() }))
}

/// Everything that is neither a query nor a block.
fn change(world: &mut World, connection: u64, user: &str, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    if hand.words("ALTER USER") {
        users::alter(world, user, hand)
    } else if hand.words("CREATE USER") {
        users::create(world, user, hand)
    } else if hand.words("DROP USER") {
        users::drop_user(world, user, hand)
    } else if hand.words("CREATE PROFILE") {
        world.accounts.demand(user, "CREATE PROFILE")?;
        users::profile(world, hand, false)
    } else if hand.words("ALTER PROFILE") {
        world.accounts.demand(user, "ALTER PROFILE")?;
        users::profile(world, hand, true)
    } else if hand.words("CREATE ROLE") {
        grants::create_role(world, user, hand)
    } else if hand.words("GRANT") {
        grants::run(world, user, hand, Way::Give)
    } else if hand.words("REVOKE") {
        grants::run(world, user, hand, Way::Take)
    } else if hand.words("DROP PROCEDURE") {
        procedures::drop_procedure(world, user, hand)
    } else if hand.words("CALL") {
        procedures::call(world, user, hand).and_then(|()| hand.end())
    } else if hand.words("ALTER SYSTEM KILL SESSION") || hand.words("ALTER SYSTEM DISCONNECT SESSION") {
        world.accounts.demand(user, "ALTER SYSTEM")?;
        kill(world, hand)
    } else if hand.words("ALTER SESSION SET CURRENT_SCHEMA") {
        hand.expect_sign("=")?;
        let schema = hand.name()?;
        if let Some(session) = world.sessions.get_mut(&connection) {
            session.schema = schema;
        }
        Ok(())
    } else if ["ALTER SESSION", "SET ROLE", "COMMIT", "ROLLBACK"].into_iter().any(|verb| hand.words(verb)) {
        Ok(())
    } else {
        Err(Refusal::ora(900))
    }
}

/// `'sid,serial'` or `'sid,serial,@inst'`, then perhaps IMMEDIATE.
fn kill(world: &mut World, hand: &mut Hand<'_>) -> Result<(), Refusal> {
    let Some(Token::Text(named)) = hand.next() else {
        return Err(Refusal::saying(26, "missing or invalid session ID"));
    };
    let mut numbers = named.split(',').map(|number| number.trim().parse::<u64>().ok());
    let named = (numbers.next().flatten(), numbers.next().flatten());
    let found = world.sessions.values_mut().find(|session| (Some(session.id), Some(session.serial)) == named);
    found.map(|session| session.killed = true).ok_or_else(|| Refusal::ora(30))
}

fn call_in_block(world: &mut World, user: &str, call: &[Token]) -> Result<(), Refusal> {
    // The packages that tell administrators what a session is at.
    const HARMLESS: [&str; 2] = ["DBMS_APPLICATION_INFO", "DBMS_SESSION"];
    let mut hand = Hand::new(call);
    if HARMLESS.into_iter().any(|package| hand.words(package)) {
        return Ok(());
    }
    procedures::call(world, user, &mut hand).and_then(|()| hand.end())
}

/// The text of a procedure from that word on, if this creates one, and whether it may replace.
fn procedure_text(sql: &str) -> Option<(&str, bool)> {
    let mut rest = after_word(sql, "CREATE")?;
    let replace = after_word(rest, "OR").and_then(|rest| after_word(rest, "REPLACE"));
    if let Some(after) = replace {
        rest = after;
    }
    for word in ["EDITIONABLE", "NONEDITIONABLE"] {
        rest = after_word(rest, word).unwrap_or(rest);
    }
    after_word(rest, "PROCEDURE")?;
    Some((rest, replace.is_some()))
}

fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

fn session_user(world: &World, connection: u64) -> String {
    world.sessions.get(&connection).map(|session| session.user.clone()).unwrap_or_default()
}

/// Lets go of what the passing of time has ended, so that views show the world as it is.
fn settle_all(world: &mut World) {
    let now = world.now();
    let accounts = &mut world.accounts;
    for user in accounts.users.values_mut() {
        if let Some(profile) = accounts.profiles.get(&user.profile) {
            user.settle(profile, now);
        }
    }
}

/// What expressions ask of a session.
struct SessionView<'a> {
    dictionary: Dictionary<'a>,
    binds: &'a [Bind],
    /// Names of the binds in the order of their first appearance: clients may send one value per name.
    names: Vec<String>,
    appearances: usize,
}

impl<'a> SessionView<'a> {
    fn new(world: &'a World, connection: u64, user: &'a str, tokens: &[Token], binds: &'a [Bind]) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut appearances = 0;
        for token in tokens {
            if let Token::Bind(name) = token {
                appearances += 1;
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        let dictionary = Dictionary { world, connection, user, now: world.now() };
        Self { dictionary, binds, names, appearances }
    }
}

impl Surroundings for SessionView<'_> {
    fn now(&self) -> Moment {
        self.dictionary.now
    }

    fn user(&self) -> String {
        self.dictionary.user.to_owned()
    }

    fn context(&self, namespace: &str, key: &str) -> Value {
        self.dictionary.context(namespace, key)
    }

    fn bind(&self, position: usize, name: &str) -> Result<Value, Refusal> {
        let at = if self.binds.len() >= self.appearances {
            Some(position)
        } else {
            self.names.iter().position(|known| known == name)
        };
        at.and_then(|at| self.binds.get(at)).cloned().ok_or_else(|| Refusal::ora(1008))
    }

    fn query(&self, query: &Query) -> Result<Vec<Vec<Value>>, Refusal> {
        select::run(query, self, &self.dictionary).map(|rows| rows.rows)
    }
}
