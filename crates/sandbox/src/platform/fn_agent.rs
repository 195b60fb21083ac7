//! The agent of Fn (and so of OCI Functions), which calls a container over a Unix socket. Rules as in the agent's own source
//! (fnproject/fn, `api/agent/agent.go`) and the project's container contract.
//!
//! It watches the folder and connects the moment the socket's name appears; what it finds then is judged.

use std::{
    cell::Cell,
    fs,
    io::BufReader,
    mem::MaybeUninit,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
};
use serde_json::Value;

use super::wire::Message;

/// One container's agent.
#[derive(Debug)]
pub struct FnAgent {
    folder: tempfile::TempDir,
    watch: OwnedFd,
    /// Whether rights changed behind the name's appearance, in what was read already.
    late_rights: Cell<bool>,
    connection: Option<BufReader<UnixStream>>,
}

/// The container's answer on the socket.
#[derive(Debug)]
pub struct FnAnswer {
    /// 200, 502 or 504; anything else would have ended the container.
    pub status: u16,
    /// `Fn-Http-Status`, if the application's own status is told.
    pub own_status: Option<u16>,
    /// The body.
    pub body: Value,
}

/// The socket's name.
const NAME: &str = "lsnr.sock";
/// Longer than any start on a busy machine; the agent itself waits five seconds.
const START_LIMIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
const NO_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl FnAgent {
    /// Makes the folder and watches it.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn start() -> Result<Self> {
        Self::in_folder(tempfile::tempdir().context("make a folder")?)
    }

    /// As [`start`](Self::start), in a folder where a killed container has left its socket and its name.
    ///
    /// # Errors
    /// As `start`.
    pub fn after_a_kill() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        drop(UnixListener::bind(folder.path().join(format!("phony{NAME}"))).context("make a socket")?);
        symlink(format!("phony{NAME}"), folder.path().join(NAME)).context("make a link")?;
        Self::in_folder(folder)
    }

    fn in_folder(folder: tempfile::TempDir) -> Result<Self> {
        // The function's user is not the agent's.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).context("open the folder")?;
        let watch = inotify::init(CreateFlags::CLOEXEC).context("watch a folder")?;
        inotify::add_watch(&watch, folder.path(), WatchFlags::CREATE | WatchFlags::ATTRIB)
            .context("watch the folder")?;
        Ok(Self { folder, watch, late_rights: Cell::default(), connection: None })
    }

    /// Where the socket is to be.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// The folder in which the socket is to be, as the agent sees it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the platform sets where the function sees the folder under the same path.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        self.env_in(self.folder())
    }

    /// What the platform sets where the function sees the folder under this path, as in a container.
    #[must_use]
    pub fn env_in(&self, folder: &Path) -> Vec<(String, String)> {
        [
            ("FN_LISTENER", format!("unix:{}", folder.join(NAME).display()).as_str()),
            ("FN_FORMAT", "http-stream"),
            ("FN_FN_ID", "ocid1.fnfunc.oc1..sandbox"),
            ("FN_APP_ID", "ocid1.fnapp.oc1..sandbox"),
            ("FN_FN_NAME", "dizzy-keys"),
            ("FN_APP_NAME", "rotation"),
            ("FN_MEMORY", "128"),
            ("FN_TYPE", "sync"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// Waits for the socket's name to appear, connects at once, and judges what is there.
    ///
    /// # Errors
    /// If nothing appears, or not what the agent wants.
    pub fn connect(&mut self) -> Result<()> {
        self.wait_for_the_name()?;
        let path = self.socket();
        let stream = UnixStream::connect(&path).context("the name was there before anybody listened")?;
        let target = fs::read_link(&path).context("the socket's name is no link")?;
        let parts: Vec<_> = target.components().collect();
        ensure!(parts.len() == 1 && target.is_relative(), "the link has a folder part: {}", target.display());
        let found = fs::metadata(self.folder.path().join(&target)).context("the link leads nowhere")?;
        ensure!(found.file_type().is_socket(), "the link leads to no socket");
        ensure!(
            found.permissions().mode() & 0o777 == 0o666,
            "the socket has the mode {:o}",
            found.permissions().mode()
        );
        // Rights that are right by now must have been so when the name appeared: the agent might have come a moment earlier.
        let late = self.late_rights.take() || self.happened(&NO_TIME)?.iter().any(|(_, is_rights)| *is_rights);
        ensure!(!late, "the socket was opened to the agent after its name had appeared");
        self.connection = Some(BufReader::new(stream));
        Ok(())
    }

    fn wait_for_the_name(&self) -> Result<()> {
        loop {
            let events = self.happened(&START_LIMIT)?;
            if let Some(at) = events.iter().position(|(name, is_rights)| name == NAME.as_bytes() && !is_rights) {
                self.late_rights.set(events.iter().skip(at).any(|(_, is_rights)| *is_rights));
                return Ok(());
            }
        }
    }

    /// What happened in the folder since the last look: names, and whether it was their rights that changed.
    fn happened(&self, limit: &Timespec) -> Result<Vec<(Vec<u8>, bool)>> {
        let mut waiting = [PollFd::new(&self.watch, PollFlags::IN)];
        if poll(&mut waiting, Some(limit))? == 0 {
            ensure!(limit == &NO_TIME, "no socket has appeared");
            return Ok(Vec::new());
        }
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.watch, &mut room);
        let mut all = Vec::new();
        loop {
            let event = reader.next().context("read what happened in the folder")?;
            ensure!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "too much happened in the folder");
            if let Some(name) = event.file_name() {
                all.push((name.to_bytes().to_vec(), event.events().contains(ReadFlags::ATTRIB)));
            }
            if reader.is_buffer_empty() {
                return Ok(all);
            }
        }
    }

    /// Calls the function on the one connection.
    ///
    /// # Errors
    /// If the container breaks the contract: the connection, the form of the answer, its status.
    pub fn call(&mut self, headers: &[(&str, &str)], body: &[u8]) -> Result<FnAnswer> {
        let connection = self.connection.as_mut().context("not connected")?;
        let mut all = vec![("Host", "localhost"), ("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        Message::write(connection.get_mut(), "POST /call HTTP/1.1", &all, body)?;
        let Some(answer) = Message::read(connection)? else { bail!("the container closed the connection") };
        let status: u16 = answer.first.split(' ').nth(1).context("no status")?.parse().context("no status")?;
        ensure!(matches!(status, 200 | 502 | 504), "the container would be shut down: status {status}");
        let own_status = answer.header("fn-http-status").map(str::parse).transpose().context("Fn-Http-Status")?;
        let body = serde_json::from_slice(&answer.body).context("the answer is no JSON")?;
        Ok(FnAnswer { status, own_status, body })
    }

    /// Waits until the container has closed the connection, as its end does.
    ///
    /// # Errors
    /// If it says something instead.
    pub fn wait_for_its_end(&mut self) -> Result<()> {
        let connection = self.connection.as_mut().context("not connected")?;
        ensure!(Message::read(connection)?.is_none(), "the container spoke unasked");
        Ok(())
    }
}
