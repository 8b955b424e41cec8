//! TCP streams whose octets are known at both ends.

use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::{Namespace, within};

/// Octets of a block that repeats: its length is prime, so that a stream that lost or gained a whole number of packets differs.
pub(crate) const BLOCK_OCTETS: usize = 65_521;

/// Octets that look random and are the same every time.
pub(crate) fn block() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    std::iter::repeat_with(next).take(BLOCK_OCTETS).collect()
}

/// Both ends of a TCP connection from `client` to `address`, which is in `server`; nothing about it takes longer than `patience`.
pub(crate) fn connect(
    client: &Namespace,
    server: &Namespace,
    address: IpAddr,
    patience: Duration,
) -> [TcpStream; 2] {
    let listener = within(server, || TcpListener::bind((address, 0))).unwrap();
    let to = listener.local_addr().unwrap();
    let near = within(client, || TcpStream::connect_timeout(&to, patience)).unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.set_write_timeout(Some(patience)).unwrap();
    }
    [near, far]
}
