//! Super-packets into segments and back: what a TUN device with a virtio-net header gives and takes (TSO, USO).
//!
//! Outbound, [`split()`] makes one read into segments that write themselves to where they leave from. Inbound, a
//! [`Coalescer`] makes the packets that lie in one buffer into runs, each written by one `writev`.

mod candidate;
pub mod checksum;
mod coalesce;
mod run;
mod split;
#[cfg(test)]
mod tests;

pub use coalesce::Coalescer;
pub use run::{PIECES_MAX, Run};
pub use split::{Segment, Segments, split};

/// Octets of a virtio-net header as a TUN device has it by default.
pub const VNET_HEADER_OCTETS: usize = 10;

/// [`VnetHeader::flags`]: the checksum at `checksum_start + checksum_offset` is to be completed.
pub const NEEDS_CHECKSUM: u8 = 1;
/// [`VnetHeader::gso_type`]: one packet, as it is.
pub const GSO_NONE: u8 = 0;
/// [`VnetHeader::gso_type`]: TCP over IPv4, to be segmented.
pub const GSO_TCPV4: u8 = 1;
/// [`VnetHeader::gso_type`]: TCP over IPv6, to be segmented.
pub const GSO_TCPV6: u8 = 4;
/// [`VnetHeader::gso_type`]: UDP datagrams of one size, to be separated.
pub const GSO_UDP: u8 = 5;
/// [`VnetHeader::gso_type`], beside a TCP type: the packet has CWR set.
pub const GSO_ECN: u8 = 0x80;

const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_CHECKSUM_AT: u16 = 16;
const UDP_CHECKSUM_AT: u16 = 6;
const UDP_HEADER_OCTETS: usize = 8;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// The header before each packet of a TUN device (`struct virtio_net_hdr`): flags 1 | gso_type 1 | hdr_len 2 | gso_size 2 |
/// csum_start 2 | csum_offset 2, all in the host's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// [`NEEDS_CHECKSUM`] or 0; other bits are ignored.
    pub flags: u8,
    /// One of the `GSO_` constants.
    pub gso_type: u8,
    /// Octets of all headers. The kernel gives the linear part of its buffer here, so it is a hint and never believed.
    pub header_octets: u16,
    /// Octets of payload in each segment but the last.
    pub gso_octets: u16,
    /// Where the checksummed octets begin, from the start of the IP header.
    pub checksum_start: u16,
    /// Where the checksum stands, from `checksum_start`.
    pub checksum_offset: u16,
}

impl VnetHeader {
    /// The header at the start of `octets`; `None` if they are too short.
    #[must_use]
    #[inline]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] =
            *octets.first_chunk::<VNET_HEADER_OCTETS>()?;
        Some(Self {
            flags,
            gso_type,
            header_octets: u16::from_ne_bytes([h0, h1]),
            gso_octets: u16::from_ne_bytes([g0, g1]),
            checksum_start: u16::from_ne_bytes([s0, s1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        })
    }

    /// The octets to write before the packet.
    #[must_use]
    #[inline]
    pub fn emit(&self) -> [u8; VNET_HEADER_OCTETS] {
        let [h0, h1] = self.header_octets.to_ne_bytes();
        let [g0, g1] = self.gso_octets.to_ne_bytes();
        let [s0, s1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}

/// What may be coalesced inbound; each can be switched off, as some kernels refuse or corrupt one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// TCP segments into one for segmentation offload.
    pub tcp: bool,
    /// UDP datagrams of one size into one; the kernel takes such from 6.2 on.
    pub udp: bool,
}
