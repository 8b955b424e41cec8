//! Outer TTL, DSCP, ECN and DF follow from the inner packet or the configuration, and back.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::SockRef;

use super::common::{Daemon, Injector, Namespace, Sites, within};
use super::packet::{self, Ip, Seen, UDP};
use super::wire::Capture;
use super::{Delivery, PATIENCE, config};

const ECT1: u8 = 1;
const ECT0: u8 = 2;
const CE: u8 = 3;

fn inner(family: Delivery, number: u8) -> IpAddr {
    let text = match family {
        Delivery::V4 => format!("10.9.0.{number}"),
        Delivery::V6 => format!("fd00:9::{number}"),
    };
    text.parse().unwrap()
}

/// Sends a datagram into the tunnel with this TOS and TTL.
fn send(site: &Namespace, family: Delivery, tos: u8, ttl: u8) {
    let socket = within(site, || {
        UdpSocket::bind(SocketAddr::new(inner(family, 1), 0))
    })
    .unwrap();
    let options = SockRef::from(&socket);
    match family {
        Delivery::V4 => options
            .set_tos_v4(tos.into())
            .and_then(|()| options.set_ttl_v4(ttl.into())),
        Delivery::V6 => options
            .set_tclass_v6(tos.into())
            .and_then(|()| options.set_unicast_hops_v6(ttl.into())),
    }
    .unwrap();
    socket.send_to(b"octets", (inner(family, 2), 4000)).unwrap();
}

/// TOS, TTL and DF of the outer header of each `(tos, ttl)` sent, over each delivery and inside each family.
fn outer_headers<const N: usize>(
    more: &str,
    sent: [(u8, u8); N],
    mut judge: impl FnMut([Seen; N]),
) {
    for delivery in Delivery::BOTH {
        let sites = Sites::new();
        let near = Daemon::start(&sites.a, &config(delivery, 1, more));
        near.wait_state("t", "up", PATIENCE);
        let capture = Capture::start(&sites.b, delivery);
        for family in Delivery::BOTH {
            judge(sent.map(|(tos, ttl)| {
                send(&sites.a, family, tos, ttl);
                capture.find("the datagram", |packet| {
                    let outer = Seen::read(packet)?;
                    outer
                        .inner()
                        .filter(|inner| inner.protocol == UDP)
                        .map(|inner| {
                            assert_eq!((inner.tos, inner.ttl), (tos, ttl));
                            outer
                        })
                })
            }));
        }
    }
}

#[test]
fn dscp_and_ecn_are_inherited_and_the_ttl_is_64_unless_configured() {
    let sent = [
        (0, 7),
        (0xb8 | ECT0, 64),
        (0x28 | ECT1, 255),
        (0xfc | CE, 1),
    ];
    outer_headers("", sent, |seen| {
        assert_eq!(
            seen.each_ref().map(|outer| outer.tos),
            sent.map(|(tos, _)| tos)
        );
        assert!(
            seen.iter()
                .all(|outer| outer.ttl == 64 && outer.df != Some(false))
        );
    });
}

#[test]
fn the_ttl_is_inherited_where_configured() {
    outer_headers("ttl = \"inherit\"", [(0, 7), (0, 255)], |seen| {
        assert_eq!(seen.map(|outer| outer.ttl), [7, 255])
    });
}

#[test]
fn a_fixed_dscp_replaces_the_inner_one_and_leaves_ecn() {
    outer_headers("ttl = 9\ndscp = 10", [(0xb8, 64), (ECT0, 64)], |seen| {
        assert_eq!(
            seen.map(|outer| (outer.tos, outer.ttl)),
            [(0x28, 9), (0x28 | ECT0, 9)]
        );
    });
}

#[test]
fn in_compatibility_mode_the_outer_header_has_no_ecn() {
    outer_headers(
        "ecn = \"compatibility\"",
        [(0xb8 | ECT0, 64), (ECT1, 64)],
        |seen| {
            assert_eq!(seen.map(|outer| outer.tos), [0xb8, 0]);
        },
    );
}

#[test]
fn df_is_clear_or_copied_where_configured() {
    let df = |more, sent_df: [Option<bool>; 2]| {
        let mut expected = sent_df.into_iter().cycle();
        outer_headers(more, [(0, 64)], |[outer]| {
            let expected = expected.next().unwrap();
            assert_eq!(outer.df, outer.df.and(expected), "{more}");
        });
    };
    df("df = \"clear\"", [Some(false), Some(false)]);
    // A datagram of a socket with path MTU discovery has DF, and IPv6 always acts as if.
    df("df = \"copy\"", [Some(true), Some(true)]);
}

/// Compares the inner TOS that arrives for each pair of outer and inner TOS, and gives how many packets were dropped.
fn arriving(delivery: Delivery, more: &str, sent: &[(u8, u8, Option<u8>)]) -> u64 {
    let sites = Sites::new();
    // Not coalesced: each packet is to be seen as it is.
    let near = Daemon::start(
        &sites.a,
        &config(delivery, 1, &format!("offload = false\n{more}")),
    );
    near.wait_state("t", "up", PATIENCE);
    let from = Injector::new(&sites.b);
    for (family, protocol) in [(Delivery::V4, packet::IPV4), (Delivery::V6, packet::IPV6)] {
        let capture = Capture::start(&sites.a, family);
        for &(outer, tos, _) in sent {
            let text = [outer, tos];
            let user = packet::udp(inner(family, 2), inner(family, 1), &text);
            let user = packet::with_tos(user, tos);
            let gre = packet::gre(0, protocol, &[], &user);
            let header = Ip {
                tos: outer,
                ..Ip::new(delivery.address(2), delivery.address(1), packet::GRE)
            };
            from.send(&header.packet(&gre));
        }
        for &(outer, tos, expected) in sent.iter().filter(|(.., expected)| expected.is_some()) {
            let arrived = capture.find("the datagram", |packet| {
                let seen = Seen::read(packet).filter(|seen| seen.protocol == UDP)?;
                seen.payload.ends_with(&[outer, tos]).then_some(seen.tos)
            });
            assert_eq!(Some(arrived), expected, "outer {outer:#x}, inner {tos:#x}");
        }
    }
    near.drops("t", "ecn_unusable")
}

#[test]
fn ecn_of_the_outer_header_goes_to_the_inner_one_and_unusable_marks_drop_the_packet() {
    let table = [
        (CE, ECT0, Some(CE)),
        (CE, ECT1, Some(CE)),
        (CE, CE, Some(CE)),
        (ECT1, ECT0, Some(ECT1)),
        (ECT0, ECT1, Some(ECT1)),
        (ECT0, 0, Some(0)),
        (CE, 0, None),
        (0xb8, 0x28 | ECT0, Some(0x28 | ECT0)),
    ];
    for delivery in Delivery::BOTH {
        assert_eq!(arriving(delivery, "", &table), 2, "{delivery:?}");
    }
}

#[test]
fn the_outer_dscp_is_copied_to_the_inner_header_where_configured() {
    for delivery in Delivery::BOTH {
        let table = [
            (0xb8, 0x28, Some(0xb8)),
            (0xb8 | CE, ECT0, Some(0xb8 | CE)),
            (0, 0xfc, Some(0)),
        ];
        arriving(delivery, "dscp-decap = \"copy\"", &table);
    }
}
