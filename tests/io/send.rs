//! Raw sockets that send: headers as written, what the kernel refuses, and the way that packets take.

use std::process::Command;

use adit::io::raw::{Family, SendBatch, SendSocket};
use adit::io::route::Route;
use rustix::io::Errno;

use crate::raw::{GRE, open, packet, receive};
use crate::site::{Site, ip, join, pair, prefix};

/// Both families: our address, the peer's on the link, and an address behind the peer.
const FAMILIES: [(Family, &str, &str, &str); 2] = [
    (Family::V4, "192.0.2.1", "192.0.2.2", "203.0.113.9"),
    (Family::V6, "fd00::1", "fd00::2", "fd0d::9"),
];

pub(crate) fn open_sender(site: &Site, local: &str, remote: &str) -> SendSocket {
    site.run(|| SendSocket::open(ip(local), ip(remote)))
        .unwrap()
}

/// Sends packets and returns what was refused.
pub(crate) fn send(socket: &SendSocket, packets: &[Vec<u8>]) -> Vec<(usize, Errno)> {
    let mut refused = Vec::new();
    let items = packets.iter().map(Vec::as_slice);
    let accepted = socket.send(&mut SendBatch::new(), items, |index, errno| {
        refused.push((index, errno));
    });
    assert_eq!(accepted + refused.len(), packets.len());
    refused
}

/// Runs a command of this many words inside.
fn command(site: &Site, line: &str) {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let status = site.run(|| command.args(words).status());
    assert!(status.unwrap().success(), "{line}");
}

/// A route to `destination` alone by way of `gateway`.
fn route(interface: u32, destination: &str, gateway: &str) -> Route {
    let length = if ip(destination).is_ipv4() { 32 } else { 128 };
    let destination = prefix(&format!("{destination}/{length}"));
    let mut route = Route::through(destination, interface);
    route.gateway = Some(ip(gateway));
    // One metric, so that a route to another next hop takes the place of this one.
    route.metric = Some(1024);
    route
}

/// Octets that wait at the socket of this protocol, and datagrams that it lost.
fn waiting(site: &Site, family: Family, protocol: u8) -> (String, String) {
    let path = match family {
        Family::V4 => "/proc/thread-self/net/raw",
        Family::V6 => "/proc/thread-self/net/raw6",
    };
    let table = site.run(|| std::fs::read_to_string(path)).unwrap();
    let row = table.lines().find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let local = columns.get(1)?;
        local
            .ends_with(&format!(":{protocol:04X}"))
            .then_some(columns)
    });
    let columns = row.expect(&table);
    let (_, octets) = columns[4].split_once(':').unwrap();
    (octets.to_owned(), columns[12].to_owned())
}

#[test]
fn an_ipv4_header_arrives_as_written_but_for_length_and_checksum() {
    let (one, two) = pair();
    let sender = open_sender(&one, "192.0.2.1", "192.0.2.2");
    let receiver = open(&two, Family::V4);
    let sent = packet("192.0.2.77", "192.0.2.2", 0xb9, 17, &GRE);
    assert_eq!(send(&sender, std::slice::from_ref(&sent)), []);
    let (datagram, octets) = receive(&receiver, 1).remove(0);
    assert_eq!(datagram.source, ip("192.0.2.77"));
    assert_eq!(datagram.destination, Some(ip("192.0.2.2")));
    assert_eq!((datagram.tos, datagram.ttl), (Some(0xb9), Some(17)));
    assert_eq!((datagram.header_octets, datagram.truncated), (20, false));
    assert_eq!(octets[2..4], [0, 24]);
    assert_ne!(octets[10..12], [0, 0]);
    for (index, octet) in sent
        .iter()
        .enumerate()
        .filter(|(index, _)| ![2, 3, 10, 11].contains(index))
    {
        assert_eq!(octets[index], *octet, "octet {index}");
    }
}

#[test]
fn zero_identification_and_source_of_an_ipv4_header_are_filled_by_the_kernel() {
    let (one, two) = pair();
    let sender = open_sender(&one, "192.0.2.1", "192.0.2.2");
    let receiver = open(&two, Family::V4);
    let mut sent = packet("0.0.0.0", "192.0.2.2", 0, 64, &GRE);
    sent[4..8].fill(0);
    assert_eq!(send(&sender, &[sent.clone(), sent]), []);
    let received = receive(&receiver, 2);
    assert_eq!(received[0].0.source, ip("192.0.2.1"));
    assert_ne!(received[0].1[4..6], received[1].1[4..6]);
}

#[test]
fn a_refused_packet_is_reported_by_its_position_and_the_others_go_on() {
    let (one, two) = pair();
    for (family, near, far, _) in FAMILIES {
        let (sender, receiver) = (open_sender(&one, near, far), open(&two, family));
        let mut train = vec![packet(near, far, 0, 64, &GRE); 100];
        for large in [0, 63, 64, 99] {
            train[large] = packet(near, far, 0, 64, &[0; 1481]);
        }
        let refused = [0, 63, 64, 99].map(|index| (index, Errno::MSGSIZE));
        assert_eq!(send(&sender, &train), refused);
        assert_eq!(receive(&receiver, 96).len(), 96);
    }
}

#[test]
fn packets_that_a_full_queue_loses_are_each_reported() {
    let (one, two) = pair();
    for (family, near, far, _) in FAMILIES {
        let (sender, receiver) = (open_sender(&one, near, far), open(&two, family));
        let sent = vec![packet(near, far, 0, 64, &GRE); 3];
        // The neighbour is known before the queue has no room for the question either.
        assert_eq!(send(&sender, &sent), []);
        assert_eq!(receive(&receiver, 3).len(), 3);
        command(&one, "tc qdisc replace dev wire root pfifo limit 0");
        let refused = [0, 1, 2].map(|index| (index, Errno::NOBUFS));
        assert_eq!(send(&sender, &sent), refused);
        command(&one, "tc qdisc del dev wire root");
        assert_eq!(send(&sender, &sent), []);
        assert_eq!(receive(&receiver, 3).len(), 3);
    }
}

#[test]
fn a_socket_opened_without_a_route_sends_once_there_is_one() {
    let (mut one, mut two) = pair();
    let wire = one.index("wire");
    two.configure("lo", &["203.0.113.9/32", "fd0d::9/128"]);
    two.settle("lo");
    for (family, near, gateway, far) in FAMILIES {
        let (sender, receiver) = (open_sender(&one, near, far), open(&two, family));
        let sent = vec![packet(near, far, 0, 64, &GRE); 2];
        let refused = [0, 1].map(|index| (index, Errno::NETUNREACH));
        assert_eq!(send(&sender, &sent), refused);
        let route = route(wire, far, gateway);
        one.netlink.add_route(&route).unwrap();
        assert_eq!(send(&sender, &sent), []);
        assert_eq!(receive(&receiver, 2).len(), 2);
        one.netlink.remove_route(&route).unwrap();
        assert_eq!(send(&sender, &sent), refused);
    }
}

#[test]
fn a_connected_socket_follows_a_route_that_changes_its_next_hop() {
    let (mut one, mut two) = pair();
    let mut three = Site::new();
    join(&mut one, "spare", &three, "spare");
    let spare = one.configure("spare", &["198.51.100.1/24", "fd03::1/64"]);
    three.configure("spare", &["198.51.100.3/24", "fd03::3/64"]);
    one.settle("spare");
    three.settle("spare");
    for site in [&mut two, &mut three] {
        site.configure("lo", &["203.0.113.9/32", "fd0d::9/128"]);
        site.settle("lo");
    }
    let wire = one.index("wire");
    for ((family, near, gateway, far), other) in
        FAMILIES.into_iter().zip(["198.51.100.3", "fd03::3"])
    {
        let (by_wire, by_spare) = (route(wire, far, gateway), route(spare, far, other));
        one.netlink.add_route(&by_wire).unwrap();
        let sender = open_sender(&one, near, far);
        let receivers = [open(&two, family), open(&three, family)];
        let sent = [packet(near, far, 0, 64, &GRE)];
        for (route, receiver) in [(by_spare, &receivers[1]), (by_wire, &receivers[0])] {
            one.netlink.replace_route(&route).unwrap();
            assert_eq!(send(&sender, &sent), []);
            assert_eq!(receive(receiver, 1).len(), 1);
            one.netlink.remove_route(&route).unwrap();
            assert_eq!(send(&sender, &sent), [(0, Errno::NETUNREACH)]);
            one.netlink.add_route(&route).unwrap();
            assert_eq!(send(&sender, &sent), []);
            assert_eq!(receive(receiver, 1).len(), 1);
        }
    }
}

#[test]
fn a_routing_rule_by_source_is_followed() {
    for (family, near, gateway, far) in FAMILIES {
        let (mut one, mut two) = pair();
        two.configure("lo", &["203.0.113.9/32", "fd0d::9/128"]);
        two.settle("lo");
        let receiver = open(&two, family);
        let option = if family == Family::V4 { "-4" } else { "-6" };
        let early = open_sender(&one, near, far);
        command(&one, &format!("ip {option} rule add from {near} table 100"));
        command(
            &one,
            &format!("ip {option} route add {far} via {gateway} table 100"),
        );
        assert!(one.netlink.route_to(ip(far), None).is_err());
        let connected = open_sender(&one, near, far);
        let sent = [packet(near, far, 0, 64, &GRE)];
        for sender in [early, connected] {
            assert_eq!(send(&sender, &sent), []);
            assert_eq!(receive(&receiver, 1)[0].0.source, ip(near));
        }
    }
}

#[test]
fn a_local_address_need_not_be_there_yet() {
    let (mut one, two) = pair();
    let wire = one.index("wire");
    for (family, local, address, remote) in [
        (Family::V4, "192.0.2.77", "192.0.2.77/24", "192.0.2.2"),
        (Family::V6, "fd00::77", "fd00::77/64", "fd00::2"),
    ] {
        let (sender, receiver) = (open_sender(&one, local, remote), open(&two, family));
        let sent = [packet(local, remote, 0, 64, &GRE)];
        assert_eq!(send(&sender, &sent), []);
        assert_eq!(receive(&receiver, 1)[0].0.source, ip(local));
        one.netlink.add_address(wire, prefix(address)).unwrap();
        assert_eq!(send(&sender, &sent), []);
        assert_eq!(receive(&receiver, 1)[0].0.source, ip(local));
    }
}

#[test]
fn a_socket_that_sends_receives_no_copy_of_what_comes_in() {
    let (one, two) = pair();
    for (family, near, far, _) in FAMILIES {
        let (back, receiver) = (open_sender(&two, far, near), open(&two, family));
        let sender = open_sender(&one, near, far);
        assert_eq!(send(&sender, &vec![packet(near, far, 0, 64, &GRE); 8]), []);
        receive(&receiver, 8);
        assert_eq!(send(&sender, &[packet(near, far, 0, 64, &GRE)]), []);
        crate::site::ready(&[receiver.fd()], crate::site::PATIENCE);
        let none = ("00000000".to_owned(), "0".to_owned());
        assert_ne!(waiting(&two, family, 47), none);
        assert_eq!(waiting(&two, family, 255), none);
        drop(back);
    }
}
