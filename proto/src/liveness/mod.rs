//! Keepalives and probes, the verdict on the peer, failover, traffic against silence.
//!
//! Who drives what: the worker that forwards a tunnel owns its [`Liveness`] (requests, answers, verdict) and its [`Answerer`]
//! (the peer's requests). The control plane owns the tunnel's [`Failover`] (which remote is tried, names, failback): it feeds
//! it the events that the worker posts and hands the worker the addresses that come out. Where IKE makes the SAs, the worker tells its
//! [`Liveness`] when there is one, and carries its probes to IKE and IKE's signs of life back. Inside ESP, [`answer_echo`] answers the
//! peer's echo probes, and [`Warm`] and [`IdleTimer`] fill silences; neither of the two proves anything.
//!
//! ```text
//! worker:  Liveness ──poll_event──▶ Exhausted, Up, Down, PreferredSteady … ──▶ control: Failover
//!          Liveness ──Transmit::IkeProbe──▶ IKE ──handle_established, handle_alive, handle_down──▶ Liveness
//!          Liveness ◀──set_path, probe_preferred────────────────────────────── Use, ProbePreferred
//!                                                              resolver ◀────── Resolve, handle_resolved
//! ```

mod answerer;
mod config;
mod dpd;
mod echo;
mod event;
mod failover;
mod gre_keepalive;
mod health;
mod idle;
mod inner;
mod no_data;
mod pace;
mod prober;
mod proof;
mod requests;
mod sender;
mod status;
mod tunnel;
mod warm;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod testing;

use std::net::IpAddr;

pub use answerer::{
    Answerer, Dialect, REPLY_OCTETS_MAX, RateLimit, Reply, Request, classify_request,
};
pub use config::{Keepalive, LivenessConfig, Probe};
pub use dpd::{Dpd, DpdConfig, DpdMode, DpdStatus, DpdTick};
pub use echo::answer as answer_echo;
pub use event::{Event, Evidence};
pub use failover::{Action, Failover, FailoverState, Resolution, ResolveFailure};
pub use gre_keepalive::{Codec, REQUEST_OCTETS_MAX};
pub use health::{DownReason, Health, Initial, State, Transition};
pub use idle::IdleTimer;
pub use pace::{Pace, worst_case};
pub use requests::{KeepaliveRequest, Transmit};
pub use sender::{Answer, RoundTrip, RoundTrips, Sender, Statistics, Tick, Verdict};
pub use status::{Proof, Status};
pub use tunnel::Liveness;
pub use warm::{Warm, WarmConfig, WarmKind, WarmPacket, is_warm};

/// The outer addresses of a tunnel, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Ours.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
}
