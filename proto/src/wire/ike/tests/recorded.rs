//! What other implementations sent is read, and written again to the same octets.

use super::*;

#[test]
fn every_recorded_message_reads_and_its_header_writes_back() {
    let messages = messages();
    assert_eq!(messages.len(), 190);
    for (scenario, message) in messages {
        let header = Header::parse(&message).unwrap();
        assert_eq!(header.major, header::MAJOR, "{scenario}");
        assert_eq!(header.octets(), message[..HEADER_OCTETS], "{scenario}");
        let chain = &message[HEADER_OCTETS..];
        let payloads = payloads(header.next_payload, chain).unwrap();
        assert!(!payloads.is_empty(), "{scenario}");
        assert_eq!(
            write_message(&header, header.next_payload, chain),
            message,
            "{scenario}"
        );
    }
}

#[test]
fn every_recorded_chain_is_written_to_the_octets_it_was_read_from() {
    for chain in chains() {
        let read = payloads(chain.first, &chain.octets).unwrap();
        let (first, mut written) = rewrite(&read);
        if let Some(Payload::Sk { next_payload, .. }) = read.last() {
            written[0] = *next_payload;
        }
        assert_eq!(
            (first, written),
            (chain.first, chain.octets),
            "{}",
            chain.scenario
        );
    }
}

#[test]
fn a_recorded_offer_reads_as_it_was_configured() {
    let (_, message) = messages()
        .into_iter()
        .find(|(scenario, _)| *scenario == "psk1")
        .unwrap();
    let header = Header::parse(&message).unwrap();
    assert_eq!(header.exchange, ExchangeType::IkeSaInit);
    assert!(header.flags.initiator && !header.flags.response);
    assert_eq!((header.spi_r, header.message_id), (0, 0));
    let payloads = payloads(header.next_payload, &message[HEADER_OCTETS..]).unwrap();
    let Some(Payload::Sa(sa)) = payloads.first() else {
        panic!("{payloads:?}");
    };
    let transform = |kind, id, key_bits| Transform {
        kind,
        id,
        key_bits,
        has_unknown_attribute: false,
    };
    let expected = Proposal {
        number: 1,
        protocol: Protocol::Ike,
        spi: Vec::new(),
        transforms: vec![
            transform(TransformKind::Encr, 20, Some(256)),
            transform(TransformKind::Prf, 6, None),
            transform(TransformKind::Ke, 20, None),
        ],
    };
    assert_eq!(sa.proposals, [expected]);
    assert_eq!(
        summary(&header, &payloads),
        "SAi1, KEi(ecp384), Ni, N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP), \
         N(IKEV2_FRAGMENTATION_SUPPORTED), N(SIGNATURE_HASH_ALGORITHMS), N(REDIRECT_SUPPORTED)"
    );
}

/// What the chain of a scenario with this payload says.
fn said(scenario: &str, exchange: ExchangeType, holds: impl Fn(&Payload<'_>) -> bool) -> String {
    let header = Header {
        exchange,
        ..header(false)
    };
    chains()
        .iter()
        .filter(|chain| chain.scenario == scenario)
        .find_map(|chain| {
            let read = payloads(chain.first, &chain.octets).unwrap();
            read.iter().any(&holds).then(|| summary(&header, &read))
        })
        .unwrap()
}

#[test]
fn what_was_sealed_is_told_in_the_words_of_the_rfc() {
    let auth = said("psk1", ExchangeType::IkeAuth, |payload| {
        matches!(payload, Payload::IdI(_))
    });
    assert_eq!(
        auth,
        "IDi(a.ik.test), N(INITIAL_CONTACT), IDr(b.ik.test), AUTH(shared key), SAi2, TSi(10.77.1.0/24), TSr(10.77.2.0/24), \
         N(MULTIPLE_AUTH_SUPPORTED), N(EAP_ONLY_AUTHENTICATION), N(IKEV2_MESSAGE_ID_SYNC_SUPPORTED)"
    );
    let rekey = said(
        "psk1",
        ExchangeType::CreateChildSa,
        |payload| matches!(payload, Payload::Notify(notify) if notify.kind == notify::REKEY_SA),
    );
    assert!(rekey.starts_with("N(REKEY_SA, SPI "), "{rekey}");
    let gre = said("gretun2", ExchangeType::IkeAuth, |payload| {
        matches!(payload, Payload::TsI(_))
    });
    assert!(gre.contains("[gre]"), "{gre}");
}
