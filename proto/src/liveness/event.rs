//! What a tunnel's liveness tells the rest of the program.

use std::time::Duration;

use super::{DownReason, Path, State};

/// How old the news is behind an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Since the first request that had no answer by then was sent.
    pub since_first_unanswered: Option<Duration>,
    /// Since the last answer, authenticated user data or fresh IKE message before this event, from whichever remote.
    pub since_last_proof: Option<Duration>,
}

/// What happened to a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Forwarding begins.
    Up {
        /// The addresses that are up.
        path: Option<Path>,
        /// What is known.
        evidence: Evidence,
    },
    /// A request went without an answer for its period, a probe over IKE for its retry time, or user data for too long; forwarding goes on.
    Suspect {
        /// What is known.
        evidence: Evidence,
    },
    /// Up again from suspect.
    Recovered {
        /// What is known.
        evidence: Evidence,
    },
    /// Not down any more and not yet up.
    Probing {
        /// What is known.
        evidence: Evidence,
    },
    /// Forwarding has stopped, or, from [`State::Probing`], did not begin.
    Down {
        /// The state before.
        from: State,
        /// Why.
        reason: DownReason,
        /// The addresses that are down.
        path: Option<Path>,
        /// What is known.
        evidence: Evidence,
    },
    /// This path stayed silent for one detection time: it is another remote's turn. Repeated after each further one.
    Exhausted {
        /// The silent path.
        path: Path,
    },
    /// A probe over IKE is due.
    DpdProbe {
        /// Its number since the peer was last heard, from 1.
        attempt: u16,
    },
    /// IKE was heard again after a probe.
    DpdAnswered,
    /// A probe over IKE was without an answer for its time.
    DpdMiss {
        /// How many there are since the peer was last heard.
        misses: u16,
    },
    /// User data left and none came in for the time that was set, although the peer answers over IKE: the child SA is to be made anew.
    /// Repeated after each further such time.
    NoData,
    /// The preferred remote answered without a miss for as long as asked. Repeated as long as that goes on.
    PreferredSteady {
        /// The path to it.
        path: Path,
    },
    /// The preferred remote stayed silent for one detection time. Repeated after each further one.
    PreferredSilent {
        /// The path to it.
        path: Path,
    },
}
