//! Dead peer detection (RFC 7296 section 2.4) at the pace of routers: when to ask over IKE whether the peer lives, and when it is dead.
//!
//! The first probe is due `interval` after the peer was last heard, and each fresh authenticated packet moves it; on demand it also
//! takes that user data left since. A probe without an answer for `retry` is followed by the next, and the peer is dead when `attempts`
//! of them were sent in vain, so at most `interval + attempts × retry` after it was last heard. The steady `retry` departs from the
//! exponential back-off of that section; `attempts` bounds it.
//!
//! The deadline stays where it is while packets arrive, and moves only when it is reached: noting a packet is a store or two.

use std::time::{Duration, Instant};

use super::pace::SCHEDULING_SLACK;

/// When probes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpdMode {
    /// Whenever the peer was not heard for the interval.
    Periodic,
    /// Only when besides there is user data to send.
    #[default]
    OnDemand,
}

impl DpdMode {
    /// The name in the configuration and in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::OnDemand => "on-demand",
        }
    }
}

/// How a peer is watched over IKE. Values outside their bounds are brought into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpdConfig {
    /// When probes are sent.
    pub mode: DpdMode,
    /// From the last sign of life to the first probe, [`Self::INTERVAL_MIN`]`..=`[`Self::INTERVAL_MAX`].
    pub interval: Duration,
    /// What each probe has for its answer, [`Self::RETRY_MIN`]`..=`[`Self::RETRY_MAX`].
    pub retry: Duration,
    /// Probes without an answer that make the verdict, 1..=[`Self::ATTEMPTS_MAX`].
    pub attempts: u16,
    /// How long user data may leave and none come in while IKE answers, before [`Event::NoData`](super::Event::NoData); without it no such
    /// silence is suspicious.
    pub no_data: Option<Duration>,
}

impl DpdConfig {
    /// The shortest interval.
    pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
    /// The longest interval.
    pub const INTERVAL_MAX: Duration = Duration::from_secs(3_600);
    /// The shortest retry pace.
    pub const RETRY_MIN: Duration = Duration::from_millis(200);
    /// The longest retry pace.
    pub const RETRY_MAX: Duration = Duration::from_secs(60);
    /// The most attempts.
    pub const ATTEMPTS_MAX: u16 = 20;

    /// The longest time from the last sign of life to the verdict, `interval + attempts × retry` and 10 ms for a timer that runs late;
    /// on demand, if user data leaves before the interval is over, else `attempts × retry` after it leaves.
    #[must_use]
    pub fn worst_case(self) -> Duration {
        let bounded = self.bounded();
        bounded.interval + bounded.retry * u32::from(bounded.attempts) + SCHEDULING_SLACK
    }

    fn bounded(self) -> Self {
        Self {
            interval: self.interval.clamp(Self::INTERVAL_MIN, Self::INTERVAL_MAX),
            retry: self.retry.clamp(Self::RETRY_MIN, Self::RETRY_MAX),
            attempts: self.attempts.clamp(1, Self::ATTEMPTS_MAX),
            ..self
        }
    }
}

impl Default for DpdConfig {
    /// Periodic, 10 s, 2 s, 5 attempts.
    fn default() -> Self {
        Self {
            mode: DpdMode::Periodic,
            interval: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            attempts: 5,
            no_data: None,
        }
    }
}

/// What dead peer detection did and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpdStatus {
    /// Probes sent since the peer was last heard.
    pub attempts_outstanding: u16,
    /// Probes sent in all.
    pub probes_sent: u64,
    /// How often IKE was heard again after one probe or several.
    pub answered: u64,
    /// When the next probe is due if the peer is not heard before; on demand, none while there is nothing to send.
    pub next_probe: Option<Instant>,
}

/// What to do at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpdTick {
    /// None is reached.
    Idle,
    /// Send a probe.
    Probe {
        /// Its number since the peer was last heard, from 1.
        attempt: u16,
        /// The probes without an answer so far, if the one before this became one of them.
        missed: Option<u16>,
    },
    /// The peer is dead. Nothing is due any more.
    Dead {
        /// The probes that had all their time and no answer.
        misses: u16,
        /// When the first probe was sent.
        first_unanswered: Instant,
    },
}

/// Probes without an answer.
#[derive(Clone, Copy, Debug)]
struct Round {
    first_sent: Instant,
    /// When the last one has had its time.
    next: Instant,
    sent: u16,
    misses: u16,
}

/// Dead peer detection of one IKE SA and its children.
#[derive(Debug)]
pub struct Dpd {
    config: DpdConfig,
    is_running: bool,
    last_inbound: Instant,
    /// When user data first left since then.
    outbound_since: Option<Instant>,
    round: Option<Round>,
    /// Not after the deadline; possibly before it.
    timer: Option<Instant>,
    awaits_answer: bool,
    probes_sent: u64,
    answered: u64,
}

impl Dpd {
    /// Dead peer detection that begins with [`Self::start`].
    #[must_use]
    pub fn new(config: DpdConfig, now: Instant) -> Self {
        Self {
            config: config.bounded(),
            is_running: false,
            last_inbound: now,
            outbound_since: None,
            round: None,
            timer: None,
            awaits_answer: false,
            probes_sent: 0,
            answered: 0,
        }
    }

    /// Begins, with a peer that was heard just then. While it runs, this changes nothing.
    pub fn start(&mut self, now: Instant) {
        if self.is_running {
            return;
        }
        self.is_running = true;
        self.last_inbound = now;
        self.timer = self.deadline();
    }

    /// Ends until the next [`Self::start`].
    pub fn stop(&mut self) {
        self.is_running = false;
        self.outbound_since = None;
        self.round = None;
        self.timer = None;
        self.awaits_answer = false;
    }

    /// When [`Self::handle_timeout`] is due: not after a deadline, possibly before it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }

    /// Takes a fresh packet that came authenticated under the IKE SA or one of its children.
    #[inline]
    pub fn handle_inbound(&mut self, now: Instant) {
        self.last_inbound = now;
        self.outbound_since = None;
        if self.round.is_some() {
            self.end_round();
        }
    }

    /// The same for one under the IKE SA itself; whether it is the first since a probe.
    pub fn handle_alive(&mut self, now: Instant) -> bool {
        self.handle_inbound(now);
        let is_answer = std::mem::take(&mut self.awaits_answer);
        self.answered += u64::from(is_answer);
        is_answer
    }

    /// Takes that user data left; whether a deadline came nearer.
    #[inline]
    pub fn handle_outbound(&mut self, now: Instant) -> bool {
        if self.config.mode == DpdMode::Periodic
            || self.outbound_since.is_some()
            || !self.is_running
        {
            return false;
        }
        self.outbound_since = Some(now);
        if self.timer.is_some() {
            return false;
        }
        self.timer = self.deadline();
        true
    }

    /// Judges and says what to send. Every packet that had arrived must have been handled before.
    ///
    /// A probe is no miss when the timer came late by more than a quarter of `retry`: the next one has all its time. Only when twice
    /// `attempts` were sent is the peer dead although the timer is late.
    pub fn handle_timeout(&mut self, now: Instant) -> DpdTick {
        if self.timer.is_none_or(|timer| now < timer) {
            return DpdTick::Idle;
        }
        let tick = match (self.round, self.deadline()) {
            (Some(round), _) => self.judge(now, round),
            (None, Some(due)) if due <= now => self.begin(now, due),
            (None, _) => DpdTick::Idle,
        };
        self.timer = self.deadline();
        tick
    }

    /// Whether a probe is without an answer.
    #[inline]
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.round.is_some()
    }

    /// Probes that had their time and no answer.
    #[must_use]
    pub fn misses(&self) -> u16 {
        self.round.map_or(0, |round| round.misses)
    }

    /// When the first of the probes without an answer was sent.
    #[must_use]
    pub fn first_unanswered(&self) -> Option<Instant> {
        self.round.map(|round| round.first_sent)
    }

    /// What `status` shows.
    #[must_use]
    pub fn status(&self) -> DpdStatus {
        DpdStatus {
            attempts_outstanding: self.round.map_or(0, |round| round.sent),
            probes_sent: self.probes_sent,
            answered: self.answered,
            next_probe: self.deadline(),
        }
    }

    #[cold]
    fn end_round(&mut self) {
        self.round = None;
        self.timer = self.deadline();
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.is_running {
            return None;
        }
        if let Some(round) = self.round {
            return Some(round.next);
        }
        let silent = self.last_inbound + self.config.interval;
        match self.config.mode {
            DpdMode::Periodic => Some(silent),
            DpdMode::OnDemand => self.outbound_since.map(|since| since.max(silent)),
        }
    }

    fn is_late(&self, now: Instant, due: Instant) -> bool {
        now.saturating_duration_since(due) > self.config.retry / 4
    }

    fn begin(&mut self, now: Instant, due: Instant) -> DpdTick {
        let round = Round {
            first_sent: now,
            next: due,
            sent: 0,
            misses: 0,
        };
        DpdTick::Probe {
            attempt: self.send(now, due, round),
            missed: None,
        }
    }

    fn judge(&mut self, now: Instant, round: Round) -> DpdTick {
        let is_miss = !self.is_late(now, round.next);
        let misses = round.misses + u16::from(is_miss);
        let first_unanswered = round.first_sent;
        let attempts = self.config.attempts;
        if misses >= attempts || round.sent >= attempts * 2 {
            self.stop();
            return DpdTick::Dead {
                misses,
                first_unanswered,
            };
        }
        let attempt = self.send(now, round.next, Round { misses, ..round });
        DpdTick::Probe {
            attempt,
            missed: is_miss.then_some(misses),
        }
    }

    /// Sends the next probe of `round`, which was due at `due`, and gives its number.
    fn send(&mut self, now: Instant, due: Instant, round: Round) -> u16 {
        let beat = if self.is_late(now, due) { now } else { due };
        let sent = round.sent + 1;
        self.round = Some(Round {
            next: beat + self.config.retry,
            sent,
            ..round
        });
        self.probes_sent += 1;
        self.awaits_answer = true;
        sent
    }
}

#[cfg(test)]
mod tests;
