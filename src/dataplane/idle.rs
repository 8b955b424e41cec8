//! What a tunnel sends while there is nothing to send: warm packets, dummies, NAT keepalives.

use std::time::Instant;

use adit_proto::counters::Counter;
use adit_proto::liveness::{IdleTimer, Warm};
use adit_proto::tunnel::{Encap, Train, Ttl};

use super::IdleTraffic;
use super::esp::Inbound;
use super::outbox::{Kind, destination};
use super::worker::Worker;

/// Octets of a dummy packet's payload where packets are not padded to more.
const DUMMY_OCTETS: usize = 64;
const TTL: u8 = 64;

/// The timers of one tunnel.
#[derive(Debug)]
pub(super) struct Idle {
    warm: Option<Warm>,
    nat_keepalive: Option<IdleTimer>,
    dummies: Option<IdleTimer>,
}

impl Idle {
    pub(super) fn new(config: &IdleTraffic, now: Instant) -> Self {
        Self {
            warm: config.warm.map(|warm| Warm::new(warm, now)),
            nat_keepalive: config
                .nat_keepalive
                .map(|interval| IdleTimer::new(interval, now)),
            dummies: config.dummies.map(|interval| IdleTimer::new(interval, now)),
        }
    }

    /// Takes that user packets left.
    #[inline]
    pub(super) fn note_sent(&mut self, now: Instant) {
        if let Some(warm) = &mut self.warm {
            warm.note_sent(now);
        }
        self.note_own(now);
    }

    /// Takes that a packet of ours left, which keeps a NAT's mapping but is no use of the tunnel.
    #[inline]
    pub(super) fn note_own(&mut self, now: Instant) {
        if let Some(keepalive) = &mut self.nat_keepalive {
            keepalive.note_sent(now);
        }
        if let Some(dummies) = &mut self.dummies {
            dummies.note_sent(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let warm = self.warm.as_ref().and_then(Warm::poll_timeout);
        let keepalive = |timer: &Option<IdleTimer>| timer.as_ref()?.poll_timeout();
        let timers = [
            warm,
            keepalive(&self.nat_keepalive),
            keepalive(&self.dummies),
        ];
        timers.into_iter().flatten().min()
    }
}

impl Worker {
    /// Sends what `slot` sends when idle, as far as it is due.
    pub(super) fn send_idle(&mut self, slot: usize, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let expired = tunnel.ipsec.as_ref().is_some_and(Inbound::has_expired);
        let has_path = tunnel.liveness.path().is_some() && !expired;
        let ttl = match tunnel.parameters.ttl {
            Ttl::Fixed(ttl) => ttl,
            Ttl::Inherit => TTL,
        };
        let idle = &mut tunnel.idle;
        let warm = idle.warm.as_mut().and_then(|warm| warm.handle_timeout(now));
        let dummy = idle
            .dummies
            .as_mut()
            .is_some_and(|it| it.handle_timeout(now));
        let keepalive = idle
            .nat_keepalive
            .as_mut()
            .is_some_and(|it| it.handle_timeout(now));
        if !has_path || !(warm.is_some() || dummy || keepalive) {
            return;
        }
        self.outbox.use_peer(slot, Kind::User);
        tunnel.idle.note_own(now);
        let (encap, outbox) = (&mut tunnel.encap, &mut self.outbox);
        let counters = &tunnel.counters;
        let mut send =
            |sent: &Counter, write: &mut dyn FnMut(&mut Encap, &mut Train) -> _| match outbox
                .encapsulate(|train| write(encap, train))
            {
                Ok(_) => sent.add(1),
                Err(reason) => counters.drop_packet(reason),
            };
        let to = |kind| destination(slot, kind);
        if let Some(packet) = warm {
            match (packet.protocol(), packet.inner()) {
                (Some(protocol), Some(inner)) => {
                    send(&counters.warm_sent, &mut |encap, train| {
                        encap.encapsulate_packet(train, to(Kind::Warm), protocol, inner, 0, ttl)
                    });
                }
                _ => send(&counters.warm_sent, &mut |encap, train| {
                    encap.encapsulate_dummy(train, to(Kind::Warm), DUMMY_OCTETS, ttl)
                }),
            }
        }
        if dummy {
            send(&counters.dummies_sent, &mut |encap, train| {
                encap.encapsulate_dummy(train, to(Kind::Dummy), DUMMY_OCTETS, ttl)
            });
        }
        if keepalive {
            let sent = &counters.nat_keepalives_sent;
            send(sent, &mut |encap, train| {
                encap.nat_keepalive(train, to(Kind::NatKeepalive), ttl)
            });
        }
    }
}
