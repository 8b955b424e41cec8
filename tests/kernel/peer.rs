//! The near site of a tunnel, and a guest kernel at the other end of its wire.

use std::fmt::Write;
use std::ops::Deref;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, Namespace, wait_for};
use crate::guest::Guest;

/// How long anything may take that is waited for, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What makes the guest's end of ESP; the guest sees the host's files.
pub(crate) const ESP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/netns-scripts/kernel-peer/esp.sh"
);

/// Peers that no test uses at the moment.
type Pool = Mutex<Vec<Peer>>;

/// The pool as long as some test uses it: it ends, and its guests with it, when a test ends with no other beside it.
static POOL: Mutex<Weak<Pool>> = Mutex::new(Weak::new());

/// How a tunnel's packets are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// IPv4.
    V4,
    /// IPv6 with the Destination Options header that the kernel puts before GRE unless told not to.
    V6EncapLimit,
    /// IPv6.
    V6,
}

/// Options of the GRE header, the same at both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Key.
    pub(crate) key: Option<u32>,
    /// Checksum.
    pub(crate) checksum: bool,
    /// Sequence number.
    pub(crate) sequence: bool,
}

impl Options {
    /// Without any, each by itself, all of them.
    pub(crate) fn all() -> [Self; 5] {
        let none = Self::default();
        [
            none,
            Self {
                key: Some(42),
                ..none
            },
            Self {
                checksum: true,
                ..none
            },
            Self {
                sequence: true,
                ..none
            },
            Self {
                key: Some(u32::MAX),
                checksum: true,
                sequence: true,
            },
        ]
    }

    /// As the configuration's `gre` has them.
    pub(crate) fn for_adit(self) -> String {
        let mut text = format!("checksum = {}, sequence = {}", self.checksum, self.sequence);
        if let Some(key) = self.key {
            write!(text, ", key = {key}").unwrap();
        }
        text
    }

    fn for_kernel(self) -> String {
        let mut text = String::new();
        if let Some(key) = self.key {
            write!(text, " key {key}").unwrap();
        }
        if self.checksum {
            text.push_str(" csum");
        }
        if self.sequence {
            text.push_str(" seq");
        }
        text
    }
}

/// Namespace `near` with 192.0.2.1 and 2001:db8::1 on `wire`; the guest has 192.0.2.2 and 2001:db8::2 on its eth0.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The guest.
    pub(crate) guest: Guest,
    /// Where adit runs.
    pub(crate) near: Namespace,
}

impl Peer {
    /// Boots the guest.
    pub(crate) fn boot() -> Self {
        let (near, far) = (Namespace::new(), Namespace::new());
        near.ip(&format!(
            "link add wire type veth peer name wire netns {}",
            far.name
        ));
        // The guest alone speaks on its end of the wire.
        far.sysctl("net.ipv6.conf.wire.disable_ipv6", "1");
        // The guest's kernel takes no trains of UDP packets, and the wire hands them on whole.
        near.run("ethtool", &["-K", "wire", "tx-udp-segmentation", "off"]);
        far.ip("link set wire up");
        near.ip("link set wire up");
        near.ip("addr add 192.0.2.1/24 dev wire");
        near.ip("addr add 2001:db8::1/64 dev wire nodad");
        let guest = Guest::boot(far, "wire");
        let peer = Self { guest, near };
        peer.reset();
        peer
    }

    /// One as after booting it, that another test may have used before: for tests that load no modules and make no namespaces in it.
    pub(crate) fn lent() -> Lent {
        let pool = {
            let mut known = POOL.lock().unwrap();
            known.upgrade().unwrap_or_else(|| {
                let pool = Arc::default();
                *known = Arc::downgrade(&pool);
                pool
            })
        };
        let idle = pool.lock().unwrap().pop();
        let peer = match idle {
            Some(peer) => {
                peer.reset();
                peer
            }
            None => Self::boot(),
        };
        Lent {
            peer: Some(peer),
            pool,
        }
    }

    fn reset(&self) {
        self.near.output("nft", &["flush", "ruleset"]);
        self.exec(&format!(
            "[ ! -e /sys/class/net/g ] || ip link del g
             {ESP} clear
             tc qdisc delete dev eth0 root || true
             ip addr replace 192.0.2.2/24 dev eth0; ip addr replace 2001:db8::2/64 dev eth0 nodad
             sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.all.forwarding=0"
        ));
    }

    /// Runs a shell command in the guest and gives what it printed; fails if it failed.
    pub(crate) fn exec(&self, command: &str) -> String {
        self.guest.exec(command)
    }

    /// Makes the guest's end of the tunnel, `g` with 10.9.0.2 and fd00:9::2, in place of what was there.
    pub(crate) fn tunnel(&self, delivery: Delivery, options: Options, more: &str) {
        let kind = match delivery {
            Delivery::V4 => "gre local 192.0.2.2 remote 192.0.2.1",
            Delivery::V6 => "ip6gre local 2001:db8::2 remote 2001:db8::1 encaplimit none",
            Delivery::V6EncapLimit => "ip6gre local 2001:db8::2 remote 2001:db8::1",
        };
        let options = options.for_kernel();
        self.exec(&format!(
            "[ ! -e /sys/class/net/g ] || ip link del g
             ip link add g type {kind} {options} {more}
             ip addr add 10.9.0.2/24 dev g; ip addr add fd00:9::2/64 dev g nodad
             ip link set g up"
        ));
    }

    /// Starts adit at the near end of the tunnel, `tun-t` with 10.9.0.1 and fd00:9::1.
    pub(crate) fn adit(&self, delivery: Delivery, options: Options, more: &str) -> Daemon {
        Daemon::start(&self.near, &config(1, delivery, options, more))
    }

    /// The same without keepalives: the tunnel is up and carries packets when this returns.
    pub(crate) fn ready_adit(&self, delivery: Delivery, options: Options, more: &str) -> Daemon {
        let adit = self.adit(delivery, options, more);
        self.wait_ready(&adit);
        adit
    }

    /// Waits until the near end of the tunnel is up and its interface carries packets.
    pub(crate) fn wait_ready(&self, adit: &Daemon) {
        adit.wait_state("t", "up", PATIENCE);
        wait_for("the interface carries packets", PATIENCE, || {
            let links: Value =
                serde_json::from_str(&self.near.ip("-j link show dev tun-t")).unwrap();
            ["UP", "UNKNOWN"]
                .contains(&links[0]["operstate"].as_str()?)
                .then_some(())
        });
    }

    /// All of `count` echo requests from the near site are answered.
    pub(crate) fn assert_pings(&self, address: &str, count: u32, more: &[&str]) {
        let count = count.to_string();
        let mut arguments = vec!["-c", &count, "-l", &count, "-i", "2", "-W", "2"];
        arguments.extend(more);
        arguments.push(address);
        let output = self.near.output("ping", &arguments);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let all = output.status.success() && text.contains(" 0% packet loss");
        assert!(all, "ping {arguments:?}: {}\n{text}", output.status);
    }

    /// The kernel's error and drop counters of the guest's end, those that are not zero.
    pub(crate) fn errors(&self) -> Vec<(String, u64)> {
        let links: Value = serde_json::from_str(&self.exec("ip -j -s -s link show dev g")).unwrap();
        let mut errors = Vec::new();
        for direction in ["rx", "tx"] {
            for (name, value) in links[0]["stats64"][direction].as_object().unwrap() {
                let number = value.as_u64().unwrap();
                if number > 0 && !["bytes", "packets", "carrier_changes"].contains(&name.as_str()) {
                    errors.push((format!("{direction} {name}"), number));
                }
            }
        }
        errors
    }
}

/// A peer that goes back to the pool unless its test failed.
#[derive(Debug)]
pub(crate) struct Lent {
    peer: Option<Peer>,
    pool: Arc<Pool>,
}

impl Deref for Lent {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        self.peer.as_ref().unwrap()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(peer) = self.peer.take()
            && !std::thread::panicking()
        {
            self.pool.lock().unwrap().push(peer);
        }
    }
}

/// The configuration of end 1, the near one, or of end 2.
pub(crate) fn config(end: u8, delivery: Delivery, options: Options, more: &str) -> String {
    let outer = match delivery {
        Delivery::V4 => "192.0.2.",
        Delivery::V6 | Delivery::V6EncapLimit => "2001:db8::",
    };
    let (other, gre) = (3 - end, options.for_adit());
    format!(
        r#"
[tunnel.t]
mode = "gre"
interface = "tun-t"
local = "{outer}{end}"
remote = "{outer}{other}"
addresses = ["10.9.0.{end}/24", "fd00:9::{end}/64"]
gre = {{ {gre} }}
{more}
"#
    )
}
