//! The error queue of UDP sockets: what ICMP reports of the datagrams that they sent.

use adit::io::raw::{ErrorBuffer, ErrorKind, Family, SocketError};
use adit::io::udp::{Segmentation, UdpSocket};

use crate::raw_errors::line;
use crate::site::{ip, pair, wait_for};
use crate::udp::{FAMILIES, PORT, open, packet, receive, send_udp, sender};

const SEGMENTATIONS: [Segmentation; 2] = [Segmentation::On, Segmentation::Off];

/// Waits for one error and hands it to `check`.
fn error_of(socket: &UdpSocket, check: impl Fn(&SocketError<'_>)) {
    let mut buffer = ErrorBuffer::new();
    wait_for(socket.fd(), || {
        let error = socket.receive_error(&mut buffer).unwrap();
        error.as_ref().map(&check)
    });
}

#[test]
fn a_packet_too_big_for_a_router_is_reported_with_mtu_addresses_port_and_payload() {
    let cases = [
        (Family::V4, "192.0.2.1", "198.51.100.2", "192.0.2.254"),
        (Family::V6, "fd00::1", "fd01::2", "fd00::fe"),
    ];
    for (family, near, far, router) in cases {
        for segmentation in SEGMENTATIONS {
            let (site, _middle, peer) = line();
            let receiver = open(&peer, family);
            let (socket, mut sender) = sender(&site, near, far, segmentation);
            let payload: Vec<u8> = (0..1400u32).map(|i| (i % 251) as u8).collect();
            let large = packet(near, far, 0, 64, &payload);
            assert_eq!(send_udp(&mut sender, &[large]), []);
            error_of(&socket, |error| {
                assert_eq!(error.kind, ErrorKind::TooBig { mtu: 1300 });
                assert_eq!(error.offender, Some(ip(router)));
                assert_eq!(error.source, Some(ip(near)));
                assert_eq!(error.destination, Some(ip(far)));
                assert_eq!(error.destination_port, Some(PORT));
                assert_eq!(
                    error.quoted.get(..64),
                    payload.get(..64),
                    "{near} {segmentation:?}"
                );
            });
            assert_eq!(socket.receive_error(&mut ErrorBuffer::new()), Ok(None));
            // What the kernel learned stops no other packet: the caller decides.
            let train = vec![packet(near, far, 0, 64, &payload[..1200]); 3];
            assert_eq!(send_udp(&mut sender, &train), []);
            assert_eq!(receive(&receiver, 3).len(), 3);
        }
    }
}

#[test]
fn an_icmp_error_costs_neither_the_next_train_sent_nor_the_next_received() {
    for (family, near, far) in FAMILIES {
        let (one, two) = pair();
        let (socket, mut forth) = sender(&one, near, far, Segmentation::On);
        let train = vec![packet(near, far, 0, 64, &[7; 100]); 3];
        // Nobody has the port at the far end.
        let code = if family == Family::V4 { 3 } else { 4 };
        assert_eq!(send_udp(&mut forth, &train[..1]), []);
        error_of(&socket, |error| {
            assert_eq!(error.kind, ErrorKind::Unreachable { code });
            assert_eq!(error.quoted, [7; 100]);
        });
        // A second error is pending when the peer appears.
        assert_eq!(send_udp(&mut forth, &train[..1]), []);
        let (peer, mut back) = sender(&two, far, near, Segmentation::On);
        assert_eq!(send_udp(&mut forth, &train), []);
        assert_eq!(receive(&peer, 3).len(), 3);
        assert_eq!(
            send_udp(&mut back, &[packet(far, near, 0, 64, &[8; 100])]),
            []
        );
        assert_eq!(receive(&socket, 1)[0].1, [8; 100]);
        assert_eq!(forth.fallbacks(), 0);
    }
}
