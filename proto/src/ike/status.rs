//! What `status` and `counters` show of IKE.

use std::fmt;
use std::time::Duration;

use adit_crypto::Suite;

use super::{ChildMode, Identity, IkeProposal, Path};
use crate::wire::esp::Spi;
use crate::wire::ike::TrafficSelector;

/// How far a tunnel's IKE has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IkeState {
    /// No SA and no attempt.
    Idle,
    /// IKE_SA_INIT is under way.
    SaInit,
    /// IKE_AUTH is under way.
    Auth,
    /// The IKE SA is up.
    Established,
    /// The IKE SA is up and a successor is being made.
    Rekeying,
    /// The IKE SA is being deleted.
    Deleting,
}

impl IkeState {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::SaInit => "sa-init",
            Self::Auth => "auth",
            Self::Established => "established",
            Self::Rekeying => "rekeying",
            Self::Deleting => "deleting",
        }
    }
}

/// Algorithms of an IKE SA, of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IkeAlgorithms {
    /// Of an ISAKMP SA (RFC 2409).
    V1(crate::ikev1::IkeProposal),
    /// Of an IKE SA (RFC 7296).
    V2(IkeProposal),
}

impl fmt::Display for IkeAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(proposal) => proposal.fmt(f),
            Self::V2(proposal) => proposal.fmt(f),
        }
    }
}

/// One tunnel's IKE SA and its children.
#[derive(Clone, Debug)]
pub struct IkeStatus {
    /// How far it has come; without an SA all that follows is empty.
    pub state: IkeState,
    /// What we call ourselves.
    pub local_id: Identity,
    /// What the peer proved to be, or has to.
    pub remote_id: Option<Identity>,
    /// The addresses.
    pub path: Option<Path>,
    /// A NAT is in front of us.
    pub nat_local: bool,
    /// A NAT is in front of the peer.
    pub nat_peer: bool,
    /// Algorithms.
    pub proposal: Option<IkeAlgorithms>,
    /// SPI of the initiator.
    pub spi_i: u64,
    /// SPI of the responder.
    pub spi_r: u64,
    /// Whether we are the initiator.
    pub we_initiated: bool,
    /// Since it was made.
    pub age: Duration,
    /// Until we replace it.
    pub rekey_in: Option<Duration>,
    /// The child SAs, the one in use first.
    pub children: Vec<ChildStatus>,
}

/// One child SA.
#[derive(Clone, Debug)]
pub struct ChildStatus {
    /// SPI of the packets to us.
    pub spi_in: Spi,
    /// SPI of the packets to the peer.
    pub spi_out: Spi,
    /// Algorithms.
    pub suite: Suite,
    /// 64-bit sequence numbers.
    pub esn: bool,
    /// Tunnel or transport mode.
    pub mode: ChildMode,
    /// Since it was made.
    pub age: Duration,
    /// Until we replace it; none when it has been replaced.
    pub rekey_in: Option<Duration>,
    /// Selectors of our side.
    pub local_ts: Vec<TrafficSelector>,
    /// Selectors of the peer's side.
    pub remote_ts: Vec<TrafficSelector>,
    /// Encapsulated in UDP.
    pub udp: bool,
}

/// What the endpoint has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IkeCounters {
    /// Datagrams that do not read.
    pub malformed: u64,
    /// Datagrams of another major version.
    pub version: u64,
    /// Messages of an SA that does not exist.
    pub unknown_spi: u64,
    /// Messages whose integrity did not verify.
    pub not_authentic: u64,
    /// Messages of a number outside of the window.
    pub message_id: u64,
    /// Messages that the state of their SA does not allow.
    pub unexpected: u64,
    /// IKE_SA_INIT requests dropped at the limit of all half-open SAs.
    pub half_open_full: u64,
    /// IKE_SA_INIT requests with a good cookie dropped at the limit of one source.
    pub half_open_source: u64,
    /// IKE_SA_INIT requests of addresses that no tunnel has.
    pub no_connection: u64,
    /// Fragments dropped.
    pub fragments: u64,
    /// Half-open SAs at present.
    pub half_open: u64,
    /// COOKIE notifications sent.
    pub cookies_sent: u64,
    /// Cookies that came back right.
    pub cookies_good: u64,
    /// Requests repeated.
    pub retransmits: u64,
    /// Responses repeated.
    pub repeated_responses: u64,
    /// Keepalives of routers from before RFC 3706, which are not answered.
    pub router_keepalives: u64,
    /// Attempts that ended without an SA.
    pub failed: u64,
    /// Authentications of peers that failed.
    pub auth_failed: u64,
    /// IKE SAs established, successors not counted.
    pub established: u64,
    /// IKE SAs replaced.
    pub ike_rekeyed: u64,
    /// Child SAs replaced.
    pub child_rekeyed: u64,
}

impl IkeCounters {
    /// Each number with its name.
    pub fn named(mut self) -> impl Iterator<Item = (&'static str, u64)> {
        self.fields()
            .map(|(name, number)| (name, *number))
            .into_iter()
    }

    /// Adds those of another endpoint.
    pub fn add(&mut self, mut other: Self) {
        for ((_, sum), (_, number)) in self.fields().into_iter().zip(other.fields()) {
            *sum = sum.saturating_add(*number);
        }
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 21] {
        [
            ("malformed", &mut self.malformed),
            ("version", &mut self.version),
            ("unknown_spi", &mut self.unknown_spi),
            ("not_authentic", &mut self.not_authentic),
            ("message_id", &mut self.message_id),
            ("unexpected", &mut self.unexpected),
            ("half_open_full", &mut self.half_open_full),
            ("half_open_source", &mut self.half_open_source),
            ("no_connection", &mut self.no_connection),
            ("fragments", &mut self.fragments),
            ("half_open", &mut self.half_open),
            ("cookies_sent", &mut self.cookies_sent),
            ("cookies_good", &mut self.cookies_good),
            ("retransmits", &mut self.retransmits),
            ("repeated_responses", &mut self.repeated_responses),
            ("router_keepalives", &mut self.router_keepalives),
            ("failed", &mut self.failed),
            ("auth_failed", &mut self.auth_failed),
            ("established", &mut self.established),
            ("ike_rekeyed", &mut self.ike_rekeyed),
            ("child_rekeyed", &mut self.child_rekeyed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_two_endpoints_add_up_each_under_its_name() {
        let mut sum = IkeCounters {
            malformed: 1,
            router_keepalives: 2,
            ..IkeCounters::default()
        };
        sum.add(IkeCounters {
            router_keepalives: 3,
            child_rekeyed: 4,
            ..IkeCounters::default()
        });
        let counted: Vec<_> = sum.named().filter(|(_, number)| *number > 0).collect();
        let expected = [
            ("malformed", 1),
            ("router_keepalives", 5),
            ("child_rekeyed", 4),
        ];
        assert_eq!(counted, expected);
    }
}
