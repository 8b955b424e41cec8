//! Any GRE packet against the answerer and the sender, any inner packet against the echo probe: nothing panics, no answer is longer
//! than its request or goes to anyone but the peer, and nothing that the peer was not asked counts as an answer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::Secret;
use adit_proto::liveness::{
    Initial, Keepalive, Liveness, LivenessConfig, Path, Probe, Request, Transmit, answer_echo,
    classify_request, is_warm,
};
use adit_proto::wire::gre::{self, GreKey};
use adit_proto::wire::ip::Ip;

const PATHS: [Path; 2] = [
    Path {
        local: IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 2)),
        remote: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    },
    Path {
        local: IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2)),
        remote: IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    },
];

const ACCEPTED: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7))];

fn answers_only_the_peer(path: Path, header: &gre::Header, body: &[u8], accepted: &[IpAddr]) {
    let Request::Yes { reply, .. } = classify_request(path, header, body, accepted) else {
        return;
    };
    assert!(reply.octets() <= body.len());
    let mut out = vec![0; reply.octets()];
    assert_eq!(reply.write(path, body, &mut out), out.len());
    let answer = Ip::parse(&out).expect("an answer is an IP packet");
    assert!(answer.checksum_is_valid());
    assert_eq!(answer.total_octets(), out.len());
    if !reply.is_tunnelled() {
        assert_eq!(
            (answer.source(), answer.destination()),
            (path.local, path.remote)
        );
    }
    let inner = gre::parse(answer.payload()).expect("an answer is a GRE packet");
    assert!(matches!(
        inner.protocol,
        gre::PROTOCOL_KEEPALIVE | gre::PROTOCOL_IPV6
    ));
}

fn believes_nothing(path: Path, header: &gre::Header, body: &[u8]) {
    let config = LivenessConfig {
        keepalive: Some(Keepalive::default()),
        probe: Probe::GreKeepalive,
        initial: Initial::Probing,
        damping: false,
        key_in: Some(GreKey(42)),
        tunnel_id: 1,
        has_ike: false,
        dpd: None,
    };
    let now = Instant::now();
    let key = Secret::new(&mut [0x5a; 16]);
    let mut liveness = Liveness::new(config, &key, Some(path), now);
    liveness.handle_timeout(now);
    let Some(Transmit::Keepalive(sent)) = liveness.poll_transmit() else {
        panic!("the first request is due at once");
    };
    let outcome = liveness.handle_answer(now, path.remote, header, body);
    let asked = Ip::parse(sent.inner()).expect("a request holds an IP packet");
    let is_reflection = asked.payload().ends_with(body) && body.len() == 16;
    assert!(is_reflection || !matches!(outcome, Ok(Some(_))));
    assert_eq!(liveness.may_forward(), matches!(outcome, Ok(Some(_))));
    liveness.handle_timeout(now + Duration::from_secs(5));
}

/// The packet as one that came out of an SA, to any address.
fn stays_inside(inner: &[u8]) {
    let Ok(ip) = Ip::parse(inner) else {
        return;
    };
    let config = LivenessConfig {
        keepalive: Some(Keepalive::default()),
        probe: Probe::Echo {
            source: ip.destination(),
            target: ip.source(),
        },
        initial: Initial::Probing,
        damping: false,
        key_in: None,
        tunnel_id: 3,
        has_ike: false,
        dpd: None,
    };
    let now = Instant::now();
    let key = Secret::new(&mut [0x5a; 16]);
    let mut liveness = Liveness::new(config, &key, Some(PATHS[0]), now);
    liveness.handle_timeout(now);
    let Some(Transmit::Keepalive(sent)) = liveness.poll_transmit() else {
        panic!("the first probe is due at once");
    };
    let data = sent.inner().rchunks(20).next();
    let is_reflection = data.is_some_and(|data| inner.ends_with(data));
    let outcome = liveness.handle_echo_reply(now, inner);
    assert!(is_reflection || !matches!(outcome, Ok(Some(_))));
    let mut octets = inner.to_vec();
    if answer_echo(&mut octets, &[ip.destination()]) {
        let answer = Ip::parse(&octets).expect("an answer is an IP packet");
        assert!(answer.checksum_is_valid() && !is_warm(inner));
        assert_eq!(
            (answer.source(), answer.destination()),
            (ip.destination(), ip.source())
        );
        let is_again = answer_echo(&mut octets, &[ip.source(), ip.destination()]);
        assert!(!is_again, "no answer is answered");
    } else {
        assert_eq!(octets, inner);
    }
}

/// Replays one input.
pub fn run(packet: &[u8]) {
    stays_inside(packet);
    let Ok(header) = gre::parse(packet) else {
        return;
    };
    let body = packet.get(header.octets..).unwrap_or_default();
    for path in PATHS {
        answers_only_the_peer(path, &header, body, &[]);
        answers_only_the_peer(path, &header, body, &ACCEPTED);
        believes_nothing(path, &header, body);
    }
}
