//! What makes a tunnel with an SA go up.

use super::*;

#[test]
fn an_established_tunnel_asks_for_data_and_is_up_with_the_answer() {
    let mut worker = Worker::new(over_ike(None, echo()));
    worker.established(seconds(7));
    let probing = Event::Probing {
        evidence: evidence(None, None),
    };
    assert_eq!(worker.events(), [probing]);
    let sent = worker.turn_over_ike(seconds(7));
    assert_eq!(sent.len(), 1);
    assert_eq!(worker.liveness.status().proof, None);
    let round_trip = worker.reply(seconds(7) + ms(30), &sent[0]);
    assert_eq!(round_trip.unwrap().unwrap().rtt, ms(30));
    assert_eq!(worker.events(), [up(evidence(Some(ms(30)), None))]);
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    assert_eq!(worker.due(), None, "the proof is there");
    assert_eq!(worker.liveness.status().statistics, None);
}

#[test]
fn the_proof_may_be_a_gre_keepalive_through_the_sa() {
    let mut worker = Worker::new(over_ike(None, Probe::GreKeepalive));
    worker.established(ms(0));
    let sent = worker.turn(ms(0));
    assert_eq!(sent[0].inner().len(), 40);
    worker.reflect(ms(10), &sent[0]).unwrap().unwrap();
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    let again = worker.reflect(ms(20), &sent[0]);
    assert_eq!(again, Err(DropReason::KeepaliveStale));
}

#[test]
fn the_peers_first_data_is_proof_enough() {
    let mut worker = Worker::new(over_ike(None, echo()));
    worker.established(ms(0));
    worker.turn_over_ike(ms(0));
    worker.data_in(ms(20));
    assert!(worker.liveness.may_forward());
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    assert_eq!(worker.due(), None);
}

#[test]
fn after_three_requests_a_second_apart_without_an_answer_a_tunnel_is_up_without_proof() {
    let mut worker = Worker::new(over_ike(None, echo()));
    worker.established(ms(0));
    let mut requests = Vec::new();
    for n in 0..3 {
        assert_eq!(worker.due(), Some(seconds(n)));
        requests.extend(worker.turn_over_ike(seconds(n)));
    }
    assert_eq!(requests.len(), 3);
    worker.events();
    assert!(!worker.liveness.may_forward());
    assert_eq!(worker.turn_over_ike(seconds(3)), []);
    assert_eq!(worker.events(), [up(evidence(Some(seconds(3)), None))]);
    assert_eq!(worker.liveness.status().proof, Some(Proof::None));
    assert_eq!(worker.due(), None);
    let late = worker.reply(seconds(4), &requests[2]);
    assert!(late.unwrap().is_some(), "a late answer is one");
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
}

#[test]
fn the_requests_for_a_proof_are_no_evidence_of_what_comes_after_it() {
    let mut worker = Worker::new(over_ike(Some(watched()), echo()));
    worker.established(ms(0));
    worker.run(seconds(3));
    assert_eq!(worker.liveness.state(), State::Up);
    worker.alive(seconds(4));
    worker.events();
    worker.run(seconds(16));
    let suspect = Event::Suspect {
        evidence: evidence(Some(seconds(2)), Some(seconds(12))),
    };
    assert!(worker.events().contains(&suspect));
}

#[test]
fn data_after_an_up_without_proof_is_the_proof() {
    let mut worker = Worker::new(over_ike(None, echo()));
    worker.established(ms(0));
    worker.run(seconds(10));
    assert_eq!(worker.liveness.status().proof, Some(Proof::None));
    worker.events();
    worker.data_in(seconds(11));
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    assert_eq!(worker.events(), [], "the carrier stays");
}

#[test]
fn with_nothing_to_ask_a_tunnel_is_up_at_once_without_proof() {
    let keepalive = Some(Keepalive::default());
    for keepalive in [None, keepalive] {
        let mut worker = Worker::new(LivenessConfig {
            keepalive,
            ..over_ike(None, Probe::None)
        });
        worker.established(ms(0));
        assert_eq!(worker.events(), [up(evidence(None, None))]);
        assert_eq!(worker.liveness.status().proof, Some(Proof::None));
        assert_eq!(worker.due(), None);
    }
}

#[test]
fn a_tunnel_with_ike_and_keepalives_is_up_with_the_first_answer_only() {
    let mut worker = Worker::new(LivenessConfig {
        keepalive: Some(Keepalive::default()),
        ..over_ike(None, echo())
    });
    worker.established(ms(0));
    worker.run(seconds(14));
    assert_eq!(worker.liveness.state(), State::Probing);
    worker.run(seconds(15));
    let unanswered = State::Down(DownReason::KeepaliveUnanswered);
    assert_eq!(worker.liveness.state(), unanswered);
    let sent = worker.turn_over_ike(seconds(20));
    worker.reply(seconds(21), &sent[0]).unwrap().unwrap();
    assert_eq!(worker.liveness.status().proof, Some(Proof::Data));
    assert_eq!(worker.liveness.state(), State::Up);
}
