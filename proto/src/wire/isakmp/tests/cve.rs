//! Messages by which other implementations were brought down.

use super::*;

#[test]
fn cve_2013_4564_a_message_shorter_than_its_header_says_is_refused() {
    let message = &recorded()[0].sent;
    for octets in 0..=HEADER_OCTETS {
        assert!(Header::parse(&message[..octets]).is_err());
    }
    for length in [0_u32, 27, 28, 179, 181, u32::MAX] {
        let mut lying = message.clone();
        lying[24..28].copy_from_slice(&length.to_be_bytes());
        assert!(Header::parse(&lying).is_err(), "{length}");
    }
}

#[test]
fn cve_2015_3204_fields_with_all_bits_set_are_told_as_numbers_or_refused() {
    let doi = Writer::new().raw(kind::SA, &[0xff; 64]).finish();
    assert!(payloads(doi.0, &doi.1).is_err());
    let notify = Notify {
        doi: u32::MAX,
        protocol: Protocol::Other(0xff),
        spi: &[0xff; 255],
        kind: u16::MAX,
        data: &[0xff; 99],
    };
    let id = Id {
        kind: 0xff,
        protocol: 0xff,
        port: u16::MAX,
        data: &[0xff; 999],
    };
    let mut writer = Writer::new();
    writer.notify(&notify).id(&id).raw(0xff, &[0xff; 9]);
    let (first, chain) = writer.finish();
    let read = payloads(first, &chain).unwrap();
    let told = summary(&read);
    assert!(told.starts_with("N(65535) ID(type 255, \\xff"), "{told}");
    assert!(told.ends_with("[255/65535]) payload 255"), "{told}");
    assert!(
        told.len() < 400
            && told
                .chars()
                .all(|c| c == '…' || c.is_ascii_graphic() || c == ' ')
    );
}

#[test]
fn cve_2015_3991_payloads_of_ikev2_are_not_known_in_ikev1() {
    for kind in 33..=53 {
        let chain = [0, 0, 0, 8, 1, 2, 3, 4];
        let wanted = Payload::Unknown {
            kind,
            body: &[1, 2, 3, 4],
        };
        assert_eq!(payloads(kind, &chain).unwrap(), [wanted]);
    }
}

#[test]
fn cve_2016_6415_a_length_that_lies_makes_no_payload_longer_than_its_message() {
    let all = recorded();
    let (first, chain) = all[0].chain();
    let mut at = 0;
    while at < chain.len() {
        let length = usize::from(u16::from_be_bytes([chain[at + 2], chain[at + 3]]));
        for lie in [chain.len() - at + 1, 0xffff] {
            let mut lying = chain.to_vec();
            lying[at + 2..at + 4].copy_from_slice(&u16::try_from(lie).unwrap().to_be_bytes());
            assert!(payloads(first, &lying).is_err(), "octet {at}");
        }
        at += length;
    }
}

#[test]
fn cve_2023_38710_protocol_numbers_that_are_none_are_read_as_numbers() {
    for protocol in 0..=u8::MAX {
        let notify = Notify {
            doi: 1,
            protocol: protocol.into(),
            spi: &[],
            kind: 1,
            data: &[],
        };
        let (first, chain) = Writer::new().notify(&notify).finish();
        let read = payloads(first, &chain).unwrap();
        assert_eq!(read, [Payload::Notify(notify)]);
        assert_eq!(u8::from(notify.protocol), protocol);
    }
}
