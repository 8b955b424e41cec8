//! A tunnel that is watched over IKE under any pattern of traffic, answers and stalls.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use adit_crypto::Secret;
use proptest::prelude::*;

use crate::liveness::testing::{epoch, path};
use crate::liveness::{
    DownReason, DpdConfig, DpdMode, Event, Initial, Liveness, LivenessConfig, Probe, State,
    Transmit,
};

const END: Time = 60_000;

/// Milliseconds from the start.
type Time = u64;

#[derive(Clone, Debug)]
struct Setup {
    mode: DpdMode,
    interval: Time,
    retry: Time,
    attempts: u16,
    /// When user data comes in and leaves, and IKE messages of the peer's own come.
    inbound: BTreeSet<Time>,
    outbound: BTreeSet<Time>,
    alive: BTreeSet<Time>,
    /// What becomes of each probe in turn: the time until its answer, or none.
    answers: Vec<Option<Time>>,
    /// How late each turn of the worker is.
    lateness: Vec<Time>,
}

impl Setup {
    fn detection(&self) -> Time {
        self.retry * u64::from(self.attempts)
    }

    fn config(&self) -> LivenessConfig {
        let dpd = DpdConfig {
            mode: self.mode,
            interval: Duration::from_millis(self.interval),
            retry: Duration::from_millis(self.retry),
            attempts: self.attempts,
            no_data: None,
        };
        LivenessConfig {
            keepalive: None,
            probe: Probe::None,
            initial: Initial::Probing,
            damping: false,
            key_in: None,
            tunnel_id: 1,
            has_ike: true,
            dpd: Some(dpd),
        }
    }
}

struct World<'a> {
    setup: &'a Setup,
    start: Instant,
    liveness: Liveness,
    answers: BTreeSet<Time>,
    turns: usize,
    probes: Vec<Time>,
    heard: Vec<Time>,
    sent: Vec<Time>,
    death: Option<Time>,
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup) -> Self {
        let start = epoch();
        let key = Secret::new(&mut [3; 16]);
        let path = Some(path("192.0.2.1", "198.51.100.2"));
        let mut liveness = Liveness::new(setup.config(), &key, path, start);
        liveness.handle_established(start);
        Self {
            setup,
            start,
            liveness,
            answers: BTreeSet::new(),
            turns: 0,
            probes: Vec::new(),
            heard: vec![0],
            sent: Vec::new(),
            death: None,
        }
    }

    fn run(mut self) -> Self {
        let mut last = 0;
        while let Some(due) = self.next(last) {
            let lateness = self.setup.lateness.get(self.turns).copied();
            let now = due + lateness.unwrap_or(0);
            if now > END {
                break;
            }
            self.turns += 1;
            self.turn(last, now);
            last = now;
        }
        self
    }

    /// What happens first after `last`.
    fn next(&self, last: Time) -> Option<Time> {
        let setup = self.setup;
        let traffic = [&setup.inbound, &setup.outbound, &setup.alive, &self.answers];
        let arrivals = traffic
            .into_iter()
            .filter_map(|times| times.range(last + 1..).next().copied());
        let timer = self.liveness.poll_timeout().map(|due| {
            let due = due.duration_since(self.start).as_millis();
            Time::try_from(due).unwrap().max(last)
        });
        arrivals.chain(timer).min()
    }

    /// The worker takes what came after `last`, then sends, then looks at its timers, as it does in each turn.
    fn turn(&mut self, last: Time, now: Time) {
        let at = self.start + Duration::from_millis(now);
        let came = |times: &BTreeSet<Time>| times.range(last + 1..=now).next().is_some();
        if came(&self.setup.inbound) {
            self.liveness.handle_inbound(at);
            self.heard.push(now);
        }
        if came(&self.setup.alive) || came(&self.answers) {
            self.liveness.handle_alive(at);
            self.heard.push(now);
        }
        if came(&self.setup.outbound) && self.liveness.may_forward() {
            self.liveness.handle_outbound(at);
            self.sent.push(now);
        }
        if self.liveness.poll_timeout().is_some_and(|due| due <= at) {
            self.liveness.handle_timeout(at);
        }
        while let Some(transmit) = self.liveness.poll_transmit() {
            assert_eq!(transmit, Transmit::IkeProbe);
            let answer = self.setup.answers.get(self.probes.len());
            let arrival = answer.copied().flatten().map(|delay| now + delay);
            self.answers.extend(arrival);
            self.probes.push(now);
        }
        while let Some(event) = self.liveness.poll_event() {
            if let Event::Down { reason, .. } = event {
                assert_eq!(reason, DownReason::DpdTimeout);
                self.death = Some(now);
            }
        }
        assert!(!self.liveness.needs_turn());
    }

    /// When the first probe is due that nothing after `heard` prevents.
    fn first_due(&self, heard: Time) -> Option<Time> {
        let silent = heard + self.setup.interval;
        match self.setup.mode {
            DpdMode::Periodic => Some(silent),
            DpdMode::OnDemand => {
                let sent = self.sent.iter().find(|&&sent| sent >= heard)?;
                Some(silent.max(*sent))
            }
        }
    }

    /// The probes and the death that the rules give, from what was heard and sent.
    fn expected(&self) -> (Vec<Time>, Option<Time>) {
        let mut probes = Vec::new();
        let mut heard = self.heard.clone();
        heard.dedup();
        for (index, &from) in heard.iter().enumerate() {
            let until = heard.get(index + 1).copied().unwrap_or(END + 1);
            let Some(first) = self.first_due(from).filter(|&first| first < until) else {
                continue;
            };
            for n in 0..u64::from(self.setup.attempts) {
                probes.extend(Some(first + n * self.setup.retry).filter(|&at| at < until));
            }
            let death = first + self.setup.detection();
            if death < until {
                return (probes, Some(death));
            }
        }
        (probes, None)
    }
}

fn times() -> impl Strategy<Value = BTreeSet<Time>> {
    let bursts = prop::collection::vec((1_u64..END, 1_u64..3_000, 0_u64..10), 0..5);
    bursts.prop_map(|bursts| {
        let burst =
            |(from, gap, count): (Time, Time, Time)| (0..count).map(move |n| from + n * gap);
        bursts.into_iter().flat_map(burst).collect()
    })
}

fn setup() -> impl Strategy<Value = Setup> {
    let mode = prop_oneof![Just(DpdMode::Periodic), Just(DpdMode::OnDemand)];
    let pace = (mode, 1_000_u64..12_000, 200_u64..4_000, 1_u16..6);
    let answers = prop::collection::vec(prop::option::weighted(0.4, 1_u64..5_000), 0..60);
    (pace, times(), times(), times(), answers).prop_map(
        |((mode, interval, retry, attempts), inbound, outbound, alive, answers)| Setup {
            mode,
            interval,
            retry,
            attempts,
            inbound,
            outbound,
            alive,
            answers,
            lateness: Vec::new(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn probes_and_death_come_to_the_millisecond_under_any_traffic_and_answers(setup in setup()) {
        let world = World::new(&setup).run();
        let (probes, death) = world.expected();
        prop_assert_eq!(&world.probes, &probes);
        prop_assert_eq!(world.death, death);
    }

    #[test]
    fn the_measured_detection_never_exceeds_the_worst_case(setup in setup()) {
        let world = World::new(&setup).run();
        if let Some(death) = world.death {
            let heard = *world.heard.iter().rfind(|&&heard| heard <= death).unwrap();
            let asked = match setup.mode {
                DpdMode::Periodic => heard,
                DpdMode::OnDemand => {
                    let sent = world.sent.iter().find(|&&sent| sent >= heard).unwrap();
                    heard.max(sent.saturating_sub(setup.interval))
                }
            };
            let measured = Duration::from_millis(death - asked);
            prop_assert!(measured <= setup.config().worst_case().unwrap());
        } else if setup.mode == DpdMode::Periodic {
            let heard = world.heard.last().unwrap();
            prop_assert!(heard + setup.interval + setup.detection() > END);
        }
    }

    #[test]
    fn no_stall_kills_a_peer_that_answers_within_three_quarters_of_the_retry_time(
        setup in setup(),
        lateness in prop::collection::vec(prop_oneof![3 => Just(0), 2 => 0_u64..500, 1 => 0_u64..20_000], 0..200),
        rtt in 1_u64..1_000_000,
    ) {
        let rtt = 1 + rtt % (setup.retry * 3 / 4 - 1);
        let setup = Setup { lateness, answers: vec![Some(rtt); 1_000], ..setup };
        let world = World::new(&setup).run();
        prop_assert_eq!(world.death, None);
        prop_assert!(world.liveness.may_forward());
    }

    #[test]
    fn a_silent_peer_is_found_dead_however_late_the_worker_is(
        setup in setup(), lateness in 0_u64..400,
    ) {
        let setup = Setup {
            inbound: BTreeSet::new(),
            alive: BTreeSet::new(),
            answers: Vec::new(),
            outbound: (1..END).step_by(500).collect(),
            lateness: vec![lateness; 10_000],
            ..setup
        };
        let world = World::new(&setup).run();
        let slowest = setup.interval + 1_000 + 2 * u64::from(setup.attempts) * (setup.retry + 500);
        if slowest < END {
            prop_assert_eq!(world.liveness.state(), State::Down(DownReason::DpdTimeout));
        }
    }
}
