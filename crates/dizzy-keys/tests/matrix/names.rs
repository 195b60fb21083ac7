//! What a call on the wire is called, and where in a rotation it is: the names by which places are recorded and found again.
//!
//! A name begins with its point. It holds nothing that changes from one rotation to the next: no user, no generation, no version.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dizzy_host::testkit::matrix::Point;
use dizzy_sandbox::gates::{Ask, HttpCall, Namer};
use dizzy_sandbox_oracle::Point as OraclePoint;
use serde_json::Value;

use super::world::{REGISTERS, TRAIL};

/// What the audit key is called.
pub(crate) const AUDIT_KEY: &str = "audit key";

/// Remembers the register as it goes by, because it says what a rotation is doing.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    register: Value,
    history: Vec<Value>,
    /// The secret in Vault that holds the audit key, if one does.
    key: Option<String>,
    /// What the register was last written for.
    stretch: Option<Point>,
    /// What the transaction is for that is open in PostgreSQL.
    transaction: Option<(Point, &'static str)>,
}

impl Names {
    /// Every register that was written, in order.
    pub(crate) fn history(&self) -> Vec<Value> {
        self.seen().history.clone()
    }

    /// Somebody has put this register there.
    pub(crate) fn is_now(&self, register: Value) {
        let mut seen = self.seen();
        seen.stretch = Some(seen.point_of_write(&register));
        seen.history.push(register.clone());
        seen.register = register;
    }

    /// The audit key is in this secret.
    pub(crate) fn knows_key(&self, secret: &str) {
        self.seen().key = Some(secret.to_owned());
    }

    pub(crate) fn postgres(&self, ask: Ask<'_>) -> Option<String> {
        let mut seen = self.seen();
        let (point, what) = match ask {
            Ask::Session => (Point::Session, "session"),
            Ask::Login => (seen.look(), "login"),
            Ask::Query(sql) if sql.contains("'burn'") => *seen.transaction.insert((Point::Burn, "burn")),
            Ask::Query(sql) if sql.contains("ALTER ROLE") => {
                let point = if seen.phase() == "abort" { Point::Undo } else { Point::ApplyFenced };
                *seen.transaction.insert((point, "change"))
            }
            Ask::Query("COMMIT") => (seen.transaction.take()?.0, "commit"),
            Ask::Query(_) => (seen.look(), "question"),
        };
        Some(seen.name(point, "rds", what))
    }

    pub(crate) fn oracle(&self, at: OraclePoint, statement: Option<&str>) -> Option<String> {
        let seen = self.seen();
        let (point, what) = match (at, statement) {
            (OraclePoint::Accept, _) => (Point::Session, "session"),
            (OraclePoint::BeforeLogin, _) => (seen.look(), "login"),
            (OraclePoint::BeforeChange, _) if seen.phase() == "abort" => (Point::Undo, "change"),
            (OraclePoint::BeforeChange, _) => (Point::ApplyUnfenced, "change"),
            (OraclePoint::BeforeStatement, Some(sql)) if sql.trim_start().starts_with("BEGIN") => {
                (Point::ApplyUnfenced, "end of window")
            }
            (OraclePoint::BeforeStatement, _) => (seen.look(), "question"),
            _ => return None,
        };
        Some(seen.name(point, "adb", what))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Namer for Names {
    fn name(&self, call: &HttpCall) -> Option<String> {
        let seen = self.seen();
        let verb = call.operation.rsplit('.').next().unwrap_or_default();
        let decided = seen.phase() == "commit";
        let (point, place, what) = if call.target.contains(&format!("/{REGISTERS}/")) {
            let writes = call.method == "PUT";
            let new = serde_json::from_slice(&call.body).unwrap_or_default();
            let point = if writes { seen.point_of_write(&new) } else { Point::Lease };
            (point, "journal", if writes { "write" } else { "read" })
        } else if call.target.contains(&format!("/{TRAIL}")) {
            let place = if call.target.starts_with("/n/") { "trail in OCI" } else { "trail in AWS" };
            (Point::Audit, place, if call.method == "PUT" { "write" } else { "read" })
        } else if call.target.contains("/b/wallets/") {
            (Point::Wallet, "wallet", "read")
        } else if verb == "GetParameter" || seen.key.as_ref().is_some_and(|key| call.target.contains(key)) {
            (Point::Audit, AUDIT_KEY, "read")
        } else if verb.is_empty() {
            vault(call, decided)
        } else {
            secrets_manager(verb, &String::from_utf8_lossy(&call.body), decided)
        };
        Some(seen.name(point, place, what))
    }

    fn answered(&self, call: &HttpCall, status: u16) {
        if call.method == "PUT" && call.target.contains(&format!("/{REGISTERS}/")) && status < 300 {
            self.is_now(serde_json::from_slice(&call.body).unwrap_or_default());
        }
    }
}

fn secrets_manager(verb: &str, body: &str, decided: bool) -> (Point, &'static str, &'static str) {
    const PLACE: &str = "Secrets Manager";
    match verb {
        "PutSecretValue" => (Point::Put, PLACE, "PutSecretValue"),
        "UpdateSecretVersionStage" if body.contains("AWSPENDING") => (Point::Pending, PLACE, "move PENDING"),
        "UpdateSecretVersionStage" if body.contains("AWSCURRENT") => (Point::PromoteAws, PLACE, "move CURRENT"),
        "UpdateSecretVersionStage" => (Point::Finish, PLACE, "drop a name"),
        "GetSecretValue" if decided => (Point::PromoteAws, PLACE, "GetSecretValue"),
        "GetSecretValue" => (Point::ReadBack, PLACE, "GetSecretValue"),
        _ if decided => (Point::PromoteAws, PLACE, "labels"),
        _ => (Point::Pending, PLACE, "labels"),
    }
}

fn vault(call: &HttpCall, decided: bool) -> (Point, &'static str, &'static str) {
    const PLACE: &str = "Vault";
    let body = String::from_utf8_lossy(&call.body);
    match call.method.as_str() {
        "PUT" if body.contains("currentVersionNumber") => (Point::PromoteOci, PLACE, "move CURRENT"),
        "PUT" => (Point::Put, PLACE, "UpdateSecret"),
        "POST" => (Point::Finish, PLACE, "drop a version"),
        _ if call.target.contains("/secretbundles/") && decided => (Point::PromoteOci, PLACE, "GetSecretBundle"),
        _ if call.target.contains("/secretbundles/") => (Point::ReadBack, PLACE, "GetSecretBundle"),
        _ if decided => (Point::PromoteOci, PLACE, "labels"),
        _ => (Point::Pending, PLACE, "labels"),
    }
}

impl Seen {
    fn phase(&self) -> &str {
        self.register["phase"].as_str().unwrap_or("idle")
    }

    /// What a login or a question is for.
    fn look(&self) -> Point {
        if self.phase() == "idle" { Point::Session } else { Point::Check }
    }

    fn name(&self, point: Point, place: &str, what: &str) -> String {
        let state = match self.phase() {
            "abort" => ", undoing",
            "commit" => ", decided",
            _ => "",
        };
        match self.stretch {
            // How many records there are, side by side, is not the same each time; what they are about is.
            Some(stretch) if point == Point::Audit => format!("{point}: {place}, {what}, after {stretch}{state}"),
            _ => format!("{point}: {place}, {what}{state}"),
        }
    }

    /// What a write of the register is for, as the driver's own matrix has it.
    fn point_of_write(&self, new: &Value) -> Point {
        let phases = (self.register["phase"].as_str(), new["phase"].as_str());
        match phases {
            (Some("idle"), Some("intent")) => Point::Intent,
            (Some("intent"), Some("commit")) => Point::Commit,
            (Some("intent"), Some("abort")) => Point::Abort,
            (Some("intent"), Some("intent")) if marks(new) > marks(&self.register) => Point::Intent,
            (Some(old), Some(new)) if old != new => Point::Finish,
            _ => Point::Lease,
        }
    }
}

/// How many changes a register says may have been sent.
fn marks(register: &Value) -> usize {
    let databases = register["databases"].as_object().into_iter().flat_map(|all| all.values());
    databases
        .map(|database| {
            let users = database["users"].as_object().into_iter().flat_map(|all| all.values());
            let maybes: usize = users.map(|user| user["maybe"].as_array().map_or(0, Vec::len)).sum();
            usize::from(database["sent"].as_bool().unwrap_or_default()) + maybes
        })
        .sum()
}

/// The point that a name begins with.
pub(crate) fn point_of(name: &str) -> Point {
    *Point::ALL.iter().find(|point| name.starts_with(&format!("{point}: "))).unwrap()
}

/// Whether a call changes something, so that its reply can be lost and it can be late.
pub(crate) fn changes(name: &str) -> bool {
    let what = name.split(", ").nth(1).unwrap_or_default();
    matches!(what, "write" | "PutSecretValue" | "UpdateSecret" | "commit" | "end of window")
        || ["move ", "drop "].iter().any(|start| what.starts_with(start))
        || (what == "change" && name.contains(": adb"))
}

/// Whether a call swaps something under a condition, so that somebody else can have been faster.
pub(crate) fn swaps(name: &str) -> bool {
    changes(name) && !name.contains(": rds") && !name.contains(": adb")
}

/// Whether an old answer can be given to a call, or to the one after it.
pub(crate) fn ages(name: &str) -> bool {
    ["journal", "Secrets Manager", "Vault"].iter().any(|place| name.contains(&format!(": {place},")))
}

/// A fresh memory of names.
pub(crate) fn names() -> Arc<Names> {
    Arc::default()
}
