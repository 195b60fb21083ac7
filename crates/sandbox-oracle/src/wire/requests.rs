//! Requests: what a client asks in one round trip, and the notes ("piggybacks") that it sends ahead of it.

use std::collections::BTreeMap;

use crate::wire::{
    reader::{Read, Reader, Short},
    values::{Bind, BindType},
};

const MESSAGE_PROTOCOL: u8 = 1;
const MESSAGE_DATA_TYPES: u8 = 2;
const MESSAGE_FUNCTION: u8 = 3;
const MESSAGE_ROW: u8 = 7;
const MESSAGE_PIGGYBACK: u8 = 17;
const MESSAGE_FAST_AUTH: u8 = 34;

const FUNCTION_REEXECUTE: u8 = 4;
const FUNCTION_FETCH: u8 = 5;
const FUNCTION_LOGOFF: u8 = 9;
const FUNCTION_COMMIT: u8 = 14;
const FUNCTION_ROLLBACK: u8 = 15;
const FUNCTION_REEXECUTE_AND_FETCH: u8 = 78;
const FUNCTION_EXECUTE: u8 = 94;
const FUNCTION_CLOSE_CURSORS: u8 = 105;
const FUNCTION_LOGIN_SECOND: u8 = 115;
const FUNCTION_LOGIN_FIRST: u8 = 118;
const FUNCTION_END_TO_END: u8 = 135;
const FUNCTION_PING: u8 = 147;
const FUNCTION_SET_SCHEMA: u8 = 152;
const FUNCTION_KEY_VALUES: u8 = 154;
const FUNCTION_SESSION_STATE: u8 = 176;

const OPTION_PARSE: u64 = 0x01;
const OPTION_BIND: u64 = 0x08;
const OPTION_DEFINE: u64 = 0x10;
const OPTION_EXECUTE: u64 = 0x20;
const OPTION_FETCH: u64 = 0x40;

/// Function messages carry a token from this field version on.
const TOKENS_SINCE: u8 = 18;
/// Where the field version stands among a client's compile-time capabilities.
const FIELD_VERSION_AT: usize = 7;
/// The authentication message inside a fast login is of this version whatever follows.
const FAST_AUTH_VERSION: u8 = 13;

/// One request.
#[derive(Debug)]
pub(crate) enum Request {
    /// The first of the classic round trips.
    Protocol,
    /// The second; with the client's field version.
    DataTypes(u8),
    /// Both and the first half of a login in one.
    FastLogin { version: u8, login: Login },
    /// Everything else.
    Call { notes: Vec<Note>, call: Call },
}

/// What a client sends along with its next call.
#[derive(Debug)]
pub(crate) enum Note {
    CloseCursors(Vec<u64>),
    /// `None` leaves a value as it is.
    EndToEnd(EndToEnd),
    Schema(String),
}

/// How a client describes itself to administrators.
#[derive(Debug, Default)]
pub(crate) struct EndToEnd {
    pub(crate) identifier: Option<String>,
    pub(crate) module: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) info: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Call {
    Commit,
    Execute(Execute),
    Fetch {
        cursor: u64,
        rows: u64,
    },
    LoginFirst(Login),
    /// The second half of a login, or a change of the password on a live session.
    LoginSecond(Login),
    Logoff,
    Ping,
    Reexecute {
        cursor: u64,
        rows: u64,
        fetch: bool,
        binds: Vec<Bind>,
    },
    Rollback,
    Unsupported(u8),
}

#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) mode: u64,
    pub(crate) pairs: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Execute {
    /// Zero for a statement that has no cursor yet.
    pub(crate) cursor: u64,
    /// `None` re-uses the cursor's text.
    pub(crate) sql: Option<String>,
    pub(crate) execute: bool,
    /// How many rows to send along.
    pub(crate) rows: u64,
    pub(crate) types: Vec<BindType>,
    pub(crate) binds: Vec<Bind>,
}

/// Reads one request.
///
/// `version` is the session's field version, `known` the types of the binds of open cursors.
pub(crate) fn read(bytes: &[u8], version: u8, known: &dyn Fn(u64) -> Vec<BindType>) -> Read<Request> {
    let mut reader = Reader::new(bytes);
    let mut notes = Vec::new();
    loop {
        match reader.u8()? {
            MESSAGE_PROTOCOL => {
                protocol(&mut reader)?;
                return Ok(Request::Protocol);
            }
            MESSAGE_DATA_TYPES => return Ok(Request::DataTypes(data_types(&mut reader)?)),
            MESSAGE_FAST_AUTH => return fast_login(&mut reader),
            MESSAGE_PIGGYBACK => {
                let code = header(&mut reader, version)?;
                match note(&mut reader, code)? {
                    Ok(note) => notes.extend(note),
                    Err(code) => return Ok(Request::Call { notes, call: Call::Unsupported(code) }),
                }
            }
            MESSAGE_FUNCTION => {
                let code = header(&mut reader, version)?;
                let call = call(&mut reader, code, version, known)?;
                return Ok(Request::Call { notes, call });
            }
            other => return Ok(Request::Call { notes, call: Call::Unsupported(other) }),
        }
    }
}

fn header(reader: &mut Reader<'_>, version: u8) -> Read<u8> {
    let code = reader.u8()?;
    reader.skip(1)?; // sequence number
    if version >= TOKENS_SINCE {
        reader.int()?;
    }
    Ok(code)
}

fn protocol(reader: &mut Reader<'_>) -> Read<()> {
    reader.until_nul()?; // versions
    reader.until_nul()?; // driver
    Ok(())
}

/// Reads the data types and returns the client's field version.
fn data_types(reader: &mut Reader<'_>) -> Read<u8> {
    reader.skip(5)?; // character sets and flags
    let capabilities = reader.bytes()?.unwrap_or_default();
    reader.bytes()?;
    while reader.u16()? != 0 {
        if reader.u16()? != 0 {
            reader.skip(4)?;
        }
    }
    Ok(capabilities.get(FIELD_VERSION_AT).copied().unwrap_or(0))
}

fn fast_login(reader: &mut Reader<'_>) -> Read<Request> {
    reader.skip(3)?; // version and flags
    reader.skip(1)?; // the message byte of PROTOCOL
    protocol(reader)?;
    reader.skip(5)?; // character sets, unused
    reader.skip(1)?; // field version of what follows
    reader.skip(1)?; // the message byte of DATA TYPES
    let version = data_types(reader)?;
    reader.skip(1)?; // the message byte of a function
    header(reader, FAST_AUTH_VERSION)?;
    Ok(Request::FastLogin { version, login: login(reader)? })
}

/// Reads a note; the inner error is the code of one that is not understood.
fn note(reader: &mut Reader<'_>, code: u8) -> Read<Result<Option<Note>, u8>> {
    Ok(Ok(match code {
        FUNCTION_CLOSE_CURSORS => {
            reader.skip(1)?;
            let count = reader.size()?;
            Some(Note::CloseCursors((0..count).map(|_| reader.int()).collect::<Read<_>>()?))
        }
        FUNCTION_END_TO_END => Some(Note::EndToEnd(end_to_end(reader)?)),
        FUNCTION_SET_SCHEMA => {
            reader.skip(1)?;
            Some(Note::Schema(reader.text_twice()?))
        }
        FUNCTION_KEY_VALUES => {
            reader.skip(1)?;
            reader.int()?;
            reader.skip(1)?;
            let count = reader.size()?;
            reader.int()?;
            reader.skip(1)?;
            reader.bytes()?;
            for _ in 0..count {
                reader.bytes_twice()?;
                reader.bytes_twice()?;
                reader.int()?;
            }
            None
        }
        FUNCTION_SESSION_STATE => {
            reader.int()?;
            None
        }
        other => return Ok(Err(other)),
    }))
}

fn end_to_end(reader: &mut Reader<'_>) -> Read<EndToEnd> {
    // Each value is announced by a pointer byte that says whether it changes, and its length.
    let announced = |reader: &mut Reader<'_>| -> Read<Option<u64>> {
        let changes = reader.u8()? != 0;
        let length = reader.int()?;
        Ok(changes.then_some(length))
    };
    reader.skip(2)?;
    reader.int()?; // flags
    let identifier = announced(reader)?;
    let module = announced(reader)?;
    let action = announced(reader)?;
    announced(reader)?;
    announced(reader)?;
    let info = announced(reader)?;
    announced(reader)?;
    announced(reader)?;
    let operation = announced(reader)?;
    let mut text = |announced: Option<u64>| -> Read<Option<String>> {
        match announced {
            None => Ok(None),
            Some(0) => Ok(Some(String::new())),
            Some(_) => Ok(Some(String::from_utf8_lossy(&reader.bytes()?.unwrap_or_default()).into_owned())),
        }
    };
    let (identifier, module, action) = (text(identifier)?, text(module)?, text(action)?);
    let info = text(info)?;
    text(operation)?;
    Ok(EndToEnd { identifier, module, action, info })
}

fn call(reader: &mut Reader<'_>, code: u8, version: u8, known: &dyn Fn(u64) -> Vec<BindType>) -> Read<Call> {
    Ok(match code {
        FUNCTION_LOGIN_FIRST => Call::LoginFirst(login(reader)?),
        FUNCTION_LOGIN_SECOND => Call::LoginSecond(login(reader)?),
        FUNCTION_EXECUTE => Call::Execute(execute(reader, version)?),
        FUNCTION_REEXECUTE | FUNCTION_REEXECUTE_AND_FETCH => {
            let cursor = reader.int()?;
            let rows = reader.int()?;
            reader.skip_ints(2)?;
            let types = known(cursor);
            let binds = if types.is_empty() { Vec::new() } else { row(reader, &types)? };
            Call::Reexecute { cursor, rows, fetch: code == FUNCTION_REEXECUTE_AND_FETCH, binds }
        }
        FUNCTION_FETCH => Call::Fetch { cursor: reader.int()?, rows: reader.int()? },
        FUNCTION_LOGOFF => Call::Logoff,
        FUNCTION_COMMIT => Call::Commit,
        FUNCTION_ROLLBACK => Call::Rollback,
        FUNCTION_PING => Call::Ping,
        other => Call::Unsupported(other),
    })
}

fn login(reader: &mut Reader<'_>) -> Read<Login> {
    let has_user = reader.u8()? != 0;
    reader.int()?;
    let mode = reader.int()?;
    reader.skip(1)?;
    let count = reader.size()?;
    reader.skip(2)?;
    let user = if has_user { reader.bytes()?.unwrap_or_default() } else { Vec::new() };
    let mut pairs = BTreeMap::new();
    for _ in 0..count {
        let key = reader.text_twice()?;
        let value = reader.text_twice()?;
        reader.int()?;
        pairs.insert(key, value);
    }
    Ok(Login { user: String::from_utf8_lossy(&user).into_owned(), mode, pairs })
}

fn execute(reader: &mut Reader<'_>, version: u8) -> Read<Execute> {
    let options = reader.int()?;
    let cursor = reader.int()?;
    reader.skip(1)?;
    reader.int()?; // length of the text, which carries its own
    reader.skip(1)?;
    reader.int()?;
    reader.skip(2)?;
    reader.int()?;
    let rows = reader.int()?;
    reader.int()?;
    reader.skip(1)?;
    let bind_count = reader.size()?;
    reader.skip(5)?;
    reader.skip(1)?;
    let define_count = reader.size()?;
    reader.int()?;
    reader.skip(3)?;
    reader.int()?;
    reader.skip(1)?;
    reader.skip_ints(2)?;
    reader.skip(1)?;
    reader.int()?;
    reader.skip(1)?;
    if version >= 8 {
        reader.skip(1)?;
        reader.int()?;
        reader.skip(1)?;
        reader.int()?;
        reader.skip(1)?;
    }
    if version >= 9 {
        reader.skip(1)?;
        reader.int()?;
    }
    let sql = if options & OPTION_PARSE == 0 {
        None
    } else {
        Some(String::from_utf8_lossy(&reader.bytes()?.unwrap_or_default()).into_owned())
    };
    reader.skip_ints(13)?;
    if options & OPTION_DEFINE != 0 {
        types(reader, define_count, version)?;
        return Ok(Execute { cursor, sql, execute: false, rows, types: Vec::new(), binds: Vec::new() });
    }
    let (types, binds) = if options & OPTION_BIND == 0 || bind_count == 0 {
        (Vec::new(), Vec::new())
    } else {
        let types = types(reader, bind_count, version)?;
        let binds = if options & OPTION_EXECUTE == 0 { Vec::new() } else { row(reader, &types)? };
        (types, binds)
    };
    let rows = if options & OPTION_FETCH == 0 { 0 } else { rows };
    Ok(Execute { cursor, sql, execute: options & OPTION_EXECUTE != 0, rows, types, binds })
}

fn types(reader: &mut Reader<'_>, count: usize, version: u8) -> Read<Vec<BindType>> {
    (0..count)
        .map(|_| {
            let kind = reader.u8()?;
            reader.skip(3)?;
            reader.skip_ints(3)?;
            reader.bytes_twice()?;
            reader.skip_ints(2)?; // version and character set
            let form = reader.u8()?;
            reader.int()?;
            if version >= 8 {
                reader.int()?;
            }
            Ok(BindType { kind, form })
        })
        .collect()
}

/// Reads the first row of values; further rows (of an array) are not looked at.
fn row(reader: &mut Reader<'_>, types: &[BindType]) -> Read<Vec<Bind>> {
    if reader.u8()? != MESSAGE_ROW {
        return Err(Short);
    }
    types.iter().map(|of| Ok(of.decode(reader.bytes()?))).collect()
}
