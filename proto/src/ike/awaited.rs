//! What each request of ours waits for: one struct a kind.

use std::time::Instant;

use adit_crypto::{Group, KeyPair};

use super::child::Child;
use super::connection::{ChildMode, ConnectionId};
use super::failure::Failure;
use super::natd::HASH_OCTETS;
use super::task::Task;
use crate::wire::esp::Spi;

/// What the response of the request under way will settle.
pub(super) enum Awaited {
    /// IKE_SA_INIT.
    SaInit(Box<SaInitSent>),
    /// IKE_AUTH.
    Auth(Box<AuthSent>),
    /// CREATE_CHILD_SA: a child SA, new or in place of another.
    Child(Box<ChildRequested>),
    /// CREATE_CHILD_SA: the IKE SA's successor.
    IkeRekey(Box<IkeRekeyRequested>),
    /// INFORMATIONAL with D of this pair, by its inbound SPI.
    DeleteChild(Spi),
    /// INFORMATIONAL with D of the IKE SA.
    DeleteIke,
    /// INFORMATIONAL without payloads.
    Probe,
}

impl Awaited {
    /// The inbound SPI of the pair that is asked for.
    pub(super) fn requested_spi(&self) -> Option<Spi> {
        match self {
            Self::Auth(sent) => Some(sent.spi_in),
            Self::Child(requested) => Some(requested.spi_in),
            Self::SaInit(_)
            | Self::IkeRekey(_)
            | Self::DeleteChild(_)
            | Self::DeleteIke
            | Self::Probe => None,
        }
    }
}

/// The initiator's IKE_SA_INIT request (RFC 7296 section 1.2).
pub(super) struct SaInitSent {
    pub(super) key_pair: KeyPair,
    pub(super) nonce: Vec<u8>,
    /// What NAT_DETECTION_SOURCE_IP says in place of our address, the same in every request: AUTH covers only one of them.
    pub(super) forced_source: Option<[u8; HASH_OCTETS]>,
    pub(super) cookie: Option<Vec<u8>>,
    /// COOKIE and INVALID_KE_PAYLOAD answers so far.
    pub(super) rounds: u32,
    /// Key pairs of other groups, each with the request that it was sent in: an answer to that one may still come.
    pub(super) earlier: Vec<(KeyPair, Vec<u8>)>,
    /// Answers whose public value no secret could be agreed on with.
    pub(super) useless: u32,
    /// The first refusal: to be told if nothing better comes.
    pub(super) refusal: Option<Failure>,
}

/// The initiator's IKE_AUTH request.
pub(super) struct AuthSent {
    /// What the responder's AUTH covers: its IKE_SA_INIT message.
    pub(super) sa_init_response: Vec<u8>,
    pub(super) nonce_i: Vec<u8>,
    pub(super) nonce_r: Vec<u8>,
    pub(super) spi_in: Spi,
}

/// A CREATE_CHILD_SA request for a child SA (RFC 7296 sections 1.3.1 and 1.3.3).
pub(super) struct ChildRequested {
    pub(super) spi_in: Spi,
    pub(super) nonce: Vec<u8>,
    pub(super) key_pair: Option<KeyPair>,
    pub(super) mode: ChildMode,
    /// The inbound SPI of the pair that it takes the place of.
    pub(super) replaces: Option<Spi>,
    /// The request names that pair in N(REKEY_SA).
    pub(super) is_rekey: bool,
    /// The peer's own request for the same pair, which we answered meanwhile.
    pub(super) collision: Option<ChildCollision>,
    /// SPIs that the peer deleted meanwhile and that we do not know: one may be that of the pair to come.
    pub(super) deleted: Vec<u32>,
    pub(super) groups_tried: Vec<Group>,
}

/// A pair that the peer's exchange made while ours for the same one was under way (RFC 7296 section 2.8.1).
pub(super) struct ChildCollision {
    pub(super) lowest_nonce: Vec<u8>,
    pub(super) spi_in: Spi,
}

/// A CREATE_CHILD_SA request for the IKE SA's successor (RFC 7296 section 1.3.2).
pub(super) struct IkeRekeyRequested {
    pub(super) local_spi: u64,
    pub(super) nonce: Vec<u8>,
    pub(super) key_pair: KeyPair,
    pub(super) groups_tried: Vec<Group>,
    /// The successor that the peer's own exchange made meanwhile.
    pub(super) collision: Option<IkeCollision>,
}

/// See [`ChildCollision`] (RFC 7296 section 2.8.2).
pub(super) struct IkeCollision {
    pub(super) lowest_nonce: Vec<u8>,
    pub(super) local_spi: u64,
}

/// What an SA leaves to its successor.
pub(super) struct Estate {
    pub(super) id: Option<ConnectionId>,
    pub(super) children: Vec<Child>,
    pub(super) tasks: Vec<(Instant, Task)>,
}
