//! What other implementations sent is read, and written again to the same octets.

use super::*;

#[test]
fn every_recorded_header_and_message_is_written_to_the_octets_it_was_read_from() {
    let all = recorded();
    assert_eq!(all.len(), 129);
    for message in all {
        let header = message.header();
        assert_eq!((header.major, header.minor), (1, 0));
        assert_eq!(header.octets(), message.sent[..HEADER_OCTETS]);
        assert_eq!(header.flags.encryption, message.plaintext.is_some());
        assert!(!matches!(header.exchange, ExchangeType::Other(_)));
        let body = &message.sent[HEADER_OCTETS..];
        let written = write_message(&header, header.next_payload, body);
        assert_eq!(written, message.sent, "{}", message.scenario);
    }
}

#[test]
fn every_recorded_chain_is_written_to_the_octets_it_was_read_from() {
    for message in recorded() {
        let (first, chain) = message.chain();
        let (read, read_octets) = match message.plaintext {
            Some(_) => {
                let opened = opened(first, chain).unwrap();
                assert!(chain.len() - opened.chain.len() <= 16);
                (opened.payloads, opened.chain)
            }
            None => (payloads(first, chain).unwrap(), chain),
        };
        assert!(!read.is_empty());
        assert!(
            !read
                .iter()
                .any(|one| matches!(one, Payload::Unknown { .. }))
        );
        let written = rewrite(&read);
        assert_eq!(
            written,
            (first, read_octets.to_vec()),
            "{}",
            message.scenario
        );
    }
}

#[test]
fn recorded_messages_are_told_in_the_words_of_routers() {
    let told = |scenario: &str, at: usize| {
        let all = recorded();
        let mut of_scenario = all.iter().filter(|message| message.scenario == scenario);
        let message = of_scenario.nth(at).unwrap();
        let (first, chain) = message.chain();
        summary(&opened(first, chain).unwrap().payloads)
    };
    assert_eq!(
        told("v1psk", 0),
        "SA V(XAUTH) V(DPD) V(fragmentation) V(NAT-T RFC 3947) V(NAT-T draft)"
    );
    assert_eq!(told("v1psk", 2), "KE No NAT-D NAT-D");
    assert_eq!(told("v1psk", 4), "ID(a.ik.test) HASH N(INITIAL-CONTACT)");
    assert_eq!(
        told("v1psk", 6),
        "HASH SA No KE ID(10.77.1.0/255.255.255.0) ID(10.77.2.0/255.255.255.0)"
    );
    assert_eq!(told("v1psk", 9), "HASH N(R-U-THERE)");
    assert_eq!(
        told("v1psk", 17),
        "HASH D(ESP 17c174c45)".replace("17c174c45", "7c174c45")
    );
    assert_eq!(told("v1psk", 18), "HASH D(ISAKMP)");
    assert_eq!(told("shimv1", 6).matches("[47/0]").count(), 2);
    assert_eq!(told("xauth-yes", 3), "HASH CFG_REQUEST(2 attributes)");
    assert_eq!(summary(&[]), "no payloads");
}

#[test]
fn the_hash_of_a_recorded_message_stands_before_all_it_is_of() {
    let mut count = 0;
    for message in recorded() {
        let header = message.header();
        let (first, chain) = message.chain();
        if header.message_id == 0 {
            continue;
        }
        let opened = opened(first, chain).unwrap();
        let (hash, rest) = opened.hash_and_rest().unwrap();
        let following = opened.chain[0];
        assert_eq!(behind_hash(hash, following, rest), opened.chain);
        count += 1;
    }
    assert!(count > 80);
}
