use super::{encapsulate, parameters, segment, sole, transport_checksum_is_valid, udp};
use crate::counters::DropReason;
use crate::tunnel::{Df, Encap, MssClamp, Parameters, Refused, Train, Ttl, mtu};
use crate::wire::gre::{self, GreKey};
use crate::wire::ip::Ip;

const DROPPED_TOO_BIG: Refused = Refused::Dropped(DropReason::TooBig);

fn octets(hex: &str) -> Vec<u8> {
    let digits: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn sequence_number(packet: &[u8]) -> u32 {
    gre::parse(Ip::parse(packet).unwrap().payload())
        .unwrap()
        .seq
        .unwrap()
}

#[test]
fn a_routers_keepalive_request_is_made_octet_for_octet() {
    let captured = [
        (
            None,
            "45000030 00000000 ff2fcf67 c0000201 c6336402 00000800
             45000018 00000000 ff2fcf7f c6336402 c0000201 00000000",
            24,
        ),
        (
            Some(GreKey(42)),
            "45000038 00000000 ff2fcf5f c0000201 c6336402 20000800 0000002a
             4500001c 00000000 ff2fcf7b c6336402 c0000201 20000000 0000002a",
            28,
        ),
    ];
    for (key_out, request, overhead) in captured {
        let request = octets(request);
        let parameters = Parameters {
            key_out,
            df: Df::Clear,
            ..parameters(false)
        };
        let mut encap = Encap::new(&parameters);
        let mut train = Train::new(1, 100);
        let inner = &request[overhead..];
        let count = encap.encapsulate_packet(&mut train, 3, gre::PROTOCOL_IPV4, inner, 0, 255);
        assert_eq!(count, Ok(1));
        let packets: Vec<_> = train
            .packets()
            .map(|(packet, label)| (packet, label.destination))
            .collect();
        assert_eq!(packets, [(&request[..], 3)]);
        assert_eq!(encap.header_octets(), overhead);
    }
}

#[test]
fn sequence_numbers_start_at_zero_and_a_refused_packet_takes_none() {
    let parameters = Parameters {
        sequence: true,
        df: Df::Set,
        ..parameters(false)
    };
    let mut encap = Encap::new(&parameters);
    encap.set_path_mtu(1400);
    let small = udp(false, (0, 64, false), &[0; 100]);
    let big = udp(false, (0, 64, false), &[0; 1400]);
    assert_eq!(sequence_number(&sole(&mut encap, &small)), 0);
    assert_eq!(encapsulate(&mut encap, &big), Err(DROPPED_TOO_BIG));
    let mut train = Train::new(1, 1000);
    assert_eq!(encap.encapsulate(&mut train, 0, &segment(&small)), Ok(1));
    assert_eq!(
        encap.encapsulate(&mut train, 0, &segment(&small)),
        Err(Refused::Full)
    );
    assert_eq!(sequence_number(&sole(&mut encap, &small)), 2);
}

#[test]
fn a_packet_that_an_empty_train_cannot_take_is_dropped_and_not_tried_for_ever() {
    let mut encap = Encap::new(&parameters(false));
    let packet = udp(false, (0, 64, false), &[0; 1000]);
    let mut train = Train::new(4, 900);
    assert_eq!(
        encap.encapsulate(&mut train, 0, &segment(&packet)),
        Err(DROPPED_TOO_BIG)
    );
    encap.set_path_mtu(300);
    let mut train = Train::new(3, 10_000);
    assert_eq!(
        encap.encapsulate(&mut train, 0, &segment(&packet)),
        Err(DROPPED_TOO_BIG)
    );
    train.commit(
        10,
        super::super::Label {
            destination: 0,
            inner_octets: 0,
        },
    );
    assert_eq!(
        encap.encapsulate(&mut train, 0, &segment(&packet)),
        Err(Refused::Full)
    );
}

/// Whether a packet of this inner size over a path of 1400 octets is fragmented.
fn is_fragmented(
    outer_ipv6: bool,
    df: Df,
    ipv6: bool,
    inner_df: bool,
    inner_octets: usize,
) -> bool {
    let mut encap = Encap::new(&Parameters {
        df,
        ..parameters(outer_ipv6)
    });
    encap.set_path_mtu(if inner_octets <= 1280 { 1280 } else { 1400 });
    let headers = if ipv6 { 48 } else { 28 };
    let packet = udp(ipv6, (0, 64, inner_df), &vec![7; inner_octets - headers]);
    match encapsulate(&mut encap, &packet) {
        Ok(packets) => {
            assert_eq!(packets.len(), 2);
            for packet in &packets {
                let ip = Ip::parse(packet).unwrap();
                assert!(ip.is_fragment() && ip.checksum_is_valid());
                assert_eq!(ip.df(), outer_ipv6);
            }
            true
        }
        Err(refused) => {
            assert_eq!(refused, DROPPED_TOO_BIG);
            false
        }
    }
}

#[test]
fn larger_than_the_path_is_fragmented_unless_df_forbids_it() {
    for outer_ipv6 in [false, true] {
        for (df, ipv6, inner_df, fragmented) in [
            (Df::Set, false, false, false),
            (Df::Set, true, false, false),
            (Df::Clear, false, true, true),
            (Df::Clear, true, true, true),
            (Df::Copy, false, false, true),
            (Df::Copy, false, true, false),
            (Df::Copy, true, false, false),
        ] {
            let outcome = is_fragmented(outer_ipv6, df, ipv6, inner_df, 1390);
            assert_eq!(
                outcome, fragmented,
                "{df:?}, IPv6 inside: {ipv6}, DF inside: {inner_df}"
            );
        }
    }
}

#[test]
fn up_to_1280_octets_are_carried_whatever_df_says() {
    for outer_ipv6 in [false, true] {
        for ipv6 in [false, true] {
            assert!(is_fragmented(outer_ipv6, Df::Set, ipv6, true, 1280));
        }
    }
    assert!(!is_fragmented(false, Df::Set, true, true, 1400));
}

#[test]
fn exactly_the_path_mtu_leaves_whole() {
    for outer_ipv6 in [false, true] {
        let mut encap = Encap::new(&Parameters {
            df: Df::Set,
            ..parameters(outer_ipv6)
        });
        encap.set_path_mtu(1500);
        let fits = mtu::inner_mtu(1500, &parameters(outer_ipv6), true);
        let packet = udp(false, (0, 64, true), &vec![0; usize::from(fits) - 28]);
        assert_eq!(sole(&mut encap, &packet).len(), 1500);
        let packet = udp(false, (0, 64, true), &vec![0; usize::from(fits) - 27]);
        assert_eq!(encapsulate(&mut encap, &packet), Err(DROPPED_TOO_BIG));
    }
}

#[test]
fn what_no_ip_header_can_express_is_too_big() {
    for outer_ipv6 in [false, true] {
        let mut encap = Encap::new(&Parameters {
            df: Df::Clear,
            ..parameters(outer_ipv6)
        });
        let most = if outer_ipv6 { 65_531 } else { 65_511 };
        let packet = udp(false, (0, 64, false), &vec![0; most - 28]);
        assert!(encapsulate(&mut encap, &packet).is_ok());
        let packet = udp(false, (0, 64, false), &vec![0; most - 27]);
        assert_eq!(encapsulate(&mut encap, &packet), Err(DROPPED_TOO_BIG));
    }
}

#[test]
fn fragments_of_one_tunnel_never_share_an_identification_in_a_row() {
    let mut encap = Encap::new(&Parameters {
        df: Df::Clear,
        ..parameters(false)
    });
    encap.set_path_mtu(576);
    let packet = udp(false, (0, 64, false), &[0; 700]);
    let mut last = 0;
    for _ in 0..70_000 {
        let mut train = Train::new(2, 2000);
        encap.encapsulate(&mut train, 0, &segment(&packet)).unwrap();
        let ids: Vec<_> = train
            .packets()
            .map(|(octets, _)| [octets[4], octets[5]])
            .collect();
        let id = u16::from_be_bytes(ids[0]);
        assert!(ids[0] == ids[1] && id != last && id != 0);
        last = id;
    }
}

#[test]
fn the_tunnels_own_outer_packet_is_refused_and_its_answer_is_not() {
    for outer_ipv6 in [false, true] {
        let parameters = Parameters {
            df: Df::Clear,
            ..parameters(outer_ipv6)
        };
        let mut encap = Encap::new(&parameters);
        let own = sole(&mut encap, &udp(false, (0, 64, false), &[1, 2, 3]));
        let recursion = Err(Refused::Dropped(DropReason::Recursion));
        assert_eq!(encapsulate(&mut encap, &own), recursion);
        encap.set_path_mtu(1280);
        let whole = encapsulate(&mut encap, &udp(false, (0, 64, false), &[0; 1280])).unwrap();
        assert_eq!(whole.len(), 2);
        for fragment in whole {
            assert_eq!(encapsulate(&mut encap, &fragment), recursion);
        }
        let (local, remote) = (parameters.local, parameters.remote);
        encap.set_remote(remote, local);
        assert!(encapsulate(&mut encap, &own).is_ok());
        let mut other_family = Encap::new(&super::parameters(!outer_ipv6));
        assert!(encapsulate(&mut other_family, &own).is_ok());
    }
}

#[test]
fn another_peer_gets_the_next_sequence_number_even_over_another_family() {
    let mut encap = Encap::new(&Parameters {
        sequence: true,
        ..parameters(false)
    });
    let packet = udp(true, (0, 64, true), &[0; 10]);
    assert_eq!(sequence_number(&sole(&mut encap, &packet)), 0);
    let other = parameters(true);
    encap.set_remote(other.local, other.remote);
    assert_eq!(encap.header_octets(), 48);
    let outer = sole(&mut encap, &packet);
    assert_eq!(sequence_number(&outer), 1);
    assert_eq!(Ip::parse(&outer).unwrap().destination(), other.remote);
}

#[test]
fn without_a_pair_of_addresses_of_one_family_there_is_no_route() {
    let mut encap = Encap::new(&parameters(false));
    encap.set_remote(parameters(true).local, parameters(false).remote);
    let packet = udp(false, (0, 64, false), &[]);
    assert_eq!(
        encapsulate(&mut encap, &packet),
        Err(Refused::Dropped(DropReason::NoRoute))
    );
    encap.set_path_mtu(1500);
    assert_eq!(
        encapsulate(&mut encap, &packet),
        Err(Refused::Dropped(DropReason::NoRoute))
    );
}

#[test]
fn an_inherited_ttl_is_the_inner_one_also_for_ipv6() {
    for ipv6 in [false, true] {
        let mut encap = Encap::new(&Parameters {
            ttl: Ttl::Inherit,
            ..parameters(!ipv6)
        });
        let outer = sole(&mut encap, &udp(ipv6, (0, 9, false), &[]));
        assert_eq!(Ip::parse(&outer).unwrap().ttl(), 9);
    }
}

#[test]
fn the_mss_of_a_syn_is_lowered_on_its_way_out_and_the_gre_checksum_covers_it() {
    let clamp = MssClamp {
        v4: Some(1300),
        v6: Some(1280),
    };
    let parameters = Parameters {
        checksum: true,
        ..parameters(false)
    };
    let mut encap = Encap::new(&parameters);
    encap.set_mss_clamp(Some(clamp));
    let options = [etherparse::TcpOptionElement::MaximumSegmentSize(1460)];
    let mut syn = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder
        .tcp(1, 2, 3, 4)
        .syn()
        .options(&options)
        .unwrap()
        .write(&mut syn, &[])
        .unwrap();
    let outer = sole(&mut encap, &syn);
    let inner = &outer[encap.header_octets()..];
    assert_eq!(inner[40..44], [2, 4, 0x05, 0x14]);
    assert!(transport_checksum_is_valid(inner));
    assert_eq!(crate::offload::checksum::checksum(&outer[20..]), 0);
}
