//! The other end of an IKEv1 endpoint, with its keys: what stands behind phase 1 reaches the machine as a peer would send it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::SecretBytes;
use adit_crypto::v1::{CbcKey, Cipher, Group, Hash, KeyPair};
use adit_proto::ike::{
    ChildMode, Command, ConnectionId, EndpointConfig, Event, Identity, Path, Random, RekeyTimes,
    Retransmit,
};
use adit_proto::ikev1::chain::{self, Iv};
use adit_proto::ikev1::hash::{Exchanged, Which, of_message, proves};
use adit_proto::ikev1::keys::{IsakmpKeys, Seeds};
use adit_proto::ikev1::proposal::{Authentication, Life, ike_offer};
use adit_proto::ikev1::{Connection, EasyVpn, Endpoint};
use adit_proto::wire::ike::TrafficSelector;
use adit_proto::wire::isakmp::{
    ExchangeType, Flags, HEADER_OCTETS, Header, Payload, VendorId, Writer, behind_hash, kind,
    opened, payloads, write_message,
};

use super::clock::epoch;

pub(crate) const ID: ConnectionId = ConnectionId(1);
pub(crate) const PASSWORD: &[u8] = b"a password that is hers";
const HASH: Hash = Hash::Sha256;
const CIPHER: Cipher = Cipher::Aes128Cbc;
const GROUP: Group = Group::X25519;
/// The cookie of this end.
const COOKIE: u64 = 0x5eed_5eed_5eed_5eed;

struct Counter(u64);

impl Random for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *octet = self.0.to_be_bytes()[0];
        }
    }
}

/// See the module.
pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    pub(crate) keys: IsakmpKeys,
    cipher: CbcKey,
    cookies: (u64, u64),
    /// The last block of phase 1.
    phase_1: Iv,
    next_id: u32,
    /// What the endpoint sent.
    sent: BTreeSet<Vec<u8>>,
}

fn path() -> Path {
    let at = |last| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 500);
    Path {
        local: at(1),
        remote: at(2),
    }
}

fn selector(start: [u8; 4], end: [u8; 4]) -> TrafficSelector {
    TrafficSelector::new(0, IpAddr::from(start), IpAddr::from(end))
}

/// What the endpoint is configured with.
pub(crate) fn connection(easy_vpn: Option<EasyVpn>) -> Connection {
    let times = |rekey: u64| RekeyTimes {
        rekey: Duration::from_secs(rekey),
        jitter: Duration::from_secs(rekey / 10),
        hard: Duration::from_secs(rekey * 2),
    };
    let name = match &easy_vpn {
        Some(_) => Identity::KeyId(b"unity".to_vec()),
        None => Identity::Fqdn("a.example".to_owned()),
    };
    Connection {
        remotes: Some(vec![path().remote.ip()]),
        local_id: name,
        remote_id: Some(Identity::Fqdn("b.example".to_owned())),
        psk: Arc::new(SecretBytes::from_slice(b"a key that both ends have")),
        ike: vec!["aes128-sha256-x25519".parse().unwrap()],
        esp: ["aes256-sha256", "aes128gcm16", "aes128-sha256"]
            .map(|words| words.parse().unwrap())
            .to_vec(),
        mode: ChildMode::Tunnel,
        local_ts: selector([10, 1, 0, 0], [10, 1, 255, 255]),
        remote_ts: selector([0, 0, 0, 0], [255, 255, 255, 255]),
        ike_lifetime: times(600),
        child_lifetime: times(120),
        child_kilobytes: None,
        retransmit: Retransmit {
            first: Duration::from_secs(1),
            base_per_mille: 1500,
            tries: 4,
            most: Duration::from_secs(10),
        },
        nat_traversal: false,
        force_udp: false,
        easy_vpn,
    }
}

/// A message in the clear.
fn plain(header: (u64, u64, ExchangeType), writer: &mut Writer) -> Vec<u8> {
    let (cky_i, cky_r, exchange) = header;
    let header = Header::new(cky_i, cky_r, exchange, Flags::CLEAR, 0);
    let (first, chain) = writer.finish();
    write_message(&header, first, &chain)
}

/// The public value and the nonce of a message in the clear, and the body of its SA payload if it has one.
fn exchanged(header: &Header, octets: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let read = payloads(header.next_payload, &octets[HEADER_OCTETS..]).unwrap();
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for payload in &read {
        if let Payload::Ke(public) = payload {
            all.0 = public.to_vec();
        } else if let Payload::Nonce(nonce) = payload {
            all.1 = nonce.to_vec();
        } else if let Payload::Sa { body, .. } = payload {
            all.2 = body.to_vec();
        }
    }
    all
}

impl Peer {
    /// The initiator of an SA with an endpoint that answers.
    pub(crate) fn initiator() -> Self {
        let (mut endpoint, now) = endpoint(None);
        let ours = connection(None);
        let sa_i = ike_offer(&ours.ike, Authentication::PreShared, &Life::default());
        let mut writer = Writer::new();
        writer.raw(kind::SA, &sa_i);
        writer.vendor_id(VendorId::Dpd.octets());
        let main = ExchangeType::IdentityProtection;
        let answer = ask(&mut endpoint, now, &plain((COOKIE, 0, main), &mut writer));
        let cookies = (COOKIE, Header::parse(&answer).unwrap().cky_r);
        let key_pair = KeyPair::generate(GROUP).unwrap();
        let (g_xi, ni) = (key_pair.public().to_vec(), vec![3; 32]);
        let mut writer = Writer::new();
        writer.ke(&g_xi).nonce(&ni);
        let answer = ask(
            &mut endpoint,
            now,
            &plain((cookies.0, cookies.1, main), &mut writer),
        );
        let (g_xr, nr, _) = exchanged(&Header::parse(&answer).unwrap(), &answer);
        let (keys, cipher) = derive(key_pair, &g_xr, (&ni, &nr), cookies);
        let iv = Iv::of_phase_1(HASH, CIPHER, &g_xi, &g_xr);
        let body = Identity::Fqdn("b.example".to_owned()).body();
        let exchanged = Exchanged {
            g_xi: &g_xi,
            g_xr: &g_xr,
            cky_i: cookies.0,
            cky_r: cookies.1,
            sai_b: &sa_i,
        };
        let proof = exchanged.hash_i(HASH, &keys.skeyid, &body);
        let mut writer = Writer::new();
        writer.raw(kind::ID, &body).hash(proof.expose());
        let (first, chain) = writer.finish();
        let header = Header::new(cookies.0, cookies.1, main, Flags::CLEAR, 0);
        let (octets, iv) = chain::seal(&cipher, &iv, &header, first, chain).unwrap();
        let answer = ask(&mut endpoint, now, &octets);
        let header = Header::parse(&answer).unwrap();
        let (_, phase_1) = chain::open(&cipher, &iv, &header, &answer).unwrap();
        Self::of(endpoint, now, (keys, cipher), cookies, phase_1)
    }

    /// The server of an Easy VPN remote.
    pub(crate) fn server(client_mode: bool) -> Self {
        let (mut endpoint, now) = endpoint(Some(EasyVpn {
            user: "alice".to_owned(),
            password: Arc::new(SecretBytes::from_slice(PASSWORD)),
            client_mode,
        }));
        endpoint
            .handle_command(now, Command::Initiate(ID, path()))
            .unwrap();
        let first = endpoint.poll_transmit().unwrap().octets;
        let header = Header::parse(&first).unwrap();
        let (g_xi, ni, sa_i) = exchanged(&header, &first);
        let cookies = (header.cky_i, COOKIE);
        let key_pair = KeyPair::generate(GROUP).unwrap();
        let (g_xr, nr) = (key_pair.public().to_vec(), vec![3; 32]);
        let (keys, cipher) = derive(key_pair, &g_xi, (&ni, &nr), cookies);
        let body = Identity::Fqdn("b.example".to_owned()).body();
        let exchanged = Exchanged {
            g_xi: &g_xi,
            g_xr: &g_xr,
            cky_i: cookies.0,
            cky_r: cookies.1,
            sai_b: &sa_i,
        };
        let proof = exchanged.hash_r(HASH, &keys.skeyid, &body);
        let mut writer = Writer::new();
        writer.raw(kind::SA, &sa_i).ke(&g_xr).nonce(&nr);
        writer.raw(kind::ID, &body).hash(proof.expose());
        let aggressive = (cookies.0, cookies.1, ExchangeType::Aggressive);
        let answer = ask(&mut endpoint, now, &plain(aggressive, &mut writer));
        let header = Header::parse(&answer).unwrap();
        let iv = Iv::of_phase_1(HASH, CIPHER, &g_xi, &g_xr);
        let (_, phase_1) = chain::open(&cipher, &iv, &header, &answer).unwrap();
        Self::of(endpoint, now, (keys, cipher), cookies, phase_1)
    }

    fn of(
        endpoint: Endpoint,
        now: Instant,
        (keys, cipher): (IsakmpKeys, CbcKey),
        cookies: (u64, u64),
        phase_1: Iv,
    ) -> Self {
        Self {
            endpoint,
            now,
            keys,
            cipher,
            cookies,
            phase_1,
            next_id: 0x100,
            sent: BTreeSet::new(),
        }
    }

    /// An ID for a new exchange of this end.
    pub(crate) fn message_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The IV of an exchange's first message.
    pub(crate) fn iv(&self, message_id: u32) -> Iv {
        self.phase_1.of_exchange(HASH, CIPHER, message_id)
    }

    /// A message of that chain behind a HASH that verifies, and the IV of the next.
    pub(crate) fn seal(
        &self,
        (exchange, message_id): (ExchangeType, u32),
        iv: &Iv,
        which: Which<'_>,
        (first, chain): (u8, &[u8]),
    ) -> (Vec<u8>, Iv) {
        let hash = of_message(HASH, &self.keys.skeyid_a, message_id, which, chain);
        let chain = behind_hash(hash.expose(), first, chain);
        let (cky_i, cky_r) = self.cookies;
        let header = Header::new(cky_i, cky_r, exchange, Flags::CLEAR, message_id);
        chain::seal(&self.cipher, iv, &header, kind::HASH, chain).unwrap()
    }

    /// What a message of the endpoint says, which has to be behind a HASH that verifies, and the IV of the next.
    pub(crate) fn open<T>(
        &self,
        iv: &Iv,
        which: Which<'_>,
        octets: &[u8],
        see: impl FnOnce(&[Payload<'_>]) -> T,
    ) -> (T, Iv) {
        let header = Header::parse(octets).unwrap();
        let (chain, next) = chain::open(&self.cipher, iv, &header, octets).unwrap();
        let opened = opened(header.next_payload, &chain).unwrap();
        let id = header.message_id;
        assert!(proves(HASH, &self.keys.skeyid_a, id, which, &opened));
        (see(&opened.payloads), next)
    }

    /// Has a message arrive.
    pub(crate) fn deliver(&mut self, octets: &[u8]) {
        self.endpoint.handle_datagram(self.now, path(), octets);
    }

    /// What the endpoint tells and sends, repetitions left out.
    pub(crate) fn drain(&mut self) -> (Vec<Event>, Vec<(Header, Vec<u8>)>) {
        let events = std::iter::from_fn(|| self.endpoint.poll_event());
        let events = events.filter(|event| !matches!(event, Event::Trace(..)));
        let events = events.collect();
        let sent = std::iter::from_fn(|| self.endpoint.poll_transmit());
        let fresh = sent.filter(|transmit| self.sent.insert(transmit.octets.clone()));
        let sent = fresh.map(|transmit| {
            assert!(transmit.octets.len() < 4096, "a long answer");
            let header = Header::parse(&transmit.octets).unwrap();
            (header, transmit.octets)
        });
        (events, sent.collect())
    }

    /// Whether a message is of this SA and not of one that is to come in its place.
    pub(crate) fn is_of_sa(&self, header: &Header) -> bool {
        (header.cky_i, header.cky_r) == self.cookies
    }

    /// Lets time pass until `until`, one deadline at a call. False when there is none any more before it.
    pub(crate) fn pass(&mut self, until: Instant) -> bool {
        match self.endpoint.poll_timeout().filter(|(at, _)| *at <= until) {
            Some((at, _)) => {
                self.now = self.now.max(at);
                self.endpoint.handle_timeout(self.now);
                assert_ne!(
                    self.endpoint.poll_timeout().map(|(next, _)| next <= at),
                    Some(true),
                    "a deadline that is never used up"
                );
                true
            }
            None => {
                self.now = until;
                false
            }
        }
    }
}

fn endpoint(easy_vpn: Option<EasyVpn>) -> (Endpoint, Instant) {
    let now = epoch();
    let mut endpoint = Endpoint::new(EndpointConfig::default(), Box::new(Counter(1)));
    endpoint.add(now, ID, connection(easy_vpn)).unwrap();
    (endpoint, now)
}

/// The endpoint's answer.
fn ask(endpoint: &mut Endpoint, now: Instant, octets: &[u8]) -> Vec<u8> {
    endpoint.handle_datagram(now, path(), octets);
    endpoint.poll_transmit().unwrap().octets
}

fn derive(
    key_pair: KeyPair,
    theirs: &[u8],
    (ni, nr): (&[u8], &[u8]),
    (cky_i, cky_r): (u64, u64),
) -> (IsakmpKeys, CbcKey) {
    let g_xy = key_pair.agree(theirs).unwrap();
    let seeds = Seeds {
        ni,
        nr,
        cky_i,
        cky_r,
    };
    let psk = SecretBytes::from_slice(b"a key that both ends have");
    let keys = IsakmpKeys::derive(HASH, &psk, &seeds, &g_xy);
    let cipher = keys.cipher_key(HASH, CIPHER).unwrap();
    (keys, cipher)
}

/// The next step of an input: `what 1 | of 1 | octets 1 | that many`, cut off at its end.
pub(crate) fn step<'a>(input: &mut &'a [u8]) -> Option<(u8, u8, &'a [u8])> {
    let (head, rest) = input.split_at_checked(3)?;
    let (body, rest) = rest.split_at(rest.len().min(head[2].into()));
    *input = rest;
    Some((head[0], head[1], body))
}
