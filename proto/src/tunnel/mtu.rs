//! What fits: the exact overhead of a tunnel, and the inner MTU that a path leaves.

use super::Parameters;
use crate::wire::gre;
use crate::wire::ip::{IPV4_OCTETS, IPV6_OCTETS};

/// The least MTU of a link that carries IPv6 (RFC 8200 section 5); Linux removes a device's IPv6 addresses below it.
pub const IPV6_MIN: u16 = 1280;
/// The least MTU of a link that carries IPv4 (RFC 791 section 3.2).
pub const IPV4_MIN: u16 = 68;

/// Octets that the tunnel puts before each inner packet: outer IP header and GRE header, 24 to 56.
#[must_use]
pub fn overhead(parameters: &Parameters) -> usize {
    let outer = if parameters.remote.is_ipv6() {
        IPV6_OCTETS
    } else {
        IPV4_OCTETS
    };
    outer + gre_header(parameters, 0).octets
}

/// The GRE header of the tunnel's outbound packets.
pub(super) fn gre_header(parameters: &Parameters, protocol: u16) -> gre::Header {
    let seq = parameters.sequence.then_some(0);
    gre::Header::new(protocol, parameters.checksum, parameters.key_out, seq)
}

/// The MTU of the tunnel's device for a path that takes outer packets of `path_mtu` octets.
///
/// It is never below 1280 with IPv6 inside, or 68: what the path then does not take leaves in outer fragments.
#[must_use]
pub fn inner_mtu(path_mtu: u16, overhead: usize, ipv6_inside: bool) -> u16 {
    let overhead = u16::try_from(overhead).unwrap_or(u16::MAX);
    let floor = if ipv6_inside { IPV6_MIN } else { IPV4_MIN };
    path_mtu.saturating_sub(overhead).max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::tests::parameters;
    use crate::wire::gre::GreKey;

    #[test]
    fn overhead_is_exact_for_every_option_and_family() {
        for (ipv6, base) in [(false, 24), (true, 44)] {
            for options in 0..8_usize {
                let (key, checksum, sequence) = (options & 1 > 0, options & 2 > 0, options & 4 > 0);
                let parameters = Parameters {
                    key_out: key.then_some(GreKey(1)),
                    checksum,
                    sequence,
                    ..parameters(ipv6)
                };
                let words = usize::try_from(options.count_ones()).unwrap();
                assert_eq!(overhead(&parameters), base + 4 * words);
            }
        }
    }

    #[test]
    fn inner_mtu_is_what_the_overhead_leaves_down_to_the_minimum_of_the_family() {
        let table = [
            (1500, 24, true, 1476),
            (1500, 28, true, 1472),
            (1500, 36, true, 1464),
            (1500, 44, true, 1456),
            (1500, 56, true, 1444),
            (9000, 24, true, 8976),
            (65535, 24, true, 65511),
            (1304, 24, true, 1280),
            (1303, 24, true, 1280),
            (1280, 44, true, 1280),
            (576, 24, true, 1280),
            (1303, 24, false, 1279),
            (576, 36, false, 540),
            (68, 24, false, 68),
            (0, 24, false, 68),
            (1500, usize::MAX, false, 68),
        ];
        for (path_mtu, overhead, ipv6_inside, expected) in table {
            let mtu = inner_mtu(path_mtu, overhead, ipv6_inside);
            assert_eq!(
                mtu, expected,
                "{path_mtu} - {overhead}, IPv6 inside: {ipv6_inside}"
            );
        }
    }
}
