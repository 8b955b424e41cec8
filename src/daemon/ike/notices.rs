//! What the IKE lane reports, turned into events, the way to the peer, and the next attempt.

use std::time::{Duration, Instant};

use adit_proto::ike::{DownWhy, Failure, IkeAlgorithms, IkeInfo, Path, Retired};
use adit_proto::wire::esp::Spi;

use super::super::{Daemon, Message as ToDaemon};
use super::attempt::Again;
use super::{Message, Phase, trace};
use crate::config::{Nat, Start, UdpConfig};
use crate::control::Event;
use crate::dataplane::{Claim, TunnelId};
use crate::ike_lane::{Act, ChildUp, IkeNotice};
use crate::links::GuardFate;

/// How long packets of a pair that is gone may still come to the other workers.
const CLAIMED_FOR: Duration = Duration::from_secs(10);
/// After how long a NAT forgets, at the earliest (RFC 3948 section 4).
const NAT_KEEPALIVE: Duration = Duration::from_secs(20);

impl Daemon {
    pub(in crate::daemon) fn handle_ike(&mut self, notice: IkeNotice) {
        match notice {
            IkeNotice::Established(id, info) => self.established(id, &info),
            IkeNotice::ChildUp(id, child) => self.child_up(id, *child),
            IkeNotice::ChildRetired(id, spi, why) => self.child_retired(id, spi, why),
            IkeNotice::Down(id, why) => self.ike_down(id, why),
            // A command of ours ended it, and what follows is under way.
            IkeNotice::Failed(_, Failure::Cancelled) => {}
            IkeNotice::Failed(id, why @ Failure::Xauth(_)) => {
                self.locked_out(id, &why.to_string());
            }
            IkeNotice::Configured(id, assigned) => self.configured(id, assigned),
            IkeNotice::Failed(id, why) => self.ike_failed(id, why.to_string()),
            IkeNotice::Refused(id, why) => self.complain(id, "ike-refused", why.to_string()),
            IkeNotice::Unusable(id, why) => {
                self.act_on(id, Act::Dead);
                if let Some(ike) = self.tunnels.get_mut(&id).and_then(|it| it.ike.as_mut()) {
                    ike.lose();
                }
                self.ike_failed(id, why);
            }
            IkeNotice::Traffic(id) => self.traffic_waits(id),
            IkeNotice::Unused(id) => self.shut_unused(id),
            IkeNotice::PeerMoved(id, path) => self.peer_moved(id, path),
        }
    }

    fn established(&mut self, id: TunnelId, info: &IkeInfo) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        let is_rekey = ike.phase == Phase::Established;
        ike.phase = Phase::Established;
        if !is_rekey {
            ike.lives.begin(Instant::now());
        }
        ike.seeks = tunnel.config.start != Start::Passive && ike.awaits_operator.is_none();
        ike.answers_probes = info.answers_probes;
        let is_v1 = matches!(info.proposal, IkeAlgorithms::V1(_));
        if let Some(dpd) = tunnel.config.dpd.filter(|_| is_v1 && !is_rekey) {
            let line = trace::watched(&dpd, info.answers_probes);
            if let Some(lane) = &self.ike {
                lane.trace(&tunnel.config.name, line);
            }
        }
        let name = if is_rekey { "rekeyed" } else { "ike-up" };
        let what = if is_rekey { "IKE SA: " } else { "" };
        let event = Event::new(&tunnel.config.name, name, Instant::now())
            .because(format!("{what}{} with {}", info.proposal, info.remote_id))
            .about(info.path.remote);
        self.announce(event);
    }

    /// Sends the tunnel by the pair's way, by which the worker knows it already.
    fn child_up(&mut self, id: TunnelId, child: ChildUp) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        ike.phase = Phase::Established;
        ike.failures = 0;
        let (remote, is_rekey) = (child.path.remote, child.is_rekey);
        if !is_rekey {
            // We were let in, whatever was said of an attempt before.
            ike.awaits_operator = None;
            ike.seeks = tunnel.config.start != Start::Passive;
        }
        let words = format!(
            "child SA: {}, {} to {}",
            child.suite, child.selectors.0, child.selectors.1
        );
        tunnel.config.udp = child.is_udp.then(|| in_udp(child.path));
        tunnel.trouble = None;
        tunnel.last_error = None;
        ike.child = Some(child);
        let name = if is_rekey { "rekeyed" } else { "child-up" };
        let event = Event::new(&tunnel.config.name, name, Instant::now())
            .because(words)
            .about(remote);
        self.announce(event);
        self.route(id, remote.ip());
    }

    fn child_retired(&mut self, id: TunnelId, spi: Spi, why: Retired) {
        self.later(CLAIMED_FOR, ToDaemon::Ike(id, Message::Disclaim(spi)));
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && let Some(ike) = &mut tunnel.ike
            && why == Retired::Deleted
            && ike.child.as_ref().is_some_and(|child| child.spi_in == spi)
        {
            ike.child = None;
        }
    }

    /// The other workers need not know packets of that pair any more.
    pub(super) fn disclaim(&self, id: TunnelId, spi: Spi) {
        if let Some(tunnel) = self.tunnels.get(&id) {
            let claim = [Claim::Esp(tunnel.outer, spi)];
            self.plane.tell_others(id, &claim, false);
        }
    }

    fn ike_down(&mut self, id: TunnelId, why: DownWhy) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        let was_ours = matches!(why, DownWhy::Cleared | DownWhy::Dead);
        // That there was no child SA, or that the peer let go of what it could not use, says less than why it could not.
        let says_more = !matches!(why, DownWhy::PeerDeleted | DownWhy::NoChild);
        let awaits_operator = ike.awaits_operator.is_some();
        if !was_ours && !awaits_operator && (says_more || tunnel.last_error.is_none()) {
            tunnel.last_error = Some(why.to_string());
        }
        // What we ended ourselves may have a successor under way.
        let is_initiating = matches!(ike.phase, Phase::Initiating { .. });
        if !(was_ours && is_initiating) {
            ike.phase = Phase::Rest;
        }
        ike.child = None;
        let pause = (!was_ours).then(|| ike.lives.end(Instant::now()));
        let sleeps = tunnel.config.start == Start::OnTraffic && why == DownWhy::PeerDeleted;
        // A new IKE SA may have been on its way when the tunnel was shut, and took it for one that begins.
        let was_shut = ike.is_shut && why == DownWhy::Cleared;
        if sleeps || was_shut {
            ike.seeks = false;
        }
        let event = Event::new(&tunnel.config.name, "ike-down", Instant::now());
        let event = event.because(why.to_string());
        let remote = tunnel.path.map(|path| path.remote);
        self.announce(match remote {
            Some(remote) => event.about(remote),
            None => event,
        });
        if awaits_operator {
            self.withdraw_easy_vpn(id, GuardFate::Stay);
        }
        let again = match (why, pause) {
            (DownWhy::NotAnswering, _) => Again::NextRemote,
            // The peer is there: it is asked again, not in the same moment.
            (_, Some(pause)) => Again::SameRemote(pause),
            (_, None) => return,
        };
        self.seek_again(id, &why.to_string(), again);
    }

    /// Begins with the same remote again after a moment.
    pub(super) fn same_remote(&self, id: TunnelId, pause: Duration) {
        if let Some(tunnel) = self.tunnels.get(&id) {
            let message = Message::SameRemote(tunnel.attempt);
            self.later(pause, ToDaemon::Ike(id, message));
        }
    }

    /// Begins with the remote in use again, unless the peer did meanwhile.
    pub(super) fn begin_same(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        if let Some(ike) = &tunnel.ike
            && ike.seeks
            && ike.phase == Phase::Rest
            && let Some((candidate, address)) = tunnel.failover.current()
        {
            self.initiate(id, candidate, address);
        }
    }

    fn ike_failed(&mut self, id: TunnelId, why: String) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        let event = Event::new(&tunnel.config.name, "ike-failed", Instant::now());
        let event = match ike.phase {
            Phase::Initiating { remote, .. } => event.about(remote),
            Phase::Rest | Phase::Established => event,
        };
        tunnel.last_error = Some(why.clone());
        let is_over = !matches!(ike.phase, Phase::Established);
        self.announce(event.because(why));
        if is_over {
            self.give_up(id);
        }
    }

    fn peer_moved(&mut self, id: TunnelId, path: Path) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        let Some(child) = &mut ike.child else { return };
        child.path = path;
        if child.is_udp {
            tunnel.config.udp = Some(in_udp(path));
            tunnel.peer = Some(path.remote);
        }
        let event = Event::new(&tunnel.config.name, "peer-moved", Instant::now());
        self.announce(event.about(path.remote));
        self.route(id, path.remote.ip());
    }
}

/// UDP encapsulation between the addresses of the IKE SA.
fn in_udp(path: Path) -> UdpConfig {
    UdpConfig {
        port: path.local.port(),
        remote_port: path.remote.port(),
        nat: Nat::None,
        nat_keepalive: NAT_KEEPALIVE,
    }
}
