//! Keepalives, the verdict on the peer, failover.
//!
//! Who drives what: the worker that forwards a tunnel owns its [`Liveness`] (requests, answers, verdict) and its [`Answerer`]
//! (the peer's requests). The control plane owns the tunnel's [`Failover`] (which remote is tried, names, failback): it feeds
//! it the events that the worker posts and hands the worker the addresses that come out.
//!
//! ```text
//! worker:  Liveness ──poll_event──▶ Exhausted, Up, Down, PreferredSteady … ──▶ control: Failover
//!          Liveness ◀──set_path, probe_preferred────────────────────────────── Use, ProbePreferred
//!                                                              resolver ◀────── Resolve, handle_resolved
//! ```

mod answerer;
mod event;
mod failover;
mod gre_keepalive;
mod health;
mod pace;
mod sender;
mod tunnel;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;

use std::net::IpAddr;

pub use answerer::{
    Answerer, Dialect, REPLY_OCTETS_MAX, RateLimit, Reply, Request, classify_request,
};
pub use event::{Event, Evidence};
pub use failover::{Action, Failover, FailoverState, Resolution, ResolveFailure};
pub use gre_keepalive::{Codec, REQUEST_OCTETS_MAX};
pub use health::{DownReason, Health, Initial, State, Transition};
pub use pace::{Pace, worst_case};
pub use sender::{Answer, RoundTrip, RoundTrips, Sender, Statistics, Tick, Verdict};
pub use tunnel::{Keepalive, Liveness, LivenessConfig, Status, Transmit};

/// The outer addresses of a tunnel, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Ours.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
}
