//! What fits: the exact overhead of a tunnel, and the inner MTU that a path leaves.

use core::net::IpAddr;

use super::{Mode, Parameters};
use crate::esp;
use crate::wire::esp::TRAILER_OCTETS;
use crate::wire::gre;
use crate::wire::ip::{IPV4_OCTETS, IPV6_OCTETS};
use crate::wire::natt::UDP_OCTETS;

/// The least MTU of a link that carries IPv6 (RFC 8200 section 5); Linux removes a device's IPv6 addresses below it.
pub const IPV6_MIN: u16 = 1280;
/// The least MTU of a link that carries IPv4 (RFC 791 section 3.2).
pub const IPV4_MIN: u16 = 68;

/// Octets that the tunnel adds to each inner packet, without what ESP pads: outer IP header and GRE header are 24 to 56.
#[must_use]
pub fn overhead(parameters: &Parameters) -> usize {
    let sealed = parameters.mode.suite().map_or(0, |suite| {
        esp::prefix_octets(suite) + TRAILER_OCTETS + suite.icv_octets()
    });
    outer_octets(parameters) + sealed + gre_octets(parameters)
}

fn outer_octets(parameters: &Parameters) -> usize {
    let ip = if parameters.remote.is_ipv6() {
        IPV6_OCTETS
    } else {
        IPV4_OCTETS
    };
    ip + if parameters.udp.is_some() {
        UDP_OCTETS
    } else {
        0
    }
}

fn gre_octets(parameters: &Parameters) -> usize {
    if parameters.mode.has_gre() {
        ends_octets(parameters) + gre_header(parameters, 0).octets
    } else {
        0
    }
}

/// The addresses of the IP header around GRE in ESP's tunnel mode.
pub(super) fn gre_ends(parameters: &Parameters) -> Option<(IpAddr, IpAddr)> {
    match parameters.mode {
        Mode::GreEsp(_) => parameters.gre_ends,
        Mode::Gre | Mode::Esp(_) => None,
    }
}

/// Octets of that header.
pub(super) fn ends_octets(parameters: &Parameters) -> usize {
    match gre_ends(parameters) {
        None => 0,
        Some((IpAddr::V4(_), _)) => IPV4_OCTETS,
        Some((IpAddr::V6(_), _)) => IPV6_OCTETS,
    }
}

/// The GRE header of the tunnel's outbound packets.
pub(super) fn gre_header(parameters: &Parameters, protocol: u16) -> gre::Header {
    let seq = parameters.sequence.then_some(0);
    gre::Header::new(protocol, parameters.checksum, parameters.key_out, seq)
}

/// The MTU of the tunnel's device for a path that takes outer packets of `path_mtu` octets.
///
/// It is never below 1280 with IPv6 inside, or 68: what the path then does not take leaves in outer fragments.
///
/// 1500 over IPv4 and UDP, ESP with AES-GCM-16 in tunnel mode: 1500 − 20 − 8 − 8 − 8 − 16 = 1440 aligned to 4, minus pad length and next
/// header is 1438; with GRE without key in transport mode 1434.
#[must_use]
pub fn inner_mtu(path_mtu: u16, parameters: &Parameters, ipv6_inside: bool) -> u16 {
    let outer = usize::from(path_mtu).saturating_sub(outer_octets(parameters));
    let payload = match parameters.mode.suite() {
        None => outer,
        Some(suite) => esp::payload_octets_max(suite, outer),
    };
    let inner = payload.saturating_sub(gre_octets(parameters));
    let floor = if ipv6_inside { IPV6_MIN } else { IPV4_MIN };
    u16::try_from(inner).unwrap_or(u16::MAX).max(floor)
}

#[cfg(test)]
mod tests {
    use adit_crypto::Suite;

    use super::*;
    use crate::tunnel::Ports;
    use crate::tunnel::tests::parameters;
    use crate::wire::gre::GreKey;

    const UDP: Option<Ports> = Some(Ports {
        local: 4500,
        remote: 4500,
    });

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
        ];
        for (path_mtu, added, ipv6_inside, expected) in table {
            let ipv6 = added >= 44;
            let words = (added - if ipv6 { 44 } else { 24 }) / 4;
            let parameters = Parameters {
                key_out: (words > 0).then_some(GreKey(1)),
                checksum: words > 1,
                sequence: words > 2,
                ..parameters(ipv6)
            };
            assert_eq!(overhead(&parameters), added);
            let mtu = inner_mtu(path_mtu, &parameters, ipv6_inside);
            assert_eq!(
                mtu, expected,
                "{path_mtu} - {added}, IPv6 inside: {ipv6_inside}"
            );
        }
    }

    #[test]
    fn inner_mtu_of_esp_is_aligned_and_leaves_room_for_the_trailer() {
        let suite = Suite::Aes128Gcm16;
        let table = [
            (false, Mode::Esp(suite), UDP, 1500, 1438),
            (false, Mode::Esp(suite), None, 1500, 1446),
            (false, Mode::GreEsp(suite), UDP, 1500, 1434),
            (true, Mode::Esp(suite), UDP, 1500, 1418),
            (false, Mode::Esp(suite), UDP, 1499, 1434),
            (false, Mode::Gre, UDP, 1500, 1468),
            (true, Mode::Esp(suite), UDP, 1300, 1280),
        ];
        for (ipv6, mode, udp, path_mtu, expected) in table {
            let parameters = Parameters {
                mode,
                udp,
                ..parameters(ipv6)
            };
            assert_eq!(inner_mtu(path_mtu, &parameters, true), expected);
        }
    }
}
