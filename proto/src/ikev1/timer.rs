//! When the endpoint has to be called: one variant a deadline.

use std::time::Duration;

/// A half-open SA is given up after this.
pub(super) const HALF_OPEN: Duration = Duration::from_secs(30);
/// What another took the place of is deleted after this: packets and messages under way still arrive.
pub(super) const SUPERSEDED: Duration = Duration::from_secs(30);
/// A quick mode that is complete repeats its last message for so long.
pub(super) const LINGER: Duration = Duration::from_secs(120);
/// An ISAKMP SA without IPsec SAs, and without an attempt at one, asks for one after this.
pub(super) const CHILDLESS: Duration = Duration::from_secs(1);
/// What could not be had is asked for again after this.
pub(super) const AGAIN: Duration = Duration::from_secs(15);
/// Packets leave through a new pair when the peer has had this long to install it.
pub(super) const SWITCH: Duration = Duration::from_secs(5);
/// An XAUTH or Mode Config exchange of the peer has to follow within this.
pub(super) const CONFIGURING: Duration = Duration::from_secs(60);
/// A main mode that was refused in the clear, by the peer or by somebody else, waits this long for a better answer.
pub(super) const REFUSED: Duration = Duration::from_secs(3);

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A phase 1 message is repeated, or given up.
    Retransmit,
    /// A phase 2 message is repeated, or given up; or what is complete is forgotten.
    Exchange,
    /// Phase 1 did not become complete.
    HalfOpen,
    /// Phase 1 was refused without proof, and no better answer came.
    Refused,
    /// XAUTH or Mode Config did not become complete.
    Configuring,
    /// The ISAKMP SA is to be replaced.
    IkeRekey,
    /// The ISAKMP SA reached its lifetime.
    IkeExpire,
    /// The ISAKMP SA was replaced a while ago.
    Superseded,
    /// Something waits to be asked of the peer.
    Task,
    /// A pair is to be replaced.
    ChildRekey,
    /// A pair reached its lifetime.
    ChildExpire,
    /// Packets are to leave through the new pair.
    ChildSwitch,
    /// A pair was replaced a while ago.
    ReplacedChild,
}
