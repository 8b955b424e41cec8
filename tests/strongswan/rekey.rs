//! New keys while packets pass: none is lost, whoever begins and whatever is renewed.

use std::time::Duration;

use crate::PATIENCE;
use crate::common::wait_for;
use crate::flood::Flood;
use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// What is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Child,
    Ike,
}

/// Has one end renew something, without waiting for it.
pub(crate) fn renew(pair: &Pair, who: Initiator, what: What) {
    match (who, what) {
        (Initiator::Adit, What::Child) => pair.adit.succeeds(&["rekey", "t", "child"]),
        (Initiator::Adit, What::Ike) => pair.adit.succeeds(&["rekey", "t", "ike"]),
        (Initiator::Charon, What::Child) => {
            pair.charon.swanctl_succeeds(&["--rekey", "--child", "net"]);
        }
        (Initiator::Charon, What::Ike) => {
            pair.charon.swanctl_succeeds(&["--rekey", "--ike", "s2s"]);
        }
    }
}

/// The SPIs of everything that both ends have, once they agree on one IKE SA and one pair of child SAs.
fn settled(pair: &Pair) -> (String, String) {
    wait_for(
        &format!("both have one IKE SA and one pair\n{}", pair.charon.log()),
        PATIENCE,
        || {
            let sas = pair.charon.sas();
            let [sa] = &sas[..] else { return None };
            let ike = format!("{} {}", sa["initiator-spi"], sa["responder-spi"]);
            Some((ike, only_pair(pair)?)).filter(|_| sa["state"] == "ESTABLISHED")
        },
    )
}

/// charon's outbound SPI of the one pair that it has, if that is adit's too. What was replaced stays with either for a while, to receive
/// what is under way.
pub(crate) fn only_pair(pair: &Pair) -> Option<String> {
    let children = pair.charon.children();
    let [child] = &children[..] else { return None };
    let spi = child["spi-out"].as_str()?;
    let number = u64::from_str_radix(spi, 16).ok()?;
    pair.adit.spis().contains(&number).then(|| spi.to_owned())
}

/// How the ends use each version of IKE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The SPIs of the IKE SA and of the pair that both ends use, once they agree on them.
    pub(crate) settled: fn(&Pair) -> (String, String),
    /// Has one end renew something.
    pub(crate) renew: fn(&Pair, Initiator, What),
}

const MANNER: Manner = Manner { settled, renew };

pub(crate) fn nothing_is_lost(link: &Link<'_>, initiator: Initiator, manner: Manner) {
    let Manner { settled, renew } = manner;
    let pair = Pair::start(link, initiator);
    let mut before = settled(&pair);
    let mut floods = floods(&pair, 10);
    for (who, what) in [
        (Initiator::Adit, What::Child),
        (Initiator::Charon, What::Child),
        (Initiator::Adit, What::Ike),
        (Initiator::Charon, What::Ike),
        (Initiator::Charon, What::Child),
        (Initiator::Adit, What::Child),
    ] {
        renew(&pair, who, what);
        let after = wait_for(
            &format!("{who:?} renews {what:?}\n{}", pair.charon.log()),
            PATIENCE,
            || Some(settled(&pair)).filter(|after| *after != before),
        );
        assert_eq!(after.0 != before.0, what == What::Ike, "{who:?}");
        assert_eq!(after.1 != before.1, what == What::Child, "{who:?}");
        before = after;
    }
    for flood in &mut floods {
        assert!(flood.goes_on(), "the rekeys took too long");
    }
    nothing_was_lost(&pair, floods);
}

/// Echo requests from both ends for that long.
pub(crate) fn floods(pair: &Pair, seconds: u32) -> [Flood; 2] {
    [
        Flood::start(&pair.sites.a, "10.77.1.1", "10.77.2.1", seconds),
        Flood::start(&pair.sites.b, "10.77.2.1", "10.77.1.1", seconds),
    ]
}

pub(crate) fn nothing_was_lost(pair: &Pair, floods: [Flood; 2]) {
    for flood in floods {
        let (sent, answered) = flood.finish();
        assert_eq!(
            sent,
            answered,
            "{}\n{}",
            pair.adit.status(),
            pair.charon.log()
        );
    }
    let status = pair.adit.tunnel("t");
    assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
    assert_eq!(status["state"], "up", "{status}");
    assert_eq!(status["deaths"], 0, "{status}");
    pair.assert_no_drops();
}

#[test]
fn nothing_is_lost_when_either_end_renews_child_or_ike_sa_with_a_new_exchange_of_keys() {
    for initiator in Initiator::BOTH {
        nothing_is_lost(&Link::new(), initiator, MANNER);
    }
}

#[test]
fn nothing_is_lost_without_a_new_exchange_of_keys() {
    let link = Link {
        ike: "aes256-sha256-ecp256",
        esp: "aes256-sha256",
        ..Link::new()
    };
    for initiator in Initiator::BOTH {
        nothing_is_lost(&link, initiator, MANNER);
    }
}

/// Both begin in the same moment, again and again: whatever collides, one pair is left and nothing is lost.
#[test]
fn rekeys_that_both_ends_begin_at_once_leave_one_pair_and_lose_nothing() {
    let pair = &Pair::start(&Link::new(), Initiator::Adit);
    for what in [What::Child, What::Ike, What::Child, What::Ike, What::Child] {
        let before = settled(pair);
        let flood = Flood::start(&pair.sites.a, "10.77.1.1", "10.77.2.1", 3);
        std::thread::scope(|scope| {
            for who in Initiator::BOTH {
                scope.spawn(move || renew(pair, who, what));
            }
        });
        let (sent, answered) = flood.finish();
        assert_eq!(sent, answered, "{what:?}\n{}", pair.charon.log());
        assert_ne!(settled(pair), before, "{what:?}");
    }
    let status = pair.adit.tunnel("t");
    assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
    pair.assert_carries();
}

/// The lifetimes of an hour in half a minute: child SAs of a second or two, IKE SAs of three or four.
fn nothing_is_lost_in_an_hour(initiator: Initiator) {
    let link = Link::new()
        .adit(
            "",
            "child-rekey = \"2s\"\nrekey = \"5s\"\nrekey-jitter = 10",
        )
        .charon(
            "",
            "rekey_time = 7s\nover_time = 30s\nrand_time = 1s",
            "rekey_time = 3s\nlife_time = 30s\nrand_time = 1s",
        );
    let pair = Pair::start(&link, initiator);
    nothing_was_lost(&pair, floods(&pair, 30));
    let log = pair.charon.log();
    let children = log.matches("CHILD_SA closed").count();
    let ikes = log.matches("rekeyed between").count();
    assert!(children >= 8 && ikes >= 5, "{children} {ikes}\n{log}");
    // Nothing of what was replaced stays.
    wait_for("few are left", Duration::from_secs(10), || {
        (pair.adit.spis().len() <= 2 && pair.charon.sas().len() <= 2).then_some(())
    });
}

#[test]
fn an_hour_of_rekeys_in_fast_time_loses_nothing() {
    nothing_is_lost_in_an_hour(Initiator::Adit);
}

#[test]
fn an_hour_of_rekeys_in_fast_time_loses_nothing_when_charon_began() {
    nothing_is_lost_in_an_hour(Initiator::Charon);
}

/// IKE_AUTH exchanges no keys for the child, so that the groups of ESP meet in its first rekey only.
#[test]
fn a_guessed_group_that_the_other_end_has_not_is_corrected_in_a_rekey() {
    let [many, one] =
        ["aes128gcm16-x25519-ecp384", "aes128gcm16-ecp384"].map(|esp| Link { esp, ..Link::new() });
    for (near, far, initiator) in [
        (&many, &one, Initiator::Adit),
        (&one, &many, Initiator::Charon),
    ] {
        let pair = Pair::of(near, far, initiator);
        pair.begin(initiator);
        pair.wait_up();
        let before = settled(&pair);
        renew(&pair, initiator, What::Child);
        wait_for("there is another pair", PATIENCE, || {
            (settled(&pair).1 != before.1).then_some(())
        });
        let log = pair.charon.log();
        assert_eq!(
            log.matches("N(INVAL_KE)").count(),
            1,
            "{initiator:?}\n{log}"
        );
        assert_eq!(pair.charon.children()[0]["dh-group"], "ECP_384");
        pair.assert_carries();
    }
}
