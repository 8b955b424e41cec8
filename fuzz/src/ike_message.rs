//! An IKEv2 message is read without a panic, what was read reads the same when it is written again, and what is sealed opens to itself
//! and to nothing when a bit of it changes.
//!
//! Input: a message, or the type of the first payload 1 | a chain of payloads. The same octets are sealed as a chain.

use adit_crypto::{IkeCipher, Integrity, SkKey};
use adit_proto::wire::ike::sk::{NotOpened, Opened, open, seal_fragments, seal_message};
use adit_proto::wire::ike::{
    ExchangeType, Flags, HEADER_OCTETS, Header, Payload, Protocol, Writer, kind, payloads, summary,
};

/// Characters of a summary that a payload can take.
const SUMMARY_MAX: usize = 1024;

fn rewrite(read: &[Payload<'_>]) -> (u8, Vec<u8>) {
    let mut writer = Writer::new();
    for payload in read {
        match payload {
            Payload::Sa(sa) => writer.sa(sa),
            Payload::Ke { group, data } => writer.ke(*group, data),
            Payload::IdI(id) => writer.id_i(id.kind, id.data),
            Payload::IdR(id) => writer.id_r(id.kind, id.data),
            Payload::Cert { encoding, data } => writer.cert(*encoding, data),
            Payload::CertReq {
                encoding,
                authorities,
            } => writer.cert_req(*encoding, authorities),
            Payload::Auth { method, data } => writer.auth(*method, data),
            Payload::Nonce(nonce) => writer.nonce(nonce),
            Payload::Notify(n) => writer.notify(n.protocol, n.spi, n.kind, n.data),
            Payload::Delete(delete) => match delete.protocol {
                Protocol::Esp => writer.delete_esp(&delete.spis),
                Protocol::Ike | Protocol::Ah | Protocol::Other(_) => writer.delete_ike(),
            },
            Payload::VendorId(id) => writer.vendor_id(id),
            // Without one that is known there is nothing to write.
            Payload::TsI(selectors) | Payload::TsR(selectors) if selectors.is_empty() => {
                writer.vendor_id(&[])
            }
            Payload::TsI(selectors) => writer.ts_i(selectors),
            Payload::TsR(selectors) => writer.ts_r(selectors),
            Payload::Configuration(body) => writer.raw(kind::CONFIGURATION, body),
            Payload::Eap(body) => writer.raw(kind::EAP, body),
            Payload::Unknown { kind, body, .. } => writer.raw(*kind, body),
            Payload::Sk { body, .. } | Payload::Skf { body, .. } => writer.raw(kind::SK, body),
        };
    }
    writer.finish()
}

/// Whether the writer keeps everything of it.
fn is_written_whole(payload: &Payload<'_>) -> bool {
    match payload {
        Payload::Sa(sa) => sa
            .proposals
            .iter()
            .flat_map(|proposal| &proposal.transforms)
            .all(|transform| !transform.has_unknown_attribute),
        Payload::Delete(delete) => matches!(delete.protocol, Protocol::Ike | Protocol::Esp),
        Payload::TsI(selectors) | Payload::TsR(selectors) => !selectors.is_empty(),
        Payload::Unknown { critical, .. } => !critical,
        Payload::Sk { .. } | Payload::Skf { .. } => false,
        Payload::Ke { .. }
        | Payload::IdI(_)
        | Payload::IdR(_)
        | Payload::Cert { .. }
        | Payload::CertReq { .. }
        | Payload::Auth { .. }
        | Payload::Nonce(_)
        | Payload::Notify(_)
        | Payload::VendorId(_)
        | Payload::Configuration(_)
        | Payload::Eap(_) => true,
    }
}

fn read(header: &Header, first: u8, chain: &[u8]) {
    let Ok(read) = payloads(first, chain) else {
        return;
    };
    let told = summary(header, &read);
    assert!(!told.is_empty() && told.len() <= SUMMARY_MAX * read.len().max(1));
    let (first, written) = rewrite(&read);
    let again = payloads(first, &written).unwrap();
    assert_eq!(again.len(), read.len());
    for (again, read) in again.iter().zip(&read) {
        assert!(again == read || !is_written_whole(read), "{read:?}");
    }
}

fn key(what: u8) -> SkKey {
    let cipher = IkeCipher::ALL[usize::from(what) % IkeCipher::ALL.len()];
    let integrity = (!cipher.is_aead()).then_some(Integrity::HmacSha256_128);
    let octets = |octets: usize| vec![0x3c; octets];
    let authentication = octets(integrity.map_or(0, Integrity::key_octets));
    SkKey::new(
        cipher,
        integrity,
        &octets(cipher.keymat_octets()),
        &authentication,
    )
    .unwrap()
}

fn seal(header: &Header, what: u8, chain: &[u8]) {
    let mut key = key(what);
    let iv = [what; 16];
    let mut whole = seal_message(header, what, chain, &mut key, iv).unwrap();
    let expected = Opened::Whole {
        first: what,
        chain: chain.to_vec(),
    };
    assert_eq!(open(&whole, &key), Ok(expected));

    let most = 100 + 3 * usize::from(what);
    let fragments = seal_fragments(header, what, chain, &mut key, most, || iv).unwrap();
    let mut together = Vec::new();
    for fragment in &fragments {
        assert!(fragment.len() <= most);
        match open(fragment, &key) {
            Ok(Opened::Fragment { part, .. }) => together.extend(part),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(together, chain);

    let at = chain.iter().map(|octet| usize::from(*octet)).sum::<usize>() % whole.len();
    whole[at] ^= what.max(1);
    assert!(matches!(
        open(&whole, &key),
        Err(NotOpened::NotAuthentic | NotOpened::Malformed(_) | NotOpened::Clear)
    ));
}

/// Replays one input.
pub fn run(input: &[u8]) {
    let flags = Flags {
        response: input.len().is_multiple_of(2),
        ..Flags::default()
    };
    let made = Header::new(1, 2, ExchangeType::Informational, flags, 3);
    if let Ok(header) = Header::parse(input) {
        let octets = header.octets();
        assert_eq!(octets[..19], input[..19]);
        assert_eq!(octets[20..], input[20..HEADER_OCTETS]);
        let key = key(header.next_payload);
        assert!(open(input, &key).is_err());
        read(&header, header.next_payload, &input[HEADER_OCTETS..]);
    }
    let [first, chain @ ..] = input else {
        return;
    };
    read(&made, *first, chain);
    seal(&made, *first, &chain[..chain.len().min(4096)]);
}
