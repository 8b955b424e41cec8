//! The lane as the daemon has it, without sockets.

use std::net::SocketAddr;

use adit_crypto::SecretBytes;
use adit_proto::esp::Limits;
use adit_proto::ike::{
    ChildMode, EndpointConfig, EspOffer, Identity, IkeOffer, LocalAuth, RekeyTimes, RemoteAuth,
    Retransmit,
};
use adit_proto::wire::ike::TrafficSelector;

use super::endpoints::Endpoints;
use super::*;
use crate::config::{Mode, Pin};
use crate::dataplane::ike_queue;

const TUNNEL: TunnelId = TunnelId(4);

fn connection() -> Box<Connection> {
    let psk = || Arc::new(SecretBytes::from_slice(b"a secret of this test"));
    let times = RekeyTimes {
        rekey: Duration::from_secs(3600),
        jitter: Duration::ZERO,
        hard: Duration::from_secs(4000),
    };
    let any = TrafficSelector {
        protocol: 0,
        start_port: 0,
        end_port: u16::MAX,
        start: [0, 0, 0, 0].into(),
        end: [255, 255, 255, 255].into(),
    };
    Box::new(Connection {
        remotes: Some(Vec::new()),
        local_id: Identity::Fqdn("a.example".to_owned()),
        remote_id: None,
        local_auth: LocalAuth::Psk(psk()),
        remote_auth: RemoteAuth::Psk(psk()),
        ike: IkeOffer::defaults(),
        esp: EspOffer::defaults(),
        mode: ChildMode::Tunnel,
        local_ts: vec![any],
        remote_ts: vec![any],
        ike_lifetime: times,
        child_lifetime: times,
        retransmit: Retransmit {
            first: Duration::from_secs(2),
            base_per_mille: 1800,
            tries: 5,
            most: Duration::from_secs(60),
        },
        fragment_octets: 1200,
        force_udp: false,
    })
}

/// A lane without sockets, with the tunnel.
fn lane() -> (IkeLane, mpsc::Receiver<IkeNotice>) {
    let (links, _) = crate::links::queue();
    let (worker_notices, _) = mpsc::channel(16);
    let (to_ike, from_workers) = ike_queue().unwrap();
    let busy_poll = Duration::ZERO;
    let plane = Plane::start(1, &Pin::Off, busy_poll, &links, &worker_notices, &to_ike).unwrap();
    let (notices, noticed) = mpsc::channel(16);
    let config = EndpointConfig::default();
    let traces = broadcast::Sender::new(16);
    let lane = IkeLane::start(config, from_workers, plane, notices, traces).unwrap();
    let policy = ChildPolicy {
        mode: Mode::Esp,
        replay_window: 64,
        nat_keepalive: Duration::from_secs(20),
        soft: Limits::default(),
        jitter_percent: 0,
    };
    let new = NewConnection {
        name: Arc::from("t"),
        netns: None,
        agreement: Agreement::V2(connection()),
        policy,
        wakes: false,
    };
    lane.post(IkeCommand::Add(TUNNEL, Box::new(new)));
    (lane, noticed)
}

#[test]
fn with_a_tunnel_the_question_to_its_preferred_remote_goes_too() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (lane, _noticed) = lane();
        let (reply, answer) = oneshot::channel();
        let end = |end: u8| SocketAddr::from(([192, 0, 2, end], 500));
        let path = ike::Path {
            local: end(1),
            remote: end(2),
        };
        lane.post(IkeCommand::Ask(
            TUNNEL,
            Agreement::V2(connection()),
            path,
            reply,
        ));
        lane.remove(TUNNEL).await;
        // While it is asked nobody answers: that is told when all requests were repeated.
        let answered = tokio::time::timeout(Duration::from_millis(500), answer).await;
        assert!(answered.unwrap().is_err());
        lane.stop().await;
    });
}

fn connection_of_version_1() -> Box<ikev1::Connection> {
    let second = connection();
    let any = second.local_ts[0];
    let times = second.ike_lifetime;
    Box::new(ikev1::Connection {
        remotes: None,
        local_id: second.local_id,
        remote_id: None,
        psk: Arc::new(SecretBytes::from_slice(b"another secret of this test")),
        ike: ikev1::IkeProposal::defaults(),
        esp: ikev1::EspProposal::defaults(),
        mode: ChildMode::Tunnel,
        local_ts: any,
        remote_ts: any,
        ike_lifetime: times,
        child_lifetime: times,
        child_kilobytes: None,
        retransmit: second.retransmit,
        nat_traversal: true,
        force_udp: false,
        easy_vpn: None,
    })
}

fn endpoints(agreement: Agreement) -> Endpoints {
    let mut endpoints = Endpoints::new(EndpointConfig::default());
    let id = super::connection(TUNNEL);
    endpoints.add(Instant::now(), id, agreement).unwrap();
    endpoints
}

#[test]
fn version_1_is_spoken_where_a_tunnel_has_it_and_nowhere_else() {
    let now = Instant::now();
    let end = |end: u8| SocketAddr::from(([192, 0, 2, end], 500));
    let path = |local, remote| ike::Path {
        local: end(local),
        remote: end(remote),
    };
    let mut initiator = endpoints(Agreement::V1(connection_of_version_1()));
    let initiate = ike::Command::Initiate(super::connection(TUNNEL), path(1, 2));
    initiator
        .handle_command(now, Version::V1, initiate)
        .unwrap();
    let first = initiator.poll_transmit().unwrap();
    let mut with = endpoints(Agreement::V1(connection_of_version_1()));
    with.handle_datagram(now, path(2, 1), &first.octets);
    let answer = with.poll_transmit().unwrap();
    assert_eq!(answer.octets[17], 0x10);
    let mut without = endpoints(Agreement::V2(connection()));
    without.handle_datagram(now, path(2, 1), &first.octets);
    assert_eq!(without.poll_transmit(), None);
}
