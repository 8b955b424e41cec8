//! How TCP controls congestion in the namespaces of a bench.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::error::BenchError;
use crate::io::netns;

const IN_USE: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/// What a fresh namespace begins with, as far as it can be asked.
pub(super) fn of_system() -> Option<String> {
    let namespace = netns::create_anonymous().ok()?;
    read(namespace.as_fd(), IN_USE).ok()
}

/// Has the TCP of a namespace use the algorithm of this name.
pub(super) fn set(namespace: BorrowedFd<'_>, name: &str) -> Result<(), BenchError> {
    let written = netns::within(Some(namespace), || fs::write(IN_USE, name))?;
    written.map_err(|error| {
        let has = read(namespace, AVAILABLE).unwrap_or_default();
        BenchError::System(format!(
            "congestion control \"{name}\": {error}; this kernel has {has}"
        ))
    })
}

fn read(namespace: BorrowedFd<'_>, file: &'static str) -> io::Result<String> {
    let text = netns::within(Some(namespace), || fs::read_to_string(file))??;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_set_in_its_namespace_alone() {
        let other = of_system().unwrap();
        let namespace = netns::create_anonymous().unwrap();
        set(namespace.as_fd(), "reno").unwrap();
        assert_eq!(read(namespace.as_fd(), IN_USE).unwrap(), "reno");
        assert_eq!(of_system().unwrap(), other);
    }

    #[test]
    fn an_algorithm_that_the_kernel_lacks_is_refused_with_those_that_it_has() {
        let namespace = netns::create_anonymous().unwrap();
        let error = set(namespace.as_fd(), "none-such").unwrap_err().to_string();
        assert!(
            error.starts_with("congestion control \"none-such\": "),
            "{error}"
        );
        assert!(
            error.contains("; this kernel has ") && error.contains("reno"),
            "{error}"
        );
    }
}
