//! nftables by way of nft(8): rules in, names of tables out, in a network namespace.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::child::confine;
use super::netns::Netns;

/// The program, by the search path and then where distributions put what is for root.
const PROGRAMS: [&str; 2] = ["nft", "/usr/sbin/nft"];
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets of what it says that are kept.
const SAID_OCTETS_MAX: u64 = 1 << 20;

/// Why nft(8) did not do what it was to do.
#[derive(Debug)]
pub enum NftError {
    /// There is no such program.
    Missing,
    /// It did not end in time, and was killed.
    TimedOut,
    /// It refused; its words.
    Refused(String),
    /// The operating system did not let it run.
    System(io::Error),
}

impl fmt::Display for NftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no program nft: install nftables"),
            Self::TimedOut => write!(f, "nft: killed after {} s", PATIENCE.as_secs()),
            Self::Refused(words) => write!(f, "nft: {words}"),
            Self::System(error) => write!(f, "nft: {error}"),
        }
    }
}

impl std::error::Error for NftError {}

impl From<io::Error> for NftError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Carries out all of `rules` or nothing in a network namespace (none: the caller's).
///
/// The caller waits, and the program is killed when the calling thread ends.
///
/// # Errors
/// [`NftError`], each of them.
pub fn load(netns: Option<BorrowedFd<'_>>, rules: &str) -> Result<(), NftError> {
    run(netns, &["-f", "-"], rules).map(drop)
}

/// The names of the tables of IPv4 (`table ip`) in a network namespace (none: the caller's).
///
/// # Errors
/// As [`load`].
pub fn tables(netns: Option<BorrowedFd<'_>>) -> Result<Vec<String>, NftError> {
    let listed = run(netns, &["list", "tables", "ip"], "")?;
    let names = listed
        .lines()
        .filter_map(|line| line.strip_prefix("table ip "));
    Ok(names.map(|name| name.trim().to_owned()).collect())
}

fn run(netns: Option<BorrowedFd<'_>>, arguments: &[&str], input: &str) -> Result<String, NftError> {
    let mut child = start(&PROGRAMS, netns, arguments)?;
    if let Some(mut stdin) = child.stdin.take() {
        // What it does not read it complains of itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let Some(status) = wait(&mut child)? else {
        child.kill()?;
        child.wait()?;
        return Err(NftError::TimedOut);
    };
    if status.success() {
        return Ok(said(child.stdout.take())?);
    }
    let words = said(child.stderr.take())?;
    let first = words.lines().next().unwrap_or_default().trim();
    Err(NftError::Refused(match first {
        "" => status.to_string(),
        words => words.to_owned(),
    }))
}

/// Starts the first of the programs that there is.
fn start(
    programs: &[&str],
    netns: Option<BorrowedFd<'_>>,
    arguments: &[&str],
) -> Result<Child, NftError> {
    for program in programs {
        let namespace = match netns {
            Some(netns) => netns.try_clone_to_owned()?,
            None => Netns::Current.open()?,
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match confine(&mut command, namespace, true).spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            started => return Ok(started?),
        }
    }
    Err(NftError::Missing)
}

/// Waits for the end of the process; none when it does not come in time.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    let ends = pidfd_open(pid, PidfdFlags::empty())?;
    let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
    let mut waiting = [PollFd::new(&ends, PollFlags::IN)];
    loop {
        match poll(&mut waiting, Some(&patience)) {
            Ok(0) => return Ok(None),
            Ok(_) => return child.wait().map(Some),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn said(pipe: Option<impl Read>) -> io::Result<String> {
    let mut octets = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(SAID_OCTETS_MAX).read_to_end(&mut octets)?;
    }
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    use crate::io::netns;

    #[test]
    fn rules_are_loaded_whole_or_not_at_all_and_only_in_the_namespace() {
        let namespace = netns::create_anonymous().unwrap();
        let inside = Some(namespace.as_fd());
        load(inside, "table ip one\ntable ip two\n").unwrap();
        assert_eq!(tables(inside).unwrap(), ["one", "two"]);
        assert!(!tables(None).unwrap().contains(&"one".to_owned()));
        let refused = load(inside, "table ip three\ndelete table ip four\n").unwrap_err();
        let NftError::Refused(words) = refused else {
            panic!("{refused:?}");
        };
        assert!(words.contains("No such file or directory"), "{words}");
        assert_eq!(tables(inside).unwrap(), ["one", "two"]);
    }

    #[test]
    fn a_host_without_the_program_is_told_what_to_install() {
        let missing = start(&["/nonexistent/nft", "nft-is-not-here"], None, &[]).unwrap_err();
        let words = missing.to_string();
        assert_eq!(words, "there is no program nft: install nftables");
    }
}
