//! What the configuration says of one tunnel's IKE: who, with which proof, which algorithms, and for how long.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use adit_crypto::{Certificate, SecretBytes, SigningKey, TrustAnchors};

use super::{EspOffer, Identity, IkeOffer};
use crate::wire::ike::TrafficSelector;

/// Which tunnel; the same number as everywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// The addresses and ports of an IKE SA: 500 or 4500 on each side, or what a NAT made of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Ours.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// One tunnel, as configured.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who may initiate to us, by the addresses known at present. None: anyone who proves `remote_id`.
    pub remotes: Option<Vec<IpAddr>>,
    /// What we call ourselves.
    pub local_id: Identity,
    /// What the peer must prove to be. None: whatever it calls itself, if it proves it; as long as one is there, no other is let in,
    /// not with INITIAL_CONTACT either. It is never `local_id`.
    pub remote_id: Option<Identity>,
    /// How we prove ourselves.
    pub local_auth: LocalAuth,
    /// How the peer has to.
    pub remote_auth: RemoteAuth,
    /// Algorithms of the IKE SA, best first.
    pub ike: Vec<IkeOffer>,
    /// Algorithms of the child SA, best first.
    pub esp: Vec<EspOffer>,
    /// Tunnel or transport mode.
    pub mode: ChildMode,
    /// What we let into the tunnel. RFC 7296 section 2.9.
    pub local_ts: Vec<TrafficSelector>,
    /// What the peer does.
    pub remote_ts: Vec<TrafficSelector>,
    /// How long an IKE SA is used.
    pub ike_lifetime: RekeyTimes,
    /// How long a child SA is used; limits of packets and octets arrive as [`Command::ChildAged`](super::Command::ChildAged).
    pub child_lifetime: RekeyTimes,
    /// How a request is repeated.
    pub retransmit: Retransmit,
    /// Octets of the largest IKE datagram, IP and UDP headers not counted: what is longer is sent in fragments (RFC 7383).
    pub fragment_octets: u16,
    /// Ask for UDP encapsulation where no NAT is.
    pub force_udp: bool,
}

/// How we prove to be `local_id`.
#[derive(Clone, Debug)]
pub enum LocalAuth {
    /// With a pre-shared key (RFC 7296 section 2.15).
    Psk(Arc<SecretBytes>),
    /// With a signature (RFC 7427).
    Certificate {
        /// The end-entity certificate first, then what leads from it to an anchor of the peer.
        chain: Vec<Certificate>,
        /// The key of the first one.
        key: Arc<SigningKey>,
    },
}

/// How the peer has to prove to be `remote_id`.
#[derive(Clone, Debug)]
pub enum RemoteAuth {
    /// With a pre-shared key.
    Psk(Arc<SecretBytes>),
    /// With a signature and a chain to one of these.
    Certificate(Arc<TrustAnchors>),
}

/// What of a packet a child SA encrypts (RFC 4301 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildMode {
    /// The whole inner packet.
    Tunnel,
    /// The payload of the outer one: USE_TRANSPORT_MODE (RFC 7296 section 1.3.1).
    Transport,
}

/// When an SA is replaced, and when it ends if that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyTimes {
    /// From its establishment to its replacement.
    pub rekey: Duration,
    /// At most this is subtracted from `rekey`, at random, so that both ends seldom rekey at once.
    pub jitter: Duration,
    /// From its establishment to its end.
    pub hard: Duration,
}

/// How often and how long a request is repeated (RFC 7296 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// From the first sending to the second.
    pub first: Duration,
    /// What each wait is of the one before, in thousandths: 1800 is 1.8 times.
    pub base_per_mille: u32,
    /// Repetitions after the first sending.
    pub tries: u32,
    /// No wait is longer.
    pub most: Duration,
}

impl Retransmit {
    /// The wait after the one given.
    #[must_use]
    pub(crate) fn longer(&self, wait: Duration) -> Duration {
        let grown = wait.saturating_mul(self.base_per_mille.max(1000)) / 1000;
        grown.min(self.most)
    }
}
