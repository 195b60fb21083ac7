//! Serving a session: statements, changes of the password, and the small calls.

use std::{collections::BTreeMap, io};

use crate::{
    fault::Point,
    log::Event,
    refusal::Refusal,
    session::{
        connect::Connected,
        line::{Incoming, Line, Upset},
        login::{self, LoggedIn},
    },
    sql::{self, Answer, Rows},
    wire::{
        packet::bad,
        replies::Reply,
        requests::{Call, Execute, Login, Note, Request},
        values::{Bind, BindType, Value},
    },
};

/// Mode bit of a change of the password.
const MODE_CHANGE: u64 = 0x02;

/// A statement that a client keeps open.
#[derive(Debug)]
struct Cursor {
    sql: String,
    types: Vec<BindType>,
    rows: Option<Rows>,
    sent: usize,
}

/// What serving a session needs to remember.
#[derive(Debug)]
struct Serving {
    who: LoggedIn,
    cursors: BTreeMap<u64, Cursor>,
    next_cursor: u64,
}

/// Logs in and serves calls until the client leaves.
pub(crate) fn serve(line: &mut Line<'_>, connected: &Connected) -> io::Result<()> {
    let who = match login::log_in(line, connected) {
        Ok(Some(who)) => who,
        Ok(None) => return Ok(()),
        Err(Upset::Over(error)) => return Err(error),
        Err(Upset::Refused(refusal)) => {
            line.refuse(&refusal)?;
            drain(line);
            return Ok(());
        }
    };
    let mut serving = Serving { who, cursors: BTreeMap::new(), next_cursor: 0 };
    loop {
        let known = |cursor| serving.cursors.get(&cursor).map(|cursor| cursor.types.clone()).unwrap_or_default();
        let request = match line.request(&known)? {
            Incoming::Gone => return Ok(()),
            Incoming::Break => {
                line.send(line.reply().refusal(&Refusal::ora(1013)))?;
                continue;
            }
            Incoming::Request(request) => request,
        };
        let Request::Call { notes, call } = request else { return Err(bad("the beginning of a login in a session")) };
        serving.take_notes(line, notes);
        let leaving = matches!(call, Call::Logoff);
        match serving.answer(line, call) {
            Ok(reply) => line.send(reply)?,
            Err(Upset::Refused(refusal)) => line.refuse(&refusal)?,
            Err(Upset::Over(error)) => return Err(error),
        }
        if leaving {
            drain(line);
            return Ok(());
        }
    }
}

/// Waits for the client to hang up: going first could cost it the last answer, and its farewell an error.
fn drain(line: &mut Line<'_>) {
    while matches!(line.packet(), Ok(Some(_))) {}
}

impl Serving {
    fn take_notes(&mut self, line: &Line<'_>, notes: Vec<Note>) {
        for note in notes {
            match note {
                Note::CloseCursors(cursors) => self.cursors.retain(|cursor, _| !cursors.contains(cursor)),
                Note::EndToEnd(said) => {
                    if let Some(session) = line.world().sessions.get_mut(&line.number) {
                        for (value, place) in [
                            (said.identifier, &mut session.identifier),
                            (said.module, &mut session.module),
                            (said.action, &mut session.action),
                            (said.info, &mut session.info),
                        ] {
                            if let Some(value) = value {
                                *place = value;
                            }
                        }
                    }
                }
                Note::Schema(schema) => {
                    if let Some(session) = line.world().sessions.get_mut(&line.number) {
                        session.schema = schema;
                    }
                }
            }
        }
    }

    fn answer(&mut self, line: &mut Line<'_>, call: Call) -> Result<Reply, Upset> {
        let killed = line.world().sessions.get(&line.number).is_none_or(|session| session.killed);
        if killed {
            line.refuse(&Refusal::ora(28))?;
            return Err(io::Error::other("an administrator has ended the session").into());
        }
        match call {
            Call::LoginSecond(change) => self.change(line, &change),
            Call::Execute(execute) => self.execute(line, execute),
            Call::Reexecute { cursor, rows, fetch, binds } => {
                let known = self.cursors.get(&cursor).ok_or_else(|| Refusal::ora(1001))?;
                let sql = known.sql.clone();
                let answer = self.run(line, &sql, &binds)?;
                self.first_rows(line, cursor, answer, if fetch { rows } else { 0 }, false)
            }
            Call::Fetch { cursor, rows } => self.further_rows(line, cursor, rows),
            Call::Logoff => {
                let reply = self.small(line, Point::BeforeLogoff, "logoff")?;
                // A client that was told goodbye has no session, whenever its connection goes.
                line.world().sessions.remove(&line.number);
                Ok(reply)
            }
            Call::Ping => self.small(line, Point::BeforeRoundTrip, "ping"),
            Call::Commit => self.small(line, Point::BeforeRoundTrip, "commit"),
            Call::Rollback => self.small(line, Point::BeforeRoundTrip, "rollback"),
            Call::LoginFirst(_) => Err(bad("a second login in a session").into()),
            // Ending the connection instead would look like a lost reply.
            Call::Unsupported(code) => Err(Refusal::saying(3115, format!("function {code} is not emulated")).into()),
        }
    }

    fn small(&self, line: &mut Line<'_>, point: Point, what: &'static str) -> Result<Reply, Upset> {
        line.fault(point, Some(&self.who.user), None)?;
        line.world().note(line.number, Event::RoundTrip { user: self.who.user.clone(), what });
        Ok(line.reply().status())
    }

    /// A change of the password over the protocol: of one's own, with the old one.
    fn change(&self, line: &mut Line<'_>, change: &Login) -> Result<Reply, Upset> {
        if change.mode & MODE_CHANGE == 0 {
            return Err(bad("a second login in a session").into());
        }
        let user = self.who.user.as_str();
        line.fault(Point::BeforeChange, Some(user), None)?;
        let open = |key: &str| change.pairs.get(key).and_then(|sealed| self.who.key.open(sealed));
        let mut world = line.world();
        let now = world.now();
        let outcome = match (open("AUTH_PASSWORD"), open("AUTH_NEWPASSWORD")) {
            (Some(old), Some(fresh)) => world.accounts.change_own(user, &old, &fresh, now),
            _ => Err(Refusal::ora(988)),
        };
        let refused = outcome.as_ref().err().map(|refusal| refusal.code);
        world.note(line.number, Event::Change { user: user.to_owned(), refused });
        drop(world);
        line.fault(Point::AfterChange, Some(user), None)?;
        outcome?;
        Ok(line.reply().pairs(&[]).status())
    }

    fn execute(&mut self, line: &mut Line<'_>, execute: Execute) -> Result<Reply, Upset> {
        let sql = match execute.sql {
            Some(sql) => sql,
            None => self.cursors.get(&execute.cursor).ok_or_else(|| Refusal::ora(1001))?.sql.clone(),
        };
        let cursor = if execute.cursor == 0 {
            self.next_cursor += 1;
            self.next_cursor
        } else {
            execute.cursor
        };
        let answer = if execute.execute {
            self.run(line, &sql, &execute.binds)?
        } else {
            let mut world = line.world();
            sql::describe(&mut world, line.number, &sql)?
        };
        self.cursors.insert(cursor, Cursor { sql, types: execute.types, rows: None, sent: 0 });
        self.first_rows(line, cursor, answer, execute.rows, true)
    }

    fn run(&self, line: &mut Line<'_>, sql: &str, binds: &[Bind]) -> Result<Answer, Upset> {
        let user = self.who.user.as_str();
        line.fault(Point::BeforeStatement, Some(user), Some(sql))?;
        let mut world = line.world();
        let outcome = sql::run(&mut world, line.number, sql, binds);
        let refused = outcome.as_ref().err().map(|refusal| refusal.code);
        let binds = binds.iter().map(text_of).collect();
        world.note(line.number, Event::Statement { user: user.to_owned(), text: sql.to_owned(), binds, refused });
        drop(world);
        line.fault(Point::AfterStatement, Some(user), Some(sql))?;
        Ok(outcome?)
    }

    fn first_rows(
        &mut self,
        line: &Line<'_>,
        cursor: u64,
        answer: Answer,
        count: u64,
        describe: bool,
    ) -> Result<Reply, Upset> {
        let rows = match answer {
            Answer::Done { rows } => return Ok(line.reply().done(cursor, rows)),
            Answer::Rows(rows) => rows,
        };
        let mut reply = line.reply();
        if describe {
            reply = reply.describe(&rows.columns);
        }
        let kept = self.cursors.get_mut(&cursor).ok_or_else(|| Refusal::ora(1001))?;
        kept.rows = Some(rows);
        kept.sent = 0;
        Ok(next_rows(reply, cursor, kept, count))
    }

    fn further_rows(&mut self, line: &Line<'_>, cursor: u64, count: u64) -> Result<Reply, Upset> {
        let kept = self.cursors.get_mut(&cursor).ok_or_else(|| Refusal::ora(1001))?;
        Ok(next_rows(line.reply(), cursor, kept, count))
    }
}

/// The next rows of an open cursor: never more than were asked for, as clients have room for no more.
fn next_rows(reply: Reply, number: u64, cursor: &mut Cursor, count: u64) -> Reply {
    let all = cursor.rows.as_ref().map(|rows| rows.rows.as_slice()).unwrap_or_default();
    let rest = all.get(cursor.sent..).unwrap_or_default();
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
    let reply = reply.rows(rest.get(..count).unwrap_or_default());
    cursor.sent += count;
    let sent = u64::try_from(cursor.sent).unwrap_or(u64::MAX);
    // A client that asks for a row more than there are learns of the end at once; one that asked for none, later.
    let more = count < rest.len() || count == 0 && !rest.is_empty();
    reply.batch_done(number, sent, more)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Date(at) | Value::Timestamp(at) => format!("{at:?}"),
    }
}
