//! Text into words, names, strings, numbers, binds and signs; and a hand that takes them one after the other.

use crate::{refusal::Refusal, sql::names};

/// A piece of a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// An unquoted word, as written.
    Word(String),
    /// A name or password in double quotes, without them.
    Quoted(String),
    /// A string literal.
    Text(String),
    Number(String),
    /// `:name` or `:1`, without the colon.
    Bind(String),
    /// Everything else, one or two characters.
    Sign(&'static str),
}

const SIGNS: [&str; 19] =
    ["<>", "!=", "^=", "<=", ">=", "||", ":=", "=>", "(", ")", ",", ".", ";", "=", "<", ">", "*", "/", "+"];

/// Splits a statement.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' => {
                let (inner, length) =
                    enclosed(rest, '"').ok_or_else(|| Refusal::saying(1740, "missing double quote in identifier"))?;
                (Token::Quoted(inner), length)
            }
            '\'' => {
                let (inner, length) = enclosed(rest, '\'')
                    .ok_or_else(|| Refusal::saying(1756, "quoted string not properly terminated"))?;
                (Token::Text(inner), length)
            }
            ':' if !rest.starts_with(":=") => {
                let name: String = rest.chars().skip(1).take_while(is_of_name).collect();
                let length = 1 + name.len();
                (Token::Bind(name.to_uppercase()), length)
            }
            _ if rest.starts_with("--") => {
                rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
                continue;
            }
            _ if rest.starts_with("/*") => {
                rest = rest.split_once("*/").map_or("", |(_, after)| after).trim_start();
                continue;
            }
            '0'..='9' => {
                let number: String =
                    rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
                let length = number.len();
                (Token::Number(number), length)
            }
            letter if is_of_name(&letter) => {
                let word: String = rest.chars().take_while(is_of_name).collect();
                let length = word.len();
                (Token::Word(word), length)
            }
            _ if rest.starts_with('-') => (Token::Sign("-"), 1),
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign)).ok_or_else(|| Refusal::ora(911))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

fn is_of_name(letter: &char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '#')
}

/// What is between quotes, a doubled quote standing for one, and how long it is with them.
fn enclosed(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != quote {
            inner.push(letter);
        } else if quote == '\'' && letters.peek().is_some_and(|(_, next)| *next == quote) {
            inner.push(quote);
            letters.next();
        } else {
            return Some((inner, at + quote.len_utf8()));
        }
    }
    None
}

/// Takes tokens one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Hand<'a> {
    rest: &'a [Token],
    /// How many binds were taken so far.
    binds: usize,
}

impl<'a> Hand<'a> {
    pub(crate) const fn new(tokens: &'a [Token]) -> Self {
        Self { rest: tokens, binds: 0 }
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.rest.first()
    }

    pub(crate) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The position of the bind that is taken with this call.
    pub(crate) const fn next_bind(&mut self) -> usize {
        self.binds += 1;
        self.binds - 1
    }

    /// Takes these words if they are what comes next.
    pub(crate) fn words(&mut self, words: &str) -> bool {
        let mut ahead = self.clone();
        let all = words
            .split(' ')
            .all(|word| matches!(ahead.next(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word)));
        if all {
            *self = ahead;
        }
        all
    }

    pub(crate) fn sign(&mut self, sign: &str) -> bool {
        let fits = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        if fits {
            self.next();
        }
        fits
    }

    pub(crate) fn expect(&mut self, words: &str) -> Result<(), Refusal> {
        if self.words(words) { Ok(()) } else { Err(Refusal::ora(922)) }
    }

    pub(crate) fn expect_sign(&mut self, sign: &str) -> Result<(), Refusal> {
        if self.sign(sign) { Ok(()) } else { Err(Refusal::ora(936)) }
    }

    /// A name, as the dictionary keeps it.
    pub(crate) fn name(&mut self) -> Result<String, Refusal> {
        match self.next() {
            Some(Token::Word(word)) => Ok(names::fold(word)),
            Some(Token::Quoted(name)) => Ok(name.clone()),
            Some(Token::Text(_) | Token::Number(_) | Token::Bind(_) | Token::Sign(_)) | None => {
                Err(Refusal::saying(903, "invalid table name"))
            }
        }
    }

    /// `owner.name` or `name`.
    pub(crate) fn qualified(&mut self) -> Result<(Option<String>, String), Refusal> {
        let first = self.name()?;
        if self.sign(".") { Ok((Some(first), self.name()?)) } else { Ok((None, first)) }
    }

    /// Nothing may be left but a semicolon, which clients do not send and people do.
    pub(crate) fn end(&mut self) -> Result<(), Refusal> {
        if self.rest.is_empty() { Ok(()) } else { Err(Refusal::ora(933)) }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}
