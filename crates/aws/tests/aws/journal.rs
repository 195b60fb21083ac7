//! Registers in S3: every promise of the journal port, and two processes that compete for one register.

use core::cell::Cell;
use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use dizzy_aws::{AwsClients, S3Objects};
use dizzy_host::{
    objects::ObjectJournal,
    port::Journal,
    testkit::{
        conformance::{self, JournalFixture},
        count_up, counted, start_counting,
    },
};
use dizzy_sandbox::moto::BucketKind;

use crate::world::{World, settings};

/// Increments of each of two processes.
const INCREMENTS: u32 = 80;

const ENDPOINT: &str = "DIZZY_TEST_ENDPOINT";
const WHO: &str = "DIZZY_TEST_WHO";

fn journal(endpoint: &str, bucket: &str) -> ObjectJournal {
    let clients = AwsClients::load(settings(endpoint));
    ObjectJournal::new(Arc::new(S3Objects::new(clients, bucket, "journal").unwrap()))
}

struct Fixture {
    endpoint: String,
    bucket: String,
}

impl JournalFixture for Fixture {
    fn first(&self) -> Arc<dyn Journal> {
        Arc::new(journal(&self.endpoint, &self.bucket))
    }

    fn second(&self) -> Arc<dyn Journal> {
        self.first()
    }
}

#[tokio::test]
async fn a_journal_in_s3_keeps_every_promise() {
    let world = World::new();
    let number = Cell::new(0);
    let report = conformance::journal(async || {
        number.set(number.get() + 1);
        let bucket = format!("journal-{}", number.get());
        world.moto.create_bucket(&bucket, BucketKind::Versioned).unwrap();
        Fixture { endpoint: world.moto.endpoint(), bucket }
    })
    .await;
    assert_eq!(report.into_result().unwrap().len(), 12);
}

#[tokio::test]
async fn two_processes_that_compete_lose_no_update() {
    #[expect(clippy::disallowed_methods, reason = "the other process is told its part this way")]
    if let (Ok(endpoint), Ok(who)) = (env::var(ENDPOINT), env::var(WHO)) {
        let journal = journal(&endpoint, "race");
        wait_for_the_start(&journal).await;
        count_up(&journal, &who, INCREMENTS).await.unwrap();
        return;
    }
    let world = World::new();
    world.moto.create_bucket("race", BucketKind::Versioned).unwrap();
    let endpoint = world.moto.endpoint();
    let own = journal(&endpoint, "race");
    start_counting(&own).await.unwrap();
    let start = |who: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "journal::two_processes_that_compete_lose_no_update", "--nocapture"]);
        command
            .env(ENDPOINT, &endpoint)
            .env(WHO, who)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    };
    let (mut one, mut other) = (start("one"), start("other"));
    one.is_ready();
    other.is_ready();
    for racer in [&mut one, &mut other] {
        drop(racer.0.stdin.take());
    }
    assert!(one.0.wait().unwrap().success());
    assert!(other.0.wait().unwrap().success());
    assert_eq!(counted(&own).await.unwrap(), 2 * INCREMENTS);
    // They did meet: some of the writes were refused.
    let writes = world.moto.counts(Some("race/journal/race.json")).unwrap()["PutObject"].as_u64().unwrap();
    assert!(writes > u64::from(2 * INCREMENTS + 1), "{writes} writes: nobody was ever in anybody's way");
}

/// Connected, and told so; begins when the test closes its standard input.
#[expect(clippy::print_stderr, reason = "the test that started this process reads it")]
async fn wait_for_the_start(journal: &dyn Journal) {
    counted(journal).await.unwrap();
    eprintln!("ready");
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Ended with the test, also if it panics.
struct Running(Child);

impl Running {
    fn is_ready(&mut self) {
        let mut line = String::new();
        // One byte at a time: what comes later stays in the pipe, which is large enough for it.
        BufReader::with_capacity(1, self.0.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
