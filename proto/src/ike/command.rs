//! What the rest of the program asks of the endpoint.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Connection, ConnectionId, Path};
use crate::wire::esp::Spi;

/// One wish.
#[derive(Debug)]
pub enum Command {
    /// A tunnel is there; nothing is sent before [`Command::Initiate`], but the peer may initiate. One of the same number is replaced, its SAs deleted.
    Add(ConnectionId, Box<Connection>),
    /// A tunnel is gone: as [`Command::Clear`], then it is forgotten.
    Remove(ConnectionId),
    /// The names of the peer mean these addresses at present.
    SetRemotes(ConnectionId, Option<Vec<IpAddr>>),
    /// Make an IKE SA and a child SA over this path.
    Initiate(ConnectionId, Path),
    /// Delete the IKE SA with its children; attempts under way end.
    Clear(ConnectionId),
    /// The peer was found dead: forget its SAs, tell it once and wait for nothing.
    Dead(ConnectionId),
    /// Replace an SA.
    Rekey(ConnectionId, What),
    /// The child SA with this inbound SPI reached a soft limit: replace it.
    ChildAged(ConnectionId, Spi),
    /// The child SA carries nothing although the IKE SA lives: make another, also where the peer has lost it.
    RebuildChild(ConnectionId),
    /// Is the peer alive: repeats the request under way, else sends an empty INFORMATIONAL request.
    Probe(ConnectionId),
    /// Authenticated ESP arrives from that address: follow the peer there (RFC 7296 section 2.23).
    Moved(ConnectionId, SocketAddr),
}

/// Which SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The IKE SA.
    Ike,
    /// The child SA in use.
    Child,
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No tunnel of that number was added.
    UnknownConnection,
    /// [`Command::Initiate`]: an IKE SA of the tunnel exists or is being made.
    AlreadyActive,
    /// There is no established IKE SA, or no such child SA.
    NotEstablished,
    /// [`Command::Add`]: the pre-shared key has no octets.
    EmptyPsk,
    /// [`Command::Add`]: no certificate to prove ourselves with.
    NoCertificate,
    /// [`Command::Add`]: no algorithms or no traffic selectors.
    NothingToOffer,
    /// [`Command::Probe`]: the peer did not say that it answers.
    NotProbed,
    /// [`Command::Add`]: a tunnel of the other version of IKE.
    OtherVersion,
    /// [`Command::Initiate`]: the two addresses are not of one family.
    FamiliesDiffer,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownConnection => "no such tunnel",
            Self::AlreadyActive => "an IKE SA exists or is being made",
            Self::NotEstablished => "no such SA is established",
            Self::EmptyPsk => "the pre-shared key is empty",
            Self::NoCertificate => "there is no certificate to authenticate with",
            Self::NothingToOffer => "no proposal or no traffic selector to offer",
            Self::NotProbed => "the peer does not answer dead peer detection",
            Self::OtherVersion => "the tunnel is of another version of IKE",
            Self::FamiliesDiffer => "local and remote address are of different families",
        })
    }
}

impl std::error::Error for CommandError {}
