//! What a tunnel's liveness is told.

use std::net::IpAddr;

use super::health::Initial;
use super::pace::Pace;
use crate::wire::gre::GreKey;

/// How a tunnel asks its peer whether it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Period and retries.
    pub pace: Pace,
    /// Whether GRE keepalives carry sequence, time and digest; without them an answer is matched by the number outstanding only.
    /// Echo probes always do.
    pub payload: bool,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            payload: true,
        }
    }
}

/// What the requests are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// GRE keepalives, as routers send them.
    #[default]
    GreKeepalive,
    /// Echo requests inside the tunnel.
    Echo {
        /// Our address inside.
        source: IpAddr,
        /// The address that answers, of the same family: without that nothing is sent.
        target: IpAddr,
    },
}

/// What a tunnel's liveness depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// Without it the tunnel is up as soon as it has addresses and never drops by itself.
    pub keepalive: Option<Keepalive>,
    /// What the requests are, where there is a keepalive.
    pub probe: Probe,
    /// State before the first answer.
    pub initial: Initial,
    /// Whether a tunnel that comes back must collect answers first, the more the oftener it does.
    pub damping: bool,
    /// The GRE key that packets to us carry.
    pub key_in: Option<GreKey>,
    /// A number that no other tunnel of this run has.
    pub tunnel_id: u32,
}
