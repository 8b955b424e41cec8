//! The traffic selectors of a child SA: what of ours counts for an IKE SA, and what both ends and the data path can have of it
//! (RFC 7296 sections 2.9 and 2.23.1).

use std::net::IpAddr;

use super::connection::{ChildMode, Connection};
use super::failure::Failure;
use super::sa::IkeSa;
use super::selector::{for_esp, narrow};
use crate::wire::ike::TrafficSelector;

/// Those of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Both {
    pub(super) local: Vec<TrafficSelector>,
    pub(super) remote: Vec<TrafficSelector>,
}

impl Both {
    /// None if one side has none.
    fn new(local: Vec<TrafficSelector>, remote: Vec<TrafficSelector>) -> Option<Self> {
        (!local.is_empty() && !remote.is_empty()).then_some(Self { local, remote })
    }
}

/// Ours: in transport mode those of the IKE SA's own addresses only, since packets have no others then. Behind a NAT, where the ends see
/// different ones, as configured.
///
/// # Errors
/// The addresses are not among them.
pub(super) fn ours(sa: &IkeSa, connection: &Connection, mode: ChildMode) -> Result<Both, Failure> {
    let (local, remote) = (&connection.local_ts, &connection.remote_ts);
    if mode == ChildMode::Tunnel || sa.nat.local || sa.nat.peer {
        let (local, remote) = (local.clone(), remote.clone());
        return Ok(Both { local, remote });
    }
    let of_host = |selectors: &[TrafficSelector], host: IpAddr| {
        let host = host.to_canonical();
        narrow(selectors, &[TrafficSelector::new(0, host, host)])
    };
    Both::new(
        of_host(local, sa.path.local.ip()),
        of_host(remote, sa.path.remote.ip()),
    )
    .ok_or(Failure::Local(
        "our traffic selectors leave out the addresses of the ends, which are all that transport mode has",
    ))
}

/// What of ours the peer has as well, as far as the data path can tell it from other packets; none if a side has nothing of it.
pub(super) fn common(
    connection: &Connection,
    ours: &Both,
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
) -> Option<Both> {
    // What the tunnel carries is of one protocol or of any.
    let protocol = connection.local_ts.first().map_or(0, |ours| ours.protocol);
    let carried = |ours: &[TrafficSelector], theirs: &[TrafficSelector]| {
        let mut both = narrow(ours, theirs);
        both.retain(|selector| for_esp(&[*selector], &[], protocol).is_ok());
        both
    };
    let both = Both::new(carried(&ours.local, local), carried(&ours.remote, remote))?;
    for_esp(&both.local, &both.remote, protocol).ok()?;
    Some(both)
}
