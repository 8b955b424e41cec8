//! A tunnel's answers cannot be aimed at anybody: what leaves goes to the configured peer and is not larger than what came.
//!
//! Whatever leaves `a` goes by way of `b`, which watches.

use std::net::IpAddr;

use super::common::{Daemon, Injector, Sites, wait_for};
use super::packet::{self, GRE, Ip, Seen};
use super::wire::Capture;
use super::{Delivery, PATIENCE, config};

/// What the answerer gives at once, and each second after that.
const BURST: u64 = 20;
const PER_SECOND: u64 = 10;

/// A daemon in `a` with a peer in `b`, whose default route leads to `b` too.
struct Target {
    daemon: Daemon,
    injector: Injector,
    capture: Capture,
    delivery: Delivery,
    local: IpAddr,
    peer: IpAddr,
    _sites: Sites,
}

impl Target {
    fn new(delivery: Delivery, more: &str) -> Self {
        let sites = Sites::new();
        for key in ["all", "wire"] {
            sites
                .a
                .sysctl(&format!("net.ipv4.conf.{key}.rp_filter"), "0");
        }
        sites.a.ip("route add default via 192.0.2.2");
        sites.a.ip("-6 route add default via 2001:db8::2");
        let capture = Capture::start(&sites.b, delivery);
        let daemon = Daemon::start(&sites.a, &config(delivery, 1, more));
        daemon.wait_state("t", "up", PATIENCE);
        Self {
            daemon,
            injector: Injector::new(&sites.b),
            capture,
            delivery,
            local: delivery.address(1),
            peer: delivery.address(2),
            _sites: sites,
        }
    }

    fn third_party(&self) -> IpAddr {
        match self.delivery {
            Delivery::V4 => "203.0.113.7".parse().unwrap(),
            Delivery::V6 => "2001:db8:dead::7".parse().unwrap(),
        }
    }

    /// A keepalive request with these outer addresses, and these inner ones, whose payload is `body`.
    fn request(&self, outer: [IpAddr; 2], inner: [IpAddr; 2], body: &[u8]) -> Vec<u8> {
        let protocol = match self.delivery {
            Delivery::V4 => packet::IPV4,
            Delivery::V6 => packet::IPV6,
        };
        let answer = Ip::new(inner[0], inner[1], GRE).packet(body);
        let gre = packet::gre(0, protocol, &[], &answer);
        Ip::new(outer[0], outer[1], GRE).packet(&gre)
    }

    /// A request as the peer sends it.
    fn honest(&self) -> Vec<u8> {
        let empty = packet::gre(0, 0, &[], &[]);
        self.request([self.peer, self.local], [self.local, self.peer], &empty)
    }

    /// Waits until the counter or drop reason has that value.
    fn wait_count(&self, what: &str, count: impl Fn() -> u64, expected: u64) {
        wait_for(what, PATIENCE, || (count() == expected).then_some(()));
    }

    /// Takes what left `a`: `count` packets to the peer, each no larger than `octets`, and nothing else.
    fn only_answers_left(&self, what: &str, count: u64, octets: usize) {
        let relevant = |packet: &[u8]| {
            let seen = Seen::read(packet)?;
            let left = seen.protocol == GRE || seen.destination == self.third_party();
            (left && !seen.is_chatter()).then_some((seen, packet.len()))
        };
        let mut left = Vec::new();
        for _ in 0..count {
            left.push(self.capture.find(what, relevant));
        }
        left.extend(
            self.capture
                .drain()
                .iter()
                .filter_map(|packet| relevant(packet)),
        );
        assert_eq!(left.len() as u64, count, "{what}: {left:?}");
        for (seen, size) in left {
            let ends = (seen.source, seen.destination, seen.protocol);
            assert_eq!(ends, (self.local, self.peer, GRE), "{what}");
            assert!(size <= octets, "{what}: {size} octets");
        }
    }

    /// Waits until all that was sent was looked at, and fails if anything left but the answer to one honest request.
    fn nothing_left(&self, what: &str) {
        let honest = self.honest();
        self.injector.send(&honest);
        self.only_answers_left(what, 1, honest.len());
    }
}

fn both(more: &str, test: impl Fn(&Target)) {
    for delivery in Delivery::BOTH {
        test(&Target::new(delivery, more));
    }
}

#[test]
fn an_honest_request_is_answered_to_the_peer_with_exactly_what_it_carried() {
    both("", |target| {
        for body in [&[][..], &[9; 16], &[9; 64]] {
            let inner = packet::gre(0, 0, &[], body);
            let request = target.request(
                [target.peer, target.local],
                [target.local, target.peer],
                &inner,
            );
            target.injector.send(&request);
            let answer = target.capture.find("the answer", |packet| {
                Seen::read(packet)
                    .filter(|seen| seen.protocol == GRE && !seen.is_chatter())
                    .map(|_| packet.to_vec())
            });
            let seen = Seen::read(&answer).unwrap();
            assert_eq!((seen.source, seen.destination), (target.local, target.peer));
            assert_eq!(seen.payload, inner);
            assert!(answer.len() < request.len());
        }
        assert_eq!(target.daemon.counter("t", "keepalive_requests_received"), 3);
        assert_eq!(target.daemon.counter("t", "inbound_packets"), 0);
    });
}

#[test]
fn a_request_with_a_spoofed_source_is_not_answered() {
    both("", |target| {
        let empty = packet::gre(0, 0, &[], &[]);
        let victim = target.third_party();
        for inner in [
            [target.local, victim],
            [target.local, target.peer],
            [victim, victim],
        ] {
            target
                .injector
                .send(&target.request([victim, target.local], inner, &empty));
        }
        target.wait_count(
            "three of an unknown peer",
            || {
                target.daemon.status()["unassigned_drops"]["unknown_peer"]
                    .as_u64()
                    .unwrap_or(0)
            },
            3,
        );
        target.nothing_left("spoofed source");
    });
}

#[test]
fn a_request_whose_answer_would_go_to_a_third_party_or_come_from_one_is_not_answered() {
    both("", |target| {
        let empty = packet::gre(0, 0, &[], &[]);
        let (victim, outer) = (target.third_party(), [target.peer, target.local]);
        for inner in [[target.local, victim], [victim, target.peer]] {
            target.injector.send(&target.request(outer, inner, &empty));
        }
        target.wait_count(
            "two foreign",
            || target.daemon.drops("t", "keepalive_foreign"),
            2,
        );
        // Between addresses that are all inside, it is a user's packet and is not answered either.
        target
            .injector
            .send(&target.request(outer, [victim, victim], &empty));
        target.wait_count(
            "one user's packet",
            || target.daemon.counter("t", "inbound_packets"),
            1,
        );
        target.nothing_left("third party");
    });
}

#[test]
fn a_request_that_carries_a_packet_is_not_answered() {
    both("", |target| {
        let victim = target.third_party();
        let (outer, inner) = ([target.peer, target.local], [target.local, target.peer]);
        let onward = Ip::new(target.peer, victim, packet::UDP).packet(&[0; 12]);
        let nested = target.request(
            [target.local, target.peer],
            [target.peer, target.local],
            &packet::gre(0, 0, &[], &[]),
        );
        let bodies = [
            packet::gre(0, packet::IPV4, &[], &onward),
            packet::gre(0, packet::IPV6, &[], &onward),
            packet::gre(0, 0, &[], &onward),
            packet::gre(0, 0, &[], &nested),
            packet::gre(0, 0, &[], &[0; 65]),
            packet::gre(1, 0, &[], &[]),
        ];
        for body in &bodies {
            target.injector.send(&target.request(outer, inner, body));
        }
        let malformed = || target.daemon.drops("t", "keepalive_malformed");
        target.wait_count("all malformed", malformed, bodies.len() as u64);
        target.nothing_left("nested");
    });
}

#[test]
fn accepted_inner_addresses_are_answered_to_the_peer_alone() {
    for delivery in Delivery::BOTH {
        let accepted = match delivery {
            Delivery::V4 => "203.0.113.7",
            Delivery::V6 => "2001:db8:dead::7",
        };
        let more = format!(
            "keepalive = {{ period = \"1m\", accept-inner = [\"{accepted}\"] }}\ninitial = \"up\""
        );
        let target = Target::new(delivery, &more);
        let first = target.capture.find("our own request", |packet| {
            Seen::read(packet).filter(|seen| seen.protocol == GRE && !seen.is_chatter())
        });
        assert_eq!(first.destination, target.peer);
        let empty = packet::gre(0, 0, &[], &[]);
        let victim = target.third_party();
        for inner in [[target.local, victim], [victim, target.peer]] {
            target
                .injector
                .send(&target.request([target.peer, target.local], inner, &empty));
        }
        target.only_answers_left("accepted", 2, target.honest().len());
    }
}

#[test]
fn a_flood_of_requests_is_answered_at_the_bounded_rate_and_the_rest_is_counted() {
    const FLOOD: u64 = 1000;
    both("", |target| {
        let start = std::time::Instant::now();
        let honest = target.honest();
        for _ in 0..FLOOD {
            target.injector.send(&honest);
        }
        let received = || target.daemon.counter("t", "keepalive_requests_received");
        target.wait_count("all are received", received, FLOOD);
        let bound = BURST + PER_SECOND * (start.elapsed().as_secs() + 1);
        let sent = target.daemon.counter("t", "keepalive_responses_sent");
        assert!(
            (BURST..=bound).contains(&sent),
            "{sent} answers, at most {bound}"
        );
        assert_eq!(target.daemon.drops("t", "keepalive_rate"), FLOOD - sent);
        target.only_answers_left("flood", sent, honest.len() - 1);
    });
}
