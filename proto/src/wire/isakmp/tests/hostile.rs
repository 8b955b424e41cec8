//! Octets that nobody should send.

use proptest::prelude::*;

use super::*;

fn why(first: u8, chain: &[u8]) -> String {
    payloads(first, chain).unwrap_err().to_string()
}

#[test]
fn a_header_of_another_length_than_its_message_is_refused() {
    let message = &recorded()[0].sent;
    assert!(Header::parse(message).is_ok());
    for octets in 0..message.len() {
        assert!(Header::parse(&message[..octets]).is_err());
    }
    let longer = [message, &[0][..]].concat();
    let refused = Header::parse(&longer).unwrap_err().to_string();
    assert_eq!(refused, "header at octet 24: length 180 is not 181");
}

#[test]
fn every_recorded_chain_that_is_cut_anywhere_is_refused() {
    for message in recorded() {
        let (first, padded) = message.chain();
        let chain = opened(first, padded).unwrap().chain;
        for octets in 0..chain.len() {
            assert!(payloads(first, &chain[..octets]).is_err());
            assert!(opened(first, &chain[..octets]).is_err());
        }
    }
}

#[test]
fn lengths_that_lie_are_refused_with_their_place() {
    assert_eq!(
        why(13, &[0, 0, 0, 3, 1]),
        "payload at octet 2: length 3 below minimum 4"
    );
    assert_eq!(
        why(13, &[0, 0, 0, 9, 1, 2, 3, 4]),
        "payload at octet 2: length 9 above maximum 8"
    );
    assert_eq!(
        why(13, &[0, 0, 0]),
        "payload at octet 2: needs 2 octets, 1 are left"
    );
}

#[test]
fn a_chain_in_the_clear_may_be_filled_with_less_than_four_zero_octets() {
    let (first, chain) = Writer::new().vendor_id(b"x").finish();
    let with = |tail: &[u8]| payloads(first, &[&chain[..], tail].concat()).is_ok();
    assert!(with(&[]) && with(&[0]) && with(&[0; 3]));
    assert!(!with(&[0; 4]) && !with(&[0, 0, 1]));
    assert_eq!(payloads(0, &[]), Ok(Vec::new()));
    assert!(payloads(0, &[0]).is_err());
}

#[test]
fn more_payloads_than_the_bound_are_refused() {
    let mut writer = Writer::new();
    for _ in 0..payload::PAYLOADS_MAX {
        writer.vendor_id(&[]);
    }
    let (first, chain) = writer.finish();
    assert_eq!(
        payloads(first, &chain).unwrap().len(),
        payload::PAYLOADS_MAX
    );
    let mut longer = chain.clone();
    let last = longer.len() - 4;
    longer[last] = 13;
    longer.extend([0, 0, 0, 4]);
    assert!(why(first, &longer).ends_with("more than 64"));
}

#[test]
fn more_attributes_than_the_bound_are_refused() {
    let body = |count: usize| [&[1, 0, 0, 0][..], &[0x80, 1, 0, 0].repeat(count)].concat();
    let read = |count: usize| {
        let (first, chain) = Writer::new().raw(kind::ATTRIBUTES, &body(count)).finish();
        payloads(first, &chain).map(drop)
    };
    assert!(read(attribute::ATTRIBUTES_MAX).is_ok());
    let refused = read(attribute::ATTRIBUTES_MAX + 1).unwrap_err();
    assert!(refused.to_string().ends_with("more than 256"));
}

#[test]
fn nonces_and_spis_outside_their_bounds_are_refused() {
    for octets in [0, 7, 257] {
        let (first, chain) = Writer::new().nonce(&vec![1; octets]).finish();
        assert!(why(first, &chain).starts_with("nonce"), "{octets}");
    }
    for octets in [8, 256] {
        let (first, chain) = Writer::new().nonce(&vec![1; octets]).finish();
        assert!(payloads(first, &chain).is_ok());
    }
    let delete = |fixed: &[u8], spis: usize| {
        let body = [&[0, 0, 0, 1], fixed, &vec![0; spis]].concat();
        let (first, chain) = Writer::new().raw(kind::DELETE, &body).finish();
        payloads(first, &chain).map(drop)
    };
    assert!(delete(&[1, 16, 0, 2], 32).is_ok());
    assert!(delete(&[3, 4, 0, 3], 12).is_ok());
    // A protocol that is none, an SPI of the other protocol's size, counts that lie.
    for (fixed, spis) in [
        ([0, 4, 0, 1], 4),
        ([4, 4, 0, 1], 4),
        ([1, 4, 0, 1], 4),
        ([3, 16, 0, 1], 16),
        ([3, 4, 0, 2], 4),
        ([3, 4, 0, 1], 8),
        ([1, 16, 0xff, 0xff], 16),
        ([1, 8, 0, 1], 8),
    ] {
        assert!(delete(&fixed, spis).is_err(), "{fixed:?}");
    }
}

/// An SA payload's body with one octet changed.
fn changed_sa(at: usize, to: u8) -> Result<usize, String> {
    let message = &recorded()[0];
    let (first, chain) = message.chain();
    let mut chain = chain.to_vec();
    chain[4 + at] = to;
    match payloads(first, &chain)
        .map_err(|why| why.to_string())?
        .first()
    {
        Some(Payload::Sa { sa, .. }) => Ok(sa.proposals.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_sa_of_another_doi_or_situation_or_with_counts_that_lie_is_refused() {
    assert_eq!(changed_sa(0, 0), Ok(1));
    let refused = |at, to| changed_sa(at, to).unwrap_err();
    assert_eq!(
        refused(3, 2),
        "security association at octet 4: DOI 2 is not 1"
    );
    assert_eq!(
        refused(7, 3),
        "security association at octet 8: situation 3 is not 1"
    );
    // The proposal: next, length, SPI size, transforms.
    for (at, to) in [
        (8, 2),
        (8, 3),
        (11, 43),
        (11, 45),
        (11, 4),
        (14, 17),
        (14, 1),
        (15, 0),
        (15, 2),
        (15, 65),
    ] {
        assert!(changed_sa(at, to).is_err(), "octet {at} = {to}");
    }
    // The transform: next, length.
    for (at, to) in [(16, 3), (16, 2), (19, 7), (19, 37), (19, 35)] {
        assert!(changed_sa(at, to).is_err(), "octet {at} = {to}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused_and_told(first in any::<u8>(), chain in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(opened) = opened(first, &chain) {
            prop_assert!(opened.chain.len() <= chain.len());
            prop_assert!(!summary(&opened.payloads).is_empty());
            if let Some((hash, rest)) = opened.hash_and_rest() {
                prop_assert_eq!(hash.len() + rest.len() + 4, opened.chain.len());
            }
        }
    }

    #[test]
    fn a_recorded_chain_with_changed_octets_is_read_or_refused(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let all = recorded();
        let (first, chain) = all[which.index(all.len())].chain();
        let mut chain = chain.to_vec();
        for (at, to) in changes {
            let at = at.index(chain.len());
            chain[at] = to;
        }
        if let Ok(opened) = opened(first, &chain) {
            prop_assert!(summary(&opened.payloads).len() < 64 * 1024);
        }
    }
}
