//! The vendor's Rust client, which the product uses, against the emulator: the second judge of the protocol.

mod support;

use dizzy_sandbox_oracle::{Effect, Fault, Listener, Mode, Options, OracleEmulator, Point, Profile};
use oracledb::{Config, Connection, ErrorKind};
use support::{FIRST, SECOND, options, wallet};

fn connect(descriptor: &str, wallet: Option<&str>, user: &str, password: &str) -> Result<Connection, oracledb::Error> {
    let mut config = Config::default().set_connect_string(descriptor)?.set_user(user).set_password(password);
    if let Some(wallet) = wallet {
        config = config.set_wallet_location(wallet);
    }
    oracledb::connect(config)
}

fn code(error: &oracledb::Error) -> Option<usize> {
    if let ErrorKind::DbError(error) = error.kind() { Some(error.code()) } else { None }
}

#[test]
fn it_logs_in_asks_and_changes_its_password_in_every_mode_with_and_without_tls() {
    for (mode, renegotiate) in Mode::ALL.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let emulator = OracleEmulator::start(Options { mode, renegotiate, ..options() }).unwrap();
        let folder = wallet(&[emulator.pki().ca_pem()]);
        let trust = folder.path().to_str().unwrap();
        let mut passwords = [FIRST, SECOND];
        for (listener, trust) in [(Listener::Tcp, None), (Listener::Tls, Some(trust))] {
            let descriptor = emulator.descriptor(listener);
            let [old, fresh] = passwords;
            let mut session = connect(&descriptor, trust, "app", old).unwrap();
            let user: String = session.query_row("SELECT USER FROM DUAL", &[]).unwrap().get(0).unwrap();
            assert_eq!(user, "APP", "{mode:?} {listener:?}");
            let bound: String = session.query_row("SELECT :1 FROM DUAL", &[&"text"]).unwrap().get(0).unwrap();
            assert_eq!(bound, "text");
            let number: i64 = session.query_row("SELECT 42 FROM DUAL", &[]).unwrap().get(0).unwrap();
            assert_eq!(number, 42);
            session.ping().unwrap();
            session.commit().unwrap();
            session.rollback().unwrap();
            assert_eq!(code(&session.execute("NONSENSE", &[]).err().unwrap()), Some(900));
            assert_eq!(code(&session.change_password(fresh, old).unwrap_err()), Some(1017));
            session.change_password(old, fresh).unwrap();
            session.close().unwrap();
            assert_eq!(code(&connect(&descriptor, trust, "app", old).err().unwrap()), Some(1017));
            assert!(emulator.password_is("app", fresh));
            assert_eq!(emulator.user("app").unwrap().sessions, 0);
            // Without reuse limits, so that the next round may go back.
            emulator.set_profile("DEFAULT", Profile::classic());
            passwords.reverse();
        }
    }
}

#[test]
fn a_lost_reply_to_a_change_says_nothing_about_what_became_of_it() {
    for (point, changed) in [(Point::BeforeChange, false), (Point::AfterChange, true)] {
        let emulator = support::emulator();
        let fault = emulator.plant(Fault::at(point, Effect::Drop));
        let session = connect(&emulator.descriptor(Listener::Tcp), None, "app", FIRST).unwrap();
        let error = session.change_password(FIRST, SECOND).unwrap_err();
        assert_eq!((code(&error), fault.fired()), (None, 1));
        assert_eq!(emulator.password_is("app", SECOND), changed);
    }
}
