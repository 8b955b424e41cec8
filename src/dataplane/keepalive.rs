//! Keepalives on the forwarding path: requests answered in place, probes sent through the same encapsulation as data.

use std::time::Instant;

use adit_proto::counters::DropReason;
use adit_proto::liveness::REPLY_OCTETS_MAX;
use adit_proto::tunnel::{Train, Ttl};
use adit_proto::wire::gre;

use super::inbound::Arrived;
use super::outbox::{Kind, destination};
use super::worker::Worker;

/// TOS and TTL of an answer that goes back through the tunnel: CS6, as keepalives have it.
const KEEPALIVE_TOS: u8 = 0xc0;
const KEEPALIVE_TTL: u8 = 255;

impl Worker {
    /// A packet that may be a keepalive answer: it carries no flags of the tunnel, perhaps no key, so each tunnel with that peer is
    /// asked. Whether it was one.
    pub(super) fn take_answer(
        &mut self,
        arrived: &Arrived,
        header: &gre::Header,
        now: Instant,
    ) -> bool {
        let body = arrived.gre.start + header.octets..arrived.gre.end;
        let Some(body) = self.receive.batch().buffer().get(body) else {
            return false;
        };
        let taken = self
            .table
            .at_source(arrived.source)
            .iter()
            .find_map(|&slot| {
                let tunnel = self.tunnels.get_mut(slot)?.as_mut()?;
                let answer =
                    tunnel
                        .liveness
                        .handle_answer(now, arrived.source.address, header, body);
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
        let Some(gre) = self.receive.batch().buffer().get(arrived.gre.clone()) else {
            return false;
        };
        let payload = gre.get(header.octets..).unwrap_or_default();
        let Some(path) = tunnel.liveness.path() else {
            return false;
        };
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
        self.outbox.use_peer(slot, Kind::Answer);
        let to = destination(slot, Kind::Answer);
        let sent = if reply.is_tunnelled() {
            let send = |train: &mut Train| {
                tunnel.encap.encapsulate_packet(
                    train,
                    to,
                    header.protocol,
                    answer,
                    KEEPALIVE_TOS,
                    KEEPALIVE_TTL,
                )
            };
            self.outbox.encapsulate(send)
        } else if !answer.is_empty() && self.outbox.put(answer, to) {
            Ok(1)
        } else {
            Err(DropReason::KeepaliveMalformed)
        };
        match sent {
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
        while let Some(probe) = tunnel.liveness.poll_transmit() {
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
            match self.outbox.encapsulate(send) {
                Ok(_) => tunnel.counters.keepalive_requests_sent.add(1),
                Err(reason) => tunnel.counters.drop_packet(reason),
            }
        }
    }
}
