//! Either end ends and begins again, in order or not.

use std::time::Duration;

use crate::PATIENCE;
use crate::common::{Namespace, wait_for};
use crate::flood::Flood;
use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// Time to establish, far below what anybody's DPD or retransmissions take.
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn wait_carries(pair: &Pair, patience: Duration) {
    let (a, b): (&Namespace, &Namespace) = (&pair.sites.a, &pair.sites.b);
    wait_for("both ends are answered", patience, || {
        (a.pings("10.77.2.1", 2, &["-I", "10.77.1.1"])
            && b.pings("10.77.1.1", 2, &["-I", "10.77.2.1"]))
        .then_some(())
    });
}

#[test]
fn adit_that_ends_in_order_deletes_its_ike_sa_and_is_back_at_once() {
    for initiator in Initiator::BOTH {
        let mut pair = Pair::start(&Link::new(), initiator);
        let (took, status) = pair.adit.terminate();
        assert!(status.success(), "{status}");
        assert!(took < Duration::from_secs(3), "{took:?}");
        pair.charon
            .wait_logged("received DELETE for IKE_SA", PATIENCE);
        assert!(pair.charon.sas().is_empty());
        pair.adit.restart(&pair.sites.a);
        pair.begin(initiator);
        pair.wait_up();
        wait_carries(&pair, SOON);
    }
}

pub(crate) fn adit_is_killed(link: &Link) {
    let mut pair = Pair::start(link, Initiator::Adit);
    pair.adit.kill();
    pair.adit.restart(&pair.sites.a);
    pair.adit.wait_state("t", "up", SOON);
    // INITIAL_CONTACT: only the new one is left.
    let sa = pair.charon.wait_established();
    assert_eq!(sa["uniqueid"], "2", "{sa}");
    wait_carries(&pair, SOON);
}

#[test]
fn adit_that_was_killed_announces_itself_anew_and_charon_forgets_the_old_ike_sa() {
    adit_is_killed(&Link::new());
}

#[test]
fn charon_that_ends_in_order_is_down_at_once_and_back_when_it_is() {
    for initiator in Initiator::BOTH {
        let mut pair = Pair::start(&Link::new(), initiator);
        // Neither of the two waits for the other.
        let [mut carrier, mut ike] = [pair.adit.events(), pair.adit.events()];
        pair.charon.terminate();
        carrier.next("t", "down", SOON);
        let down = ike.next("t", "ike-down", SOON);
        assert_eq!(down["reason"], "peer deleted the IKE SA", "{down}");
        pair.charon.restart(&pair.sites.b);
        pair.begin(initiator);
        pair.wait_up();
        wait_carries(&pair, SOON);
    }
}

pub(crate) fn charon_is_killed(link: &Link) {
    let mut pair = Pair::start(link, Initiator::Charon);
    let old = pair.adit.spis();
    pair.charon.kill();
    pair.charon.restart(&pair.sites.b);
    pair.begin(Initiator::Charon);
    pair.charon.wait_established();
    wait_carries(&pair, SOON);
    wait_for("adit has forgotten the old pair", PATIENCE, || {
        let spis = pair.adit.spis();
        (spis.len() == 1 && spis != old).then_some(())
    });
    assert_eq!(pair.adit.tunnel("t")["state"], "up");
}

#[test]
fn a_killed_charon_that_begins_anew_replaces_what_adit_still_has() {
    charon_is_killed(&Link::new());
}

pub(crate) fn charon_deletes_the_child(link: &Link) {
    let pair = Pair::start(link, Initiator::Adit);
    let old = pair.adit.spis();
    pair.charon
        .swanctl_succeeds(&["--terminate", "--child", "net"]);
    wait_for("there is another child", PATIENCE, || {
        let spis = pair.adit.spis();
        (spis.len() == 1 && spis != old).then_some(())
    });
    pair.wait_up();
    wait_carries(&pair, SOON);
}

#[test]
fn a_deleted_child_is_built_again_by_the_end_that_is_to_begin() {
    charon_deletes_the_child(&Link::new());
}

pub(crate) fn adit_clears_the_tunnel(link: &Link) {
    let pair = Pair::start(link, Initiator::Adit);
    let before = pair.charon.wait_established();
    pair.adit.succeeds(&["clear", "t"]);
    pair.charon
        .wait_logged("received DELETE for IKE_SA", PATIENCE);
    pair.wait_up();
    let after = pair.charon.wait_established();
    assert_ne!(before["initiator-spi"], after["initiator-spi"]);
    wait_carries(&pair, SOON);
}

#[test]
fn a_cleared_tunnel_deletes_its_ike_sa_and_has_another_one_at_once() {
    adit_clears_the_tunnel(&Link::new());
}

#[test]
fn a_tunnel_that_starts_on_traffic_is_down_until_there_is_some_and_again_when_there_is_none() {
    // More than a ping waits for an answer that does not come.
    let link = Link::new().adit("idle-timeout = \"4s\"", "");
    let pair = Pair::starting(&link, "on-traffic");
    std::thread::sleep(Duration::from_secs(1));
    assert!(pair.charon.sas().is_empty());
    wait_carries(&pair, PATIENCE);
    pair.wait_up();
    pair.charon
        .wait_logged("received DELETE for IKE_SA", PATIENCE);
    assert!(pair.charon.sas().is_empty());
    wait_carries(&pair, PATIENCE);
}

/// Neither knows of the other's attempt when it begins: one IKE SA is left, and both use it.
#[test]
fn both_ends_that_begin_at_once_end_with_one_ike_sa() {
    for _ in 0..3 {
        let pair = &Pair::crossing(&Link::new());
        pair.adit.wait_state("t", "up", PATIENCE);
        wait_carries(pair, SOON);
        pair.charon.wait_established();
        pair.assert_carries();
        let status = pair.adit.tunnel("t");
        assert_eq!(status["state"], "up", "{status}");
        assert_eq!(pair.adit.spis().len(), 1, "{status}");
    }
}

/// charon's reauthentication, whoever began the IKE SA that is there: how many echo requests are sent meanwhile and how many are answered.
fn authenticates_anew(make_before_break: &str, initiator: Initiator) -> (Pair, u32, u32) {
    let options = format!("make_before_break = {make_before_break}\n  retransmit_timeout = 0.3");
    let link = Link::new().charon(&options, "", "");
    let pair = Pair::start(&link, initiator);
    let before = pair.charon.wait_established();
    let flood = Flood::start(&pair.sites.a, "10.77.1.1", "10.77.2.1", 2);
    pair.charon
        .swanctl_succeeds(&["--rekey", "--ike", "s2s", "--reauth"]);
    let is_new = |sa: &serde_json::Value| {
        sa["initiator-spi"] != before["initiator-spi"] && sa["state"] == "ESTABLISHED"
    };
    wait_for("there is another IKE SA", PATIENCE, || {
        let after = pair.charon.sas();
        (after.len() == 1 && after.iter().all(is_new)).then_some(())
    });
    pair.wait_up();
    wait_carries(&pair, SOON);
    let (sent, answered) = flood.finish();
    (pair, sent, answered)
}

#[test]
fn a_charon_that_authenticates_anew_has_the_tunnel_again_at_once() {
    for initiator in Initiator::BOTH {
        let (pair, sent, answered) = authenticates_anew("no", initiator);
        // Between its delete message and the next IKE SA there is none, with one repetition at most.
        assert!(sent - answered < sent / 2, "{sent} {answered}");
        assert_eq!(pair.adit.tunnel("t")["deaths"], 1);
    }
}

#[test]
fn a_charon_that_makes_the_next_ike_sa_before_it_breaks_the_old_one_never_is_down() {
    for initiator in Initiator::BOTH {
        let (pair, sent, answered) = authenticates_anew("yes", initiator);
        let status = pair.adit.tunnel("t");
        // charon no longer takes what is under way by the pair that it has just deleted.
        assert!(sent - answered <= 5, "{sent} {answered} {status}");
        assert_eq!(status["deaths"], 0, "{status}");
        assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
    }
}
