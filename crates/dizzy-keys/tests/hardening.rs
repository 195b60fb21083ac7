//! What the process keeps to itself: its memory, its environment, and what a panic would say.
//!
//! A worker is looked at while it waits for a store that never answers. Root may look at every process, so under root the worker
//! and who looks at it run as a user of their own.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests panic as tests do, and write files"
)]

use std::{
    fs,
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_dizzy-keys");
const SECRET_KEY: &str = "canary-aws-secret-key-5Hq";
const SESSION_TOKEN: &str = "canary-aws-session-token-5Hq";
const ADMIN: &str = "canary-admin-in-the-environment-5Hq";
const CANARIES: [&str; 3] = [SECRET_KEY, SESSION_TOKEN, ADMIN];
const KEY_ID: &str = "AKIDEXAMPLE";
/// Nobody, on every Linux.
const NOBODY: u32 = 65_534;

const CONFIG: &str = r#"[sets.orders.databases.rds]
engine = "postgres"
host = "localhost"
users = ["orders_a", "orders_b"]
admin = "env:ORDERS_ADMIN"
[[sets.orders.secrets]]
store = "aws-sm:prod/orders"
"#;

const ORACLE: &str = r#"[sets.orders.databases.adb]
engine = "oracle"
service = "orders_low"
users = ["ORDERS_A", "ORDERS_B"]
[[sets.orders.secrets]]
store = "aws-sm:prod/orders"
"#;

/// A new folder that every user may enter. The home of who runs the tests, and what is below it, often is not.
fn open_folder() -> TempDir {
    let enterable = |folder: &Path| {
        folder.ancestors().all(|each| fs::metadata(each).is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
    };
    let places = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), "/dev/shm".into()];
    let place = places.iter().find(|place| enterable(place)).expect("a folder for temporary files that all may enter");
    let folder = tempfile::tempdir_in(place).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A folder with a configuration, and a store that takes calls and never answers.
struct Silence {
    folder: TempDir,
    store: TcpListener,
    /// The program, where the user that it runs as may reach it: the folder that it was built in may be closed.
    program: PathBuf,
    _place: TempDir,
}

impl Silence {
    fn new(config: &str) -> Self {
        let (folder, place) = (open_folder(), open_folder());
        fs::write(folder.path().join("dizzy-keys.toml"), config).unwrap();
        let program = place.path().join("dizzy-keys");
        fs::hard_link(BINARY, &program).or_else(|_| fs::copy(BINARY, &program).map(drop)).unwrap();
        Self { folder, store: TcpListener::bind("127.0.0.1:0").unwrap(), program, _place: place }
    }

    /// The program under test, with arguments.
    fn dizzy_keys(&self, args: &[&str]) -> Command {
        self.command(self.program.to_str().unwrap(), args)
    }

    /// A program with the secrets in its environment, as the user that the test looks as.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env_clear().envs([
            ("PATH", std::env::var("PATH").unwrap()),
            ("AWS_REGION", "us-west-2".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN.to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.store.local_addr().unwrap())),
            ("ORDERS_ADMIN", format!("{{\"username\":\"dba\",\"password\":\"{ADMIN}\"}}")),
        ]);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// A worker that waits for the store, and the call that it waits for.
    fn held(&self) -> (Held, TcpStream) {
        let worker = Held(self.dizzy_keys(&["-vvv", "plan", "orders"]).spawn().unwrap());
        let (call, _) = self.store.accept().unwrap();
        (worker, call)
    }

    /// What a program of the same user makes of a file of another process.
    fn looks(&self, file: &str) -> Output {
        self.command("head", &["-c", "65536", file]).stdout(Stdio::piped()).output().unwrap()
    }
}

/// A process that dies with the test.
struct Held(Child);

impl Held {
    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn nobody_but_root_looks_into_a_worker() {
    let at = Silence::new(CONFIG);
    // Who looks sees the secrets of a process that does not guard itself.
    let unguarded = Held(at.command("sleep", &["600"]).spawn().unwrap());
    let environ = unguarded.file("environ");
    let seen = loop {
        // Until the program has begun, the file is still that of this test.
        let seen = at.looks(&environ);
        if text(&seen.stdout).contains(KEY_ID) {
            break text(&seen.stdout);
        }
    };
    for canary in CANARIES {
        assert!(seen.contains(canary), "the control shows {canary}");
    }

    let (worker, _call) = at.held();
    for file in ["environ", "mem", "maps", "auxv"] {
        let seen = at.looks(&worker.file(file));
        assert!(!seen.status.success() && seen.stdout.is_empty(), "{file}: {}", text(&seen.stdout));
        assert!(text(&seen.stderr).contains("denied"), "{file}: {}", text(&seen.stderr));
    }
    assert_eq!(fs::metadata(worker.file("mem")).unwrap().uid(), 0, "what nobody may trace belongs to root");
    let limits = fs::read_to_string(worker.file("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

#[test]
fn a_worker_that_is_aborted_leaves_no_core() {
    let at = Silence::new(CONFIG);
    let (mut worker, _call) = at.held();
    let sent = Command::new("kill").args(["-ABRT", &worker.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let status = worker.0.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    let left: Vec<_> = fs::read_dir(at.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("core")), "{left:?}");
}

#[test]
fn secrets_in_the_environment_are_used_and_are_gone_from_it() {
    let at = Silence::new(CONFIG);
    let (worker, mut call) = at.held();
    // The call is signed for the session, which takes both secrets.
    let mut request = vec![0; 16 * 1024];
    let mut length = 0;
    while !text(&request[..length]).contains("\r\n\r\n") {
        let more = call.read(&mut request[length..]).unwrap();
        assert!(more > 0, "the call ends before its head: {}", text(&request[..length]));
        length += more;
    }
    let request = text(&request[..length]).to_lowercase();
    assert!(request.contains(&format!("credential={}/", KEY_ID.to_lowercase())), "{request}");
    assert!(request.contains(&SESSION_TOKEN.to_lowercase()), "{request}");

    // Only root can look, and not in every container.
    match fs::read(worker.file("environ")) {
        Ok(environ) => {
            let environ = text(&environ);
            for name in ["AWS_SECRET_ACCESS_KEY=\0", "AWS_SESSION_TOKEN=\0", "ORDERS_ADMIN=\0", KEY_ID] {
                assert!(environ.contains(name), "{name} in {environ:?}");
            }
            for canary in CANARIES {
                assert!(!environ.contains(canary), "{canary} in {environ:?}");
            }
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    drop(call);
    let mut said = String::new();
    let mut worker = worker;
    worker.0.kill().unwrap();
    worker.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    for canary in CANARIES {
        assert!(!said.contains(canary), "{said}");
    }
    assert!(!said.contains("could not be taken out"), "nothing fell short: {said}");
}

#[test]
fn a_panic_says_where_and_never_what() {
    let at = Silence::new(CONFIG);
    let canary = "canary-in-a-panic-5Hq";
    for (form, place, exit) in [("text", "main", 3), ("json", "main", 3), ("text", "thread", 0), ("json", "thread", 0)]
    {
        let mut command = at.dizzy_keys(&["-vvv", "--output", form, "schema"]);
        command.envs([("DIZZY_KEYS_PANIC_AT", place), ("DIZZY_KEYS_PANIC_WITH", canary), ("RUST_BACKTRACE", "full")]);
        let output = command.stdout(Stdio::piped()).output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{form}, {place}: {err}");
        assert!(!out.contains(canary) && !err.contains(canary), "{form}, {place}: {err}");
        assert!(err.contains("internal error") && err.contains("crates/dizzy-keys/src/harden.rs:"), "{err}");
        assert_eq!(err.contains("DK-199"), place == "main", "{err}");
        if form == "json" {
            assert!(err.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{err}");
        }
    }
}

#[test]
fn oracle_is_not_worked_on_while_its_driver_would_print_packets() {
    let at = Silence::new(ORACLE);
    at.store.set_nonblocking(true).unwrap();
    for command in ["check", "plan", "prepare", "rotate", "status", "verify", "recover"] {
        let mut command = at.dizzy_keys(&["--yes", "--output", "json", command, "orders"]);
        let output = command.env("RSO_DEBUG_PACKETS", "1").output().unwrap();
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains("DK-105") && err.contains("RSO_DEBUG_PACKETS"), "{err}");
    }
    let called = at.store.accept().map(drop).unwrap_err();
    assert_eq!(called.kind(), std::io::ErrorKind::WouldBlock, "no store was called");
    let left: Vec<_> = fs::read_dir(at.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["dizzy-keys.toml"], "and nothing was written");
    // Without an Oracle database there is nothing to print.
    let postgres = Silence::new(CONFIG);
    let status = postgres.dizzy_keys(&["status"]).env("RSO_DEBUG_PACKETS", "1").status().unwrap();
    assert!(status.success());
}
