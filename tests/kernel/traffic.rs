//! What the kernel's GRE and adit carry for each other.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;

use adit::io::netns::{self, Netns};

use crate::common::{Daemon, wait_for};
use crate::peer::{Delivery, Options, PATIENCE, Peer};

/// Octets of a TCP transfer, each way.
const TRANSFER_OCTETS: usize = 1 << 20;

#[test]
fn kernel_gre_over_ipv4_and_adit_carry_all_traffic_of_each_other_with_each_option() {
    carries_everything(Delivery::V4);
}

#[test]
fn kernel_gre_over_ipv6_with_destination_options_and_adit_carry_all_traffic_of_each_other_with_each_option()
 {
    carries_everything(Delivery::V6EncapLimit);
}

#[test]
fn kernel_gre_over_ipv6_and_adit_carry_all_traffic_of_each_other_with_each_option() {
    carries_everything(Delivery::V6);
}

fn carries_everything(delivery: Delivery) {
    let peer = Peer::lent();
    let sent = [octets(1), octets(2)];
    for options in Options::all() {
        peer.tunnel(delivery, options, "");
        let adit = peer.ready_adit(delivery, options, "");
        pings(&peer, 1400);
        transfers(&peer, &sent, "10.9.0.1");
        transfers(&peer, &sent, "fd00:9::1");
        assert_eq!(losses(&adit), Vec::new(), "{options:?}");
        assert_eq!(peer.errors(), [], "{options:?}");
    }
}

/// Small packets, packets of `large` octets, and packets of 8000 octets in fragments, from both ends and in both families.
pub(crate) fn pings(peer: &Peer, large: u16) {
    let mut guest = String::new();
    for (address, near, header) in [("10.9.0.2", "10.9.0.1", 28), ("fd00:9::2", "fd00:9::1", 48)] {
        for (octets, fragments) in [(84, "do"), (large, "do"), (8000, "dont")] {
            let size = (octets - header).to_string();
            let more = ["-s", &size, "-M", fragments];
            peer.assert_pings(address, 2, &more);
            guest += &format!(
                "ping -c 2 -l 2 -i 2 -W 2 -s {size} -M {fragments} {near} | grep ' 0% packet loss'\n"
            );
        }
    }
    peer.exec(&guest);
}

/// A TCP connection from the guest, with data both ways at a time.
pub(crate) fn transfers(peer: &Peer, sent: &[Vec<u8>; 2], near: &str) {
    let near_namespace = Netns::Named(peer.near.name.clone()).open().unwrap();
    let listener = netns::within(Some(near_namespace.as_fd()), || {
        TcpListener::bind((near, 0))
    });
    let listener = listener.unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::fs::write(peer.guest.shared("up"), &sent[1]).unwrap();
    let arrived = std::thread::scope(|scope| {
        let near_end = scope.spawn(|| exchange(&listener, &sent[0], sent[1].len()));
        peer.exec(&format!(
            "exec 3<>/dev/tcp/{near}/{port}
             cat /mnt/up >&3 &
             timeout 30 head -c {TRANSFER_OCTETS} <&3 >/mnt/down
             wait $!"
        ));
        near_end.join().unwrap()
    });
    assert!(
        arrived == sent[1],
        "from the guest to {near}: other octets arrived than were sent"
    );
    let arrived = std::fs::read(peer.guest.shared("down")).unwrap();
    assert!(
        arrived == sent[0],
        "from {near} to the guest: other octets arrived than were sent"
    );
}

/// Accepts a connection, sends `octets` and receives `count`, both at once.
fn exchange(listener: &TcpListener, octets: &[u8], count: usize) -> Vec<u8> {
    let (mut stream, _) = wait_for("a connection", PATIENCE, || listener.accept().ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(octets).unwrap());
        let mut arrived = vec![0; count];
        stream.read_exact(&mut arrived).unwrap();
        arrived
    })
}

/// Octets that no loss, repetition or exchange leaves the same.
pub(crate) fn octets(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 32).to_le_bytes()[0]
    };
    (0..TRANSFER_OCTETS).map(|_| next()).collect()
}

/// What adit or the kernel under it dropped, by reason.
pub(crate) fn losses(adit: &Daemon) -> Vec<(String, u64)> {
    let tunnel = adit.tunnel("t");
    let of = |kind: &str| tunnel[kind].as_object().unwrap().clone();
    let all = of("drops").into_iter().chain(of("kernel_drops"));
    all.filter_map(|(reason, number)| Some((reason, number.as_u64()?)))
        .filter(|&(_, number)| number > 0)
        .collect()
}
