//! Whatever the program logs at, the SDK says nothing.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use dizzy_aws::AwsSecretReader;
use dizzy_host::port::{SecretReader as _, SecretStore as _};
use dizzy_sandbox::moto::{Fault, Mishap, SECRET_ACCESS_KEY};
use serde_json::json;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::world::{World, name, soon, text};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Captured {
    fn holds(&self, needle: &str) -> bool {
        let log = self.0.lock().unwrap();
        let log = String::from_utf8_lossy(&log);
        log.contains(needle) || log.contains(&needle.escape_debug().to_string())
    }
}

#[tokio::test]
async fn no_secret_reaches_a_log_that_takes_everything() {
    let log = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    // The log takes what is said in the SDK's name, and a canary in it is found.
    tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", "planted-canary");
    assert!(log.holds("planted-canary"));

    let world = World::new();
    let (store, base) = world.secret("quiet", "canary-published");
    store.current(soon()).await.unwrap();
    let one = store.stage(&name(1), &text("canary-staged"), soon()).await.unwrap();
    store.read(&one, soon()).await.unwrap();
    store.promote(&base, &one, soon()).await.unwrap();
    for mishap in [Mishap::DropBefore, Mishap::Refuse(400, "AccessDeniedException")] {
        world.moto.inject(&Fault::next("PutSecretValue", mishap)).unwrap();
        assert!(store.stage(&name(2), &text("canary-failed"), soon()).await.is_err());
    }
    let input = json!({"Name": "/quiet", "Value": "canary-parameter", "Type": "SecureString"});
    world.moto.call("ssm", "PutParameter", &input).unwrap();
    let reader = AwsSecretReader::new(world.clients.clone());
    reader.read(&"aws-ssm:/quiet".parse().unwrap(), soon()).await.unwrap();
    reader.read(&"aws-sm:quiet".parse().unwrap(), soon()).await.unwrap();

    for needle in ["canary-published", "canary-staged", "canary-failed", "canary-parameter", SECRET_ACCESS_KEY] {
        assert!(!log.holds(needle), "{needle} was logged");
    }
    assert!(!log.holds("AWS4-HMAC-SHA256"), "a signature was logged");
    assert!(!log.holds("transmitting request"), "the SDK was heard");
}
