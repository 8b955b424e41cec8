//! A tunnel that nobody uses: after `idle-timeout` its associations go, and traffic brings them back.

use std::time::Instant;

use super::super::Daemon;
use super::Phase;
use crate::config::Start;
use crate::control::Event;
use crate::dataplane::TunnelId;
use crate::ike_lane::Act;

impl Daemon {
    /// No user data passed the tunnel for its time.
    pub(super) fn shut_unused(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let (Some(ike), Some(timeout)) = (&mut tunnel.ike, tunnel.config.idle_timeout) else {
            return;
        };
        if ike.phase != Phase::Established {
            return;
        }
        // Whoever begins by himself would begin at once again: from here on traffic does.
        ike.rest(false);
        ike.is_shut = true;
        let event = Event::new(&tunnel.config.name, "idle", Instant::now());
        let why = format!("no user data for {} s", timeout.as_secs_f32());
        self.announce(event.because(why));
        self.act_on(id, Act::Idle);
    }

    /// Packets wait for a tunnel without associations.
    pub(super) fn traffic_waits(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        if ike.seeks || tunnel.config.start == Start::Passive {
            return;
        }
        ike.seeks = true;
        ike.is_shut = false;
        ike.failures = 0;
        tunnel.failover.restart();
        self.act(id);
    }
}
