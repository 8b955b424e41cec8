//! Key files and the state beside them, on a real file system: who may read, what a crash leaves, who holds what.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod crash;
mod files;
mod keygen;
mod state;

use std::path::{Path, PathBuf};

use adit::keys::KeyFile;
use adit_crypto::Suite;
use tempfile::TempDir;

/// A folder with one new key in it.
struct Folder {
    directory: TempDir,
    key: KeyFile,
}

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyFile::random(Suite::Aes256Gcm16).unwrap();
        key.create(&directory.path().join("hq.key")).unwrap();
        Self { directory, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key_path(&self) -> PathBuf {
        self.path("hq.key")
    }

    /// Puts another key into the same file.
    fn renew(&mut self) {
        std::fs::remove_file(self.key_path()).unwrap();
        self.key = KeyFile::random(Suite::Aes256Gcm16).unwrap();
        self.key.create(&self.key_path()).unwrap();
    }
}

/// Sets the permission bits, whatever the umask is.
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The hexadecimal digits of a key.
fn digits(key: &KeyFile) -> String {
    key.keymat()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}
