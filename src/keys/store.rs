//! One state file, held by one process: what it says is on the disk before anybody acts on it.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::file::KeyFile;
use super::private::{self, FileError};
use super::table::{Corrupt, Direction, KEYS_MAX, KeyId, TEXT_OCTETS_MAX, Table};

/// In the lock from the first number on, so that a state that was deleted is not taken for one that never was.
const USED: &[u8] = b"the state file beside this belongs to keys that were used\n";

/// Why the numbers of a key cannot be used.
#[derive(Debug)]
pub enum StateError {
    /// A file cannot or must not be used.
    File(FileError),
    /// Another process, or another tunnel of this one, uses the key in this direction.
    Held {
        /// The lock that it holds.
        lock: PathBuf,
    },
    /// The lock was deleted or replaced while it was held.
    LockLost {
        /// The lock.
        lock: PathBuf,
    },
    /// The state file is not one that adit wrote.
    Corrupt {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Corrupt,
    },
    /// The state file was deleted, and the numbers that were used are unknown.
    Missing {
        /// The state file.
        path: PathBuf,
        /// The lock that tells that it existed.
        lock: PathBuf,
    },
    /// The file remembers as many keys as it can.
    Full {
        /// The state file.
        path: PathBuf,
    },
    /// All sequence numbers up to this one are used.
    Exhausted {
        /// The state file.
        path: PathBuf,
        /// The last sequence number.
        limit: u64,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIX: &str = "make new keys with `adit keygen`";
        match self {
            Self::File(error) => error.fmt(f),
            Self::Held { lock } => write!(
                f,
                "{}: held by another adit or another tunnel; a key serves one tunnel",
                lock.display()
            ),
            Self::LockLost { lock } => write!(
                f,
                "{}: deleted while it was held; others may use the key",
                lock.display()
            ),
            Self::Corrupt { path, cause } => write!(
                f,
                "{}: corrupt, {cause}; which sequence numbers were used is unknown: {FIX}",
                path.display()
            ),
            Self::Missing { path, lock } => write!(
                f,
                "{}: deleted, while {} tells that it existed; which sequence numbers were used is unknown: {FIX}",
                path.display(),
                lock.display()
            ),
            Self::Full { path } => write!(
                f,
                "{}: remembers {KEYS_MAX} keys, no more fit; give the key file another name",
                path.display()
            ),
            Self::Exhausted { path, limit } => write!(
                f,
                "{}: every sequence number up to {limit} is used: {FIX}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StateError {}

impl From<FileError> for StateError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// The number of one key in one direction.
#[derive(Debug)]
pub(super) struct Store {
    direction: Direction,
    key: KeyId,
    path: PathBuf,
    temporary: PathBuf,
    lock_path: PathBuf,
    lock: File,
    table: Table,
}

impl Store {
    pub(super) fn open(
        key_path: &Path,
        key: &KeyFile,
        direction: Direction,
    ) -> Result<Self, StateError> {
        let beside = |suffix: &str| {
            let mut name = key_path.as_os_str().to_owned();
            name.push(format!(".{}.{suffix}", direction.word()));
            PathBuf::from(name)
        };
        let (path, lock_path) = (beside("state"), beside("lock"));
        let lock = private::open_or_create(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Held { lock: lock_path }),
            Err(TryLockError::Error(error)) => {
                return Err(FileError::io(&lock_path, "lock")(error).into());
            }
        }
        let store = Self {
            direction,
            key: key.id(),
            table: Table::default(),
            temporary: beside("state.new"),
            path,
            lock_path,
            lock,
        };
        let table = store.load()?;
        if !table.has_room_for(store.key) {
            return Err(StateError::Full { path: store.path });
        }
        Ok(Self { table, ..store })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was last set for this key.
    pub(super) fn number(&self) -> Option<u64> {
        self.table.number(self.key)
    }

    /// Replaces the number; it is on the disk when this returns, and not used when it fails.
    pub(super) fn set(&mut self, number: u64) -> Result<(), StateError> {
        if self.lock_links()? == 0 {
            let lock = self.lock_path.clone();
            return Err(StateError::LockLost { lock });
        }
        let table = self.table.with(self.key, number);
        let text = table.emit(self.direction);
        private::replace(&self.path, &self.temporary, text.as_bytes())?;
        if !self.is_used()? {
            self.lock
                .write_all(USED)
                .and_then(|()| self.lock.sync_all())
                .map_err(FileError::io(&self.lock_path, "write"))?;
        }
        self.table = table;
        Ok(())
    }

    fn load(&self) -> Result<Table, StateError> {
        let mut octets = [0; TEXT_OCTETS_MAX];
        match private::read(&self.path, &mut octets) {
            Ok(length) => {
                let octets = octets.get(..length).unwrap_or_default();
                Table::parse(self.direction, octets).map_err(|cause| StateError::Corrupt {
                    path: self.path.clone(),
                    cause,
                })
            }
            Err(error) if error.is_absent() && !self.is_used()? => Ok(Table::default()),
            Err(error) if error.is_absent() => Err(StateError::Missing {
                path: self.path.clone(),
                lock: self.lock_path.clone(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    fn is_used(&self) -> Result<bool, FileError> {
        let metadata = self.lock.metadata();
        Ok(metadata
            .map_err(FileError::io(&self.lock_path, "read"))?
            .len()
            > 0)
    }

    fn lock_links(&self) -> Result<u64, FileError> {
        let metadata = self.lock.metadata();
        Ok(metadata
            .map_err(FileError::io(&self.lock_path, "read"))?
            .nlink())
    }
}
