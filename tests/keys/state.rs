//! What is reserved, saved, refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use adit::keys::{BLOCK_PACKETS, FileFault, InboundState, KeyFile, OutboundState, StateError};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::{Folder, digits, set_mode};

const LIMIT_WITHOUT_ESN: u64 = 0xffff_ffff;

fn outbound(folder: &Folder) -> Result<OutboundState, StateError> {
    OutboundState::open(&folder.key_path(), &folder.key, u64::MAX)
}

fn inbound(folder: &Folder) -> Result<InboundState, StateError> {
    InboundState::open(&folder.key_path(), &folder.key)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn blocks_follow_each_other_from_1_and_over_restarts() {
    let folder = Folder::new();
    let mut state = outbound(&folder).unwrap();
    assert_eq!(state.reserve().unwrap(), 1..1 + BLOCK_PACKETS);
    assert_eq!(
        state.reserve().unwrap(),
        1 + BLOCK_PACKETS..1 + 2 * BLOCK_PACKETS
    );
    for restart in 2..6 {
        drop(state);
        state = outbound(&folder).unwrap();
        let start = 1 + restart * BLOCK_PACKETS;
        assert_eq!(state.reserve().unwrap(), start..start + BLOCK_PACKETS);
    }
    assert_eq!(
        names(folder.directory.path()),
        ["hq.key", "hq.key.out.lock", "hq.key.out.state"]
    );
}

#[test]
fn what_is_written_is_private_and_has_no_octet_of_the_key() {
    use std::os::unix::fs::MetadataExt;
    let folder = Folder::new();
    let mut state = outbound(&folder).unwrap();
    state.reserve().unwrap();
    let key = digits(&folder.key);
    for name in ["hq.key.out.lock", "hq.key.out.state"] {
        let path = folder.path(name);
        assert_eq!(path.metadata().unwrap().mode(), 0o100_600);
        let text = fs::read_to_string(path).unwrap();
        for start in 0..key.len() - 8 {
            assert!(!text.contains(&key[start..start + 8]));
        }
    }
    let shown = format!("{state:?}");
    assert!(!shown.contains(&key[..8]), "{shown}");
}

#[test]
fn without_esn_every_number_is_reserved_once_and_then_none() {
    let folder = Folder::new();
    let open = || OutboundState::open(&folder.key_path(), &folder.key, LIMIT_WITHOUT_ESN);
    let mut expected = 1;
    let mut state = open().unwrap();
    while expected <= LIMIT_WITHOUT_ESN {
        let block = state.reserve().unwrap();
        assert_eq!(block.start, expected);
        assert!(block.end > block.start && block.end <= LIMIT_WITHOUT_ESN + 1);
        expected = block.end;
    }
    for _ in 0..2 {
        let error = state.reserve().unwrap_err();
        assert!(matches!(
            error,
            StateError::Exhausted {
                limit: LIMIT_WITHOUT_ESN,
                ..
            }
        ));
        assert!(error.to_string().contains("adit keygen"), "{error}");
        drop(state);
        state = open().unwrap();
    }
    drop(state);
    let mut extended = outbound(&folder).unwrap();
    assert_eq!(extended.reserve().unwrap().start, LIMIT_WITHOUT_ESN + 1);
}

#[test]
fn a_limit_below_a_block_cuts_the_block() {
    let folder = Folder::new();
    let mut state = OutboundState::open(&folder.key_path(), &folder.key, 10).unwrap();
    assert_eq!(state.reserve().unwrap(), 1..11);
    assert!(state.reserve().is_err());
}

#[test]
fn a_new_key_starts_anew_and_a_key_that_comes_back_goes_on() {
    let mut folder = Folder::new();
    outbound(&folder).unwrap().reserve().unwrap();
    let first = fs::read(folder.key_path()).unwrap();
    folder.renew();
    assert_eq!(outbound(&folder).unwrap().reserve().unwrap().start, 1);
    fs::write(folder.key_path(), first).unwrap();
    folder.key = KeyFile::read(&folder.key_path()).unwrap();
    assert_eq!(
        outbound(&folder).unwrap().reserve().unwrap().start,
        1 + BLOCK_PACKETS
    );
}

#[test]
fn a_state_that_remembers_64_keys_refuses_another_rather_than_forget_one() {
    let mut folder = Folder::new();
    for _ in 0..64 {
        outbound(&folder).unwrap().reserve().unwrap();
        folder.renew();
    }
    let error = outbound(&folder).unwrap_err();
    assert!(matches!(error, StateError::Full { .. }), "{error}");
}

#[test]
fn the_edge_outlives_a_restart_and_never_moves_back() {
    let folder = Folder::new();
    let mut state = inbound(&folder).unwrap();
    assert_eq!(state.edge(), 0);
    state.save(0).unwrap();
    for (saved, edge) in [(7, 7), (5, 7), (1 << 40, 1 << 40), (u64::MAX, u64::MAX)] {
        state.save(saved).unwrap();
        assert_eq!(state.edge(), edge);
        drop(state);
        state = inbound(&folder).unwrap();
        assert_eq!(state.edge(), edge);
    }
}

#[test]
fn a_second_holder_of_a_direction_is_refused_by_name_until_the_first_is_gone() {
    let folder = Folder::new();
    let mut first = outbound(&folder).unwrap();
    first.reserve().unwrap();
    let error = outbound(&folder).unwrap_err();
    assert!(matches!(error, StateError::Held { .. }));
    assert!(error.to_string().contains("hq.key.out.lock"), "{error}");
    assert!(
        inbound(&folder).is_ok(),
        "the other end may be on this host"
    );
    drop(first);
    assert!(outbound(&folder).is_ok());
}

#[test]
fn a_folder_behind_a_symbolic_link_has_the_same_lock() {
    let folder = Folder::new();
    let aside = tempfile::tempdir().unwrap();
    let link = aside.path().join("keys");
    symlink(folder.directory.path(), &link).unwrap();
    let _first = outbound(&folder).unwrap();
    let error = OutboundState::open(&link.join("hq.key"), &folder.key, u64::MAX).unwrap_err();
    assert!(matches!(error, StateError::Held { .. }));
}

#[test]
fn a_holder_whose_lock_was_deleted_reserves_no_more() {
    let folder = Folder::new();
    let mut first = outbound(&folder).unwrap();
    let used = first.reserve().unwrap();
    fs::remove_file(folder.path("hq.key.out.lock")).unwrap();
    let mut second = outbound(&folder).unwrap();
    assert_eq!(second.reserve().unwrap().start, used.end);
    assert!(matches!(
        first.reserve().unwrap_err(),
        StateError::LockLost { .. }
    ));
}

#[test]
fn a_state_cut_off_or_changed_anywhere_is_an_error_and_stays_as_it_is() {
    let folder = Folder::new();
    outbound(&folder).unwrap().reserve().unwrap();
    let path = folder.path("hq.key.out.state");
    let whole = fs::read(&path).unwrap();
    let mut wrong: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    wrong.extend((0..whole.len()).map(|at| {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        changed
    }));
    wrong.push([whole.as_slice(), b"\n"].concat());
    for octets in wrong {
        fs::write(&path, &octets).unwrap();
        let error = outbound(&folder).unwrap_err();
        assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("hq.key.out.state: corrupt"));
        assert_eq!(fs::read(&path).unwrap(), octets);
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(
        outbound(&folder).unwrap().reserve().unwrap().start,
        1 + BLOCK_PACKETS
    );
}

#[test]
fn a_state_that_was_deleted_is_not_taken_for_one_that_never_was() {
    let folder = Folder::new();
    drop(outbound(&folder).unwrap());
    assert!(outbound(&folder).is_ok(), "nothing was reserved yet");
    outbound(&folder).unwrap().reserve().unwrap();
    fs::remove_file(folder.path("hq.key.out.state")).unwrap();
    let error = outbound(&folder).unwrap_err();
    assert!(matches!(error, StateError::Missing { .. }));
    assert!(error.to_string().contains("adit keygen"), "{error}");
}

#[test]
fn a_state_or_lock_that_others_may_touch_or_that_is_a_link_is_refused() {
    for name in ["hq.key.out.state", "hq.key.out.lock"] {
        let folder = Folder::new();
        outbound(&folder).unwrap().reserve().unwrap();
        let path = folder.path(name);
        set_mode(&path, 0o644);
        let fault = || {
            let Err(StateError::File(error)) = outbound(&folder) else {
                panic!("{name} was taken");
            };
            error.fault
        };
        assert!(matches!(fault(), FileFault::Mode(0o644)));
        set_mode(&path, 0o600);
        fs::rename(&path, folder.path("aside")).unwrap();
        symlink("aside", &path).unwrap();
        assert!(matches!(fault(), FileFault::Symlink));
    }
}

#[test]
fn a_folder_that_cannot_be_written_lets_nothing_be_reserved() {
    // Root writes everywhere: without its capabilities, which are the thread's own, it is held to the permission bits.
    let none = CapabilitySet::empty();
    let unwritable = || {
        rustix::thread::set_capabilities(
            None,
            CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            },
        )
        .unwrap();
    };
    let folder = Folder::new();
    let mut open = outbound(&folder).unwrap();
    let used = open.reserve().unwrap();
    set_mode(folder.directory.path(), 0o555);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            unwritable();
            for _ in 0..2 {
                let error = open.reserve().unwrap_err().to_string();
                assert!(
                    error.contains("hq.key.out.state.new: cannot create it"),
                    "{error}"
                );
            }
            let error = inbound(&folder).unwrap_err().to_string();
            assert!(error.contains("hq.key.in.lock: cannot open it"), "{error}");
        });
    });
    set_mode(folder.directory.path(), 0o755);
    assert_eq!(open.reserve().unwrap().start, used.end);
}
