//! What the writer makes is read as what it was made of.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

#[test]
fn deletes_are_read_as_they_were_written() {
    let mut writer = Writer::new();
    writer
        .delete_isakmp(b"initiatorrespond")
        .delete_esp(&[256, 0xdead_beef]);
    let (first, chain) = writer.finish();
    let read = payloads(first, &chain).unwrap();
    let wanted = [
        Payload::Delete(Delete::Isakmp(vec![*b"initiatorrespond"])),
        Payload::Delete(Delete::Ipsec {
            protocol: Protocol::Esp,
            spis: vec![256, 0xdead_beef],
        }),
    ];
    assert_eq!(read, wanted);
    assert_eq!(summary(&read), "D(ISAKMP) D(ESP 00000100 deadbeef)");
}

#[test]
fn original_addresses_and_hashes_of_nat_are_read_with_both_numbers() {
    for address in ["192.0.2.1", "2001:db8::1"] {
        let address: IpAddr = address.parse().unwrap();
        let mut writer = Writer::new();
        let (_, chain) = writer.nat_oa(address).finish();
        for (kind, is_draft) in [(kind::NAT_OA, false), (kind::NAT_OA_DRAFT, true)] {
            let wanted = Payload::NatOa {
                is_draft,
                address: Some(address),
            };
            assert_eq!(payloads(kind, &chain).unwrap(), [wanted]);
        }
    }
    let (_, chain) = Writer::new().nat_d(b"hash").finish();
    for (kind, is_draft) in [(kind::NAT_D, false), (kind::NAT_D_DRAFT, true)] {
        let wanted = Payload::NatD {
            is_draft,
            hash: b"hash",
        };
        assert_eq!(payloads(kind, &chain).unwrap(), [wanted]);
    }
    let other = [0, 0, 0, 9, 2, 0, 0, 0, 1];
    let none = Payload::NatOa {
        is_draft: false,
        address: None,
    };
    assert_eq!(payloads(kind::NAT_OA, &other).unwrap(), [none]);
}

#[test]
fn vendor_ids_are_recognised_whatever_their_version() {
    let all = [
        VendorId::Dpd,
        VendorId::NatT,
        VendorId::NatTDraft,
        VendorId::Xauth,
        VendorId::Unity,
        VendorId::Fragmentation,
    ];
    for vendor in all {
        assert_eq!(VendorId::recognise(vendor.octets()), Some(vendor));
        let mut changed = vendor.octets().to_vec();
        changed[3] ^= 1;
        assert_eq!(VendorId::recognise(&changed), None);
        assert_eq!(VendorId::recognise(&changed[..3]), None);
    }
    let minor = octets("afcad71368a1f1c96b8696fc77570101");
    assert_eq!(VendorId::recognise(&minor), Some(VendorId::Dpd));
    let unity = octets("12f5f28c457168a9702d9fe274cc0204");
    assert_eq!(VendorId::recognise(&unity), Some(VendorId::Unity));
    let long = octets("afcad71368a1f1c96b8696fc7757010000");
    assert_eq!(VendorId::recognise(&long), None);
    let capable = octets("4048b7d56ebce88525e7de7f00d6c2d3c0000000");
    assert_eq!(VendorId::recognise(&capable), Some(VendorId::Fragmentation));
    assert_eq!(VendorId::recognise(&[]), None);
}

#[test]
fn router_keepalives_of_before_rfc_3706_are_recognised_and_dpd_is_none_of_them() {
    let recognised: Vec<u16> = (0..=u16::MAX)
        .filter(|kind| notify::is_router_keepalive(*kind))
        .collect();
    assert_eq!(recognised, [30000, 30001, 30002, 32768, 32769]);
    assert_eq!(notify_name(36136), Some("R-U-THERE"));
    assert_eq!(notify_name(36137), Some("R-U-THERE-ACK"));
    assert_eq!(notify_name(31), None);
}

#[test]
fn an_empty_writer_makes_nothing_and_a_finished_one_begins_again() {
    let mut writer = Writer::new();
    assert_eq!(writer.finish(), (kind::NONE, Vec::new()));
    writer.nonce(&[7; 16]).hash(&[1]);
    let (first, chain) = writer.finish();
    assert_eq!((first, chain.len()), (kind::NONCE, 25));
    assert_eq!(writer.finish(), (kind::NONE, Vec::new()));
}

#[test]
fn a_body_that_no_payload_can_hold_is_cut_off() {
    let long = vec![0; 70_000];
    let (first, chain) = Writer::new().raw(99, &long).vendor_id(b"behind").finish();
    let read = payloads(first, &chain).unwrap();
    let [
        Payload::Unknown { kind: 99, body },
        Payload::VendorId(b"behind"),
    ] = read[..]
    else {
        panic!("{}", summary(&read));
    };
    assert_eq!(body.len(), 65_531);
}

#[test]
fn numbers_of_up_to_eight_octets_are_numbers() {
    assert_eq!(Value::Short(9).number(), Some(9));
    assert_eq!(Value::Long(&[1, 0]).number(), Some(256));
    assert_eq!(Value::Long(&[0xff; 8]).number(), Some(u64::MAX));
    assert_eq!(Value::Long(&[0; 9]).number(), None);
    assert_eq!(Value::Long(&[]).number(), None);
}

proptest! {
    #[test]
    fn any_attributes_are_read_as_they_were_written(
        config in 0_u8..6,
        identifier in any::<u16>(),
        values in prop::collection::vec((0_u16..0x8000, any::<Option<u16>>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let attributes: Vec<Attribute<'_>> = values
            .iter()
            .map(|(kind, short, long)| match short {
                Some(value) => Attribute::short(*kind, *value),
                None => Attribute::long(*kind, long),
            })
            .collect();
        let mut writer = Writer::new();
        let (first, chain) = writer.attributes(config.into(), identifier, &attributes).finish();
        let wanted = Attributes { kind: config.into(), identifier, attributes };
        prop_assert_eq!(payloads(first, &chain).unwrap(), [Payload::Attributes(wanted)]);
    }

    #[test]
    fn any_header_is_read_as_it_was_written(
        cookies in any::<(u64, u64)>(),
        exchange in any::<u8>(),
        flags in any::<(bool, bool, bool)>(),
        message_id in any::<u32>(),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let flags = Flags { encryption: flags.0, commit: flags.1, authentication_only: flags.2 };
        let header = Header::new(cookies.0, cookies.1, exchange.into(), flags, message_id);
        let message = write_message(&header, 8, &body);
        let length = u32::try_from(message.len()).unwrap();
        let wanted = Header { next_payload: 8, length, ..header };
        prop_assert_eq!(Header::parse(&message), Ok(wanted));
    }
}
