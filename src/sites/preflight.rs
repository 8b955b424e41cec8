//! What sites need of the system, and what to do where it is missing.

use std::fmt;
use std::fs;
use std::io;

use rustix::thread::CapabilitySet;

use crate::io::netns;

const TUN: &str = "/dev/net/tun";
/// Sysctls that forbid user namespaces to those who are not root: their value where they do.
const FORBIDDING: [(&str, &str); 3] = [
    ("user.max_user_namespaces", "0"),
    ("kernel.unprivileged_userns_clone", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
];

/// What is missing.
#[derive(Debug)]
pub(crate) enum Missing {
    /// There is no TUN device.
    NoTun,
    /// The TUN device may not be opened.
    TunRefused(io::Error),
    /// Neither are we allowed to make network namespaces nor user namespaces in which we are.
    Privileges(io::Error),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTun => write!(
                f,
                "{TUN} does not exist: load the kernel's module (`modprobe tun`), or give the device to the container \
                 (`--device {TUN}`)"
            ),
            Self::TunRefused(error) => write!(
                f,
                "{TUN} cannot be opened: {error}: let this user read and write it, or give the device to the container \
                 (`--device {TUN}`)"
            ),
            Self::Privileges(error) => {
                write!(
                    f,
                    "network namespaces need CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW, which this process does not \
                     have, and user namespaces, which would give them, are refused ({error})"
                )?;
                match forbidding_sysctl(|path| fs::read_to_string(path).ok()) {
                    Some(sysctl) => write!(f, ": the system says {sysctl}")?,
                    None => f.write_str(": a container or a security module forbids them")?,
                }
                f.write_str("; run it as root, or in a container with `--privileged`")
            }
        }
    }
}

/// Looks for what is needed, and becomes root of a user namespace of its own where that is what it takes; says whether it did. The
/// process must have one thread.
pub(crate) fn prepare() -> Result<bool, Missing> {
    let becomes_root = !has_privileges();
    if becomes_root {
        netns::enter_user_namespace().map_err(Missing::Privileges)?;
    }
    match fs::File::options().read(true).write(true).open(TUN) {
        Ok(_) => Ok(becomes_root),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Missing::NoTun),
        Err(error) => Err(Missing::TunRefused(error)),
    }
}

fn has_privileges() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

fn forbidding_sysctl(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    FORBIDDING.iter().find_map(|(name, value)| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        (read(&path)?.trim() == *value).then(|| format!("{name} = {value}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sysctl_that_forbids_is_named() {
        let found = forbidding_sysctl(|path| match path {
            "/proc/sys/user/max_user_namespaces" => Some("1024\n".to_owned()),
            "/proc/sys/kernel/unprivileged_userns_clone" => Some("0\n".to_owned()),
            _ => None,
        });
        assert_eq!(
            found.as_deref(),
            Some("kernel.unprivileged_userns_clone = 0")
        );
        assert_eq!(forbidding_sysctl(|_| None), None);
    }
}
