//! What the configuration says of one tunnel of IKEv1.

use std::net::IpAddr;
use std::sync::Arc;

use adit_crypto::SecretBytes;

use super::proposal::{EspProposal, IkeProposal};
use crate::ike::{ChildMode, Identity, RekeyTimes, Retransmit};
use crate::wire::ike::TrafficSelector;

/// One tunnel, as configured.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who may initiate to us, by the addresses known at present. None: anyone who has the key and proves `remote_id`.
    pub remotes: Option<Vec<IpAddr>>,
    /// What we call ourselves.
    pub local_id: Identity,
    /// What the peer must call itself. None: anything.
    pub remote_id: Option<Identity>,
    /// The pre-shared key, which in main mode belongs to the peer's address (RFC 2409 section 5.4).
    pub psk: Arc<SecretBytes>,
    /// Algorithms of the ISAKMP SA, best first.
    pub ike: Vec<IkeProposal>,
    /// Algorithms of the IPsec SAs, best first.
    pub esp: Vec<EspProposal>,
    /// Tunnel or transport mode.
    pub mode: ChildMode,
    /// What we let into the tunnel: quick mode has one pair of identities.
    pub local_ts: TrafficSelector,
    /// What the peer does.
    pub remote_ts: TrafficSelector,
    /// How long an ISAKMP SA is used; `hard` is what we offer.
    pub ike_lifetime: RekeyTimes,
    /// How long a pair of IPsec SAs is used; `hard` is what we offer.
    pub child_lifetime: RekeyTimes,
    /// How many kilobytes a pair of IPsec SAs carries at most, as offered; the data path counts them.
    pub child_kilobytes: Option<u32>,
    /// How a message is repeated.
    pub retransmit: Retransmit,
    /// Offer and accept NAT traversal (RFC 3947).
    pub nat_traversal: bool,
    /// Claim to be behind a NAT, so that ESP travels in UDP where none is.
    pub force_udp: bool,
    /// Be an Easy VPN remote: aggressive mode, XAUTH and Mode Config.
    pub easy_vpn: Option<EasyVpn>,
}

/// An Easy VPN remote: the group's name is `local_id`, and its key the `psk`.
#[derive(Clone, Debug)]
pub struct EasyVpn {
    /// Who logs in.
    pub user: String,
    /// With what.
    pub password: Arc<SecretBytes>,
    /// Ask for an address and use it as our selector: client mode. Otherwise the local selector stays: network extension.
    pub client_mode: bool,
}

impl Connection {
    /// Whether it may be used: the reason if not.
    pub(super) fn fault(&self) -> Option<crate::ike::CommandError> {
        if self.psk.is_empty() {
            return Some(crate::ike::CommandError::EmptyPsk);
        }
        let is_empty = self.ike.is_empty() || self.esp.is_empty();
        is_empty.then_some(crate::ike::CommandError::NothingToOffer)
    }
}
