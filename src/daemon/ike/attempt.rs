//! One remote after the other: an attempt, the next one, the pause when all of them failed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use adit_proto::ike::Path;
use adit_proto::liveness::{self, Event as Seen};

use super::super::{Daemon, Message as ToDaemon};
use super::{Message, Phase, REMOTE_PORT, RETRY};
use crate::config::Start;
use crate::dataplane::TunnelId;
use crate::ike_lane::Act;
use crate::io::raw::Family;

/// The pause after all remotes failed: it doubles from the first to the second with each further time.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// With which remote a tunnel looks for its peer again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    NextRemote,
    /// With the one in use, after this time.
    SameRemote(Duration),
    /// All of them failed: with the next one after this time.
    AllRemotes(Duration),
}

impl Daemon {
    /// Begins with the peer at `address`, unless there is an attempt with it; another attempt and what is in use end.
    pub(in crate::daemon) fn initiate(&mut self, id: TunnelId, candidate: usize, address: IpAddr) {
        let port = self.ike_ports.port;
        self.learned(id, candidate, address);
        if let Err(why) = self.listen(id, Family::of(address)) {
            self.complain(id, "ike-failed", why);
            return self.begin_again(id, RETRY);
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let route = self
            .outers
            .route(tunnel.outer, tunnel.config.local, address)
            .ok();
        let local = tunnel.config.local.or(route.map(|route| route.source));
        let (Some(ike), Some(local)) = (&mut tunnel.ike, local) else {
            return self.begin_again(id, RETRY);
        };
        match ike.phase {
            Phase::Initiating { remote, .. } if remote == address => return,
            Phase::Rest => {}
            Phase::Established | Phase::Initiating { .. } => {
                ike.child = None;
                if let Some(lane) = &self.ike {
                    lane.act(id, Act::Dead);
                }
            }
        }
        ike.phase = Phase::Initiating {
            local,
            remote: address,
        };
        let path = Path {
            local: SocketAddr::new(local, port),
            remote: SocketAddr::new(address, REMOTE_PORT),
        };
        self.act_on(id, Act::Initiate(path));
    }

    /// An attempt came to nothing: the next remote at once, or after a pause when all of them failed.
    pub(super) fn give_up(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let remotes = u32::try_from(tunnel.config.remotes.len()).unwrap_or(u32::MAX);
        let Some(ike) = &mut tunnel.ike else { return };
        ike.phase = Phase::Rest;
        if !ike.seeks {
            return;
        }
        ike.failures = ike.failures.saturating_add(1);
        let cycles = ike.failures / remotes.max(1);
        if ike.failures % remotes.max(1) != 0 {
            return self.next_remote(id);
        }
        let why = tunnel.last_error.clone().unwrap_or_default();
        let pause = PAUSE.saturating_mul(1 << cycles.saturating_sub(1).min(5));
        let again = Again::AllRemotes(jittered(pause.min(PAUSE_MAX)));
        self.seek_again(id, &why, again);
    }

    /// The connection ended, or none could be made: a tunnel that looks for its peer does so again, but one that is connected by hand
    /// when the operator says so.
    pub(super) fn seek_again(&mut self, id: TunnelId, why: &str, again: Again) {
        let Some(tunnel) = self.tunnels.get(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        if !tunnel.ike.as_ref().is_some_and(|ike| ike.seeks) {
            return;
        }
        match again {
            _ if tunnel.config.start == Start::Manual => self.leave_to_operator(id, why),
            Again::NextRemote => self.next_remote(id),
            Again::SameRemote(pause) => self.same_remote(id, pause),
            Again::AllRemotes(pause) => self.begin_again(id, pause),
        }
    }

    /// Has the failover machine take the next remote.
    pub(super) fn next_remote(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if let Some((_, remote)) = tunnel.failover.current() {
            let path = liveness::Path {
                local: tunnel.config.local.unwrap_or(remote),
                remote,
            };
            tunnel.failover.handle_event(&Seen::Exhausted { path });
        }
        self.act(id);
    }

    /// Begins with the next remote after a pause; there is one such timer.
    pub(super) fn begin_again(&mut self, id: TunnelId, pause: Duration) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let attempt = tunnel.attempt;
        let Some(ike) = &mut tunnel.ike else { return };
        if ike.phase != Phase::Established {
            ike.phase = Phase::Rest;
        }
        if !std::mem::replace(&mut ike.pauses, true) {
            self.later(pause, ToDaemon::Ike(id, Message::BeginAgain(attempt)));
        }
    }

    /// The pause is over.
    pub(super) fn begin(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        ike.pauses = false;
        if !ike.seeks {
            self.listen_for_peers(id);
        } else if ike.phase == Phase::Rest {
            self.next_remote(id);
        }
    }

    /// Whether the remote that the search found is not to be begun with: there are associations, with it or with another that began by
    /// itself meanwhile, and it is no failback.
    pub(in crate::daemon) fn keeps_peer(
        &mut self,
        id: TunnelId,
        candidate: usize,
        address: IpAddr,
    ) -> bool {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return false;
        };
        let Some(ike) = &tunnel.ike else { return false };
        let in_use = ike.child.as_ref().map(|child| child.path.remote.ip());
        let is_in_use = in_use == Some(address);
        if ike.phase != Phase::Established || ike.fails_back && !is_in_use {
            return false;
        }
        if is_in_use {
            tunnel.candidate = Some(candidate);
        }
        true
    }

    /// Whether there is an IKE SA with whomever.
    pub(in crate::daemon) fn is_established(&self, id: TunnelId) -> bool {
        let ike = self.tunnels.get(&id).and_then(|tunnel| tunnel.ike.as_ref());
        ike.is_some_and(|ike| ike.phase == Phase::Established)
    }

    /// The routes changed: whether the tunnel's own address did with them, which ends its associations or the attempt.
    pub(in crate::daemon) fn ike_path_changed(&mut self, id: TunnelId) -> bool {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return false;
        };
        let Some(ike) = &mut tunnel.ike else {
            return false;
        };
        let in_use = ike.child.as_ref().map(|child| child.path);
        let (local, remote) = match (in_use, ike.phase) {
            (Some(path), _) => (path.local.ip(), path.remote.ip()),
            (None, Phase::Initiating { local, remote }) => (local, remote),
            (None, Phase::Rest | Phase::Established) => return false,
        };
        if tunnel.config.local.is_some() {
            return false;
        }
        let keeps = self.outers.route(tunnel.outer, Some(local), remote).is_ok();
        // The peer may have chosen another address of ours than the route would: what counts is whether it is still ours.
        let is_elsewhere = !keeps && self.outers.route(tunnel.outer, None, remote).is_ok();
        if is_elsewhere {
            ike.lose();
            self.act_on(id, Act::Dead);
            self.seek_again(id, "our address changed", Again::SameRemote(RETRY));
        }
        is_elsewhere
    }
}

/// Between three quarters of `pause` and all of it, so that many tunnels do not begin at once.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Without random octets all of them pause alike.
    let _ = adit_crypto::random(&mut random);
    let [random] = random;
    pause - pause / 4 * u32::from(random) / 255
}
