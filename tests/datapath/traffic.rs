//! TCP streams and UDP datagrams through a tunnel, each octet compared with what was sent.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream, UdpSocket};
use std::thread;

use super::PATIENCE;
use super::common::stream::{block, connect};
use super::common::{Namespace, wait_for, within};

/// Sends `octets` both ways at once over TCP and compares what arrives.
pub(crate) fn streams_arrive_intact(
    client: &Namespace,
    server: &Namespace,
    address: IpAddr,
    octets: usize,
) {
    let [near, far] = connect(client, server, address, PATIENCE);
    let block = block();
    thread::scope(|scope| {
        for stream in [&near, &far] {
            scope.spawn(|| send(stream, &block, octets));
            scope.spawn(|| receive(stream, &block, octets));
        }
    });
}

fn send(mut stream: &TcpStream, block: &[u8], octets: usize) {
    let mut left = octets;
    while left > 0 {
        let piece = &block[..block.len().min(left)];
        stream.write_all(piece).expect("the stream goes on");
        left -= piece.len();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

fn receive(mut stream: &TcpStream, block: &[u8], octets: usize) {
    let mut got = vec![0; block.len()];
    let mut left = octets;
    while left > 0 {
        let piece = &mut got[..block.len().min(left)];
        stream.read_exact(piece).expect("the stream goes on");
        assert!(
            piece == &block[..piece.len()],
            "the stream differs {left} octets before its end"
        );
        left -= piece.len();
    }
    assert_eq!(
        stream.read(&mut got).unwrap(),
        0,
        "more octets than were sent"
    );
}

/// Sends datagrams of these sizes, each of which comes back, and compares them on both ways.
pub(crate) fn datagrams_arrive_intact(
    client: &Namespace,
    server: &Namespace,
    address: IpAddr,
    sizes: impl Iterator<Item = usize>,
) {
    let far = within(server, || UdpSocket::bind((address, 0))).unwrap();
    let to = far.local_addr().unwrap();
    let near = within(client, || {
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to).map(|()| socket)
    })
    .unwrap();
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let block = block();
    let mut got = vec![0; block.len()];
    for octets in sizes {
        let sent = &block[octets % 251..][..octets];
        near.send(sent).unwrap();
        let (received, from) = far
            .recv_from(&mut got)
            .unwrap_or_else(|error| panic!("{octets} octets: {error}"));
        assert!(got[..received] == *sent, "{octets} octets on the way there");
        far.send_to(&got[..received], from).unwrap();
        let received = near
            .recv(&mut got)
            .unwrap_or_else(|error| panic!("{octets} octets back: {error}"));
        assert!(got[..received] == *sent, "{octets} octets on the way back");
    }
}

/// Waits until a packet gets through: a neighbour that was asked for too early is asked again only after a second.
pub(crate) fn wait_for_ping(site: &Namespace, address: &str) {
    wait_for(&format!("{address} answers"), PATIENCE, || {
        site.pings(address, 1, &[]).then_some(())
    });
}
