//! recvmmsg into preallocated slots.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::{self, Errno};

use super::control::{self, ControlBuffer, Name};
use super::option::last_error;

/// The largest IP datagram, and so the largest that a slot must take.
pub(in crate::io) const SLOT_OCTETS: usize = 65_536;
/// Distance between slots: the 25 cache lines beyond 64 KiB keep the slots' first lines from falling into the same cache sets.
pub(in crate::io) const STRIDE: usize = SLOT_OCTETS + 1_600;

/// What the control messages and the name of a datagram said.
#[derive(Clone, Copy, Default)]
pub(in crate::io) struct Ancillary {
    pub(in crate::io) source: Option<SocketAddr>,
    pub(in crate::io) destination: Option<IpAddr>,
    pub(in crate::io) hop_limit: Option<u8>,
    /// TOS or traffic class.
    pub(in crate::io) tos: Option<u8>,
    /// Octets of each of the datagrams that the kernel joined (UDP_GRO).
    pub(in crate::io) segment_octets: Option<usize>,
}

/// Slots for one recvmmsg: everything the call points at, allocated once.
///
/// The vectors never grow, so the pointers between them, taken at construction, stay valid while `self` lives.
pub(in crate::io) struct ReceiveSlots {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    names: Vec<Name>,
    controls: Vec<ControlBuffer>,
    /// Zeroed by the allocator straight from the kernel, so that a slot costs no memory before a datagram touches it.
    buffer: Vec<u8>,
    filled: usize,
    limit: usize,
    ancillary: bool,
}

// SAFETY: the raw pointers lead only to heap memory that the same value owns.
unsafe impl Send for ReceiveSlots {}

impl ReceiveSlots {
    /// Room for so many datagrams. `ancillary`: also receive the source address and control messages, which a raw IPv4 socket does without,
    /// since the header is in the datagram.
    pub(in crate::io) fn new(count: usize, ancillary: bool) -> Self {
        let named = if ancillary { count } else { 0 };
        let mut slots = Self {
            headers: Vec::with_capacity(count),
            iovecs: Vec::with_capacity(count),
            names: vec![Name::EMPTY; named],
            controls: vec![ControlBuffer::EMPTY; named],
            buffer: vec![0; count * STRIDE],
            filled: 0,
            limit: usize::MAX,
            ancillary,
        };
        let base = slots.buffer.as_mut_ptr();
        for index in 0..count {
            slots.iovecs.push(libc::iovec {
                iov_base: base.wrapping_add(index * STRIDE).cast(),
                iov_len: SLOT_OCTETS,
            });
        }
        let (iovecs, names, controls) = (
            slots.iovecs.as_mut_ptr(),
            slots.names.as_mut_ptr(),
            slots.controls.as_mut_ptr(),
        );
        for index in 0..count {
            // SAFETY: an all-zero mmsghdr is a valid one (null pointers, zero lengths).
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = iovecs.wrapping_add(index);
            header.msg_hdr.msg_iovlen = 1;
            if ancillary {
                header.msg_hdr.msg_name = names.wrapping_add(index).cast();
                header.msg_hdr.msg_control = controls.wrapping_add(index).cast();
            }
            slots.headers.push(header);
        }
        slots.filled = count;
        slots.rearm();
        slots
    }

    /// Restores the lengths that the previous call overwrote.
    fn rearm(&mut self) {
        if self.ancillary {
            for header in self.headers.iter_mut().take(self.filled) {
                header.msg_hdr.msg_namelen = Name::OCTETS;
                header.msg_hdr.msg_controllen = ControlBuffer::OCTETS;
            }
        }
        self.filled = 0;
    }

    /// How many datagrams one call takes at most from here on, at least 1.
    pub(in crate::io) fn limit(&mut self, datagrams: usize) {
        self.limit = datagrams.max(1);
    }

    /// Takes datagrams without waiting, as many as there is room for; `Ok(0)` when there are none.
    ///
    /// An ICMP error that the kernel reports on the way (it stays in the error queue) does not end the call.
    pub(in crate::io) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut repeated = false;
        loop {
            match self.receive_once(socket) {
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN) => return Ok(0),
                Err(Errno::INTR) => {}
                Err(_) if !repeated => repeated = true,
                Err(errno) => return Err(errno),
            }
        }
    }

    fn receive_once(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.rearm();
        #[expect(clippy::cast_possible_truncation, reason = "tens of slots")]
        let count = self.headers.len().min(self.limit) as libc::c_uint;
        // SAFETY: each header's pointers lead to live memory of the stated lengths that nothing else borrows while `self` is
        // borrowed mutably; the last argument (timeout) may be null.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return Err(last_error());
        };
        self.filled = count;
        Ok(count)
    }

    /// The whole buffer; datagrams lie in it at the ranges of [`Self::datagram`].
    pub(in crate::io) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// The whole buffer, for work in place.
    pub(in crate::io) fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Range in the buffer and truncation mark of datagram `index` of the last call.
    pub(in crate::io) fn datagram(&self, index: usize) -> Option<(Range<usize>, bool)> {
        let header = self.headers.get(..self.filled)?.get(index)?;
        let octets = (header.msg_len as usize).min(SLOT_OCTETS);
        let start = index * STRIDE;
        Some((
            start..start + octets,
            header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        ))
    }

    /// Name and control messages of datagram `index` of the last call.
    pub(in crate::io) fn ancillary(&self, index: usize) -> Ancillary {
        let mut found = Ancillary::default();
        let (Some(header), Some(name), Some(control)) = (
            self.headers.get(index),
            self.names.get(index),
            self.controls.get(index),
        ) else {
            return found;
        };
        if header.msg_hdr.msg_namelen > 0 {
            found.source = name.address();
        }
        let written = control
            .0
            .get(..header.msg_hdr.msg_controllen)
            .unwrap_or_default();
        for message in control::messages(written) {
            match (message.level, message.kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => found.destination = message.packet_info4(),
                (libc::IPPROTO_IP, libc::IP_TOS) => found.tos = message.octet(),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    found.destination = message.packet_info6()
                }
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => found.hop_limit = octet(message.int()),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => found.tos = octet(message.int()),
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    found.segment_octets =
                        message.int().and_then(|value| usize::try_from(value).ok());
                }
                _ => {}
            }
        }
        found
    }
}

fn octet(value: Option<libc::c_int>) -> Option<u8> {
    value.and_then(|value| u8::try_from(value).ok())
}
