//! What stands before each inner packet: `outer IP 20 or 40 | UDP 8 | SPI, sequence number, IV 16 | GRE 4..16`, as far as the tunnel has
//! them, prepared once; per packet the fields that differ are patched.

use core::net::IpAddr;

use super::{Mode, Parameters, Ports, mtu};
use crate::esp;
use crate::offload::checksum;
use crate::wire::esp::{IP_PROTOCOL as ESP_PROTOCOL, NEXT_GRE, NEXT_IPV4, NEXT_IPV6};
use crate::wire::gre;
use crate::wire::ip::{self, DONT_FRAGMENT, IPV4_OCTETS, IPV6_OCTETS, OuterHeader};
use crate::wire::natt::{UDP_OCTETS, UDP_PROTOCOL};

/// Octets of the largest template.
const TEMPLATE_OCTETS: usize = IPV6_OCTETS + UDP_OCTETS + esp::PREFIX_OCTETS_MAX + gre::MAX_OCTETS;

/// TTL of an IP header that never leaves ESP.
const ENDS_TTL: u8 = 64;

/// What the outer header of one packet says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    /// The GRE protocol type, which tells ESP's next header too.
    pub(super) protocol: u16,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) df: bool,
}

/// The headers of a tunnel's packets.
#[derive(Clone, Debug)]
pub(super) struct Template {
    octets: [u8; TEMPLATE_OCTETS],
    /// Of the outer IP header; 0 while there is no usable pair of addresses.
    pub(super) ip_octets: usize,
    /// Of the outer IP and UDP headers.
    pub(super) outer_octets: usize,
    /// Where the payload of ESP is, or would be.
    pub(super) payload_at: usize,
    /// Where the GRE header is, or would be: behind an IP header of its own in ESP's tunnel mode.
    pub(super) gre_at: usize,
    /// ESP's next header of a packet with GRE.
    pub(super) gre_next_header: u8,
    /// The GRE header of tunnel mode with its protocol type 0, and its addresses.
    ends: Option<(gre::Header, IpAddr, IpAddr)>,
    /// Where the inner packet begins.
    pub(super) inner_at: usize,
    has_udp: bool,
    /// Of the IPv4 header, whose checksum, lengths, TOS, TTL and flags are 0.
    ip_sum: u64,
}

impl Template {
    pub(super) fn new(parameters: &Parameters, local: IpAddr, remote: IpAddr) -> Self {
        let mut octets = [0; TEMPLATE_OCTETS];
        let header = OuterHeader {
            source: local,
            destination: remote,
            protocol: protocol(parameters),
            tos: 0,
            ttl: 0,
            df: false,
            payload_octets: 0,
            id: 0,
        };
        let ip_octets = ip::write_header(&mut octets, &header);
        let mut ip_sum = 0;
        if let (IPV4_OCTETS, Some(header)) = (ip_octets, octets.first_chunk_mut()) {
            let header: &mut [u8; IPV4_OCTETS] = header;
            [header[2], header[3], header[10], header[11]] = [0; 4];
            ip_sum = checksum::sum(header, 0);
        }
        let mut outer_octets = ip_octets;
        if let Some(ports) = parameters.udp {
            if let Some(udp) = octets.get_mut(ip_octets..) {
                write_ports(udp, ports);
            }
            outer_octets += UDP_OCTETS;
        }
        let payload_at = outer_octets + parameters.mode.suite().map_or(0, esp::prefix_octets);
        let gre = mtu::gre_header(parameters, 0);
        let gre_at = payload_at + mtu::ends_octets(parameters);
        let mut inner_at = gre_at;
        if parameters.mode.has_gre() {
            if gre_at == payload_at
                && let Some(out) = octets.get_mut(gre_at..)
            {
                gre.write(out);
            }
            inner_at += gre.octets;
        }
        Self {
            octets,
            ip_octets,
            outer_octets,
            payload_at,
            gre_at,
            gre_next_header: match gre_at - payload_at {
                0 => NEXT_GRE,
                IPV4_OCTETS => NEXT_IPV4,
                _ => NEXT_IPV6,
            },
            ends: mtu::gre_ends(parameters).map(|(local, remote)| (gre, local, remote)),
            inner_at,
            has_udp: parameters.udp.is_some(),
            ip_sum,
        }
    }

    /// Writes the headers at the start of `out`; what lies behind them may be overwritten too.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8]) {
        // All of it has a length that the compiler knows; the inner packet overwrites what is too much.
        if let Some(first) = out.first_chunk_mut() {
            *first = self.octets;
        } else {
            let octets = out.len().min(self.inner_at);
            let headers = self.octets.get(..octets).unwrap_or_default();
            if let Some(to) = out.get_mut(..headers.len()) {
                to.copy_from_slice(headers);
            }
        }
    }

    /// Writes the headers of GRE in tunnel mode into a packet whose content ends at `end`.
    #[inline]
    pub(super) fn write_ends(&self, out: &mut [u8], end: usize, outer: Outer) {
        let Some((gre, local, remote)) = self.ends else {
            return;
        };
        let header = OuterHeader {
            source: local,
            destination: remote,
            protocol: gre::IP_PROTOCOL,
            tos: outer.tos,
            ttl: ENDS_TTL,
            df: outer.df,
            payload_octets: low_16(end.saturating_sub(self.gre_at)),
            id: 0,
        };
        if let Some(ip) = out.get_mut(self.payload_at..) {
            ip::write_header(ip, &header);
        }
        if let Some(out) = out.get_mut(self.gre_at..) {
            gre.write(out);
        }
    }

    /// Completes the outer IP and UDP headers of a packet that fills `out`. UDP's checksum is 0: the sender's kernel fills it in where
    /// it must not be (RFC 3948 section 2.1, RFC 6935).
    #[inline]
    pub(super) fn patch(&self, out: &mut [u8], outer: Outer) {
        if self.has_udp {
            let octets = low_16(out.len().saturating_sub(self.ip_octets));
            let length = self.ip_octets + 4..self.ip_octets + 6;
            if let Some(field) = out.get_mut(length).and_then(<[u8]>::first_chunk_mut) {
                *field = octets.to_be_bytes();
            }
        }
        if self.ip_octets == IPV4_OCTETS {
            self.patch_v4(out, outer);
        } else {
            patch_v6(out, outer);
        }
    }

    #[inline]
    fn patch_v4(&self, out: &mut [u8], outer: Outer) {
        let total = low_16(out.len());
        let Some(header) = out.first_chunk_mut::<IPV4_OCTETS>() else {
            return;
        };
        let flags = if outer.df { DONT_FRAGMENT } else { 0 };
        header[1] = outer.tos;
        [header[2], header[3]] = total.to_be_bytes();
        [header[6], header[7]] = flags.to_be_bytes();
        header[8] = outer.ttl;
        let sum = self.ip_sum
            + checksum::word(u16::from(outer.tos))
            + checksum::word(total)
            + checksum::word(flags)
            + checksum::word(u16::from_be_bytes([outer.ttl, 0]));
        [header[10], header[11]] = (!checksum::fold(sum)).to_be_bytes();
    }

    /// Whether a header of the outer family, and behind it the ports where the tunnel has some, are exactly ours; `behind` follows `head`.
    #[cold]
    pub(super) fn is_own(&self, head: &[u8], behind: &[u8]) -> bool {
        let (addresses, ip_octets) = match head.first().map(|first| first >> 4) {
            Some(4) => (12..IPV4_OCTETS, IPV4_OCTETS),
            _ => (8..IPV6_OCTETS, IPV6_OCTETS),
        };
        let same = |range: core::ops::Range<usize>| {
            let inner = head.get(range.clone());
            inner.is_some() && self.octets.get(range) == inner
        };
        // Behind options or extension headers the ports are not looked for: they are not ours, whose header is plain.
        let ports = ip_octets..ip_octets + 4;
        let same_ports = if head.len() > ip_octets {
            same(ports)
        } else {
            behind.get(..4).is_some() && self.octets.get(ports) == behind.get(..4)
        };
        let ports = !self.has_udp || same_ports;
        ip_octets == self.ip_octets && same(addresses) && ports
    }

    /// The checksum of a UDP header over IPv6 in a packet that fills `out`, for a packet that the kernel takes as it is.
    #[cold]
    pub(super) fn write_udp_checksum(&self, out: &mut [u8]) {
        if !self.has_udp || self.ip_octets != IPV6_OCTETS {
            return;
        }
        let (Some(addresses), Some(udp)) = (out.get(8..IPV6_OCTETS), out.get(IPV6_OCTETS..)) else {
            return;
        };
        let pseudo = checksum::sum(addresses, 0)
            + checksum::word(low_16(udp.len()))
            + checksum::word(u16::from(UDP_PROTOCOL));
        let value = match !checksum::fold(checksum::sum(udp, pseudo)) {
            0 => u16::MAX,
            value => value,
        };
        let field = out
            .get_mut(IPV6_OCTETS + 6..)
            .and_then(<[u8]>::first_chunk_mut);
        if let Some(field) = field {
            *field = value.to_be_bytes();
        }
    }
}

/// The outer header's protocol.
pub(super) const fn protocol(parameters: &Parameters) -> u8 {
    match (parameters.udp, parameters.mode) {
        (Some(_), _) => UDP_PROTOCOL,
        (None, Mode::Gre) => gre::IP_PROTOCOL,
        (None, Mode::Esp(_) | Mode::GreEsp(_)) => ESP_PROTOCOL,
    }
}

fn write_ports(udp: &mut [u8], ports: Ports) {
    if let Some(first) = udp.first_chunk_mut() {
        let ([a, b], [c, d]) = (ports.local.to_be_bytes(), ports.remote.to_be_bytes());
        *first = [a, b, c, d];
    }
}

#[inline]
fn patch_v6(out: &mut [u8], outer: Outer) {
    let payload = low_16(out.len().saturating_sub(IPV6_OCTETS));
    let Some(header) = out.first_chunk_mut::<IPV6_OCTETS>() else {
        return;
    };
    [header[0], header[1]] = [0x60 | outer.tos >> 4, outer.tos << 4];
    [header[4], header[5]] = payload.to_be_bytes();
    header[7] = outer.ttl;
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the sizes were bounded before the packet was written"
)]
const fn low_16(octets: usize) -> u16 {
    octets as u16
}
