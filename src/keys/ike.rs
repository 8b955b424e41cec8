//! What an end of IKE proves itself with, read from files.

use std::fmt;
use std::path::{Path, PathBuf};

use adit_crypto::{BadCertificate, BadKey, Certificate, SecretBytes, SigningKey, TrustAnchors};
use zeroize::Zeroizing;

use super::private::{self, FileError};
use super::psk::{self, PasswordFault, PskFault};

/// Octets that the file of a pre-shared key may have.
const PSK_FILE_OCTETS_MAX: usize = 4096;
/// Octets that the file of a private key may have.
const KEY_FILE_OCTETS_MAX: usize = 16 << 10;
/// Octets that a file of certificates may have.
const CERTIFICATES_OCTETS_MAX: usize = 1 << 20;

/// Why there is no credential. The text has no octet of a secret.
#[derive(Debug)]
pub enum CredentialError {
    /// The file cannot or must not be used.
    File(FileError),
    /// What is in the file is no pre-shared key.
    Psk {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        fault: PskFault,
    },
    /// What is in the file is no password.
    Password {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        fault: PasswordFault,
    },
    /// What is in the file are no certificates.
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        fault: BadCertificate,
    },
    /// What is in the file is no private key.
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        fault: BadKey,
    },
    /// The private key is not that of the certificate.
    Mismatch {
        /// The file of the certificate.
        chain: PathBuf,
        /// The file of the private key.
        key: PathBuf,
    },
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Psk { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::Password { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::Certificate { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::Key { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::Mismatch { chain, key } => write!(
                f,
                "{}: not the private key of the first certificate of {}",
                key.display(),
                chain.display()
            ),
        }
    }
}

impl std::error::Error for CredentialError {}

impl From<FileError> for CredentialError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Reads a pre-shared key: the one line of the file as it is, or behind `0x` the octets of its hexadecimal digits. The file belongs to
/// root or to who runs adit and is closed to group and others; it may be reached by a symbolic link.
///
/// # Errors
/// [`CredentialError`], which names the file and the cause.
pub fn read_psk(path: &Path) -> Result<SecretBytes, CredentialError> {
    let mut octets = Zeroizing::new([0; PSK_FILE_OCTETS_MAX]);
    let length = private::read_linked(path, octets.as_mut_slice())?;
    psk::parse(octets.get(..length).unwrap_or_default()).map_err(|fault| CredentialError::Psk {
        path: path.to_owned(),
        fault,
    })
}

/// Reads the password of an Easy VPN user: the one line of the file as it is. The file is as closed as that of a pre-shared key.
///
/// # Errors
/// [`CredentialError`], which names the file and the cause.
pub fn read_password(path: &Path) -> Result<SecretBytes, CredentialError> {
    let mut octets = Zeroizing::new([0; PSK_FILE_OCTETS_MAX]);
    let length = private::read_linked(path, octets.as_mut_slice())?;
    let file = octets.get(..length).unwrap_or_default();
    psk::parse_password(file).map_err(|fault| CredentialError::Password {
        path: path.to_owned(),
        fault,
    })
}

/// Reads our certificate with the intermediate ones behind it, and its private key, both in PEM. The file of the key is as closed as
/// that of a pre-shared key.
///
/// # Errors
/// [`CredentialError`], which names the file and the cause.
pub fn read_certificate(
    chain: &Path,
    key: &Path,
) -> Result<(Vec<Certificate>, SigningKey), CredentialError> {
    let certificates =
        Certificate::from_pem(&private::read_public(chain, CERTIFICATES_OCTETS_MAX)?)
            .map_err(bad_certificate(chain))?;
    let signing = read_signing_key(key)?;
    let spki = signing.public_spki();
    if certificates.first().is_none_or(|ours| ours.spki() != spki) {
        return Err(CredentialError::Mismatch {
            chain: chain.to_owned(),
            key: key.to_owned(),
        });
    }
    Ok((certificates, signing))
}

fn read_signing_key(path: &Path) -> Result<SigningKey, CredentialError> {
    let mut octets = Zeroizing::new(vec![0; KEY_FILE_OCTETS_MAX]);
    let length = private::read_linked(path, &mut octets)?;
    SigningKey::from_pem(octets.get(..length).unwrap_or_default()).map_err(|fault| {
        CredentialError::Key {
            path: path.to_owned(),
            fault,
        }
    })
}

/// Reads the certificates of authorities in PEM.
///
/// # Errors
/// [`CredentialError`], which names the file and the cause.
pub fn read_anchors(path: &Path) -> Result<TrustAnchors, CredentialError> {
    TrustAnchors::from_pem(&private::read_public(path, CERTIFICATES_OCTETS_MAX)?)
        .map_err(bad_certificate(path))
}

fn bad_certificate(path: &Path) -> impl FnOnce(BadCertificate) -> CredentialError {
    |fault| CredentialError::Certificate {
        path: path.to_owned(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn written(folder: &Path, mode: u32, octets: &[u8]) -> PathBuf {
        let path = folder.join("hq.psk");
        fs::write(&path, octets).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o620] {
            let path = written(folder.path(), mode, b"secret\n");
            let shown = path.display();
            assert_eq!(
                read_psk(&path).unwrap_err().to_string(),
                format!(
                    "{shown}: mode {mode:04o} lets others than its owner in; run `chmod 600 {shown}`"
                )
            );
        }
    }

    #[test]
    fn a_password_that_others_can_read_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 0o640, b"secret\n");
        let shown = path.display();
        assert_eq!(
            read_password(&path).unwrap_err().to_string(),
            format!("{shown}: mode 0640 lets others than its owner in; run `chmod 600 {shown}`")
        );
        let path = written(folder.path(), 0o600, b"secret\n");
        assert_eq!(read_password(&path).unwrap().expose(), b"secret");
        let path = written(folder.path(), 0o600, b"one\ntwo\n");
        let shown = path.display();
        assert_eq!(
            read_password(&path).unwrap_err().to_string(),
            format!("{shown}: more than one line; a password has one")
        );
    }

    #[test]
    fn a_link_to_a_closed_file_is_followed_and_one_to_an_open_file_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let path = written(folder.path(), 0o600, b"secret\n");
        symlink(&path, &link).unwrap();
        assert_eq!(read_psk(&link).unwrap().expose(), b"secret");
        written(folder.path(), 0o644, b"secret\n");
        assert!(read_psk(&link).is_err());
    }

    #[test]
    fn what_is_no_key_is_said_without_an_octet_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), 0o600, b"0xsecret\n");
        let shown = path.display();
        assert_eq!(
            read_psk(&path).unwrap_err().to_string(),
            format!("{shown}: something else than pairs of hexadecimal digits behind 0x")
        );
        let path = written(folder.path(), 0o600, &[b'a'; 4097]);
        assert!(
            read_psk(&path)
                .unwrap_err()
                .to_string()
                .ends_with(": larger than the maximum of 4096 octets")
        );
        assert!(
            read_psk(folder.path())
                .unwrap_err()
                .to_string()
                .ends_with(": not a regular file")
        );
    }

    fn recorded(name: &str) -> PathBuf {
        let certs = concat!(env!("CARGO_MANIFEST_DIR"), "/crypto/tests/certs");
        Path::new(certs).join(name)
    }

    /// A recorded private key in a file of this mode.
    fn key(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::copy(recorded(name), &path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_certificate_is_read_with_its_own_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (
            key(folder.path(), "a.key", 0o600),
            key(folder.path(), "b.key", 0o600),
        );
        let (chain, signing) = read_certificate(&recorded("a.pem"), &a).unwrap();
        assert_eq!(chain.len(), 1);
        assert_eq!(chain[0].spki(), signing.public_spki());
        assert_eq!(
            read_certificate(&recorded("a.pem"), &b)
                .unwrap_err()
                .to_string(),
            format!(
                "{}: not the private key of the first certificate of {}",
                b.display(),
                recorded("a.pem").display()
            )
        );
    }

    #[test]
    fn a_private_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = key(folder.path(), "a.key", 0o644);
        let refused = read_certificate(&recorded("a.pem"), &open).unwrap_err();
        assert!(matches!(
            refused,
            CredentialError::File(FileError {
                fault: private::FileFault::Mode(0o644),
                ..
            })
        ));
    }

    #[test]
    fn what_is_no_certificate_or_key_is_said_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let a = key(folder.path(), "a.key", 0o600);
        let shown = a.display().to_string();
        assert_eq!(
            read_certificate(&a, &a).unwrap_err().to_string(),
            format!("{shown}: no certificate in PEM")
        );
        assert_eq!(
            read_anchors(&a).unwrap_err().to_string(),
            format!("{shown}: no certificate in PEM")
        );
        let psk = written(folder.path(), 0o600, b"secret\n");
        assert_eq!(
            read_certificate(&recorded("a.pem"), &psk)
                .unwrap_err()
                .to_string(),
            format!(
                "{}: no private key in PEM that is not encrypted",
                psk.display()
            )
        );
        assert!(
            read_anchors(folder.path())
                .unwrap_err()
                .to_string()
                .ends_with(": not a regular file")
        );
        assert_eq!(
            read_anchors(&recorded("ca.pem")).unwrap().key_ids().len(),
            1
        );
    }
}
