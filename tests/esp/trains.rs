//! Trains that the kernel received as one (UDP_GRO): each datagram in them is judged by itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use adit::io::raw::{Family, SendBatch};
use adit::io::udp::{Segmentation, UdpSender, UdpSocket};
use adit_crypto::Suite;

use super::common::{Daemon, Sites, wait_for, within};
use super::packet::{self, Seen};
use super::site::{Keys, Tunnel, udp_datagram, with_trailer};
use super::wire::Capture;
use super::{Delivery, PATIENCE};

const PORT: u16 = 4500;
const IPV4: u8 = 4;

/// Two tunnels of `a`, whose packets both come from the peer of the first, in `b`.
struct Target {
    sites: Sites,
    near: Daemon,
    keys: [Keys; 2],
    delivery: Delivery,
}

impl Target {
    fn new(delivery: Delivery) -> Self {
        let sites = Sites::new();
        sites.a.sysctl("net.ipv6.conf.default.addr_gen_mode", "1");
        let keys = [0, 1].map(|seed| Keys::new(Suite::Aes128Gcm16, seed));
        let near = Daemon::start(
            &sites.a,
            &[0, 1]
                .map(|index| Self::tunnel(delivery, &keys, index).config(1))
                .concat(),
        );
        for name in ["one", "two"] {
            near.wait_state(name, "up", PATIENCE);
        }
        Self {
            sites,
            near,
            keys,
            delivery,
        }
    }

    fn tunnel(delivery: Delivery, keys: &[Keys; 2], index: u8) -> Tunnel<'_> {
        Tunnel {
            name: if index == 0 { "one" } else { "two" },
            net: 10 + index,
            ends: [delivery.address(1), delivery.address(2 + index)],
            ..Tunnel::new(delivery, "esp", "true", &keys[usize::from(index)])
        }
    }

    /// A sealed user packet; all of them are equally long.
    fn sealed(&self, index: u8, seq: u64) -> Vec<u8> {
        let address = |last| IpAddr::from([10, 10 + index, 0, last]);
        let user = packet::udp(address(2), address(1), &[0x5a; 1000]);
        let spi = Self::tunnel(self.delivery, &self.keys, index).spi(2);
        self.keys[usize::from(index)].seal(2, spi, seq, &with_trailer(&user, IPV4))
    }

    /// Sends payloads as one message with UDP_SEGMENT, and makes sure that they arrive as one.
    fn send(&self, payloads: &[Vec<u8>]) {
        let [local, remote] =
            [2, 1].map(|number| SocketAddr::new(self.delivery.address(number), PORT));
        let packets: Vec<Vec<u8>> = payloads
            .iter()
            .map(|payload| {
                let mut packet = udp_datagram((local.ip(), PORT), (remote.ip(), PORT), payload);
                if self.delivery == Delivery::V4 {
                    // Don't Fragment: what is without leaves by itself.
                    packet[6] = 0x40;
                }
                packet
            })
            .collect();
        let family = match self.delivery {
            Delivery::V4 => Family::V4,
            Delivery::V6 => Family::V6,
        };
        let capture = Capture::start(&self.sites.a, self.delivery);
        within(&self.sites.b, || {
            let socket = Arc::new(UdpSocket::open(family, PORT).unwrap());
            let mut sender =
                UdpSender::open(socket, local, remote, Segmentation::On, None).unwrap();
            let packets = packets.iter().map(Vec::as_slice);
            let failed = |index, errno| panic!("{index}: {errno}");
            sender.send(&mut SendBatch::new(), Instant::now(), packets, failed);
        });
        let octets: usize = payloads.iter().map(Vec::len).sum();
        capture.find("the train in one piece", |packet| {
            let seen = Seen::read(packet).filter(|seen| seen.protocol == packet::UDP)?;
            (seen.payload.len() == octets + 8).then_some(())
        });
    }

    fn count(&self, index: usize, name: &str) -> u64 {
        self.near.counter(["one", "two"][index], name)
    }
}

#[test]
fn a_train_of_two_spis_ike_and_a_nat_keepalive_is_taken_apart() {
    for delivery in Delivery::BOTH {
        let target = Target::new(delivery);
        let ike = vec![0; target.sealed(0, 1).len()];
        let mut unknown = target.sealed(0, 7);
        unknown[1] ^= 1;
        let mut flipped = target.sealed(1, 7);
        flipped[100] ^= 1;
        target.send(&[
            target.sealed(0, 1),
            target.sealed(1, 1),
            ike,
            target.sealed(0, 2),
            target.sealed(0, 2),
            unknown,
            flipped,
            target.sealed(1, 2),
            target.sealed(1, 3),
            vec![0xff],
        ]);
        let all = || {
            let drops = |name: &str| target.near.tunnel(name)["drops"].clone();
            serde_json::json!({
                "delivered": [target.count(0, "inbound_packets"), target.count(1, "inbound_packets")],
                "nat_keepalives": target.count(0, "nat_keepalives_received"),
                "one": drops("one"),
                "two": drops("two"),
                "unassigned": target.near.status()["unassigned_drops"],
            })
        };
        let expected = serde_json::json!({
            "delivered": [2, 3],
            "nat_keepalives": 1,
            "one": { "replayed": 1, "ike_unexpected": 1, "unknown_spi": 1 },
            "two": { "bad_icv": 1 },
            "unassigned": {},
        });
        let mut last = serde_json::Value::Null;
        let came = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("each datagram is counted", PATIENCE, || {
                last = all();
                (last == expected).then_some(())
            });
        }));
        assert!(came.is_ok(), "{delivery:?}: {last}");
    }
}

#[test]
fn a_short_last_datagram_and_one_of_one_octet_more_are_each_whole() {
    for delivery in Delivery::BOTH {
        let target = Target::new(delivery);
        let sealed: Vec<Vec<u8>> = (1..=30).map(|seq| target.sealed(0, seq)).collect();
        let short = {
            let address = |last| IpAddr::from([10, 10, 0, last]);
            let user = packet::udp(address(2), address(1), b"tail");
            let spi = Target::tunnel(delivery, &target.keys, 0).spi(2);
            target.keys[0].seal(2, spi, 31, &with_trailer(&user, IPV4))
        };
        target.send(&[sealed, vec![short]].concat());
        wait_for("all are delivered", PATIENCE, || {
            (target.count(0, "inbound_packets") == 31).then_some(())
        });
        assert_eq!(target.near.tunnel("one")["drops"], serde_json::json!({}));
    }
}
