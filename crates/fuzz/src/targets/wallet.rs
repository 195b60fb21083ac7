//! Wallets as somebody else may have made them: the zip archive, `ewallet.pem`, and `tnsnames.ora`.
//!
//! Without a password: deriving a key from one would take all of the time, and what is decrypted is the same PKCS#8.

use std::{io::Write as _, sync::Arc};

use dizzy_host::port::{PortError, SystemClock, SystemRandomness};
use dizzy_oracle::{Limits, OracleConfig, OracleDatabase, PublicRoots, Roots, Service, Wallet};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{Target, kind_of};

pub(super) const ALIASES: Target = Target {
    name: "tnsnames",
    deep: "found",
    run: aliases,
    words: &[
        "(DESCRIPTION=",
        "(ADDRESS=",
        "(PROTOCOL=tcps)",
        "(PROTOCOL=tcp)",
        "(HOST=",
        "(PORT=",
        "65536",
        "(CONNECT_DATA=",
        "(SERVICE_NAME=",
        "(SID=",
        "(SECURITY=",
        "(SSL_SERVER_CERT_DN=",
        "CN=",
        "\"",
        "\\",
        "#",
        "=",
        ")",
        "((",
        ",",
        "\u{e9}",
    ],
};

pub(super) const ARCHIVE: Target = Target {
    name: "wallet_zip",
    deep: "opened",
    run: archive,
    words: &[
        "PK\u{1}\u{2}",
        "PK\u{3}\u{4}",
        "PK\u{5}\u{6}",
        "ewallet.pem",
        "tnsnames.ora",
        "../",
        "/",
        "\\",
        "\u{0}\u{0}\u{0}\u{0}",
    ],
};

pub(super) const PEM: Target = Target {
    name: "wallet_pem",
    deep: "opened with a client",
    run: pem,
    words: &[
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----",
        "Proc-Type: 4,ENCRYPTED",
        "MII",
        "\n",
        "-----",
    ],
};

/// A root to trust, so that a wallet is one.
const ROOT: &[u8] = include_bytes!("root.pem");

/// How many aliases of a file are followed.
const FOLLOWED: usize = 4;

fn archive(data: &[u8]) -> String {
    answer(Wallet::from_bytes(data, None))
}

fn pem(data: &[u8]) -> String {
    answer(Wallet::from_pem(data, None))
}

fn answer(opened: Result<Wallet, PortError>) -> String {
    match opened {
        Ok(wallet) => {
            let shown = format!("{wallet:?}");
            assert!(shown.len() < 80, "a wallet shows nothing of itself: {shown}");
            let client = if wallet.expires_ms().is_some() { "with a client" } else { "without" };
            format!("opened {client}, {} aliases", wallet.aliases().count().min(3))
        }
        Err(error) => told(&error),
    }
}

fn told(error: &PortError) -> String {
    assert!(error.hint.is_some(), "every error says what to do: {error:?}");
    kind_of(&error.what)
}

/// The text as a `tnsnames.ora` of a wallet that is good otherwise, and as a descriptor.
fn aliases(data: &[u8]) -> String {
    let mut seen = String::new();
    if let Ok(text) = std::str::from_utf8(data)
        && text.trim_start().starts_with('(')
    {
        seen += &found(None, text);
    }
    let wallet = match Wallet::from_zip(&zipped(data), None) {
        Ok(wallet) => wallet,
        Err(error) => return seen + &told(&error),
    };
    let names: Vec<String> = wallet.aliases().take(FOLLOWED).map(str::to_owned).collect();
    for name in &names {
        let (upper, lower) = (found(Some(&wallet), name), found(Some(&wallet), &name.to_ascii_lowercase()));
        assert!(upper == lower || name.trim_start().starts_with('('), "an alias is found in any case");
        seen += &upper;
    }
    seen
}

/// Whether a service leads somewhere; nothing is connected.
fn found(wallet: Option<&Wallet>, service: &str) -> String {
    let database = OracleDatabase::new(OracleConfig {
        name: "fuzzed".to_owned(),
        service: Service::Named(service.to_owned()),
        wallet: wallet.cloned(),
        roots: Roots { public: PublicRoots::Ignored, private_pem: Some(ROOT.to_vec()) },
        limits: Limits::default(),
        randomness: Arc::new(SystemRandomness),
        clock: Arc::new(SystemClock),
    });
    match database {
        Ok(_) => "found ".to_owned(),
        Err(error) => kind_of(&error.what),
    }
}

#[expect(clippy::expect_used, reason = "memory takes what is written to it")]
fn zipped(aliases: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let how = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [("ewallet.pem", ROOT), ("tnsnames.ora", aliases)] {
        zip.start_file(name, how).expect("begin an entry");
        zip.write_all(content).expect("write an entry");
    }
    zip.finish().expect("end the archive").into_inner()
}
