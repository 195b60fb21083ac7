//! Expressions: parsed, typed, evaluated.

use crate::{
    refusal::Refusal,
    sql::{
        lexer::{Hand, Token},
        select::{self, Query},
        table::Scope,
    },
    time::Moment,
    wire::values::{ColumnType, Value},
};

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Literal(Value),
    /// A bind, by its position and its name.
    Bind(usize, String),
    Column(Option<String>, String),
    Call(String, Vec<Self>),
    /// `COUNT(*)` and the other aggregates.
    Aggregate(String, Option<Box<Self>>),
    Binary(&'static str, Box<Self>, Box<Self>),
    Not(Box<Self>),
    IsNull(Box<Self>),
    In(Box<Self>, Vec<Self>),
    Like(Box<Self>, Box<Self>),
    Query(Box<Query>),
    Exists(Box<Query>),
}

/// What the surroundings supply: the session's answers, and the binds.
pub(crate) trait Surroundings {
    fn now(&self) -> Moment;
    fn user(&self) -> String;
    fn context(&self, namespace: &str, key: &str) -> Value;
    fn bind(&self, position: usize, name: &str) -> Result<Value, Refusal>;
    fn query(&self, query: &Query) -> Result<Vec<Vec<Value>>, Refusal>;
}

const AGGREGATES: [&str; 3] = ["COUNT", "MAX", "MIN"];

/// Reads an expression.
pub(crate) fn parse(hand: &mut Hand<'_>) -> Result<Expression, Refusal> {
    let mut left = conjunction(hand)?;
    while hand.words("OR") {
        left = Expression::Binary("OR", Box::new(left), Box::new(conjunction(hand)?));
    }
    Ok(left)
}

fn conjunction(hand: &mut Hand<'_>) -> Result<Expression, Refusal> {
    let mut left = negation(hand)?;
    while hand.words("AND") {
        left = Expression::Binary("AND", Box::new(left), Box::new(negation(hand)?));
    }
    Ok(left)
}

fn negation(hand: &mut Hand<'_>) -> Result<Expression, Refusal> {
    if hand.words("NOT") {
        return Ok(Expression::Not(Box::new(negation(hand)?)));
    }
    if hand.words("EXISTS") {
        hand.expect_sign("(")?;
        let query = select::parse(hand)?;
        hand.expect_sign(")")?;
        return Ok(Expression::Exists(Box::new(query)));
    }
    comparison(hand)
}

fn comparison(hand: &mut Hand<'_>) -> Result<Expression, Refusal> {
    let left = sum(hand)?;
    for sign in ["=", "<>", "!=", "^=", "<=", ">=", "<", ">"] {
        if hand.sign(sign) {
            return Ok(Expression::Binary(sign_of(sign), Box::new(left), Box::new(sum(hand)?)));
        }
    }
    if hand.words("IS NOT NULL") {
        return Ok(Expression::Not(Box::new(Expression::IsNull(Box::new(left)))));
    }
    if hand.words("IS NULL") {
        return Ok(Expression::IsNull(Box::new(left)));
    }
    let negated = hand.words("NOT");
    let found = if hand.words("IN") {
        hand.expect_sign("(")?;
        let list = list(hand)?;
        hand.expect_sign(")")?;
        Expression::In(Box::new(left), list)
    } else if hand.words("LIKE") {
        let pattern = sum(hand)?;
        if hand.words("ESCAPE") {
            sum(hand)?;
        }
        Expression::Like(Box::new(left), Box::new(pattern))
    } else if hand.words("BETWEEN") {
        let low = sum(hand)?;
        hand.expect("AND")?;
        let high = sum(hand)?;
        let above = Expression::Binary(">=", Box::new(left.clone()), Box::new(low));
        let below = Expression::Binary("<=", Box::new(left), Box::new(high));
        Expression::Binary("AND", Box::new(above), Box::new(below))
    } else if negated {
        return Err(Refusal::ora(936));
    } else {
        return Ok(left);
    };
    Ok(if negated { Expression::Not(Box::new(found)) } else { found })
}

/// One sign per meaning.
fn sign_of(sign: &'static str) -> &'static str {
    match sign {
        "!=" | "^=" => "<>",
        other => other,
    }
}

fn sum(hand: &mut Hand<'_>) -> Result<Expression, Refusal> {
    let mut left = primary(hand)?;
    loop {
        let sign = ["||", "+", "-"].into_iter().find(|sign| hand.sign(sign));
        let Some(sign) = sign else { return Ok(left) };
        left = Expression::Binary(sign, Box::new(left), Box::new(primary(hand)?));
    }
}

fn primary(hand: &mut Hand<'_>) -> Result<Expression, Refusal> {
    match hand.next() {
        Some(Token::Text(text)) if text.is_empty() => Ok(Expression::Literal(Value::Null)),
        Some(Token::Text(text)) => Ok(Expression::Literal(Value::Text(text.clone()))),
        Some(Token::Number(number)) => {
            let value = number.parse().map_or_else(|_| Value::Text(number.clone()), Value::Number);
            Ok(Expression::Literal(value))
        }
        Some(Token::Bind(name)) => Ok(Expression::Bind(hand.next_bind(), name.clone())),
        Some(Token::Sign("-")) => {
            let zero = Expression::Literal(Value::Number(0));
            Ok(Expression::Binary("-", Box::new(zero), Box::new(primary(hand)?)))
        }
        Some(Token::Sign("(")) => {
            let inner = if is_select(hand) { Expression::Query(Box::new(select::parse(hand)?)) } else { parse(hand)? };
            hand.expect_sign(")")?;
            Ok(inner)
        }
        Some(Token::Quoted(name)) => column(hand, name.clone()),
        Some(Token::Word(word)) => named(hand, &word.to_uppercase()),
        Some(Token::Sign(_)) | None => Err(Refusal::ora(936)),
    }
}

fn named(hand: &mut Hand<'_>, word: &str) -> Result<Expression, Refusal> {
    if word == "NULL" {
        return Ok(Expression::Literal(Value::Null));
    }
    if AGGREGATES.contains(&word) && hand.sign("(") {
        let of = if hand.sign("*") { None } else { Some(Box::new(parse(hand)?)) };
        hand.expect_sign(")")?;
        return Ok(Expression::Aggregate(word.to_owned(), of));
    }
    if hand.sign("(") {
        let arguments = if hand.sign(")") {
            Vec::new()
        } else {
            let arguments = list(hand)?;
            hand.expect_sign(")")?;
            arguments
        };
        return Ok(Expression::Call(word.to_owned(), arguments));
    }
    match word {
        "USER" | "SYSDATE" | "SYSTIMESTAMP" | "CURRENT_TIMESTAMP" | "CURRENT_DATE" | "UID" => {
            Ok(Expression::Call(word.to_owned(), Vec::new()))
        }
        _ => column(hand, word.to_owned()),
    }
}

fn column(hand: &mut Hand<'_>, first: String) -> Result<Expression, Refusal> {
    if hand.sign(".") { Ok(Expression::Column(Some(first), hand.name()?)) } else { Ok(Expression::Column(None, first)) }
}

fn list(hand: &mut Hand<'_>) -> Result<Vec<Expression>, Refusal> {
    if is_select(hand) {
        return Ok(vec![Expression::Query(Box::new(select::parse(hand)?))]);
    }
    let mut list = vec![parse(hand)?];
    while hand.sign(",") {
        list.push(parse(hand)?);
    }
    Ok(list)
}

fn is_select(hand: &Hand<'_>) -> bool {
    matches!(hand.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("SELECT"))
}

impl Expression {
    /// The type of a column that this makes.
    pub(crate) fn kind(&self, around: &dyn Surroundings, scope: &Scope) -> Result<ColumnType, Refusal> {
        Ok(match self {
            Self::Literal(Value::Number(_)) => ColumnType::Number,
            Self::Column(of, name) => scope.find(of.as_deref(), name)?.1,
            Self::Bind(position, name) => match around.bind(*position, name)? {
                Value::Number(_) => ColumnType::Number,
                Value::Null | Value::Text(_) | Value::Date(_) | Value::Timestamp(_) => ColumnType::Text,
            },
            Self::Aggregate(name, of) => match of {
                Some(of) if name != "COUNT" => of.kind(around, scope)?,
                _ => ColumnType::Number,
            },
            Self::Call(name, arguments) => match name.as_str() {
                "SYSDATE" | "CURRENT_DATE" => ColumnType::Date,
                "SYSTIMESTAMP" | "CURRENT_TIMESTAMP" => ColumnType::Timestamp,
                "LENGTH" | "TO_NUMBER" | "UID" => ColumnType::Number,
                "NVL" | "COALESCE" => {
                    arguments.first().map_or(Ok(ColumnType::Text), |first| first.kind(around, scope))?
                }
                _ => ColumnType::Text,
            },
            Self::Binary("+" | "-", left, _) => left.kind(around, scope)?,
            Self::Literal(_)
            | Self::Binary(..)
            | Self::Not(_)
            | Self::IsNull(_)
            | Self::In(..)
            | Self::Like(..)
            | Self::Query(_)
            | Self::Exists(_) => ColumnType::Text,
        })
    }

    /// The heading of a column that this makes.
    pub(crate) fn heading(&self) -> String {
        match self {
            Self::Column(_, name) => name.clone(),
            Self::Literal(value) => text(value).unwrap_or_else(|| "NULL".to_owned()),
            Self::Bind(_, name) => format!(":{name}"),
            Self::Aggregate(name, None) => format!("{name}(*)"),
            Self::Aggregate(name, Some(of)) => format!("{name}({})", of.heading()),
            Self::Call(name, arguments) if arguments.is_empty() => name.clone(),
            Self::Call(name, arguments) => {
                let arguments: Vec<String> = arguments
                    .iter()
                    .map(|argument| match argument {
                        Self::Literal(Value::Text(text)) => format!("'{text}'"),
                        Self::Literal(_)
                        | Self::Bind(..)
                        | Self::Column(..)
                        | Self::Call(..)
                        | Self::Aggregate(..)
                        | Self::Binary(..)
                        | Self::Not(_)
                        | Self::IsNull(_)
                        | Self::In(..)
                        | Self::Like(..)
                        | Self::Query(_)
                        | Self::Exists(_) => argument.heading(),
                    })
                    .collect();
                format!("{name}({})", arguments.join(","))
            }
            Self::Binary(sign, left, right) => format!("{}{sign}{}", left.heading(), right.heading()),
            Self::Not(_) | Self::IsNull(_) | Self::In(..) | Self::Like(..) | Self::Query(_) | Self::Exists(_) => {
                "EXPRESSION".to_owned()
            }
        }
    }

    pub(crate) const fn is_aggregate(&self) -> bool {
        matches!(self, Self::Aggregate(..))
    }

    /// The value for one row.
    pub(crate) fn value(&self, around: &dyn Surroundings, scope: &Scope, row: &[Value]) -> Result<Value, Refusal> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Bind(position, name) => around.bind(*position, name),
            Self::Column(of, name) => {
                let (at, _) = scope.find(of.as_deref(), name)?;
                Ok(row.get(at).cloned().unwrap_or(Value::Null))
            }
            Self::Call(name, arguments) => {
                let values: Vec<Value> =
                    arguments.iter().map(|argument| argument.value(around, scope, row)).collect::<Result<_, _>>()?;
                call(around, name, &values)
            }
            Self::Aggregate(..) => Err(Refusal::saying(934, "group function is not allowed here")),
            Self::Binary(sign @ ("||" | "+" | "-"), left, right) => {
                Ok(combine(sign, &left.value(around, scope, row)?, &right.value(around, scope, row)?))
            }
            Self::Query(query) => {
                let mut rows = around.query(query)?;
                if rows.len() > 1 {
                    return Err(Refusal::saying(1427, "single-row subquery returns more than one row"));
                }
                Ok(rows.pop().and_then(|row| row.into_iter().next()).unwrap_or(Value::Null))
            }
            Self::Binary(..) | Self::Not(_) | Self::IsNull(_) | Self::In(..) | Self::Like(..) | Self::Exists(_) => {
                Err(Refusal::ora(936))
            }
        }
    }

    /// Whether a condition holds for a row; `None` is UNKNOWN.
    pub(crate) fn holds(
        &self,
        around: &dyn Surroundings,
        scope: &Scope,
        row: &[Value],
    ) -> Result<Option<bool>, Refusal> {
        let value = |of: &Self| of.value(around, scope, row);
        match self {
            Self::Binary("AND", left, right) => {
                let (left, right) = (left.holds(around, scope, row)?, right.holds(around, scope, row)?);
                Ok(if left == Some(false) || right == Some(false) { Some(false) } else { left.and(right) })
            }
            Self::Binary("OR", left, right) => {
                let (left, right) = (left.holds(around, scope, row)?, right.holds(around, scope, row)?);
                Ok(if left == Some(true) || right == Some(true) { Some(true) } else { left.and(right) })
            }
            Self::Binary(sign, left, right) => Ok(order(&value(left)?, &value(right)?).map(|order| match *sign {
                "=" => order.is_eq(),
                "<>" => order.is_ne(),
                "<" => order.is_lt(),
                ">" => order.is_gt(),
                "<=" => order.is_le(),
                _ => order.is_ge(),
            })),
            Self::Not(inner) => Ok(inner.holds(around, scope, row)?.map(|holds| !holds)),
            Self::IsNull(inner) => Ok(Some(value(inner)? == Value::Null)),
            Self::In(left, list) => {
                let left = value(left)?;
                let mut unknown = left == Value::Null;
                for item in list {
                    let items = if let Self::Query(query) = item {
                        around.query(query)?.into_iter().filter_map(|row| row.into_iter().next()).collect()
                    } else {
                        vec![value(item)?]
                    };
                    for item in items {
                        match order(&left, &item) {
                            Some(order) if order.is_eq() => return Ok(Some(true)),
                            Some(_) => {}
                            None => unknown = true,
                        }
                    }
                }
                Ok((!unknown).then_some(false))
            }
            Self::Like(left, pattern) => match (text(&value(left)?), text(&value(pattern)?)) {
                (Some(left), Some(pattern)) => Ok(Some(like(&left, &pattern))),
                _ => Ok(None),
            },
            Self::Exists(query) => Ok(Some(!around.query(query)?.is_empty())),
            Self::Literal(_)
            | Self::Bind(..)
            | Self::Column(..)
            | Self::Call(..)
            | Self::Aggregate(..)
            | Self::Query(_) => Err(Refusal::saying(920, "invalid relational operator")),
        }
    }
}

fn call(around: &dyn Surroundings, name: &str, values: &[Value]) -> Result<Value, Refusal> {
    let first = || values.first().cloned().unwrap_or(Value::Null);
    let mapped = |change: fn(&str) -> String| text(&first()).map_or(Value::Null, |text| Value::Text(change(&text)));
    Ok(match name {
        "USER" => Value::Text(around.user()),
        "UID" => Value::Number(0),
        "SYSDATE" | "CURRENT_DATE" => Value::Date(around.now()),
        "SYSTIMESTAMP" | "CURRENT_TIMESTAMP" => Value::Timestamp(around.now()),
        "SYS_CONTEXT" => match values {
            [namespace, key, ..] => around.context(
                &text(namespace).unwrap_or_default().to_uppercase(),
                &text(key).unwrap_or_default().to_uppercase(),
            ),
            _ => return Err(Refusal::saying(938, "not enough arguments for function")),
        },
        "UPPER" => mapped(str::to_uppercase),
        "LOWER" => mapped(str::to_lowercase),
        "TRIM" => mapped(|text| text.trim().to_owned()),
        "TO_CHAR" => match (first(), values.get(1).and_then(text)) {
            (Value::Date(at) | Value::Timestamp(at), Some(format)) => Value::Text(formatted(at, &format)),
            (value, _) => text(&value).map_or(Value::Null, Value::Text),
        },
        "TO_NUMBER" => match text(&first()) {
            None => Value::Null,
            Some(text) => Value::Number(text.trim().parse().map_err(|_| Refusal::ora(1722))?),
        },
        "LENGTH" => {
            text(&first()).map_or(Value::Null, |text| Value::Number(i64::try_from(text.chars().count()).unwrap_or(0)))
        }
        "NVL" | "COALESCE" => values.iter().find(|value| **value != Value::Null).cloned().unwrap_or(Value::Null),
        _ => return Err(Refusal::saying(904, format!("\"{name}\": invalid identifier"))),
    })
}

/// The usual elements of a date format; everything else stays as it is.
fn formatted(at: Moment, format: &str) -> String {
    let at = at.calendar();
    let (nanoseconds, plain) = (at.millisecond * 1_000_000, format.replace('"', "").to_uppercase());
    plain
        .replace("YYYY", &format!("{:04}", at.year))
        .replace("HH24", &format!("{:02}", at.hour))
        .replace("MI", &format!("{:02}", at.minute))
        .replace("SS", &format!("{:02}", at.second))
        .replace("MM", &format!("{:02}", at.month))
        .replace("DD", &format!("{:02}", at.day))
        .replace("FF3", &format!("{:03}", at.millisecond))
        .replace("FF", &format!("{nanoseconds:09}"))
        .replace("TZH:TZM", "+00:00")
}

/// The value as a column of this type holds it: what goes out has to be what was announced.
pub(crate) fn fit(value: Value, kind: ColumnType) -> Value {
    match (kind, value) {
        (ColumnType::Text, value) => text(&value).map_or(Value::Null, Value::Text),
        (ColumnType::Date, Value::Date(at) | Value::Timestamp(at)) => Value::Date(at),
        (ColumnType::Timestamp, Value::Date(at) | Value::Timestamp(at)) => Value::Timestamp(at),
        (ColumnType::Number, Value::Number(number)) => Value::Number(number),
        (ColumnType::Number, Value::Text(text)) => text.trim().parse().map_or(Value::Null, Value::Number),
        (ColumnType::Date | ColumnType::Timestamp | ColumnType::Number, _) => Value::Null,
    }
}

/// Text for a value as SQL would convert it; nothing for NULL.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Date(at) | Value::Timestamp(at) => Some(formatted(*at, "YYYY-MM-DD HH24:MI:SS")),
    }
}

/// How two values compare: numbers and moments by size, all else as text; nothing with NULL.
pub(crate) fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(left.cmp(right)),
        (Value::Date(left) | Value::Timestamp(left), Value::Date(right) | Value::Timestamp(right)) => {
            Some(left.cmp(right))
        }
        (Value::Number(number), Value::Text(text)) => Some(number.cmp(&text.trim().parse().ok()?)),
        (Value::Text(text), Value::Number(number)) => Some(text.trim().parse::<i64>().ok()?.cmp(number)),
        _ => Some(text(left)?.cmp(&text(right)?)),
    }
}

fn combine(sign: &str, left: &Value, right: &Value) -> Value {
    const DAY_MS: i64 = 86_400_000;
    match (sign, left, right) {
        ("||", ..) => match [text(left), text(right)].into_iter().flatten().collect::<String>() {
            joined if joined.is_empty() => Value::Null,
            joined => Value::Text(joined),
        },
        ("+", Value::Number(left), Value::Number(right)) => Value::Number(left + right),
        ("-", Value::Number(left), Value::Number(right)) => Value::Number(left - right),
        ("+", Value::Date(at), Value::Number(days)) => Value::Date(Moment(at.0 + days * DAY_MS)),
        ("-", Value::Date(at), Value::Number(days)) => Value::Date(Moment(at.0 - days * DAY_MS)),
        _ => Value::Null,
    }
}

/// `%` for anything, `_` for one letter.
fn like(text: &str, pattern: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern.get(1..).unwrap_or_default();
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .any(|at| like(text.get(at..).unwrap_or_default(), rest))
        }
        Some(wanted) => text.chars().next().is_some_and(|letter| {
            (wanted == '_' || wanted == letter)
                && like(
                    text.get(letter.len_utf8()..).unwrap_or_default(),
                    pattern.get(wanted.len_utf8()..).unwrap_or_default(),
                )
        }),
    }
}
