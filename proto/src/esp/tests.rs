//! Sealing and opening against each other: what is accepted, once, and what changes nothing.

use crate::liveness::testing::epoch;
use std::collections::BTreeSet;

use adit_crypto::{Aead, Suite};
use proptest::prelude::*;

use super::replay::Window;
use super::*;
use crate::counters::DropReason;
use crate::wire::esp::{NEXT_DUMMY, NEXT_IPV4, Spi};

const SPI: u32 = 0x1234_5678;

fn aead(suite: Suite) -> Aead {
    let keymat: Vec<u8> = (1..).take(suite.keymat_octets()).collect();
    Aead::new(suite, &keymat).unwrap()
}

fn lifetime() -> Lifetime {
    Lifetime::new(Limits::default(), Limits::default(), epoch())
}

fn outbound(suite: Suite, esn: bool, first: u64) -> OutboundSa {
    let spi = Spi::new(SPI).unwrap();
    OutboundSa::new(spi, aead(suite), esn, first..=u64::MAX, lifetime())
}

fn inbound(suite: Suite, esn: bool, size: u32, edge: u64) -> InboundSa {
    let spi = Spi::new(SPI).unwrap();
    InboundSa::new(spi, aead(suite), esn, Window::new(size, edge), lifetime())
}

fn seal(sa: &mut OutboundSa, payload: &[u8], next_header: u8) -> Result<Vec<u8>, DropReason> {
    let mut packet = vec![0xee; packet_octets(sa.suite(), payload.len())];
    let start = prefix_octets(sa.suite());
    packet[start..start + payload.len()].copy_from_slice(payload);
    sa.seal(&mut packet, payload.len(), next_header)?;
    Ok(packet)
}

fn suites() -> impl Strategy<Value = Suite> {
    prop::sample::select([Suite::ALL, Suite::INSECURE].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_to_the_same_octets(suite in suites(), esn: bool, payload in prop::collection::vec(any::<u8>(), 0..1500), first in 1..u64::from(u32::MAX)) {
        let mut sender = outbound(suite, esn, first);
        let mut receiver = inbound(suite, esn, 64, first - 1);
        let mut packet = seal(&mut sender, &payload, NEXT_IPV4).unwrap();
        let sealed = packet.len() - prefix_octets(suite) - suite.icv_octets();
        prop_assert_eq!(sealed % suite.align_octets(), 0);
        let opened = receiver.open(&mut packet).unwrap();
        prop_assert_eq!(&packet[opened.payload], &payload[..]);
        prop_assert_eq!((opened.next_header, opened.is_newest), (NEXT_IPV4, true));
        prop_assert_eq!(receiver.edge(), first);
    }

    #[test]
    fn any_flipped_bit_is_refused_and_changes_nothing(suite in suites(), esn: bool, octets in 0..200_usize, bit: prop::sample::Index) {
        let mut sender = outbound(suite, esn, 1000);
        let mut receiver = inbound(suite, esn, 64, 999);
        let whole = seal(&mut sender, &vec![7; octets], NEXT_IPV4).unwrap();
        let bit = bit.index(whole.len() * 8);
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let reason = receiver.open(&mut flipped).unwrap_err();
        // A smaller number is one that has come, or is left of the window, unless an extended one makes it a number of the next 2³².
        let seq_lo = u32::from_be_bytes([flipped[4], flipped[5], flipped[6], flipped[7]]);
        let expected = if bit < 32 {
            DropReason::UnknownSpi
        } else if (936..1000).contains(&seq_lo) || seq_lo < 936 && !esn {
            DropReason::Replayed
        } else {
            DropReason::BadIcv
        };
        prop_assert_eq!(reason, expected, "bit {}", bit);
        prop_assert_eq!(receiver.edge(), 999);
        prop_assert_eq!(receiver.lifetime().used(), (0, 0));
        prop_assert!(receiver.open(&mut whole.clone()).is_ok());
    }

    #[test]
    fn each_number_is_accepted_exactly_once_under_loss_duplication_and_reordering(
        suite in suites(), size in prop::sample::select(vec![64_u32, 128, 4096]), start in prop_oneof![Just(1_u64), Just((1 << 32) - 150)],
        fates in prop::collection::vec((0..4_usize, 0..60_u64), 300),
    ) {
        let mut sender = outbound(suite, true, start);
        let mut receiver = inbound(suite, true, size, start - 1);
        let mut arrivals = Vec::new();
        for (seq, &(copies, delay)) in (start..).zip(&fates) {
            let packet = seal(&mut sender, &seq.to_be_bytes(), NEXT_IPV4).unwrap();
            for copy in 0..copies {
                arrivals.push((seq - start + delay * (copy as u64 + 1) % 60, seq, packet.clone()));
            }
        }
        arrivals.sort_by_key(|&(time, seq, _)| (time, seq));
        let mut accepted = BTreeSet::new();
        for (_, seq, mut packet) in arrivals {
            match receiver.open(&mut packet) {
                Ok(opened) => {
                    prop_assert_eq!(&packet[opened.payload], &seq.to_be_bytes());
                    prop_assert!(accepted.insert(seq), "{} twice", seq);
                }
                Err(reason) => {
                    prop_assert_eq!(reason, DropReason::Replayed);
                    prop_assert!(accepted.contains(&seq), "{} refused though it never came", seq);
                }
            }
        }
        let sent: BTreeSet<u64> = (start..).zip(&fates).filter(|(_, (copies, _))| *copies > 0).map(|(seq, _)| seq).collect();
        prop_assert_eq!(accepted, sent);
    }

    #[test]
    fn octets_of_any_kind_never_panic(mut octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut receiver = inbound(Suite::Aes128Gcm16, true, 64, 0);
        prop_assert!(receiver.open(&mut octets).is_err());
        prop_assert_eq!(receiver.edge(), 0);
    }
}

#[test]
fn sequence_numbers_never_repeat_and_end_at_the_limit() {
    for (esn, last, expected) in [
        (false, u64::MAX, u64::from(u32::MAX)),
        (true, (1 << 32) + 1, (1 << 32) + 1),
    ] {
        let first = expected - 1;
        let spi = Spi::new(SPI).unwrap();
        let key = aead(Suite::Aes128Gcm16);
        let mut sender = OutboundSa::new(spi, key, esn, first..=last, lifetime());
        assert_eq!(sender.numbers_left(), (2, first));
        let (a, b) = (
            seal(&mut sender, &[], 4).unwrap(),
            seal(&mut sender, &[], 4).unwrap(),
        );
        assert_ne!(a[8..16], b[8..16]);
        assert_eq!(
            seal(&mut sender, &[], 4),
            Err(DropReason::SequenceExhausted)
        );
        assert_eq!(sender.numbers_left().0, 0);
    }
}

#[test]
fn a_block_more_lets_an_exhausted_association_go_on() {
    let spi = Spi::new(SPI).unwrap();
    let mut sender = OutboundSa::new(spi, aead(Suite::Aes128Gcm16), true, 5..=5, lifetime());
    seal(&mut sender, &[], 4).unwrap();
    assert_eq!(
        seal(&mut sender, &[], 4),
        Err(DropReason::SequenceExhausted)
    );
    sender.extend(6);
    assert_eq!(
        seal(&mut sender, &[], 4).unwrap()[8..16],
        6_u64.to_be_bytes()
    );
}

#[test]
fn a_block_that_comes_late_takes_no_number_back() {
    let spi = Spi::new(SPI).unwrap();
    let mut sender = OutboundSa::new(spi, aead(Suite::Aes128Gcm16), true, 5..=7, lifetime());
    sender.extend(4);
    assert_eq!(sender.numbers_left(), (3, 5));
}

#[test]
fn a_hard_limit_stops_either_way() {
    let hard = Limits {
        packets: Some(1),
        ..Limits::default()
    };
    let bounded = || Lifetime::new(Limits::default(), hard, epoch());
    let spi = Spi::new(SPI).unwrap();
    let suite = Suite::ChaCha20Poly1305;
    let mut sender = OutboundSa::new(spi, aead(suite), true, 1..=9, bounded());
    seal(&mut sender, b"one", 4).unwrap();
    assert_eq!(seal(&mut sender, b"two", 4), Err(DropReason::SaExpired));
    let mut sender = outbound(suite, true, 1);
    let mut receiver = InboundSa::new(spi, aead(suite), true, Window::new(64, 0), bounded());
    assert!(
        receiver
            .open(&mut seal(&mut sender, b"one", 4).unwrap())
            .is_ok()
    );
    let refused = receiver.open(&mut seal(&mut sender, b"two", 4).unwrap());
    assert_eq!(refused, Err(DropReason::SaExpired));
}

#[test]
fn a_wrong_trailer_of_an_authenticated_packet_is_refused() {
    let suite = Suite::Aes256Gcm16;
    let key = aead(suite);
    // Longer than the packet; not counting up from 1.
    for (seq, plaintext) in [(1, [9, 9, 1, 2, 3, 4, 7, 4]), (2, [9, 9, 9, 9, 2, 1, 2, 4])] {
        let associated = adit_crypto::Associated {
            spi: SPI,
            seq,
            esn: true,
        };
        let mut packet = vec![0; 8 + 8 + 8 + 16];
        packet[..4].copy_from_slice(&SPI.to_be_bytes());
        packet[7] = u8::try_from(seq).unwrap();
        packet[16..24].copy_from_slice(&plaintext);
        key.seal(&associated, &mut packet[8..]).unwrap();
        let mut receiver = inbound(suite, true, 64, 0);
        assert_eq!(receiver.open(&mut packet), Err(DropReason::EspTrailer));
        assert_eq!(receiver.edge(), seq);
    }
}

#[test]
fn a_dummy_is_told_by_its_next_header() {
    let mut sender = outbound(Suite::Aes128Gcm16, true, 1);
    let mut packet = seal(&mut sender, &[0; 40], NEXT_DUMMY).unwrap();
    let mut receiver = inbound(Suite::Aes128Gcm16, true, 64, 0);
    let opened = receiver.open(&mut packet).unwrap();
    assert_eq!(opened.next_header, NEXT_DUMMY);
}

#[test]
fn a_replayed_packet_is_no_news_of_where_the_peer_is() {
    let mut sender = outbound(Suite::Aes128Gcm16, true, 1);
    let mut receiver = inbound(Suite::Aes128Gcm16, true, 64, 0);
    let [first, second] = [0, 1].map(|_| seal(&mut sender, b"x", 4).unwrap());
    assert!(receiver.open(&mut second.clone()).unwrap().is_newest);
    assert!(!receiver.open(&mut first.clone()).unwrap().is_newest);
    assert_eq!(
        receiver.open(&mut second.clone()),
        Err(DropReason::Replayed)
    );
    assert_eq!(receiver.open(&mut first.clone()), Err(DropReason::Replayed));
}

#[test]
fn sizes_are_exact_and_the_largest_payload_fits() {
    for &suite in Suite::ALL.iter().chain(Suite::INSECURE) {
        for octets in packet_octets(suite, 0)..200 {
            let payload = payload_octets_max(suite, octets);
            assert!(packet_octets(suite, payload) <= octets);
            assert!(packet_octets(suite, payload + 1) > octets);
        }
        let largest = if suite.align_octets() == 16 {
            1422
        } else {
            1438
        };
        assert_eq!(payload_octets_max(suite, 1500 - 20 - 8), largest);
        assert_eq!(payload_octets_max(suite, 0), 0);
    }
}
