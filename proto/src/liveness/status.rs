//! What a tunnel's liveness shows.

use std::time::Instant;

use super::{DpdStatus, Path, State, Statistics};

/// What a tunnel with IKE was taken up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Data came in authenticated under its SA.
    Data,
    /// None did: there is nothing to ask for an answer, or nobody answered.
    None,
}

impl Proof {
    /// The name in `status`, events and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::None => "none",
        }
    }
}

/// A tunnel's liveness at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// When it began.
    pub since: Instant,
    /// When an answer, authenticated user data or a fresh IKE message last proved the peer alive.
    pub last_proof: Option<Instant>,
    /// Answers that damping still waits for.
    pub answers_to_come: Option<u16>,
    /// The addresses in use.
    pub path: Option<Path>,
    /// Keepalive requests over that path, if any are sent.
    pub statistics: Option<Statistics>,
    /// The preferred remote, while it is probed beside the one in use.
    pub preferred: Option<(Path, Statistics)>,
    /// Whether data has passed since the SA was established; without IKE, and until that is known, none.
    pub proof: Option<Proof>,
    /// Dead peer detection, where there is any.
    pub dpd: Option<DpdStatus>,
}
