//! sendmmsg from preallocated headers: of whole packets, or of the payloads of runs that the kernel is to cut.

use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
use socket2::SockAddr;

use super::control::{RouteSource, SendControl};
use super::option::last_error;

/// Packets handed over by one call.
pub(in crate::io) const CHUNK: usize = 64;

/// Where packets go, and the source address by which to look for the way; a connected socket needs none.
#[derive(Clone, Copy)]
pub(in crate::io) struct Target<'a> {
    pub(in crate::io) address: &'a SockAddr,
    pub(in crate::io) source: &'a RouteSource,
}

/// One message for a UDP socket: the payloads of consecutive packets, one after the other.
#[derive(Clone)]
pub(in crate::io) struct Message {
    /// Which packets.
    pub(in crate::io) packets: Range<usize>,
    pub(in crate::io) control: SendControl,
}

/// Headers for one sendmmsg, allocated once. Their pointers mean something only inside [`SendHeaders::send`] and
/// [`SendHeaders::send_messages`].
pub(in crate::io) struct SendHeaders {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
}

// SAFETY: the pointers in the headers are dereferenced only within `send` and `send_messages`, which set them first.
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
            // SAFETY: `fill` pointed each header at memory that outlives this call.
            let errno = match unsafe { hand_over(socket, rest) } {
                Ok(sent) => {
                    accepted += sent;
                    next += sent;
                    repeated = false;
                    continue;
                }
                Err(errno) => errno,
            };
            match errno {
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

    /// Sends messages to `address`, each of its packets without their first `skip` octets, until one is refused; returns how many were
    /// accepted, and why the next one was not.
    pub(in crate::io) fn send_messages(
        &mut self,
        socket: BorrowedFd<'_>,
        address: &SockAddr,
        packets: &[&[u8]],
        skip: usize,
        messages: &[Message],
    ) -> (usize, Option<Errno>) {
        self.fill_messages(address, packets, skip, messages);
        let (mut next, mut repeated) = (0, false);
        while let Some(rest) = self.headers.get_mut(next..).filter(|rest| !rest.is_empty()) {
            // SAFETY: `fill_messages` pointed each header at memory that outlives this call.
            match unsafe { hand_over(socket, rest) } {
                Ok(sent) => {
                    next += sent;
                    repeated = false;
                }
                Err(Errno::INTR) => {}
                // An ICMP error that came in earlier is reported once by the next send, whichever packet that carries.
                Err(errno) if !repeated && errno != Errno::AGAIN && errno != Errno::NOBUFS => {
                    repeated = true;
                }
                Err(errno) => return (next, Some(errno)),
            }
        }
        (next, None)
    }

    /// Points one header at each message. All arguments outlive the call of `send_messages`, which is all that reads the headers.
    fn fill_messages(
        &mut self,
        address: &SockAddr,
        packets: &[&[u8]],
        skip: usize,
        messages: &[Message],
    ) {
        self.headers.clear();
        self.iovecs.clear();
        // The vector must not move once headers point into it.
        self.iovecs.reserve(packets.len());
        let mut payloads = packets
            .iter()
            .map(|packet| packet.get(skip..).unwrap_or_default());
        let mut taken = 0;
        for message in messages {
            let start = self.iovecs.len();
            let ahead = message.packets.start.saturating_sub(taken);
            taken += ahead + message.packets.len();
            for payload in payloads.by_ref().skip(ahead).take(message.packets.len()) {
                self.iovecs.push(libc::iovec {
                    iov_base: payload.as_ptr().cast_mut().cast(),
                    iov_len: payload.len(),
                });
            }
            // SAFETY: an all-zero mmsghdr is a valid one (null pointers, zero lengths).
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = self.iovecs.as_mut_ptr().wrapping_add(start);
            header.msg_hdr.msg_iovlen = self.iovecs.len() - start;
            header.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = address.len();
            header.msg_hdr.msg_control = message.control.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_controllen = message.control.length();
            self.headers.push(header);
        }
    }
}

/// One sendmmsg without waiting; how many messages were accepted, at least one.
///
/// # Safety
///
/// All pointers in `headers` lead to live memory of the stated lengths. The kernel only reads through them.
unsafe fn hand_over(socket: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
    let count = headers.len() as libc::c_uint;
    // SAFETY: as the caller promises.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(sent).map_err(|_| last_error())
}
