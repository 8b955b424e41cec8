//! Sequence numbers past 32 bits and at the end of what there is (RFC 4303 sections 2.2.1 and 3.3.3, appendix A).

use std::path::Path;

use adit::keys::{InboundState, KeyFile, OutboundState};
use adit_crypto::{Secret, SipHash24};

use super::wire::Capture;
use super::{Esp, SPI_IN, SPI_OUT, Variant, errors, errors_since};
use crate::common::{Daemon, wait_for};
use crate::peer::{Options, PATIENCE, Peer};

/// What a state file's digest is made with.
const DIGEST_KEY: [u8; 16] = *b"adit key state 1";

#[test]
fn extended_sequence_numbers_pass_multiples_of_2_to_the_32_in_both_directions() {
    let peer = Peer::lent();
    let variant = Variant::default();
    let gre = Some(Options::default());
    for (variant, half) in [
        (variant, 1),
        (
            Variant {
                udp: true,
                ..variant
            },
            0x8000_0000,
        ),
        (
            Variant {
                gre,
                v6: true,
                ..variant
            },
            0xffff_ffff,
        ),
    ] {
        let esp = Esp::new(&peer, variant);
        // The last number that was used.
        let last = (half << 32) - 20;
        begin(&esp, last);
        esp.kernel(&format!("in-seq={last} out-seq={last}"));
        let adit = esp.ready_adit("");
        for _ in 0..4 {
            peer.assert_pings("10.9.0.2", 10, &[]);
            peer.assert_pings("fd00:9::2", 10, &[]);
        }
        assert_eq!(crate::traffic::losses(&adit), Vec::new(), "{variant:?}");
        let halves = [counters(&peer, SPI_OUT).0, counters(&peer, SPI_IN).1];
        assert_eq!(halves.map(|seq| seq >> 32), [half, half], "{variant:?}");
        wait_for("the edge is saved", PATIENCE, || {
            (number(&esp.inbound(), "in") > half << 32).then_some(())
        });
        // What is kept is enough to go on.
        drop(adit);
        let _adit = esp.ready_adit("");
        peer.assert_pings("10.9.0.2", 10, &[]);
    }
}

#[test]
fn packets_that_are_overtaken_are_taken_across_2_to_the_32() {
    let peer = Peer::lent();
    let esp = Esp::new(&peer, Variant::default());
    let last = (1 << 32) - 50;
    begin(&esp, last);
    esp.kernel(&format!("in-seq={last} out-seq={last}"));
    // Each fifth packet that the kernel sends overtakes all that are held back.
    peer.exec("tc qdisc add dev eth0 root netem delay 100ms reorder 100% gap 5");
    let adit = esp.ready_adit("");
    let mut capture = Capture::start(&peer.near, false);
    let pings = "ping -q -c 100 -i 0.002 -W 2 10.9.0.2";
    let pings = peer.near.run("bash", &["-c", pings]);
    assert!(pings.contains(" 0% packet loss"), "{pings}");
    assert_eq!(crate::traffic::losses(&adit), Vec::new());
    let numbers: Vec<_> = capture
        .from("192.0.2.2".parse().unwrap())
        .iter()
        .map(|packet| u32::from_be_bytes(*packet[24..].first_chunk().unwrap()))
        .collect();
    let is_late = |pair: &[u32]| pair[0] < 1 << 31 && pair[1] > 1 << 31;
    assert!(numbers.windows(2).any(is_late), "{numbers:x?}");
}

#[test]
fn without_extended_numbers_nothing_leaves_after_the_last_of_them() {
    let peer = Peer::lent();
    let variant = Variant {
        esn: false,
        ..Variant::default()
    };
    let esp = Esp::new(&peer, variant);
    let before = errors(&peer);
    let last = u64::from(u32::MAX) - 20;
    begin(&esp, last);
    esp.kernel(&format!("in-seq={last} out-seq=0"));
    let adit = esp.ready_adit("");
    for _ in 0..5 {
        peer.near.pings("10.9.0.2", 20, &["-W", "0.2"]);
    }
    // All of them were used, and the kernel refused none as used before.
    assert_eq!(counters(&peer, SPI_OUT).0, u64::from(u32::MAX));
    assert_eq!(errors_since(&peer, &before), []);
    let tunnel = adit.tunnel("t");
    assert_eq!(tunnel["state"], "down", "{tunnel:#}");
    assert_eq!(tunnel["reason"], "sa_expired", "{tunnel:#}");
    drop(adit);
    let mut refused = Daemon::launch(&peer.near, &esp.config(""));
    wait_for("adit says why it does not start", PATIENCE, || {
        refused
            .log()
            .contains("every sequence number up to 4294967295 is used")
            .then_some(())
    });
    refused.kill();
}

/// Makes adit's state as it is when `last` was the last number used, in both directions.
fn begin(esp: &Esp<'_>, last: u64) {
    let (out, inbound) = (esp.out(), esp.inbound());
    let key = KeyFile::read(&out).unwrap();
    let mut state = OutboundState::open(&out, &key, u64::MAX).unwrap();
    let used = state.reserve().unwrap().end;
    drop(state);
    let path = state_path(&out, "out");
    let text = std::fs::read_to_string(&path).unwrap();
    let (body, _) = text.split_once("digest ").unwrap();
    let body = body.replace(&format!(" {used}\n"), &format!(" {}\n", last + 1));
    let digest = SipHash24::new(&Secret::new(&mut DIGEST_KEY.clone())).digest(&[body.as_bytes()]);
    let digest = u64::from_be_bytes(digest);
    std::fs::write(path, format!("{body}digest {digest:016x}\n")).unwrap();
    let key = KeyFile::read(&inbound).unwrap();
    let mut state = InboundState::open(&inbound, &key).unwrap();
    state.save(last).unwrap();
}

fn state_path(key: &Path, direction: &str) -> std::path::PathBuf {
    key.with_file_name(format!(
        "{}.{direction}.state",
        key.file_name().unwrap().to_str().unwrap()
    ))
}

/// The number that a state file holds.
fn number(key: &Path, direction: &str) -> u64 {
    let text = std::fs::read_to_string(state_path(key, direction)).unwrap();
    let entry = text.lines().nth(1).unwrap();
    entry.split_once(' ').unwrap().1.parse().unwrap()
}

/// The greatest sequence number that a state of the kernel received, and the last that it sent.
fn counters(peer: &Peer, spi: u32) -> (u64, u64) {
    let text = peer.exec(&format!("ip xfrm state list spi {spi}"));
    // seq-hi 0x0, seq 0x13, oseq-hi 0x0, oseq 0x0
    let line = text.lines().find(|line| line.contains("oseq-hi")).unwrap();
    let numbers: Vec<_> = line
        .split(',')
        .map(|field| field.trim().split_once(" 0x").unwrap().1)
        .map(|digits| u64::from_str_radix(digits, 16).unwrap())
        .collect();
    (numbers[0] << 32 | numbers[1], numbers[2] << 32 | numbers[3])
}
