//! What comes from the peer's address and is not the peer: packets that came before, keepalives of NATs, packets in clear.

use std::time::Duration;

use crate::capture::Tap;
use crate::site::{Cause, PATIENCE, PERIOD, Pair, Tunnel, assert_on_time, worst_case};
use crate::wire::Repeat;

const EVERY: Duration = Duration::from_millis(100);

/// So that the capture has packets as they are on a wire, no trains.
const SINGLY: &str = "offload = { udp-segmentation = \"off\" }";

/// Kills the peer of `tunnel` while `others` and, over and over, everything that the peer sent come from its address.
fn dead_for_all_that(tunnel: &Tunnel, others: &[Vec<u8>]) {
    let pair = Pair::alone();
    let tap = Tap::start(
        &pair.b,
        &format!("src {} and (proto 50 or udp)", tunnel.outer(2)),
    );
    // Without checksums left to the device the capture has packets as they are on a wire.
    pair.b.run("ethtool", &["-K", "wire", "tx", "off"]);
    let (near, mut far) = pair.start(tunnel);
    assert!(pair.carries());
    std::thread::sleep(2 * PERIOD);
    let mut captured = tap.drain();
    assert!(captured.len() >= 10, "{}", captured.len());
    captured.extend_from_slice(others);
    let mut events = near.events();
    far.kill();
    let cause = Cause::now();
    let repeated = captured.len();
    let _repeat = Repeat::start(&pair.b, captured, EVERY);
    assert_on_time(&events.next("t", "down", PATIENCE), &cause, worst_case());
    let before = near.drops("t", "replayed");
    std::thread::sleep(worst_case());
    let state = near.tunnel("t");
    assert_eq!(state["state"], "down");
    assert_eq!(state["deaths"], 1);
    let replayed = near.drops("t", "replayed") - before;
    assert!(replayed >= 5 * 6, "{replayed} of {repeated} at a time");
    assert_eq!(state["counters"]["peer_moves"], 0);
}

/// An IPv4 packet from the far end to the near one.
fn from_far(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let octets = u8::try_from(20 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0, 0, octets, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend([192, 0, 2, 2, 192, 0, 2, 1]);
    packet.extend(payload);
    packet
}

/// The same in UDP from port 4500 to port 4500, without checksum.
fn natt(payload: &[u8]) -> Vec<u8> {
    let octets = u8::try_from(8 + payload.len()).unwrap();
    let mut datagram = vec![0x11, 0x94, 0x11, 0x94, 0, octets, 0, 0];
    datagram.extend(payload);
    from_far(17, &datagram)
}

#[test]
fn replayed_packets_never_keep_a_dead_peer_up() {
    dead_for_all_that(&Tunnel::new("esp"), &[]);
    let in_udp = Tunnel::new("gre-esp").in_udp().over_v6().with(SINGLY);
    dead_for_all_that(&in_udp, &[]);
}

#[test]
fn nat_keepalives_and_ike_never_do() {
    let ike = natt(
        &[
            [0; 4], [7; 4], [7; 4], [7; 4], [7; 4], [7; 4], [7; 4], [7; 4],
        ]
        .concat(),
    );
    let others = [natt(&[0xff]), ike];
    for udp in ["true", "{ nat = \"both\", nat-keepalive = \"1s\" }"] {
        dead_for_all_that(&Tunnel::new("esp").udp(udp).with(SINGLY), &others);
    }
}

#[test]
fn packets_in_clear_never_do() {
    // In GRE, from behind the peer to behind us; and an answer of nobody's.
    let mut gre = vec![0, 0, 8, 0];
    gre.extend([
        0x45, 0, 0, 24, 0, 0, 0, 0, 64, 253, 0, 0, 10, 77, 2, 7, 10, 77, 1, 7,
    ]);
    gre.extend([1, 2, 3, 4]);
    let answer = [0, 0, 0, 0];
    let others = [from_far(47, &gre), from_far(47, &answer)];
    dead_for_all_that(&Tunnel::new("gre-esp"), &others);
    // An ESP packet whose ICV is nobody's.
    let header = [0, 0, 0x10, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let sealed = [&header[..], &[9; 80]].concat();
    let others = [from_far(47, &gre), from_far(50, &sealed)];
    dead_for_all_that(&Tunnel::new("esp"), &others);
}
