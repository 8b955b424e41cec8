//! CREATE_CHILD_SA for the IKE SA itself, both roles (RFC 7296 sections 1.3.2, 2.8.2, 2.18 and 2.25.2).
//!
//! The successor starts with message ID 0 and inherits the children; the predecessor is deleted by who asked for the successor.

use std::time::{Duration, Instant};

use adit_crypto::{Group, KeyPair, SecretBytes};

use super::awaited::{Awaited, Estate, IkeCollision, IkeRekeyRequested};
use super::child_answer::Refusal;
use super::connection::Connection;
use super::core::{Action, Core};
use super::create_child::temporary;
use super::failure::Failure;
use super::keys::{IkeKeys, Seeds};
use super::message::Contents;
use super::proposal::{IkeProposal, accept_ike, choose_ike, ike_to_wire, rekey_spi};
use super::rekey_child::RETRY;
use super::sa::{End, IkeSa, Phase, SaKeys};
use super::sa_init::{group_number, prefer_group};
use super::task::Task;
use super::timer::{CHILDLESS, SUPERSEDED, Timer};
use crate::wire::ike::{ExchangeType, Writer, notify};

/// IKE SAs of one tunnel at once: the one in use, and those that are on their way out.
const SAS_MAX: usize = 16;
/// A refused request is made again after this.
const RETRY_REFUSED: Duration = Duration::from_secs(30);

/// Asks for a successor.
pub(super) fn ask(core: &mut Core, sa: &mut IkeSa, now: Instant) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        return;
    };
    // The group in use is one that the peer takes.
    let group = sa.keys.as_ref().map(|keys| keys.proposal.group);
    let Some(key_pair) = group.and_then(|group| KeyPair::generate(group).ok()) else {
        return;
    };
    let requested = IkeRekeyRequested {
        local_spi: core.numbers.ike_spi(),
        nonce: core.numbers.nonce(),
        groups_tried: vec![key_pair.group()],
        key_pair,
        collision: None,
    };
    send(core, sa, now, &connection, requested);
}

fn send(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    connection: &Connection,
    requested: IkeRekeyRequested,
) {
    let mut writer = Writer::new();
    writer
        .sa(&ike_to_wire(&connection.ike, Some(requested.local_spi)))
        .nonce(&requested.nonce)
        .ke(
            requested.key_pair.group().iana(),
            requested.key_pair.public(),
        );
    let awaited = Awaited::IkeRekey(Box::new(requested));
    sa.request(core, now, ExchangeType::CreateChildSa, &mut writer, awaited);
}

/// A request of the peer.
pub(super) fn answer(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    contents: &Contents<'_>,
    writer: &mut Writer,
) -> Result<(), Refusal> {
    let busy = |awaited: &Awaited| matches!(awaited, Awaited::Child(_) | Awaited::DeleteChild(_));
    let succeeds_too_fast = sa
        .id()
        .and_then(|id| core.slots.get(&id))
        .is_some_and(|slot| slot.sas.len() >= SAS_MAX);
    if sa.awaits(busy) || succeeds_too_fast {
        return Err(temporary());
    }
    let syntax = |why| Refusal::new(notify::INVALID_SYNTAX, why);
    let (Some(offered), Some((group, public)), Some(nonce_i)) =
        (contents.sa(), contents.ke(), contents.nonce())
    else {
        return Err(syntax(Failure::Protocol("its request lacks a payload")));
    };
    let Some((_, connection)) = sa.tunnel.clone() else {
        return Err(temporary());
    };
    let (proposal, number) = choose_ike(&connection.ike, &prefer_group(offered, group))
        .or_else(|_| choose_ike(&connection.ike, offered))
        .map_err(|why| Refusal::new(notify::NO_PROPOSAL_CHOSEN, Failure::NoProposal(why)))?;
    if proposal.group.iana() != group {
        let mut refusal = Refusal::new(notify::INVALID_KE_PAYLOAD, Failure::GroupRefused(group));
        refusal.data = proposal.group.iana().to_be_bytes().to_vec();
        return Err(refusal);
    }
    let spi_i =
        rekey_spi(offered, number).ok_or(syntax(Failure::Protocol("its request has no SPI")))?;
    let local = |_| {
        Refusal::new(
            notify::TEMPORARY_FAILURE,
            Failure::Local("no key pair could be made"),
        )
    };
    let key_pair = KeyPair::generate(proposal.group).map_err(local)?;
    let own = key_pair.public().to_vec();
    let g_ir = key_pair
        .agree(public)
        .map_err(|_| syntax(Failure::KeyExchange))?;
    let (local_spi, nonce_r) = (core.numbers.ike_spi(), core.numbers.nonce());
    let seeds = Seeds {
        ni: nonce_i,
        nr: &nonce_r,
        spi_i,
        spi_r: local_spi,
    };
    let successor = successor(core, sa, now, proposal, &seeds, &g_ir, false)
        .ok_or(syntax(Failure::KeyExchange))?;
    writer
        .sa(&proposal.to_wire(number, Some(local_spi)))
        .nonce(&nonce_r)
        .ke(proposal.group.iana(), &own);
    take_over(core, sa, now, successor, nonce_i.min(&nonce_r));
    Ok(())
}

/// The peer's successor takes over at once, or waits for what becomes of our own request.
fn take_over(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    mut successor: Box<IkeSa>,
    lowest_nonce: &[u8],
) {
    if let Some(request) = &mut sa.window.outstanding
        && let Awaited::IkeRekey(ours) = &mut request.awaited
    {
        ours.collision = Some(IkeCollision {
            lowest_nonce: lowest_nonce.to_vec(),
            local_spi: successor.local_spi,
        });
        successor.childless_until = Some(now + CHILDLESS);
        successor.heir_of = Some(sa.local_spi);
        core.actions.push_back(Action::Spawn(successor));
        return;
    }
    bequeath(sa, now, &mut successor);
    core.succeeded(sa, successor);
    sa.phase = Phase::Superseded;
    sa.deadline = Some((now + SUPERSEDED, Timer::Superseded));
}

/// Children, and what was to be asked about them, go over.
fn bequeath(sa: &mut IkeSa, now: Instant, successor: &mut IkeSa) {
    let estate = sa.estate();
    successor.inherit(now, estate);
}

impl IkeSa {
    /// What it leaves behind.
    pub(super) fn estate(&mut self) -> Estate {
        // One too many, it has a successor that is.
        let is_superfluous = self.is_established();
        let goes_over = |task: &Task| match task {
            Task::RekeyChild(_) | Task::DeleteChild(_) | Task::NewChild | Task::Probe => true,
            Task::DeleteIke => is_superfluous,
            Task::RekeyIke => false,
        };
        let tasks = std::mem::take(&mut self.tasks);
        Estate {
            id: self.id(),
            children: std::mem::take(&mut self.children),
            tasks: tasks
                .into_iter()
                .filter(|(_, task)| goes_over(task))
                .collect(),
        }
    }

    pub(super) fn inherit(&mut self, now: Instant, estate: Estate) {
        self.heir_of = None;
        self.children.extend(estate.children);
        self.childless_until = self.childless_until.filter(|_| self.children.is_empty());
        for (at, task) in estate.tasks {
            self.ask(at.max(now), task);
        }
    }
}

/// The new SA, established, without children.
fn successor(
    core: &mut Core,
    sa: &IkeSa,
    now: Instant,
    proposal: IkeProposal,
    seeds: &Seeds<'_>,
    g_ir: &SecretBytes,
    initiator: bool,
) -> Option<Box<IkeSa>> {
    let old = sa.keys.as_ref()?;
    let keys = IkeKeys::rekey(&proposal, seeds, g_ir, old.proposal.prf, &old.sk_d);
    let (local_spi, remote_spi) = if initiator {
        (seeds.spi_i, seeds.spi_r)
    } else {
        (seeds.spi_r, seeds.spi_i)
    };
    let mut new = Box::new(IkeSa::new(local_spi, initiator, sa.path, now));
    new.remote_spi = remote_spi;
    new.tunnel = sa.tunnel.clone();
    new.remote_id = sa.remote_id.clone();
    new.nat = sa.nat;
    new.udp = sa.udp;
    new.peer = sa.peer.clone();
    new.is_aside = sa.is_aside;
    new.childless_until = sa.childless_until;
    new.keys = Some(SaKeys::new(proposal, keys, initiator)?);
    new.lowest_nonce = seeds.ni.min(seeds.nr).to_vec();
    new.establish(core, now);
    Some(new)
}

/// The response to our request.
pub(super) fn response(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    mut requested: IkeRekeyRequested,
    contents: &Contents<'_>,
) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        return;
    };
    if let Some(error) = contents.error().filter(|_| contents.sa().is_none()) {
        let (kind, data) = (error.kind, error.data);
        if kind == notify::INVALID_KE_PAYLOAD
            && let Some(key_pair) = other_group(&connection, &requested.groups_tried, data)
        {
            requested.groups_tried.push(key_pair.group());
            requested.key_pair = key_pair;
            send(core, sa, now, &connection, requested);
            return;
        }
        let wait = if kind == notify::TEMPORARY_FAILURE {
            RETRY / 4 + core.numbers.part_of(RETRY)
        } else {
            RETRY_REFUSED
        };
        core.trace(sa.id(), || {
            format!("IKE SA's successor refused: {}", super::notify_words(kind))
        });
        give_up(core, sa, now, requested.collision, wait);
        return;
    }
    let collision = requested.collision.take();
    match accept(core, sa, now, &connection, requested, contents) {
        Ok(new) => settle(core, sa, now, new, collision),
        Err(failure) => {
            core.trace(sa.id(), || {
                format!("IKE SA's successor not taken: {failure}")
            });
            give_up(core, sa, now, collision, RETRY_REFUSED);
        }
    }
}

fn other_group(connection: &Connection, tried: &[Group], data: &[u8]) -> Option<KeyPair> {
    let group = Group::from_iana(group_number(data).ok()?)?;
    let mut ours = connection.ike.iter().flat_map(|offer| offer.groups());
    if tried.contains(&group) || !ours.any(|ours| *ours == group) {
        return None;
    }
    KeyPair::generate(group).ok()
}

fn accept(
    core: &mut Core,
    sa: &IkeSa,
    now: Instant,
    connection: &Connection,
    requested: IkeRekeyRequested,
    contents: &Contents<'_>,
) -> Result<Box<IkeSa>, Failure> {
    let (Some(answer), Some((group, public)), Some(nonce_r)) =
        (contents.sa(), contents.ke(), contents.nonce())
    else {
        return Err(Failure::Protocol("its answer lacks a payload"));
    };
    let proposal = accept_ike(&connection.ike, answer).map_err(Failure::NotOffered)?;
    if proposal.group != requested.key_pair.group() || proposal.group.iana() != group {
        return Err(Failure::GroupRefused(group));
    }
    let number = answer
        .proposals
        .first()
        .map_or(0, |proposal| proposal.number);
    let spi_r = rekey_spi(answer, number).ok_or(Failure::Protocol("its answer has no SPI"))?;
    let g_ir = requested
        .key_pair
        .agree(public)
        .map_err(|_| Failure::KeyExchange)?;
    let seeds = Seeds {
        ni: &requested.nonce,
        nr: nonce_r,
        spi_i: requested.local_spi,
        spi_r,
    };
    successor(core, sa, now, proposal, &seeds, &g_ir, true).ok_or(Failure::KeyExchange)
}

/// Our successor takes over, unless the peer's own is to stay: that of the lowest nonce goes (RFC 7296 section 2.8.2).
fn settle(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    mut new: Box<IkeSa>,
    collision: Option<IkeCollision>,
) {
    if let Some(rival) = collision {
        let is_lost = new.lowest_nonce < rival.lowest_nonce;
        let whose = if is_lost { "the peer's" } else { "our" };
        core.trace(sa.id(), || {
            format!("both ends replaced the IKE SA: {whose} successor stays")
        });
        if is_lost {
            new.close(now, End::Silent);
            core.actions.push_back(Action::Spawn(new));
            hand_over(core, sa, now, rival.local_spi);
            return;
        }
    }
    bequeath(sa, now, &mut new);
    core.succeeded(sa, new);
    sa.close(now, End::Silent);
}

/// The peer's successor, which waited, takes over; the peer deletes this one.
pub(super) fn hand_over(core: &mut Core, sa: &mut IkeSa, now: Instant, to: u64) {
    let estate = sa.estate();
    core.actions.push_back(Action::Inherit {
        from: sa.local_spi,
        to,
        estate,
    });
    if sa.is_established() {
        sa.phase = Phase::Superseded;
        sa.deadline = Some((now + SUPERSEDED, Timer::Superseded));
    }
}

/// No successor of ours: the peer's takes over if there is one, else we ask again.
fn give_up(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    collision: Option<IkeCollision>,
    wait: Duration,
) {
    match collision {
        Some(rival) => hand_over(core, sa, now, rival.local_spi),
        None => sa.ask(now + wait, Task::RekeyIke),
    }
}
