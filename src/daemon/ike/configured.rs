//! What an Easy VPN server assigns, and the other servers that it names.

use std::net::IpAddr;
use std::time::Instant;

use adit_proto::ikev1::Assigned;

use super::super::Daemon;
use super::super::tunnel::Managed;
use super::Phase;
use crate::config::{Family, Remote};
use crate::control::Event;
use crate::dataplane::TunnelId;

/// Servers that are tried beside those of the configuration.
const BACKUPS_MAX: usize = 16;

impl Daemon {
    /// Keeps what a server assigned, and the other servers that it named.
    pub(super) fn configured(&mut self, id: TunnelId, assigned: Box<Assigned>) {
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.enabled) else {
            return;
        };
        tunnel.replace_backups(&assigned.backup_servers);
        let Some(ike) = &mut tunnel.ike else { return };
        let is_new = ike.assigned.as_deref() != Some(&*assigned);
        // Of a first assignment the hook is told with the event `up`.
        let is_up = ike.phase == Phase::Established;
        let words = in_words(&assigned);
        ike.assigned = Some(assigned.clone());
        if is_new {
            let event = Event::new(&tunnel.config.name, "configured", Instant::now());
            let event = event.because(words);
            if is_up {
                self.run_hook(id, event.clone());
            }
            self.announce(event);
        }
        self.apply_easy_vpn(id, &assigned);
    }
}

impl Managed {
    /// Has the servers that one of them named follow those of the configuration, in place of those that were named before; but one that is
    /// in use keeps its place.
    fn replace_backups(&mut self, servers: &[String]) {
        let own = self.own_remotes();
        let in_use = self
            .failover
            .current()
            .map_or(0, |(candidate, _)| candidate + 1);
        self.keep_remotes(own.max(in_use));
        append(
            &mut self.config.remotes,
            own + BACKUPS_MAX,
            servers,
            self.config.local,
        );
        self.failover.set_candidates(self.config.remotes.len());
    }

    /// What an Easy VPN server assigned last.
    pub(in crate::daemon) fn assigned(&self) -> Option<&Assigned> {
        self.ike.as_ref()?.assigned.as_deref()
    }

    /// Forgets what a server said.
    pub(super) fn forget_assigned(&mut self) {
        let own = self.own_remotes();
        if let Some(ike) = &mut self.ike {
            ike.assigned = None;
        }
        self.keep_remotes(own);
    }

    /// Forgets the remotes behind the first ones.
    fn keep_remotes(&mut self, count: usize) {
        self.config.remotes.truncate(count);
        if let Some(ike) = &mut self.ike {
            ike.known.retain(|candidate, _| *candidate < count);
        }
        self.failover.set_candidates(self.config.remotes.len());
    }

    /// How many of the remotes are of the configuration; those that a server named follow them.
    pub(in crate::daemon) fn own_remotes(&self) -> usize {
        self.ike
            .as_ref()
            .map_or(self.config.remotes.len(), |ike| ike.own_remotes)
    }
}

/// Has the servers follow `remotes` that may be remotes and are not yet, up to `most`.
fn append(remotes: &mut Vec<Remote>, most: usize, servers: &[String], local: Option<IpAddr>) {
    for server in servers {
        let Some(remote) = Remote::one(server) else {
            tracing::warn!(server, "the server named another that cannot be one");
            continue;
        };
        let is_of_ours = match (remote.family(), local) {
            (Some(family), Some(local)) => family == Family::of(local),
            (None, _) | (_, None) => true,
        };
        if is_of_ours && remotes.len() < most && !remotes.contains(&remote) {
            remotes.push(remote);
        }
    }
}

fn in_words(assigned: &Assigned) -> String {
    let addresses = [
        assigned.address.map(IpAddr::V4),
        assigned.address_ipv6.map(IpAddr::V6),
    ];
    let addresses: Vec<_> = addresses
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    match addresses.as_slice() {
        [] => "the server assigned no address".to_owned(),
        addresses => format!("the server assigned {}", addresses.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_name_unicast_addresses_and_host_names_and_nothing_else() {
        for (text, remote) in [
            (
                "203.0.113.9",
                Some(Remote::Address([203, 0, 113, 9].into())),
            ),
            (
                "vpn2.example",
                Some(Remote::Name("vpn2.example".to_owned())),
            ),
            ("any", None),
            ("224.0.0.1", None),
            ("0.0.0.0", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(Remote::one(text), remote, "{text:?}");
        }
    }

    #[test]
    fn servers_of_our_family_follow_once_each_and_no_more_than_there_is_room_for() {
        let named = |servers: &[&str]| {
            let servers: Vec<_> = servers.iter().map(|&server| server.to_owned()).collect();
            let mut remotes = vec![Remote::Name("vpn1.example".to_owned())];
            let local = Some([192, 0, 2, 1].into());
            append(&mut remotes, 3, &servers, local);
            let words: Vec<_> = remotes.iter().map(ToString::to_string).collect();
            words.join(" ")
        };
        assert_eq!(named(&[]), "vpn1.example");
        assert_eq!(
            named(&["2001:db8::9", "VPN1.example", "203.0.113.9", "203.0.113.9"]),
            "vpn1.example 203.0.113.9"
        );
        assert_eq!(
            named(&["203.0.113.7", "203.0.113.8", "203.0.113.9"]),
            "vpn1.example 203.0.113.7 203.0.113.8"
        );
    }
}
