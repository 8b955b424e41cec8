//! What each timer does.

use std::time::{Duration, Instant};

use super::awaited::Awaited;
use super::child::ChildState;
use super::core::{Action, Core};
use super::event::Retired;
use super::failure::{DownWhy, Failure};
use super::informational::without_child;
use super::rekey_ike;
use super::sa::{End, IkeSa, Phase};
use super::task::Task;
use super::timer::{FRAGMENTS, Timer};
use crate::wire::ike::ExchangeType;

/// A replacement that came to nothing is tried again after this.
const RETRY: Duration = Duration::from_secs(30);

/// The timer of an SA is due. [`Timer::Task`] is what follows each call anyway.
pub(super) fn expired(core: &mut Core, sa: &mut IkeSa, now: Instant, timer: Timer) {
    match timer {
        Timer::Task => {}
        Timer::Retransmit => retransmit(core, sa, now),
        Timer::HalfOpen | Timer::Deleted => sa.dead(End::Silent),
        Timer::Refused => {
            let failure = sa.sa_init_failure();
            sa.fail(failure);
        }
        Timer::Superseded => sa.close(now, End::Silent),
        Timer::IkeRekey => {
            sa.rekey_at = Some(now + RETRY);
            sa.ask(now, Task::RekeyIke);
        }
        Timer::IkeExpire => sa.down(now, DownWhy::Expired),
        Timer::ChildRekey => age(sa, now),
        Timer::ChildExpire => expire_child(core, sa, now),
        Timer::ReplacedChild => {
            let is_due =
                |state| matches!(state, ChildState::Replaced { until, .. } if until <= now);
            while let Some(child) = sa.children.iter().find(|child| is_due(child.state)) {
                let spi_in = child.spi_in;
                let by = sa.child_in_use().map(|child| child.spi_in);
                sa.delete_replaced(now, spi_in, by);
            }
        }
        Timer::Childless => {
            sa.childless_until = None;
            match sa.heir_of {
                Some(old) => core.actions.push_back(Action::Wait {
                    old,
                    heir: sa.local_spi,
                }),
                None => sa.down(now, DownWhy::NoChild),
            }
        }
        Timer::Fragments => sa.forget_fragments(now, FRAGMENTS),
    }
}

fn age(sa: &mut IkeSa, now: Instant) {
    let mut due = Vec::new();
    for child in &mut sa.children {
        if child.state == ChildState::InUse && child.rekey_at <= now {
            child.rekey_at = now + RETRY;
            due.push(child.spi_in);
        }
    }
    for spi_in in due {
        sa.ask(now, Task::RekeyChild(spi_in));
    }
}

/// No pair is used beyond its lifetime, whatever the peer says.
fn expire_child(core: &mut Core, sa: &mut IkeSa, now: Instant) {
    while let Some(child) = sa.children.iter().find(|child| child.hard_at <= now) {
        let spi_in = child.spi_in;
        sa.retire(core, spi_in, Retired::Deleted);
        sa.ask(now, Task::DeleteChild(spi_in));
    }
    without_child(sa, now, Duration::ZERO);
}

/// Sends the request again, or gives the peer up.
fn retransmit(core: &mut Core, sa: &mut IkeSa, now: Instant) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        sa.dead(End::Silent);
        return;
    };
    let Some(request) = &mut sa.window.outstanding else {
        return;
    };
    let exchange = request.exchange;
    if let Some(octets) = request.sent.repeat(now, &connection.retransmit) {
        core.counters.retransmits += 1;
        let (path, number, repeated) = (sa.path, request.message_id, request.sent.repeated);
        core.trace(sa.id(), || {
            format!("→ {exchange} request {number} again ({repeated})")
        });
        for datagram in octets {
            core.transmit(path, datagram);
        }
        return;
    }
    core.trace(sa.id(), || format!("no answer to {exchange}"));
    give_up(core, sa, now, exchange);
}

fn give_up(core: &mut Core, sa: &mut IkeSa, now: Instant, exchange: ExchangeType) {
    if let Some(request) = &sa.window.outstanding
        && let Awaited::IkeRekey(requested) = &request.awaited
        && let Some(rival) = &requested.collision
    {
        rekey_ike::hand_over(core, sa, now, rival.local_spi);
    }
    let end = match sa.phase {
        Phase::Initiating if exchange == ExchangeType::IkeSaInit => {
            End::Failed(sa.sa_init_failure())
        }
        Phase::Initiating => End::Failed(Failure::NotAnswering(exchange)),
        Phase::Established => End::Down(DownWhy::NotAnswering),
        Phase::HalfOpen(_) | Phase::Superseded | Phase::Deleting | Phase::Gone | Phase::Dead => {
            End::Silent
        }
    };
    sa.dead(end);
}
