//! A process that is killed while it reserves: no number comes twice.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use adit::keys::{BLOCK_PACKETS, KeyFile, OutboundState};

use crate::Folder;

/// Names the key file to the process that is going to be killed.
const VICTIM: &str = "ADIT_TEST_KEY_FILE";
const KILLS: usize = 20;

#[test]
fn no_number_is_reserved_twice_by_processes_that_are_killed() {
    if let Some(path) = std::env::var_os(VICTIM) {
        reserve_until_killed(Path::new(&path));
    }
    let folder = Folder::new();
    let mut used: Vec<Range<u64>> = Vec::new();
    for kill in 0..KILLS {
        let before = used.len();
        used.extend(reserve_and_kill(&folder.key_path(), 1 + kill % 3));
        assert!(used.len() > before, "kill {kill}: nothing was reserved");
    }
    assert_eq!(used[0].start, 1);
    for pair in used.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
}

/// Starts a process that reserves, kills it after it told `blocks` blocks, and returns all it told.
fn reserve_and_kill(key: &Path, blocks: usize) -> Vec<Range<u64>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::no_number_is_reserved_twice_by_processes_that_are_killed",
            "--nocapture",
        ])
        .env(VICTIM, key)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while told.len() < blocks {
        let line = lines.next().expect("ended by itself").unwrap();
        told.extend(block(&line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    told.extend(lines.filter_map(|line| block(&line.unwrap())));
    told
}

fn block(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split_once("..")?;
    Some(start.parse().ok()?..end.parse().ok()?)
}

fn reserve_until_killed(path: &Path) -> ! {
    let key = KeyFile::read(path).unwrap();
    let mut state = OutboundState::open(path, &key, u64::MAX).unwrap();
    println!();
    loop {
        let block = state.reserve().unwrap();
        println!("{}..{}", block.start, block.end);
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_left_between_write_and_rename_is_replaced_and_never_read() {
    let folder = Folder::new();
    let open = || OutboundState::open(&folder.key_path(), &folder.key, u64::MAX).unwrap();
    let left = folder.path("hq.key.out.state.new");
    fs::write(&left, "half a sta").unwrap();
    let first = open().reserve().unwrap();
    assert_eq!(first, 1..1 + BLOCK_PACKETS);
    assert!(!left.exists());
    let elsewhere = folder.path("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    symlink(&elsewhere, &left).unwrap();
    assert_eq!(open().reserve().unwrap().start, first.end);
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "precious");
}
