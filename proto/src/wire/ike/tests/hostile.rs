//! Octets that nobody sends unless to break something: cut off, lying about lengths, all ones.

use super::*;

/// Reads a chain and everything that is done with what was read before it is authenticated.
fn survives(first: u8, octets: &[u8]) -> Result<(), Malformed> {
    let read = payloads(first, octets)?;
    assert!(!summary(&header(true), &read).is_empty());
    let (_, written) = rewrite(&read);
    // An ID or a nonce that was read comes from the message and from nowhere else.
    assert!(written.len() <= octets.len() + 4 * read.len());
    Ok(())
}

#[test]
fn a_chain_that_is_cut_off_anywhere_is_refused() {
    for chain in chains() {
        for end in 0..chain.octets.len() {
            assert!(
                survives(chain.first, &chain.octets[..end]).is_err(),
                "{} cut to {end}",
                chain.scenario
            );
        }
    }
}

#[test]
fn octets_behind_the_last_payload_are_refused() {
    let (first, mut octets) = Writer::new().nonce(&[7; 16]).finish();
    assert_eq!(survives(first, &octets), Ok(()));
    octets.push(0);
    let refused = survives(first, &octets).unwrap_err();
    assert_eq!(refused.why, Why::Trailing(1));
    assert_eq!(
        refused.to_string(),
        "payloads at octet 20: 1 octets behind the last one"
    );
    assert!(survives(0, &octets).is_err());
    assert_eq!(survives(0, &[]), Ok(()));
}

#[test]
fn every_single_octet_may_be_anything() {
    let mut tried = 0;
    for chain in chains().into_iter().step_by(3) {
        let mut octets = chain.octets;
        for at in 0..octets.len() {
            let was = octets[at];
            for value in [0, 1, 3, 0x7f, 0x80, 0xff, was ^ 1, was.wrapping_add(4)] {
                octets[at] = value;
                // Refused or read: what matters is that it returns.
                let _ = survives(chain.first, &octets);
                tried += 1;
            }
            octets[at] = was;
        }
    }
    assert!(tried > 10_000);
}

/// Every place where a recorded SA payload says how long something is.
#[test]
fn a_length_that_lies_anywhere_in_a_security_association_is_refused() {
    let transform = |kind, id| Transform {
        kind,
        id,
        key_bits: Some(256),
        has_unknown_attribute: false,
    };
    let sa = SaPayload {
        proposals: vec![Proposal {
            number: 1,
            protocol: Protocol::Esp,
            spi: vec![1, 2, 3, 4],
            transforms: vec![
                transform(TransformKind::Encr, 20),
                transform(TransformKind::Esn, 1),
            ],
        }],
    };
    let (first, octets) = Writer::new().sa(&sa).finish();
    // Of the payload, the proposal, both transforms; the SPI's and the transforms' number.
    let lengths = [2..4, 6..8, 18..20, 30..32, 10..11, 11..12];
    for field in lengths {
        for value in (0..=400).chain([0x7fff, 0x8000, 0xffff]) {
            let mut lie = octets.clone();
            let value = u16::try_from(value).unwrap().to_be_bytes();
            lie[field.clone()].copy_from_slice(&value[2 - field.len()..]);
            let changed = lie != octets;
            assert_eq!(
                survives(first, &lie).is_err(),
                changed,
                "octets {field:?} as {value:?}"
            );
        }
    }
}

#[test]
fn all_ones_of_every_length_are_refused_under_every_type() {
    for kind in 1..=u8::MAX {
        for length in [4, 5, 8, 12, 28, 40, 64, 260] {
            let mut octets = vec![0xff; length];
            assert!(payloads(kind, &octets).is_err());
            // With a length that holds, up to the fields of the type itself.
            octets[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            octets[0] = 0;
            let _ = survives(kind, &octets);
        }
    }
    assert!(Header::parse(&[0xff; HEADER_OCTETS]).is_err());
}

#[test]
fn a_payload_that_is_not_known_is_passed_over_unless_it_is_critical() {
    for unknown in (1..=u8::MAX).filter(|kind| place_is_unknown(*kind)) {
        let (first, mut octets) = Writer::new()
            .raw(unknown, b"whatever")
            .nonce(&[7; 16])
            .finish();
        let read = payloads(first, &octets).unwrap();
        assert_eq!(unsupported_critical(&read), None);
        assert_eq!(read.len(), 2);
        octets[1] = 0x80;
        let read = payloads(first, &octets).unwrap();
        assert_eq!(unsupported_critical(&read), Some(unknown));
        assert_eq!(
            summary(&header(false), &read),
            format!("payload {unknown}, critical, Ni")
        );
    }
}

fn place_is_unknown(number: u8) -> bool {
    !matches!(number, 33..=48 | kind::SKF)
}

#[test]
fn the_critical_bit_of_a_known_payload_and_reserved_bits_are_ignored() {
    for chain in chains().into_iter().step_by(5) {
        let mut octets = chain.octets.clone();
        octets
            .iter_mut()
            .skip(1)
            .take(1)
            .for_each(|reserved| *reserved = 0xff);
        let read = payloads(chain.first, &octets);
        if let Ok(read) = read {
            assert_eq!(unsupported_critical(&read), None);
            assert_eq!(payloads(chain.first, &chain.octets), Ok(read));
        } else {
            assert!(octets.is_empty());
        }
    }
}

#[test]
fn more_payloads_than_the_bound_are_refused() {
    let mut writer = Writer::new();
    (0..payload::PAYLOADS_MAX).for_each(|_| {
        writer.vendor_id(b"");
    });
    let (first, octets) = writer.finish();
    assert_eq!(
        payloads(first, &octets).unwrap().len(),
        payload::PAYLOADS_MAX
    );
    let mut more = octets.clone();
    let last = more.len() - 4;
    more[last] = kind::VENDOR_ID;
    more.extend([0, 0, 0, 4]);
    let refused = payloads(first, &more).unwrap_err();
    assert_eq!(refused.why, Why::TooMany(payload::PAYLOADS_MAX));
}

#[test]
fn more_proposals_or_transforms_than_the_bound_are_refused() {
    let proposal = [0_u8, 0, 0, 8, 1, 1, 0, 0];
    let mut body = Vec::new();
    for _ in 0..=sa::PROPOSALS_MAX {
        body.extend(proposal);
    }
    let count = body.len() / proposal.len();
    for place in 0..count - 1 {
        body[place * proposal.len()] = 2;
    }
    let (first, octets) = Writer::new().raw(kind::SA, &body).finish();
    let refused = payloads(first, &octets).unwrap_err();
    assert_eq!(refused.why, Why::TooMany(sa::PROPOSALS_MAX));

    let count = sa::TRANSFORMS_MAX + 1;
    let mut transforms = [3_u8, 0, 0, 8, 1, 0, 0, 12].repeat(count);
    transforms[8 * (count - 1)] = 0;
    let [high, low] = u16::try_from(8 + transforms.len()).unwrap().to_be_bytes();
    let mut body = vec![0, 0, high, low, 1, 1, 0, u8::try_from(count).unwrap()];
    body.extend(transforms);
    let (first, octets) = Writer::new().raw(kind::SA, &body).finish();
    let refused = payloads(first, &octets).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "proposal at octet 10: transforms 65 above maximum 64"
    );
}

#[test]
fn a_transform_with_an_attribute_that_is_no_key_length_says_so() {
    // A long attribute, a second key length, and a short attribute of another type.
    for attribute in [
        &[0_u8, 14, 0, 2, 1, 0][..],
        &[0x80, 14, 1, 0, 0x80, 14, 0, 128],
        &[0x80, 15, 1, 0],
    ] {
        let octets = u8::try_from(8 + attribute.len()).unwrap();
        let transform = [&[0, 0, 0, octets, 1, 0, 0, 12], attribute].concat();
        let body = [&[0, 0, 0, 8 + octets, 1, 1, 0, 1], transform.as_slice()].concat();
        let (first, octets) = Writer::new().raw(kind::SA, &body).finish();
        let read = payloads(first, &octets).unwrap();
        let [Payload::Sa(sa)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert!(
            sa.proposals[0].transforms[0].has_unknown_attribute,
            "{attribute:?}"
        );
    }
}

#[test]
fn nonces_outside_16_to_256_octets_are_refused() {
    for (octets, is_nonce) in [
        (0, false),
        (15, false),
        (16, true),
        (256, true),
        (257, false),
    ] {
        let (first, chain) = Writer::new().nonce(&vec![9; octets]).finish();
        assert_eq!(payloads(first, &chain).is_ok(), is_nonce, "{octets} octets");
    }
}

#[test]
fn a_delete_counts_its_spis_and_an_ike_sa_has_none() {
    let read = |body: &[u8]| {
        let (first, octets) = Writer::new().raw(kind::DELETE, body).finish();
        payloads(first, &octets).map(|read| match read.as_slice() {
            [Payload::Delete(delete)] => (delete.protocol, delete.spis.clone()),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(read(&[1, 0, 0, 0]), Ok((Protocol::Ike, Vec::new())));
    let esp = [3, 4, 0, 2, 0, 0, 1, 0, 0xff, 0, 0, 9];
    assert_eq!(read(&esp), Ok((Protocol::Esp, vec![256, 0xff00_0009])));
    for wrong in [
        &[1, 0, 0, 1][..],
        &[1, 4, 0, 1, 0, 0, 1, 0],
        &[3, 4, 0, 2, 0, 0, 1, 0],
        &[3, 4, 0, 1, 0, 0, 1, 0, 0],
        &[3, 8, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0],
        &[3, 4, 0xff, 0xff, 0, 0, 1, 0],
        &[0, 0, 0, 0],
        &[4, 4, 0, 0],
    ] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn fragment_numbers_run_from_1_to_their_total() {
    for (number, total, is_fragment) in [
        (1_u16, 1_u16, true),
        (2, 2, true),
        (u16::MAX, u16::MAX, true),
        (0, 1, false),
        (0, 0, false),
        (1, 0, false),
        (3, 2, false),
    ] {
        let body = [number.to_be_bytes(), total.to_be_bytes(), [0xee; 2]].concat();
        let (first, octets) = Writer::new().raw(kind::SKF, &body).finish();
        let read = payloads(first, &octets);
        assert_eq!(read.is_ok(), is_fragment, "{number} of {total}");
        if let Ok(read) = read {
            assert!(
                matches!(read[..], [Payload::Skf { offset: 8, .. }]),
                "{read:?}"
            );
        }
    }
}

#[test]
fn traffic_selectors_that_end_before_they_start_are_refused() {
    let selector = |start_port: u16, end_port: u16, start: [u8; 4], end: [u8; 4]| {
        let ports = [start_port.to_be_bytes(), end_port.to_be_bytes()].concat();
        let body = [&[1, 0, 0, 0, 7, 6, 0, 16], ports.as_slice(), &start, &end].concat();
        let (first, octets) = Writer::new().raw(kind::TS_I, &body).finish();
        payloads(first, &octets).map(|read| summary(&header(false), &read))
    };
    let (low, high) = ([10, 0, 0, 0], [10, 0, 0, 255]);
    let all = "TSi(10.0.0.0/24[tcp])";
    assert_eq!(selector(0, u16::MAX, low, high).as_deref(), Ok(all));
    let opaque = "TSi(10.0.0.0/24[tcp/OPAQUE])";
    assert_eq!(selector(u16::MAX, 0, low, high).as_deref(), Ok(opaque));
    let reversed =
        |refused: Result<String, Malformed>| matches!(refused.unwrap_err().why, Why::Reversed(_));
    assert!(reversed(selector(0, u16::MAX, high, low)));
    assert!(reversed(selector(81, 80, low, high)));
}

#[test]
fn a_traffic_selector_of_an_unknown_type_selects_nothing() {
    let known = [7, 0, 0, 16, 0, 0, 0xff, 0xff, 10, 0, 0, 1, 10, 0, 0, 1];
    let labelled = [10, 0, 0, 8, 1, 2, 3, 4];
    let body = [&[2, 0, 0, 0], labelled.as_slice(), &known].concat();
    let (first, octets) = Writer::new().raw(kind::TS_R, &body).finish();
    let read = payloads(first, &octets).unwrap();
    assert_eq!(summary(&header(true), &read), "TSr(10.0.0.1/32)");
    // A type says how long it is; a known one has one length only.
    for (at, value) in [(7, 3), (7, 0), (7, 9), (15, 15), (15, 17), (0, 3), (0, 0)] {
        let mut lie = body.clone();
        lie[at] = value;
        let (first, octets) = Writer::new().raw(kind::TS_R, &lie).finish();
        assert!(payloads(first, &octets).is_err(), "octet {at} as {value}");
    }
}

#[test]
fn an_identity_cannot_break_the_line_that_tells_it() {
    let (first, octets) = Writer::new()
        .id_i(2, b"a\nb\x1b[2J\xff")
        .id_r(2, &[b'x'; 500])
        .finish();
    let told = summary(&header(false), &payloads(first, &octets).unwrap());
    let long = "x".repeat(64);
    assert_eq!(told, format!(r"IDi(a\nb\x1b[2J\xff), IDr({long}…)"));
}
