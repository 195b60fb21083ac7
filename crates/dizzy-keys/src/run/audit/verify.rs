//! `audit verify`: every record of every place, against the keys, the other places and the register.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use dizzy_audit::{
    Checkpoint, Head, RootKey, VerifyingKey,
    verify::{Class, Expected, Findings, Keys, Kind, bundle::Bundle},
};
use dizzy_host::{
    audit::{AuditHead, Known, Source, Verification, sets, verify_set},
    config::Place,
    port::Deadline,
    register::Document,
};

use super::{
    super::with_set::{block_on, composer},
    moment, place, usage,
};
use crate::{
    args::{AuditVerify, Global},
    code::{Code, Exit},
    compose::Composer,
    render::{self, audit::VerifyView},
    report::Report,
};

/// Largest key or note file. A key has some hundred bytes.
const MAX_FILE: u64 = 64 * 1024;

/// How much of an exported file is read at a time: what a processor keeps close.
const CHUNK: usize = 128 * 1024;

pub(super) fn run(global: &Global, args: &AuditVerify) -> Result<Exit, Report> {
    let needs_config = args.from.is_empty() || (args.key_file.is_empty() && args.public_key.is_empty());
    let composer = if needs_config || global.config.exists() {
        composer(global, &[])?.0
    } else {
        // Whoever brings places and keys needs no configuration.
        Composer::new(dizzy_host::config::Config::empty())
    };
    let verifications = block_on(async {
        let keys = keys(args, &composer).await?;
        let notes = notes(args, &keys)?;
        let head = args.head.as_deref().map(head).transpose()?;
        let (files, places) = sources(args, &composer)?;
        let mut verifications = Vec::new();
        for file in &files {
            verifications.extend(bundle(file, &keys, args, head.as_ref(), &notes)?);
        }
        if !places.is_empty() {
            for set in &names(args, &composer, &places).await {
                let (known, trouble) = known(args, &composer, set, head.as_ref(), &notes).await;
                let mut verification = verify_set(&keys, set, &places, &known, composer.limits().call).await;
                if let Some(trouble) = trouble {
                    verification.findings.push(trouble);
                }
                verifications.push(verification);
            }
        }
        Ok(verifications)
    })?;
    let mut verifications = verifications;
    if let Some(most) = &args.max_silence {
        let since = moment(most, composer.clock().now())?;
        verifications.iter_mut().for_each(|verification| tell_silence(verification, &since));
    }
    judge(global, verifications)
}

/// Shows what was found, and says what it means.
fn judge(global: &Global, verifications: Vec<Verification>) -> Result<Exit, Report> {
    let view = VerifyView::of(verifications);
    render::show(global.output, &view)?;
    let state = "nothing was changed; this says nothing about whether the credentials work";
    match view.worst {
        None | Some(Class::Note) if view.sets.is_empty() => {
            Err(Report::new(Code::AuditNotChecked, "there is no trail to verify: no set has a record", state)
                .hint("look at `audit.sinks` and the names of the sets"))
        }
        None | Some(Class::Note) => Ok(Exit::Done),
        Some(Class::NotChecked) => {
            Err(Report::new(Code::AuditNotChecked, "not everything of the audit trail could be checked", state)
                .hint("what was found tells what is missing; what was checked is as it was written"))
        }
        Some(Class::Tampering) => Err(Report::new(Code::AuditTampered, "the audit trail is not what was written", state)
            .hint("keep every place as it is, and compare with a copy or a note that was kept elsewhere; docs/audit.md tells what each finding means")),
    }
}

async fn keys(args: &AuditVerify, composer: &Composer) -> Result<Keys, Report> {
    if args.key_file.is_empty() && args.public_key.is_empty() {
        return composer.verifying_keys().await;
    }
    let mut keys = Keys::default();
    for path in &args.key_file {
        let text = String::from_utf8(small_file(path)?).map_err(|_| no_key(path, "it is no text"))?;
        keys.ring.insert(RootKey::from_text(&text).map_err(|error| no_key(path, &error.to_string()))?);
    }
    for text in &args.public_key {
        let key = VerifyingKey::from_text(text).or_else(|error| {
            let file = small_file(Path::new(text)).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            file.map_or(Err(error), |text| VerifyingKey::from_text(&text))
        });
        let wrong =
            |_| usage(format!("`{text}` is no public key, and no file with one"), "see docs/audit.md, Signed notes");
        keys.notes.push(key.map_err(wrong)?);
    }
    Ok(keys)
}

fn no_key(path: &Path, why: &str) -> Report {
    usage(format!("{} is no key: {why}", path.display()), "see docs/audit.md, Keys")
}

fn small_file(path: &Path) -> Result<Vec<u8>, Report> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    read.map_err(|error| usage(format!("{} cannot be read ({})", path.display(), error.kind()), "check the path"))?;
    Ok(bytes)
}

fn notes(args: &AuditVerify, keys: &Keys) -> Result<Vec<Checkpoint>, Report> {
    let each = args.note.iter().map(|path| {
        Checkpoint::open(&small_file(path)?, &keys.notes).map_err(|error| {
            usage(format!("the note {}: {error}", path.display()), "give its signer's key with --public-key")
        })
    });
    each.collect()
}

/// `STREAM:SEQ:HASH`, as a verification prints it.
fn head(text: &str) -> Result<Head, Report> {
    let parts: Vec<&str> = text.split(':').collect();
    let wrong = || usage(format!("`{text}` is no head"), "give it as STREAM:SEQ:HASH, as `audit verify` prints it");
    let [stream, seq, hash] = parts.as_slice() else { return Err(wrong()) };
    let head = Head {
        stream: (*stream).to_owned(),
        seq: seq.parse().map_err(|_| wrong())?,
        hash: (*hash).to_owned(),
        kid: String::new(),
        records: 0,
    };
    let is_head = dizzy_audit::StreamId::parse(stream).is_some() && head.hash().is_some();
    if is_head { Ok(head) } else { Err(wrong()) }
}

/// Exported files, and places with objects.
fn sources(args: &AuditVerify, composer: &Composer) -> Result<(Vec<PathBuf>, Vec<Source>), Report> {
    if args.from.is_empty() {
        let places = composer.sinks()?.into_iter().map(|store| Source { store }).collect();
        return Ok((Vec::new(), places));
    }
    let (mut files, mut places) = (Vec::new(), Vec::new());
    for text in &args.from {
        match place(text)? {
            Place::File(path) if path.is_file() => files.push(path),
            place @ (Place::File(_) | Place::Oci { .. } | Place::S3 { .. }) => {
                places.push(Source { store: composer.objects(&place)? });
            }
        }
    }
    Ok((files, places))
}

/// The sets that are named; otherwise those of the configuration that have a trail or a register, and those that only the places know.
async fn names(args: &AuditVerify, composer: &Composer, places: &[Source]) -> Vec<String> {
    if !args.sets.is_empty() {
        return args.sets.clone();
    }
    let mut names: BTreeSet<String> = composer.config().sets.keys().cloned().collect();
    for place in places {
        // A place that does not answer is told with every set.
        if let Ok(found) = sets(&*place.store, || Deadline::after(composer.limits().call)).await {
            names.extend(found);
        }
    }
    names.into_iter().collect()
}

async fn known(
    args: &AuditVerify,
    composer: &Composer,
    set: &str,
    head: Option<&Head>,
    notes: &[Checkpoint],
) -> (Known, Option<dizzy_audit::verify::Finding>) {
    let notes = notes.iter().filter(|note| note.set == set).cloned().collect();
    let head = head.filter(|head| head.stream.starts_with(&format!("{set}/"))).cloned();
    let mut known = Known { head, may_begin_late: args.begins_late, notes, ..Known::default() };
    if args.offline || !composer.config().sets.contains_key(set) {
        return (known, None);
    }
    let register = async {
        let journal = composer.journal().map_err(|report| report.what().to_owned())?;
        let stored =
            journal.read(set, Deadline::after(composer.limits().call)).await.map_err(|error| error.to_string())?;
        stored.map(|stored| Document::parse(&stored.bytes, set).map_err(|error| error.to_string())).transpose()
    };
    match register.await {
        Ok(register) => {
            known.registered = true;
            if let Some(register) = register {
                known.at_rest = (register.phase == "idle").then_some(register.last);
                known.head = known.head.or_else(|| register.audit.as_ref().map(AuditHead::head));
                known.register = register.audit;
            }
            (known, None)
        }
        Err(why) => {
            let finding = dizzy_audit::verify::Finding {
                kind: Kind::Unreachable,
                source: "register".to_owned(),
                set: set.to_owned(),
                object: String::new(),
                seq: None,
                offset: None,
                detail: format!("the register cannot be read: {why}"),
            };
            (known, Some(finding))
        }
    }
}

/// An exported file, line by line.
fn bundle(
    path: &Path,
    keys: &Keys,
    args: &AuditVerify,
    head: Option<&Head>,
    notes: &[Checkpoint],
) -> Result<Vec<Verification>, Report> {
    let name = format!("file:{}", path.display());
    let unreadable = |error: std::io::Error| {
        usage(format!("{} cannot be read ({})", path.display(), error.kind()), "check the path")
    };
    let expected = |set: &str| Expected {
        head: head.filter(|head| head.stream.starts_with(&format!("{set}/"))).cloned(),
        may_begin_late: args.begins_late,
        notes: notes.iter().filter(|note| note.set == set).cloned().collect(),
        ..Expected::default()
    };
    let mut bundle = Bundle::new(keys, &name, expected);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => bundle.bytes(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let reports = bundle.finish();
    Ok(reports
        .into_iter()
        .map(|mut report| Verification {
            set: report.set.clone(),
            findings: core::mem::take(&mut report.findings),
            places: vec![report],
        })
        .collect())
}

fn tell_silence(verification: &mut Verification, since: &str) {
    let last = verification.places.iter().filter_map(|place| place.summary.last.as_deref()).max();
    if last.is_some_and(|last| last >= since) {
        return;
    }
    let detail = match last {
        Some(last) => format!(
            "nothing was recorded since {last}: no run, and no scheduled look either (`rotate --due` leaves a record a day)"
        ),
        None => "there is no record".to_owned(),
    };
    let mut findings = Findings::default();
    findings.push(dizzy_audit::verify::Finding {
        kind: Kind::StaleHeartbeat,
        source: String::new(),
        set: verification.set.clone(),
        object: String::new(),
        seq: None,
        offset: None,
        detail,
    });
    verification.findings.append(findings);
}
