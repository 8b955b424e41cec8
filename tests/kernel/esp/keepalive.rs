//! Keepalives inside the associations, which the kernel answers: GRE's where it forwards, echo requests always.

use std::time::Duration;

use serde_json::Value;

use super::{Esp, Variant, errors, errors_since, outer};
use crate::common::{Daemon, SLACK, wait_for};
use crate::ledger::Ledger;
use crate::peer::{Options, PATIENCE, Peer};

const KEEPALIVE: &str = r#"keepalive = { period = "200ms", retries = 3 }"#;
const ROUTERS_KEEPALIVE: &str = r#"keepalive = { period = "200ms", retries = 3, payload = false }"#;
/// What makes the guest answer GRE keepalives.
const ANSWERS: &str = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.g.accept_local=1 net.ipv4.conf.all.rp_filter=0 \
                       net.ipv4.conf.g.rp_filter=0 net.ipv6.conf.all.forwarding=1";

#[test]
fn a_kernel_answers_gre_keepalives_through_the_association() {
    let peer = Peer::lent();
    let before = errors(&peer);
    let keyed = Options {
        key: Some(7),
        ..Options::default()
    };
    for (v6, udp, options) in [
        (false, false, Options::default()),
        (false, true, keyed),
        (true, false, keyed),
        (true, true, Options::default()),
    ] {
        let variant = Variant {
            gre: Some(options),
            v6,
            udp,
            ..Variant::default()
        };
        let esp = Esp::new(&peer, variant);
        esp.kernel("");
        peer.exec(ANSWERS);
        for keepalive in [KEEPALIVE, ROUTERS_KEEPALIVE] {
            let ledger = Ledger::open(&peer.near);
            ledger.count_in("clear", "meta l4proto gre");
            let adit = esp.adit(keepalive);
            peer.wait_ready(&adit);
            assert_answered(&adit);
            peer.assert_pings("10.9.0.2", 2, &[]);
            assert_eq!(ledger.packets("clear"), 0, "{variant:?}");
        }
    }
    assert_eq!(errors_since(&peer, &before), []);
}

#[test]
fn an_answer_that_the_kernel_sends_in_clear_is_no_proof_unless_the_configuration_says_so() {
    let peer = Peer::lent();
    for v6 in [false, true] {
        let variant = Variant {
            gre: Some(Options::default()),
            v6,
            ..Variant::default()
        };
        let esp = Esp::new(&peer, variant);
        esp.kernel("");
        peer.exec(ANSWERS);
        let outer = outer(v6);
        peer.exec(&format!(
            "ip xfrm policy delete src {outer}2 dst {outer}1 proto gre dir out"
        ));
        let adit = esp.adit(KEEPALIVE);
        wait_for("two answers in clear", PATIENCE, || {
            (adit.drops("t", "clear_text") >= 2).then_some(())
        });
        let tunnel = adit.tunnel("t");
        assert_ne!(tunnel["state"], "up", "{tunnel:#}");
        assert_eq!(tunnel["keepalive"]["answered"], 0, "{tunnel:#}");
        drop(adit);
        let accepting = KEEPALIVE.replace(" }", ", accept-clear = true }");
        let adit = esp.adit(&accepting);
        adit.wait_state("t", "up", PATIENCE);
        assert_answered(&adit);
    }
}

#[test]
fn a_kernel_answers_echo_requests_in_both_families_and_over_both() {
    let peer = Peer::lent();
    let before = errors(&peer);
    for (v6, udp) in [(false, false), (false, true), (true, false), (true, true)] {
        for target in ["10.9.0.2", "fd00:9::2"] {
            let variant = Variant {
                v6,
                udp,
                ..Variant::default()
            };
            let esp = Esp::new(&peer, variant);
            esp.kernel("");
            let adit = esp.adit(&to(target));
            peer.wait_ready(&adit);
            assert_answered(&adit);
            peer.assert_pings("10.9.0.2", 2, &[]);
            peer.assert_pings("fd00:9::2", 2, &[]);
        }
    }
    assert_eq!(errors_since(&peer, &before), []);
}

#[test]
fn a_kernel_that_loses_its_associations_or_its_wire_is_found_dead_in_time_and_found_again() {
    let peer = Peer::lent();
    let tunnel_mode = Variant::default();
    let transport_mode = Variant {
        gre: Some(Options::default()),
        udp: true,
        ..tunnel_mode
    };
    for (variant, keepalive) in [
        (tunnel_mode, to("10.9.0.2")),
        (transport_mode, KEEPALIVE.to_owned()),
    ] {
        let esp = Esp::new(&peer, variant);
        esp.kernel("");
        let answers = |peer: &Peer| {
            if variant.gre.is_some() {
                peer.exec(ANSWERS);
            }
        };
        answers(&peer);
        let adit = esp.adit(&keepalive);
        let mut events = adit.events();
        adit.wait_state("t", "up", PATIENCE);
        peer.exec("ip link set eth0 down");
        assert_in_time(&events.next("t", "down", PATIENCE));
        peer.exec("ip link set eth0 up; ip addr replace 2001:db8::2/64 dev eth0 nodad");
        // Routes through a device go when it goes down. The kernel counts on where it was.
        esp.kernel("out-seq=100000 in-seq=1");
        answers(&peer);
        adit.wait_state("t", "up", PATIENCE);
        peer.exec("ip xfrm state flush");
        assert_in_time(&events.next("t", "down", PATIENCE));
        esp.kernel("out-seq=200000 in-seq=1");
        answers(&peer);
        adit.wait_state("t", "up", PATIENCE);
        peer.wait_ready(&adit);
        peer.assert_pings("10.9.0.2", 2, &[]);
    }
}

fn to(target: &str) -> String {
    KEEPALIVE.replace(" }", &format!(r#", target = "{target}" }}"#))
}

fn assert_answered(adit: &Daemon) {
    let tunnel = wait_for("three answers", PATIENCE, || {
        let tunnel = adit.tunnel("t");
        (tunnel["keepalive"]["answered"].as_u64()? >= 3).then_some(tunnel)
    });
    assert_eq!(tunnel["keepalive"]["lost"], 0, "{tunnel:#}");
    assert_eq!(tunnel["state"], "up", "{tunnel:#}");
    let has_time = tunnel["keepalive"]["rtt_us"]
        .as_u64()
        .is_some_and(|rtt| rtt > 0);
    assert!(has_time, "{tunnel:#}");
}

/// The peer was declared dead no later than computed.
fn assert_in_time(down: &Value) {
    let took = Duration::from_millis(down["since_last_proof_ms"].as_u64().unwrap());
    let worst = Duration::from_millis(down["worst_case_ms"].as_u64().unwrap());
    assert!(took <= worst + SLACK, "{took:?} against {worst:?}");
}
