//! The error queue of raw sockets that receive: what ICMP reports of packets that another socket sent.

use adit::io::address::Prefix;
use adit::io::raw::{ErrorBuffer, ErrorKind, Family, RawSocket, SocketError};
use adit::io::route::Route;

use crate::raw::{GRE, open, packet, receive};
use crate::send::{open_sender, send};
use crate::site::{Site, ip, join, pair, wait_for};

/// Waits for one error and hands it to `check`.
fn error_of<T>(socket: &RawSocket, check: impl Fn(&SocketError<'_>) -> T) -> T {
    let mut buffer = ErrorBuffer::new();
    wait_for(socket.fd(), || {
        socket
            .receive_error(&mut buffer)
            .unwrap()
            .as_ref()
            .map(&check)
    })
}

fn assert_no_error(socket: &RawSocket) {
    assert_eq!(socket.receive_error(&mut ErrorBuffer::new()).unwrap(), None);
}

/// near 192.0.2.1, fd00::1 — middle — far 198.51.100.2, fd01::2; the second link's MTU is 1300.
pub(crate) fn line() -> (Site, Site, Site) {
    let (mut near, mut middle, mut far) = (Site::new(), Site::new(), Site::new());
    join(&mut near, "wire", &middle, "left");
    join(&mut middle, "right", &far, "wire");
    let wire = near.configure("wire", &["192.0.2.1/24", "fd00::1/64"]);
    middle.configure("left", &["192.0.2.254/24", "fd00::fe/64"]);
    let right = middle.configure("right", &["198.51.100.254/24", "fd01::fe/64"]);
    far.configure("wire", &["198.51.100.2/24", "fd01::2/64"]);
    middle.netlink.set_mtu(right, 1300).unwrap();
    near.settle("wire");
    middle.settle("left");
    middle.settle("right");
    far.settle("wire");
    middle.run(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    });
    for (destination, length, gateway) in [
        ("198.51.100.0", 24, "192.0.2.254"),
        ("fd01::", 64, "fd00::fe"),
    ] {
        let mut route = Route::through(Prefix::new(ip(destination), length), wire);
        route.gateway = Some(ip(gateway));
        near.netlink.add_route(&route).unwrap();
    }
    (near, middle, far)
}

#[test]
fn a_packet_too_big_for_a_router_is_reported_with_mtu_addresses_and_quote() {
    let (near, _middle, _far) = line();
    let cases = [
        (Family::V4, "192.0.2.1", "198.51.100.2", "192.0.2.254", 20),
        (Family::V6, "fd00::1", "fd01::2", "fd00::fe", 40),
    ];
    for (family, source, destination, router, header) in cases {
        let socket = open(&near, family);
        let keyed = [0x20, 0, 8, 0, 0xde, 0xad, 0xbe, 0xef];
        let gre = [&keyed[..], &vec![7; 1400 - header - 8]].concat();
        let large = packet(source, destination, 0, 64, &gre);
        let sender = open_sender(&near, source, destination);
        assert_eq!(send(&sender, &[large]), []);
        error_of(&socket, |error| {
            assert_eq!(error.kind, ErrorKind::TooBig { mtu: 1300 });
            assert_eq!(error.offender, Some(ip(router)));
            assert_eq!(error.source, Some(ip(source)));
            assert_eq!(error.destination, Some(ip(destination)));
            assert_eq!(error.quoted.get(..8), Some(&keyed[..]), "{family:?}");
        });
        assert_no_error(&socket);
    }
}

#[test]
fn a_quote_starts_at_gre_behind_destination_options() {
    let (near, _middle, _far) = line();
    let socket = open(&near, Family::V6);
    let options = [47, 0, 4, 1, 4, 1, 1, 0];
    let gre = [&options[..], &GRE, &[7; 1300]].concat();
    let mut large = packet("fd00::1", "fd01::2", 0, 64, &gre);
    large[6] = 60;
    let sender = open_sender(&near, "fd00::1", "fd01::2");
    assert_eq!(send(&sender, &[large]), []);
    error_of(&socket, |error| {
        assert_eq!(error.quoted.get(..5), Some(&[0, 0, 8, 0, 7][..]));
    });
}

#[test]
fn what_the_kernel_learned_from_icmp_neither_stops_larger_packets_nor_shows_in_the_route() {
    let (mut near, _middle, far) = line();
    for (family, source, destination) in [
        (Family::V4, "192.0.2.1", "198.51.100.2"),
        (Family::V6, "fd00::1", "fd01::2"),
    ] {
        let (socket, peer) = (open(&near, family), open(&far, family));
        let sender = open_sender(&near, source, destination);
        assert_eq!(
            near.netlink.route_to(ip(destination), None).unwrap().mtu,
            1500
        );
        let large = packet(source, destination, 0, 64, &[0; 1400]);
        for _ in 0..2 {
            assert_eq!(send(&sender, std::slice::from_ref(&large)), []);
            error_of(&socket, |error| {
                assert_ne!(error.offender, Some(ip(source)))
            });
        }
        let small = packet(source, destination, 0, 64, &GRE);
        assert_eq!(send(&sender, &[small]), []);
        assert_eq!(receive(&peer, 1).len(), 1);
        let way = near.netlink.route_to(ip(destination), None).unwrap();
        assert_eq!(way.mtu, 1500, "{family:?}");
    }
}

#[test]
fn a_packet_that_the_kernel_refuses_is_no_error_of_the_socket_that_receives() {
    let (one, _two) = pair();
    for (family, source, destination) in [
        (Family::V4, "192.0.2.1", "192.0.2.2"),
        (Family::V6, "fd00::1", "fd00::2"),
    ] {
        let socket = open(&one, family);
        let sender = open_sender(&one, source, destination);
        let large = packet(source, destination, 0, 64, &[0; 1500]);
        assert_eq!(send(&sender, &[large]).len(), 1);
        assert_no_error(&socket);
    }
}

#[test]
fn an_icmp_error_costs_neither_the_next_packet_sent_nor_the_next_received() {
    let (one, two) = pair();
    let cases = [
        (Family::V4, "192.0.2.1", "192.0.2.2", 2),
        (Family::V6, "fd00::1", "fd00::2", 4),
    ];
    for (family, near, far, code) in cases {
        let (socket, sender) = (open(&one, family), open_sender(&one, near, far));
        // Nobody takes protocol 47 at the far end. Of less than 8 octets the kernel would not report it.
        let sent = packet(near, far, 0, 64, &[0; 8]);
        assert_eq!(send(&sender, std::slice::from_ref(&sent)), []);
        let expected = if family == Family::V4 {
            ErrorKind::Unreachable { code }
        } else {
            ErrorKind::Other {
                errno: libc::EPROTO,
            }
        };
        error_of(&socket, |error| assert_eq!(error.kind, expected));
        // A second error is pending when the peer appears.
        assert_eq!(send(&sender, std::slice::from_ref(&sent)), []);
        let peer = open(&two, family);
        assert_eq!(send(&sender, &vec![sent; 3]), []);
        assert_eq!(receive(&peer, 3).len(), 3);
        let back = open_sender(&two, far, near);
        assert_eq!(send(&back, &[packet(far, near, 0, 64, &[0; 8])]), []);
        assert_eq!(receive(&socket, 1).len(), 1);
    }
}
