//! What the verifier finds, told attack by attack. The random attacks are in `tests/tampering.rs`.

use super::{compare::Excuse, *};
use crate::{Chain, Facts, Outcome, RootKey, SigningKey, ZERO, record::kinds};

fn root(text: &str) -> RootKey {
    RootKey::from_text(&text.repeat(32)).unwrap()
}

fn keys(names: &[&str]) -> Keys {
    let mut keys = Keys::default();
    for name in names {
        keys.ring.insert(root(name));
    }
    keys
}

fn id(rotation: u64, epoch: u64) -> StreamId {
    StreamId { set: "orders".to_owned(), rotation, epoch, run: 7 }
}

fn time(minute: u64) -> String {
    format!("2026-01-01T00:{minute:02}:00.000Z")
}

type Objects = Vec<(String, Vec<u8>)>;

/// A history under construction: each stream is a rotation with one object per record.
struct Writer {
    objects: Objects,
    last: Hash,
    records: u64,
    minute: u64,
    head: Option<Head>,
}

impl Writer {
    fn new() -> Self {
        Self { objects: Vec::new(), last: ZERO, records: 0, minute: 0, head: None }
    }

    fn stream(&mut self, id: StreamId, key: Option<&RootKey>, kinds: &[&'static str]) -> Chain {
        let mut chain = Chain::begin(id, self.last, self.records, key);
        for kind in kinds {
            self.append(&mut chain, kind);
        }
        chain
    }

    fn append(&mut self, chain: &mut Chain, kind: &'static str) {
        let facts = Facts::new(kind, Outcome::Ok, "orders", chain.stream().epoch);
        let sealed = chain.append(&time(self.minute), &facts).unwrap();
        self.keep(chain, sealed);
    }

    fn turn(&mut self, chain: &mut Chain, next: &RootKey) {
        let facts = Facts::new(kinds::KEY_ROTATED, Outcome::Ok, "orders", chain.stream().epoch);
        let sealed = chain.rotate_key(&time(self.minute), &facts, next).unwrap();
        self.keep(chain, sealed);
    }

    fn keep(&mut self, chain: &Chain, sealed: crate::Sealed) {
        self.objects.push((chain.stream().lines(sealed.seq), sealed.line));
        (self.last, self.records, self.head) = (sealed.hash, chain.records(), chain.head());
        self.minute += 1;
    }

    fn rotation(&mut self, number: u64, key: Option<&RootKey>) -> Chain {
        self.stream(id(number, number), key, &[kinds::INTENT, "apply.begin", "apply.done", kinds::CLOSED])
    }

    fn expected(&self) -> Expected {
        Expected { head: self.head.clone(), at_rest: Some(100), ..Expected::default() }
    }
}

fn verify(keys: &Keys, objects: &Objects, expected: Expected) -> SetReport {
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

fn kinds_of(report: &SetReport) -> Vec<Kind> {
    report.findings.counts.keys().copied().collect()
}

fn three_rotations() -> Writer {
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

#[test]
fn two_places_are_compared_record_by_record() {
    let hash = |byte| Some([byte; 32]);
    let stream = id(3, 9);
    let excuse = Excuse {
        beyond: compare::Beyond::Head(Head {
            stream: stream.to_string(),
            seq: 1,
            hash: String::new(),
            kid: String::new(),
            records: 2,
        }),
        behind: None,
    };
    let ours = [hash(1), hash(2), hash(3), hash(4)];
    let found = |theirs: &[Option<Hash>], excuse: &Excuse| {
        let found = compare::compare(&stream, &ours, ("there", theirs), excuse);
        found.into_iter().map(|finding| (finding.kind, finding.seq.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(found(&ours, &excuse), []);
    assert_eq!(found(&[hash(1), hash(9), hash(3), hash(4)], &excuse), [(Kind::CloudsDiffer, 1)]);
    assert_eq!(found(&[], &excuse), [(Kind::CloudsDiffer, 0), (Kind::NotInBoth, 2)]);
    assert_eq!(found(&ours[..2], &excuse), [(Kind::NotInBoth, 2)]);
    let declared = Excuse { behind: Some(stream.lines(1)), ..excuse };
    assert_eq!(found(&[], &declared), [(Kind::CloudsDiffer, 0), (Kind::NotInBoth, 1)]);
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
