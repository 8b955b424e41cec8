//! What both ends must agree on, and how a disagreement shows.

use crate::common::{Daemon, wait_for};
use crate::peer::{Delivery, Options, PATIENCE, Peer};

const NONE: Options = Options {
    key: None,
    checksum: false,
    sequence: false,
};
const CHECKSUM: Options = Options {
    checksum: true,
    ..NONE
};
const SEQUENCE: Options = Options {
    sequence: true,
    ..NONE
};
const KEY: Options = Options {
    key: Some(1),
    ..NONE
};
/// Echo requests that are not answered.
const COUNT: u64 = 2;

#[test]
fn a_kernel_refuses_packets_whose_checksum_or_sequence_is_not_as_its_own_end_has_it() {
    let peer = Peer::lent();
    for (adit_has, kernel_has, refused) in [
        (NONE, CHECKSUM, "rx crc_errors"),
        (CHECKSUM, NONE, "rx crc_errors"),
        (NONE, SEQUENCE, "rx fifo_errors"),
    ] {
        peer.tunnel(Delivery::V4, kernel_has, "");
        let _adit = peer.ready_adit(Delivery::V4, adit_has, "");
        assert!(is_silent(&peer), "{adit_has:?} against {kernel_has:?}");
        assert_refused(&peer, refused);
    }
}

#[test]
fn sequence_numbers_that_the_kernel_did_not_ask_for_do_not_disturb_it() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, NONE, "oseq");
    let _adit = peer.ready_adit(Delivery::V4, SEQUENCE, "");
    peer.assert_pings("10.9.0.2", 3, &[]);
    assert_eq!(peer.errors(), []);
}

#[test]
fn adit_names_what_the_kernels_packets_lack() {
    let peer = Peer::lent();
    for (kernel_has, adit_has, reason) in [
        ("ocsum", NONE, None),
        ("oseq", NONE, None),
        ("icsum", CHECKSUM, Some("gre_checksum_missing")),
        ("iseq", SEQUENCE, Some("sequence_missing")),
        ("ikey 1 okey 2", KEY, Some("unknown_key")),
    ] {
        peer.tunnel(Delivery::V4, NONE, kernel_has);
        let adit = peer.ready_adit(Delivery::V4, adit_has, "");
        match reason {
            None => peer.assert_pings("10.9.0.2", 2, &[]),
            Some(reason) => {
                assert!(is_silent(&peer), "{kernel_has}");
                assert_dropped(&adit, reason);
            }
        }
    }
}

#[test]
fn keys_that_differ_by_direction_are_the_others_way_round_at_the_kernel() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, NONE, "ikey 1 okey 2");
    let config = crate::peer::config(1, Delivery::V4, NONE, "")
        .replace("gre = {", "gre = { key = { in = 2, out = 1 },");
    let adit = Daemon::start(&peer.near, &config);
    peer.wait_ready(&adit);
    peer.assert_pings("10.9.0.2", 3, &[]);
}

#[test]
fn checksums_that_the_peers_device_was_to_finish_are_found_wrong() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, CHECKSUM, "");
    let adit = peer.ready_adit(Delivery::V4, CHECKSUM, "");
    peer.assert_pings("10.9.0.2", 3, &[]);
    peer.guest.far().run("ethtool", &["-K", "wire", "tx", "on"]);
    assert!(is_silent(&peer));
    assert_dropped(&adit, "gre_checksum");
    peer.guest
        .far()
        .run("ethtool", &["-K", "wire", "tx", "off"]);
    peer.assert_pings("10.9.0.2", 3, &[]);
}

#[test]
fn a_kernel_that_expects_sequence_numbers_hears_a_restarted_adit_only_after_its_own_end_is_made_anew()
 {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, SEQUENCE, "");
    let adit = peer.ready_adit(Delivery::V4, SEQUENCE, "");
    peer.assert_pings("10.9.0.2", 30, &[]);
    drop(adit);
    let _adit = peer.ready_adit(Delivery::V4, SEQUENCE, "");
    assert!(is_silent(&peer));
    assert_refused(&peer, "rx fifo_errors");
    peer.exec("ip link set g down; ip link set g up");
    assert!(is_silent(&peer));
    peer.tunnel(Delivery::V4, SEQUENCE, "");
    // The kernel counts anew too, which adit hears at the eighth packet.
    peer.near.pings("10.9.0.2", 8, &["-W", "0.2"]);
    peer.assert_pings("10.9.0.2", 3, &[]);
}

#[test]
fn adit_hears_a_kernel_that_counts_anew_after_eight_packets() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, SEQUENCE, "");
    let adit = peer.ready_adit(Delivery::V4, SEQUENCE, "");
    peer.assert_pings("10.9.0.2", 30, &[]);
    peer.tunnel(Delivery::V4, SEQUENCE, "");
    assert!(!peer.near.pings("10.9.0.2", 7, &["-W", "0.2"]));
    peer.assert_pings("10.9.0.2", 3, &[]);
    assert!(adit.drops("t", "sequence_old") <= 7);
}

/// None of [`COUNT`] echo requests is answered.
fn is_silent(peer: &Peer) -> bool {
    let output = peer.near.output(
        "ping",
        &["-q", "-c", "2", "-i", "0.05", "-W", "0.2", "10.9.0.2"],
    );
    String::from_utf8_lossy(&output.stdout).contains(" 100% packet loss")
}

/// The kernel counts the echo requests under this error, and perhaps what the interfaces say of themselves.
fn assert_refused(peer: &Peer, error: &str) {
    let errors = peer.errors();
    assert!(
        errors
            .iter()
            .any(|(name, packets)| name == error && *packets >= COUNT),
        "{error}: {errors:?}"
    );
}

/// adit counts the answers under this reason.
fn assert_dropped(adit: &Daemon, reason: &str) {
    wait_for(reason, PATIENCE, || {
        (adit.drops("t", reason) >= COUNT).then_some(())
    });
}
