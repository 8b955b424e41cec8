//! TUN devices: made by tun-rs, read and written here.
//!
//! Outbound: [`TunDevice::read`] → src/dataplane/outbound.rs. Inbound: offload/coalesce.rs → [`TunDevice::write_run`].
//! Every device has IFF_VNET_HDR, so each packet has a 10-octet virtio-net header in front, whatever the offload switches say.

use std::ffi::c_uint;
use std::fmt;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use tun_rs::{DeviceBuilder, SyncDevice};

use super::netlink::{Netlink, NetlinkError};
use super::sys::ioctl;

/// Pieces that one [`TunDevice::write_run`] takes at most.
pub const MAX_PIECES: usize = 256;
/// Octets of the longest interface name (IFNAMSIZ less the terminating zero).
pub const MAX_NAME_OCTETS: usize = 15;

/// Which super-packets the kernel may hand to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadSwitches {
    /// TCP segments of both IP versions up to 64 KiB (TUN_F_TSO4, TUN_F_TSO6).
    pub tso: bool,
    /// UDP datagrams of one size likewise (TUN_F_USO4, TUN_F_USO6; Linux 6.2).
    pub uso: bool,
}

impl OffloadSwitches {
    /// Segmentation is possible only together with deferred checksums, and the mask is the device's state, so it is always written whole.
    fn mask(self) -> c_uint {
        let mut mask = 0;
        if self.tso {
            mask |= libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        }
        if self.uso {
            mask |= libc::TUN_F_USO4 | libc::TUN_F_USO6;
        }
        if mask != 0 {
            mask |= libc::TUN_F_CSUM;
        }
        mask
    }
}

/// Why a TUN device could not be made.
#[derive(Debug)]
pub enum TunError {
    /// An interface of this name exists in the namespace.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name is empty, longer than 15 octets, "." or "..", or has a slash, colon, percent sign or white space.
    NameInvalid {
        /// The name.
        name: String,
    },
    /// The user may not open /dev/net/tun.
    DriverNotAccessible {
        /// The name.
        name: String,
    },
    /// CAP_NET_ADMIN is missing in the namespace.
    NotPermitted {
        /// The name.
        name: String,
    },
    /// The kernel has no TUN driver (no /dev/net/tun, or no module behind it).
    NoDriver {
        /// The name.
        name: String,
    },
    /// The namespace could not be asked about its interfaces.
    Netlink {
        /// The name.
        name: String,
        /// What went wrong.
        source: NetlinkError,
    },
    /// Another error of the kernel.
    Io {
        /// The name.
        name: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken { name } => write!(
                f,
                "interface {name:?} exists already: choose another name or delete that interface"
            ),
            Self::NameInvalid { name } => write!(
                f,
                "interface name {name:?}: want 1 to {MAX_NAME_OCTETS} octets without '/', ':', '%' and white space, and not \".\" or \"..\""
            ),
            Self::DriverNotAccessible { name } => write!(
                f,
                "interface {name:?}: may not open /dev/net/tun (its usual mode is 0666)"
            ),
            Self::NotPermitted { name } => write!(
                f,
                "interface {name:?}: not permitted: needs CAP_NET_ADMIN in the namespace"
            ),
            Self::NoDriver { name } => write!(
                f,
                "interface {name:?}: no TUN driver: /dev/net/tun is missing or has no driver behind it"
            ),
            Self::Netlink { name, source } => write!(f, "interface {name:?}: {source}"),
            Self::Io { name, source } => write!(f, "interface {name:?}: {source}"),
        }
    }
}

impl std::error::Error for TunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Netlink { source, .. } => Some(source),
            Self::Io { source, .. } => Some(source),
            Self::NameTaken { .. }
            | Self::NameInvalid { .. }
            | Self::DriverNotAccessible { .. }
            | Self::NotPermitted { .. }
            | Self::NoDriver { .. } => None,
        }
    }
}

/// A TUN device with one queue. It is gone when the last descriptor of it is closed.
#[derive(Debug)]
pub struct TunDevice {
    fd: OwnedFd,
    name: String,
    index: u32,
    accepted: OffloadSwitches,
}

impl TunDevice {
    /// Makes a device in the calling thread's namespace: admin-down, carrier off, not persistent, descriptor non-blocking.
    ///
    /// An offload that the kernel refuses is left off: see [`TunDevice::offload`].
    pub fn create(name: &str, offload: OffloadSwitches) -> Result<Self, TunError> {
        if !name_is_valid(name) {
            return Err(TunError::NameInvalid {
                name: name.to_owned(),
            });
        }
        let netlink =
            Netlink::open().and_then(|mut netlink| Ok((netlink.find_link(name)?, netlink)));
        let mut netlink = match netlink {
            Ok((None, netlink)) => netlink,
            Ok((Some(_), _)) => {
                return Err(TunError::NameTaken {
                    name: name.to_owned(),
                });
            }
            Err(source) => {
                return Err(TunError::Netlink {
                    name: name.to_owned(),
                    source,
                });
            }
        };
        let device = build(name).map_err(|error| refused(name, error))?;
        let io = |source: std::io::Error| TunError::Io {
            name: name.to_owned(),
            source,
        };
        device.set_nonblocking(true).map_err(io)?;
        // A duplicate, because taking the descriptor itself out of tun-rs yields a bare number.
        let fd = device.as_fd().try_clone_to_owned().map_err(io)?;
        let index = match netlink.find_link(name) {
            Ok(link) => link.map_or(0, |link| link.index),
            Err(source) => {
                return Err(TunError::Netlink {
                    name: name.to_owned(),
                    source,
                });
            }
        };
        let mut device = Self {
            fd,
            name: name.to_owned(),
            index,
            accepted: OffloadSwitches::default(),
        };
        device
            .set_carrier(false)
            .map_err(|errno| io(errno.into()))?;
        device
            .set_offload(offload)
            .map_err(|errno| io(errno.into()))?;
        Ok(device)
    }

    /// The interface's name at creation.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index, in the namespace of its creation.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The descriptor, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The offloads that the kernel accepted.
    pub fn offload(&self) -> OffloadSwitches {
        self.accepted
    }

    /// Sets the offloads and returns those that the kernel accepted: USO is left off where it is unknown, then TSO too.
    pub fn set_offload(&mut self, wanted: OffloadSwitches) -> Result<OffloadSwitches, Errno> {
        let without_uso = OffloadSwitches {
            uso: false,
            ..wanted
        };
        let attempts = [wanted, without_uso, OffloadSwitches::default()];
        let mut result = Err(Errno::INVAL);
        for attempt in attempts {
            result = ioctl::tun_set_offload(self.fd.as_fd(), attempt.mask()).map(|()| attempt);
            match result {
                Ok(accepted) => {
                    self.accepted = accepted;
                    break;
                }
                Err(Errno::INVAL) => {}
                Err(_) => break,
            }
        }
        result
    }

    /// Sets the carrier. Takes the kernel's RTNL lock: not for a worker. The kernel may hold the notification back for up to a second:
    /// [`Netlink::refresh_carrier`] makes it send it.
    pub fn set_carrier(&self, carrier: bool) -> Result<(), Errno> {
        ioctl::tun_set_carrier(self.fd.as_fd(), carrier)
    }

    /// Reads one packet with its virtio-net header in front; EAGAIN when there is none, EBADFD when the interface was deleted.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::read(&self.fd, buffer)
    }

    /// Writes one packet made of `pieces` of `buffer`, with the virtio-net header `vnet` in front, and returns the octets written.
    ///
    /// Errors: EIO when the interface is not up, EINVAL when the header does not fit the packet or the kernel refuses such a
    /// super-packet, EMSGSIZE for more than [`MAX_PIECES`] pieces, EFAULT for a piece outside of `buffer`.
    pub fn write_run(
        &self,
        vnet: &[u8; 10],
        buffer: &[u8],
        pieces: &[Range<usize>],
    ) -> Result<usize, Errno> {
        // Two sizes, because to clear the large one costs as much as the rest of the call when there is a single piece.
        if pieces.len() < SMALL_RUN {
            write_pieces::<SMALL_RUN>(self.fd.as_fd(), vnet, buffer, pieces)
        } else {
            write_pieces::<{ MAX_PIECES + 1 }>(self.fd.as_fd(), vnet, buffer, pieces)
        }
    }
}

const SMALL_RUN: usize = 8;

fn write_pieces<const N: usize>(
    fd: BorrowedFd<'_>,
    vnet: &[u8; 10],
    buffer: &[u8],
    pieces: &[Range<usize>],
) -> Result<usize, Errno> {
    let mut slices = [IoSlice::new(vnet); N];
    let room = slices.get_mut(1..=pieces.len()).ok_or(Errno::MSGSIZE)?;
    for (slice, piece) in room.iter_mut().zip(pieces) {
        *slice = IoSlice::new(buffer.get(piece.clone()).ok_or(Errno::FAULT)?);
    }
    rustix::io::writev(fd, slices.get(..=pieces.len()).unwrap_or_default())
}

/// True for a name that the kernel takes and that is not a pattern to it.
fn name_is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_OCTETS
        && name != "."
        && name != ".."
        && !name
            .chars()
            .any(|c| matches!(c, '/' | ':' | '%' | '\0') || c.is_whitespace())
}

fn build(name: &str) -> std::io::Result<SyncDevice> {
    DeviceBuilder::new()
        .name(name)
        .offload(true)
        .inherit_enable_state()
        .build_sync()
}

fn refused(name: &str, source: std::io::Error) -> TunError {
    let name = name.to_owned();
    match Errno::from_io_error(&source) {
        Some(Errno::BUSY | Errno::EXIST) => TunError::NameTaken { name },
        Some(Errno::ACCESS) => TunError::DriverNotAccessible { name },
        Some(Errno::PERM) => TunError::NotPermitted { name },
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => TunError::NoDriver { name },
        _ => TunError::Io { name, source },
    }
}
