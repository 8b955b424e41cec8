//! `adit keygen`, run as a user runs it.

use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Command, Output};

use adit::keys::KeyFile;
use adit_crypto::Suite;

use crate::digits;

fn keygen(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("keygen")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(octets: &[u8]) -> &str {
    str::from_utf8(octets).unwrap()
}

#[test]
fn keygen_makes_private_files_of_different_keys_and_prints_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = keygen(&folder, &["hq-out.key", "hq-in.key"]);
    assert!(output.status.success(), "{output:?}");
    let stdout = text(&output.stdout);
    let keys = ["hq-out.key", "hq-in.key"].map(|name| {
        let path = folder.path().join(name);
        assert_eq!(path.metadata().unwrap().mode(), 0o100_600);
        assert!(
            stdout.contains(&format!(
                "{name}: aes256gcm16, 36 octets of key and salt, mode 0600\n"
            )),
            "{stdout}"
        );
        KeyFile::read(&path).unwrap()
    });
    assert!(!keys[0].is_same_key(&keys[1]));
    assert!(
        stdout.contains("what is `out` here is `in` there"),
        "{stdout}"
    );
    for key in &keys {
        assert_eq!(key.suite(), Suite::Aes256Gcm16);
        assert!(!stdout.contains(&digits(key)[..8]));
    }
}

#[test]
fn keygen_makes_each_suite_and_refuses_others() {
    let folder = tempfile::tempdir().unwrap();
    for suite in Suite::COMBINED {
        let output = keygen(&folder, &["--suite", suite.name(), suite.name()]);
        assert!(output.status.success(), "{output:?}");
        let key = KeyFile::read(&folder.path().join(suite.name())).unwrap();
        assert_eq!(key.suite(), *suite);
    }
    for other in ["aes256cbc", Suite::Aes256CbcHmacSha256.name()] {
        let output = keygen(&folder, &["--suite", other, "new.key"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("chacha20poly1305"));
        assert!(!folder.path().join("new.key").exists());
    }
    assert_eq!(keygen(&folder, &[]).status.code(), Some(2));
}

#[test]
fn keygen_leaves_an_existing_file_as_it_is_even_where_it_is_a_link_to_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hq.key");
    std::fs::write(&path, "precious").unwrap();
    symlink("elsewhere", folder.path().join("link.key")).unwrap();
    for name in ["hq.key", "link.key"] {
        let output = keygen(&folder, &[name]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with(&format!("adit: {name}: cannot create it: ")),
            "{stderr}"
        );
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn the_umask_neither_opens_nor_closes_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    for umask in ["000", "777"] {
        let status = Command::new("sh")
            .args(["-c", "umask $0; exec \"$1\" keygen \"$0.key\"", umask])
            .arg(env!("CARGO_BIN_EXE_adit"))
            .current_dir(&folder)
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        let path = folder.path().join(format!("{umask}.key"));
        assert_eq!(path.metadata().unwrap().mode(), 0o100_600);
    }
}

#[test]
fn keygen_names_the_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let output = keygen(&folder, &["absent/hq.key"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("absent/hq.key: cannot create it"));
}
