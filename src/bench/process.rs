//! A process that runs a tunnel's end, and what all processes of a namespace cost.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::error::BenchError;
use crate::io::child::confine;
use crate::sites::Side;

const KILLED_AFTER: Duration = Duration::from_secs(3);
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// Lines of its log that tell why a process ended.
const LAST_WORDS: usize = 8;

/// A running process, in a process group of its own, which is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    side: Side,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a namespace; what it says goes to a file in `folder`.
    pub(super) fn start(
        side: Side,
        mut command: Command,
        folder: &Path,
        namespace: OwnedFd,
    ) -> Result<Self, BenchError> {
        let log = folder.join(format!("{}.log", side.name()));
        let spawn = || -> io::Result<Child> {
            let output = File::create(&log)?;
            command
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output)
                // A Ctrl-C on the terminal is for the bench, which then ends its tunnels itself.
                .process_group(0);
            confine(&mut command, namespace, true).spawn()
        };
        let child = spawn().map_err(BenchError::of(&format!("the tunnel of {}", side.name())))?;
        Ok(Self { side, child, log })
    }

    /// Fails when it ended other than well: a command may leave its tunnel to others.
    pub(super) fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait() {
            Ok(Some(status)) if !status.success() => Err(BenchError::Died {
                side: self.side,
                how: format!("{status}{}", self.last_words()),
            }),
            Ok(_) => Ok(()),
            Err(error) => Err(BenchError::of("wait for a process")(error)),
        }
    }

    /// Asks its group to end.
    pub(super) fn ask_to_end(&self) {
        if let Some(group) = self.group() {
            // It may have ended before.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    /// Waits until it ended, for a while.
    pub(super) fn wait(&mut self) {
        let began = Instant::now();
        while began.elapsed() < KILLED_AFTER && matches!(self.child.try_wait(), Ok(None)) {
            sleep(LOOK_AFTER);
        }
    }

    /// The last lines that it said, each on a line of its own.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LAST_WORDS);
        let last = lines.iter().skip(first);
        last.map(|line| format!("\n  {line}")).collect()
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group() {
            // It may have ended before.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The processes that live in a network namespace, whoever started them.
#[derive(Debug)]
pub(super) struct Residents {
    pids: Vec<Pid>,
}

/// What they used and hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// CPU time of all their threads, in seconds.
    pub(super) cpu_seconds: f64,
    /// Resident memory in octets.
    pub(super) memory_octets: u64,
}

impl Residents {
    /// Those of any of these namespaces.
    pub(super) fn of<'a>(namespaces: impl Iterator<Item = &'a OwnedFd>) -> io::Result<Self> {
        let mut wanted = Vec::new();
        for namespace in namespaces {
            let stat = rustix::fs::fstat(namespace.as_fd())?;
            wanted.push((stat.st_dev, stat.st_ino));
        }
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One that has ended since, or is not ours to look at.
            let Ok(namespace) = fs::metadata(entry.path().join("ns/net")) else {
                continue;
            };
            if wanted.contains(&(namespace.dev(), namespace.ino())) {
                pids.extend(Pid::from_raw(pid));
            }
        }
        Ok(Self { pids })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.pids.len()
    }

    /// What they used so far and hold; of those that have ended since, nothing.
    pub(super) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for pid in &self.pids {
            let read =
                |name: &str| fs::read_to_string(format!("/proc/{}/{name}", pid.as_raw_nonzero()));
            sum.cpu_seconds += read("stat").ok().and_then(|stat| cpu(&stat)).unwrap_or(0.0);
            sum.memory_octets += read("status")
                .ok()
                .and_then(|status| memory(&status))
                .unwrap_or(0);
        }
        sum
    }

    /// Kills them.
    pub(super) fn kill(&self) {
        for pid in &self.pids {
            // It may have ended before.
            let _ = kill_process(*pid, Signal::KILL);
        }
    }
}

/// User and system time out of proc_pid_stat(5): fields 14 and 15, of which the second may hold anything but ends in the last `)`.
fn cpu(stat: &str) -> Option<f64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// VmRSS out of proc_pid_status(5).
fn memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::netns;

    #[test]
    fn cpu_time_is_read_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 7 7 20 0 1 0 1 1 1";
        let hz = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(cpu(stat), Some(200.0 / hz));
        assert_eq!(cpu("42 (a"), None);
    }

    #[test]
    fn memory_is_read_in_octets() {
        let status = "Name:\ta\nVmHWM:\t  9999 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(memory(status), Some(1234 << 10));
        assert_eq!(memory("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn residents_are_found_though_their_parent_has_ended_and_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let namespace = netns::create_anonymous().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "setsid -f sleep 60; exec sleep 60"]);
        let given = namespace.try_clone().unwrap();
        let mut process = Process::start(Side::West, command, folder.path(), given).unwrap();
        let residents = || Residents::of([&namespace].into_iter()).unwrap();
        let asleep = |pid: &&Pid| {
            let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
            name.is_ok_and(|name| name == "sleep\n")
        };
        let started = Instant::now();
        // Before it sleeps, the second one may still be in the group of the first.
        while residents().pids.iter().filter(asleep).count() != 2 {
            assert!(started.elapsed() < KILLED_AFTER);
            sleep(LOOK_AFTER);
        }
        assert!(residents().usage().memory_octets > 0);
        process.ask_to_end();
        process.wait();
        assert_eq!(residents().count(), 1, "the one that left the group");
        residents().kill();
        while residents().count() != 0 {
            assert!(started.elapsed() < KILLED_AFTER);
            sleep(LOOK_AFTER);
        }
    }

    #[test]
    fn a_process_that_failed_says_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let namespace = netns::create_anonymous().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such thing >&2; exit 7"]);
        let mut process = Process::start(Side::East, command, folder.path(), namespace).unwrap();
        let started = Instant::now();
        let error = loop {
            if let Err(error) = process.check() {
                break error.to_string();
            }
            assert!(started.elapsed() < KILLED_AFTER);
            sleep(LOOK_AFTER);
        };
        assert!(error.contains("east ended: exit status: 7"), "{error}");
        assert!(error.ends_with("\n  no such thing"), "{error}");
    }
}
