//! What goes in comes out, and nothing of it is seen on the way: each mode, raw and in UDP, both families inside and outside, with and
//! without offloads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use adit_crypto::Suite;

use super::common::{Daemon, Namespace, Routed};
use super::packet::Seen;
use super::site::{Keys, Tunnel};
use super::traffic::{datagrams_arrive_intact, streams_arrive_intact, wait_for_ping};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

/// Name, mode, `udp`, suite, and the outer protocol of its packets.
const TUNNELS: [(&str, &str, &str, Option<Suite>, u8); 5] = [
    ("esp", "esp", "false", Some(Suite::Aes128Gcm16), ESP),
    ("esp-udp", "esp", "true", Some(Suite::Aes256Gcm16), UDP),
    (
        "gre-esp",
        "gre-esp",
        "false",
        Some(Suite::ChaCha20Poly1305),
        ESP,
    ),
    (
        "gre-esp-udp",
        "gre-esp",
        "true",
        Some(Suite::Aes128Gcm16),
        UDP,
    ),
    ("gre-udp", "gre", "true", None, UDP),
];
const ESP: u8 = 50;
const UDP: u8 = 17;
const STREAM_OCTETS: usize = 3_000_000;

struct Ends {
    routed: Routed,
    near: Daemon,
    far: Daemon,
    _keys: Vec<Option<Keys>>,
}

impl Ends {
    fn start(delivery: Delivery, offload: bool) -> Self {
        let routed = Routed::new();
        add_outer_addresses(&routed);
        let keys: Vec<Option<Keys>> = (0..)
            .zip(TUNNELS)
            .map(|(seed, (_, _, _, suite, _))| Some(Keys::new(suite?, seed)))
            .collect();
        let more =
            format!("offload = {offload}\nkeepalive = {{ period = \"250ms\", retries = 20 }}");
        let config = |end| -> String {
            let tunnels = (0..).zip(TUNNELS).map(|(index, (name, mode, udp, _, _))| {
                let tunnel = Tunnel {
                    name,
                    keys: keys[usize::from(index)].as_ref(),
                    mode,
                    udp,
                    ends: Routed::ends(delivery, index * 10),
                    net: 10 + index,
                    sa: ["", ""],
                    more: &more,
                };
                tunnel.config(end)
            });
            tunnels.collect()
        };
        let ends = Self {
            near: Daemon::start(&routed.a, &config(1)),
            far: Daemon::start(&routed.b, &config(2)),
            routed,
            _keys: keys,
        };
        for (name, ..) in TUNNELS {
            ends.near.wait_state(name, "up", PATIENCE);
            ends.far.wait_state(name, "up", PATIENCE);
        }
        ends
    }
}

fn add_outer_addresses(routed: &Routed) {
    for (site, end) in [(&routed.a, 1), (&routed.b, 2)] {
        for more in (10..50).step_by(10) {
            for (delivery, octets) in [(Delivery::V4, 24), (Delivery::V6, 64)] {
                let address = Routed::address(delivery, end, more);
                site.ip(&format!("addr add {address}/{octets} dev wire"));
            }
        }
    }
}

fn everything_arrives(delivery: Delivery, offload: bool) {
    let ends = Ends::start(delivery, offload);
    let (a, b) = (&ends.routed.a, &ends.routed.b);
    let strangers = [&ends.near, &ends.far].map(strangers);
    for (net, (name, mode, _, suite, protocol)) in (10_u8..).zip(TUNNELS) {
        for address in [format!("10.{net}.0.2"), format!("fd00:{net}::2")] {
            wait_for_ping(a, &address);
            let capture = Capture::start(&ends.routed.router, delivery);
            let address: IpAddr = address.parse().unwrap();
            let sizes = (1..=1400)
                .step_by(93)
                .chain(1370..=1400)
                .chain([1472, 2000, 8000]);
            datagrams_arrive_intact(a, b, address, sizes);
            streams_arrive_intact(a, b, address, STREAM_OCTETS / 10);
            let watched = Watched::of(&capture, Routed::ends(delivery, (net - 10) * 10), net);
            assert_eq!(watched.shown > 0, suite.is_none(), "{name}: {watched:?}");
            let protocols: Vec<u8> = watched.packets.keys().copied().collect();
            assert_eq!(protocols, [protocol], "{name}: {watched:?}");
            drop(capture);
            streams_arrive_intact(a, b, address, STREAM_OCTETS);
        }
        assert!(mode == "gre" || ends.near.tunnel(name)["mode"] == mode);
    }
    for (daemon, before) in [&ends.near, &ends.far].into_iter().zip(strangers) {
        assert_eq!(self::strangers(daemon), before);
        for (name, ..) in TUNNELS {
            let status = daemon.tunnel(name);
            assert_eq!(status["offload"]["tso"], offload, "{name}");
            let drops = status["drops"].as_object().unwrap();
            // Before it is up, what the kernel sends by itself is discarded.
            assert!(
                drops.keys().all(|reason| reason == "tunnel_down"),
                "{name}: {drops:?}"
            );
            assert_eq!(status["state"], "up", "{name}");
        }
    }
}

/// Dropped packets of no tunnel: those that came before their tunnel was there.
fn strangers(daemon: &Daemon) -> serde_json::Value {
    daemon.status()["unassigned_drops"].clone()
}

/// What the router saw of one tunnel.
#[derive(Debug, Default)]
struct Watched {
    /// By protocol.
    packets: BTreeMap<u8, usize>,
    /// Those in which both addresses of an inner header can be read.
    shown: usize,
}

impl Watched {
    fn of(capture: &Capture, ends: [IpAddr; 2], net: u8) -> Self {
        let mut watched = Self::default();
        let inner = inner_addresses(net);
        for packet in capture.drain() {
            let seen = Seen::read(&packet).filter(|seen| ends.contains(&seen.source));
            let Some(seen) = seen.filter(|seen| ends.contains(&seen.destination)) else {
                continue;
            };
            *watched.packets.entry(seen.protocol).or_default() += 1;
            let shows = |pair: &Vec<u8>| packet.windows(pair.len()).any(|octets| octets == pair);
            watched.shown += usize::from(inner.iter().any(shows));
        }
        watched
    }
}

/// Source and destination as an inner header has them, both ways, both families.
fn inner_addresses(net: u8) -> [Vec<u8>; 4] {
    let v4 = |end| vec![10, net, 0, end];
    let v6 = |end| -> Vec<u8> {
        let address: std::net::Ipv6Addr = format!("fd00:{net}::{end}").parse().unwrap();
        address.octets().to_vec()
    };
    [
        [v4(1), v4(2)].concat(),
        [v4(2), v4(1)].concat(),
        [v6(1), v6(2)].concat(),
        [v6(2), v6(1)].concat(),
    ]
}

#[test]
fn everything_arrives_unseen_over_ipv4_with_offloads() {
    everything_arrives(Delivery::V4, true);
}

#[test]
fn everything_arrives_unseen_over_ipv4_without_offloads() {
    everything_arrives(Delivery::V4, false);
}

#[test]
fn everything_arrives_unseen_over_ipv6_with_offloads() {
    everything_arrives(Delivery::V6, true);
}

#[test]
fn everything_arrives_unseen_over_ipv6_without_offloads() {
    everything_arrives(Delivery::V6, false);
}

/// Two workers, each with tunnels that share the port of UDP or the raw protocol.
#[test]
fn several_tunnels_on_several_workers_each_get_their_packets() {
    let routed = Routed::new();
    let keys: Vec<Keys> = (0..6)
        .map(|seed| Keys::new(Suite::Aes128Gcm16, seed))
        .collect();
    let names = ["t0", "t1", "t2", "t3", "t4", "t5"];
    let config = |end| -> String {
        let tunnels = (0..).zip(names).map(|(index, name)| {
            let index_of_keys: usize = usize::from(index);
            let tunnel = Tunnel {
                name,
                net: 20 + index,
                ends: Routed::ends(
                    if index < 4 {
                        Delivery::V4
                    } else {
                        Delivery::V6
                    },
                    0,
                ),
                ..Tunnel::new(
                    Delivery::V4,
                    if index % 3 == 0 { "gre-esp" } else { "esp" },
                    if index < 2 { "false" } else { "true" },
                    &keys[index_of_keys],
                )
            };
            tunnel.config(end)
        });
        format!("workers = 2\n{}", tunnels.collect::<String>())
    };
    let near = Daemon::start(&routed.a, &config(1));
    let far = Daemon::start(&routed.b, &config(2));
    for name in names {
        near.wait_state(name, "up", PATIENCE);
        far.wait_state(name, "up", PATIENCE);
    }
    let before = [&near, &far].map(strangers);
    for (net, name) in (20_u8..).zip(names) {
        all_pings_are_answered(&routed.a, &format!("10.{net}.0.2"), name);
        streams_arrive_intact(
            &routed.a,
            &routed.b,
            IpAddr::from([10, net, 0, 2]),
            1_000_000,
        );
    }
    assert_eq!([&near, &far].map(strangers), before);
}

fn all_pings_are_answered(site: &Namespace, address: &str, name: &str) {
    wait_for_ping(site, address);
    assert!(site.pings(address, 50, &[]), "{name}");
}
