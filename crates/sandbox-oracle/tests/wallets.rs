//! Wallets as the vendor's clients use them.

mod support;

use std::io::Read as _;

use dizzy_sandbox_oracle::{CertificateVersion, Options, OracleEmulator, Wallet, WalletKey, WalletOptions};
use serde_json::{Value, json};
use support::{FIRST, options, steps_at};

const PASSWORD: &str = "Wallet_password_1";

/// Logs in by aliases of a wallet and returns what each login came to: a service, or a refusal.
fn log_in(
    emulator: &OracleEmulator,
    wallet: &WalletOptions,
    password: Option<&str>,
    aliases: &[&str],
) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    Wallet::create(emulator, wallet)?.write_to(folder.path())?;
    // The client obeys the retries of a wallet: a refusal would take over a minute.
    let tnsnames = folder.path().join("tnsnames.ora");
    let quick = std::fs::read_to_string(&tnsnames)?.replace("(retry_count=20)(retry_delay=3)", "");
    support::write(&tnsnames, &quick);
    let folder = folder.path();
    let connect = json!({ "config_dir": folder, "wallet_location": folder, "wallet_password": password });
    let service = "SELECT SYS_CONTEXT('USERENV', 'SERVICE_NAME') FROM DUAL";
    let story = aliases
        .iter()
        .flat_map(|alias| [json!(["login", alias, "app", FIRST, { "dsn": alias }]), json!(["query", alias, service])]);
    Ok(steps_at(&connect, story.collect()).into_iter().skip(1).step_by(2).collect())
}

#[test]
fn every_alias_of_a_wallet_leads_to_its_service_with_either_certificate_and_either_key() {
    let services: Vec<String> =
        ["high", "medium", "low", "tp", "tpurgent"].map(|level| format!("sb_{level}.test")).into();
    let emulator = OracleEmulator::start(Options { services, renegotiate: true, ..options() }).unwrap();
    let encrypted = WalletOptions::default();
    let aliases = ["sandbox_high", "sandbox_medium", "sandbox_low", "sandbox_tp", "sandbox_tpurgent"];
    let levels = ["high", "medium", "low", "tp", "tpurgent"].map(|level| json!([[format!("sb_{level}.test")]]));
    assert_eq!(log_in(&emulator, &encrypted, Some(PASSWORD), &aliases).unwrap(), levels);
    let low = [json!([["sb_low.test"]])];
    let old = WalletOptions { version: CertificateVersion::V1, ..encrypted.clone() };
    assert_eq!(log_in(&emulator, &old, Some(PASSWORD), &["sandbox_low"]).unwrap(), low);
    let plain = WalletOptions { key: WalletKey::Plain, ..encrypted.clone() };
    assert_eq!(log_in(&emulator, &plain, None, &["sandbox_low"]).unwrap(), low);
    let without = WalletOptions { key: WalletKey::Absent, ..encrypted };
    assert_eq!(log_in(&emulator, &without, None, &["sandbox_low"]).unwrap(), low);
}

#[test]
fn a_wallet_with_a_strange_authority_or_opened_with_a_wrong_password_logs_nobody_in() {
    let emulator = support::emulator();
    let strange = WalletOptions { wrong_authority: true, ..WalletOptions::default() };
    let good = WalletOptions::default();
    for (wallet, password) in [(&strange, PASSWORD), (&good, "Wrong_password_1")] {
        let outcome = log_in(&emulator, wallet, Some(password), &["sandbox_low"]).unwrap();
        assert!(!outcome[0].is_array(), "{outcome:?}");
    }
    assert_eq!(emulator.user("app").unwrap().tally.logins, 0);
}

#[test]
fn the_zip_holds_what_the_folder_holds() {
    let emulator = support::emulator();
    let wallet = Wallet::create(&emulator, &WalletOptions::default()).unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(wallet.zip().unwrap())).unwrap();
    assert_eq!(zip.len(), wallet.files.len());
    for (name, content) in &wallet.files {
        let mut read = Vec::new();
        zip.by_name(name).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(&read, content, "{name}");
    }
    let pem = String::from_utf8(wallet.files["ewallet.pem"].clone()).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
}
