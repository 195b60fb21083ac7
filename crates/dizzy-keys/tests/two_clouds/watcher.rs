//! What a run leaves on a disk, seen by the kernel: every file that comes into being in any place where programs put such things.
//!
//! The product runs with `/tmp`, `/var/tmp` and `/dev/shm` of its own, so that whatever appears there is its doing; its working folder,
//! `HOME` and `TMPDIR` are the installation's. Before it starts, one file is planted and taken away in each place: the watcher must have
//! seen them all.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dizzy_sandbox::two_clouds::TwoClouds;
use rustix::{
    fs::inotify::{self, ReadFlags, WatchFlags},
    io::Errno,
};

use super::Told;

/// Where programs put what they do not want to keep.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// The file that is planted.
const PLANTED: &str = "planted-for-the-watcher";
/// Gives the product its own places, says that they can be watched, waits, plants, and becomes the product.
const SCRIPT: &str = r#"
set -e
keep=$1; certificates=$2; shift 2
mount -t tmpfs tmpfs /mnt
mkdir /mnt/keep /mnt/certificates
# The build folder may be below /tmp too.
touch /mnt/program
mount --bind "$1" /mnt/program
shift
mount --bind "$keep" /mnt/keep
mount --bind "$certificates" /mnt/certificates
for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs $place; done
mkdir -p "$keep" "$certificates"
mount --bind /mnt/keep "$keep"
mount --bind /mnt/certificates "$certificates"
cd "$keep"
echo ready
read -r go
for place in . "$HOME" "$TMPDIR" /tmp /var/tmp /dev/shm; do
    echo planted >"$place/planted-for-the-watcher"
    rm "$place/planted-for-the-watcher"
done
exec /mnt/program "$@" </dev/null
"#;

/// Something that came into being.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Seen {
    /// The folder, as the product names it.
    pub(crate) folder: PathBuf,
    /// The name in it.
    pub(crate) name: String,
}

/// A run under the watcher: what was said, and every file or folder that came into being, in order.
pub(crate) fn watched(at: &TwoClouds, args: &[&str], env: &[(&str, &str)]) -> (Told, Vec<Seen>) {
    for folder in ["home", "tmpdir"] {
        fs::create_dir_all(at.path(folder)).unwrap();
    }
    let product = at.command(args);
    let mut command = Command::new("unshare");
    // Root in a user namespace of its own could not read what belongs to others.
    let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let certificates = at.postgres.certificates().ca_file().parent().unwrap().to_owned();
    command.args([namespaces, "sh", "-c", SCRIPT, "sh"]).arg(at.path("")).arg(certificates);
    command.arg(product.get_program()).args(product.get_args()).env_clear();
    command.envs(product.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", at.path("home")).env("TMPDIR", at.path("tmpdir"));
    command.envs(env.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    out.read_line(&mut ready).unwrap();
    assert!(ready == "ready\n", "no places of its own: {}", Told::of(&child.wait_with_output().unwrap()).err);
    // `unshare` becomes the shell and the shell becomes the product: one process id, whose view of the file system this is.
    let root = PathBuf::from(format!("/proc/{}/root", child.id()));
    let mut watcher = Watcher::new();
    watcher.add_all(&at.path("."), &at.path(""));
    for place in SHARED {
        watcher.add(&root.join(place.trim_start_matches('/')), Path::new(place));
    }
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    drop(stdin);
    let mut told = String::new();
    std::io::Read::read_to_string(&mut out, &mut told).unwrap();
    let mut told = Told { out: told, ..Told::of(&child.wait_with_output().unwrap()) };
    told.out = told.out.trim_start_matches("ready\n").to_owned();
    let mut seen = watcher.seen();
    let planted: Vec<PathBuf> =
        seen.iter().filter(|seen| seen.name == PLANTED).map(|seen| seen.folder.clone()).collect();
    let places = [at.path(""), at.path("home"), at.path("tmpdir")].into_iter().chain(SHARED.map(PathBuf::from));
    assert!(places.eq(planted.iter().cloned()), "the watcher saw what was planted: {planted:?}");
    seen.retain(|seen| seen.name != PLANTED);
    (told, seen)
}

/// Folders that are watched, by the kernel's number of the watch.
struct Watcher {
    kernel: OwnedFd,
    folders: BTreeMap<i32, PathBuf>,
}

impl Watcher {
    fn new() -> Self {
        let kernel = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        Self { kernel, folders: BTreeMap::new() }
    }

    /// Watches one folder, which the product knows as `name`.
    fn add(&mut self, folder: &Path, name: &Path) {
        let what = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let watch = inotify::add_watch(&self.kernel, folder, what | WatchFlags::ONLYDIR).unwrap();
        self.folders.insert(watch, name.to_owned());
    }

    /// Watches a folder and all folders in it. One that is made later is told as made, which no run may do.
    fn add_all(&mut self, folder: &Path, name: &Path) {
        self.add(folder, name);
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                self.add_all(&entry.path(), &name.join(entry.file_name()));
            }
        }
    }

    /// What has come into being, in order. The kernel keeps it until it is read; if it had to drop something, that shows.
    fn seen(&self) -> Vec<Seen> {
        let mut room = [MaybeUninit::uninit(); 64 * 1024];
        let mut reader = inotify::Reader::new(&self.kernel, &mut room);
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "too much for the kernel's queue");
                    let Some(name) = event.file_name() else { continue };
                    let name = OsStr::from_bytes(name.to_bytes()).to_string_lossy().into_owned();
                    seen.push(Seen { folder: self.folders[&event.wd()].clone(), name });
                }
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN, "the kernel has nothing more to tell");
                    return seen;
                }
            }
        }
    }
}
