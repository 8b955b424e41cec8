//! adit on a host whose kernel has its own GRE loaded: it works all the same, and says what the host does besides.

use serde_json::Value;

use crate::common::{Daemon, wait_for};
use crate::ledger::Ledger;
use crate::peer::{Delivery, Options, PATIENCE, Peer};

/// The binary under test: the guest sees the host's files.
const ADIT: &str = env!("CARGO_BIN_EXE_adit");
const KEEPALIVE: &str = r#"keepalive = { period = "200ms", retries = 3 }"#;

const KEYED: Options = Options {
    key: Some(7),
    checksum: false,
    sequence: false,
};

#[test]
fn beside_the_kernels_gre_adit_warns_and_its_tunnel_works_whatever_the_kernel_answers() {
    let peer = Peer::boot();
    peer.exec("/run/modprobe ip_gre; /run/modprobe ip6_gre; test -e /sys/class/net/gre0");
    for (delivery, unreachable, rule) in [
        (
            Delivery::V4,
            "icmp code port-unreachable",
            "icmp code port-unreachable @th,136,8 47 drop",
        ),
        (
            Delivery::V6,
            "icmpv6 code port-unreachable",
            "icmpv6 code port-unreachable @th,112,8 47 drop",
        ),
    ] {
        let ledger = Ledger::open(&peer.near);
        ledger.count_in("unreachable", unreachable);
        // The rule that the warning names, at the other end of the messages' way, finds all of them.
        ledger.count_in("quoted", rule.trim_end_matches(" drop"));
        let (adit, inside) = both_ends(&peer, delivery);
        let warning = inside.status()["warnings"].to_string();
        for part in [
            "this network namespace",
            "interface gre0",
            "`modprobe -r ip_gre ip6_gre`",
            rule,
        ] {
            assert!(warning.contains(part), "{part} in {warning}");
            assert!(inside.log().contains(part), "{part} in {}", inside.log());
        }
        assert_eq!(adit.status()["warnings"], Value::Array(Vec::new()));
        // More may come between one reading and the next.
        let least = ledger.packets("unreachable");
        let quoted = ledger.packets("quoted");
        let most = ledger.packets("unreachable");
        assert!(least > 0, "{delivery:?}: the guest's kernel sent nothing");
        assert!(
            (least..=most).contains(&quoted),
            "{quoted}, {least} to {most}"
        );
        assert_undisturbed(&adit.tunnel("t"));
        assert_undisturbed(&inside.status()["tunnels"][0]);
    }
    peer.exec("/run/modprobe -r ip_gre ip6_gre");
    let ledger = Ledger::open(&peer.near);
    ledger.count_in("unreachable", "icmp code port-unreachable");
    let (_adit, inside) = both_ends(&peer, Delivery::V4);
    assert_eq!(inside.status()["warnings"], Value::Array(Vec::new()));
    assert_eq!(
        ledger.packets("unreachable"),
        0,
        "after the modules were unloaded"
    );
}

/// adit at both ends, with traffic through the tunnel.
fn both_ends(peer: &Peer, delivery: Delivery) -> (Daemon, Inside<'_>) {
    let adit = peer.adit(delivery, KEYED, KEEPALIVE);
    let inside = Inside::start(peer, delivery);
    peer.wait_ready(&adit);
    inside.wait_up();
    peer.assert_pings("10.9.0.2", 5, &["-s", "1372"]);
    peer.assert_pings("fd00:9::2", 5, &[]);
    (adit, inside)
}

fn assert_undisturbed(tunnel: &Value) {
    assert_eq!(tunnel["state"], "up", "{tunnel:#}");
    assert_eq!(tunnel["deaths"], 0, "{tunnel:#}");
    assert_eq!(tunnel["last_error"], Value::Null, "{tunnel:#}");
    // What came before the tunnel was up.
    let mut drops = tunnel["drops"].as_object().unwrap().clone();
    drops.remove("tunnel_down");
    assert_eq!(drops, serde_json::Map::new(), "{tunnel:#}");
}

/// adit in the guest, at the other end of the near one's tunnel; it ends with this value.
struct Inside<'a> {
    peer: &'a Peer,
}

impl<'a> Inside<'a> {
    fn start(peer: &'a Peer, delivery: Delivery) -> Self {
        let config = crate::peer::config(2, delivery, KEYED, KEEPALIVE);
        std::fs::write(peer.guest.shared("adit.toml"), config).unwrap();
        let inside = Self { peer };
        peer.exec(&format!(
            "{ADIT} run -c /mnt/adit.toml --socket /run/adit.sock >/mnt/adit.log 2>&1 &
             echo $! >/run/adit.pid
             for try in $(seq 200); do [ -S /run/adit.sock ] && exit; sleep 0.05; done; cat /mnt/adit.log; exit 1"
        ));
        inside
    }

    fn status(&self) -> Value {
        let text = self
            .peer
            .exec(&format!("{ADIT} status --json --socket /run/adit.sock"));
        serde_json::from_str(&text).unwrap()
    }

    fn wait_up(&self) {
        wait_for("the guest's end is up", PATIENCE, || {
            (self.status()["tunnels"][0]["state"] == "up").then_some(())
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.peer.guest.shared("adit.log")).unwrap()
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of adit in the guest\n{}", self.log());
        }
        let end = "kill $(cat /run/adit.pid); for try in $(seq 100); do [ -d /proc/$(cat /run/adit.pid) ] || exit; sleep 0.05; done";
        self.peer.guest.attempt(end);
    }
}
