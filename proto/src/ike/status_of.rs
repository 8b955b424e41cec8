//! A tunnel's status, read from its SA.

use std::time::Instant;

use super::awaited::Awaited;
use super::child::{Child, ChildState};
use super::connection::Connection;
use super::sa::{IkeSa, Phase};
use super::status::{ChildStatus, IkeAlgorithms, IkeState, IkeStatus};

/// The status of a tunnel whose SA that is.
pub(super) fn status(connection: &Connection, sa: Option<&IkeSa>, now: Instant) -> IkeStatus {
    let mut status = IkeStatus {
        state: IkeState::Idle,
        local_id: connection.local_id.clone(),
        remote_id: connection.remote_id.clone(),
        path: None,
        nat_local: false,
        nat_peer: false,
        proposal: None,
        spi_i: 0,
        spi_r: 0,
        we_initiated: false,
        age: std::time::Duration::ZERO,
        rekey_in: None,
        children: Vec::new(),
    };
    let Some(sa) = sa else {
        return status;
    };
    status.state = state(sa);
    status.remote_id = sa.remote_id.clone().or(status.remote_id);
    status.path = Some(sa.path);
    status.nat_local = sa.nat.local;
    status.nat_peer = sa.nat.peer;
    status.proposal = sa
        .keys
        .as_ref()
        .map(|keys| IkeAlgorithms::V2(keys.proposal));
    status.spi_i = sa.spi_i();
    status.spi_r = sa.spi_r();
    status.we_initiated = sa.initiator;
    status.age = now.saturating_duration_since(sa.born);
    status.rekey_in = sa.rekey_at.map(|at| at.saturating_duration_since(now));
    status.children = sa
        .children
        .iter()
        .rev()
        .map(|child| child_status(child, now))
        .collect();
    status
        .children
        .sort_by_key(|child| child.rekey_in.is_none());
    status
}

fn state(sa: &IkeSa) -> IkeState {
    match sa.phase {
        Phase::Initiating if sa.keys.is_some() => IkeState::Auth,
        Phase::Initiating => IkeState::SaInit,
        Phase::HalfOpen(_) => IkeState::Auth,
        Phase::Established if sa.awaits(|awaited| matches!(awaited, Awaited::IkeRekey(_))) => {
            IkeState::Rekeying
        }
        Phase::Established => IkeState::Established,
        Phase::Superseded => IkeState::Rekeying,
        Phase::Deleting | Phase::Gone | Phase::Dead => IkeState::Deleting,
    }
}

fn child_status(child: &Child, now: Instant) -> ChildStatus {
    let is_in_use = child.state == ChildState::InUse;
    ChildStatus {
        spi_in: child.spi_in,
        spi_out: child.spi_out,
        suite: child.proposal.suite,
        esn: child.proposal.esn,
        mode: child.mode,
        age: now.saturating_duration_since(child.born),
        rekey_in: is_in_use.then(|| child.rekey_at.saturating_duration_since(now)),
        local_ts: child.local_ts.clone(),
        remote_ts: child.remote_ts.clone(),
        udp: child.udp,
    }
}
