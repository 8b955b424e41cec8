//! What the tests of this module share.

use std::net::IpAddr;
use std::time::Instant;

use super::Path;

/// A point in time to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "a virtual clock starts somewhere, and only the clock makes an Instant"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn path(local: &str, remote: &str) -> Path {
    Path {
        local: address(local),
        remote: address(remote),
    }
}
