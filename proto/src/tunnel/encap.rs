//! Encapsulation: an inner packet becomes `outer IP 20 or 40 | GRE 4..16 | inner packet` in the send train (RFC 2784, 7676).
//!
//! Itinerary: head of the segment read → recursion refused → size against the path → template copied, the segment writes
//! itself behind it → MSS → TOS, TTL, DF, lengths, protocol, sequence number patched → outer checksum updated, GRE checksum.
//!
//! Headers are prepared when the tunnel or its peer changes; per packet a copy and the fields that differ remain. The IPv4
//! identification is 0 unless we fragment: the kernel fills it in where a router may have to.

use core::net::IpAddr;

use super::{Df, DscpOut, MssClamp, Parameters, Train, Ttl, ecn, fragment::Plan, mss, mtu};
use crate::counters::DropReason;
use crate::offload::{Segment, checksum};
use crate::wire::gre;
use crate::wire::ip::{
    self, DONT_FRAGMENT, FRAGMENT_HEADER, IPV4_OCTETS, IPV6_OCTETS, OuterHeader,
};

const TEMPLATE_OCTETS: usize = IPV6_OCTETS + gre::MAX_OCTETS;

/// Why a packet is not in the train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The train has no room for it: send, clear, and try again.
    Full,
    /// It is dropped.
    Dropped(DropReason),
}

impl From<DropReason> for Refused {
    fn from(reason: DropReason) -> Self {
        Self::Dropped(reason)
    }
}

/// The outbound half of a tunnel.
#[derive(Clone, Debug)]
pub struct Encap {
    template: [u8; TEMPLATE_OCTETS],
    /// Of the outer IP header; 0 while there is no usable pair of addresses.
    outer_octets: usize,
    /// Of the outer IP and the GRE header.
    header_octets: usize,
    /// Of the IPv4 template, whose checksum, lengths, TOS, TTL and flags are 0.
    outer_sum: u64,
    /// Outer packets up to this leave whole: the path MTU, or 0 while there is no usable pair of addresses.
    whole_octets: usize,
    path_mtu: usize,
    /// Outer TOS: these bits of the inner one, and those fixed.
    tos_copied: u8,
    tos_fixed: u8,
    ttl: Ttl,
    df: Df,
    sequence: bool,
    next_seq: u32,
    next_fragment_id: u32,
    mss_clamp: Option<MssClamp>,
    gre: gre::Header,
    /// Of the GRE template, whose protocol type, checksum and sequence number are 0.
    gre_sum: u64,
}

/// What the outer header of one packet says.
#[derive(Clone, Copy, Debug)]
struct Outer {
    protocol: u16,
    tos: u8,
    ttl: u8,
    df: bool,
}

impl Encap {
    /// A tunnel's outbound half; its sequence numbers start at 0, and until [`Encap::set_path_mtu`] any size leaves whole.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let (tos_copied, tos_fixed) = match parameters.dscp_out {
            DscpOut::Inherit => (!ecn::MASK, 0),
            DscpOut::Fixed(dscp) => (0, dscp << 2),
        };
        let gre = mtu::gre_header(parameters, 0);
        let mut encap = Self {
            template: [0; TEMPLATE_OCTETS],
            outer_octets: 0,
            header_octets: 0,
            outer_sum: 0,
            whole_octets: 0,
            path_mtu: usize::from(u16::MAX),
            tos_copied: tos_copied | ecn::copied_outbound(parameters.ecn),
            tos_fixed,
            ttl: parameters.ttl,
            df: parameters.df,
            sequence: parameters.sequence,
            next_seq: 0,
            // Tunnels between the same two addresses share the space of identifications; their keys spread them over it.
            next_fragment_id: parameters
                .key_out
                .map_or(0, |key| key.0)
                .wrapping_mul(0x9e37_79b1)
                | 1,
            mss_clamp: parameters.mss_clamp,
            gre,
            gre_sum: 0,
        };
        encap.set_remote(parameters.local, parameters.remote);
        encap
    }

    /// Octets before each inner packet.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.header_octets
    }

    /// Sends to another peer from now on. Addresses of different families make every packet [`DropReason::NoRoute`].
    pub fn set_remote(&mut self, local: IpAddr, remote: IpAddr) {
        let outer = OuterHeader {
            source: local,
            destination: remote,
            protocol: gre::IP_PROTOCOL,
            tos: 0,
            ttl: 0,
            df: false,
            payload_octets: 0,
            id: 0,
        };
        self.template = [0; TEMPLATE_OCTETS];
        self.outer_octets = ip::write_header(&mut self.template, &outer);
        if let Some(gre) = self.template.get_mut(self.outer_octets..) {
            self.gre.write(gre);
            self.gre_sum = checksum::sum(gre, 0);
        }
        if let (IPV4_OCTETS, Some(header)) = (self.outer_octets, self.template.first_chunk_mut()) {
            let header: &mut [u8; IPV4_OCTETS] = header;
            [header[2], header[3], header[10], header[11]] = [0; 4];
            self.outer_sum = checksum::sum(header, 0);
        }
        self.header_octets = self.outer_octets + self.gre.octets;
        self.bound_whole();
    }

    /// Outer packets above this many octets are fragmented or dropped; less than 68 or 1280 counts as that.
    pub fn set_path_mtu(&mut self, octets: u16) {
        self.path_mtu = usize::from(octets);
        self.bound_whole();
    }

    /// What SYNs are lowered to from now on.
    pub fn set_mss_clamp(&mut self, clamp: Option<MssClamp>) {
        self.mss_clamp = clamp;
    }

    fn bound_whole(&mut self) {
        self.whole_octets = match self.outer_octets {
            0 => 0,
            IPV4_OCTETS => self.path_mtu.max(usize::from(mtu::IPV4_MIN)),
            _ => self.path_mtu.max(usize::from(mtu::IPV6_MIN)),
        };
    }

    /// Puts `outer IP | GRE | inner` into the train, or its fragments, and says how many packets that were.
    ///
    /// # Errors
    /// [`Refused::Full`]; dropped as [`DropReason::Recursion`], [`DropReason::TooBig`], [`DropReason::NoRoute`] (no usable
    /// addresses) or [`DropReason::InnerMalformed`] (neither IPv4 nor IPv6).
    #[inline]
    pub fn encapsulate(
        &mut self,
        train: &mut Train,
        destination: u32,
        inner: &Segment<'_>,
    ) -> Result<usize, Refused> {
        let outer = self.outer(inner.head())?;
        let clamp = self.mss_clamp.filter(|_| inner.is_tcp_syn_candidate());
        self.put(train, destination, outer, inner.len(), |out| {
            inner.write_into(out);
            if let Some(clamp) = clamp {
                mss::clamp(out, clamp);
            }
        })
    }

    /// The same for octets that are a GRE payload as they stand, under this protocol type, outer TOS and TTL.
    ///
    /// # Errors
    /// As [`Encap::encapsulate`], without a look at what the payload is.
    pub fn encapsulate_packet(
        &mut self,
        train: &mut Train,
        destination: u32,
        protocol: u16,
        inner: &[u8],
        tos: u8,
        ttl: u8,
    ) -> Result<usize, Refused> {
        let outer = Outer {
            protocol,
            tos,
            ttl,
            df: self.df == Df::Set,
        };
        self.put(train, destination, outer, inner.len(), |out| {
            out.copy_from_slice(inner)
        })
    }

    /// The outer fields that follow from the inner header.
    #[inline]
    fn outer(&self, head: &[u8]) -> Result<Outer, DropReason> {
        let (protocol, tos, ttl, df, is_own) = match *head {
            [first, tos, _, _, _, _, flags, _, ttl, next, ..] if first >> 4 == 4 => {
                let own =
                    next == gre::IP_PROTOCOL && self.is_from_here_to_peer(head, IPV4_OCTETS, 12);
                (gre::PROTOCOL_IPV4, tos, ttl, flags & 0x40 != 0, own)
            }
            [first, second, _, _, _, _, next, ttl, ..] if first >> 4 == 6 => {
                let next = if next == FRAGMENT_HEADER {
                    head.get(IPV6_OCTETS).copied()
                } else {
                    Some(next)
                };
                let own = next == Some(gre::IP_PROTOCOL)
                    && self.is_from_here_to_peer(head, IPV6_OCTETS, 8);
                (gre::PROTOCOL_IPV6, first << 4 | second >> 4, ttl, true, own)
            }
            _ => return Err(DropReason::InnerMalformed),
        };
        if is_own {
            return Err(DropReason::Recursion);
        }
        let ttl = match self.ttl {
            Ttl::Fixed(ttl) => ttl,
            Ttl::Inherit => ttl,
        };
        let df = match self.df {
            Df::Set => true,
            Df::Clear => false,
            Df::Copy => df,
        };
        Ok(Outer {
            protocol,
            tos: tos & self.tos_copied | self.tos_fixed,
            ttl,
            df,
        })
    }

    /// Whether a header of the outer family has exactly our outer addresses.
    #[cold]
    fn is_from_here_to_peer(&self, head: &[u8], header_octets: usize, addresses_at: usize) -> bool {
        let addresses = addresses_at..header_octets;
        header_octets == self.outer_octets
            && head
                .get(addresses.clone())
                .is_some_and(|inner| self.template.get(addresses) == Some(inner))
    }

    #[inline]
    fn put(
        &mut self,
        train: &mut Train,
        destination: u32,
        outer: Outer,
        inner_octets: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<usize, Refused> {
        let total = self.header_octets + inner_octets;
        if total > self.whole_octets {
            return self.put_fragmented(train, destination, outer, inner_octets, write);
        }
        let Some(out) = train.reserve(total) else {
            return Err(no_room(train));
        };
        self.write_packet(out, outer, write);
        train.commit(total, destination);
        Ok(1)
    }

    #[cold]
    fn put_fragmented(
        &mut self,
        train: &mut Train,
        destination: u32,
        outer: Outer,
        inner_octets: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<usize, Refused> {
        if self.outer_octets == 0 {
            return Err(DropReason::NoRoute.into());
        }
        let total = self.header_octets + inner_octets;
        let ipv6 = self.outer_octets == IPV6_OCTETS;
        let expressible = if ipv6 { total - IPV6_OCTETS } else { total } <= usize::from(u16::MAX);
        let may_fragment = !outer.df || inner_octets <= usize::from(mtu::IPV6_MIN);
        let plan = Plan::new(ipv6, total, self.whole_octets);
        if !expressible || !may_fragment {
            return Err(DropReason::TooBig.into());
        }
        if !train.has_room(plan.fragments, plan.octets()) {
            return Err(no_room(train));
        }
        let out = train.reserve(plan.octets()).unwrap_or_default();
        self.write_packet(out.get_mut(..total).unwrap_or_default(), outer, write);
        plan.cut(out, self.next_fragment_id);
        self.advance_fragment_id();
        for index in 0..plan.fragments {
            train.commit(plan.fragment_octets(index), destination);
        }
        Ok(plan.fragments)
    }

    /// Skips the values whose low half is 0, which the kernel would replace in each fragment by another.
    fn advance_fragment_id(&mut self) {
        self.next_fragment_id = self.next_fragment_id.wrapping_add(1);
        if self.next_fragment_id & 0xffff == 0 {
            self.next_fragment_id |= 1;
        }
    }

    /// Writes one outer packet that fills `out`.
    #[inline]
    fn write_packet(&mut self, out: &mut [u8], outer: Outer, write: impl FnOnce(&mut [u8])) {
        // The whole template has a length that the compiler knows; the inner packet overwrites what is too much of it.
        match out.first_chunk_mut() {
            Some(first) => *first = self.template,
            None => out
                .iter_mut()
                .zip(self.template)
                .for_each(|(to, from)| *to = from),
        }
        if let Some(inner) = out.get_mut(self.header_octets..) {
            write(inner);
        }
        if self.outer_octets == IPV4_OCTETS {
            self.patch_v4(out, outer);
        } else {
            patch_v6(out, outer);
        }
        if let Some(gre) = out.get_mut(self.outer_octets..) {
            self.patch_gre(gre, outer.protocol);
        }
    }

    /// Completes a GRE header whose protocol type is written. The sums of its parts are added without reading it back, which
    /// would have to wait for the stores.
    #[inline]
    fn patch_gre(&mut self, gre: &mut [u8], protocol: u16) {
        let Some((header, inner)) = gre.split_at_mut_checked(self.gre.octets) else {
            return;
        };
        let seq = if self.sequence { self.next_seq } else { 0 };
        if self.sequence {
            if let Some(field) = header.last_chunk_mut() {
                *field = seq.to_be_bytes();
            }
            self.next_seq = self.next_seq.wrapping_add(1);
        }
        if self.gre.checksum {
            let initial = self.gre_sum + checksum::word(protocol) + u64::from(seq.to_be());
            let value = !checksum::fold(checksum::sum(inner, initial));
            if let Some(field) = header.get_mut(4..).and_then(<[u8]>::first_chunk_mut) {
                *field = value.to_be_bytes();
            }
        }
    }

    #[inline]
    fn patch_v4(&self, out: &mut [u8], outer: Outer) {
        let total = low_16(out.len());
        let Some(header) = out.first_chunk_mut::<{ IPV4_OCTETS + 4 }>() else {
            return;
        };
        let flags = if outer.df { DONT_FRAGMENT } else { 0 };
        header[1] = outer.tos;
        [header[2], header[3]] = total.to_be_bytes();
        [header[6], header[7]] = flags.to_be_bytes();
        header[8] = outer.ttl;
        let sum = self.outer_sum
            + checksum::word(u16::from(outer.tos))
            + checksum::word(total)
            + checksum::word(flags)
            + checksum::word(u16::from_be_bytes([outer.ttl, 0]));
        [header[10], header[11]] = (!checksum::fold(sum)).to_be_bytes();
        [header[22], header[23]] = outer.protocol.to_be_bytes();
    }
}

/// An empty train that does not take a packet never will.
#[cold]
fn no_room(train: &Train) -> Refused {
    if train.is_empty() {
        DropReason::TooBig.into()
    } else {
        Refused::Full
    }
}

#[inline]
fn patch_v6(out: &mut [u8], outer: Outer) {
    let payload = low_16(out.len().saturating_sub(IPV6_OCTETS));
    let Some(header) = out.first_chunk_mut::<{ IPV6_OCTETS + 4 }>() else {
        return;
    };
    [header[0], header[1]] = [0x60 | outer.tos >> 4, outer.tos << 4];
    [header[4], header[5]] = payload.to_be_bytes();
    header[7] = outer.ttl;
    [header[42], header[43]] = outer.protocol.to_be_bytes();
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the sizes were bounded before the packet was written"
)]
const fn low_16(octets: usize) -> u16 {
    octets as u16
}
