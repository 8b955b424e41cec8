//! The trailer of an authentic packet is read as RFC 4303 section 2.4 says or refused, and what is then inside is a consistent packet
//! within it or refused.
//!
//! Input: suite 1 | outer TOS 1 | plaintext: payload, padding, pad length, next header.

use adit_crypto::{Aead, Associated, Suite};
use adit_proto::counters::{Counters, DropReason};
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, prefix_octets};
use adit_proto::liveness::{answer_echo, is_warm};
use adit_proto::wire::esp::{HEADER_OCTETS, Spi};
use adit_proto::wire::ip::Ip;

use super::clock::epoch;
use super::decap;

const SPI: u32 = 256;
const SEQ: u32 = 7;

/// The packet of that plaintext, sealed by somebody who need not align or pad it as they ought to.
fn seal(aead: &Aead, plaintext: &[u8]) -> Vec<u8> {
    let suite = aead.suite();
    let mut packet = [SPI.to_be_bytes(), SEQ.to_be_bytes()].concat();
    packet.resize(prefix_octets(suite), 0);
    packet.extend(plaintext);
    packet.resize(packet.len() + suite.icv_octets(), 0);
    let associated = Associated {
        spi: SPI,
        seq: SEQ.into(),
        esn: true,
    };
    aead.seal(&associated, &mut packet[HEADER_OCTETS..])
        .unwrap();
    packet
}

/// The payload and the next header, from the last octet on.
fn model(plaintext: &[u8]) -> Option<(&[u8], u8)> {
    let mut rest = plaintext.to_vec();
    let next_header = rest.pop()?;
    let pad = rest.pop()?;
    for expected in (1..=pad).rev() {
        if rest.pop()? != expected {
            return None;
        }
    }
    Some((&plaintext[..rest.len()], next_header))
}

/// Replays one input.
pub fn run(input: &[u8]) {
    let [suite, outer_tos, plaintext @ ..] = input else {
        return;
    };
    let suite = Suite::ALL[usize::from(*suite) % Suite::ALL.len()];
    // A cipher of blocks has no other plaintexts.
    let unit = suite.iana_integ().map_or(1, |_| suite.align_octets());
    let plaintext = &plaintext[..plaintext.len() - plaintext.len() % unit];
    let keymat: Vec<u8> = (1..).take(suite.keymat_octets()).collect();
    let aead = Aead::new(suite, &keymat).unwrap();
    let mut packet = seal(&aead, plaintext);
    let lifetime = Lifetime::new(Limits::default(), Limits::default(), epoch());
    let window = Window::new(64, 0);
    let mut receiver = InboundSa::new(Spi::new(SPI).unwrap(), aead, true, window, lifetime);
    let opened = match receiver.open(&mut packet) {
        Ok(opened) => opened,
        Err(reason) if plaintext.len() < 2 => {
            assert_eq!(reason, DropReason::EspShort);
            return assert_eq!(receiver.edge(), 0);
        }
        Err(reason) => {
            assert_eq!(reason, DropReason::EspTrailer);
            assert_eq!(model(plaintext), None);
            // It was authentic, so its number is taken.
            return assert_eq!(receiver.edge(), u64::from(SEQ));
        }
    };
    let found = (&packet[opened.payload.clone()], opened.next_header);
    assert_eq!(Some(found), model(plaintext));

    let payload = &mut packet[opened.payload];
    let version = if opened.next_header == 4 { 4 } else { 6 };
    let mut decap = decap::tunnel();
    let Ok(octets) = decap.inner(payload, version, *outer_tos, &Counters::default()) else {
        return;
    };
    let inner = &mut payload[..octets];
    let ip = Ip::parse(inner).unwrap();
    assert_eq!((ip.total_octets(), ip.version()), (inner.len(), version));
    let (source, destination) = (ip.source(), ip.destination());
    let was_warm = is_warm(inner);
    if answer_echo(inner, &[destination]) {
        let answer = Ip::parse(inner).unwrap();
        assert_eq!(
            (answer.source(), answer.destination()),
            (destination, source)
        );
        assert!(!answer_echo(inner, &[source]), "an answer was answered");
        assert!(!was_warm, "warm traffic was answered");
    }
}
