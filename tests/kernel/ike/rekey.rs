//! New keys of the kernel's ESP while packets pass.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::charon::installed;
use super::{Initiator, Pair};
use crate::common::wait_for;
use crate::flood::Flood;
use crate::link::Link;
use crate::peer::{PATIENCE, Peer};

/// What is renewed by whom, in order.
const ORDER: [(Initiator, &str); 4] = [
    (Initiator::Adit, "child"),
    (Initiator::Charon, "child"),
    (Initiator::Adit, "ike"),
    (Initiator::Charon, "ike"),
];

pub(super) fn renew(pair: &Pair<'_>, who: Initiator, what: &str) {
    match (who, what) {
        (Initiator::Adit, what) => pair.adit.succeeds(&["rekey", "t", what]),
        (Initiator::Charon, "child") => {
            pair.charon.swanctl("--rekey --child net");
        }
        (Initiator::Charon, _) => {
            pair.charon.swanctl("--rekey --ike s2s");
        }
    }
}

/// The SPI of the IKE SA and that of the packets to adit.
fn spis(pair: &Pair<'_>) -> [String; 2] {
    spis_of(&pair.charon.wait_established())
}

/// The same of what charon says.
pub(super) fn spis_of(sa: &Value) -> [String; 2] {
    [&sa["initiator-spi"], &installed(sa)[0]["spi-out"]].map(|spi| spi.as_str().unwrap().to_owned())
}

/// How many requests left during `meanwhile`, and how many were answered.
pub(super) fn flooded(peer: &Peer, [near, far]: [&str; 2], meanwhile: impl FnOnce()) -> (u32, u32) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut sum = (0, 0);
            // One flood after the other: each knows from its start how long it lasts.
            while !over.load(Relaxed) {
                let (sent, answered) = Flood::start(&peer.near, near, far, 2).finish();
                sum = (sum.0 + sent, sum.1 + answered);
            }
            sum
        });
        let done = catch_unwind(AssertUnwindSafe(meanwhile));
        over.store(true, Relaxed);
        let sum = flood.join().unwrap();
        done.unwrap_or_else(|why| resume_unwind(why));
        sum
    })
}

fn nothing_is_lost(link: &Link<'_>, near: &str, far: &str) {
    let peer = Peer::lent();
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&peer, link, initiator);
        let mut before = spis(&pair);
        let (sent, answered) = flooded(&peer, [near, far], || {
            for (who, what) in ORDER {
                renew(&pair, who, what);
                let after = wait_for(&format!("{who:?} renews the {what} SA"), PATIENCE, || {
                    Some(spis(&pair)).filter(|after| *after != before)
                });
                assert_eq!(after[0] != before[0], what == "ike", "{who:?}");
                assert_eq!(after[1] != before[1], what == "child", "{who:?}");
                before = after;
            }
        });
        assert_eq!(sent, answered, "{}", pair.charon.log());
        let status = pair.adit.tunnel("t");
        assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
        assert_eq!(status["drops"], pair.drops, "{status}");
        assert_eq!(status["state"], "up", "{status}");
    }
}

#[test]
fn nothing_is_lost_in_tunnel_mode_whoever_renews_what() {
    let link = Link {
        esp: "aes256gcm16-ecp256-esn",
        ..Link::new()
    };
    nothing_is_lost(&link, "10.77.1.1", "10.77.2.1");
}

#[test]
fn nothing_is_lost_in_gre_in_transport_mode_whoever_renews_what() {
    let link = Link {
        gre: true,
        ..Link::new().charon("", "", "mode = transport")
    };
    nothing_is_lost(&link, "10.9.0.1", "10.9.0.2");
}

#[test]
fn the_kernels_own_limits_of_packets_renew_child_sas_without_loss() {
    let link = Link::new().charon(
        "",
        "",
        "life_packets = 4000\n        rekey_packets = 500\n        rand_packets = 0",
    );
    let peer = Peer::lent();
    let pair = Pair::start(&peer, &link, Initiator::Adit);
    let first = spis(&pair);
    let flood = Flood::start(&peer.near, "10.77.1.1", "10.77.2.1", 5);
    let (sent, answered) = flood.finish();
    assert_eq!(sent, answered, "{}", pair.charon.log());
    wait_for(
        "the child SA is another one",
        Duration::from_secs(5),
        || (spis(&pair)[1] != first[1]).then_some(()),
    );
    assert_eq!(pair.adit.tunnel("t")["ike"]["rekey_lost_packets"], 0);
}
