//! `adit debug` of a tunnel whose peer dies, without a restart: what the routers' listing shows.

use std::io::Read;
use std::time::Duration;

use crate::PATIENCE;
use crate::common::wait_for;
use crate::dead::EAGER;
use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// The sequences in the lines that begin with these words behind their time.
fn sequences(text: &str, words: &str) -> Vec<u32> {
    let of_line = |line: &str| {
        let (_, rest) = line.split_once(words)?;
        let digits = rest.trim_start_matches("0x").split(' ').next()?;
        u32::from_str_radix(digits, 16).ok()
    };
    text.lines().filter_map(of_line).collect()
}

/// What `adit debug` says from the first answers of a living charon to the next attempt after its death.
fn listing() -> String {
    let dpd = "dpd = { mode = \"periodic\", interval = \"1s\", retry = \"300ms\" }";
    let mut pair = Pair::start(&Link::version_1().adit(dpd, EAGER), Initiator::Adit);
    let mut debug = pair.adit.client_that_goes_on(&["debug", "t"]);
    wait_for("charon answered twice", PATIENCE, || {
        let status = pair.adit.tunnel("t");
        let answered = status["ike"]["dpd"]["answered"].as_u64()?;
        (answered >= 2).then_some(())
    });
    let mut events = pair.adit.events();
    pair.charon.kill();
    events.next("t", "down", PATIENCE);
    std::thread::sleep(Duration::from_millis(200));
    debug.kill().unwrap();
    let mut text = String::new();
    debug
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    debug.wait().unwrap();
    text
}

#[test]
fn adit_debug_says_of_a_dying_peer_what_the_routers_listing_says() {
    let text = listing();
    let asked = sequences(&text, "DPD: sending R-U-THERE ");
    let answered = sequences(&text, "DPD: R-U-THERE-ACK ");
    let living = answered.len();
    assert!(living >= 1, "{text}");
    assert_eq!(asked[..living], answered, "{text}");
    // A question that is repeated keeps its sequence, and the next one has the next.
    let last = answered[living - 1] + 1;
    assert_eq!(asked[living..], [last; 5], "{text}");
    in_order(
        &text,
        &[1, 2, 3, 4, 5].map(|misses| format!("DPD: no answer to {misses} of 5")),
    );
    in_order(
        &text,
        &[
            "DPD: no answer to 4 of 5",
            "peer 192.0.2.2 not responding",
            "down: peer not responding",
            "HASH D(ESP ",
            "HASH D(ISAKMP)",
            "ends: its IKE SA is gone",
            "no IKE SA any more: peer found dead",
            "→ MAIN ",
        ],
    );
}

/// These words stand there, one after the other. What the worker counts and what IKE sends comes from two threads.
fn in_order(text: &str, all: &[impl AsRef<str>]) {
    let mut rest = text;
    for words in all {
        let words = words.as_ref();
        let at = rest.find(words);
        rest = &rest[at.unwrap_or_else(|| panic!("no {words:?} in its place: {text}"))..];
    }
}
