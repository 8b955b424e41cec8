//! Traffic selectors that differ: what both want is what passes (RFC 7296 section 2.9).

use serde_json::{Value, json};

use crate::link::Link;
use crate::pair::{Initiator, Pair};

const NEAR: &str = "10.77.1.0/24";
const FAR: &str = "10.77.2.0/24";

/// The selectors of adit's only child.
fn selectors(pair: &Pair) -> [Value; 2] {
    let status = pair.adit.tunnel("t");
    let child = &status["ike"]["children"][0];
    ["local_ts", "remote_ts"].map(|key| child[key].clone())
}

fn assert_narrowed(near: [&str; 2], far: [&str; 2], expected: [&str; 2]) {
    for initiator in Initiator::BOTH {
        let [near, far] = [near, far].map(|nets| Link {
            nets,
            ..Link::new()
        });
        let pair = Pair::of(&near, &far, initiator);
        pair.begin(initiator);
        pair.wait_up();
        let child = &pair.charon.children()[0];
        assert_eq!(child["remote-ts"], json!([expected[0]]), "{initiator:?}");
        assert_eq!(child["local-ts"], json!([expected[1]]), "{initiator:?}");
        let expected = expected.map(|net| json!([net]));
        assert_eq!(selectors(&pair), expected, "{initiator:?}");
        pair.assert_carries();
    }
}

#[test]
fn the_wider_offer_is_narrowed_whoever_makes_it() {
    let wide = ["10.0.0.0/8", "10.64.0.0/10"];
    assert_narrowed(wide, [NEAR, FAR], [NEAR, FAR]);
    assert_narrowed([NEAR, FAR], wide, [NEAR, FAR]);
    assert_narrowed([NEAR, wide[1]], [wide[0], FAR], [NEAR, FAR]);
}

#[test]
fn of_several_networks_those_remain_that_both_have() {
    let near = ["10.77.1.0/24, 10.88.1.0/24", "10.77.2.0/24, 10.88.2.0/24"];
    let far = ["10.77.1.0/24, 10.99.1.0/24", "10.77.2.0/24, 10.99.2.0/24"];
    assert_narrowed(near, far, [NEAR, FAR]);
}

#[test]
fn what_is_outside_the_narrowed_selectors_does_not_leave() {
    let near = Link {
        nets: [NEAR, "10.0.0.0/8"],
        ..Link::new()
    };
    let pair = Pair::of(&near, &Link::new(), Initiator::Adit);
    pair.wait_up();
    let counts = || {
        let sent = pair.adit.counter("t", "outbound_packets");
        (sent, pair.adit.drops("t", "selector"))
    };
    let before = counts();
    assert!(!pair.sites.a.pings("10.77.3.1", 10, &["-I", "10.77.1.1"]));
    let after = counts();
    assert_eq!(after.0, before.0);
    // The system sends some more by itself, which are not within the selectors either.
    assert!(after.1 >= before.1 + 10, "{before:?} {after:?}");
}
