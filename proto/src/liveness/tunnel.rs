//! The liveness of one tunnel, as the worker that forwards it drives it.
//!
//! One turn of the worker: every datagram that arrived goes through [`Liveness::handle_answer`], or, after ESP,
//! [`Liveness::handle_echo_reply`], and a batch with authenticated user data is told to [`Liveness::handle_inbound`]; when
//! [`Liveness::poll_timeout`] is due, [`Liveness::handle_timeout`]; then [`Liveness::poll_transmit`] and [`Liveness::poll_event`]
//! until `None`. Each packet asks [`Liveness::may_forward`].

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::Secret;

use super::config::LivenessConfig;
use super::health::{DownReason, Health, Initial, State, Transition};
use super::requests::{Requests, Transmit};
use super::sender::{Answer, RoundTrip, Sender, Statistics, Tick, Verdict};
use super::{Event, Evidence, Path};
use crate::counters::DropReason;
use crate::wire::gre;

/// A tunnel's liveness at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// When it began.
    pub since: Instant,
    /// When an answer or authenticated user data last proved the peer alive.
    pub last_proof: Option<Instant>,
    /// Answers that damping still waits for.
    pub answers_to_come: Option<u16>,
    /// The addresses in use.
    pub path: Option<Path>,
    /// Requests over that path, if any are sent.
    pub statistics: Option<Statistics>,
    /// The preferred remote, while it is probed beside the one in use.
    pub preferred: Option<(Path, Statistics)>,
}

#[derive(Debug)]
struct Prober {
    path: Path,
    sender: Sender,
    /// Number and time of the request to transmit.
    due: Option<(u32, Instant)>,
}

impl Prober {
    fn handle_timeout(&mut self, now: Instant, next_seq: &mut u32) -> Option<Verdict> {
        match self.sender.handle_timeout(now, next_seq) {
            Tick::Idle => None,
            Tick::Send { seq, verdict } => {
                self.due = Some((seq, now));
                Some(verdict)
            }
        }
    }
}

#[derive(Debug)]
struct Preferred {
    prober: Prober,
    /// How long it must answer without a miss.
    steady: Duration,
    steady_since: Option<Instant>,
}

/// Requests, answers and verdict of one tunnel.
#[derive(Debug)]
pub struct Liveness {
    config: LivenessConfig,
    requests: Requests,
    epoch: Instant,
    is_forwarding: bool,
    path: Option<Path>,
    suspended: Option<DownReason>,
    current: Option<Prober>,
    preferred: Option<Preferred>,
    health: Health,
    next_seq: u32,
    events: VecDeque<Event>,
}

impl Liveness {
    /// A tunnel that starts at `now` over `path`, or probing in vain until it has one; `key` is the secret of this run.
    #[must_use]
    pub fn new(config: LivenessConfig, key: &Secret<16>, path: Option<Path>, now: Instant) -> Self {
        let damping = config.keepalive.filter(|_| config.damping);
        let mut liveness = Self {
            requests: Requests::new(&config, key),
            config,
            epoch: now,
            is_forwarding: false,
            path,
            suspended: None,
            current: None,
            preferred: None,
            health: Health::new(
                Initial::Probing,
                damping.map(|keepalive| keepalive.pace.retries()),
                now,
            ),
            next_seq: 0,
            events: VecDeque::new(),
        };
        liveness.start(now);
        liveness
    }

    /// Whether packets pass, either way.
    #[inline]
    #[must_use]
    pub fn may_forward(&self) -> bool {
        self.is_forwarding
    }

    /// When [`Self::handle_timeout`] is due; `None` without keepalives, without an address and while suspended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let current = self.current.iter();
        let preferred = self.preferred.iter().map(|preferred| &preferred.prober);
        current
            .chain(preferred)
            .map(|prober| prober.sender.poll_timeout())
            .min()
    }

    /// Sends and judges what is due. Every datagram that had arrived must have been handled before.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick_current(now);
        self.tick_preferred(now);
    }

    /// Takes a GRE packet from `source`, before its checksum, sequence number and key are looked at; `body` is what follows the
    /// GRE header. `Ok(None)` means that it is no answer to this tunnel, so another tunnel's or a user's packet; when no tunnel
    /// of that source takes a packet of protocol type 0, it is a [`DropReason::KeepaliveStale`].
    ///
    /// # Errors
    /// [`DropReason::KeepaliveStale`]: an answer to this tunnel, but to no request that is outstanding at `source`.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        source: IpAddr,
        header: &gre::Header,
        body: &[u8],
    ) -> Result<Option<RoundTrip>, DropReason> {
        if self.config.keepalive.is_none() {
            return Ok(None);
        }
        match self.requests.gre_answer(header, body) {
            None => Ok(None),
            Some(answer) => self.take_answer(now, Some(source), answer).map(Some),
        }
    }

    /// Takes an inner packet that came authenticated through the tunnel, nothing behind it. `Ok(None)` means that it is no
    /// reply to a probe of this tunnel, which costs a few comparisons. The reply tells by its sequence number which path the
    /// probe went over.
    ///
    /// # Errors
    /// * [`DropReason::KeepaliveMalformed`]: a reply with a wrong checksum.
    /// * [`DropReason::KeepaliveStale`]: a reply to no probe that is outstanding, or with a wrong digest.
    #[inline]
    pub fn handle_echo_reply(
        &mut self,
        now: Instant,
        inner: &[u8],
    ) -> Result<Option<RoundTrip>, DropReason> {
        if self.config.keepalive.is_none() {
            return Ok(None);
        }
        match self.requests.echo_answer(inner)? {
            None => Ok(None),
            Some(answer) => self.take_answer(now, None, answer).map(Some),
        }
    }

    /// Takes that user data came authenticated, after ICV and replay check: it proves life as an answer does, but without a
    /// round trip. The peer's own probes, warm traffic and dummies are no such data, since a peer that hears nothing sends them
    /// too.
    ///
    /// Where keepalives ask for answers it counts only after the first one: what came before a restart may come again then, and an answer
    /// is to a request of this run. It counts for no hold of damping: with damping, a tunnel that is not forwarding hears answers only. Called once a batch;
    /// while up with no request on its way it costs a store.
    #[inline]
    pub fn handle_inbound(&mut self, now: Instant) {
        if self.config.keepalive.is_some() && self.health.last_proof().is_none() {
            return;
        }
        let is_waiting = self
            .current
            .as_ref()
            .is_some_and(|prober| prober.sender.first_unanswered().is_some());
        if is_waiting || self.health.state() != State::Up {
            self.take_inbound(now);
        } else {
            self.health.handle_inbound(now);
        }
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(prober) = &mut self.current
            && let Some((seq, sent)) = prober.due.take()
        {
            let path = prober.path;
            return Some(self.transmit(path, false, seq, sent));
        }
        let prober = &mut self.preferred.as_mut()?.prober;
        let (seq, sent) = prober.due.take()?;
        let path = prober.path;
        Some(self.transmit(path, true, seq, sent))
    }

    /// Whether [`Self::poll_event`] has one.
    #[inline]
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves the tunnel to other addresses, or takes it down for want of any. The new remote has one detection time, and its
    /// first request is due at once; the state stays until an answer or that time has passed. To the preferred remote that is
    /// probed beside the one in use, the tunnel moves with its requests and answers so far, so it does not go down. The same
    /// addresses again change nothing.
    pub fn set_path(&mut self, now: Instant, path: Option<Path>) {
        if path.is_some() && path == self.path {
            return;
        }
        let had_address = self.path.is_some();
        self.path = path;
        let preferred = self.preferred.take().map(|preferred| preferred.prober);
        if self.suspended.is_some() {
            return;
        }
        match path {
            Some(path) if had_address => {
                self.current = preferred
                    .filter(|prober| prober.path == path)
                    .or_else(|| self.prober(path, now));
            }
            Some(_) => self.start(now),
            None => self.take_down(now, DownReason::NoAddress),
        }
    }

    /// Probes the preferred remote beside the one in use, until the tunnel moves or goes down; [`Event::PreferredSteady`] tells
    /// when it has answered for `steady` without a miss. Does nothing for the path in use, or while the tunnel is not forwarding.
    pub fn probe_preferred(&mut self, now: Instant, path: Path, steady: Duration) {
        if !self.is_forwarding || self.path == Some(path) {
            return;
        }
        if self
            .preferred
            .as_ref()
            .is_some_and(|known| known.prober.path == path)
        {
            return;
        }
        self.preferred = self.prober(path, now).map(|prober| Preferred {
            prober,
            steady,
            steady_since: None,
        });
    }

    /// Takes the tunnel down for a reason that is not the peer's silence, and sends nothing until [`Self::resume`].
    pub fn suspend(&mut self, now: Instant, reason: DownReason) {
        self.suspended = Some(reason);
        self.take_down(now, reason);
    }

    /// Ends [`Self::suspend`]: the tunnel starts as at first.
    pub fn resume(&mut self, now: Instant) {
        if self.suspended.take().is_some() {
            self.start(now);
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.health.state()
    }

    /// The addresses in use.
    #[must_use]
    pub fn path(&self) -> Option<Path> {
        self.path
    }

    /// Everything that `status` shows.
    #[must_use]
    pub fn status(&self) -> Status {
        let preferred = self.preferred.as_ref().map(|preferred| &preferred.prober);
        Status {
            state: self.health.state(),
            since: self.health.since(),
            last_proof: self.health.last_proof(),
            answers_to_come: self.health.answers_to_come(),
            path: self.path,
            statistics: self
                .current
                .as_ref()
                .map(|prober| prober.sender.statistics()),
            preferred: preferred.map(|prober| (prober.path, prober.sender.statistics())),
        }
    }

    fn start(&mut self, now: Instant) {
        let evidence = self.evidence(now, self.first_unanswered());
        self.preferred = None;
        self.current = self.path.and_then(|path| self.prober(path, now));
        let transition = match (self.path, self.config.keepalive) {
            (None, _) => self.health.start(now, Initial::Probing),
            (Some(_), None) => self.health.start(now, Initial::Up),
            (Some(_), Some(_)) => self.health.start(now, self.config.initial),
        };
        self.note(transition, evidence);
    }

    fn take_down(&mut self, now: Instant, reason: DownReason) {
        let evidence = self.evidence(now, self.first_unanswered());
        self.current = None;
        self.preferred = None;
        let transition = self.health.take_down(now, reason);
        self.note(transition, evidence);
    }

    fn prober(&self, path: Path, now: Instant) -> Option<Prober> {
        self.config.keepalive.map(|keepalive| Prober {
            path,
            sender: Sender::new(keepalive.pace, now),
            due: None,
        })
    }

    fn tick_current(&mut self, now: Instant) {
        let Some(prober) = &mut self.current else {
            return;
        };
        let path = prober.path;
        let Some(verdict) = prober.handle_timeout(now, &mut self.next_seq) else {
            return;
        };
        match verdict {
            Verdict::Clear | Verdict::Withheld => {}
            Verdict::Missed => {
                let evidence = self.evidence(now, self.first_unanswered());
                let transition = self.health.handle_miss(now);
                self.note(transition, evidence);
            }
            Verdict::Exhausted { first_unanswered } => {
                let evidence = self.evidence(now, Some(first_unanswered));
                let transition = self.health.handle_exhausted(now);
                self.note(transition, evidence);
                self.preferred = None;
                self.events.push_back(Event::Exhausted { path });
            }
        }
    }

    fn tick_preferred(&mut self, now: Instant) {
        let Some(preferred) = &mut self.preferred else {
            return;
        };
        let path = preferred.prober.path;
        let verdict = preferred.prober.handle_timeout(now, &mut self.next_seq);
        match verdict {
            None | Some(Verdict::Withheld) => {}
            Some(Verdict::Clear) => {
                let is_steady = preferred
                    .steady_since
                    .is_some_and(|since| now.saturating_duration_since(since) >= preferred.steady);
                if is_steady {
                    self.events.push_back(Event::PreferredSteady { path });
                }
            }
            Some(Verdict::Missed) => preferred.steady_since = None,
            Some(Verdict::Exhausted { .. }) => {
                preferred.steady_since = None;
                self.events.push_back(Event::PreferredSilent { path });
            }
        }
    }

    fn take_inbound(&mut self, now: Instant) {
        if self.path.is_none() || !self.health.hears_data() {
            return;
        }
        let evidence = self.evidence(now, self.first_unanswered());
        if let Some(prober) = &mut self.current {
            prober.sender.handle_life();
        }
        let transition = self.health.handle_inbound(now);
        self.note(transition, evidence);
    }

    /// Takes an answer from `source`, or from whichever remote was asked.
    fn take_answer(
        &mut self,
        now: Instant,
        source: Option<IpAddr>,
        answer: Answer,
    ) -> Result<RoundTrip, DropReason> {
        let evidence = self.evidence(now, self.first_unanswered());
        let is_from = |prober: &Prober| source.is_none_or(|source| source == prober.path.remote);
        if let Some(prober) = &mut self.current
            && is_from(prober)
        {
            match prober.sender.handle_answer(now, answer) {
                Ok(round_trip) => {
                    let transition = self.health.handle_proof(now);
                    self.note(transition, evidence);
                    return Ok(round_trip);
                }
                Err(reason) if source.is_some() => return Err(reason),
                Err(_) => {}
            }
        }
        if let Some(preferred) = &mut self.preferred
            && is_from(&preferred.prober)
        {
            let round_trip = preferred.prober.sender.handle_answer(now, answer)?;
            preferred.steady_since.get_or_insert(now);
            return Ok(round_trip);
        }
        Err(DropReason::KeepaliveStale)
    }

    fn transmit(&self, path: Path, is_preferred: bool, seq: u32, sent: Instant) -> Transmit {
        let time = sent.saturating_duration_since(self.epoch).as_micros();
        let [.., a, b, c, d] = time.to_be_bytes();
        let time_us = u32::from_be_bytes([a, b, c, d]);
        self.requests.transmit(path, is_preferred, seq, time_us)
    }

    fn first_unanswered(&self) -> Option<Instant> {
        self.current.as_ref()?.sender.first_unanswered()
    }

    fn evidence(&self, now: Instant, first_unanswered: Option<Instant>) -> Evidence {
        let since = |then| now.saturating_duration_since(then);
        Evidence {
            since_first_unanswered: first_unanswered.map(since),
            since_last_proof: self.health.last_proof().map(since),
        }
    }

    fn note(&mut self, transition: Option<Transition>, evidence: Evidence) {
        self.is_forwarding = self.health.state().forwards();
        let Some(Transition { from, to }) = transition else {
            return;
        };
        let path = self.path;
        self.events.push_back(match to {
            State::Up if from == State::Suspect => Event::Recovered { evidence },
            State::Up => Event::Up { path, evidence },
            State::Suspect => Event::Suspect { evidence },
            State::Probing => Event::Probing { evidence },
            State::Down(reason) => Event::Down {
                from,
                reason,
                path,
                evidence,
            },
        });
    }
}

#[cfg(test)]
mod tests;
