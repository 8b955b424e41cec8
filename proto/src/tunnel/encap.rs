//! Encapsulation: an inner packet becomes `outer IP | UDP | ESP | GRE | inner packet` in the send train, as far as the tunnel has these
//! (RFC 2784, 3948, 4303, 7676, 8086).
//!
//! Itinerary: head of the segment read → selectors, recursion refused → size against the path → template copied, the segment writes
//! itself behind it → MSS → GRE protocol, sequence number, checksum → sealed where it lies → outer lengths, TOS, TTL, DF, checksum.
//!
//! Headers are prepared when the tunnel or its peer changes; per packet a copy and the fields that differ remain. The IPv4
//! identification is 0 unless we fragment: the kernel fills it in where a router may have to.

use core::net::IpAddr;

use super::fragment::Plan;
use super::header::{self, Outer, Template};
use super::{Df, DscpOut, Label, Mode, MssClamp, Parameters, Ports, Train, Ttl, ecn, mss, mtu};
use crate::counters::DropReason;
use crate::esp::{self, OutboundSa, Selectors};
use crate::offload::{Segment, checksum};
use crate::wire::esp::{NEXT_IPV4, NEXT_IPV6};
use crate::wire::gre;
use crate::wire::ip::{FRAGMENT_HEADER, IPV4_OCTETS, IPV6_OCTETS};

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
#[derive(Debug)]
pub struct Encap {
    pub(super) parameters: Parameters,
    pub(super) template: Template,
    /// Outer packets up to this leave whole: the path MTU, or 0 while there is no usable pair of addresses.
    whole_octets: usize,
    path_mtu: usize,
    /// The outer header's protocol.
    protocol: u8,
    /// Outer TOS: these bits of the inner one, and those fixed.
    tos_copied: u8,
    tos_fixed: u8,
    next_seq: u32,
    next_fragment_id: u32,
    gre: gre::Header,
    /// Of the GRE header, whose protocol type, checksum and sequence number are 0.
    gre_sum: u64,
    sa: Option<OutboundSa>,
    selectors: Selectors,
}

/// What becomes the payload of one outer packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    /// Where it begins in the outer packet.
    pub(super) at: usize,
    pub(super) octets: usize,
    /// Of it, what counts as the inner packet.
    pub(super) inner_octets: usize,
    pub(super) next_header: u8,
    /// Whether our GRE header is before it.
    pub(super) has_gre: bool,
}

impl Encap {
    /// A tunnel's outbound half; its sequence numbers start at 0, and until [`Encap::set_path_mtu`] any size leaves whole. One that
    /// seals its packets sends none before [`Encap::set_sa`].
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let (tos_copied, tos_fixed) = match parameters.dscp_out {
            DscpOut::Inherit => (!ecn::MASK, 0),
            DscpOut::Fixed(dscp) => (0, dscp << 2),
        };
        let gre = mtu::gre_header(parameters, 0);
        let mut header = [0; gre::MAX_OCTETS];
        gre.write(&mut header);
        let mut encap = Self {
            parameters: *parameters,
            template: Template::new(parameters, parameters.local, parameters.remote),
            whole_octets: 0,
            path_mtu: usize::from(u16::MAX),
            protocol: header::protocol(parameters),
            tos_copied: tos_copied | ecn::copied_outbound(parameters.ecn),
            tos_fixed,
            next_seq: 0,
            // Tunnels between the same two addresses share the space of identifications; their keys spread them over it.
            next_fragment_id: parameters
                .key_out
                .map_or(0, |key| key.0)
                .wrapping_mul(0x9e37_79b1)
                | 1,
            gre,
            gre_sum: checksum::sum(&header, 0),
            sa: None,
            selectors: Selectors::any(),
        };
        encap.bound_whole();
        encap
    }

    /// Octets before each inner packet, from the outer IP header on.
    #[must_use]
    pub fn header_octets(&self) -> usize {
        self.template.inner_at
    }

    /// Sends to another peer from now on. Addresses of different families make every packet [`DropReason::NoRoute`].
    pub fn set_remote(&mut self, local: IpAddr, remote: IpAddr) {
        self.parameters.local = local;
        self.parameters.remote = remote;
        self.template = Template::new(&self.parameters, local, remote);
        self.bound_whole();
    }

    /// Sends to another port of the peer from now on, where the tunnel has ports.
    pub fn set_remote_port(&mut self, port: u16) {
        if let Some(ports) = &mut self.parameters.udp {
            ports.remote = port;
        }
        self.template = Template::new(
            &self.parameters,
            self.parameters.local,
            self.parameters.remote,
        );
    }

    /// Carries packets this way from now on: what seals them, the ports, and the addresses around GRE in ESP's tunnel mode.
    pub fn set_mode(&mut self, mode: Mode, udp: Option<Ports>, gre_ends: Option<(IpAddr, IpAddr)>) {
        self.parameters.mode = mode;
        self.parameters.udp = udp;
        self.parameters.gre_ends = gre_ends;
        self.protocol = header::protocol(&self.parameters);
        self.set_remote(self.parameters.local, self.parameters.remote);
    }

    /// Outer packets above this many octets are fragmented or dropped; less than 68 or 1280 counts as that.
    pub fn set_path_mtu(&mut self, octets: u16) {
        self.path_mtu = usize::from(octets);
        self.bound_whole();
    }

    /// What SYNs are lowered to from now on.
    pub fn set_mss_clamp(&mut self, clamp: Option<MssClamp>) {
        self.parameters.mss_clamp = clamp;
    }

    /// How short an ESP payload may be without TFC padding.
    pub fn set_tfc_octets(&mut self, octets: u16) {
        self.parameters.tfc_octets = octets;
    }

    /// Seals with this association from now on, and gives the one before; without one nothing leaves a tunnel that asks for ESP.
    pub fn set_sa(&mut self, sa: Option<OutboundSa>) -> Option<OutboundSa> {
        std::mem::replace(&mut self.sa, sa)
    }

    /// What the tunnel carries.
    pub fn set_selectors(&mut self, selectors: Selectors) {
        self.selectors = selectors;
    }

    /// The association in use.
    #[must_use]
    pub fn sa(&self) -> Option<&OutboundSa> {
        self.sa.as_ref()
    }

    /// The same, to extend it or to ask for its age.
    pub fn sa_mut(&mut self) -> Option<&mut OutboundSa> {
        self.sa.as_mut()
    }

    fn bound_whole(&mut self) {
        self.whole_octets = match self.template.ip_octets {
            0 => 0,
            IPV4_OCTETS => self.path_mtu.max(usize::from(mtu::IPV4_MIN)),
            _ => self.path_mtu.max(usize::from(mtu::IPV6_MIN)),
        };
    }

    /// Puts the inner packet into the train, or its fragments, and says how many packets that were.
    ///
    /// # Errors
    /// [`Refused::Full`]; dropped as [`DropReason::Recursion`], [`DropReason::TooBig`], [`DropReason::NoRoute`] (no usable
    /// addresses), [`DropReason::InnerMalformed`] (neither IPv4 nor IPv6), [`DropReason::Selector`], [`DropReason::NoSa`],
    /// [`DropReason::SaExpired`] or [`DropReason::SequenceExhausted`].
    #[inline]
    pub fn encapsulate(
        &mut self,
        train: &mut Train,
        destination: u32,
        inner: &Segment<'_>,
    ) -> Result<usize, Refused> {
        let outer = self.outer(inner.head(), inner.behind_head())?;
        let clamp = self
            .parameters
            .mss_clamp
            .filter(|_| inner.is_tcp_syn_candidate());
        let content = self.content(outer.protocol, inner.len());
        self.put(train, destination, outer, content, |out| {
            inner.write_into(out);
            if let Some(clamp) = clamp {
                mss::clamp(out, clamp);
            }
        })
    }

    #[inline]
    pub(super) fn content(&self, protocol: u16, octets: usize) -> Content {
        let (has_gre, next_header) = match self.parameters.mode {
            Mode::Gre | Mode::GreEsp(_) => (true, self.template.gre_next_header),
            Mode::Esp(_) if protocol == gre::PROTOCOL_IPV4 => (false, NEXT_IPV4),
            Mode::Esp(_) => (false, NEXT_IPV6),
        };
        Content {
            at: self.template.inner_at,
            octets,
            inner_octets: octets,
            next_header,
            has_gre,
        }
    }

    /// The outer fields that follow from the inner header.
    #[inline]
    fn outer(&self, head: &[u8], behind: &[u8]) -> Result<Outer, DropReason> {
        let (protocol, tos, ttl, df, next) = match *head {
            [first, tos, _, _, _, _, flags, _, ttl, next, ..] if first >> 4 == 4 => {
                (gre::PROTOCOL_IPV4, tos, ttl, flags & 0x40 != 0, Some(next))
            }
            [first, second, _, _, _, _, next, ttl, ..] if first >> 4 == 6 => {
                let next = if next == FRAGMENT_HEADER {
                    head.get(IPV6_OCTETS).copied()
                } else {
                    Some(next)
                };
                (
                    gre::PROTOCOL_IPV6,
                    first << 4 | second >> 4,
                    ttl,
                    true,
                    next,
                )
            }
            _ => return Err(DropReason::InnerMalformed),
        };
        if next == Some(self.protocol) && self.template.is_own(head, behind) {
            return Err(DropReason::Recursion);
        }
        if !self.selectors.admits_outbound(head) {
            return Err(DropReason::Selector);
        }
        let ttl = match self.parameters.ttl {
            Ttl::Fixed(ttl) => ttl,
            Ttl::Inherit => ttl,
        };
        let df = match self.parameters.df {
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

    /// Octets of the ESP payload: what is before the content, the content, TFC padding.
    #[inline]
    fn payload_octets(&self, content: &Content) -> usize {
        let octets = content.at - self.template.payload_at + content.octets;
        match self.parameters.mode {
            Mode::Esp(_) => octets.max(usize::from(self.parameters.tfc_octets)),
            Mode::Gre | Mode::GreEsp(_) => octets,
        }
    }

    #[inline]
    pub(super) fn put(
        &mut self,
        train: &mut Train,
        destination: u32,
        outer: Outer,
        content: Content,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<usize, Refused> {
        let total = match self.parameters.mode.suite() {
            None => content.at + content.octets,
            Some(suite) => {
                let payload = self.payload_octets(&content);
                self.template.outer_octets + esp::packet_octets(suite, payload)
            }
        };
        if total > self.whole_octets {
            return self.put_fragmented(train, destination, outer, content, total, write);
        }
        let Some(out) = train.reserve(total) else {
            return Err(no_room(train));
        };
        self.write_packet(out, outer, content, write)?;
        train.commit(total, label(destination, content.inner_octets));
        Ok(1)
    }

    #[cold]
    fn put_fragmented(
        &mut self,
        train: &mut Train,
        destination: u32,
        outer: Outer,
        content: Content,
        total: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<usize, Refused> {
        if self.template.ip_octets == 0 {
            return Err(DropReason::NoRoute.into());
        }
        let ipv6 = self.template.ip_octets == IPV6_OCTETS;
        let expressible = if ipv6 { total - IPV6_OCTETS } else { total } <= usize::from(u16::MAX);
        let may_fragment = !outer.df || content.octets <= usize::from(mtu::IPV6_MIN);
        let plan = Plan::new(ipv6, total, self.whole_octets);
        if !expressible || !may_fragment {
            return Err(DropReason::TooBig.into());
        }
        if !train.has_room(plan.fragments, plan.octets()) {
            return Err(no_room(train));
        }
        let out = train.reserve(plan.octets()).unwrap_or_default();
        let whole = out.get_mut(..total).unwrap_or_default();
        self.write_packet(whole, outer, content, write)?;
        self.template.write_udp_checksum(whole);
        plan.cut(out, self.next_fragment_id);
        self.advance_fragment_id();
        for index in 0..plan.fragments {
            let inner_octets = if index == 0 { content.inner_octets } else { 0 };
            train.commit(
                plan.fragment_octets(index),
                label(destination, inner_octets),
            );
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
    fn write_packet(
        &mut self,
        out: &mut [u8],
        outer: Outer,
        content: Content,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), DropReason> {
        self.template.write(out);
        let end = content.at + content.octets;
        if let Some(inner) = out.get_mut(content.at..end) {
            write(inner);
        }
        if content.at > self.template.payload_at {
            self.template.write_ends(out, end, outer);
        }
        if content.has_gre
            && let Some(gre) = out.get_mut(self.template.gre_at..end)
        {
            self.patch_gre(gre, outer.protocol);
        }
        if self.parameters.mode.suite().is_some() {
            self.seal(out, content)?;
        }
        self.template.patch(out, outer);
        Ok(())
    }

    #[inline]
    fn seal(&mut self, out: &mut [u8], content: Content) -> Result<(), DropReason> {
        let payload = self.payload_octets(&content);
        let padding = content.at + content.octets..self.template.payload_at + payload;
        if let Some(padding) = out.get_mut(padding) {
            padding.fill(0);
        }
        let sa = self.sa.as_mut().ok_or(DropReason::NoSa)?;
        let packet = out
            .get_mut(self.template.outer_octets..)
            .unwrap_or_default();
        sa.seal(packet, payload, content.next_header)
    }

    /// Completes a GRE header. The sums of its parts are added without reading it back, which would have to wait for the stores.
    #[inline]
    fn patch_gre(&mut self, gre: &mut [u8], protocol: u16) {
        let Some((header, inner)) = gre.split_at_mut_checked(self.gre.octets) else {
            return;
        };
        if let Some(field) = header.get_mut(2..).and_then(<[u8]>::first_chunk_mut) {
            *field = protocol.to_be_bytes();
        }
        let sequence = self.parameters.sequence;
        let seq = if sequence { self.next_seq } else { 0 };
        if sequence {
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
}

#[inline]
pub(super) fn label(destination: u32, inner_octets: usize) -> Label {
    Label {
        destination,
        inner_octets: u32::try_from(inner_octets).unwrap_or(u32::MAX),
    }
}

/// An empty train that does not take a packet never will.
#[cold]
pub(super) fn no_room(train: &Train) -> Refused {
    if train.is_empty() {
        DropReason::TooBig.into()
    } else {
        Refused::Full
    }
}
