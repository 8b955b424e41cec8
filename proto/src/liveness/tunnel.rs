//! The liveness of one tunnel, as the worker that forwards it drives it.
//!
//! One turn of the worker: every datagram that arrived goes through [`Liveness::handle_answer`], or, after ESP,
//! [`Liveness::handle_echo_reply`], and a batch with authenticated user data is told to [`Liveness::handle_inbound`], one that leaves to
//! [`Liveness::handle_outbound`]; when [`Liveness::poll_timeout`] is due, [`Liveness::handle_timeout`]; then
//! [`Liveness::poll_transmit`] and [`Liveness::poll_event`] until `None`. Each packet asks [`Liveness::may_forward`].

mod judge;
mod over_ike;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use adit_crypto::Secret;

use super::config::{LivenessConfig, Probe};
use super::health::{DownReason, Health, Initial, State, Transition};
use super::no_data::NoData;
use super::prober::{Asks, Preferred, Prober};
use super::requests::{KeepaliveRequest, Requests, Transmit};
use super::sender::RoundTrip;
use super::{Dpd, Event, Evidence, Path, Proof, Status};
use crate::counters::DropReason;
use crate::wire::gre;

/// Requests, answers and verdict of one tunnel.
#[derive(Debug)]
pub struct Liveness {
    config: LivenessConfig,
    requests: Requests,
    epoch: Instant,
    is_forwarding: bool,
    path: Option<Path>,
    suspended: Option<DownReason>,
    /// Why a tunnel with IKE has no SA.
    lacks_sa: Option<DownReason>,
    current: Option<Prober>,
    preferred: Option<Preferred>,
    health: Health,
    proof: Option<Proof>,
    dpd: Option<Dpd>,
    is_ike_probe_due: bool,
    /// The peer answers when it is asked over IKE.
    answers_probes: bool,
    no_data: Option<NoData>,
    /// A keepalive request was without an answer for its period, and nothing came since.
    has_missed: bool,
    /// A deadline came nearer since the last turn.
    is_deadline_nearer: bool,
    /// Between which addresses GRE is, where these are not the outer ones.
    gre_ends: Option<Path>,
    next_seq: u32,
    events: VecDeque<Event>,
}

impl Liveness {
    /// A tunnel that starts at `now` over `path`, or probing in vain until it has one, or, with IKE, down until
    /// [`Self::handle_established`]; `key` is the secret of this run.
    #[must_use]
    pub fn new(config: LivenessConfig, key: &Secret<16>, path: Option<Path>, now: Instant) -> Self {
        let damping = config.requests().filter(|_| config.damping);
        let damping = damping.map(|keepalive| keepalive.pace.retries());
        let dpd = config.dpd.filter(|_| config.has_ike);
        let health = if config.has_ike {
            Health::without_sa(damping, now)
        } else {
            Health::new(Initial::Probing, damping, now)
        };
        let mut liveness = Self {
            requests: Requests::new(&config, key),
            config,
            epoch: now,
            is_forwarding: false,
            path,
            suspended: None,
            lacks_sa: config.has_ike.then_some(DownReason::NoSa),
            current: None,
            preferred: None,
            health,
            proof: None,
            dpd: dpd.map(|dpd| Dpd::new(dpd, now)),
            is_ike_probe_due: false,
            answers_probes: true,
            no_data: dpd.and_then(|dpd| dpd.no_data).map(NoData::new),
            has_missed: false,
            is_deadline_nearer: false,
            gre_ends: None,
            next_seq: 0,
            events: VecDeque::new(),
        };
        if liveness.lacks_sa.is_none() {
            liveness.start(now);
        }
        liveness
    }

    /// Whether packets pass, either way.
    #[inline]
    #[must_use]
    pub fn may_forward(&self) -> bool {
        self.is_forwarding
    }

    /// When [`Self::handle_timeout`] is due, possibly before that; `None` without keepalives and dead peer detection, without an address,
    /// without an SA and while suspended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let current = self.current.iter();
        let preferred = self.preferred.iter().map(|preferred| &preferred.prober);
        let requests = current.chain(preferred).filter_map(Prober::poll_timeout);
        let dpd = self.dpd.as_ref().and_then(Dpd::poll_timeout);
        let no_data = self.no_data.as_ref().and_then(NoData::poll_timeout);
        requests.chain(dpd).chain(no_data).min()
    }

    /// Sends and judges what is due. Every datagram that had arrived must have been handled before.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick_current(now);
        self.tick_preferred(now);
        self.tick_dpd(now);
        self.tick_no_data(now);
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
        if !self.has_requests() {
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
        if !self.has_requests() {
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
    /// Where keepalives ask for answers and the SA's keys outlive a restart, so without IKE, it counts only after the first one: what came
    /// before a restart may come again then, and an answer is to a request of this run. It counts for no hold of damping: with damping, a
    /// tunnel that is not forwarding hears answers only. Called once a batch; while up with no request on its way it costs a store or two.
    #[inline]
    pub fn handle_inbound(&mut self, now: Instant) {
        if !self.config.has_ike
            && self.config.requests().is_some()
            && self.health.last_proof().is_none()
        {
            return;
        }
        if !self.is_settled() {
            return self.take_inbound(now);
        }
        self.health.handle_inbound(now);
        self.stamp_inbound(now);
    }

    /// Takes that user data was sent, not the tunnel's own requests or what fills its silences. Called once a batch.
    #[inline]
    pub fn handle_outbound(&mut self, now: Instant) {
        if let Some(dpd) = &mut self.dpd {
            self.is_deadline_nearer |= dpd.handle_outbound(now);
        }
        if let Some(no_data) = &mut self.no_data
            && self.is_forwarding
        {
            self.is_deadline_nearer |= no_data.handle_outbound(now);
        }
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if std::mem::take(&mut self.is_ike_probe_due) {
            return Some(Transmit::IkeProbe);
        }
        if let Some(prober) = &mut self.current
            && let Some((seq, sent)) = prober.due.take()
        {
            let path = prober.path;
            let request = self.request(path, false, seq, sent);
            return Some(Transmit::Keepalive(request));
        }
        let prober = &mut self.preferred.as_mut()?.prober;
        let (seq, sent) = prober.due.take()?;
        let path = prober.path;
        Some(Transmit::Keepalive(self.request(path, true, seq, sent)))
    }

    /// Whether [`Self::poll_event`] has an event, or [`Self::poll_timeout`] came nearer since that was last asked in vain.
    #[inline]
    #[must_use]
    pub fn needs_turn(&self) -> bool {
        self.is_deadline_nearer || !self.events.is_empty()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        self.is_deadline_nearer &= event.is_some();
        event
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
        if self.suspended.is_some() || self.lacks_sa.is_some() {
            return;
        }
        match path {
            Some(path) if had_address => {
                let is_proven = self.proof.is_some();
                self.current = preferred
                    .filter(|prober| prober.path == path)
                    .or_else(|| self.prober(path, now))
                    .filter(|prober| prober.asks == Asks::Always || !is_proven);
            }
            Some(_) => self.start(now),
            None => self.take_down(now, DownReason::NoAddress),
        }
    }

    /// Probes the preferred remote beside the one in use, until the tunnel moves or goes down; [`Event::PreferredSteady`] tells
    /// when it has answered for `steady` without a miss. Does nothing for the path in use, while the tunnel is not forwarding, or with IKE:
    /// there is no SA with that remote.
    pub fn probe_preferred(&mut self, now: Instant, path: Path, steady: Duration) {
        if !self.is_forwarding || self.config.has_ike || self.path == Some(path) {
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

    /// Ends [`Self::suspend`]: the tunnel starts as at first, if it has an SA.
    pub fn resume(&mut self, now: Instant) {
        if self.suspended.take().is_none() {
            return;
        }
        match self.lacks_sa {
            Some(reason) => self.take_down(now, reason),
            None => self.start(now),
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
                .filter(|prober| prober.asks == Asks::Always)
                .map(|prober| prober.sender.statistics()),
            preferred: preferred.map(|prober| (prober.path, prober.sender.statistics())),
            proof: self.proof,
            dpd: self.dpd.as_ref().map(Dpd::status),
        }
    }

    fn has_requests(&self) -> bool {
        self.config.has_ike || self.config.keepalive.is_some()
    }

    fn start(&mut self, now: Instant) {
        let evidence = self.evidence(now, self.first_unanswered());
        self.preferred = None;
        self.has_missed = false;
        self.proof = None;
        self.current = self.path.and_then(|path| self.prober(path, now));
        self.start_dpd(now);
        let transition = match (self.path, self.config.requests()) {
            (None, _) => self.health.start(now, Initial::Probing),
            (Some(_), Some(_)) => self.health.start(now, self.config.initial),
            (Some(_), None) if self.current.is_some() => self.health.start(now, Initial::Probing),
            (Some(_), None) => {
                self.proof = self.config.has_ike.then_some(Proof::None);
                self.health.start(now, Initial::Up)
            }
        };
        self.note(transition, evidence);
    }

    fn take_down(&mut self, now: Instant, reason: DownReason) {
        self.go_down(now, reason, self.first_unanswered());
    }

    fn go_down(&mut self, now: Instant, reason: DownReason, first_unanswered: Option<Instant>) {
        let evidence = self.evidence(now, first_unanswered);
        self.current = None;
        self.preferred = None;
        self.has_missed = false;
        self.proof = None;
        self.is_ike_probe_due = false;
        if let Some(dpd) = &mut self.dpd {
            dpd.stop();
        }
        if let Some(no_data) = &mut self.no_data {
            no_data.reset();
        }
        let transition = self.health.take_down(now, reason);
        self.note(transition, evidence);
    }

    fn prober(&self, path: Path, now: Instant) -> Option<Prober> {
        match self.config.requests() {
            Some(keepalive) => Some(Prober::keepalive(path, keepalive.pace, now)),
            None if self.config.has_ike && self.config.probe != Probe::None => {
                Some(Prober::proof(path, now))
            }
            None => None,
        }
    }

    fn request(&self, path: Path, is_preferred: bool, seq: u32, sent: Instant) -> KeepaliveRequest {
        let time = sent.saturating_duration_since(self.epoch).as_micros();
        let [.., a, b, c, d] = time.to_be_bytes();
        let time_us = u32::from_be_bytes([a, b, c, d]);
        let inner = self.gre_ends.unwrap_or(path);
        let mut request = self.requests.transmit(inner, is_preferred, seq, time_us);
        request.path = path;
        request
    }

    fn first_unanswered(&self) -> Option<Instant> {
        let asking = |prober: &&Prober| prober.asks != Asks::NoLonger;
        let request = self.current.as_ref().filter(asking);
        let request = request.and_then(|prober| prober.sender.first_unanswered());
        let probe = self.dpd.as_ref().and_then(Dpd::first_unanswered);
        request.into_iter().chain(probe).min()
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
