//! Peers that do not answer IKE's probes.

use super::*;

#[test]
fn a_peer_that_does_not_answer_is_never_asked_and_never_dead_for_its_silence() {
    let mut worker = Worker::new(over_ike(Some(watched()), Probe::None));
    worker.liveness.set_answers_probes(worker.start, false);
    worker.established(ms(0));
    assert_eq!(worker.run(seconds(1_000)), []);
    assert_eq!(worker.liveness.state(), State::Up);
    assert_eq!(worker.liveness.status().dpd.unwrap().probes_sent, 0);
}

#[test]
fn who_answers_from_its_next_sa_on_is_asked_from_then_on() {
    let mut worker = Worker::new(over_ike(Some(watched()), Probe::None));
    worker.liveness.set_answers_probes(worker.start, false);
    worker.established(ms(0));
    let later = worker.start + seconds(100);
    worker.liveness.set_answers_probes(later, true);
    assert_eq!(worker.run(seconds(111)), [seconds(110)]);
    let later = worker.start + seconds(111);
    worker.liveness.set_answers_probes(later, false);
    assert_eq!(worker.run(seconds(1_000)), []);
    assert_eq!(worker.liveness.state(), State::Up);
}
