//! Names of peers into addresses, in the namespace where the sockets live.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use adit_proto::liveness::ResolveFailure;

use crate::io::netns;

/// How long the resolver may take; its own patience is longer than a tunnel's.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a remote has no address: what the failover machine takes, and the same in words.
pub(super) type Failure = (ResolveFailure, String);

/// The first address that the resolver gives for `remote`, of `local`'s family where that is set.
///
/// # Errors
/// The resolver's failure, or that no address has the right family.
pub(super) async fn resolve(
    remote: String,
    local: Option<IpAddr>,
    netns: Option<Arc<OwnedFd>>,
) -> Result<IpAddr, Failure> {
    let name = remote.clone();
    let looked_up = tokio::task::spawn_blocking(move || {
        let netns = netns.as_ref().map(AsFd::as_fd);
        netns::within(netns, || look_up(&name, local))
            .unwrap_or_else(|error| Err(unavailable(&name, &error)))
    });
    match tokio::time::timeout(PATIENCE, looked_up).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => Err((ResolveFailure::Unavailable, format!("{remote}: {error}"))),
        Err(_) => {
            let why = format!(
                "{remote}: the resolver did not answer within {} s",
                PATIENCE.as_secs()
            );
            Err((ResolveFailure::TimedOut, why))
        }
    }
}

fn look_up(remote: &str, local: Option<IpAddr>) -> Result<IpAddr, Failure> {
    let addresses: Vec<_> = (remote, 0)
        .to_socket_addrs()
        .map_err(|error| unavailable(remote, &error))?
        .map(|address| address.ip())
        .collect();
    let fits = |address: &&IpAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    match addresses.iter().find(fits) {
        Some(&address) => Ok(address),
        None if addresses.is_empty() => {
            Err((ResolveFailure::NotFound, format!("{remote}: no address")))
        }
        None => {
            let why = format!("{remote}: no address of the family of the local address");
            Err((ResolveFailure::WrongFamily, why))
        }
    }
}

fn unavailable(remote: &str, error: &io::Error) -> Failure {
    (ResolveFailure::Unavailable, format!("{remote}: {error}"))
}
