//! Two rekeys that cross, on a virtual clock: a worker with one tunnel that has no socket and no device.

use std::net::Ipv4Addr;
use std::sync::mpsc::sync_channel;

use adit_crypto::{Aead, Secret, Suite};
use adit_proto::esp::replay::Window;
use adit_proto::esp::{Lifetime, Limits, packet_octets};
use adit_proto::liveness::{Initial, LivenessConfig, Probe};
use adit_proto::offload::Coalescing;
use adit_proto::tunnel::{Df, DscpIn, DscpOut, Ecn, Parameters, Ttl};
use adit_proto::wire::esp::NEXT_DUMMY;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;

use super::*;
use crate::dataplane::worker::WorkerConfig;
use crate::dataplane::{IdleTraffic, NewTunnel, TunnelId, ike_queue};
use crate::links;

const SUITE: Suite = Suite::Aes128Gcm16;
const SLOT: usize = 0;
/// The inbound indices of three pairs, of which the second and the third are to replace the first.
const A: u32 = 0x1000;
const B: u32 = 0x2000;
const C: u32 = 0x3000;
/// By how much the outbound index of a pair is above its inbound one.
const OUTBOUND: u32 = 1;

fn spi(number: u32) -> Spi {
    Spi::new(number).unwrap()
}

fn aead(number: u32) -> Aead {
    let keymat = number.to_be_bytes().repeat(SUITE.keymat_octets());
    Aead::new(SUITE, &keymat[..SUITE.keymat_octets()]).unwrap()
}

fn outbound(number: u32, now: Instant) -> OutboundSa {
    let lifetime = Lifetime::new(Limits::default(), Limits::default(), now);
    OutboundSa::new(spi(number), aead(number), true, 1..=u64::MAX, lifetime)
}

fn pair(number: u32, replaces: Option<u32>, now: Instant) -> NewPair {
    let lifetime = Lifetime::new(Limits::default(), Limits::default(), now);
    NewPair {
        inbound: InboundSa::new(
            spi(number),
            aead(number),
            true,
            Window::new(64, 0),
            lifetime,
        ),
        outbound: outbound(number + OUTBOUND, now),
        selectors: Selectors::any(),
        mode: Mode::Esp(SUITE),
        udp: None,
        gre_ends: None,
        follows_peer: false,
        has_nat: false,
        nat_keepalive: None,
        remote: None,
        replaces: replaces.map(spi),
        answers_probes: true,
        sends_now: false,
    }
}

fn parameters() -> Parameters {
    Parameters {
        local: Ipv4Addr::new(192, 0, 2, 1).into(),
        remote: Ipv4Addr::new(192, 0, 2, 2).into(),
        key_out: None,
        key_in: None,
        checksum: false,
        sequence: false,
        ttl: Ttl::Fixed(64),
        dscp_out: DscpOut::Inherit,
        dscp_in: DscpIn::Keep,
        ecn: Ecn::Normal,
        df: Df::Copy,
        mss_clamp: None,
        mode: Mode::Esp(SUITE),
        gre_ends: None,
        udp: None,
        tfc_octets: 0,
    }
}

fn tunnel() -> NewTunnel {
    NewTunnel {
        id: TunnelId(0),
        parameters: parameters(),
        liveness: LivenessConfig {
            keepalive: None,
            probe: Probe::None,
            initial: Initial::Up,
            damping: false,
            key_in: None,
            tunnel_id: 0,
            has_ike: true,
            dpd: None,
        },
        secret: Secret::new(&mut [7; 16]),
        coalescing: Coalescing {
            tcp: false,
            udp: false,
        },
        answers_keepalives: false,
        accept_inner: Vec::new(),
        counters: Arc::default(),
        ipsec: Some(Ipsec {
            edge: None,
            has_ike: true,
            accepts_clear: false,
            addresses: Vec::new(),
        }),
        pair: None,
        idle: IdleTraffic::default(),
    }
}

/// A worker whose mailbox nobody writes to, and whose findings nobody reads.
fn worker() -> Worker {
    Worker::new(WorkerConfig {
        commands: sync_channel(1).1,
        wake: eventfd(0, EventfdFlags::CLOEXEC).unwrap(),
        links: links::queue().0,
        notices: mpsc::channel(1).0,
        unassigned: Arc::default(),
        ike: ike_queue().unwrap().0,
        has_mail: Arc::default(),
        busy_poll: Duration::ZERO,
    })
    .unwrap()
}

/// The worker with its tunnel, after the first pair and two more that crossed.
fn crossed(now: Instant) -> Worker {
    let mut worker = worker();
    worker.add(tunnel(), now);
    for (number, replaces) in [(A, None), (B, Some(A)), (C, Some(A))] {
        let pair = Box::new(pair(number, replaces, now));
        worker.obey_ike(SLOT, IkeCommand::Install(pair), now);
    }
    worker
}

/// The inbound index of the pair whose outbound association seals what leaves.
fn sends_by(worker: &mut Worker) -> u32 {
    let tunnel = worker.tunnel_mut(SLOT).unwrap();
    let number = tunnel.encap.sa().unwrap().spi().get() - OUTBOUND;
    assert_eq!(tunnel.ipsec.as_ref().unwrap().sending(), Some(spi(number)));
    number
}

/// Takes a packet that the peer sealed, after what was due by then.
fn open(worker: &mut Worker, peer: &mut OutboundSa, now: Instant) -> Result<Opened, DropReason> {
    worker.remove_pairs(SLOT, now);
    let mut packet = vec![0; packet_octets(SUITE, 0)];
    peer.seal(&mut packet, 0, NEXT_DUMMY).unwrap();
    let tunnel = worker.tunnel_mut(SLOT).unwrap();
    let children = tunnel.ipsec.as_mut().unwrap();
    let opened = children.open(peer.spi(), &mut packet, now, &tunnel.counters);
    opened.map(|(opened, _)| opened)
}

#[test]
fn of_two_pairs_that_crossed_the_one_that_stays_is_sent_by_as_soon_as_the_other_is_retired() {
    let now = Instant::now();
    let mut worker = crossed(now);
    assert_eq!(sends_by(&mut worker), A);
    worker.obey_ike(SLOT, IkeCommand::SendBy(spi(B)), now);
    assert_eq!(sends_by(&mut worker), B);
    worker.obey_ike(SLOT, IkeCommand::Retire(spi(B), true), now);
    assert_eq!(sends_by(&mut worker), C);

    let mut peer = outbound(B, now);
    let last = now + GRACE - Duration::from_millis(1);
    assert!(open(&mut worker, &mut peer, last).is_ok());
    assert_eq!(
        open(&mut worker, &mut peer, now + GRACE),
        Err(DropReason::UnknownSpi)
    );
    assert!(open(&mut worker, &mut outbound(C, now), now + GRACE).is_ok());
    assert_eq!(sends_by(&mut worker), C);
}
