//! A charon that is gone from one moment to the next: noticed in time, in each way to ask for it, and welcomed back.

use std::time::Duration;

use serde_json::Value;

use crate::PATIENCE;
use crate::common::{Namespace, SLACK, unix_us, wait_for};
use crate::flood::Flood;
use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// interval + attempts × retry.
pub(crate) const WORST_CASE: Duration = Duration::from_millis(1000 + 3 * 300);

pub(crate) const PERIODIC: &str =
    "dpd = { mode = \"periodic\", interval = \"1s\", retry = \"300ms\", attempts = 3 }";
pub(crate) const ON_DEMAND: &str =
    "dpd = { mode = \"on-demand\", interval = \"1s\", retry = \"300ms\", attempts = 3 }";
/// An end that asks its peer again soon.
pub(crate) const EAGER: &str = "retransmit = { first = \"300ms\", base = 150, tries = 3 }";

/// The same of charon.
pub(crate) const EAGER_CHARON: &str =
    "retransmit_timeout = 0.3\n  retransmit_base = 1\n  retransmit_tries = 3";

fn link(dpd: &str) -> Link<'_> {
    let link = Link::new().adit(dpd, EAGER);
    link.charon(EAGER_CHARON, "", "")
}

pub(crate) fn carrier(site: &Namespace) -> bool {
    let links: Value = serde_json::from_str(&site.ip("-j link show dev tun-t")).unwrap();
    let flags = links[0]["flags"].as_array().unwrap();
    !flags.iter().any(|flag| flag == "NO-CARRIER")
}

/// Kills charon; what says so has to come within the worst case of when `talk` says it began.
fn dies_in_time(pair: &mut Pair, talk: impl FnOnce(&Pair) -> (u64, Option<Flood>)) {
    pair.charon.kill();
    is_noticed_in_time(pair, talk);
}

/// The tunnel goes down within the worst case of when `talk` says that the peer was wanted and gone.
pub(crate) fn is_noticed_in_time(pair: &Pair, talk: impl FnOnce(&Pair) -> (u64, Option<Flood>)) {
    assert!(carrier(&pair.sites.a));
    let mut events = pair.adit.events();
    let (since_us, _flood) = talk(pair);
    let down = events.next("t", "down", PATIENCE);
    let at = down["unix_us"].as_u64().unwrap();
    let took = Duration::from_micros(at.saturating_sub(since_us));
    assert!(took <= WORST_CASE + SLACK, "{took:?}: {down}");
    let worst = down["worst_case_ms"].as_u64().unwrap();
    assert!(
        Duration::from_millis(worst) <= WORST_CASE + Duration::from_millis(50),
        "{down}"
    );
    assert!(!carrier(&pair.sites.a));
    let status = pair.adit.tunnel("t");
    assert_eq!(status["deaths"], 1, "{status}");
    assert_eq!(pair.adit.spis(), [0_u64; 0], "{status}");
}

#[test]
fn a_dead_charon_is_noticed_in_time_by_an_idle_tunnel_that_asks_periodically() {
    for initiator in Initiator::BOTH {
        let mut pair = Pair::start(&link(PERIODIC), initiator);
        pair.assert_carries();
        dies_in_time(&mut pair, |_| (unix_us(), None));
        comes_back(&mut pair, initiator);
    }
}

#[test]
fn a_dead_charon_is_noticed_in_time_under_load() {
    for (dpd, initiator) in [
        (PERIODIC, Initiator::Adit),
        (ON_DEMAND, Initiator::Adit),
        (ON_DEMAND, Initiator::Charon),
    ] {
        let mut pair = Pair::start(&link(dpd), initiator);
        dies_in_time(&mut pair, |pair| {
            let flood = Flood::start(&pair.sites.a, "10.77.1.1", "10.77.2.1", 5);
            (unix_us(), Some(flood))
        });
        comes_back(&mut pair, initiator);
    }
}

#[test]
fn on_demand_nothing_is_asked_until_there_is_something_to_send() {
    let mut pair = Pair::start(&link(ON_DEMAND), Initiator::Adit);
    pair.assert_carries();
    // What leaves last would be waited for; here an answer comes last.
    assert!(pair.sites.a.pings("10.77.2.1", 1, &["-I", "10.77.1.1"]));
    let sent = pair.adit.tunnel("t")["ike"]["dpd"]["sent"].clone();
    dies_in_time(&mut pair, |pair| {
        std::thread::sleep(2 * WORST_CASE);
        let status = pair.adit.tunnel("t");
        assert_eq!(status["state"], "up", "{status}");
        assert_eq!(status["ike"]["dpd"]["sent"], sent, "{status}");
        let since_us = unix_us();
        let flood = Flood::start(&pair.sites.a, "10.77.1.1", "10.77.2.1", 5);
        (since_us, Some(flood))
    });
    comes_back(&mut pair, Initiator::Adit);
}

pub(crate) fn comes_back(pair: &mut Pair, initiator: Initiator) {
    pair.charon.restart(&pair.sites.b);
    pair.begin(initiator);
    pair.wait_up();
    pair.assert_carries();
    assert!(carrier(&pair.sites.a));
}

#[test]
fn a_living_charon_is_never_declared_dead_and_each_answers_the_other_ones_probes() {
    let link = link(PERIODIC).charon("", "dpd_delay = 1s", "");
    let pair = Pair::start(&link, Initiator::Adit);
    let answered = |pair: &Pair| {
        let status = pair.adit.tunnel("t");
        status["ike"]["dpd"]["answered"].as_u64().unwrap()
    };
    wait_for("both ask", PATIENCE, || {
        (answered(&pair) >= 3 && pair.charon.logged("sending DPD request") >= 1).then_some(())
    });
    let log = pair.charon.log();
    assert!(!log.contains("retransmit"), "{log}");
    let status = pair.adit.tunnel("t");
    assert_eq!(status["deaths"], 0, "{status}");
    assert_eq!(status["state"], "up", "{status}");
}

#[test]
fn without_dpd_nobody_asks_and_the_next_rekey_finds_a_dead_charon() {
    let mut pair = Pair::start(&link("dpd = false"), Initiator::Adit);
    pair.assert_carries();
    pair.charon.kill();
    std::thread::sleep(2 * WORST_CASE);
    let status = pair.adit.tunnel("t");
    assert_eq!(status["state"], "up", "{status}");
    assert_eq!(status["ike"]["dpd"]["sent"].as_u64().unwrap_or(0), 0);
    assert!(carrier(&pair.sites.a));
    let mut events = pair.adit.events();
    pair.adit.succeeds(&["rekey", "t", "child"]);
    let down = events.next("t", "ike-down", PATIENCE);
    assert_eq!(down["reason"], "peer not responding", "{down}");
    comes_back(&mut pair, Initiator::Adit);
}

#[test]
fn adit_that_is_gone_is_noticed_by_charon_which_begins_anew() {
    let link = link(PERIODIC).charon(EAGER_CHARON, "dpd_delay = 1s", "dpd_action = restart");
    let mut pair = Pair::start(&link, Initiator::Charon);
    pair.adit.kill();
    pair.charon
        .wait_logged("giving up after 3 retransmits", PATIENCE);
    pair.adit.restart(&pair.sites.a);
    // One attempt is all it makes; whoever is at the desk begins the next one.
    if pair.charon.sas().is_empty() {
        pair.begin(Initiator::Charon);
    }
    pair.wait_up();
    pair.assert_carries();
}
