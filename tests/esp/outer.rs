//! The outer header of a packet whose inner header nobody can see, and what it does to the inner one on arrival.

use std::net::{IpAddr, UdpSocket};

use adit_crypto::Suite;
use socket2::SockRef;

use super::common::{Daemon, Injector, Namespace, Sites, wait_for, within};
use super::packet::{self, Ip, Seen};
use super::site::{Keys, Pair, Tunnel, udp_datagram, with_trailer};
use super::traffic::wait_for_ping;
use super::wire::Capture;
use super::{Delivery, PATIENCE};

const ECT0: u8 = 2;
const ECT1: u8 = 1;
const CE: u8 = 3;
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
const MODES: [(&str, &str); 4] = [
    ("esp", "true"),
    ("esp", "false"),
    ("gre-esp", "true"),
    ("gre-esp", "false"),
];
/// Octets of a user's datagram by which its outer packet is known.
const TEXT: [u8; 900] = [0x5a; 900];

fn inner(family: Delivery, number: u8) -> IpAddr {
    let text = match family {
        Delivery::V4 => format!("10.9.0.{number}"),
        Delivery::V6 => format!("fd00:9::{number}"),
    };
    text.parse().unwrap()
}

/// Sends a datagram with DF through the tunnel.
fn send(site: &Namespace, family: Delivery, tos: u8, ttl: u8) {
    within(site, || {
        let socket = UdpSocket::bind((inner(family, 1), 0)).unwrap();
        let reference = SockRef::from(&socket);
        match family {
            Delivery::V4 => {
                reference.set_tos_v4(u32::from(tos)).unwrap();
                reference.set_ttl_v4(u32::from(ttl)).unwrap();
            }
            Delivery::V6 => {
                reference.set_tclass_v6(u32::from(tos)).unwrap();
                reference.set_unicast_hops_v6(u32::from(ttl)).unwrap();
            }
        }
        socket.send_to(&TEXT, (inner(family, 2), 4000)).unwrap();
    });
}

/// What the outer headers say of datagrams with these TOS and TTL, for each mode and pair of families.
fn outer_headers<const N: usize>(more: &str, sent: [(u8, u8); N], judge: impl Fn(&str, [Seen; N])) {
    for delivery in Delivery::BOTH {
        for (mode, udp) in MODES {
            let keys = Keys::new(Suite::Aes128Gcm16, 0);
            let pair = Pair::start(Tunnel::new(delivery, mode, udp, &keys).with(more));
            let capture = Capture::start(&pair.sites.b, delivery);
            for family in Delivery::BOTH {
                wait_for_ping(&pair.sites.a, &inner(family, 2).to_string());
                let what = format!("{mode}, udp {udp}, {family:?} in {delivery:?}");
                let seen = sent.map(|(tos, ttl)| {
                    capture.drain();
                    send(&pair.sites.a, family, tos, ttl);
                    capture.find("the outer packet", |packet| {
                        let seen = Seen::read(packet)?;
                        let is_outer =
                            seen.source == delivery.address(1) && seen.payload.len() > TEXT.len();
                        is_outer.then_some(seen)
                    })
                });
                judge(&what, seen);
            }
        }
    }
}

#[test]
fn dscp_and_ecn_are_inherited_and_the_ttl_is_64_and_df_is_set() {
    let sent = [
        (0, 7),
        (0xb8 | ECT0, 64),
        (0x28 | ECT1, 255),
        (0xfc | CE, 1),
    ];
    outer_headers("", sent, |what, seen| {
        assert_eq!(
            seen.each_ref().map(|outer| outer.tos),
            sent.map(|(tos, _)| tos),
            "{what}"
        );
        assert!(
            seen.iter()
                .all(|outer| outer.ttl == 64 && outer.df != Some(false)),
            "{what}"
        );
    });
}

#[test]
fn ttl_dscp_and_df_are_what_is_configured() {
    let more = "ttl = \"inherit\"\ndscp = 10\ndf = \"clear\"\necn = \"compatibility\"";
    outer_headers(more, [(0xb8, 7), (ECT0, 255)], |what, seen| {
        let header = |outer: &Seen| (outer.tos, outer.ttl, outer.df == Some(true));
        assert_eq!(
            seen.each_ref().map(header),
            [(0x28, 7, false), (0x28, 255, false)],
            "{what}"
        );
    });
}

#[test]
fn a_fixed_ttl_is_taken_and_df_is_copied() {
    outer_headers("ttl = 9\ndf = \"copy\"", [(0, 64)], |what, [outer]| {
        assert_eq!((outer.ttl, outer.df != Some(false)), (9, true), "{what}");
    });
}

/// The inner TOS that arrives for each triple of outer, inner and expected TOS, from a peer that seals as it likes.
fn arriving(more: &str, sent: &[(u8, u8, Option<u8>)]) {
    for delivery in Delivery::BOTH {
        for (mode, udp) in MODES {
            let what = format!("{mode}, udp {udp}, {delivery:?}");
            let sites = Sites::new();
            let keys = Keys::new(Suite::Aes128Gcm16, 0);
            let more = format!("offload = false\n{more}");
            let tunnel = Tunnel::new(delivery, mode, udp, &keys).with(&more);
            let near = Daemon::start(&sites.a, &tunnel.config(1));
            near.wait_state("t", "up", PATIENCE);
            let injector = Injector::new(&sites.b);
            let mut seq = 0;
            for family in Delivery::BOTH {
                let capture = Capture::start(&sites.a, family);
                for &(outer, tos, _) in sent {
                    seq += 1;
                    let user = packet::udp(inner(family, 2), inner(family, 1), &[outer, tos]);
                    let user = packet::with_tos(user, tos);
                    let sealed = keys.seal(2, tunnel.spi(2), seq, &payload(mode, &user));
                    let [local, remote] = tunnel.ends;
                    let packet = if udp == "true" {
                        udp_datagram((remote, 4500), (local, 4500), &sealed)
                    } else {
                        Ip::new(remote, local, 50).packet(&sealed)
                    };
                    injector.send(&packet::with_tos(packet, outer));
                }
                for &(outer, tos, expected) in sent {
                    let Some(expected) = expected else { continue };
                    let arrived = capture.find("the datagram", |packet| {
                        let seen = Seen::read(packet)
                            .filter(|seen| seen.destination == inner(family, 1))?;
                        seen.payload.ends_with(&[outer, tos]).then_some(seen.tos)
                    });
                    assert_eq!(
                        arrived, expected,
                        "outer {outer:#x}, inner {tos:#x}, {what}"
                    );
                }
            }
            let unusable = 2 * sent
                .iter()
                .filter(|(.., expected)| expected.is_none())
                .count();
            wait_for(&what, PATIENCE, || {
                (near.drops("t", "ecn_unusable") == unusable as u64).then_some(())
            });
        }
    }
}

fn payload(mode: &str, user: &[u8]) -> Vec<u8> {
    let is_v6 = user[0] >> 4 == 6;
    if mode == "esp" {
        with_trailer(user, if is_v6 { IPV6 } else { IPV4 })
    } else {
        let protocol = if is_v6 { packet::IPV6 } else { packet::IPV4 };
        with_trailer(&packet::gre(0, protocol, &[], user), GRE)
    }
}

#[test]
fn ecn_of_the_outer_header_goes_to_the_inner_one_and_unusable_marks_drop_the_packet() {
    let table = [
        (CE, ECT0, Some(CE)),
        (CE, ECT1, Some(CE)),
        (ECT1, ECT0, Some(ECT1)),
        (ECT0, 0, Some(0)),
        (CE, 0, None),
        (0xb8, 0x28 | ECT0, Some(0x28 | ECT0)),
    ];
    arriving("", &table);
}

#[test]
fn the_outer_dscp_is_copied_to_the_inner_header_where_configured() {
    arriving(
        "dscp-decap = \"copy\"",
        &[(0xb8, 0x28, Some(0xb8)), (0xb8 | CE, ECT0, Some(0xb8 | CE))],
    );
}
