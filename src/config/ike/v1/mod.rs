//! What a file says of IKEv1 and of an Easy VPN remote.

pub(in crate::config) mod build;
pub(in crate::config) mod checks;

use std::path::PathBuf;

pub use adit_proto::ikev1::proposal::{EspProposal, IkeProposal};

/// What only version 1 of IKE has (RFC 2407, 2408, 2409).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeV1 {
    /// What is offered for the ISAKMP SA, best first; at least one, with Easy VPN all of one group.
    pub proposals: Vec<IkeProposal>,
    /// What is offered for the IPsec SAs, best first; at least one, all of one group or none of any.
    pub esp_proposals: Vec<EspProposal>,
    /// The life of the IPsec SAs that the peer is told, in kilobytes of 1024 octets: at least 2560.
    pub child_kilobytes: Option<u32>,
    /// The tunnel is an Easy VPN remote: the group's name is `local_id`, its key the pre-shared one.
    pub easy_vpn: Option<EasyVpn>,
}

/// An Easy VPN remote: aggressive mode, XAUTH and Mode Config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EasyVpn {
    /// The user's name: 1 to 253 octets.
    pub user: String,
    /// The file of the user's password, with its folder.
    pub password_file: PathBuf,
    /// What the local network is to the server.
    pub client_mode: ClientMode,
}

/// What the local network is to an Easy VPN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMode {
    /// Hidden behind the address that the server assigns.
    Client,
    /// Announced as the local selector.
    NetworkExtension,
}
