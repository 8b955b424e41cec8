//! Keepalives on the forwarding path: requests answered in place, probes sent through the same encapsulation as data.

use std::time::Instant;

use adit_proto::counters::DropReason;
use adit_proto::liveness::{Path, REPLY_OCTETS_MAX, Transmit};
use adit_proto::tunnel::{Train, Ttl};
use adit_proto::wire::gre;
use adit_proto::wire::ip::{IPV4_OCTETS, IPV6_OCTETS, Ip};

use super::FromWorker;
use super::inbound::Arrived;
use super::outbox::{Kind, Outbox, destination};
use super::tunnel::Tunnel;
use super::worker::Worker;

/// TOS and TTL of an answer that goes back through the tunnel: CS6, as keepalives have it.
const KEEPALIVE_TOS: u8 = 0xc0;
const KEEPALIVE_TTL: u8 = 255;

impl Worker {
    /// A packet that may be a keepalive answer: it carries no flags of the tunnel, perhaps no key, so each tunnel with that peer is
    /// asked, or the one in `sealed` whose association it came through. Whether it was one.
    pub(super) fn take_answer(
        &mut self,
        arrived: &Arrived,
        header: &gre::Header,
        sealed: Option<usize>,
        now: Instant,
    ) -> bool {
        let body = arrived.payload.start + header.octets..arrived.payload.end;
        let Some(body) = self.receive.buffer().get(body) else {
            return false;
        };
        let asked = match &sealed {
            Some(slot) => std::slice::from_ref(slot),
            None => self.table.at_source(arrived.source),
        };
        let taken = asked.iter().find_map(|&slot| {
            let tunnel = self.tunnels.get_mut(slot)?.as_mut()?;
            let mut source = arrived.source.address;
            if let Some(ipsec) = &tunnel.ipsec {
                if sealed.is_none() && !ipsec.accepts_clear {
                    return None;
                }
                // Who answers through the association is its peer, whatever address a NAT gave it.
                source = tunnel.liveness.path()?.remote;
            }
            let answer = tunnel.liveness.handle_answer(now, source, header, body);
            match answer.transpose()? {
                Ok(_) => tunnel.counters.keepalive_responses_received.add(1),
                Err(reason) => tunnel.counters.drop_packet(reason),
            }
            Some(slot)
        });
        if let Some(slot) = taken {
            self.attend(slot, now);
        }
        taken.is_some()
    }

    /// Answers a keepalive request with the packet that it carries; whether the packet was one.
    pub(super) fn take_request(
        &mut self,
        slot: usize,
        arrived: &Arrived,
        header: &gre::Header,
        now: Instant,
    ) -> bool {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_mut) else {
            return false;
        };
        let Some(gre) = self.receive.buffer().get(arrived.payload.clone()) else {
            return false;
        };
        let payload = gre.get(header.octets..).unwrap_or_default();
        let Some(mut path) = tunnel.liveness.path() else {
            return false;
        };
        // Behind a NAT the request names addresses as the peer knows them. It came authenticated, and its answer goes back by the same
        // association wherever they point.
        if tunnel.ipsec.as_ref().is_some_and(|ipsec| ipsec.has_nat)
            && let Ok(inner) = Ip::parse(payload)
        {
            path = Path {
                local: inner.source(),
                remote: inner.destination(),
            };
        }
        let Some(request) = tunnel
            .answerer
            .handle_request(now, path, header, payload)
            .transpose()
        else {
            return false;
        };
        tunnel.counters.keepalive_requests_received.add(1);
        let checked = tunnel.decap.verify_checksum(header, gre);
        if checked.is_ok() {
            tunnel.decap.observe_sequence(header, &tunnel.counters);
        }
        let reply = match request.and_then(|reply| checked.map(|()| reply)) {
            Ok(reply) => reply,
            Err(reason) => {
                tunnel.counters.drop_packet(reason);
                return true;
            }
        };
        let mut answer = [0; REPLY_OCTETS_MAX];
        let octets = reply.write(path, payload, &mut answer);
        let answer = answer.get(..octets).unwrap_or_default();
        let protocol = reply.is_tunnelled().then_some(header.protocol);
        tunnel.idle.note_own(now);
        match send_reply(tunnel, &mut self.outbox, slot, protocol, answer) {
            Ok(_) => tunnel.counters.keepalive_responses_sent.add(1),
            Err(reason) => tunnel.counters.drop_packet(reason),
        }
        true
    }

    /// Sends the requests that are due.
    pub(super) fn send_probes(&mut self, slot: usize) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        while let Some(transmit) = tunnel.liveness.poll_transmit() {
            let probe = match transmit {
                Transmit::Keepalive(probe) => probe,
                Transmit::IkeProbe => {
                    self.config.ike.give(FromWorker::Probe(tunnel.id));
                    continue;
                }
            };
            if probe.inner().is_empty() {
                continue;
            }
            let (encap, kind) = match &mut tunnel.preferred {
                Some(preferred) if probe.is_preferred => {
                    (&mut preferred.encap, Kind::PreferredRequest)
                }
                _ => (&mut tunnel.encap, Kind::Request),
            };
            self.outbox.use_peer(slot, kind);
            let ttl = match tunnel.parameters.ttl {
                Ttl::Fixed(ttl) => ttl,
                Ttl::Inherit => KEEPALIVE_TTL,
            };
            let send = |train: &mut Train| {
                encap.encapsulate_packet(
                    train,
                    destination(slot, kind),
                    probe.protocol,
                    probe.inner(),
                    probe.tos,
                    ttl,
                )
            };
            if kind == Kind::Request {
                tunnel.idle.note_own(self.outbox.now);
            }
            match self.outbox.encapsulate(send) {
                Ok(_) => tunnel.counters.keepalive_requests_sent.add(1),
                Err(reason) => tunnel.counters.drop_packet(reason),
            }
        }
    }
}

/// Sends an answer back: as an inner packet of that GRE protocol type, or as the whole packet that it is. In a tunnel with ESP or UDP that
/// goes by the way that the request came by, so never in clear where that was sealed, without its IP header, which the outer one repeats.
fn send_reply(
    tunnel: &mut Tunnel,
    outbox: &mut Outbox,
    slot: usize,
    protocol: Option<u16>,
    answer: &[u8],
) -> Result<usize, DropReason> {
    let to = destination(slot, Kind::Answer);
    let encap = &mut tunnel.encap;
    outbox.use_peer(slot, Kind::Answer);
    let (tos, ttl) = (KEEPALIVE_TOS, KEEPALIVE_TTL);
    if let Some(protocol) = protocol {
        return outbox
            .encapsulate(|train| encap.encapsulate_packet(train, to, protocol, answer, tos, ttl));
    }
    if tunnel.ipsec.is_some() || tunnel.parameters.udp.is_some() {
        let gre = answer.get(outer_octets(answer)..).unwrap_or_default();
        return outbox.encapsulate(|train| encap.encapsulate_gre(train, to, gre, tos, ttl));
    }
    if !answer.is_empty() && outbox.put(answer, to) {
        Ok(1)
    } else {
        Err(DropReason::KeepaliveMalformed)
    }
}

/// Octets of the IP header that a packet begins with.
fn outer_octets(packet: &[u8]) -> usize {
    match packet.first().map(|first| first >> 4) {
        Some(4) => IPV4_OCTETS,
        _ => IPV6_OCTETS,
    }
}
