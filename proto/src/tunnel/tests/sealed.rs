//! Packets in ESP, with and without GRE and UDP: what goes in comes out, and no clear octet leaves.

use adit_crypto::{Aead, Suite};

use super::*;
use crate::esp::replay::Window;
use crate::esp::{InboundSa, Lifetime, Limits, OutboundSa, Prefix, Selectors, packet_octets};
use crate::liveness::testing::epoch;
use crate::tunnel::{Decap, Ports};
use crate::wire::esp::{NEXT_DUMMY, NEXT_GRE, NEXT_IPV4, NEXT_IPV6, Spi};
use crate::wire::natt;

const SUITE: Suite = Suite::Aes128Gcm16;
const NO_SA: Refused = Refused::Dropped(DropReason::NoSa);
const PORTS: Ports = Ports {
    local: 4500,
    remote: 4501,
};

fn lifetime() -> Lifetime {
    Lifetime::new(Limits::default(), Limits::default(), epoch())
}

fn outbound() -> OutboundSa {
    let aead = Aead::new(SUITE, &[7; 20]).unwrap();
    OutboundSa::new(
        Spi::new(0x1001).unwrap(),
        aead,
        true,
        1..=1 << 24,
        lifetime(),
    )
}

fn inbound() -> InboundSa {
    let aead = Aead::new(SUITE, &[7; 20]).unwrap();
    let window = Window::new(64, 0);
    InboundSa::new(Spi::new(0x1001).unwrap(), aead, true, window, lifetime())
}

fn sealed(ipv6: bool, mode: Mode, udp: bool) -> (Parameters, Encap) {
    let parameters = Parameters {
        mode,
        udp: udp.then_some(PORTS),
        ..parameters(ipv6)
    };
    let mut encap = Encap::new(&parameters);
    encap.set_sa(Some(outbound()));
    (parameters, encap)
}

/// The ESP packet in an outer one.
fn esp_of(outer: &[u8], parameters: &Parameters) -> Vec<u8> {
    let ip = Ip::parse(outer).unwrap();
    assert!(ip.checksum_is_valid());
    assert_eq!(ip.total_octets(), outer.len());
    let payload = ip.payload();
    if parameters.udp.is_none() {
        assert_eq!(ip.protocol(), 50);
        return payload.to_vec();
    }
    assert_eq!(ip.protocol(), 17);
    assert_eq!(payload[..4], [0x11, 0x94, 0x11, 0x95]);
    let length = u16::from_be_bytes([payload[4], payload[5]]);
    assert_eq!(usize::from(length), payload.len());
    payload[8..].to_vec()
}

/// None, of IPv4, of IPv6.
fn gre_ends(which: u8) -> Option<(IpAddr, IpAddr)> {
    let pair = |a: &str, b: &str| Some((a.parse().unwrap(), b.parse().unwrap()));
    match which {
        0 => None,
        1 => pair("10.77.1.1", "10.77.2.1"),
        _ => pair("fd00::1", "fd00::2"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_in_each_mode_comes_out_again(
        outer_ipv6: bool, ipv6: bool, udp_encapsulated: bool, gre_inside: bool, checksum: bool,
        ends in 0..3_u8, marks in any::<(u8, u8, bool)>(), payload in prop::collection::vec(any::<u8>(), 0..1400), tfc_octets in 0..1400_u16,
    ) {
        let mode = if gre_inside { Mode::GreEsp(SUITE) } else { Mode::Esp(SUITE) };
        let parameters = Parameters {
            mode, tfc_octets, checksum, key_out: Some(GreKey(9)), key_in: Some(GreKey(9)), gre_ends: gre_ends(ends),
            udp: udp_encapsulated.then_some(PORTS), ..parameters(outer_ipv6)
        };
        let mut encap = Encap::new(&parameters);
        encap.set_sa(Some(outbound()));
        let inner = udp(ipv6, marks, &payload);
        let outer = sole(&mut encap, &inner);
        let outer_tos = Ip::parse(&outer).unwrap().tos();
        let mut packet = esp_of(&outer, &parameters);
        prop_assert!(!outer.windows(20).any(|octets| inner.windows(20).any(|clear| clear == octets)));
        let opened = inbound().open(&mut packet).unwrap();
        let mut payload = &mut packet[opened.payload];
        let mut decap = Decap::new(&parameters);
        let counters = Counters::default();
        let range = if gre_inside {
            let next = [NEXT_GRE, NEXT_IPV4, NEXT_IPV6][usize::from(ends)];
            prop_assert_eq!(opened.next_header, next);
            if let Some((local, remote)) = gre_ends(ends) {
                let ip = Ip::parse(payload).unwrap();
                prop_assert!(ip.checksum_is_valid());
                prop_assert_eq!((ip.source(), ip.destination(), ip.protocol()), (local, remote, 47));
                prop_assert_eq!(ip.total_octets(), payload.len());
                let header_octets = ip.header_octets();
                payload = &mut payload[header_octets..];
            }
            let header = gre::parse(payload).unwrap();
            decap.decapsulate(&header, payload, outer_tos, &counters).unwrap()
        } else {
            prop_assert_eq!(opened.next_header, if ipv6 { NEXT_IPV6 } else { NEXT_IPV4 });
            prop_assert_eq!(payload.len(), inner.len().max(tfc_octets.into()));
            let octets = decap.inner(payload, if ipv6 { 6 } else { 4 }, outer_tos, &counters).unwrap();
            0..octets
        };
        prop_assert_eq!(&payload[range], &inner[..]);
    }
}

#[test]
fn the_longest_headers_are_whole_with_each_suite() {
    for &suite in Suite::ALL.iter().chain(Suite::INSECURE) {
        let parameters = Parameters {
            mode: Mode::GreEsp(suite),
            udp: Some(PORTS),
            checksum: true,
            sequence: true,
            key_out: Some(GreKey(9)),
            key_in: Some(GreKey(9)),
            ..parameters(true)
        };
        let aead = || Aead::new(suite, &vec![7; suite.keymat_octets()]).unwrap();
        let spi = Spi::new(0x1001).unwrap();
        let sa = OutboundSa::new(spi, aead(), true, 1..=9, lifetime());
        let mut encap = Encap::new(&parameters);
        encap.set_sa(Some(sa));
        let inner = udp(false, (0, 64, false), &[1; 100]);
        let mut packet = esp_of(&sole(&mut encap, &inner), &parameters);
        let window = Window::new(64, 0);
        let mut inbound = InboundSa::new(spi, aead(), true, window, lifetime());
        let opened = inbound.open(&mut packet).unwrap();
        let payload = &mut packet[opened.payload];
        let header = gre::parse(payload).unwrap();
        assert_eq!(
            (header.key, header.octets),
            (Some(GreKey(9)), 16),
            "{suite}"
        );
        let counters = Counters::default();
        let mut decap = Decap::new(&parameters);
        let range = decap.decapsulate(&header, payload, 0, &counters).unwrap();
        assert_eq!(payload[range], inner, "{suite}");
    }
}

#[test]
fn nothing_leaves_without_an_association() {
    for mode in [Mode::Esp(SUITE), Mode::GreEsp(SUITE)] {
        for udp_encapsulated in [false, true] {
            let (_, mut encap) = sealed(false, mode, udp_encapsulated);
            encap.set_sa(None);
            let inner = udp(false, (0, 64, false), &[1; 100]);
            assert_eq!(encapsulate(&mut encap, &inner), Err(NO_SA));
            let mut train = Train::new(4, 4000);
            let own = encap.encapsulate_packet(&mut train, 0, gre::PROTOCOL_IPV4, &inner, 0, 64);
            assert_eq!(own, Err(NO_SA));
            assert_eq!(
                encap.encapsulate_gre(&mut train, 0, &[0; 4], 0, 64),
                Err(NO_SA)
            );
            assert_eq!(encap.encapsulate_dummy(&mut train, 0, 40, 64), Err(NO_SA));
            assert!(train.is_empty());
        }
    }
}

#[test]
fn fragments_of_a_sealed_packet_are_cut_after_sealing() {
    for (ipv6, udp_encapsulated) in [(false, false), (false, true), (true, false), (true, true)] {
        let (parameters, mut encap) = sealed(ipv6, Mode::Esp(SUITE), udp_encapsulated);
        encap.set_path_mtu(1280);
        let inner = udp(true, (0, 64, true), &[0x5a; 1280 - 48]);
        let fragments = encapsulate(&mut encap, &inner).unwrap();
        assert_eq!(fragments.len(), 2);
        let header = if ipv6 { 48 } else { 20 };
        let payload: Vec<u8> = fragments
            .iter()
            .flat_map(|fragment| &fragment[header..])
            .copied()
            .collect();
        let mut packet = if udp_encapsulated {
            payload[8..].to_vec()
        } else {
            payload.clone()
        };
        if ipv6 && udp_encapsulated {
            let (source, destination) = match (parameters.local, parameters.remote) {
                (IpAddr::V6(source), IpAddr::V6(destination)) => (source, destination),
                other => panic!("{other:?}"),
            };
            let udp = etherparse::UdpHeaderSlice::from_slice(&payload)
                .unwrap()
                .to_header();
            let checksum =
                udp.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &payload[8..]);
            assert_eq!(checksum.unwrap(), udp.checksum);
        }
        let opened = inbound().open(&mut packet).unwrap();
        assert_eq!(packet[opened.payload], inner);
    }
}

#[test]
fn the_inner_mtu_fills_the_path_and_one_octet_more_does_not_fit() {
    for (ipv6, mode, udp_encapsulated) in [
        (false, Mode::Esp(SUITE), true),
        (true, Mode::Esp(SUITE), false),
        (false, Mode::GreEsp(SUITE), true),
        (true, Mode::GreEsp(SUITE), true),
    ] {
        let (parameters, mut encap) = sealed(ipv6, mode, udp_encapsulated);
        encap.set_path_mtu(1500);
        let fits = usize::from(super::super::mtu::inner_mtu(1500, &parameters, true));
        let packet = udp(false, (0, 64, true), &vec![0; fits - 28]);
        assert!(sole(&mut encap, &packet).len() > 1500 - 4);
        let packet = udp(false, (0, 64, true), &vec![0; fits - 27]);
        let refused = Err(Refused::Dropped(DropReason::TooBig));
        assert_eq!(encapsulate(&mut encap, &packet), refused);
    }
}

#[test]
fn addresses_outside_the_selectors_are_refused_both_ways() {
    let (parameters, mut encap) = sealed(false, Mode::Esp(SUITE), false);
    let network = |last| Prefix::new([10, 0, 0, last].into(), 32);
    encap.set_selectors(Selectors::new(vec![network(1)], vec![network(9)]));
    let mut inner = udp(false, (0, 64, false), &[]);
    let refused = Err(Refused::Dropped(DropReason::Selector));
    assert_eq!(encapsulate(&mut encap, &inner), refused);
    let mut decap = Decap::new(&parameters);
    let counters = Counters::default();
    decap.set_selectors(Selectors::new(vec![network(2)], vec![network(9)]));
    let spoofed = decap.inner(&mut inner, 4, 0, &counters);
    assert_eq!(spoofed, Err(DropReason::Selector));
    decap.set_selectors(Selectors::new(vec![network(2)], vec![network(1)]));
    assert_eq!(decap.inner(&mut inner, 4, 0, &counters), Ok(28));
}

#[test]
fn a_dummy_carries_its_next_header_and_a_keepalive_for_nats_one_octet() {
    let (parameters, mut encap) = sealed(false, Mode::Esp(SUITE), true);
    let mut train = Train::new(4, 4000);
    encap.encapsulate_dummy(&mut train, 3, 100, 64).unwrap();
    encap.nat_keepalive(&mut train, 4, 64).unwrap();
    let packets: Vec<_> = train.packets().map(|(packet, _)| packet.to_vec()).collect();
    let mut dummy = esp_of(&packets[0], &parameters);
    assert_eq!(dummy.len(), packet_octets(SUITE, 100));
    assert_eq!(inbound().open(&mut dummy).unwrap().next_header, NEXT_DUMMY);
    assert_eq!(esp_of(&packets[1], &parameters), natt::KEEPALIVE);
    let (_, mut raw) = sealed(false, Mode::Esp(SUITE), false);
    let refused = Err(Refused::Dropped(DropReason::NoRoute));
    assert_eq!(raw.nat_keepalive(&mut train, 4, 64), refused);
}

#[test]
fn the_tunnels_own_packet_is_not_taken_in_again_in_any_mode() {
    for (mode, udp_encapsulated) in [
        (Mode::Esp(SUITE), false),
        (Mode::GreEsp(SUITE), true),
        (Mode::Gre, true),
    ] {
        let (_, mut encap) = sealed(false, mode, udp_encapsulated);
        let inner = udp(false, (0, 64, false), &[1; 40]);
        let outer = sole(&mut encap, &inner);
        let refused = Err(Refused::Dropped(DropReason::Recursion));
        assert_eq!(encapsulate(&mut encap, &outer), refused);
        let mut elsewhere = outer.clone();
        elsewhere[if udp_encapsulated { 23 } else { 19 }] ^= 1;
        assert!(encapsulate(&mut encap, &elsewhere).is_ok());
    }
}
