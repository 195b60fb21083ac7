//! The suite that every secret store has to pass, whichever cloud it is in.

use core::cell::Cell;

use async_trait::async_trait;
use dizzy_aws::SecretsManagerStore;
use dizzy_host::{
    port::SecretStore,
    secret::SecretText,
    testkit::conformance::{StoreFixture, store},
};
use dizzy_sandbox::moto::Moto;

use crate::world::{World, text};

const INITIAL: &str = r#"{"rds":{"username":"app","password":"value-0"}}"#;

struct Fixture<'a> {
    moto: &'a Moto,
    secret: String,
    store: SecretsManagerStore,
    absent: SecretsManagerStore,
}

#[async_trait]
impl StoreFixture for Fixture<'_> {
    fn store(&self) -> &dyn SecretStore {
        &self.store
    }

    fn initial(&self) -> SecretText {
        text(INITIAL)
    }

    fn absent(&self) -> Option<&dyn SecretStore> {
        Some(&self.absent)
    }

    async fn published(&self) -> SecretText {
        text(&self.moto.current_text(&self.secret).unwrap())
    }
}

#[tokio::test]
async fn secrets_manager_keeps_every_promise_of_a_store() {
    let world = World::new();
    let number = Cell::new(0);
    let report = store(async || {
        number.set(number.get() + 1);
        let secret = format!("conformance-{}", number.get());
        let (store, _) = world.secret(&secret, INITIAL);
        Fixture { moto: &world.moto, secret, store, absent: world.store("absent") }
    })
    .await;
    assert_eq!(report.skipped, [], "nothing is left out");
    let held = report.into_result().unwrap();
    assert!(held.len() >= 20, "{held:?}");
}
