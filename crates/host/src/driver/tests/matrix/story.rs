//! One cell after the other: the run that meets the fault, the runs after it, and what must hold in between and at the end.

use core::{future::Future, pin::Pin, time::Duration};
use std::sync::Arc;

use dizzy_audit::verify::Class;
use dizzy_engine::{Finish, Goal};

use super::{
    super::place::{LOCKS_AFTER, Members, Place},
    cell::{Road, Spot, Way, on_the_road, spots_of},
    judge::Judge,
};
use crate::{
    driver::{ATTEMPTS_SPENT, Limits, Quiet, Report, Run, Trouble, Verdict as RunVerdict},
    memory::{Acceptance, PasswordRule},
    port::Journal as _,
    register::Document,
    testkit::{
        Fault, Faults, Form,
        matrix::{Point, Verdict},
    },
};

/// Runs of `recover` after which a set is at rest, counted from the last fault.
const MOST_RUNS: usize = 3;
/// How often a person may have to allow further logins: once per user of a set.
const MOST_PEOPLE: u32 = 2;
/// After so much help there is something wrong.
const MOST_HELP: u32 = 20;
/// Longer than a lease.
const LEASE_OVER: Duration = Duration::from_secs(31);
/// Longer than anything of a dead worker can still act.
const DRAINED: Duration = Duration::from_secs(21 * 60);

type Frozen = Pin<Box<dyn Future<Output = Report>>>;

/// Plays one fault, or two in turn, and judges.
pub(super) async fn play(members: Members, road: Road, spot: &Spot, way: Way, second: Option<(&Spot, Way)>) -> Verdict {
    let absent = second.and_then(|(spot, way)| way.absent_at(spot));
    if let Some(why) = way.absent_at(spot).or(absent) {
        return Verdict::Absent(why);
    }
    let place = on_the_road(members, road).await;
    let mut turns = way.faults(spot.point, spot.nth);
    if let Some((spot, way)) = second {
        turns.extend(way.faults(spot.point, spot.nth));
    }
    let mut story = Story::new(place, turns);
    // Roads with a dead worker at their beginning, and refusals that stay, are more than one fault.
    story.is_harsh |= road == Road::Late || way == Way::Denied;
    story.faults_besides(road.standing(members));
    story.tell(road.goal(), [Some(way), second.map(|(_, way)| way)]).await
}

/// The points that are seen after a fault, in whichever run, up to the rotation after it; each with its first call.
pub(super) async fn points_after(members: Members, road: Road, spot: &Spot, way: Way) -> Vec<Spot> {
    let place = on_the_road(members, road).await;
    let mut story = Story::new(place, way.faults(spot.point, spot.nth));
    story.is_harsh = true;
    story.faults_besides(road.standing(members));
    let faults = Arc::clone(&story.faults);
    story.tell(road.goal(), [Some(way), None]).await;
    let mut seen: Vec<Spot> = Vec::new();
    let first = faults.first_hit().unwrap_or_default();
    for spot in spots_of(&faults).split_off(first + 1) {
        if seen.iter().all(|earlier| earlier.point != spot.point) {
            seen.push(Spot { nth: 0, ..spot });
        }
    }
    seen
}

pub(super) struct Story {
    pub(super) place: Place,
    pub(super) faults: Arc<Faults>,
    judge: Arc<Judge>,
    frozen: Vec<Frozen>,
    /// How many faults must have hit, if each does so once.
    planned: usize,
    gave_up: bool,
    /// Whether more goes wrong than one fault, so that logins may run out.
    is_harsh: bool,
    people: u32,
}

impl Story {
    pub(super) fn new(place: Place, turns: Vec<Fault>) -> Self {
        let planned = turns.len();
        let faults = Faults::in_turn(turns);
        let judge = Judge::of(&place);
        let witness = Arc::clone(&judge);
        faults.watch(move || witness.look());
        Self { place, faults, judge, frozen: Vec::new(), planned, gave_up: false, is_harsh: planned > 1, people: 0 }
    }

    fn faults_besides(&self, standing: Option<Fault>) {
        if let Some(fault) = standing {
            self.faults.add(fault);
        }
    }

    async fn tell(mut self, goal: Goal, ways: [Option<Way>; 2]) -> Verdict {
        let has = |way: Way| ways.contains(&Some(way));
        if has(Way::AfterAbort) {
            self.faults.add(Fault::forward(Form::Refused).with_kind(crate::port::Kind::Denied).following());
        }
        self.go(goal).await;
        if has(Way::Denied) {
            // Whoever tries again while it is still so, changes nothing for the worse.
            tokio::time::advance(LEASE_OVER).await;
            self.faults.revive();
            self.go(Goal::Recover).await;
        }
        self.faults.clear();
        self.settle().await;
        if has(Way::AfterAbort) {
            self.late_request_arrives().await;
        }
        let outrun = has(Way::OutrunBefore) || has(Way::OutrunAfter);
        if !self.frozen.is_empty() && !outrun {
            self.thaw().await;
        }
        if self.gave_up && self.judge.broken().is_empty() && self.old_reads_left() == 0 {
            self.undo_once_more().await;
        }
        self.rotate().await;
        if !self.frozen.is_empty() {
            self.thaw().await;
            self.rotate().await;
        }
        // What the last request of a dead or disconnected worker does, it does now.
        if self.late_request_arrives().await {
            self.rotate().await;
        }
        // An old read of the last run is met by the next one.
        if self.old_reads_left() > 0 {
            self.rotate().await;
        }
        self.verify_trail().await;
        self.conclude(has(Way::AfterAbort))
    }

    /// More goes wrong from here on than anybody has counted.
    pub(super) fn expect_much(&mut self) {
        self.is_harsh = true;
    }

    /// How many calls there were at a point so far.
    pub(super) fn seen(&self, point: Point) -> usize {
        self.faults.points().iter().filter(|earlier| **earlier == point).count()
    }

    /// Late requests arrive, and who stood still goes on, as far as it gets.
    pub(super) async fn everything_arrives(&mut self) {
        self.faults.deliver().await;
        self.faults.revive();
        self.faults.release();
        self.poll_frozen().await;
    }

    /// Nothing goes wrong any more: the set must come to rest, and rotate.
    pub(super) async fn let_everything_go(mut self) -> Verdict {
        self.faults.clear();
        for database in &self.place.world.databases {
            database.judge_passwords(PasswordRule::AcceptAll);
        }
        while !self.frozen.is_empty() {
            self.everything_arrives().await;
        }
        self.everything_arrives().await;
        self.settle().await;
        self.place.pass_windows().await;
        self.rotate().await;
        self.verify_trail().await;
        self.conclude(false)
    }

    /// One worker, until it ends or stands still.
    pub(super) async fn go(&mut self, goal: Goal) -> Option<Report> {
        let open = self.place.open(&self.faults);
        let mut run: Frozen =
            Box::pin(async move { Run::new(&open, Limits::default(), &Quiet).go(goal).await.unwrap() });
        let held = self.faults.held();
        let report = tokio::select! {
            biased;
            report = &mut run => report,
            () = self.faults.until_held(held) => {
                self.frozen.push(run);
                return None;
            }
        };
        self.check(&report);
        Some(report)
    }

    /// Whatever a run says of the world is true.
    fn check(&mut self, report: &Report) {
        if self.faults.is_crashed() {
            return;
        }
        if let Some(violation) = &report.violation {
            self.judge.complain(format!("the engine stopped at its own rule: {violation:?}"));
        }
        // Who could not even read the register knows nothing, and says so; its exit code is that of a run that has changed nothing.
        let knows = report.document.is_some();
        if knows && report.verdict() == RunVerdict::OldIsValid && !self.place.dead().is_empty() {
            self.judge.complain(format!("the old credentials were said to be valid: {:?}", report.finish));
        }
        if matches!(report.finish, Finish::Rotated(_)) {
            self.expect_rest("told to be rotated");
        }
        if matches!(report.finish, Finish::RolledBack(_)) {
            self.expect_rest("told to be rolled back");
            self.gave_up = true;
        }
    }

    /// Runs of `recover` until the set is at rest.
    async fn settle(&mut self) {
        let mut runs = 0;
        let mut last = String::new();
        tokio::time::advance(LEASE_OVER).await;
        while self.place.register().phase != "idle" {
            if runs == MOST_RUNS {
                return self.judge.complain(format!("not at rest after {runs} runs: {last}"));
            }
            let hits = self.faults.hits();
            self.faults.revive();
            let report = self.go(Goal::Recover).await;
            runs += 1;
            if self.faults.hits() > hits {
                // What was refused for good is allowed again: somebody has read the message.
                self.faults.clear();
                runs = 0;
            }
            if self.is_out_of_logins(report.as_ref()) && self.people < MOST_HELP {
                self.somebody_allows_logins().await;
                runs = 0;
            }
            last = format!("{:?}", report.map(|r| (r.finish, r.troubles)));
            tokio::time::advance(if runs + 1 == MOST_RUNS { DRAINED } else { LEASE_OVER }).await;
        }
        self.faults.revive();
        self.expect_rest("settled");
    }

    /// The next rotation works; if a fault was still to come, the one after.
    async fn rotate(&mut self) {
        for _ in 0..=MOST_RUNS {
            let (hits, old) = (self.faults.hits(), self.old_reads_left());
            self.faults.revive();
            let mut report = self.go(Goal::Rotate).await;
            if report.as_ref().is_some_and(|report| self.is_too_early(report)) {
                self.place.pass_windows().await;
                report = self.go(Goal::Rotate).await;
            }
            if matches!(report, Some(Report { finish: Finish::Rotated(_), .. })) {
                return self.expect_rest("rotated");
            }
            if self.is_out_of_logins(report.as_ref()) {
                self.somebody_allows_logins().await;
            } else if self.faults.hits() == hits && self.old_reads_left() == old {
                return self.judge.complain(format!(
                    "the next rotation does not work: {:?}",
                    report.map(|r| (r.finish, r.troubles))
                ));
            }
            self.faults.clear();
            self.settle().await;
        }
        self.judge.complain("rotations go on failing".to_owned());
    }

    /// Whether a window is open, or something of an earlier worker may still act: it might end the next window that is opened.
    fn is_too_early(&self, report: &Report) -> bool {
        let ends = self.place.members.iter().any(|member| member.acceptance == Acceptance::RolloverThatEnds);
        let wait = matches!(report.finish, Finish::WindowOpen(_) | Finish::Draining(_) | Finish::Busy(_));
        wait || (matches!(report.finish, Finish::RolledBack(_)) && ends && self.place.register().quiet.is_some())
    }

    /// Two workers that died at the same login have used up what may be risked (rulings §4.2): the way on is a person's, and is told.
    fn is_out_of_logins(&self, report: Option<&Report>) -> bool {
        let spent = |trouble: &Trouble| trouble.error.code.as_deref() == Some(ATTEMPTS_SPENT);
        self.is_harsh && report.is_some_and(|report| report.troubles.iter().any(spent))
    }

    async fn somebody_allows_logins(&mut self) {
        self.people += 1;
        tokio::time::advance(LEASE_OVER).await;
        // Refused while a worker has the set, or because of an old read: then it is asked for again at the next turn.
        let asked = self.place.open(&Faults::none()).forget_wrong_logins(Limits::default()).await;
        if let Err(error) = asked {
            assert_eq!(error.certainty, crate::port::Certainty::Refused, "{error:?}");
        }
    }

    /// Who stood still goes on.
    async fn thaw(&mut self) {
        self.faults.release();
        self.poll_frozen().await;
        self.settle().await;
    }

    async fn poll_frozen(&mut self) {
        for mut run in core::mem::take(&mut self.frozen) {
            let held = self.faults.held();
            tokio::select! {
                biased;
                report = &mut run => self.check(&report),
                () = self.faults.until_held(held) => self.frozen.push(run),
            }
        }
    }

    async fn late_request_arrives(&self) -> bool {
        let arrived = self.faults.deliver().await > 0;
        if arrived {
            self.expect_rest("a late request has arrived");
        }
        arrived
    }

    /// The undo is done again from its beginning, as by a worker that died just before it recorded that it was done.
    async fn undo_once_more(&self) {
        let before = self.judge.snapshot();
        let journal = &self.place.world.journal;
        let history = journal.history("orders");
        let documents = history.iter().rev().map(|bytes| Document::parse(bytes, "orders").unwrap());
        let Some(mut document) = documents.take_while(|d| d.phase != "intent").find(|d| d.phase == "abort") else {
            return;
        };
        document.owner.until = 0;
        // The trail is not put back with it: nobody can.
        document.audit = self.place.register().audit;
        let deadline = crate::port::Deadline::after(LEASE_OVER);
        let latest = journal.read("orders", deadline).await.unwrap().unwrap();
        journal.write("orders", Some(&latest.tag), &document.to_bytes(), deadline).await.unwrap();
        let report = self.place.run(Goal::Recover, &Faults::none()).await;
        let after = self.judge.snapshot();
        if !matches!(report.finish, Finish::RolledBack(_)) || before != after {
            let differ: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            self.judge.complain(format!("undone twice is not undone once: {:?} {differ:#?}", report.finish));
        }
        tokio::time::advance(LEASE_OVER).await;
    }

    /// Whatever went wrong, nobody who verifies the trail may take it for tampering.
    pub(super) async fn verify_trail(&self) {
        let trail = self.place.verify_trail().await;
        if trail.findings.worst() >= Some(Class::Tampering) {
            self.judge.complain(format!("the trail looks tampered with: {:?}", trail.findings.kept));
        }
    }

    fn old_reads_left(&self) -> u32 {
        let world = &self.place.world;
        world.journal.stale_reads_left() + world.stores.iter().map(|store| store.stale_reads_left()).sum::<u32>()
    }

    fn expect_rest(&self, story: &str) {
        let register = self.place.register();
        // A worker that only looks takes the set for a moment; it is at rest nevertheless.
        if register.phase != "idle" || register.next.is_some() {
            self.judge.complain(format!("I2: {story}, and the register is at {}", register.phase));
        }
        let dead = self.place.dead();
        if !dead.is_empty() {
            self.judge.complain(format!("I2: {story}, and these do not log in: {dead:?}"));
        }
        if !self.place.stores_agree() {
            self.judge.complain(format!("I2: {story}, and the stores differ"));
        }
    }

    fn conclude(self, needs_abort: bool) -> Verdict {
        for (member, database) in self.place.members.iter().zip(&self.place.world.databases) {
            for user in &self.place.config.sets["orders"].database(member.name).unwrap().users {
                if database.wrong_logins(user) > LOCKS_AFTER / 3 {
                    self.judge.complain(format!("{user} is close to being locked"));
                }
            }
        }
        if self.planned > 0 && self.people > MOST_PEOPLE {
            self.judge.complain(format!("a person had to help {} times", self.people));
        }
        let broken = self.judge.broken();
        if !broken.is_empty() {
            return Verdict::Failed(broken.join("\n  "));
        }
        if self.faults.hits() < self.planned {
            return Verdict::Absent("nobody comes to that call a second time");
        }
        if self.old_reads_left() > 0 {
            return Verdict::Failed("the old read was never asked for".to_owned());
        }
        if needs_abort && !self.gave_up {
            return Verdict::Absent("what was sent without a fence is only ever finished");
        }
        Verdict::Passed
    }
}
