//! Retention rules: for how long the objects of a bucket can be neither changed nor deleted.
//!
//! Oracle documentation, "Using Retention Rules to Preserve Data". The answer to a forbidden change is not documented; the
//! emulator's options choose it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Bucket, uuid};
use crate::{
    clock::{days_later, text},
    http::{Refused, Reply, Request, text_field},
};

/// A rule may be locked from so many days ahead. Oracle documentation, the same page: a delay of 14 days.
const LOCK_DELAY_DAYS: i64 = 14;

#[derive(Debug)]
pub(super) struct Rule {
    id: String,
    display_name: Option<String>,
    /// None keeps for ever.
    days: Option<i64>,
    duration: Value,
    locked: Option<Timestamp>,
    created: Timestamp,
}

impl Rule {
    pub(super) fn of_days(days: i64, now: Timestamp) -> Result<Self, Refused> {
        let duration = json!({"timeAmount": days, "timeUnit": "DAYS"});
        Ok(Self { id: uuid()?, display_name: None, days: Some(days), duration, locked: None, created: now })
    }

    /// Whether an object that was last written then is kept.
    pub(super) fn keeps(&self, modified: Timestamp, now: Timestamp) -> bool {
        self.days.is_none_or(|days| now.duration_since(modified) < SignedDuration::from_hours(days.saturating_mul(24)))
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id, "displayName": self.display_name, "duration": self.duration, "etag": self.id,
            "timeRuleLocked": self.locked.map(text),
            "timeCreated": text(self.created), "timeModified": text(self.created),
        })
    }
}

pub(super) fn create(bucket: &mut Bucket, request: &Request, may_lock: bool, now: Timestamp) -> Result<Reply, Refused> {
    let body = request.json()?;
    let duration = body.get("duration").filter(|duration| !duration.is_null());
    let days = duration.map(days_of).transpose()?;
    let locked = text_field(&body, "timeRuleLocked").map(str::parse::<Timestamp>).transpose();
    let locked = locked.map_err(|_| Refused::invalid("timeRuleLocked is no time"))?;
    if let Some(at) = locked {
        if !may_lock {
            return Err(super::no_bucket(&bucket.name));
        }
        if days.is_none() {
            return Err(Refused::invalid("a rule without a duration cannot be locked"));
        }
        if at < days_later(now, LOCK_DELAY_DAYS) {
            return Err(Refused::invalid(format!("a rule is locked {LOCK_DELAY_DAYS} days ahead at the earliest")));
        }
    }
    let rule = Rule {
        id: uuid()?,
        display_name: text_field(&body, "displayName").map(str::to_owned),
        days,
        duration: duration.cloned().unwrap_or_default(),
        locked,
        created: now,
    };
    let reply = Reply::json(200, &rule.json()).with("etag", rule.id.clone());
    bucket.rules.push(rule);
    Ok(reply)
}

pub(super) fn get(bucket: &Bucket, id: &str) -> Result<Reply, Refused> {
    let rule = bucket.rules.iter().find(|rule| rule.id == id).ok_or_else(no_rule)?;
    Ok(Reply::json(200, &rule.json()).with("etag", rule.id.clone()))
}

pub(super) fn list(bucket: &Bucket) -> Reply {
    let items: Vec<Value> = bucket.rules.iter().map(Rule::json).collect();
    Reply::json(200, &json!({"items": items}))
}

/// A rule goes as long as it is not locked.
pub(super) fn delete(bucket: &mut Bucket, id: &str, now: Timestamp) -> Result<Reply, Refused> {
    let rule = bucket.rules.iter().find(|rule| rule.id == id).ok_or_else(no_rule)?;
    if rule.locked.is_some_and(|at| at <= now) {
        return Err(Refused::state("the rule is locked"));
    }
    bucket.rules.retain(|rule| rule.id != id);
    Ok(Reply::empty(204))
}

fn days_of(duration: &Value) -> Result<i64, Refused> {
    let amount = duration.get("timeAmount").and_then(Value::as_i64).filter(|amount| *amount > 0);
    let amount = amount.ok_or_else(|| Refused::invalid("timeAmount is a number above 0"))?;
    match text_field(duration, "timeUnit") {
        Some("DAYS") => Ok(amount),
        Some("YEARS") => Ok(amount.saturating_mul(365)),
        Some(_) | None => Err(Refused::invalid("timeUnit is DAYS or YEARS")),
    }
}

fn no_rule() -> Refused {
    Refused::new(404, "RetentionRuleNotFound", "there is no such retention rule")
}
