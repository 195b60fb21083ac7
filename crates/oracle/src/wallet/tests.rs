//! Wallets of every kind: encrypted and plain keys, order of certificates, wallets without a key, and what is refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use dizzy_host::{port::Kind, secret::Password};
use pkcs8::{
    EncryptedPrivateKeyInfoRef,
    der::{Encode as _, asn1::OctetStringRef},
    pkcs5::pbes2::Parameters,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::Wallet;

const SECRET: &str = "Canary-wallet-1";

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    params
}

/// A client with its key, and the two certificates above it.
struct Chain {
    key: KeyPair,
    client: String,
    middle: String,
    root: String,
}

impl Chain {
    fn new() -> Self {
        let authority = |name: &str| {
            let mut params = named(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, middle_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("root").self_signed(&root_key).unwrap().pem();
        let root_issuer = Issuer::new(authority("root"), root_key);
        let middle = authority("middle").signed_by(&middle_key, &root_issuer).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let client = named("client").signed_by(&key, &Issuer::new(authority("middle"), middle_key)).unwrap().pem();
        Self { key, client, middle, root }
    }

    fn plain_key(&self) -> String {
        self.key.serialize_pem()
    }

    fn encrypted_key(&self, rounds: u32) -> String {
        let scheme = Parameters::generate_pbkdf2_sha256_aes256cbc(rounds, &[7; 16], [9; 16]).unwrap();
        // The number of rounds that a hostile file gives need not be those that made it.
        let used = Parameters::generate_pbkdf2_sha256_aes256cbc(rounds.min(2048), &[7; 16], [9; 16]).unwrap();
        let data = used.encrypt(SECRET, &self.key.serialize_der()).unwrap();
        encrypted_pem(scheme, &data)
    }
}

fn encrypted_pem(scheme: Parameters, data: &[u8]) -> String {
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: scheme.into(),
        encrypted_data: OctetStringRef::new(data).unwrap(),
    };
    let der = info.to_der().unwrap();
    let document = pkcs8::der::SecretDocument::try_from(der.as_slice()).unwrap();
    document.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
}

fn sent(wallet: &Wallet) -> Vec<String> {
    let chain = &wallet.client.as_ref().unwrap().cert;
    chain.iter().map(|der| common_name(der)).collect()
}

fn common_name(der: &[u8]) -> String {
    let names = ["client", "middle", "root", "other"];
    let subject = crate::der::Certificate::read(der).unwrap().subject;
    let text = String::from_utf8_lossy(subject);
    names.iter().find(|name| text.contains(*name)).unwrap().to_string()
}

#[test]
fn an_encrypted_and_a_plain_key_open_to_the_same_wallet() {
    let chain = Chain::new();
    let certificates = format!("{}{}{}", chain.client, chain.middle, chain.root);
    let encrypted = format!("{}{certificates}", chain.encrypted_key(2048));
    let plain = format!("{}{certificates}", chain.plain_key());
    for (pem, password) in
        [(&encrypted, Some(password(SECRET))), (&plain, None), (&plain, Some(password("not needed")))]
    {
        let wallet = Wallet::from_pem(pem.as_bytes(), password.as_ref()).unwrap();
        assert_eq!(sent(&wallet), ["client", "middle", "root"]);
        assert_eq!(wallet.roots.iter().map(|der| common_name(der)).collect::<Vec<_>>(), ["middle", "root"]);
        assert_eq!(wallet.expires_ms(), Some(1_893_456_000_000), "2030-01-01");
    }
}

#[test]
fn the_clients_certificate_is_found_wherever_it_stands() {
    let chain = Chain::new();
    let text = format!(
        "Bag Attributes\n{}{}\nKey Attributes: <No Attributes>\n{}{}",
        chain.root,
        chain.middle,
        chain.client,
        chain.plain_key()
    );
    let wallet = Wallet::from_pem(text.as_bytes(), None).unwrap();
    assert_eq!(sent(&wallet), ["client", "middle", "root"]);
}

#[test]
fn a_chain_stops_where_the_file_has_no_issuer() {
    let (chain, other) = (Chain::new(), Chain::new());
    let text = format!("{}{}{}", chain.plain_key(), chain.client, other.root);
    let wallet = Wallet::from_pem(text.as_bytes(), None).unwrap();
    assert_eq!(sent(&wallet), ["client"]);
    assert_eq!(wallet.roots.len(), 1);
}

#[test]
fn without_a_key_every_certificate_is_a_root() {
    let chain = Chain::new();
    let wallet = Wallet::from_pem(format!("{}{}", chain.middle, chain.root).as_bytes(), None).unwrap();
    assert!(wallet.client.is_none());
    assert_eq!((wallet.roots.len(), wallet.expires_ms()), (2, None));
}

#[test]
fn a_wrong_and_a_missing_password_are_told_apart_and_quoted_nowhere() {
    let chain = Chain::new();
    let pem = format!("{}{}", chain.encrypted_key(2048), chain.client);
    for (given, why) in
        [(None, "no wallet password"), (Some(password("Canary-wrong")), "is wrong"), (Some(password("")), "is wrong")]
    {
        let error = Wallet::from_pem(pem.as_bytes(), given.as_ref()).unwrap_err();
        assert_eq!(error.kind, Kind::Malformed);
        assert!(error.what.contains(why), "{}", error.what);
        assert!(!format!("{error:?}").contains("Canary"));
    }
}

#[test]
fn a_key_whose_derivation_would_take_for_ever_is_refused() {
    let chain = Chain::new();
    let pem = format!("{}{}", chain.encrypted_key(90_000_000), chain.client);
    let error = Wallet::from_pem(pem.as_bytes(), Some(&password(SECRET))).unwrap_err();
    assert!(error.what.contains("takes too long"), "{}", error.what);
    let huge = pkcs8::pkcs5::scrypt::Params::new(24, 8, 1).unwrap();
    let scheme = Parameters::generate_scrypt_aes256cbc(huge, &[7; 16], [9; 16]).unwrap();
    let pem = format!("{}{}", encrypted_pem(scheme, &[0; 64]), chain.client);
    let error = Wallet::from_pem(pem.as_bytes(), Some(&password(SECRET))).unwrap_err();
    assert!(error.what.contains("too much memory"), "{}", error.what);
}

#[test]
fn broken_files_are_malformed() {
    let (chain, other) = (Chain::new(), Chain::new());
    let key = chain.encrypted_key(2048);
    for (pem, why) in [
        (String::new(), "neither a key nor a certificate"),
        ("no PEM".to_owned(), "neither a key nor a certificate"),
        (format!("{}{}", chain.plain_key(), other.client), "belongs to the key"),
        (chain.plain_key(), "belongs to the key"),
        (key[..key.len() / 2].to_owned(), "damaged or cut off"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(), "cannot use"),
        (format!("{}-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", chain.client), "damaged or cut off"),
        (chain.root.repeat(65), "more than 64"),
    ] {
        let error = Wallet::from_pem(pem.as_bytes(), Some(&password(SECRET))).unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{why}");
        assert!(error.what.contains(why), "{why}: {}", error.what);
    }
    assert_eq!(Wallet::from_pem(&[0xFF, 0xFE], None).unwrap_err().kind, Kind::Malformed);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
fn a_folder_is_read_like_an_archive_and_a_missing_one_is_told() {
    let chain = Chain::new();
    let folder = tempfile::tempdir().unwrap();
    let missing = Wallet::from_folder(folder.path(), None).unwrap_err();
    assert_eq!(missing.kind, Kind::NotFound);
    std::fs::write(folder.path().join("ewallet.pem"), &chain.root).unwrap();
    assert_eq!(Wallet::from_folder(folder.path(), None).unwrap().aliases().count(), 0);
    let alias = "Low=(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=h)(PORT=1))(CONNECT_DATA=(SERVICE_NAME=s)))";
    std::fs::write(folder.path().join("tnsnames.ora"), alias).unwrap();
    assert_eq!(Wallet::from_folder(folder.path(), None).unwrap().aliases().collect::<Vec<_>>(), ["LOW"]);
    std::fs::write(folder.path().join("ewallet.pem"), vec![b' '; 300_000]).unwrap();
    assert_eq!(Wallet::from_folder(folder.path(), None).unwrap_err().kind, Kind::Malformed);
}

#[test]
fn what_a_source_hands_out_is_told_as_what_it_is() {
    let chain = Chain::new();
    let pem = format!("Bag Attributes\n{}{}", chain.plain_key(), chain.client);
    assert!(Wallet::from_bytes(pem.as_bytes(), None).unwrap().client.is_some());
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (b" \r\n", "it is empty"),
        (b"<!DOCTYPE html><html><title>Canary</title>", "a web page"),
        (b"\n<?xml version=\"1.0\"?><Error>Canary</Error>", "a web page"),
        (b"{\"code\":\"ObjectNotFound\",\"message\":\"Canary\"}", "JSON"),
        (b"Canary", "neither a zip archive nor PEM"),
        (b"PK\x03\x04Canary", "cut off"),
        (b"PK", "cut off"),
    ] {
        let error = Wallet::from_bytes(bytes, None).unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{why}");
        assert!(error.what.contains(why), "{why}: {}", error.what);
        assert!(!format!("{error:?}").contains("Canary"));
    }
    let long = vec![b'-'; 300_000];
    assert!(Wallet::from_pem(&long, None).unwrap_err().what.contains("larger than 256 KiB"));
}

#[test]
fn a_key_that_is_not_pkcs_8_is_refused_with_the_command_that_makes_it_so() {
    // Made with openssl 3: req -x509 -newkey rsa:2048, then rsa -traditional, without and with -aes128; and ecparam -genkey.
    for pem in [include_str!("pkcs1.pem"), include_str!("pkcs1_encrypted.pem"), include_str!("sec1.pem")] {
        let error = Wallet::from_bytes(pem.as_bytes(), Some(&password(SECRET))).unwrap_err();
        assert!(error.what.contains("an older form"), "{}", error.what);
        assert!(error.hint.unwrap().contains("openssl pkcs8 -topk8"));
    }
}

#[test]
fn a_wallet_shows_nothing_of_itself() {
    let chain = Chain::new();
    let wallet = Wallet::from_pem(format!("{}{}", chain.plain_key(), chain.client).as_bytes(), None).unwrap();
    assert_eq!(format!("{wallet:?}"), "Wallet { expires_ms: Some(1893456000000), .. }");
}
