//! Several ISAKMP SAs of one tunnel: one that succeeds another, both ends initiating at once, a peer that started anew.

use std::time::{Duration, Instant};

use super::child;
use super::connection::EasyVpn;
use super::endpoint::Endpoint;
use super::sa::{End, Phase, Step};
use super::task::Task;
use super::timer::SUPERSEDED;
use crate::ike::{ConnectionId, Event, IkeAlgorithms, IkeInfo, Retired};
use crate::wire::esp::Spi;

/// The initiator asks for the first pair; if it does not, we do after this.
const FIRST_PAIR: Duration = Duration::from_secs(10);

/// An SA is established: sees what it means to the others of its tunnel.
pub(super) fn established(
    endpoint: &mut Endpoint,
    now: Instant,
    cookie: u64,
    initial_contact: bool,
) {
    let Some(new) = endpoint.sa(cookie).filter(|sa| sa.is_established()) else {
        return;
    };
    let (Some(id), new_born, we_initiated) = (new.id(), new.born, new.initiator) else {
        return;
    };
    let new_cookies = new.cookies();
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return;
    };
    let others: Vec<u64> = slot
        .sas
        .iter()
        .copied()
        .filter(|other| *other != cookie)
        .collect();
    let mut in_use = cookie;
    for other in others {
        let Some(sa) = endpoint.sa(other) else {
            continue;
        };
        let is_older = sa.established_at.is_some_and(|at| at < new_born);
        let is_crossed = !is_older && sa.initiator != we_initiated;
        match sa.phase {
            Phase::Established if initial_contact && is_older => {
                endpoint.with(now, other, |_, sa| sa.dead(End::Silent));
            }
            // Both ends began at once: both keep the one whose cookies are greater.
            Phase::Established if is_crossed && sa.cookies() > new_cookies => in_use = other,
            Phase::Established => endpoint.supersede(now, other, SUPERSEDED),
            Phase::Superseded
            | Phase::Opening
            | Phase::HalfOpen(_)
            | Phase::Configuring
            | Phase::Dead => {}
        }
    }
    if in_use != cookie {
        endpoint.supersede(now, cookie, SUPERSEDED);
        return;
    }
    if initial_contact {
        child::retire_all(&mut endpoint.core, id, Retired::IkeGone);
    }
    use_sa(endpoint, now, cookie);
    if !we_initiated {
        give_up_unanswered(endpoint, now, id);
    }
    announce(endpoint, cookie);
}

/// An attempt of ours that the peer has not heard of would end in another SA, which only one of us would hold to be the newer one.
fn give_up_unanswered(endpoint: &mut Endpoint, now: Instant, id: ConnectionId) {
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return;
    };
    let is_unanswered = |cookie: &u64| {
        let sa = endpoint.sa(*cookie);
        let exchange = sa.filter(|sa| sa.phase == Phase::Opening);
        let exchange = exchange.and_then(|sa| sa.exchange.as_deref());
        exchange.is_some_and(|exchange| exchange.step == Step::Choice)
    };
    let unanswered: Vec<u64> = slot.sas.iter().copied().filter(is_unanswered).collect();
    for cookie in unanswered {
        endpoint.with(now, cookie, |_, sa| sa.dead(End::Silent));
    }
}

/// The peer said later that this SA is its only one.
pub(super) fn sole(endpoint: &mut Endpoint, now: Instant, cookie: u64) {
    let Some(sa) = endpoint.sa(cookie).filter(|sa| sa.is_established()) else {
        return;
    };
    let (Some(id), Some(since)) = (sa.id(), sa.established_at) else {
        return;
    };
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return;
    };
    let is_old = |other: &u64| {
        let sa = endpoint.sa(*other);
        sa.is_some_and(|sa| sa.established_at.is_some_and(|at| at < since))
    };
    let others: Vec<u64> = slot.sas.iter().copied().filter(is_old).collect();
    let pairs: Vec<Spi> = slot
        .children
        .iter()
        .filter(|child| child.born < since)
        .map(|child| child.spi_in)
        .collect();
    for other in others {
        endpoint.with(now, other, |_, sa| sa.dead(End::Silent));
    }
    for spi_in in pairs {
        child::retire(&mut endpoint.core, id, spi_in, Retired::IkeGone);
    }
    endpoint.core.ask(id, now + FIRST_PAIR, Task::QuickIfNone);
}

/// The tunnel works with that SA from here on.
fn use_sa(endpoint: &mut Endpoint, now: Instant, cookie: u64) {
    let Some(sa) = endpoint.sa(cookie) else {
        return;
    };
    let (Some((id, connection)), path, peer, we_initiated) = (
        sa.tunnel.clone(),
        sa.path,
        sa.remote_id.clone(),
        sa.initiator,
    ) else {
        return;
    };
    let core = &mut endpoint.core;
    let Some(slot) = core.slots.get_mut(&id) else {
        return;
    };
    let was_up = std::mem::replace(&mut slot.is_up, true);
    slot.current = Some(cookie);
    slot.path = Some(path);
    slot.peer = peer;
    slot.tasks.retain(|(_, task)| *task != Task::Phase1);
    let of_other_address = slot.child_in_use().filter(|child| {
        let is_client = |easy_vpn: &EasyVpn| easy_vpn.client_mode;
        connection.easy_vpn.as_ref().is_some_and(is_client)
            && child.local_ts.start != connection.local_ts.start
    });
    if let Some(spi_in) = of_other_address.map(|child| child.spi_in) {
        // The server assigned another address, which nothing leaves with through that pair.
        slot.ask(now, Task::Quick(Some(spi_in)));
    }
    if slot.child_in_use().is_none() {
        let at = if we_initiated { now } else { now + FIRST_PAIR };
        slot.ask(at, Task::QuickIfNone);
    }
    if was_up {
        core.counters.ike_rekeyed += 1;
    } else {
        core.counters.established += 1;
    }
    core.touched(id);
}

fn announce(endpoint: &mut Endpoint, cookie: u64) {
    let Some(sa) = endpoint.sa(cookie) else {
        return;
    };
    let (Some((id, connection)), Some(remote_id), Some(proposal), Some(rekey_at)) =
        (&sa.tunnel, sa.remote_id.clone(), sa.proposal, sa.rekey_at)
    else {
        return;
    };
    let (spi_i, spi_r) = sa.cookies();
    let info = IkeInfo {
        local_id: connection.local_id.clone(),
        remote_id,
        path: sa.path,
        nat_local: sa.nat.local,
        nat_peer: sa.nat.peer,
        proposal: IkeAlgorithms::V1(proposal),
        spi_i,
        spi_r,
        we_initiated: sa.initiator,
        rekey_at,
        peer_vendor: sa.peer.vendors.clone(),
        answers_probes: sa.peer.dpd,
    };
    let id = *id;
    endpoint.core.event(Event::Established(id, Box::new(info)));
}
