//! A time for what asks for one; no target lets it pass.

use std::sync::OnceLock;
use std::time::Instant;

/// The same moment at each call.
pub(crate) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}
