//! IP headers as read, against etherparse; a changed TOS and a lowered MSS leave lengths and checksums consistent.

use adit_proto::tunnel::{MssClamp, mss};
use adit_proto::wire::ip::{self, Ip};

/// Replays one input.
pub fn run(octets: &[u8]) {
    let Ok(ip) = Ip::parse(octets) else { return };
    let total = ip.total_octets();
    assert!(total <= octets.len() && ip.header_octets() + ip.payload().len() == total);
    match ip {
        Ip::V4 { .. } => {
            let (theirs, _) = etherparse::Ipv4Header::from_slice(octets).unwrap();
            // It computes from its fields, which have no reserved flag, and knows one form of zero.
            if octets[6] & 0x80 == 0 && theirs.header_checksum != u16::MAX {
                let valid = theirs.calc_header_checksum() == theirs.header_checksum;
                assert_eq!(valid, ip.checksum_is_valid());
            }
            assert_eq!(theirs.dont_fragment, ip.df());
            assert_eq!(theirs.is_fragmenting_payload(), ip.is_fragment());
            assert_eq!(
                (theirs.protocol.0, theirs.time_to_live),
                (ip.protocol(), ip.ttl())
            );
        }
        Ip::V6 { .. } => {
            let (theirs, _) = etherparse::Ipv6Header::from_slice(octets).unwrap();
            assert_eq!(
                (theirs.next_header.0, theirs.hop_limit),
                (ip.protocol(), ip.ttl())
            );
            assert_eq!(theirs.traffic_class, ip.tos());
        }
    }

    let mut changed = octets.to_vec();
    let tos = octets[octets.len() - 1];
    ip::set_tos(&mut changed, tos);
    let after = Ip::parse(&changed).unwrap();
    assert_eq!(
        (after.tos(), after.total_octets(), after.payload()),
        (tos, total, ip.payload())
    );
    assert!(!ip.checksum_is_valid() || after.checksum_is_valid());

    if mss::clamp(
        &mut changed[..total],
        MssClamp {
            v4: Some(600),
            v6: Some(1300),
        },
    ) {
        assert!(!mss::clamp(
            &mut changed[..total],
            MssClamp {
                v4: Some(600),
                v6: Some(1300)
            }
        ));
        assert_eq!(changed[total..], octets[total..]);
    }
}
