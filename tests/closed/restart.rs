//! Keys that live longer than the process: no number of theirs is used twice, and what came once does not come again.

use std::collections::HashMap;
use std::time::Duration;

use crate::capture::{Capture, Seen, Tap};
use crate::common::{Injector, wait_for};
use crate::load::Load;
use crate::site::{PATIENCE, Pair, SPI_A, Tunnel};

const KILLS: usize = 20;

/// The edge of a window is saved each second; this much later it is.
const SAVED: Duration = Duration::from_millis(1600);

/// Fails if any SPI and initialisation vector came twice, or if those of an SPI did not come from enough starts.
fn assert_unique(seen: &Seen, starts: &[(u32, usize)]) {
    const BLOCK: u64 = 1 << 24;
    let mut counts = HashMap::new();
    for sealed in seen.sealed() {
        *counts.entry(sealed).or_insert(0_u32) += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|&(_, &times)| times > 1).collect();
    assert!(
        twice.is_empty(),
        "{} of {}: {twice:?}",
        twice.len(),
        counts.len()
    );
    for &(spi, starts) in starts {
        let of_spi = counts.keys().filter(|it| it.spi == spi);
        let mut blocks: Vec<_> = of_spi.map(|it| (it.iv - 1) / BLOCK).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), starts, "blocks of {spi:#x}: {blocks:?}");
    }
}

fn kill_under_load(tunnel: &Tunnel, pair: &Pair, kills: usize) {
    let capture = Capture::start(&pair.a);
    let (mut near, mut far) = pair.start(tunnel);
    let load = Load::start(pair);
    for kill in 0..kills {
        load.await_delivery(1);
        load.await_delivery(2);
        if kill % 5 == 4 {
            far.kill();
        }
        near.restart(&pair.a);
        if kill % 5 == 4 {
            far.restart(&pair.b);
        }
    }
    load.await_delivery(1);
    load.await_delivery(2);
    load.await_stream();
    drop(load);
    let seen = capture.finish();
    assert_unique(
        &seen,
        &[(SPI_A, kills + 1), (crate::site::SPI_B, kills / 5 + 1)],
    );
}

#[test]
fn twenty_kills_under_load_use_no_number_twice_and_traffic_goes_on_after_each() {
    let pair = Pair::alone();
    kill_under_load(&Tunnel::new("esp"), &pair, KILLS);
}

#[test]
fn kills_while_the_kernel_segments_trains_use_no_number_twice() {
    let pair = Pair::alone();
    // The kernel segments before the capture sees the packets.
    for site in [&pair.a, &pair.b] {
        site.run("ethtool", &["-K", "wire", "tx-udp-segmentation", "off"]);
    }
    let tunnel = Tunnel::new("gre-esp").in_udp();
    let tunnel = tunnel.with("offload = { udp-segmentation = \"on\" }");
    kill_under_load(&tunnel, &pair, 5);
}

#[test]
fn what_came_before_a_restart_is_a_replay_after_it() {
    for kill in [true, false] {
        let pair = Pair::new();
        let (mut near, mut far) = pair.start(&Tunnel::new("esp"));
        let tap = Tap::start(&pair.b, "src 192.0.2.2 and ip proto 50");
        assert!(pair.carries());
        far.kill();
        if kill {
            std::thread::sleep(SAVED);
            near.kill();
        } else {
            near.terminate();
        }
        let captured = tap.drain();
        assert!(captured.len() >= 6, "{captured:?}");
        near.restart(&pair.a);
        // It listens before its sockets are there.
        wait_for("its sockets are open", PATIENCE, || {
            (near.counter("t", "keepalive_requests_sent") > 0).then_some(())
        });
        let injector = Injector::new(&pair.b);
        for packet in &captured {
            injector.send(packet);
        }
        let wanted = u64::try_from(captured.len()).unwrap();
        wait_for(&format!("{wanted} replays"), PATIENCE, || {
            (near.drops("t", "replayed") == wanted).then_some(())
        });
        assert_ne!(near.tunnel("t")["state"], "up");
    }
}

#[test]
fn numbers_are_not_used_again_by_a_tunnel_that_is_taken_down_and_up() {
    let pair = Pair::new();
    let capture = Capture::start(&pair.a);
    let (near, _far) = pair.start(&Tunnel::new("gre-esp"));
    for _ in 0..3 {
        assert!(pair.carries());
        assert!(near.client(&["down", "t"]).status.success());
        assert!(near.client(&["up", "t"]).status.success());
        near.wait_state("t", "up", PATIENCE);
    }
    assert!(pair.carries());
    assert_unique(&capture.finish(), &[(SPI_A, 4)]);
}
