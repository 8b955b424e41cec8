//! What comes through an SA: replies to echo probes and authenticated user data.

use super::*;
use crate::liveness::answer_echo;

const INSIDE: &str = "10.9.1.1";
const TARGET: &str = "10.9.1.2";

fn echoing() -> LivenessConfig {
    LivenessConfig {
        probe: Probe::Echo {
            source: address(INSIDE),
            target: address(TARGET),
        },
        key_in: None,
        ..config()
    }
}

fn reply(transmit: &KeepaliveRequest) -> Vec<u8> {
    let mut inner = transmit.inner().to_vec();
    assert!(answer_echo(&mut inner, &[address(TARGET)]));
    inner
}

impl Worker {
    fn hear(&mut self, at: Duration, inner: &[u8]) -> Result<Option<RoundTrip>, DropReason> {
        self.liveness.handle_echo_reply(self.start + at, inner)
    }

    fn data(&mut self, at: Duration) {
        self.liveness.handle_inbound(self.start + at);
    }
}

#[test]
fn a_tunnel_that_probes_by_echo_is_up_after_one_round_trip() {
    let mut worker = Worker::new(echoing());
    let sent = worker.turn(ms(0));
    assert_eq!((sent[0].protocol, sent[0].tos), (0x0800, 0xc0));
    assert_eq!(sent[0].inner().len(), 48);
    let reply = reply(&sent[0]);
    let round_trip = worker.hear(ms(30), &reply).unwrap().unwrap();
    assert_eq!((round_trip.seq, round_trip.rtt), (0, ms(30)));
    assert!(worker.liveness.may_forward());
    assert_eq!(worker.hear(ms(31), &reply), Err(DropReason::KeepaliveStale));
}

#[test]
fn an_unanswered_echo_probe_takes_the_tunnel_down_like_a_keepalive() {
    let mut worker = Worker::new(echoing());
    let sent = worker.turn(ms(0));
    worker.hear(ms(10), &reply(&sent[0])).unwrap();
    for n in 1..=3 {
        worker.turn(PERIOD * n);
        assert!(worker.liveness.may_forward());
    }
    worker.turn(PERIOD * 4);
    let unanswered = State::Down(DownReason::KeepaliveUnanswered);
    assert_eq!(worker.liveness.state(), unanswered);
}

#[test]
fn a_reply_with_a_wrong_digest_is_dropped_and_changes_nothing() {
    let mut other = Worker::new(LivenessConfig {
        tunnel_id: 2,
        ..echoing()
    });
    let foreign = reply(&other.turn(ms(0))[0]);
    let mut worker = Worker::new(echoing());
    let before = {
        worker.turn(ms(0));
        worker.liveness.status()
    };
    let stale = Err(DropReason::KeepaliveStale);
    assert_eq!(worker.hear(ms(10), &foreign), stale);
    assert_eq!(worker.liveness.status(), before);
    assert_eq!(worker.events(), []);
}

#[test]
fn each_kind_of_tunnel_hears_its_own_answers_only() {
    let mut echoing = Worker::new(echoing());
    let probe = echoing.turn(ms(0));
    let mut keepalive = Worker::new(config());
    let request = keepalive.turn(ms(0));
    assert_eq!(keepalive.hear(ms(1), &reply(&probe[0])), Ok(None));
    assert_eq!(echoing.reflect(ms(1), &request[0]), Ok(None));
    assert!(!echoing.liveness.may_forward() && !keepalive.liveness.may_forward());
}

#[test]
fn the_reply_tells_which_path_its_probe_went_over() {
    let mut worker = Worker::over(echoing(), Some(path(LOCAL, SECOND)));
    let sent = worker.turn(ms(0));
    worker.hear(ms(10), &reply(&sent[0])).unwrap();
    let preferred = path(LOCAL, FIRST);
    let steady = PERIOD * 2;
    worker
        .liveness
        .probe_preferred(worker.start + PERIOD, preferred, steady);
    worker.events();
    for n in 1..=3 {
        let sent = worker.turn(PERIOD * n);
        assert!(sent[1].is_preferred);
        for transmit in sent.iter().rev() {
            worker.hear(PERIOD * n, &reply(transmit)).unwrap().unwrap();
        }
    }
    assert_eq!(
        worker.events(),
        [Event::PreferredSteady { path: preferred }]
    );
    assert_eq!(worker.liveness.status().statistics.unwrap().answers, 4);
}

#[test]
fn addresses_of_two_families_give_no_probe() {
    let mut worker = Worker::new(LivenessConfig {
        probe: Probe::Echo {
            source: address(INSIDE),
            target: address("fd00:9::2"),
        },
        ..echoing()
    });
    assert!(worker.turn(ms(0))[0].inner().is_empty());
}

#[test]
fn data_proves_nothing_before_the_first_answer_and_life_without_a_round_trip_after_it() {
    let mut worker = Worker::new(echoing());
    let sent = worker.turn(ms(0));
    worker.data(ms(20));
    assert!(!worker.liveness.may_forward());
    assert_eq!(worker.liveness.status().last_proof, None);
    worker.hear(ms(30), &reply(&sent[0])).unwrap();
    for n in 1..=4 {
        worker.turn(PERIOD * n);
    }
    assert!(!worker.liveness.may_forward());
    worker.data(PERIOD * 4 + ms(1));
    assert!(worker.liveness.may_forward());
    let status = worker.liveness.status();
    assert_eq!(status.last_proof, Some(worker.start + PERIOD * 4 + ms(1)));
    assert_eq!(status.statistics.unwrap().answers, 1);
}

#[test]
fn data_ends_suspicion_and_starts_the_count_of_unanswered_requests_again() {
    let mut worker = Worker::new(echoing());
    let sent = worker.turn(ms(0));
    worker.hear(ms(0), &reply(&sent[0])).unwrap();
    for n in 1..=2 {
        worker.turn(PERIOD * n);
    }
    assert_eq!(worker.liveness.state(), State::Suspect);
    worker.events();
    worker.data(ms(10_500));
    let recovered = Event::Recovered {
        evidence: evidence(Some(ms(5_500)), Some(ms(10_500))),
    };
    assert_eq!(worker.events(), [recovered]);
    for n in 3..=5 {
        worker.turn(PERIOD * n);
        assert!(worker.liveness.may_forward(), "tick {n}");
    }
    worker.turn(PERIOD * 6);
    assert!(!worker.liveness.may_forward());
    worker.data(PERIOD * 6 + ms(1));
    assert!(worker.liveness.may_forward());
}

#[test]
fn data_does_not_hinder_the_answer_that_comes_after_it() {
    let mut worker = Worker::new(echoing());
    let sent = worker.turn(ms(0));
    worker.data(ms(1));
    assert!(worker.hear(ms(2), &reply(&sent[0])).unwrap().is_some());
    let statistics = worker.liveness.status().statistics.unwrap();
    assert_eq!((statistics.answers, statistics.lost), (1, 0));
}

#[test]
fn data_counts_for_no_hold_of_damping_and_lets_none_decay() {
    let mut worker = Worker::new(LivenessConfig {
        damping: true,
        ..echoing()
    });
    for n in 0..3 {
        worker.turn(PERIOD * n);
        worker.data(PERIOD * n + ms(1));
        assert_eq!(worker.liveness.state(), State::Probing);
    }
    worker.turn(PERIOD * 3);
    let unanswered = State::Down(DownReason::KeepaliveUnanswered);
    assert_eq!(worker.liveness.state(), unanswered, "data alone");
    worker.data(PERIOD * 3 + ms(1));
    assert_eq!(worker.liveness.state(), unanswered);
    assert_eq!(worker.liveness.status().last_proof, None);
    for n in 4..=7 {
        let sent = worker.turn(PERIOD * n);
        worker.hear(PERIOD * n, &reply(&sent[0])).unwrap();
    }
    assert!(worker.liveness.may_forward());
    for n in 0..1_000 {
        worker.data(PERIOD * 7 + ms(n));
    }
    for n in 8..=11 {
        worker.turn(PERIOD * n);
    }
    assert!(!worker.liveness.may_forward());
    let sent = worker.turn(PERIOD * 12);
    worker.hear(PERIOD * 12, &reply(&sent[0])).unwrap();
    assert_eq!(worker.liveness.status().answers_to_come, Some(6));
}

#[test]
fn data_brings_up_neither_a_tunnel_without_an_address_nor_one_that_is_suspended() {
    let mut worker = Worker::over(echoing(), None);
    worker.data(ms(1));
    assert_eq!(worker.liveness.state(), State::Probing);
    for reason in [
        DownReason::NoSa,
        DownReason::SaExpired,
        DownReason::AdminDown,
    ] {
        let mut worker = Worker::new(echoing());
        let sent = worker.turn(ms(0));
        worker.hear(ms(1), &reply(&sent[0])).unwrap();
        worker.liveness.suspend(worker.start + ms(2), reason);
        worker.data(ms(3));
        assert_eq!(worker.liveness.state(), State::Down(reason));
        let proof = worker.liveness.status().last_proof;
        assert_eq!(proof, Some(worker.start + ms(1)));
        worker.liveness.resume(worker.start + ms(4));
        assert_eq!(worker.liveness.state(), State::Probing);
        assert_eq!(worker.turn(ms(4)).len(), 1);
    }
}

#[test]
fn without_keepalive_data_is_shown_as_proof() {
    let mut worker = Worker::new(LivenessConfig {
        keepalive: None,
        ..echoing()
    });
    worker.events();
    let unasked = reply(&Worker::new(echoing()).turn(ms(0))[0]);
    assert_eq!(worker.hear(ms(1), &unasked), Ok(None));
    worker.data(ms(7));
    let proof = worker.liveness.status().last_proof;
    assert_eq!(proof, Some(worker.start + ms(7)));
    assert_eq!(worker.events(), []);
}
