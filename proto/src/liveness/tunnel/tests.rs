use super::*;
use crate::liveness::testing::{address, epoch, path, requests};
use crate::liveness::{Keepalive, Probe};
use crate::wire::gre::GreKey;
use crate::wire::ip::Ip;

mod inside;
mod over_ike;

const PERIOD: Duration = Duration::from_secs(5);
const LOCAL: &str = "192.0.2.1";
const FIRST: &str = "198.51.100.2";
const SECOND: &str = "203.0.113.3";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config() -> LivenessConfig {
    LivenessConfig {
        keepalive: Some(Keepalive::default()),
        probe: Probe::GreKeepalive,
        initial: Initial::Probing,
        damping: false,
        key_in: Some(GreKey(42)),
        tunnel_id: 1,
        has_ike: false,
        dpd: None,
    }
}

/// A worker's turn by turn use of one tunnel on a virtual clock.
struct Worker {
    liveness: Liveness,
    start: Instant,
}

impl Worker {
    fn new(config: LivenessConfig) -> Self {
        Self::over(config, Some(path(LOCAL, FIRST)))
    }

    fn over(config: LivenessConfig, path: Option<Path>) -> Self {
        let start = epoch();
        let key = Secret::new(&mut [7; 16]);
        Self {
            liveness: Liveness::new(config, &key, path, start),
            start,
        }
    }

    /// Runs the timer at `at` and gives what is to be sent.
    fn turn(&mut self, at: Duration) -> Vec<KeepaliveRequest> {
        self.liveness.handle_timeout(self.start + at);
        requests(&mut self.liveness)
    }

    /// The peer of `transmit` decapsulates the request and sends what is in it back.
    fn reflect(
        &mut self,
        at: Duration,
        transmit: &KeepaliveRequest,
    ) -> Result<Option<RoundTrip>, DropReason> {
        let answer = Ip::parse(transmit.inner()).unwrap();
        assert_eq!(answer.destination(), transmit.path.local);
        let header = gre::parse(answer.payload()).unwrap();
        let body = &answer.payload()[header.octets..];
        self.liveness
            .handle_answer(self.start + at, answer.source(), &header, body)
    }

    /// Sends at `at` and gets the answer 10 ms later.
    fn beat(&mut self, at: Duration) {
        for transmit in self.turn(at) {
            self.reflect(at + ms(10), &transmit).unwrap().unwrap();
        }
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.liveness.poll_event()).collect()
    }
}

fn evidence(first_unanswered: Option<Duration>, last_proof: Option<Duration>) -> Evidence {
    Evidence {
        since_first_unanswered: first_unanswered,
        since_last_proof: last_proof,
    }
}

#[test]
fn a_tunnel_probes_at_once_and_is_up_after_one_round_trip() {
    let mut worker = Worker::new(config());
    assert_eq!(worker.liveness.poll_timeout(), Some(worker.start));
    let sent = worker.turn(ms(0));
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].protocol, sent[0].tos), (0x0800, 0xc0));
    assert_eq!(sent[0].inner().len(), 44);
    assert!(!worker.liveness.may_forward());
    assert_eq!(worker.events(), []);
    let round_trip = worker.reflect(ms(30), &sent[0]).unwrap().unwrap();
    assert_eq!((round_trip.seq, round_trip.rtt), (0, ms(30)));
    assert!(worker.liveness.may_forward());
    let up = Event::Up {
        path: Some(path(LOCAL, FIRST)),
        evidence: evidence(Some(ms(30)), None),
    };
    assert_eq!(worker.events(), [up]);
}

#[test]
fn a_dead_peer_stops_forwarding_in_the_tick_after_the_last_retry() {
    let mut worker = Worker::new(config());
    worker.beat(ms(0));
    worker.events();
    for n in 1..=3 {
        assert_eq!(worker.turn(PERIOD * n).len(), 1);
        assert!(worker.liveness.may_forward());
    }
    let suspect = Event::Suspect {
        evidence: evidence(Some(PERIOD), Some(ms(9_990))),
    };
    assert_eq!(worker.events(), [suspect]);
    assert_eq!(worker.turn(PERIOD * 4).len(), 1);
    assert!(!worker.liveness.may_forward());
    let path = path(LOCAL, FIRST);
    let down = Event::Down {
        from: State::Suspect,
        reason: DownReason::KeepaliveUnanswered,
        path: Some(path),
        evidence: evidence(Some(PERIOD * 3), Some(ms(19_990))),
    };
    assert_eq!(worker.events(), [down, Event::Exhausted { path }]);
}

#[test]
fn requests_go_on_while_down_and_an_answer_brings_the_tunnel_back() {
    let mut worker = Worker::new(config());
    for n in 0..3 {
        worker.turn(PERIOD * n);
    }
    assert_eq!(worker.events(), []);
    for n in 3..9 {
        assert_eq!(worker.turn(PERIOD * n).len(), 1);
    }
    let exhausted = Event::Exhausted {
        path: path(LOCAL, FIRST),
    };
    let events = worker.events();
    assert!(matches!(
        events[0],
        Event::Down {
            from: State::Probing,
            ..
        }
    ));
    assert_eq!(events[1..], [exhausted, exhausted]);
    worker.beat(PERIOD * 9);
    assert!(worker.liveness.may_forward());
}

#[test]
fn recovery_from_suspect_is_told() {
    let mut worker = Worker::new(config());
    worker.beat(ms(0));
    worker.turn(PERIOD);
    worker.events();
    worker.beat(PERIOD * 2);
    let events = worker.events();
    assert!(matches!(
        events[..],
        [Event::Suspect { .. }, Event::Recovered { evidence }]
            if evidence == self::evidence(Some(ms(5_010)), Some(ms(10_000)))
    ));
}

#[test]
fn a_stalled_worker_does_not_judge_what_it_did_not_see() {
    let mut worker = Worker::new(config());
    worker.beat(ms(0));
    for n in 1..=3 {
        worker.turn(PERIOD * n);
    }
    let woken = worker.turn(ms(60_000));
    assert_eq!(worker.liveness.state(), State::Suspect);
    worker.reflect(ms(60_010), &woken[0]).unwrap();
    assert_eq!(worker.liveness.state(), State::Up);
    assert_eq!(
        worker.liveness.poll_timeout(),
        Some(worker.start + ms(65_000))
    );
}

#[test]
fn an_answer_counts_once_from_the_remote_that_was_asked() {
    let mut worker = Worker::new(config());
    let sent = worker.turn(ms(0));
    let answer = Ip::parse(sent[0].inner()).unwrap();
    let header = gre::parse(answer.payload()).unwrap();
    let body = &answer.payload()[header.octets..];
    let now = worker.start;
    let stale = Err(DropReason::KeepaliveStale);
    let elsewhere = worker
        .liveness
        .handle_answer(now, address(SECOND), &header, body);
    assert_eq!(elsewhere, stale);
    assert!(!worker.liveness.may_forward());
    assert!(worker.reflect(ms(1), &sent[0]).unwrap().is_some());
    assert_eq!(worker.reflect(ms(1), &sent[0]), stale);
    let mut forged = body.to_vec();
    forged[15] ^= 1;
    let forged = worker
        .liveness
        .handle_answer(now, address(FIRST), &header, &forged);
    assert_eq!(forged, Ok(None));
}

#[test]
fn without_payload_an_answer_counts_for_the_newest_request() {
    let keepalive = Keepalive {
        payload: false,
        ..Keepalive::default()
    };
    let mut worker = Worker::new(LivenessConfig {
        keepalive: Some(keepalive),
        ..config()
    });
    worker.turn(ms(0));
    let sent = worker.turn(PERIOD);
    assert_eq!((sent[0].tos, sent[0].inner().len()), (0, 28));
    assert!(worker.reflect(ms(5_010), &sent[0]).unwrap().is_some());
    let stale = Err(DropReason::KeepaliveStale);
    assert_eq!(worker.reflect(ms(5_020), &sent[0]), stale);
    assert!(worker.liveness.may_forward());
}

#[test]
fn without_keepalive_a_tunnel_is_up_at_once_and_never_drops() {
    let mut worker = Worker::new(LivenessConfig {
        keepalive: None,
        ..config()
    });
    assert!(worker.liveness.may_forward());
    assert!(matches!(worker.events()[..], [Event::Up { .. }]));
    assert_eq!(worker.liveness.poll_timeout(), None);
    assert_eq!(worker.turn(ms(1_000_000)), []);
    assert!(worker.liveness.may_forward());
    let header = gre::Header::new(0, false, Some(GreKey(42)), None);
    let now = worker.start;
    let stray = worker
        .liveness
        .handle_answer(now, address(FIRST), &header, &[]);
    assert_eq!(stray, Ok(None));
}

#[test]
fn initially_up_a_tunnel_forwards_for_one_detection_time() {
    let mut worker = Worker::new(LivenessConfig {
        initial: Initial::Up,
        ..config()
    });
    assert!(worker.liveness.may_forward());
    for n in 0..3 {
        worker.turn(PERIOD * n);
        assert!(worker.liveness.may_forward());
    }
    worker.turn(PERIOD * 3);
    assert!(!worker.liveness.may_forward());
}

#[test]
fn without_an_address_a_tunnel_does_not_forward_until_it_has_one() {
    let mut worker = Worker::over(
        LivenessConfig {
            initial: Initial::Up,
            ..config()
        },
        None,
    );
    assert!(!worker.liveness.may_forward());
    assert_eq!(worker.events(), []);
    let no_address = State::Down(DownReason::NoAddress);
    worker.liveness.set_path(worker.start, None);
    assert_eq!(worker.liveness.state(), no_address);
    assert_eq!(worker.liveness.poll_timeout(), None);
    let found = worker.start + ms(100);
    worker.liveness.set_path(found, Some(path(LOCAL, FIRST)));
    assert_eq!(worker.liveness.poll_timeout(), Some(found));
    assert!(worker.liveness.may_forward());
    worker.beat(ms(100));
    worker.liveness.set_path(found + PERIOD, None);
    assert_eq!(worker.liveness.state(), no_address);
    assert_eq!(worker.liveness.poll_timeout(), None);
}

#[test]
fn suspended_nothing_is_sent_or_believed_until_resumed() {
    let mut worker = Worker::new(config());
    let sent = worker.turn(ms(0));
    worker.reflect(ms(1), &sent[0]).unwrap();
    let second = worker.turn(PERIOD);
    let now = worker.start + ms(5_001);
    worker.liveness.suspend(now, DownReason::AdminDown);
    assert!(!worker.liveness.may_forward());
    assert_eq!(worker.liveness.poll_timeout(), None);
    let stale = Err(DropReason::KeepaliveStale);
    assert_eq!(worker.reflect(ms(5_002), &second[0]), stale);
    worker.liveness.set_path(now, Some(path(LOCAL, SECOND)));
    assert_eq!(worker.turn(PERIOD * 10), []);
    worker.liveness.resume(worker.start + PERIOD * 10);
    assert_eq!(worker.liveness.state(), State::Probing);
    worker.beat(PERIOD * 10);
    assert!(worker.liveness.may_forward());
    assert_eq!(worker.liveness.path(), Some(path(LOCAL, SECOND)));
}

#[test]
fn another_remote_is_asked_at_once_and_has_one_detection_time() {
    let mut worker = Worker::new(config());
    for n in 0..=3 {
        worker.turn(PERIOD * n);
    }
    let late = worker.turn(PERIOD * 4);
    worker.events();
    let second = path(LOCAL, SECOND);
    let moved = ms(21_000);
    let now = worker.start + moved;
    worker.liveness.set_path(now, Some(second));
    worker.liveness.set_path(now + ms(1), Some(second));
    let stale = Err(DropReason::KeepaliveStale);
    assert_eq!(worker.reflect(moved, &late[0]), stale);
    assert_eq!(worker.turn(moved)[0].path, second);
    for n in 1..=3 {
        assert_eq!(worker.events(), []);
        worker.turn(moved + PERIOD * n);
    }
    assert_eq!(worker.events(), [Event::Exhausted { path: second }]);
}

#[test]
fn damping_asks_for_more_answers_after_a_return() {
    let mut worker = Worker::new(LivenessConfig {
        damping: true,
        ..config()
    });
    for n in 0..4 {
        assert!(!worker.liveness.may_forward());
        worker.beat(PERIOD * n);
    }
    assert!(worker.liveness.may_forward());
    for n in 4..=7 {
        worker.turn(PERIOD * n);
    }
    assert!(!worker.liveness.may_forward());
    worker.beat(PERIOD * 8);
    assert_eq!(worker.liveness.state(), State::Probing);
    assert_eq!(worker.liveness.status().answers_to_come, Some(6));
}

/// Up over the second remote, with the first one probed beside it from 10 s on, for 30 s.
fn on_the_second_remote() -> Worker {
    let mut worker = Worker::over(config(), Some(path(LOCAL, SECOND)));
    worker.beat(ms(0));
    worker.beat(PERIOD);
    let (now, preferred) = (worker.start + PERIOD * 2, path(LOCAL, FIRST));
    let steady = Duration::from_secs(30);
    worker.liveness.probe_preferred(now, preferred, steady);
    worker.liveness.probe_preferred(now, preferred, steady);
    worker.events();
    worker
}

#[test]
fn the_preferred_remote_takes_over_without_going_down_once_it_is_steady() {
    let mut worker = on_the_second_remote();
    let preferred = path(LOCAL, FIRST);
    for n in 2..=8 {
        let sent = worker.turn(PERIOD * n);
        assert_eq!(sent.len(), 2);
        assert!(sent[1].is_preferred && sent[1].path == preferred);
        for transmit in &sent {
            worker.reflect(PERIOD * n, transmit).unwrap().unwrap();
        }
    }
    let steady = Event::PreferredSteady { path: preferred };
    assert_eq!(worker.events(), [steady]);
    let now = worker.start + PERIOD * 8 + ms(20);
    worker.liveness.set_path(now, Some(preferred));
    assert!(worker.liveness.may_forward());
    assert_eq!(worker.liveness.status().statistics.unwrap().answers, 7);
    assert_eq!(worker.liveness.status().preferred, None);
    let sent = worker.turn(PERIOD * 9);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].path, sent[0].is_preferred), (preferred, false));
    assert_eq!(worker.events(), []);
}

#[test]
fn a_miss_of_the_preferred_remote_starts_its_time_again() {
    let mut worker = on_the_second_remote();
    for n in 2..=14 {
        for transmit in worker.turn(PERIOD * n) {
            if !(transmit.is_preferred && n == 7) {
                worker.reflect(PERIOD * n, &transmit).unwrap();
            }
        }
        let steady = worker.events();
        assert_eq!(steady.is_empty(), n < 14, "tick {n}");
    }
}

#[test]
fn a_silent_preferred_remote_is_told_and_does_not_touch_the_verdict() {
    let mut worker = on_the_second_remote();
    for n in 2..=8 {
        for transmit in worker.turn(PERIOD * n) {
            if !transmit.is_preferred {
                worker.reflect(PERIOD * n, &transmit).unwrap();
            }
        }
    }
    let silent = Event::PreferredSilent {
        path: path(LOCAL, FIRST),
    };
    assert_eq!(worker.events(), [silent, silent]);
    assert_eq!(worker.liveness.state(), State::Up);
}

#[test]
fn the_preferred_remote_is_not_probed_while_down() {
    let mut worker = on_the_second_remote();
    for n in 2..=5 {
        worker.turn(PERIOD * n);
    }
    assert_eq!(
        worker.liveness.state(),
        State::Down(DownReason::KeepaliveUnanswered)
    );
    assert_eq!(worker.turn(PERIOD * 6).len(), 1);
    let now = worker.start + PERIOD * 6;
    worker
        .liveness
        .probe_preferred(now, path(LOCAL, FIRST), PERIOD);
    assert_eq!(worker.liveness.status().preferred, None);
}
