//! Two ends of an SA that probe each other by echo and send user data, over a link that breaks in one direction or both.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::Secret;
use proptest::prelude::*;

use crate::liveness::testing::{address, epoch, path, requests};
use crate::liveness::{
    Event, Initial, Keepalive, Liveness, LivenessConfig, Pace, Probe, answer_echo,
};

/// Milliseconds from the start; everything happens at multiples of [`STEP`].
type Time = u64;

const STEP: Time = 10;
const PERIOD: Time = 1_000;
const END: Time = 40_000;

#[derive(Clone, Debug)]
struct Setup {
    retries: u8,
    is_damped: bool,
    /// One way, in both directions.
    delay: Time,
    /// When each end starts.
    starts: [Time; 2],
    /// How often each end has user data to send; 0 is never.
    data: [Time; 2],
    /// For what each end sends, the times at which it begins and ceases to be lost in turn.
    breaks: [Vec<Time>; 2],
}

impl Setup {
    fn is_lost(&self, end: usize, now: Time) -> bool {
        self.breaks[end].iter().filter(|&&at| at <= now).count() % 2 == 1
    }

    fn worst_case(&self) -> Time {
        (u64::from(self.retries) + 1) * PERIOD
    }
}

#[derive(Clone, Debug)]
enum Packet {
    Echo(Vec<u8>),
    Data,
}

struct Ends<'a> {
    setup: &'a Setup,
    start: Instant,
    liveness: [Option<Liveness>; 2],
    in_flight: BTreeMap<Time, Vec<(usize, Packet)>>,
    last_proof: [Option<Time>; 2],
    events: [Vec<(Time, Event)>; 2],
}

fn inside(end: usize) -> IpAddr {
    address(["10.9.1.1", "10.9.1.2"][end])
}

fn liveness(setup: &Setup, end: usize, now: Instant) -> Liveness {
    let config = LivenessConfig {
        keepalive: Some(Keepalive {
            pace: Pace::new(Duration::from_millis(PERIOD), setup.retries),
            payload: true,
        }),
        probe: Probe::Echo {
            source: inside(end),
            target: inside(1 - end),
        },
        initial: Initial::Probing,
        damping: setup.is_damped,
        key_in: None,
        tunnel_id: 1,
        has_ike: false,
        dpd: None,
    };
    let outer = ["192.0.2.1", "198.51.100.2"];
    let path = path(outer[end], outer[1 - end]);
    let key = Secret::new(&mut [u8::try_from(end).unwrap(); 16]);
    Liveness::new(config, &key, Some(path), now)
}

impl<'a> Ends<'a> {
    fn new(setup: &'a Setup) -> Self {
        Self {
            setup,
            start: epoch(),
            liveness: [None, None],
            in_flight: BTreeMap::new(),
            last_proof: [None; 2],
            events: [Vec::new(), Vec::new()],
        }
    }

    /// Runs to [`END`]; `check` sees the ends after each step.
    fn run(mut self, check: impl Fn(&Self, Time)) -> Self {
        for now in (0..=END).step_by(usize::try_from(STEP).unwrap()) {
            let at = self.start + Duration::from_millis(now);
            for end in 0..2 {
                if now == self.setup.starts[end] {
                    self.liveness[end] = Some(liveness(self.setup, end, at));
                }
            }
            for (end, packet) in self.in_flight.remove(&now).unwrap_or_default() {
                self.receive(end, now, at, packet);
            }
            for end in 0..2 {
                self.turn(end, now, at);
            }
            check(&self, now);
        }
        self
    }

    fn receive(&mut self, end: usize, now: Time, at: Instant, packet: Packet) {
        let Some(liveness) = &mut self.liveness[end] else {
            return;
        };
        match packet {
            Packet::Data => {
                liveness.handle_inbound(at);
                self.last_proof[end] = Some(now);
            }
            Packet::Echo(mut inner) => {
                if answer_echo(&mut inner, &[inside(end)]) {
                    self.send(end, now, Packet::Echo(inner));
                } else if liveness.handle_echo_reply(at, &inner).unwrap().is_some() {
                    self.last_proof[end] = Some(now);
                }
            }
        }
    }

    fn turn(&mut self, end: usize, now: Time, at: Instant) {
        let Some(liveness) = &mut self.liveness[end] else {
            return;
        };
        liveness.handle_timeout(at);
        let sent = requests(liveness);
        let happened = std::iter::from_fn(|| liveness.poll_event());
        self.events[end].extend(happened.map(|event| (now, event)));
        let may_forward = liveness.may_forward();
        for transmit in sent {
            self.send(end, now, Packet::Echo(transmit.inner().to_vec()));
        }
        let gap = self.setup.data[end];
        if may_forward && gap > 0 && now.is_multiple_of(gap) {
            self.send(end, now, Packet::Data);
        }
    }

    fn send(&mut self, end: usize, now: Time, packet: Packet) {
        if !self.setup.is_lost(end, now) {
            let arrival = self.in_flight.entry(now + self.setup.delay).or_default();
            arrival.push((1 - end, packet));
        }
    }

    fn forwards(&self, end: usize) -> bool {
        self.liveness[end]
            .as_ref()
            .is_some_and(Liveness::may_forward)
    }
}

fn setup() -> impl Strategy<Value = Setup> {
    let times = prop::collection::vec((0..END / STEP).prop_map(|at| at * STEP), 0..6);
    let gap = prop_oneof![Just(0), 1..300_u64].prop_map(|gap| gap * STEP);
    let start = (0..200_u64).prop_map(|at| at * STEP);
    (
        1_u8..4,
        any::<bool>(),
        1..40_u64,
        [start.clone(), start],
        [gap.clone(), gap],
        [times.clone(), times],
    )
        .prop_map(|(retries, is_damped, delay, starts, data, mut breaks)| {
            breaks.iter_mut().for_each(|times| times.sort_unstable());
            Setup {
                retries,
                is_damped,
                delay: delay * STEP,
                starts,
                data,
                breaks,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn forwarding_never_outlives_the_last_answer_or_datum_by_the_worst_case(setup in setup()) {
        Ends::new(&setup).run(|ends, now| {
            for end in 0..2 {
                if ends.forwards(end) {
                    let proof = ends.last_proof[end].unwrap();
                    let limit = proof + setup.worst_case();
                    assert!(now <= limit, "end {end} at {now} ms, last proof at {proof} ms");
                }
            }
        });
    }

    #[test]
    fn two_ends_that_hold_each_other_dead_are_both_up_a_period_and_a_round_trip_after_the_link_heals(
        setup in setup(), healed in 0..30_000 / STEP,
    ) {
        let healed = healed * STEP;
        let mut setup = Setup { is_damped: false, ..setup };
        for times in &mut setup.breaks {
            times.retain(|&at| at < healed);
            if times.len() % 2 == 1 {
                times.push(healed);
            }
        }
        let begin = setup.starts[0].max(setup.starts[1]).max(healed);
        let bound = begin + PERIOD + 2 * setup.delay + STEP;
        Ends::new(&setup).run(|ends, now| {
            if now >= bound {
                assert!(ends.forwards(0) && ends.forwards(1), "at {now} ms");
            }
        });
    }

    #[test]
    fn a_link_that_is_dead_in_one_direction_takes_both_ends_down(
        setup in setup(), dead in 0..20_000 / STEP, end in 0..2_usize,
    ) {
        let mut setup = setup;
        setup.breaks = [Vec::new(), Vec::new()];
        setup.breaks[end].push(dead * STEP);
        let bound = dead * STEP + 2 * (setup.worst_case() + setup.delay) + STEP;
        Ends::new(&setup).run(|ends, now| {
            if now > bound {
                assert!(!ends.forwards(0) && !ends.forwards(1), "at {now} ms");
            }
        });
    }

    #[test]
    fn damped_ends_with_data_to_send_find_each_other_too(setup in setup()) {
        let setup = Setup {
            is_damped: true,
            breaks: [vec![0, 10_000], vec![0, 10_000]],
            ..setup
        };
        let hold = u64::from(setup.retries) + 2;
        let bound = 10_000 + hold * PERIOD + 2 * setup.delay + STEP;
        let ends = Ends::new(&setup).run(|ends, now| {
            assert!(now < bound || (ends.forwards(0) && ends.forwards(1)), "at {now} ms");
        });
        for events in &ends.events {
            let ups = events.iter().filter(|(_, event)| matches!(event, Event::Up { .. }));
            prop_assert_eq!(ups.count(), 1);
        }
    }
}
