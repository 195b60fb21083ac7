//! Somebody who holds the bucket and not the key changes something at random, and is found out every time.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of a test; what is missing fails it")]

use std::collections::{BTreeMap, BTreeSet};

use dizzy_audit::{
    Chain, Facts, Hash, Head, ObjectName, Outcome, RootKey, StreamId, ZERO,
    record::kinds,
    verify::{Class, Expected, Keys, Kind, SetReport, Verifier},
};
use proptest::prelude::*;

type Objects = BTreeMap<String, Vec<Vec<u8>>>;

/// How one stream is laid out: records per object, and whether it was folded.
#[derive(Clone, Debug)]
struct Layout {
    objects: Vec<usize>,
    folded: bool,
    /// Whether the stream belongs to the rotation of the one before it.
    same_rotation: bool,
    /// How many of the last records of the stream before it this one's writer did not know: that one was overtaken, and went on.
    overtakes: usize,
}

struct Trail {
    objects: Objects,
    head: Head,
    rotations: u64,
    /// Records that do not lead to the head. That the last ones of a branch were taken away is found by nothing in one place.
    beside: BTreeSet<Vec<u8>>,
}

fn root(letter: &str) -> RootKey {
    RootKey::from_text(&letter.repeat(32)).unwrap()
}

fn write(layouts: &[Layout], key: &RootKey) -> Trail {
    let mut objects = Objects::new();
    let (mut last, mut records): (Hash, u64) = (ZERO, 0);
    let (mut rotation, mut minute) = (0, 0);
    let mut head = None;
    let (mut beside, mut lines_before) = (BTreeSet::new(), Vec::<Vec<u8>>::new());
    for (epoch, layout) in (1..).zip(layouts) {
        rotation += u64::from(!layout.same_rotation || rotation == 0);
        let stream = StreamId { set: "orders".to_owned(), rotation, epoch, run: 7 };
        let unknown = layout.overtakes.min(lines_before.len().saturating_sub(1));
        if unknown > 0 {
            let known = lines_before.len() - unknown;
            beside.extend(lines_before.split_off(known));
            last = dizzy_audit::sha256(lines_before[known - 1].strip_suffix(b"\n").unwrap());
            records -= unknown as u64;
        }
        let mut chain = Chain::begin(stream.clone(), last, records, Some(key));
        let total: usize = layout.objects.iter().sum();
        let mut all = Vec::new();
        for count in &layout.objects {
            let first = chain.next();
            let mut lines = Vec::new();
            for _ in 0..*count {
                let at = chain.next();
                let kind = match usize::try_from(at).unwrap() {
                    at if at + 1 == total => kinds::CLOSED,
                    0 => kinds::INTENT,
                    _ => "apply.done",
                };
                let facts =
                    Facts { target: Some("rds"), ms: Some(at), ..Facts::new(kind, Outcome::Ok, "orders", epoch) };
                lines.push(chain.append(&format!("2026-01-01T00:00:{minute:02}.000Z"), &facts).unwrap().line);
                minute = (minute + 1).min(59);
            }
            all.extend(lines.clone());
            objects.insert(stream.lines(first), lines);
        }
        lines_before.clone_from(&all);
        if layout.folded {
            objects.insert(stream.segment(), all);
        }
        (last, records, head) = (chain.last(), chain.records(), chain.head());
    }
    Trail { objects, head: head.unwrap(), rotations: rotation, beside }
}

fn verify(trail: &Trail, objects: &BTreeMap<String, Vec<u8>>) -> SetReport {
    let mut keys = Keys::default();
    keys.ring.insert(root("k"));
    keys.ring.insert(root("o"));
    let expected = Expected { head: Some(trail.head.clone()), at_rest: Some(trail.rotations), ..Expected::default() };
    let mut verifier = Verifier::new(&keys, "here", "orders", expected);
    let mut open = None;
    for (name, bytes) in objects {
        let stream = ObjectName::parse(name).unwrap().stream().clone();
        if open.as_ref() != Some(&stream) {
            verifier.end();
            verifier.begin(stream.clone());
            open = Some(stream);
        }
        verifier.object(name, bytes);
    }
    verifier.end();
    verifier.finish()
}

fn bytes_of(objects: &Objects) -> BTreeMap<String, Vec<u8>> {
    objects.iter().map(|(name, lines)| (name.clone(), lines.concat())).collect()
}

/// What somebody does to a trail; the numbers choose where.
#[derive(Clone, Debug)]
enum Attack {
    FlipBits { at: usize, mask: u8 },
    RemoveRecord { at: usize },
    SwapRecords { a: usize, b: usize },
    DuplicateRecord { at: usize, to: usize },
    ReplaceRecord { at: usize, by: usize },
    Redate { at: usize },
    CutObject { object: usize, left: usize },
    RemoveStream { at: usize },
    CutStreams { left: usize },
    MoveStream { at: usize },
    CopyObject { object: usize, number: u64 },
    Append { object: usize, bytes: Vec<u8> },
    SignAnew { at: usize },
}

fn attack() -> impl Strategy<Value = Attack> {
    let n = any::<usize>;
    prop_oneof![
        4 => (n(), 1..=u8::MAX).prop_map(|(at, mask)| Attack::FlipBits { at, mask }),
        2 => n().prop_map(|at| Attack::RemoveRecord { at }),
        1 => (n(), n()).prop_map(|(a, b)| Attack::SwapRecords { a, b }),
        1 => (n(), n()).prop_map(|(at, to)| Attack::DuplicateRecord { at, to }),
        1 => (n(), n()).prop_map(|(at, by)| Attack::ReplaceRecord { at, by }),
        1 => n().prop_map(|at| Attack::Redate { at }),
        1 => (n(), n()).prop_map(|(object, left)| Attack::CutObject { object, left }),
        1 => n().prop_map(|at| Attack::RemoveStream { at }),
        1 => n().prop_map(|left| Attack::CutStreams { left }),
        1 => n().prop_map(|at| Attack::MoveStream { at }),
        1 => (n(), 0..20_u64).prop_map(|(object, number)| Attack::CopyObject { object, number }),
        1 => (n(), prop::collection::vec(any::<u8>(), 1..80)).prop_map(|(object, bytes)| Attack::Append { object, bytes }),
        1 => n().prop_map(|at| Attack::SignAnew { at }),
    ]
}

fn layouts() -> impl Strategy<Value = Vec<Layout>> {
    let overtakes = prop_oneof![3 => Just(0_usize), 1 => 1..4_usize];
    let one = (prop::collection::vec(1..4_usize, 1..5), any::<bool>(), prop::bool::weighted(0.2), overtakes);
    let one = one.prop_map(|(objects, folded, same_rotation, overtakes)| Layout {
        objects,
        folded,
        // Who overtakes finishes what was begun.
        same_rotation: same_rotation || overtakes > 0,
        overtakes,
    });
    prop::collection::vec(one, 1..6)
}

/// Every place where a line stands.
fn places(objects: &Objects) -> Vec<(String, usize)> {
    objects.iter().flat_map(|(name, lines)| (0..lines.len()).map(|at| (name.clone(), at))).collect()
}

fn streams(objects: &Objects) -> Vec<StreamId> {
    let all: BTreeSet<StreamId> =
        objects.keys().map(|name| ObjectName::parse(name).unwrap().stream().clone()).collect();
    all.into_iter().collect()
}

fn without(objects: &Objects, gone: impl Fn(&StreamId) -> bool) -> Objects {
    let keep = |name: &String| !gone(ObjectName::parse(name).unwrap().stream());
    objects.iter().filter(|(name, _)| keep(name)).map(|(name, lines)| (name.clone(), lines.clone())).collect()
}

/// The objects after the attack; `None` if it would change nothing, or nothing but a copy.
fn after(trail: &Trail, attack: &Attack) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut objects = trail.objects.clone();
    let places = places(&objects);
    let place = |at: &usize| places[at % places.len()].clone();
    let line = |at: &usize| {
        let (name, at) = place(at);
        trail.objects[&name][at].clone()
    };
    let names: Vec<String> = objects.keys().cloned().collect();
    match attack {
        Attack::FlipBits { at, mask } => {
            let mut bytes = bytes_of(&objects);
            let total: usize = bytes.values().map(Vec::len).sum();
            let mut at = at % total;
            for object in bytes.values_mut() {
                match object.get_mut(at) {
                    Some(byte) => {
                        *byte ^= mask;
                        break;
                    }
                    None => at -= object.len(),
                }
            }
            return Some(bytes);
        }
        Attack::RemoveRecord { at } => {
            let gone = line(at);
            for lines in objects.values_mut() {
                lines.retain(|line| *line != gone);
            }
            objects.retain(|_, lines| !lines.is_empty());
        }
        Attack::SwapRecords { a, b } => {
            let ((name_a, at_a), (name_b, at_b)) = (place(a), place(b));
            objects.get_mut(&name_a)?[at_a] = line(b);
            objects.get_mut(&name_b)?[at_b] = line(a);
        }
        Attack::DuplicateRecord { at, to } => {
            let (name, to) = place(to);
            objects.get_mut(&name)?.insert(to, line(at));
        }
        Attack::ReplaceRecord { at, by } => {
            let (name, at) = place(at);
            objects.get_mut(&name)?[at] = line(by);
        }
        Attack::Redate { at } => {
            let (name, at) = place(at);
            let text = String::from_utf8(line(&places.iter().position(|p| *p == (name.clone(), at))?)).unwrap();
            objects.get_mut(&name)?[at] = text.replace("2026-01-01", "2025-12-31").into_bytes();
        }
        Attack::CutObject { object, left } => {
            let name = &names[object % names.len()];
            let mut bytes = bytes_of(&objects);
            let object = bytes.get_mut(name)?;
            let left = left % object.len();
            object.truncate(left);
            let is_copy =
                name.ends_with("segment.ndjson") || objects.contains_key(&ObjectName::parse(name)?.stream().segment());
            // A copy that ends with a whole line has lost nothing that does not stand elsewhere.
            let harmless = is_copy && object.ends_with(b"\n");
            return (!harmless).then_some(bytes);
        }
        Attack::RemoveStream { at } => {
            let streams = streams(&objects);
            objects = without(&objects, |stream| *stream == streams[at % streams.len()]);
        }
        Attack::CutStreams { left } => {
            let streams = streams(&objects);
            let gone: BTreeSet<StreamId> = streams[left % streams.len()..].iter().cloned().collect();
            objects = without(&objects, |stream| gone.contains(stream));
        }
        Attack::MoveStream { at } => {
            let streams = streams(&objects);
            let moved = &streams[at % streams.len()];
            let target = StreamId { run: 8, ..moved.clone() };
            let renamed = |name: &str| name.replace(&moved.folder(), &target.folder());
            objects = objects.into_iter().map(|(name, lines)| (renamed(&name), lines)).collect();
        }
        Attack::CopyObject { object, number } => {
            let name = &names[object % names.len()];
            let copy = objects[name].clone();
            objects.entry(ObjectName::parse(name)?.stream().lines(*number)).or_insert(copy);
        }
        Attack::Append { object, bytes } => {
            let mut all = bytes_of(&objects);
            all.get_mut(&names[object % names.len()])?.extend(bytes);
            return Some(all);
        }
        Attack::SignAnew { at } => {
            // With a key that was never in force, and a chain that fits.
            let streams = streams(&objects);
            let id = &streams[at % streams.len()];
            let first = trail.objects.iter().find(|(name, _)| name.starts_with(&id.folder()))?.1.first()?;
            let prev = dizzy_audit::line::Line::parse(first.strip_suffix(b"\n")?)?.prev;
            let mut chain = Chain::begin(id.clone(), prev, 0, Some(&root("o")));
            let mut lines = Vec::new();
            let count =
                trail.objects.iter().filter(|(name, _)| name.starts_with(&id.folder()) && !name.contains("segment"));
            for _ in 0..count.map(|(_, lines)| lines.len()).sum() {
                let facts = Facts::new("apply.done", Outcome::Ok, "orders", id.epoch);
                lines.push(chain.append("2026-01-01T00:00:00.000Z", &facts).ok()?.line);
            }
            objects = without(&objects, |stream| stream == id);
            objects.insert(id.lines(0), lines);
        }
    }
    (objects != trail.objects).then(|| bytes_of(&objects))
}

/// Whether nothing but the ends of side branches was taken away, and everything else is as it was.
fn only_cuts_a_branch(trail: &Trail, changed: &BTreeMap<String, Vec<u8>>) -> bool {
    if trail.beside.is_empty() {
        return false;
    }
    let lines = |objects: &BTreeMap<String, Vec<u8>>| -> BTreeMap<StreamId, BTreeSet<Vec<u8>>> {
        let mut all: BTreeMap<StreamId, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (name, bytes) in objects {
            let stream = ObjectName::parse(name).unwrap().stream().clone();
            all.entry(stream).or_default().extend(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
        all
    };
    let is_prefix = |before: &Vec<u8>, after: &Vec<u8>| before.starts_with(after) && after.ends_with(b"\n");
    let whole = bytes_of(&trail.objects);
    let is_cut = changed.iter().all(|(name, after)| whole.get(name).is_some_and(|before| is_prefix(before, after)));
    let (before, after) = (lines(&whole), lines(changed));
    let none = BTreeSet::new();
    is_cut
        && before.iter().all(|(stream, lines)| {
            let left = after.get(stream).unwrap_or(&none);
            let mut gone: Vec<u64> = lines.difference(left).map(|line| seq(line)).collect();
            gone.sort_unstable();
            let beside = lines.difference(left).all(|line| trail.beside.contains(line));
            // The last ones, without a hole.
            beside && left.iter().all(|line| gone.first().is_none_or(|first| seq(line) < *first))
        })
}

fn seq(line: &[u8]) -> u64 {
    dizzy_audit::line::Line::parse(line.strip_suffix(b"\n").unwrap()).unwrap().seq
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_tampers_at_random_is_found_out(layouts in layouts(), attack in attack()) {
        let trail = write(&layouts, &root("k"));
        let clean = verify(&trail, &bytes_of(&trail.objects));
        prop_assert!(clean.findings.worst() <= Some(Class::Note), "{:?}", clean.findings.kept);
        let is_branched = clean.findings.count(Kind::SideBranch) > 0;
        prop_assert_eq!(is_branched, !trail.beside.is_empty());
        if let Some(changed) = after(&trail, &attack).filter(|changed| !only_cuts_a_branch(&trail, changed)) {
            let report = verify(&trail, &changed);
            prop_assert_eq!(report.findings.worst(), Some(Class::Tampering), "{:?}", report.findings.kept);
        }
    }

    #[test]
    fn no_bytes_bring_the_verifier_down(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let trail = write(&[Layout { objects: vec![1], folded: false, same_rotation: false, overtakes: 0 }], &root("k"));
        let mut objects = bytes_of(&trail.objects);
        let name = objects.keys().next().unwrap().clone();
        objects.insert(name, bytes);
        prop_assert_eq!(verify(&trail, &objects).findings.worst(), Some(Class::Tampering));
    }
}
