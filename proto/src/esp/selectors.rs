//! Which inner addresses a security association carries (RFC 4301 sections 4.4.1 and 5.2).

use core::net::IpAddr;

use crate::wire::ip::Ip;

/// A network: an address and the number of its leading bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    bits: u128,
    mask: u128,
    is_ipv6: bool,
}

impl Prefix {
    /// The network of that address and length; more bits than the family has count as all.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Self {
        let (bits, width) = wide(address);
        let length = u32::from(length).min(width);
        let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
        Self {
            bits: bits & mask,
            mask,
            is_ipv6: address.is_ipv6(),
        }
    }

    /// The mask of its leading bits, as long as an address.
    pub(crate) fn netmask(&self) -> Vec<u8> {
        let octets = self.mask.to_be_bytes();
        let unused = if self.is_ipv6 { 0 } else { 12 };
        octets.into_iter().skip(unused).collect()
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (bits, _) = wide(address);
        self.is_ipv6 == address.is_ipv6() && bits & self.mask == self.bits
    }

    fn is_everything(&self) -> bool {
        let (_, width) = if self.is_ipv6 { (0, 128) } else { (0, 32) };
        self.mask.checked_shr(width - 1).unwrap_or(0) & 1 == 0
    }
}

fn wide(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The networks of one side; what both sides take of a family without limit is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selectors {
    local: Vec<Prefix>,
    remote: Vec<Prefix>,
    all_v4: bool,
    all_v6: bool,
}

impl Selectors {
    /// What goes from `local` to `remote` addresses, and back.
    #[must_use]
    pub fn new(local: Vec<Prefix>, remote: Vec<Prefix>) -> Self {
        let all = |ipv6| {
            let whole = |side: &[Prefix]| {
                side.iter()
                    .any(|prefix| prefix.is_ipv6 == ipv6 && prefix.is_everything())
            };
            whole(&local) && whole(&remote)
        };
        let (all_v4, all_v6) = (all(false), all(true));
        Self {
            local,
            remote,
            all_v4,
            all_v6,
        }
    }

    /// Everything.
    #[must_use]
    pub fn any() -> Self {
        let everything = || {
            vec![
                Prefix::new([0; 4].into(), 0),
                Prefix::new([0; 16].into(), 0),
            ]
        };
        Self::new(everything(), everything())
    }

    /// Whether a packet from us to the peer is of the association. `head` begins with a whole IP header.
    #[inline]
    #[must_use]
    pub fn admits_outbound(&self, head: &[u8]) -> bool {
        self.takes_all(head) || addresses(head).is_some_and(|(from, to)| self.holds(from, to))
    }

    /// Whether a packet from the peer to us is of the association.
    #[inline]
    #[must_use]
    pub fn admits_inbound(&self, packet: &Ip<'_>) -> bool {
        let all = if packet.version() == 4 {
            self.all_v4
        } else {
            self.all_v6
        };
        all || self.holds(packet.destination(), packet.source())
    }

    #[inline]
    fn takes_all(&self, head: &[u8]) -> bool {
        match head.first().map(|first| first >> 4) {
            Some(4) => self.all_v4,
            Some(6) => self.all_v6,
            _ => false,
        }
    }

    fn holds(&self, local: IpAddr, remote: IpAddr) -> bool {
        self.local.iter().any(|prefix| prefix.contains(local))
            && self.remote.iter().any(|prefix| prefix.contains(remote))
    }
}

/// Source and destination of the header that `head` begins with, whose lengths need not be right yet.
fn addresses(head: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let pair = |from: &[u8], to: &[u8]| match (from.len(), to.len()) {
        (4, 4) => Some((four(from)?, four(to)?)),
        _ => Some((sixteen(from)?, sixteen(to)?)),
    };
    match head.first()? >> 4 {
        4 => pair(head.get(12..16)?, head.get(16..20)?),
        6 => pair(head.get(8..24)?, head.get(24..40)?),
        _ => None,
    }
}

fn four(octets: &[u8]) -> Option<IpAddr> {
    let octets: &[u8; 4] = octets.first_chunk()?;
    Some(IpAddr::from(*octets))
}

fn sixteen(octets: &[u8]) -> Option<IpAddr> {
    let octets: &[u8; 16] = octets.first_chunk()?;
    Some(IpAddr::from(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::{OuterHeader, write_header};

    fn packet(from: &str, to: &str) -> Vec<u8> {
        let mut octets = vec![0; 40];
        let header = OuterHeader {
            source: from.parse().unwrap(),
            destination: to.parse().unwrap(),
            protocol: 17,
            tos: 0,
            ttl: 64,
            df: false,
            payload_octets: 0,
            id: 0,
        };
        let written = write_header(&mut octets, &header);
        octets.truncate(written);
        octets
    }

    fn prefix(text: &str) -> Prefix {
        let (address, length) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), length.parse().unwrap())
    }

    fn admitted(selectors: &Selectors, from: &str, to: &str) -> (bool, bool) {
        let octets = packet(from, to);
        (
            selectors.admits_outbound(&octets),
            selectors.admits_inbound(&Ip::parse(&octets).unwrap()),
        )
    }

    #[test]
    fn a_packet_is_admitted_one_way_only_where_the_sides_differ() {
        let selectors = Selectors::new(vec![prefix("10.1.0.0/16")], vec![prefix("10.2.0.0/16")]);
        assert_eq!(admitted(&selectors, "10.1.2.3", "10.2.3.4"), (true, false));
        assert_eq!(admitted(&selectors, "10.2.3.4", "10.1.2.3"), (false, true));
        assert_eq!(admitted(&selectors, "10.1.2.3", "10.3.3.4"), (false, false));
        assert_eq!(admitted(&selectors, "fd00::1", "fd00::2"), (false, false));
    }

    #[test]
    fn everything_of_both_families_passes_any() {
        let any = Selectors::any();
        assert_eq!(admitted(&any, "10.1.2.3", "203.0.113.9"), (true, true));
        assert_eq!(admitted(&any, "fd00::1", "2001:db8::2"), (true, true));
        assert!(any.all_v4 && any.all_v6);
    }

    #[test]
    fn one_family_may_be_whole_and_the_other_limited() {
        let local = vec![prefix("0.0.0.0/0"), prefix("fd00:1::/32")];
        let remote = vec![prefix("0.0.0.0/0"), prefix("fd00:2::/32")];
        let selectors = Selectors::new(local, remote);
        assert!(selectors.all_v4 && !selectors.all_v6);
        assert_eq!(admitted(&selectors, "1.2.3.4", "5.6.7.8"), (true, true));
        assert_eq!(
            admitted(&selectors, "fd00:1::1", "fd00:2::1"),
            (true, false)
        );
    }

    #[test]
    fn a_full_length_prefix_is_one_address() {
        let host = prefix("192.0.2.7/32");
        assert!(host.contains([192, 0, 2, 7].into()) && !host.contains([192, 0, 2, 6].into()));
        assert!(!host.is_everything() && !prefix("128.0.0.0/1").is_everything());
        assert!(!prefix("2001:db8::/32").contains([192, 0, 2, 7].into()));
    }
}
