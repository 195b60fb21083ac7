//! The SQL that looks after passwords, as ordinary clients send it.

mod support;

use dizzy_sandbox_oracle::{Mode, Options, OracleEmulator};
use serde_json::{Value, json};
use support::{ADMIN, FIRST, SECOND, THIRD, emulator, options, steps};

#[test]
fn queries_take_binds_by_position_and_by_name_and_execute_again() {
    for mode in Mode::ALL {
        let emulator = OracleEmulator::start(Options { mode, ..options() }).unwrap();
        let named = "SELECT USERNAME FROM DBA_USERS WHERE USERNAME = :name OR PROFILE = :profile ORDER BY 1";
        let results = steps(
            &emulator,
            json!([
                ["login", "a", "admin", ADMIN],
                ["query", "a", "select :1, :2, :3 from dual", ["text", 42, null]],
                ["query", "a", named, { "binds": { "name": "APP", "profile": "ROLLING" } }],
                ["again", "a", "SELECT USERNAME FROM DBA_USERS WHERE USERNAME = :1", [["APP"], ["OTHER"], ["NOBODY"]]],
                ["query", "a", "SELECT RESOURCE_NAME FROM DBA_PROFILES ORDER BY 1", { "arraysize": 3, "prefetchrows": 2 }],
                ["query", "a", "SELECT COUNT(*), MAX(RESOURCE_NAME) FROM DBA_PROFILES"],
                ["query", "a", "SELECT 'it''s', 'a' || 'b', NVL(NULL, 'c'), UPPER('d'), -5, 1000000 FROM DUAL"],
                ["query", "a", "SELECT * FROM DUAL WHERE 1 = :1", [2]],
                ["query", "a", "SELECT LENGTH(:1) FROM DUAL", ["x".repeat(5000)]],
            ]),
        );
        assert_eq!(results[1], json!([["text", 42, null]]), "{mode:?}");
        assert_eq!(results[2], json!([["APP"], ["OTHER"]]), "{mode:?}");
        assert_eq!(results[3], json!([[["APP"]], [["OTHER"]], []]), "{mode:?}");
        assert_eq!(results[4].as_array().unwrap().len(), 27, "{mode:?}");
        assert_eq!(results[5], json!([[27, "PASSWORD_VERIFY_FUNCTION"]]), "{mode:?}");
        assert_eq!(results[6], json!([["it's", "ab", "c", "D", -5, 1_000_000]]), "{mode:?}");
        assert_eq!(results[7], json!([]), "{mode:?}");
        assert_eq!(results[8], json!([[5000]]), "{mode:?}");
    }
}

#[test]
fn a_user_sees_itself_and_an_administrator_sees_all() {
    let emulator = emulator();
    let results = steps(
        &emulator,
        json!([
            ["login", "u", "app", FIRST],
            ["query", "u", "SELECT USERNAME, ACCOUNT_STATUS, LOCK_DATE, PROFILE FROM USER_USERS"],
            ["columns", "u", "SELECT EXPIRY_DATE, USER_ID, SYSTIMESTAMP AS NOW FROM USER_USERS"],
            ["query", "u", "SELECT PRIVILEGE FROM SESSION_PRIVS"],
            ["query", "u", "SELECT LIMIT FROM USER_PASSWORD_LIMITS WHERE RESOURCE_NAME = 'PASSWORD_REUSE_MAX'"],
            ["query", "u", "SELECT SYS_CONTEXT('USERENV', 'SESSION_USER'), SYS_CONTEXT('userenv', 'service_name') FROM DUAL"],
            ["query", "u", "SELECT USERNAME FROM DBA_USERS"],
            ["query", "u", "SELECT SID FROM V$SESSION"],
            ["query", "u", "SELECT NOTHING FROM DUAL"],
            ["execute", "u", "MAKE ME A SANDWICH"],
            ["login", "a", "admin", ADMIN],
            ["label", "u", { "module": "billing", "client_identifier": "run 7" }],
            ["ping", "u"],
            ["query", "a", "SELECT MODULE, CLIENT_IDENTIFIER, STATUS FROM V$SESSION WHERE USERNAME = 'APP'"],
            ["execute", "a", "GRANT SELECT ON SYS.V_$SESSION TO app"],
            ["query", "u", "SELECT COUNT(*) FROM GV$SESSION WHERE TYPE = 'USER'"],
            ["query", "u", "SELECT COUNT(*) FROM V$SESSION WHERE TYPE = 'USER'"],
        ]),
    );
    assert_eq!(results[1], json!([["APP", "OPEN", null, "DEFAULT"]]));
    let kinds =
        json!([["EXPIRY_DATE", "DB_TYPE_DATE"], ["USER_ID", "DB_TYPE_NUMBER"], ["NOW", "DB_TYPE_TIMESTAMP_TZ"]]);
    assert_eq!(results[2], kinds);
    assert_eq!(results[3], json!([["CREATE SESSION"]]));
    assert_eq!(results[4], json!([["4"]]));
    assert_eq!(results[5], json!([["APP", emulator.service()]]));
    assert_eq!([&results[6]["code"], &results[7]["code"]], [942, 942]);
    assert_eq!(results[8]["code"], 904);
    assert_eq!(results[9]["code"], 900);
    assert_eq!(results[13], json!([["billing", "run 7", "INACTIVE"]]));
    assert_eq!(results[15]["code"], 942);
    assert_eq!(results[16], json!([[2]]));
    assert!(emulator.statements().contains(&("APP".to_owned(), "MAKE ME A SANDWICH".to_owned())));
}

#[test]
fn an_administrator_makes_users_profiles_roles_and_grants_and_others_may_not() {
    let emulator = emulator();
    let results = steps(
        &emulator,
        json!([
            ["login", "a", "admin", ADMIN],
            [
                "execute",
                "a",
                "CREATE PROFILE slow LIMIT PASSWORD_ROLLOVER_TIME 2 PASSWORD_LIFE_TIME 30 FAILED_LOGIN_ATTEMPTS 3"
            ],
            [
                "execute",
                "a",
                format!(
                    "CREATE USER fresh IDENTIFIED BY \"{FIRST}\" PROFILE slow DEFAULT TABLESPACE data QUOTA 10M ON data"
                )
            ],
            ["login", "f", "fresh", FIRST],
            ["execute", "a", "GRANT CREATE SESSION, CONNECT TO fresh"],
            ["login", "f", "fresh", FIRST],
            ["query", "f", "SELECT LIMIT FROM USER_PASSWORD_LIMITS WHERE RESOURCE_NAME LIKE 'PASSWORD_ROLL%'"],
            ["execute", "f", "CREATE USER x IDENTIFIED BY y"],
            ["execute", "f", format!("ALTER USER app IDENTIFIED BY \"{SECOND}\"")],
            ["execute", "f", "GRANT DBA TO fresh"],
            ["execute", "f", "ALTER USER fresh ACCOUNT UNLOCK"],
            ["execute", "a", "CREATE USER fresh IDENTIFIED BY \"Other_password_1\""],
            ["execute", "a", "CREATE USER weak IDENTIFIED BY \"weak\""],
            ["execute", "a", "ALTER USER nobody ACCOUNT LOCK"],
            ["execute", "a", "GRANT CREATE SESSION TO nobody"],
            ["execute", "a", "DROP USER fresh"],
            ["close", "f"],
            ["execute", "a", "ALTER USER fresh ACCOUNT LOCK"],
            ["login", "f", "fresh", FIRST],
            ["execute", "a", "DROP USER fresh CASCADE"],
            ["login", "f", "fresh", FIRST],
            ["execute", "a", "CREATE USER \"Keeper\" NO AUTHENTICATION"],
            ["login", "f", "\"Keeper\"", FIRST],
        ]),
    );
    let codes: Vec<Option<u64>> = results.iter().map(|result| result["code"].as_u64()).collect();
    let ok = None;
    assert_eq!(codes[..7], [ok, ok, ok, Some(1045), ok, ok, ok]);
    assert_eq!(results[6], json!([["2"]]));
    assert_eq!(codes[7..15], [1031, 1031, 1031, 1031, 1920, 28003, 1918, 1917].map(Some));
    assert_eq!(codes[15..], [Some(1940), ok, ok, Some(28000), ok, Some(1017), ok, Some(1017)]);
}

/// What a definer's rights procedure looks like that ends its caller's rollover window.
const PROCEDURE: &str = "CREATE OR REPLACE PROCEDURE keeper.end_window AUTHID DEFINER IS\nBEGIN\n  EXECUTE IMMEDIATE 'ALTER USER ' || \
     SYS.DBMS_ASSERT.ENQUOTE_NAME(SYS_CONTEXT('USERENV', 'SESSION_USER'), FALSE)\n    || ' EXPIRE PASSWORD ROLLOVER PERIOD';\nEND;";

#[test]
fn a_grantee_ends_its_own_window_through_a_procedure_of_one_who_may() {
    let emulator = emulator();
    let results = steps(
        &emulator,
        json!([
            ["login", "a", "admin", ADMIN],
            ["execute", "a", "CREATE USER keeper NO AUTHENTICATION"],
            ["execute", "a", PROCEDURE],
            ["login", "o", "other", FIRST],
            ["execute", "o", "BEGIN keeper.end_window; END;"],
            ["execute", "a", "GRANT EXECUTE ON keeper.end_window TO other"],
            ["query", "o", "SELECT OWNER, OBJECT_NAME, AUTHID FROM ALL_PROCEDURES"],
            ["change", "o", FIRST, SECOND],
            ["query", "o", "SELECT ACCOUNT_STATUS FROM USER_USERS"],
            ["execute", "o", "BEGIN keeper.end_window; END;"],
            ["execute", "a", "GRANT ALTER USER TO keeper"],
            ["execute", "o", "ALTER USER other EXPIRE PASSWORD ROLLOVER PERIOD"],
            ["execute", "o", "CALL keeper.end_window()"],
            ["query", "o", "SELECT ACCOUNT_STATUS FROM USER_USERS"],
            ["login", "p", "other", FIRST],
            ["login", "q", "other", SECOND],
            [
                "query",
                "a",
                "SELECT LINE, TEXT FROM DBA_SOURCE WHERE NAME = 'END_WINDOW' ORDER BY LINE FETCH FIRST 1 ROWS ONLY"
            ],
        ]),
    );
    assert_eq!(results[4]["code"], 6550);
    assert_eq!(results[6], json!([["KEEPER", "END_WINDOW", "DEFINER"]]));
    assert_eq!(results[8], json!([["OPEN & IN ROLLOVER"]]));
    assert_eq!([&results[9]["code"], &results[11]["code"]], [1031, 1031]);
    assert_eq!(results[13], json!([["OPEN"]]));
    assert_eq!([&results[14]["code"], &results[15]], [&json!(1017), &Value::Null]);
    assert_eq!(results[16], json!([[1, "PROCEDURE keeper.end_window AUTHID DEFINER IS\n"]]));
    assert!(!emulator.password_logs_in("other", THIRD));
}

#[test]
fn an_administrator_ends_a_session_and_its_next_call_says_so() {
    let emulator = emulator();
    let results = steps(
        &emulator,
        json!([
            ["login", "a", "admin", ADMIN],
            ["login", "u", "app", FIRST],
            ["execute", "a", "ALTER SYSTEM KILL SESSION '1,1' IMMEDIATE"],
            ["kill", "a", "APP"],
            ["ping", "u"],
            ["query", "a", "SELECT COUNT(*) FROM V$SESSION WHERE USERNAME = 'APP'"],
        ]),
    );
    assert_eq!(results[2]["code"], 30);
    assert_eq!(results[3], Value::Null);
    assert_eq!(results[4]["code"], 28);
}
