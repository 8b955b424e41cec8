//! A tunnel whose association may carry no more is down, however little was left of the bound.

use super::{CASE, Case, INNER_PORT, PATIENCE, SPI_IN, Site, inner_packet, payload};

/// Five of them pass the bound, four do not reach it.
const OCTETS: usize = 200;
const BOUND: &str = ", hard = { octets = 1000 }";

fn is_down_as_expired(site: &Site) {
    let status = site.daemon.wait_state("t", "down", PATIENCE);
    assert_eq!(status["reason"], "sa_expired", "{status}");
    assert!(site.daemon.drops("t", "sa_expired") >= 1, "{status}");
}

#[test]
fn a_packet_that_an_outbound_bound_refuses_takes_the_tunnel_down() {
    let case = Case {
        more_out: BOUND,
        ..CASE
    };
    let site = Site::start(&case);
    for _ in 0..5 {
        let to = (case.inner(2), INNER_PORT);
        site.socket.send_to(&payload(OCTETS), to).unwrap();
    }
    is_down_as_expired(&site);
}

#[test]
fn a_packet_that_an_inbound_bound_refuses_takes_the_tunnel_down() {
    let case = Case {
        more_in: BOUND,
        ..CASE
    };
    let mut site = Site::start(&case);
    let association = case.association(site.keys.path(), SPI_IN, "in.key");
    let inner = inner_packet(&case, &payload(OCTETS));
    for seq in 1..=5 {
        site.far.send(&site.oracle.seal(&association, seq, &inner));
    }
    is_down_as_expired(&site);
}
