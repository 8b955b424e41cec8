//! Either end ends and begins again, in order or not: DELETE has no answer in version 1.

use crate::PATIENCE;
use crate::common::wait_for;
use crate::link::Link;
use crate::pair::{Initiator, Pair};
use crate::restart::{SOON, wait_carries};

#[test]
fn adit_that_ends_in_order_deletes_its_sas_and_is_back_at_once() {
    for initiator in Initiator::BOTH {
        let mut pair = Pair::start(&Link::version_1(), initiator);
        let (took, status) = pair.adit.terminate();
        assert!(status.success(), "{status}");
        assert!(took < SOON, "{took:?}");
        let said = [
            "received DELETE for ESP CHILD_SA",
            "received DELETE for IKE_SA",
        ];
        for words in said {
            pair.charon.wait_logged(words, PATIENCE);
        }
        assert!(pair.charon.sas().is_empty());
        pair.adit.restart(&pair.sites.a);
        pair.begin(initiator);
        pair.wait_up();
        wait_carries(&pair, SOON);
    }
}

#[test]
fn adit_that_was_killed_announces_itself_anew_and_charon_forgets_the_old_sas() {
    let mut pair = Pair::start(&Link::version_1(), Initiator::Adit);
    pair.adit.kill();
    pair.adit.restart(&pair.sites.a);
    pair.adit.wait_state("t", "up", SOON);
    // INITIAL-CONTACT: only the new one is left.
    let sa = pair.charon.wait_established();
    assert_eq!(sa["uniqueid"], "2", "{sa}");
    wait_carries(&pair, SOON);
}

#[test]
fn charon_that_ends_in_order_is_down_at_once_and_back_when_it_is() {
    for initiator in Initiator::BOTH {
        let mut pair = Pair::start(&Link::version_1(), initiator);
        let [mut carrier, mut ike] = [pair.adit.events(), pair.adit.events()];
        pair.charon.terminate();
        carrier.next("t", "down", SOON);
        let down = ike.next("t", "ike-down", SOON);
        assert!(
            down["reason"].as_str().unwrap().starts_with("peer deleted"),
            "{down}"
        );
        pair.charon.restart(&pair.sites.b);
        pair.begin(initiator);
        pair.wait_up();
        wait_carries(&pair, SOON);
    }
}

#[test]
fn a_killed_charon_that_begins_anew_replaces_what_adit_still_has() {
    let mut pair = Pair::start(&Link::version_1(), Initiator::Charon);
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
fn a_deleted_pair_is_built_again_by_the_end_that_is_to_begin() {
    let pair = Pair::start(&Link::version_1(), Initiator::Adit);
    let old = pair.adit.spis();
    pair.charon
        .swanctl_succeeds(&["--terminate", "--child", "net"]);
    wait_for("there is another pair", PATIENCE, || {
        let spis = pair.adit.spis();
        (spis.len() == 1 && spis != old).then_some(())
    });
    pair.wait_up();
    wait_carries(&pair, SOON);
}

#[test]
fn a_cleared_tunnel_deletes_its_sas_and_has_others_at_once() {
    let pair = Pair::start(&Link::version_1(), Initiator::Adit);
    let before = pair.charon.wait_established();
    pair.adit.succeeds(&["clear", "t"]);
    pair.charon
        .wait_logged("received DELETE for IKE_SA", PATIENCE);
    pair.wait_up();
    let after = pair.charon.wait_established();
    assert_ne!(before["initiator-spi"], after["initiator-spi"]);
    wait_carries(&pair, SOON);
}

/// Neither knows of the other's attempt when it begins.
#[test]
fn both_ends_that_begin_at_once_have_a_tunnel() {
    let pair = &Pair::crossing(&Link::version_1());
    pair.adit.wait_state("t", "up", PATIENCE);
    wait_carries(pair, SOON);
    pair.assert_carries();
}
