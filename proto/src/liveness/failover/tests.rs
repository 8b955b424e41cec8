use super::*;
use crate::liveness::testing::{address, epoch, path};
use crate::liveness::{DownReason, Evidence, State};

const LOCAL: &str = "192.0.2.1";
const REMOTES: [&str; 3] = ["198.51.100.1", "198.51.100.2", "198.51.100.3"];

fn remote(candidate: usize) -> IpAddr {
    address(REMOTES[candidate])
}

fn to(candidate: usize) -> Path {
    path(LOCAL, REMOTES[candidate])
}

fn exhausted(candidate: usize) -> Event {
    Event::Exhausted {
        path: to(candidate),
    }
}

fn up(candidate: usize) -> Event {
    Event::Up {
        path: Some(to(candidate)),
        evidence: Evidence::default(),
    }
}

fn down(candidate: usize) -> Event {
    Event::Down {
        from: State::Suspect,
        reason: DownReason::KeepaliveUnanswered,
        path: Some(to(candidate)),
        evidence: Evidence::default(),
    }
}

fn actions(failover: &mut Failover) -> Vec<Action> {
    std::iter::from_fn(|| failover.poll_action()).collect()
}

fn resolve(candidate: usize) -> Action {
    Action::Resolve { candidate }
}

fn use_of(candidate: usize) -> Action {
    Action::Use {
        candidate,
        address: remote(candidate),
    }
}

/// Resolves `candidate` as asked and expects it to be used.
fn takes(failover: &mut Failover, now: Instant, candidate: usize) {
    assert_eq!(actions(failover), [resolve(candidate)]);
    failover.handle_resolved(now, candidate, Ok(remote(candidate)));
    assert_eq!(actions(failover), [use_of(candidate)]);
    assert_eq!(failover.current(), Some((candidate, remote(candidate))));
    assert_eq!(failover.state(), FailoverState::InUse);
}

/// Up on the second of three remotes, the first of which was silent.
fn on_the_second(now: Instant) -> Failover {
    let mut failover = Failover::new(3, true);
    takes(&mut failover, now, 0);
    failover.handle_event(&exhausted(0));
    takes(&mut failover, now, 1);
    failover.handle_event(&up(1));
    failover
}

#[test]
fn remotes_take_turns_and_start_over_after_the_last() {
    let now = epoch();
    let mut failover = Failover::new(3, false);
    for candidate in [0, 1, 2, 0, 1] {
        takes(&mut failover, now, candidate);
        failover.handle_event(&exhausted(candidate));
    }
}

#[test]
fn remotes_that_are_added_have_their_turn_after_the_others_and_those_taken_away_have_none() {
    let now = epoch();
    let mut failover = Failover::new(2, false);
    takes(&mut failover, now, 0);
    failover.set_candidates(3);
    for candidate in [1, 2, 0, 1, 2] {
        failover.handle_event(&exhausted((candidate + 2) % 3));
        takes(&mut failover, now, candidate);
    }
    failover.set_candidates(2);
    failover.handle_event(&exhausted(2));
    assert!(matches!(
        actions(&mut failover).as_slice(),
        [Action::Resolve { candidate: 0 | 1 }]
    ));
}

#[test]
fn a_single_remote_is_resolved_again_after_each_detection_time() {
    let now = epoch();
    let mut failover = Failover::new(1, true);
    for _ in 0..3 {
        takes(&mut failover, now, 0);
        failover.handle_event(&exhausted(0));
    }
}

#[test]
fn a_remote_that_does_not_resolve_is_passed_over() {
    let now = epoch();
    let mut failover = Failover::new(3, false);
    actions(&mut failover);
    failover.handle_resolved(now, 0, Err(ResolveFailure::NotFound));
    takes(&mut failover, now, 1);
    let failed = Resolution::Failed(ResolveFailure::NotFound);
    let known = Resolution::Address(remote(1));
    assert_eq!(failover.candidates(), [failed, known, Resolution::Unknown]);
}

#[test]
fn when_nothing_resolves_the_state_says_so_and_the_names_are_tried_again() {
    let now = epoch();
    let mut failover = Failover::new(2, false);
    assert_eq!(actions(&mut failover), [resolve(0)]);
    failover.handle_resolved(now, 0, Err(ResolveFailure::TimedOut));
    assert_eq!(actions(&mut failover), [resolve(1)]);
    failover.handle_resolved(now, 1, Err(ResolveFailure::Unavailable));
    assert_eq!(actions(&mut failover), [Action::NoAddress]);
    let until = now + RESOLVE_RETRY;
    assert_eq!(failover.state(), FailoverState::NoAddress { until });
    assert_eq!(failover.state().name(), "no_address");
    assert_eq!(failover.poll_timeout(), Some(until));
    failover.handle_timeout(until - Duration::from_millis(1));
    assert_eq!(actions(&mut failover), []);
    failover.handle_timeout(until);
    takes(&mut failover, until, 0);
    assert_eq!(failover.poll_timeout(), None);
}

#[test]
fn while_no_other_name_resolves_the_remote_in_use_is_kept() {
    let now = epoch();
    let mut failover = Failover::new(2, false);
    takes(&mut failover, now, 0);
    failover.handle_event(&exhausted(0));
    for candidate in [1, 0] {
        assert_eq!(actions(&mut failover), [resolve(candidate)]);
        failover.handle_resolved(now, candidate, Err(ResolveFailure::Unavailable));
    }
    assert_eq!(actions(&mut failover), []);
    failover.handle_event(&exhausted(0));
    failover.handle_event(&up(0));
    assert_eq!(failover.state(), FailoverState::InUse);
    assert_eq!(failover.poll_timeout(), None);
}

#[test]
fn an_answer_while_the_next_name_resolves_ends_the_search() {
    let now = epoch();
    let mut failover = Failover::new(2, false);
    takes(&mut failover, now, 0);
    failover.handle_event(&exhausted(0));
    failover.handle_event(&up(0));
    assert_eq!(actions(&mut failover), [resolve(1)]);
    failover.handle_resolved(now, 1, Ok(remote(1)));
    assert_eq!(actions(&mut failover), []);
    assert_eq!(failover.current(), Some((0, remote(0))));
}

#[test]
fn while_a_name_resolves_another_verdict_on_the_same_remote_asks_nothing_more() {
    let now = epoch();
    let mut failover = Failover::new(2, false);
    takes(&mut failover, now, 0);
    failover.handle_event(&exhausted(0));
    failover.handle_event(&exhausted(0));
    takes(&mut failover, now, 1);
}

#[test]
fn a_late_verdict_on_the_remote_before_is_ignored() {
    let now = epoch();
    let mut failover = Failover::new(3, false);
    takes(&mut failover, now, 0);
    failover.handle_event(&exhausted(0));
    takes(&mut failover, now, 1);
    failover.handle_event(&exhausted(0));
    failover.handle_event(&up(0));
    assert_eq!(actions(&mut failover), []);
    assert_eq!(failover.current(), Some((1, remote(1))));
}

#[test]
fn a_steady_preferred_remote_is_used_again() {
    let now = epoch();
    let mut failover = on_the_second(now);
    assert_eq!(actions(&mut failover), [resolve(0)]);
    failover.handle_resolved(now, 0, Ok(remote(0)));
    let probe = Action::ProbePreferred { address: remote(0) };
    assert_eq!(actions(&mut failover), [probe]);
    let steady = Event::PreferredSteady { path: to(0) };
    failover.handle_event(&steady);
    failover.handle_event(&steady);
    assert_eq!(actions(&mut failover), [use_of(0)]);
    assert_eq!(failover.current(), Some((0, remote(0))));
}

#[test]
fn a_silent_preferred_remote_is_resolved_again() {
    let now = epoch();
    let mut failover = on_the_second(now);
    failover.handle_resolved(now, 0, Ok(remote(0)));
    actions(&mut failover);
    failover.handle_event(&Event::PreferredSilent { path: to(0) });
    assert_eq!(actions(&mut failover), [resolve(0)]);
    failover.handle_resolved(now, 0, Err(ResolveFailure::NotFound));
    let later = now + RESOLVE_RETRY;
    assert_eq!(failover.poll_timeout(), Some(later));
    assert_eq!(failover.state(), FailoverState::InUse);
    failover.handle_timeout(later);
    assert_eq!(actions(&mut failover), [resolve(0)]);
    failover.handle_resolved(later, 0, Ok(remote(2)));
    let probe = Action::ProbePreferred { address: remote(2) };
    assert_eq!(actions(&mut failover), [probe]);
}

#[test]
fn failback_ends_when_the_remote_in_use_dies_and_begins_again_after() {
    let now = epoch();
    let mut failover = on_the_second(now);
    failover.handle_resolved(now, 0, Ok(remote(0)));
    actions(&mut failover);
    failover.handle_event(&down(1));
    failover.handle_event(&exhausted(1));
    failover.handle_event(&Event::PreferredSteady { path: to(0) });
    takes(&mut failover, now, 2);
    failover.handle_event(&up(2));
    assert_eq!(actions(&mut failover), [resolve(0)]);
}

#[test]
fn without_failback_the_tunnel_stays_where_it_came_up() {
    let now = epoch();
    let mut failover = Failover::new(2, false);
    takes(&mut failover, now, 0);
    failover.handle_event(&exhausted(0));
    takes(&mut failover, now, 1);
    failover.handle_event(&up(1));
    assert_eq!(actions(&mut failover), []);
}

#[test]
fn two_names_of_one_address_need_no_move() {
    let now = epoch();
    let mut failover = on_the_second(now);
    actions(&mut failover);
    failover.handle_resolved(now, 0, Ok(remote(1)));
    assert_eq!(actions(&mut failover), []);
    assert_eq!(failover.current(), Some((0, remote(1))));
}

#[test]
fn a_restart_begins_with_the_first_remote() {
    let now = epoch();
    let mut failover = on_the_second(now);
    failover.restart();
    takes(&mut failover, now, 0);
}
