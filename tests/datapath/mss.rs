//! TCP's maximum segment size is lowered in SYNs both ways and in both families, to what the tunnel takes.

use std::net::{IpAddr, TcpListener, TcpStream};

use etherparse::{TcpOptionElement, TcpSlice};

use super::common::{Daemon, Sites, within};
use super::packet::Seen;
use super::traffic::wait_for_ping;
use super::wire::Capture;
use super::{Delivery, PATIENCE, config};

const TCP: u8 = 6;
/// What the hosts announce: more than any tunnel takes.
const ANNOUNCED: u16 = 5000;

/// The MSS in a SYN that arrived for `to`; `ack` tells the answer from the question.
fn mss_of_syn(capture: &Capture, to: IpAddr, ack: bool) -> u16 {
    capture.find("a SYN", |packet| {
        let seen =
            Seen::read(packet).filter(|seen| seen.protocol == TCP && seen.destination == to)?;
        let tcp = TcpSlice::from_slice(&seen.payload)
            .ok()
            .filter(|tcp| tcp.syn() && tcp.ack() == ack)?;
        tcp.options_iterator()
            .find_map(|option| match option.ok()? {
                TcpOptionElement::MaximumSegmentSize(octets) => Some(octets),
                _ => None,
            })
    })
}

/// The MSS that `b` sees in SYNs and `a` in their answers, for each family inside, with `near` as configuration of `a`.
fn seen_with(near: &str) -> [(u16, u16); 2] {
    let sites = Sites::new();
    let near = Daemon::start(&sites.a, &config(Delivery::V4, 1, near));
    let far = Daemon::start(&sites.b, &config(Delivery::V4, 2, ""));
    near.wait_state("t", "up", PATIENCE);
    far.wait_state("t", "up", PATIENCE);
    for (site, peer) in [(&sites.a, 2), (&sites.b, 1)] {
        site.ip(&format!(
            "route add 10.9.0.{peer}/32 dev gre-t advmss {ANNOUNCED}"
        ));
        site.ip(&format!(
            "-6 route add fd00:9::{peer}/128 dev gre-t advmss {ANNOUNCED}"
        ));
    }
    wait_for_ping(&sites.a, "10.9.0.2");
    [(Delivery::V4, "10.9.0."), (Delivery::V6, "fd00:9::")].map(|(family, net)| {
        let [here, there] =
            [1, 2].map(|number| format!("{net}{number}").parse::<IpAddr>().unwrap());
        let (syns, answers) = (
            Capture::start(&sites.b, family),
            Capture::start(&sites.a, family),
        );
        let listener = within(&sites.b, || TcpListener::bind((there, 0))).unwrap();
        let to = listener.local_addr().unwrap();
        let stream = within(&sites.a, || TcpStream::connect_timeout(&to, PATIENCE)).unwrap();
        drop(stream);
        (
            mss_of_syn(&syns, there, false),
            mss_of_syn(&answers, here, true),
        )
    })
}

#[test]
fn without_a_clamp_the_mss_is_left_alone() {
    assert_eq!(seen_with(""), [(ANNOUNCED, ANNOUNCED); 2]);
}

#[test]
fn clamped_to_auto_the_mss_is_what_the_mtu_leaves_both_ways() {
    let mtu = 1500 - 24;
    assert_eq!(
        seen_with("mss-clamp = \"auto\""),
        [(mtu - 40, mtu - 40), (mtu - 60, mtu - 60)]
    );
}

#[test]
fn clamped_to_numbers_each_family_has_its_own() {
    assert_eq!(
        seen_with("mss-clamp = { ipv4 = 1000, ipv6 = 1240 }"),
        [(1000, 1000), (1240, 1240)]
    );
}
