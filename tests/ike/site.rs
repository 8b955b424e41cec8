//! Configurations and places for tunnels whose keys IKE makes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::PATIENCE;
use super::common::{Daemon, Namespace, Sites};

/// A tunnel between end 1 and end 2, as either end is to have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunnel<'a> {
    pub(crate) mode: &'a str,
    pub(crate) version: u8,
    /// The values of `remote` of both ends.
    pub(crate) remotes: [&'a str; 2],
    /// More keys of `ike`, each with a comma before it.
    pub(crate) ike: [&'a str; 2],
    /// More keys of the tunnel, for both ends and for each.
    pub(crate) more: &'a str,
    pub(crate) each: [&'a str; 2],
    pub(crate) psk: [&'a str; 2],
}

impl<'a> Tunnel<'a> {
    /// The tunnel `t` between 192.0.2.1 and 192.0.2.2; inside, the ends are 10.9.0.1 and 10.9.0.2, fd00:9::1 and fd00:9::2.
    pub(crate) fn new(mode: &'a str) -> Self {
        const PSK: &str = "a secret of these tests and of nobody else";
        Self {
            mode,
            version: 2,
            remotes: ["\"192.0.2.2\"", "\"192.0.2.1\""],
            ike: ["", ""],
            more: "",
            each: ["", ""],
            psk: [PSK, PSK],
        }
    }

    /// The same by IKEv1, with GRE or else in one network of IPv4.
    pub(crate) fn version_1(mode: &'a str) -> Self {
        Self {
            version: 1,
            ..Self::new(mode)
        }
    }

    pub(crate) fn with(self, more: &'a str) -> Self {
        Self { more, ..self }
    }

    /// The same with more keys of `ike` at both ends.
    pub(crate) fn with_ike(self, ike: &'a str) -> Self {
        Self {
            ike: [ike, ike],
            ..self
        }
    }

    /// Its configuration at an end; the key's file is named as seen from the daemon's folder.
    pub(crate) fn config(&self, end: usize) -> String {
        let other = 3 - end;
        let names = ["", "a.example", "b.example"];
        let (local_id, remote_id) = (names[end], names[other]);
        let Self {
            mode,
            version,
            more,
            ..
        } = self;
        let (remote, ike, each) = (self.remotes[end - 1], self.ike[end - 1], self.each[end - 1]);
        let local = format!("192.0.2.{end}");
        format!(
            r#"
[tunnel.t]
mode = "{mode}"
local = "{local}"
remote = {remote}
addresses = ["10.9.0.{end}/30", "fd00:9::{end}/64"]
ike = {{ version = {version}, psk-file = "t.psk", local-id = "{local_id}", remote-id = "{remote_id}"{ike} }}
{more}
{each}
"#
        )
    }

    /// Starts the daemon of an end in `namespace`.
    pub(crate) fn start(&self, namespace: &Namespace, end: usize) -> Daemon {
        self.start_as(namespace, end, &self.config(end))
    }

    /// The same with another configuration.
    pub(crate) fn start_as(&self, namespace: &Namespace, end: usize, config: &str) -> Daemon {
        let psk = self.psk[end - 1];
        Daemon::start_with(namespace, config, |folder| {
            write_key(&folder.join("t.psk"), psk);
        })
    }
}

/// Writes a file that none but its owner may read.
pub(crate) fn write_key(file: &Path, key: &str) {
    std::fs::write(file, key).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
}

/// Two sites, each with one daemon that has the same tunnel.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) near: Daemon,
    pub(crate) far: Daemon,
    pub(crate) sites: Sites,
}

impl Pair {
    /// Starts both ends and waits until they are up.
    pub(crate) fn start(tunnel: Tunnel<'_>) -> Self {
        let pair = Self::launch(tunnel);
        pair.wait("up");
        pair
    }

    /// Starts both ends.
    pub(crate) fn launch(tunnel: Tunnel<'_>) -> Self {
        let sites = Sites::new();
        Self {
            near: tunnel.start(&sites.a, 1),
            far: tunnel.start(&sites.b, 2),
            sites,
        }
    }

    /// Waits until both ends are in a state.
    pub(crate) fn wait(&self, state: &str) {
        self.near.wait_state("t", state, PATIENCE);
        self.far.wait_state("t", state, PATIENCE);
    }

    /// Whether packets pass both ways, in both families.
    pub(crate) fn pings(&self) -> bool {
        self.sites.a.pings("10.9.0.2", 5, &[])
            && self.sites.b.pings("10.9.0.1", 5, &[])
            && self.sites.a.pings("fd00:9::2", 5, &[])
            && self.sites.b.pings("fd00:9::1", 5, &[])
    }

    /// The inbound index of the pair in use at the near end.
    pub(crate) fn spi(&self) -> u64 {
        self.near.tunnel("t")["esp"]["spi_in"].as_u64().unwrap()
    }
}
