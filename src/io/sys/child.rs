//! Between fork and exec.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// As [`super::super::child::confine`].
pub(in crate::io) fn confine(
    command: &mut Command,
    namespace: OwnedFd,
    die_with_parent: bool,
) -> &mut Command {
    let parent = getpid();
    let confine = move || enter(&namespace, die_with_parent.then_some(parent));
    // SAFETY: `enter` runs in the child of a process that may have threads: it makes three system calls, allocates nothing and
    // takes no lock.
    unsafe { command.pre_exec(confine) }
}

fn enter(namespace: &OwnedFd, parent: Option<Pid>) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    if let Some(parent) = parent {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that died before that call sends no signal any more.
        if getppid() != Some(parent) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    Ok(())
}
