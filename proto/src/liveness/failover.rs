//! Which of a tunnel's remotes is in use: each gets one detection time, in order and around again; and back to the first one.
//!
//! The machine runs in the control plane, which resolves names and tells the worker. A remote that stays silent for a detection
//! time gives way to the next; its name is resolved at each attempt. While the next name resolves, the worker goes on with
//! the remote it has, and an answer from that one ends the search. With failback, while a later remote is up, the first one is
//! probed beside it and takes over once it has answered without a miss for as long as configured.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Event, Path};

/// How long after a failed resolution the next attempt is made, when there is nothing else to try.
const RESOLVE_RETRY: Duration = Duration::from_secs(5);

/// Why a remote gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveFailure {
    /// The name does not exist, or has no address.
    NotFound,
    /// The resolver failed or was not to be reached.
    Unavailable,
    /// The resolver did not answer in time.
    TimedOut,
    /// The name has no address of the tunnel's family.
    WrongFamily,
    /// The address has no route, so there is no local address to send from.
    NoRoute,
}

impl ResolveFailure {
    /// The name in `status` and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::WrongFamily => "wrong_family",
            Self::NoRoute => "no_route",
        }
    }
}

/// What is known of a remote's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was not asked for yet.
    Unknown,
    /// The last attempt gave this address.
    Address(IpAddr),
    /// The last attempt failed.
    Failed(ResolveFailure),
}

/// What the control plane is to do. `candidate` is a remote's index, the preferred one's 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Resolve the remote's name (a literal address is its own) and answer with [`Failover::handle_resolved`], also when that
    /// fails.
    Resolve {
        /// Index of the remote.
        candidate: usize,
    },
    /// Send the tunnel to this address: [`super::Liveness::set_path`]; nothing changes if it is there already.
    Use {
        /// Index of the remote.
        candidate: usize,
        /// Its address.
        address: IpAddr,
    },
    /// Probe the preferred remote beside the one in use: [`super::Liveness::probe_preferred`].
    ProbePreferred {
        /// Its address.
        address: IpAddr,
    },
    /// No remote has an address: [`super::Liveness::set_path`] with `None`.
    NoAddress,
}

/// Where the search for a remote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverState {
    /// Waiting for the resolver on behalf of this remote.
    Resolving {
        /// Index of the remote.
        candidate: usize,
    },
    /// The remote in use is up or has its detection time.
    InUse,
    /// No remote resolves; the next attempt is at this time.
    NoAddress {
        /// When the names are resolved again.
        until: Instant,
    },
}

impl FailoverState {
    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolving { .. } => "resolving",
            Self::InUse => "in_use",
            Self::NoAddress { .. } => "no_address",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failback {
    /// The preferred remote is in use, nothing is up, or failback is off.
    Idle,
    Resolving,
    Probing(IpAddr),
    Waiting(Instant),
}

/// The remotes of one tunnel.
#[derive(Debug)]
pub struct Failover {
    candidates: Vec<Resolution>,
    current: Option<(usize, IpAddr)>,
    state: FailoverState,
    /// Resolutions that failed in a row.
    failures: usize,
    has_failback: bool,
    failback: Failback,
    actions: VecDeque<Action>,
}

impl Failover {
    /// A search among `candidates` remotes (at least 1) that starts with the first; `has_failback` says whether the tunnel goes
    /// back to it from another.
    #[must_use]
    pub fn new(candidates: usize, has_failback: bool) -> Self {
        let mut failover = Self {
            candidates: vec![Resolution::Unknown; candidates.max(1)],
            current: None,
            state: FailoverState::InUse,
            failures: 0,
            has_failback,
            failback: Failback::Idle,
            actions: VecDeque::new(),
        };
        failover.restart();
        failover
    }

    /// Begins again with the first remote, as after the operator cleared the tunnel or brought it up.
    pub fn restart(&mut self) {
        self.actions.clear();
        self.failback = Failback::Idle;
        self.failures = 0;
        self.resolve(0);
    }

    /// There are so many remotes from here on (at least 1): others behind those that there were, or the last ones are gone.
    pub fn set_candidates(&mut self, candidates: usize) {
        self.candidates
            .resize(candidates.max(1), Resolution::Unknown);
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let search = match self.state {
            FailoverState::NoAddress { until } => Some(until),
            FailoverState::Resolving { .. } | FailoverState::InUse => None,
        };
        let failback = match self.failback {
            Failback::Waiting(until) => Some(until),
            Failback::Idle | Failback::Resolving | Failback::Probing(_) => None,
        };
        search.into_iter().chain(failback).min()
    }

    /// Tries again what the resolver failed at.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let FailoverState::NoAddress { until } = self.state
            && until <= now
        {
            self.failures = 0;
            self.resolve(self.next());
        }
        if let Failback::Waiting(until) = self.failback
            && until <= now
        {
            self.resolve_preferred();
        }
    }

    /// Takes the resolver's answer to [`Action::Resolve`]; one that nothing waits for is kept for `status` only.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        candidate: usize,
        resolved: Result<IpAddr, ResolveFailure>,
    ) {
        if let Some(resolution) = self.candidates.get_mut(candidate) {
            *resolution = resolved.map_or_else(Resolution::Failed, Resolution::Address);
        }
        if self.state == (FailoverState::Resolving { candidate }) {
            match resolved {
                Ok(address) => self.take(candidate, address),
                Err(_) => self.pass_over(now, candidate),
            }
        } else if candidate == 0 && self.failback == Failback::Resolving {
            self.failback = match resolved {
                Ok(address) => self.probe_preferred(address),
                Err(_) => Failback::Waiting(now + RESOLVE_RETRY),
            };
        }
    }

    /// Takes what the worker's [`super::Liveness`] said; an event about another address than the one in use is late and ignored.
    pub fn handle_event(&mut self, event: &Event) {
        match *event {
            Event::Exhausted { path } => {
                if self.state == FailoverState::InUse && self.is_current(path) {
                    self.failures = 0;
                    self.resolve(self.next());
                }
            }
            Event::Up { path, .. } => {
                if path.is_some_and(|path| self.is_current(path)) {
                    self.settle();
                }
            }
            Event::Down { .. } => self.failback = Failback::Idle,
            Event::PreferredSteady { path } => {
                if self.failback == Failback::Probing(path.remote) {
                    self.take(0, path.remote);
                }
            }
            Event::PreferredSilent { path } => {
                if self.failback == Failback::Probing(path.remote) {
                    self.resolve_preferred();
                }
            }
            Event::Probing { .. }
            | Event::Suspect { .. }
            | Event::Recovered { .. }
            | Event::DpdProbe { .. }
            | Event::DpdAnswered
            | Event::DpdMiss { .. }
            | Event::NoData => {}
        }
    }

    /// What to do next, in order, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Index and address of the remote in use.
    #[must_use]
    pub fn current(&self) -> Option<(usize, IpAddr)> {
        self.current
    }

    /// Where the search stands.
    #[must_use]
    pub fn state(&self) -> FailoverState {
        self.state
    }

    /// What is known of each remote's address, in order of preference.
    #[must_use]
    pub fn candidates(&self) -> &[Resolution] {
        &self.candidates
    }

    fn is_current(&self, path: Path) -> bool {
        self.current
            .is_some_and(|(_, address)| address == path.remote)
    }

    fn next(&self) -> usize {
        self.current
            .map_or(0, |(current, _)| (current + 1) % self.candidates.len())
    }

    fn resolve(&mut self, candidate: usize) {
        self.state = FailoverState::Resolving { candidate };
        self.actions.push_back(Action::Resolve { candidate });
    }

    fn take(&mut self, candidate: usize, address: IpAddr) {
        self.state = FailoverState::InUse;
        self.current = Some((candidate, address));
        self.failback = Failback::Idle;
        self.actions.push_back(Action::Use { candidate, address });
    }

    fn pass_over(&mut self, now: Instant, candidate: usize) {
        self.failures += 1;
        if self.failures < self.candidates.len() {
            self.resolve((candidate + 1) % self.candidates.len());
            return;
        }
        self.state = FailoverState::NoAddress {
            until: now + RESOLVE_RETRY,
        };
        if self.current.is_none() {
            self.actions.push_back(Action::NoAddress);
        }
    }

    /// The remote in use came up: the search is over, and the way back begins.
    fn settle(&mut self) {
        self.state = FailoverState::InUse;
        let is_preferred = self.current.is_some_and(|(candidate, _)| candidate == 0);
        if self.has_failback && !is_preferred && self.failback == Failback::Idle {
            self.resolve_preferred();
        }
    }

    fn resolve_preferred(&mut self) {
        self.failback = Failback::Resolving;
        self.actions.push_back(Action::Resolve { candidate: 0 });
    }

    fn probe_preferred(&mut self, address: IpAddr) -> Failback {
        if let Some((candidate, in_use)) = &mut self.current
            && *in_use == address
        {
            *candidate = 0;
            return Failback::Idle;
        }
        self.actions.push_back(Action::ProbePreferred { address });
        Failback::Probing(address)
    }
}

#[cfg(test)]
mod tests;
