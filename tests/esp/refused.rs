//! Packets that no peer should send, made by hand and, where it matters, sealed with the true key: each is counted under exactly one
//! reason, and nothing of it is delivered.

use std::collections::BTreeMap;
use std::net::IpAddr;

use adit_crypto::Suite;

use super::common::{Daemon, Injector, Sites, wait_for};
use super::packet::{self, Ip};
use super::site::{ICV_OCTETS, Keys, PREFIX_OCTETS, Tunnel, udp_datagram, with_trailer};
use super::{Delivery, PATIENCE};

const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const DUMMY: u8 = 59;
/// Name, mode, `udp`; the last octet of our outer address is that many more than 10, that of the peer's than 20.
const TUNNELS: [(&str, &str, &str); 4] = [
    ("esp", "esp", "false"),
    ("esp-udp", "esp", "true"),
    ("gre", "gre-esp", "false"),
    ("gre-udp", "gre-esp", "true"),
];

/// A daemon in `a` with all the tunnels, and a hand on the wire in `b`.
struct Target {
    _sites: Sites,
    daemon: Daemon,
    injector: Injector,
    delivery: Delivery,
    keys: Vec<Keys>,
}

impl Target {
    fn new(delivery: Delivery) -> Self {
        let sites = Sites::new();
        for (site, base) in [(&sites.a, 10), (&sites.b, 20)] {
            // Nothing of the kernel's own goes into the tunnels.
            site.sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
            for number in base..base + 4 {
                site.ip(&format!("addr add 192.0.2.{number}/24 dev wire"));
                site.ip(&format!("addr add 2001:db8::{number}/64 dev wire nodad"));
            }
        }
        let keys: Vec<Keys> = (0..4)
            .map(|seed| Keys::new(Suite::Aes128Gcm16, seed))
            .collect();
        let tunnels = (0..4).map(|index| Self::tunnel(delivery, &keys, index).config(1));
        let daemon = Daemon::start(&sites.a, &tunnels.collect::<String>());
        for (name, ..) in TUNNELS {
            daemon.wait_state(name, "up", PATIENCE);
        }
        Self {
            injector: Injector::new(&sites.b),
            _sites: sites,
            daemon,
            delivery,
            keys,
        }
    }

    fn tunnel(delivery: Delivery, keys: &[Keys], index: u8) -> Tunnel<'_> {
        let (name, mode, udp) = TUNNELS[usize::from(index)];
        Tunnel {
            name,
            net: 10 + index,
            ends: [delivery.address(10 + index), delivery.address(20 + index)],
            ..Tunnel::new(delivery, mode, udp, &keys[usize::from(index)])
        }
    }

    /// Sends what is after the outer IP header, or after the UDP header of a tunnel that has one, from the peer of a tunnel.
    fn send(&self, index: u8, payload: &[u8]) {
        let [local, remote] = Self::tunnel(self.delivery, &self.keys, index).ends;
        let packet = if is_udp(index) {
            udp_datagram((remote, 4500), (local, 4500), payload)
        } else {
            Ip::new(remote, local, 50).packet(payload)
        };
        self.injector.send(&packet);
    }

    /// Seals a payload with its trailer for a tunnel, as the peer does it.
    fn seal(&self, index: u8, seq: u64, sealed: &[u8]) -> Vec<u8> {
        let spi = Self::tunnel(self.delivery, &self.keys, index).spi(2);
        self.keys[usize::from(index)].seal(2, spi, seq, sealed)
    }

    /// A packet that is in order.
    fn good(&self, index: u8, seq: u64) -> Vec<u8> {
        self.seal(index, seq, &good(index))
    }

    fn spi(&self, index: u8) -> u32 {
        Self::tunnel(self.delivery, &self.keys, index).spi(2)
    }

    /// Every drop so far as `TUNNEL/REASON`, those of no tunnel under an empty name, and every other inbound count.
    fn counts(&self) -> BTreeMap<String, u64> {
        let status = self.daemon.status();
        let mut all = BTreeMap::new();
        let mut enter = |name: &str, drops: &serde_json::Value| {
            for (reason, count) in drops.as_object().unwrap() {
                all.insert(format!("{name}/{reason}"), count.as_u64().unwrap());
            }
        };
        enter("", &status["unassigned_drops"]);
        for tunnel in status["tunnels"].as_array().unwrap() {
            let name = tunnel["name"].as_str().unwrap();
            enter(name, &tunnel["drops"]);
            let counters = tunnel["counters"].as_object().unwrap();
            let inbound = counters.iter().filter(|(name, _)| {
                name.ends_with("received") || *name == "inbound_packets" || *name == "peer_moves"
            });
            enter(
                name,
                &inbound.map(|(k, v)| (k.clone(), v.clone())).collect(),
            );
        }
        all
    }

    /// Fails unless the payload, sent to a tunnel, adds one to `count` and to nothing else.
    fn counts_as(&self, index: u8, payload: &[u8], count: &str) {
        let name = TUNNELS[usize::from(index)].0;
        let count = format!("{name}/{count}");
        let mut expected = self.counts();
        *expected.entry(count.clone()).or_default() += 1;
        self.send(index, payload);
        let what = format!("{count} for {payload:02x?}, {:?}", self.delivery);
        wait_for(&what, PATIENCE, || {
            let counts = self.counts();
            (counts.get(&count) == expected.get(&count))
                .then(|| assert_eq!(counts, expected, "{what}"))
        });
    }

    fn delivers(&self, index: u8, payload: &[u8]) {
        self.counts_as(index, payload, "inbound_packets");
    }
}

const fn is_udp(index: u8) -> bool {
    index % 2 == 1
}

const fn has_gre(index: u8) -> bool {
    index >= 2
}

/// A user's packet from the peer of a tunnel.
fn user(index: u8) -> Vec<u8> {
    let address = |last| IpAddr::from([10, 10 + index, 0, last]);
    packet::udp(address(2), address(1), b"octets")
}

/// The payload of a packet that is in order, with its trailer.
fn good(index: u8) -> Vec<u8> {
    if has_gre(index) {
        with_trailer(&packet::gre(0, packet::IPV4, &[], &user(index)), GRE)
    } else {
        with_trailer(&user(index), IPV4)
    }
}

fn each(test: impl Fn(&Target, u8)) {
    for delivery in Delivery::BOTH {
        let target = Target::new(delivery);
        for index in 0..4 {
            test(&target, index);
        }
    }
}

#[test]
fn a_packet_that_is_cut_short_is_esp_short_or_has_a_bad_icv() {
    each(|target, index| {
        let good = target.good(index, 1);
        let least = PREFIX_OCTETS + 2 + ICV_OCTETS;
        for octets in [4, 7, 8, 15, least - 1] {
            target.counts_as(index, &good[..octets], "esp_short");
        }
        for octets in [least, good.len() - 4, good.len() - 1] {
            target.counts_as(index, &good[..octets], "bad_icv");
        }
        target.delivers(index, &good);
    });
}

#[test]
fn an_spi_of_no_association_is_unknown_and_so_are_the_reserved_ones() {
    each(|target, index| {
        let mut packet = target.good(index, 1);
        for spi in [1_u32, 255, 256, target.spi(index) + 0x100_0000, u32::MAX] {
            packet[..4].copy_from_slice(&spi.to_be_bytes());
            target.counts_as(index, &packet, "unknown_spi");
        }
        packet[..4].fill(0);
        let reason = if is_udp(index) {
            "ike_unexpected"
        } else {
            "unknown_spi"
        };
        target.counts_as(index, &packet, reason);
        target.delivers(index, &target.good(index, 1));
    });
}

#[test]
fn a_flipped_bit_wherever_it_is_makes_the_icv_wrong_and_takes_no_number() {
    each(|target, index| {
        let good = target.good(index, 9);
        let last = good.len() - 1;
        for (octet, bit) in [
            (7, 0),
            (8, 7),
            (15, 0),
            (16, 3),
            (40, 0),
            (last - 16, 7),
            (last, 0),
        ] {
            let mut flipped = good.clone();
            flipped[octet] ^= 1 << bit;
            target.counts_as(index, &flipped, "bad_icv");
        }
        target.delivers(index, &good);
    });
}

#[test]
fn what_came_before_is_replayed_and_what_is_left_of_the_window_is_taken_for_a_number_to_come() {
    each(|target, index| {
        target.counts_as(index, &target.good(index, 0), "replayed");
        target.delivers(index, &target.good(index, 2));
        target.counts_as(index, &target.good(index, 2), "replayed");
        target.delivers(index, &target.good(index, 1));
        target.delivers(index, &target.good(index, 5000));
        target.counts_as(index, &target.good(index, 5000), "replayed");
        // RFC 4303 appendix A2.2: its high half is inferred as one more.
        for seq in [1, 2, 5000 - 4096] {
            target.counts_as(index, &target.good(index, seq), "bad_icv");
        }
        target.delivers(index, &target.good(index, 5000 - 4095));
    });
}

#[test]
fn without_extended_numbers_what_is_left_of_the_window_is_replayed() {
    let keys = Keys::new(Suite::Aes256Gcm16, 0).without_esn();
    let sites = Sites::new();
    let no = ", esn = false";
    let tunnel = Tunnel {
        sa: [no, ", esn = false, replay-window = 64"],
        ..Tunnel::new(Delivery::V4, "esp", "false", &keys)
    };
    let near = Daemon::start(&sites.a, &tunnel.config(1));
    near.wait_state("t", "up", PATIENCE);
    let injector = Injector::new(&sites.b);
    let user = packet::udp([10, 9, 0, 2].into(), [10, 9, 0, 1].into(), b"octets");
    for seq in [1, 200, 200 - 63, 1, 200 - 64, 200 - 63, 200, 201] {
        let sealed = keys.seal(2, tunnel.spi(2), seq, &with_trailer(&user, IPV4));
        let [local, remote] = tunnel.ends;
        injector.send(&Ip::new(remote, local, 50).packet(&sealed));
    }
    wait_for("all have come", PATIENCE, || {
        (near.counter("t", "inbound_packets") == 4).then_some(())
    });
    assert_eq!(
        near.tunnel("t")["drops"],
        serde_json::json!({ "replayed": 4 })
    );
}

#[test]
fn in_udp_what_is_neither_esp_nor_ike_nor_a_nat_keepalive_is_malformed() {
    each(|target, index| {
        if !is_udp(index) {
            return;
        }
        for payload in [
            &[][..],
            &[0],
            &[0xfe],
            &[0xff, 0xff],
            &[0, 0, 0],
            &[0xff; 3],
        ] {
            target.counts_as(index, payload, "natt_malformed");
        }
        target.counts_as(index, &[0xff], "nat_keepalives_received");
        target.counts_as(index, &[0; 4], "ike_unexpected");
        target.counts_as(
            index,
            &[&[0; 4][..], &[0x77; 28]].concat(),
            "ike_unexpected",
        );
    });
}

#[test]
fn a_trailer_that_only_a_holder_of_the_key_can_get_wrong_is_refused() {
    each(|target, index| {
        let user = good(index);
        let right = *user.last().unwrap();
        let mut seq = 0;
        let mut refuse = |sealed: &[u8], reason: &str| {
            seq += 1;
            target.counts_as(index, &target.seal(index, seq, sealed), reason);
        };
        let with =
            |pad: u8, next_header: u8| [&user[..user.len() - 2], &[pad, next_header]].concat();
        // Longer than the packet; not 1, 2, 3.
        refuse(
            &with(u8::try_from(user.len() - 1).unwrap(), right),
            "esp_trailer",
        );
        refuse(&with(255, right), "esp_trailer");
        refuse(
            &[&user[..user.len() - 2], &[0, 2, 2, right]].concat(),
            "esp_trailer",
        );
        refuse(
            &[&user[..user.len() - 2], &[1, 2, 2, right]].concat(),
            "inbound_packets",
        );
        let pad = user[user.len() - 2];
        let wrong = if has_gre(index) {
            [IPV4, IPV6]
        } else {
            [GRE, 6]
        };
        for next_header in wrong.into_iter().chain([0, 17, 50, 58, 60, 255]) {
            refuse(&with(pad, next_header), "esp_trailer");
        }
        refuse(&with_trailer(&[0; 64], DUMMY), "dummies_received");
        refuse(&with_trailer(&[], DUMMY), "dummies_received");
    });
}

#[test]
fn an_inner_packet_that_is_none_is_malformed() {
    each(|target, index| {
        let user = user(index);
        let mut longer = user.clone();
        longer[2..4].copy_from_slice(&1000_u16.to_be_bytes());
        let v6 = packet::udp(
            "fd00::2".parse().unwrap(),
            "fd00::1".parse().unwrap(),
            b"octets",
        );
        for (seq, inner) in (1..).zip([&user[..19], &[][..], &longer, &v6, &[0; 40]]) {
            let sealed = if has_gre(index) {
                with_trailer(&packet::gre(0, packet::IPV4, &[], inner), GRE)
            } else {
                with_trailer(inner, IPV4)
            };
            target.counts_as(index, &target.seal(index, seq, &sealed), "inner_malformed");
        }
        let padded = [&user[..], &[0; 100]].concat();
        let sealed = if has_gre(index) {
            with_trailer(&packet::gre(0, packet::IPV4, &[], &padded), GRE)
        } else {
            with_trailer(&padded, IPV4)
        };
        target.delivers(index, &target.seal(index, 100, &sealed));
    });
}

#[test]
fn clear_gre_for_a_tunnel_that_asks_for_esp_is_clear_text() {
    for delivery in Delivery::BOTH {
        let target = Target::new(delivery);
        for index in [2, 3] {
            let mut expected = target.counts();
            let count = format!("{}/clear_text", TUNNELS[usize::from(index)].0);
            expected.insert(count.clone(), 1);
            let clear = packet::gre(0, packet::IPV4, &[], &user(index));
            let [local, remote] = [10 + index, 20 + index].map(|number| delivery.address(number));
            target
                .injector
                .send(&Ip::new(remote, local, packet::GRE).packet(&clear));
            wait_for(&count, PATIENCE, || {
                let counts = target.counts();
                counts
                    .contains_key(&count)
                    .then(|| assert_eq!(counts, expected))
            });
        }
    }
}

/// Selectors 10.9.0.0/30 and 10.20.0.0/16 here, 10.9.0.0/30 and 10.30.0.0/16 there.
#[test]
fn inner_addresses_outside_the_selectors_are_refused_both_ways() {
    let more = r#"
local-ts = ["10.9.0.0/30", "10.20.0.0/16"]
remote-ts = ["10.9.0.0/30", "10.30.0.0/16"]
routes = ["10.30.0.0/16", "10.40.0.0/16"]
"#;
    let keys = Keys::new(Suite::ChaCha20Poly1305, 0);
    let sites = Sites::new();
    sites.a.sysctl("net.ipv6.conf.default.disable_ipv6", "1");
    let tunnel = Tunnel::new(Delivery::V4, "esp", "true", &keys).with(more);
    let config = tunnel.config(1).replace(", \"fd00:9::1/64\"", "");
    let near = Daemon::start(&sites.a, &config);
    near.wait_state("t", "up", PATIENCE);
    let refused = || near.drops("t", "selector");
    let injector = Injector::new(&sites.b);
    let outside = [
        ("10.40.0.1", "10.9.0.1"),
        ("10.9.0.2", "10.21.0.1"),
        ("10.30.0.1", "192.0.2.1"),
    ];
    let inside = [
        ("10.30.0.1", "10.20.0.1"),
        ("10.9.0.2", "10.9.0.1"),
        ("10.30.255.255", "10.9.0.1"),
    ];
    let mut seq = 0;
    let mut inject = |(from, to): (&str, &str)| {
        seq += 1;
        let user = packet::udp(from.parse().unwrap(), to.parse().unwrap(), b"octets");
        let sealed = keys.seal(2, tunnel.spi(2), seq, &with_trailer(&user, IPV4));
        let [local, remote] = tunnel.ends;
        injector.send(&udp_datagram((remote, 4500), (local, 4500), &sealed));
    };
    let before = refused();
    outside.into_iter().for_each(&mut inject);
    inside.into_iter().for_each(&mut inject);
    wait_for("those inside are delivered", PATIENCE, || {
        (near.counter("t", "inbound_packets") == 3).then_some(())
    });
    assert_eq!(refused() - before, 3);
    let (before, sent) = (refused(), near.counter("t", "outbound_packets"));
    for (count, to) in [(3, "10.40.0.1"), (2, "10.30.0.1")] {
        let count = count.to_string();
        sites
            .a
            .output("ping", &["-q", "-c", &count, "-i", "0.01", "-W", "0.1", to]);
    }
    assert_eq!(refused() - before, 3);
    assert_eq!(near.counter("t", "outbound_packets") - sent, 2);
}
