//! Which ICMP "too big" messages to believe (RFC 1191 section 4, RFC 8201 section 4, RFC 7676 section 5).
//!
//! Anyone can send one. It counts only if it quotes an outer packet of ours, and only down to what every path has to take.

use core::net::IpAddr;

use crate::wire::esp::Spi;
use crate::wire::gre::{self, GreKey};

/// The least path MTU that is believed over IPv4: what every host has to take (RFC 1122 section 3.3.2).
pub const IPV4_PATH_MIN: u32 = 576;
/// The least path MTU that is believed over IPv6 (RFC 8200 section 5).
pub const IPV6_PATH_MIN: u32 = 1280;

/// What a message quotes of the packet that was too big.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotation<'a> {
    /// Its outer source.
    pub source: IpAddr,
    /// Its outer destination.
    pub destination: IpAddr,
    /// Its octets from the GRE or ESP header on, possibly cut short.
    pub payload: &'a [u8],
}

/// What the packets that we send begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// GRE with this key.
    Gre(Option<GreKey>),
    /// ESP of this association.
    Esp(Spi),
}

impl Sent {
    fn is_quoted(self, payload: &[u8]) -> bool {
        match self {
            Self::Gre(key) => key_of(payload) == Some(key),
            Self::Esp(spi) => payload.starts_with(&spi.get().to_be_bytes()),
        }
    }
}

/// The path MTU that a message announces, if it quotes a packet `local` → `remote` with our key or index and the value is plausible.
///
/// The key has to be in the quotation: behind a checksum that takes 12 octets after the IP header, of which RFC 792 promises
/// 8 and RFC 1812 section 4.3.2.3 all that fit.
#[must_use]
pub fn too_big(
    local: IpAddr,
    remote: IpAddr,
    sent: Sent,
    quoted: &Quotation<'_>,
    mtu: u32,
) -> Option<u16> {
    let least = match local {
        IpAddr::V4(_) => IPV4_PATH_MIN,
        IpAddr::V6(_) => IPV6_PATH_MIN,
    };
    let is_ours = quoted.source == local && quoted.destination == remote;
    if !is_ours || !sent.is_quoted(quoted.payload) || mtu < least {
        return None;
    }
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// The key in a GRE header whose end may be missing.
fn key_of(gre: &[u8]) -> Option<Option<GreKey>> {
    let mut padded = [0; gre::MAX_OCTETS];
    for (to, from) in padded.iter_mut().zip(gre) {
        *to = *from;
    }
    let header = gre::parse(&padded).ok()?;
    let key_ends = if header.checksum { 12 } else { 8 };
    let needed = if header.key.is_some() { key_ends } else { 4 };
    (gre.len() >= needed).then_some(header.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(ipv6: bool) -> (IpAddr, IpAddr) {
        if ipv6 {
            (
                "2001:db8::1".parse().unwrap(),
                "2001:db8::2".parse().unwrap(),
            )
        } else {
            ([192, 0, 2, 1].into(), [198, 51, 100, 2].into())
        }
    }

    fn octets(header: &gre::Header) -> Vec<u8> {
        let mut octets = vec![0; 40];
        header.write(&mut octets);
        octets
    }

    fn judge(ipv6: bool, key: Option<u32>, payload: &[u8], mtu: u32) -> Option<u16> {
        let (local, remote) = addresses(ipv6);
        let quoted = Quotation {
            source: local,
            destination: remote,
            payload,
        };
        too_big(local, remote, Sent::Gre(key.map(GreKey)), &quoted, mtu)
    }

    #[test]
    fn our_packet_quoted_with_a_plausible_value_gives_the_path_mtu() {
        for (ipv6, least) in [(false, 576), (true, 1280)] {
            for (checksum, seq) in [
                (false, None),
                (true, None),
                (false, Some(9)),
                (true, Some(9)),
            ] {
                for key in [None, Some(42)] {
                    let gre = octets(&gre::Header::new(0x0800, checksum, key.map(GreKey), seq));
                    assert_eq!(judge(ipv6, key, &gre, 1400), Some(1400));
                    assert_eq!(judge(ipv6, key, &gre, least), u16::try_from(least).ok());
                    assert_eq!(judge(ipv6, key, &gre, least - 1), None);
                    assert_eq!(judge(ipv6, key, &gre, 70_000), Some(u16::MAX));
                    assert_eq!(judge(ipv6, Some(43), &gre, 1400), None);
                    assert_eq!(judge(ipv6, key.xor(Some(1)), &gre, 1400), None);
                }
            }
        }
    }

    #[test]
    fn a_quotation_counts_once_it_shows_the_key() {
        let keyed = |checksum| gre::Header::new(0x0800, checksum, Some(GreKey(42)), None);
        let plain = gre::Header::new(0x0800, false, None, None);
        for (header, key, needed) in [
            (keyed(false), Some(42), 8),
            (keyed(true), Some(42), 12),
            (plain, None, 4),
        ] {
            let gre = octets(&header);
            assert_eq!(judge(false, key, &gre[..needed - 1], 1400), None);
            assert_eq!(judge(false, key, &gre[..needed], 1400), Some(1400));
        }
    }

    #[test]
    fn a_packet_between_other_addresses_is_not_ours() {
        let (local, remote) = addresses(false);
        let gre = octets(&gre::Header::new(0x0800, false, None, None));
        for (source, destination) in [(remote, local), (local, local), (remote, remote)] {
            let quoted = Quotation {
                source,
                destination,
                payload: &gre,
            };
            assert_eq!(too_big(local, remote, Sent::Gre(None), &quoted, 1400), None);
        }
    }

    proptest! {
        #[test]
        fn no_quotation_panics(gre in prop::collection::vec(any::<u8>(), 0..50), ipv6 in any::<bool>()) {
            let _ = judge(ipv6, Some(1), &gre, 1400);
        }
    }
}
