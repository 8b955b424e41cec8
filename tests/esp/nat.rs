//! NAT on the way: whose address is followed, and what keeps a mapping open.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::Suite;

use super::common::{Daemon, Injector, Routed, SLACK, Sites, wait_for};
use super::packet::{self, Seen};
use super::site::{Keys, Tunnel, udp_datagram, with_trailer};
use super::traffic::{streams_arrive_intact, wait_for_ping};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

const IPV4: u8 = 4;
const PORT: u16 = 4500;
/// Ports that the NAT gives, before and after it forgets.
const FIRST_PORTS: &str = "20000-20099";
const LATER_PORTS: &str = "30000-30099";

/// The outer source port of a UDP datagram and what follows its header.
fn datagram(packet: &[u8], from: IpAddr) -> Option<(u16, Vec<u8>)> {
    let seen =
        Seen::read(packet).filter(|seen| seen.protocol == packet::UDP && seen.source == from)?;
    let port = u16::from_be_bytes([seen.payload[0], seen.payload[1]]);
    Some((port, seen.payload[8..].to_vec()))
}

/// A daemon in `a` whose peer, which may be behind a NAT, is the test itself in `b`.
struct Target {
    near: Daemon,
    keys: Keys,
    capture: Capture,
    injector: Injector,
    delivery: Delivery,
    sites: Sites,
}

impl Target {
    fn new(delivery: Delivery, nat: &str) -> Self {
        let target = Self::with(delivery, nat, "", |config| config);
        target.near.wait_state("t", "up", PATIENCE);
        target
    }

    fn with(
        delivery: Delivery,
        nat: &str,
        more: &str,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let sites = Sites::new();
        sites.a.sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
        sites.b.ip("addr add 192.0.2.3/24 dev wire");
        sites.b.ip("addr add 2001:db8::3/64 dev wire nodad");
        let keys = Keys::new(Suite::Aes128Gcm16, 0);
        let udp = format!("{{ nat = \"{nat}\" }}");
        let config = Tunnel::new(delivery, "esp", &udp, &keys)
            .with(more)
            .config(1);
        Self {
            capture: Capture::start(&sites.b, delivery),
            injector: Injector::new(&sites.b),
            near: Daemon::start(&sites.a, &change(config)),
            keys,
            delivery,
            sites,
        }
    }

    /// Sends an authentic packet from an address and port, and waits until it is counted.
    fn send(&self, number: u8, port: u16, seq: u64, count: impl Fn(&Daemon) -> u64) {
        let sealed = self.sealed(seq);
        self.send_octets(number, port, &sealed, count);
    }

    fn send_octets(&self, number: u8, port: u16, octets: &[u8], count: impl Fn(&Daemon) -> u64) {
        let before = count(&self.near);
        self.inject(number, port, octets);
        wait_for("it is counted", PATIENCE, || {
            (count(&self.near) == before + 1).then_some(())
        });
    }

    fn inject(&self, number: u8, port: u16, octets: &[u8]) {
        let [to, from] = [1, number].map(|number| self.delivery.address(number));
        self.injector
            .send(&udp_datagram((from, port), (to, PORT), octets));
    }

    fn sealed(&self, seq: u64) -> Vec<u8> {
        let user = packet::udp([10, 9, 0, 2].into(), [10, 9, 0, 1].into(), b"octets");
        let tunnel = Tunnel::new(self.delivery, "esp", "true", &self.keys);
        self.keys
            .seal(2, tunnel.spi(2), seq, &with_trailer(&user, IPV4))
    }

    /// Where a packet of the near end goes: the last octet of the address, and the port.
    fn goes_to(&self) -> (u8, u16) {
        self.capture.drain();
        self.sites
            .a
            .output("ping", &["-q", "-c", "1", "-W", "0.01", "10.9.0.2"]);
        let near = self.delivery.address(1);
        self.capture.find("a packet of the near end", |packet| {
            let seen = Seen::read(packet)
                .filter(|seen| seen.source == near && seen.protocol == packet::UDP)?;
            let port = u16::from_be_bytes([seen.payload[2], seen.payload[3]]);
            let number = match seen.destination {
                IpAddr::V4(address) => address.octets()[3],
                IpAddr::V6(address) => address.octets()[15],
            };
            Some((number, port))
        })
    }
}

fn delivered(near: &Daemon) -> u64 {
    near.counter("t", "inbound_packets")
}

#[test]
fn a_peer_behind_a_nat_is_followed_only_by_an_authentic_packet_newer_than_all_others() {
    for delivery in Delivery::BOTH {
        let target = Target::new(delivery, "peer");
        let replayed = |near: &Daemon| near.drops("t", "replayed");
        let forged = |near: &Daemon| near.drops("t", "bad_icv");
        target.send(2, PORT, 100, delivered);
        assert_eq!(target.goes_to(), (2, PORT));
        assert_eq!(target.near.counter("t", "peer_moves"), 0);
        target.send(2, 5555, 200, delivered);
        assert_eq!(target.goes_to(), (2, 5555), "{delivery:?}");
        // Authentic, but not the newest; come before; forged; no ESP at all.
        target.send(3, 6666, 150, delivered);
        target.send(3, 6666, 200, replayed);
        let mut flipped = target.sealed(300);
        *flipped.last_mut().unwrap() ^= 1;
        target.send_octets(3, 6666, &flipped, forged);
        target.inject(3, 6666, &[0xff]);
        assert_eq!(target.goes_to(), (2, 5555), "{delivery:?}");
        target.send(3, 6666, 400, delivered);
        assert_eq!(target.goes_to(), (3, 6666), "{delivery:?}");
        target.send(2, PORT, 401, delivered);
        assert_eq!(target.goes_to(), (2, PORT), "{delivery:?}");
        assert_eq!(target.near.counter("t", "peer_moves"), 3);
    }
}

#[test]
fn without_nat_the_peer_stays_where_it_is_configured() {
    for nat in ["none", "local"] {
        let target = Target::new(Delivery::V4, nat);
        target.send(3, 6666, 100, delivered);
        assert_eq!(target.goes_to(), (2, PORT), "{nat}");
        assert_eq!(target.near.counter("t", "peer_moves"), 0);
    }
}

#[test]
fn a_followed_peer_is_sent_to_at_its_new_port_also_after_the_path_was_looked_at_again() {
    for delivery in Delivery::BOTH {
        let target = Target::new(delivery, "peer");
        target.send(2, 5555, 100, delivered);
        assert_eq!(target.goes_to(), (2, 5555));
        // The link grows and shrinks: the same way, looked up again.
        target.sites.a.ip("link set wire mtu 1400");
        let shrunk = || (target.near.tunnel("t")["path_mtu"] == 1400).then_some(());
        wait_for("the path is looked at again", PATIENCE, shrunk);
        assert_eq!(target.goes_to(), (2, 5555), "{delivery:?}");
    }
}

#[test]
fn the_next_remote_is_sent_to_at_the_configured_port_wherever_the_one_before_had_moved() {
    let more = "initial = \"up\"\nkeepalive = { period = \"200ms\", retries = 1 }\noffload = { udp-segmentation = \"off\" }";
    let target = Target::with(Delivery::V4, "peer", more, |config| {
        config.replace(
            "remote = \"192.0.2.2\"",
            "remote = [\"192.0.2.2\", \"192.0.2.3\"]",
        )
    });
    target.send(2, 5555, 100, |near| near.counter("t", "peer_moves"));
    let port = target
        .capture
        .find("a packet to the next remote", |packet| {
            let seen = Seen::read(packet).filter(|seen| seen.protocol == packet::UDP)?;
            let next = seen.destination == Delivery::V4.address(3);
            next.then(|| u16::from_be_bytes([seen.payload[2], seen.payload[3]]))
        });
    assert_eq!(port, PORT);
}

/// A NAT in the router, which gives ports of its own.
fn masquerade(routed: &Routed, ports: &str) {
    let nft = |words: &[&str]| routed.router.run("nft", words);
    // A table that goes takes the NAT's memory of its flows with it once the flows are forgotten: one second.
    routed
        .router
        .sysctl("net.netfilter.nf_conntrack_udp_timeout", "1");
    routed
        .router
        .sysctl("net.netfilter.nf_conntrack_udp_timeout_stream", "1");
    routed
        .router
        .output("nft", &["delete", "table", "ip", "translation"]);
    nft(&["add", "table", "ip", "translation"]);
    nft(&[
        "add",
        "chain",
        "ip",
        "translation",
        "post",
        "{ type nat hook postrouting priority 100; }",
    ]);
    nft(&[
        "add",
        "rule",
        "ip",
        "translation",
        "post",
        "oifname",
        "east",
        "udp",
        "dport",
        "4500",
        "masquerade",
        "to",
        &format!(":{ports}"),
    ]);
}

/// `a` is behind the router; `b` knows only the router's address.
fn behind_a_nat(mode: &str, keepalive: &str) -> (Routed, Daemon, Daemon, Keys) {
    behind_a_nat_with(mode, keepalive, "")
}

fn behind_a_nat_with(mode: &str, keepalive: &str, more: &str) -> (Routed, Daemon, Daemon, Keys) {
    let routed = Routed::new();
    masquerade(&routed, FIRST_PORTS);
    routed.b.ip("route del default");
    let keys = Keys::new(Suite::Aes256Gcm16, 0);
    let [inside, outside] = Routed::ends(Delivery::V4, 0);
    let router = Routed::address(Delivery::V4, 2, 252);
    let near_udp = format!("{{ nat = \"local\", nat-keepalive = \"{keepalive}\" }}");
    let near = Tunnel {
        ends: [inside, outside],
        ..Tunnel::new(Delivery::V4, mode, &near_udp, &keys)
    };
    let far = Tunnel {
        ends: [router, outside],
        ..Tunnel::new(Delivery::V4, mode, "{ nat = \"peer\" }", &keys)
    };
    let far = Daemon::start(&routed.b, &far.with(more).config(2));
    let near = Daemon::start(&routed.a, &near.with(more).config(1));
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    (routed, near, far, keys)
}

#[test]
fn a_tunnel_through_a_masquerading_router_works_and_goes_on_after_a_rebinding() {
    for mode in ["esp", "gre-esp"] {
        let (routed, _near, far, _keys) = behind_a_nat(mode, "20s");
        let router = Routed::address(Delivery::V4, 2, 252);
        let capture = Capture::start(&routed.b, Delivery::V4);
        wait_for_ping(&routed.a, "10.9.0.2");
        let port = || {
            capture.find("a packet from the NAT", |packet| {
                Some(datagram(packet, router)?.0)
            })
        };
        assert!((20000..20100).contains(&port()), "{mode}");
        assert_eq!(far.counter("t", "peer_moves"), 1, "{mode}");
        let inner = "10.9.0.2".parse().unwrap();
        streams_arrive_intact(&routed.a, &routed.b, inner, 1_000_000);
        let mut events = far.events();
        masquerade(&routed, LATER_PORTS);
        std::thread::sleep(Duration::from_millis(2500));
        capture.drain();
        wait_for_ping(&routed.a, "10.9.0.2");
        assert!((30000..30100).contains(&port()), "{mode}");
        assert_eq!(far.counter("t", "peer_moves"), 2, "{mode}");
        let moved = events.next("t", "peer-moved", PATIENCE);
        assert!(
            moved["remote"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{router}:30")),
            "{moved}"
        );
        streams_arrive_intact(&routed.a, &routed.b, inner, 1_000_000);
    }
}

#[test]
fn gre_keepalives_are_answered_through_a_nat_whatever_addresses_they_name() {
    let more = "keepalive = { period = \"200ms\", retries = 3 }";
    let (_routed, near, far, _keys) = behind_a_nat_with("gre-esp", "20s", more);
    for end in [&near, &far] {
        wait_for("its requests are answered", PATIENCE, || {
            (end.counter("t", "keepalive_responses_received") >= 10).then_some(())
        });
        assert_eq!(end.drops("t", "keepalive_foreign"), 0);
    }
}

#[test]
fn nat_keepalives_leave_every_interval_while_idle_and_none_under_load() {
    let interval = Duration::from_secs(1);
    let sites = Sites::new();
    for site in [&sites.a, &sites.b] {
        site.sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
    }
    let keys = Keys::new(Suite::Aes128Gcm16, 0);
    let udp = "{ nat = \"local\", nat-keepalive = \"1s\" }";
    let tunnel = Tunnel::new(Delivery::V4, "esp", udp, &keys);
    let far = Daemon::start(
        &sites.b,
        &Tunnel {
            udp: "true",
            ..tunnel
        }
        .config(2),
    );
    let near = Daemon::start(&sites.a, &tunnel.config(1));
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    wait_for_ping(&sites.a, "10.9.0.2");
    let capture = Capture::start(&sites.b, Delivery::V4);
    let keepalive = || {
        capture.find("a NAT keepalive", |packet| {
            let (port, payload) = datagram(packet, tunnel.ends[0])?;
            (payload == [0xff] && port == PORT).then(Instant::now)
        })
    };
    let first = keepalive();
    let second = keepalive();
    assert!(second - first <= interval + SLACK && second - first >= interval - SLACK);
    assert!(far.counter("t", "nat_keepalives_received") >= 2);
    let sent = near.counter("t", "nat_keepalives_sent");
    sites
        .a
        .run("ping", &["-q", "-c", "15", "-i", "0.2", "10.9.0.2"]);
    assert!(near.counter("t", "nat_keepalives_sent") <= sent + 1);
    assert_eq!(far.counter("t", "nat_keepalives_sent"), 0);
    assert_eq!(near.tunnel("t")["drops"], serde_json::json!({}));
    assert_eq!(far.tunnel("t")["drops"], serde_json::json!({}));
}

#[test]
fn probes_and_answers_keep_a_mapping_as_well_as_nat_keepalives_do() {
    let sites = Sites::new();
    let keys = Keys::new(Suite::Aes128Gcm16, 0);
    let udp = "{ nat = \"both\", nat-keepalive = \"1s\" }";
    for mode in ["esp", "gre-esp"] {
        let probing = "keepalive = { period = \"300ms\", retries = 5 }";
        let near = Daemon::start(
            &sites.a,
            &Tunnel::new(Delivery::V4, mode, udp, &keys)
                .with(probing)
                .config(1),
        );
        let far = Daemon::start(
            &sites.b,
            &Tunnel::new(Delivery::V4, mode, udp, &keys).config(2),
        );
        near.wait_state("t", "up", PATIENCE);
        let sent = |daemon: &Daemon| daemon.counter("t", "nat_keepalives_sent");
        let before = [sent(&near), sent(&far)];
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!([sent(&near), sent(&far)], before, "{mode}");
    }
}
