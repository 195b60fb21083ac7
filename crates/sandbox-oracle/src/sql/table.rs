//! Tables in memory, and the names of columns while a query runs.

use crate::{
    refusal::Refusal,
    wire::values::{ColumnType, Value},
};

/// A table or view, filled.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<(&'static str, ColumnType)>,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Table {
    pub(crate) const fn new(columns: Vec<(&'static str, ColumnType)>, rows: Vec<Vec<Value>>) -> Self {
        Self { columns, rows }
    }
}

/// The columns that expressions see: those of all tables in FROM, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    columns: Vec<(String, &'static str, ColumnType)>,
}

impl Scope {
    pub(crate) fn add(&mut self, alias: &str, table: &Table) {
        self.columns.extend(table.columns.iter().map(|(name, kind)| (alias.to_owned(), *name, *kind)));
    }

    /// Place and type of a column.
    pub(crate) fn find(&self, of: Option<&str>, name: &str) -> Result<(usize, ColumnType), Refusal> {
        let fits = |(alias, column, _): &(String, &'static str, ColumnType)| {
            *column == name && of.is_none_or(|of| of == alias)
        };
        let at = self.columns.iter().position(fits);
        at.and_then(|at| self.columns.get(at).map(|(_, _, kind)| (at, *kind)))
            .ok_or_else(|| Refusal::saying(904, format!("\"{name}\": invalid identifier")))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, ColumnType)> {
        self.columns.iter().map(|(_, name, kind)| (*name, *kind))
    }
}
