//! The search for the highest rate that loses next to nothing, as RFC 2544 section 26.1 has it: a bracket that halves.
//!
//! The bracket's upper end begins at what a flood could offer at all, the first guess a little below what arrived of it.

/// At most one packet in a thousand may be lost.
const MAX_LOSS: f64 = 0.001;
/// The bracket is narrow enough when it is less than this part of its upper end.
const PRECISION: f64 = 0.03;
const FIRST_GUESS: f64 = 0.9;
/// How far to go down while nothing has passed.
const DOWN: f64 = 0.6;
const MAX_TRIALS: u32 = 16;
/// A slower trial would be over before its first packet.
const SLOWEST: f64 = 1.0;

/// What a trial showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trial {
    /// Packets a second that were offered.
    pub(super) offered: f64,
    /// Packets a second that arrived.
    pub(super) delivered: f64,
    /// Which part was lost.
    pub(super) loss: f64,
}

impl Trial {
    /// Whether it lost no more than allowed.
    pub(super) fn passed(&self) -> bool {
        self.loss <= MAX_LOSS
    }
}

/// The search, driven by trials.
#[derive(Clone, Debug)]
pub(super) struct Search {
    guess: f64,
    low: f64,
    high: f64,
    best: Option<f64>,
    trials: u32,
}

impl Search {
    /// Begins with what a flood showed.
    pub(super) fn new(flood: &Trial) -> Self {
        let best = flood.passed().then_some(flood.delivered);
        Self {
            guess: (flood.delivered * FIRST_GUESS).min(flood.offered),
            low: best.map_or(0.0, |_| flood.offered),
            high: flood.offered,
            best,
            trials: 0,
        }
    }

    /// The rate to try next, in packets a second; none when the search has ended.
    pub(super) fn next(&self) -> Option<f64> {
        let open = self.trials < MAX_TRIALS
            && self.guess >= SLOWEST
            && self.high - self.low > self.high * PRECISION;
        open.then_some(self.guess)
    }

    /// Takes the result of a trial at the rate that was asked for. A generator that could not offer that rate has shown its limit.
    pub(super) fn note(&mut self, asked: f64, trial: &Trial) {
        self.trials += 1;
        if trial.passed() {
            self.best = Some(
                self.best
                    .map_or(trial.delivered, |best| best.max(trial.delivered)),
            );
            self.low = self.low.max(trial.offered.min(asked));
            if trial.offered < asked * (1.0 - PRECISION) {
                self.high = self.low;
            }
        } else {
            self.high = self.high.min(asked);
        }
        self.guess = if self.low > 0.0 {
            f64::midpoint(self.low, self.high)
        } else {
            self.high * DOWN
        };
    }

    /// The highest rate that passed, in packets a second.
    pub(super) fn found(&self) -> Option<f64> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel that carries up to `capacity`, and of a flood of `flood` less than that.
    fn search(capacity: f64, flood: f64) -> (Option<f64>, u32) {
        let trial = |offered: f64, capacity: f64| {
            let delivered = offered.min(capacity);
            Trial {
                offered,
                delivered,
                loss: 1.0 - delivered / offered,
            }
        };
        let mut search = Search::new(&trial(flood, capacity * 0.8));
        while let Some(rate) = search.next() {
            search.note(rate, &trial(rate, capacity));
        }
        (search.found(), search.trials)
    }

    #[test]
    fn the_rate_is_found_within_the_precision() {
        for capacity in [100.0, 3_333.0, 150_000.0, 399_000.0] {
            let (found, trials) = search(capacity, 400_000.0);
            let found = found.unwrap();
            assert!(
                found <= capacity && found > capacity * 0.96,
                "{found} of {capacity}"
            );
            assert!(trials <= MAX_TRIALS, "{trials}");
        }
    }

    #[test]
    fn a_flood_that_loses_nothing_is_the_answer() {
        let flood = Trial {
            offered: 500.0,
            delivered: 500.0,
            loss: 0.0,
        };
        let search = Search::new(&flood);
        assert_eq!(search.next(), None);
        assert_eq!(search.found(), Some(500.0));
    }

    #[test]
    fn a_generator_at_its_limit_ends_the_search() {
        let flood = Trial {
            offered: 1000.0,
            delivered: 500.0,
            loss: 0.5,
        };
        let mut search = Search::new(&flood);
        let passed = Trial {
            offered: 300.0,
            delivered: 300.0,
            loss: 0.0,
        };
        search.note(450.0, &passed);
        assert_eq!(search.next(), None);
        assert_eq!(search.found(), Some(300.0));
    }

    #[test]
    fn a_flood_of_which_nothing_arrives_has_no_rate_to_try() {
        let dead = Trial {
            offered: 1000.0,
            delivered: 0.0,
            loss: 1.0,
        };
        let search = Search::new(&dead);
        assert_eq!((search.next(), search.found()), (None, None));
    }

    #[test]
    fn a_tunnel_that_always_loses_has_no_rate() {
        let lossy = |offered: f64| Trial {
            offered,
            delivered: offered * 0.9,
            loss: 0.1,
        };
        let mut search = Search::new(&lossy(1000.0));
        while let Some(rate) = search.next() {
            search.note(rate, &lossy(rate));
        }
        assert_eq!(search.found(), None);
    }
}
