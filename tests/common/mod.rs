//! What the namespace tests share: sites in namespaces, daemons in them, what is sent between them, a way to wait
//! for what they do.
//!
//! Everything is taken away when it goes out of scope, also in a test that fails. What a killed run left (names carry the process
//! number) is taken away by the next one.
#![expect(dead_code, reason = "each test crate uses a part of what is here")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod daemon;
mod namespace;
mod routed;
pub(crate) mod stream;
mod turn;
mod wire;

use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit::io::netns::{self, Netns};

// Aliases and no imports: what a test crate leaves out is dead code, which is expected, and no unused import.
pub(crate) type Daemon = daemon::Daemon;
pub(crate) type Delivery = wire::Delivery;
pub(crate) type Events = daemon::Events;
pub(crate) type Injector = wire::Injector;
pub(crate) type Namespace = namespace::Namespace;
pub(crate) type Routed = routed::Routed;
pub(crate) type Sites = namespace::Sites;
pub(crate) type Turn = turn::Turn;

/// What the scheduler may add to a protocol's deadline.
pub(crate) const SLACK: Duration = Duration::from_millis(300);

/// Asks `probe` until it has an answer, and fails with `what` after `patience`.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            start.elapsed() < patience,
            "not within {patience:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `f` in the namespace; what it opens stays there.
pub(crate) fn within<T: Send>(namespace: &Namespace, f: impl FnOnce() -> T + Send) -> T {
    within_named(&namespace.name, f)
}

/// The same by the namespace's name.
pub(crate) fn within_named<T: Send>(name: &str, f: impl FnOnce() -> T + Send) -> T {
    let fd = Netns::Named(name.to_owned()).open().unwrap();
    netns::within(Some(fd.as_fd()), f).unwrap()
}

/// Microseconds since 1970 at this moment.
pub(crate) fn unix_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since_1970.as_micros()).unwrap()
}

/// From here on `rule` decides over what arrives at a site; [`Sites::mend`] ends it.
pub(crate) fn impair(site: &Namespace, rule: &str) {
    let chain = "{ type filter hook ingress device wire priority 0; policy accept; }";
    site.run("nft", &["add", "table", "netdev", "hole"]);
    site.run("nft", &["add", "chain", "netdev", "hole", "in", chain]);
    site.run("nft", &["add", "rule", "netdev", "hole", "in", rule]);
}
