//! Many datagrams through an ordinary socket in one call, for traffic generators.

use std::io::IoSlice;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_timeout,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use super::sys::option;
use super::sys::receive::ReceiveSlots;

/// Datagrams taken by one call.
pub struct DatagramBatch {
    slots: ReceiveSlots,
    filled: usize,
}

impl DatagramBatch {
    /// Room for 64 datagrams of any size.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: ReceiveSlots::new(64, false),
            filled: 0,
        }
    }

    /// Takes what is there without waiting; returns how many there are, 0 when there is nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn receive(&mut self, socket: impl AsFd) -> Result<usize, Errno> {
        self.filled = 0;
        self.filled = self.slots.receive(socket.as_fd())?;
        Ok(self.filled)
    }

    /// What the last call took.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let ranges = (0..self.filled).filter_map(|index| self.slots.datagram(index));
        ranges.filter_map(|(range, _)| self.slots.buffer().get(range))
    }
}

impl Default for DatagramBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends datagrams through a connected socket by one call, waiting while its buffer is full; returns how many the kernel took.
///
/// # Errors
/// That of the first datagram; EAGAIN when the wait of [`wait_at_most`] is over.
pub fn send<'a>(
    socket: impl AsFd,
    datagrams: impl Iterator<Item = &'a [u8]>,
) -> Result<usize, Errno> {
    let slices: Vec<[IoSlice<'a>; 1]> = datagrams.map(|octets| [IoSlice::new(octets)]).collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = Vec::new();
    controls.resize_with(slices.len(), SendAncillaryBuffer::default);
    let mut messages: Vec<MMsgHdr<'_>> = slices
        .iter()
        .zip(&mut controls)
        .map(|(slices, control)| MMsgHdr::new(slices, control))
        .collect();
    sendmmsg(socket, &mut messages, SendFlags::NOSIGNAL)
}

/// Bounds how long a send waits for room.
///
/// # Errors
/// The system's.
pub fn wait_at_most(socket: impl AsFd, time: Duration) -> Result<(), Errno> {
    set_socket_timeout(socket, Timeout::Send, Some(time))
}

/// Asks for a receive buffer of so many octets; the system's limit holds where we may not pass it.
///
/// # Errors
/// The system's.
pub fn enlarge_receive_buffer(socket: impl AsFd, octets: usize) -> Result<(), Errno> {
    set_socket_recv_buffer_size_force(&socket, octets)
        .or_else(|_| set_socket_recv_buffer_size(&socket, octets))
}

/// Datagrams that the kernel dropped because the socket's buffer was full, since it was opened.
///
/// # Errors
/// The system's.
pub fn dropped(socket: impl AsFd) -> Result<u32, Errno> {
    option::dropped(socket.as_fd())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn what_is_sent_by_one_call_is_received_by_one() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        let octets = [1, 2, 3, 4, 5];
        let datagrams = (1..=5).map(|length| &octets[..length]);
        assert_eq!(send(&from, datagrams), Ok(5));
        let mut batch = DatagramBatch::new();
        assert_eq!(batch.receive(&to), Ok(5));
        let lengths: Vec<usize> = batch.datagrams().map(<[u8]>::len).collect();
        assert_eq!(lengths, [1, 2, 3, 4, 5]);
        assert_eq!(batch.receive(&to), Ok(0));
        assert_eq!(batch.datagrams().count(), 0);
        assert_eq!(dropped(&to), Ok(0));
    }

    #[test]
    fn datagrams_beyond_the_buffer_are_counted_as_dropped() {
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        set_socket_recv_buffer_size(&to, 4096).unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        from.connect(to.local_addr().unwrap()).unwrap();
        let octets = [0; 1000];
        assert_eq!(send(&from, (0..32).map(|_| &octets[..])), Ok(32));
        let mut batch = DatagramBatch::new();
        let received = batch.receive(&to).unwrap();
        assert!(received < 32);
        assert_eq!(dropped(&to).unwrap() as usize + received, 32);
    }
}
