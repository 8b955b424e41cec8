//! The socket's error queue (IP_RECVERR): recvmsg with MSG_ERRQUEUE.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{self, Errno};

use super::control::{self, ControlBuffer, Name};
use super::option::last_error;

/// Octets of the quoted packet that are kept: what ICMPv6 quotes at most.
pub(in crate::io) const QUOTE_OCTETS: usize = 1_280;

/// struct sock_extended_err (linux/errqueue.h) and what came with it.
#[derive(Clone, Copy, Default)]
pub(in crate::io) struct ExtendedError {
    pub(in crate::io) errno: u32,
    pub(in crate::io) origin: u8,
    pub(in crate::io) kind: u8,
    pub(in crate::io) code: u8,
    pub(in crate::io) info: u32,
    /// Who sent the ICMP message.
    pub(in crate::io) offender: Option<IpAddr>,
    /// Where the packet in question was sent.
    pub(in crate::io) destination: Option<SocketAddr>,
    /// The address of ours to which the ICMP message came (with IP_PKTINFO or IPV6_RECVPKTINFO).
    pub(in crate::io) local: Option<IpAddr>,
    pub(in crate::io) quoted_octets: usize,
}

/// Takes one entry, None when there is none; the quoted octets go to the start of `quoted`.
pub(in crate::io) fn take(
    socket: BorrowedFd<'_>,
    quoted: &mut [u8; QUOTE_OCTETS],
) -> io::Result<Option<ExtendedError>> {
    loop {
        match receive(socket, quoted) {
            Ok(error) => return Ok(Some(error)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn receive(socket: BorrowedFd<'_>, quoted: &mut [u8; QUOTE_OCTETS]) -> io::Result<ExtendedError> {
    let mut name = Name::EMPTY;
    let mut control = ControlBuffer::EMPTY;
    let mut iovec = libc::iovec {
        iov_base: quoted.as_mut_ptr().cast(),
        iov_len: quoted.len(),
    };
    // SAFETY: an all-zero msghdr is a valid one (null pointers, zero lengths).
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = Name::OCTETS;
    header.msg_iov = &raw mut iovec;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = ControlBuffer::OCTETS;
    // SAFETY: every pointer in `header` leads to a live local (or `quoted`) of the stated length.
    let octets = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut header,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    let Ok(octets) = usize::try_from(octets) else {
        return Err(last_error());
    };
    let mut error = ExtendedError {
        quoted_octets: octets.min(quoted.len()),
        ..ExtendedError::default()
    };
    if header.msg_namelen > 0 {
        error.destination = name.address();
    }
    for message in control::messages(control.0.get(..header.msg_controllen).unwrap_or_default()) {
        match (message.level, message.kind) {
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                read_extended(message.data, &mut error);
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => error.local = message.packet_info4(),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => error.local = message.packet_info6(),
            _ => {}
        }
    }
    Ok(error)
}

/// `errno 4 | origin 1 | type 1 | code 1 | pad 1 | info 4 | data 4 | sockaddr of the offender`, host byte order.
fn read_extended(data: &[u8], error: &mut ExtendedError) {
    let Some((&[e0, e1, e2, e3, origin, kind, code, _, i0, i1, i2, i3, ..], offender)) =
        data.split_first_chunk::<16>()
    else {
        return;
    };
    error.errno = u32::from_ne_bytes([e0, e1, e2, e3]);
    error.origin = origin;
    error.kind = kind;
    error.code = code;
    error.info = u32::from_ne_bytes([i0, i1, i2, i3]);
    error.offender = control::sockaddr(offender).map(|address| address.ip());
}
