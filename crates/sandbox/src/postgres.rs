//! A real PostgreSQL cluster in a temporary folder: TLS, SCRAM, its own port, a log that tests can read.
//!
//! The server lives under a small `sh` that waits on a pipe from this process. When the pipe closes, because the value was dropped,
//! the test panicked or the process was killed, the shell stops the server and removes the folder. Nothing here
//! knows the product: passwords are judged by the `psql` program alone.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::certs::{Certificates, ServerCertificate};

/// How long a server may take to start: generous, because a loaded machine is not a failed test.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at the server's pid file while it starts.
const START_POLL: Duration = Duration::from_millis(10);
/// How often a free port is tried: somebody else may take it between our look and the server's start.
const PORT_TRIES: u32 = 5;

/// Stops the server (immediate mode: no checkpoint) and removes the folder once the pipe on standard input ends.
const SUPERVISOR: &str = r#"
folder=$1; log=$2; shift 2
cd /
"$@" </dev/null >>"$log" 2>&1 &
server=$!
while read -r _; do :; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf -- "$folder"
"#;

/// What the server offers on its port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// TLS only, with this certificate.
    With(ServerCertificate),
    /// No TLS.
    Off,
}

/// Whether the server flushes to disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// As in production.
    Fsync,
    /// Faster, and good enough where nobody pulls the plug.
    NoFsync,
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// What the port offers.
    pub tls: Tls,
    /// Whether the server flushes.
    pub durability: Durability,
    /// A folder in which a freshly made cluster may be kept and copied from; saves about a second per start.
    pub cache: Option<PathBuf>,
    /// Further lines of `postgresql.conf`; the last line for a name wins.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            tls: Tls::With(ServerCertificate::Good),
            durability: Durability::NoFsync,
            cache: None,
            settings: Vec::new(),
        }
    }
}

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    tls: Tls,
    certificates: Certificates,
    programs: Programs,
    supervisor: Child,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// If PostgreSQL is not installed, or the server does not start.
    pub fn start(options: &PostgresOptions) -> Result<Self> {
        let (programs, folder) = (Programs::find()?, Folder::create()?);
        let data = folder.path().join("data");
        match &options.cache {
            Some(cache) => programs.copy_template(cache, &data)?,
            None => programs.initdb(&data)?,
        }
        Self::run(programs, folder, options)
    }

    /// A streaming standby of this server, in a folder of its own, read-only. It has the same users and certificates of its own.
    ///
    /// # Errors
    /// If the base backup fails or the standby does not start.
    pub fn standby(&self) -> Result<Self> {
        let folder = Folder::create()?;
        let data = folder.path().join("data");
        self.programs.own(folder.path())?;
        let mut backup = self.programs.as_server_user("pg_basebackup");
        backup.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        backup.args(["-X", "fetch", "--checkpoint=fast", "--no-sync", "-R", "-D"]).arg(&data);
        run(&mut backup, "copy the server")?;
        Self::run(self.programs.clone(), folder, &PostgresOptions { tls: self.tls, ..PostgresOptions::default() })
    }

    fn run(programs: Programs, folder: Folder, options: &PostgresOptions) -> Result<Self> {
        let data = folder.path().join("data");
        let certs = folder.path().join("certs");
        fs::create_dir_all(&certs).context("create a folder for certificates")?;
        let certificates = Certificates::create(&certs)?;
        let mut failures = String::new();
        for _ in 0..PORT_TRIES {
            let port = free_port()?;
            write(&data.join("pg_hba.conf"), hba(options.tls))?;
            write(&data.join("dizzy.conf"), &settings(folder.path(), port, &certificates, options))?;
            write(&data.join("postgresql.conf"), "include 'dizzy.conf'\n")?;
            programs.own(folder.path())?;
            let mut supervisor = programs.supervise(folder.path(), &data)?;
            match wait_until_ready(&data, folder.path(), &mut supervisor) {
                Ok(()) => {
                    let folder = folder.into_path();
                    return Ok(Self { folder, port, tls: options.tls, certificates, programs, supervisor });
                }
                Err(error) => {
                    let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                    supervisor.kill().ok();
                    supervisor.wait().ok();
                    writeln!(failures, "{error:#}\n{log}")?;
                    if !log.contains("could not bind") {
                        break;
                    }
                }
            }
        }
        bail!("PostgreSQL did not start: {failures}")
    }

    /// The host name that the certificate is for.
    #[must_use]
    pub const fn host(&self) -> &'static str {
        "localhost"
    }

    /// The port, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The authority that clients of this server trust.
    #[must_use]
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The server's log so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn log_text(&self) -> Result<String> {
        let bytes = fs::read(self.folder.join("log")).context("read the server's log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs SQL as the superuser in the database `postgres`, through the Unix socket; stops at the first error.
    /// The answer is unaligned, without headers. The SQL goes to `psql` on standard input.
    ///
    /// # Errors
    /// If `psql` fails; the error holds what it said.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.psql_as("postgres", "postgres", sql)
    }

    /// As [`psql`](Self::psql), as any user (the socket trusts) in any database.
    ///
    /// # Errors
    /// If `psql` fails; the error holds what it said.
    pub fn psql_as(&self, user: &str, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.programs.psql();
        psql.env("PGHOST", &self.folder).env("PGUSER", user).env("PGDATABASE", database);
        psql.env("PGPORT", self.port.to_string()).args(["-v", "ON_ERROR_STOP=1", "-f", "-"]);
        let output = feed(&mut psql, sql.as_bytes())?;
        ensure!(output.status.success(), "psql as {user}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Creates a user that may log in with `password`.
    ///
    /// # Errors
    /// If `psql` fails.
    pub fn create_role(&self, user: &str, password: &str) -> Result<()> {
        // The log is no place for what a test is going to look for there.
        let quiet = "SET log_statement = 'none'; SET log_min_error_statement = 'panic';";
        let (user, password) = (identifier(user), literal(password));
        self.psql(&format!("{quiet} CREATE ROLE {user} LOGIN PASSWORD {password};")).map(drop)
    }

    /// Whether `psql` can log in over TCP with this password: with TLS, chain and host name verified, if the server has TLS.
    ///
    /// # Errors
    /// If the login failed for another reason than the password.
    pub fn login(&self, user: &str, password: &str) -> Result<bool> {
        let mut psql = self.programs.psql();
        self.over_tcp(&mut psql, user, password, "postgres");
        let output = psql.args(["-w", "-c", "SELECT 1"]).stdin(Stdio::null()).output().context("run psql")?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(true),
            false if said.contains("password authentication failed") => Ok(false),
            false => bail!("psql could not log in as {user}: {said}"),
        }
    }

    /// Holds a session as an application would, logged in over TCP as [`login`](Self::login) does, until the value is dropped.
    ///
    /// # Errors
    /// If the login fails.
    pub fn hold_session(&self, user: &str, password: &str, database: &str) -> Result<HeldSession> {
        let mut psql = self.programs.psql();
        self.over_tcp(&mut psql, user, password, database);
        psql.args(["-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        hold(psql, "SELECT 'held';\n")
    }

    /// Runs SQL as the superuser in a transaction that stays open, with its locks, until the value is dropped; then it is rolled back.
    ///
    /// # Errors
    /// If the SQL fails.
    pub fn hold_transaction(&self, sql: &str) -> Result<HeldSession> {
        let mut psql = self.programs.psql();
        psql.env("PGHOST", &self.folder).env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        psql.env("PGPORT", self.port.to_string()).args(["-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", "-"]);
        hold(psql, &format!("BEGIN;\n{sql};\n\\o\nSELECT 'held';\n"))
    }

    fn over_tcp(&self, psql: &mut Command, user: &str, password: &str, database: &str) {
        psql.env("PGHOST", self.host()).env("PGHOSTADDR", "127.0.0.1").env("PGPORT", self.port.to_string());
        psql.env("PGUSER", user).env("PGDATABASE", database).env("PGPASSWORD", password);
        match self.tls {
            Tls::With(_) => {
                psql.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", self.certificates.ca_file());
            }
            Tls::Off => {
                psql.env("PGSSLMODE", "disable");
            }
        }
    }

    /// Ends every session of `user`, as an administrator would, and tells how many there were.
    ///
    /// # Errors
    /// If `psql` fails.
    pub fn end_sessions(&self, user: &str) -> Result<usize> {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = {}",
            literal(user)
        );
        self.psql(&sql)?.parse().context("read a count")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().ok();
    }
}

/// Starts psql, gives it the text, and waits for the word `held`.
fn hold(mut psql: Command, text: &str) -> Result<HeldSession> {
    psql.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut held = HeldSession(psql.spawn().context("start psql")?);
    let stdin = held.0.stdin.as_mut().context("psql's standard input")?;
    stdin.write_all(text.as_bytes()).context("ask through psql")?;
    let mut answer = [0; 4];
    held.0.stdout.as_mut().context("psql's standard output")?.read_exact(&mut answer).context("hear from psql")?;
    ensure!(&answer == b"held", "psql said something else");
    Ok(held)
}

/// A session that an application holds; dropping it ends it.
#[derive(Debug)]
pub struct HeldSession(Child);

impl Drop for HeldSession {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// An SQL identifier, quoted.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string, quoted.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The temporary folder, until a supervisor is responsible for it.
#[derive(Debug)]
struct Folder(tempfile::TempDir);

impl Folder {
    fn create() -> Result<Self> {
        // Short, because a Unix socket's path may have 107 bytes only.
        tempfile::Builder::new().prefix("dizzy-pg-").tempdir().map(Self).context("create a temporary folder")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn into_path(self) -> PathBuf {
        self.0.keep()
    }
}

/// Where PostgreSQL's programs are, and which user the server runs as.
#[derive(Clone, Debug)]
struct Programs {
    folder: PathBuf,
    /// `Some` if this process is root: the server refuses to run as root.
    user: Option<ServerUser>,
}

#[derive(Clone, Debug)]
struct ServerUser {
    uid: String,
    gid: String,
}

impl Programs {
    fn find() -> Result<Self> {
        let mut candidates = vec![PathBuf::from("/usr/lib/postgresql/15/bin")];
        if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
            candidates.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        if let Ok(told) = Command::new("pg_config").arg("--bindir").output() {
            candidates.push(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
        }
        let folder = candidates
            .into_iter()
            .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
            .context(
                "PostgreSQL's server programs were not found; install them (on Debian: the package `postgresql`)",
            )?;
        let user = if rustix::process::geteuid().is_root() { Some(ServerUser::find()?) } else { None };
        Ok(Self { folder, user })
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(self.folder.join("psql"));
        // Neither the caller's PG* variables nor its ~/.psqlrc may decide anything.
        psql.env_clear().env("PGCONNECT_TIMEOUT", "30").args(["-X", "-q", "-A", "-t"]).stdin(Stdio::piped());
        psql
    }

    fn as_server_user(&self, program: &str) -> Command {
        let program = self.folder.join(program);
        let mut command = match &self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &user.uid, "--regid", &user.gid, "--clear-groups", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Gives the folder to the server's user.
    fn own(&self, folder: &Path) -> Result<()> {
        match &self.user {
            Some(user) => {
                let owner = format!("{}:{}", user.uid, user.gid);
                run(Command::new("chown").arg("-R").arg(owner).arg(folder), "give a folder to the server")
            }
            None => Ok(()),
        }
    }

    fn initdb(&self, data: &Path) -> Result<()> {
        let parent = data.parent().context("a folder above the data")?;
        self.own(parent)?;
        let mut initdb = self.as_server_user("initdb");
        initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "--locale=C", "-E", "UTF8", "--wal-segsize=1"]);
        run(initdb.arg("-D").arg(data), "make a cluster")
    }

    /// Copies a cluster that was made once and is kept in `cache`; a lock file lets one process make it.
    fn copy_template(&self, cache: &Path, data: &Path) -> Result<()> {
        fs::create_dir_all(cache).context("create the cache folder")?;
        let version =
            Command::new(self.folder.join("postgres")).arg("--version").output().context("ask for a version")?;
        let version: String =
            String::from_utf8_lossy(&version.stdout).chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        let template = cache.join(format!("postgres-{version}"));
        let lock =
            OpenOptions::new().create(true).append(true).open(cache.join("postgres.lock")).context("open a lock")?;
        lock.lock().context("wait for the cached cluster")?;
        if !template.exists() {
            let folder = Folder::create()?;
            self.initdb(&folder.path().join("data"))?;
            let half = cache.join("postgres-unfinished");
            if half.exists() {
                fs::remove_dir_all(&half).context("remove an unfinished copy")?;
            }
            run(Command::new("cp").arg("-a").arg(folder.path().join("data")).arg(&half), "keep a cluster")?;
            fs::rename(&half, &template).context("name the kept cluster")?;
        }
        lock.unlock().context("release the cached cluster")?;
        run(Command::new("cp").arg("-a").arg(&template).arg(data), "copy the kept cluster")
    }

    fn supervise(&self, folder: &Path, data: &Path) -> Result<Child> {
        let server = self.as_server_user("postgres");
        let mut supervisor = Command::new("/bin/sh");
        supervisor.args(["-c", SUPERVISOR, "sh"]).arg(folder).arg(folder.join("log"));
        supervisor.arg(server.get_program()).args(server.get_args()).arg("-D").arg(data);
        // A group of its own: a signal for the tests' group must not take the supervisor before the server.
        supervisor.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        supervisor.spawn().context("start the supervisor")
    }
}

impl ServerUser {
    fn find() -> Result<Self> {
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", name), id("-g", name)) {
                return Ok(Self { uid, gid });
            }
        }
        bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
    }
}

fn id(what: &str, user: &str) -> Option<String> {
    let output = Command::new("id").args([what, user]).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const fn hba(tls: Tls) -> &'static str {
    match tls {
        Tls::With(_) => {
            "local all all trust\nlocal replication postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        }
        Tls::Off => "local all all trust\nlocal replication postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    }
}

fn settings(folder: &Path, port: u16, certificates: &Certificates, options: &PostgresOptions) -> String {
    let flush = if options.durability == Durability::Fsync { "on" } else { "off" };
    let mut lines = vec![
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("fsync", flush.to_owned()),
        ("full_page_writes", flush.to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("log_statement", "all".to_owned()),
        ("log_line_prefix", "%m [%p] %q%u@%d/%a ".to_owned()),
        ("shared_buffers", "16MB".to_owned()),
        ("max_connections", "50".to_owned()),
        ("min_wal_size", "8MB".to_owned()),
        ("max_wal_size", "64MB".to_owned()),
        ("jit", "off".to_owned()),
    ];
    if let Tls::With(which) = options.tls {
        lines.extend([
            ("ssl", "on".to_owned()),
            ("ssl_cert_file", certificates.certificate_file(which).display().to_string()),
            ("ssl_key_file", certificates.key_file(which).display().to_string()),
        ]);
    }
    lines.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let quoted = |value: &str| value.replace('\'', "''");
    lines.iter().map(|(name, value)| format!("{name} = '{}'\n", quoted(value))).collect()
}

fn wait_until_ready(data: &Path, folder: &Path, supervisor: &mut Child) -> Result<()> {
    let looks = START_LIMIT.as_millis() / START_POLL.as_millis();
    for _ in 0..looks {
        // The pid file's eighth line, as pg_ctl reads it: "ready" or "standby" once connections are accepted.
        let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.starts_with("ready") || line.starts_with("standby")) {
            return Ok(());
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        ensure!(!log.contains("FATAL:"), "the server gave up");
        ensure!(supervisor.try_wait().context("look at the supervisor")?.is_none(), "the supervisor ended");
        thread::sleep(START_POLL);
    }
    bail!("the server was not ready within {START_LIMIT:?}")
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("read a free port")?.port())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| what.to_owned())?;
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn feed(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start psql")?;
    let mut stdin = child.stdin.take().context("psql's standard input")?;
    thread::scope(|scope| {
        // A closed pipe means that psql stopped early; what it said is in the output.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().context("wait for psql")
    })
}
