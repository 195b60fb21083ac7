//! The SQL that the emulator understands.

pub(crate) mod names;

use crate::{
    refusal::Refusal,
    wire::{
        replies::Column,
        values::{Bind, ColumnType, Value},
    },
    world::World,
};

/// What a statement comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    Done { rows: u64 },
    Rows(Rows),
}

#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Runs a statement for the session on this connection.
pub(crate) fn run(world: &mut World, connection: u64, sql: &str, _binds: &[Bind]) -> Result<Answer, Refusal> {
    let user = world.sessions.get(&connection).map(|session| session.user.clone()).unwrap_or_default();
    let (name, kind, value) = match sql.trim().to_uppercase().as_str() {
        "SELECT USER FROM DUAL" => ("USER", ColumnType::Text, Value::Text(user)),
        "SELECT 1 FROM DUAL" => ("1", ColumnType::Number, Value::Number(1)),
        _ => return Err(Refusal::ora(900)),
    };
    Ok(Answer::Rows(Rows { columns: vec![Column { name: name.to_owned(), kind }], rows: vec![vec![value]] }))
}

/// What running it would answer, without doing it.
#[expect(clippy::unnecessary_wraps, reason = "a statement that does not parse will be refused here")]
pub(crate) fn describe(_world: &mut World, _connection: u64, _sql: &str) -> Result<Answer, Refusal> {
    Ok(Answer::Done { rows: 0 })
}
