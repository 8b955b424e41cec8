//! Wire to TUN: one receive call, each datagram to its tunnel, each tunnel's packets coalesced and written.
//!
//! Itinerary: [`RawSocket::receive`](crate::io::raw::RawSocket::receive) or [`UdpSocket::receive`](crate::io::udp::UdpSocket::receive), each
//! segment of a train by itself → ESP by SPI to src/dataplane/esp.rs → `proto/wire/gre.rs` → [`Table`](super::table::Table) → keepalives to
//! `proto/liveness`, the rest to `proto/tunnel/decap.rs` → `proto/offload/coalesce.rs` →
//! [`TunDevice::write_run`](crate::io::tun::TunDevice::write_run).

use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adit_proto::counters::{Counters, DropReason};
use adit_proto::liveness::is_warm;
use adit_proto::wire::gre;
use adit_proto::wire::ip::IPV6_OCTETS;
use rustix::event::epoll::EventFlags;

use super::Claim;
use super::children::Children;
use super::socket::{Carries, Receiver};
use super::table::Source;
use super::worker::{BATCH_PACKETS, TURN_PACKETS, Worker};
use crate::io::raw::{Family, ReceiveBatch};
use crate::io::udp::{RECEIVE_TRAINS, ReceivedTrain, UdpReceiveBatch};

/// Octets that wait at most to be written to the devices, since more would not stay in the cache: a super-packet and what ESP adds to it,
/// which are two trains.
const DELIVER_OCTETS: usize = 68 * 1024;

/// Trains of more octets on average are large, and so many of them are received at once: a full one and a small one, of one super-packet.
const LARGE_OCTETS: usize = 16 * 1024;
const LARGE_TRAINS: usize = 2;
/// Trains of more octets on average are full, and received one by one.
const FULL_OCTETS: usize = 48 * 1024;

/// How long a late timer waits for what is in the sockets.
const DRAIN_FOR: Duration = Duration::from_millis(20);

/// The receive buffers, and which of them is at work.
pub(super) struct Receive {
    v4: ReceiveBatch,
    v6: ReceiveBatch,
    udp: UdpReceiveBatch,
    /// How many trains the next receive takes at most.
    trains: usize,
    current: Current,
}

#[derive(Clone, Copy)]
enum Current {
    V4,
    V6,
    Udp,
}

impl Receive {
    pub(super) fn new() -> Self {
        Self {
            v4: ReceiveBatch::new(Family::V4),
            v6: ReceiveBatch::new(Family::V6),
            udp: UdpReceiveBatch::new(),
            trains: RECEIVE_TRAINS,
            current: Current::V4,
        }
    }

    /// Whether a receive of so many trains with so many octets was all that there was; the next one takes few trains if these were large,
    /// and many again once as many small ones as it may take were there.
    fn has_emptied(&mut self, trains: usize, octets: usize) -> bool {
        let is_all = trains < self.trains;
        let next = if trains == 0 {
            self.trains
        } else if octets > trains * FULL_OCTETS {
            1
        } else if octets > trains * LARGE_OCTETS || self.trains == 1 {
            LARGE_TRAINS
        } else if is_all {
            self.trains
        } else {
            RECEIVE_TRAINS
        };
        if next != self.trains {
            self.trains = next;
            self.udp.limit(next);
        }
        is_all
    }

    fn raw(&mut self, family: Family) -> &mut ReceiveBatch {
        match family {
            Family::V4 => {
                self.current = Current::V4;
                &mut self.v4
            }
            Family::V6 => {
                self.current = Current::V6;
                &mut self.v6
            }
        }
    }

    #[inline]
    pub(super) fn buffer(&self) -> &[u8] {
        match self.current {
            Current::V4 => self.v4.buffer(),
            Current::V6 => self.v6.buffer(),
            Current::Udp => self.udp.buffer(),
        }
    }

    #[inline]
    pub(super) fn buffer_mut(&mut self) -> &mut [u8] {
        match self.current {
            Current::V4 => self.v4.buffer_mut(),
            Current::V6 => self.v6.buffer_mut(),
            Current::Udp => self.udp.buffer_mut(),
        }
    }
}

/// What came in one outer packet, in the receive buffer, with what its outer headers said.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) source: Source,
    /// The source port, where there is one.
    pub(super) port: Option<u16>,
    pub(super) destination: Option<IpAddr>,
    pub(super) tos: u8,
    /// What follows the outer headers: GRE, ESP, or what is in UDP.
    pub(super) payload: Range<usize>,
}

impl Worker {
    /// Receives from `socket` until it is empty or its turn is over.
    pub(super) fn receive_from(&mut self, socket: usize, flags: EventFlags) {
        if flags.contains(EventFlags::ERR) {
            self.take_errors(socket);
        }
        let mut packets = 0;
        while packets < TURN_PACKETS {
            let (received, is_empty) = self.receive_batch(socket);
            packets += received;
            if is_empty {
                return;
            }
        }
    }

    /// Receives from every socket until all are empty, so that no answer that is there already is missed by a late timer; for a while at
    /// most, since more may come than can be taken.
    pub(super) fn drain_sockets(&mut self) {
        let until = Instant::now() + DRAIN_FOR;
        for socket in 0..self.sockets.len() {
            while let (1.., false) = self.receive_batch(socket)
                && Instant::now() < until
            {}
        }
    }

    /// Takes what one call receives; gives how many packets that were, and whether it was everything.
    fn receive_batch(&mut self, socket: usize) -> (usize, bool) {
        let Some(outer) = self.sockets.get(socket).and_then(Option::as_ref) else {
            return (0, true);
        };
        let carries = outer.kind.carries;
        match &outer.receiver {
            Receiver::Raw(raw) => {
                let received = raw.receive(self.receive.raw(outer.family)).unwrap_or(0);
                // The clock is read after the packets: none of them came later than that.
                let now = Instant::now();
                if !self.is_ready(socket, received) {
                    return (received, true);
                }
                for index in 0..received {
                    self.take_raw(socket, index, carries, now);
                }
                self.deliver(now);
                (received, received < BATCH_PACKETS)
            }
            Receiver::Udp(udp) => {
                let trains = udp.receive(&mut self.receive.udp).unwrap_or(0);
                self.receive.current = Current::Udp;
                let now = Instant::now();
                if !self.is_ready(socket, trains) {
                    return (trains, true);
                }
                let (packets, octets) = self.take_trains(socket, trains, carries, now);
                (packets, self.receive.has_emptied(trains, octets))
            }
        }
    }

    /// Does what was asked before these packets were received: an association that was installed before the peer heard of it is found by its
    /// first packet. Whether the socket is still there.
    #[inline]
    fn is_ready(&mut self, socket: usize, received: usize) -> bool {
        if received == 0 || !self.config.has_mail.load(Ordering::Acquire) {
            return true;
        }
        let kind = |worker: &Self| {
            let socket = worker.sockets.get(socket)?.as_ref()?;
            Some((socket.netns, socket.kind))
        };
        let before = kind(self);
        let current = self.receive.current;
        self.empty_mailbox();
        self.receive.current = current;
        let is_same = kind(self) == before;
        if !is_same {
            let unassigned = &self.config.unassigned;
            unassigned.drop_packets(DropReason::UnknownPeer, received as u64);
        }
        is_same
    }

    fn take_raw(&mut self, socket: usize, index: usize, carries: Carries, now: Instant) {
        match self.open_outer(socket, index) {
            Ok(arrived) => match carries {
                Carries::Gre => self.take_gre(&arrived, None, now),
                Carries::Esp => self.take_esp(arrived, now),
            },
            Err(reason) => self.config.unassigned.drop_packet(reason),
        }
    }

    /// Takes the trains of one receive; gives how many packets and octets they had.
    fn take_trains(
        &mut self,
        socket: usize,
        trains: usize,
        carries: Carries,
        now: Instant,
    ) -> (usize, usize) {
        let (mut packets, mut octets, mut waiting) = (0, 0, 0);
        for index in 0..trains {
            let Some(train) = self.receive.udp.train(index) else {
                let unassigned = &self.config.unassigned;
                unassigned.drop_packet(DropReason::OuterMalformed);
                packets += 1;
                continue;
            };
            let more = train.range.len();
            if waiting + more > DELIVER_OCTETS {
                self.deliver(now);
                waiting = 0;
            }
            packets += self.take_train(socket, &train, carries, now);
            waiting += more;
            octets += more;
        }
        self.deliver(now);
        (packets, octets)
    }

    /// Takes each datagram of a train by itself; gives how many there were.
    fn take_train(
        &mut self,
        socket: usize,
        train: &ReceivedTrain,
        carries: Carries,
        now: Instant,
    ) -> usize {
        let octets = train.range.len();
        let packets = octets.div_ceil(train.segment_octets).max(1);
        if train.truncated {
            let unassigned = &self.config.unassigned;
            unassigned.drop_packets(DropReason::Truncated, packets as u64);
            return packets;
        }
        let mut start = train.range.start;
        for _ in 0..packets {
            let end = (start + train.segment_octets).min(train.range.end);
            let arrived = Arrived {
                source: Source {
                    socket,
                    address: train.source.ip(),
                },
                port: Some(train.source.port()),
                destination: train.destination,
                tos: train.tos.unwrap_or(0),
                payload: start..end,
            };
            match carries {
                Carries::Gre => self.take_gre(&arrived, None, now),
                Carries::Esp => self.take_udp_esp(arrived, now),
            }
            start = end;
        }
        packets
    }

    fn open_outer(&mut self, socket: usize, index: usize) -> Result<Arrived, DropReason> {
        let batch = match self.receive.current {
            Current::V4 => &self.receive.v4,
            Current::V6 | Current::Udp => &self.receive.v6,
        };
        let datagram = batch.datagram(index).ok_or(DropReason::OuterMalformed)?;
        if datagram.truncated {
            return Err(DropReason::Truncated);
        }
        Ok(Arrived {
            source: Source {
                socket,
                address: datagram.source,
            },
            port: None,
            destination: datagram.destination,
            tos: datagram.tos.unwrap_or(0),
            payload: datagram.range.start + datagram.header_octets..datagram.range.end,
        })
    }

    /// A GRE packet from its header on; one that came through an association is of the tunnel in `slot`.
    pub(super) fn take_gre(&mut self, arrived: &Arrived, slot: Option<usize>, now: Instant) {
        let octets = self.receive.buffer().get(arrived.payload.clone());
        let octets = octets.unwrap_or_default();
        let header = match gre::parse(octets) {
            Ok(header) => header,
            Err(reason) => return self.drop_for(slot, arrived.source, reason),
        };
        let may_be_answer = match header.protocol {
            gre::PROTOCOL_KEEPALIVE => true,
            gre::PROTOCOL_IPV6 => octets.len() - header.octets < IPV6_OCTETS,
            _ => false,
        };
        if may_be_answer && self.take_answer(arrived, &header, slot, now) {
            return;
        }
        let found = match slot {
            Some(slot) => Ok(slot),
            None => self.table.find(arrived.source, header.key),
        };
        match found {
            Ok(slot) => self.take_packet(slot, arrived, &header, now),
            Err(_) if self.is_foreign(arrived.source, header.key) => {}
            Err(_) if self.count_clear(arrived.source, header.protocol) => {}
            Err(_) if header.protocol == gre::PROTOCOL_KEEPALIVE => {
                self.drop_at_source(arrived.source, DropReason::KeepaliveStale);
            }
            Err(reason) => self.drop_at_source(arrived.source, reason),
        }
    }

    fn take_packet(&mut self, slot: usize, arrived: &Arrived, header: &gre::Header, now: Instant) {
        let Some(tunnel) = self.tunnels.get(slot).and_then(Option::as_deref) else {
            return;
        };
        let is_sealed = tunnel.ipsec.is_some();
        if !is_sealed
            && arrived
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
        let Some(octets) = self.receive.buffer_mut().get_mut(arrived.payload.clone()) else {
            return;
        };
        if !is_sealed && !tunnel.liveness.may_forward() {
            return tunnel.counters.drop_packet(DropReason::TunnelDown);
        }
        let decap = &mut tunnel.decap;
        match decap.decapsulate(header, octets, arrived.tos, &tunnel.counters) {
            Ok(inner) => {
                if is_sealed && octets.get(inner.clone()).is_some_and(is_warm) {
                    return tunnel.counters.warm_received.add(1);
                }
                let start = arrived.payload.start;
                self.take_user_packet(slot, start + inner.start..start + inner.end, now);
            }
            Err(reason) => tunnel.counters.drop_packet(reason),
        }
    }

    /// A packet for the device of `slot`. One that came authenticated proves life, also of a tunnel that was down.
    #[inline]
    pub(super) fn take_user_packet(&mut self, slot: usize, range: Range<usize>, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let is_first = tunnel.pending.is_empty();
        let proves = |ipsec: &Children| ipsec.from_peer && !ipsec.has_ike;
        if is_first && tunnel.ipsec.as_ref().is_some_and(proves) {
            tunnel.liveness.handle_inbound(now);
            self.attend_if_changed(slot, now);
        }
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        if !tunnel.liveness.may_forward() {
            return tunnel.counters.drop_packet(DropReason::TunnelDown);
        }
        if is_first {
            self.touched.push(slot);
        }
        tunnel.pending.push(range);
    }

    fn is_foreign(&self, source: Source, key: Option<gre::GreKey>) -> bool {
        let socket = self.sockets.get(source.socket).and_then(Option::as_ref);
        socket.is_some_and(|socket| {
            let claim = Claim::Gre(socket.netns, source.address, key);
            self.foreign.contains(&claim)
        })
    }

    /// Counts a clear packet of a peer that is to send ESP; whether it was one.
    fn count_clear(&mut self, source: Source, protocol: u16) -> bool {
        let slots = self.table.at_source(source);
        let sealed = slots.iter().find_map(|&slot| {
            let tunnel = self.tunnels.get(slot)?.as_deref()?;
            (tunnel.ipsec.is_some() && tunnel.sockets.first() != Some(&source.socket))
                .then_some(slot)
        });
        let Some(tunnel) = sealed.and_then(|slot| self.tunnel_mut(slot)) else {
            return false;
        };
        tunnel.counters.drop_packet(DropReason::ClearText);
        if protocol == gre::PROTOCOL_KEEPALIVE {
            tunnel.clear_answers += 1;
        }
        true
    }

    /// Counts a dropped packet of the tunnel in `slot`, or of nobody.
    pub(super) fn drop_of(&self, slot: usize, reason: DropReason) {
        let tunnel = self.tunnels.get(slot).and_then(Option::as_ref);
        let cell = tunnel.map_or(&self.config.unassigned, |tunnel| &tunnel.counters);
        cell.drop_packet(reason);
    }

    fn drop_for(&self, slot: Option<usize>, source: Source, reason: DropReason) {
        match slot {
            Some(slot) => self.drop_of(slot, reason),
            None => self.drop_at_source(source, reason),
        }
    }

    /// Counts a packet that has no tunnel with its peer's only tunnel, where it can be told.
    pub(super) fn drop_at_source(&self, source: Source, reason: DropReason) {
        self.cell_at_source(source).drop_packet(reason);
    }

    /// The counters of the only tunnel with a peer at `source`, or those of nobody.
    pub(super) fn cell_at_source(&self, source: Source) -> &Counters {
        let cell = match self.table.at_source(source) {
            &[slot] => self
                .tunnels
                .get(slot)
                .and_then(Option::as_ref)
                .map(|tunnel| &tunnel.counters),
            _ => None,
        };
        cell.unwrap_or(&self.config.unassigned)
    }

    /// Writes each tunnel's packets of this batch to its device.
    fn deliver(&mut self, now: Instant) {
        while let Some(slot) = self.touched.pop() {
            if let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) {
                let buffer = self.receive.buffer_mut();
                tunnel.deliver(&mut self.coalescer, buffer, now, &self.config);
            }
        }
    }
}
