//! Child SAs: what is kept of a pair, and its keys (RFC 7296 sections 1.3.1 and 2.17).

use std::time::Instant;

use adit_crypto::SecretBytes;

use super::connection::ChildMode;
use super::core::Core;
use super::event::{ChildSa, Event, Outbound, Retired};
use super::keys::child_keymat;
use super::proposal::EspProposal;
use super::sa::IkeSa;
use super::task::Task;
use super::timer::Timer;
use crate::wire::esp::Spi;
use crate::wire::ike::TrafficSelector;

/// A pair of ESP SAs.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) spi_in: Spi,
    pub(super) spi_out: Spi,
    pub(super) proposal: EspProposal,
    pub(super) mode: ChildMode,
    pub(super) local_ts: Vec<TrafficSelector>,
    pub(super) remote_ts: Vec<TrafficSelector>,
    pub(super) udp: bool,
    pub(super) born: Instant,
    pub(super) rekey_at: Instant,
    pub(super) hard_at: Instant,
    pub(super) state: ChildState,
}

/// How far a pair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    /// The one in use.
    InUse,
    /// That other pair came in its place; the peer has to delete this one until then.
    Replaced { by: Spi, until: Instant },
    /// We delete it; another may have come in its place.
    Deleting { by: Option<Spi> },
}

/// What both ends agreed on.
pub(super) struct Agreed {
    pub(super) spi_in: Spi,
    pub(super) spi_out: Spi,
    pub(super) proposal: EspProposal,
    pub(super) mode: ChildMode,
    pub(super) local_ts: Vec<TrafficSelector>,
    pub(super) remote_ts: Vec<TrafficSelector>,
}

/// What its keys are made of.
pub(super) struct KeySeeds<'a> {
    /// We started the exchange.
    pub(super) we_asked: bool,
    pub(super) nonce_i: &'a [u8],
    pub(super) nonce_r: &'a [u8],
    pub(super) g_ir: Option<&'a SecretBytes>,
}

impl IkeSa {
    /// Keeps a new pair and has it installed.
    pub(super) fn install(
        &mut self,
        core: &mut Core,
        now: Instant,
        agreed: Agreed,
        seeds: &KeySeeds<'_>,
        outbound: Outbound,
        replaces: Option<Spi>,
    ) {
        let (Some((id, connection)), Some(keys)) = (self.tunnel.clone(), &self.keys) else {
            core.numbers.release(agreed.spi_in);
            return;
        };
        let suite = agreed.proposal.suite;
        let prf = keys.proposal.prf;
        let (i_to_r, r_to_i) = child_keymat(
            prf,
            &keys.sk_d,
            suite,
            seeds.g_ir,
            seeds.nonce_i,
            seeds.nonce_r,
        );
        let (keys_in, keys_out) = if seeds.we_asked {
            (r_to_i, i_to_r)
        } else {
            (i_to_r, r_to_i)
        };
        let rekey_at = core.rekey_at(now, &connection.child_lifetime);
        let udp = self.udp;
        self.childless_until = None;
        if std::mem::take(&mut self.is_aside) {
            core.established(self, false);
        }
        self.children.push(Child {
            spi_in: agreed.spi_in,
            spi_out: agreed.spi_out,
            proposal: agreed.proposal,
            mode: agreed.mode,
            local_ts: agreed.local_ts.clone(),
            remote_ts: agreed.remote_ts.clone(),
            udp,
            born: now,
            rekey_at,
            hard_at: now + connection.child_lifetime.hard,
            state: ChildState::InUse,
        });
        let child = ChildSa {
            spi_in: agreed.spi_in,
            spi_out: agreed.spi_out,
            suite,
            esn: agreed.proposal.esn,
            keys_in,
            keys_out,
            mode: agreed.mode,
            local_ts: agreed.local_ts,
            remote_ts: agreed.remote_ts,
            udp: udp.then_some(self.path),
            path: self.path,
            replaces,
            outbound,
            pfs: agreed.proposal.group.map(|group| group.name()),
            rekey_at,
            octets_max: None,
        };
        if let Some(slot) = core.slots.get_mut(&id) {
            slot.child = Some(child.spi_in);
        }
        core.event(Event::ChildInstalled(id, Box::new(child)));
    }

    pub(super) fn child(&self, spi_in: Spi) -> Option<&Child> {
        self.children.iter().find(|child| child.spi_in == spi_in)
    }

    pub(super) fn child_mut(&mut self, spi_in: Spi) -> Option<&mut Child> {
        self.children
            .iter_mut()
            .find(|child| child.spi_in == spi_in)
    }

    /// The pair of the tunnel in use, of whichever of its IKE SAs.
    pub(super) fn slot_child(&self, core: &Core) -> Option<Spi> {
        core.slots.get(&self.id()?)?.child
    }

    /// Makes that pair the tunnel's one in use.
    pub(super) fn prefer_child(&self, core: &mut Core, spi_in: Spi) {
        if let Some(id) = self.id()
            && let Some(slot) = core.slots.get_mut(&id)
        {
            slot.child = Some(spi_in);
        }
    }

    /// The pair in use, the newest if there are several.
    pub(super) fn child_in_use(&self) -> Option<&Child> {
        self.children
            .iter()
            .rev()
            .find(|child| child.state == ChildState::InUse)
    }

    /// Forgets a pair and has it retired.
    pub(super) fn retire(&mut self, core: &mut Core, spi_in: Spi, why: Retired) {
        let Some(place) = self
            .children
            .iter()
            .position(|child| child.spi_in == spi_in)
        else {
            return;
        };
        let child = self.children.remove(place);
        core.numbers.release(child.spi_in);
        if let Some(id) = self.id() {
            if let Some(slot) = core.slots.get_mut(&id) {
                slot.child.take_if(|in_use| *in_use == child.spi_in);
            }
            core.event(Event::ChildRetired(id, child.spi_in, why));
        }
    }

    /// The other pair of `spi_in` came in its place: deletes it.
    pub(super) fn delete_replaced(&mut self, now: Instant, spi_in: Spi, by: Option<Spi>) {
        if let Some(child) = self.child_mut(spi_in) {
            child.state = ChildState::Deleting { by };
            self.ask(now, Task::DeleteChild(spi_in));
        }
    }

    pub(super) fn child_deadline(&self, child: &Child) -> Option<(Instant, Timer)> {
        match child.state {
            ChildState::InUse => {
                let rekey = (child.rekey_at, Timer::ChildRekey);
                let expire = (child.hard_at, Timer::ChildExpire);
                let is_asked = !self.is_established() || self.is_rekeying(child.spi_in);
                Some(if is_asked { expire } else { rekey.min(expire) })
            }
            ChildState::Replaced { until, .. } => Some((until, Timer::ReplacedChild)),
            ChildState::Deleting { .. } => None,
        }
    }
}
