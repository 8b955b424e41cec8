//! A tunnel's status, read from its SAs.

use std::time::{Duration, Instant};

use super::child::Child;
use super::core::Slot;
use super::sa::{Phase, Sa, Step};
use crate::ike::{ChildStatus, IkeAlgorithms, IkeState, IkeStatus};

/// The status of a tunnel whose SA that is.
pub(super) fn status(slot: &Slot, sa: Option<&Sa>, now: Instant) -> IkeStatus {
    let connection = &slot.connection;
    let mut children: Vec<ChildStatus> = slot
        .children
        .iter()
        .rev()
        .map(|child| child_status(child, now))
        .collect();
    children.sort_by_key(|child| child.rekey_in.is_none());
    let (spi_i, spi_r) = sa.map_or((0, 0), Sa::cookies);
    let until = |at: Instant| at.saturating_duration_since(now);
    IkeStatus {
        state: sa.map_or(IkeState::Idle, state),
        local_id: connection.local_id.clone(),
        remote_id: sa
            .and_then(|sa| sa.remote_id.clone())
            .or_else(|| connection.remote_id.clone()),
        path: sa.map(|sa| sa.path),
        nat_local: sa.is_some_and(|sa| sa.nat.local),
        nat_peer: sa.is_some_and(|sa| sa.nat.peer),
        proposal: sa.and_then(|sa| sa.proposal).map(IkeAlgorithms::V1),
        spi_i,
        spi_r,
        we_initiated: sa.is_some_and(|sa| sa.initiator),
        age: sa.map_or(Duration::ZERO, |sa| now.saturating_duration_since(sa.born)),
        rekey_in: sa.and_then(|sa| sa.rekey_at).map(until),
        children,
    }
}

fn state(sa: &Sa) -> IkeState {
    match sa.phase {
        Phase::Opening | Phase::HalfOpen(_) => {
            match sa.exchange.as_ref().map(|exchange| exchange.step) {
                Some(Step::Proof) => IkeState::Auth,
                _ => IkeState::SaInit,
            }
        }
        Phase::Configuring => IkeState::Auth,
        Phase::Established => IkeState::Established,
        Phase::Superseded => IkeState::Rekeying,
        Phase::Dead => IkeState::Deleting,
    }
}

fn child_status(child: &Child, now: Instant) -> ChildStatus {
    let is_in_use = child.is_in_use();
    ChildStatus {
        spi_in: child.spi_in,
        spi_out: child.spi_out,
        suite: child.proposal.suite,
        esn: false,
        mode: child.mode,
        age: now.saturating_duration_since(child.born),
        rekey_in: is_in_use.then(|| child.rekey_at.saturating_duration_since(now)),
        local_ts: vec![child.local_ts],
        remote_ts: vec![child.remote_ts],
        udp: child.udp,
    }
}
