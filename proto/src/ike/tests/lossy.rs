//! Any loss, duplication and reordering: both ends are established and agree, or are cleanly down.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::both::weather::{act, command, weather};
use super::net::*;

const SECOND: Duration = Duration::from_secs(1);

/// What holds at every moment: each SA has a deadline.
fn assert_timers(net: &Net) {
    for side in &net.sides {
        assert_eq!(
            side.endpoint.sas() > 0,
            side.endpoint.poll_timeout().is_some()
        );
        side.endpoint.assert_timers();
    }
}

/// After the weather clears: no more than one IKE SA, and either both agree or nothing is held.
fn assert_settled(net: &Net, story: impl Fn() -> String) {
    let up = [A, B].map(|side| net.sides[side].up);
    if up == [true, true] {
        net.agree()
            .unwrap_or_else(|why| panic!("{why}\n{}", story()));
        return;
    }
    assert_eq!(up, [false, false], "one end is up alone\n{}", story());
    for side in &net.sides {
        assert!(side.held.is_empty(), "{}", story());
        assert_eq!(side.endpoint.sas(), 0, "{}", story());
    }
}

/// Probes both ends as a worker does, so that an end that is alone finds out.
fn probe_until_settled(net: &mut Net) {
    for _ in 0..3 {
        for side in [A, B] {
            let now = net.now;
            if net.sides[side]
                .endpoint
                .handle_command(now, Command::Probe(TUNNEL))
                .is_ok()
            {
                net.drain(side);
            }
        }
        net.run(SECOND * 100);
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
        for _ in 0..60 {
            net.run(SECOND * 2);
            assert_timers(&net);
        }
        net.weather = weather(seed, 0, 0, 10);
        probe_until_settled(&mut net);
        assert_settled(&net, || net.story());
    }

    #[test]
    fn whatever_is_asked_in_bad_weather_ends_in_agreement_or_cleanly_down(
        seed in any::<u64>(), loss in 0..40_u64, double in 0..40_u64, delay in 1..1500_u64,
        acts in proptest::collection::vec(act(), 1..14),
    ) {
        let mut net = Net::seeded(seed >> 2, connection(A), connection(B));
        net.initiate(A);
        net.run(SECOND);
        net.weather = weather(seed, loss, double, delay);
        for (side, act, wait) in acts {
            let now = net.now;
            if let Some(command) = command(act)
                && net.sides[side].endpoint.handle_command(now, command).is_ok()
            {
                net.drain(side);
            }
            net.run(Duration::from_millis(wait));
            assert_timers(&net);
        }
        net.run(SECOND * 60);
        net.weather = weather(seed, 0, 0, 10);
        probe_until_settled(&mut net);
        assert_settled(&net, || net.story());
    }

    #[test]
    fn no_packet_is_lost_to_rekeys_while_datagrams_are(
        seed in any::<u64>(), loss in 0..40_u64, delay in 1..300_u64,
    ) {
        let mut net = Net::seeded(seed >> 2, connection(A), connection(B));
        net.initiate(A);
        net.run(SECOND);
        net.weather = weather(seed, loss, 10, delay);
        for round in 0..5_u64 {
            for side in [A, B] {
                let now = net.now;
                if net.sides[side].endpoint.handle_command(now, Command::Rekey(TUNNEL, What::Child)).is_ok() {
                    net.drain(side);
                }
            }
            for _ in 0..40 {
                net.run(Duration::from_millis(50 + round));
                prop_assert!(!(net.sides[A].up && net.sides[B].up) || net.exchange_data(), "{}", net.story());
            }
        }
    }
}
