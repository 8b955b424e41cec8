//! charon as an Easy VPN server, adit as the remote, and a network behind adit.
//!
//! ```text
//! lan 10.77.1.2 ── 10.77.1.254 a, adit 192.0.2.1 ── 192.0.2.2 server 1 ── 10.77.2.1
//!                                198.51.100.1 ── 198.51.100.2 server 2 ── 10.77.2.1
//!                                 203.0.113.1 ── 203.0.113.2 server 3 ── 10.77.2.1
//! ```
//! The servers assign 10.77.9.10 and on. Which of them are there, a test says.

use std::os::unix::fs::PermissionsExt;

use crate::PATIENCE;
use crate::charon::Charon;
use crate::common::{Daemon, Namespace, wait_for};
use crate::dead::EAGER;

pub(super) const GROUP_KEY: &str = "ahPh4hoh0Iezaiph4eiNgohy";
pub(super) const PASSWORD: &str = "oop7Yeiy";
/// Outer networks, by the server's place.
const NETS: [&str; 3] = ["192.0.2", "198.51.100", "203.0.113"];

/// What a server is told besides: lines of its child and of its pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Server {
    /// It is no router: it does not know the Unity attributes.
    pub(super) is_plain: bool,
    pub(super) child: &'static str,
    pub(super) pool: &'static str,
}

impl Server {
    /// Starts it. Its inner address answers.
    pub(super) fn start(self, site: &Namespace) -> Charon {
        site.ip("addr replace 10.77.2.1/32 dev lo");
        let unity = if self.is_plain { "no" } else { "yes" };
        let options = format!(
            "cisco_unity = {unity}\n  i_dont_care_about_security_and_use_aggressive_mode_psk = yes"
        );
        Charon::start(site, &self.swanctl_conf(), &options)
    }

    fn swanctl_conf(self) -> String {
        let Self { child, pool, .. } = self;
        let local_ts = if child.contains("local_ts") {
            ""
        } else {
            "local_ts = 10.77.2.0/24"
        };
        format!(
            r#"connections {{
  easyvpn {{
    version = 1
    aggressive = yes
    proposals = aes256-sha256-modp2048
    pools = remotes
    unique = replace
    local {{
      auth = psk
      id = vpn.example
    }}
    remote-1 {{
      auth = psk
      id = keyid:unity
    }}
    remote-2 {{
      auth = xauth
    }}
    children {{
      net {{
        {local_ts}
        esp_proposals = aes256-sha256
        {child}
      }}
    }}
  }}
}}
pools {{
  remotes {{
    addrs = 10.77.9.10-10.77.9.50
    dns = 10.77.2.53
    28674 = inner.example
    {pool}
  }}
}}
secrets {{
  ike-group {{
    id-1 = keyid:unity
    id-2 = vpn.example
    secret = "{GROUP_KEY}"
  }}
  xauth-alice {{
    id = alice
    secret = "{PASSWORD}"
  }}
}}
"#
        )
    }
}

/// adit's namespace, those of the servers, and one behind adit.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) a: Namespace,
    pub(super) servers: Vec<Namespace>,
    pub(super) lan: Namespace,
}

impl Places {
    pub(super) fn new(servers: usize) -> Self {
        let places = Self {
            a: Namespace::new(),
            servers: (0..servers).map(|_| Namespace::new()).collect(),
            lan: Namespace::new(),
        };
        let a = &places.a;
        for (number, (server, net)) in places.servers.iter().zip(NETS).enumerate() {
            let device = format!("out{number}");
            wire(
                a,
                &device,
                &format!("{net}.1/24"),
                server,
                &format!("{net}.2/24"),
            );
        }
        wire(a, "lan", "10.77.1.254/24", &places.lan, "10.77.1.2/24");
        places.lan.ip("route add default via 10.77.1.254");
        a.sysctl("net.ipv4.ip_forward", "1");
        places
    }

    /// Waits until the network behind adit has answers: the tunnel is up before what was assigned is in its place.
    pub(super) fn wait_lan_is_answered(&self) {
        wait_for("the network behind adit has answers", PATIENCE, || {
            self.lan.pings("10.77.2.1", 5, &[]).then_some(())
        });
    }

    /// Starts adit, which tries the first `remotes` servers.
    pub(super) fn start_adit(
        &self,
        remotes: usize,
        group_key: &str,
        password: &str,
        more: [&str; 2],
    ) -> Daemon {
        let remotes: Vec<_> = NETS[..remotes]
            .iter()
            .map(|net| format!("{net}.2"))
            .collect();
        start_remote(&self.a, &remotes, [group_key, password], more)
    }
}

/// Starts adit as a remote of these servers, with the group's key and the user's password, and more lines of the tunnel and of `easy-vpn`.
pub(super) fn start_remote(
    site: &Namespace,
    servers: &[String],
    [group_key, password]: [&str; 2],
    [tunnel, easy_vpn]: [&str; 2],
) -> Daemon {
    let config = format!(
        r#"
[tunnel.t]
mode = "esp"
interface = "tun-t"
remote = {servers:?}
dpd = {{ mode = "periodic", interval = "1s", retry = "300ms", attempts = 3 }}
{tunnel}
[tunnel.t.ike]
version = 1
{EAGER}
[tunnel.t.ike.easy-vpn]
group = "unity"
group-key-file = "unity.key"
user = "alice"
password-file = "alice.pw"
{easy_vpn}
"#
    );
    Daemon::start_with(site, &config, |folder| {
        for (name, secret) in [("unity.key", group_key), ("alice.pw", password)] {
            let file = folder.join(name);
            std::fs::write(&file, format!("{secret}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        }
    })
}

/// Joins two namespaces; the far end is called `wire`.
fn wire(near: &Namespace, device: &str, address: &str, far: &Namespace, far_address: &str) {
    near.ip(&format!(
        "link add {device} type veth peer name wire netns {}",
        far.name
    ));
    for (site, end, address) in [(near, device, address), (far, "wire", far_address)] {
        site.ip(&format!("link set {end} up"));
        site.ip(&format!("addr add {address} dev {end}"));
    }
}
