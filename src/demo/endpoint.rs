//! One `adit run` as a child process: its configuration, its socket, its log and its end.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::error::DemoError;
use crate::io::child::confine;
use crate::sites::Side;

/// The endpoint's own promise: SIGTERM ends it within this time.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
const KILLED_AFTER: Duration = Duration::from_secs(3);
const LOOK_AFTER: Duration = Duration::from_millis(5);
/// Lines of its log that tell why an endpoint ended.
const LAST_WORDS: usize = 8;

/// A running endpoint; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    side: Side,
    child: Child,
    socket: PathBuf,
    log: PathBuf,
    kept: bool,
}

impl Endpoint {
    /// Writes the configuration into `folder` and starts the endpoint in `namespace`.
    pub(super) fn start(
        side: Side,
        folder: &Path,
        namespace: OwnedFd,
        cpu: Option<usize>,
        die_with_us: bool,
    ) -> Result<Self, DemoError> {
        let file = |ending: &str| folder.join(format!("{}.{ending}", side.name()));
        let (configuration, socket, log) = (file("toml"), file("sock"), file("log"));
        let spawn = || -> io::Result<Child> {
            fs::write(&configuration, side.configuration())?;
            let output = File::create(&log)?;
            let mut command = Command::new("/proc/self/exe");
            command
                .arg("run")
                .arg("-c")
                .arg(&configuration)
                .arg("--socket")
                .arg(&socket)
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output)
                // A Ctrl-C on the terminal is for the demo, which then ends its endpoints itself.
                .process_group(0);
            confine(&mut command, namespace, die_with_us);
            pinned(cpu, || command.spawn())
        };
        let child = spawn().map_err(DemoError::of(&format!("the endpoint of {}", side.name())))?;
        Ok(Self {
            side,
            child,
            socket,
            log,
            kept: false,
        })
    }

    /// Its control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.died(status)),
            Err(error) => Err(DemoError::of("wait for an endpoint")(error)),
        }
    }

    /// Asks it to end, kills it if it does not, and complains where it did not end as it should.
    pub(super) fn stop(&mut self) -> Result<Option<String>, DemoError> {
        self.check()?;
        let asked = Instant::now();
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = Pid::from_raw(pid)
        {
            kill_process(pid, Signal::TERM)
                .map_err(|errno| DemoError::of("end an endpoint")(errno.into()))?;
        }
        while asked.elapsed() < KILLED_AFTER {
            match self
                .child
                .try_wait()
                .map_err(DemoError::of("wait for an endpoint"))?
            {
                None => sleep(LOOK_AFTER),
                Some(status) if !status.success() => return Err(self.died(status)),
                Some(_) => {
                    let took = asked.elapsed();
                    let late = format!(
                        "{}: the endpoint took {took:.1?} to end, promised is {ENDS_WITHIN:?}",
                        self.side.name()
                    );
                    return Ok((took > ENDS_WITHIN).then_some(late));
                }
            }
        }
        Ok(Some(format!(
            "{}: the endpoint did not end within {KILLED_AFTER:?} and was killed",
            self.side.name()
        )))
    }

    /// Lets it live when this is dropped.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    fn died(&self, status: ExitStatus) -> DemoError {
        DemoError::Died {
            side: self.side,
            status,
            last_words: self.last_words(),
        }
    }

    fn last_words(&self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LAST_WORDS);
        lines
            .iter()
            .skip(first)
            .map(|line| (*line).to_owned())
            .collect()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if !self.kept {
            // It may have ended before.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The first two CPUs that we may use, when there are two.
pub(super) fn two_cpus() -> Option<[usize; 2]> {
    let allowed = sched_getaffinity(None).ok()?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
    Some([cpus.next()?, cpus.next()?])
}

/// Spawns on one CPU: a child starts where its parent's thread may run.
fn pinned(cpu: Option<usize>, spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let Some(cpu) = cpu else {
        return spawn();
    };
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)?;
    let child = spawn();
    sched_setaffinity(None, &before)?;
    child
}
