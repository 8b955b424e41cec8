//! Pairs of IPsec SAs: what is kept of them, which is in use, and when each ends.

use std::time::{Duration, Instant};

use adit_crypto::SecretBytes;

use super::core::{Core, Slot};
use super::offers;
use super::proposal::{EspProposal, Life};
use super::task::Task;
use super::timer::{SUPERSEDED, SWITCH, Timer};
use crate::ike::{ChildMode, ChildSa, ConnectionId, Event, Outbound, Path, Retired};
use crate::wire::esp::Spi;
use crate::wire::ike::TrafficSelector;

/// Pairs of one tunnel at a time; a peer cannot make us keep more.
const CHILDREN_MAX: usize = 8;

/// A pair.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) spi_in: Spi,
    pub(super) spi_out: Spi,
    pub(super) proposal: EspProposal,
    pub(super) mode: ChildMode,
    pub(super) local_ts: TrafficSelector,
    pub(super) remote_ts: TrafficSelector,
    pub(super) udp: bool,
    pub(super) we_asked: bool,
    pub(super) born: Instant,
    pub(super) rekey_at: Instant,
    pub(super) hard_at: Instant,
    pub(super) state: ChildState,
}

/// How far a pair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    /// The peer asked for it, and has not shown yet that it has our answer.
    Offered,
    /// In use, but packets leave through another until then: the peer may not have installed it before.
    Fresh { switch_at: Instant },
    /// The one in use.
    InUse,
    /// Another came in its place; we delete it then, if at all before its end.
    Replaced { delete_at: Option<Instant> },
}

/// What both ends agreed on, with the keys.
pub(super) struct Agreed {
    pub(super) spi_in: Spi,
    pub(super) spi_out: Spi,
    pub(super) proposal: EspProposal,
    pub(super) mode: ChildMode,
    pub(super) local_ts: TrafficSelector,
    pub(super) remote_ts: TrafficSelector,
    pub(super) keys_in: SecretBytes,
    pub(super) keys_out: SecretBytes,
    /// How long the peer keeps it at most, as far as it said.
    pub(super) life: Life,
    pub(super) udp: bool,
    pub(super) path: Path,
    pub(super) we_asked: bool,
}

impl Slot {
    pub(super) fn child(&self, spi_in: Spi) -> Option<&Child> {
        self.children.iter().find(|child| child.spi_in == spi_in)
    }

    fn child_mut(&mut self, spi_in: Spi) -> Option<&mut Child> {
        self.children
            .iter_mut()
            .find(|child| child.spi_in == spi_in)
    }

    /// The pair in use, the newest if there are several.
    pub(super) fn child_in_use(&self) -> Option<&Child> {
        self.children.iter().rev().find(|child| child.is_in_use())
    }

    /// The inbound SPI of that pair.
    pub(super) fn spi_in_use(&self) -> Option<Spi> {
        self.child_in_use().map(|child| child.spi_in)
    }

    /// The next deadline of its pairs and wishes.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Timer)> {
        let tasks = self.tasks.iter().map(|(at, _)| (*at, Timer::Task));
        let children = self
            .children
            .iter()
            .flat_map(|child| child.deadlines().into_iter().flatten());
        tasks.chain(children).min()
    }
}

impl Child {
    pub(super) const fn is_in_use(&self) -> bool {
        matches!(self.state, ChildState::InUse | ChildState::Fresh { .. })
    }

    /// What is due when.
    pub(super) fn deadlines(&self) -> [Option<(Instant, Timer)>; 2] {
        let next = match self.state {
            ChildState::Offered => None,
            ChildState::Fresh { switch_at } => Some((switch_at, Timer::ChildSwitch)),
            ChildState::InUse => Some((self.rekey_at, Timer::ChildRekey)),
            ChildState::Replaced { delete_at } => delete_at.map(|at| (at, Timer::ReplacedChild)),
        };
        [next, Some((self.hard_at, Timer::ChildExpire))]
    }
}

/// Whether there is room for one more pair, if need be in place of the oldest that was replaced: its deletion may have been lost.
pub(super) fn make_room(core: &mut Core, id: ConnectionId) -> bool {
    let Some(slot) = core.slots.get(&id) else {
        return false;
    };
    if slot.children.len() < CHILDREN_MAX {
        return true;
    }
    let is_replaced = |child: &&Child| matches!(child.state, ChildState::Replaced { .. });
    let oldest = slot.children.iter().find(is_replaced);
    let oldest = oldest.map(|child| child.spi_in);
    if let Some(spi_in) = oldest {
        retire(core, id, spi_in, Retired::Rekeyed);
    }
    oldest.is_some()
}

/// Keeps a new pair and has it installed. What the peer asked for is only [`ChildState::Offered`] before it shows to have our answer.
pub(super) fn install(core: &mut Core, id: ConnectionId, now: Instant, agreed: Agreed) {
    let Some(slot) = core.slots.get(&id) else {
        core.numbers.release(agreed.spi_in);
        return;
    };
    let connection = slot.connection.clone();
    let replaces = slot.spi_in_use();
    let ours = connection.child_lifetime.hard;
    let hard = agreed.life.duration().map_or(ours, |life| life.min(ours));
    let life = agreed.life.least(offers::esp_life(&connection));
    let rekey_at = core.rekey_at(now, &connection.child_lifetime, hard);
    let child = Child {
        spi_in: agreed.spi_in,
        spi_out: agreed.spi_out,
        proposal: agreed.proposal,
        mode: agreed.mode,
        local_ts: agreed.local_ts,
        remote_ts: agreed.remote_ts,
        udp: agreed.udp,
        we_asked: agreed.we_asked,
        born: now,
        rekey_at,
        hard_at: now + hard,
        state: ChildState::Offered,
    };
    let waits = !agreed.we_asked || replaces.is_some();
    let sa = ChildSa {
        spi_in: agreed.spi_in,
        spi_out: agreed.spi_out,
        suite: agreed.proposal.suite,
        esn: false,
        keys_in: agreed.keys_in,
        keys_out: agreed.keys_out,
        mode: agreed.mode,
        local_ts: vec![agreed.local_ts],
        remote_ts: vec![agreed.remote_ts],
        udp: agreed.udp.then_some(agreed.path),
        path: agreed.path,
        replaces,
        outbound: if waits {
            Outbound::OnInbound
        } else {
            Outbound::Now
        },
        pfs: agreed.proposal.group.map(|group| group.name()),
        rekey_at,
        octets_max: life.octets(),
    };
    if let Some(slot) = core.slots.get_mut(&id) {
        slot.children.push(child);
    }
    core.event(Event::ChildInstalled(id, Box::new(sa)));
    core.touched(id);
}

/// The exchange of that pair is complete: it comes in the place of the others, and no other is wanted for now.
pub(super) fn take_over(core: &mut Core, id: ConnectionId, now: Instant, spi_in: Spi) {
    let Some(slot) = core.slots.get_mut(&id) else {
        return;
    };
    let others = slot.children.iter().any(|child| child.is_in_use());
    let Some(we_asked) = slot.child(spi_in).map(|child| child.we_asked) else {
        return;
    };
    for child in slot.children.iter_mut().filter(|child| child.is_in_use()) {
        // Only who asked for the new pair deletes the old one: when both asked at once, neither deletes the pair that the other uses.
        let delete_at = we_asked.then_some(now + SUPERSEDED);
        child.state = ChildState::Replaced { delete_at };
    }
    let state = match we_asked && others {
        true => ChildState::Fresh {
            switch_at: now + SWITCH,
        },
        false => ChildState::InUse,
    };
    if let Some(child) = slot.child_mut(spi_in) {
        child.state = state;
    }
    slot.tasks.retain(|(_, task)| *task == Task::Phase1);
    if others {
        core.counters.child_rekeyed += 1;
    }
    if state == ChildState::InUse && !we_asked {
        core.event(Event::SwitchOutbound(id, spi_in));
    }
    core.touched(id);
}

/// Packets leave through that pair from here on.
pub(super) fn switch(core: &mut Core, id: ConnectionId, spi_in: Spi) {
    if let Some(child) = core
        .slots
        .get_mut(&id)
        .and_then(|slot| slot.child_mut(spi_in))
    {
        child.state = ChildState::InUse;
        core.event(Event::SwitchOutbound(id, spi_in));
        core.touched(id);
    }
}

/// Asks again for a pair in its place at `at`, unless one came by then.
pub(super) fn rekey_later(core: &mut Core, id: ConnectionId, spi_in: Spi, at: Instant) {
    if let Some(child) = core
        .slots
        .get_mut(&id)
        .and_then(|slot| slot.child_mut(spi_in))
    {
        child.rekey_at = at;
        core.touched(id);
    }
}

/// The responder of the pair keeps it for no longer than `life`.
pub(super) fn shorten(
    core: &mut Core,
    id: ConnectionId,
    now: Instant,
    spi_out: u32,
    life: Duration,
) {
    let found = core.slots.get(&id).and_then(|slot| {
        let mut all = slot.children.iter();
        let child = all.find(|child| child.we_asked && child.spi_out.get() == spi_out)?;
        Some((child.spi_in, child.born + life, slot.connection.clone()))
    });
    let Some((spi_in, hard_at, connection)) = found else {
        return;
    };
    let left = hard_at.saturating_duration_since(now);
    let rekey_at = core.rekey_at(now, &connection.child_lifetime, left);
    let child = core
        .slots
        .get_mut(&id)
        .and_then(|slot| slot.child_mut(spi_in));
    if let Some(child) = child.filter(|child| hard_at < child.hard_at) {
        child.hard_at = hard_at;
        child.rekey_at = child.rekey_at.min(rekey_at);
        core.touched(id);
    }
}

/// Forgets a pair and has it retired; one that was replaced is used again when it is the last.
pub(super) fn retire(core: &mut Core, id: ConnectionId, spi_in: Spi, why: Retired) {
    let Some(slot) = core.slots.get_mut(&id) else {
        return;
    };
    let Some(place) = slot
        .children
        .iter()
        .position(|child| child.spi_in == spi_in)
    else {
        return;
    };
    slot.children.remove(place);
    // Packets must not leave through what is gone: neither that a new pair is not switched to yet, nor that an old one was replaced, counts.
    let is_left = slot
        .children
        .iter()
        .any(|child| child.state == ChildState::InUse);
    let heir = slot
        .children
        .iter_mut()
        .rev()
        .filter(|_| !is_left)
        .max_by_key(|child| (child.is_in_use(), child.state != ChildState::Offered))
        .filter(|child| child.state != ChildState::Offered)
        .map(|child| {
            child.state = ChildState::InUse;
            child.spi_in
        });
    if let Some(heir) = heir {
        core.event(Event::SwitchOutbound(id, heir));
    }
    core.numbers.release(spi_in);
    core.event(Event::ChildRetired(id, spi_in, why));
    core.touched(id);
}

/// Retires all pairs of a tunnel.
pub(super) fn retire_all(core: &mut Core, id: ConnectionId, why: Retired) {
    let Some(slot) = core.slots.get_mut(&id) else {
        return;
    };
    for child in std::mem::take(&mut slot.children) {
        core.numbers.release(child.spi_in);
        core.event(Event::ChildRetired(id, child.spi_in, why));
    }
    core.touched(id);
}
