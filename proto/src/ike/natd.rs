//! Where a NAT stands: hashes of addresses and ports as each end sees them (RFC 7296 section 2.23).

use std::net::{IpAddr, SocketAddr};

use adit_crypto::{constant_time_eq, sha1};

/// Octets of the data of NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP.
pub const HASH_OCTETS: usize = 20;

/// Behind which ends of a path a NAT stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// The peer sent to another address or port than the one that we received at: we are behind a NAT.
    pub local: bool,
    /// The peer's messages come from another address or port than it sent them from: it is behind a NAT.
    pub peer: bool,
}

impl Nat {
    /// Compares the peer's hashes with what was seen: `remote` is where its message came from, `local` where it arrived. The peer may
    /// send several source hashes, one of which has to match; without a hash of a kind no NAT is seen there. The SPIs are those of the
    /// message's header.
    #[must_use]
    pub fn detect<'a>(
        spis: (u64, u64),
        (local, remote): (SocketAddr, SocketAddr),
        sources: impl Iterator<Item = &'a [u8]>,
        destinations: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            local: differ(&hash(spis.0, spis.1, local), destinations),
            peer: differ(&hash(spis.0, spis.1, remote), sources),
        }
    }

    /// Whether ESP has to travel in UDP.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.local || self.peer
    }
}

/// `SHA-1(SPIi | SPIr | address | port)`: the address as 4 or 16 octets, an IPv4 one mapped into IPv6 as 4.
#[must_use]
pub fn hash(spi_i: u64, spi_r: u64, at: SocketAddr) -> [u8; HASH_OCTETS] {
    let (spi_i, spi_r) = (spi_i.to_be_bytes(), spi_r.to_be_bytes());
    let port = at.port().to_be_bytes();
    match at.ip().to_canonical() {
        IpAddr::V4(address) => sha1(&[&spi_i, &spi_r, &address.octets(), &port]),
        IpAddr::V6(address) => sha1(&[&spi_i, &spi_r, &address.octets(), &port]),
    }
}

fn differ<'a>(seen: &[u8], mut said: impl Iterator<Item = &'a [u8]>) -> bool {
    let Some(first) = said.next() else {
        return false;
    };
    let is_seen = |hash: &[u8]| constant_time_eq(hash, seen);
    !is_seen(first) && !said.any(is_seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "192.0.2.1:500";
    const REMOTE: &str = "198.51.100.2:500";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn detect(sources: &[&str], destinations: &[&str]) -> Nat {
        let hashed = |said: &[&str]| -> Vec<_> { said.iter().map(|a| hash(7, 0, at(a))).collect() };
        let (sources, destinations) = (hashed(sources), hashed(destinations));
        Nat::detect(
            (7, 0),
            (at(LOCAL), at(REMOTE)),
            sources.iter().map(|hash| &hash[..]),
            destinations.iter().map(|hash| &hash[..]),
        )
    }

    #[test]
    fn a_peer_that_sees_the_same_addresses_has_no_nat_between() {
        assert!(!detect(&[REMOTE], &[LOCAL]).is_present());
        assert!(!detect(&[], &[]).is_present());
    }

    #[test]
    fn a_changed_source_puts_the_nat_before_the_peer_and_a_changed_destination_before_us() {
        let (peer, local) = (
            Nat {
                local: false,
                peer: true,
            },
            Nat {
                local: true,
                peer: false,
            },
        );
        assert_eq!(detect(&["10.0.0.2:500"], &[LOCAL]), peer);
        assert_eq!(detect(&["198.51.100.2:501"], &[LOCAL]), peer);
        assert_eq!(detect(&[REMOTE], &["10.0.0.1:500"]), local);
    }

    #[test]
    fn one_of_several_source_hashes_is_enough() {
        assert!(!detect(&["10.0.0.2:500", REMOTE, "[2001:db8::2]:500"], &[LOCAL]).is_present());
        assert!(detect(&["10.0.0.2:500", "10.0.0.3:500"], &[LOCAL]).peer);
    }

    #[test]
    fn an_ipv4_address_hashes_alike_when_a_socket_of_both_families_shows_it() {
        assert_eq!(
            hash(1, 2, at("[::ffff:192.0.2.1]:500")),
            hash(1, 2, at(LOCAL))
        );
        assert_ne!(
            hash(1, 2, at("[2001:db8::1]:500")),
            hash(2, 1, at("[2001:db8::1]:500"))
        );
    }

    #[test]
    fn a_hash_of_another_length_is_a_nat() {
        let short = &hash(7, 0, at(REMOTE))[..19];
        let none = std::iter::empty;
        let nat = Nat::detect(
            (7, 0),
            (at(LOCAL), at(REMOTE)),
            std::iter::once(short),
            none(),
        );
        assert!(nat.peer && !nat.local);
    }
}
