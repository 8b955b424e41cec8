//! Which files are read as keys.

use std::os::unix::fs::{chown, symlink};
use std::time::{Duration, Instant};

use adit::keys::{FileFault, KeyFile, KeyFileError, TextError};

use crate::{Folder, digits, set_mode};

fn fault(error: KeyFileError) -> FileFault {
    match error {
        KeyFileError::File(error) => error.fault,
        KeyFileError::Text { error, .. } => panic!("{error}"),
    }
}

#[test]
fn a_key_that_group_or_others_may_read_write_or_run_is_refused_with_the_fix() {
    let folder = Folder::new();
    let path = folder.key_path();
    for mode in 0..0o1000 {
        set_mode(&path, mode);
        let read = KeyFile::read(&path);
        if mode & 0o077 != 0 && mode & 0o400 != 0 {
            let error = read.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{0}: mode {mode:04o} lets others than its owner in; run `chmod 600 {0}`",
                    path.display()
                )
            );
            assert!(matches!(fault(error), FileFault::Mode(found) if found == mode));
        } else if mode & 0o077 != 0 {
            // Who is not root cannot open it at all.
            assert!(read.is_err(), "{mode:o}");
        } else if mode & 0o400 != 0 {
            assert!(read.unwrap().is_same_key(&folder.key), "{mode:o}");
        }
    }
}

#[test]
fn a_key_of_another_user_is_refused() {
    let folder = Folder::new();
    let path = folder.key_path();
    chown(&path, Some(54_321), None).expect("this test needs root, to give a file away");
    let error = KeyFile::read(&path).unwrap_err();
    assert!(
        error.to_string().contains("belongs to user 54321"),
        "{error}"
    );
    assert!(matches!(fault(error), FileFault::Owner(54_321)));
}

#[test]
fn a_second_name_of_a_key_is_refused_be_it_symbolic_or_hard() {
    let folder = Folder::new();
    let (path, link) = (folder.key_path(), folder.path("link.key"));
    symlink(&path, &link).unwrap();
    assert!(matches!(
        fault(KeyFile::read(&link).unwrap_err()),
        FileFault::Symlink
    ));
    assert!(KeyFile::read(&path).is_ok());
    std::fs::remove_file(&link).unwrap();
    std::fs::hard_link(&path, &link).unwrap();
    for name in [&path, &link] {
        assert!(matches!(
            fault(KeyFile::read(name).unwrap_err()),
            FileFault::Links(2)
        ));
    }
    std::fs::remove_file(&link).unwrap();
    assert!(KeyFile::read(&path).is_ok());
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    let began = Instant::now();
    for path in [
        pipe.as_path(),
        folder.directory.path(),
        "/dev/null".as_ref(),
    ] {
        assert!(matches!(
            fault(KeyFile::read(path).unwrap_err()),
            FileFault::NotRegular
        ));
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    let error = KeyFile::read(&folder.path("absent.key")).unwrap_err();
    assert!(error.to_string().contains("cannot open it"), "{error}");
}

#[test]
fn a_file_above_4096_octets_is_refused_and_one_of_4096_read() {
    let folder = Folder::new();
    let path = folder.key_path();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push('#');
    while text.len() < 4096 {
        text.push('.');
    }
    std::fs::write(&path, &text).unwrap();
    assert!(KeyFile::read(&path).unwrap().is_same_key(&folder.key));
    std::fs::write(&path, text + ".").unwrap();
    assert!(matches!(
        fault(KeyFile::read(&path).unwrap_err()),
        FileFault::TooLarge(4096)
    ));
}

#[test]
fn messages_about_a_text_name_file_and_line_and_never_the_key() {
    let folder = Folder::new();
    let path = folder.key_path();
    let key = digits(&folder.key);
    for (text, expected) in [
        (format!("0x{key}\n"), TextError::Suite(1)),
        (format!("aes256gcm16 {key}\n"), TextError::Prefix(1)),
        (
            format!("aes256gcm16 0x{key} {key}\n"),
            TextError::Trailing(1),
        ),
        (format!("\naes256gcm16 0x{key}g\n"), TextError::Digit(2)),
        (
            format!("aes256gcm16 0x{key}\naes256gcm16 0x{key}\n"),
            TextError::SecondKey(2),
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = KeyFile::read(&path).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.starts_with(&format!("{}: line ", path.display())));
        assert!(!shown.contains(&key[..8]) && !shown.contains(&key[64..]));
        let KeyFileError::Text { error, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(error, expected);
    }
}
