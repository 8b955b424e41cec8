//! What a packet is to the coalescer: its flow, what it must share with its run, where it belongs in it.

use super::checksum::{fold, sum, word};
use super::{Coalescing, FIN, PSH, TCP, UDP, UDP_HEADER_OCTETS};

pub(super) const IPV4_HEADER_OCTETS: usize = 20;
pub(super) const IPV6_HEADER_OCTETS: usize = 40;
const TCP_HEADER_OCTETS: usize = 20;
const ACK: u8 = 0x10;
const ACK_ECE: u8 = 0x50;

/// What is to be done with a packet.
pub(super) enum Kind {
    /// It may begin or join a run.
    Member(Member),
    /// Its flow is known, but it is written alone, and nothing later of the flow may overtake it.
    Alone(Flow),
    /// Of a flow that cannot be told (a fragment, IPv4 options, IPv6 extension headers, lengths that disagree): nothing later of
    /// any flow may overtake it.
    Barrier,
    /// Of no flow that is coalesced.
    Bystander,
}

/// The packets that must stay in order among each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    addresses: [u64; 4],
    /// Source and destination.
    ports: u32,
    pub(super) ipv6: bool,
    pub(super) udp: bool,
}

/// Word by word: wider loads would wait for the narrower stores that have just made the flow.
impl PartialEq for Flow {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let words = self.addresses.iter().zip(&other.addresses);
        let differing = words.fold(0, |all, (one, other)| all | (one ^ other));
        differing == 0
            && self.ports == other.ports
            && (self.ipv6, self.udp) == (other.ipv6, other.udp)
    }
}

impl Flow {
    /// A number that spreads flows; whoever makes two of them meet only spoils his own coalescing.
    #[inline]
    pub(super) fn spread(&self) -> u8 {
        let [a, b, c, d] = self.addresses;
        let mixed = a ^ b.rotate_left(16) ^ c.rotate_left(32) ^ d.rotate_left(48);
        let mixed = mixed ^ u64::from(self.ports).rotate_left(13) ^ u64::from(self.udp);
        let [.., top] = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        top
    }

    /// Octets of the IP header.
    #[inline]
    pub(super) const fn transport(&self) -> usize {
        if self.ipv6 {
            IPV6_HEADER_OCTETS
        } else {
            IPV4_HEADER_OCTETS
        }
    }

    #[inline]
    pub(super) const fn protocol(&self) -> u8 {
        if self.udp { UDP } else { TCP }
    }
}

/// What all packets of a run have the same, apart from TCP options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Same {
    /// IPv4: TOS. IPv6: traffic class and flow label.
    traffic: u32,
    ttl: u8,
    /// IPv4: the octet with reserved bit and DF.
    ip_flags: u8,
    ack: u32,
    /// TCP: data offset, reserved bits, flags but FIN and PSH, window.
    fourth_word: u32,
    /// Octets of all headers.
    pub(super) headers: usize,
}

/// A packet that may begin or join a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) flow: Flow,
    pub(super) same: Same,
    pub(super) payload: usize,
    /// IPv4 ID; `None` where any will do (RFC 6864 section 4.1: DF set; IPv6).
    pub(super) id: Option<u16>,
    pub(super) seq: u32,
    /// FIN and PSH, which end a run.
    pub(super) ending: u8,
}

impl Kind {
    /// Looks at headers only; checksums are left to [`intact`].
    #[inline]
    pub(super) fn of(packet: &[u8], what: Coalescing) -> Self {
        match packet.first() {
            Some(0x45) => Self::of_ipv4(packet, what),
            Some(version) if version >> 4 == 6 => Self::of_ipv6(packet, what),
            _ => Self::Barrier,
        }
    }

    #[inline]
    fn of_ipv4(packet: &[u8], what: Coalescing) -> Self {
        let Some((ip, rest)) = packet.split_first_chunk::<IPV4_HEADER_OCTETS>() else {
            return Self::Barrier;
        };
        let protocol = ip[9];
        if !coalesced(protocol, what) {
            return Self::Bystander;
        }
        let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
        if fragment || usize::from(u16::from_be_bytes([ip[2], ip[3]])) != packet.len() {
            return Self::Barrier;
        }
        let df = ip[6] & 0x40 != 0;
        let [.., a, b, c, d, e, f, g, h] = *ip;
        let parts = Parts {
            addresses: [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), 0, 0, 0],
            ipv6: false,
            traffic: u32::from(ip[1]),
            ttl: ip[8],
            ip_flags: ip[6],
            id: (!df).then_some(u16::from_be_bytes([ip[4], ip[5]])),
        };
        parts.kind(protocol, rest)
    }

    #[inline]
    fn of_ipv6(packet: &[u8], what: Coalescing) -> Self {
        let Some((ip, rest)) = packet.split_first_chunk::<IPV6_HEADER_OCTETS>() else {
            return Self::Barrier;
        };
        let protocol = ip[6];
        // Hop-by-hop, routing, fragment, authentication, destination, mobility, HIP, Shim6: the flow is behind them.
        if matches!(protocol, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
            return Self::Barrier;
        }
        if !coalesced(protocol, what) {
            return Self::Bystander;
        }
        if usize::from(u16::from_be_bytes([ip[4], ip[5]])) != rest.len() {
            return Self::Barrier;
        }
        let mut addresses = [0; 4];
        let (words, _) = ip.as_chunks::<8>();
        for (address, word) in addresses.iter_mut().zip(words.iter().skip(1)) {
            *address = u64::from_ne_bytes(*word);
        }
        let parts = Parts {
            addresses,
            ipv6: true,
            traffic: u32::from_be_bytes([ip[0], ip[1], ip[2], ip[3]]),
            ttl: ip[7],
            ip_flags: 0,
            id: None,
        };
        parts.kind(protocol, rest)
    }
}

#[inline]
const fn coalesced(protocol: u8, what: Coalescing) -> bool {
    match protocol {
        TCP => what.tcp,
        UDP => what.udp,
        _ => false,
    }
}

/// What the IP header says.
struct Parts {
    addresses: [u64; 4],
    ipv6: bool,
    traffic: u32,
    ttl: u8,
    ip_flags: u8,
    id: Option<u16>,
}

impl Parts {
    #[inline]
    fn kind(&self, protocol: u8, rest: &[u8]) -> Kind {
        if protocol == TCP {
            self.tcp(rest)
        } else {
            self.udp(rest)
        }
    }

    #[inline]
    fn tcp(&self, rest: &[u8]) -> Kind {
        let Some(tcp) = rest.first_chunk::<TCP_HEADER_OCTETS>() else {
            return Kind::Barrier;
        };
        let flow = self.flow([tcp[0], tcp[1], tcp[2], tcp[3]], false);
        let header = usize::from(tcp[12] >> 4) * 4;
        let flags = tcp[13];
        let ending = flags & (FIN | PSH);
        // CWR is left alone: splitting a super-packet clears it on all segments but the first.
        let plain = matches!(flags & !(FIN | PSH), ACK | ACK_ECE);
        let payload = rest.len().saturating_sub(header);
        if !plain || header < TCP_HEADER_OCTETS || payload == 0 {
            return Kind::Alone(flow);
        }
        let fourth_word = u32::from_be_bytes([tcp[12], flags & !(FIN | PSH), tcp[14], tcp[15]]);
        let ack = u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]]);
        Kind::Member(Member {
            flow,
            same: self.same(ack, fourth_word, flow.transport() + header),
            payload,
            id: self.id,
            seq: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
            ending,
        })
    }

    #[inline]
    fn udp(&self, rest: &[u8]) -> Kind {
        let Some(udp) = rest.first_chunk::<UDP_HEADER_OCTETS>() else {
            return Kind::Barrier;
        };
        let flow = self.flow([udp[0], udp[1], udp[2], udp[3]], true);
        let whole = usize::from(u16::from_be_bytes([udp[4], udp[5]])) == rest.len();
        let payload = rest.len() - UDP_HEADER_OCTETS;
        // A datagram without checksum cannot be verified, and segmentation would give it one.
        if !whole || payload == 0 || [udp[6], udp[7]] == [0, 0] {
            return Kind::Alone(flow);
        }
        Kind::Member(Member {
            flow,
            same: self.same(0, 0, flow.transport() + UDP_HEADER_OCTETS),
            payload,
            id: self.id,
            seq: 0,
            ending: 0,
        })
    }

    #[inline]
    fn flow(&self, ports: [u8; 4], udp: bool) -> Flow {
        let ports = u32::from_ne_bytes(ports);
        Flow {
            addresses: self.addresses,
            ports,
            ipv6: self.ipv6,
            udp,
        }
    }

    #[inline]
    fn same(&self, ack: u32, fourth_word: u32, headers: usize) -> Same {
        let Self {
            traffic,
            ttl,
            ip_flags,
            ..
        } = *self;
        Same {
            traffic,
            ttl,
            ip_flags,
            ack,
            fourth_word,
            headers,
        }
    }
}

/// Whether the checksums of a [`Member`] are right. Addresses and transport header lie side by side, so the pseudo-header is
/// summed with the rest.
#[inline]
pub(super) fn intact(packet: &[u8], flow: &Flow) -> bool {
    let (ip, addresses) = if flow.ipv6 {
        (0, 8)
    } else {
        (IPV4_HEADER_OCTETS, 12)
    };
    let (Some(ip), Some(rest)) = (packet.get(..ip), packet.get(addresses..)) else {
        return false;
    };
    let Ok(octets) = u16::try_from(packet.len().saturating_sub(flow.transport())) else {
        return false;
    };
    let pseudo = word(octets) + word(u16::from(flow.protocol()));
    (flow.ipv6 || fold(sum(ip, 0)) == u16::MAX) && fold(sum(rest, pseudo)) == u16::MAX
}
