//! What a tunnel puts around an inner packet, and what fits into a path.

use adit_proto::wire::gre::{Header, PROTOCOL_IPV4};

use super::types::{Family, TunnelConfig};

/// RFC 768.
const UDP_OCTETS: usize = 8;
/// SPI and sequence number (RFC 4303 §2), IV and ICV of every suite (RFC 4106 §3.1, §6; RFC 7634 §2.1).
const ESP_OCTETS: usize = 8 + 8 + 16;
/// Pad length and next header (RFC 4303 §2.5, §2.6).
const TRAILER_OCTETS: usize = 2;
/// The padded payload and the trailer end on a multiple of this (RFC 4303 §2.4).
const ESP_ALIGNMENT: usize = 4;

/// Octets around an inner packet, part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// The outer IP header without options.
    pub ip: usize,
    /// The UDP header, or 0.
    pub udp: usize,
    /// ESP header, IV, trailer without padding and ICV, or 0.
    pub esp: usize,
    /// Our GRE header, or 0.
    pub gre: usize,
}

impl Overhead {
    /// All octets, without ESP's 0 to 3 octets of padding.
    pub const fn octets(self) -> usize {
        self.ip + self.udp + self.esp + self.gre
    }

    /// The largest inner packet that fits into an outer packet of `path` octets.
    pub const fn inner_max(self, path: usize) -> usize {
        if self.esp == 0 {
            return path.saturating_sub(self.octets());
        }
        let sealed = path.saturating_sub(self.ip + self.udp + ESP_OCTETS);
        let aligned = sealed - sealed % ESP_ALIGNMENT;
        aligned.saturating_sub(TRAILER_OCTETS + self.gre)
    }

    /// Octets of the outer packet of an inner packet of `inner` octets.
    pub const fn outer(self, inner: usize) -> usize {
        if self.esp == 0 {
            return inner + self.octets();
        }
        let sealed = (self.gre + inner + TRAILER_OCTETS).next_multiple_of(ESP_ALIGNMENT);
        self.ip + self.udp + ESP_OCTETS + sealed
    }
}

impl TunnelConfig {
    /// What the tunnel puts around an inner packet.
    pub fn overhead(&self, outer: Family) -> Overhead {
        let seq = self.gre.sequence.then_some(0);
        let gre = Header::new(PROTOCOL_IPV4, self.gre.checksum, self.gre.key_out, seq);
        Overhead {
            ip: outer.header_octets(),
            udp: self.udp.map_or(0, |_| UDP_OCTETS),
            esp: if self.mode.has_esp() {
                ESP_OCTETS + TRAILER_OCTETS
            } else {
                0
            },
            gre: if self.mode.has_gre() { gre.octets } else { 0 },
        }
    }

    /// Octets around an inner packet, without ESP's 0 to 3 octets of padding.
    pub fn overhead_octets(&self, outer: Family) -> usize {
        self.overhead(outer).octets()
    }
}
