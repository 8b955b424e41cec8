//! Features of interfaces, as `ethtool -k` shows and `ethtool -K` sets them, in the calling thread's network namespace.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::sys::ethtool::{self, Interface};

/// Whether an interface cuts UDP super-packets itself (UDP_SEGMENT) or hands them over whole; ENODEV when there is no such interface.
pub fn segments_udp(interface: &str) -> io::Result<bool> {
    Features::of(interface)?.is_active("tx-udp-segmentation")
}

/// Sets a feature by the name that the kernel has for it, such as `rx-gro`.
///
/// Needs CAP_NET_ADMIN (EPERM). ENODEV when there is no such interface; ENOENT when the kernel has no such feature; EOPNOTSUPP when the
/// interface does not let it be changed.
pub fn set_feature(interface: &str, feature: &str, on: bool) -> io::Result<()> {
    let features = Features::of(interface)?;
    features.request(feature, on)?;
    if features.is_active(feature)? == on {
        return Ok(());
    }
    Err(Errno::OPNOTSUPP.into())
}

struct Features {
    socket: Socket,
    interface: Interface,
    names: Vec<[u8; ethtool::NAME_OCTETS]>,
}

impl Features {
    fn of(interface: &str) -> io::Result<Self> {
        let interface = Interface::new(interface).ok_or(Errno::NODEV)?;
        // Any socket serves: it tells the namespace.
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        let names = ethtool::feature_names(socket.as_fd(), interface)?;
        Ok(Self {
            socket,
            interface,
            names,
        })
    }

    fn is_active(&self, feature: &str) -> io::Result<bool> {
        let (socket, index) = (self.socket.as_fd(), self.index(feature)?);
        Ok(ethtool::is_active(
            socket,
            self.interface,
            index,
            self.names.len(),
        )?)
    }

    fn request(&self, feature: &str, on: bool) -> io::Result<()> {
        let (socket, index) = (self.socket.as_fd(), self.index(feature)?);
        Ok(ethtool::request(
            socket,
            self.interface,
            index,
            self.names.len(),
            on,
        )?)
    }

    fn index(&self, feature: &str) -> io::Result<usize> {
        let is_named = |name: &[u8; ethtool::NAME_OCTETS]| {
            let end = name.iter().position(|octet| *octet == 0);
            name.get(..end.unwrap_or(name.len())) == Some(feature.as_bytes())
        };
        let index = self.names.iter().position(is_named);
        Ok(index.ok_or(Errno::NOENT)?)
    }
}
