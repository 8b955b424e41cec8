//! What an endpoint says: security associations to the worker, all else to the daemon.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use adit_proto::ike::{
    ChildSa, Command, ConnectionId, DownWhy, Event, Failure, IkeInfo, Random, Retired,
};
use adit_proto::liveness::DownReason;
use adit_proto::wire::esp::Spi;

use super::lane::{Lane, System, Tunnel};
use super::pair::{self, Nat, Peer};
use super::{ASKING, ChildUp, IkeNotice, asking};
use crate::dataplane::{Claim, TunnelId};
use crate::io::netns::NetnsId;

/// How often it is told that a peer was refused.
const REFUSED_EVERY: Duration = Duration::from_secs(1);

impl Lane {
    /// Carries out what an endpoint said in one step.
    pub(super) fn carry_out_all(&mut self, netns: Option<NetnsId>, events: Vec<Event>) {
        let gone: BTreeSet<ConnectionId> = events
            .iter()
            .filter(|event| matches!(event, Event::Down(..)))
            .filter_map(about)
            .collect();
        for event in events {
            // The worker takes all pairs away with the tunnel's IKE SA, and gives that as the reason.
            if let Event::ChildRetired(id, spi, why) = event
                && gone.contains(&id)
                && id.0 & ASKING == 0
            {
                self.trace_retired(tunnel(id), spi, why);
                self.notify(IkeNotice::ChildRetired(tunnel(id), spi, why));
            } else {
                self.carry_out(netns, event);
            }
        }
    }

    fn carry_out(&mut self, netns: Option<NetnsId>, event: Event) {
        if let Some(id) = about(&event).filter(|id| id.0 & ASKING != 0) {
            if matches!(event, Event::Failed(..)) {
                self.answer(TunnelId(id.0 & !ASKING), false);
            }
            return;
        }
        match event {
            Event::Established(id, info) => self.established(tunnel(id), info),
            Event::ChildInstalled(id, child) => self.install(netns, tunnel(id), &child),
            Event::SwitchOutbound(id, spi) => self.plane.send_by(tunnel(id), spi),
            Event::ChildRetired(id, spi, why) => self.retire(tunnel(id), spi, why),
            Event::Alive(id) => self.plane.alive(tunnel(id)),
            Event::Down(id, why) => {
                let reason = reason(why, self.tunnels.get(&tunnel(id)));
                self.plane.ike_down(tunnel(id), reason);
                self.trace(Some(tunnel(id)), format!("no IKE SA any more: {why}"));
                self.notify(IkeNotice::Down(tunnel(id), why));
            }
            Event::Failed(id, why) => {
                self.trace(Some(tunnel(id)), format!("attempt ended: {why}"));
                self.notify(IkeNotice::Failed(tunnel(id), why));
            }
            Event::Refused(id, why) => self.refused(tunnel(id), why),
            Event::PeerMoved(id, path) => {
                self.plane.follow(tunnel(id), path.remote);
                self.notify(IkeNotice::PeerMoved(tunnel(id), path));
            }
            Event::Configured(id, assigned) => {
                let address = assigned.address.map(|address| address.to_string());
                let line = format!("assigned {}", address.as_deref().unwrap_or("no address"));
                self.trace(Some(tunnel(id)), line);
                self.notify(IkeNotice::Configured(tunnel(id), assigned));
            }
            Event::Trace(id, line) => self.trace(id.map(tunnel), line),
        }
    }

    fn established(&mut self, id: TunnelId, info: Box<IkeInfo>) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.is_idle = false;
            tunnel.peer = Peer {
                nat: Nat {
                    local: info.nat_local,
                    peer: info.nat_peer,
                },
                answers_probes: info.answers_probes,
            };
        }
        self.notify(IkeNotice::Established(id, info));
    }

    fn install(&mut self, netns: Option<NetnsId>, id: TunnelId, child: &ChildSa) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let mut random = [0];
        System.fill(&mut random);
        let [random] = random;
        match pair::build(child, &tunnel.policy, tunnel.peer, random, Instant::now()) {
            Ok(pair) => {
                let claim = [Claim::Esp(netns, child.spi_in)];
                self.plane.tell_others(id, &claim, true);
                self.plane.install(id, Box::new(pair));
                self.notify(IkeNotice::ChildUp(id, Box::new(ChildUp::of(child))));
            }
            Err(why) => {
                tracing::error!(tunnel = &*tunnel.name, "{why}");
                self.notify(IkeNotice::Unusable(id, why));
            }
        }
    }

    /// Tells that a peer was refused, unless that was told just before: whoever sends from its address is heard up to here.
    fn refused(&mut self, id: TunnelId, why: Failure) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        let is_due = tunnel
            .refused_at
            .is_none_or(|at| now.saturating_duration_since(at) >= REFUSED_EVERY);
        if is_due {
            tunnel.refused_at = Some(now);
            self.notify(IkeNotice::Refused(id, why));
        }
    }

    fn retire(&mut self, id: TunnelId, spi: Spi, why: Retired) {
        self.trace_retired(id, spi, why);
        self.plane.retire(id, spi, why == Retired::Rekeyed);
        self.notify(IkeNotice::ChildRetired(id, spi, why));
    }

    fn trace_retired(&self, id: TunnelId, spi: Spi, why: Retired) {
        let why = match why {
            Retired::Rekeyed => "replaced",
            Retired::Deleted => "deleted by one end",
            Retired::IkeGone => "its IKE SA is gone",
        };
        let spi = spi.get();
        self.trace(
            Some(id),
            format!("child SA with SPI in {spi:#010x} ends: {why}"),
        );
    }

    /// Tells whether another peer of the tunnel is there, which is all that is wanted of it.
    pub(super) fn answer(&mut self, id: TunnelId, is_there: bool) {
        if let Some(reply) = self.asks.remove(&id) {
            // Nobody waits any more when the daemon is stopping.
            let _ = reply.send(is_there);
            let words = if is_there {
                "answers"
            } else {
                "does not answer"
            };
            self.trace(Some(id), format!("the preferred remote {words}"));
            if let Err(why) = self.command(id, Command::Remove(asking(id))) {
                self.trace(Some(id), format!("refused: {why}"));
            }
        }
    }
}

impl ChildUp {
    fn of(child: &ChildSa) -> Self {
        let words = |selectors: &[adit_proto::wire::ike::TrafficSelector]| {
            let words: Vec<_> = selectors.iter().map(ToString::to_string).collect();
            words.join(", ")
        };
        Self {
            spi_in: child.spi_in,
            suite: child.suite,
            path: child.udp.unwrap_or(child.path),
            is_udp: child.udp.is_some(),
            mode: child.mode,
            is_rekey: child.replaces.is_some(),
            selectors: (words(&child.local_ts), words(&child.remote_ts)),
        }
    }
}

fn tunnel(id: ConnectionId) -> TunnelId {
    TunnelId(id.0)
}

/// The connection that an event is about.
fn about(event: &Event) -> Option<ConnectionId> {
    match event {
        Event::Established(id, _)
        | Event::ChildInstalled(id, _)
        | Event::SwitchOutbound(id, _)
        | Event::ChildRetired(id, ..)
        | Event::Alive(id)
        | Event::Down(id, _)
        | Event::Failed(id, _)
        | Event::Refused(id, _)
        | Event::PeerMoved(id, _)
        | Event::Configured(id, _) => Some(*id),
        Event::Trace(id, _) => *id,
    }
}

/// What the worker says of a tunnel without associations.
fn reason(why: DownWhy, tunnel: Option<&Tunnel>) -> DownReason {
    match why {
        DownWhy::Cleared if tunnel.is_some_and(|tunnel| tunnel.is_idle) => DownReason::Idle,
        DownWhy::Cleared => DownReason::Cleared,
        // It waits for traffic again, as before its first association.
        DownWhy::PeerDeleted if tunnel.is_some_and(|tunnel| tunnel.wakes) => DownReason::NoSa,
        DownWhy::PeerDeleted
        | DownWhy::PeerRestarted
        | DownWhy::Dead
        | DownWhy::NotAnswering
        | DownWhy::Expired
        | DownWhy::NoChild
        | DownWhy::Superfluous
        | DownWhy::PeerFault(_)
        | DownWhy::Protocol => DownReason::IkeDown,
    }
}
