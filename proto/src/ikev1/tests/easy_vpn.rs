//! An Easy VPN remote against a server that the test plays.

use std::time::Duration;

use super::super::hash::Which;
use super::super::*;
use super::easy_server::*;
use super::net::*;
use crate::ike::{Command, Event, Identity, What};
use crate::wire::isakmp::attribute::{config, unity, xauth};
use crate::wire::isakmp::{
    Attribute, ConfigKind, ExchangeType, Flags, Header, Writer, kind, write_message,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_client_gets_an_address_and_asks_for_a_pair_of_it() {
    let (mut server, header, wanted, iv) = let_in(true);
    assert!(wanted.contains(&(config::IP4_ADDRESS, 0)));
    assert!(wanted.contains(&(unity::SPLIT_INCLUDE, 0)));
    let mut writer = Writer::new();
    writer.attributes(
        ConfigKind::Reply,
        9,
        &[
            Attribute::long(config::IP4_ADDRESS, &[10, 77, 9, 10]),
            Attribute::long(config::IP4_DNS, &[10, 77, 2, 53]),
            Attribute::long(unity::DEFAULT_DOMAIN, b"ik.test"),
        ],
    );
    server.send(header.message_id, &iv, &mut writer);
    let assigned = configured(&server);
    assert_eq!(assigned.address, Some([10, 77, 9, 10].into()));
    assert_eq!(assigned.default_domain.as_deref(), Some("ik.test"));
    assert!(server.net.sides[A].up);
    server.net.run(SECOND);
    let quick = server.net.sent[0].1.clone();
    let header = Header::parse(&quick).unwrap();
    assert_eq!(header.exchange, ExchangeType::Quick);
    let iv = server.session.exchange_iv(&server.iv, header.message_id);
    let mut chain = Vec::new();
    let contents = server.session.open(&iv, (header, &quick), &mut chain);
    let contents = contents.unwrap();
    assert!(server.session.proves(Which::First, &contents));
    assert_eq!(contents.ids().next().unwrap().data, [10, 77, 9, 10]);
}

#[test]
fn a_network_extension_asks_for_no_address() {
    let (mut server, header, wanted, iv) = let_in(false);
    assert!(!wanted.contains(&(config::IP4_ADDRESS, 0)));
    let mut writer = Writer::new();
    writer.attributes(ConfigKind::Reply, 9, &[]);
    server.send(header.message_id, &iv, &mut writer);
    assert!(server.net.sides[A].up);
}

#[test]
fn a_refused_password_ends_the_attempt_and_is_not_tried_again() {
    let mut server = Server::answer(remote(true), PSK);
    server.take_proof();
    server.transact(ConfigKind::Request, &ASK_USER);
    server.transact(ConfigKind::Set, &[Attribute::short(xauth::STATUS, 0)]);
    assert_eq!(
        server.net.sides[A].failures(),
        ["Easy VPN: the server refused user and password"]
    );
    server.net.sent.clear();
    server.net.run(SECOND * 1000);
    assert!(server.net.sent.is_empty());
    assert_eq!(server.net.sides[A].endpoint.sas(), 0);
}

#[test]
fn a_server_that_asks_again_gets_the_password_no_second_time() {
    let mut server = Server::answer(remote(true), PSK);
    server.take_proof();
    assert!(server.transact(ConfigKind::Request, &ASK_USER).is_some());
    let only_user = [Attribute::long(xauth::USER_NAME, &[])];
    let again = server.transact(ConfigKind::Request, &only_user);
    assert_eq!(again, Some(vec![(xauth::USER_NAME, 5)]));
    let message_id = server.next_id + 1;
    let iv = server.session.exchange_iv(&server.iv, message_id);
    let mut writer = Writer::new();
    writer.attributes(ConfigKind::Request, 9, &ASK_USER);
    server.send(message_id, &iv, &mut writer);
    assert_eq!(
        server.net.sides[A].failures(),
        ["Easy VPN: the server asks again: it refused user and password"]
    );
    let sent = server.net.sent.iter().map(|(_, octets)| octets);
    let exchanges: Vec<_> = sent
        .map(|octets| Header::parse(octets).unwrap().exchange)
        .collect();
    assert_eq!(exchanges, [ExchangeType::Informational]);
}

#[test]
fn our_own_request_that_comes_back_is_no_question_of_the_server() {
    let (mut server, header, _, iv) = let_in(true);
    let asked = server.taken.clone();
    let mut writer = Writer::new();
    let address = Attribute::long(config::IP4_ADDRESS, &[10, 77, 9, 10]);
    writer.attributes(ConfigKind::Reply, 9, &[address]);
    server.deliver(asked.clone());
    server.send(header.message_id, &iv, &mut writer);
    server.net.sent.clear();
    server.deliver(asked);
    assert!(server.net.sent.is_empty());
    assert!(server.net.sides[A].up);
}

#[test]
fn a_server_without_the_groups_key_learns_no_password() {
    let server = Server::answer(remote(true), b"another key");
    assert_eq!(
        server.net.sides[A].failures(),
        ["peer is not authenticated: the pre-shared keys differ"]
    );
    assert!(server.net.sent.is_empty());
}

#[test]
fn a_server_that_goes_silent_in_the_middle_is_given_up() {
    for silent_after in 0..2 {
        let mut server = Server::answer(remote(true), PSK);
        server.take_proof();
        if silent_after == 1 {
            server.transact(ConfigKind::Request, &ASK_USER);
        }
        server.net.run(SECOND * 100);
        assert_eq!(server.net.sides[A].failures().len(), 1);
        assert_eq!(server.net.sides[A].endpoint.sas(), 0);
    }
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut server = Server::answer(remote(true), PSK);
    server.take_proof();
    server.next_id += 1;
    let message_id = server.next_id;
    let iv = server.session.exchange_iv(&server.iv, message_id);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut writer = Writer::new();
        writer.attributes(ConfigKind::Request, 9, &ASK_USER);
        server.send(message_id, &iv, &mut writer);
        answers.push(server.net.sent.pop_front().unwrap().1);
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn what_a_server_sets_unasked_is_neither_taken_nor_acknowledged() {
    let mut server = Server::answer(remote(true), PSK);
    server.take_proof();
    server.transact(ConfigKind::Request, &ASK_USER);
    let set = [
        Attribute::short(xauth::STATUS, 1),
        Attribute::long(config::IP4_ADDRESS, &[10, 77, 9, 66]),
    ];
    let acknowledged = server.transact(ConfigKind::Set, &set);
    assert_eq!(acknowledged, Some(vec![(xauth::STATUS, 0)]));
    let is_configured = |event: &Event| matches!(event, Event::Configured(..));
    assert_eq!(server.net.sides[A].count(is_configured), 0);
}

#[test]
fn an_answer_with_another_proposal_is_not_the_end_if_a_better_one_comes() {
    let mut net = Net::with(remote(true), connection(B));
    net.weather = Box::new(|_, _| Vec::new());
    net.initiate(A);
    let first = Header::parse(&net.sent[0].1).unwrap();
    let offer = proposal::ike_offer(
        &[ike("3des-md5-modp1024")],
        proposal::Authentication::XauthInitPreShared,
        &proposal::Life::default(),
    );
    let mut writer = Writer::new();
    writer.raw(kind::SA, &offer).ke(&[9; 32]).nonce(&[7; 32]);
    writer.raw(
        kind::ID,
        &Identity::Fqdn("server.example".to_owned()).body(),
    );
    writer.hash(&[1; 32]);
    let (kind, chain) = writer.finish();
    let header = Header::new(first.cky_i, 5, ExchangeType::Aggressive, Flags::CLEAR, 0);
    let forged = flight(&net, A, write_message(&header, kind, &chain));
    net.deliver(&forged);
    assert_eq!(
        (net.sides[A].failures().len(), net.sides[A].endpoint.sas()),
        (0, 1)
    );
    net.run(SECOND * 4);
    assert!(net.sides[A].failures()[0].contains("3des-md5-modp1024"));
    assert_eq!(net.sides[A].endpoint.sas(), 0);
}

#[test]
fn a_server_that_wants_perfect_forward_secrecy_gets_a_key_exchange_in_quick_mode() {
    for (pfs, wanted) in [(None, false), (Some(0), false), (Some(1), true)] {
        let mut connection = remote(true);
        for esp in &mut connection.esp {
            esp.group = None;
        }
        let (mut server, header, _, iv) = let_in_as(connection);
        let address = Attribute::long(config::IP4_ADDRESS, &[10, 77, 9, 10]);
        let pfs = pfs.map(|pfs| Attribute::short(unity::PFS, pfs));
        let told: Vec<_> = [address].into_iter().chain(pfs).collect();
        let mut writer = Writer::new();
        writer.attributes(ConfigKind::Reply, 9, &told);
        server.send(header.message_id, &iv, &mut writer);
        server.net.run(SECOND);
        let quick = server.net.sent[0].1.clone();
        let header = Header::parse(&quick).unwrap();
        let iv = server.session.exchange_iv(&server.iv, header.message_id);
        let mut chain = Vec::new();
        let contents = server.session.open(&iv, (header, &quick), &mut chain);
        assert_eq!(
            contents.unwrap().ke().map(<[u8]>::len),
            wanted.then_some(32)
        );
    }
}

#[test]
fn a_server_that_ends_the_sa_in_the_middle_ends_the_attempt() {
    let mut server = Server::answer(remote(true), PSK);
    server.take_proof();
    delete_of(&mut server);
    assert_eq!(
        server.net.sides[A].failures(),
        ["peer broke the protocol: the server ended the SA before it was complete"]
    );
    let mut server = Server::answer(remote(true), PSK);
    server.take_proof();
    server.transact(ConfigKind::Request, &ASK_USER);
    delete_of(&mut server);
    assert_eq!(
        server.net.sides[A].failures(),
        ["Easy VPN: the server ended the SA when it had user and password"]
    );
    assert_eq!(server.net.sides[A].endpoint.sas(), 0);
}

#[test]
fn an_address_that_is_not_there_is_no_refusal_of_the_user() {
    let (mut server, header, _, iv) = let_in(true);
    let mut writer = Writer::new();
    writer.attributes(ConfigKind::Reply, 9, &[]);
    server.send(header.message_id, &iv, &mut writer);
    assert_eq!(
        server.net.sides[A].failures(),
        ["peer broke the protocol: the server assigned no address"]
    );
}

#[test]
fn an_address_for_a_time_is_asked_for_again_before_its_end() {
    let (mut server, header, _, iv) = let_in(true);
    let mut writer = Writer::new();
    let told = [
        Attribute::long(config::IP4_ADDRESS, &[10, 77, 9, 10]),
        Attribute::long(config::ADDRESS_EXPIRY, &[0, 0, 4, 0]),
    ];
    writer.attributes(ConfigKind::Reply, 9, &told);
    server.send(header.message_id, &iv, &mut writer);
    let status = server.net.sides[A].endpoint.status(TUNNEL, server.net.now);
    assert_eq!(status.unwrap().rekey_in.unwrap().as_secs(), 819);
}

#[test]
fn a_server_that_says_nothing_of_user_and_password_twice_has_refused_them() {
    let mut server = Server::answer(remote(true), PSK);
    for said in [
        "peer does not answer XAUTH or Mode Config",
        "Easy VPN: the server had user and password twice and said nothing of them",
    ] {
        server.take_proof();
        server.transact(ConfigKind::Request, &ASK_USER);
        server.net.run(SECOND * 100);
        assert_eq!(server.net.sides[A].failures(), [said]);
        let mut net = server.net;
        net.sides[A].events.clear();
        net.initiate(A);
        server = Server::of(net, PSK);
    }
}

#[test]
fn another_address_at_a_new_phase_1_is_of_a_new_pair_at_once() {
    let mut connection = remote(true);
    connection.esp = vec![esp("aes128-sha256")];
    let mut server = Server::answer(connection, PSK);
    let quick = assign(&mut server, [10, 77, 9, 10]).unwrap();
    answer_quick(&mut server, &quick);
    assert_eq!(
        server.net.sides[A].only().local_ts,
        [selector("10.77.9.10")]
    );
    for (address, is_other) in [([10, 77, 9, 10], false), ([10, 77, 9, 11], true)] {
        let mut net = server.net;
        net.command(A, Command::Rekey(TUNNEL, What::Ike));
        net.run(LATENCY);
        server = Server::of(net, PSK);
        let quick = assign(&mut server, address);
        assert_eq!(quick.is_some(), is_other);
        if let Some(quick) = quick {
            answer_quick(&mut server, &quick);
        }
    }
    let newest = server.net.sides[A]
        .held
        .values()
        .map(|held| held.sa.local_ts.clone());
    assert!(newest.into_iter().any(|ts| ts == [selector("10.77.9.11")]));
}
