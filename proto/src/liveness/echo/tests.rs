use super::*;
use crate::liveness::testing::address;
use crate::wire::ip::Ip;
use adit_crypto::Secret;
use proptest::prelude::*;

const ENDS: [[&str; 2]; 2] = [["10.9.1.1", "10.9.1.2"], ["fd00:9::1", "fd00:9::2"]];

fn codec(family: usize) -> EchoCodec {
    let mut key = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let [source, target] = ENDS[family].map(address);
    EchoCodec::new(source, target, 3, SipHash24::new(&Secret::new(&mut key)))
}

fn probe(codec: &EchoCodec) -> Vec<u8> {
    let mut out = [0; PROBE_OCTETS_MAX];
    let octets = codec.request(7, 0x1234_5678, &mut out);
    out[..octets].to_vec()
}

fn target(family: usize) -> IpAddr {
    address(ENDS[family][1])
}

fn replied(family: usize) -> Vec<u8> {
    let mut inner = probe(&codec(family));
    assert!(answer(&mut inner, &[target(family)]));
    inner
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

const DATA: &str = "61646974 00000007 12345678 4e11652bc259c227";

#[test]
fn octets_of_a_probe() {
    let header = "45c0 0030 0000 0000 40 01 63f9 0a090101 0a090102";
    let message = "0800 8cab 0003 0007";
    let octets = hex(&format!("{header} {message} {DATA}"));
    assert_eq!(probe(&codec(0)), octets);
    assert_eq!(octets.len(), 48);
    let source = "fd000009 00000000 00000000 00000001";
    let target = "fd000009 00000000 00000000 00000002";
    let message = "8000 1a3e 0003 0007";
    let octets = hex(&format!(
        "6c000000 001c 3a 40 {source} {target} {message} {DATA}"
    ));
    assert_eq!(probe(&codec(1)), octets);
    assert_eq!(octets.len(), 68);
}

#[test]
fn the_answer_is_a_reply_that_the_asker_believes() {
    for (family, [source, _]) in ENDS.into_iter().enumerate() {
        let codec = codec(family);
        let reply = replied(family);
        let ip = Ip::parse(&reply).unwrap();
        assert_eq!(ip.source(), target(family));
        assert_eq!(ip.destination(), address(source));
        assert_eq!((ip.ttl(), ip.tos()), (64, 0xc0));
        assert!(etherparse::SlicedPacket::from_ip(&reply).is_ok());
        assert_eq!(codec.answer(&reply), Ok(Some(Answer::Sequence(7))));
    }
}

#[test]
fn the_reply_of_a_kernel_counts_whatever_its_ttl_and_tos() {
    for (family, header) in [(0, 20), (1, 40)] {
        let codec = codec(family);
        let probe = probe(&codec);
        let echo = Echo::parse(&probe, DATA_OCTETS).unwrap();
        let mut out = [0; PROBE_OCTETS_MAX];
        let octets = Echo {
            is_request: false,
            source: echo.destination,
            destination: echo.source,
            tos: 0,
            ..echo
        }
        .write(&mut out);
        let reply = &mut out[..octets];
        if header == 40 {
            reply[7] = 17;
        }
        assert!(codec.answer(reply).unwrap().is_some());
    }
}

#[test]
fn a_probe_and_a_user_s_packet_are_no_reply() {
    for (family, header) in [(0, 20), (1, 40)] {
        let codec = codec(family);
        assert_eq!(codec.answer(&probe(&codec)), Ok(None));
        let mut ping = replied(family);
        ping[header + 8] ^= 1;
        assert_eq!(codec.answer(&ping), Ok(None), "another marker");
        let mut longer = replied(family);
        longer.push(0);
        assert_eq!(codec.answer(&longer), Ok(None));
        assert_eq!(codec.answer(&[]), Ok(None));
        assert_eq!(codec.answer(&replied(1 - family)), Ok(None));
    }
}

#[test]
fn a_reply_to_another_run_or_another_tunnel_is_stale_and_a_broken_one_malformed() {
    let reply = replied(0);
    let mut other = codec(0);
    other.tunnel_id = 4;
    let stale = Err(DropReason::KeepaliveStale);
    assert_eq!(other.answer(&reply), stale);
    let mut restarted = codec(0);
    restarted.mac = SipHash24::new(&Secret::new(&mut [9; 16]));
    assert_eq!(restarted.answer(&reply), stale);
    let mut broken = reply;
    broken[47] ^= 1;
    let malformed = Err(DropReason::KeepaliveMalformed);
    assert_eq!(codec(0).answer(&broken), malformed);
}

#[test]
fn only_an_intact_probe_to_one_of_our_addresses_is_answered() {
    for (family, header) in [(0, 20), (1, 40)] {
        let probe = probe(&codec(family));
        let ours = [target(family)];
        let untouched = |mut inner: Vec<u8>, addresses: &[IpAddr]| {
            let before = inner.clone();
            !answer(&mut inner, addresses) && inner == before
        };
        assert!(untouched(probe.clone(), &[]), "not ours");
        assert!(untouched(probe.clone(), &[target(1 - family)]), "not ours");
        assert!(
            untouched(replied(family), &[address(ENDS[family][0])]),
            "a reply"
        );
        let mut broken = probe.clone();
        broken[header + 27] ^= 1;
        assert!(untouched(broken, &ours), "a wrong checksum");
        let mut longer = probe.clone();
        longer.push(0);
        assert!(untouched(longer, &ours), "octets behind it");
        assert!(
            untouched(probe[..probe.len() - 1].to_vec(), &ours),
            "cut short"
        );
    }
}

#[test]
fn a_user_s_echo_request_is_left_to_the_kernel() {
    let mut inner = [0; PROBE_OCTETS_MAX];
    let data = [0x10; DATA_OCTETS];
    let octets = Echo {
        is_request: true,
        source: address("10.9.1.1"),
        destination: target(0),
        tos: 0,
        identifier: 1,
        sequence: 1,
        data: &data,
    }
    .write(&mut inner);
    assert!(!answer(&mut inner[..octets], &[target(0)]));
}

#[test]
fn nobody_is_answered_who_cannot_be_one_sender() {
    for (source, destination) in [
        ("0.0.0.0", "10.9.1.2"),
        ("224.0.0.1", "10.9.1.2"),
        ("::", "fd00:9::2"),
        ("ff02::1", "fd00:9::2"),
    ] {
        let mac = SipHash24::new(&Secret::new(&mut [0; 16]));
        let [source, ours] = [source, destination].map(address);
        let mut inner = probe(&EchoCodec::new(source, ours, 3, mac));
        assert!(!answer(&mut inner, &[ours]), "{source}");
    }
}

proptest! {
    #[test]
    fn what_was_asked_is_recognised_and_a_flipped_bit_never_counts(
        seq: u32, time_us: u32, family in 0..2_usize, bit: prop::sample::Index,
    ) {
        let codec = codec(family);
        let mut out = [0; PROBE_OCTETS_MAX];
        let octets = codec.request(seq, time_us, &mut out);
        let inner = &mut out[..octets];
        prop_assert!(answer(inner, &[target(family)]));
        prop_assert_eq!(codec.answer(inner), Ok(Some(Answer::Sequence(seq))));
        // IPv6 protects neither traffic class, flow label nor hop limit.
        let first = if family == 0 { 0 } else { 8 };
        let bit = first * 8 + bit.index((octets - first) * 8);
        inner[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!matches!(codec.answer(inner), Ok(Some(_))));
    }

    #[test]
    fn octets_of_any_kind_are_taken_without_a_panic(
        octets in prop::collection::vec(any::<u8>(), 0..80), family in 0..2_usize,
    ) {
        let mut inner = octets.clone();
        prop_assert_eq!(codec(family).answer(&inner), Ok(None));
        prop_assert!(!answer(&mut inner, &[target(family)]));
        prop_assert_eq!(inner, octets);
    }
}
