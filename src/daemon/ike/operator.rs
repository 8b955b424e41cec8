//! What only the operator has a tunnel do: begin again after a server did not let us in, or by hand; and begin anew.

use std::time::Instant;

use super::super::Daemon;
use super::{Credentials, Ike, Phase};
use crate::config::Start;
use crate::control::Event;
use crate::dataplane::TunnelId;
use crate::ike_lane::Act;
use crate::links::GuardFate;

impl Daemon {
    /// The connection ended, or none could be made, of a tunnel that is connected by hand.
    pub(super) fn leave_to_operator(&mut self, id: TunnelId, why: &str) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let name = &tunnel.config.name;
        let why = format!("{why}; it is connected by hand: `adit up {name}` connects it again");
        let event = Event::new(name, "waiting", Instant::now()).because(&*why);
        self.announce(event);
        self.stop_until_asked(id, why);
    }

    /// A server did not let us in: trying again may lock the user out, so that the operator has to.
    pub(super) fn locked_out(&mut self, id: TunnelId, why: &str) {
        let Some(tunnel) = self.tunnels.get(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        let name = &tunnel.config.name;
        let why = format!("{why}; `adit up {name}` tries again");
        tracing::error!(tunnel = name, "{why}");
        let event = Event::new(name, "ike-failed", Instant::now()).because(&*why);
        let ike = tunnel.ike.as_ref();
        self.announce(match ike.map(|ike| ike.phase) {
            Some(Phase::Initiating { remote, .. }) => event.about(remote),
            Some(Phase::Rest | Phase::Established) | None => event,
        });
        self.stop_until_asked(id, why);
    }

    fn stop_until_asked(&mut self, id: TunnelId, why: String) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(ike) = &mut tunnel.ike else { return };
        ike.awaits_operator = Some(why.clone());
        ike.seeks = false;
        tunnel.last_error = Some(why);
        if ike.phase != Phase::Established {
            ike.phase = Phase::Rest;
            self.withdraw_easy_vpn(id, GuardFate::Stay);
        }
    }

    /// Enables a tunnel, or has one that waits for the operator try again, in either case with the secrets that its files hold.
    pub(in crate::daemon) async fn bring_up(&mut self, id: TunnelId) -> Result<(), String> {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return Ok(());
        };
        if tunnel.enabled {
            let awaited = tunnel.ike.as_ref().and_then(Ike::awaits_operator);
            return match awaited {
                Some(_) => self.clear(id).await,
                None => Ok(()),
            };
        }
        self.begin_by_hand(id)?;
        self.enable(id).await
    }

    /// Deletes a tunnel's associations and begins anew with the first remote, if the tunnel begins at all.
    pub(in crate::daemon) async fn clear(&mut self, id: TunnelId) -> Result<(), String> {
        let lane = self.with_ike(id)?;
        let Some(tunnel) = self.tunnels.get(&id) else {
            return Ok(());
        };
        if !tunnel.enabled {
            return Err("the tunnel is disabled: `adit up` enables it".to_owned());
        }
        let seeks = tunnel.config.start != Start::Passive;
        let has_new_secrets = self.begin_by_hand(id)?;
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return Ok(());
        };
        let Some(ike) = &mut tunnel.ike else {
            return Ok(());
        };
        ike.rest(seeks);
        tunnel.failover.restart();
        let name = tunnel.config.name.clone();
        // Without associations there is nothing to delete.
        let _ = lane.ask(id, Act::Clear).await;
        if has_new_secrets {
            self.hand_to_lane(id);
        }
        self.announce(Event::new(&name, "cleared", Instant::now()));
        self.act(id);
        Ok(())
    }

    /// The operator wants an attempt: for Easy VPN the files are read again, so that a password that was mended is the one that is given.
    /// Whether that was done.
    ///
    /// # Errors
    /// Which file cannot be used, and why; nothing has changed then.
    fn begin_by_hand(&mut self, id: TunnelId) -> Result<bool, String> {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return Ok(false);
        };
        let (Some(ike), Some(config)) = (&mut tunnel.ike, &tunnel.config.ike) else {
            return Ok(false);
        };
        let is_easy_vpn = config.easy_vpn().is_some();
        if is_easy_vpn {
            let read = Credentials::read(&tunnel.config.name, config)?;
            let before = std::mem::replace(&mut ike.credentials, read);
            if let Err((_, why)) = self.check_psks() {
                if let Some(ike) = self.tunnels.get_mut(&id).and_then(|it| it.ike.as_mut()) {
                    ike.credentials = before;
                }
                return Err(why);
            }
        }
        if let Some(ike) = self.tunnels.get_mut(&id).and_then(|it| it.ike.as_mut()) {
            ike.awaits_operator = None;
        }
        Ok(is_easy_vpn)
    }
}
