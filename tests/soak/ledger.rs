//! The books of two sites and the relay between them: each packet is in one of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::common::{Daemon, Namespace};
use super::relay::{Relay, Tally};

/// Counters of what left for the peer, and of what came from it and was taken.
const LEFT: [&str; 6] = [
    "outbound_packets",
    "keepalive_requests_sent",
    "keepalive_responses_sent",
    "nat_keepalives_sent",
    "warm_sent",
    "dummies_sent",
];
const TAKEN: [&str; 6] = [
    "inbound_packets",
    "keepalive_requests_received",
    "keepalive_responses_received",
    "nat_keepalives_received",
    "warm_received",
    "dummies_received",
];
/// Reasons for which a packet from a relay like ours is dropped; every other one fails the test.
const INBOUND_REASONS: [&str; 1] = ["replayed"];
/// Reasons for which a packet does not leave.
const OUTBOUND_REASONS: [&str; 2] = ["queue_full", "send_refused"];

/// One site's side of a tunnel, at one time or over a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) left: u64,
    pub(crate) taken: u64,
    pub(crate) outbound_packets: u64,
    pub(crate) inbound_packets: u64,
    pub(crate) dropped_in: u64,
    pub(crate) dropped_out: u64,
    /// Before adit: the device's queue. Behind the wire: the socket's buffer.
    pub(crate) device_queue: u64,
    pub(crate) socket_buffer: u64,
    /// Packets that the device gave to adit, super-packets as one.
    pub(crate) device_packets: u64,
    pub(crate) relay: Tally,
}

/// Both sites' pages of one tunnel.
pub(crate) type Pages = [Page; 2];

/// Reads the books of a tunnel.
pub(crate) fn read(tunnel: &str, sites: [(&Namespace, &Daemon); 2], relay: &Relay) -> Pages {
    let tallies = relay.tallies();
    [0, 1].map(|index| {
        let (site, daemon) = sites[index];
        let status = daemon.tunnel(tunnel);
        let unassigned = &daemon.status()["unassigned_drops"];
        assert_eq!(numbers(unassigned).values().sum::<u64>(), 0, "{unassigned}");
        let (counters, drops) = (numbers(&status["counters"]), numbers(&status["drops"]));
        let kernel = numbers(&status["kernel_drops"]);
        let sum = |of: &BTreeMap<String, u64>, names: &[&str]| -> u64 {
            names.iter().filter_map(|name| of.get(*name)).sum()
        };
        let page = Page {
            left: sum(&counters, &LEFT),
            taken: sum(&counters, &TAKEN),
            outbound_packets: counters["outbound_packets"],
            inbound_packets: counters["inbound_packets"],
            dropped_in: sum(&drops, &INBOUND_REASONS),
            dropped_out: sum(&drops, &OUTBOUND_REASONS),
            device_queue: kernel["device_queue"],
            socket_buffer: kernel["socket_receive_buffer"],
            device_packets: device_packets(site, status["interface"].as_str().unwrap()),
            relay: tallies[index],
        };
        let known = page.dropped_in + page.dropped_out;
        assert_eq!(drops.values().sum::<u64>(), known, "{tunnel}: {drops:?}");
        assert_eq!(counters["fragments_sent"], 0);
        page
    })
}

fn numbers(map: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(map.clone()).unwrap_or_else(|error| panic!("{error}: {map}"))
}

fn device_packets(site: &Namespace, interface: &str) -> u64 {
    let path = format!("/sys/class/net/{interface}/statistics/tx_packets");
    site.run("cat", &[&path]).trim().parse().unwrap()
}

impl Page {
    /// What happened between two times.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let (now, then) = (&self.relay, &before.relay);
        Self {
            left: self.left - before.left,
            taken: self.taken - before.taken,
            outbound_packets: self.outbound_packets - before.outbound_packets,
            inbound_packets: self.inbound_packets - before.inbound_packets,
            dropped_in: self.dropped_in - before.dropped_in,
            dropped_out: self.dropped_out - before.dropped_out,
            device_queue: self.device_queue - before.device_queue,
            socket_buffer: self.socket_buffer - before.socket_buffer,
            device_packets: self.device_packets - before.device_packets,
            relay: Tally {
                received: now.received - then.received,
                lost: now.lost - then.lost,
                repeated: now.repeated - then.repeated,
                delayed: now.delayed - then.delayed,
                forwarded: now.forwarded - then.forwarded,
                refused: now.refused - then.refused,
                overflow: now.overflow - then.overflow,
            },
        }
    }
}

/// Fails unless every packet that `from` sent is accounted for on its way to `to`.
pub(crate) fn balances(name: &str, from: &Page, to: &Page) {
    let relay = &from.relay;
    let books = format!("{name}: {from:#?} to {to:#?}");
    assert_eq!(from.left, relay.received + relay.overflow, "{books}");
    assert_eq!(
        relay.received + relay.repeated,
        relay.lost + relay.forwarded + relay.refused,
        "{books}"
    );
    assert_eq!(
        relay.forwarded,
        to.taken + to.dropped_in + to.socket_buffer,
        "{books}"
    );
    let repeated_and_gone = relay.refused + to.dropped_in + to.socket_buffer;
    assert!(relay.repeated <= repeated_and_gone, "{books}");
}
