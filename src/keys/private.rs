//! Files that are nobody else's: opened only if they are, replaced at once or not at all.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const MODE: u32 = 0o600;
const MODE_OF_OTHERS: u32 = 0o077;

/// A file that is not used, and why. The text has no octet of the file.
#[derive(Debug)]
pub struct FileError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: FileFault,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum FileFault {
    /// The system refused; `doing` is the verb.
    Io {
        /// What was tried, such as "read".
        doing: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A symbolic link: under a second name there would be a second state, and the counter would start again.
    Symlink,
    /// A folder, a device, a pipe or a socket.
    NotRegular,
    /// Hard links, with their number: as a symbolic link.
    Links(u64),
    /// It belongs to this user, who is neither root nor who runs adit.
    Owner(u32),
    /// Its permission bits let group or others read, write or run it.
    Mode(u32),
    /// It has more than this many octets.
    TooLarge(usize),
}

impl FileError {
    fn new(path: &Path, fault: FileFault) -> Self {
        Self {
            path: path.to_owned(),
            fault,
        }
    }

    /// What `map_err` takes for a system call on `path`.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(path, FileFault::Io { doing, error })
    }

    /// Whether there is no such file.
    pub(super) fn is_absent(&self) -> bool {
        matches!(&self.fault, FileFault::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            FileFault::Io { doing, error } => write!(f, "{path}: cannot {doing} it: {error}"),
            FileFault::Symlink => write!(
                f,
                "{path}: a symbolic link, under whose name the counter would start again; name the file itself"
            ),
            FileFault::NotRegular => write!(f, "{path}: not a regular file"),
            FileFault::Links(links) => write!(
                f,
                "{path}: has {links} names, under each of which the counter would start again; leave one"
            ),
            FileFault::Owner(uid) => write!(
                f,
                "{path}: belongs to user {uid}, neither to root nor to who runs adit; run `chown {} {path}`",
                rustix::process::geteuid().as_raw()
            ),
            FileFault::Mode(mode) => write!(
                f,
                "{path}: mode {mode:04o} lets others than its owner in; run `chmod 600 {path}`"
            ),
            FileFault::TooLarge(bound) => {
                write!(f, "{path}: larger than the maximum of {bound} octets")
            }
        }
    }
}

impl std::error::Error for FileError {}

/// Reads a whole private file into `octets`, and tells how many there are.
pub(super) fn read(path: &Path, octets: &mut [u8]) -> Result<usize, FileError> {
    fill(path, open(path, OpenOptions::new().read(true))?, octets)
}

/// As [`read`], of a file beside which nothing is counted: it may have several names.
pub(super) fn read_linked(path: &Path, octets: &mut [u8]) -> Result<usize, FileError> {
    let options = &mut OpenOptions::new();
    let file = open_checked(
        path,
        options.read(true).custom_flags(libc::O_NONBLOCK),
        closed,
    )?;
    fill(path, file, octets)
}

/// Reads a whole file that anybody may read, of `most` octets at most.
pub(super) fn read_public(path: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let options = &mut OpenOptions::new();
    let regular = |metadata: &Metadata| (!metadata.is_file()).then_some(FileFault::NotRegular);
    let file = open_checked(
        path,
        options.read(true).custom_flags(libc::O_NONBLOCK),
        regular,
    )?;
    let mut octets = vec![0; most];
    let length = fill(path, file, &mut octets)?;
    octets.truncate(length);
    Ok(octets)
}

fn fill(path: &Path, mut file: File, octets: &mut [u8]) -> Result<usize, FileError> {
    let mut filled = 0;
    while let Some(rest) = octets.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read(rest) {
            Ok(0) => return Ok(filled),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::io(path, "read")(error)),
        }
    }
    match file.read(&mut [0]).map_err(FileError::io(path, "read"))? {
        0 => Ok(filled),
        _ => Err(FileError::new(path, FileFault::TooLarge(octets.len()))),
    }
}

/// Opens a private file, or makes it.
pub(super) fn open_or_create(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    open(
        path,
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE),
    )
}

/// Makes a private file that did not exist, with what is in it on the disk; its name is, after [`sync_folder`]. Leaves none if it fails.
pub(super) fn create(path: &Path, octets: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)
        .map_err(FileError::io(path, "create"))?;
    // A umask takes bits away, such as the owner's own.
    let written = file
        .set_permissions(fs::Permissions::from_mode(MODE))
        .and_then(|()| file.write_all(octets))
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a file is worse than none; the first error says more than that of taking it away.
        let _ = fs::remove_file(path);
        FileError::io(path, "write")(error)
    })
}

/// Replaces a file by way of `temporary`, which a killed process may have left: afterwards the disk has the old or the new, whole.
pub(super) fn replace(path: &Path, temporary: &Path, octets: &[u8]) -> Result<(), FileError> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::io(temporary, "remove")(error));
        }
        Ok(()) | Err(_) => {}
    }
    create(temporary, octets)?;
    fs::rename(temporary, path).map_err(FileError::io(path, "replace"))?;
    sync_folder(path)
}

/// Brings the names in the folder of `path` to the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::io(folder, "sync"))
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<File, FileError> {
    open_checked(
        path,
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK),
        |metadata| match closed(metadata) {
            None if metadata.nlink() > 1 => Some(FileFault::Links(metadata.nlink())),
            fault => fault,
        },
    )
}

/// Opens a file; without O_NONBLOCK among the options a pipe would hold us until somebody writes.
fn open_checked(
    path: &Path,
    options: &OpenOptions,
    fault: fn(&Metadata) -> Option<FileFault>,
) -> Result<File, FileError> {
    let file = options
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => FileError::new(path, FileFault::Symlink),
            _ => FileError::io(path, "open")(error),
        })?;
    let metadata = file.metadata().map_err(FileError::io(path, "read"))?;
    match fault(&metadata) {
        Some(fault) => Err(FileError::new(path, fault)),
        None => Ok(file),
    }
}

/// What is wrong with a file that nobody but its owner may read.
fn closed(metadata: &Metadata) -> Option<FileFault> {
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_file() {
        Some(FileFault::NotRegular)
    } else if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
        Some(FileFault::Owner(metadata.uid()))
    } else if mode & MODE_OF_OTHERS != 0 {
        Some(FileFault::Mode(mode))
    } else {
        None
    }
}
