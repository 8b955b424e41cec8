//! The fixed headers of IPv4 (RFC 791 section 3.1) and IPv6 (RFC 8200 section 3).
//!
//! IPv4: `version, IHL 1 | TOS 1 | total length 2 | id 2 | flags, fragment offset 2 | TTL 1 | protocol 1 | checksum 2 | source 4 | destination 4`.
//! IPv6: `version, traffic class, flow label 4 | payload length 2 | next header 1 | hop limit 1 | source 16 | destination 16`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::offload::checksum;

/// An IPv4 header without options.
pub const IPV4_OCTETS: usize = 20;
/// An IPv6 header without extension headers.
pub const IPV6_OCTETS: usize = 40;
/// IPv6's next header number of the fragment header (RFC 8200 section 4.5).
pub const FRAGMENT_HEADER: u8 = 44;
/// Don't fragment, in the third 16-bit word of a header's flags and fragment offset.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000;

/// How octets fail to be an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer octets than the fixed header has.
    Short,
    /// A version that is neither 4 nor 6.
    Version,
    /// An IPv4 header length below 20 octets or beyond the packet.
    HeaderLength,
    /// A length that is shorter than the header or beyond the octets there are.
    TotalLength,
}

/// One IP packet, its lengths checked; octets after its total length are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip<'a> {
    /// IPv4.
    V4 {
        /// The fixed header.
        header: &'a [u8; IPV4_OCTETS],
        /// Options, a multiple of 4 octets.
        options: &'a [u8],
        /// What follows the header.
        payload: &'a [u8],
    },
    /// IPv6.
    V6 {
        /// The fixed header.
        header: &'a [u8; IPV6_OCTETS],
        /// Extension headers and what follows them.
        payload: &'a [u8],
    },
}

impl<'a> Ip<'a> {
    /// Reads a packet. Neither checksum nor payload is looked at.
    ///
    /// # Errors
    /// Each cause of [`Malformed`].
    #[inline]
    pub fn parse(octets: &'a [u8]) -> Result<Self, Malformed> {
        match octets.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(octets),
            Some(6) => Self::parse_v6(octets),
            Some(_) => Err(Malformed::Version),
            None => Err(Malformed::Short),
        }
    }

    #[inline]
    fn parse_v4(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = octets.split_first_chunk().ok_or(Malformed::Short)?;
        let header: &[u8; IPV4_OCTETS] = header;
        let header_octets = usize::from(header[0] & 0x0f) * 4;
        let total_octets = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header_octets < IPV4_OCTETS || header_octets > octets.len() {
            return Err(Malformed::HeaderLength);
        }
        if total_octets < header_octets {
            return Err(Malformed::TotalLength);
        }
        let options = octets
            .get(IPV4_OCTETS..header_octets)
            .ok_or(Malformed::HeaderLength)?;
        let payload = octets
            .get(header_octets..total_octets)
            .ok_or(Malformed::TotalLength)?;
        Ok(Self::V4 {
            header,
            options,
            payload,
        })
    }

    #[inline]
    fn parse_v6(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = octets.split_first_chunk().ok_or(Malformed::Short)?;
        let header: &[u8; IPV6_OCTETS] = header;
        let payload_octets = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let payload = rest.get(..payload_octets).ok_or(Malformed::TotalLength)?;
        Ok(Self::V6 { header, payload })
    }

    /// 4 or 6.
    #[inline]
    #[must_use]
    pub const fn version(&self) -> u8 {
        match self {
            Self::V4 { .. } => 4,
            Self::V6 { .. } => 6,
        }
    }

    /// The length of the header with IPv4's options, without IPv6's extension headers.
    #[inline]
    #[must_use]
    pub const fn header_octets(&self) -> usize {
        match self {
            Self::V4 { options, .. } => IPV4_OCTETS + options.len(),
            Self::V6 { .. } => IPV6_OCTETS,
        }
    }

    /// The length of the packet.
    #[inline]
    #[must_use]
    pub const fn total_octets(&self) -> usize {
        self.header_octets() + self.payload().len()
    }

    /// What follows [`Ip::header_octets`].
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        match self {
            Self::V4 { payload, .. } | Self::V6 { payload, .. } => payload,
        }
    }

    /// DSCP and ECN: IPv4's TOS, IPv6's traffic class.
    #[inline]
    #[must_use]
    pub const fn tos(&self) -> u8 {
        match self {
            Self::V4 { header, .. } => header[1],
            Self::V6 { header, .. } => header[0] << 4 | header[1] >> 4,
        }
    }

    /// TTL or hop limit.
    #[inline]
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        match self {
            Self::V4 { header, .. } => header[8],
            Self::V6 { header, .. } => header[7],
        }
    }

    /// Whether routers may not fragment the packet; always so for IPv6.
    #[inline]
    #[must_use]
    pub const fn df(&self) -> bool {
        match self {
            Self::V4 { header, .. } => header[6] & 0x40 != 0,
            Self::V6 { .. } => true,
        }
    }

    /// Whether the packet is an IPv4 fragment, or an IPv6 one whose fragment header comes first.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        match self {
            Self::V4 { header, .. } => header[6] & 0x3f != 0 || header[7] != 0,
            Self::V6 { header, .. } => header[6] == FRAGMENT_HEADER,
        }
    }

    /// IPv4's protocol or IPv6's first next header.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        match self {
            Self::V4 { header, .. } => header[9],
            Self::V6 { header, .. } => header[6],
        }
    }

    /// The source address.
    #[inline]
    #[must_use]
    pub fn source(&self) -> IpAddr {
        match self {
            Self::V4 { header, .. } => v4_at(header, 12),
            Self::V6 { header, .. } => v6_at(header, 8),
        }
    }

    /// The destination address.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        match self {
            Self::V4 { header, .. } => v4_at(header, 16),
            Self::V6 { header, .. } => v6_at(header, 24),
        }
    }

    /// Whether the IPv4 header checksum is right; IPv6 has none.
    #[must_use]
    pub fn checksum_is_valid(&self) -> bool {
        match self {
            Self::V4 {
                header, options, ..
            } => checksum::fold(checksum::sum(options, checksum::sum(*header, 0))) == u16::MAX,
            Self::V6 { .. } => true,
        }
    }
}

/// What the header of an outer packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterHeader {
    /// The sender; it decides the family.
    pub source: IpAddr,
    /// The receiver, of the same family.
    pub destination: IpAddr,
    /// What the payload is.
    pub protocol: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Don't fragment; IPv6 has no such bit.
    pub df: bool,
    /// The length of what follows the header.
    pub payload_octets: u16,
    /// IPv4's identification; IPv6 has none.
    pub id: u16,
}

/// Writes a header of 20 or 40 octets at the start of `out`, IPv4's with its checksum, and says how many octets it took.
///
/// Nothing is written and 0 returned if the addresses are of different families, `out` is too short, or an IPv4 packet would
/// be longer than 65535 octets.
pub fn write_header(out: &mut [u8], outer: &OuterHeader) -> usize {
    match (outer.source, outer.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            write_v4(out, outer, source, destination).unwrap_or(0)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            write_v6(out, outer, source, destination).unwrap_or(0)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

fn write_v4(
    out: &mut [u8],
    outer: &OuterHeader,
    source: Ipv4Addr,
    destination: Ipv4Addr,
) -> Option<usize> {
    let header: &mut [u8; IPV4_OCTETS] = out.first_chunk_mut()?;
    let [total_high, total_low] = outer.payload_octets.checked_add(20)?.to_be_bytes();
    let [id_high, id_low] = outer.id.to_be_bytes();
    let [flags, offset] = if outer.df {
        DONT_FRAGMENT.to_be_bytes()
    } else {
        [0; 2]
    };
    let [s0, s1, s2, s3] = source.octets();
    let [d0, d1, d2, d3] = destination.octets();
    *header = [
        0x45,
        outer.tos,
        total_high,
        total_low,
        id_high,
        id_low,
        flags,
        offset, //
        outer.ttl,
        outer.protocol,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    [header[10], header[11]] = checksum::checksum(header).to_be_bytes();
    Some(IPV4_OCTETS)
}

fn write_v6(
    out: &mut [u8],
    outer: &OuterHeader,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Option<usize> {
    let header: &mut [u8; IPV6_OCTETS] = out.first_chunk_mut()?;
    let [length_high, length_low] = outer.payload_octets.to_be_bytes();
    let fixed = [
        0x60 | outer.tos >> 4,
        outer.tos << 4,
        0,
        0,
        length_high,
        length_low,
        outer.protocol,
        outer.ttl,
    ];
    let octets = fixed
        .into_iter()
        .chain(source.octets())
        .chain(destination.octets());
    for (slot, octet) in header.iter_mut().zip(octets) {
        *slot = octet;
    }
    Some(IPV6_OCTETS)
}

/// Sets DSCP and ECN of the packet at the start of `octets`, IPv4's header checksum following (RFC 1624).
///
/// A checksum that was wrong stays wrong. Octets too short for it are left alone.
#[inline]
pub fn set_tos(octets: &mut [u8], tos: u8) {
    match octets {
        [version, old, _, _, _, _, _, _, _, _, high, low, ..] if *version >> 4 == 4 => {
            let checksum = u16::from_be_bytes([*high, *low]);
            let before = u16::from_be_bytes([*version, *old]);
            let after = u16::from_be_bytes([*version, tos]);
            [*high, *low] = checksum::update(checksum, before, after).to_be_bytes();
            *old = tos;
        }
        [first, second, ..] if *first >> 4 == 6 => {
            *first = 0x60 | tos >> 4;
            *second = tos << 4 | *second & 0x0f;
        }
        _ => {}
    }
}

fn v4_at(header: &[u8; IPV4_OCTETS], start: usize) -> IpAddr {
    let octets = header
        .get(start..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .unwrap_or_default();
    let octets: [u8; 4] = octets;
    IpAddr::V4(octets.into())
}

fn v6_at(header: &[u8; IPV6_OCTETS], start: usize) -> IpAddr {
    let octets = header
        .get(start..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .unwrap_or_default();
    let octets: [u8; 16] = octets;
    IpAddr::V6(octets.into())
}

#[cfg(test)]
mod tests;
