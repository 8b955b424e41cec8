//! What does not fit, with the error on both sides in words.

use std::sync::Arc;
use std::time::Duration;

use adit_crypto::SecretBytes;

use super::super::*;
use super::net::*;

const SECOND: Duration = Duration::from_secs(1);

/// `A` initiates to `B`, each as changed.
fn attempt(change: impl FnOnce(&mut Connection, &mut Connection)) -> Net {
    let (mut a, mut b) = (connection(A), connection(B));
    change(&mut a, &mut b);
    let mut net = Net::with(a, b);
    net.initiate(A);
    net.run(SECOND * 4);
    net
}

fn words(net: &Net, side: usize) -> String {
    net.sides[side].failures().join("; ")
}

fn assert_nothing_is_left(net: &mut Net) {
    assert!(net.sides.iter().all(|side| side.held.is_empty()));
    net.run(SECOND * 60);
    assert!(net.sides.iter().all(|side| side.endpoint.sas() == 0));
    assert!(
        net.sides
            .iter()
            .all(|side| side.endpoint.poll_timeout().is_none())
    );
    assert!(
        net.sides
            .iter()
            .all(|side| side.endpoint.counters().half_open == 0)
    );
}

#[test]
fn ike_proposals_without_a_match_are_refused_and_the_log_says_what_was_offered() {
    let mut net = attempt(|a, b| {
        a.ike = vec!["aes128-sha256-ecp256".parse().unwrap()];
        b.ike = vec!["aes256gcm16-prfsha384-ecp384".parse().unwrap()];
    });
    assert!(
        words(&net, A).starts_with("peer refused our IKE proposals: we offered aes128-sha256"),
        "{}",
        words(&net, A)
    );
    assert!(
        words(&net, B).contains(
            "no proposal fits: peer offered IKE aes128-sha256-prfsha256-ecp256; missing: ENCR"
        ),
        "{}",
        words(&net, B)
    );
    assert_nothing_is_left(&mut net);
}

#[test]
fn esp_proposals_without_a_match_are_refused_and_the_ike_sa_is_closed() {
    let mut net = attempt(|a, b| {
        a.esp = vec!["aes128gcm16".parse().unwrap()];
        b.esp = vec!["aes256gcm16".parse().unwrap()];
    });
    assert!(
        words(&net, A).contains("peer refused our ESP proposals: we offered aes128gcm16"),
        "{}",
        words(&net, A)
    );
    assert!(
        words(&net, B).contains("no proposal fits"),
        "{}",
        words(&net, B)
    );
    assert_nothing_is_left(&mut net);
}

#[test]
fn another_pre_shared_key_is_refused() {
    let mut net = attempt(|_, b| {
        let psk = Arc::new(SecretBytes::from_slice(b"another one that nobody guessed"));
        b.local_auth = LocalAuth::Psk(psk.clone());
        b.remote_auth = RemoteAuth::Psk(psk);
    });
    assert_eq!(
        words(&net, A),
        "peer refused our authentication: wrong key, identity or certificate"
    );
    assert_eq!(
        words(&net, B),
        "peer is not authenticated: the pre-shared keys differ"
    );
    assert_eq!(net.sides[B].endpoint.counters().auth_failed, 1);
    assert_nothing_is_left(&mut net);
}

#[test]
fn a_responder_without_the_key_is_refused_by_the_initiator_which_tells_it() {
    let mut net = attempt(|a, _| {
        a.remote_auth = RemoteAuth::Psk(Arc::new(SecretBytes::from_slice(
            b"what the peer should have",
        )));
    });
    assert_eq!(
        words(&net, A),
        "peer is not authenticated: the pre-shared keys differ"
    );
    assert_eq!(net.sides[B].downs(), [DownWhy::PeerFault(24)]);
    assert!(!net.sides[A].up);
    assert_nothing_is_left(&mut net);
}

#[test]
fn an_identity_that_nobody_expects_is_refused() {
    let mut net = attempt(|a, _| a.local_id = Identity::Fqdn("c.example".to_owned()));
    assert_eq!(
        words(&net, A),
        "peer refused our authentication: wrong key, identity or certificate"
    );
    assert_eq!(
        words(&net, B),
        "peer is not authenticated: it is \"c.example\", not \"a.example\""
    );
    assert_nothing_is_left(&mut net);
}

#[test]
fn a_responder_of_another_identity_is_refused() {
    let mut net = attempt(|a, b| {
        a.remote_id = Some(Identity::Fqdn("b.example".to_owned()));
        b.local_id = Identity::Fqdn("x.example".to_owned());
    });
    assert_eq!(
        words(&net, A),
        "peer refused our authentication: wrong key, identity or certificate"
    );
    assert_nothing_is_left(&mut net);
}

#[test]
fn selectors_without_anything_in_common_are_refused() {
    let mut net = attempt(|a, _| a.remote_ts = vec![selector("172.16.0.0-172.16.255.255")]);
    assert_eq!(words(&net, A), "peer refused our traffic selectors");
    assert!(
        words(&net, B)
            .contains("no traffic selector fits: peer proposed 10.1.0.0/16 === 172.16.0.0/16"),
        "{}",
        words(&net, B)
    );
    assert_nothing_is_left(&mut net);
}

#[test]
fn a_tunnel_in_transport_mode_takes_no_other_and_one_in_tunnel_mode_answers_so() {
    let mut net = attempt(|_, b| *b = transport(B));
    assert_eq!(words(&net, B), "peer does not agree to transport mode");
    assert!(words(&net, A).starts_with("peer refused our ESP proposals"));
    assert_nothing_is_left(&mut net);
    let mut net = attempt(|a, b| {
        *a = transport(A);
        *b = transport(B);
        b.mode = ChildMode::Tunnel;
    });
    assert_eq!(words(&net, A), "peer does not agree to transport mode");
    assert_nothing_is_left(&mut net);
}

#[test]
fn an_initiator_whose_address_has_no_tunnel_gets_no_answer() {
    let mut net = attempt(|_, b| b.remotes = Some(vec![stranger(9)]));
    assert_eq!(net.headers(B).len(), 0);
    assert!(net.sides[B].endpoint.counters().no_connection >= 1);
    net.run(SECOND * 120);
    assert_eq!(words(&net, A), "peer does not answer IKE_SA_INIT");
    assert_nothing_is_left(&mut net);
}

#[test]
fn names_may_change_their_addresses_while_the_tunnel_is_there() {
    let mut net = Net::with(
        connection(A),
        Connection {
            remotes: Some(vec![stranger(9)]),
            ..connection(B)
        },
    );
    net.command(
        B,
        Command::SetRemotes(TUNNEL, Some(vec![address(A, 0).ip()])),
    );
    net.initiate(A);
    net.run(SECOND);
    net.assert_agree();
    net.command(B, Command::SetRemotes(TUNNEL, None));
    net.run(SECOND);
    net.assert_agree();
}

#[test]
fn a_tunnel_that_cannot_prove_itself_is_not_added() {
    let mut net = Net::new();
    let now = net.now;
    let mut add = |change: &dyn Fn(&mut Connection)| {
        let mut connection = connection(A);
        change(&mut connection);
        let command = Command::Add(ConnectionId(9), Box::new(connection));
        net.sides[A]
            .endpoint
            .handle_command(now, command)
            .unwrap_err()
    };
    let empty = || Arc::new(SecretBytes::from_slice(&[]));
    assert_eq!(
        add(&|c| c.local_auth = LocalAuth::Psk(empty())),
        CommandError::EmptyPsk
    );
    assert_eq!(
        add(&|c| c.remote_auth = RemoteAuth::Psk(empty())),
        CommandError::EmptyPsk
    );
    assert_eq!(add(&|c| c.ike.clear()), CommandError::NothingToOffer);
    assert_eq!(add(&|c| c.remote_ts.clear()), CommandError::NothingToOffer);
}
