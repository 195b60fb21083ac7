//! A record as an event of the Open Cybersecurity Schema Framework, version 1.5.0 (schema.ocsf.io): password changes as Account
//! Change (3001), what happens to secret versions as Entity Management (3004), everything else as API Activity (6003).

use dizzy_audit::read::Record;
use serde_json::{Map, Value, json};

const VERSION: &str = "1.5.0";

/// A class of the schema with the activity in it.
struct Class {
    category: u64,
    class: u64,
    activity: u64,
}

const PASSWORD_CHANGE: Class = Class { category: 3, class: 3001, activity: 3 };
const ENTITY_CREATE: Class = Class { category: 3, class: 3004, activity: 1 };
const ENTITY_UPDATE: Class = Class { category: 3, class: 3004, activity: 3 };
const ENTITY_DELETE: Class = Class { category: 3, class: 3004, activity: 4 };
const API_UPDATE: Class = Class { category: 6, class: 6003, activity: 3 };

/// The event of a record, on one line.
pub(super) fn event(record: &Record) -> Value {
    let class = match record.kind.as_str() {
        "apply.done" | "undo.done" => PASSWORD_CHANGE,
        "stage.put" | "edit.merged" => ENTITY_CREATE,
        "promote.done" => ENTITY_UPDATE,
        "version.pruned" => ENTITY_DELETE,
        _ => API_UPDATE,
    };
    // 1 success, 2 failure, 0 unknown; 1 informational, 3 medium.
    let (status, severity) = match record.outcome.as_str() {
        "ok" => (1, 1),
        "fail" => (2, 3),
        _ => (0, 3),
    };
    let time = record.time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).unwrap_or_default();
    let target = record.target.clone().unwrap_or_else(|| record.set.clone());
    let actor = record.actor.clone().unwrap_or_else(|| "dizzy-keys".to_owned());
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
    put("activity_id", json!(class.activity));
    put("category_uid", json!(class.category));
    put("class_uid", json!(class.class));
    put("type_uid", json!(class.class * 100 + class.activity));
    put("time", json!(time));
    put("severity_id", json!(severity));
    put("status_id", json!(status));
    put("message", json!(format!("{} of {target}: {}", record.kind, record.outcome)));
    put(
        "metadata",
        json!({
            "version": VERSION,
            "uid": format!("{}:{}", record.stream, record.seq),
            "product": {"name": "dizzy-keys", "vendor_name": "dizzy-keys", "version": record.program.clone().unwrap_or_default()},
            "sequence": record.seq,
        }),
    );
    if let Some(code) = &record.code {
        put("status_code", json!(code));
    }
    if let Some(ms) = record.ms {
        put("duration", json!(ms));
    }
    put("actor", json!({"app_name": "dizzy-keys", "user": {"name": actor, "type_id": 3}}));
    match class.class {
        3001 => put("user", json!({"name": target, "type_id": 3, "domain": record.set})),
        3004 => put(
            "entity",
            json!({"name": target, "type": "secret", "version": record.version_id.clone().unwrap_or_default()}),
        ),
        _ => {
            put("api", json!({"operation": record.kind, "service": {"name": "dizzy-keys"}}));
            put("src_endpoint", json!({"name": actor}));
        }
    }
    put(
        "unmapped",
        json!({"set": record.set, "gen": record.generation, "base": record.base, "epoch": record.epoch, "kid": record.kid, "image": record.image}),
    );
    Value::Object(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, outcome: &str) -> Record {
        let line = json!({"stream": "orders/0000000001/0000000001-00000001", "seq": 3, "prev": "", "kid": "", "time": "2026-01-01T00:00:00.000Z",
            "type": kind, "outcome": outcome, "set": "orders", "epoch": 1, "target": "rds", "version_id": "v-1", "ms": 12, "actor": "host/1", "mac": ""});
        serde_json::from_value(line).unwrap()
    }

    /// The attributes that the schema requires of each class; whole exports were checked against the published schema.
    #[test]
    fn every_record_has_a_class_with_its_required_attributes() {
        for (kind, outcome, class, object, status) in [
            ("apply.done", "fail", 3001, "user", 2),
            ("stage.put", "ok", 3004, "entity", 1),
            ("decision.commit", "unknown", 6003, "api", 0),
        ] {
            let event = event(&record(kind, outcome));
            assert_eq!((&event["class_uid"], &event["status_id"]), (&json!(class), &json!(status)), "{event}");
            assert_eq!(event["type_uid"].as_u64().unwrap(), class * 100 + event["activity_id"].as_u64().unwrap());
            assert_eq!(event["time"], json!(1_767_225_600_000_u64));
            assert!(event[object].is_object() && event["actor"]["user"]["name"] == "host/1", "{event}");
        }
    }
}
