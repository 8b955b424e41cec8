//! Any loss, duplication and reordering: both ends are established and agree, or are cleanly down.

use std::time::Duration;

use proptest::prelude::*;

use super::net::*;
use crate::ike::Command;
use crate::ike::tests::both::weather::{act, command, weather};

const SECOND: Duration = Duration::from_secs(1);

/// What a worker does: asks, and after five questions without an answer has the peer dead; a pair that carries nothing is made anew.
fn probe_until_settled(net: &mut Net) {
    for _ in 0..4 {
        for side in [A, B] {
            if !net.sides[side].up {
                continue;
            }
            let alive = |net: &Net| {
                net.sides[side].count(|event| matches!(event, crate::ike::Event::Alive(_)))
            };
            let before = alive(net);
            for _ in 0..5 {
                let now = net.now;
                let asked = net.sides[side]
                    .endpoint
                    .handle_command(now, Command::Probe(TUNNEL));
                net.drain(side);
                net.run(SECOND * 2);
                if asked.is_err() || alive(net) > before {
                    break;
                }
            }
            if net.sides[side].up && alive(net) == before {
                net.command(side, Command::Dead(TUNNEL));
            }
        }
        if net.sides.iter().all(|side| side.up) && !net.exchange_data() {
            let now = net.now;
            // Where there is no pair at all another is asked for already.
            let _ = net.sides[A]
                .endpoint
                .handle_command(now, Command::RebuildChild(TUNNEL));
            net.drain(A);
        }
        net.run(SECOND * 150);
    }
}

/// After the weather clears: both ends work with one ISAKMP SA and packets pass, or nothing is held.
fn assert_settled(net: &mut Net) {
    let up = [A, B].map(|side| net.sides[side].up);
    if up == [true, true] {
        assert!(net.exchange_data(), "{}", net.story());
        return;
    }
    assert_eq!(up, [false, false], "one end is up alone\n{}", net.story());
    for side in &net.sides {
        assert!(side.held.is_empty(), "{}", net.story());
        assert_eq!(side.endpoint.sas(), 0, "{}", net.story());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn establishment_ends_in_agreement_or_cleanly_down(
        seed in any::<u64>(), loss in 0..70_u64, double in 0..50_u64, delay in 1..4000_u64, both in any::<bool>(),
    ) {
        let mut net = Net::seeded(seed >> 2, connection(A), connection(B));
        net.weather = weather(seed, loss, double, delay);
        net.initiate(A);
        if both {
            net.initiate(B);
        }
        net.run(SECOND * 120);
        net.weather = weather(seed, 0, 0, 10);
        probe_until_settled(&mut net);
        assert_settled(&mut net);
    }

    #[test]
    fn rekeys_in_any_weather_end_in_agreement_or_cleanly_down(
        seed in any::<u64>(), loss in 0..50_u64, double in 0..50_u64, delay in 1..3000_u64,
        acts in proptest::collection::vec(act(), 1..10),
    ) {
        let mut net = Net::established();
        net.weather = weather(seed, loss, double, delay);
        for (side, act, wait) in acts {
            let now = net.now;
            if let Some(command) = command(act) {
                // There may be nothing to replace any more.
                let _ = net.sides[side].endpoint.handle_command(now, command);
                net.drain(side);
            }
            net.run(Duration::from_millis(wait));
        }
        net.run(SECOND * 60);
        net.weather = weather(seed, 0, 0, 10);
        probe_until_settled(&mut net);
        assert_settled(&mut net);
    }
}
