//! Logging in and changing the password with the vendor's Python client, in every mode and over every listener.

mod support;

use dizzy_sandbox_oracle::{CertificateVersion, Identity, Listener, Mode, Options, OracleEmulator, pem};
use serde_json::{Value, json};
use support::{FIRST, SECOND, options, steps, steps_at, wallet};

#[test]
fn the_vendors_client_logs_in_asks_and_changes_its_password_in_every_mode() {
    for mode in Mode::ALL {
        let emulator = OracleEmulator::start(Options { mode, ..options() }).unwrap();
        let results = steps(
            &emulator,
            json!([
                ["login", "a", "app", FIRST],
                ["query", "a", "SELECT USER FROM DUAL"],
                ["query", "a", "SELECT 1 FROM DUAL"],
                ["ping", "a"],
                ["commit", "a"],
                ["rollback", "a"],
                ["change", "a", FIRST, SECOND],
                ["query", "a", "SELECT USER FROM DUAL"],
                ["close", "a"],
                ["login", "b", "APP", SECOND],
                ["login", "c", "APP", FIRST],
            ]),
        );
        let user = json!([["APP"]]);
        assert_eq!(results[1], user, "{mode:?}");
        assert_eq!(results[2], json!([[1]]), "{mode:?}");
        assert_eq!(results[3..7], [Value::Null, Value::Null, Value::Null, Value::Null], "{mode:?}");
        assert_eq!(results[7..10], [user, Value::Null, Value::Null], "{mode:?}");
        assert_eq!(results[10]["code"], 1017, "{mode:?}");
        assert!(emulator.password_is("APP", SECOND));
    }
}

#[test]
fn the_vendors_client_logs_in_over_tls_in_every_mode_also_when_tls_starts_twice() {
    for (mode, renegotiate) in Mode::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let emulator = OracleEmulator::start(Options { mode, renegotiate, ..options() }).unwrap();
        let folder = wallet(&[emulator.pki().ca_pem()]);
        let connect = json!({ "dsn": emulator.descriptor(Listener::Tls), "wallet_location": folder.path() });
        let story = json!([
            ["login", "a", "app", FIRST],
            ["change", "a", FIRST, SECOND],
            ["query", "a", "SELECT USER FROM DUAL"],
            ["close", "a"],
            ["login", "b", "app", FIRST],
        ]);
        let results = steps_at(&connect, story);
        assert_eq!(results[..4], [Value::Null, Value::Null, json!([["APP"]]), Value::Null], "{mode:?} {renegotiate}");
        assert_eq!(results[4]["code"], 1017, "{mode:?} {renegotiate}");
        assert!(emulator.password_is("APP", SECOND));
    }
}

#[test]
fn mutual_tls_takes_the_wallets_certificate_of_either_version_and_nobody_elses() {
    let emulator = OracleEmulator::start(Options { renegotiate: true, ..options() }).unwrap();
    let other = OracleEmulator::start(options()).unwrap();
    let login = |identity: Option<Identity>| {
        let own = identity.map(|identity| pem("PRIVATE KEY", identity.key_der()) + &identity.certificate_pem());
        let folder = wallet(&[own.unwrap_or_default(), emulator.pki().ca_pem()]);
        let connect = json!({ "dsn": emulator.descriptor(Listener::MutualTls), "wallet_location": folder.path() });
        steps_at(&connect, json!([["login", "a", "app", FIRST], ["query", "a", "SELECT USER FROM DUAL"]]))
    };
    for version in [CertificateVersion::V3, CertificateVersion::V1] {
        let results = login(Some(emulator.pki().client(version).unwrap()));
        assert_eq!(results[1], json!([["APP"]]), "{version:?}");
    }
    assert_ne!(login(None)[0], Value::Null);
    assert_ne!(login(Some(other.pki().client(CertificateVersion::V3).unwrap()))[0], Value::Null);
}
