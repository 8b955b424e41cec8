//! sendmmsg from preallocated headers.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use socket2::SockAddr;

use super::control::RouteSource;
use super::option::last_error;

/// Packets handed over by one call.
pub(in crate::io) const CHUNK: usize = 64;

/// Where packets go, and the source address by which to look for the way; a connected socket needs none.
#[derive(Clone, Copy)]
pub(in crate::io) struct Target<'a> {
    pub(in crate::io) address: &'a SockAddr,
    pub(in crate::io) source: &'a RouteSource,
}

/// Headers for one sendmmsg, allocated once. Their pointers mean something only inside [`SendHeaders::send`].
pub(in crate::io) struct SendHeaders {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
}

// SAFETY: the pointers in the headers are dereferenced only within `send`, which sets them first.
unsafe impl Send for SendHeaders {}

impl SendHeaders {
    pub(in crate::io) fn new() -> Self {
        Self {
            headers: Vec::with_capacity(CHUNK),
            iovecs: Vec::with_capacity(CHUNK),
        }
    }

    /// Sends every packet, calls `failed` with the position and the errno of each that was not accepted, and returns how many were.
    pub(in crate::io) fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        target: Option<Target<'_>>,
        packets: impl Iterator<Item = &'a [u8]>,
        mut failed: impl FnMut(usize, Errno),
    ) -> usize {
        let mut packets = packets.fuse();
        let (mut accepted, mut position) = (0, 0);
        loop {
            self.fill(target, &mut packets);
            let filled = self.headers.len();
            if filled == 0 {
                return accepted;
            }
            accepted += self.flush(socket, |index, errno| failed(position + index, errno));
            position += filled;
            if filled < CHUNK {
                return accepted;
            }
        }
    }

    /// Points the headers at the next packets. Packets and target outlive the call of `send`, which is all that reads the headers.
    fn fill<'a>(
        &mut self,
        target: Option<Target<'_>>,
        packets: &mut impl Iterator<Item = &'a [u8]>,
    ) {
        self.headers.clear();
        self.iovecs.clear();
        let iovecs = self.iovecs.as_mut_ptr();
        for (index, octets) in packets.take(CHUNK).enumerate() {
            self.iovecs.push(libc::iovec {
                iov_base: octets.as_ptr().cast_mut().cast(),
                iov_len: octets.len(),
            });
            // SAFETY: an all-zero mmsghdr is a valid one (null pointers, zero lengths).
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = iovecs.wrapping_add(index);
            header.msg_hdr.msg_iovlen = 1;
            if let Some(target) = target {
                header.msg_hdr.msg_name = target.address.as_ptr().cast_mut().cast();
                header.msg_hdr.msg_namelen = target.address.len();
                header.msg_hdr.msg_control = target.source.as_ptr().cast_mut().cast();
                header.msg_hdr.msg_controllen = target.source.length();
            }
            self.headers.push(header);
        }
    }

    fn flush(&mut self, socket: BorrowedFd<'_>, mut failed: impl FnMut(usize, Errno)) -> usize {
        let (mut accepted, mut next) = (0, 0);
        let mut repeated = false;
        while let Some(rest) = self.headers.get_mut(next..).filter(|rest| !rest.is_empty()) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
            let count = rest.len() as libc::c_uint;
            // SAFETY: `fill` pointed each header at memory that outlives this call; the kernel only reads through them.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    count,
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(sent) = usize::try_from(sent) {
                accepted += sent;
                next += sent;
                repeated = false;
                continue;
            }
            match last_error() {
                Errno::INTR => {}
                // The socket's buffer is full, and will be for the rest of the chunk.
                Errno::AGAIN => {
                    (next..self.headers.len()).for_each(|index| failed(index, Errno::AGAIN));
                    return accepted;
                }
                // An error that came in earlier is reported once by the next send, whichever packet that carries. ICMP errors that answer
                // GRE are not for this socket, but a forged one may quote its protocol.
                errno if !repeated && errno != Errno::NOBUFS => repeated = true,
                errno => {
                    failed(next, errno);
                    next += 1;
                    repeated = false;
                }
            }
        }
        accepted
    }
}
