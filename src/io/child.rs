//! Child processes that live in a namespace and not longer than their parent.

use std::os::fd::OwnedFd;
use std::process::Command;

use super::sys;

/// Makes the process that `command` starts enter a network namespace, and, where `die_with_parent`, be killed when the thread that
/// starts it ends. Starting fails with the system's error when one of them is refused.
pub fn confine(command: &mut Command, namespace: OwnedFd, die_with_parent: bool) -> &mut Command {
    sys::child::confine(command, namespace, die_with_parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::netns;

    #[test]
    fn a_confined_child_lives_in_the_namespace_and_dies_with_the_thread_that_started_it() {
        use std::os::unix::process::ExitStatusExt;

        let namespace = netns::create_anonymous().unwrap();
        let inode = |path: &str| {
            std::fs::metadata(path).map(|file| std::os::unix::fs::MetadataExt::ino(&file))
        };
        let own = rustix::fs::fstat(&namespace).unwrap().st_ino;
        let start = move || {
            let mut command = Command::new("sleep");
            let child = confine(command.arg("60"), namespace, true).spawn().unwrap();
            assert_eq!(inode(&format!("/proc/{}/ns/net", child.id())).unwrap(), own);
            child
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
