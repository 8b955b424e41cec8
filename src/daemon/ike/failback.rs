//! Back to the preferred remote: while a later one is in use, the first one is asked from time to time whether it is there, by the first messages of
//! an IKE SA alone, and takes over once it has been for as long as configured. Who it is shows only then: one that fails gives way again.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use adit_proto::ike::Path;
use adit_proto::liveness::{self, Event as Seen};
use tokio::sync::oneshot;

use super::super::{Daemon, Message as ToDaemon};
use super::{Message, REMOTE_PORT, connection};
use crate::dataplane::TunnelId;
use crate::ike_lane::IkeCommand;

/// Between two questions, at least and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Daemon {
    /// Asks the preferred remote whether it is there.
    pub(in crate::daemon) fn ask_preferred(&mut self, id: TunnelId, address: IpAddr) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let (Some(ike), Some(config)) = (&mut tunnel.ike, &tunnel.config.ike) else {
            return;
        };
        // Whatever was asked before, or waits to be, is overtaken.
        ike.question += 1;
        let question = ike.question;
        let attempt = tunnel.attempt;
        let route = self
            .outers
            .route(tunnel.outer, tunnel.config.local, address)
            .ok();
        let local = tunnel.config.local.or(route.map(|route| route.source));
        // Nobody initiates to this one: it only asks.
        let made = connection::new(&tunnel.config, config, &ike.credentials, Some(Vec::new()));
        let (Some(local), Ok(made)) = (local, made) else {
            return self.asked(id, address, false);
        };
        let path = Path {
            local: SocketAddr::new(local, self.ike_ports.port),
            remote: SocketAddr::new(address, REMOTE_PORT),
        };
        let (reply, answer) = oneshot::channel();
        self.tell_lane(IkeCommand::Ask(id, made, path, reply));
        let messages = self.messages.clone();
        tokio::spawn(async move {
            let answered = answer.await.unwrap_or(false);
            let message = Message::Asked(attempt, question, address, answered);
            // The loop is gone when the daemon stops.
            let _ = messages.send(ToDaemon::Ike(id, message)).await;
        });
    }

    /// The preferred remote is there, or is not.
    pub(super) fn asked(&mut self, id: TunnelId, address: IpAddr, is_there: bool) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(hold) = tunnel.config.failback else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        let now = Instant::now();
        let since = match ike.preferred_since.filter(|_| is_there) {
            Some(since) => since,
            None => now,
        };
        ike.preferred_since = is_there.then_some(since);
        let path = liveness::Path {
            local: address,
            remote: address,
        };
        let steady_for = now.saturating_duration_since(since);
        if is_there && steady_for >= hold {
            ike.preferred_since = None;
            ike.fails_back = true;
            tunnel
                .failover
                .handle_event(&Seen::PreferredSteady { path });
            self.act(id);
            if let Some(ike) = self.tunnels.get_mut(&id).and_then(|it| it.ike.as_mut()) {
                ike.fails_back = false;
            }
            return;
        }
        let pause = (hold / 4).clamp(PAUSE_MIN, PAUSE_MAX);
        let pause = if is_there {
            pause.min(hold.saturating_sub(steady_for)).max(PAUSE_MIN)
        } else {
            pause
        };
        let message = Message::AskAgain(tunnel.attempt, ike.question, address, is_there);
        self.later(pause, ToDaemon::Ike(id, message));
    }

    /// Asks again, by the name's address of then if the remote was not there.
    pub(super) fn ask_again(&mut self, id: TunnelId, address: IpAddr, was_there: bool) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // One that waits for the operator asks nobody.
        if tunnel.ike.as_ref().is_some_and(|ike| !ike.seeks) {
            return;
        }
        // While the preferred remote is in use, or nothing is, there is nothing to go back from.
        if tunnel
            .failover
            .current()
            .is_none_or(|(candidate, _)| candidate == 0)
        {
            return;
        }
        if was_there {
            return self.ask_preferred(id, address);
        }
        let path = liveness::Path {
            local: address,
            remote: address,
        };
        tunnel
            .failover
            .handle_event(&Seen::PreferredSilent { path });
        self.act(id);
    }
}
