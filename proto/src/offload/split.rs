//! One TUN read into segments that write themselves (what RFC 9293 and RFC 768 ask of each; IPv4 IDs as RFC 791 orders).
//!
//! The super-packet is looked at once: what all segments share of both checksums is summed ahead. A segment then writes its
//! headers and its payload in one copy, with the payload summed on the way.

use super::checksum::{copy_sum, fold, sum, word};
use super::{
    CWR, FIN, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, NEEDS_CHECKSUM, PSH, TCP,
    TCP_CHECKSUM_AT, UDP, UDP_CHECKSUM_AT, UDP_HEADER_OCTETS, VnetHeader,
};
use crate::counters::DropReason;

const IPV6_HEADER_OCTETS: usize = 40;

/// Makes an IP packet as read from a TUN device (without its virtio-net header) into its segments; a packet that is not
/// offloaded is one segment.
///
/// Octets beyond the length that the IP header gives are cut.
///
/// # Errors
/// [`DropReason::InnerMalformed`]: no IP packet, or shorter than its header says. [`DropReason::OffloadMalformed`]: `vnet`
/// contradicts the packet.
#[inline]
pub fn split(vnet: VnetHeader, packet: &[u8]) -> Result<Segments<'_>, DropReason> {
    let ip = Ip::parse(packet).ok_or(DropReason::InnerMalformed)?;
    let parts = if vnet.gso_type != GSO_NONE {
        gso(vnet, &ip)
    } else if vnet.flags & NEEDS_CHECKSUM != 0 {
        incomplete(vnet, &ip)
    } else {
        Some(Segments::one(ip.packet, &[], Form::Whole))
    };
    parts.ok_or(DropReason::OffloadMalformed)
}

/// The segments of one packet, in order.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    form: Form,
    /// Segments still to come; at least one, also of a super-packet without payload.
    left: usize,
    /// Payload of each segment but the last.
    gso_octets: usize,
    /// Payload before the next segment.
    offset: usize,
    index: u16,
}

impl<'a> Segments<'a> {
    fn one(headers: &'a [u8], payload: &'a [u8], form: Form) -> Self {
        Self {
            headers,
            payload,
            form,
            left: 1,
            gso_octets: payload.len(),
            offset: 0,
            index: 0,
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (payload, rest) = self
            .payload
            .split_at_checked(self.gso_octets)
            .unwrap_or((self.payload, &[]));
        let segment = Segment {
            headers: self.headers,
            payload,
            form: self.form,
            offset: self.offset,
            index: self.index,
            last: self.left == 0,
        };
        self.payload = rest;
        self.offset += payload.len();
        self.index = self.index.wrapping_add(1);
        Some(segment)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Segments<'_> {}

/// One inner IP packet, not yet written out.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    form: Form,
    offset: usize,
    index: u16,
    last: bool,
}

impl Segment<'_> {
    /// Octets of the IP packet.
    #[must_use]
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a segment holds at least an IP header"
    )]
    pub fn len(&self) -> usize {
        self.headers.len() + self.payload.len()
    }

    /// At least the IP header. Version, TOS, TTL, DF, protocol and addresses are the segment's; lengths, ID and checksum may
    /// be those of the packet that it comes from.
    #[must_use]
    #[inline]
    pub fn head(&self) -> &[u8] {
        self.headers
    }

    /// What follows [`Self::head`]; at least the first octets of it are the segment's.
    #[must_use]
    #[inline]
    pub fn behind_head(&self) -> &[u8] {
        self.payload
    }

    /// Whether TCP options may be looked at after writing: no segment of a super-packet is a SYN.
    #[must_use]
    #[inline]
    pub fn is_tcp_syn_candidate(&self) -> bool {
        !matches!(self.form, Form::Segmented(_))
    }

    /// Writes the packet, complete and with valid checksums, to the start of `out`, and returns its length. `out` takes at
    /// least [`Self::len`] octets; if it does not, nothing is written and the result is 0.
    #[inline]
    pub fn write_into(&self, out: &mut [u8]) -> usize {
        let octets = self.len();
        let Some((headers, payload)) = out
            .get_mut(..octets)
            .and_then(|out| out.split_at_mut_checked(self.headers.len()))
        else {
            return 0;
        };
        headers.copy_from_slice(self.headers);
        match &self.form {
            Form::Whole => payload.copy_from_slice(self.payload),
            Form::Incomplete { field } => {
                let checksum = !fold(copy_sum(payload, self.payload, 0));
                put(
                    payload,
                    *field,
                    nonzero_if(*field == UDP_CHECKSUM_AT, checksum),
                );
            }
            Form::Segmented(template) => {
                let initial = template.write_headers(headers, self);
                let checksum = !fold(copy_sum(payload, self.payload, initial));
                let checksum = nonzero_if(template.udp, checksum);
                put(headers, template.checksum_at, checksum);
            }
        }
        octets
    }
}

/// How a segment comes to its checksums.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Complete as it is; all of it stands in `headers`.
    Whole,
    /// `payload` begins where the checksummed octets do, and holds the sum of the pseudo-header in its checksum field.
    Incomplete { field: u16 },
    /// Part of a super-packet.
    Segmented(Template),
}

/// What the segments of a super-packet share.
#[derive(Clone, Copy, Debug)]
struct Template {
    /// Where the TCP or UDP header begins.
    transport: u16,
    checksum_at: u16,
    udp: bool,
    ipv6: bool,
    /// Of the IPv4 header without length, ID and checksum.
    ip_sum: u64,
    /// Of pseudo-header and transport header without what each segment has its own of.
    transport_sum: u64,
    id: u16,
    seq: u32,
    tcp_flags: [u8; 2],
}

impl Template {
    /// Writes what differs from segment to segment, and returns the sum of the pseudo-header and the transport header.
    #[inline]
    fn write_headers(&self, headers: &mut [u8], segment: &Segment<'_>) -> u64 {
        let transport_octets = low_16(segment.len() - usize::from(self.transport));
        if self.ipv6 {
            put(headers, 4, low_16(segment.len() - IPV6_HEADER_OCTETS));
        } else {
            let length = low_16(segment.len());
            let id = self.id.wrapping_add(segment.index);
            put(headers, 2, length);
            put(headers, 4, id);
            put(headers, 10, !fold(self.ip_sum + word(length) + word(id)));
        }
        let sum = self.transport_sum + word(transport_octets);
        if self.udp {
            put(headers, self.transport + 4, transport_octets);
            return sum + word(transport_octets);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sequence numbers are modulo 2^32"
        )]
        let seq = self.seq.wrapping_add(segment.offset as u32);
        let [s0, s1, s2, s3] = seq.to_be_bytes();
        let [offset, mut flags] = self.tcp_flags;
        if !segment.last {
            flags &= !(FIN | PSH);
        }
        if segment.offset > 0 {
            // RFC 3168 section 6.1.2: CWR goes with the first new data segment only.
            flags &= !CWR;
        }
        let words = [[s0, s1], [s2, s3], [offset, flags]].map(u16::from_be_bytes);
        for (at, value) in [4, 6, 12].into_iter().zip(words) {
            put(headers, self.transport + at, value);
        }
        sum + words.into_iter().map(word).sum::<u64>()
    }
}

/// A packet whose checksum is to be completed.
fn incomplete<'a>(vnet: VnetHeader, ip: &Ip<'a>) -> Option<Segments<'a>> {
    let (headers, payload) = ip
        .packet
        .split_at_checked(usize::from(vnet.checksum_start))?;
    let field = vnet.checksum_offset;
    let fits = headers.len() >= ip.header_octets && payload.len() >= usize::from(field) + 2;
    fits.then(|| Segments::one(headers, payload, Form::Incomplete { field }))
}

/// A super-packet: the kind of offload, the IP header and the place of the checksum must agree.
fn gso<'a>(vnet: VnetHeader, ip: &Ip<'a>) -> Option<Segments<'a>> {
    let protocol = match (vnet.gso_type & !GSO_ECN, ip.ipv6) {
        (GSO_TCPV4, false) | (GSO_TCPV6, true) => TCP,
        (GSO_UDP, _) if vnet.gso_type & GSO_ECN == 0 => UDP,
        _ => return None,
    };
    let transport = ip.transport(protocol)?;
    let udp = protocol == UDP;
    let checksum_offset = if udp {
        UDP_CHECKSUM_AT
    } else {
        TCP_CHECKSUM_AT
    };
    let needs_checksum = vnet.flags & NEEDS_CHECKSUM != 0;
    if needs_checksum
        && (usize::from(vnet.checksum_start), vnet.checksum_offset) != (transport, checksum_offset)
    {
        return None;
    }
    let tail = ip.packet.get(transport..)?;
    let transport_header = match tail {
        [_, _, _, _, _, _, _, _, ..] if udp => UDP_HEADER_OCTETS,
        [_, _, _, _, _, _, _, _, _, _, _, _, offset, ..] if !udp && *offset >= 0x50 => {
            usize::from(offset >> 4) * 4
        }
        _ => return None,
    };
    let (headers, payload) = ip.packet.split_at_checked(transport + transport_header)?;
    let gso_octets = usize::from(vnet.gso_octets);
    if gso_octets == 0 {
        return None;
    }
    let template = template(ip, headers, transport, protocol, needs_checksum)?;
    Some(Segments {
        left: payload.len().div_ceil(gso_octets).max(1),
        gso_octets,
        ..Segments::one(headers, payload, Form::Segmented(template))
    })
}

fn template(
    ip: &Ip<'_>,
    headers: &[u8],
    transport: usize,
    protocol: u8,
    needs_checksum: bool,
) -> Option<Template> {
    let udp = protocol == UDP;
    let (ip_header, transport_header) = headers.split_at_checked(transport)?;
    let checksum_offset = if udp {
        UDP_CHECKSUM_AT
    } else {
        TCP_CHECKSUM_AT
    };
    let checksum = read(transport_header, checksum_offset)?;
    let pseudo = if ip.has_extensions() {
        // A routing header makes another address the final one (RFC 8200 section 8.1); the kernel's sum knows it.
        let octets = low_16(ip.packet.len() - transport);
        needs_checksum.then(|| word(checksum) + word(!octets))?
    } else {
        let addresses = if ip.ipv6 {
            8..IPV6_HEADER_OCTETS
        } else {
            12..20
        };
        sum(ip_header.get(addresses)?, word(u16::from(protocol)))
    };
    // In ones' complement, adding the complement takes away what a segment has its own of.
    let own = if udp {
        &[4, UDP_CHECKSUM_AT][..]
    } else {
        &[4, 6, 12, TCP_CHECKSUM_AT]
    };
    let mut transport_sum = sum(transport_header, pseudo);
    for &at in own {
        transport_sum += word(!read(transport_header, at)?);
    }
    let mut ip_sum = 0;
    if !ip.ipv6 {
        ip_sum = sum(ip_header, 0);
        for at in [2, 4, 10] {
            ip_sum += word(!read(ip_header, at)?);
        }
    }
    let (seq, tcp_flags) = match transport_header {
        [_, _, _, _, a, b, c, d, _, _, _, _, offset, flags, ..] => {
            (u32::from_be_bytes([*a, *b, *c, *d]), [*offset, *flags])
        }
        _ => (0, [0; 2]),
    };
    let transport = low_16(transport);
    Some(Template {
        transport,
        checksum_at: transport.checked_add(checksum_offset)?,
        udp,
        ipv6: ip.ipv6,
        ip_sum,
        transport_sum,
        id: read(ip_header, 4)?,
        seq,
        tcp_flags,
    })
}

/// An IP packet, cut to the length that its header gives.
struct Ip<'a> {
    packet: &'a [u8],
    ipv6: bool,
    /// Of the IPv4 header with options, or of the fixed IPv6 header.
    header_octets: usize,
    /// IPv4: protocol. IPv6: next header.
    protocol: u8,
    fragment: bool,
}

impl<'a> Ip<'a> {
    #[inline]
    fn parse(packet: &'a [u8]) -> Option<Self> {
        match *packet {
            [version, _, l0, l1, _, _, f0, f1, _, protocol, ..] if version >> 4 == 4 => {
                let header_octets = usize::from(version & 0x0f) * 4;
                let packet = packet.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
                let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
                (header_octets >= 20 && packet.len() >= header_octets).then_some(Self {
                    packet,
                    ipv6: false,
                    header_octets,
                    protocol,
                    fragment,
                })
            }
            [version, _, _, _, l0, l1, protocol, ..] if version >> 4 == 6 => {
                let octets = IPV6_HEADER_OCTETS + usize::from(u16::from_be_bytes([l0, l1]));
                let packet = packet.get(..octets)?;
                let header_octets = IPV6_HEADER_OCTETS;
                Some(Self {
                    packet,
                    ipv6: true,
                    header_octets,
                    protocol,
                    fragment: false,
                })
            }
            _ => None,
        }
    }

    fn has_extensions(&self) -> bool {
        self.ipv6 && !matches!(self.protocol, TCP | UDP)
    }

    /// Where the header of `wanted` begins, behind the extension headers that the kernel segments behind (hop-by-hop options
    /// 0, routing 43, destination options 60).
    fn transport(&self, wanted: u8) -> Option<usize> {
        let (mut at, mut protocol) = (self.header_octets, self.protocol);
        while self.ipv6 && matches!(protocol, 0 | 43 | 60) {
            let &[next, length] = self.packet.get(at..)?.first_chunk::<2>()?;
            at += (usize::from(length) + 1) * 8;
            protocol = next;
        }
        (protocol == wanted && !self.fragment).then_some(at)
    }
}

/// RFC 768: a computed UDP checksum of zero is sent as all ones.
#[inline]
const fn nonzero_if(udp: bool, checksum: u16) -> u16 {
    if udp && checksum == 0 {
        u16::MAX
    } else {
        checksum
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths come from packets of at most 65535 + 40 octets, and are below"
)]
const fn low_16(octets: usize) -> u16 {
    octets as u16
}

#[inline]
fn read(octets: &[u8], at: u16) -> Option<u16> {
    octets
        .get(usize::from(at)..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

#[inline]
fn put(octets: &mut [u8], at: u16, value: u16) {
    if let Some(field) = octets
        .get_mut(usize::from(at)..)
        .and_then(<[u8]>::first_chunk_mut)
    {
        *field = value.to_be_bytes();
    }
}
