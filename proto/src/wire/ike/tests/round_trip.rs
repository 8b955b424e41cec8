//! What is written reads back as itself.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_selector() -> impl Strategy<Value = TrafficSelector> {
    let addresses = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
        any::<[[u8; 16]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
    ];
    let ports = any::<[u16; 2]>();
    (any::<u8>(), ports, addresses).prop_map(|(protocol, mut ports, mut addresses)| {
        addresses.sort_unstable();
        ports.sort_unstable();
        TrafficSelector {
            protocol,
            start_port: ports[0],
            end_port: ports[1],
            start: addresses[0],
            end: addresses[1],
        }
    })
}

fn any_sa() -> impl Strategy<Value = SaPayload> {
    let transform =
        (any::<u8>(), any::<u16>(), any::<Option<u16>>()).prop_map(|(kind, id, key_bits)| {
            Transform {
                kind: kind.into(),
                id,
                key_bits,
                has_unknown_attribute: false,
            }
        });
    let proposal = (
        any::<u8>(),
        any::<u8>(),
        vec(any::<u8>(), 0..=sa::SPI_OCTETS_MAX),
        vec(transform, 0..=9),
    )
        .prop_map(|(number, protocol, spi, transforms)| Proposal {
            number,
            protocol: protocol.into(),
            spi,
            transforms,
        });
    vec(proposal, 1..=5).prop_map(|proposals| SaPayload { proposals })
}

fn any_header() -> impl Strategy<Value = Header> {
    (
        any::<[u64; 2]>(),
        any::<[u8; 2]>(),
        any::<u8>(),
        any::<[bool; 3]>(),
        any::<u32>(),
    )
        .prop_map(|(spis, version, exchange, flags, message_id)| Header {
            major: version[0] & 15,
            minor: version[1] & 15,
            ..Header::new(
                spis[0],
                spis[1],
                exchange.into(),
                Flags {
                    initiator: flags[0],
                    version: flags[1],
                    response: flags[2],
                },
                message_id,
            )
        })
}

proptest! {
    #[test]
    fn a_written_message_reads_back(header in any_header(), body in vec(any::<u8>(), 0..200)) {
        let (first, chain) = Writer::new().vendor_id(&body).finish();
        let message = write_message(&header, first, &chain);
        let read = Header::parse(&message).unwrap();
        let length = u32::try_from(message.len()).unwrap();
        prop_assert_eq!(read, Header { next_payload: kind::VENDOR_ID, length, ..header });
        let read = payloads(read.next_payload, &message[HEADER_OCTETS..]).unwrap();
        prop_assert_eq!(read, [Payload::VendorId(&body)]);
    }

    #[test]
    fn a_written_security_association_reads_back(sa in any_sa()) {
        let (first, octets) = Writer::new().sa(&sa).finish();
        prop_assert_eq!(payloads(first, &octets).unwrap(), [Payload::Sa(sa)]);
    }

    #[test]
    fn written_traffic_selectors_read_back(selectors in vec(any_selector(), 1..=20)) {
        let (first, octets) = Writer::new().ts_i(&selectors).ts_r(&selectors).finish();
        let read = payloads(first, &octets).unwrap();
        prop_assert_eq!(read, [Payload::TsI(selectors.clone()), Payload::TsR(selectors)]);
    }

    #[test]
    fn written_payloads_read_back_in_their_order(
        kinds in any::<[u8; 3]>(),
        numbers in any::<[u16; 2]>(),
        data in vec(any::<u8>(), 16..=256),
        spi in vec(any::<u8>(), 0..=255),
        spis in vec(any::<u32>(), 0..100),
    ) {
        let (first, octets) = Writer::new()
            .ke(numbers[0], &data)
            .id_i(kinds[0], &data)
            .id_r(kinds[1], &[])
            .cert(kinds[0], &data)
            .cert_req(kinds[1], &data)
            .auth(kinds[2], &data)
            .nonce(&data)
            .notify(kinds[0], &spi, numbers[1], &data)
            .delete_ike()
            .delete_esp(&spis)
            .vendor_id(&data)
            .finish();
        let data = data.as_slice();
        let expected = [
            Payload::Ke { group: numbers[0], data },
            Payload::IdI(Id { kind: kinds[0], data }),
            Payload::IdR(Id { kind: kinds[1], data: &[] }),
            Payload::Cert { encoding: kinds[0], data },
            Payload::CertReq { encoding: kinds[1], authorities: data },
            Payload::Auth { method: kinds[2], data },
            Payload::Nonce(data),
            Payload::Notify(Notify { protocol: kinds[0], spi: &spi, kind: numbers[1], data }),
            Payload::Delete(Delete { protocol: Protocol::Ike, spis: Vec::new() }),
            Payload::Delete(Delete { protocol: Protocol::Esp, spis }),
            Payload::VendorId(data),
        ];
        prop_assert_eq!(payloads(first, &octets).unwrap(), expected);
    }

    #[test]
    fn whatever_is_read_from_noise_is_written_to_something_that_reads_the_same(
        first in any::<u8>(),
        octets in vec(any::<u8>(), 0..64),
    ) {
        if let Ok(read) = payloads(first, &octets) {
            let (first, written) = rewrite(&read);
            prop_assert_eq!(payloads(first, &written).unwrap().len(), read.len());
        }
    }

    #[test]
    fn a_selector_is_shown_as_a_prefix_where_it_is_one(bits in 0..=32_u32, address in any::<u32>()) {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let start = std::net::Ipv4Addr::from_bits(address & mask);
        let end = std::net::Ipv4Addr::from_bits(address | !mask);
        let shown = TrafficSelector::new(47, start.into(), end.into()).to_string();
        prop_assert_eq!(shown, format!("{start}/{bits}[gre]"));
    }
}

#[test]
fn selectors_are_shown_with_their_protocol_and_ports() {
    let [start, end] = ["10.0.0.1", "10.0.0.9"].map(|text| text.parse::<IpAddr>().unwrap());
    let shown = |protocol, start_port, end_port| {
        TrafficSelector {
            protocol,
            start_port,
            end_port,
            start,
            end,
        }
        .to_string()
    };
    assert_eq!(shown(0, 0, u16::MAX), "10.0.0.1-10.0.0.9");
    assert_eq!(shown(6, 80, 80), "10.0.0.1-10.0.0.9[tcp/80]");
    assert_eq!(shown(17, 500, 510), "10.0.0.1-10.0.0.9[udp/500-510]");
    assert_eq!(shown(0, 7, 7), "10.0.0.1-10.0.0.9[any/7]");
    assert_eq!(shown(132, 0, u16::MAX), "10.0.0.1-10.0.0.9[132]");
    let any6 = TrafficSelector::new(0, IpAddr::from([0; 16]), IpAddr::from([0xff; 16]));
    assert_eq!(any6.to_string(), "::/0");
}

#[test]
fn a_selector_of_two_families_is_not_written() {
    let mixed = TrafficSelector::new(0, IpAddr::from([0; 4]), IpAddr::from([0; 16]));
    let plain = TrafficSelector::new(0, IpAddr::from([0; 4]), IpAddr::from([9; 4]));
    let (first, octets) = Writer::new().ts_i(&[mixed, plain]).finish();
    assert_eq!(
        payloads(first, &octets).unwrap(),
        [Payload::TsI(vec![plain])]
    );
}

#[test]
fn a_body_that_no_payload_can_hold_is_cut_off_and_the_chain_still_reads() {
    let (first, octets) = Writer::new()
        .vendor_id(&vec![1; 70_000])
        .nonce(&[2; 16])
        .finish();
    let read = payloads(first, &octets).unwrap();
    let [Payload::VendorId(id), Payload::Nonce(_)] = read[..] else {
        panic!("{} payloads", read.len());
    };
    assert_eq!(id.len(), 65_531);
}
