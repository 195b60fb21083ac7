//! What a session can ask about its own user and its database: state of the account, limits of the profile, rights.
//!
//! Only views that every user may read (Oracle documentation: "Database Reference"). `USER_USERS` has no PROFILE column, so the profile's
//! limits come from `USER_PASSWORD_LIMITS`. Unverified on a real server: that this view lists PASSWORD_ROLLOVER_TIME.

use core::time::Duration;

use oracledb::OracleTimestamp;

use crate::{der::days_since_1970, session::Session, trouble::Trouble};

/// Most rows that are read of any view; a user has some hundred rights at most.
const ROW_LIMIT: usize = 4096;
/// Rows that come along with the answer to a query, without another round trip; most of our queries have fewer.
const PREFETCHED: u32 = 250;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// Whether passwords can be changed here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// A primary or a snapshot standby.
    Writable,
    /// A physical or logical standby.
    Standby,
}

/// Asks for the database's role.
pub(crate) async fn role(session: &mut Session) -> Result<Role, Trouble> {
    let role = texts(session, "SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM DUAL", None).await?;
    Ok(match role.first().and_then(|row| row.first()).and_then(Option::as_deref) {
        Some("PHYSICAL STANDBY" | "LOGICAL STANDBY") => Role::Standby,
        Some(_) | None => Role::Writable,
    })
}

/// The state of the session's own account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Account {
    /// As the server words it, for example `EXPIRED(GRACE) & IN ROLLOVER`.
    pub(crate) status: String,
    /// Until the password expires, by the server's clock; negative when it has.
    pub(crate) expires_in_ms: Option<i64>,
}

impl Account {
    /// Two passwords are valid.
    pub(crate) fn in_rollover(&self) -> bool {
        self.status.contains("IN ROLLOVER")
    }

    /// The password has expired, but still logs in for some days.
    pub(crate) fn in_grace(&self) -> bool {
        self.status.contains("EXPIRED(GRACE)")
    }

    /// The password has expired.
    pub(crate) fn expired(&self) -> bool {
        self.status.contains("EXPIRED") && !self.in_grace()
    }

    /// Nobody can log in.
    pub(crate) fn locked(&self) -> bool {
        self.status.contains("LOCKED")
    }
}

/// Asks for the state of the session's own account.
pub(crate) async fn account(session: &mut Session) -> Result<Account, Trouble> {
    let (status, expiry) = session
        .call(|connection| {
            let row = connection.query_row("SELECT ACCOUNT_STATUS, EXPIRY_DATE FROM USER_USERS", &[])?;
            Ok((row.get::<String>(0)?, row.get::<Option<OracleTimestamp>>(1)?))
        })
        .await?;
    let Some(expiry) = expiry else { return Ok(Account { status, expires_in_ms: None }) };
    // EXPIRY_DATE is in the time zone of the server's operating system, as SYSDATE is; so their difference is what can be trusted.
    let now = session
        .call(|connection| connection.query_row("SELECT SYSDATE FROM DUAL", &[])?.get::<OracleTimestamp>(0))
        .await?;
    Ok(Account { status, expires_in_ms: Some(ms(&expiry) - ms(&now)) })
}

/// Milliseconds since 1970 of a date, in whatever time zone it is.
pub(crate) fn ms(date: &OracleTimestamp) -> i64 {
    let days = days_since_1970(i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    let seconds = (i64::from(date.hour()) * 60 + i64::from(date.minute())) * 60 + i64::from(date.second());
    (days * 86_400 + seconds) * 1000
}

/// A limit of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    Unlimited,
    /// Days, or a count.
    Value(f64),
    /// Not told, or told as a reference to another profile.
    Unknown,
}

impl Limit {
    fn parse(text: Option<&str>) -> Self {
        match text.map(str::trim) {
            Some("UNLIMITED") => Self::Unlimited,
            Some(number) => match number.parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Self::Value(value),
                Ok(_) | Err(_) => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }

    /// The limit as a span of time; `None` if there is none or it is zero or unknown.
    pub(crate) fn days(self) -> Option<Duration> {
        match self {
            Self::Value(days) if days > 0.0 => Duration::try_from_secs_f64(days * SECONDS_PER_DAY).ok(),
            Self::Value(_) | Self::Unlimited | Self::Unknown => None,
        }
    }
}

/// The limits of the session's own profile that matter to a rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) reuse_max: Limit,
    pub(crate) reuse_time: Limit,
    pub(crate) life_time: Limit,
    pub(crate) rollover_time: Limit,
    pub(crate) failed_logins: Limit,
}

/// Asks for the limits of the session's own profile.
pub(crate) async fn profile(session: &mut Session) -> Result<Profile, Trouble> {
    let rows = texts(session, "SELECT RESOURCE_NAME, LIMIT FROM USER_PASSWORD_LIMITS", None).await?;
    let limit = |name: &str| {
        let value = rows.iter().find_map(|row| match row.as_slice() {
            [Some(of), value] if of == name => value.as_deref(),
            _ => None,
        });
        Limit::parse(value)
    };
    Ok(Profile {
        reuse_max: limit("PASSWORD_REUSE_MAX"),
        reuse_time: limit("PASSWORD_REUSE_TIME"),
        life_time: limit("PASSWORD_LIFE_TIME"),
        rollover_time: limit("PASSWORD_ROLLOVER_TIME"),
        failed_logins: limit("FAILED_LOGIN_ATTEMPTS"),
    })
}

/// Whether the session's user holds a right, directly or through an enabled role.
pub(crate) async fn holds(session: &mut Session, right: &str) -> Result<bool, Trouble> {
    let rows = texts(session, "SELECT PRIVILEGE FROM SESSION_PRIVS", None).await?;
    Ok(rows.iter().any(|row| row.first().and_then(Option::as_deref) == Some(right)))
}

/// Runs a query whose columns are texts. Every row that is returned is whole.
pub(crate) async fn texts(
    session: &mut Session,
    sql: &'static str,
    bind: Option<String>,
) -> Result<Vec<Vec<Option<String>>>, Trouble> {
    session
        .call(move |connection| {
            let statement =
                connection.statement(sql)?.prefetch_rows(PREFETCHED).fetch_array_size(PREFETCHED).build()?;
            let rows = match &bind {
                Some(bind) => statement.query(&[bind])?,
                None => statement.query(&[])?,
            };
            let mut texts = Vec::new();
            for row in rows.take(ROW_LIMIT) {
                let row = row?;
                texts.push((0..row.columns().len()).map(|column| row.get(column)).collect::<Result<Vec<_>, _>>()?);
            }
            Ok(texts)
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_the_server_combines_them() {
        for (status, [rollover, grace, expired, locked]) in [
            ("OPEN", [false; 4]),
            ("OPEN & IN ROLLOVER", [true, false, false, false]),
            ("EXPIRED(GRACE) & IN ROLLOVER", [true, true, false, false]),
            ("EXPIRED & LOCKED(TIMED)", [false, false, true, true]),
            ("LOCKED(TIMED)", [false, false, false, true]),
        ] {
            let account = Account { status: status.to_owned(), expires_in_ms: None };
            let seen = [account.in_rollover(), account.in_grace(), account.expired(), account.locked()];
            assert_eq!(seen, [rollover, grace, expired, locked], "{status}");
        }
    }

    #[test]
    fn limits_are_days_unlimited_or_unknown() {
        assert_eq!(Limit::parse(Some("UNLIMITED")), Limit::Unlimited);
        assert_eq!(Limit::parse(Some(".0417")).days().map(|span| span.as_secs()), Some(3602));
        for unknown in [None, Some("DEFAULT"), Some("FROM ROOT"), Some("-1"), Some("NaN"), Some("")] {
            assert_eq!(Limit::parse(unknown), Limit::Unknown, "{unknown:?}");
        }
        assert_eq!(Limit::parse(Some("0")).days(), None);
    }
}
