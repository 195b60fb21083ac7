//! What the verifier finds, told attack by attack. The random attacks are in `tests/tampering.rs`.

use std::collections::BTreeSet;

use super::{
    compare::{Beyond, Comparison, Held},
    *,
};
use crate::{Chain, Facts, Hash, Outcome, RootKey, SigningKey, ZERO, line::MAX_LINE_BYTES, record::kinds, to_hex};

pub(super) fn root(text: &str) -> RootKey {
    RootKey::from_text(&text.repeat(32)).unwrap()
}

pub(super) fn keys(names: &[&str]) -> Keys {
    let mut keys = Keys::default();
    for name in names {
        keys.ring.insert(root(name));
    }
    keys
}

pub(super) fn id(rotation: u64, epoch: u64) -> StreamId {
    StreamId { set: "orders".to_owned(), rotation, epoch, run: 7 }
}

fn time(minute: u64) -> String {
    format!("2026-01-01T00:{minute:02}:00.000Z")
}

pub(super) type Objects = Vec<(String, Vec<u8>)>;

/// A history under construction: each stream is a rotation with one object per record.
pub(super) struct Writer {
    pub(super) objects: Objects,
    pub(super) last: Hash,
    pub(super) records: u64,
    minute: u64,
    pub(super) head: Option<Head>,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { objects: Vec::new(), last: ZERO, records: 0, minute: 0, head: None }
    }

    pub(super) fn stream(&mut self, id: StreamId, key: Option<&RootKey>, kinds: &[&'static str]) -> Chain {
        let mut chain = Chain::begin(id, self.last, self.records, key);
        for kind in kinds {
            self.append(&mut chain, kind);
        }
        chain
    }

    pub(super) fn append(&mut self, chain: &mut Chain, kind: &'static str) {
        let facts = Facts::new(kind, Outcome::Ok, "orders", chain.stream().epoch);
        let sealed = chain.append(&time(self.minute), &facts).unwrap();
        self.keep(chain, sealed);
    }

    pub(super) fn turn(&mut self, chain: &mut Chain, next: &RootKey) {
        let facts = Facts::new(kinds::KEY_ROTATED, Outcome::Ok, "orders", chain.stream().epoch);
        let sealed = chain.rotate_key(&time(self.minute), &facts, next).unwrap();
        self.keep(chain, sealed);
    }

    fn keep(&mut self, chain: &Chain, sealed: crate::Sealed) {
        self.objects.push((chain.stream().lines(sealed.seq), sealed.line));
        (self.last, self.records, self.head) = (sealed.hash, chain.records(), chain.head());
        self.minute += 1;
    }

    pub(super) fn rotation(&mut self, number: u64, key: Option<&RootKey>) -> Chain {
        self.stream(id(number, number), key, &[kinds::INTENT, "apply.begin", "apply.done", kinds::CLOSED])
    }

    pub(super) fn expected(&self) -> Expected {
        Expected { head: self.head.clone(), at_rest: Some(100), ..Expected::default() }
    }
}

pub(super) fn verify(keys: &Keys, objects: &Objects, expected: Expected) -> SetReport {
    let mut verifier = Verifier::new(keys, "here", "orders", expected);
    let mut objects = objects.clone();
    objects.sort();
    let mut open: Option<StreamId> = None;
    for (name, bytes) in &objects {
        let stream = ObjectName::parse(name).map(|name| name.stream().clone());
        if stream != open {
            verifier.end();
            open.clone_from(&stream);
            if let Some(stream) = stream {
                verifier.begin(stream);
            }
        }
        if open.is_some() { verifier.object(name, bytes) } else { verifier.foreign(name) }
    }
    verifier.end();
    verifier.finish()
}

pub(super) fn kinds_of(report: &SetReport) -> Vec<Kind> {
    report.findings.counts.keys().copied().collect()
}

pub(super) fn three_rotations() -> Writer {
    let mut writer = Writer::new();
    for number in 1..=3 {
        drop(writer.rotation(number, Some(&root("k"))));
    }
    writer
}

#[test]
fn a_trail_as_it_was_written_is_clean() {
    let writer = three_rotations();
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!(report.findings.kept, []);
    let summary = &report.summary;
    assert_eq!((summary.streams, summary.records, summary.checked, summary.side), (3, 12, 12, 0));
    assert_eq!((summary.head.clone(), summary.beyond_head), (writer.head, 0));
    assert_eq!(summary.first.as_deref(), Some("2026-01-01T00:00:00.000Z"));
    assert_eq!(summary.last.as_deref(), Some("2026-01-01T00:11:00.000Z"));
}

#[test]
fn a_record_taken_out_of_the_middle_is_a_gap() {
    let mut writer = three_rotations();
    writer.objects.remove(5);
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::Gap]);
    assert_eq!(report.findings.kept[0].seq, Some(2));
}

#[test]
fn the_last_records_of_a_stream_are_missed_by_the_next() {
    let mut writer = three_rotations();
    writer.objects.remove(7);
    assert_eq!(
        kinds_of(&verify(&keys(&["k"]), &writer.objects, writer.expected())),
        [Kind::BrokenChain, Kind::Unclosed]
    );
}

#[test]
fn the_end_that_is_cut_off_shows_against_the_register() {
    let mut writer = three_rotations();
    let expected = writer.expected();
    writer.objects.pop();
    let report = verify(&keys(&["k"]), &writer.objects, expected.clone());
    assert_eq!(kinds_of(&report), [Kind::Truncated, Kind::Unclosed]);
    writer.objects.truncate(8);
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, expected.clone())), [Kind::Truncated]);
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &Vec::new(), expected)), [Kind::Truncated]);
    let alone = verify(&keys(&["k"]), &writer.objects, Expected::default());
    assert_eq!(kinds_of(&alone), [Kind::EndNotChecked], "without an anchor the verifier says that it does not know");
}

#[test]
fn a_rotation_that_nobody_closed_shows() {
    let mut writer = Writer::new();
    let key = root("k");
    drop(writer.stream(id(1, 1), Some(&key), &[kinds::INTENT, "apply.begin"]));
    let open = writer.expected();
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, open.clone())), [Kind::Unclosed]);
    let under_way = Expected { at_rest: None, ..open.clone() };
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, under_way)), []);
    let not_issued = Expected { at_rest: Some(0), ..open };
    assert_eq!(
        kinds_of(&verify(&keys(&["k"]), &writer.objects, not_issued)),
        [],
        "its intent never reached the register"
    );
    drop(writer.rotation(2, Some(&key)));
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, writer.expected())), [Kind::Unclosed]);
}

#[test]
fn what_a_worker_could_not_store_is_said_and_not_taken_for_tampering() {
    let mut writer = Writer::new();
    let key = root("k");
    drop(writer.stream(id(1, 1), Some(&key), &[kinds::INTENT, "apply.begin"]));
    drop(writer.stream(id(1, 2), Some(&key), &[kinds::GAP]));
    drop(writer.rotation(2, Some(&key)));
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::DeclaredGap]);
    assert_eq!(report.findings.worst(), Some(Class::NotChecked));
}

#[test]
fn records_of_a_worker_that_was_overtaken_are_a_side_branch() {
    let mut writer = Writer::new();
    let key = root("k");
    let mut slow = writer.stream(id(1, 1), Some(&key), &[kinds::INTENT, "apply.begin"]);
    let (last, records, minute) = (writer.last, writer.records, writer.minute);
    writer.append(&mut slow, "worker.fenced");
    (writer.last, writer.records, writer.minute) = (last, records, minute);
    drop(writer.stream(id(1, 2), Some(&key), &["apply.done", kinds::CLOSED]));
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::SideBranch]);
    assert_eq!(report.findings.worst(), Some(Class::Note));
    assert_eq!((report.summary.records, report.summary.side), (5, 1));
}

#[test]
fn a_second_beginning_and_a_late_beginning_show() {
    let mut writer = three_rotations();
    let late: Objects = writer.objects[4..].to_vec();
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &late, writer.expected())), [Kind::BeginsLate]);
    let known = Expected { may_begin_late: true, ..writer.expected() };
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &late, known)), []);
    writer.last = ZERO;
    drop(writer.rotation(4, Some(&root("k"))));
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, writer.expected())), [Kind::BrokenChain]);
}

#[test]
fn a_key_counts_from_the_record_that_hands_over_to_the_one_that_hands_on() {
    let (old, new) = (root("o"), root("n"));
    let mut writer = Writer::new();
    drop(writer.rotation(1, Some(&old)));
    let mut turn = writer.stream(id(1, 2), Some(&old), &[]);
    writer.turn(&mut turn, &new);
    drop(writer.rotation(2, Some(&new)));
    let both = keys(&["o", "n"]);
    assert_eq!(kinds_of(&verify(&both, &writer.objects, writer.expected())), []);
    let report = verify(&keys(&["n"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::NoKey]);
    assert_eq!((report.summary.records, report.summary.checked), (9, 4));
    // With the key that was replaced somebody goes on writing.
    drop(writer.rotation(3, Some(&old)));
    assert_eq!(kinds_of(&verify(&both, &writer.objects, writer.expected())), [Kind::KeyOutOfRange]);
}

/// The record of a lost key counts if a key that the verifier trusts has signed it, and is told for ever.
#[test]
fn a_key_that_was_lost_is_a_declared_break() {
    let mut writer = Writer::new();
    drop(writer.rotation(1, Some(&root("o"))));
    drop(writer.stream(id(1, 2), Some(&root("n")), &[kinds::KEY_LOST]));
    drop(writer.rotation(2, Some(&root("n"))));
    let report = verify(&keys(&["n"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::NoKey, Kind::KeyLost]);
    assert_eq!(report.findings.worst(), Some(Class::NotChecked));
    // The former key was found again, after all.
    assert_eq!(kinds_of(&verify(&keys(&["o", "n"]), &writer.objects, writer.expected())), [Kind::KeyLost]);
    // A verifier that knows only the former key is told by somebody it does not know.
    assert!(kinds_of(&verify(&keys(&["o"]), &writer.objects, writer.expected())).contains(&Kind::KeyOutOfRange));
    // The chain goes through it: what came before cannot be cut away.
    let mut cut = writer.objects.clone();
    cut.remove(3);
    let report = verify(&keys(&["n"]), &cut, writer.expected());
    assert!(kinds_of(&report).contains(&Kind::BrokenChain));
    // Neither the key that was declared lost nor one that was replaced can declare anything, and nobody without a key.
    drop(writer.stream(id(2, 4), Some(&root("o")), &[kinds::KEY_LOST]));
    let report = verify(&keys(&["o", "n"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::KeyOutOfRange, Kind::KeyLost]);
    let mut writer = Writer::new();
    drop(writer.rotation(1, Some(&root("o"))));
    drop(writer.stream(id(1, 2), None, &[kinds::KEY_LOST]));
    let report = verify(&keys(&["o"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::KeyOutOfRange, Kind::Unsigned]);
}

#[test]
fn a_key_that_nobody_handed_over_to_shows() {
    let mut writer = Writer::new();
    drop(writer.rotation(1, Some(&root("o"))));
    drop(writer.rotation(2, Some(&root("n"))));
    assert_eq!(kinds_of(&verify(&keys(&["o", "n"]), &writer.objects, writer.expected())), [Kind::KeyOutOfRange]);
}

/// The chain of a forged trail is whole, and nothing else says how it should end; only the key tells.
#[test]
fn a_history_made_up_without_the_key_is_not_believed() {
    let (root, other) = (root("k"), root("o"));
    let mut chain = Chain::begin(id(1, 1), ZERO, 0, Some(&other));
    let sealed = chain.append(&time(0), &Facts::new("apply.done", Outcome::Ok, "orders", 1)).unwrap();
    let forged = String::from_utf8(sealed.line).unwrap().replace(&other.kid().to_string(), &root.kid().to_string());
    let objects = vec![(id(1, 1).lines(0), forged.into_bytes())];
    let report = verify(&keys(&["k"]), &objects, Expected { compared: true, ..Expected::default() });
    assert_eq!(kinds_of(&report), [Kind::BadMac]);
}

#[test]
fn unsigned_is_not_checked_and_never_clean() {
    let mut writer = Writer::new();
    drop(writer.rotation(1, None));
    let report = verify(&keys(&[]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::Unsigned]);
    assert_eq!(report.findings.worst(), Some(Class::NotChecked));
    // A signed trail that goes on unsigned is another matter.
    let mut writer = Writer::new();
    drop(writer.rotation(1, Some(&root("k"))));
    drop(writer.rotation(2, None));
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::KeyOutOfRange, Kind::Unsigned]);
}

/// The MAC key is out: somebody who holds it writes the whole history anew, with valid signatures.
#[test]
fn a_history_rewritten_with_the_key_contradicts_a_signed_note() {
    let signer = SigningKey::from_text(&"05".repeat(32)).unwrap();
    let writer = three_rotations();
    let note = Checkpoint::of("orders", writer.head.as_ref().unwrap()).unwrap();
    let public = signer.verifying_key();
    let note = Checkpoint::open(note.sign(&signer).as_bytes(), &[public]).unwrap();
    let mut forged = Writer::new();
    for number in 1..=3 {
        let kinds =
            [kinds::INTENT, "apply.begin", if number == 2 { "apply.forged" } else { "apply.done" }, kinds::CLOSED];
        drop(forged.stream(id(number, number), Some(&root("k")), &kinds));
    }
    let expected = Expected { notes: vec![note], ..Expected::default() };
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, expected.clone())), []);
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &forged.objects, expected)), [Kind::BadCheckpoint]);
    let with_the_key_alone = Expected { head: forged.head.clone(), at_rest: Some(3), ..Expected::default() };
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &forged.objects, with_the_key_alone)), []);
}

#[test]
fn a_public_key_is_enough_where_a_note_lies_with_the_trail() {
    let signer = SigningKey::from_text(&"05".repeat(32)).unwrap();
    let mut writer = three_rotations();
    let head = writer.head.clone().unwrap();
    let note = Checkpoint::of("orders", &head).unwrap().sign(&signer);
    let stream = StreamId::parse(&head.stream).unwrap();
    writer.objects.push((stream.checkpoint(), note.clone().into_bytes()));
    let public = Keys { notes: vec![signer.verifying_key()], ..Keys::default() };
    let report = verify(&public, &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), []);
    assert_eq!((report.summary.covered, report.summary.checked, report.summary.notes), (12, 0, 1));
    // One byte, and it shows without the MAC key.
    let mut changed = writer.objects.clone();
    let at = changed[2].1.len() - 100;
    changed[2].1[at] ^= 1;
    assert!(kinds_of(&verify(&public, &changed, writer.expected())).contains(&Kind::BrokenChain));
    // What comes after the note is not covered by it.
    drop(writer.rotation(4, Some(&root("k"))));
    assert_eq!(kinds_of(&verify(&public, &writer.objects, writer.expected())), [Kind::NoKey]);
    let other = Keys { notes: vec![SigningKey::from_text(&"06".repeat(32)).unwrap().verifying_key()], ..keys(&["k"]) };
    assert_eq!(kinds_of(&verify(&other, &writer.objects, writer.expected())), [Kind::OtherSigner]);
    let last = note.len() - 4;
    let mut forged = note.into_bytes();
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let at = writer.objects.iter().position(|(name, _)| *name == stream.checkpoint()).unwrap();
    writer.objects[at].1 = forged;
    let report = verify(&Keys { ring: keys(&["k"]).ring, ..public }, &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::BadCheckpoint]);
}

#[test]
fn a_folded_stream_is_read_once_and_compared_with_its_objects() {
    let mut writer = three_rotations();
    let lines: Vec<u8> = writer.objects[4..8].iter().flat_map(|(_, line)| line.clone()).collect();
    writer.objects.push((id(2, 2).segment(), lines));
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!((kinds_of(&report), report.summary.records), (vec![], 12));
    // A lifecycle rule removed what was folded.
    let mut folded = writer.objects.clone();
    folded.drain(4..8);
    let report = verify(&keys(&["k"]), &folded, writer.expected());
    assert_eq!((kinds_of(&report), report.summary.records), (vec![], 12));
    // Another record in the folded object than in its own.
    let mut other = Writer { last: writer.last, ..Writer::new() };
    let mut chain = Chain::begin(id(2, 2), sha_of(&writer.objects[3].1), 4, Some(&root("k")));
    other.append(&mut chain, "forged");
    let at = writer.objects.len() - 1;
    writer.objects[at].1 = other.objects[0].1.clone();
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, writer.expected())), [Kind::Fork]);
}

fn sha_of(line: &[u8]) -> Hash {
    crate::sha256(line.strip_suffix(b"\n").unwrap())
}

#[test]
fn a_clock_that_went_backwards_is_noted() {
    let mut writer = three_rotations();
    writer.minute = 0;
    drop(writer.rotation(4, Some(&root("k"))));
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!(kinds_of(&report), [Kind::ClockBackwards]);
    assert_eq!(report.findings.worst(), Some(Class::Note));
}

#[test]
fn objects_of_others_are_named_and_not_read() {
    let mut writer = three_rotations();
    writer.objects.push(("v1/orders/notes.txt".to_owned(), b"hello".to_vec()));
    writer.objects.push((format!("{}notes.txt", id(1, 1).folder()), b"hello".to_vec()));
    let report = verify(&keys(&["k"]), &writer.objects, writer.expected());
    assert_eq!((kinds_of(&report), report.findings.count(Kind::ForeignObject)), (vec![Kind::ForeignObject], 2));
}

/// What a comparison of these places finds: kind, place and first record.
fn compared(places: &[&Objects], behind: Option<&str>, beyond: Beyond) -> Vec<(Kind, String, String, u64)> {
    let keys = keys(&["k"]);
    let mut comparison = Comparison::new(beyond);
    let parse = |name: &String| ObjectName::parse(name).unwrap().stream().clone();
    let streams: BTreeSet<StreamId> = places.iter().flat_map(|all| all.iter().map(|(name, _)| parse(name))).collect();
    for stream in streams {
        let read = places.iter().map(|objects| {
            let mut verifier = Verifier::new(&keys, "here", "orders", Expected::default());
            verifier.begin(stream.clone());
            for (name, bytes) in objects.iter().filter(|(name, _)| parse(name) == stream) {
                verifier.object(name, bytes);
            }
            verifier.records()
        });
        let read: Vec<Records> = read.collect();
        let mut union = Records::default();
        read.iter().for_each(|records| union.add(records));
        let held = read.iter().zip(["one", "two"]);
        let held =
            held.map(|(records, name)| Held { name, behind: behind.filter(|_| name == "two"), records: Some(records) });
        comparison.stream(&stream, &union, &held.collect::<Vec<_>>());
    }
    let found = comparison.finish().into_iter();
    found.map(|found| (found.kind, found.source, found.object, found.seq.unwrap())).collect()
}

#[test]
fn what_one_place_lacks_is_judged_by_whether_it_leads_to_the_head() {
    let writer = three_rotations();
    let all = &writer.objects;
    let head = || Beyond::Head(writer.head.clone().unwrap());
    let at = |rotation, seq, kind| vec![(kind, "two".to_owned(), id(rotation, rotation).to_string(), seq)];
    assert_eq!(compared(&[all, all], None, head()), []);
    let without = |range: core::ops::Range<usize>| -> Objects {
        let kept = all.iter().enumerate().filter(|(number, _)| !range.contains(number));
        kept.map(|(_, object)| object.clone()).collect()
    };
    // Before the head it was taken away, at whatever place; behind it, it is on its way.
    assert_eq!(compared(&[all, &without(5..7)], None, head()), at(2, 1, Kind::CloudsDiffer));
    assert_eq!(compared(&[all, &without(10..12)], None, head()), at(3, 2, Kind::CloudsDiffer));
    assert_eq!(compared(&[all, &without(0..12)], None, head()).len(), 3);
    let earlier = Beyond::Head(Head { seq: 1, hash: to_hex(&sha_of(&all[9].1)), ..writer.head.clone().unwrap() });
    assert_eq!(compared(&[all, &without(10..12)], None, earlier), at(3, 2, Kind::NotInBoth));
    // What the register declares is behind, and nothing else.
    let from = id(2, 2).lines(1);
    assert_eq!(compared(&[all, &without(5..8)], Some(&from), head()), at(2, 1, Kind::NotInBoth));
    assert_eq!(compared(&[&without(5..8), all], Some(&from), head())[0].0, Kind::CloudsDiffer);
    assert_eq!(compared(&[all, &without(1..3)], Some(&from), head()), at(1, 1, Kind::CloudsDiffer));
    // Without a register a place that ends early is behind; one that goes on, or holds nothing, is not.
    assert_eq!(compared(&[all, &without(10..12)], None, Beyond::Nothing), at(3, 2, Kind::NotInBoth));
    assert_eq!(compared(&[all, &without(5..7)], None, Beyond::Nothing), at(2, 1, Kind::CloudsDiffer));
    assert!(compared(&[all, &Vec::new()], None, Beyond::Nothing).iter().all(|found| found.0 == Kind::CloudsDiffer));
    // Another record in the place of one.
    let mut forged = Writer { last: sha_of(&all[10].1), ..Writer::new() };
    let mut other = Chain::begin(id(4, 4), sha_of(&all[11].1), 12, Some(&root("k")));
    forged.append(&mut other, "forged");
    let mut one = Writer { last: sha_of(&all[11].1), ..Writer::new() };
    drop(one.stream(id(4, 4), Some(&root("k")), &["apply.done"]));
    assert_eq!(compared(&[&one.objects, &forged.objects], None, Beyond::Nothing)[0].0, Kind::CloudsDiffer);
}

/// A worker was overtaken, and had died between two places; many rotations later it is told as what it is.
#[test]
fn what_an_overtaken_worker_left_in_one_place_is_no_difference_of_the_history() {
    let key = root("k");
    for later in [1, 100] {
        let mut writer = Writer::new();
        let mut slow = writer.stream(id(1, 1), Some(&key), &[kinds::INTENT, "apply.begin"]);
        let shared = (writer.last, writer.records, writer.head.clone());
        writer.append(&mut slow, "apply.done");
        let gone = writer.objects.len() - 1;
        (writer.last, writer.records, writer.head) = shared;
        drop(writer.stream(id(1, 2), Some(&key), &["apply.done", kinds::CLOSED]));
        for number in 2..2 + later {
            writer.minute = 0;
            drop(writer.rotation(number, Some(&key)));
        }
        let mut lacking = writer.objects.clone();
        lacking.remove(gone);
        let head = || Beyond::Head(writer.head.clone().unwrap());
        let beside = compared(&[&writer.objects, &lacking], None, head());
        assert_eq!(beside, [(Kind::NotInBoth, "two".to_owned(), id(1, 1).to_string(), 2)], "{later} rotations later");
        // Without a register too: the place goes on after what it lacks, for however long.
        let mut lacking = writer.objects.clone();
        lacking.remove(0);
        let before = compared(&[&writer.objects, &lacking], None, Beyond::Nothing);
        assert_eq!((before.len(), before[0].0, before[0].3), (1, Kind::CloudsDiffer, 0), "{later} rotations later");
        // What both workers continue is history.
        let mut lacking = writer.objects.clone();
        lacking.remove(1);
        let before = compared(&[&writer.objects, &lacking], None, head());
        assert_eq!(
            before,
            [(Kind::CloudsDiffer, "two".to_owned(), id(1, 1).to_string(), 1)],
            "{later} rotations later"
        );
    }
}

/// The second place got nothing for a while, and the register says so. Only a comparison tells: its chain has a hole.
#[test]
fn a_place_that_the_register_declares_behind_is_not_taken_for_cut_off() {
    let writer = three_rotations();
    let keys = keys(&["k"]);
    let judge = |behind: Option<String>, holds: &dyn Fn(usize) -> bool| {
        let expected = Expected { behind, compared: true, ..writer.expected() };
        let mut verifier = Verifier::new(&keys, "here", "orders", expected);
        for (block, number) in (1..=3_u64).enumerate() {
            let mut whole = Verifier::new(&keys, "there", "orders", Expected::default());
            whole.begin(id(number, number));
            verifier.begin(id(number, number));
            for (at, (name, bytes)) in writer.objects.iter().enumerate().skip(block * 4).take(4) {
                whole.object(name, bytes);
                if holds(at) {
                    verifier.object(name, bytes);
                }
            }
            verifier.end_among(&whole.records());
        }
        kinds_of(&verifier.finish())
    };
    let behind = Some(id(2, 2).lines(1));
    assert_eq!(judge(behind.clone(), &|at| at < 5), []);
    assert_eq!(judge(behind, &|at| !(5..10).contains(&at)), []);
    assert_eq!(judge(None, &|at| at < 5), [Kind::Truncated]);
    assert_eq!(judge(Some(id(4, 4).lines(0)), &|at| at < 5), [Kind::Truncated]);
}

#[test]
fn two_workers_that_began_a_trail_at_once_are_told_and_no_conflict() {
    let mut writer = Writer::new();
    let key = root("k");
    drop(writer.stream(id(1, 1), Some(&key), &[kinds::INTENT]));
    (writer.last, writer.records) = (ZERO, 0);
    drop(writer.stream(id(1, 2), Some(&key), &[kinds::INTENT, kinds::CLOSED]));
    drop(writer.rotation(2, Some(&key)));
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, writer.expected())), [Kind::SideBranch]);
}

#[test]
fn a_bundle_holds_many_streams_and_sets() {
    let writer = three_rotations();
    let expected = writer.expected();
    let all = keys(&["k"]);
    let read = |lines: &[Vec<u8>]| {
        let mut bundle = bundle::Bundle::new(&all, "file", |_| expected.clone());
        for line in lines {
            bundle.line(line.strip_suffix(b"\n").unwrap());
        }
        bundle.finish()
    };
    let lines: Vec<Vec<u8>> = writer.objects.iter().map(|(_, line)| line.clone()).collect();
    let reports = read(&lines);
    assert_eq!((reports.len(), kinds_of(&reports[0]), reports[0].summary.records), (1, vec![], 12));
    let without = [&lines[..5], &lines[6..]].concat();
    assert_eq!(kinds_of(&read(&without)[0]), [Kind::Gap]);
    let twice = [&lines[..6], &lines[5..]].concat();
    assert_eq!(kinds_of(&read(&twice)[0]), [Kind::Duplicate]);
    let mut swapped = lines.clone();
    swapped.swap(5, 6);
    assert_eq!(read(&swapped)[0].findings.worst(), Some(Class::Tampering));
    let mut junk = lines;
    junk.insert(0, b"hello\n".to_vec());
    assert!(read(&junk).iter().any(|report| kinds_of(report) == [Kind::Malformed]));
}

/// A file is read in pieces of any size; what is found does not depend on them, and neither does where.
#[test]
fn a_bundle_is_read_alike_however_it_is_cut() {
    let writer = three_rotations();
    let (expected, all) = (writer.expected(), keys(&["k"]));
    let whole: Vec<u8> = writer.objects.iter().flat_map(|(_, line)| line.clone()).collect();
    let mut damaged = whole.clone();
    damaged[700] ^= 1;
    let long = [&whole[..], &[b'x'; 3 * MAX_LINE_BYTES], b"\n", &whole[..90]].concat();
    let read = |bytes: &[u8], size: usize| {
        let mut bundle = bundle::Bundle::new(&all, "file", |_| expected.clone());
        bytes.chunks(size).for_each(|piece| bundle.bytes(piece));
        let found = bundle.finish().into_iter().map(|report| (report.findings.kept, report.summary.records));
        found.collect::<Vec<_>>()
    };
    assert_eq!(read(&whole, whole.len()), [(vec![], 12)]);
    assert_eq!(read(&whole[..whole.len() - 1], whole.len()), [(vec![], 12)], "the last line feed is missing");
    let at_the_end = read(&long, long.len())[0].0.clone();
    let offsets: Vec<Option<u64>> = at_the_end.iter().map(|finding| finding.offset).collect();
    let after = |more: usize| Some((whole.len() + more) as u64);
    assert_eq!(offsets, [after(0), after(3 * MAX_LINE_BYTES + 1)], "{at_the_end:?}");
    for bytes in [&whole, &damaged, &long] {
        for size in [1, 2, 63, 64, 299, 300, 301, 4096, MAX_LINE_BYTES, MAX_LINE_BYTES + 1] {
            assert_eq!(read(bytes, size), read(bytes, bytes.len()), "{size}");
        }
    }
}
