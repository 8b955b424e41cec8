//! Whole ESP packets of known octets, opened by their association and sealed to the same octets.

use adit_crypto::{Aead, Suite};

use super::replay::Window;
use super::*;
use crate::counters::DropReason;
use crate::liveness::testing::epoch;
use crate::wire::esp::{NEXT_IPV4, Spi};

/// What RFC 7634 appendix A carries: an ICMP echo request.
const ECHO: &str = "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
    202122232425262728292a2b2c2d2e2f3031323334353637";
const CHACHA_KEYMAT: &str =
    "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3";

fn octets(hexadecimal: &str) -> Vec<u8> {
    let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
    assert_eq!(rest, b"");
    let octet = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| octet(pair)).collect()
}

fn aead(suite: Suite, keymat: &str) -> Aead {
    Aead::new(suite, &octets(keymat)).unwrap()
}

fn lifetime() -> Lifetime {
    Lifetime::new(Limits::default(), Limits::default(), epoch())
}

/// An association that has seen `edge`.
fn inbound(spi: u32, aead: Aead, esn: bool, edge: u64) -> InboundSa {
    let spi = Spi::new(spi).unwrap();
    InboundSa::new(spi, aead, esn, Window::new(64, edge), lifetime())
}

fn opens_once(mut sa: InboundSa, packet: &[u8], payload: &[u8], next_header: u8, seq: u64) {
    let mut first = packet.to_vec();
    let opened = sa.open(&mut first).unwrap();
    assert_eq!(first[opened.payload], *payload);
    assert_eq!((opened.next_header, sa.edge()), (next_header, seq));
    assert_eq!(sa.open(&mut packet.to_vec()), Err(DropReason::Replayed));
}

#[test]
fn packet_of_rfc_7634_opens() {
    let packet = "0102030400000005\
        1011121314151617\
        24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3\
        cbec163fac469b502773f6fb94e664da9165b82829f641e0\
        76aaa8266b7fb0f7b11b369907e1ad43";
    let aead = aead(Suite::ChaCha20Poly1305, CHACHA_KEYMAT);
    let sa = inbound(0x0102_0304, aead, false, 0);
    opens_once(sa, &octets(packet), &octets(ECHO), NEXT_IPV4, 5);
}

/// Of draft-mcgrew-gcm-test-01. Its next header is 1 although it carries an IPv4 packet.
#[test]
fn packet_of_aes_256_gcm_opens() {
    let packet = "4a2cbfe300000002\
        0102030405060708\
        ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8e\
        b335f4eecfdbf831824b4c4915956c96";
    let keymat = "abbccddef00112233445566778899aababbccddef00112233445566778899aab11223344";
    let payload = "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402";
    let sa = inbound(0x4a2c_bfe3, aead(Suite::Aes256Gcm16, keymat), false, 1);
    opens_once(sa, &octets(packet), &octets(payload), 1, 2);
}

/// Likewise. Of its number the packet carries the low half; the window tells the high half, up to nearly 2³² ahead of its edge.
#[test]
fn packet_of_an_extended_number_opens_with_the_inferred_high_half() {
    let packet = octets(
        "42f67e3f10101010\
        4e280000a2fca1a3\
        fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c35791765acbd8701ad79845bf9fe3fba487bc91755e6662b4c8d0d1f5e2273\
        9530320a\
        e0d731cc978ecafaeae88f00e80d6e48",
    );
    let payload = octets(
        "4500003c99c300008001cb7c40679318010101010800085c02004300616263646566676869\
        6a6b6c6d6e6f7071727374757677616263646566676869",
    );
    let keymat = "3de09874b388e6491988d0c3607eae1f57690e43";
    let aead = || aead(Suite::Aes128Gcm16, keymat);
    let seq = 0x1010_1010_1010_1010;
    for behind in [1, 1 << 31, 0xffff_ff00] {
        let sa = inbound(0x42f6_7e3f, aead(), true, seq - behind);
        opens_once(sa, &packet, &payload, 1, seq);
    }
    let mut stale = inbound(0x42f6_7e3f, aead(), true, seq - (2 << 32) - 1);
    assert_eq!(stale.open(&mut packet.clone()), Err(DropReason::BadIcv));
}

/// Computed with OpenSSL: the packet of RFC 7634 appendix A, but for its IV, which is its number here.
#[test]
fn packet_is_sealed_with_its_number_as_iv() {
    let expected = "0102030400000005\
        0000000000000005\
        40a5013b9982a1c1c09ad9d6bec8c94941c3f1d4aed33e3399442ac42f9a1ffd9e252634d51c4d057b17a35746e1f0a8100d5535e0257cf69b0ecfeecfa03d50\
        388df7410ab7e134488998f9805abe8aa5f769f1c185bacf\
        59b4c9abdb85d98ff1b86b4dbf037444";
    let spi = Spi::new(0x0102_0304).unwrap();
    let aead = aead(Suite::ChaCha20Poly1305, CHACHA_KEYMAT);
    let mut sa = OutboundSa::new(spi, aead, false, 5..=5, lifetime());
    let payload = octets(ECHO);
    let mut packet = vec![0xee; packet_octets(sa.suite(), payload.len())];
    packet[prefix_octets(sa.suite())..][..payload.len()].copy_from_slice(&payload);
    assert_eq!(sa.seal(&mut packet, payload.len(), NEXT_IPV4), Ok(()));
    assert_eq!(packet, octets(expected));
}
