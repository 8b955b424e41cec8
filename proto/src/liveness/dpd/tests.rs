use super::*;
use crate::liveness::testing::epoch;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn config(mode: DpdMode) -> DpdConfig {
    DpdConfig {
        mode,
        ..DpdConfig::default()
    }
}

/// A peer that is watched from the start of a virtual clock.
struct Watch {
    dpd: Dpd,
    start: Instant,
}

impl Watch {
    fn new(config: DpdConfig) -> Self {
        let start = epoch();
        let mut dpd = Dpd::new(config, start);
        dpd.start(start);
        Self { dpd, start }
    }

    fn due(&self) -> Option<Duration> {
        let due = self.dpd.poll_timeout()?;
        Some(due.duration_since(self.start))
    }

    fn tick(&mut self, at: Duration) -> DpdTick {
        self.dpd.handle_timeout(self.start + at)
    }

    fn hear(&mut self, at: Duration) {
        self.dpd.handle_inbound(self.start + at);
    }

    fn answer(&mut self, at: Duration) -> bool {
        self.dpd.handle_alive(self.start + at)
    }

    fn send(&mut self, at: Duration) -> bool {
        self.dpd.handle_outbound(self.start + at)
    }

    /// Keeps to the deadlines until the peer is dead or nothing is due, and gives the times of the probes and of the death.
    fn run(&mut self) -> (Vec<Duration>, Option<Duration>) {
        let mut probes = Vec::new();
        while let Some(at) = self.due() {
            match self.tick(at) {
                DpdTick::Idle => {}
                DpdTick::Probe { attempt, .. } => {
                    probes.push(at);
                    assert_eq!(usize::from(attempt), probes.len());
                }
                DpdTick::Dead { .. } => return (probes, Some(at)),
            }
        }
        (probes, None)
    }
}

fn first_probe() -> DpdTick {
    DpdTick::Probe {
        attempt: 1,
        missed: None,
    }
}

#[test]
fn periodic_probes_start_an_interval_after_the_peer_was_heard_and_go_on_at_the_retry_pace() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    watch.hear(ms(3_217));
    let (probes, death) = watch.run();
    let expected: Vec<_> = (0..5).map(|n| ms(13_217) + seconds(2) * n).collect();
    assert_eq!(probes, expected);
    assert_eq!(death, Some(ms(23_217)));
    assert_eq!(watch.due(), None);
}

#[test]
fn each_fresh_packet_moves_the_probe_to_an_interval_after_it() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    for at in (0..600_000).step_by(9_999) {
        watch.hear(ms(at));
        while watch.due().is_some_and(|due| due < ms(at + 9_999)) {
            assert_eq!(watch.tick(watch.due().unwrap()), DpdTick::Idle);
        }
    }
    assert_eq!(watch.dpd.status().probes_sent, 0);
    assert_eq!(
        watch.dpd.status().next_probe,
        Some(watch.start + ms(599_940) + seconds(10))
    );
}

#[test]
fn a_packet_that_comes_with_the_deadline_comes_before_it() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    watch.hear(seconds(10));
    assert_eq!(watch.tick(seconds(10)), DpdTick::Idle);
    assert_eq!(watch.due(), Some(seconds(20)));
}

#[test]
fn a_miss_is_told_with_the_next_probe_and_the_last_one_with_the_death() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    assert_eq!(watch.tick(seconds(10)), first_probe());
    for n in 1..5_u16 {
        let attempt = n + 1;
        let missed = Some(n);
        let at = seconds(10 + 2 * u64::from(n));
        assert_eq!(watch.tick(at), DpdTick::Probe { attempt, missed });
        assert_eq!(watch.dpd.misses(), n);
    }
    let first_unanswered = watch.start + seconds(10);
    let dead = DpdTick::Dead {
        misses: 5,
        first_unanswered,
    };
    assert_eq!(watch.tick(seconds(20)), dead);
    assert_eq!(watch.tick(seconds(60)), DpdTick::Idle);
}

#[test]
fn an_answer_at_any_attempt_starts_the_interval_again() {
    for attempt in 1..=5_u64 {
        let mut watch = Watch::new(config(DpdMode::Periodic));
        for n in 0..attempt {
            watch.tick(seconds(10 + 2 * n));
        }
        let at = seconds(10 + 2 * attempt) - ms(1);
        assert!(watch.answer(at));
        assert!(!watch.answer(at), "it answers once");
        let status = DpdStatus {
            attempts_outstanding: 0,
            probes_sent: attempt,
            answered: 1,
            next_probe: Some(watch.start + at + seconds(10)),
        };
        assert_eq!(watch.dpd.status(), status);
        assert_eq!(watch.due(), Some(at + seconds(10)));
        let (probes, death) = watch.run();
        assert_eq!(probes[0], at + seconds(10));
        assert_eq!(death, Some(at + seconds(20)));
    }
}

#[test]
fn data_ends_a_round_of_probes_and_the_answer_that_follows_is_told() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    watch.tick(seconds(10));
    watch.hear(seconds(11));
    assert!(!watch.dpd.is_asking());
    assert_eq!(watch.due(), Some(seconds(21)));
    assert!(watch.answer(seconds(12)));
    assert_eq!(watch.dpd.status().answered, 1);
}

#[test]
fn a_retry_beyond_the_interval_delays_no_probe_after_an_answer() {
    let mut watch = Watch::new(DpdConfig {
        interval: seconds(1),
        retry: seconds(60),
        ..config(DpdMode::Periodic)
    });
    watch.tick(seconds(1));
    assert_eq!(watch.due(), Some(seconds(61)));
    watch.answer(seconds(2));
    assert_eq!(watch.due(), Some(seconds(3)));
}

#[test]
fn on_demand_nothing_is_due_without_data_to_send() {
    let mut watch = Watch::new(config(DpdMode::OnDemand));
    assert_eq!(watch.run(), (Vec::new(), None));
    watch.hear(seconds(40));
    assert_eq!(watch.run(), (Vec::new(), None));
    assert_eq!(watch.dpd.status().next_probe, None);
}

#[test]
fn on_demand_data_in_time_is_followed_by_a_probe_at_the_intervals_end() {
    let mut watch = Watch::new(config(DpdMode::OnDemand));
    watch.hear(ms(500));
    assert!(watch.send(ms(501)), "a deadline came nearer");
    assert!(!watch.send(ms(502)), "the deadline stays");
    let (probes, death) = watch.run();
    assert_eq!(probes[0], ms(10_500));
    assert_eq!(death, Some(ms(20_500)));
}

#[test]
fn on_demand_the_first_data_after_an_interval_of_silence_is_followed_by_a_probe_at_once() {
    let mut watch = Watch::new(config(DpdMode::OnDemand));
    assert!(watch.send(seconds(3_000)));
    let (probes, death) = watch.run();
    assert_eq!((probes.len(), probes[0]), (5, seconds(3_000)));
    assert_eq!(death, Some(seconds(3_010)));
}

#[test]
fn on_demand_data_that_left_before_the_peer_was_heard_asks_for_nothing() {
    let mut watch = Watch::new(config(DpdMode::OnDemand));
    watch.send(seconds(1));
    watch.hear(seconds(2));
    assert_eq!(watch.run(), (Vec::new(), None));
    watch.send(seconds(3));
    watch.hear(seconds(4));
    assert!(!watch.send(seconds(5)));
    assert_eq!(watch.run().0[0], seconds(14));
}

#[test]
fn a_timer_that_is_late_by_more_than_a_quarter_of_the_retry_time_is_no_miss() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    watch.tick(seconds(10));
    let woken = seconds(12) + ms(501);
    let withheld = DpdTick::Probe {
        attempt: 2,
        missed: None,
    };
    assert_eq!(watch.tick(woken), withheld);
    assert_eq!(watch.dpd.misses(), 0);
    assert_eq!(watch.due(), Some(woken + seconds(2)));
    let mut sent = 2;
    let death = loop {
        let at = watch.due().unwrap();
        match watch.tick(at) {
            DpdTick::Probe { attempt, .. } => sent = attempt,
            DpdTick::Dead { misses, .. } => break (misses, at),
            DpdTick::Idle => panic!("a deadline is reached at {at:?}"),
        }
    };
    assert_eq!((sent, death), (6, (5, woken + seconds(10))));
}

#[test]
fn a_timer_that_is_late_by_a_quarter_keeps_the_beat() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    watch.tick(seconds(10) + ms(500));
    assert_eq!(watch.due(), Some(seconds(12)));
    let missed = Some(1);
    let attempt = 2;
    let tick = watch.tick(seconds(12) + ms(500));
    assert_eq!(tick, DpdTick::Probe { attempt, missed });
    assert_eq!(watch.due(), Some(seconds(14)));
}

#[test]
fn a_stall_before_the_first_probe_gives_it_its_whole_time() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    assert_eq!(watch.tick(seconds(900)), first_probe());
    assert_eq!(watch.due(), Some(seconds(902)));
}

#[test]
fn a_timer_that_is_always_late_still_finds_a_dead_peer() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    let mut sent = 0;
    while let Some(due) = watch.due() {
        match watch.tick(due + seconds(1)) {
            DpdTick::Probe { attempt, .. } => sent = attempt,
            DpdTick::Dead { misses, .. } => assert_eq!(misses, 0),
            DpdTick::Idle => panic!("a deadline is reached"),
        }
    }
    assert_eq!(sent, 10);
}

#[test]
fn stopped_it_hears_and_sends_nothing_and_starts_afresh() {
    let mut watch = Watch::new(config(DpdMode::OnDemand));
    watch.send(seconds(1));
    watch.tick(seconds(10));
    watch.dpd.stop();
    assert!(!watch.send(seconds(11)));
    assert!(!watch.answer(seconds(12)));
    assert_eq!(watch.due(), None);
    watch.dpd.start(watch.start + seconds(20));
    assert_eq!(watch.due(), None);
    assert_eq!(watch.dpd.status().probes_sent, 1);
    watch.send(seconds(21));
    assert_eq!(watch.run().0[0], seconds(30));
}

#[test]
fn a_start_while_it_runs_changes_nothing() {
    let mut watch = Watch::new(config(DpdMode::Periodic));
    watch.dpd.start(watch.start + seconds(9));
    assert_eq!(watch.due(), Some(seconds(10)));
}

/// `crypto isakmp keepalive 10 2 periodic`: a probe, four retransmissions, dead 10 s after the first; `cisco_strict`, which lets five
/// retransmissions be missed; and the EzVPN example of 30 and 20 with four transmissions.
#[test]
fn the_figures_of_the_cisco_profile_hold() {
    for (interval, retry, attempts, after_first, worst_case) in [
        (10, 2, 5, 10, 20_010),
        (10, 2, 6, 12, 22_010),
        (30, 20, 4, 80, 110_010),
    ] {
        let config = DpdConfig {
            mode: DpdMode::Periodic,
            interval: seconds(interval),
            retry: seconds(retry),
            attempts,
            no_data: None,
        };
        assert_eq!(config.worst_case(), ms(worst_case));
        let (probes, death) = Watch::new(config).run();
        assert_eq!(probes.len(), usize::from(attempts));
        assert_eq!(probes[0], seconds(interval));
        assert_eq!(death, Some(probes[0] + seconds(after_first)));
    }
}

#[test]
fn values_beyond_their_bounds_are_brought_into_them() {
    let least = DpdConfig {
        mode: DpdMode::OnDemand,
        interval: Duration::ZERO,
        retry: Duration::ZERO,
        attempts: 0,
        no_data: None,
    };
    assert_eq!(least.worst_case(), seconds(1) + ms(200) + ms(10));
    let most = DpdConfig {
        interval: Duration::MAX,
        retry: Duration::MAX,
        attempts: u16::MAX,
        ..least
    };
    assert_eq!(most.worst_case(), seconds(3_600 + 60 * 20) + ms(10));
    assert_eq!(DpdMode::default(), DpdMode::OnDemand);
    assert_eq!(DpdConfig::default().worst_case(), ms(20_010));
}
