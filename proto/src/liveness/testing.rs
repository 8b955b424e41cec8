//! What the tests of this module share.

use std::net::IpAddr;
use std::time::Instant;

use super::{KeepaliveRequest, Liveness, Path, Transmit};

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

/// What a tunnel without IKE has to send.
pub(super) fn requests(liveness: &mut Liveness) -> Vec<KeepaliveRequest> {
    let request = |transmit| match transmit {
        Transmit::Keepalive(request) => request,
        Transmit::IkeProbe => panic!("there is no IKE to probe"),
    };
    std::iter::from_fn(|| liveness.poll_transmit())
        .map(request)
        .collect()
}

pub(super) fn path(local: &str, remote: &str) -> Path {
    Path {
        local: address(local),
        remote: address(remote),
    }
}
