//! Registers in Object Storage: every promise of the journal port, and two processes that compete for one register.

use core::cell::Cell;
use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use dizzy_host::{
    objects::ObjectJournal,
    port::{Journal, SystemClock, SystemRandomness},
    testkit::{
        conformance::{self, JournalFixture},
        count_up, counted, start_counting,
    },
};
use dizzy_oci::{DEFAULT_PROFILE, ObjectStorage, OciAuth, OciClients, OciEndpoints, OciObjects, OciSettings, Pace};
use dizzy_sandbox_oci::{BucketOptions, NAMESPACE, Operation, Service};

use crate::world::{World, settings};

/// Increments of each of two processes.
const INCREMENTS: u32 = 80;

const CONFIG: &str = "DIZZY_TEST_CONFIG";
const ENDPOINT: &str = "DIZZY_TEST_ENDPOINT";
const WHO: &str = "DIZZY_TEST_WHO";

fn journal(clients: OciClients, bucket: &str) -> ObjectJournal {
    ObjectJournal::new(Arc::new(OciObjects::new(ObjectStorage::new(clients), NAMESPACE, bucket, "journal").unwrap()))
}

struct Fixture<'a> {
    world: &'a World,
    bucket: String,
}

impl JournalFixture for Fixture<'_> {
    fn first(&self) -> Arc<dyn Journal> {
        Arc::new(journal(self.world.clients.clone(), &self.bucket))
    }

    fn second(&self) -> Arc<dyn Journal> {
        Arc::new(journal(OciClients::new(settings(&self.world.oci, &self.world.files)), &self.bucket))
    }
}

#[tokio::test]
async fn a_journal_in_object_storage_keeps_every_promise() {
    let world = World::new();
    let number = Cell::new(0);
    let report = conformance::journal(async || {
        number.set(number.get() + 1);
        let bucket = format!("journal-{}", number.get());
        world.oci.create_bucket(&bucket, &BucketOptions::new()).unwrap();
        Fixture { world: &world, bucket }
    })
    .await;
    assert_eq!(report.into_result().unwrap().len(), 12);
}

#[tokio::test]
async fn two_processes_that_compete_lose_no_update() {
    #[expect(clippy::disallowed_methods, reason = "the other process is told its part this way")]
    if let (Ok(config), Ok(endpoint), Ok(who)) = (env::var(CONFIG), env::var(ENDPOINT), env::var(WHO)) {
        let clients = OciClients::new(OciSettings {
            auth: OciAuth::ConfigFile { file: config.into(), profile: DEFAULT_PROFILE.to_owned(), home: None },
            region: None,
            realm_domain: None,
            endpoints: OciEndpoints { object_storage: Some(endpoint), ..OciEndpoints::default() },
            extra_roots: None,
            proxy: None,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            pace: Pace::default(),
        });
        let journal = journal(clients, "race");
        wait_for_the_start(&journal).await;
        count_up(&journal, &who, INCREMENTS).await.unwrap();
        return;
    }
    let world = World::new();
    world.oci.create_bucket("race", &BucketOptions::new()).unwrap();
    let own = journal(world.clients.clone(), "race");
    start_counting(&own).await.unwrap();
    let start = |who: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "journal::two_processes_that_compete_lose_no_update", "--nocapture"]);
        command.env(CONFIG, &world.files.config).env(ENDPOINT, world.oci.endpoint(Service::ObjectStorage));
        command.env(WHO, who).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
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
    let writes = world.count(Operation::PutObject);
    assert!(writes > 2 * INCREMENTS as usize + 1, "{writes} writes: nobody was ever in anybody's way");
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
