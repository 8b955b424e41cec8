//! Tunnels whose SAs IKE makes.

use super::*;
use crate::liveness::{DpdConfig, DpdMode, Proof, Transmit, answer_echo};

mod asked;
mod proof;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn over_ike(dpd: Option<DpdConfig>, probe: Probe) -> LivenessConfig {
    LivenessConfig {
        keepalive: None,
        probe,
        key_in: None,
        has_ike: true,
        dpd,
        ..config()
    }
}

fn echo() -> Probe {
    Probe::Echo {
        source: address("10.9.1.1"),
        target: address("10.9.1.2"),
    }
}

fn watched() -> DpdConfig {
    DpdConfig::default()
}

fn down(from: State, reason: DownReason, evidence: Evidence) -> Event {
    Event::Down {
        from,
        reason,
        path: Some(path(LOCAL, FIRST)),
        evidence,
    }
}

fn up(evidence: Evidence) -> Event {
    let path = Some(path(LOCAL, FIRST));
    Event::Up { path, evidence }
}

fn recovered(first_unanswered: Duration, last_proof: Duration) -> Event {
    Event::Recovered {
        evidence: evidence(Some(first_unanswered), Some(last_proof)),
    }
}

impl Worker {
    /// With an SA from the start, and data in at once.
    fn flowing(config: LivenessConfig) -> Self {
        let mut worker = Self::new(config);
        worker.established(ms(0));
        worker.data_in(ms(0));
        assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
        worker.turn_over_ike(ms(0));
        worker.events();
        worker
    }

    fn established(&mut self, at: Duration) {
        self.liveness.handle_established(self.start + at);
    }

    fn alive(&mut self, at: Duration) {
        self.liveness.handle_alive(self.start + at);
    }

    fn data_in(&mut self, at: Duration) {
        self.liveness.handle_inbound(self.start + at);
    }

    fn data_out(&mut self, at: Duration) {
        self.liveness.handle_outbound(self.start + at);
    }

    fn sa_gone(&mut self, at: Duration, reason: DownReason) {
        self.liveness.handle_down(self.start + at, reason);
    }

    fn due(&self) -> Option<Duration> {
        let due = self.liveness.poll_timeout()?;
        Some(due.duration_since(self.start))
    }

    fn turn_over_ike(&mut self, at: Duration) -> Vec<Transmit> {
        self.liveness.handle_timeout(self.start + at);
        std::iter::from_fn(|| self.liveness.poll_transmit()).collect()
    }

    /// Keeps to the deadlines until `end` and gives the times at which IKE is probed.
    fn run(&mut self, end: Duration) -> Vec<Duration> {
        let mut probes = Vec::new();
        while let Some(at) = self.due().filter(|&at| at <= end) {
            let sent = self.turn_over_ike(at);
            let ike = sent.iter().filter(|&&sent| sent == Transmit::IkeProbe);
            probes.extend(ike.map(|_| at));
        }
        probes
    }

    fn reply(&mut self, at: Duration, request: &Transmit) -> Result<Option<RoundTrip>, DropReason> {
        let Transmit::Keepalive(request) = request else {
            panic!("an echo request is due");
        };
        let mut reply = request.inner().to_vec();
        assert!(answer_echo(&mut reply, &[address("10.9.1.2")]));
        self.liveness.handle_echo_reply(self.start + at, &reply)
    }
}

#[test]
fn without_an_sa_a_tunnel_is_down_and_neither_sends_nor_believes_anything() {
    let mut worker = Worker::new(over_ike(Some(watched()), echo()));
    assert_eq!(worker.liveness.state(), State::Down(DownReason::NoSa));
    assert_eq!(worker.due(), None);
    worker.data_in(seconds(1));
    worker.alive(seconds(1));
    worker.data_out(seconds(1));
    worker
        .liveness
        .set_path(worker.start + seconds(2), Some(path(LOCAL, SECOND)));
    assert_eq!(worker.turn_over_ike(seconds(100)), []);
    assert_eq!(worker.events(), []);
    assert!(!worker.liveness.may_forward());
    assert_eq!(worker.liveness.status().last_proof, None);
}

#[test]
fn a_new_sa_of_a_tunnel_that_is_up_changes_nothing_but_that_the_peer_was_heard() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    worker.established(seconds(9));
    assert_eq!(worker.events(), []);
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    assert_eq!(worker.run(seconds(19)), [seconds(19)]);
}

#[test]
fn dead_peer_detection_runs_from_the_establishment_on_and_takes_the_tunnel_down() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    worker.data_in(ms(250));
    let probes = worker.run(ms(20_249));
    let expected: Vec<_> = (0..5).map(|n| ms(10_250) + seconds(2) * n).collect();
    assert_eq!(probes, expected);
    assert_eq!(
        worker.liveness.status().dpd.unwrap().attempts_outstanding,
        5
    );
    let suspect = Event::Suspect {
        evidence: evidence(Some(seconds(2)), Some(seconds(12))),
    };
    let mut events = vec![
        Event::DpdProbe { attempt: 1 },
        Event::DpdMiss { misses: 1 },
        suspect,
        Event::DpdProbe { attempt: 2 },
    ];
    for misses in 2..5 {
        let attempt = misses + 1;
        events.extend([Event::DpdMiss { misses }, Event::DpdProbe { attempt }]);
    }
    assert_eq!(worker.events(), events);
    assert!(worker.liveness.may_forward());
    assert_eq!(worker.run(ms(20_250)), []);
    assert!(!worker.liveness.may_forward());
    let dead = evidence(Some(seconds(10)), Some(seconds(20)));
    let path = path(LOCAL, FIRST);
    assert_eq!(
        worker.events(),
        [
            Event::DpdMiss { misses: 5 },
            down(State::Suspect, DownReason::DpdTimeout, dead),
            Event::Exhausted { path },
        ]
    );
    assert_eq!(worker.due(), None);
}

#[test]
fn a_dead_peer_comes_back_with_a_new_sa_only() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    worker.run(seconds(20));
    let dead = State::Down(DownReason::DpdTimeout);
    assert_eq!(worker.liveness.state(), dead);
    worker.data_in(seconds(21));
    worker.alive(seconds(21));
    worker.sa_gone(seconds(21), DownReason::IkeDown);
    assert_eq!(worker.liveness.state(), dead, "the first reason stays");
    worker.established(seconds(22));
    assert_eq!(worker.liveness.state(), State::Probing);
    worker.data_in(seconds(23));
    assert_eq!(worker.liveness.state(), State::Up);
    assert_eq!(worker.run(seconds(33)), [seconds(33)]);
}

#[test]
fn an_answer_over_ike_ends_the_suspicion_that_its_want_raised() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    assert_eq!(worker.run(seconds(12)), [seconds(10), seconds(12)]);
    assert_eq!(worker.liveness.state(), State::Suspect);
    worker.events();
    worker.alive(seconds(13));
    let recovered = recovered(seconds(3), seconds(13));
    assert_eq!(worker.events(), [Event::DpdAnswered, recovered]);
    let status = worker.liveness.status().dpd.unwrap();
    assert_eq!((status.probes_sent, status.answered), (2, 1));
    assert_eq!(worker.run(seconds(23)), [seconds(23)]);
}

#[test]
fn data_answers_for_ike_too() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    worker.run(seconds(14));
    worker.events();
    worker.data_in(seconds(15));
    assert_eq!(worker.events(), [recovered(seconds(5), seconds(15))]);
    assert_eq!(worker.run(seconds(25)), [seconds(25)]);
}

#[test]
fn an_answer_says_that_a_nearer_deadline_is_to_be_asked_for() {
    let mut worker = Worker::flowing(over_ike(
        Some(DpdConfig {
            interval: seconds(1),
            retry: seconds(60),
            ..watched()
        }),
        echo(),
    ));
    worker.run(seconds(1));
    worker.events();
    assert!(!worker.liveness.needs_turn());
    worker.data_in(seconds(2));
    assert!(worker.liveness.needs_turn());
    assert_eq!(worker.events(), []);
    assert!(!worker.liveness.needs_turn());
    assert_eq!(worker.due(), Some(seconds(3)));
}

#[test]
fn an_idle_tunnel_on_demand_stays_up_for_ever_without_a_probe() {
    let mode = DpdMode::OnDemand;
    let on_demand = over_ike(Some(DpdConfig { mode, ..watched() }), echo());
    let mut worker = Worker::flowing(on_demand);
    let year = seconds(365 * 24 * 3_600);
    assert_eq!(worker.run(year), []);
    assert_eq!(worker.due(), None);
    assert!(worker.liveness.may_forward());
    worker.data_out(year);
    assert!(worker.liveness.needs_turn());
    assert_eq!(worker.run(year), [year], "probed with the first data");
    worker.run(year + seconds(10));
    assert_eq!(worker.liveness.state(), State::Down(DownReason::DpdTimeout));
}

#[test]
fn keepalives_and_dead_peer_detection_kill_each_for_itself() {
    let both = LivenessConfig {
        keepalive: Some(Keepalive::default()),
        ..over_ike(Some(watched()), Probe::GreKeepalive)
    };
    assert_eq!(both.worst_case(), Some(ms(20_010)));
    let mut worker = Worker::new(both);
    worker.established(ms(0));
    worker.beat(ms(0));
    assert_eq!(worker.liveness.state(), State::Up);
    // The peer's IKE answers; its GRE does not.
    for at in (5..20).step_by(5) {
        worker.alive(seconds(at));
        worker.turn_over_ike(seconds(at));
    }
    assert_eq!(worker.liveness.state(), State::Suspect);
    worker.alive(seconds(20));
    assert_eq!(
        worker.liveness.state(),
        State::Suspect,
        "IKE is no keepalive"
    );
    worker.turn_over_ike(seconds(20));
    let unanswered = State::Down(DownReason::KeepaliveUnanswered);
    assert_eq!(worker.liveness.state(), unanswered);

    let mut worker = Worker::new(LivenessConfig {
        dpd: Some(DpdConfig {
            retry: ms(200),
            ..watched()
        }),
        ..both
    });
    worker.established(ms(0));
    worker.beat(ms(0));
    worker.run(seconds(30));
    assert_eq!(worker.liveness.state(), State::Down(DownReason::DpdTimeout));
    assert_eq!(worker.due(), None);
}

#[test]
fn keepalive_answers_through_the_sa_count_for_dead_peer_detection() {
    let mut worker = Worker::new(LivenessConfig {
        keepalive: Some(Keepalive::default()),
        ..over_ike(Some(watched()), Probe::GreKeepalive)
    });
    worker.established(ms(0));
    for n in 0..20 {
        worker.beat(PERIOD * n);
    }
    assert_eq!(worker.liveness.status().dpd.unwrap().probes_sent, 0);
}

#[test]
fn data_without_reply_while_ike_answers_is_told_and_suspicious_until_data_comes() {
    let mut worker = Worker::flowing(over_ike(
        Some(DpdConfig {
            no_data: Some(seconds(6)),
            ..watched()
        }),
        echo(),
    ));
    worker.data_out(seconds(1));
    assert!(worker.liveness.needs_turn());
    worker.alive(seconds(6));
    worker.run(ms(6_999));
    assert_eq!(worker.events(), []);
    worker.run(seconds(7));
    let suspect = Event::Suspect {
        evidence: evidence(None, Some(seconds(1))),
    };
    assert_eq!(worker.events(), [Event::NoData, suspect]);
    worker.alive(seconds(8));
    assert_eq!(worker.events(), [], "IKE is no data");
    worker.data_out(seconds(8));
    worker.run(seconds(14));
    assert_eq!(worker.events(), [Event::NoData]);
    worker.data_in(seconds(15));
    let evidence = evidence(None, Some(seconds(7)));
    assert_eq!(worker.events(), [Event::Recovered { evidence }]);
}

#[test]
fn data_without_reply_is_dead_peer_detections_while_ike_does_not_answer() {
    let mut worker = Worker::flowing(over_ike(
        Some(DpdConfig {
            no_data: Some(seconds(13)),
            ..watched()
        }),
        echo(),
    ));
    worker.data_out(ms(0));
    worker.run(seconds(19));
    assert!(!worker.events().contains(&Event::NoData));
}

#[test]
fn a_tunnel_whose_sa_is_gone_is_down_for_that_reason_until_the_next() {
    for reason in [
        DownReason::NoSa,
        DownReason::IkeDown,
        DownReason::Cleared,
        DownReason::Idle,
    ] {
        let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
        worker.sa_gone(seconds(1), reason);
        let since = evidence(None, Some(seconds(1)));
        assert_eq!(worker.events(), [down(State::Up, reason, since)]);
        assert_eq!(worker.liveness.status().proof, None);
        assert_eq!(worker.due(), None);
        worker.data_in(seconds(2));
        assert!(!worker.liveness.may_forward());
        worker.established(seconds(3));
        assert_eq!(worker.liveness.state(), State::Probing);
    }
}

#[test]
fn an_sa_lifts_no_suspension_but_that_of_an_sa_that_expired() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    let at = worker.start + seconds(1);
    worker.liveness.suspend(at, DownReason::DeviceGone);
    worker.sa_gone(seconds(2), DownReason::IkeDown);
    worker.established(seconds(3));
    let gone = State::Down(DownReason::DeviceGone);
    assert_eq!(worker.liveness.state(), gone);
    worker.liveness.resume(worker.start + seconds(4));
    assert_eq!(worker.liveness.state(), State::Probing);
    let at = worker.start + seconds(5);
    worker.liveness.suspend(at, DownReason::SaExpired);
    worker.established(seconds(6));
    assert_eq!(worker.liveness.state(), State::Probing);
}

#[test]
fn a_suspension_that_ends_without_an_sa_leaves_the_tunnel_down_for_want_of_it() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    let at = worker.start + seconds(1);
    worker.liveness.suspend(at, DownReason::DeviceGone);
    worker.sa_gone(seconds(2), DownReason::Cleared);
    worker.liveness.resume(worker.start + seconds(3));
    assert_eq!(worker.liveness.state(), State::Down(DownReason::Cleared));
    assert_eq!(worker.due(), None);
}

#[test]
fn an_sa_that_comes_before_the_address_starts_the_tunnel_when_that_comes() {
    let mut worker = Worker::over(over_ike(Some(watched()), echo()), None);
    worker.established(ms(0));
    worker.data_in(ms(1));
    assert!(!worker.liveness.may_forward());
    let at = worker.start + ms(2);
    worker.liveness.set_path(at, Some(path(LOCAL, FIRST)));
    assert_eq!(worker.turn_over_ike(ms(2)).len(), 1);
    worker.data_in(ms(3));
    assert!(worker.liveness.may_forward());
}

#[test]
fn a_peer_that_moves_keeps_its_state_and_is_asked_for_no_other_proof() {
    let mut worker = Worker::flowing(over_ike(Some(watched()), echo()));
    let at = worker.start + seconds(1);
    worker.liveness.set_path(at, Some(path(LOCAL, SECOND)));
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    assert_eq!(worker.run(seconds(9)), []);
    assert_eq!(worker.run(seconds(10)), [seconds(10)]);
    assert_eq!(worker.events(), [Event::DpdProbe { attempt: 1 }]);
    let at = worker.start + seconds(11);
    let elsewhere = path(LOCAL, FIRST);
    worker.liveness.probe_preferred(at, elsewhere, seconds(1));
    assert_eq!(worker.liveness.status().preferred, None);
}

#[test]
fn what_is_replayed_or_forged_does_not_reach_dead_peer_detection() {
    let mut worker = Worker::new(over_ike(Some(watched()), echo()));
    worker.established(ms(0));
    let sent = worker.turn_over_ike(ms(0));
    worker.reply(ms(10), &sent[0]).unwrap().unwrap();
    let next = worker.liveness.status().dpd.unwrap().next_probe;
    assert_eq!(next, Some(worker.start + ms(10_010)));
    let replayed = worker.reply(ms(20), &sent[0]);
    assert_eq!(replayed, Err(DropReason::KeepaliveStale));
    let mut other = Worker::new(LivenessConfig {
        tunnel_id: 2,
        ..over_ike(None, echo())
    });
    other.established(ms(0));
    let forged = other.turn_over_ike(ms(0));
    let forged = worker.reply(ms(30), &forged[0]);
    assert_eq!(forged, Err(DropReason::KeepaliveStale));
    assert_eq!(worker.liveness.status().dpd.unwrap().next_probe, next);
}

#[test]
fn a_bare_answer_does_not_reach_dead_peer_detection() {
    let keepalive = Keepalive {
        payload: false,
        ..Keepalive::default()
    };
    let mut worker = Worker::new(LivenessConfig {
        keepalive: Some(keepalive),
        ..over_ike(Some(watched()), Probe::GreKeepalive)
    });
    worker.established(ms(0));
    worker.beat(ms(0));
    assert_eq!(worker.liveness.state(), State::Up);
    let next = worker.liveness.status().dpd.unwrap().next_probe;
    assert_eq!(next, Some(worker.start + seconds(10)));
}

#[test]
fn without_ike_a_tunnel_knows_neither_sas_nor_probes_over_ike() {
    let mut worker = Worker::new(LivenessConfig {
        has_ike: false,
        ..over_ike(Some(watched()), echo())
    });
    assert_eq!(worker.liveness.state(), State::Up);
    worker.established(seconds(1));
    worker.sa_gone(seconds(1), DownReason::IkeDown);
    worker.alive(seconds(1));
    assert_eq!(worker.liveness.state(), State::Up);
    assert_eq!(worker.due(), None);
    let status = worker.liveness.status();
    assert_eq!(
        (status.proof, status.dpd, status.last_proof),
        (None, None, None)
    );
}
