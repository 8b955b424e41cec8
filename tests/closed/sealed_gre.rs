//! The GRE keepalive through the association: its answer too is never in clear, and a peer's clear answer counts only where that is allowed.

use std::path::Path;
use std::time::{Duration, Instant};

use adit::keys::KeyFile;
use adit_crypto::Aead;
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits};
use adit_proto::wire::esp::Spi;

use crate::capture::{Capture, Tap, esp_of};
use crate::common::{Daemon, Injector, wait_for};
use crate::site::{Cause, PATIENCE, PERIOD, Pair, SPI_A, Tunnel, assert_on_time, worst_case};

#[test]
fn requests_and_answers_of_both_ends_go_through_the_association() {
    for tunnel in [
        Tunnel::new("gre-esp"),
        Tunnel::new("gre-esp").in_udp(),
        Tunnel::new("gre-esp").over_v6(),
        Tunnel::new("gre-esp")
            .in_udp()
            .over_v6()
            .with("gre = { key = 7 }"),
    ] {
        let pair = Pair::alone();
        let capture = Capture::start(&pair.a);
        let (near, mut far) = pair.start(&tunnel);
        // What was asked before the far end was there has no answer, and is lost with the next request.
        std::thread::sleep(2 * PERIOD);
        let lost = [&near, &far].map(|end| end.tunnel("t")["keepalive"]["lost"].clone());
        std::thread::sleep(5 * PERIOD);
        for (end, lost) in [&near, &far].into_iter().zip(lost) {
            let keepalive = &end.tunnel("t")["keepalive"];
            assert!(keepalive["answered"].as_u64().unwrap() >= 3, "{keepalive}");
            assert_eq!(keepalive["lost"], lost);
            assert!(end.counter("t", "keepalive_responses_sent") >= 3);
        }
        let mut events = near.events();
        far.kill();
        let cause = Cause::now();
        assert_on_time(&events.next("t", "down", PATIENCE), &cause, worst_case());
        capture.finish().assert_closed();
    }
}

#[test]
fn one_end_alone_watches_a_peer_that_sends_no_requests() {
    let pair = Pair::alone();
    let tunnel = Tunnel::new("gre-esp");
    let near = Daemon::start(&pair.a, &pair.near(&tunnel));
    let mut far = Daemon::start(&pair.b, &pair.far(&tunnel.clone().keepalive("false")));
    near.wait_state("t", "up", PATIENCE);
    assert_eq!(far.counter("t", "keepalive_requests_sent"), 0);
    let mut events = near.events();
    far.kill();
    let cause = Cause::now();
    assert_on_time(&events.next("t", "down", PATIENCE), &cause, worst_case());
}

/// A peer as some routers are: it takes a request out of the association and forwards what is in it in clear.
struct ClearPeer {
    sa: InboundSa,
    tap: Tap,
    injector: Injector,
}

impl ClearPeer {
    fn new(pair: &Pair, key: &Path) -> Self {
        let key = KeyFile::read(key).unwrap();
        let aead = Aead::new(key.suite(), key.keymat()).unwrap();
        let lifetime = Lifetime::new(Limits::default(), Limits::default(), Instant::now());
        let spi = Spi::new(SPI_A).unwrap();
        Self {
            sa: InboundSa::new(spi, aead, true, Window::new(4096, 0), lifetime),
            tap: Tap::start(&pair.b, "src 192.0.2.1 and ip proto 50"),
            injector: Injector::new(&pair.b),
        }
    }

    /// Answers what comes for a time, and gives how many requests that were.
    fn answer(&mut self, patience: Duration) -> u64 {
        let start = Instant::now();
        let mut answered = 0;
        while let Some(left) = patience.checked_sub(start.elapsed()) {
            let Some(packet) = self.tap.next(left) else {
                break;
            };
            let mut esp = esp_of(&packet).to_vec();
            let opened = self.sa.open(&mut esp).unwrap();
            // GRE without options, then the packet that is the answer.
            let (gre, answer) = esp[opened.payload].split_at(4);
            if gre == [0, 0, 8, 0] && answer[9] == 47 {
                self.injector.send(answer);
                answered += 1;
            }
        }
        answered
    }
}

#[test]
fn a_genuine_answer_in_clear_is_dropped_and_named_in_status() {
    let pair = Pair::new();
    let near = Daemon::start(&pair.a, &pair.near(&Tunnel::new("gre-esp")));
    let mut peer = ClearPeer::new(&pair, &pair.keys(2).join("ab.key"));
    let answered = peer.answer(2 * worst_case());
    assert!(answered >= 4, "{answered}");
    wait_for("each is counted", PATIENCE, || {
        (near.drops("t", "clear_text") == answered).then_some(())
    });
    let state = near.tunnel("t");
    assert_eq!(state["state"], "down");
    assert_eq!(state["keepalive"]["answered"], 0);
    assert_eq!(state["dialects"]["answer-in-clear"], answered);
    let shown = near.client(&["status", "t"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("answer-in-clear"), "{shown}");
}

#[test]
fn a_genuine_answer_in_clear_proves_life_where_it_is_accepted_and_other_clear_packets_never() {
    let pair = Pair::alone();
    let accepting = "{ period = \"200ms\", retries = 3, accept-clear = true }";
    let tunnel = Tunnel::new("gre-esp").keepalive(accepting);
    let near = Daemon::start(&pair.a, &pair.near(&tunnel));
    let mut peer = ClearPeer::new(&pair, &pair.keys(2).join("ab.key"));
    let mut events = near.events();
    peer.answer(worst_case());
    events.next("t", "up", PATIENCE);
    let answered = near.tunnel("t")["keepalive"]["answered"].as_u64();
    assert!(answered.unwrap() >= 3, "{answered:?}");
    assert_eq!(near.drops("t", "clear_text"), 0);

    // GRE, IPv4 inside from behind the peer to behind us: what a tunnel without ESP would deliver.
    let mut clear = Vec::from([
        0x45, 0, 0, 48, 0, 0, 0, 0, 64, 47, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1,
    ]);
    clear.extend([0, 0, 8, 0]);
    clear.extend([
        0x45, 0, 0, 24, 0, 0, 0, 0, 64, 253, 0, 0, 10, 77, 2, 7, 10, 77, 1, 7,
    ]);
    clear.extend([1, 2, 3, 4]);
    let cause = Cause::now();
    for _ in 0..10 {
        peer.injector.send(&clear);
        std::thread::sleep(PERIOD / 4);
    }
    assert_on_time(&events.next("t", "down", PATIENCE), &cause, worst_case());
    assert_eq!(near.drops("t", "clear_text"), 10);
    assert_eq!(near.counter("t", "inbound_packets"), 0);
}
