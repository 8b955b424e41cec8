//! An IKEv1 message is read without a panic, what was read reads the same when it is written again, and what is encrypted opens to itself.
//!
//! Input: a message, or the type of the first payload 1 | a chain of payloads, which is also encrypted.

use adit_crypto::v1::{CbcKey, Cipher, Hash};
use adit_proto::ikev1::chain::{Iv, open, seal};
use adit_proto::ikev1::dpd_message::DpdMessage;
use adit_proto::wire::isakmp::{
    Delete, ExchangeType, Flags, HEADER_OCTETS, Header, Payload, VendorId, Writer, behind_hash,
    kind, opened, payloads, summary,
};

/// Characters of a summary that a payload can take.
const SUMMARY_MAX: usize = 1024;

fn rewrite(read: &[Payload<'_>]) -> (u8, Vec<u8>) {
    let mut writer = Writer::new();
    for payload in read {
        match payload {
            Payload::Sa { sa, .. } => writer.sa(sa),
            Payload::Ke(public) => writer.ke(public),
            Payload::Id(id) => writer.id(id),
            Payload::Cert { encoding, data } => writer.cert(*encoding, data),
            Payload::CertRequest {
                encoding,
                authority,
            } => writer.cert_request(*encoding, authority),
            Payload::Hash(hash) => writer.hash(hash),
            Payload::Signature(signature) => writer.raw(kind::SIG, signature),
            Payload::Nonce(nonce) => writer.nonce(nonce),
            Payload::Notify(notify) => writer.notify(notify),
            Payload::Delete(Delete::Isakmp(cookies)) => {
                writer.delete_isakmp(cookies.first().unwrap_or(&[0; 16]))
            }
            Payload::Delete(Delete::Ipsec { spis, .. }) => writer.delete_esp(spis),
            Payload::VendorId(id) => writer.vendor_id(id),
            Payload::Attributes(a) => writer.attributes(a.kind, a.identifier, &a.attributes),
            Payload::NatD { hash, .. } => writer.nat_d(hash),
            Payload::NatOa { address, .. } => match address {
                Some(address) => writer.nat_oa(*address),
                None => writer.vendor_id(&[]),
            },
            Payload::Unknown { kind, body } => writer.raw(*kind, body),
        };
    }
    writer.finish()
}

/// Whether the writer keeps everything of it, as it was.
fn is_written_whole(payload: &Payload<'_>) -> bool {
    match payload {
        // Reserved octets and forms of attributes that have two are not compared.
        Payload::Sa { .. } => false,
        Payload::Delete(Delete::Isakmp(cookies)) => cookies.len() == 1,
        Payload::Delete(Delete::Ipsec { protocol, .. }) => u8::from(*protocol) == 3,
        Payload::NatD { is_draft, .. } => !is_draft,
        Payload::NatOa { is_draft, address } => !is_draft && address.is_some(),
        Payload::Ke(_)
        | Payload::Id(_)
        | Payload::Cert { .. }
        | Payload::CertRequest { .. }
        | Payload::Hash(_)
        | Payload::Signature(_)
        | Payload::Nonce(_)
        | Payload::Notify(_)
        | Payload::VendorId(_)
        | Payload::Attributes(_)
        | Payload::Unknown { .. } => true,
    }
}

fn look(read: &[Payload<'_>], cookies: &[u8; 16]) {
    let told = summary(read);
    assert!(!told.is_empty() && told.len() <= SUMMARY_MAX * read.len().max(1));
    for payload in read {
        if let Payload::VendorId(octets) = payload {
            assert!(VendorId::recognise(octets).is_none_or(|known| !known.octets().is_empty()));
        }
        if let Payload::Notify(notify) = payload
            && let Some(Ok(dpd)) = DpdMessage::read(notify, cookies)
        {
            let mut writer = Writer::new();
            dpd.write(cookies, &mut writer);
            let (first, chain) = writer.finish();
            let again = payloads(first, &chain).unwrap();
            let [Payload::Notify(again)] = again[..] else {
                panic!("{again:?}");
            };
            assert_eq!(DpdMessage::read(&again, cookies), Some(Ok(dpd)));
        }
    }
}

fn read(header: &Header, first: u8, chain: &[u8]) {
    let opened = opened(first, chain);
    let Ok(read) = payloads(first, chain) else {
        return;
    };
    // What is read in the clear is read with padding behind it too, and the same.
    let opened = opened.unwrap();
    assert_eq!(opened.payloads, read);
    if let Some((hash, rest)) = opened.hash_and_rest() {
        let following = opened.chain[0];
        let again = behind_hash(hash, following, rest);
        assert_eq!((again[0], &again[2..]), (following, &opened.chain[2..]));
    }
    look(&read, &header.cookies());
    let (first, written) = rewrite(&read);
    let again = payloads(first, &written).unwrap();
    assert_eq!(again.len(), read.len());
    for (again, read) in again.iter().zip(&read) {
        if let (Payload::Sa { sa: again, .. }, Payload::Sa { sa: read, .. }) = (again, read) {
            assert_eq!(again, read);
        }
        assert!(again == read || !is_written_whole(read), "{read:?}");
    }
}

fn encrypt(header: &Header, first: u8, chain: &[u8]) {
    for &cipher in Cipher::ALL {
        let key = CbcKey::new(cipher, &vec![0x3c; cipher.key_octets()]).unwrap();
        let iv = Iv::of_phase_1(Hash::Sha256, cipher, &[first], chain);
        let sealed = seal(&key, &iv, header, first, chain.to_vec());
        let Ok((message, next)) = sealed else {
            assert!(chain.is_empty());
            continue;
        };
        let header = Header::parse(&message).unwrap();
        let (plaintext, after) = open(&key, &iv, &header, &message).unwrap();
        assert_eq!(after, next);
        assert_eq!(plaintext[..chain.len()], *chain);
        assert!(plaintext[chain.len()..].iter().all(|octet| *octet == 0));
        assert!(plaintext.len() - chain.len() < cipher.block_octets());
        if let Ok(clear) = payloads(first, chain) {
            assert_eq!(opened(first, &plaintext).unwrap().payloads, clear);
        }
    }
}

/// Replays one input.
pub fn run(input: &[u8]) {
    let made = Header::new(1, 2, ExchangeType::Informational, Flags::CLEAR, 3);
    if let Ok(header) = Header::parse(input) {
        let octets = header.octets();
        assert_eq!(octets[..19], input[..19]);
        assert_eq!(octets[20..], input[20..HEADER_OCTETS]);
        read(&header, header.next_payload, &input[HEADER_OCTETS..]);
    }
    let [first, chain @ ..] = input else {
        return;
    };
    read(&made, *first, chain);
    encrypt(&made, *first, &chain[..chain.len().min(4096)]);
}
