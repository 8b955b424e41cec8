//! R-U-THERE: a charon that is gone is noticed in time, in each way to ask and each way to be gone.

use std::time::Duration;

use crate::PATIENCE;
use crate::common::{SLACK, unix_us, wait_for};
use crate::dead::{
    EAGER, EAGER_CHARON, ON_DEMAND, PERIODIC, WORST_CASE, carrier, comes_back, is_noticed_in_time,
};
use crate::flood::Flood;
use crate::link::Link;
use crate::pair::{Initiator, Pair};

fn link(dpd: &str) -> Link<'_> {
    let link = Link::version_1().adit(dpd, EAGER);
    link.charon(EAGER_CHARON, "", "")
}

fn load(pair: &Pair) -> Flood {
    Flood::start(&pair.sites.a, "10.77.1.1", "10.77.2.1", 5)
}

#[test]
fn a_killed_charon_is_noticed_in_time_by_an_idle_tunnel_that_asks_periodically() {
    for initiator in Initiator::BOTH {
        let mut pair = Pair::start(&link(PERIODIC), initiator);
        pair.assert_carries();
        pair.charon.kill();
        is_noticed_in_time(&pair, |_| (unix_us(), None));
        comes_back(&mut pair, initiator);
    }
}

#[test]
fn a_killed_charon_is_noticed_in_time_under_load_in_both_modes() {
    for (dpd, initiator) in [(PERIODIC, Initiator::Adit), (ON_DEMAND, Initiator::Charon)] {
        let mut pair = Pair::start(&link(dpd), initiator);
        pair.charon.kill();
        is_noticed_in_time(&pair, |pair| (unix_us(), Some(load(pair))));
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
    pair.charon.kill();
    is_noticed_in_time(&pair, |pair| {
        std::thread::sleep(2 * WORST_CASE);
        let status = pair.adit.tunnel("t");
        assert_eq!(status["state"], "up", "{status}");
        assert_eq!(status["ike"]["dpd"]["sent"], sent, "{status}");
        (unix_us(), Some(load(pair)))
    });
    comes_back(&mut pair, Initiator::Adit);
}

/// The new charon knows nothing of the SAs and says nothing of them.
#[test]
fn a_charon_that_was_killed_and_is_back_is_noticed_in_time_and_gets_new_sas() {
    for dpd in [PERIODIC, ON_DEMAND] {
        let mut pair = Pair::start(&link(dpd), Initiator::Adit);
        pair.charon.kill();
        let since_us = unix_us();
        pair.charon.restart(&pair.sites.b);
        let mut events = pair.adit.events();
        let flood = load(&pair);
        let down = events.next("t", "down", PATIENCE);
        let at = down["unix_us"].as_u64().unwrap();
        let took = Duration::from_micros(at.saturating_sub(since_us));
        assert!(took <= WORST_CASE + SLACK, "{took:?}: {down}");
        drop(flood);
        pair.wait_up();
        pair.assert_carries();
    }
}

#[test]
fn a_cut_in_either_direction_is_noticed_in_time_in_both_modes() {
    for (dpd, towards_b) in [
        (PERIODIC, true),
        (PERIODIC, false),
        (ON_DEMAND, true),
        (ON_DEMAND, false),
    ] {
        let pair = Pair::start(&link(dpd), Initiator::Adit);
        pair.assert_carries();
        is_noticed_in_time(&pair, |pair| {
            pair.sites.black_hole(towards_b);
            let flood = (dpd == ON_DEMAND).then(|| load(pair));
            (unix_us(), flood)
        });
        pair.sites.mend();
        pair.wait_up();
        pair.assert_carries();
        assert!(carrier(&pair.sites.a));
    }
}

#[test]
fn a_living_charon_is_never_declared_dead_and_each_answers_the_other_ones_questions() {
    let link = link(PERIODIC).charon("", "dpd_delay = 1s\ndpd_timeout = 4s", "");
    let pair = Pair::start(&link, Initiator::Adit);
    let answered = || {
        let status = pair.adit.tunnel("t");
        status["ike"]["dpd"]["answered"].as_u64().unwrap()
    };
    wait_for("both ask", PATIENCE, || {
        let asked = pair.charon.logged("sending DPD request") >= 2;
        (answered() >= 4 && asked).then_some(())
    });
    let log = pair.charon.log();
    assert!(!log.contains("DPD check timed out"), "{log}");
    let status = pair.adit.tunnel("t");
    assert_eq!(status["deaths"], 0, "{status}");
    assert_eq!(status["state"], "up", "{status}");
}

#[test]
fn adit_that_is_gone_is_noticed_by_charon_which_begins_anew() {
    let link = link(PERIODIC).charon(
        EAGER_CHARON,
        "dpd_delay = 1s\ndpd_timeout = 3s",
        "dpd_action = restart",
    );
    let mut pair = Pair::start(&link, Initiator::Charon);
    pair.adit.kill();
    pair.charon.wait_logged("DPD check timed out", PATIENCE);
    pair.adit.restart(&pair.sites.a);
    // One attempt is all it makes; whoever is at the desk begins the next one.
    if pair.charon.children().is_empty() {
        pair.begin(Initiator::Charon);
    }
    pair.wait_up();
    pair.assert_carries();
}
