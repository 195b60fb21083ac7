//! Each check of the verifier by itself, where another one would find the same attack too. `cargo xtask guards audit:` takes them away.

use super::{
    tests::{Objects, Writer, id, keys, kinds_of, root, three_rotations, verify},
    *,
};
use crate::{Chain, Facts, Outcome, SigningKey, ZERO, line::MAX_LINE_BYTES, record::kinds, to_hex};

/// One unsigned record, whatever somebody makes of it: no MAC stands in the way.
fn unsigned(change: impl Fn(String) -> String) -> String {
    let mut chain = Chain::begin(id(1, 1), ZERO, 0, None);
    let line =
        chain.append("2026-01-01T00:00:00.000Z", &Facts::new("apply.done", Outcome::Ok, "orders", 1)).unwrap().line;
    change(String::from_utf8(line).unwrap())
}

fn found(name: String, bytes: String) -> Vec<Kind> {
    let expected = Expected { compared: true, ..Expected::default() };
    kinds_of(&verify(&keys(&["k"]), &vec![(name, bytes.into_bytes())], expected))
}

#[test]
fn what_no_mac_protects_is_checked_all_the_same() {
    let here = || id(1, 1).lines(0);
    assert_eq!(found(here(), unsigned(|line| line)), [Kind::Unsigned]);
    // Of another stream; with a number that no stream has; with a MAC that means nothing; cut short; nothing at all.
    assert_eq!(found(id(1, 2).lines(0), unsigned(|line| line)), [Kind::Misplaced]);
    let far = unsigned(|line| line.replace("\"seq\":0,", &format!("\"seq\":{MAX_STREAM_RECORDS},")));
    assert_eq!(found(id(1, 1).lines(MAX_STREAM_RECORDS), far), [Kind::Misplaced]);
    let mac = format!("\"mac\":\"{}", "0".repeat(64));
    let other = format!("\"mac\":\"{}", "1".repeat(64));
    assert_eq!(found(here(), unsigned(|line| line.replace(&mac, &other))), [Kind::BadMac]);
    assert_eq!(found(here(), unsigned(|line| line.trim_end().to_owned())), [Kind::Malformed]);
    assert_eq!(found(here(), String::new()), [Kind::Malformed]);
    // Longer than any record; at a time that is written in another way.
    let long = format!("\"target\":\"{}\",\"mac\"", "x".repeat(MAX_LINE_BYTES));
    assert_eq!(found(here(), unsigned(|line| line.replace("\"mac\"", &long))), [Kind::Malformed]);
    assert_eq!(found(here(), unsigned(|line| line.replace("T00:00", " 00:00"))), [Kind::Malformed]);
}

/// Somebody who has the key in force, and not the next one, hands over to it.
#[test]
fn the_next_key_must_have_signed_its_hand_over() {
    let (old, new) = (root("o"), root("n"));
    let mut writer = Writer::new();
    let mut chain = writer.stream(id(1, 1), Some(&old), &[]);
    writer.turn(&mut chain, &new);
    assert_eq!(kinds_of(&verify(&keys(&["o", "n"]), &writer.objects, writer.expected())), []);
    let line = String::from_utf8(writer.objects[0].1.clone()).unwrap();
    let (signed, rest) = line.split_once(",\"next_mac\":\"").unwrap();
    let covered = format!("{signed},\"next_mac\":\"{}{}", "0".repeat(64), &rest[64..65]);
    let mac = to_hex(&old.stream_key(&id(1, 1)).mac(covered.as_bytes()));
    writer.objects[0].1 = format!("{covered},\"mac\":\"{mac}\"}}\n").into_bytes();
    let expected = Expected { compared: true, ..Expected::default() };
    assert_eq!(kinds_of(&verify(&keys(&["o", "n"]), &writer.objects, expected)), [Kind::BadMac]);
}

/// In its own place both times: only that there are two objects tells.
#[test]
fn a_record_stands_in_one_object() {
    let mut writer = three_rotations();
    let second = writer.objects[1].1.clone();
    writer.objects[0].1.extend(&second);
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, writer.expected())), [Kind::Duplicate]);
}

#[test]
fn nobody_hands_over_to_a_key_that_was_replaced() {
    let (old, new) = (root("o"), root("n"));
    let mut writer = Writer::new();
    let mut chain = writer.stream(id(1, 1), Some(&old), &[]);
    writer.turn(&mut chain, &new);
    writer.turn(&mut chain, &old);
    assert_eq!(kinds_of(&verify(&keys(&["o", "n"]), &writer.objects, writer.expected())), [Kind::KeyOutOfRange]);
}

#[test]
fn another_record_in_the_place_of_the_head_is_a_fork() {
    let writer = three_rotations();
    let head = Head { hash: to_hex(&[7; 32]), ..writer.head.clone().unwrap() };
    let expected = Expected { head: Some(head), ..writer.expected() };
    assert_eq!(kinds_of(&verify(&keys(&["k"]), &writer.objects, expected)), [Kind::Fork]);
}

#[test]
fn what_the_register_misses_is_told_unless_it_turned_up() {
    let writer = three_rotations();
    let judge = |lost, head: Option<Head>| {
        let expected = Expected { lost, head, ..writer.expected() };
        kinds_of(&verify(&keys(&["k"]), &writer.objects, expected))
    };
    assert_eq!(judge(2, writer.head.clone()), [Kind::DeclaredGap]);
    // Two records lie behind the head that the register knew.
    let hash = crate::sha256(writer.objects[9].1.strip_suffix(b"\n").unwrap());
    let earlier = || Some(Head { seq: 1, hash: to_hex(&hash), ..writer.head.clone().unwrap() });
    assert_eq!(judge(2, earlier()), []);
    assert_eq!(judge(3, earlier()), [Kind::DeclaredGap]);
}

fn note(writer: &Writer, change: impl Fn(&mut Checkpoint)) -> Checkpoint {
    let mut note = Checkpoint::of("orders", writer.head.as_ref().unwrap()).unwrap();
    change(&mut note);
    note
}

#[test]
fn a_note_that_was_given_needs_its_stream_its_record_and_its_number() {
    let writer = three_rotations();
    let judge = |objects: &Objects, note: Checkpoint| {
        let expected = Expected { notes: vec![note], at_rest: Some(2), ..Expected::default() };
        kinds_of(&verify(&keys(&["k"]), objects, expected))
    };
    let whole = &writer.objects;
    assert_eq!(judge(whole, note(&writer, |_| ())), []);
    assert_eq!(judge(whole, note(&writer, |note| note.hash[0] ^= 1)), [Kind::BadCheckpoint]);
    assert_eq!(judge(whole, note(&writer, |note| note.records += 1)), [Kind::BadCheckpoint]);
    assert_eq!(judge(&whole[..11].to_vec(), note(&writer, |_| ())), [Kind::BadCheckpoint]);
    assert_eq!(judge(&whole[..8].to_vec(), note(&writer, |_| ())), [Kind::Truncated]);
    // Of its stream nothing is left but an object that is none of a trail.
    let mut emptied = whole[..8].to_vec();
    emptied.push((format!("{}notes.txt", id(3, 3).folder()), b"hello".to_vec()));
    let signer = SigningKey::from_text(&"05".repeat(32)).unwrap();
    emptied.push((id(3, 3).checkpoint(), note(&writer, |_| ()).sign(&signer).into_bytes()));
    assert!(judge(&emptied, note(&writer, |_| ())).contains(&Kind::BadCheckpoint));
}

#[test]
fn notes_and_objects_belong_to_their_stream() {
    let signer = SigningKey::from_text(&"05".repeat(32)).unwrap();
    let public = Keys { notes: vec![signer.verifying_key()], ..keys(&["k"]) };
    let mut writer = three_rotations();
    writer.objects.push((id(2, 2).checkpoint(), note(&writer, |_| ()).sign(&signer).into_bytes()));
    assert_eq!(kinds_of(&verify(&public, &writer.objects, writer.expected())), [Kind::Misplaced]);

    let writer = three_rotations();
    let mut verifier = Verifier::new(&public, "here", "orders", Expected { compared: true, ..Expected::default() });
    verifier.begin(id(2, 2));
    verifier.object(&writer.objects[0].0, &writer.objects[0].1);
    verifier.end();
    assert_eq!(kinds_of(&verifier.finish()), [Kind::ForeignObject]);
}

/// A note speaks for what leads to its record, and not for what a worker wrote that was overtaken.
#[test]
fn a_note_does_not_speak_for_a_side_branch() {
    let (key, signer) = (root("k"), SigningKey::from_text(&"05".repeat(32)).unwrap());
    let mut writer = Writer::new();
    let mut slow = writer.stream(id(1, 1), Some(&key), &[kinds::INTENT, "apply.begin"]);
    let (last, records) = (writer.last, writer.records);
    writer.append(&mut slow, "worker.fenced");
    (writer.last, writer.records) = (last, records);
    drop(writer.stream(id(1, 2), Some(&key), &["apply.done", kinds::CLOSED]));
    writer.objects.push((id(1, 2).checkpoint(), note(&writer, |_| ()).sign(&signer).into_bytes()));
    let public = Keys { notes: vec![signer.verifying_key()], ..Keys::default() };
    let report = verify(&public, &writer.objects, writer.expected());
    assert_eq!((kinds_of(&report), report.summary.covered), (vec![Kind::NoKey, Kind::SideBranch], 4));
}

#[test]
fn the_streams_of_a_set_stand_together_in_a_file() {
    let writer = three_rotations();
    let mut other = Chain::begin(StreamId { set: "other".to_owned(), ..id(1, 1) }, ZERO, 0, Some(&root("k")));
    let other =
        other.append("2026-01-01T00:00:00.000Z", &Facts::new("heartbeat", Outcome::Ok, "other", 1)).unwrap().line;
    let lines: Vec<&[u8]> = writer.objects.iter().map(|(_, line)| line.as_slice()).collect();
    let all = keys(&["k"]);
    let mut bundle = bundle::Bundle::new(&all, "file", |_| Expected { may_begin_late: true, ..writer.expected() });
    [&lines[..8], &[&other], &lines[8..]].concat().into_iter().for_each(|line| bundle.bytes(line));
    let again = bundle.finish().pop().unwrap();
    assert!(kinds_of(&again).contains(&Kind::Misplaced), "{:?}", again.findings.kept);
}
