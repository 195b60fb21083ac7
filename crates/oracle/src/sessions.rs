//! Ending the sessions that were opened with a password that is no longer valid: an administrator's right (`ALTER SYSTEM`).
//!
//! Oracle documentation: "SQL Language Reference", ALTER SYSTEM KILL SESSION. Unverified on a real server.

use core::time::Duration;

use dizzy_host::port::{Deadline, FenceStamp, Kind, Login, PortError, PortResult};
use oracledb::OracleTimestamp;

use crate::{
    account::ms,
    session::{Session, Target},
    sql::stored,
    trouble::Trouble,
};

/// Sessions of one user, and the server's time. A session that is killed already goes by itself.
const LIST: &str = "SELECT TO_CHAR(SID), TO_CHAR(SERIAL#), TO_CHAR(INST_ID), LOGON_TIME, SYSDATE FROM GV$SESSION \
                    WHERE USERNAME = :1 AND TYPE = 'USER' AND STATUS <> 'KILLED'";
/// LOGON_TIME and SYSDATE are whole seconds, so an age may look one second too small.
const RESOLUTION_MS: i64 = 1000;
/// Most sessions that one call ends; a user with more is an administrator's business.
const MOST: usize = 4096;
/// No such session: it has ended by itself (ORA-00030), or is marked already (ORA-00031).
const GONE: [u32; 2] = [30, 31];

/// What an administrator runs by hand.
fn by_hand(user: &str) -> String {
    let name = stored(user).replace('\'', "''");
    format!(
        "SELECT 'ALTER SYSTEM KILL SESSION ''' || SID || ',' || SERIAL# || ',@' || INST_ID || ''' IMMEDIATE;' \
         FROM GV$SESSION WHERE USERNAME = '{name}';"
    )
}

/// One session of the user.
struct Listed {
    /// As ALTER SYSTEM names it.
    id: String,
    age_ms: i64,
}

/// Ends them. A killed session is refused at its next call.
pub(crate) async fn end(
    target: &Target,
    login: Login<'_>,
    user: &str,
    age: Duration,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<u32> {
    let what = format!("end the older sessions of {user} on {}", target.name);
    let refused = |trouble: Trouble| {
        // Not for us to see, or to do.
        if matches!(trouble, Trouble::Server(942 | 1031)) {
            let what = format!("{what}: that is an administrator's right");
            return PortError::refused(Kind::Denied, what).with_hint(by_hand(user));
        }
        trouble.refused(&what)
    };
    let oldest_to_stay = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let mut ended = 0_u32;
    for listed in list(&mut session, stored(user)).await.map_err(refused)? {
        if listed.age_ms.saturating_add(RESOLUTION_MS) < oldest_to_stay {
            continue;
        }
        if !session.has_time() {
            return Err(PortError::refused(Kind::Busy, format!("{what}: there are more than there is time for"))
                .with_hint(by_hand(user)));
        }
        let kill = format!("ALTER SYSTEM KILL SESSION '{}' IMMEDIATE", listed.id);
        match session.call(move |connection| connection.execute(&kill, &[]).map(drop)).await {
            Ok(()) => ended = ended.saturating_add(1),
            Err(Trouble::Server(code)) if GONE.contains(&code) => {}
            Err(trouble) => return Err(refused(trouble)),
        }
    }
    session.close().await;
    Ok(ended)
}

async fn list(session: &mut Session, user: String) -> Result<Vec<Listed>, Trouble> {
    session
        .call(move |connection| {
            let mut all = Vec::new();
            for row in connection.statement(LIST)?.build()?.query(&[&user])?.take(MOST) {
                let row = row?;
                let number = |column: usize| row.get::<String>(column);
                let (since, now) = (row.get::<OracleTimestamp>(3)?, row.get::<OracleTimestamp>(4)?);
                // Numbers of the server's own; whatever else came would not be quoted.
                let id: String = format!("{},{},@{}", number(0)?.trim(), number(1)?.trim(), number(2)?.trim());
                let id = id.chars().filter(|c| c.is_ascii_digit() || matches!(c, ',' | '@')).collect();
                all.push(Listed { id, age_ms: ms(&now) - ms(&since) });
            }
            Ok(all)
        })
        .await
}
