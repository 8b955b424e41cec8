//! A run: in the making, ready to be written, and taken apart again when the device refuses it.

use std::ops::Range;

use super::candidate::{Flow, IPV4_HEADER_OCTETS, Member, Same};
use super::checksum::{fold, sum, word};
use super::{
    GSO_TCPV4, GSO_TCPV6, GSO_UDP, NEEDS_CHECKSUM, TCP_CHECKSUM_AT, UDP_CHECKSUM_AT, VnetHeader,
};

/// Most pieces of a run.
pub const PIECES_MAX: usize = 128;
/// Most datagrams of a run: older kernels take no more (`UDP_MAX_SEGMENTS`).
const DATAGRAMS_MAX: usize = 64;
/// Most octets of a run, as the IPv4 total length bounds it.
const RUN_OCTETS_MAX: usize = 65_535;
/// The smallest payload that the kernel segments TCP into (`TCP_MIN_GSO_SIZE`).
const TCP_GSO_OCTETS_MIN: usize = 8;
const TCP_FLAGS_AT: usize = 13;
const UDP_LENGTH_AT: usize = 4;

/// What one `writev` takes: a virtio-net header and then pieces of the buffer.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The header to write first.
    pub vnet: VnetHeader,
    /// At least one: a whole packet, and then payloads; at most [`PIECES_MAX`].
    pub pieces: &'a [Range<usize>],
    /// Packets that the run is made of.
    pub packets: u32,
    /// Octets of these packets before they were coalesced, IP headers included.
    pub octets: u64,
    undo: Option<Undo>,
}

impl Run<'_> {
    /// Undoes the coalescing in `buffer`, which still holds what [`super::Coalescer::coalesce`] left there: `each` gets every
    /// packet as it arrived, in order.
    pub fn separate(&self, buffer: &mut [u8], mut each: impl FnMut(&mut [u8])) {
        let mut headers = 0;
        for piece in self.pieces {
            let Some(packet) = buffer.get_mut(piece.start.saturating_sub(headers)..piece.end)
            else {
                continue;
            };
            if let (0, Some(undo)) = (headers, &self.undo) {
                undo.fields.write(packet, &undo.flow);
                headers = undo.headers;
            }
            each(packet);
        }
    }
}

/// How to restore the first packet of a run.
#[derive(Clone, Copy, Debug)]
struct Undo {
    flow: Flow,
    headers: usize,
    fields: Fields,
}

/// What coalescing changes in a head packet; all values as read big-endian.
#[derive(Clone, Copy, Debug, Default)]
struct Fields {
    ip_octets: u16,
    /// IPv4 only.
    ip_checksum: u16,
    /// TCP only.
    tcp_flags: u8,
    /// UDP only.
    udp_octets: u16,
    checksum: u16,
}

impl Fields {
    /// Exchanges those of `packet` for `self`, and returns what stood there.
    fn write(self, packet: &mut [u8], flow: &Flow) -> Option<Self> {
        let (ip, transport) = packet.split_at_mut_checked(flow.transport())?;
        let mut before = Self::default();
        if flow.ipv6 {
            before.ip_octets = exchange(ip, 4, self.ip_octets)?;
        } else {
            before.ip_octets = exchange(ip, 2, self.ip_octets)?;
            before.ip_checksum = exchange(ip, 10, self.ip_checksum)?;
        }
        if flow.udp {
            before.udp_octets = exchange(transport, UDP_LENGTH_AT, self.udp_octets)?;
        } else {
            let flags = transport.get_mut(TCP_FLAGS_AT)?;
            before.tcp_flags = std::mem::replace(flags, self.tcp_flags);
        }
        before.checksum = exchange(transport, checksum_at(flow), self.checksum)?;
        Some(before)
    }

    /// Those of a coalesced packet of `octets`, whose first packet is `head`. The checksum is the sum of the pseudo-header,
    /// for the kernel to complete.
    fn coalesced(head: &[u8], flow: &Flow, octets: u16, ending: u8) -> Option<Self> {
        let transport_octets = octets.checked_sub(u16::try_from(flow.transport()).ok()?)?;
        let ip = head.get(..flow.transport())?;
        let addresses = ip.get(if flow.ipv6 { 8.. } else { 12.. })?;
        let pseudo = word(u16::from(flow.protocol())) + word(transport_octets);
        let mut fields = Self {
            ip_octets: transport_octets,
            tcp_flags: head.get(flow.transport() + TCP_FLAGS_AT)? | ending,
            udp_octets: transport_octets,
            checksum: fold(sum(addresses, pseudo)),
            ip_checksum: 0,
        };
        if let (false, Some(ip)) = (flow.ipv6, ip.first_chunk::<IPV4_HEADER_OCTETS>()) {
            let [old_octets, old_checksum] =
                [[ip[2], ip[3]], [ip[10], ip[11]]].map(u16::from_be_bytes);
            // Adding the complement takes a word away.
            let changes = word(!old_octets) + word(!old_checksum) + word(octets);
            fields.ip_octets = octets;
            fields.ip_checksum = !fold(sum(ip, changes));
        }
        Some(fields)
    }
}

/// A run in the making.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) head: Range<usize>,
    /// `None` where nothing ever joins.
    shared: Option<(Flow, Same)>,
    /// Whether more may join.
    pub(super) open: bool,
    /// Whether the checksums of the first packet were found right.
    pub(super) verified: bool,
    /// Payload of each packet but the last.
    gso_octets: usize,
    /// Of the coalesced packet.
    length: usize,
    next_seq: u32,
    next_id: Option<u16>,
    ending: u8,
    packets: u32,
    octets: u64,
    pieces: Range<usize>,
    vnet: VnetHeader,
    undo: Option<Undo>,
}

impl Open {
    /// A run of one packet, which stays alone.
    pub(super) fn closed(head: &Range<usize>) -> Self {
        Self {
            head: head.clone(),
            shared: None,
            open: false,
            verified: false,
            gso_octets: 0,
            length: head.len(),
            next_seq: 0,
            next_id: None,
            ending: 0,
            packets: 1,
            octets: head.len() as u64,
            pieces: 0..0,
            vnet: VnetHeader::default(),
            undo: None,
        }
    }

    /// A run that others may join.
    #[inline]
    pub(super) fn begin(head: &Range<usize>, first: &Member) -> Self {
        let mut run = Self::closed(head);
        run.shared = Some((first.flow, first.same));
        run.gso_octets = first.payload;
        run.expect_after(first);
        run.open &= first.flow.udp || first.payload >= TCP_GSO_OCTETS_MIN;
        run
    }

    /// Whether `member` continues the run, as far as the fixed headers say.
    #[inline]
    pub(super) fn takes(&self, member: &Member) -> bool {
        let packets_max = if member.flow.udp {
            DATAGRAMS_MAX
        } else {
            PIECES_MAX
        };
        self.open
            && self.shared == Some((member.flow, member.same))
            && member.seq == self.next_seq
            && member.id == self.next_id
            && member.payload <= self.gso_octets
            && self.length + member.payload <= RUN_OCTETS_MAX
            && (self.packets as usize) < packets_max
    }

    /// Adds a packet that the run [takes](Self::takes).
    #[inline]
    pub(super) fn append(&mut self, member: &Member) {
        self.length += member.payload;
        self.packets += 1;
        self.octets += (member.same.headers + member.payload) as u64;
        self.expect_after(member);
    }

    #[inline]
    fn expect_after(&mut self, member: &Member) {
        if let (false, Ok(payload)) = (member.flow.udp, u32::try_from(member.payload)) {
            self.next_seq = member.seq.wrapping_add(payload);
        }
        self.next_id = member.id.map(|id| id.wrapping_add(1));
        self.ending |= member.ending;
        self.open = member.ending == 0 && member.payload == self.gso_octets;
    }

    /// Gives the run its place in the list of pieces, from `start` on, and returns where the next one begins.
    pub(super) fn lay_out(&mut self, start: usize) -> usize {
        self.pieces = start..start;
        start + self.packets as usize
    }

    /// The place of the next piece, and how many octets of the packet are left out of it.
    #[inline]
    pub(super) fn next_piece(&mut self) -> (usize, usize) {
        let headers = match &self.shared {
            Some((_, same)) if !self.pieces.is_empty() => same.headers,
            _ => 0,
        };
        let place = self.pieces.end;
        self.pieces.end += 1;
        (place, headers)
    }

    /// Makes the first packet the head of all, if others joined it.
    pub(super) fn rewrite(&mut self, buffer: &mut [u8]) {
        let (Some((flow, same)), 2..) = (&self.shared, self.packets) else {
            return;
        };
        let Some(head) = buffer.get_mut(self.head.clone()) else {
            return;
        };
        let small = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX);
        let Some(fields) = Fields::coalesced(head, flow, small(self.length), self.ending) else {
            return;
        };
        let headers = same.headers;
        self.undo = fields.write(head, flow).map(|fields| Undo {
            flow: *flow,
            headers,
            fields,
        });
        self.vnet = VnetHeader {
            flags: NEEDS_CHECKSUM,
            gso_type: match (flow.udp, flow.ipv6) {
                (true, _) => GSO_UDP,
                (false, true) => GSO_TCPV6,
                (false, false) => GSO_TCPV4,
            },
            header_octets: small(headers),
            gso_octets: small(self.gso_octets),
            checksum_start: small(flow.transport()),
            checksum_offset: small(checksum_at(flow)),
        };
    }

    pub(super) fn finished<'a>(&self, pieces: &'a [Range<usize>]) -> Run<'a> {
        Run {
            vnet: self.vnet,
            pieces: pieces.get(self.pieces.clone()).unwrap_or_default(),
            packets: self.packets,
            octets: self.octets,
            undo: self.undo,
        }
    }
}

const fn checksum_at(flow: &Flow) -> usize {
    (if flow.udp {
        UDP_CHECKSUM_AT
    } else {
        TCP_CHECKSUM_AT
    }) as usize
}

fn exchange(octets: &mut [u8], at: usize, value: u16) -> Option<u16> {
    let field = octets.get_mut(at..)?.first_chunk_mut()?;
    Some(u16::from_be_bytes(std::mem::replace(
        field,
        value.to_be_bytes(),
    )))
}
