//! The sender under a network that loses, repeats and reorders, and a worker that stalls, against its own history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::liveness::testing::epoch;
use crate::liveness::{Answer, Pace, Sender, Tick, Verdict};

/// What the network and the worker do around one request.
#[derive(Clone, Debug)]
struct Turn {
    /// How late the worker runs the timer, in thousandths of a period.
    late: u64,
    /// When each copy of the answer arrives after the request, in thousandths of a period.
    answers: Vec<u64>,
    /// A forged answer to a request that is never made, and when.
    forged: Option<(u32, u64)>,
}

fn turn(late: impl Strategy<Value = u64>, loss: u32) -> impl Strategy<Value = Turn> {
    let delays = prop_oneof![
        loss => Just(Vec::new()),
        10 => (0_u64..900).prop_map(|delay| vec![delay]),
        2 => prop::collection::vec(0_u64..4_000, 1..4),
    ];
    let forged = prop::option::weighted(0.3, (1_000_u32.., 0_u64..1_000));
    (late, delays, forged).prop_map(|(late, answers, forged)| Turn {
        late,
        answers,
        forged,
    })
}

fn punctual() -> impl Strategy<Value = u64> {
    0_u64..=250
}

fn stalling() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..=250, 2 => 251_u64..10_000]
}

/// What happened in one run; times in thousandths of a period.
#[derive(Debug, Default)]
struct History {
    sent: Vec<u64>,
    due: Vec<u64>,
    counted: Vec<(u64, u32)>,
    verdicts: Vec<Verdict>,
}

/// Period of 1 s, so a thousandth is a millisecond.
fn run(retries: u8, turns: &[Turn]) -> History {
    let start = epoch();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut sender = Sender::new(Pace::new(Duration::from_secs(1), retries), start);
    let mut next_seq = 0;
    let mut history = History::default();
    let mut arrivals: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for turn in turns {
        let due = sender.poll_timeout().duration_since(start);
        let due = u64::try_from(due.as_millis()).unwrap();
        let now = due + turn.late;
        let later = arrivals.split_off(&(now + 1));
        for (time, seqs) in std::mem::replace(&mut arrivals, later) {
            for seq in seqs {
                if sender
                    .handle_answer(at(time), Answer::Sequence(seq))
                    .is_ok()
                {
                    history.counted.push((time, seq));
                }
            }
        }
        let Tick::Send { seq, verdict } = sender.handle_timeout(at(now), &mut next_seq) else {
            panic!("the timer is due");
        };
        history.sent.push(now);
        history.due.push(due);
        history.verdicts.push(verdict);
        for delay in &turn.answers {
            arrivals.entry(now + delay).or_default().push(seq);
        }
        if let Some((forged, delay)) = turn.forged {
            arrivals.entry(now + delay).or_default().push(forged);
        }
    }
    history
}

/// The verdict that the history up to tick `index` calls for, found by counting.
fn expected(history: &History, index: usize, retries: usize) -> &'static str {
    let now = history.sent[index];
    let answered = history.counted.iter().map(|&(time, _)| time);
    let answered = answered.filter(|&time| time <= now).max();
    let exhausted = (0..index)
        .rev()
        .find(|&tick| matches!(history.verdicts[tick], Verdict::Exhausted { .. }));
    let unanswered = (0..index)
        .filter(|&tick| answered.is_none_or(|time| history.sent[tick] > time))
        .filter(|&tick| exhausted.is_none_or(|exhausted| tick >= exhausted))
        .count();
    let is_late = now - history.due[index] > 250;
    match unanswered {
        n if n >= 2 * retries || (n >= retries && !is_late) => "exhausted",
        _ if is_late => "withheld",
        0 => "clear",
        _ => "missed",
    }
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clear => "clear",
        Verdict::Missed => "missed",
        Verdict::Exhausted { .. } => "exhausted",
        Verdict::Withheld => "withheld",
    }
}

proptest! {
    #[test]
    fn every_verdict_is_what_the_history_calls_for(
        retries in 1_u8..6, turns in prop::collection::vec(turn(stalling(), 6), 1..80),
    ) {
        // An answer that arrives in the very millisecond of a request may come before or after it.
        let turns: Vec<_> = turns
            .into_iter()
            .map(|mut turn| {
                turn.answers.iter_mut().for_each(|delay| *delay = *delay / 2 * 2 + 1);
                turn.late = turn.late / 2 * 2;
                turn
            })
            .collect();
        let history = run(retries, &turns);
        for (index, &verdict) in history.verdicts.iter().enumerate() {
            prop_assert_eq!(name(verdict), expected(&history, index, retries.into()), "tick {}", index);
        }
    }

    #[test]
    fn an_answer_counts_at_most_once_and_only_if_it_was_asked_for(
        retries in 1_u8..6, turns in prop::collection::vec(turn(stalling(), 2), 1..80),
    ) {
        let history = run(retries, &turns);
        let mut seen = BTreeSet::new();
        for &(time, seq) in &history.counted {
            prop_assert!(seen.insert(seq));
            let sent = history.sent.get(usize::try_from(seq).unwrap());
            prop_assert!(sent.is_some_and(|&sent| sent <= time));
        }
    }

    #[test]
    fn a_peer_that_answers_each_request_in_time_is_never_suspected(
        retries in 1_u8..6,
        turns in prop::collection::vec((stalling(), 0_u64..750).prop_map(|(late, delay)| Turn {
            late, answers: vec![delay], forged: None,
        }), 1..80),
    ) {
        for verdict in run(retries, &turns).verdicts {
            prop_assert!(matches!(verdict, Verdict::Clear | Verdict::Withheld));
        }
    }

    #[test]
    fn a_peer_that_dies_is_found_within_the_worst_case(
        retries in 1_u8..6,
        alive in prop::collection::vec(turn(punctual(), 2), 0..30),
        dead in prop::collection::vec(punctual(), 20),
    ) {
        let dead = dead.into_iter().map(|late| Turn { late, answers: Vec::new(), forged: None });
        let turns: Vec<_> = alive.into_iter().chain(dead).collect();
        let history = run(retries, &turns);
        let last_proof = history.counted.iter().map(|&(time, _)| time).max().unwrap_or(0);
        let (tick, _) = history
            .verdicts
            .iter()
            .enumerate()
            .find(|&(tick, verdict)| {
                history.sent[tick] > last_proof && matches!(verdict, Verdict::Exhausted { .. })
            })
            .unwrap();
        prop_assert!(history.due[tick] <= last_proof + (u64::from(retries) + 1) * 1_000);
    }

    #[test]
    fn a_worker_that_always_stalls_finds_a_dead_peer_after_twice_the_requests(
        retries in 1_u8..6, late in prop::collection::vec(251_u64..5_000, 20),
    ) {
        let turns: Vec<_> = late
            .into_iter()
            .map(|late| Turn { late, answers: Vec::new(), forged: None })
            .collect();
        let history = run(retries, &turns);
        let exhausted = |verdict: &Verdict| matches!(verdict, Verdict::Exhausted { .. });
        let tick = history.verdicts.iter().position(exhausted);
        prop_assert_eq!(tick, Some(2 * usize::from(retries)));
    }
}
