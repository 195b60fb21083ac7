//! What a scheduled run has to do for one set, from its register, its configuration and the time of day. Pure.
//!
//! `rotate --due` acts on it and `status` shows it, so what is shown is what happens.

use dizzy_engine::{Generation, Phase, Timestamp};

use crate::{
    config::{Due, Past, RotationSet},
    driver::FIRST,
    register::{Document, phase_name},
    retry::RETRY_BUDGET,
};

/// What is to be done for a set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Agenda {
    /// Nothing before this moment.
    At(Timestamp),
    /// It is due, but too many runs have failed in a row: a person must look. Nothing is tried.
    GivenUp {
        /// So many failed.
        failures: u32,
    },
    /// A rotation is under way: finish or undo it, and rotate if that is due as well.
    Finish {
        /// Whether the schedule asks for a rotation too.
        due: bool,
        /// Whether so many runs have failed in a row that a person should look. It is tried all the same: only that finishes it.
        alarm: bool,
    },
    /// It is rotated on request only.
    OnRequest,
    /// It is due, or unfinished; but the last run failed, and the next is not before this moment.
    Paused(Timestamp),
    /// It is due: rotate.
    Rotate {
        /// Since when.
        since: Timestamp,
        /// The generation that is published: with another one there, somebody else has done it.
        from: Generation,
    },
    /// It can neither go on nor back by itself: a person must look. Nothing is tried.
    Stuck,
}

impl Agenda {
    /// The agenda at `now`; `document` is the set's register, if there is one.
    #[must_use]
    pub fn of(set: &RotationSet, document: Option<&Document>, now: Timestamp) -> Self {
        let due = set.schedule.due(&set.name, document.map_or_else(Past::default, past), now);
        let Some(document) = document else { return Self::by_schedule(due, FIRST) };
        let failures = document.failures.as_ref().map_or(0, |failures| failures.in_a_row);
        let spent = failures >= RETRY_BUDGET;
        let paused = document.pause.map(Timestamp).filter(|until| *until > now);
        if document.phase == phase_name(Phase::Stuck) {
            return Self::Stuck;
        }
        let from = Generation(document.current);
        // A wish to revoke is unfinished work, whatever the phase.
        let at_rest = document.phase == phase_name(Phase::Idle) && document.revoke.is_none();
        match (at_rest, due, paused) {
            (false, _, Some(until)) => Self::Paused(until),
            (false, _, None) => Self::Finish { due: matches!(due, Due::Now { .. }), alarm: spent },
            (true, Due::At(_) | Due::OnRequest, _) => Self::by_schedule(due, from),
            (true, Due::Now { .. }, _) if spent => Self::GivenUp { failures },
            (true, Due::Now { .. }, Some(until)) => Self::Paused(until),
            (true, Due::Now { .. }, None) => Self::by_schedule(due, from),
        }
    }

    const fn by_schedule(due: Due, from: Generation) -> Self {
        match due {
            Due::At(at) => Self::At(at),
            Due::OnRequest => Self::OnRequest,
            Due::Now { since } => Self::Rotate { since, from },
        }
    }
}

/// What the schedule has to know about a register.
#[must_use]
pub fn past(document: &Document) -> Past {
    let users = document.databases.values().flat_map(|database| database.users.values());
    // A date that a rotation does not move says nothing about when to rotate.
    let renewed = users.filter_map(|user| user.expires.filter(|expiry| expiry.renewed));
    Past { rotated: document.rotated.map(Timestamp), expires: renewed.map(|expiry| Timestamp(expiry.at)).min() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, register::FailuresDocument};

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 86_400_000;
    const NOW: Timestamp = Timestamp(40 * DAY);

    fn set() -> RotationSet {
        let text = "[sets.orders]\nevery = \"30d\"\n[sets.orders.databases.rds]\nengine = \"postgres\"\nusers = [\"a\", \"b\"]\n\
                    [[sets.orders.secrets]]\nstore = \"aws-sm:prod/orders\"\n";
        config::parse("test", text).unwrap().sets.remove("orders").unwrap()
    }

    /// A register that is due since ten days.
    fn register(change: impl FnOnce(&mut Document)) -> Document {
        let text = r#"{"v":1,"register":"00","set":"orders","adopted":true,"epoch":1,"owner":{"nonce":"0-0","who":"","until":0},
            "taken":null,"quiet":null,"phase":"idle","was":"idle","current":7,"next":null,"last":7,"kept":[],"databases":{},
            "stores":{},"target":"","rotated":0,"outcome":null,"audit":null,"pause":null}"#;
        let mut document = Document::parse(text.as_bytes(), "orders").unwrap();
        change(&mut document);
        document
    }

    fn agenda(change: impl FnOnce(&mut Document)) -> Agenda {
        Agenda::of(&set(), Some(&register(change)), NOW)
    }

    fn failed(document: &mut Document, in_a_row: u32, pause: i64) {
        document.failures = Some(FailuresDocument { in_a_row, last: NOW.0, code: "DK-211".to_owned() });
        document.pause = Some(NOW.0 + pause);
    }

    #[test]
    fn a_set_is_rotated_when_it_is_due_and_left_alone_before() {
        let from = Generation(7);
        assert_eq!(agenda(|_| {}), Agenda::Rotate { since: Timestamp(30 * DAY), from });
        assert_eq!(agenda(|d| d.rotated = Some(20 * DAY)), Agenda::At(Timestamp(50 * DAY)));
        assert_eq!(Agenda::of(&set(), None, NOW), Agenda::Rotate { since: NOW, from: FIRST });
    }

    #[test]
    fn what_failed_is_tried_again_after_its_pause_until_the_budget_is_spent() {
        assert_eq!(agenda(|d| failed(d, 3, 4 * MINUTE)), Agenda::Paused(Timestamp(NOW.0 + 4 * MINUTE)));
        assert!(matches!(agenda(|d| failed(d, 3, 0)), Agenda::Rotate { .. }), "the pause is over");
        assert!(matches!(agenda(|d| failed(d, RETRY_BUDGET - 1, 0)), Agenda::Rotate { .. }));
        for pause in [0, MINUTE] {
            assert_eq!(agenda(|d| failed(d, RETRY_BUDGET, pause)), Agenda::GivenUp { failures: RETRY_BUDGET });
        }
        let not_due = |d: &mut Document| {
            failed(d, RETRY_BUDGET, 0);
            d.rotated = Some(20 * DAY);
        };
        assert_eq!(agenda(not_due), Agenda::At(Timestamp(50 * DAY)), "nothing is asked for, so nothing is given up");
    }

    #[test]
    fn what_is_under_way_is_finished_at_once_or_after_its_pause_and_never_given_up() {
        for phase in ["intent", "commit", "abort"] {
            let under_way = |failures, pause, rotated| {
                agenda(|d| {
                    phase.clone_into(&mut d.phase);
                    failed(d, failures, pause);
                    d.rotated = Some(rotated);
                })
            };
            assert_eq!(under_way(0, 0, 0), Agenda::Finish { due: true, alarm: false });
            assert_eq!(under_way(0, 0, 20 * DAY), Agenda::Finish { due: false, alarm: false });
            assert_eq!(under_way(2, MINUTE, 0), Agenda::Paused(Timestamp(NOW.0 + MINUTE)));
            assert_eq!(under_way(RETRY_BUDGET, 0, 0), Agenda::Finish { due: true, alarm: true });
        }
    }

    #[test]
    fn what_is_stuck_is_never_tried() {
        for (failures, pause) in [(0, 0), (1, MINUTE), (RETRY_BUDGET, 0)] {
            let stuck = |d: &mut Document| {
                failed(d, failures, pause);
                "stuck".clone_into(&mut d.phase);
            };
            assert_eq!(agenda(stuck), Agenda::Stuck);
        }
    }
}
