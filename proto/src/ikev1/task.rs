//! What a tunnel wants of its peer.

use crate::wire::esp::Spi;

/// One wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A pair in place of that one, or a first one.
    Quick(Option<Spi>),
    /// A pair if there is none by then.
    QuickIfNone,
    /// A new ISAKMP SA in place of the one in use.
    Phase1,
}
