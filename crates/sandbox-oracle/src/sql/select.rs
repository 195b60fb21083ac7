//! Queries: FROM one or several tables, WHERE, the usual aggregates, ORDER BY, a limit, UNION.

use crate::{
    refusal::Refusal,
    sql::{
        Rows,
        expression::{self, Expression, Surroundings},
        lexer::{Hand, Token},
        table::{Scope, Table},
    },
    wire::{replies::Column, values::Value},
};

/// A query as parsed.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    items: Vec<Item>,
    from: Vec<Source>,
    filter: Option<Expression>,
    order: Vec<(Expression, Direction)>,
    limit: Option<usize>,
    distinct: bool,
    union: Option<(Box<Self>, Union)>,
}

#[derive(Clone, Debug)]
enum Item {
    All,
    One(Expression, Option<String>),
}

#[derive(Clone, Debug)]
struct Source {
    owner: Option<String>,
    name: String,
    alias: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Direction {
    Down,
    Up,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Union {
    All,
    Distinct,
}

/// Reads a query from SELECT on.
pub(crate) fn parse(hand: &mut Hand<'_>) -> Result<Query, Refusal> {
    hand.expect("SELECT")?;
    let distinct = hand.words("DISTINCT");
    let mut items = vec![item(hand)?];
    while hand.sign(",") {
        items.push(item(hand)?);
    }
    let mut from = Vec::new();
    let mut filter = None;
    if hand.words("FROM") {
        from.push(source(hand)?);
        loop {
            if hand.sign(",") {
                from.push(source(hand)?);
            } else if hand.words("JOIN") || hand.words("INNER JOIN") {
                from.push(source(hand)?);
                hand.expect("ON")?;
                filter = Some(both(filter, expression::parse(hand)?));
            } else {
                break;
            }
        }
    }
    if hand.words("WHERE") {
        filter = Some(both(filter, expression::parse(hand)?));
    }
    let union = if hand.words("UNION ALL") {
        Some((Box::new(parse(hand)?), Union::All))
    } else if hand.words("UNION") {
        Some((Box::new(parse(hand)?), Union::Distinct))
    } else {
        None
    };
    let mut order = Vec::new();
    if hand.words("ORDER BY") {
        loop {
            let by = expression::parse(hand)?;
            let direction = if hand.words("DESC") { Direction::Down } else { Direction::Up };
            hand.words("ASC");
            order.push((by, direction));
            if !hand.sign(",") {
                break;
            }
        }
    }
    let limit = limit(hand)?;
    Ok(Query { items, from, filter, order, limit, distinct, union })
}

fn both(filter: Option<Expression>, further: Expression) -> Expression {
    match filter {
        None => further,
        Some(filter) => Expression::Binary("AND", Box::new(filter), Box::new(further)),
    }
}

fn item(hand: &mut Hand<'_>) -> Result<Item, Refusal> {
    if hand.sign("*") {
        return Ok(Item::All);
    }
    let expression = expression::parse(hand)?;
    let named = hand.words("AS") || matches!(hand.peek(), Some(Token::Quoted(_))) || is_free_word(hand);
    let alias = if named { Some(hand.name()?) } else { None };
    Ok(Item::One(expression, alias))
}

fn source(hand: &mut Hand<'_>) -> Result<Source, Refusal> {
    let (owner, name) = hand.qualified()?;
    let alias =
        if matches!(hand.peek(), Some(Token::Quoted(_))) || is_free_word(hand) { hand.name()? } else { name.clone() };
    Ok(Source { owner, name, alias })
}

/// Is the next word one that a person chose?
fn is_free_word(hand: &Hand<'_>) -> bool {
    const RESERVED: [&str; 11] =
        ["FROM", "WHERE", "ORDER", "UNION", "FETCH", "JOIN", "INNER", "ON", "AS", "GROUP", "OFFSET"];
    matches!(hand.peek(), Some(Token::Word(word)) if !RESERVED.contains(&word.to_uppercase().as_str()))
}

fn limit(hand: &mut Hand<'_>) -> Result<Option<usize>, Refusal> {
    if !(hand.words("FETCH FIRST") || hand.words("FETCH NEXT")) {
        return Ok(None);
    }
    let count = match hand.peek() {
        Some(Token::Number(number)) => {
            hand.next();
            number.parse().map_err(|_| Refusal::ora(1722))?
        }
        _ => 1,
    };
    if !(hand.words("ROWS ONLY") || hand.words("ROW ONLY")) {
        return Err(Refusal::ora(922));
    }
    Ok(Some(count))
}

/// What a query asks its tables of.
pub(crate) trait Tables {
    fn table(&self, owner: Option<&str>, name: &str) -> Result<Table, Refusal>;
}

/// Runs a query.
pub(crate) fn run(query: &Query, around: &dyn Surroundings, tables: &dyn Tables) -> Result<Rows, Refusal> {
    let mut scope = Scope::default();
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for source in &query.from {
        let table = tables.table(source.owner.as_deref(), &source.name)?;
        scope.add(&source.alias, &table);
        rows = rows.iter().flat_map(|left| table.rows.iter().map(|right| [&left[..], right].concat())).collect();
    }
    if let Some(filter) = &query.filter {
        let mut kept = Vec::new();
        for row in rows {
            if filter.holds(around, &scope, &row)? == Some(true) {
                kept.push(row);
            }
        }
        rows = kept;
    }
    let columns = columns(query, around, &scope)?;
    let aggregated =
        query.items.iter().any(|item| matches!(item, Item::One(expression, _) if expression.is_aggregate()));
    let mut made: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    if aggregated {
        made.push((Vec::new(), aggregate(query, around, &scope, &rows)?));
    } else {
        for row in &rows {
            let values = project(query, around, &scope, row)?;
            let keys = query.order.iter().map(|(by, _)| {
                // `ORDER BY 2` means the second column.
                let Expression::Literal(Value::Number(place)) = by else { return by.value(around, &scope, row) };
                let column = usize::try_from(*place - 1).ok().and_then(|at| values.get(at));
                column.cloned().ok_or_else(|| Refusal::saying(1785, "ORDER BY item is no column of the query"))
            });
            let keys = keys.collect::<Result<_, _>>()?;
            made.push((keys, values));
        }
    }
    made.sort_by(|(left, _), (right, _)| {
        let compared = left.iter().zip(right).zip(&query.order).map(|((left, right), (_, direction))| {
            // NULL comes last going up, first going down.
            let order =
                expression::order(left, right).unwrap_or_else(|| (*left == Value::Null).cmp(&(*right == Value::Null)));
            if *direction == Direction::Down { order.reverse() } else { order }
        });
        compared.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    let mut rows: Vec<Vec<Value>> = made.into_iter().map(|(_, values)| values).collect();
    let mut distinct = query.distinct;
    if let Some((further, union)) = &query.union {
        rows.extend(run(further, around, tables)?.rows);
        distinct |= *union == Union::Distinct;
    }
    if distinct {
        let mut seen = Vec::new();
        rows.retain(|row| {
            let fresh = !seen.contains(row);
            seen.push(row.clone());
            fresh
        });
    }
    rows.truncate(query.limit.unwrap_or(usize::MAX));
    for row in &mut rows {
        let values = std::mem::take(row).into_iter().zip(&columns);
        *row = values.map(|(value, column)| expression::fit(value, column.kind)).collect();
    }
    Ok(Rows { columns, rows })
}

fn columns(query: &Query, around: &dyn Surroundings, scope: &Scope) -> Result<Vec<Column>, Refusal> {
    let mut columns = Vec::new();
    for item in &query.items {
        match item {
            Item::All => columns.extend(scope.all().map(|(name, kind)| Column { name: name.to_owned(), kind })),
            Item::One(expression, alias) => {
                let name = alias.clone().unwrap_or_else(|| expression.heading());
                columns.push(Column { name, kind: expression.kind(around, scope)? });
            }
        }
    }
    Ok(columns)
}

fn project(query: &Query, around: &dyn Surroundings, scope: &Scope, row: &[Value]) -> Result<Vec<Value>, Refusal> {
    let mut values = Vec::new();
    for item in &query.items {
        match item {
            Item::All => values.extend(row.iter().cloned()),
            Item::One(expression, _) => values.push(expression.value(around, scope, row)?),
        }
    }
    Ok(values)
}

fn aggregate(
    query: &Query,
    around: &dyn Surroundings,
    scope: &Scope,
    rows: &[Vec<Value>],
) -> Result<Vec<Value>, Refusal> {
    let count = |count: usize| Value::Number(i64::try_from(count).unwrap_or(i64::MAX));
    let one = |item: &Item| {
        let Item::One(Expression::Aggregate(name, of), _) = item else {
            return Err(Refusal::saying(937, "not a single-group group function"));
        };
        let Some(of) = of else { return Ok(count(rows.len())) };
        let mut values = Vec::new();
        for row in rows {
            values.push(of.value(around, scope, row)?);
        }
        values.retain(|value| *value != Value::Null);
        let pick = |wanted| {
            values.iter().cloned().reduce(|a, b| if expression::order(&a, &b) == Some(wanted) { b } else { a })
        };
        Ok(match name.as_str() {
            "COUNT" => count(values.len()),
            "MAX" => pick(std::cmp::Ordering::Less).unwrap_or(Value::Null),
            _ => pick(std::cmp::Ordering::Greater).unwrap_or(Value::Null),
        })
    };
    query.items.iter().map(one).collect()
}
