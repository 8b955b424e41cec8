//! What goes in comes out: both families inside, over both outside, with each GRE option, with and without offloads.

use std::net::IpAddr;

use super::common::{Daemon, Sites};
use super::packet::{self, CHECKSUM, KEY, SEQUENCE, Seen};
use super::traffic::{datagrams_arrive_intact, streams_arrive_intact, wait_for_ping};
use super::wire::Capture;
use super::{Delivery, PATIENCE, config, tunnel};

/// Tunnel, its `gre` table, and the flags of its packets.
const OPTIONS: [(&str, &str, u16); 5] = [
    ("plain", "{}", 0),
    ("key", "{ key = 42 }", KEY),
    ("checksum", "{ checksum = true }", CHECKSUM),
    ("sequence", "{ sequence = true }", SEQUENCE),
    (
        "all",
        "{ key = 0xffffffff, checksum = true, sequence = true }",
        KEY | CHECKSUM | SEQUENCE,
    ),
];
const STREAM_OCTETS: usize = 10_000_000;

/// One tunnel for each option, between outer addresses of its own.
fn tunnels(delivery: Delivery, number: u8, offload: bool) -> String {
    let tunnels = (0..).zip(OPTIONS).map(|(index, (name, gre, _))| {
        let outer = |number| delivery.address(number * 10 + index);
        let more = format!(
            "gre = {gre}\noffload = {offload}\nkeepalive = {{ period = \"250ms\", retries = 20 }}"
        );
        tunnel(
            name,
            outer(number),
            outer(3 - number),
            10 + index,
            number,
            &more,
        )
    });
    tunnels.collect()
}

fn add_outer_addresses(sites: &Sites) {
    for (site, number) in [(&sites.a, 1), (&sites.b, 2)] {
        for index in 0..OPTIONS.len() {
            site.ip(&format!("addr add 192.0.2.{number}{index}/24 dev wire"));
            site.ip(&format!(
                "addr add 2001:db8::{number}{index}/64 dev wire nodad"
            ));
        }
    }
}

fn everything_arrives(delivery: Delivery, offload: bool) {
    let sites = Sites::new();
    add_outer_addresses(&sites);
    let near = Daemon::start(&sites.a, &tunnels(delivery, 1, offload));
    let far = Daemon::start(&sites.b, &tunnels(delivery, 2, offload));
    for (index, (name, _, flags)) in (10_u8..).zip(OPTIONS) {
        near.wait_state(name, "up", PATIENCE);
        far.wait_state(name, "up", PATIENCE);
        let capture = Capture::start(&sites.b, delivery);
        for address in [format!("10.{index}.0.2"), format!("fd00:{index}::2")] {
            wait_for_ping(&sites.a, &address);
            assert!(sites.a.pings(&address, 3, &[]), "{name}: {address}");
            assert_eq!(flags_of_user_packet(&capture, &address), flags, "{name}");
        }
        drop(capture);
        for address in [format!("10.{index}.0.2"), format!("fd00:{index}::2")] {
            let address = address.parse().unwrap();
            streams_arrive_intact(&sites.a, &sites.b, address, STREAM_OCTETS);
            let sizes = (1..=1400)
                .step_by(47)
                .chain(1390..=1400)
                .chain([1472, 2000, 8000]);
            datagrams_arrive_intact(&sites.a, &sites.b, address, sizes);
        }
    }
    for daemon in [&near, &far] {
        for (name, _, _) in OPTIONS {
            let status = daemon.tunnel(name);
            assert_eq!(status["offload"]["tso"], offload, "{name}");
            let drops = status["drops"].as_object().unwrap();
            // Before it is up, what the kernel sends by itself is discarded.
            assert!(
                drops.keys().all(|reason| reason == "tunnel_down"),
                "{name}: {drops:?}"
            );
            assert_eq!(status["state"], "up");
        }
    }
}

/// The GRE flags of a packet whose inner destination is `address`.
fn flags_of_user_packet(capture: &Capture, address: &str) -> u16 {
    let address: IpAddr = address.parse().unwrap();
    capture.find("a user's packet", |packet| {
        let outer = Seen::read(packet)?;
        let inner = outer.inner()?;
        (inner.destination == address).then_some(outer.gre()?.0)
    })
}

#[test]
fn everything_arrives_over_ipv4_with_offloads() {
    everything_arrives(Delivery::V4, true);
}

#[test]
fn everything_arrives_over_ipv4_without_offloads() {
    everything_arrives(Delivery::V4, false);
}

#[test]
fn everything_arrives_over_ipv6_with_offloads() {
    everything_arrives(Delivery::V6, true);
}

#[test]
fn everything_arrives_over_ipv6_without_offloads() {
    everything_arrives(Delivery::V6, false);
}

#[test]
fn each_direction_has_its_own_key() {
    let sites = Sites::new();
    let keys =
        |inbound, outbound| format!("gre = {{ key = {{ in = {inbound}, out = {outbound} }} }}");
    let near = Daemon::start(
        &sites.a,
        &config(Delivery::V4, 1, &keys(7, 0xdead_beef_u32)),
    );
    let far = Daemon::start(
        &sites.b,
        &config(Delivery::V4, 2, &keys(0xdead_beef_u32, 7)),
    );
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    let (there, back) = (
        Capture::start(&sites.b, Delivery::V4),
        Capture::start(&sites.a, Delivery::V4),
    );
    wait_for_ping(&sites.a, "10.9.0.2");
    for (capture, destination, key) in [(there, 2, 0xdead_beef_u32), (back, 1, 7)] {
        let to = Delivery::V4.address(destination);
        let header = capture.find("a GRE packet", |packet| {
            let outer = Seen::read(packet).filter(|seen| seen.destination == to)?;
            (outer.gre()?.1 == packet::IPV4).then(|| outer.payload[..8].to_vec())
        });
        assert_eq!(
            header,
            [&[0x20, 0, 0x08, 0], &key.to_be_bytes()[..]].concat()
        );
    }
}

#[test]
fn a_key_in_one_direction_only_is_no_key_in_the_other() {
    let sites = Sites::new();
    let near = Daemon::start(
        &sites.a,
        &config(Delivery::V6, 1, "gre = { key = { out = 5 } }"),
    );
    let far = Daemon::start(
        &sites.b,
        &config(Delivery::V6, 2, "gre = { key = { in = 5 } }"),
    );
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    wait_for_ping(&sites.a, "fd00:9::2");
    assert_eq!(near.tunnel("t")["overhead"], 48);
    assert_eq!(far.tunnel("t")["overhead"], 44);
}
