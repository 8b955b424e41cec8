use proptest::prelude::*;

use super::*;
use crate::wire::ip::{OuterHeader, write_header};

const GRE: u8 = 47;
const TCP: u8 = 6;

fn range(start: &str, end: &str) -> TrafficSelector {
    TrafficSelector::new(0, start.parse().unwrap(), end.parse().unwrap())
}

fn of(protocol: u8, ports: (u16, u16), selector: TrafficSelector) -> TrafficSelector {
    TrafficSelector {
        protocol,
        start_port: ports.0,
        end_port: ports.1,
        ..selector
    }
}

#[test]
fn a_range_within_another_one_is_what_both_select() {
    let wide = range("0.0.0.0", "255.255.255.255");
    let net = range("10.1.0.0", "10.1.255.255");
    assert_eq!(narrow(&[wide], &[net]), [net]);
    assert_eq!(narrow(&[net], &[wide]), [net]);
    assert_eq!(narrow(&[net], &[range("10.2.0.0", "10.2.0.255")]), []);
    assert_eq!(
        narrow(&[net], &[range("10.0.0.0", "10.1.0.9")]),
        [range("10.1.0.0", "10.1.0.9")]
    );
}

#[test]
fn families_have_nothing_in_common() {
    let v6 = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(narrow(&[range("0.0.0.0", "255.255.255.255")], &[v6]), []);
    let mixed = TrafficSelector {
        end: "::1".parse().unwrap(),
        ..range("10.0.0.0", "10.0.0.1")
    };
    assert_eq!(narrow(&[mixed], &[mixed]), []);
}

#[test]
fn a_protocol_narrows_any_and_another_protocol_is_nothing() {
    let host = range("192.0.2.1", "192.0.2.1");
    let (gre, tcp) = (of(GRE, (0, 65535), host), of(TCP, (0, 65535), host));
    assert_eq!(narrow(&[host], &[gre]), [gre]);
    assert_eq!(narrow(&[gre], &[host]), [gre]);
    assert_eq!(narrow(&[gre], &[tcp]), []);
}

#[test]
fn the_packets_own_selector_is_part_of_the_wider_one_behind_it() {
    let packet = of(TCP, (443, 443), range("10.1.0.7", "10.1.0.7"));
    let net = range("10.1.0.0", "10.1.255.255");
    assert_eq!(narrow(&[net], &[packet, net]), [net]);
    let only_gre = of(GRE, (0, 65535), net);
    assert_eq!(narrow(&[only_gre], &[packet, net]), [only_gre]);
    assert_eq!(narrow(&[net], &[packet]), [packet]);
}

#[test]
fn every_port_takes_in_those_that_are_not_seen_and_some_ports_do_not() {
    let host = range("10.0.0.1", "10.0.0.1");
    let opaque = of(TCP, (65535, 0), host);
    assert_eq!(narrow(&[of(TCP, (0, 65535), host)], &[opaque]), [opaque]);
    assert_eq!(narrow(&[opaque], &[opaque]), [opaque]);
    assert_eq!(narrow(&[of(TCP, (1, 65535), host)], &[opaque]), []);
}

#[test]
fn ports_that_end_before_they_start_select_nothing() {
    let host = range("10.0.0.1", "10.0.0.1");
    let reversed = of(TCP, (20, 10), host);
    assert_eq!(narrow(&[host], &[reversed]), []);
    assert_eq!(narrow(&[reversed], &[host]), []);
}

#[test]
fn more_than_a_payload_holds_is_left_out() {
    let hosts = |step: u32| -> Vec<_> {
        let host = |n: u32| Ipv4Addr::from_bits(0x0a00_0000 + 2 * n * step).into();
        (0..300)
            .map(|n| TrafficSelector::new(0, host(n), host(n)))
            .collect()
    };
    let narrowed = narrow(&hosts(1), &hosts(1));
    assert_eq!(narrowed, hosts(1)[..SELECTORS_MAX]);
    assert!(is_within(&narrowed, &hosts(1)) && !is_within(&hosts(1), &narrowed));
}

/// Whether every packet of `narrow` is of one selector of `wide`.
fn is_within(narrow: &[TrafficSelector], wide: &[TrafficSelector]) -> bool {
    let held = |narrow: &TrafficSelector| wide.iter().any(|wide| holds(wide, narrow));
    narrow.iter().all(held)
}

/// Whether a packet between these addresses passes.
fn admits(selectors: &Selectors, from: IpAddr, to: IpAddr) -> bool {
    let mut octets = vec![0; 40];
    let header = OuterHeader {
        source: from,
        destination: to,
        protocol: 17,
        tos: 0,
        ttl: 64,
        df: false,
        payload_octets: 0,
        id: 0,
    };
    let written = write_header(&mut octets, &header);
    selectors.admits_outbound(&octets[..written])
}

#[test]
fn the_data_path_is_given_the_networks_of_every_selector() {
    let local = [range("10.0.0.1", "10.0.0.6"), range("fd00::", "fd00::ffff")];
    let remote = [
        range("0.0.0.0", "255.255.255.255"),
        range("fd01::1", "fd01::1"),
    ];
    let selectors = for_esp(&local, &remote, 0).unwrap();
    for last in 0..=255 {
        let from = Ipv4Addr::new(10, 0, 0, last).into();
        let is_in = (1..=6).contains(&last);
        assert_eq!(
            admits(&selectors, from, Ipv4Addr::new(203, 0, 113, 9).into()),
            is_in
        );
    }
    let v6 = |text: &str| -> IpAddr { text.parse().unwrap() };
    assert!(admits(&selectors, v6("fd00::1234"), v6("fd01::1")));
    assert!(!admits(&selectors, v6("fd00::1:0"), v6("fd01::1")));
    assert!(!admits(&selectors, v6("fd00::1234"), v6("fd01::2")));
}

#[test]
fn what_the_data_path_cannot_tell_apart_is_refused() {
    let host = range("192.0.2.1", "192.0.2.1");
    let gre = of(GRE, (0, 65535), host);
    let port = of(TCP, (443, 443), host);
    assert!(for_esp(&[gre], &[gre], GRE).is_ok());
    assert!(for_esp(&[host], &[gre], GRE).is_ok());
    assert_eq!(for_esp(&[gre], &[host], 0), Err(NotCarried::Narrow(gre)));
    assert_eq!(
        for_esp(&[host], &[port], TCP),
        Err(NotCarried::Narrow(port))
    );
    let odd: Vec<_> = (0..5)
        .map(|n| range(&format!("10.{n}.0.1"), &format!("10.{n}.255.254")))
        .chain([range("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")])
        .collect();
    assert_eq!(for_esp(&[host], &odd, 0), Err(NotCarried::Networks));
}

#[test]
fn the_widest_ranges_are_one_network_and_the_most_ragged_ones_the_stated_number() {
    let count =
        |start: &str, end: &str| prefixes(start.parse().unwrap(), end.parse().unwrap()).len();
    let top = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(count("0.0.0.0", "255.255.255.255"), 1);
    assert_eq!(count("::", top), 1);
    assert_eq!(count("0.0.0.1", "255.255.255.254"), 62);
    assert_eq!(count("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), 254);
    assert_eq!(count(top, top), 1);
    assert_eq!(count("10.0.0.2", "10.0.0.1"), 0);
    assert_eq!(count("10.0.0.2", "::1"), 0);
}

/// A packet as selectors see it; its port is none when that is not seen.
#[derive(Clone, Copy, Debug)]
struct Packet {
    protocol: u8,
    port: Option<u16>,
    address: IpAddr,
}

fn takes(selectors: &[TrafficSelector], packet: Packet) -> bool {
    selectors.iter().any(|selector| {
        let is_every = (selector.start_port, selector.end_port) == (0, u16::MAX);
        let port = packet
            .port
            .map_or(is_every || selector.is_opaque(), |port| {
                (selector.start_port..=selector.end_port).contains(&port)
            });
        let is_one_family = packet.address.is_ipv4() == selector.start.is_ipv4();
        let address = (selector.start..=selector.end).contains(&packet.address) && is_one_family;
        [0, packet.protocol].contains(&selector.protocol) && port && address
    })
}

fn any_address(is_ipv6: bool, low: u8) -> IpAddr {
    match is_ipv6 {
        true => Ipv6Addr::from_bits(0xfd << 120 | u128::from(low)).into(),
        false => Ipv4Addr::new(10, 0, 0, low).into(),
    }
}

fn any_port() -> impl Strategy<Value = u16> {
    prop_oneof![0..6_u16, Just(u16::MAX)]
}

fn any_protocol() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0), Just(TCP), Just(GRE)]
}

prop_compose! {
    fn any_selector()(
        protocol in any_protocol(),
        ports in prop_oneof![Just((0, u16::MAX)), Just((u16::MAX, 0)), (any_port(), any_port()).prop_map(|(a, b)| (a.min(b), a.max(b)))],
        is_ipv6 in any::<bool>(),
        (a, b) in (0..12_u8, 0..12_u8),
    ) -> TrafficSelector {
        let (start, end) = (any_address(is_ipv6, a.min(b)), any_address(is_ipv6, a.max(b)));
        of(protocol, ports, TrafficSelector::new(0, start, end))
    }
}

fn any_selectors() -> impl Strategy<Value = Vec<TrafficSelector>> {
    prop::collection::vec(any_selector(), 0..6)
}

prop_compose! {
    fn any_packet()(
        protocol in prop_oneof![Just(TCP), Just(GRE), Just(17)],
        port in prop::option::of(any_port()),
        is_ipv6 in any::<bool>(),
        low in 0..12_u8,
    ) -> Packet {
        Packet { protocol, port, address: any_address(is_ipv6, low) }
    }
}

proptest! {
    #[test]
    fn what_is_narrowed_takes_the_packets_that_both_sides_take_and_no_others(
        ours in any_selectors(),
        theirs in any_selectors(),
        packets in prop::collection::vec(any_packet(), 64),
    ) {
        let narrowed = narrow(&ours, &theirs);
        for packet in packets {
            let both = takes(&ours, packet) && takes(&theirs, packet);
            prop_assert_eq!(takes(&narrowed, packet), both, "{:?}", packet);
        }
    }

    #[test]
    fn what_is_narrowed_is_within_both_sides_and_narrows_no_further(
        ours in any_selectors(),
        theirs in any_selectors(),
    ) {
        let narrowed = narrow(&ours, &theirs);
        prop_assert!(is_within(&narrowed, &ours) && is_within(&narrowed, &theirs));
        prop_assert_eq!(&narrow(&ours, &narrowed), &narrowed);
        prop_assert_eq!(&narrow(&narrowed, &theirs), &narrowed);
    }

    #[test]
    fn no_narrowed_selector_is_part_of_another_one(ours in any_selectors(), theirs in any_selectors()) {
        let narrowed = narrow(&ours, &theirs);
        for (place, selector) in narrowed.iter().enumerate() {
            let mut others = narrowed.clone();
            others.remove(place);
            prop_assert!(!is_within(&[*selector], &others));
        }
    }

    #[test]
    fn the_networks_of_a_range_hold_its_addresses_and_no_others(a: u8, b: u8, is_ipv6: bool) {
        let (start, end) = (any_address(is_ipv6, a.min(b)), any_address(is_ipv6, a.max(b)));
        let selectors = Selectors::new(prefixes(start, end), prefixes(start, start));
        for low in 0..=u8::MAX {
            let address = any_address(is_ipv6, low);
            let is_in = (start..=end).contains(&address);
            prop_assert_eq!(admits(&selectors, address, start), is_in);
        }
    }
}
