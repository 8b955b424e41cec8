//! An Easy VPN server that a test plays: aggressive mode, XAUTH, Mode Config, quick mode.

use std::sync::Arc;
use std::time::Duration;

use adit_crypto::SecretBytes;
use adit_crypto::v1::KeyPair;

use super::super::chain::Iv;
use super::super::hash::Which;
use super::super::message::Contents;
use super::super::sa::Phase1;
use super::super::session::Session;
use super::super::*;
use super::net::*;
use crate::ike::{Event, Identity};
use crate::wire::isakmp::attribute::{config, xauth};
use crate::wire::isakmp::{
    Attribute, ConfigKind, ExchangeType, Flags, Header, Payload, VendorId, Writer, kind,
    write_message,
};

const SECOND: Duration = Duration::from_secs(1);
pub(super) const COOKIE: u64 = 0x5e7e7e7e;

pub(super) fn remote(client_mode: bool) -> Connection {
    Connection {
        local_id: Identity::KeyId(b"unity".to_vec()),
        remote_id: None,
        remote_ts: selector("0.0.0.0-255.255.255.255"),
        easy_vpn: Some(EasyVpn {
            user: "alice".to_owned(),
            password: Arc::new(SecretBytes::from_slice(b"alice-pass")),
            client_mode,
        }),
        ..connection(A)
    }
}

/// The server's end of an ISAKMP SA.
pub(super) struct Server {
    pub(super) net: Net,
    pub(super) cky_i: u64,
    pub(super) session: Session,
    pub(super) iv: Iv,
    pub(super) next_id: u32,
    /// The client's last message that was taken, as it came.
    pub(super) taken: Vec<u8>,
}

impl Server {
    /// Answers the aggressive mode of `connection` with that key.
    pub(super) fn answer(connection: Connection, key: &[u8]) -> Self {
        let mut net = Net::with(connection, super::net::connection(B));
        net.weather = Box::new(|_, _| Vec::new());
        net.initiate(A);
        Self::of(net, key)
    }

    /// Answers the aggressive mode that was begun last.
    pub(super) fn of(net: Net, key: &[u8]) -> Self {
        let first = last(&net, A);
        let header = Header::parse(&first).unwrap();
        assert_eq!(header.exchange, ExchangeType::Aggressive);
        let contents = Contents::plain(header, &first).unwrap();
        assert_eq!(contents.ids().next().unwrap().kind, 11);
        assert!(contents.knows(VendorId::Xauth) && contents.knows(VendorId::Dpd));
        let body = contents.sa().map(|(_, body)| body.to_vec());
        let proposal = ike("aes256-sha256-x25519");
        let key_pair = KeyPair::generate(proposal.group).unwrap();
        let mut exchange = Phase1 {
            sa_i: body.unwrap(),
            nonce_i: contents.nonce().unwrap().to_vec(),
            nonce_r: vec![3; 32],
            g_xi: contents.ke().unwrap().to_vec(),
            g_xr: key_pair.public().to_vec(),
            ..Phase1::default()
        };
        let g_xy = key_pair.agree(&exchange.g_xi).unwrap();
        let cookies = (header.cky_i, COOKIE);
        let psk = SecretBytes::from_slice(key);
        let session = Session::new(&proposal, &psk, &exchange, cookies, &g_xy).unwrap();
        let id = Identity::Fqdn("server.example".to_owned()).body();
        let proof = session.proof(&exchange, cookies, false, &id);
        let mut writer = Writer::new();
        writer
            .raw(kind::SA, &exchange.sa_i)
            .ke(&exchange.g_xr)
            .nonce(&exchange.nonce_r)
            .raw(kind::ID, &id)
            .hash(proof.expose());
        writer.vendor_id(VendorId::Dpd.octets());
        let (kind, chain) = writer.finish();
        let header = Header::new(cookies.0, COOKIE, ExchangeType::Aggressive, Flags::CLEAR, 0);
        exchange.key_pair = None;
        let mut server = Self {
            iv: session.first_iv(&exchange),
            session,
            net,
            cky_i: cookies.0,
            next_id: 100,
            taken: Vec::new(),
        };
        server.net.sent.clear();
        server.deliver(write_message(&header, kind, &chain));
        server
    }

    pub(super) fn deliver(&mut self, octets: Vec<u8>) {
        let flight = flight(&self.net, A, octets);
        self.net.deliver(&flight);
    }

    /// The client's next message, decrypted, and the IV after it.
    pub(super) fn take(&mut self, iv: &Iv) -> (Header, Vec<u8>, Iv) {
        let (_, octets) = self.net.sent.pop_front().expect("a message of the client");
        let header = Header::parse(&octets).unwrap();
        let mut chain = Vec::new();
        let opened = self.session.open(iv, (header, &octets), &mut chain);
        let next = opened.unwrap().next_iv.unwrap();
        self.taken = octets;
        (header, chain, next)
    }

    /// Takes the third message of aggressive mode.
    pub(super) fn take_proof(&mut self) {
        let iv = self.iv.clone();
        let (header, _, next) = self.take(&iv);
        assert_eq!(header.exchange, ExchangeType::Aggressive);
        self.iv = next;
    }

    /// Sends attributes in an exchange of the server, and gives those of the answer.
    pub(super) fn transact(
        &mut self,
        config: ConfigKind,
        attributes: &[Attribute<'_>],
    ) -> Option<Vec<(u16, usize)>> {
        self.next_id += 1;
        let message_id = self.next_id;
        let iv = self.session.exchange_iv(&self.iv, message_id);
        let mut writer = Writer::new();
        writer.attributes(config, 9, attributes);
        let next = self.send(message_id, &iv, &mut writer);
        if self.net.sent.is_empty() {
            return None;
        }
        let (_, chain, _) = self.take(&next);
        Some(attributes_of(&chain))
    }

    pub(super) fn send(&mut self, message_id: u32, iv: &Iv, writer: &mut Writer) -> Iv {
        let chain = self.session.hashed(message_id, Which::First, writer);
        let exchange = ExchangeType::Transaction;
        let header = Header::new(self.cky_i, COOKIE, exchange, Flags::CLEAR, message_id);
        let sealed = self.session.seal(iv, &header, kind::HASH, chain).unwrap();
        self.deliver(sealed.octets);
        sealed.iv
    }
}

/// Types and lengths.
pub(super) fn attributes_of(chain: &[u8]) -> Vec<(u16, usize)> {
    let opened = crate::wire::isakmp::opened(kind::HASH, chain).unwrap();
    let Some(Payload::Attributes(told)) = opened.payloads.get(1) else {
        panic!("no attributes");
    };
    let of = |attribute: &Attribute<'_>| match attribute.value {
        crate::wire::isakmp::Value::Long(octets) => (attribute.kind, octets.len()),
        crate::wire::isakmp::Value::Short(_) => (attribute.kind, 2),
    };
    told.attributes.iter().map(of).collect()
}

pub(super) const ASK_USER: [Attribute<'static>; 2] = [
    Attribute::long(xauth::USER_NAME, &[]),
    Attribute::long(xauth::USER_PASSWORD, &[]),
];

/// A server that has let the user in, and the client's request for what it is assigned.
pub(super) fn let_in(client_mode: bool) -> (Server, Header, Vec<(u16, usize)>, Iv) {
    let_in_as(remote(client_mode))
}

pub(super) fn let_in_as(connection: Connection) -> (Server, Header, Vec<(u16, usize)>, Iv) {
    let mut server = Server::answer(connection, PSK);
    server.take_proof();
    let answer = server.transact(ConfigKind::Request, &ASK_USER);
    assert_eq!(
        answer,
        Some(vec![(xauth::USER_NAME, 5), (xauth::USER_PASSWORD, 10)])
    );
    let accepted = [Attribute::short(xauth::STATUS, 1)];
    assert_eq!(
        server.transact(ConfigKind::Set, &accepted),
        Some(vec![(xauth::STATUS, 0)])
    );
    let octets = &server.net.sent[0].1;
    let message_id = Header::parse(octets).unwrap().message_id;
    let iv = server.session.exchange_iv(&server.iv, message_id);
    let (header, chain, next) = server.take(&iv);
    (server, header, attributes_of(&chain), next)
}

pub(super) fn configured(server: &Server) -> Assigned {
    let of = |event: &Event| {
        let Event::Configured(_, assigned) = event else {
            return None;
        };
        Some((**assigned).clone())
    };
    server.net.sides[A].events.iter().find_map(of).unwrap()
}

pub(super) fn delete_of(server: &mut Server) {
    server.next_id += 1;
    let message_id = server.next_id;
    let iv = server.session.exchange_iv(&server.iv, message_id);
    let mut writer = Writer::new();
    writer.delete_isakmp(&informational::cookies((server.cky_i, COOKIE)));
    let chain = server.session.hashed(message_id, Which::First, &mut writer);
    let exchange = ExchangeType::Informational;
    let header = Header::new(server.cky_i, COOKIE, exchange, Flags::CLEAR, message_id);
    let sealed = server
        .session
        .seal(&iv, &header, kind::HASH, chain)
        .unwrap();
    server.deliver(sealed.octets);
}

/// The server lets the user in and assigns that address; the client's first message of quick mode, if it sends one.
pub(super) fn assign(server: &mut Server, address: [u8; 4]) -> Option<(Header, Vec<u8>)> {
    server.take_proof();
    server.transact(ConfigKind::Request, &ASK_USER);
    server.transact(ConfigKind::Set, &[Attribute::short(xauth::STATUS, 1)]);
    let message_id = Header::parse(&server.net.sent[0].1).unwrap().message_id;
    let iv = server.session.exchange_iv(&server.iv, message_id);
    let (header, _, next) = server.take(&iv);
    let mut writer = Writer::new();
    let address = Attribute::long(config::IP4_ADDRESS, &address);
    writer.attributes(ConfigKind::Reply, 9, &[address]);
    server.send(header.message_id, &next, &mut writer);
    server.net.run(SECOND);
    let (_, quick) = server.net.sent.pop_front()?;
    Some((Header::parse(&quick).unwrap(), quick))
}

/// Answers a quick mode without a key exchange of its own.
pub(super) fn answer_quick(server: &mut Server, (header, quick): &(Header, Vec<u8>)) {
    let iv = server.session.exchange_iv(&server.iv, header.message_id);
    let mut chain = Vec::new();
    let contents = server.session.open(&iv, (*header, quick), &mut chain);
    let contents = contents.unwrap();
    let next = contents.next_iv.clone().unwrap();
    let (mut writer, ni) = (Writer::new(), contents.nonce().unwrap());
    writer
        .raw(kind::SA, contents.sa().unwrap().1)
        .nonce(&[5; 32]);
    for id in contents.ids() {
        writer.raw(kind::ID, &id.body());
    }
    let which = Which::Second { ni };
    let chain = server.session.hashed(header.message_id, which, &mut writer);
    let exchange = ExchangeType::Quick;
    let answer = Header::new(
        server.cky_i,
        COOKIE,
        exchange,
        Flags::CLEAR,
        header.message_id,
    );
    let sealed = server
        .session
        .seal(&next, &answer, kind::HASH, chain)
        .unwrap();
    server.deliver(sealed.octets);
    server.net.sent.clear();
}
