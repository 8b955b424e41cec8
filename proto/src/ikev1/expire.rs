//! What each deadline does, and what a tunnel does that wants something.

use std::time::Instant;

use super::child::{self, ChildState};
use super::core::Core;
use super::endpoint::Endpoint;
use super::informational;
use super::main_mode;
use super::quick;
use super::quick_asked;
use super::sa::{End, Phase, Sa, Step};
use super::task::Task;
use super::timer::{AGAIN, Timer};
use super::xauth;
use crate::ike::{ConnectionId, DownWhy, Failure, Retired};
use crate::wire::esp::Spi;

/// A deadline of an SA.
pub(super) fn expired(core: &mut Core, sa: &mut Sa, now: Instant, timer: Timer) {
    match timer {
        Timer::Retransmit => repeat(core, sa, now),
        Timer::Exchange => {
            quick::expired(core, sa, now);
            xauth::expired(core, sa, now);
        }
        Timer::HalfOpen => sa.dead(End::Silent),
        Timer::Refused => {
            let why = sa.refused.take().unwrap_or(Failure::Cancelled);
            sa.dead(End::Failed(why));
        }
        Timer::Configuring => xauth::timed_out(core, sa),
        Timer::IkeRekey => {
            sa.rekey_at = None;
            if let Some(id) = sa.id() {
                core.ask(id, now, Task::Phase1);
            }
        }
        Timer::IkeExpire => {
            let end = if sa.phase == Phase::Superseded {
                End::Silent
            } else {
                End::Down(DownWhy::Expired)
            };
            sa.delete(core, end);
        }
        Timer::Superseded => sa.delete(core, End::Silent),
        Timer::Task
        | Timer::ChildRekey
        | Timer::ChildExpire
        | Timer::ChildSwitch
        | Timer::ReplacedChild => {}
    }
}

/// A message of phase 1 was not answered.
fn repeat(core: &mut Core, sa: &mut Sa, now: Instant) {
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    let again = sa
        .outstanding
        .as_mut()
        .and_then(|message| message.repeat(now, &connection.retransmit));
    if let Some(octets) = again {
        core.counters.retransmits += 1;
        core.trace(Some(id), || "→ phase 1 again".to_owned());
        core.transmit(sa.path, octets);
        return;
    }
    let step = sa
        .exchange
        .as_ref()
        .map_or(Step::Choice, |exchange| exchange.step);
    let why = sa
        .refused
        .take()
        .unwrap_or(Failure::Unanswered(step.unanswered()));
    sa.dead(End::Failed(why));
}

/// A deadline of a tunnel.
pub(super) fn of_tunnel(endpoint: &mut Endpoint, now: Instant, id: ConnectionId) {
    tasks(endpoint, now, id);
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return;
    };
    let due: Vec<(Spi, Timer)> = slot
        .children
        .iter()
        .filter_map(|child| {
            let due = child.deadlines().into_iter().flatten();
            let (_, timer) = due
                .filter(|(at, _)| *at <= now)
                .max_by_key(|(_, timer)| *timer)?;
            Some((child.spi_in, timer))
        })
        .collect();
    for (spi_in, timer) in due {
        of_child(endpoint, now, id, spi_in, timer);
    }
}

fn of_child(endpoint: &mut Endpoint, now: Instant, id: ConnectionId, spi_in: Spi, timer: Timer) {
    let core = &mut endpoint.core;
    if timer == Timer::ChildSwitch {
        child::switch(core, id, spi_in);
        return;
    }
    if timer == Timer::ChildRekey {
        child::rekey_later(core, id, spi_in, now + AGAIN);
        core.ask(id, now, Task::Quick(Some(spi_in)));
        return;
    }
    let Some(slot) = core.slots.get(&id) else {
        return;
    };
    let state = slot.child(spi_in).map(|child| child.state);
    let why = if matches!(state, Some(ChildState::Replaced { .. })) {
        Retired::Rekeyed
    } else {
        Retired::Deleted
    };
    if let Some(current) = slot.current {
        endpoint.with(now, current, |core, sa| {
            informational::delete_esp(core, sa, &[spi_in]);
        });
    }
    child::retire(&mut endpoint.core, id, spi_in, why);
    endpoint.core.ask(id, now, Task::QuickIfNone);
}

/// Does what a tunnel waits to do.
fn tasks(endpoint: &mut Endpoint, now: Instant, id: ConnectionId) {
    let Some(slot) = endpoint.core.slots.get_mut(&id) else {
        return;
    };
    let due: Vec<Task> = slot
        .tasks
        .iter()
        .filter(|(at, _)| *at <= now)
        .map(|(_, task)| *task)
        .collect();
    slot.tasks.retain(|(at, _)| *at > now);
    for task in due {
        task_of(endpoint, now, id, task);
    }
}

fn task_of(endpoint: &mut Endpoint, now: Instant, id: ConnectionId, task: Task) {
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return;
    };
    let in_use = slot.spi_in_use();
    let is_wanted = match task {
        Task::Quick(replaces) => replaces == in_use,
        Task::QuickIfNone => in_use.is_none(),
        Task::Phase1 => {
            if let Some(path) = slot.path.filter(|_| !endpoint.is_opening(slot)) {
                let connection = slot.connection.clone();
                main_mode::initiate(&mut endpoint.core, now, id, connection, path);
            }
            return;
        }
    };
    let Some(current) = slot.current.filter(|_| is_wanted) else {
        return;
    };
    let is_asked = endpoint.with(now, current, |core, sa: &mut Sa| {
        sa.is_established() && quick_asked::ask(core, sa, now)
    });
    if is_asked != Some(true) {
        endpoint.core.ask(id, now + AGAIN, task);
    }
}
