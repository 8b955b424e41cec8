//! Room for received trains.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::io::sys::receive::ReceiveSlots;

/// Trains that one [`UdpSocket::receive`](super::UdpSocket::receive) takes at most.
pub const RECEIVE_TRAINS: usize = 16;

/// Preallocated room for one receive: slots of 64 KiB, whose memory is taken only as datagrams touch it.
pub struct UdpReceiveBatch {
    pub(super) slots: ReceiveSlots,
}

/// Datagrams of one sender and receiver, one after the other as they came: UDP payloads of equal size, of which the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedTrain {
    /// Where the payloads lie in the batch's buffer.
    pub range: Range<usize>,
    /// Octets of each payload but the last, which has the rest; at least 1. All of `range` when it is a single datagram.
    pub segment_octets: usize,
    /// Whence, with the scope of an IPv6 link-local address.
    pub source: SocketAddr,
    /// Address of ours to which it was sent; None when the kernel did not tell.
    pub destination: Option<IpAddr>,
    /// Interface index that an IPv6 link-local `source` belongs to, else 0.
    pub scope: u32,
    /// Outer TOS or traffic class.
    pub tos: Option<u8>,
    /// It was longer than the slot and its end is lost (MSG_TRUNC).
    pub truncated: bool,
}

impl UdpReceiveBatch {
    /// Room for the trains of a socket of either family.
    pub fn new() -> Self {
        Self {
            slots: ReceiveSlots::new(RECEIVE_TRAINS, true),
        }
    }

    /// How many trains one receive takes at most from here on: where each fills its slot, more of them would not stay in the cache.
    pub fn limit(&mut self, trains: usize) {
        self.slots.limit(trains);
    }

    /// The buffer in which the trains lie.
    pub fn buffer(&self) -> &[u8] {
        self.slots.buffer()
    }

    /// The same for work in place.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        self.slots.buffer_mut()
    }

    /// Train `index` of the last receive; None when the index is beyond its count.
    pub fn train(&self, index: usize) -> Option<ReceivedTrain> {
        let (range, truncated) = self.slots.datagram(index)?;
        let ancillary = self.slots.ancillary(index);
        let source = ancillary.source?;
        let segment_octets = ancillary.segment_octets.unwrap_or(range.len()).max(1);
        Some(ReceivedTrain {
            range,
            segment_octets,
            source,
            destination: ancillary.destination,
            scope: match source {
                SocketAddr::V4(_) => 0,
                SocketAddr::V6(source) => source.scope_id(),
            },
            tos: ancillary.tos,
            truncated,
        })
    }
}

impl Default for UdpReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}
