//! Damping against the automaton of OpenBSD's gre(4), in its own words.

use proptest::prelude::*;

use crate::liveness::testing::epoch;
use crate::liveness::{Health, Initial, State};

#[derive(Clone, Copy, Debug)]
enum Input {
    Proof,
    Miss,
    Exhausted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keepalive {
    Down,
    Hold,
    Up,
}

/// Counts down `holdcnt` from `holdmax`, which doubles with each hold and decays while up.
struct Gre {
    state: Keepalive,
    count: u16,
    holdmax: u16,
    holdcnt: u16,
}

impl Gre {
    fn proof(&mut self) {
        match self.state {
            Keepalive::Down => {
                self.state = Keepalive::Hold;
                self.holdcnt = self.holdmax;
                self.holdmax = u16::min(self.holdmax * 2, 16 * self.count);
            }
            Keepalive::Hold => {
                self.holdcnt -= 1;
                if self.holdcnt == 0 {
                    self.state = Keepalive::Up;
                }
            }
            Keepalive::Up => self.holdmax = u16::max(self.holdmax - 1, self.count),
        }
    }
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        12 => Just(Input::Proof),
        3 => Just(Input::Miss),
        1 => Just(Input::Exhausted),
    ];
    prop::collection::vec(input, 0..400)
}

proptest! {
    #[test]
    fn damping_forwards_when_the_automaton_of_openbsd_is_up(inputs in inputs(), count in 1_u8..6) {
        let now = epoch();
        let mut health = Health::new(Initial::Probing, Some(count), now);
        let holdmax = u16::from(count);
        let mut gre = Gre { state: Keepalive::Down, count: holdmax, holdmax, holdcnt: 0 };
        for input in inputs {
            match input {
                Input::Proof => {
                    health.handle_proof(now);
                    gre.proof();
                }
                Input::Miss => {
                    health.handle_miss(now);
                }
                Input::Exhausted => {
                    health.handle_exhausted(now);
                    gre.state = Keepalive::Down;
                }
            }
            prop_assert_eq!(health.state().forwards(), gre.state == Keepalive::Up);
            let held = (gre.state == Keepalive::Hold).then_some(gre.holdcnt);
            prop_assert_eq!(health.answers_to_come(), held);
        }
    }

    #[test]
    fn each_transition_leads_on_from_the_one_before(
        inputs in inputs(), is_damped: bool, is_up: bool,
    ) {
        let now = epoch();
        let initial = if is_up { Initial::Up } else { Initial::Probing };
        let mut health = Health::new(initial, is_damped.then_some(2), now);
        let mut state = health.state();
        for input in inputs {
            let transition = match input {
                Input::Proof => health.handle_proof(now),
                Input::Miss => health.handle_miss(now),
                Input::Exhausted => health.handle_exhausted(now),
            };
            if let Some(transition) = transition {
                prop_assert_eq!(transition.from, state);
                prop_assert_ne!(transition.to, state);
                state = transition.to;
            }
            prop_assert_eq!(health.state(), state);
            prop_assert!(!matches!(input, Input::Exhausted) || matches!(state, State::Down(_)));
        }
    }
}
