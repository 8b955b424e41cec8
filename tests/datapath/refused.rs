//! Packets that no peer should send, made by hand: each is dropped under exactly its reason.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::common::{Daemon, Injector, Sites, wait_for};
use super::packet::{self, CHECKSUM, GRE, Ip, KEY, SEQUENCE, Seen};
use super::wire::Capture;
use super::{Delivery, PATIENCE, tunnel};

const ROUTING: u16 = 0x4000;
const RESERVED: u16 = 0x0400;
const ETHERNET: u16 = 0x6558;
/// The last octets of the outer addresses of `a`; those of its peers in `b` are 10 higher.
const PLAIN: u8 = 10;
const KEYED: u8 = 11;
const CHECKED: u8 = 12;
const NUMBERED: u8 = 13;
const SILENT: u8 = 14;
const WATCHED: u8 = 15;
const STRANGER: u8 = 19;
const TUNNELS: [(&str, u8, &str); 6] = [
    ("plain", PLAIN, ""),
    ("keyed", KEYED, "gre = { key = 42 }"),
    ("checked", CHECKED, "gre = { checksum = true }"),
    ("numbered", NUMBERED, "gre = { sequence = true }"),
    ("silent", SILENT, "answer-keepalives = false"),
    (
        "watched",
        WATCHED,
        "initial = \"up\"\nkeepalive = { period = \"1m\" }",
    ),
];

/// A daemon in `a` with all the tunnels, and a hand on the wire in `b`.
struct Target {
    sites: Sites,
    daemon: Daemon,
    injector: Injector,
    delivery: Delivery,
}

impl Target {
    fn new(delivery: Delivery) -> Self {
        let sites = Sites::new();
        for (site, base) in [(&sites.a, 10), (&sites.b, 20)] {
            for number in base..base + 10 {
                site.ip(&format!("addr add 192.0.2.{number}/24 dev wire"));
                site.ip(&format!("addr add 2001:db8::{number}/64 dev wire nodad"));
            }
        }
        let tunnels = TUNNELS.map(|(name, number, more)| {
            tunnel(
                name,
                delivery.address(number),
                delivery.address(number + 10),
                number,
                1,
                more,
            )
        });
        let daemon = Daemon::start(&sites.a, &tunnels.concat());
        for (name, ..) in TUNNELS {
            daemon.wait_state(name, "up", PATIENCE);
        }
        let injector = Injector::new(&sites.b);
        Self {
            sites,
            daemon,
            injector,
            delivery,
        }
    }

    fn ends(&self, number: u8) -> (IpAddr, IpAddr) {
        (
            self.delivery.address(number),
            self.delivery.address(number + 10),
        )
    }

    /// Sends GRE octets to the tunnel of that number, from its peer.
    fn send(&self, number: u8, gre: &[u8]) {
        let (local, remote) = self.ends(number);
        self.injector.send(&Ip::new(remote, local, GRE).packet(gre));
    }

    /// Every drop so far, as `TUNNEL/REASON`; packets of no tunnel under an empty name.
    fn drops(&self) -> BTreeMap<String, u64> {
        let status = self.daemon.status();
        let mut all = BTreeMap::new();
        let mut enter = |name: &str, drops: &serde_json::Value| {
            for (reason, count) in drops.as_object().unwrap() {
                all.insert(format!("{name}/{reason}"), count.as_u64().unwrap());
            }
        };
        enter("", &status["unassigned_drops"]);
        for tunnel in status["tunnels"].as_array().unwrap() {
            enter(tunnel["name"].as_str().unwrap(), &tunnel["drops"]);
        }
        all
    }

    /// Fails unless `gre`, sent to the tunnel of that number, adds one to `reason` and to nothing else.
    fn refuses(&self, number: u8, gre: &[u8], reason: &str) {
        let mut expected = self.drops();
        *expected.entry(reason.to_owned()).or_default() += 1;
        self.send(number, gre);
        wait_for(&format!("{reason} for {gre:02x?}"), PATIENCE, || {
            let drops = self.drops();
            (drops.get(reason) == expected.get(reason)).then(|| assert_eq!(drops, expected))
        });
    }

    /// A user's packet for the tunnel of that number.
    fn user(number: u8) -> Vec<u8> {
        let address = |last| IpAddr::from([10, number, 0, last]);
        packet::udp(address(2), address(1), b"octets")
    }

    /// The GRE protocol type of the delivery family.
    fn protocol(&self) -> u16 {
        match self.delivery {
            Delivery::V4 => packet::IPV4,
            Delivery::V6 => packet::IPV6,
        }
    }
}

fn both(test: impl Fn(&Target)) {
    for delivery in Delivery::BOTH {
        test(&Target::new(delivery));
    }
}

#[test]
fn a_gre_header_that_rfc_2784_says_to_refuse_is_dropped_under_its_own_reason() {
    both(|target| {
        let user = Target::user(PLAIN);
        target.refuses(
            PLAIN,
            &packet::gre(1, packet::IPV4, &[], &user),
            "plain/gre_version",
        );
        target.refuses(
            PLAIN,
            &packet::gre(7, packet::IPV4, &[], &user),
            "plain/gre_version",
        );
        target.refuses(
            PLAIN,
            &packet::gre(ROUTING, packet::IPV4, &[], &user),
            "plain/gre_routing",
        );
        target.refuses(
            PLAIN,
            &packet::gre(RESERVED, packet::IPV4, &[], &user),
            "plain/gre_reserved",
        );
        target.refuses(
            PLAIN,
            &packet::gre(RESERVED << 1, packet::IPV4, &[], &user),
            "plain/gre_reserved",
        );
        target.refuses(PLAIN, &[0, 0, 8], "plain/gre_short");
        target.refuses(
            KEYED,
            &packet::gre(KEY, packet::IPV4, &[], &[0, 0, 0]),
            "keyed/gre_short",
        );
        target.refuses(
            PLAIN,
            &packet::gre(CHECKSUM | KEY | SEQUENCE, 0x0800, &[0, 0], &[]),
            "plain/gre_short",
        );
    });
}

#[test]
fn a_wrong_or_missing_checksum_is_dropped_and_a_right_one_is_verified_where_none_is_required() {
    both(|target| {
        let right = |number| packet::gre(CHECKSUM, packet::IPV4, &[0], &Target::user(number));
        for (number, name) in [(CHECKED, "checked"), (PLAIN, "plain")] {
            let mut wrong = right(number);
            *wrong.last_mut().unwrap() ^= 1;
            target.refuses(number, &wrong, &format!("{name}/gre_checksum"));
        }
        let without = packet::gre(0, packet::IPV4, &[], &Target::user(CHECKED));
        target.refuses(CHECKED, &without, "checked/gre_checksum_missing");
        for (number, name) in [(CHECKED, "checked"), (PLAIN, "plain")] {
            target.send(number, &right(number));
            wait_for(name, PATIENCE, || {
                (target.daemon.counter(name, "inbound_packets") == 1).then_some(())
            });
        }
    });
}

#[test]
fn a_missing_repeated_or_old_sequence_number_is_dropped() {
    both(|target| {
        let numbered = |seq| packet::gre(SEQUENCE, packet::IPV4, &[seq], &Target::user(NUMBERED));
        let without = packet::gre(0, packet::IPV4, &[], &Target::user(NUMBERED));
        target.refuses(NUMBERED, &without, "numbered/sequence_missing");
        for seq in [u32::MAX - 1, 1] {
            target.send(NUMBERED, &numbered(seq));
        }
        target.refuses(NUMBERED, &numbered(1), "numbered/sequence_old");
        target.refuses(NUMBERED, &numbered(u32::MAX), "numbered/sequence_old");
        target.send(NUMBERED, &numbered(2));
        wait_for("three are newer", PATIENCE, || {
            (target.daemon.counter("numbered", "inbound_packets") == 3).then_some(())
        });
    });
}

#[test]
fn a_packet_of_no_tunnel_is_dropped_as_an_unknown_key_or_an_unknown_peer() {
    both(|target| {
        let user = Target::user(KEYED);
        let keyed = |key| packet::gre(KEY, packet::IPV4, &[key], &user);
        target.refuses(KEYED, &keyed(43), "keyed/unknown_key");
        target.refuses(
            KEYED,
            &packet::gre(0, packet::IPV4, &[], &user),
            "keyed/unknown_key",
        );
        target.refuses(PLAIN, &keyed(42), "plain/unknown_key");
        target.refuses(STRANGER, &keyed(42), "/unknown_peer");
        // The right peer, but to an address of ours that is not this tunnel's.
        let crossed = Ip::new(target.ends(PLAIN).1, target.ends(STRANGER).0, GRE);
        let before = target.drops().get("/unknown_peer").copied();
        target
            .injector
            .send(&crossed.packet(&packet::gre(0, packet::IPV4, &[], &user)));
        wait_for("the crossed packet is dropped", PATIENCE, || {
            (target.drops().get("/unknown_peer").copied() > before).then_some(())
        });
        target.send(KEYED, &keyed(42));
        wait_for("the right key", PATIENCE, || {
            (target.daemon.counter("keyed", "inbound_packets") == 1).then_some(())
        });
    });
}

#[test]
fn a_payload_that_is_no_consistent_ip_packet_is_dropped() {
    both(|target| {
        let user = Target::user(PLAIN);
        let malformed = "plain/inner_malformed";
        target.refuses(
            PLAIN,
            &packet::gre(0, ETHERNET, &[], &user),
            "plain/unknown_protocol",
        );
        target.refuses(PLAIN, &packet::gre(0, packet::IPV6, &[], &user), malformed);
        target.refuses(
            PLAIN,
            &packet::gre(0, packet::IPV4, &[], &user[..user.len() - 1]),
            malformed,
        );
        target.refuses(PLAIN, &packet::gre(0, packet::IPV4, &[], &[]), malformed);
        let mut short_header = user.clone();
        short_header[0] = 0x44;
        target.refuses(
            PLAIN,
            &packet::gre(0, packet::IPV4, &[], &short_header),
            malformed,
        );
    });
}

#[test]
fn octets_behind_the_inner_packet_are_cut_off() {
    both(|target| {
        let capture = Capture::start(&target.sites.a, Delivery::V4);
        let mut padded = Target::user(PLAIN);
        padded.extend([0xee; 20]);
        target.send(PLAIN, &packet::gre(0, packet::IPV4, &[], &padded));
        let inner = capture.find("the inner packet", |packet| {
            Seen::read(packet)
                .filter(|seen| seen.protocol == packet::UDP)
                .map(|_| packet.to_vec())
        });
        assert_eq!(inner, Target::user(PLAIN));
    });
}

#[test]
fn a_keepalive_that_is_malformed_foreign_stale_or_unwanted_is_dropped_under_its_own_reason() {
    both(|target| {
        let (local, remote) = target.ends(PLAIN);
        let request = |inner: &[u8]| packet::gre(0, target.protocol(), &[], inner);
        let answer = packet::gre(0, 0, &[], &[]);
        let exchanged = Ip::new(local, remote, GRE);
        let mut wrong = exchanged.packet(&packet::gre(1, 0, &[], &[]));
        target.refuses(PLAIN, &request(&wrong), "plain/keepalive_malformed");
        if target.delivery == Delivery::V4 {
            wrong = exchanged.packet(&answer);
            wrong[10] ^= 1;
            target.refuses(PLAIN, &request(&wrong), "plain/keepalive_malformed");
        }
        let foreign = Ip::new(local, target.delivery.address(99), GRE).packet(&answer);
        target.refuses(PLAIN, &request(&foreign), "plain/keepalive_foreign");
        target.refuses(PLAIN, &answer, "plain/keepalive_stale");
        target.refuses(
            PLAIN,
            &packet::gre(0, 0, &[], &[7; 16]),
            "plain/keepalive_stale",
        );
        target.refuses(WATCHED, &answer, "watched/keepalive_stale");
        target.refuses(
            WATCHED,
            &packet::gre(0, 0, &[], &[7; 16]),
            "watched/keepalive_stale",
        );
        let (local, remote) = target.ends(SILENT);
        let unwanted = Ip::new(local, remote, GRE).packet(&answer);
        target.refuses(SILENT, &request(&unwanted), "silent/keepalive_unanswered");
        for (name, _, _) in TUNNELS {
            assert_eq!(
                target.daemon.counter(name, "keepalive_responses_sent"),
                0,
                "{name}"
            );
            assert_eq!(target.daemon.counter(name, "inbound_packets"), 0, "{name}");
        }
    });
}

#[test]
fn gre_behind_a_destination_options_header_is_accepted() {
    const DESTINATION_OPTIONS: u8 = 60;
    let target = Target::new(Delivery::V6);
    let (local, remote) = target.ends(PLAIN);
    // Tunnel encapsulation limit 4 and padding (RFC 2473 section 5.1), as Linux's ip6gre sends by default.
    let options = [GRE, 0, 4, 1, 4, 1, 1, 0];
    let gre = packet::gre(0, packet::IPV4, &[], &Target::user(PLAIN));
    let outer = Ip::new(remote, local, DESTINATION_OPTIONS);
    target
        .injector
        .send(&outer.packet(&[&options[..], &gre].concat()));
    wait_for("the packet is delivered", PATIENCE, || {
        (target.daemon.counter("plain", "inbound_packets") == 1).then_some(())
    });
}
