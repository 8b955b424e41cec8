//! A tunnel whose SAs IKE makes: there is one or not, its peer is asked over IKE, and user data is watched.

use std::time::Instant;

use super::super::{DownReason, DpdTick, Event, Path};
use super::Liveness;

impl Liveness {
    /// Takes that the first child SA of an IKE SA is installed: the tunnel starts, and data has to pass before it is up. While it has an
    /// SA, this is a sign of life like any other.
    pub fn handle_established(&mut self, now: Instant) {
        if !self.config.has_ike {
            return;
        }
        let has_expired = self.suspended == Some(DownReason::SaExpired);
        if has_expired {
            self.suspended = None;
        }
        if self.lacks_sa.take().is_none() && !has_expired {
            self.handle_alive(now);
        } else if self.suspended.is_none() {
            self.start(now);
        }
    }

    /// Whether there is no SA: [`Self::handle_established`] starts the tunnel then, and is a sign of life else.
    #[must_use]
    pub fn lacks_sa(&self) -> bool {
        self.lacks_sa.is_some()
    }

    /// Says between which addresses GRE is in ESP's tunnel mode: keepalives name those.
    pub fn set_gre_ends(&mut self, ends: Option<Path>) {
        self.gre_ends = ends;
    }

    /// Takes that there is no SA any more, until [`Self::handle_established`]. Of a tunnel that has none already, the first reason stays.
    pub fn handle_down(&mut self, now: Instant, reason: DownReason) {
        if !self.config.has_ike || self.lacks_sa.is_some() {
            return;
        }
        self.lacks_sa = Some(reason);
        if self.suspended.is_none() {
            self.take_down(now, reason);
        }
    }

    /// Takes a fresh authenticated message under the IKE SA (RFC 7296 section 2.4). It proves life and says nothing about data.
    pub fn handle_alive(&mut self, now: Instant) {
        if !self.config.has_ike || self.lacks_sa.is_some() || self.suspended.is_some() {
            return;
        }
        let evidence = self.evidence(now, self.first_unanswered());
        if let Some(dpd) = &mut self.dpd {
            self.is_deadline_nearer |= dpd.is_asking();
            if dpd.handle_alive(now) {
                self.events.push_back(Event::DpdAnswered);
            }
        }
        let lacks_data = self.no_data.as_ref().is_some_and(|it| it.is_suspicious());
        let ends_suspicion = !self.has_missed && !lacks_data;
        let transition = self.health.handle_alive(now, ends_suspicion);
        self.note(transition, evidence);
    }

    /// Takes whether the peer answers when it is asked over IKE: one that does not is never dead for its silence (RFC 3706 section 5.1).
    pub fn set_answers_probes(&mut self, now: Instant, answers: bool) {
        self.answers_probes = answers;
        if self.lacks_sa.is_none() && self.suspended.is_none() {
            self.start_dpd(now);
        }
    }

    /// Begins to watch the peer, or stops where it cannot be asked.
    pub(super) fn start_dpd(&mut self, now: Instant) {
        let Some(dpd) = &mut self.dpd else {
            return;
        };
        if self.answers_probes {
            dpd.start(now);
        } else {
            dpd.stop();
            self.is_ike_probe_due = false;
        }
        self.is_deadline_nearer = true;
    }

    pub(super) fn tick_dpd(&mut self, now: Instant) {
        let Some(dpd) = &mut self.dpd else {
            return;
        };
        match dpd.handle_timeout(now) {
            DpdTick::Idle => {}
            DpdTick::Probe { attempt, missed } => {
                if let Some(misses) = missed {
                    let evidence = self.evidence(now, self.first_unanswered());
                    self.events.push_back(Event::DpdMiss { misses });
                    let transition = self.health.handle_miss(now);
                    self.note(transition, evidence);
                }
                self.is_ike_probe_due = true;
                self.events.push_back(Event::DpdProbe { attempt });
            }
            DpdTick::Dead {
                misses,
                first_unanswered,
            } => {
                self.events.push_back(Event::DpdMiss { misses });
                self.lacks_sa = Some(DownReason::DpdTimeout);
                self.go_down(now, DownReason::DpdTimeout, Some(first_unanswered));
                if let Some(path) = self.path {
                    self.events.push_back(Event::Exhausted { path });
                }
            }
        }
    }

    pub(super) fn tick_no_data(&mut self, now: Instant) {
        let Some(no_data) = &mut self.no_data else {
            return;
        };
        let peer_answers = self.dpd.as_ref().is_none_or(|dpd| dpd.misses() == 0);
        if no_data.handle_timeout(now, peer_answers && self.is_forwarding) {
            let evidence = self.evidence(now, self.first_unanswered());
            self.events.push_back(Event::NoData);
            let transition = self.health.handle_miss(now);
            self.note(transition, evidence);
        }
    }
}
