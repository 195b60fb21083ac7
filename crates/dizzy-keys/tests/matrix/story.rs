//! One cell after the other: the worker that meets the fault, the workers after it, and what must hold in between and at the end.

use core::time::Duration;

use dizzy_host::testkit::matrix::{Point, Verdict};
use dizzy_sandbox::{
    SET,
    gates::{Deed, Plan, Refusal},
};
use dizzy_sandbox_oracle::{HOUR, Profile};
use serde_json::Value;

use super::{
    cell::{Road, Spot, Way, changes_forward, is_of},
    common::{Running, Told},
    world::{Strategy, World},
};

/// What is told of a cell that shows nothing.
pub(crate) const NOT_FIRED: &str = "the fault did not fire";
/// Runs of `recover` after which a set is at rest, counted from the last fault.
pub(crate) const MOST_RUNS: usize = 3;
/// Longer than a lease.
pub(crate) const LEASE_OVER: Duration = Duration::from_secs(31);
/// Longer than anything of a dead worker can still act.
const DRAINED: Duration = Duration::from_secs(21 * 60);
/// Longer than the rollover window of the matrix, and than whatever could still end the next one.
const WINDOW_OVER: Duration = Duration::from_secs(90 * 60);

/// The calls of a road, each by its name, from one run in which nothing else goes wrong.
pub(crate) fn record(world: &World, road: Road) -> Vec<String> {
    let mut story = Story::new(world);
    story.begin(road);
    world.gates.forget();
    if let Some(plan) = road.standing(world.strategy) {
        world.gates.plan(plan);
    }
    let told = world.run(&[road.verb(), SET]);
    let names = world.gates.passed();
    world.gates.clear();
    let wanted = if road == Road::Refused { 1 } else { 0 };
    assert_eq!(told.exit, Some(wanted), "{road:?}: {}{}", told.out, told.err);
    story.rotate();
    assert_eq!(story.wrong, Vec::<String>::new(), "{road:?}");
    names
}

/// Plays one fault, and judges.
pub(crate) fn play(world: &World, road: Road, spot: &Spot, way: Way) -> Verdict {
    if let Some(why) = way.absent_at(spot) {
        return Verdict::Absent(why);
    }
    let mut story = Story::new(world);
    story.begin(road);
    story.tell(road, spot, way)
}

/// A rotation from rest to rest, in which nothing goes wrong.
pub(crate) fn settled(world: &World) {
    let mut story = Story::new(world);
    story.rotate();
    assert_eq!(story.wrong, Vec::<String>::new());
}

struct Story<'a> {
    world: &'a World,
    wrong: Vec<String>,
    /// What the latest runs said, for whoever reads a failure.
    told: Vec<String>,
    frozen: Option<Running>,
    /// How many registers had been written before.
    since: usize,
    people: u32,
}

impl<'a> Story<'a> {
    fn new(world: &'a World) -> Self {
        let since = world.names.history().len();
        Self { world, wrong: Vec::new(), told: Vec::new(), frozen: None, since, people: 0 }
    }

    /// To where the road begins.
    fn begin(&mut self, road: Road) {
        if road != Road::Late {
            return;
        }
        let world = self.world;
        // An Autonomous Database takes no password back.
        world.at.oracle.set_profile("APPLICATION", Profile::classic().with_rollover(HOUR));
        world.gates.forget();
        world.gates.plan(Plan::next(Deed::HoldAfter, |name| is_of(name, Point::ApplyUnfenced, "change")));
        let mut first = world.start_worker(&["rotate", SET]);
        if world.gates.wait_until_held(|| first.has_ended()) {
            first.signal("KILL");
        } else {
            self.wrong.push("the first worker ended before Oracle's change".to_owned());
        }
        first.told();
        world.gates.abandon();
        world.gates.clear();
        world.pass(DRAINED);
    }

    fn tell(mut self, road: Road, spot: &Spot, way: Way) -> Verdict {
        let gates = &self.world.gates;
        gates.forget();
        let stays = way == Way::Denied;
        let plan = spot.plan(way.deed());
        gates.plan(if stays { plan.stays() } else { plan });
        if let Some(deed) = way.second() {
            gates.plan(spot.plan_again(deed));
        }
        if way == Way::AfterAbort {
            // What leads forward is refused from there on, so that the generation is given up.
            gates.plan(Plan::next(Deed::Refuse(Refusal::Policy), changes_forward).stays().follows().besides());
        }
        if let Some(plan) = road.standing(self.world.strategy) {
            gates.plan(plan.besides());
        }
        let planned = if way.second().is_some() { 2 } else { 1 };
        self.first_worker(road, way);
        let mut fired = self.world.gates.fired();
        self.look("after the first worker");
        if stays {
            // Whoever tries again while it is still so changes nothing for the worse.
            self.world.pass(LEASE_OVER);
            self.run(&["recover", SET]);
            self.look("tried again");
        }
        if way.second().is_none() {
            gates.clear();
        }
        if way == Way::DeadThenDead {
            self.successor_dies();
        }
        self.settle();
        if way.second().is_some() {
            // If it is met at all, then by the next rotation at the latest.
            gates.clear_besides();
            self.rotate();
            fired = self.world.gates.fired();
            gates.clear();
            self.settle();
        }
        let gave_up = self.last_abort().is_some();
        if way == Way::AfterAbort {
            self.late_request_arrives();
        }
        let outrun = matches!(way, Way::OutrunBefore | Way::OutrunAfter);
        if !outrun {
            self.thaw();
        }
        if gave_up && self.wrong.is_empty() && gates.held() == 0 {
            self.undo_once_more();
        }
        self.rotate();
        self.thaw();
        if gates.held() > 0 {
            self.late_request_arrives();
            self.rotate();
        }
        if outrun {
            self.rotate();
        }
        let is_old_left = self.world.forget_old();
        if !self.wrong.is_empty() {
            return Verdict::Failed(format!("{}\n    {}", self.wrong.join("\n    "), self.told.join("\n    ")));
        }
        if fired < planned && way.second().is_some() && fired > 0 {
            return Verdict::Absent("nobody comes to that point a second time");
        }
        if fired < planned {
            return Verdict::Failed(NOT_FIRED.to_owned());
        }
        if is_old_left {
            return Verdict::Absent("nothing is asked there a second time that would have another answer");
        }
        if way == Way::AfterAbort && !gave_up {
            return Verdict::Absent("what has got so far is only ever finished");
        }
        Verdict::Passed
    }

    fn first_worker(&mut self, road: Road, way: Way) {
        let args = [road.verb(), SET];
        if !matches!(way.deed(), Deed::HoldBefore | Deed::HoldAfter) {
            self.run(&args);
            return;
        }
        let mut worker = self.world.start_worker(&args);
        if !self.world.gates.wait_until_held(|| worker.has_ended()) {
            let told = worker.told();
            self.note(&args, told);
            return;
        }
        if way.kills() {
            worker.signal("KILL");
            worker.told();
            self.world.gates.abandon();
        } else {
            worker.signal("STOP");
            self.frozen = Some(worker);
        }
    }

    fn successor_dies(&mut self) {
        self.world.pass(LEASE_OVER);
        let mut worker = self.world.start_worker(&["recover", SET]);
        if self.world.gates.wait_until_held(|| worker.has_ended()) {
            worker.signal("KILL");
            worker.told();
            self.world.gates.abandon();
        } else {
            let told = worker.told();
            self.note(&["recover", SET], told);
        }
        self.look("after the successor");
        // Once is enough: whoever comes there later is not to be killed.
        self.world.gates.clear();
    }

    /// A run to its end, whose word is then checked.
    fn run(&mut self, args: &[&str]) -> Told {
        let told = self.world.run(args);
        self.note(args, told)
    }

    fn note(&mut self, args: &[&str], told: Told) -> Told {
        let said = told.err.lines().find(|line| line.contains("\"error\"")).unwrap_or_default();
        self.told.push(format!("{}: exits {:?} {said}", args.join(" "), told.exit));
        match told.exit {
            Some(0 | 4 | 6) => {}
            Some(1) => {
                for dead in self.world.dead() {
                    self.wrong.push(format!("exit 1 said that the old credentials are valid everywhere: {dead}"));
                }
            }
            // The wallet could not be had, or not with this clock: the run has not begun.
            Some(2) if said.contains("DK-107") && said.contains("nothing was changed") => {}
            // Logins are spent, or it is stuck for now: what it says is true at such a moment is looked at after every worker.
            Some(3) if said.contains("DK-202") || said.contains("DK-503") => {}
            _ => self.wrong.push(format!("{} ended like this: {told:?}", args.join(" "))),
        }
        told
    }

    /// What must hold at every moment.
    fn look(&mut self, when: &str) {
        for closed in self.world.nothing_opens() {
            self.wrong.push(format!("{when}: {closed}"));
        }
    }

    /// Runs of `recover` until the set is at rest.
    fn settle(&mut self) {
        let mut runs = 0;
        self.world.pass(LEASE_OVER);
        while self.world.register()["phase"] != "idle" {
            if runs == MOST_RUNS {
                return self.wrong.push(format!("not at rest after {runs} runs"));
            }
            let told = self.run(&["recover", SET]);
            runs += 1;
            if is_out_of_logins(&told) {
                self.somebody_allows_logins();
                runs = 0;
            }
            // Who comes last comes when nothing of the others can act any more.
            self.world.pass(if runs + 1 == MOST_RUNS { DRAINED } else { LEASE_OVER });
        }
        self.rest("settled");
    }

    /// The next rotation works.
    fn rotate(&mut self) {
        if self.world.strategy == Strategy::Rollover {
            self.world.pass(WINDOW_OVER);
        }
        self.world.pass(LEASE_OVER);
        let mut told = self.run(&["rotate", SET]);
        if is_out_of_logins(&told) {
            self.somebody_allows_logins();
            told = self.run(&["rotate", SET]);
        } else if told.exit != Some(0) && self.world.forget_old() {
            // An old answer was still to be given, and was no use.
            self.settle();
            told = self.run(&["rotate", SET]);
        } else if told.exit != Some(0) && self.world.gates.fired() > 1 {
            // A second fault was still to come, and came here.
            self.world.gates.clear();
            self.settle();
            told = self.run(&["rotate", SET]);
        }
        if told.exit == Some(6) {
            // Decided, and patience is short: the next run finishes it.
            self.settle();
        } else if told.exit != Some(0) {
            self.wrong.push(format!("the next rotation does not work: {} {}", told.out, told.err));
        }
        self.rest("rotated");
    }

    fn rest(&mut self, when: &str) {
        for wrong in self.world.unrest() {
            self.wrong.push(format!("I2, {when}: {wrong}"));
        }
    }

    /// Two workers that died at the same login have used up what may be risked (rulings §4.2): the way on is a person's.
    fn somebody_allows_logins(&mut self) {
        self.people += 1;
        if self.people > 2 {
            self.wrong.push(format!("a person had to help {} times", self.people));
            return;
        }
        self.world.pass(LEASE_OVER);
        self.run(&["recover", SET, "--retry-logins"]);
    }

    /// Who stood still goes on.
    fn thaw(&mut self) {
        let Some(frozen) = self.frozen.take() else { return };
        frozen.signal("CONT");
        self.world.gates.release();
        let told = frozen.told();
        self.note(&["(woken up)"], told);
        self.look("woken up");
        self.settle();
    }

    fn late_request_arrives(&mut self) {
        self.world.gates.release();
        self.world.wait_for_late_sessions();
        self.rest("a late request has arrived");
    }

    /// The register in which the generation of this cell was given up, if it was.
    fn last_abort(&self) -> Option<Value> {
        let history = self.world.names.history();
        let ours = history[self.since..].iter().rev();
        ours.take_while(|register| register["phase"] != "intent").find(|register| register["phase"] == "abort").cloned()
    }

    /// The undo is done again from its beginning, as by a worker that died just before it recorded that it was done.
    fn undo_once_more(&mut self) {
        let Some(mut register) = self.last_abort() else { return };
        let before = self.world.snapshot();
        register["owner"]["until"] = 0.into();
        // The trail is not put back with it: nobody can.
        register["audit"] = self.world.register()["audit"].clone();
        self.world.overwrite(&register);
        self.world.pass(LEASE_OVER);
        let told = self.run(&["recover", SET]);
        let after = self.world.snapshot();
        if told.exit != Some(0) || before != after {
            let differ: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            self.wrong.push(format!("undone twice is not undone once: exits {:?} {differ:#?}", told.exit));
        }
        self.rest("undone twice");
    }
}

fn is_out_of_logins(told: &Told) -> bool {
    // Told by itself, or as the cause why a set is not undone or stuck.
    told.exit != Some(0) && (told.err.contains("DK-202") || told.err.contains("--retry-logins"))
}
