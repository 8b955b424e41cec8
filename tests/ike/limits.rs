//! What makes keys old: packets, octets, time.

use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::common::wait_for;
use super::site::{Pair, Tunnel};
use super::{PATIENCE, within};

const PACKET_OCTETS: usize = 1000;

/// Sends so many packets from the near end to the far one, which sends none; each waits until the last is there.
fn send_one_way(pair: &Pair, packets: usize) {
    let receiver = within(&pair.sites.b, || UdpSocket::bind("10.9.0.2:0")).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = within(&pair.sites.a, || UdpSocket::bind("10.9.0.1:0")).unwrap();
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    // What IP and UDP add belongs to the packet.
    let payload = [7; PACKET_OCTETS - 28];
    for _ in 0..packets {
        sender.send(&payload).unwrap();
        receiver.recv(&mut [0; PACKET_OCTETS]).unwrap();
    }
}

/// With that limit of 200 packets at one end, packets in one direction renew the child SA when so many have passed, and not before.
fn renews_after_200_packets(limit: &str, end: usize) {
    let mut tunnel = Tunnel::new("esp");
    let limit = format!(", {limit}, rekey-jitter = 0");
    tunnel.ike[end] = &limit;
    let pair = Pair::start(tunnel);
    let before = pair.spi();
    send_one_way(&pair, 100);
    sleep(Duration::from_millis(200));
    assert_eq!(pair.spi(), before, "{limit}");
    send_one_way(&pair, 150);
    wait_for(&format!("{limit} renews the child SA"), PATIENCE, || {
        (pair.spi() != before).then_some(())
    });
    assert!(pair.pings());
}

#[test]
fn packets_in_one_direction_renew_the_child_sa_by_the_limit_of_who_sends() {
    renews_after_200_packets("child-packets = 200", 0);
}

#[test]
fn packets_in_one_direction_renew_the_child_sa_by_the_limit_of_who_receives() {
    renews_after_200_packets("child-packets = 200", 1);
}

#[test]
fn octets_in_one_direction_renew_the_child_sa_by_the_limit_of_who_sends() {
    renews_after_200_packets("child-octets = 200000", 0);
}

#[test]
fn octets_in_one_direction_renew_the_child_sa_by_the_limit_of_who_receives() {
    renews_after_200_packets("child-octets = 200000", 1);
}

/// The ages in milliseconds at which each of six SAs in a row is to be renewed, of which `limit` at the far end tells.
fn ages_at_renewal(limit: &str, sa: impl Fn(&Value) -> Value, index: &str) -> Vec<u64> {
    let mut tunnel = Tunnel::new("esp");
    tunnel.ike[1] = limit;
    let pair = Pair::start(tunnel);
    let (mut ages, mut last) = (Vec::new(), Value::Null);
    while ages.len() < 6 {
        let (age, spi) = wait_for(&format!("{limit} makes another SA"), PATIENCE, || {
            let sa = sa(&pair.far.tunnel("t")["ike"]);
            let left = sa["rekey_in_ms"].as_u64().filter(|&left| left > 0)?;
            let is_new = sa[index] != last;
            is_new.then(|| (sa["age_ms"].as_u64().unwrap() + left, sa[index].clone()))
        });
        ages.push(age);
        last = spi;
    }
    assert_eq!(pair.near.tunnel("t")["deaths"], 0);
    assert!(pair.pings());
    ages
}

fn assert_jitter(mut ages: Vec<u64>) {
    // Both numbers are rounded.
    let range = 998..=2001;
    assert!(ages.iter().all(|age| range.contains(age)), "{ages:?}");
    ages.sort_unstable();
    assert!(ages.first() < ages.last(), "{ages:?}");
}

#[test]
fn time_renews_the_child_sa_each_time_up_to_the_jitter_earlier() {
    let limit = ", child-rekey = \"2s\", rekey-jitter = 50";
    let child = |ike: &Value| ike["children"][0].clone();
    assert_jitter(ages_at_renewal(limit, child, "spi_in"));
}

#[test]
fn time_renews_the_ike_sa_each_time_up_to_the_jitter_earlier() {
    let limit = ", rekey = \"2s\", rekey-jitter = 50";
    assert_jitter(ages_at_renewal(limit, Value::clone, "spi_i"));
}
