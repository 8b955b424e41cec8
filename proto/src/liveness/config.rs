//! What a tunnel's liveness is told.

use std::net::IpAddr;
use std::time::Duration;

use super::dpd::DpdConfig;
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
    /// There is nothing to ask: no GRE, and no address inside that would answer.
    None,
}

/// What a tunnel's liveness depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessConfig {
    /// Without it the tunnel is up as soon as it has addresses and never drops by itself.
    pub keepalive: Option<Keepalive>,
    /// What the requests are, of the keepalive or for the proof that data passes.
    pub probe: Probe,
    /// State before the first answer.
    pub initial: Initial,
    /// Whether a tunnel that comes back must collect answers first, the more the oftener it does.
    pub damping: bool,
    /// The GRE key that packets to us carry.
    pub key_in: Option<GreKey>,
    /// A number that no other tunnel of this run has.
    pub tunnel_id: u32,
    /// Whether IKE makes the SAs: the tunnel is down until it has one, and takes a few requests or the peer's data to prove that data
    /// passes.
    pub has_ike: bool,
    /// How the peer is watched over IKE, where there is IKE.
    pub dpd: Option<DpdConfig>,
}

impl LivenessConfig {
    /// The longest time from the death of the peer to the verdict; none when nothing watches it.
    #[must_use]
    pub fn worst_case(&self) -> Option<Duration> {
        let keepalive = self.requests().map(|keepalive| keepalive.pace.worst_case());
        let dpd = self.dpd.filter(|_| self.has_ike).map(DpdConfig::worst_case);
        keepalive.into_iter().chain(dpd).min()
    }

    /// The keepalive, if there is something to ask.
    pub(super) fn requests(&self) -> Option<Keepalive> {
        self.keepalive.filter(|_| self.probe != Probe::None)
    }
}
