//! recvmmsg into preallocated slots.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io;

use super::control::{self, ControlBuffer, Name};
use super::option::last_error;

/// Datagrams taken by one call.
pub(in crate::io) const SLOTS: usize = COUNT as usize;
const COUNT: libc::c_uint = 64;
/// The largest IP datagram, and so the largest that a slot must take.
pub(in crate::io) const SLOT_OCTETS: usize = 65_536;
/// Distance between slots: the 25 cache lines beyond 64 KiB keep the slots' first lines from falling into the same cache sets.
pub(in crate::io) const STRIDE: usize = SLOT_OCTETS + 1_600;

/// What the control messages and the name of an IPv6 datagram said.
#[derive(Clone, Copy, Default)]
pub(in crate::io) struct Ancillary {
    pub(in crate::io) source: Option<(IpAddr, u32)>,
    pub(in crate::io) destination: Option<Ipv6Addr>,
    pub(in crate::io) hop_limit: Option<u8>,
    pub(in crate::io) traffic_class: Option<u8>,
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
    ancillary: bool,
}

// SAFETY: the raw pointers lead only to heap memory that the same value owns.
unsafe impl Send for ReceiveSlots {}

impl ReceiveSlots {
    /// `ancillary`: also receive the source address and control messages (IPv6; for IPv4 the header is in the datagram).
    pub(in crate::io) fn new(ancillary: bool) -> Self {
        let mut slots = Self {
            headers: Vec::with_capacity(SLOTS),
            iovecs: Vec::with_capacity(SLOTS),
            names: vec![Name::EMPTY; if ancillary { SLOTS } else { 0 }],
            controls: vec![ControlBuffer::EMPTY; if ancillary { SLOTS } else { 0 }],
            buffer: vec![0; SLOTS * STRIDE],
            filled: 0,
            ancillary,
        };
        let base = slots.buffer.as_mut_ptr();
        for index in 0..SLOTS {
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
        for index in 0..SLOTS {
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
        slots.filled = SLOTS;
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

    /// Takes up to [`SLOTS`] datagrams without waiting.
    pub(in crate::io) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.rearm();
        // SAFETY: each header's pointers lead to live memory of the stated lengths that nothing else borrows while `self` is
        // borrowed mutably; the last argument (timeout) may be null.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                COUNT,
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
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    found.destination = message.packet_info6()
                }
                (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => found.hop_limit = octet(message.int()),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    found.traffic_class = octet(message.int())
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
