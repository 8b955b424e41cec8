//! A key file: one suite and its keying material.

use std::fmt;
use std::path::{Path, PathBuf};

use adit_crypto::{RandomUnavailable, Secret, SipHash24, Suite};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::private::{self, FileError};
use super::table::KeyId;
use super::text::{self, KEYMAT_MAX, TextError};

/// Octets that a key file may have, comments included.
const FILE_OCTETS_MAX: usize = 4096;

/// The suite and the keying material of one direction of a security association; zeroed on drop, never shown.
pub struct KeyFile {
    suite: Suite,
    keymat: Secret<KEYMAT_MAX>,
}

/// Why there is no key. The text has no octet of it.
#[derive(Debug)]
pub enum KeyFileError {
    /// The file cannot or must not be used.
    File(FileError),
    /// What is in the file is no key.
    Text {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it, and where.
        error: TextError,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Text { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for KeyFileError {}

impl From<FileError> for KeyFileError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl KeyFile {
    /// Reads a key file: a regular file of one name, which belongs to root or to who runs adit, closed to group and others, of 4096
    /// octets at most.
    ///
    /// # Errors
    /// [`KeyFileError`], which names the file, the cause and where there is one the fix.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let mut octets = Zeroizing::new([0; FILE_OCTETS_MAX]);
        let length = private::read(path, octets.as_mut_slice())?;
        Self::parse(octets.get(..length).unwrap_or_default()).map_err(|error| KeyFileError::Text {
            path: path.to_owned(),
            error,
        })
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`TextError`], which names the line.
    pub fn parse(octets: &[u8]) -> Result<Self, TextError> {
        let (suite, keymat) = text::parse(octets)?;
        Ok(Self { suite, keymat })
    }

    /// Draws keying material for a suite from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomUnavailable`] when the generator fails.
    pub fn random(suite: Suite) -> Result<Self, RandomUnavailable> {
        let keymat = Secret::random()?;
        Ok(Self { suite, keymat })
    }

    /// Writes the key to a new file of mode 0600 and brings it and its name to the disk.
    ///
    /// # Errors
    /// [`FileError`] when the file exists or cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), FileError> {
        private::create(path, text::emit(self.suite, self.keymat()).as_bytes())?;
        private::sync_folder(path)
    }

    /// What the keying material is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// `key | salt 4`, as long as the suite wants it.
    pub fn keymat(&self) -> &[u8] {
        self.keymat
            .expose()
            .get(..self.suite.keymat_octets())
            .unwrap_or_default()
    }

    /// Whether both hold the same keying material; takes the same time wherever they differ.
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.keymat().ct_eq(other.keymat()).into()
    }

    /// Names the key without telling it: a digest under its own first 16 octets, from which nobody without them learns anything.
    pub(super) fn id(&self) -> KeyId {
        let (first, rest) = self
            .keymat()
            .split_first_chunk::<16>()
            .unwrap_or((&[0; 16], &[]));
        let mut key = *first;
        let digest = SipHash24::new(&Secret::new(&mut key));
        KeyId(digest.digest(&[self.suite.name().as_bytes(), rest]))
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({}, {} octets)", self.suite, self.keymat().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(suite: Suite, octets: &[u8]) -> KeyFile {
        KeyFile::parse(text::emit(suite, octets).as_bytes()).unwrap()
    }

    #[test]
    fn debug_shows_suite_and_length_and_no_octet() {
        let key = key(Suite::Aes128Gcm16, &[0xab; 20]);
        assert_eq!(format!("{key:?}"), "KeyFile(aes128gcm16, 20 octets)");
    }

    #[test]
    fn any_other_octet_or_suite_is_another_key_with_another_name() {
        let octets: [u8; 36] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let same = key(Suite::Aes256Gcm16, &octets);
        assert!(same.is_same_key(&key(Suite::Aes256Gcm16, &octets)));
        assert_eq!(same.id(), key(Suite::Aes256Gcm16, &octets).id());
        for bit in 0..36 * 8 {
            let mut changed = octets;
            changed[bit / 8] ^= 1 << (bit % 8);
            let other = key(Suite::Aes256Gcm16, &changed);
            assert!(!same.is_same_key(&other));
            assert_ne!(same.id(), other.id());
        }
        assert!(!same.is_same_key(&key(Suite::Aes128Gcm16, &octets[..20])));
    }

    #[test]
    fn same_octets_under_another_suite_are_the_same_key_but_count_apart() {
        let (aes, chacha) = (
            key(Suite::Aes256Gcm16, &[7; 36]),
            key(Suite::ChaCha20Poly1305, &[7; 36]),
        );
        assert!(aes.is_same_key(&chacha));
        assert_ne!(aes.id(), chacha.id());
    }

    #[test]
    fn two_random_keys_differ_and_have_their_suites_length() {
        for &suite in Suite::COMBINED {
            let key = KeyFile::random(suite).unwrap();
            assert_eq!(key.keymat().len(), suite.keymat_octets());
            assert!(!key.is_same_key(&KeyFile::random(suite).unwrap()));
        }
    }
}
