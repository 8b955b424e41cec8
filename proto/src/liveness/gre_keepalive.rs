//! The octets of a GRE keepalive: a request carries its own answer, which the peer decapsulates and forwards back to us.
//!
//! ```text
//! request on the wire  IP local → remote | GRE 0x0800 or 0x86dd | the inner packet
//! inner packet         IP remote → local | GRE 0 [key] | payload, if any
//! payload              sequence 4 | time µs 4 | SipHash-2-4 of sequence, time, tunnel id 8     big-endian; the digest little-endian
//! ```
//!
//! The peer sends the inner packet as it is, so the answer is known by its protocol type 0 (RouterOS writes 0x86dd) and proved
//! by the digest. Without payload the octets are those of routers, with TOS 0; with it the TOS is CS6.
//!
//! | octets (IPv4 / IPv6 delivery) | request | answer | keyed request | keyed answer |
//! |---|---|---|---|---|
//! | without payload | 48 / 88 | 24 / 44 | 56 / 96 | 28 / 48 |
//! | with payload | 64 / 104 | 40 / 60 | 72 / 112 | 44 / 64 |

use std::net::IpAddr;

use adit_crypto::SipHash24;

use super::proof::{self, PROOF_OCTETS};
use super::{Answer, Path};
use crate::wire::gre::{self, GreKey};
use crate::wire::ip;

/// Octets of the largest inner packet: IPv6 header, GRE header with key, payload.
pub const REQUEST_OCTETS_MAX: usize = 40 + 8 + PROOF_OCTETS;

const TOS_CS6: u8 = 0xc0;
const TTL: u8 = 255;

/// Makes the requests of one tunnel and knows their answers.
#[derive(Debug)]
pub struct Codec {
    key_in: Option<GreKey>,
    tunnel_id: u32,
    mac: Option<SipHash24>,
}

impl Codec {
    /// `key_in` is the key that packets to us carry; `mac`, under a key of this run, authenticates the payload, and without it
    /// there is none; `tunnel_id` sets the tunnels that share that key apart.
    #[must_use]
    pub fn new(key_in: Option<GreKey>, tunnel_id: u32, mac: Option<SipHash24>) -> Self {
        Self {
            key_in,
            tunnel_id,
            mac,
        }
    }

    /// TOS of both headers of a request.
    #[must_use]
    pub fn tos(&self) -> u8 {
        if self.mac.is_some() { TOS_CS6 } else { 0 }
    }

    /// GRE protocol type of a request over `path`: that of the inner packet.
    #[must_use]
    pub fn protocol(path: Path) -> u16 {
        match path.local {
            IpAddr::V4(_) => gre::PROTOCOL_IPV4,
            IpAddr::V6(_) => gre::PROTOCOL_IPV6,
        }
    }

    /// Writes the inner packet of request `seq`, sent at `time_us` of a clock of the caller's, and returns its octets: 0 if the
    /// addresses of `path` are of different families.
    pub fn request(
        &self,
        path: Path,
        seq: u32,
        time_us: u32,
        out: &mut [u8; REQUEST_OCTETS_MAX],
    ) -> usize {
        let gre = gre::Header::new(gre::PROTOCOL_KEEPALIVE, false, self.key_in, None);
        let payload = self.payload(seq, time_us);
        let payload = payload.as_ref().map_or(&[][..], <[u8; _]>::as_slice);
        let header = ip::OuterHeader {
            source: path.remote,
            destination: path.local,
            protocol: gre::IP_PROTOCOL,
            tos: self.tos(),
            ttl: TTL,
            df: false,
            payload_octets: u16::try_from(gre.octets + payload.len()).unwrap_or(u16::MAX),
            id: 0,
        };
        let ip_octets = ip::write_header(out, &header);
        if ip_octets == 0 {
            return 0;
        }
        let rest = out.get_mut(ip_octets..).unwrap_or_default();
        let gre_octets = gre.write(rest);
        for (place, &octet) in rest.iter_mut().skip(gre_octets).zip(payload) {
            *place = octet;
        }
        ip_octets + gre_octets + payload.len()
    }

    /// Which of our requests a GRE packet answers, as far as its octets tell; `body` is what follows the GRE header.
    ///
    /// With payload only the digest decides: an answer on a tunnel with `checksum` or `sequence` carries neither, and may come
    /// without the key. Without payload the packet must be exactly the one that we asked for.
    #[must_use]
    pub fn answer(&self, header: &gre::Header, body: &[u8]) -> Option<Answer> {
        let is_answer_protocol =
            header.protocol == gre::PROTOCOL_KEEPALIVE || header.protocol == gre::PROTOCOL_IPV6;
        if !is_answer_protocol {
            return None;
        }
        let Some(mac) = &self.mac else {
            let is_exact = !header.checksum && header.seq.is_none() && header.key == self.key_in;
            return (is_exact && body.is_empty()).then_some(Answer::Bare);
        };
        proof::verify(mac, self.tunnel_id, body).map(Answer::Sequence)
    }

    fn payload(&self, seq: u32, time_us: u32) -> Option<[u8; PROOF_OCTETS]> {
        let mac = self.mac.as_ref()?;
        Some(proof::make(mac, self.tunnel_id, seq, time_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::path;
    use adit_crypto::Secret;
    use proptest::prelude::*;

    const KEY: GreKey = GreKey(42);
    const PAYLOAD: &str = "00000007 12345678 4e11652bc259c227";

    fn codec(key_in: Option<GreKey>, payload: bool) -> Codec {
        let mut key = std::array::from_fn(|i| u8::try_from(i).unwrap());
        Codec::new(
            key_in,
            3,
            payload.then(|| SipHash24::new(&Secret::new(&mut key))),
        )
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter_map(|c| char::from(c).to_digit(16))
            .map(|digit| u8::try_from(digit).unwrap())
            .collect();
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn inner(codec: &Codec, path: Path) -> Vec<u8> {
        let mut out = [0xff; REQUEST_OCTETS_MAX];
        let octets = codec.request(path, 7, 0x1234_5678, &mut out);
        out[..octets].to_vec()
    }

    /// The request as it leaves: outer header of TTL 255 and plain or keyed GRE header before the inner packet.
    fn on_the_wire(codec: &Codec, path: Path) -> Vec<u8> {
        let inner = inner(codec, path);
        let gre = gre::Header::new(Codec::protocol(path), false, codec.key_in, None);
        let mut octets = vec![0; 60];
        let at = ip::write_header(
            &mut octets,
            &ip::OuterHeader {
                source: path.local,
                destination: path.remote,
                protocol: gre::IP_PROTOCOL,
                tos: codec.tos(),
                ttl: 255,
                df: false,
                payload_octets: u16::try_from(gre.octets + inner.len()).unwrap(),
                id: 0,
            },
        );
        let end = at + gre.write(&mut octets[at..]);
        octets.truncate(end);
        octets.extend_from_slice(&inner);
        octets
    }

    fn assert_octets(
        codec: &Codec,
        path: Path,
        request: &str,
        answer: &str,
        sizes: (usize, usize),
    ) {
        let answer = hex(answer);
        let request = [hex(request), answer.clone()].concat();
        assert_eq!(on_the_wire(codec, path), request);
        assert_eq!((request.len(), answer.len()), sizes);
    }

    #[test]
    fn octets_of_a_router_over_ipv4() {
        let path = path("192.0.2.1", "198.51.100.2");
        assert_octets(
            &codec(None, false),
            path,
            "4500 0030 0000 0000 ff2f cf67 c000 0201 c633 6402 | 0000 0800",
            "4500 0018 0000 0000 ff2f cf7f c633 6402 c000 0201 | 0000 0000",
            (48, 24),
        );
        assert_octets(
            &codec(Some(KEY), false),
            path,
            "4500 0038 0000 0000 ff2f cf5f c000 0201 c633 6402 | 2000 0800 0000 002a",
            "4500 001c 0000 0000 ff2f cf7b c633 6402 c000 0201 | 2000 0000 0000 002a",
            (56, 28),
        );
    }

    #[test]
    fn octets_with_payload_over_ipv4() {
        let path = path("192.0.2.1", "198.51.100.2");
        assert_octets(
            &codec(None, true),
            path,
            "45c0 0040 0000 0000 ff2f ce97 c000 0201 c633 6402 | 0000 0800",
            &format!("45c0 0028 0000 0000 ff2f ceaf c633 6402 c000 0201 | 0000 0000 | {PAYLOAD}"),
            (64, 40),
        );
        assert_octets(
            &codec(Some(KEY), true),
            path,
            "45c0 0048 0000 0000 ff2f ce8f c000 0201 c633 6402 | 2000 0800 0000 002a",
            &format!(
                "45c0 002c 0000 0000 ff2f ceab c633 6402 c000 0201 | 2000 0000 0000 002a | {PAYLOAD}"
            ),
            (72, 44),
        );
    }

    #[test]
    fn octets_over_ipv6() {
        let path = path("2001:db8::1", "2001:db8:1::2");
        let local = "20010db8 00000000 00000000 00000001";
        let remote = "20010db8 00010000 00000000 00000002";
        assert_octets(
            &codec(None, false),
            path,
            &format!("60000000 0030 2f ff {local} {remote} | 0000 86dd"),
            &format!("60000000 0004 2f ff {remote} {local} | 0000 0000"),
            (88, 44),
        );
        assert_octets(
            &codec(Some(KEY), false),
            path,
            &format!("60000000 0038 2f ff {local} {remote} | 2000 86dd 0000 002a"),
            &format!("60000000 0008 2f ff {remote} {local} | 2000 0000 0000 002a"),
            (96, 48),
        );
        assert_octets(
            &codec(None, true),
            path,
            &format!("6c000000 0040 2f ff {local} {remote} | 0000 86dd"),
            &format!("6c000000 0014 2f ff {remote} {local} | 0000 0000 | {PAYLOAD}"),
            (104, 60),
        );
        assert_octets(
            &codec(Some(KEY), true),
            path,
            &format!("6c000000 0048 2f ff {local} {remote} | 2000 86dd 0000 002a"),
            &format!("6c000000 0018 2f ff {remote} {local} | 2000 0000 0000 002a | {PAYLOAD}"),
            (112, 64),
        );
    }

    #[test]
    fn an_independent_parser_agrees_with_the_inner_packet() {
        for path in [
            path("192.0.2.1", "198.51.100.2"),
            path("2001:db8::1", "2001:db8:1::2"),
        ] {
            let inner = inner(&codec(Some(KEY), true), path);
            let sliced = etherparse::SlicedPacket::from_ip(&inner).unwrap();
            let net = sliced.net.unwrap();
            let payload = net.ip_payload_ref().unwrap();
            assert_eq!(payload.ip_number, etherparse::IpNumber::GRE);
            assert_eq!(payload.payload.len(), 8 + PROOF_OCTETS);
            let (source, dscp) = match &net {
                etherparse::NetSlice::Ipv4(ip) => {
                    let header = ip.header().to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    (IpAddr::from(header.source), header.dscp.value())
                }
                etherparse::NetSlice::Ipv6(ip) => (
                    IpAddr::from(ip.header().source()),
                    ip.header().traffic_class() >> 2,
                ),
                etherparse::NetSlice::Arp(_) => panic!("an IP packet"),
            };
            assert_eq!((source, dscp), (path.remote, 48));
        }
    }

    fn header(protocol: u16, key: Option<GreKey>) -> gre::Header {
        gre::Header::new(protocol, false, key, None)
    }

    #[test]
    fn the_digest_makes_an_answer_with_or_without_the_key_and_under_either_protocol_type() {
        let (codec, payload) = (codec(Some(KEY), true), hex(PAYLOAD));
        let ours = Some(Answer::Sequence(7));
        for key in [None, Some(KEY)] {
            for protocol in [gre::PROTOCOL_KEEPALIVE, gre::PROTOCOL_IPV6] {
                assert_eq!(codec.answer(&header(protocol, key), &payload), ours);
            }
            assert_eq!(
                codec.answer(&header(gre::PROTOCOL_IPV4, key), &payload),
                None
            );
            let protocol = gre::PROTOCOL_KEEPALIVE;
            assert_eq!(codec.answer(&header(protocol, key), &[]), None);
        }
    }

    #[test]
    fn an_answer_to_another_tunnel_or_another_run_is_not_ours() {
        let (header, payload) = (header(0, None), hex(PAYLOAD));
        let mac = |octet| SipHash24::new(&Secret::new(&mut [octet; 16]));
        assert_eq!(
            Codec::new(None, 3, Some(mac(1))).answer(&header, &payload),
            None
        );
        let mut other = codec(None, true);
        other.tunnel_id = 4;
        assert_eq!(other.answer(&header, &payload), None);
    }

    #[test]
    fn without_payload_only_the_exact_answer_is_one() {
        let codec = codec(Some(KEY), false);
        assert_eq!(codec.answer(&header(0, Some(KEY)), &[]), Some(Answer::Bare));
        assert_eq!(codec.answer(&header(0, None), &[]), None);
        assert_eq!(codec.answer(&header(0, Some(GreKey(43))), &[]), None);
        assert_eq!(codec.answer(&header(0, Some(KEY)), &[0]), None);
        let checksummed = gre::Header::new(0, true, Some(KEY), None);
        assert_eq!(codec.answer(&checksummed, &[]), None);
    }

    #[test]
    fn addresses_of_different_families_give_no_request() {
        let mut out = [0; REQUEST_OCTETS_MAX];
        let mixed = path("192.0.2.1", "2001:db8::1");
        assert_eq!(codec(None, true).request(mixed, 0, 0, &mut out), 0);
    }

    proptest! {
        #[test]
        fn what_was_asked_is_recognised_and_any_flipped_bit_is_not(
            seq: u32, time_us: u32, key: Option<u32>, bit in 0..PROOF_OCTETS * 8,
        ) {
            let codec = codec(key.map(GreKey), true);
            let path = path("192.0.2.1", "198.51.100.2");
            let mut out = [0; REQUEST_OCTETS_MAX];
            let octets = codec.request(path, seq, time_us, &mut out);
            let header = gre::parse(&out[20..octets]).unwrap();
            let payload = &mut out[20 + header.octets..octets];
            prop_assert_eq!(codec.answer(&header, payload), Some(Answer::Sequence(seq)));
            payload[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(codec.answer(&header, payload), None);
        }
    }
}
