//! One packet into the tunnel and out of it again (RFC 2784, 2890, 2983, 3948, 4303, 6040, 7676, 8086).
//!
//! Outbound: a [`Segment`](crate::offload::Segment) → [`Encap`] writes `outer IP | UDP | ESP | GRE | inner packet`, as far as the tunnel has
//! them, into a [`Train`] and seals it there → the socket. Inbound: an ESP payload or a GRE packet → [`Decap`] gives where the inner
//! packet lies → coalescing and the TUN device.
//!
//! A GRE header's presence bits are the tunnel's outbound; inbound, a checksum is verified whenever it is there, a sequence
//! number is looked at only by a tunnel with [`Parameters::sequence`], and the key has picked the tunnel already.

mod decap;
pub mod ecn;
mod encap;
mod fragment;
mod header;
pub mod icmp;
pub mod mss;
pub mod mtu;
mod own;
mod sequence;
#[cfg(test)]
mod tests;
mod train;

pub use decap::Decap;
pub use encap::{Encap, Refused};
pub use sequence::RESTART_RUN;
pub use train::{Label, Train};

use core::net::IpAddr;

use adit_crypto::Suite;

use crate::wire::gre::GreKey;

/// What one tunnel does to its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Our outer address.
    pub local: IpAddr,
    /// The peer's outer address, of the same family.
    pub remote: IpAddr,
    /// The key that we send.
    pub key_out: Option<GreKey>,
    /// The key that the peer sends.
    pub key_in: Option<GreKey>,
    /// Send GRE checksums and require them.
    pub checksum: bool,
    /// Send sequence numbers and require them, newer from packet to packet.
    pub sequence: bool,
    /// The outer TTL.
    pub ttl: Ttl,
    /// The outer DSCP.
    pub dscp_out: DscpOut,
    /// The inner DSCP after decapsulation.
    pub dscp_in: DscpIn,
    /// The outer ECN field.
    pub ecn: Ecn,
    /// The outer don't-fragment bit.
    pub df: Df,
    /// What TCP MSS options are lowered to, both ways.
    pub mss_clamp: Option<MssClamp>,
    /// What carries the inner packets.
    pub mode: Mode,
    /// Local and remote address, of one family, of an IP header around GRE in ESP, which then is in tunnel mode; without it GRE is in
    /// transport mode.
    pub gre_ends: Option<(IpAddr, IpAddr)>,
    /// The ports of the UDP header behind the outer IP header, where there is one (RFC 3948, 8086).
    pub udp: Option<Ports>,
    /// The least payload of an ESP packet in tunnel mode: shorter ones get TFC padding (RFC 4303 section 2.7), in octets.
    pub tfc_octets: u16,
}

/// What carries the inner packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// GRE.
    Gre,
    /// ESP in tunnel mode.
    Esp(Suite),
    /// GRE in ESP, in transport mode unless it has addresses of its own.
    GreEsp(Suite),
}

impl Mode {
    /// What seals the packets; GRE alone has nothing.
    #[must_use]
    pub const fn suite(self) -> Option<Suite> {
        match self {
            Self::Gre => None,
            Self::Esp(suite) | Self::GreEsp(suite) => Some(suite),
        }
    }

    /// Whether a GRE header stands before each inner packet.
    #[must_use]
    pub const fn has_gre(self) -> bool {
        match self {
            Self::Gre | Self::GreEsp(_) => true,
            Self::Esp(_) => false,
        }
    }
}

/// The ports of an outer UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

/// The outer TTL or hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// This one, from 1.
    Fixed(u8),
    /// The inner packet's.
    Inherit,
}

/// The outer DSCP (RFC 2983 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DscpOut {
    /// This one, 0 to 63: the ingress of the pipe model.
    Fixed(u8),
    /// The inner packet's: the uniform model.
    Inherit,
}

/// The inner DSCP after decapsulation (RFC 2983 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DscpIn {
    /// As it came: the pipe model.
    Keep,
    /// The outer packet's: the uniform model.
    Copy,
}

/// The ingress mode of RFC 6040 section 4.1. Decapsulation is the same for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// Copies the inner field, for an egress that carries congestion marks over.
    Normal,
    /// Not-ECT, for an egress that would lose the marks.
    Compatibility,
}

/// The outer don't-fragment bit, and over IPv6, which has no such bit, whether we may fragment at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Df {
    /// Set. Larger packets than the path takes are dropped, save those of up to 1280 octets, which an IPv6 link has to carry
    /// (RFC 8200 section 5) and which leave in outer fragments.
    Set,
    /// Clear. Larger packets leave in outer fragments.
    Clear,
    /// The inner packet's; an IPv6 packet counts as set.
    Copy,
}

/// Upper bounds of TCP's maximum segment size, by inner family; `None` leaves that family alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MssClamp {
    /// Over IPv4; less than 536 counts as 536.
    pub v4: Option<u16>,
    /// Over IPv6; less than 1220 counts as 1220.
    pub v6: Option<u16>,
}
