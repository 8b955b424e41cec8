//! Requests to one remote, and when they are judged.

use std::time::{Duration, Instant};

use super::sender::{Sender, Tick, Verdict};
use super::{Pace, Path};

/// A tunnel with IKE asks at this pace whether data passes.
const PROOF_PERIOD: Duration = Duration::from_secs(1);
const PROOF_REQUESTS: u8 = 3;

/// How long requests go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Always,
    UntilProof,
    /// An answer may still come.
    NoLonger,
}

#[derive(Debug)]
pub(super) struct Prober {
    pub(super) path: Path,
    pub(super) sender: Sender,
    pub(super) asks: Asks,
    /// Number and time of the request to transmit.
    pub(super) due: Option<(u32, Instant)>,
}

impl Prober {
    /// One whose requests go on at `pace`.
    pub(super) fn keepalive(path: Path, pace: Pace, now: Instant) -> Self {
        Self {
            path,
            sender: Sender::new(pace, now),
            asks: Asks::Always,
            due: None,
        }
    }

    /// One whose requests go on until data has passed, three at most.
    pub(super) fn proof(path: Path, now: Instant) -> Self {
        Self {
            asks: Asks::UntilProof,
            ..Self::keepalive(path, Pace::new(PROOF_PERIOD, PROOF_REQUESTS), now)
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.asks != Asks::NoLonger).then(|| self.sender.poll_timeout())
    }

    /// Ends the search for a proof.
    pub(super) fn end_proof(&mut self) {
        if self.asks == Asks::UntilProof {
            self.asks = Asks::NoLonger;
            self.due = None;
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, next_seq: &mut u32) -> Option<Verdict> {
        if self.asks == Asks::NoLonger {
            return None;
        }
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
pub(super) struct Preferred {
    pub(super) prober: Prober,
    /// How long it must answer without a miss.
    pub(super) steady: Duration,
    pub(super) steady_since: Option<Instant>,
}
