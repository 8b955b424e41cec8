//! What the endpoint tells the rest of the program.

use std::time::Instant;

use adit_crypto::{SecretBytes, Suite};

use super::{ChildMode, ConnectionId, DownWhy, Failure, Identity, IkeAlgorithms, Path};
use crate::ikev1::Assigned;
use crate::wire::esp::Spi;
use crate::wire::ike::TrafficSelector;

/// What happened, in the order in which it did.
#[derive(Debug)]
pub enum Event {
    /// An IKE SA of the tunnel is up, or took the place of another.
    Established(ConnectionId, Box<IkeInfo>),
    /// A child SA was agreed; its inbound half is to be installed before any octets that [`Endpoint::poll_transmit`](super::Endpoint::poll_transmit)
    /// gives afterwards are sent.
    ChildInstalled(ConnectionId, Box<ChildSa>),
    /// Send through the child SA with this inbound SPI from here on.
    SwitchOutbound(ConnectionId, Spi),
    /// The child SA with this inbound SPI is over.
    ChildRetired(ConnectionId, Spi, Retired),
    /// A fresh, authenticated message of the peer.
    Alive(ConnectionId),
    /// The tunnel has no IKE SA any more.
    Down(ConnectionId, DownWhy),
    /// An attempt of ours ended without an SA.
    Failed(ConnectionId, Failure),
    /// What the peer asked for was refused; that it is the peer who asked is not proven for anything but a child SA.
    Refused(ConnectionId, Failure),
    /// A fresh, authenticated message came from another address (RFC 7296 section 2.23): the SAs follow.
    PeerMoved(ConnectionId, Path),
    /// What an Easy VPN server assigned, before the pair that goes with it.
    Configured(ConnectionId, Box<Assigned>),
    /// One line for each message, decision and drop; never key material.
    Trace(Option<ConnectionId>, String),
}

/// An IKE SA that is up.
#[derive(Clone, Debug)]
pub struct IkeInfo {
    /// What we called ourselves.
    pub local_id: Identity,
    /// What the peer proved to be.
    pub remote_id: Identity,
    /// Its addresses.
    pub path: Path,
    /// A NAT is in front of us.
    pub nat_local: bool,
    /// A NAT is in front of the peer.
    pub nat_peer: bool,
    /// Its algorithms.
    pub proposal: IkeAlgorithms,
    /// SPI of the initiator.
    pub spi_i: u64,
    /// SPI of the responder.
    pub spi_r: u64,
    /// Whether we are the initiator.
    pub we_initiated: bool,
    /// When we replace it.
    pub rekey_at: Instant,
    /// What the peer's vendor IDs name, where known, else in hexadecimal.
    pub peer_vendor: Vec<String>,
    /// Whether [`Command::Probe`](super::Command::Probe) is answered: of version 1 only by who said so (RFC 3706 section 5.1).
    pub answers_probes: bool,
}

/// A pair of ESP security associations (RFC 7296 section 2.17).
#[derive(Debug)]
pub struct ChildSa {
    /// The SPI we chose: of the packets to us.
    pub spi_in: Spi,
    /// The SPI the peer chose: of the packets to it.
    pub spi_out: Spi,
    /// Algorithms of both.
    pub suite: Suite,
    /// 64-bit sequence numbers (RFC 4303 section 2.2.1).
    pub esn: bool,
    /// Keying material of the packets to us, as the suite cuts it.
    pub keys_in: SecretBytes,
    /// Keying material of the packets to the peer.
    pub keys_out: SecretBytes,
    /// Tunnel or transport mode.
    pub mode: ChildMode,
    /// Selectors of our side, after narrowing.
    pub local_ts: Vec<TrafficSelector>,
    /// Selectors of the peer's side, after narrowing.
    pub remote_ts: Vec<TrafficSelector>,
    /// UDP encapsulation (RFC 3948) between these addresses.
    pub udp: Option<Path>,
    /// Addresses of the IKE SA.
    pub path: Path,
    /// The inbound SPI of the pair in whose place this one comes.
    pub replaces: Option<Spi>,
    /// When to send through it.
    pub outbound: Outbound,
    /// The name of the group of the key exchange of its own, if it had one.
    pub pfs: Option<&'static str>,
    /// When we replace it.
    pub rekey_at: Instant,
    /// Octets that it carries at most, where its ends agreed on that (IKEv1's life in kilobytes): it is to be replaced before.
    pub octets_max: Option<u64>,
}

/// When the outbound half of a new pair is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// At once: the peer has its inbound half.
    Now,
    /// With the first authenticated packet on the inbound half, or [`Event::SwitchOutbound`].
    OnInbound,
}

/// Why a child SA is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    /// Another took its place; packets under way may still arrive for a while.
    Rekeyed,
    /// One end deleted it.
    Deleted,
    /// Its IKE SA is gone.
    IkeGone,
}
