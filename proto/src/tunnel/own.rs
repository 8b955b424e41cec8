//! Packets that no user sent, into the tunnel: probes and their answers, GRE as it stands, dummies, NAT keepalives.

use super::encap::{Content, Encap, Refused, label, no_room};
use super::header::Outer;
use super::{Df, Train};
use crate::counters::DropReason;
use crate::wire::esp::NEXT_DUMMY;
use crate::wire::natt;

impl Encap {
    /// Puts octets that are an inner packet as they stand into the train, under this GRE protocol type, outer TOS and TTL, and says how many
    /// packets that were.
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
        let outer = self.own(protocol, tos, ttl);
        let content = self.content(protocol, inner.len());
        self.put(train, destination, outer, content, |out| {
            out.copy_from_slice(inner)
        })
    }

    /// The same for a whole GRE packet, its header included, that goes through the association of a tunnel with GRE in ESP.
    ///
    /// # Errors
    /// As [`Encap::encapsulate_packet`].
    pub fn encapsulate_gre(
        &mut self,
        train: &mut Train,
        destination: u32,
        gre: &[u8],
        tos: u8,
        ttl: u8,
    ) -> Result<usize, Refused> {
        let outer = self.own(0, tos, ttl);
        let content = Content {
            at: self.template.gre_at,
            octets: gre.len(),
            inner_octets: gre.len(),
            next_header: self.template.gre_next_header,
            has_gre: false,
        };
        self.put(train, destination, outer, content, |out| {
            out.copy_from_slice(gre)
        })
    }

    /// The same for a dummy packet of ESP that carries `octets` zeros (RFC 4303 section 2.6).
    ///
    /// # Errors
    /// As [`Encap::encapsulate_packet`].
    pub fn encapsulate_dummy(
        &mut self,
        train: &mut Train,
        destination: u32,
        octets: usize,
        ttl: u8,
    ) -> Result<usize, Refused> {
        let outer = self.own(0, 0, ttl);
        let content = Content {
            at: self.template.payload_at,
            octets,
            inner_octets: octets,
            next_header: NEXT_DUMMY,
            has_gre: false,
        };
        self.put(train, destination, outer, content, |out| out.fill(0))
    }

    /// Puts a NAT keepalive into the train (RFC 3948 section 2.3).
    ///
    /// # Errors
    /// [`Refused::Full`]; dropped as [`DropReason::NoRoute`] where there are no usable addresses or no ports.
    pub fn nat_keepalive(
        &mut self,
        train: &mut Train,
        destination: u32,
        ttl: u8,
    ) -> Result<usize, Refused> {
        if self.parameters.udp.is_none() || self.template.ip_octets == 0 {
            return Err(DropReason::NoRoute.into());
        }
        let payload = natt::KEEPALIVE;
        let total = self.template.outer_octets + payload.len();
        let outer = self.own(0, 0, ttl);
        let Some(out) = train.reserve(total) else {
            return Err(no_room(train));
        };
        self.template.write(out);
        if let Some(last) = out.last_chunk_mut() {
            *last = payload;
        }
        self.template.patch(out, outer);
        train.commit(total, label(destination, payload.len()));
        Ok(1)
    }

    /// The outer fields of a packet that we make ourselves.
    fn own(&self, protocol: u16, tos: u8, ttl: u8) -> Outer {
        Outer {
            protocol,
            tos,
            ttl,
            df: self.parameters.df == Df::Set,
        }
    }
}
