//! New keys while packets pass: none is lost, whoever begins and whichever phase is renewed.

use crate::PATIENCE;
use crate::adit_end::Adit;
use crate::charon::Charon;
use crate::common::wait_for;
use crate::link::Link;
use crate::pair::{Initiator, Pair};
use crate::rekey::{Manner, What, floods, nothing_is_lost, nothing_was_lost, only_pair, renew};

/// The cookies and the SPI that both ends use. What was replaced stays with either for a while.
fn in_use(pair: &Pair) -> (String, String) {
    wait_for(
        &format!("both use the same SAs\n{}", pair.charon.log()),
        PATIENCE,
        || {
            let status = pair.adit.tunnel("t");
            let cookies = &status["ike"]["spi_i"];
            let sas = pair.charon.sas();
            let sa = sas.iter().find(|sa| sa["initiator-spi"] == *cookies)?;
            let in_use = (cookies.to_string(), only_pair(pair)?);
            Some(in_use).filter(|_| sa["state"] == "ESTABLISHED")
        },
    )
}

/// Has charon replace the ISAKMP SA that adit uses, and none of those that were replaced before.
pub(super) fn renews_phase_1(charon: &Charon, adit: &Adit) {
    let cookies = &adit.tunnel("t")["ike"]["spi_i"];
    let sas = charon.sas();
    let sa = sas.iter().find(|sa| sa["initiator-spi"] == *cookies);
    let number = sa.and_then(|sa| sa["uniqueid"].as_str()).unwrap();
    charon.swanctl_succeeds(&["--rekey", "--ike-id", number]);
}

const MANNER: Manner = Manner {
    settled: in_use,
    renew: |pair, who, what| match (who, what) {
        (Initiator::Charon, What::Ike) => renews_phase_1(&pair.charon, &pair.adit),
        (Initiator::Charon, What::Child) | (Initiator::Adit, _) => renew(pair, who, what),
    },
};

#[test]
fn nothing_is_lost_when_either_end_renews_either_phase() {
    for initiator in Initiator::BOTH {
        nothing_is_lost(&Link::version_1(), initiator, MANNER);
    }
}

#[test]
fn nothing_is_lost_without_a_new_exchange_of_keys_in_quick_mode() {
    let link = Link {
        ike: "aes256-sha256-x25519",
        esp: "aes256-sha256",
        ..Link::version_1()
    };
    nothing_is_lost(&link, Initiator::Adit, MANNER);
}

/// Lives of a few seconds: each end renews both phases again and again.
#[test]
fn a_day_of_lives_that_end_in_fast_time_loses_nothing() {
    let link = Link::version_1()
        .adit(
            "",
            "child-rekey = \"2s\"\nrekey = \"4s\"\nrekey-jitter = 10",
        )
        .charon(
            "",
            "rekey_time = 6s\nover_time = 30s\nrand_time = 1s",
            "rekey_time = 3s\nlife_time = 12s\nrand_time = 1s",
        );
    let pair = Pair::start(&link, Initiator::Adit);
    nothing_was_lost(&pair, floods(&pair, 14));
    let log = pair.charon.log();
    let pairs = log.matches("CHILD_SA net{").count();
    let ikes = log.matches("established between").count();
    assert!(pairs >= 5 && ikes >= 3, "{pairs} {ikes}\n{log}");
}

#[test]
fn a_pair_that_is_about_to_have_carried_its_kilobytes_is_replaced_without_loss() {
    let link = Link::version_1().adit("", "child-kilobytes = 2560");
    let pair = Pair::start(&link, Initiator::Adit);
    let (_, before) = in_use(&pair);
    let much = ["-q", "-c", "2500", "-i", "0.002", "-s", "1300", "-W", "2"];
    let to = ["-I", "10.77.1.1", "10.77.2.1"];
    let said = pair.sites.a.run("ping", &[&much[..], &to].concat());
    assert!(said.contains(" 0% packet loss"), "{said}");
    assert_ne!(in_use(&pair).1, before);
    let status = pair.adit.tunnel("t");
    assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
    assert_eq!(status["deaths"], 0, "{status}");
}
