//! What a tunnel sends while there is nothing to send: warm packets, dummies, NAT keepalives.

use std::time::{Duration, Instant};

use adit_proto::counters::Counter;
use adit_proto::esp::Selectors;
use adit_proto::liveness::{IdleTimer, Warm};
use adit_proto::tunnel::{Encap, Train, Ttl};

use super::outbox::{Kind, destination};
use super::worker::Worker;
use super::{FromWorker, IdleTraffic};

/// Octets of a dummy packet's payload where packets are not padded to more.
const DUMMY_OCTETS: usize = 64;
const TTL: u8 = 64;
/// How often IKE is told that user data waits.
const WAKE_EVERY: Duration = Duration::from_secs(1);

/// The timers of one tunnel.
#[derive(Debug)]
pub(super) struct Idle {
    warm: Option<Warm>,
    nat_keepalive: Option<IdleTimer>,
    dummies: Option<IdleTimer>,
    unused: Option<IdleTimer>,
    wakes: Option<Selectors>,
    /// When IKE was told of traffic last.
    woken: Option<Instant>,
}

impl Idle {
    pub(super) fn new(config: &IdleTraffic, now: Instant) -> Self {
        Self {
            warm: config.warm.map(|warm| Warm::new(warm, now)),
            nat_keepalive: None,
            unused: config.unused.map(|interval| IdleTimer::new(interval, now)),
            wakes: config.wakes.clone(),
            woken: None,
            dummies: config.dummies.map(|interval| IdleTimer::new(interval, now)),
        }
    }

    /// Sends NAT keepalives from now on as this says.
    pub(super) fn keep_mapping(&mut self, interval: Option<Duration>, now: Instant) {
        if interval.is_some() != self.nat_keepalive.is_some() {
            self.nat_keepalive = interval.map(|interval| IdleTimer::new(interval, now));
        }
    }

    /// Takes that user packets left.
    #[inline]
    pub(super) fn note_sent(&mut self, now: Instant) {
        if let Some(warm) = &mut self.warm {
            warm.note_sent(now);
        }
        self.note_used(now);
        self.note_own(now);
    }

    /// Takes that user packets passed.
    #[inline]
    pub(super) fn note_used(&mut self, now: Instant) {
        if let Some(unused) = &mut self.unused {
            unused.note_sent(now);
        }
    }

    /// Takes that there is a packet and no association; whether IKE is to be told.
    #[cold]
    pub(super) fn wakes(&mut self, packet: &[u8], now: Instant) -> bool {
        let wanted = self.wakes.as_ref();
        let wakes = wanted.is_some_and(|wanted| wanted.admits_outbound(packet))
            && !is_neighbour_discovery(packet)
            && self
                .woken
                .is_none_or(|woken| now.saturating_duration_since(woken) >= WAKE_EVERY);
        if wakes {
            self.woken = Some(now);
        }
        wakes
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
            keepalive(&self.unused),
        ];
        timers.into_iter().flatten().min()
    }
}

/// Whether it is what the system sends by itself from every interface with IPv6: ICMPv6, with or without the option of multicast
/// listeners before it, to a multicast address of the link (RFC 4861, RFC 3810).
fn is_neighbour_discovery(packet: &[u8]) -> bool {
    const HOP_BY_HOP: u8 = 0;
    const ICMPV6: u8 = 58;
    let is_ipv6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let protocol = packet.get(6).copied();
    is_ipv6
        && matches!(protocol, Some(HOP_BY_HOP | ICMPV6))
        && packet.get(24..26) == Some(&[0xff, 0x02])
}

impl Worker {
    /// Tells IKE where no user data passed `slot` for its time.
    pub(super) fn tell_unused(&mut self, slot: usize, now: Instant) {
        if let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut)
            && let Some(unused) = &mut tunnel.idle.unused
            && unused.handle_timeout(now)
            && tunnel.liveness.may_forward()
        {
            self.config.ike.give(FromWorker::Unused(tunnel.id));
        }
    }

    /// Sends what `slot` sends when idle, as far as it is due.
    pub(super) fn send_idle(&mut self, slot: usize, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        let expired = tunnel
            .ipsec
            .as_ref()
            .is_some_and(|ipsec| ipsec.expired || !ipsec.has_pair());
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
