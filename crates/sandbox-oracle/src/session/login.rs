//! Logging in: two round trips, of which a fast login saves the two before.

use crate::{
    accounts::login::Proof,
    fault::Point,
    log::Event,
    options::Listener,
    refusal::Refusal,
    session::{
        connect::Connected,
        line::{Incoming, Line, Upset},
    },
    sql::names,
    wire::{
        packet::bad,
        proof::{self, SessionKey, VERIFIER_12C, Verifier, hex, random, unhex},
        replies::Reply,
        requests::{Call, Login, Request},
    },
    world::Session,
};

/// A user who is logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) user: String,
    pub(crate) key: SessionKey,
}

const BANNER: &str = "dizzy-keys sandbox";
/// The system number of an instance is small.
const INSTANCE: &str = "sandbox1";

/// Gets as far as a session; `None` if the client has gone.
pub(crate) fn log_in(line: &mut Line<'_>, connected: &Connected) -> Result<Option<LoggedIn>, Upset> {
    let server_version = line.world().mode.field_version();
    let (first, reply) = loop {
        let Incoming::Request(request) = line.request(&|_| Vec::new())? else { return Ok(None) };
        match request {
            Request::Protocol => {
                // Neither this answer nor the next has an end mark: they come before anything was agreed upon.
                send_unmarked(line, Reply::new(server_version).protocol(server_version, BANNER))?;
            }
            Request::DataTypes(version) => {
                line.version = server_version.min(version);
                send_unmarked(line, Reply::new(line.version).data_types())?;
            }
            Request::FastLogin { version, login } => {
                line.version = server_version.min(version);
                break (login, line.reply().protocol(server_version, BANNER).data_types());
            }
            Request::Call { call: Call::LoginFirst(login), .. } => {
                break (login, line.reply());
            }
            Request::Call { .. } => return Err(bad("a call before the login").into()),
        }
    };
    let challenge = Challenge::for_user(line, &first.user);
    line.fault(Point::LoginStart, Some(&challenge.name), None)?;
    line.send(reply.pairs(&challenge.pairs()).status())?;
    let Incoming::Request(Request::Call { call: Call::LoginSecond(second), .. }) = line.request(&|_| Vec::new())?
    else {
        return Ok(None);
    };
    line.fault(Point::BeforeLogin, Some(&challenge.name), None)?;
    prove(line, connected, &challenge, &first, &second)
}

fn send_unmarked(line: &mut Line<'_>, reply: Reply) -> Result<(), Upset> {
    let marks = std::mem::replace(&mut line.end_marks, false);
    let sent = line.send(reply);
    line.end_marks = marks;
    Ok(sent?)
}

/// What the server asks a client to prove.
struct Challenge {
    name: String,
    salt: [u8; 16],
    session_salt: [u8; 16],
    sealed: Vec<u8>,
}

impl Challenge {
    /// For users who do not exist it looks the same, and the same each time.
    fn for_user(line: &Line<'_>, given: &str) -> Self {
        let name = names::fold(given);
        let half = random();
        let secret = &line.service.shared.secret;
        let world = line.world();
        match world.accounts.users.get(&name) {
            Some(user) => Self {
                salt: user.salt,
                session_salt: user.session_salt,
                sealed: user.current.verifier.seal(&half),
                name,
            },
            None => Self {
                salt: proof::made_up_salt(&name, secret),
                session_salt: proof::made_up_salt(&format!("{name} session"), secret),
                sealed: Verifier::of_nobody().seal(&half),
                name,
            },
        }
    }

    fn pairs(&self) -> [(&'static str, String, u64); 5] {
        [
            ("AUTH_SESSKEY", hex(&self.sealed), 0),
            ("AUTH_VFR_DATA", hex(&self.salt), VERIFIER_12C),
            ("AUTH_PBKDF2_CSK_SALT", hex(&self.session_salt), 0),
            ("AUTH_PBKDF2_VGEN_COUNT", proof::PASSWORD_ROUNDS.to_string(), 0),
            ("AUTH_PBKDF2_SDER_COUNT", proof::SESSION_ROUNDS.to_string(), 0),
        ]
    }
}

fn prove(
    line: &mut Line<'_>,
    connected: &Connected,
    challenge: &Challenge,
    first: &Login,
    second: &Login,
) -> Result<Option<LoggedIn>, Upset> {
    let pair = |key: &str| second.pairs.get(key).map(String::as_str);
    let of_first = |key: &str| first.pairs.get(key).cloned().unwrap_or_default();
    let program = of_first("AUTH_PROGRAM_NM");
    let mut world = line.world();
    let now = world.now();
    let admitted = match (pair("AUTH_SESSKEY").and_then(unhex), pair("AUTH_PASSWORD")) {
        (Some(clients), Some(password)) => {
            let proof = Proof { sent: &challenge.sealed, clients: &clients, password, fresh: pair("AUTH_NEWPASSWORD") };
            world.accounts.log_in(&challenge.name, &proof, now)
        }
        _ => Err(Refusal::ora(1005)),
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            world.note(line.number, Event::LoginRefused { user: first.user.clone(), code: refusal.code });
            drop(world);
            line.fault(Point::AfterLogin, Some(&challenge.name), None)?;
            return Err(refusal.into());
        }
    };
    if admitted.changed {
        world.note(line.number, Event::Change { user: challenge.name.clone(), refused: None });
    }
    world.note(line.number, Event::LoggedIn { user: challenge.name.clone(), program: program.clone() });
    let session = Session {
        id: world.fresh_id(),
        serial: world.fresh_id(),
        user: challenge.name.clone(),
        schema: challenge.name.clone(),
        service: connected.service.clone(),
        protocol: match line.service.listener {
            Listener::Tcp => "tcp",
            Listener::Tls | Listener::MutualTls => "tcps",
        },
        module: program.clone(),
        program,
        machine: of_first("AUTH_MACHINE"),
        os_user: of_first("AUTH_SID"),
        terminal: of_first("AUTH_TERMINAL"),
        process: of_first("AUTH_PID"),
        action: String::new(),
        identifier: String::new(),
        info: String::new(),
        since: now,
        killed: false,
    };
    let (major, update) = world.mode.release();
    let mut reply = line.reply().pairs(&[
        ("AUTH_VERSION_NO", (major << 24 | update << 16).to_string(), 0),
        ("AUTH_SESSION_ID", session.id.to_string(), 0),
        ("AUTH_SERIAL_NUM", session.serial.to_string(), 0),
        ("AUTH_SC_SERVICE_NAME", connected.service.clone(), 0),
        ("AUTH_SC_DBUNIQUE_NAME", "sandbox".to_owned(), 0),
        ("AUTH_INSTANCENAME", INSTANCE.to_owned(), 0),
        ("AUTH_MAX_OPEN_CURSORS", "1000".to_owned(), 0),
        ("AUTH_MAX_IDEN_LENGTH", "128".to_owned(), 0),
        ("AUTH_SVR_RESPONSE", admitted.key.response(), 0),
    ]);
    world.sessions.insert(line.number, session);
    drop(world);
    line.fault(Point::AfterLogin, Some(&challenge.name), None)?;
    if let Some(warning) = &admitted.warning {
        reply = reply.warning(warning);
    }
    line.send(reply.status())?;
    Ok(Some(LoggedIn { user: challenge.name.clone(), key: admitted.key }))
}
