//! The object store's promises: conditions keep two writers apart, lists are whole, versions are told or said not to be.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Checked, Report, Stop, checks, ensure, ok, refused, returns_in_time, soon};
use crate::port::{
    Certainty, Etag, Kind, MAX_NAME, Object, ObjectStore, ObjectVersion, PortResult, VersionKind, Versions, Written,
};

/// A place without any object, seen by two workers, and somebody else with access to the bucket.
#[async_trait]
pub trait ObjectFixture: Send + Sync {
    /// The adapter.
    fn first(&self) -> Arc<dyn ObjectStore>;

    /// Another value of the adapter for the same place, as another worker would have it.
    fn second(&self) -> Arc<dyn ObjectStore>;

    /// Writes past the adapter and without a condition.
    async fn overwrite(&self, name: &str, bytes: &[u8]);

    /// Deletes past the adapter.
    async fn delete(&self, name: &str);

    /// Whether the bucket keeps versions and tells them.
    fn keeps_versions(&self) -> bool;
}

/// Runs every check against a fresh fixture each.
pub async fn objects<X: ObjectFixture>(factory: impl AsyncFn() -> X) -> Report {
    let mut report = Report::default();
    for check in checks![dyn ObjectFixture:
        an_absent_object_reads_as_none,
        an_object_reads_back_byte_for_byte,
        a_name_is_kept_whatever_stands_in_it,
        a_name_that_is_none_is_refused,
        an_object_longer_than_expected_is_not_taken_in,
        creation_never_overwrites,
        a_replacement_needs_the_present_tag,
        a_replacement_never_creates,
        every_write_changes_the_tag,
        the_other_worker_sees_a_write_at_once,
        of_many_creations_exactly_one_wins,
        of_many_replacements_exactly_one_wins,
        what_somebody_else_writes_is_a_conflict,
        what_somebody_else_deletes_is_absent,
        a_list_has_every_name_once_and_in_order,
        a_list_keeps_to_its_prefix,
        versions_tell_what_was_there_or_that_they_are_not_listed,
        versions_come_in_parts_that_leave_nothing_out,
        a_passed_deadline_is_honoured,
    ] {
        let fixture = factory().await;
        report.note(check.name, (check.run)(&fixture).await);
    }
    report
}

/// Enough for every object of these checks but the one that is too long.
const ROOM: usize = 64 * 1024;

async fn an_absent_object_reads_as_none(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    ensure(look(&*store, "orders.json").await?.is_none(), || "an object where none was written".to_owned())?;
    let page = ok("list", store.list("", None, 10, soon()).await)?;
    ensure(page.objects.is_empty() && page.next.is_none(), || format!("a list of nothing has {page:?}"))
}

async fn an_object_reads_back_byte_for_byte(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(ROOM).collect();
    for (name, bytes) in [("every", every_byte.as_slice()), ("text", "{ \"ö\": 1 }\r\n".as_bytes()), ("empty", b"")] {
        let written = ok(name, store.create(name, bytes, soon()).await)?;
        let Object { bytes: read, etag, version, .. } = there(&*store, name).await?;
        ensure(read == bytes, || format!("{name}: {} bytes came back as {} others", bytes.len(), read.len()))?;
        ensure((&etag, &version) == (&written.etag, &written.version), || {
            format!("{name}: write says {written:?}, read says {etag:?} {version:?}")
        })?;
    }
    Ok(())
}

async fn a_name_is_kept_whatever_stands_in_it(fixture: &dyn ObjectFixture) -> Checked {
    let (store, other) = (fixture.first(), fixture.second());
    let long = format!("long/{}", "x".repeat(200));
    let mut names =
        vec!["a b+c=d&e#f%2Fg?h", "audit/v1/o/0000000001/000001-000001.json", "x.y~z_-", "ü/日本", "<&\">'", &long];
    for name in &names {
        ok(name, store.create(name, name.as_bytes(), soon()).await)?;
    }
    for name in &names {
        ensure(there(&*other, name).await?.bytes == name.as_bytes(), || format!("`{name}` holds another's content"))?;
    }
    names.sort_unstable();
    let listed = all_names(&*store, "", 100).await?;
    ensure(listed == names, || format!("{names:?} are listed as {listed:?}"))
}

async fn a_name_that_is_none_is_refused(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let long = "x".repeat(MAX_NAME + 1);
    for name in ["", "/a", "a/", "a//b", "a/../b", "..", "a\nb", long.as_str()] {
        refused(name, store.create(name, b"x", soon()).await, Kind::Malformed)?;
        refused(name, store.get(name, ROOM, soon()).await, Kind::Malformed)?;
    }
    Ok(())
}

async fn an_object_longer_than_expected_is_not_taken_in(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    ok("create", store.create("long", &[b'x'; 1001], soon()).await)?;
    refused("read too long", store.get("long", 1000, soon()).await, Kind::Malformed)?;
    let read = ok("read", store.get("long", 1001, soon()).await)?;
    ensure(read.is_some_and(|object| object.bytes.len() == 1001), || "as long as expected, and not read".to_owned())
}

async fn creation_never_overwrites(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    ok("create", store.create("orders", b"first", soon()).await)?;
    refused("create again", store.create("orders", b"second", soon()).await, Kind::Exists)?;
    refused("create the same again", store.create("orders", b"first", soon()).await, Kind::Exists)?;
    holds(&*store, "orders", b"first").await
}

async fn a_replacement_needs_the_present_tag(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let first = ok("create", store.create("orders", b"first", soon()).await)?.etag;
    let second = ok("replace", store.replace("orders", b"second", &first, soon()).await)?.etag;
    holds(&*store, "orders", b"second").await?;
    for tag in [&first, &Etag("\"00000000000000000000000000000000\"".to_owned())] {
        refused("replace with another tag", store.replace("orders", b"third", tag, soon()).await, Kind::Conflict)?;
    }
    holds(&*store, "orders", b"second").await?;
    ok("replace again", store.replace("orders", b"third", &second, soon()).await)?;
    holds(&*store, "orders", b"third").await
}

async fn a_replacement_never_creates(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let tag = ok("create another", store.create("payments", b"first", soon()).await)?.etag;
    refused("replace nothing", store.replace("orders", b"x", &tag, soon()).await, Kind::Conflict)?;
    ensure(look(&*store, "orders").await?.is_none(), || "a replacement has created".to_owned())
}

async fn every_write_changes_the_tag(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let first = ok("create", store.create("orders", b"first", soon()).await)?;
    let second = ok("replace", store.replace("orders", b"second", &first.etag, soon()).await)?;
    ensure(first.etag != second.etag, || "the tag is the same after a write".to_owned())?;
    ensure(first.version.is_none() || first.version != second.version, || "the version is the same".to_owned())?;
    let listed = ok("list", store.list("orders", None, 1, soon()).await)?.objects;
    let tags: Vec<_> = listed.into_iter().map(|entry| entry.etag).collect();
    // A list need not tell tags; one that does tells the present one.
    ensure(tags == [Some(second.etag)] || tags == [None], || format!("the list tells {tags:?}"))
}

async fn the_other_worker_sees_a_write_at_once(fixture: &dyn ObjectFixture) -> Checked {
    let (first, second) = (fixture.first(), fixture.second());
    let tag = ok("create", first.create("orders", b"first", soon()).await)?.etag;
    holds(&*second, "orders", b"first").await?;
    ok("replace by the other", second.replace("orders", b"second", &tag, soon()).await)?;
    holds(&*first, "orders", b"second").await
}

async fn of_many_creations_exactly_one_wins(fixture: &dyn ObjectFixture) -> Checked {
    let (first, second) = (fixture.first(), fixture.second());
    let create =
        async |store: &dyn ObjectStore, bytes: &'static [u8]| (bytes, store.create("orders", bytes, soon()).await);
    let (a, b, c, d) =
        tokio::join!(create(&*first, b"a"), create(&*second, b"b"), create(&*first, b"c"), create(&*second, b"d"));
    one_winner(&*first, [a, b, c, d], Kind::Exists).await
}

async fn of_many_replacements_exactly_one_wins(fixture: &dyn ObjectFixture) -> Checked {
    let (first, second) = (fixture.first(), fixture.second());
    let tag = ok("create", first.create("orders", b"0", soon()).await)?.etag;
    let replace = async |store: &dyn ObjectStore, bytes: &'static [u8]| {
        (bytes, store.replace("orders", bytes, &tag, soon()).await)
    };
    let (a, b, c, d) =
        tokio::join!(replace(&*first, b"a"), replace(&*second, b"b"), replace(&*first, b"c"), replace(&*second, b"d"));
    one_winner(&*first, [a, b, c, d], Kind::Conflict).await
}

async fn what_somebody_else_writes_is_a_conflict(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let tag = ok("create", store.create("orders", b"first", soon()).await)?.etag;
    fixture.overwrite("orders", b"theirs").await;
    holds(&*store, "orders", b"theirs").await?;
    refused("replace", store.replace("orders", b"ours", &tag, soon()).await, Kind::Conflict)?;
    holds(&*store, "orders", b"theirs").await
}

async fn what_somebody_else_deletes_is_absent(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let tag = ok("create", store.create("orders", b"first", soon()).await)?.etag;
    fixture.delete("orders").await;
    ensure(look(&*store, "orders").await?.is_none(), || "a deleted object is read".to_owned())?;
    ensure(all_names(&*store, "", 10).await?.is_empty(), || "a deleted object is listed".to_owned())?;
    refused("replace", store.replace("orders", b"second", &tag, soon()).await, Kind::Conflict)?;
    ok("create again", store.create("orders", b"third", soon()).await)?;
    holds(&*store, "orders", b"third").await
}

async fn a_list_has_every_name_once_and_in_order(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let names = ["a", "a b", "a-b", "a/b", "a/b/c", "ab", "b", "ü"];
    for name in names.iter().rev() {
        ok(name, store.create(name, name.as_bytes(), soon()).await)?;
    }
    for most in [1, 3, names.len(), names.len() + 1] {
        let listed = all_names(&*store, "", most).await?;
        ensure(listed == names, || format!("{most} at a time: {listed:?}"))?;
    }
    let page = ok("list", store.list("", Some("a/b"), 2, soon()).await)?;
    let listed: Vec<&str> = page.objects.iter().map(|entry| entry.name.as_str()).collect();
    ensure(listed == ["a/b/c", "ab"], || format!("after a/b come {listed:?}"))?;
    let sizes: Vec<_> = page.objects.iter().map(|entry| entry.size).collect();
    ensure(sizes == [Some(5), Some(2)], || format!("the sizes are told as {sizes:?}"))
}

async fn a_list_keeps_to_its_prefix(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    for name in ["orders/1", "orders/2", "orders-eu/1", "other", "orders"] {
        ok(name, store.create(name, b"x", soon()).await)?;
    }
    for (prefix, names) in [
        ("orders/", &["orders/1", "orders/2"][..]),
        ("orders", &["orders", "orders-eu/1", "orders/1", "orders/2"]),
        ("none", &[]),
    ] {
        let listed = all_names(&*store, prefix, 2).await?;
        ensure(listed == names, || format!("{prefix} lists {listed:?}"))?;
    }
    Ok(())
}

async fn versions_tell_what_was_there_or_that_they_are_not_listed(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let first = ok("create", store.create("orders", b"first", soon()).await)?;
    ok("replace", store.replace("orders", b"second", &first.etag, soon()).await)?;
    ok("create another", store.create("other", b"x", soon()).await)?;
    fixture.delete("orders").await;
    if !fixture.keeps_versions() {
        let versions = ok("versions", store.versions("orders", None, 10, soon()).await)?;
        let told = matches!(&versions, Versions::Page(page) if page.versions.iter().all(|v| v.is_latest));
        return ensure(told || versions == Versions::NotListed, || format!("no versions are kept: {versions:?}"));
    }
    let versions = all_versions(&*store, "orders", 10).await?;
    let told: Vec<_> = versions.iter().map(|v| (v.name.as_str(), v.kind, v.is_latest, v.size)).collect();
    let expected = [
        ("orders", VersionKind::DeleteMarker, true, None),
        ("orders", VersionKind::Content, false, Some(6)),
        ("orders", VersionKind::Content, false, Some(5)),
    ];
    ensure(told == expected, || format!("the versions are {told:?}"))?;
    for (version, bytes) in versions.iter().skip(1).zip([b"second".as_slice(), b"first"]) {
        let read = ok("read", store.get_version("orders", &version.version, ROOM, soon()).await)?;
        let told = version.etag.clone();
        ensure(read.as_ref().map(|o| (o.bytes.as_slice(), Some(o.etag.clone()))) == Some((bytes, told)), || {
            format!("version {} is {read:?}", version.version)
        })?;
    }
    ensure(first.version == versions.last().map(|v| v.version.clone()), || "the write told another version".to_owned())
}

async fn versions_come_in_parts_that_leave_nothing_out(fixture: &dyn ObjectFixture) -> Checked {
    if !fixture.keeps_versions() {
        return Err(Stop::Skipped("no versions are kept"));
    }
    let store = fixture.first();
    for name in ["a", "b/1", "c d"] {
        let mut tag = ok(name, store.create(name, b"0", soon()).await)?.etag;
        for number in 1..3_u8 {
            tag = ok(name, store.replace(name, &[number], &tag, soon()).await)?.etag;
        }
    }
    let whole = all_versions(&*store, "", 100).await?;
    ensure(whole.len() == 9, || format!("{} of 9 versions", whole.len()))?;
    for most in [1, 2, 4] {
        let parts = all_versions(&*store, "", most).await?;
        ensure(parts == whole, || format!("{most} at a time: {parts:?} instead of {whole:?}"))?;
    }
    Ok(())
}

async fn a_passed_deadline_is_honoured(fixture: &dyn ObjectFixture) -> Checked {
    let store = fixture.first();
    let tag = ok("create", store.create("orders", b"first", soon()).await)?.etag;
    let none = Duration::ZERO;
    let read = returns_in_time("read", none, async |deadline| store.get("orders", ROOM, deadline).await).await?;
    if let Ok(object) = read {
        ensure(object.is_some(), || "no time to read was told as no object".to_owned())?;
    }
    let replace = async |deadline| store.replace("orders", b"second", &tag, deadline).await;
    match returns_in_time("replace", none, replace).await? {
        Ok(_) => holds(&*store, "orders", b"second").await,
        Err(error) if error.certainty == Certainty::Refused => holds(&*store, "orders", b"first").await,
        Err(_) => Ok(()),
    }
}

async fn one_winner(
    store: &dyn ObjectStore,
    outcomes: [(&'static [u8], PortResult<Written>); 4],
    lost: Kind,
) -> Checked {
    let mut winner = None;
    for (bytes, outcome) in outcomes {
        match outcome {
            Ok(_) if winner.is_none() => winner = Some(bytes),
            Ok(_) => return Err(Stop::Broken("two writers succeeded".to_owned())),
            // A store may say that a write was in the way instead of who was first.
            Err(error) if error.kind == Kind::Busy && error.certainty == Certainty::Refused => {}
            Err(error) => refused::<()>("a write that lost", Err(error), lost)?,
        }
    }
    let Some(bytes) = winner else { return Err(Stop::Broken("no writer succeeded".to_owned())) };
    holds(store, "orders", bytes).await
}

/// Whatever is there; several parts, as many as it takes.
async fn all_names(store: &dyn ObjectStore, prefix: &str, most: usize) -> Result<Vec<String>, Stop> {
    let (mut names, mut after) = (Vec::new(), None);
    for _ in 0..PARTS {
        let page = ok("list", store.list(prefix, after.as_deref(), most, soon()).await)?;
        ensure(page.objects.len() <= most, || format!("{} instead of {most} at a time", page.objects.len()))?;
        names.extend(page.objects.into_iter().map(|entry| entry.name));
        after = page.next;
        if after.is_none() {
            return Ok(names);
        }
    }
    Err(Stop::Broken("a list without an end".to_owned()))
}

async fn all_versions(store: &dyn ObjectStore, prefix: &str, most: usize) -> Result<Vec<ObjectVersion>, Stop> {
    let (mut versions, mut after) = (Vec::new(), None);
    for _ in 0..PARTS {
        let answer = ok("versions", store.versions(prefix, after.as_ref(), most, soon()).await)?;
        let Versions::Page(page) = answer else { return Err(Stop::Broken("versions are not listed".to_owned())) };
        ensure(page.versions.len() <= most, || format!("{} instead of {most} at a time", page.versions.len()))?;
        versions.extend(page.versions);
        after = page.next;
        if after.is_none() {
            return Ok(versions);
        }
    }
    Err(Stop::Broken("a list of versions without an end".to_owned()))
}

/// More parts than any list here has.
const PARTS: usize = 50;

async fn look(store: &dyn ObjectStore, name: &str) -> Result<Option<Object>, Stop> {
    ok("read", store.get(name, ROOM, soon()).await)
}

async fn there(store: &dyn ObjectStore, name: &str) -> Result<Object, Stop> {
    look(store, name).await?.ok_or_else(|| Stop::Broken(format!("`{name}` is not there")))
}

async fn holds(store: &dyn ObjectStore, name: &str, bytes: &[u8]) -> Checked {
    let found = there(store, name).await?.bytes;
    ensure(found == bytes, || {
        format!("`{name}` holds `{}` instead of `{}`", String::from_utf8_lossy(&found), String::from_utf8_lossy(bytes))
    })
}
