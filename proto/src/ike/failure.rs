//! Why an attempt failed and why an IKE SA is gone, in words.

use std::fmt;

use adit_crypto::CertificateRefused;

use super::{ChildMode, Identity, NoProposal, NotOffered, notify_words};
use crate::wire::ike::ExchangeType;

/// Why an attempt ended without an SA.
#[derive(Clone, Debug)]
pub enum Failure {
    /// No answer to any of the requests of this exchange.
    NotAnswering(ExchangeType),
    /// No answer to any repetition of this, in words: IKEv1.
    Unanswered(&'static str),
    /// No algorithms that both ends have, or others than offered, in words: IKEv1.
    NoneFits(String),
    /// The peer refused with this notification of IKEv1.
    NotifiedV1(u16),
    /// The Easy VPN server did not let us in; trying again may lock the user out.
    Xauth(String),
    /// The peer accepts none of our proposals for the IKE SA (`false`) or the child SA (`true`).
    ProposalsRefused {
        /// Of the child SA.
        child: bool,
        /// What we offered.
        offered: String,
    },
    /// Nothing of what the peer offered, or answered, can be accepted.
    NoProposal(NoProposal),
    /// The peer chose what we did not offer.
    NotOffered(NotOffered),
    /// The peer wants a group that we did not offer.
    GroupRefused(u16),
    /// The peer does not accept our proof, or our identity.
    WeAreRefused,
    /// The peer did not prove to be who it has to be.
    PeerRefused(PeerRefused),
    /// The peer accepts none of our traffic selectors.
    SelectorsRefused,
    /// Our selectors and the peer's have nothing in common.
    NoSelectors {
        /// What the peer proposed.
        proposed: String,
    },
    /// The peer wants a child SA beside the one in use, of which a tunnel has one at a time.
    SecondChild {
        /// The selectors that it would have.
        wanted: String,
    },
    /// The peer refused with this notification.
    Notified(u16),
    /// The peer asks for, or answers with, another mode than ours, which is this one.
    Mode(ChildMode),
    /// An authenticated message breaks the protocol.
    Protocol(&'static str),
    /// The public value, the nonce or the keys of the peer cannot be used.
    KeyExchange,
    /// [`Command::Clear`](super::Command::Clear) or another command ended it.
    Cancelled,
    /// Random octets or a key of ours failed.
    Local(&'static str),
}

/// Why a peer's proof was not accepted.
#[derive(Clone, Debug)]
pub enum PeerRefused {
    /// It is somebody else.
    Identity {
        /// Who it has to be; none where no tunnel has that identity.
        expected: Option<Identity>,
        /// Who it says it is.
        claimed: Identity,
    },
    /// It calls itself what we call ourselves.
    Ourselves,
    /// The tunnel, whose peer may be anybody, has this one at present.
    InUse(Identity),
    /// It wants to talk to somebody else.
    Addressee {
        /// Who we are.
        ours: Identity,
        /// Whom it looks for.
        wanted: Identity,
    },
    /// The pre-shared keys differ.
    Psk,
    /// It did not use the method that it has to.
    Method(u8),
    /// The signature does not verify.
    Signature,
    /// It sent no certificate.
    NoCertificate,
    /// The certificate does not read.
    CertificateMalformed,
    /// The certificate is not of this identity.
    CertificateIdentity(Identity),
    /// The certificate does not lead to an anchor, or is not valid.
    Certificate(CertificateRefused),
    /// The endpoint was not told what time it is.
    NoTime,
}

/// Why there is no IKE SA any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownWhy {
    /// The peer deleted it.
    PeerDeleted,
    /// The peer said that it started anew: INITIAL_CONTACT.
    PeerRestarted,
    /// [`Command::Clear`](super::Command::Clear) or [`Command::Remove`](super::Command::Remove).
    Cleared,
    /// [`Command::Dead`](super::Command::Dead).
    Dead,
    /// A request was not answered.
    NotAnswering,
    /// It reached its hard lifetime.
    Expired,
    /// No child SA came to be, or was left.
    NoChild,
    /// Another IKE SA of the tunnel is in use.
    Superfluous,
    /// The peer reported that it cannot go on.
    PeerFault(u16),
    /// The peer broke the protocol.
    Protocol,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnswering(exchange) => write!(f, "peer does not answer {exchange}"),
            Self::Unanswered(what) => write!(f, "peer does not answer {what}"),
            Self::NoneFits(why) => write!(f, "no proposal fits: {why}"),
            Self::NotifiedV1(kind) => {
                let words = crate::ikev1::notify_words(*kind);
                write!(f, "peer refused with {words}")
            }
            Self::Xauth(why) => write!(f, "Easy VPN: {why}"),
            Self::ProposalsRefused { child, offered } => {
                let which = if *child { "ESP" } else { "IKE" };
                write!(
                    f,
                    "peer refused our {which} proposals: we offered {offered}"
                )
            }
            Self::NoProposal(why) => write!(f, "no proposal fits: {why}"),
            Self::NotOffered(why) => write!(f, "{why}"),
            Self::GroupRefused(group) => {
                write!(
                    f,
                    "peer wants key exchange group {group}, which we do not offer"
                )
            }
            Self::WeAreRefused => {
                f.write_str("peer refused our authentication: wrong key, identity or certificate")
            }
            Self::PeerRefused(why) => write!(f, "peer is not authenticated: {why}"),
            Self::SelectorsRefused => f.write_str("peer refused our traffic selectors"),
            Self::NoSelectors { proposed } => {
                write!(f, "no traffic selector fits: peer proposed {proposed}")
            }
            Self::SecondChild { wanted } => {
                write!(f, "peer wants a second child SA: {wanted}")
            }
            Self::Notified(kind) => write!(f, "peer refused with {}", notify_words(*kind)),
            Self::Mode(ChildMode::Tunnel) => f.write_str("peer does not agree to tunnel mode"),
            Self::Mode(ChildMode::Transport) => {
                f.write_str("peer does not agree to transport mode")
            }
            Self::Protocol(what) => write!(f, "peer broke the protocol: {what}"),
            Self::KeyExchange => f.write_str("peer's key exchange value cannot be used"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Local(what) => write!(f, "cannot go on: {what}"),
        }
    }
}

impl fmt::Display for PeerRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity {
                expected: Some(expected),
                claimed,
            } => write!(f, "it is \"{claimed}\", not \"{expected}\""),
            Self::Identity {
                expected: None,
                claimed,
            } => write!(f, "no tunnel is configured for \"{claimed}\""),
            Self::Ourselves => f.write_str("it claims our own identity"),
            Self::InUse(by) => write!(f, "the tunnel is in use by \"{by}\""),
            Self::Addressee { ours, wanted } => {
                write!(f, "it looks for \"{wanted}\", and we are \"{ours}\"")
            }
            Self::Psk => f.write_str("the pre-shared keys differ"),
            Self::Method(method) => write!(
                f,
                "its authentication method {method} is not the one configured"
            ),
            Self::Signature => f.write_str("its signature does not verify"),
            Self::NoCertificate => f.write_str("it sent no certificate"),
            Self::CertificateMalformed => f.write_str("its certificate does not read"),
            Self::CertificateIdentity(id) => write!(f, "its certificate is not of \"{id}\""),
            Self::Certificate(why) => write!(f, "{why}"),
            Self::NoTime => f.write_str("the time is not known"),
        }
    }
}

impl fmt::Display for DownWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerDeleted => f.write_str("peer deleted the IKE SA"),
            Self::PeerRestarted => f.write_str("peer started anew"),
            Self::Cleared => f.write_str("cleared"),
            Self::Dead => f.write_str("peer found dead"),
            Self::NotAnswering => f.write_str("peer not responding"),
            Self::Expired => f.write_str("lifetime ended"),
            Self::NoChild => f.write_str("no child SA"),
            Self::Superfluous => f.write_str("another IKE SA is in use"),
            Self::PeerFault(kind) => write!(f, "peer reported {}", notify_words(*kind)),
            Self::Protocol => f.write_str("peer broke the protocol"),
        }
    }
}
