//! ESP on the way in: the SPI picks the association, the association opens the packet in place, and what is inside goes its way.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Instant;

use adit_proto::counters::DropReason;
use adit_proto::esp::{InboundSa, OutboundSa};
use adit_proto::liveness::{DownReason, answer_echo, is_warm};
use adit_proto::tunnel::Mode;
use adit_proto::wire::esp::{self, NEXT_DUMMY, NEXT_GRE, NEXT_IPV4, NEXT_IPV6, Spi};
use adit_proto::wire::gre;
use adit_proto::wire::ip::Ip;
use adit_proto::wire::natt::{self, Content};

use super::inbound::Arrived;
use super::outbox::{Kind, destination};
use super::table::Source;
use super::tunnel::Tunnel;
use super::worker::{Worker, WorkerConfig};
use super::{Claim, FromWorker, IkeDatagram, IpsecReading, WorkerNotice};

/// Fewer reserved sequence numbers than this and more are asked for.
const NUMBERS_LOW: u64 = 1 << 23;
/// TOS and TTL of the answer to a probe: as probes have them.
const ANSWER_TOS: u8 = 0xc0;
const ANSWER_TTL: u8 = 64;

impl Tunnel {
    /// Where a peer that is followed was heard last.
    pub(super) fn followed(&self) -> Option<SocketAddr> {
        let ipsec = self.ipsec.as_ref()?;
        ipsec.peer.filter(|_| ipsec.follows_peer)
    }

    /// When a limit of time of an association is reached.
    pub(super) fn associations_due(&self) -> Option<Instant> {
        let ipsec = self.ipsec.as_ref().filter(|ipsec| !ipsec.expired)?;
        let outbound = self.encap.sa().map(OutboundSa::lifetime);
        let outbound = outbound.and_then(|lifetime| lifetime.poll_timeout());
        [outbound, ipsec.poll_timeout()].into_iter().flatten().min()
    }

    /// Asks for more sequence numbers, tells soft limits, and takes the tunnel down at a hard one.
    pub(super) fn check_associations(&mut self, now: Instant, config: &WorkerConfig) {
        let (Some(ipsec), Some(outbound)) = (&mut self.ipsec, self.encap.sa_mut()) else {
            return;
        };
        let (numbers_left, _) = outbound.numbers_left();
        if numbers_left < NUMBERS_LOW && !ipsec.asked && !ipsec.has_ike {
            ipsec.asked = config.notify(WorkerNotice::SequenceLow(self.id));
        }
        if numbers_left == 0 && !ipsec.exhausted && !ipsec.expired {
            ipsec.exhausted = true;
            self.liveness.suspend(now, DownReason::SaExpired);
        }
        let outbound_aged = outbound.lifetime_mut().has_aged(now);
        let inbound_aged = ipsec.aged(now);
        if ipsec.has_ike {
            let sending = ipsec.sending().filter(|_| outbound_aged);
            let other = inbound_aged.filter(|&spi| Some(spi) != sending);
            for spi in sending.into_iter().chain(other) {
                config.ike.give(FromWorker::Aged(self.id, spi));
            }
        } else {
            if outbound_aged {
                config.notify(WorkerNotice::SaOld(self.id, true));
            }
            if inbound_aged.is_some() {
                config.notify(WorkerNotice::SaOld(self.id, false));
            }
        }
        if !ipsec.expired && (outbound.is_over(now) || ipsec.is_over(now)) {
            ipsec.expired = true;
            self.liveness.suspend(now, DownReason::SaExpired);
        }
    }

    /// What the associations know, for `status`.
    pub(super) fn ipsec_reading(&self) -> Option<IpsecReading> {
        let ipsec = self.ipsec.as_ref()?;
        let outbound = self.encap.sa();
        let (numbers_left, next_seq) = outbound.map_or((0, 0), OutboundSa::numbers_left);
        let newest = ipsec.newest();
        Some(IpsecReading {
            spi_out: outbound.map(OutboundSa::spi),
            spi_in: newest.map(InboundSa::spi),
            next_seq,
            numbers_left,
            edge: newest.map_or(0, InboundSa::edge),
        })
    }
}

/// Where GRE lies in an IP packet of ESP's tunnel mode, which is to be between these two addresses.
fn inner_gre(packet: &[u8], ends: Option<(IpAddr, IpAddr)>) -> Result<Range<usize>, DropReason> {
    let (local, remote) = ends.ok_or(DropReason::EspTrailer)?;
    let ip = Ip::parse(packet).map_err(|_| DropReason::InnerMalformed)?;
    if ip.protocol() != gre::IP_PROTOCOL || ip.is_fragment() {
        return Err(DropReason::EspTrailer);
    }
    if (ip.destination(), ip.source()) != (local, remote) {
        return Err(DropReason::Selector);
    }
    Ok(ip.header_octets()..ip.total_octets())
}

/// What an authenticated packet holds.
enum Inside {
    /// GRE, from its header on.
    Gre(Range<usize>),
    /// An inner packet of this IP version and what pads it.
    Ip(Range<usize>, u8),
    Dummy,
}

impl Worker {
    pub(super) fn extend_sequence(&mut self, slot: usize, last: u64, now: Instant) {
        if let Some(tunnel) = self.tunnel_mut(slot)
            && let (Some(ipsec), Some(outbound)) = (&mut tunnel.ipsec, tunnel.encap.sa_mut())
        {
            ipsec.asked = false;
            outbound.extend(last);
            let was_exhausted = mem::take(&mut ipsec.exhausted);
            if was_exhausted && !ipsec.expired && tunnel.device.is_some() {
                tunnel.liveness.resume(now);
                self.attend(slot, now);
            }
        }
    }

    /// A datagram of a UDP socket that carries ESP.
    pub(super) fn take_udp_esp(&mut self, arrived: Arrived, now: Instant) {
        let buffer = self.receive.buffer();
        let payload = buffer.get(arrived.payload.clone()).unwrap_or_default();
        match natt::classify(payload) {
            Ok(Content::Esp) => self.take_esp(arrived, now),
            Ok(Content::Ike) => self.give_to_ike(&arrived),
            Ok(Content::NatKeepalive) => {
                let cell = self.cell_at_source(arrived.source);
                cell.nat_keepalives_received.add(1);
            }
            Err(reason) => self.drop_at_source(arrived.source, reason),
        }
    }

    /// Hands an IKE message over, as far as somebody takes it.
    #[cold]
    fn give_to_ike(&self, arrived: &Arrived) {
        let socket = self.sockets.get(arrived.source.socket);
        let given = socket.and_then(Option::as_ref).and_then(|socket| {
            let payload = self.receive.buffer().get(arrived.payload.clone())?;
            let datagram = IkeDatagram {
                netns: socket.netns,
                local: arrived.destination,
                port: socket.kind.port?,
                remote: SocketAddr::new(arrived.source.address, arrived.port?),
                octets: payload.get(natt::MARKER_OCTETS..)?.into(),
            };
            Some(socket.has_ike && self.config.ike.give(FromWorker::Datagram(datagram)))
        });
        if given != Some(true) {
            self.drop_at_source(arrived.source, DropReason::IkeUnexpected);
        }
    }

    /// An ESP packet from its header on.
    pub(super) fn take_esp(&mut self, arrived: Arrived, now: Instant) {
        let buffer = self.receive.buffer();
        let header = match esp::parse(buffer.get(arrived.payload.clone()).unwrap_or_default()) {
            Ok(header) => header,
            Err(reason) => return self.drop_at_source(arrived.source, reason),
        };
        let socket = arrived.source.socket;
        let Some(slot) = self.table.find_association(socket, header.spi) else {
            let netns = self.sockets.get(socket).and_then(|it| it.as_ref()?.netns);
            if !self.foreign.contains(&Claim::Esp(netns, header.spi)) {
                self.drop_at_source(arrived.source, DropReason::UnknownSpi);
            }
            return;
        };
        match self.open(slot, header.spi, &arrived, now) {
            Ok(Inside::Gre(range)) => {
                let inner = Arrived {
                    payload: range,
                    ..arrived
                };
                self.take_gre(&inner, Some(slot), now);
            }
            Ok(Inside::Ip(range, version)) => {
                self.take_inner(slot, range, version, arrived.tos, now)
            }
            Ok(Inside::Dummy) => {}
            Err(reason) => {
                self.drop_of(slot, reason);
                if reason == DropReason::SaExpired {
                    self.expire(slot, now);
                }
            }
        }
    }

    /// Takes the tunnel in `slot` down if it is not yet known that an association is over.
    #[cold]
    fn expire(&mut self, slot: usize, now: Instant) {
        let ipsec = self
            .tunnel_mut(slot)
            .and_then(|tunnel| tunnel.ipsec.as_ref());
        if ipsec.is_some_and(|ipsec| !ipsec.expired) {
            self.attend(slot, now);
        }
    }

    /// Opens a packet of the tunnel in `slot` and follows its peer.
    fn open(
        &mut self,
        slot: usize,
        spi: Spi,
        arrived: &Arrived,
        now: Instant,
    ) -> Result<Inside, DropReason> {
        let tunnel = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut);
        let tunnel = tunnel.ok_or(DropReason::UnknownSpi)?;
        let ipsec = tunnel.ipsec.as_mut().ok_or(DropReason::UnknownSpi)?;
        let buffer = self.receive.buffer_mut();
        let packet = buffer.get_mut(arrived.payload.clone()).unwrap_or_default();
        let (opened, is_first) = ipsec.open(spi, packet, now, &tunnel.counters)?;
        ipsec.from_peer = ipsec.follows_peer || arrived.source.address == tunnel.parameters.remote;
        let moved = opened.is_newest
            && ipsec.follows_peer
            && arrived.port.is_some_and(|port| {
                ipsec.peer != Some(SocketAddr::new(arrived.source.address, port))
            });
        if ipsec.has_ike {
            tunnel.liveness.handle_inbound(now);
        }
        let start = arrived.payload.start;
        let payload = start + opened.payload.start..start + opened.payload.end;
        let inside = match (opened.next_header, tunnel.parameters.mode) {
            (NEXT_DUMMY, _) => {
                tunnel.counters.dummies_received.add(1);
                Ok(Inside::Dummy)
            }
            (NEXT_GRE, Mode::GreEsp(_)) if tunnel.parameters.gre_ends.is_none() => {
                Ok(Inside::Gre(payload))
            }
            (NEXT_IPV4 | NEXT_IPV6, Mode::GreEsp(_)) => {
                let inner = buffer.get(payload.clone()).unwrap_or_default();
                inner_gre(inner, tunnel.parameters.gre_ends).map(|range| {
                    Inside::Gre(payload.start + range.start..payload.start + range.end)
                })
            }
            (NEXT_IPV4, Mode::Esp(_)) => Ok(Inside::Ip(payload, 4)),
            (NEXT_IPV6, Mode::Esp(_)) => Ok(Inside::Ip(payload, 6)),
            _ => Err(DropReason::EspTrailer),
        };
        if is_first {
            self.send_by(slot, spi);
        }
        if moved {
            self.follow_peer(slot, arrived);
        }
        self.attend_if_changed(slot, now);
        inside
    }

    /// An inner packet out of an association in tunnel mode.
    fn take_inner(&mut self, slot: usize, range: Range<usize>, version: u8, tos: u8, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let buffer = self.receive.buffer_mut();
        let octets = buffer.get_mut(range.clone()).unwrap_or_default();
        let counters = &tunnel.counters;
        let octets = match tunnel.decap.inner(octets, version, tos, counters) {
            Ok(octets) => octets,
            Err(reason) => return counters.drop_packet(reason),
        };
        let range = range.start..range.start + octets;
        let inner = buffer.get_mut(range.clone()).unwrap_or_default();
        if is_warm(inner) {
            return counters.warm_received.add(1);
        }
        if octets <= PROBE_OCTETS_MAX {
            if let Some(ipsec) = &tunnel.ipsec
                && answer_echo(inner, &ipsec.addresses)
            {
                counters.keepalive_requests_received.add(1);
                return self.send_answer(slot, range, version);
            }
            match tunnel.liveness.handle_echo_reply(now, inner).transpose() {
                None => {}
                Some(Ok(_)) => {
                    counters.keepalive_responses_received.add(1);
                    return self.attend(slot, now);
                }
                Some(Err(reason)) => return counters.drop_packet(reason),
            }
        }
        self.take_user_packet(slot, range, now);
    }

    /// Sends the answer to a probe, which stands where the probe did, back through the association.
    fn send_answer(&mut self, slot: usize, range: Range<usize>, version: u8) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let protocol = if version == 4 {
            gre::PROTOCOL_IPV4
        } else {
            gre::PROTOCOL_IPV6
        };
        self.outbox.use_peer(slot, Kind::Answer);
        let answer = self.receive.buffer().get(range).unwrap_or_default();
        let to = destination(slot, Kind::Answer);
        let encap = &mut tunnel.encap;
        let sent = self.outbox.encapsulate(|train| {
            encap.encapsulate_packet(train, to, protocol, answer, ANSWER_TOS, ANSWER_TTL)
        });
        tunnel.idle.note_own(self.outbox.now);
        match sent {
            Ok(_) => tunnel.counters.keepalive_responses_sent.add(1),
            Err(reason) => tunnel.counters.drop_packet(reason),
        }
    }

    /// Sends to where a packet that advanced the window came from (RFC 3948 appendix A, RFC 7296 section 2.23).
    #[cold]
    fn follow_peer(&mut self, slot: usize, arrived: &Arrived) {
        let Some(port) = arrived.port else { return };
        let peer = SocketAddr::new(arrived.source.address, port);
        self.follow(slot, peer);
        if let Some(tunnel) = self.tunnel_mut(slot) {
            tunnel.counters.peer_moves.add(1);
            let (id, has_ike) = (
                tunnel.id,
                tunnel.ipsec.as_ref().is_some_and(|it| it.has_ike),
            );
            if has_ike {
                self.config.ike.give(FromWorker::Moved(id, peer));
            }
            self.config.notify(WorkerNotice::PeerMoved(id, peer));
        }
    }

    /// Sends packets of `slot` to that address and port of its peer from here on.
    pub(super) fn follow(&mut self, slot: usize, peer: SocketAddr) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let known = tunnel.parameters.remote;
        for &socket in &tunnel.sockets {
            let source = |address| Source { socket, address };
            self.table.remove_standby(source(known), slot);
            self.table.insert_standby(source(peer.ip()), slot);
        }
        if let Some(ipsec) = &mut tunnel.ipsec {
            ipsec.peer = Some(peer);
        }
        tunnel.parameters.remote = peer.ip();
        tunnel.encap.set_remote(tunnel.parameters.local, peer.ip());
        tunnel.encap.set_remote_port(peer.port());
        self.outbox.move_peer(slot, peer);
    }
}

/// Octets of the largest packet that may be a probe or its reply: longer ones are user data.
const PROBE_OCTETS_MAX: usize = 128;
