//! Either end ends and begins again, in order or not: DELETE has no answer in version 1.

use crate::PATIENCE;
use crate::link::Link;
use crate::pair::{Initiator, Pair};
use crate::restart::{
    SOON, adit_clears_the_tunnel, adit_is_killed, charon_deletes_the_child, charon_is_killed,
    wait_carries,
};

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
    adit_is_killed(&Link::version_1());
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
    charon_is_killed(&Link::version_1());
}

#[test]
fn a_deleted_pair_is_built_again_by_the_end_that_is_to_begin() {
    charon_deletes_the_child(&Link::version_1());
}

#[test]
fn a_cleared_tunnel_deletes_its_sas_and_has_others_at_once() {
    adit_clears_the_tunnel(&Link::version_1());
}

/// Neither knows of the other's attempt when it begins.
#[test]
fn both_ends_that_begin_at_once_have_a_tunnel() {
    let pair = &Pair::crossing(&Link::version_1());
    pair.adit.wait_state("t", "up", PATIENCE);
    wait_carries(pair, SOON);
    pair.assert_carries();
}
