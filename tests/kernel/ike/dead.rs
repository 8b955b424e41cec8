//! Ends that die and come back, with a kernel that goes on by itself for a while.

use std::time::{Duration, Instant};

use super::{Initiator, Pair};
use crate::common::{SLACK, wait_for};
use crate::link::Link;
use crate::peer::{PATIENCE, Peer};

/// interval + attempts × retry.
const WORST_CASE: Duration = Duration::from_millis(1000 + 3 * 300);

fn link() -> Link<'static> {
    Link::new().adit(
        "dpd = { mode = \"periodic\", interval = \"1s\", retry = \"300ms\", attempts = 3 }",
        "",
    )
}

#[test]
fn a_killed_charon_is_noticed_on_an_idle_tunnel_although_its_kernel_lives() {
    let peer = Peer::lent();
    let mut pair = Pair::start(&peer, &link(), Initiator::Adit);
    pair.assert_carries(false);
    let mut events = pair.adit.events();
    pair.charon.end("KILL");
    let since = Instant::now();
    events.next("t", "down", WORST_CASE + SLACK);
    assert!(since.elapsed() <= WORST_CASE + SLACK);
    peer.exec("ip xfrm state flush; ip xfrm policy flush");
    pair.charon.begin();
    pair.wait_up();
    pair.assert_carries(false);
}

#[test]
fn a_kernel_that_still_answers_keeps_the_tunnel_up_without_its_charon() {
    let peer = Peer::lent();
    let pair = Pair::start(&peer, &link(), Initiator::Adit);
    pair.charon.end("KILL");
    // Each answer is authenticated, and life.
    let count = (2 * WORST_CASE).as_millis() / 100;
    peer.near.run(
        "ping",
        &["-q", "-c", &count.to_string(), "-i", "0.1", "10.77.2.1"],
    );
    let status = pair.adit.tunnel("t");
    assert_eq!(status["state"], "up", "{status}");
    assert_eq!(status["deaths"], 0, "{status}");
}

#[test]
fn a_killed_adit_is_replaced_when_charon_begins_anew() {
    let peer = Peer::lent();
    let link = link().charon(
        "retransmit_timeout = 0.5\n  retransmit_base = 1\n  retransmit_tries = 3",
        "dpd_delay = 1s",
        "dpd_action = restart",
    );
    let mut pair = Pair::start(&peer, &link, Initiator::Charon);
    pair.adit.restart(&peer.near);
    wait_for("it is up again", 2 * PATIENCE, || {
        (pair.adit.tunnel("t")["state"] == "up").then_some(())
    });
    pair.wait_up();
    peer.assert_pings("10.77.2.1", 5, &["-I", "10.77.1.1"]);
}
