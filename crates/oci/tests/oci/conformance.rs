//! The suite that every secret store has to pass, whichever cloud it is in; and what Vault cannot promise, by name.

use core::cell::Cell;

use async_trait::async_trait;
use dizzy_host::{
    port::SecretStore,
    secret::SecretText,
    testkit::conformance::{StoreFixture, store},
};
use dizzy_oci::OciVaultStore;
use dizzy_sandbox_oci::Stage;

use crate::world::{World, text};

const INITIAL: &str = r#"{"rds":{"username":"app","password":"value-0"}}"#;

struct Fixture<'a> {
    world: &'a World,
    ocid: String,
    store: OciVaultStore,
    absent: OciVaultStore,
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
        text(&self.world.oci.secret(&self.ocid).unwrap().at(Stage::Current).unwrap().text())
    }
}

/// Checks that ask for what the port exempts Vault from, each with the sentence that does.
const EXEMPT: [(&str, &str); 5] = [
    // "Whether `stage` makes the version PENDING by itself" (`stages_as_pending`).
    ("a_stage_touches_neither_current_nor_pending", "staging moved PENDING"),
    // A second register would take PENDING away from the first for good, so it is refused (rather than staged beside it).
    (
        "generations_and_registers_have_names_of_their_own",
        "stage: PortError { certainty: Refused, kind: ForeignRegister",
    ),
    // "A store in which names are given at creation only [...] merely checks that the version is there and will stay" (`label`).
    ("an_existing_version_can_be_named", "labels are "),
    // "`move_pending` is not called then."
    ("pending_moves_by_compare_and_swap", "move PENDING from nowhere: "),
    // Names an existing version, too; the names that were given at creation do stay.
    ("promotion_leaves_our_names_alone", "names are "),
];

#[tokio::test]
async fn vault_keeps_every_promise_of_a_store_that_the_port_does_not_exempt_it_from() {
    let world = World::new();
    let number = Cell::new(0);
    let report = store(async || {
        number.set(number.get() + 1);
        let (store, ocid) = world.secret(&format!("conformance-{}", number.get()), INITIAL);
        Fixture { world: &world, ocid, store, absent: world.store("ocid1.vaultsecret.oc1.iad.absent") }
    })
    .await;
    assert_eq!(report.skipped, [], "nothing is left out");
    assert_eq!(report.broken.len(), EXEMPT.len(), "{:?}", report.broken);
    for ((broken, why), (exempt, reason)) in report.broken.iter().zip(EXEMPT) {
        assert_eq!(*broken, exempt);
        assert!(why.starts_with(reason), "{broken}: {why}");
    }
    assert!(report.held.len() >= 15, "{:?}", report.held);
}
