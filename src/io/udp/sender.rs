//! The way to one peer: by segments, singly, or whole.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use socket2::SockAddr;

use super::gso::Gso;
use super::run::{Run, header_octets, settled};
use super::{TTL, UdpSocket};
use crate::io::ethtool;
use crate::io::raw::{SendBatch, SendSocket};
use crate::io::sys::control::{RouteSource, SendControl};
use crate::io::sys::send::{CHUNK, Message};

/// Whether the kernel shall cut trains into datagrams (UDP_SEGMENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// If the outgoing device does the cutting; else packets go to the kernel one by one, which is faster than to have it cut them.
    Auto,
    /// In any case.
    On,
    /// Never.
    Off,
}

/// Sends outer packets of one tunnel to its peer by a UDP socket that others use too.
///
/// Where trains are not cut by the kernel, packets over IPv4 leave through a raw socket as they are; over IPv6 the UDP socket writes
/// headers anew, since it computes the checksum. Fragments, and packets over IPv4 without DF, leave as they are always. Identification,
/// flow label and UDP checksum of the others are the kernel's.
#[derive(Debug)]
pub struct UdpSender {
    socket: Arc<UdpSocket>,
    whole: SendSocket,
    peer: SockAddr,
    source: RouteSource,
    is_v6: bool,
    gso: Gso,
}

impl UdpSender {
    /// Opens the way in the calling thread's network namespace, which is that of `socket`. Needs CAP_NET_RAW there (EPERM).
    ///
    /// `local` and `remote` are of the socket's family (EAFNOSUPPORT), and the port of `local` is that of the socket. `interface` is the
    /// outgoing one, as far as it is known; one that cannot be asked is taken for one that segments.
    pub fn open(
        socket: Arc<UdpSocket>,
        local: SocketAddr,
        remote: SocketAddr,
        segmentation: Segmentation,
        interface: Option<&str>,
    ) -> io::Result<Self> {
        let is_v6 = local.is_ipv6();
        if remote.is_ipv6() != is_v6 {
            return Err(Errno::AFNOSUPPORT.into());
        }
        let segmented = match segmentation {
            Segmentation::Auto => {
                interface.is_none_or(|interface| ethtool::segments_udp(interface).unwrap_or(true))
            }
            Segmentation::On => true,
            Segmentation::Off => false,
        };
        Ok(Self {
            socket,
            whole: SendSocket::open(local.ip(), remote.ip())?,
            peer: SockAddr::from(remote),
            source: RouteSource::new(local.ip()),
            is_v6,
            gso: Gso::new(segmented),
        })
    }

    /// Sends to another address of the peer from here on, of the same family.
    pub fn set_remote(&mut self, remote: SocketAddr) {
        self.peer = SockAddr::from(remote);
        self.whole.set_remote(remote.ip());
    }

    /// How often segmentation was switched off because the path refused it.
    pub fn fallbacks(&self) -> u64 {
        self.gso.fallbacks()
    }

    /// Since the last call, segmentation was switched off (false) or is tried again (true).
    pub fn take_change(&mut self) -> Option<bool> {
        self.gso.take_change()
    }

    /// How many packets at the start of `packets` leave as they would if more came behind them; the others fill no message yet. All of them
    /// where the kernel does not segment, and where there are more than one call looks at.
    pub fn settled<'a>(&self, packets: impl ExactSizeIterator<Item = &'a [u8]>) -> usize {
        let all = packets.len();
        if !self.gso.segments() || all > CHUNK {
            return all;
        }
        let mut chunk: [&[u8]; CHUNK] = [&[]; CHUNK];
        for (place, packet) in chunk.iter_mut().zip(packets) {
            *place = packet;
        }
        settled(chunk.get(..all).unwrap_or_default())
    }

    /// Sends whole outer packets, `IP | UDP | payload`, in order and without waiting; returns how many the kernel accepted.
    ///
    /// A refused packet is reported by its position to `failed`, once, and the others go on: EMSGSIZE above the interface's MTU, EAGAIN
    /// with a full socket buffer, ENOBUFS with a full queue of the interface, ENETUNREACH and EHOSTUNREACH without a route, and ENETUNREACH
    /// (EINVAL from older kernels) over IPv4 while the local address is not of this host.
    pub fn send<'a>(
        &mut self,
        batch: &mut SendBatch,
        now: Instant,
        packets: impl Iterator<Item = &'a [u8]>,
        mut failed: impl FnMut(usize, Errno),
    ) -> usize {
        let mut packets = packets.fuse();
        let (mut accepted, mut position) = (0, 0);
        loop {
            let mut chunk: [&[u8]; CHUNK] = [&[]; CHUNK];
            let mut filled = 0;
            for (place, packet) in chunk.iter_mut().zip(&mut packets) {
                *place = packet;
                filled += 1;
            }
            let chunk = chunk.get(..filled).unwrap_or_default();
            accepted += self.send_chunk(batch, now, chunk, |index, errno| {
                failed(position + index, errno);
            });
            position += filled;
            if filled < CHUNK {
                return accepted;
            }
        }
    }

    fn send_chunk(
        &mut self,
        batch: &mut SendBatch,
        now: Instant,
        packets: &[&[u8]],
        mut failed: impl FnMut(usize, Errno),
    ) -> usize {
        let (mut accepted, mut next) = (0, 0);
        while let Some(rest) = packets.get(next..).filter(|rest| !rest.is_empty()) {
            let mut failed = |index, errno| failed(next + index, errno);
            let segmented = self.gso.is_on(now);
            let runs = if segmented || self.is_v6 {
                self.write_messages(batch, rest, segmented)
            } else {
                0
            };
            let (sent, done) = if runs == 0 {
                let whole = self.leading_whole(rest, segmented);
                let whole = rest.get(..whole).unwrap_or(rest);
                let packets = whole.iter().copied();
                (self.whole.send(batch, packets, &mut failed), whole.len())
            } else {
                self.send_messages(batch, now, rest, &mut failed)
            };
            accepted += sent;
            next += done;
        }
        accepted
    }

    /// How many packets at the start of `packets` leave whole, the first of which does.
    fn leading_whole(&self, packets: &[&[u8]], segmented: bool) -> usize {
        if !segmented && !self.is_v6 {
            return packets.len();
        }
        let is_run = |packet: &&[u8]| Run::first(&[packet], false).is_some();
        let next = packets.iter().skip(1).position(is_run);
        next.map_or(packets.len(), |next| next + 1)
    }

    /// Writes messages for the runs at the start of `packets`, and gives how many.
    fn write_messages(&self, batch: &mut SendBatch, packets: &[&[u8]], segmented: bool) -> usize {
        batch.messages.clear();
        let mut start = 0;
        while let Some(run) = packets
            .get(start..)
            .and_then(|rest| Run::first(rest, segmented))
        {
            let end = start + run.packets;
            batch.messages.push(Message {
                packets: start..end,
                control: self.control(run),
            });
            start = end;
        }
        batch.messages.len()
    }

    fn control(&self, run: Run) -> SendControl {
        let mut control = SendControl::new(&self.source);
        if run.outer.tos != 0 {
            control.add_tos(self.is_v6, run.outer.tos);
        }
        if run.outer.ttl != TTL {
            control.add_ttl(self.is_v6, run.outer.ttl);
        }
        if run.packets > 1
            && let Ok(octets) = u16::try_from(run.segment_octets)
        {
            control.add_segment_octets(octets);
        }
        control
    }

    /// Sends what [`Self::write_messages`] wrote, up to and including the first message that is refused; gives how many packets were
    /// accepted, and how many are done with.
    fn send_messages(
        &mut self,
        batch: &mut SendBatch,
        now: Instant,
        packets: &[&[u8]],
        mut failed: impl FnMut(usize, Errno),
    ) -> (usize, usize) {
        let end_of = |message: Option<&Message>| message.map_or(0, |message| message.packets.end);
        let (sent, error) = batch.headers.send_messages(
            self.socket.fd(),
            &self.peer,
            packets,
            header_octets(self.is_v6),
            &batch.messages,
        );
        let accepted = end_of(batch.messages.get(..sent).and_then(<[_]>::last));
        let Some((errno, refused)) = error.zip(batch.messages.get(sent)) else {
            return (accepted, accepted);
        };
        let run = refused.packets.clone();
        if errno == Errno::AGAIN {
            // The socket's buffer is full, and will be for the rest of the chunk.
            (accepted..packets.len()).for_each(|index| failed(index, errno));
            return (accepted, packets.len());
        }
        if run.len() < 2 || !Gso::may_be_at_fault(errno) {
            run.clone().for_each(|index| failed(index, errno));
            return (accepted, run.end);
        }
        let run_packets = packets.get(run.clone()).unwrap_or_default();
        let resent = self.send_singly(batch, run_packets, |index, errno| {
            failed(run.start + index, errno);
        });
        self.gso.refused(now, errno, resent == run.len());
        (accepted + resent, run.end)
    }

    /// Sends the packets of a run each by itself through the UDP socket.
    fn send_singly(
        &self,
        batch: &mut SendBatch,
        packets: &[&[u8]],
        mut failed: impl FnMut(usize, Errno),
    ) -> usize {
        let (mut accepted, mut next) = (0, 0);
        while let Some(rest) = packets.get(next..).filter(|rest| !rest.is_empty()) {
            self.write_messages(batch, rest, false);
            let (sent, error) = batch.headers.send_messages(
                self.socket.fd(),
                &self.peer,
                rest,
                header_octets(self.is_v6),
                &batch.messages,
            );
            accepted += sent;
            next += sent;
            if let Some(errno) = error {
                failed(next, errno);
                next += 1;
            } else if sent == 0 {
                return accepted;
            }
        }
        accepted
    }
}
