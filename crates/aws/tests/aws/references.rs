//! Secret references into Secrets Manager and SSM.

use dizzy_aws::AwsSecretReader;
use dizzy_host::port::{Certainty, Kind, PortError, SecretReader as _};
use dizzy_sandbox::moto::{Fault, Mishap};
use serde_json::{Value, json};

use crate::world::{World, soon};

async fn read(world: &World, reference: &str) -> Result<String, PortError> {
    let reader = AwsSecretReader::new(world.clients.clone());
    reader.read(&reference.parse().unwrap(), soon()).await.map(|text| text.expose().to_owned())
}

fn put_parameter(world: &World, name: &str, value: &str) {
    let input = json!({"Name": name, "Value": value, "Type": "SecureString", "Overwrite": true});
    world.moto.call("ssm", "PutParameter", &input).unwrap();
}

#[tokio::test]
async fn a_reference_reads_the_whole_secret_or_one_field() {
    let world = World::new();
    world.moto.create_secret("admin", r#"{"username":"root","password":"s3cret","port":5432}"#).unwrap();
    assert_eq!(read(&world, "aws-sm:admin#password").await.unwrap(), "s3cret");
    assert!(read(&world, "aws-sm:admin").await.unwrap().starts_with("{\"username\""));
    for (reference, kind) in [
        ("aws-sm:admin#user", Kind::Malformed),
        ("aws-sm:admin#port", Kind::Malformed),
        ("aws-sm:nobody", Kind::NotFound),
        ("env:HOME", Kind::Other),
    ] {
        let error = read(&world, reference).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "{reference}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_parameter_is_read_decrypted_latest_or_pinned() {
    let world = World::new();
    put_parameter(&world, "/dizzy/audit-key", "first");
    put_parameter(&world, "/dizzy/audit-key", "second \u{e9}\"\\");
    assert_eq!(read(&world, "aws-ssm:/dizzy/audit-key").await.unwrap(), "second \u{e9}\"\\");
    assert_eq!(read(&world, "aws-ssm:/dizzy/audit-key:1").await.unwrap(), "first");
    let by_cli = ["ssm", "get-parameter", "--with-decryption", "--name", "/dizzy/audit-key:1"];
    assert_eq!(world.moto.aws(&by_cli).unwrap()["Parameter"]["Value"], json!("first"), "the second judge");

    for (reference, code) in
        [("aws-ssm:/dizzy/audit-key:9", "ParameterVersionNotFound"), ("aws-ssm:/nobody", "ParameterNotFound")]
    {
        let error = read(&world, reference).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (Kind::NotFound, Some(code)));
        assert_eq!(error.what, format!("read {reference}: it does not exist"));
    }
}

#[tokio::test]
async fn a_parameter_read_gets_over_passing_faults_and_names_lasting_ones() {
    let world = World::new();
    put_parameter(&world, "/key", "value");
    for mishap in [Mishap::Throttle, Mishap::DropBefore, Mishap::Refuse(500, "InternalServerError")] {
        world.moto.inject(&Fault::next("GetParameter", mishap).times(2)).unwrap();
        assert_eq!(read(&world, "aws-ssm:/key").await.unwrap(), "value", "{mishap:?}");
        assert_eq!(world.moto.clear_faults().unwrap(), 0);
    }
    world.moto.inject(&Fault::next("GetParameter", Mishap::Refuse(400, "AccessDeniedException"))).unwrap();
    let error = read(&world, "aws-ssm:/key").await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert!(error.hint.unwrap().contains("allow ssm:GetParameter on aws-ssm:/key"));
    world.moto.inject(&Fault::next("GetParameter", Mishap::Throttle).times(9)).unwrap();
    assert_eq!(read(&world, "aws-ssm:/key").await.unwrap_err().kind, Kind::Throttled);
    assert_eq!(world.moto.clear_faults().unwrap(), 6, "three tries");
}

#[tokio::test]
async fn the_hand_made_signature_is_one_that_the_service_accepts() {
    let world = World::new();
    put_parameter(&world, "/key", "value");
    // A user with one right, and moto told to check signatures and rights.
    let iam = |args: &[&str]| world.moto.aws(&[&["iam"], args].concat()).unwrap();
    iam(&["create-user", "--user-name", "reader"]);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ssm:GetParameter", "secretsmanager:GetSecretValue"], "Resource": "*"}]});
    let policy = policy.to_string();
    iam(&["put-user-policy", "--user-name", "reader", "--policy-name", "p", "--policy-document", &policy]);
    let key: Value = iam(&["create-access-key", "--user-name", "reader"])["AccessKey"].clone();
    world.moto.create_secret("rights", "value-0").unwrap();
    world.moto.check_signatures().unwrap();

    let mut settings = crate::world::settings(&world.moto.endpoint());
    let (id, secret) = (key["AccessKeyId"].as_str().unwrap(), key["SecretAccessKey"].as_str().unwrap());
    settings.credentials = Some(dizzy_aws::Credentials::new(id, secret, None, None, "tests"));
    let reader = AwsSecretReader::new(dizzy_aws::AwsClients::load(settings.clone()));
    for reference in ["aws-ssm:/key", "aws-sm:rights"] {
        assert!(reader.read(&reference.parse().unwrap(), soon()).await.is_ok(), "{reference}");
    }
    settings.credentials = Some(dizzy_aws::Credentials::new(id, "another-secret-key", None, None, "tests"));
    let reader = AwsSecretReader::new(dizzy_aws::AwsClients::load(settings));
    for reference in ["aws-ssm:/key", "aws-sm:rights"] {
        let error = reader.read(&reference.parse().unwrap(), soon()).await.unwrap_err();
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Denied), "{reference}: {error:?}");
    }
}
