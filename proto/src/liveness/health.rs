//! The verdict on a tunnel: what its keepalives and its operator say, in one state.
//!
//! | from | an answer | authenticated data | a miss | a detection time without either |
//! |---|---|---|---|---|
//! | Probing | Up; with damping after enough of them | Up; with damping nothing | | Down |
//! | Up | | | Suspect | Down |
//! | Suspect | Up | Up | | Down |
//! | Down (unanswered) | Up; with damping Probing | Up; with damping nothing | | |
//!
//! A fresh IKE message ends a suspicion that has no other ground than IKE's silence. Down for any other reason ends with that reason only, in [`Health::start`].

use std::time::Instant;

/// With damping, the largest hold count is this many times the first one, as OpenBSD's gre(4) has it.
const HOLD_GROWTH_MAX: u16 = 16;

/// Whether a tunnel may forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No answer yet, or, with damping, not enough of them: nothing is forwarded.
    Probing,
    /// The peer answers.
    Up,
    /// A request went without an answer for its period; forwarding goes on.
    Suspect,
    /// Nothing is forwarded.
    Down(DownReason),
}

impl State {
    /// The name in `status`, events and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down(_) => "down",
        }
    }

    /// Whether packets pass in this state.
    #[must_use]
    pub const fn forwards(self) -> bool {
        matches!(self, Self::Up | Self::Suspect)
    }
}

/// Why a tunnel is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// No request was answered for one detection time.
    KeepaliveUnanswered,
    /// The operator took it down.
    AdminDown,
    /// No remote name resolves, or there is no local address to send from.
    NoAddress,
    /// The tunnel's interface was deleted.
    DeviceGone,
    /// There is no SA to send under.
    NoSa,
    /// The SA reached a hard limit (RFC 4301 section 4.4.2.1) and there is no other.
    SaExpired,
    /// No probe over IKE was answered (RFC 7296 section 2.4).
    DpdTimeout,
    /// The IKE SA ended, by the peer's doing or for want of an answer.
    IkeDown,
    /// The operator had the SAs deleted.
    Cleared,
    /// No user data passed for the time that was set.
    Idle,
}

impl DownReason {
    /// The name in `status`, events and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeepaliveUnanswered => "keepalive_unanswered",
            Self::AdminDown => "admin_down",
            Self::NoAddress => "no_address",
            Self::DeviceGone => "device_gone",
            Self::NoSa => "no_sa",
            Self::SaExpired => "sa_expired",
            Self::DpdTimeout => "dpd_timeout",
            Self::IkeDown => "ike_down",
            Self::Cleared => "cleared",
            Self::Idle => "idle",
        }
    }
}

/// The state in which a tunnel with keepalives starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initial {
    /// Not forwarding until the first answer.
    #[default]
    Probing,
    /// Forwarding at once, as routers do.
    Up,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after, never the same.
    pub to: State,
}

/// How many answers a tunnel that comes back must collect: the count doubles with each return, up to 16 times its first value,
/// and falls by one with each answer while up.
#[derive(Clone, Copy, Debug)]
struct Damping {
    first: u16,
    next: u16,
    /// Answers still to come, in a hold.
    holding: Option<u16>,
}

impl Damping {
    fn new(retries: u8) -> Self {
        let first = u16::from(retries.max(1));
        Self {
            first,
            next: first,
            holding: None,
        }
    }

    /// Takes an answer while not up, and says whether it was the last one needed.
    fn release(&mut self) -> bool {
        match self.holding {
            None => {
                self.holding = Some(self.next);
                self.next = (self.next * 2).min(self.first * HOLD_GROWTH_MAX);
                false
            }
            Some(left) if left > 1 => {
                self.holding = Some(left - 1);
                false
            }
            Some(_) => {
                self.holding = None;
                true
            }
        }
    }

    fn decay(&mut self) {
        self.next = self.next.saturating_sub(1).max(self.first);
    }
}

/// The state of one tunnel.
#[derive(Debug)]
pub struct Health {
    state: State,
    since: Instant,
    last_proof: Option<Instant>,
    damping: Option<Damping>,
}

impl Health {
    /// A tunnel that is down for want of an SA, until [`Self::start`].
    #[must_use]
    pub fn without_sa(damping: Option<u8>, now: Instant) -> Self {
        Self {
            state: State::Down(DownReason::NoSa),
            ..Self::new(Initial::Probing, damping, now)
        }
    }

    /// A tunnel that starts in `initial`; `damping` is the first hold count (the retries), or `None` for none.
    #[must_use]
    pub fn new(initial: Initial, damping: Option<u8>, now: Instant) -> Self {
        Self {
            state: start_state(initial),
            since: now,
            last_proof: None,
            damping: damping.map(Damping::new),
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// When that state began.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// When an answer, authenticated user data or a fresh IKE message last proved the peer alive.
    #[must_use]
    pub fn last_proof(&self) -> Option<Instant> {
        self.last_proof
    }

    /// Answers that damping still waits for before the tunnel comes up.
    #[must_use]
    pub fn answers_to_come(&self) -> Option<u16> {
        self.damping.and_then(|damping| damping.holding)
    }

    /// Takes a verified answer of the peer.
    pub fn handle_proof(&mut self, now: Instant) -> Option<Transition> {
        let to = match self.state {
            State::Up | State::Suspect => {
                if let Some(damping) = &mut self.damping {
                    damping.decay();
                }
                State::Up
            }
            State::Probing | State::Down(DownReason::KeepaliveUnanswered) => {
                if self.damping.as_mut().is_none_or(Damping::release) {
                    State::Up
                } else {
                    State::Probing
                }
            }
            State::Down(_) => return None,
        };
        self.last_proof = Some(now);
        self.enter(now, to)
    }

    /// Takes user data that came authenticated: as an answer, except that damping neither counts it for a hold nor decays by it.
    #[inline]
    pub fn handle_inbound(&mut self, now: Instant) -> Option<Transition> {
        if !self.hears_data() {
            return None;
        }
        self.last_proof = Some(now);
        self.enter(now, State::Up)
    }

    /// Whether user data proves anything in this state: not against another reason to be down than silence, and not in a hold of
    /// damping or before one.
    #[inline]
    #[must_use]
    pub fn hears_data(&self) -> bool {
        match self.state {
            State::Up | State::Suspect => true,
            State::Probing | State::Down(DownReason::KeepaliveUnanswered) => self.damping.is_none(),
            State::Down(_) => false,
        }
    }

    /// Takes a fresh IKE message: the peer lives, which says nothing about data. `ends_suspicion` tells that nothing else is held against it.
    pub fn handle_alive(&mut self, now: Instant, ends_suspicion: bool) -> Option<Transition> {
        match self.state {
            State::Suspect if ends_suspicion => {
                self.last_proof = Some(now);
                self.enter(now, State::Up)
            }
            State::Probing | State::Up | State::Suspect => {
                self.last_proof = Some(now);
                None
            }
            State::Down(_) => None,
        }
    }

    /// Takes that data is supposed to pass, without a proof.
    pub fn handle_supposed(&mut self, now: Instant) -> Option<Transition> {
        match self.state {
            State::Probing => self.enter(now, State::Up),
            State::Up | State::Suspect | State::Down(_) => None,
        }
    }

    /// Takes that a request is without an answer for its period.
    pub fn handle_miss(&mut self, now: Instant) -> Option<Transition> {
        match self.state {
            State::Up => self.enter(now, State::Suspect),
            State::Probing | State::Suspect | State::Down(_) => None,
        }
    }

    /// Takes that one detection time went by without an answer.
    pub fn handle_exhausted(&mut self, now: Instant) -> Option<Transition> {
        match self.state {
            State::Down(_) => None,
            State::Probing | State::Up | State::Suspect => {
                self.take_down(now, DownReason::KeepaliveUnanswered)
            }
        }
    }

    /// Goes down for `reason`, whatever the state.
    pub fn take_down(&mut self, now: Instant, reason: DownReason) -> Option<Transition> {
        if let Some(damping) = &mut self.damping {
            damping.holding = None;
        }
        self.enter(now, State::Down(reason))
    }

    /// Starts over in `initial`, as after a reason to be down that is gone; damping remembers the returns before.
    pub fn start(&mut self, now: Instant, initial: Initial) -> Option<Transition> {
        self.enter(now, start_state(initial))
    }

    fn enter(&mut self, now: Instant, to: State) -> Option<Transition> {
        let from = self.state;
        if from == to {
            return None;
        }
        self.state = to;
        self.since = now;
        Some(Transition { from, to })
    }
}

fn start_state(initial: Initial) -> State {
    match initial {
        Initial::Probing => State::Probing,
        Initial::Up => State::Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::testing::epoch;
    use std::time::Duration;

    const UNANSWERED: State = State::Down(DownReason::KeepaliveUnanswered);

    fn answers_until_up(health: &mut Health, now: Instant) -> u32 {
        (1..1000)
            .find(|_| {
                health.handle_proof(now);
                health.state() == State::Up
            })
            .unwrap()
    }

    #[test]
    fn probing_ends_with_the_first_answer() {
        let now = epoch();
        let mut health = Health::new(Initial::Probing, None, now);
        assert!(!health.state().forwards());
        let to = State::Up;
        let from = State::Probing;
        assert_eq!(health.handle_proof(now), Some(Transition { from, to }));
        assert_eq!(health.handle_proof(now), None);
        assert_eq!(health.last_proof(), Some(now));
    }

    #[test]
    fn a_miss_makes_suspect_and_forwarding_goes_on() {
        let now = epoch();
        let mut health = Health::new(Initial::Up, None, now);
        let later = now + Duration::from_secs(1);
        assert_eq!(health.handle_miss(later).unwrap().to, State::Suspect);
        assert!(health.state().forwards());
        assert_eq!(health.since(), later);
        assert_eq!(health.handle_miss(later), None);
        assert_eq!(health.handle_proof(later).unwrap().to, State::Up);
    }

    #[test]
    fn one_detection_time_without_an_answer_takes_every_state_down_once() {
        let now = epoch();
        for initial in [Initial::Probing, Initial::Up] {
            let mut health = Health::new(initial, None, now);
            assert_eq!(health.handle_exhausted(now).unwrap().to, UNANSWERED);
            assert_eq!(health.handle_exhausted(now), None);
            assert_eq!(health.handle_miss(now), None);
            assert_eq!(health.handle_proof(now).unwrap().to, State::Up);
        }
    }

    #[test]
    fn an_answer_lifts_no_reason_but_its_own() {
        let now = epoch();
        let reasons = [
            DownReason::AdminDown,
            DownReason::NoAddress,
            DownReason::DeviceGone,
            DownReason::NoSa,
            DownReason::SaExpired,
            DownReason::DpdTimeout,
            DownReason::IkeDown,
            DownReason::Cleared,
            DownReason::Idle,
        ];
        for reason in reasons {
            let mut health = Health::new(Initial::Up, None, now);
            assert_eq!(
                health.take_down(now, reason).unwrap().to,
                State::Down(reason)
            );
            assert_eq!(health.handle_proof(now), None);
            assert_eq!(health.handle_inbound(now), None);
            assert_eq!(health.handle_alive(now, true), None);
            assert_eq!(health.last_proof(), None);
            assert_eq!(health.handle_exhausted(now), None);
            assert_eq!(
                health.start(now, Initial::Probing).unwrap().to,
                State::Probing
            );
        }
    }

    #[test]
    fn damping_doubles_the_hold_count_with_each_return_up_to_sixteen_times() {
        let now = epoch();
        let mut health = Health::new(Initial::Probing, Some(3), now);
        let mut needed = Vec::new();
        for _ in 0..7 {
            needed.push(answers_until_up(&mut health, now));
            health.handle_exhausted(now);
        }
        assert_eq!(needed, [4, 7, 13, 25, 49, 49, 49]);
    }

    #[test]
    fn damping_decays_by_one_with_each_answer_while_up() {
        let now = epoch();
        let mut health = Health::new(Initial::Probing, Some(3), now);
        answers_until_up(&mut health, now);
        health.handle_proof(now);
        health.handle_miss(now);
        health.handle_proof(now);
        health.handle_exhausted(now);
        assert_eq!(answers_until_up(&mut health, now), 5);
        for _ in 0..100 {
            health.handle_proof(now);
        }
        health.handle_exhausted(now);
        assert_eq!(answers_until_up(&mut health, now), 4);
    }

    #[test]
    fn a_hold_that_sees_no_answer_for_a_detection_time_starts_over() {
        let now = epoch();
        let mut health = Health::new(Initial::Probing, Some(2), now);
        health.handle_proof(now);
        assert_eq!(health.answers_to_come(), Some(2));
        assert_eq!(health.handle_exhausted(now).unwrap().to, UNANSWERED);
        assert_eq!(health.answers_to_come(), None);
        assert_eq!(health.handle_proof(now).unwrap().to, State::Probing);
        assert_eq!(health.answers_to_come(), Some(4));
    }
}
