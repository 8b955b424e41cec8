//! What a tunnel puts around an inner packet, and what fits into a path.

use adit_crypto::Suite;
use adit_proto::wire::esp::{HEADER_OCTETS, TRAILER_OCTETS};
use adit_proto::wire::gre::{Header, PROTOCOL_IPV4};
use adit_proto::wire::natt::UDP_OCTETS;

use super::ike::{ChildMode, IkeConfig};
use super::types::{Family, Mode, TunnelConfig};

/// Octets around an inner packet, part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// The outer IP header without options.
    pub ip: usize,
    /// The UDP header, or 0.
    pub udp: usize,
    /// ESP header, IV, trailer without padding and ICV, or 0.
    pub esp: usize,
    /// What the padded payload and ESP's trailer end on a multiple of; 1 without ESP.
    pub esp_alignment: usize,
    /// The IP header around GRE in ESP's tunnel mode, or 0.
    pub gre_ip: usize,
    /// Our GRE header, or 0.
    pub gre: usize,
}

impl Overhead {
    /// All octets, without what ESP pads.
    pub const fn octets(self) -> usize {
        self.ip + self.udp + self.esp + self.gre_ip + self.gre
    }

    /// The largest inner packet that fits into an outer packet of `path` octets.
    pub const fn inner_max(self, path: usize) -> usize {
        if self.esp == 0 {
            return path.saturating_sub(self.octets());
        }
        let sealed = path.saturating_sub(self.ip + self.udp + self.esp - TRAILER_OCTETS);
        let aligned = sealed - sealed % self.esp_alignment;
        aligned.saturating_sub(TRAILER_OCTETS + self.gre_ip + self.gre)
    }

    /// Octets of the outer packet of an inner packet of `inner` octets.
    pub const fn outer(self, inner: usize) -> usize {
        if self.esp == 0 {
            return inner + self.octets();
        }
        let sealed = self.gre_ip + self.gre + inner + TRAILER_OCTETS;
        self.ip + self.udp + self.esp - TRAILER_OCTETS + sealed.next_multiple_of(self.esp_alignment)
    }
}

impl TunnelConfig {
    /// What the tunnel puts around an inner packet: with IKE by the most costly suite that it offers, and in UDP only if that is forced.
    pub fn overhead(&self, outer: Family) -> Overhead {
        let seq = self.gre.sequence.then_some(0);
        let gre = Header::new(PROTOCOL_IPV4, self.gre.checksum, self.gre.key_out, seq);
        let ike = self.ike.as_ref();
        let in_udp = self.udp.is_some() || ike.is_some_and(|ike| ike.force_udp);
        let suite = self.costliest_suite();
        Overhead {
            ip: outer.header_octets(),
            udp: if in_udp { UDP_OCTETS } else { 0 },
            esp: suite.map_or(0, esp_octets),
            esp_alignment: suite.map_or(1, Suite::align_octets),
            gre_ip: if self.has_gre_in_ip() {
                outer.header_octets()
            } else {
                0
            },
            gre: if self.mode.has_gre() { gre.octets } else { 0 },
        }
    }

    /// Octets around an inner packet, without what ESP pads.
    pub fn overhead_octets(&self, outer: Family) -> usize {
        self.overhead(outer).octets()
    }

    /// Whether GRE has an IP header of its own within ESP, whose tunnel mode needs one.
    pub(super) fn has_gre_in_ip(&self) -> bool {
        let ike = self.ike.as_ref();
        self.mode == Mode::GreEsp && ike.is_some_and(|ike| ike.child_mode == ChildMode::Tunnel)
    }

    /// The suite with the largest overhead of those that may seal packets. A static key file is not looked into: its AEADs take the same.
    fn costliest_suite(&self) -> Option<Suite> {
        if !self.mode.has_esp() {
            return None;
        }
        let suites = self.ike.iter().flat_map(IkeConfig::suites);
        let cost = |suite: &Suite| esp_octets(*suite) + suite.align_octets();
        Some(suites.max_by_key(cost).unwrap_or(Suite::Aes256Gcm16))
    }
}

const fn esp_octets(suite: Suite) -> usize {
    HEADER_OCTETS + suite.iv_octets() + TRAILER_OCTETS + suite.icv_octets()
}
