//! UDP sockets: trains as they were sent, by every way that a sender has.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use adit::io::raw::{Family, SendBatch};
use adit::io::udp::{
    RECEIVE_TRAINS, ReceivedTrain, Segmentation, UdpReceiveBatch, UdpSender, UdpSocket,
};
use rustix::io::Errno;

use crate::send::{open_sender, send};
use crate::site::{Site, ip, pair, wait_for};

/// Family, our address and the peer's.
pub(crate) const FAMILIES: [(Family, &str, &str); 2] = [
    (Family::V4, "192.0.2.1", "192.0.2.2"),
    (Family::V6, "fd00::1", "fd00::2"),
];
pub(crate) const PORT: u16 = 4500;
const SEGMENTATIONS: [Segmentation; 3] = [Segmentation::Auto, Segmentation::On, Segmentation::Off];

pub(crate) fn open(site: &Site, family: Family) -> UdpSocket {
    site.run(|| UdpSocket::open(family, PORT)).unwrap()
}

/// A sender from `near` to `far` over the interface "wire", with its socket.
pub(crate) fn sender(
    site: &Site,
    near: &str,
    far: &str,
    segmentation: Segmentation,
) -> (Arc<UdpSocket>, UdpSender) {
    let (near, far) = (
        SocketAddr::new(ip(near), PORT),
        SocketAddr::new(ip(far), PORT),
    );
    let socket = Arc::new(open(site, Family::of(near.ip())));
    let shared = Arc::clone(&socket);
    let sender = site.run(|| UdpSender::open(shared, near, far, segmentation, Some("wire")));
    (socket, sender.unwrap())
}

/// A whole outer packet between the ports [`PORT`], with DF, and without the checksums.
pub(crate) fn packet(near: &str, far: &str, tos: u8, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut udp = [PORT.to_be_bytes(), PORT.to_be_bytes()].concat();
    udp.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut out = crate::raw::packet(near, far, tos, ttl, &udp);
    out[if ip(near).is_ipv4() { 9 } else { 6 }] = 17;
    out
}

/// Payload `number` of so many octets.
pub(crate) fn payload(number: usize, octets: usize) -> Vec<u8> {
    (0..octets)
        .map(|i| u8::try_from((number * 7 + i) % 251).unwrap())
        .collect()
}

/// Sends packets at a time and returns what was refused.
pub(crate) fn send_at(
    sender: &mut UdpSender,
    now: Instant,
    packets: &[Vec<u8>],
) -> Vec<(usize, Errno)> {
    let mut refused = Vec::new();
    let items = packets.iter().map(Vec::as_slice);
    let accepted = sender.send(&mut SendBatch::new(), now, items, |index, errno| {
        refused.push((index, errno));
    });
    assert_eq!(accepted + refused.len(), packets.len());
    refused
}

pub(crate) fn send_udp(sender: &mut UdpSender, packets: &[Vec<u8>]) -> Vec<(usize, Errno)> {
    send_at(sender, Instant::now(), packets)
}

/// Waits for so many payloads and returns them in order, each with its train.
pub(crate) fn receive(socket: &UdpSocket, count: usize) -> Vec<(ReceivedTrain, Vec<u8>)> {
    let mut batch = UdpReceiveBatch::new();
    let mut payloads = Vec::new();
    wait_for(socket.fd(), || {
        let received = socket.receive(&mut batch).unwrap();
        for index in 0..received {
            let train = batch.train(index).unwrap();
            for payload in batch.buffer()[train.range.clone()].chunks(train.segment_octets) {
                payloads.push((train.clone(), payload.to_vec()));
            }
        }
        assert!(batch.train(received).is_none());
        (payloads.len() >= count).then_some(())
    });
    assert_eq!(payloads.len(), count);
    payloads
}

pub(crate) fn payloads(received: Vec<(ReceivedTrain, Vec<u8>)>) -> Vec<Vec<u8>> {
    received.into_iter().map(|(_, payload)| payload).collect()
}

pub(crate) fn packets(near: &str, far: &str, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    payloads
        .iter()
        .map(|payload| packet(near, far, 0, 64, payload))
        .collect()
}

/// Trains of equal payloads with their tails, of which none fits the one before.
fn mixed() -> Vec<Vec<u8>> {
    let sizes = [
        1400, 1400, 1400, 77, 1400, 1400, 1, 900, 1000, 1000, 64, 64, 64, 65,
    ];
    (0..)
        .zip(sizes)
        .map(|(number, octets)| payload(number, octets))
        .collect()
}

#[test]
fn a_segmented_train_comes_as_one_with_its_marks_and_odd_tail() {
    for (family, near, far) in FAMILIES {
        let (one, two) = pair();
        let (receiver, (_, mut sender)) = (
            open(&two, family),
            sender(&one, near, far, Segmentation::Auto),
        );
        let sent: Vec<Vec<u8>> = (0..40)
            .map(|n| payload(n, if n < 39 { 1400 } else { 77 }))
            .collect();
        let train: Vec<_> = sent
            .iter()
            .map(|payload| packet(near, far, 0xb9, 17, payload))
            .collect();
        assert_eq!(send_udp(&mut sender, &train), []);
        let received = receive(&receiver, 40);
        let (train, _) = &received[0];
        assert_eq!(
            (train.range.len(), train.segment_octets),
            (39 * 1400 + 77, 1400)
        );
        assert_eq!(train.source, SocketAddr::new(ip(near), PORT));
        assert_eq!(train.destination, Some(ip(far)));
        assert_eq!(
            (train.tos, train.scope, train.truncated),
            (Some(0xb9), 0, false)
        );
        assert_eq!(payloads(received), sent);
    }
}

#[test]
fn every_way_delivers_trains_of_all_sizes_in_order_and_whole() {
    for (family, near, far) in FAMILIES {
        for segmentation in SEGMENTATIONS {
            let (one, two) = pair();
            let (receiver, (_, mut sender)) =
                (open(&two, family), sender(&one, near, far, segmentation));
            let mut sent: Vec<Vec<u8>> = (0..200).map(|n| payload(n, 1000)).collect();
            sent.extend(mixed());
            // Over IPv6 a packet that leaves whole has its checksum from whoever wrote it: here all go by the UDP socket.
            assert_eq!(send_udp(&mut sender, &packets(near, far, &sent)), []);
            assert_eq!(
                payloads(receive(&receiver, sent.len())),
                sent,
                "{near} {segmentation:?}"
            );
            assert_eq!((sender.fallbacks(), sender.take_change()), (0, None));
        }
    }
}

#[test]
fn the_header_is_as_the_packet_has_it_whichever_way_it_takes() {
    for segmentation in SEGMENTATIONS {
        let (one, two) = pair();
        let tap = two.run(|| {
            socket2::Socket::new(
                socket2::Domain::IPV4,
                socket2::Type::RAW,
                Some(socket2::Protocol::UDP),
            )
        });
        let tap = std::net::UdpSocket::from(tap.unwrap());
        tap.set_read_timeout(Some(crate::site::PATIENCE)).unwrap();
        let _receiver = open(&two, Family::V4);
        let (_, mut sender) = sender(&one, "192.0.2.1", "192.0.2.2", segmentation);
        for (tos, ttl) in [(0, 64), (0xb9, 17), (0, 255), (1, 64)] {
            let sent = packet("192.0.2.1", "192.0.2.2", tos, ttl, &[1, 2, 3]);
            assert_eq!(send_udp(&mut sender, &[sent.clone(), sent.clone()]), []);
            let mut header = [0; 64];
            let (octets, _) = tap.recv_from(&mut header).unwrap();
            assert!(octets >= 31);
            assert_eq!(
                (header[1], header[8], header[6..8].to_vec()),
                (tos, ttl, vec![0x40, 0])
            );
            assert_eq!(
                (&header[12..24], &header[28..31]),
                (&sent[12..24], &sent[28..31])
            );
            while tap_has_more(&tap) {
                tap.recv_from(&mut header).unwrap();
            }
        }
    }
}

fn tap_has_more(tap: &std::net::UdpSocket) -> bool {
    tap.set_nonblocking(true).unwrap();
    let more = tap.peek(&mut [0]).is_ok();
    tap.set_nonblocking(false).unwrap();
    more
}

#[test]
fn a_packet_above_the_mtu_is_refused_by_its_position_and_is_no_fault_of_segmentation() {
    for (family, near, far) in FAMILIES {
        for segmentation in SEGMENTATIONS {
            let (one, two) = pair();
            let (receiver, (socket, mut sender)) =
                (open(&two, family), sender(&one, near, far, segmentation));
            let most = if family == Family::V4 { 1472 } else { 1452 };
            let mut sent: Vec<Vec<u8>> = (0..3).map(|n| payload(n, most + 1)).collect();
            sent.push(payload(3, 500));
            sent.extend((4..8).map(|n| payload(n, most)));
            for _ in 0..4 {
                let refused = [0, 1, 2].map(|index| (index, Errno::MSGSIZE));
                assert_eq!(send_udp(&mut sender, &packets(near, far, &sent)), refused);
                assert_eq!(payloads(receive(&receiver, 5)), sent[3..]);
            }
            assert_eq!((sender.fallbacks(), sender.take_change()), (0, None));
            // The refusals were told once, to the sender.
            let mut buffer = adit::io::raw::ErrorBuffer::new();
            assert!(socket.receive_error(&mut buffer).unwrap().is_none());
        }
    }
}

#[test]
fn without_segmentation_an_ipv4_packet_leaves_as_it_was_written() {
    let (one, two) = pair();
    let receiver = open(&two, Family::V4);
    let (_, mut sender) = sender(&one, "192.0.2.1", "192.0.2.2", Segmentation::Off);
    // A source that is not of this host: no UDP socket would send it.
    let sent = packet("192.0.2.77", "192.0.2.2", 0, 64, &[7; 100]);
    assert_eq!(send_udp(&mut sender, &[sent]), []);
    let (train, payload) = receive(&receiver, 1).remove(0);
    assert_eq!(train.source, SocketAddr::new(ip("192.0.2.77"), PORT));
    assert_eq!(payload, [7; 100]);
}

#[test]
fn fragments_leave_as_they_are_between_the_runs_and_in_order() {
    let (one, two) = pair();
    let receiver = open(&two, Family::V4);
    let (_, mut sender) = sender(&one, "192.0.2.1", "192.0.2.2", Segmentation::On);
    let large = payload(3, 2000);
    let whole = packet("192.0.2.1", "192.0.2.2", 0, 64, &large);
    let mut first = whole[..20 + 1480].to_vec();
    first[6] = 0x20;
    let mut second = [&whole[..20], &whole[20 + 1480..]].concat();
    second[6..8].copy_from_slice(&185u16.to_be_bytes());
    let sent = [
        payload(1, 300),
        payload(2, 300),
        large,
        payload(4, 300),
        payload(5, 300),
    ];
    let mut train = packets("192.0.2.1", "192.0.2.2", &sent);
    train.splice(2..3, [first, second]);
    assert_eq!(send_udp(&mut sender, &train), []);
    assert_eq!(payloads(receive(&receiver, 5)), sent);
}

#[test]
fn ipv6_fragments_leave_as_they_are() {
    let (one, two) = pair();
    let receiver = open(&two, Family::V6);
    let (_, mut sender) = sender(&one, "fd00::1", "fd00::2", Segmentation::On);
    let large = payload(3, 2000);
    let whole = packet("fd00::1", "fd00::2", 0, 64, &large);
    let pieces = [
        (0u16, 1u16, &whole[40..40 + 1400]),
        (1400, 0, &whole[1440..]),
    ];
    let mut train = Vec::new();
    for (offset, more, piece) in pieces {
        let place = (offset | more).to_be_bytes();
        let header = [17, 0, place[0], place[1], 0, 0, 0, 9];
        let mut fragment =
            crate::raw::packet("fd00::1", "fd00::2", 0, 64, &[&header[..], piece].concat());
        fragment[6] = 44;
        train.push(fragment);
    }
    assert_eq!(send_udp(&mut sender, &train), []);
    // Without checksum, which the socket accepts.
    assert_eq!(payloads(receive(&receiver, 1)), [large]);
}

#[test]
fn an_ipv6_datagram_without_checksum_is_received() {
    let (one, two) = pair();
    let receiver = open(&two, Family::V6);
    let raw = open_sender(&one, "fd00::1", "fd00::2");
    assert_eq!(
        send(&raw, &[packet("fd00::1", "fd00::2", 0, 64, &[9; 40])]),
        []
    );
    assert_eq!(payloads(receive(&receiver, 1)), [[9; 40]]);
}

#[test]
fn an_empty_datagram_is_a_train_of_one() {
    for (family, near, far) in FAMILIES {
        let (one, two) = pair();
        let (receiver, (_, mut sender)) = (
            open(&two, family),
            sender(&one, near, far, Segmentation::On),
        );
        let sent = [vec![], vec![], vec![0xff]];
        assert_eq!(send_udp(&mut sender, &packets(near, far, &sent)), []);
        let mut batch = UdpReceiveBatch::new();
        let mut lengths = Vec::new();
        wait_for(receiver.fd(), || {
            for index in 0..receiver.receive(&mut batch).unwrap() {
                let train = batch.train(index).unwrap();
                lengths.push((train.range.len(), train.segment_octets));
            }
            (lengths.len() == 3).then_some(())
        });
        assert_eq!(lengths, [(0, 1), (0, 1), (1, 1)]);
    }
}

#[test]
fn more_trains_than_one_call_takes_wait_for_the_next() {
    let (one, two) = pair();
    let receiver = open(&two, Family::V4);
    let (_, mut sender) = sender(&one, "192.0.2.1", "192.0.2.2", Segmentation::Off);
    let sent: Vec<Vec<u8>> = (0..RECEIVE_TRAINS + 3).map(|n| payload(n, 100)).collect();
    assert_eq!(
        send_udp(&mut sender, &packets("192.0.2.1", "192.0.2.2", &sent)),
        []
    );
    let mut batch = UdpReceiveBatch::new();
    crate::site::ready(&[receiver.fd()], crate::site::PATIENCE);
    assert_eq!(receiver.receive(&mut batch), Ok(RECEIVE_TRAINS));
    assert_eq!(receiver.receive(&mut batch), Ok(3));
    assert_eq!(receiver.receive(&mut batch), Ok(0));
    assert!(batch.train(0).is_none());
}

#[test]
fn datagrams_that_a_full_buffer_loses_are_counted() {
    let (one, two) = pair();
    let receiver = open(&two, Family::V4);
    let (_, mut sender) = sender(&one, "192.0.2.1", "192.0.2.2", Segmentation::Off);
    let train = packets("192.0.2.1", "192.0.2.2", &vec![vec![0; 1400]; 640]);
    let sent: usize = (0..32)
        .map(|_| train.len() - send_udp(&mut sender, &train).len())
        .sum();
    let mut batch = UdpReceiveBatch::new();
    let mut received = 0;
    while let count @ 1.. = receiver.receive(&mut batch).unwrap() {
        received += count;
    }
    let dropped = receiver.dropped().unwrap() as usize;
    assert!(dropped > 0);
    assert_eq!(received + dropped, sent);
}

#[test]
fn a_peer_that_moved_is_sent_to_at_its_new_address_and_port_by_every_way() {
    for (family, near, far) in FAMILIES {
        for segmentation in [Segmentation::On, Segmentation::Off] {
            let (one, mut two) = pair();
            let moved: IpAddr = if family == Family::V4 {
                "192.0.2.3"
            } else {
                "fd00::3"
            }
            .parse()
            .unwrap();
            let text = format!("{moved}/{}", if moved.is_ipv4() { 24 } else { 64 });
            two.configure("wire", &[&text]);
            two.settle("wire");
            let (_, mut sender) = sender(&one, near, far, segmentation);
            let receiver = two.run(|| UdpSocket::open(family, 50_000)).unwrap();
            sender.set_remote(SocketAddr::new(moved, 50_000));
            let sent = vec![payload(0, 100), payload(1, 100)];
            let mut train = packets(near, &moved.to_string(), &sent);
            let port = if family == Family::V4 { 22 } else { 42 };
            for packet in &mut train {
                packet[port..port + 2].copy_from_slice(&50_000u16.to_be_bytes());
            }
            assert_eq!(send_udp(&mut sender, &train), []);
            let received = receive(&receiver, 2);
            assert_eq!(received[0].0.destination, Some(moved));
            assert_eq!(payloads(received), sent);
        }
    }
}

#[test]
fn each_family_of_a_port_is_one_sockets_alone() {
    let site = Site::new();
    let (_v4, _v6) = (open(&site, Family::V4), open(&site, Family::V6));
    for family in [Family::V4, Family::V6] {
        let error = site.run(|| UdpSocket::open(family, PORT)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[test]
fn a_peer_of_another_family_is_refused() {
    let site = Site::new();
    let socket = Arc::new(open(&site, Family::V4));
    let (near, far) = (
        "192.0.2.1:4500".parse().unwrap(),
        "[fd00::2]:4500".parse().unwrap(),
    );
    let opened = site.run(|| UdpSender::open(socket, near, far, Segmentation::Off, None));
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EAFNOSUPPORT));
}
