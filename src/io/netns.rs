//! Network namespaces: by name as iproute2 keeps them, by path, or without either; user namespaces for those who are not root.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::{
    MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::sys::namespace;

/// Where iproute2 keeps named namespaces.
const DIRECTORY: &str = "/run/netns";
const OWN: &str = "/proc/thread-self/ns/net";

/// Which network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Netns {
    /// The calling thread's.
    #[default]
    Current,
    /// The one that `ip netns` knows by this name.
    Named(String),
    /// The one at this path, such as /proc/PID/ns/net.
    Path(PathBuf),
}

impl Netns {
    /// Reads a name, or a path if it begins with a slash.
    pub fn parse(text: &str) -> Self {
        if text.starts_with('/') {
            Self::Path(PathBuf::from(text))
        } else {
            Self::Named(text.to_owned())
        }
    }

    /// Where the namespace is found in the file system.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Current => PathBuf::from(OWN),
            Self::Named(name) => Path::new(DIRECTORY).join(name),
            Self::Path(path) => path.clone(),
        }
    }

    /// Opens the namespace. The error names the path.
    pub fn open(&self) -> io::Result<OwnedFd> {
        let path = self.path();
        match File::open(&path) {
            Ok(file) => Ok(OwnedFd::from(file)),
            Err(error) => Err(about(
                &format!("network namespace {}", path.display()),
                &error,
            )),
        }
    }

    /// Which one it is: two names may be of the same. The error names the path.
    pub fn id(&self) -> io::Result<NetnsId> {
        NetnsId::of(self.open()?)
    }
}

/// Which network namespace a descriptor is of: the same for every descriptor of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

impl NetnsId {
    /// The namespace that `fd` was opened from.
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(fd)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }
}

/// Runs `f` in a network namespace (None: the caller's) and returns what it returned.
///
/// A fresh thread enters the namespace, so the caller never leaves its own; what `f` opens stays in the namespace. Needs CAP_SYS_ADMIN
/// there and here. A panic of `f` goes on in the caller.
pub fn within<T: Send>(
    namespace: Option<BorrowedFd<'_>>,
    f: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let Some(namespace) = namespace else {
        return Ok(f());
    };
    in_thread(|| enter(namespace).map(|()| f()))?
}

/// Moves the calling thread into a network namespace, for good.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
        .map_err(|errno| about("enter network namespace", &errno.into()))
}

/// Makes a network namespace that lives as long as the descriptor (and what is open in it).
pub fn create_anonymous() -> io::Result<OwnedFd> {
    let fd = in_thread(|| {
        namespace::unshare_network()?;
        Ok::<_, io::Error>(OwnedFd::from(File::open(OWN)?))
    })?;
    fd.map_err(|error| about("make a network namespace", &error))
}

/// Makes a network namespace that `ip netns` knows by this name, and that lives until [`delete_named`]. AlreadyExists when the name is taken.
pub fn create_named(name: &str) -> io::Result<OwnedFd> {
    let path = named_path(name)?;
    let create = || -> io::Result<OwnedFd> {
        share_directory()?;
        // As iproute2: a file without permissions, over which the namespace is mounted.
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o000)
            .open(&path)?;
        let mounted = in_thread(|| {
            namespace::unshare_network()?;
            mount_bind(OWN, &path)?;
            Ok::<_, io::Error>(OwnedFd::from(File::open(OWN)?))
        })?;
        if mounted.is_err() {
            let _ = fs::remove_file(&path);
        }
        mounted
    };
    create().map_err(|error| about(&format!("make network namespace {name:?}"), &error))
}

/// Takes the name from a namespace: it goes as soon as nothing uses it. NotFound when there is none of this name.
pub fn delete_named(name: &str) -> io::Result<()> {
    let path = named_path(name)?;
    // EINVAL: nothing is mounted there, as after a crash between the two steps of making it.
    let unmounted = match unmount(&path, UnmountFlags::DETACH) {
        Err(rustix::io::Errno::INVAL) | Ok(()) => Ok(()),
        Err(errno) => Err(io::Error::from(errno)),
    };
    unmounted
        .and_then(|()| fs::remove_file(&path))
        .map_err(|error| about(&format!("delete network namespace {name:?}"), &error))
}

/// Moves the process, which must have one thread, into a user namespace in which it is root, with a mount namespace of its own.
///
/// Network namespaces made afterwards belong to it. Errors: PermissionDenied and StorageFull where unprivileged user namespaces are
/// forbidden or limited to none, InvalidInput with several threads.
pub fn enter_user_namespace() -> io::Result<()> {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    namespace::unshare_user().map_err(|errno| about("make a user namespace", &errno.into()))?;
    let write =
        |path: &str, text: String| fs::write(path, text).map_err(|error| about(path, &error));
    // Without this an unprivileged process may not map groups (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Runs `f` in a fresh thread, whose namespaces may change.
fn in_thread<T: Send>(f: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, f)?;
        thread
            .join()
            .or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes /run/netns a shared mount, so that a namespace mounted there appears in every mount namespace.
fn share_directory() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match mount_change(DIRECTORY, shared) {
        // Not a mount point yet.
        Err(rustix::io::Errno::INVAL) => {
            mount_bind_recursive(DIRECTORY, DIRECTORY)?;
            Ok(mount_change(DIRECTORY, shared)?)
        }
        result => Ok(result?),
    }
}

fn named_path(name: &str) -> io::Result<PathBuf> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        let text = format!("network namespace name {name:?}: want a file name");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

fn about(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
