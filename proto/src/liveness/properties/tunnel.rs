//! A tunnel and its failover in a small world: remotes that live and die, a resolver, an attacker who repeats and forges.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::Secret;
use proptest::prelude::*;

use crate::liveness::testing::{address, epoch, requests};
use crate::liveness::{
    Action, Event, Failover, Initial, Keepalive, Liveness, LivenessConfig, Pace, Path, Probe,
};
use crate::wire::gre;
use crate::wire::ip::Ip;

const PERIOD: u64 = 1_000;
const STEADY: Duration = Duration::from_secs(5);

/// Milliseconds from the start.
type Time = u64;

#[derive(Clone, Debug)]
struct Setup {
    retries: u8,
    payload: bool,
    /// For each remote, the times at which it dies and lives again in turn; it starts alive.
    switches: Vec<Vec<Time>>,
    /// Round-trip time to each remote.
    rtt: Vec<Time>,
    /// What the resolver takes.
    resolve: Time,
    has_failback: bool,
    /// When the attacker acts: which packet seen so far, sent from which remote, with which bit flipped.
    attacks: Vec<(Time, usize, usize, Option<usize>)>,
}

impl Setup {
    fn is_alive(&self, remote: usize, now: Time) -> bool {
        let past = self.switches[remote].iter().filter(|&&at| at <= now);
        past.count() % 2 == 0
    }
}

fn remote(candidate: usize) -> IpAddr {
    address(&format!("198.51.100.{}", candidate + 1))
}

fn candidate(remote: IpAddr) -> usize {
    match remote {
        IpAddr::V4(remote) => usize::from(remote.octets()[3]) - 1,
        IpAddr::V6(_) => panic!("the remotes are IPv4"),
    }
}

struct Packet {
    source: IpAddr,
    gre: Vec<u8>,
}

struct World<'a> {
    setup: &'a Setup,
    start: Instant,
    liveness: Liveness,
    failover: Failover,
    in_flight: BTreeMap<Time, Vec<Packet>>,
    resolving: BTreeMap<Time, Vec<usize>>,
    seen: Vec<Vec<u8>>,
    /// What came out, for comparison: requests, events and moves.
    sent: Vec<(Time, usize)>,
    events: Vec<(Time, Event)>,
    moves: Vec<(Time, usize)>,
    last_proof: Option<Time>,
}

impl<'a> World<'a> {
    fn new(setup: &'a Setup) -> Self {
        let start = epoch();
        let pace = Pace::new(Duration::from_millis(PERIOD), setup.retries);
        let config = LivenessConfig {
            keepalive: Some(Keepalive {
                pace,
                payload: setup.payload,
            }),
            probe: Probe::GreKeepalive,
            initial: Initial::Probing,
            damping: false,
            key_in: None,
            tunnel_id: 1,
            has_ike: false,
            dpd: None,
        };
        let key = Secret::new(&mut [3; 16]);
        Self {
            setup,
            start,
            liveness: Liveness::new(config, &key, None, start),
            failover: Failover::new(setup.switches.len(), setup.has_failback),
            in_flight: BTreeMap::new(),
            resolving: BTreeMap::new(),
            seen: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            moves: Vec::new(),
            last_proof: None,
        }
    }

    fn at(&self, now: Time) -> Instant {
        self.start + Duration::from_millis(now)
    }

    /// Runs until `end`; `check` sees the state that stood until each step, at its time.
    fn run(mut self, end: Time, check: impl Fn(&Self, Time)) -> Self {
        let mut attacks = self.setup.attacks.clone();
        attacks.sort_unstable();
        let mut attacks = attacks.into_iter().peekable();
        loop {
            let attack = attacks.peek().map(|attack| attack.0);
            let next = self.next().into_iter().chain(attack).min();
            let now = next.unwrap_or(end).min(end);
            check(&self, now);
            if now >= end {
                return self;
            }
            while let Some(attack) = attacks.next_if(|attack| attack.0 <= now) {
                self.attack(now, attack);
            }
            self.step(now);
        }
    }

    fn next(&self) -> Option<Time> {
        let timers = [self.liveness.poll_timeout(), self.failover.poll_timeout()];
        let timers = timers.into_iter().flatten().map(|due| {
            let due = due.duration_since(self.start).as_millis();
            Time::try_from(due).unwrap()
        });
        let arrivals = self.in_flight.keys().chain(self.resolving.keys());
        let has_action = self.moves.is_empty() && self.resolving.is_empty();
        timers
            .chain(arrivals.copied())
            .chain(has_action.then_some(0))
            .min()
    }

    fn step(&mut self, now: Time) {
        for packet in self.in_flight.remove(&now).unwrap_or_default() {
            self.receive(now, &packet);
        }
        let at = self.at(now);
        for candidate in self.resolving.remove(&now).unwrap_or_default() {
            let resolved = Ok(remote(candidate));
            self.failover.handle_resolved(at, candidate, resolved);
        }
        if self.liveness.poll_timeout().is_some_and(|due| due <= at) {
            self.liveness.handle_timeout(at);
        }
        if self.failover.poll_timeout().is_some_and(|due| due <= at) {
            self.failover.handle_timeout(at);
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Time) {
        while let Some(event) = self.liveness.poll_event() {
            self.failover.handle_event(&event);
            self.events.push((now, event));
        }
        while let Some(action) = self.failover.poll_action() {
            self.act(now, action);
        }
        for transmit in requests(&mut self.liveness) {
            let to = candidate(transmit.path.remote);
            self.sent.push((now, to));
            if self.setup.is_alive(to, now) {
                let answer = Ip::parse(transmit.inner()).unwrap();
                let packet = Packet {
                    source: answer.source(),
                    gre: answer.payload().to_vec(),
                };
                let arrival = now + self.setup.rtt[to];
                self.in_flight.entry(arrival).or_default().push(packet);
            }
        }
    }

    fn act(&mut self, now: Time, action: Action) {
        let at = self.at(now);
        let to = |remote| Path {
            local: address("192.0.2.1"),
            remote,
        };
        match action {
            Action::Resolve { candidate } => {
                let known = now + self.setup.resolve + 1;
                self.resolving.entry(known).or_default().push(candidate);
            }
            Action::Use { candidate, address } => {
                self.moves.push((now, candidate));
                self.liveness.set_path(at, Some(to(address)));
            }
            Action::ProbePreferred { address } => {
                self.liveness.probe_preferred(at, to(address), STEADY);
            }
            Action::NoAddress => self.liveness.set_path(at, None),
        }
    }

    fn receive(&mut self, now: Time, packet: &Packet) {
        let header = gre::parse(&packet.gre).unwrap();
        let body = &packet.gre[header.octets..];
        let at = self.at(now);
        if let Ok(Some(_)) = self
            .liveness
            .handle_answer(at, packet.source, &header, body)
        {
            self.last_proof = Some(now);
        }
        self.seen.push(packet.gre.clone());
    }

    /// Repeats an answer that was received, or one with a bit of its payload flipped; neither may count.
    fn attack(&mut self, now: Time, (_, which, from, bit): (Time, usize, usize, Option<usize>)) {
        if self.seen.is_empty() {
            return;
        }
        let mut gre = self.seen[which % self.seen.len()].clone();
        if let Some(bit) = bit {
            gre[4 + bit / 8] ^= 1 << (bit % 8);
        }
        let source = remote(from % self.setup.switches.len());
        let header = gre::parse(&gre).unwrap();
        let at = self.at(now);
        let outcome = self
            .liveness
            .handle_answer(at, source, &header, &gre[header.octets..]);
        assert!(!matches!(outcome, Ok(Some(_))), "an attack counted");
    }
}

fn setup(remotes: impl Strategy<Value = usize>) -> impl Strategy<Value = Setup> {
    let one = (prop::collection::vec(500_u64..20_000, 0..6), 1_u64..400);
    let world = remotes.prop_flat_map(move |n| prop::collection::vec(one.clone(), n));
    (world, 1_u8..4, any::<bool>(), 0_u64..300, any::<bool>()).prop_map(
        |(world, retries, payload, resolve, has_failback)| {
            let (mut switches, rtt): (Vec<_>, Vec<_>) = world.into_iter().unzip();
            switches.iter_mut().for_each(|times| times.sort_unstable());
            Setup {
                retries,
                payload,
                switches,
                rtt,
                resolve,
                has_failback,
                attacks: Vec::new(),
            }
        },
    )
}

fn attacks() -> impl Strategy<Value = Vec<(Time, usize, usize, Option<usize>)>> {
    let bit = prop::option::of(0_usize..128);
    prop::collection::vec((0_u64..30_000, any::<usize>(), any::<usize>(), bit), 0..40)
}

fn has_down(event: &(Time, Event)) -> bool {
    matches!(event.1, Event::Down { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forwarding_never_outlives_the_last_answer_by_the_worst_case(setup in setup(1..4_usize)) {
        let worst_case = (u64::from(setup.retries) + 1) * PERIOD;
        World::new(&setup).run(30_000, |world, now| {
            if world.liveness.may_forward() {
                let proof = world.last_proof.unwrap();
                assert!(now <= proof + worst_case, "{now} ms, last answer at {proof} ms");
            }
        });
    }

    #[test]
    fn replays_and_forgeries_change_nothing(setup in setup(1..4_usize), attacks in attacks()) {
        let quiet = Setup { payload: true, attacks: Vec::new(), ..setup };
        let attacked = Setup { attacks, ..quiet.clone() };
        let quiet = World::new(&quiet).run(30_000, |_, _| {});
        let attacked = World::new(&attacked).run(30_000, |_, _| {});
        prop_assert_eq!(&quiet.sent, &attacked.sent);
        prop_assert_eq!(&quiet.moves, &attacked.moves);
        prop_assert_eq!(quiet.events.len(), attacked.events.len());
    }

    #[test]
    fn a_live_remote_keeps_the_tunnel_up(setup in setup(Just(1)), rtt in 1_u64..999) {
        let setup = Setup { switches: vec![Vec::new()], rtt: vec![rtt], ..setup };
        let world = World::new(&setup).run(30_000, |_, _| {});
        prop_assert_eq!(world.events.len(), 1);
        let is_up = matches!(world.events[0].1, Event::Up { .. });
        prop_assert!(is_up);
    }

    #[test]
    fn the_one_live_remote_is_found_within_a_detection_time_for_each_dead_one(
        setup in setup(2..4_usize), survivor: usize,
    ) {
        let survivor = survivor % setup.switches.len();
        let mut setup = setup;
        for (candidate, times) in setup.switches.iter_mut().enumerate() {
            times.retain(|&at| at < 15_000);
            let is_alive = times.len() % 2 == 0;
            if is_alive != (candidate == survivor) {
                times.push(15_000);
            }
        }
        let detection = u64::from(setup.retries) * PERIOD;
        let remotes = setup.switches.len() as u64;
        let bound = 15_000 + PERIOD + remotes * (detection + setup.resolve + 1) + 400 + 1;
        let world = World::new(&setup).run(bound + 5_000, |world, now| {
            if now >= bound {
                assert!(world.liveness.may_forward());
            }
        });
        prop_assert_eq!(world.failover.current(), Some((survivor, remote(survivor))));
    }

    #[test]
    fn each_dead_remote_is_asked_as_often_as_the_retries_say(retries in 1_u8..5, n in 1_usize..4) {
        let setup = Setup {
            retries,
            payload: true,
            switches: vec![vec![0]; n],
            rtt: vec![1; n],
            resolve: 0,
            has_failback: true,
            attacks: Vec::new(),
        };
        let world = World::new(&setup).run(30_000, |_, _| {});
        // While the next name resolves, the remote before it gets one request more.
        let mut asked: Vec<(usize, u8)> = Vec::new();
        for &(_, to) in &world.sent {
            match asked.last_mut() {
                Some((last, count)) if *last == to && n > 1 => *count += 1,
                _ => asked.push((to, 1)),
            }
        }
        asked.pop();
        for (index, &(to, count)) in asked.iter().enumerate() {
            prop_assert_eq!(to, index % n);
            prop_assert!(n == 1 || count == retries + 1);
        }
    }

    #[test]
    fn the_preferred_remote_is_used_again_without_a_break(
        retries in 1_u8..4, payload: bool, back in 8_000_u64..15_000, rtt in 1_u64..900, resolve in 0_u64..300,
    ) {
        let setup = Setup {
            retries,
            payload,
            switches: vec![vec![500, back], Vec::new()],
            rtt: vec![rtt; 2],
            resolve,
            has_failback: true,
            attacks: Vec::new(),
        };
        let world = World::new(&setup).run(40_000, |_, _| {});
        prop_assert_eq!(world.failover.current(), Some((0, remote(0))));
        let candidates: Vec<_> = world.moves.iter().map(|&(_, candidate)| candidate).collect();
        prop_assert_eq!(candidates, [0, 1, 0]);
        prop_assert_eq!(world.events.iter().filter(|event| has_down(event)).count(), 1);
        let (moved, _) = world.moves[2];
        prop_assert!(moved >= back + 5_000);
        prop_assert!(world.liveness.may_forward());
    }
}
