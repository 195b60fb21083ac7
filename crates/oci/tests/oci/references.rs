//! Secret references into Vault.

use dizzy_host::port::{Certainty, Kind, PortError, SecretReader as _};
use dizzy_oci::OciSecretReader;
use dizzy_sandbox_oci::SecretOptions;

use crate::world::{World, soon};

async fn read(world: &World, reference: &str) -> Result<String, PortError> {
    let reader = OciSecretReader::new(world.clients.clone());
    reader.read(&reference.parse().unwrap(), soon()).await.map(|text| text.expose().to_owned())
}

#[tokio::test]
async fn a_reference_reads_the_whole_secret_or_one_field() {
    let world = World::new();
    let value = r#"{"username":"root","password":"s3cret","port":5432}"#;
    let ocid = world.oci.create_secret(&SecretOptions::new("admin", value)).unwrap();
    assert_eq!(read(&world, &format!("oci-vault:{ocid}#password")).await.unwrap(), "s3cret");
    assert_eq!(read(&world, &format!("oci-vault:{ocid}")).await.unwrap(), value);
    for (reference, kind) in [
        (format!("oci-vault:{ocid}#user"), Kind::Malformed),
        (format!("oci-vault:{ocid}#port"), Kind::Malformed),
        ("oci-vault:ocid1.vaultsecret.oc1.iad.nobody".to_owned(), Kind::NotFound),
        ("aws-sm:admin".to_owned(), Kind::Other),
    ] {
        let error = read(&world, &reference).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "{reference}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}
