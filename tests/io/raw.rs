//! Raw sockets that receive: control messages, reassembly, batches, the kernel's losses.

use std::net::IpAddr;

use adit::io::raw::{
    Datagram, ErrorBuffer, Family, RECEIVE_PACKETS, RawProtocol, RawSocket, ReceiveBatch,
};

use crate::send::{open_sender, send};
use crate::site::{Site, ip, pair, wait_for};

/// A GRE header without flags, protocol 0x0800.
pub(crate) const GRE: [u8; 4] = [0, 0, 8, 0];

pub(crate) fn open(site: &Site, family: Family) -> RawSocket {
    site.run(|| RawSocket::open(family, RawProtocol::Gre))
        .unwrap()
}

/// An outer packet with `gre` behind the header; for IPv4 the kernel fills total length and checksum.
pub(crate) fn packet(source: &str, destination: &str, tos: u8, ttl: u8, gre: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match (ip(source), ip(destination)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend([0x45, tos, 0, 0, 0x12, 0x34, 0x40, 0, ttl, 47, 0, 0]);
            out.extend(source.octets());
            out.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(gre.len()).unwrap().to_be_bytes();
            out.extend([0x60 | tos >> 4, tos << 4 | 0x0a, 0xbc, 0xde]);
            out.extend([length[0], length[1], 47, ttl]);
            out.extend(source.octets());
            out.extend(destination.octets());
        }
        _ => panic!("one family"),
    }
    out.extend(gre);
    out
}

/// Waits for datagrams and returns each with its octets.
pub(crate) fn receive(socket: &RawSocket, count: usize) -> Vec<(Datagram, Vec<u8>)> {
    let mut batch = ReceiveBatch::new(socket.family());
    let mut datagrams = Vec::new();
    wait_for(socket.fd(), || {
        let received = socket.receive(&mut batch).unwrap();
        for index in 0..received {
            let datagram = batch.datagram(index).unwrap();
            let octets = batch.buffer()[datagram.range.clone()].to_vec();
            datagrams.push((datagram, octets));
        }
        assert!(batch.datagram(received).is_none());
        (datagrams.len() >= count).then_some(())
    });
    datagrams
}

#[test]
fn an_ipv6_datagram_starts_at_gre_and_control_messages_tell_its_header() {
    let (one, two) = pair();
    let sender = open_sender(&one, "fd00::1", "fd00::2");
    let receiver = open(&two, Family::V6);
    let sent = packet(
        "fd00::77",
        "fd00::2",
        0xb9,
        17,
        &[&GRE[..], &[1, 2, 3]].concat(),
    );
    assert_eq!(send(&sender, &[sent]), []);
    let (datagram, octets) = receive(&receiver, 1).remove(0);
    assert_eq!(datagram.source, ip("fd00::77"));
    assert_eq!(datagram.destination, Some(ip("fd00::2")));
    assert_eq!((datagram.tos, datagram.ttl), (Some(0xb9), Some(17)));
    assert_eq!((datagram.header_octets, datagram.scope), (0, 0));
    assert_eq!(octets, [&GRE[..], &[1, 2, 3]].concat());
}

#[test]
fn gre_behind_destination_options_starts_at_gre() {
    let (one, two) = pair();
    let sender = open_sender(&one, "fd00::1", "fd00::2");
    let receiver = open(&two, Family::V6);
    // Tunnel encapsulation limit 4 (RFC 2473 section 5.1), padded: what Linux's ip6gre sends.
    let options = [47, 0, 4, 1, 4, 1, 1, 0];
    let mut sent = packet("fd00::1", "fd00::2", 0, 64, &[&options[..], &GRE].concat());
    sent[6] = 60;
    assert_eq!(send(&sender, &[sent]), []);
    assert_eq!(receive(&receiver, 1)[0].1, GRE);
}

#[test]
fn a_link_local_source_is_told_with_its_interface() {
    let (one, mut two) = pair();
    let receiver = open(&two, Family::V6);
    let sent = packet("fe80::a", "fd00::2", 0, 64, &GRE);
    let sender = open_sender(&one, "fd00::1", "fd00::2");
    assert_eq!(send(&sender, &[sent]), []);
    let (datagram, _) = receive(&receiver, 1).remove(0);
    let wire = two.index("wire");
    assert_eq!((datagram.source, datagram.scope), (ip("fe80::a"), wire));
}

#[test]
fn fragments_of_the_largest_ipv4_packet_arrive_as_one_datagram() {
    let (one, two) = pair();
    let sender = open_sender(&one, "192.0.2.1", "192.0.2.2");
    let receiver = open(&two, Family::V4);
    let payload: Vec<u8> = (0..65_515u32).map(|i| (i % 251) as u8).collect();
    let fragments: Vec<Vec<u8>> = payload
        .chunks(1480)
        .enumerate()
        .map(|(index, piece)| {
            let more = (index + 1) * 1480 < payload.len();
            let offset = u16::try_from(index * 185).unwrap() | if more { 0x2000 } else { 0 };
            let mut fragment = packet("192.0.2.1", "192.0.2.2", 0, 64, piece);
            fragment[6..8].copy_from_slice(&offset.to_be_bytes());
            fragment
        })
        .collect();
    assert_eq!(send(&sender, &fragments), []);
    let (datagram, octets) = receive(&receiver, 1).remove(0);
    assert_eq!((octets.len(), datagram.truncated), (65_535, false));
    assert_eq!(octets[20..], payload);
}

#[test]
fn fragments_of_the_largest_ipv6_packet_arrive_as_one_datagram() {
    let (one, two) = pair();
    let sender = open_sender(&one, "fd00::1", "fd00::2");
    let receiver = open(&two, Family::V6);
    let payload: Vec<u8> = (0..65_535u32).map(|i| (i % 251) as u8).collect();
    let fragments: Vec<Vec<u8>> = payload
        .chunks(1448)
        .enumerate()
        .map(|(index, piece)| {
            let more = (index + 1) * 1448 < payload.len();
            let offset = (u16::try_from(index * 1448).unwrap() | u16::from(more)).to_be_bytes();
            let header = [47, 0, offset[0], offset[1], 0, 0, 0, 9];
            let mut fragment = packet("fd00::1", "fd00::2", 0, 64, &[&header[..], piece].concat());
            fragment[6] = 44;
            fragment
        })
        .collect();
    assert_eq!(send(&sender, &fragments), []);
    let (datagram, octets) = receive(&receiver, 1).remove(0);
    assert_eq!((octets.len(), datagram.truncated), (65_535, false));
    assert_eq!(octets, payload);
}

#[test]
fn a_train_longer_than_one_call_arrives_in_order_and_whole() {
    for (family, near, far) in [
        (Family::V4, "192.0.2.1", "192.0.2.2"),
        (Family::V6, "fd00::1", "fd00::2"),
    ] {
        let (one, two) = pair();
        let (sender, receiver) = (open_sender(&one, near, far), open(&two, family));
        let train: Vec<Vec<u8>> = (0..150u8)
            .map(|i| packet(near, far, 0, 64, &[&GRE[..], &[i]].concat()))
            .collect();
        assert!(train.len() > 2 * RECEIVE_PACKETS);
        assert_eq!(send(&sender, &train), []);
        let last: Vec<u8> = receive(&receiver, 150)
            .iter()
            .map(|(_, octets)| *octets.last().unwrap())
            .collect();
        assert_eq!(last, (0..150).collect::<Vec<u8>>());
    }
}

#[test]
fn datagrams_that_a_full_buffer_loses_are_counted() {
    let (one, two) = pair();
    let sender = open_sender(&one, "192.0.2.1", "192.0.2.2");
    let receiver = open(&two, Family::V4);
    assert_eq!(receiver.dropped().unwrap(), 0);
    let train: Vec<Vec<u8>> = (0..640)
        .map(|_| packet("192.0.2.1", "192.0.2.2", 0, 64, &[0; 1400]))
        .collect();
    let mut sent = 0;
    for _ in 0..32 {
        sent += train.len() - send(&sender, &train).len();
    }
    let mut batch = ReceiveBatch::new(Family::V4);
    let mut received = 0;
    while let count @ 1.. = receiver.receive(&mut batch).unwrap() {
        received += count;
    }
    let dropped = receiver.dropped().unwrap() as usize;
    assert!(dropped > 0);
    assert_eq!(received + dropped, sent);
}

#[test]
fn an_empty_socket_yields_nothing_without_waiting() {
    let site = Site::new();
    for family in [Family::V4, Family::V6] {
        let socket = open(&site, family);
        assert_eq!(socket.receive(&mut ReceiveBatch::new(family)), Ok(0));
    }
}

#[test]
fn a_socket_of_esp_receives_esp_alone_and_the_errors_that_answer_it() {
    for (family, near, far) in [
        (Family::V4, "192.0.2.1", "192.0.2.2"),
        (Family::V6, "fd00::1", "fd00::2"),
    ] {
        let (one, two) = pair();
        let esp = |site: &Site| {
            site.run(|| RawSocket::open(family, RawProtocol::Esp))
                .unwrap()
        };
        let socket = esp(&one);
        let sender = open_sender(&one, near, far);
        let mut sent = packet(near, far, 0, 64, &[1, 2, 3, 4, 0, 0, 0, 1]);
        sent[if family == Family::V4 { 9 } else { 6 }] = 50;
        assert_eq!(send(&sender, std::slice::from_ref(&sent)), []);
        // Nobody takes protocol 50 at the far end.
        let mut buffer = ErrorBuffer::new();
        wait_for(socket.fd(), || {
            let error = socket.receive_error(&mut buffer).unwrap()?;
            assert_eq!(
                (error.source, error.destination),
                (Some(ip(near)), Some(ip(far)))
            );
            assert_eq!(error.quoted, [1, 2, 3, 4, 0, 0, 0, 1]);
            Some(())
        });
        let receiver = esp(&two);
        let gre = packet(near, far, 0, 64, &GRE);
        assert_eq!(send(&sender, &[gre, sent]), []);
        let (datagram, octets) = receive(&receiver, 1).remove(0);
        assert_eq!(octets[datagram.header_octets..], [1, 2, 3, 4, 0, 0, 0, 1]);
        assert_eq!(receiver.receive(&mut ReceiveBatch::new(family)), Ok(0));
    }
}
