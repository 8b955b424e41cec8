//! Wire to TUN: one receive call, each datagram to its tunnel, each tunnel's packets coalesced and written.
//!
//! Itinerary: [`RawSocket::receive`](crate::io::raw::RawSocket::receive) → `proto/wire/gre.rs` → [`Table`](super::table::Table) →
//! keepalives to `proto/liveness`, the rest to `proto/tunnel/decap.rs` → `proto/offload/coalesce.rs` →
//! [`TunDevice::write_run`](crate::io::tun::TunDevice::write_run).

use std::net::IpAddr;
use std::ops::Range;
use std::time::Instant;

use adit_proto::counters::DropReason;
use adit_proto::wire::gre;
use adit_proto::wire::ip::IPV6_OCTETS;
use rustix::event::epoll::EventFlags;

use super::table::Source;
use super::worker::{BATCH_PACKETS, TURN_PACKETS, Worker};
use crate::io::raw::{Family, ReceiveBatch};

/// One receive buffer a family, and which of them is at work.
pub(super) struct Receive {
    v4: ReceiveBatch,
    v6: ReceiveBatch,
    family: Family,
}

impl Receive {
    pub(super) fn new() -> Self {
        Self {
            v4: ReceiveBatch::new(Family::V4),
            v6: ReceiveBatch::new(Family::V6),
            family: Family::V4,
        }
    }

    pub(super) fn batch(&mut self) -> &mut ReceiveBatch {
        match self.family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// A GRE packet in the receive buffer, with what its outer header said.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) source: Source,
    destination: Option<IpAddr>,
    tos: u8,
    pub(super) gre: Range<usize>,
}

impl Worker {
    /// Receives from `socket` until it is empty or its turn is over.
    pub(super) fn receive_from(&mut self, socket: usize, flags: EventFlags) {
        if flags.contains(EventFlags::ERR) {
            self.take_errors(socket);
        }
        let mut packets = 0;
        while packets < TURN_PACKETS {
            let received = self.receive_batch(socket);
            packets += received;
            if received < BATCH_PACKETS {
                return;
            }
        }
    }

    /// Receives from every socket until all are empty, so that no answer that is there already is missed by a late timer.
    pub(super) fn drain_sockets(&mut self) {
        for socket in 0..self.sockets.len() {
            while self.receive_batch(socket) == BATCH_PACKETS {}
        }
    }

    fn receive_batch(&mut self, socket: usize) -> usize {
        let Some(outer) = self.sockets.get(socket).and_then(Option::as_ref) else {
            return 0;
        };
        self.receive.family = outer.family;
        let received = outer.raw.receive(self.receive.batch()).unwrap_or(0);
        if received == 0 {
            return 0;
        }
        // The clock is read after the packets: none of them came later than that.
        let now = Instant::now();
        for index in 0..received {
            self.take(socket, index, now);
        }
        self.deliver(now);
        received
    }

    fn take(&mut self, socket: usize, index: usize, now: Instant) {
        let arrived = match self.open_outer(socket, index) {
            Ok(arrived) => arrived,
            Err(reason) => return self.config.unassigned.drop_packet(reason),
        };
        let Some(octets) = self.receive.batch().buffer().get(arrived.gre.clone()) else {
            return;
        };
        let header = match gre::parse(octets) {
            Ok(header) => header,
            Err(reason) => return self.drop_at_source(arrived.source, reason),
        };
        let may_be_answer = match header.protocol {
            gre::PROTOCOL_KEEPALIVE => true,
            gre::PROTOCOL_IPV6 => octets.len() - header.octets < IPV6_OCTETS,
            _ => false,
        };
        if may_be_answer && self.take_answer(&arrived, &header, now) {
            return;
        }
        match self.table.find(arrived.source, header.key) {
            Ok(slot) => self.take_packet(slot, &arrived, &header, now),
            Err(_) if self.is_foreign(arrived.source, header.key) => {}
            Err(_) if header.protocol == gre::PROTOCOL_KEEPALIVE => {
                self.drop_at_source(arrived.source, DropReason::KeepaliveStale);
            }
            Err(reason) => self.drop_at_source(arrived.source, reason),
        }
    }

    fn open_outer(&mut self, socket: usize, index: usize) -> Result<Arrived, DropReason> {
        let datagram = self
            .receive
            .batch()
            .datagram(index)
            .ok_or(DropReason::OuterMalformed)?;
        if datagram.truncated {
            return Err(DropReason::Truncated);
        }
        Ok(Arrived {
            source: Source {
                socket,
                address: datagram.source,
            },
            destination: datagram.destination,
            tos: datagram.tos.unwrap_or(0),
            gre: datagram.range.start + datagram.header_octets..datagram.range.end,
        })
    }

    fn take_packet(&mut self, slot: usize, arrived: &Arrived, header: &gre::Header, now: Instant) {
        let Some(tunnel) = self.tunnels.get(slot).and_then(Option::as_deref) else {
            return;
        };
        if arrived
            .destination
            .is_some_and(|to| to != tunnel.parameters.local)
        {
            return self.config.unassigned.drop_packet(DropReason::UnknownPeer);
        }
        if header.protocol == gre::PROTOCOL_KEEPALIVE {
            return tunnel.counters.drop_packet(DropReason::KeepaliveStale);
        }
        if self.take_request(slot, arrived, header, now) {
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(octets) = self
            .receive
            .batch()
            .buffer_mut()
            .get_mut(arrived.gre.clone())
        else {
            return;
        };
        if !tunnel.liveness.may_forward() {
            return tunnel.counters.drop_packet(DropReason::TunnelDown);
        }
        match tunnel
            .decap
            .decapsulate(header, octets, arrived.tos, &tunnel.counters)
        {
            Ok(inner) => {
                if tunnel.pending.is_empty() {
                    self.touched.push(slot);
                }
                let start = arrived.gre.start;
                tunnel.pending.push(start + inner.start..start + inner.end);
            }
            Err(reason) => tunnel.counters.drop_packet(reason),
        }
    }

    fn is_foreign(&self, source: Source, key: Option<gre::GreKey>) -> bool {
        let socket = self.sockets.get(source.socket).and_then(Option::as_ref);
        socket.is_some_and(|socket| self.foreign.contains(&(socket.netns, source.address, key)))
    }

    /// Counts a packet that has no tunnel with its peer's only tunnel, where it can be told.
    fn drop_at_source(&self, source: Source, reason: DropReason) {
        let cell = match self.table.at_source(source) {
            &[slot] => self
                .tunnels
                .get(slot)
                .and_then(Option::as_ref)
                .map(|tunnel| &tunnel.counters),
            _ => None,
        };
        cell.unwrap_or(&self.config.unassigned).drop_packet(reason);
    }

    /// Writes each tunnel's packets of this batch to its device.
    fn deliver(&mut self, now: Instant) {
        while let Some(slot) = self.touched.pop() {
            if let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) {
                let buffer = self.receive.batch().buffer_mut();
                tunnel.deliver(&mut self.coalescer, buffer, now, &self.config);
            }
        }
    }
}
