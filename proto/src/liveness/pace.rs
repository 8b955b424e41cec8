//! How often a peer is asked, and how long it takes to find it dead.

use std::time::Duration;

/// How far a timer may be late by the scheduler's doing before a worst case no longer holds.
pub(super) const SCHEDULING_SLACK: Duration = Duration::from_millis(10);

/// How often requests are sent, and how many may stay without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    period: Duration,
    retries: u8,
}

impl Pace {
    /// 5 s, 3 retries.
    pub const HUAWEI: Self = Self {
        period: Duration::from_secs(5),
        retries: 3,
    };
    /// 10 s, 3 retries.
    pub const CISCO: Self = Self {
        period: Duration::from_secs(10),
        retries: 3,
    };
    /// The shortest period.
    pub const PERIOD_MIN: Duration = Duration::from_millis(100);
    /// The longest period.
    pub const PERIOD_MAX: Duration = Duration::from_secs(32_767);

    /// A request every `period`, brought into [`Self::PERIOD_MIN`]`..=`[`Self::PERIOD_MAX`], and `retries` of them, at least 1,
    /// without an answer before the verdict.
    #[must_use]
    pub fn new(period: Duration, retries: u8) -> Self {
        Self {
            period: period.clamp(Self::PERIOD_MIN, Self::PERIOD_MAX),
            retries: retries.max(1),
        }
    }

    /// Time between two requests.
    #[must_use]
    pub const fn period(self) -> Duration {
        self.period
    }

    /// Requests without an answer that make the verdict.
    #[must_use]
    pub const fn retries(self) -> u8 {
        self.retries
    }

    /// The detection time, `retries` × `period`: from the first request without an answer to the verdict.
    #[must_use]
    pub fn detection(self) -> Duration {
        self.period * u32::from(self.retries)
    }

    /// The longest time from the last answer to the verdict: see [`worst_case`].
    #[must_use]
    pub fn worst_case(self) -> Duration {
        worst_case(self.period, self.retries)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::HUAWEI
    }
}

/// The longest time from a peer's last answer to the verdict, (`retries` + 1) × `period` + 10 ms: the next request may be a
/// whole period away, and the scheduler may run the timer late.
#[must_use]
pub fn worst_case(period: Duration, retries: u8) -> Duration {
    period * (u32::from(retries) + 1) + SCHEDULING_SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_cases_of_the_two_profiles() {
        assert_eq!(Pace::HUAWEI.worst_case(), Duration::from_millis(20_010));
        assert_eq!(Pace::CISCO.worst_case(), Duration::from_millis(40_010));
        assert_eq!(Pace::default(), Pace::HUAWEI);
        assert_eq!(Pace::HUAWEI.detection(), Duration::from_secs(15));
    }

    #[test]
    fn a_pace_keeps_to_its_bounds() {
        let pace = Pace::new(Duration::ZERO, 0);
        assert_eq!((pace.period(), pace.retries()), (Pace::PERIOD_MIN, 1));
        assert_eq!(Pace::new(Duration::MAX, 255).period(), Pace::PERIOD_MAX);
    }
}
