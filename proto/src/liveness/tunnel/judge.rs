//! Requests and answers through the tunnel, user data that proves life, and what follows for the verdict.

use std::net::IpAddr;
use std::time::Instant;

use super::super::prober::{Asks, Prober};
use super::super::sender::{Answer, RoundTrip, Verdict};
use super::super::{Event, Proof, State};
use super::Liveness;
use crate::counters::DropReason;

impl Liveness {
    /// Whether user data that comes in is nothing but a stamp.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        let asks = self
            .current
            .as_ref()
            .is_some_and(|prober| prober.sender.first_unanswered().is_some());
        let probes = self.dpd.as_ref().is_some_and(|dpd| dpd.is_asking());
        let is_proven = !self.config.has_ike || self.proof == Some(Proof::Data);
        !asks && !probes && is_proven && self.health.state() == State::Up
    }

    #[inline]
    pub(super) fn stamp_inbound(&mut self, now: Instant) {
        if let Some(dpd) = &mut self.dpd {
            // A retry may have been further away than the next interval's end is.
            self.is_deadline_nearer |= dpd.is_asking();
            dpd.handle_inbound(now);
        }
        if let Some(no_data) = &mut self.no_data {
            no_data.handle_inbound();
        }
    }

    /// Takes that data came in: nothing is held against the peer any more.
    fn prove(&mut self) {
        self.has_missed = false;
        if self.config.has_ike {
            self.proof = Some(Proof::Data);
        }
        if let Some(prober) = &mut self.current {
            prober.end_proof();
        }
    }

    pub(super) fn tick_current(&mut self, now: Instant) {
        let Some(prober) = &mut self.current else {
            return;
        };
        let path = prober.path;
        let seeks_proof = prober.asks == Asks::UntilProof;
        let Some(verdict) = prober.handle_timeout(now, &mut self.next_seq) else {
            return;
        };
        match verdict {
            Verdict::Exhausted { first_unanswered } if seeks_proof => {
                prober.end_proof();
                let evidence = self.evidence(now, Some(first_unanswered));
                self.proof = Some(Proof::None);
                let transition = self.health.handle_supposed(now);
                self.note(transition, evidence);
            }
            Verdict::Missed if seeks_proof => {}
            Verdict::Clear | Verdict::Withheld => {}
            Verdict::Missed => {
                self.has_missed = true;
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

    pub(super) fn tick_preferred(&mut self, now: Instant) {
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

    pub(super) fn take_inbound(&mut self, now: Instant) {
        if self.path.is_none() || !self.health.hears_data() {
            return;
        }
        let evidence = self.evidence(now, self.first_unanswered());
        if let Some(prober) = &mut self.current {
            prober.sender.handle_life();
        }
        self.stamp_inbound(now);
        self.prove();
        let transition = self.health.handle_inbound(now);
        self.note(transition, evidence);
    }

    /// Takes an answer from `source`, or from whichever remote was asked.
    pub(super) fn take_answer(
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
                    // A bare answer is no secret of the peer's, and not each one comes under an SA.
                    if matches!(answer, Answer::Sequence(_)) {
                        self.stamp_inbound(now);
                    }
                    self.prove();
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
}
