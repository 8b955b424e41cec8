//! The rule that each known hole of other implementations broke.

use super::*;

/// CVE-2013-4564: a message shorter than its header says was read behind its end.
#[test]
fn a_message_whose_length_is_not_that_of_its_header_is_refused() {
    let (_, message) = messages().swap_remove(0);
    for end in 0..message.len() {
        let refused = Header::parse(&message[..end]).unwrap_err();
        assert_eq!(refused.place, "header", "cut to {end}");
    }
    for length in (0..=u32::from(u16::MAX)).chain([0x7fff_ffff, 0x8000_0000, u32::MAX]) {
        let mut lie = message.clone();
        lie[24..28].copy_from_slice(&length.to_be_bytes());
        let is_true = usize::try_from(length).unwrap() == message.len();
        assert_eq!(Header::parse(&lie).is_ok(), is_true, "length {length}");
    }
    let refused = Header::parse(&message[..HEADER_OCTETS]).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("header at octet 24: length "),
        "{refused}"
    );
}

/// CVE-2015-3204: names of bits that nobody assigned overflowed the buffer of a log line.
#[test]
fn every_value_of_a_field_that_is_told_has_a_bounded_name() {
    for value in 0..=u8::MAX {
        for text in [
            ExchangeType::from(value).to_string(),
            Protocol::from(value).to_string(),
            TransformKind::from(value).to_string(),
        ] {
            assert!((2..32).contains(&text.len()), "{text}");
        }
        let mut message = write_message(&header(false), kind::NONE, &[]);
        // Next payload, version, exchange type and flags.
        message[16..20].fill(value);
        let read = Header::parse(&message).unwrap();
        assert_eq!((read.major, read.minor), (value >> 4, value & 15));
        assert_eq!(read.octets()[..19], message[..19]);
        assert_eq!(read.octets()[19], value & 0x38);
    }
    for notify in 0..=u16::MAX {
        let (first, octets) = Writer::new()
            .notify(0xff, &[0xff; 255], notify, &[0xff; 512])
            .auth(u8::MAX, &[0xff; 512])
            .id_i(u8::MAX, &[0xff; 512])
            .finish();
        let told = summary(&header(true), &payloads(first, &octets).unwrap());
        assert!(told.len() < 256, "{told}");
    }
}

/// CVE-2013-6466, CVE-2013-6467: a payload that an exchange cannot do without was used although it was missing.
#[test]
fn a_payload_that_is_withheld_or_renumbered_is_absent_and_nothing_else_changes() {
    for chain in chains() {
        let whole = payloads(chain.first, &chain.octets).unwrap();
        if matches!(whole.last(), Some(Payload::Sk { .. } | Payload::Skf { .. })) {
            continue;
        }
        for withheld in 0..whole.len() {
            let mut rest = whole.clone();
            rest.remove(withheld);
            let (first, octets) = rewrite(&rest);
            assert_eq!(payloads(first, &octets).as_ref(), Ok(&rest));
        }
        for number in 1..=u8::MAX {
            let Ok(read) = payloads(number, &chain.octets) else {
                continue;
            };
            let renumbered = read.first().map(std::mem::discriminant);
            let was = whole.first().map(std::mem::discriminant);
            assert!(
                number == chain.first || renumbered != was,
                "{} as {number}",
                chain.scenario
            );
        }
    }
}

/// CVE-2014-9221: a group number of 1025, which was an internal one, led to a bad pointer.
#[test]
fn a_key_exchange_of_every_group_is_read_as_what_it_says() {
    for number in 0..=u16::MAX {
        let (first, octets) = Writer::new().ke(number, &[4; 8]).finish();
        let read = payloads(first, &octets).unwrap();
        let public = [4_u8; 8];
        let expected = Payload::Ke {
            group: number,
            data: &public,
        };
        assert_eq!(read, [expected]);
        assert!(summary(&header(false), &read).starts_with("KEi("));
    }
}

/// CVE-2015-3991: payloads of the other version of IKE were taken for those of this one.
#[test]
fn payloads_of_ikev1_are_not_known_in_ikev2() {
    for v1 in (1..=21).chain([130, 131]) {
        let (first, mut octets) = Writer::new().raw(v1, &[0, 0, 0, 1, 0, 0, 0, 1]).finish();
        let read = payloads(first, &octets).unwrap();
        assert!(
            matches!(read[..], [Payload::Unknown { kind, critical: false, .. }] if kind == v1),
            "{read:?}"
        );
        octets[1] = 0x80;
        let read = payloads(first, &octets).unwrap();
        assert_eq!(unsupported_critical(&read), Some(v1));
    }
    // A main mode header of version 1.0 says which it is.
    let v1 = Header {
        major: 1,
        exchange: ExchangeType::Other(2),
        ..header(false)
    };
    let message = write_message(&v1, 1, &[0; 4]);
    assert_eq!(Header::parse(&message).unwrap().major, 1);
}

/// CVE-2016-6415: a security association that lied about its length was answered with octets of memory that were not its own.
#[test]
fn what_is_read_is_never_more_than_the_payload_holds() {
    for length in 0..=u16::MAX {
        let mut octets = Writer::new().raw(kind::SA, &[0; 32]).finish().1;
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets.extend(Writer::new().raw(kind::NONCE, &[0x5e; 32]).finish().1);
        assert!(payloads(kind::SA, &octets).is_err(), "length {length}");
    }
    for claimed in 0..=u8::MAX {
        // An SPI of that many octets in a notify with four, in front of a nonce.
        let (first, mut octets) = Writer::new()
            .notify(3, &[1, 2, 3, 4], notify::REKEY_SA, &[])
            .nonce(&[0x5e; 16])
            .finish();
        octets[5] = claimed;
        match payloads(first, &octets).as_deref() {
            Ok([Payload::Notify(notify), Payload::Nonce(_)]) => {
                assert_eq!([notify.spi, notify.data].concat(), [1, 2, 3, 4]);
                assert_eq!(notify.spi.len(), usize::from(claimed));
            }
            other => {
                assert!(other.is_err() && claimed > 4, "{other:?}");
            }
        }
    }
}

/// CVE-2023-38710: a REKEY_SA notify of protocol 0 or 1 failed an assertion when it was echoed.
#[test]
fn a_notify_of_any_protocol_and_spi_is_read_and_echoed_as_it_came() {
    for protocol in 0..=u8::MAX {
        for spi_octets in [0, 1, 3, 4, 5, 8, 255] {
            let spi = vec![0x5a; spi_octets];
            let (first, octets) = Writer::new()
                .notify(protocol, &spi, notify::REKEY_SA, &[])
                .finish();
            let read = payloads(first, &octets).unwrap();
            let [Payload::Notify(notify)] = read[..] else {
                panic!("{read:?}");
            };
            assert_eq!((notify.protocol, notify.spi), (protocol, spi.as_slice()));
            assert_eq!(rewrite(&read), (first, octets.clone()));
            assert!(summary(&header(false), &read).starts_with("N(REKEY_SA"));
        }
    }
}
