use proptest::prelude::*;

use super::*;
use crate::liveness::testing::{address, epoch, path};
use crate::liveness::{Codec, REQUEST_OCTETS_MAX};
use crate::wire::gre::GreKey;

const LOCAL: &str = "198.51.100.2";
const REMOTE: &str = "192.0.2.1";

/// The path as the answering side has it.
fn here() -> Path {
    path(LOCAL, REMOTE)
}

fn header(protocol: u16) -> gre::Header {
    gre::Header::new(protocol, false, None, None)
}

/// The inner packet of a peer's request: from `source` to `destination`, without key and payload.
fn request(source: &str, destination: &str) -> Vec<u8> {
    let asker = path(destination, source);
    let mut out = [0; REQUEST_OCTETS_MAX];
    let octets = Codec::new(None, 0, None).request(asker, 0, 0, &mut out);
    out[..octets].to_vec()
}

/// An IPv4 packet of protocol 47 with `gre` behind its header and a valid checksum.
fn packet(source: &str, destination: &str, gre: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; 20];
    ip::write_header(
        &mut octets,
        &ip::OuterHeader {
            source: address(source),
            destination: address(destination),
            protocol: gre::IP_PROTOCOL,
            tos: 0,
            ttl: 255,
            df: false,
            payload_octets: u16::try_from(gre.len()).unwrap(),
            id: 0,
        },
    );
    octets.extend_from_slice(gre);
    octets
}

/// Sets octet `index` of an IPv4 header and makes its checksum valid again.
fn with_octet(mut packet: Vec<u8>, index: usize, value: u8) -> Vec<u8> {
    packet[index] = value;
    packet[10..12].fill(0);
    let header_octets = usize::from(packet[0] & 15) * 4;
    let words = packet[..header_octets].chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn classify(body: &[u8]) -> Request {
    classify_request(here(), &header(gre::PROTOCOL_IPV4), body, &[])
}

fn as_it_is(octets: usize, dialect: Option<Dialect>) -> Request {
    let way = Way::AsItIs;
    let reply = Reply { octets, way };
    Request::Yes { reply, dialect }
}

fn answer(request: Request, body: &[u8]) -> Vec<u8> {
    let Request::Yes { reply, .. } = request else {
        panic!("not answered: {request:?}");
    };
    let mut out = vec![0; reply.octets()];
    assert_eq!(reply.write(here(), body, &mut out), out.len());
    out
}

#[test]
fn the_answer_is_the_inner_packet_as_it_came() {
    let body = request(LOCAL, REMOTE);
    assert_eq!(classify(&body), as_it_is(24, None));
    assert_eq!(answer(classify(&body), &body), body);
}

#[test]
fn keys_and_payloads_and_ipv6_are_answered() {
    let mac = adit_crypto::SipHash24::new(&adit_crypto::Secret::new(&mut [1; 16]));
    let codec = Codec::new(Some(GreKey(42)), 0, Some(mac));
    let mut out = [0; REQUEST_OCTETS_MAX];
    let octets = codec.request(path(REMOTE, LOCAL), 1, 2, &mut out);
    assert_eq!(classify(&out[..octets]), as_it_is(44, None));
    let asker = path("2001:db8::1", "2001:db8:1::2");
    let octets = codec.request(asker, 1, 2, &mut out);
    let here = path("2001:db8:1::2", "2001:db8::1");
    let header = header(gre::PROTOCOL_IPV6);
    let classified = classify_request(here, &header, &out[..octets], &[]);
    assert_eq!(classified, as_it_is(64, None));
}

#[test]
fn octets_after_the_inner_packet_are_cut_off() {
    let body = [request(LOCAL, REMOTE), vec![0xaa; 100]].concat();
    assert_eq!(classify(&body), as_it_is(24, None));
    assert_eq!(answer(classify(&body), &body), body[..24]);
}

#[test]
fn dialects_with_the_outer_addresses_are_answered_and_named() {
    let body = request(LOCAL, REMOTE);
    let huawei = classify_request(here(), &header(0x0004), &body, &[]);
    assert_eq!(huawei, as_it_is(24, Some(Dialect::OuterProtocolFour)));
    let body = packet(LOCAL, REMOTE, &[0, 0, 0x86, 0xdd]);
    let routeros = as_it_is(24, Some(Dialect::InnerProtocolIpv6));
    assert_eq!(classify(&body), routeros);
}

#[test]
fn a_wrong_inner_header_back_to_the_sender_is_malformed() {
    let good = request(LOCAL, REMOTE);
    let longer = with_octet(good.clone(), 3, 25);
    let shorter = with_octet(good.clone(), 3, 19);
    let version = with_octet(good.clone(), 0, 0x65);
    let short_ihl = with_octet(good.clone(), 0, 0x44);
    let fragment = with_octet(good.clone(), 6, 0x20);
    let offset = with_octet(good.clone(), 7, 1);
    let mut checksum = good.clone();
    checksum[10] ^= 1;
    let cut = good[..23].to_vec();
    let cases = [
        longer, shorter, version, short_ihl, fragment, offset, checksum, cut,
    ];
    for (index, case) in cases.iter().enumerate() {
        assert_eq!(classify(case), Request::Malformed, "case {index}");
    }
}

#[test]
fn an_inner_packet_with_options_is_malformed() {
    for options in [4, 20] {
        let mut body = request(LOCAL, REMOTE);
        body.splice(20..20, vec![1; options]);
        body = with_octet(body, 3, 24 + u8::try_from(options).unwrap());
        body = with_octet(body, 0, 0x45 + u8::try_from(options / 4).unwrap());
        assert_eq!(classify(&body), Request::Malformed);
    }
}

#[test]
fn a_packet_of_the_other_version_than_the_protocol_type_says_is_malformed() {
    let third = path("2001:db8:bad::1", "2001:db8:bad::2");
    let mut out = [0; REQUEST_OCTETS_MAX];
    let octets = Codec::new(None, 0, None).request(third, 0, 0, &mut out);
    out[9] = gre::IP_PROTOCOL;
    out[12..16].copy_from_slice(&[198, 51, 100, 2]);
    out[16..20].copy_from_slice(&[192, 0, 2, 1]);
    assert_eq!(classify(&out[..octets]), Request::Malformed);
}

#[test]
fn a_packet_inside_the_inner_packet_is_refused() {
    let user = packet(LOCAL, "203.0.113.9", &[0; 30]);
    let nested = request(LOCAL, REMOTE);
    for inside in [user, nested] {
        for protocol in [0x0800_u16, 0x86dd, 0, 0x6558] {
            let gre = [vec![0, 0], protocol.to_be_bytes().to_vec(), inside.clone()].concat();
            let body = packet(LOCAL, REMOTE, &gre);
            assert_eq!(classify(&body), Request::Malformed, "{protocol:#06x}");
        }
    }
}

#[test]
fn a_long_payload_or_another_gre_version_is_refused() {
    let body = |gre: &[u8]| packet(LOCAL, REMOTE, gre);
    assert_eq!(classify(&body(&[0; 4 + 64])), as_it_is(88, None));
    assert_eq!(classify(&body(&[0; 4 + 65])), Request::Malformed);
    assert_eq!(classify(&body(&[0, 1, 0, 0])), Request::Malformed);
    assert_eq!(classify(&body(&[0x40, 0, 0, 0])), Request::Malformed);
    assert_eq!(classify(&body(&[0, 0, 0])), Request::Malformed);
}

#[test]
fn third_party_inner_addresses_are_never_answered() {
    let third = "203.0.113.9";
    let cases = [
        (LOCAL, third, Dialect::PeerAddress),
        (third, REMOTE, Dialect::LocalAddress),
        (third, "203.0.113.10", Dialect::TunnelAddresses),
        (REMOTE, LOCAL, Dialect::TunnelAddresses),
    ];
    for (source, destination, dialect) in cases {
        let body = request(source, destination);
        assert_eq!(classify(&body), Request::Foreign(dialect));
    }
}

#[test]
fn accepted_inner_addresses_are_answered_to_the_peer_itself() {
    let private = [address("10.0.0.7")];
    let header = header(gre::PROTOCOL_IPV4);
    for (source, destination) in [(LOCAL, "10.0.0.7"), ("10.0.0.7", REMOTE)] {
        let body = request(source, destination);
        let classified = classify_request(here(), &header, &body, &private);
        assert_eq!(answer(classified, &body), request(LOCAL, REMOTE));
    }
    let body = request(LOCAL, "10.0.0.8");
    let classified = classify_request(here(), &header, &body, &private);
    assert_eq!(classified, Request::Foreign(Dialect::PeerAddress));
}

#[test]
fn accepted_addresses_of_the_tunnel_are_answered_through_the_tunnel() {
    let accepted = [address("10.9.0.1"), address("10.9.0.2")];
    let header = header(gre::PROTOCOL_IPV4);
    let body = request("10.9.0.2", "10.9.0.1");
    let classified = classify_request(here(), &header, &body, &accepted);
    let Request::Yes { reply, dialect } = classified else {
        panic!("{classified:?}");
    };
    assert!(reply.is_tunnelled());
    assert_eq!(dialect, Some(Dialect::TunnelAddresses));
    assert_eq!(answer(classified, &body), body);
    let classified = classify_request(here(), &header, &body, &accepted[..1]);
    assert_eq!(classified, Request::Foreign(Dialect::TunnelAddresses));
}

#[test]
fn users_packets_are_left_alone() {
    let udp = with_octet(request(LOCAL, REMOTE), 9, 17);
    assert_eq!(classify(&udp), Request::No);
    let user = packet("10.0.0.1", "10.0.0.2", &[0, 0, 8, 0, 0x45, 0]);
    assert_eq!(classify(&user), Request::No);
    assert_eq!(classify(&[]), Request::No);
    let ethernet = classify_request(here(), &header(0x6558), &request(LOCAL, REMOTE), &[]);
    assert_eq!(ethernet, Request::No);
}

#[test]
fn an_answer_is_no_request() {
    let mut body = request(LOCAL, REMOTE);
    body.drain(..24);
    let protocol = header(gre::PROTOCOL_KEEPALIVE);
    assert_eq!(classify_request(here(), &protocol, &body, &[]), Request::No);
}

#[test]
fn the_rate_allows_a_burst_and_then_the_interval() {
    let start = epoch();
    let mut rate = RateLimit::default();
    let burst = (0..100).filter(|_| rate.is_within(start)).count();
    assert_eq!(burst, 20);
    let later = start + Duration::from_millis(99);
    assert!(!rate.is_within(later));
    assert!(rate.is_within(start + Duration::from_millis(100)));
    let rested = start + Duration::from_secs(60);
    assert_eq!((0..100).filter(|_| rate.is_within(rested)).count(), 20);
}

#[test]
fn the_shortest_period_is_always_answered_in_full() {
    let start = epoch();
    let mut rate = RateLimit::default();
    assert!((0..1000).all(|n| rate.is_within(start + Duration::from_millis(100) * n)));
}

#[test]
fn an_answerer_counts_dialects_and_gives_each_refusal_its_reason() {
    let now = epoch();
    let header = header(gre::PROTOCOL_IPV4);
    let mut answerer = Answerer::new(true, Vec::new());
    let mut handle = |body: &[u8]| answerer.handle_request(now, here(), &header, body);
    assert!(handle(&request(LOCAL, REMOTE)).unwrap().is_some());
    let private = request(LOCAL, "10.0.0.7");
    assert_eq!(handle(&private), Err(DropReason::KeepaliveForeign));
    let inside = request("10.9.0.1", "10.9.0.2");
    assert_eq!(handle(&inside), Ok(None));
    let malformed = packet(LOCAL, REMOTE, &[0, 0, 8, 0]);
    assert_eq!(handle(&malformed), Err(DropReason::KeepaliveMalformed));
    for _ in 1..20 {
        assert!(handle(&request(LOCAL, REMOTE)).is_ok());
    }
    let excess = handle(&request(LOCAL, REMOTE));
    assert_eq!(excess, Err(DropReason::KeepaliveRate));
    let counted: Vec<_> = answerer.dialects().collect();
    assert_eq!(counted, [("peer_address", 1), ("tunnel_addresses", 1)]);
}

#[test]
fn switched_off_nothing_is_answered_and_users_packets_pass() {
    let now = epoch();
    let header = header(gre::PROTOCOL_IPV4);
    let mut answerer = Answerer::new(false, Vec::new());
    let refused = answerer.handle_request(now, here(), &header, &request(LOCAL, REMOTE));
    assert_eq!(refused, Err(DropReason::KeepaliveUnanswered));
    let user = answerer.handle_request(now, here(), &header, &[0x45; 20]);
    assert_eq!(user, Ok(None));
}

#[test]
fn every_dialect_stands_at_its_own_index() {
    for (index, dialect) in Dialect::ALL.iter().enumerate() {
        assert_eq!(*dialect as usize, index);
    }
}

proptest! {
    #[test]
    fn no_answer_is_longer_than_its_request_or_goes_elsewhere(
        at in 0_usize..64, values in prop::collection::vec(any::<u8>(), 0..8), octets in 0_usize..100,
        exact: bool, protocol in prop::sample::select(vec![0x0800_u16, 0x86dd, 4, 0]), accept: bool,
    ) {
        let payload = vec![0; 100];
        let mut body = [packet(LOCAL, REMOTE, &[0; 24]), payload].concat();
        for (place, value) in body.iter_mut().skip(at).zip(values) {
            *place = value;
        }
        body.truncate(octets);
        if exact && body.len() >= 20 && body[0] & 15 == 5 {
            let same = body[8];
            body = with_octet(body, 8, same);
        }
        let accepted = if accept { vec![address("10.0.0.7")] } else { Vec::new() };
        let classified = classify_request(here(), &header(protocol), &body, &accepted);
        if let Request::Yes { reply, .. } = classified {
            let answer = answer(classified, &body);
            prop_assert!(answer.len() <= body.len());
            prop_assert!(!reply.is_tunnelled());
            prop_assert_eq!(IpAddr::from(<[u8; 4]>::try_from(&answer[12..16]).unwrap()), here().local);
            prop_assert_eq!(IpAddr::from(<[u8; 4]>::try_from(&answer[16..20]).unwrap()), here().remote);
            let sliced = etherparse::Ipv4Slice::from_slice(&answer).unwrap();
            let ip = sliced.header().to_header();
            prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        }
    }

    #[test]
    fn a_rate_never_exceeds_its_bucket(gaps in prop::collection::vec(0_u64..200, 1..200)) {
        let start = epoch();
        let mut rate = RateLimit::new(20, 10);
        let mut at = 0;
        let mut taken = 0_u64;
        for gap in gaps {
            at += gap;
            taken += u64::from(rate.is_within(start + Duration::from_millis(at)));
            prop_assert!(taken <= 20 + at / 100);
        }
    }
}
