//! Several IKE SAs of one tunnel: one that succeeds another, both ends initiating at once, a peer that started anew
//! (RFC 7296 sections 2.4 and 2.8).

use std::time::{Duration, Instant};

use super::awaited::{Awaited, Estate};
use super::connection::ConnectionId;
use super::endpoint::Endpoint;
use super::event::Event;
use super::failure::DownWhy;
use super::rekey_ike;
use super::sa::{End, IkeSa};
use super::task::Task;
use super::timer::CHILDLESS;

/// The initiator of the SA that is one too many deletes it after this.
const CLOSE_OWN: Duration = Duration::from_secs(1);
/// If it does not, or if the peer made a second one without saying why, we do after this.
const CLOSE_OTHER: Duration = Duration::from_secs(10);

/// What an SA left to another goes there.
pub(super) fn inherit(endpoint: &mut Endpoint, now: Instant, from: u64, to: u64, estate: Estate) {
    let is_there = endpoint.sa(to).is_some_and(IkeSa::is_established);
    if is_there {
        endpoint.with(now, to, |core, sa| {
            sa.inherit(now, estate);
            core.announce_successor(sa, from);
        });
    } else if let Some(id) = estate.id {
        endpoint.core.abandon(id, from, estate);
    }
}

/// A successor waits on while what we asked for ourselves is not settled.
pub(super) fn wait(endpoint: &mut Endpoint, now: Instant, old: u64, heir: u64) {
    let is_open = endpoint.sa(old).is_some_and(|sa| is_contested(sa, heir));
    endpoint.with(now, heir, |_, sa| {
        if is_open {
            sa.childless_until = Some(now + CHILDLESS);
        } else {
            sa.down(now, DownWhy::NoChild);
        }
    });
}

/// The peer works with its successor, so that ours is not to be.
pub(super) fn adopt(endpoint: &mut Endpoint, now: Instant, old: u64, heir: u64) {
    if endpoint.sa(old).is_some_and(|sa| is_contested(sa, heir)) {
        endpoint.with(now, old, |core, sa| {
            rekey_ike::hand_over(core, sa, now, heir)
        });
    } else {
        endpoint.with(now, heir, |_, sa| sa.heir_of = None);
    }
}

/// Whether our request for a successor is under way while the peer made `heir`.
fn is_contested(sa: &IkeSa, heir: u64) -> bool {
    sa.is_established()
        && sa.awaits(|awaited| {
            matches!(awaited, Awaited::IkeRekey(ours)
                if ours.collision.as_ref().is_some_and(|rival| rival.local_spi == heir))
        })
}

/// An SA became established by IKE_AUTH: sees what it means to the others of its tunnel.
pub(super) fn established(
    endpoint: &mut Endpoint,
    now: Instant,
    local_spi: u64,
    initial_contact: bool,
) {
    let Some(new) = endpoint.sa(local_spi) else {
        return;
    };
    let Some(id) = new.id() else {
        return;
    };
    let peer = new.remote_id.clone();
    let (new_born, new_initiator, new_nonce) = (new.born, new.initiator, new.lowest_nonce.clone());
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return;
    };
    let others: Vec<u64> = slot
        .sas
        .iter()
        .copied()
        .filter(|spi| *spi != local_spi)
        .collect();
    let mut in_use = local_spi;
    for other in others {
        let Some(sa) = endpoint.sa(other).filter(|sa| sa.is_established()) else {
            continue;
        };
        let was_there = sa.established_at.is_some_and(|at| at < new_born);
        if sa.remote_id != peer {
            endpoint.with(now, other, |_, sa| sa.down(now, DownWhy::Superfluous));
        } else if was_there || sa.initiator == new_initiator {
            old(endpoint, now, other, initial_contact && was_there);
        } else if new_nonce < sa.lowest_nonce {
            one_too_many(endpoint, now, id, local_spi);
            in_use = other;
        } else {
            one_too_many(endpoint, now, id, other);
        }
    }
    use_sa(endpoint, id, in_use);
}

/// Was established before the new one was begun.
fn old(endpoint: &mut Endpoint, now: Instant, spi: u64, peer_restarted: bool) {
    endpoint.with(now, spi, |_, sa: &mut IkeSa| {
        if peer_restarted {
            sa.dead(End::Down(DownWhy::PeerRestarted));
        } else {
            sa.ask(now + CLOSE_OTHER, Task::DeleteIke);
        }
    });
}

/// Was made at the same time as the one that stays.
fn one_too_many(endpoint: &mut Endpoint, now: Instant, id: ConnectionId, spi: u64) {
    endpoint.with(now, spi, |core, sa: &mut IkeSa| {
        core.trace(Some(id), || {
            "both ends initiated: one IKE SA of the two goes".to_owned()
        });
        let wait = if sa.initiator { CLOSE_OWN } else { CLOSE_OTHER };
        sa.ask(now + wait, Task::DeleteIke);
    });
}

fn use_sa(endpoint: &mut Endpoint, id: ConnectionId, spi: u64) {
    let sa = endpoint.sa(spi);
    let child = sa
        .and_then(|sa| sa.child_in_use())
        .map(|child| child.spi_in);
    let peer = sa.and_then(|sa| sa.remote_id.clone());
    if let Some(slot) = endpoint.core.slots.get_mut(&id) {
        slot.current = Some(spi);
        slot.peer = peer;
        slot.child = child.or(slot.child);
    }
}

/// The established SA with a child that goes on where `gone` was the one in use.
pub(super) fn take_over(endpoint: &mut Endpoint, id: ConnectionId, gone: u64) -> bool {
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return false;
    };
    let next = slot.sas.iter().filter(|spi| **spi != gone).find_map(|spi| {
        let sa = endpoint.sa(*spi).filter(|sa| sa.is_established())?;
        Some((*spi, sa.child_in_use()?.spi_in))
    });
    if let Some(slot) = endpoint.core.slots.get_mut(&id) {
        slot.current = next.map(|(spi, _)| spi);
        slot.child = next.map(|(_, child)| child);
    }
    if let Some((_, child)) = next {
        endpoint.core.event(Event::SwitchOutbound(id, child));
    }
    next.is_some()
}
