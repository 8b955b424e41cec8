//! CREATE_CHILD_SA for a child SA, asked by us: another in place of one, or a new one (RFC 7296 sections 1.3.1, 1.3.3, 2.8.1 and 2.25.1).

use std::time::{Duration, Instant};

use adit_crypto::{Group, KeyPair};

use super::awaited::{Awaited, ChildRequested};
use super::child::{Agreed, ChildState, KeySeeds};
use super::child_offer::{self, Wanted};
use super::child_selectors;
use super::connection::Connection;
use super::core::Core;
use super::event::Outbound;
use super::failure::Failure;
use super::informational::without_child;
use super::message::Contents;
use super::sa::IkeSa;
use super::sa_init::group_number;
use super::task::Task;
use super::timer::SUPERSEDED;
use crate::wire::esp::Spi;
use crate::wire::ike::{ExchangeType, Protocol, Writer, notify};

/// A request that the peer could not serve at that moment is made again after up to this.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// One that it refused, after this.
const RETRY_REFUSED: Duration = Duration::from_secs(30);

/// Asks for a pair in place of `old`.
pub(super) fn rekey(core: &mut Core, sa: &mut IkeSa, now: Instant, old: Spi) {
    if sa
        .child(old)
        .is_some_and(|child| child.state == ChildState::InUse)
    {
        ask(core, sa, now, Some(old), true);
    }
}

/// Asks for a pair that names no other, in whose place it comes all the same.
pub(super) fn create(core: &mut Core, sa: &mut IkeSa, now: Instant) {
    let replaces = sa.child_in_use().map(|child| child.spi_in);
    ask(core, sa, now, replaces, false);
}

fn ask(core: &mut Core, sa: &mut IkeSa, now: Instant, replaces: Option<Spi>, is_rekey: bool) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        return;
    };
    let group = groups(&connection).next();
    let key_pair = group.and_then(|group| KeyPair::generate(group).ok());
    let requested = ChildRequested {
        spi_in: core.numbers.child_spi(),
        nonce: core.numbers.nonce(),
        groups_tried: group.into_iter().collect(),
        key_pair,
        mode: connection.mode,
        replaces,
        is_rekey,
        collision: None,
        deleted: Vec::new(),
    };
    send(core, sa, now, &connection, requested);
}

fn groups(connection: &Connection) -> impl Iterator<Item = Group> + '_ {
    connection.esp.iter().flat_map(|offer| offer.groups())
}

fn send(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    connection: &Connection,
    requested: ChildRequested,
) {
    let ours = match child_selectors::ours(sa, connection, requested.mode) {
        Ok(ours) => ours,
        Err(failure) => {
            core.trace(sa.id(), || format!("child SA not asked for: {failure}"));
            core.numbers.release(requested.spi_in);
            again(sa, now, &requested, RETRY_REFUSED);
            return;
        }
    };
    let mut writer = Writer::new();
    if let Some(old) = requested.replaces.filter(|_| requested.is_rekey) {
        let spi = old.get().to_be_bytes();
        writer.notify(Protocol::Esp.into(), &spi, notify::REKEY_SA, &[]);
    }
    let wanted = wanted(&requested);
    child_offer::write_sa(connection, &wanted, &mut writer);
    writer.nonce(&requested.nonce);
    if let Some(key_pair) = &requested.key_pair {
        writer.ke(key_pair.group().iana(), key_pair.public());
    }
    child_offer::write_selectors(&ours, &wanted, &mut writer);
    let awaited = Awaited::Child(Box::new(requested));
    sa.request(core, now, ExchangeType::CreateChildSa, &mut writer, awaited);
}

const fn wanted(requested: &ChildRequested) -> Wanted {
    Wanted {
        spi_in: requested.spi_in,
        mode: requested.mode,
        in_ike_auth: false,
    }
}

/// The response.
pub(super) fn response(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    mut requested: ChildRequested,
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
            requested.key_pair = Some(key_pair);
            send(core, sa, now, &connection, requested);
            return;
        }
        core.numbers.release(requested.spi_in);
        refused(core, sa, now, &requested, kind);
        return;
    }
    let key_pair = requested.key_pair.take();
    match accept(sa, &connection, &requested, key_pair, contents) {
        Ok((agreed, seeds)) => settle(core, sa, now, &requested, agreed, &seeds),
        Err((failure, spi_out)) => {
            core.trace(sa.id(), || format!("child SA not taken: {failure}"));
            core.numbers.release(requested.spi_in);
            if spi_out {
                sa.ask(now, Task::DeleteChild(requested.spi_in));
            }
            again(sa, now, &requested, RETRY_REFUSED);
        }
    }
}

fn other_group(connection: &Connection, tried: &[Group], data: &[u8]) -> Option<KeyPair> {
    let group = Group::from_iana(group_number(data).ok()?)?;
    let is_ours = groups(connection).any(|ours| ours == group);
    if !is_ours || tried.contains(&group) {
        return None;
    }
    KeyPair::generate(group).ok()
}

/// What the new pair's keys are made of, owned.
struct Seeds {
    nonce_r: Vec<u8>,
    g_ir: Option<adit_crypto::SecretBytes>,
}

/// What was agreed; else the fault, and whether the peer has a pair that is to be deleted.
fn accept(
    sa: &IkeSa,
    connection: &Connection,
    requested: &ChildRequested,
    key_pair: Option<KeyPair>,
    contents: &Contents<'_>,
) -> Result<(Agreed, Seeds), (Failure, bool)> {
    let has_pair = contents.sa().is_some();
    let fail = |failure| (failure, has_pair);
    let nonce_r = contents
        .nonce()
        .ok_or(fail(Failure::Protocol("its answer lacks a nonce")))?;
    let agreed = child_offer::accept(sa, connection, &wanted(requested), contents).map_err(fail)?;
    let g_ir = match (agreed.proposal.group, key_pair, contents.ke()) {
        (None, _, _) => None,
        (Some(group), Some(ours), Some((theirs, public)))
            if ours.group() == group && theirs == group.iana() =>
        {
            Some(ours.agree(public).map_err(|_| fail(Failure::KeyExchange))?)
        }
        (Some(group), _, _) => return Err(fail(Failure::GroupRefused(group.iana()))),
    };
    let nonce_r = nonce_r.to_vec();
    Ok((agreed, Seeds { nonce_r, g_ir }))
}

/// Installs the pair, and sees which of two is to stay where the peer asked for one as well: that of the lowest nonce goes.
fn settle(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    requested: &ChildRequested,
    agreed: Agreed,
    seeds: &Seeds,
) {
    let spi_in = requested.spi_in;
    if requested.deleted.contains(&agreed.spi_out.get()) {
        core.numbers.release(spi_in);
        sa.ask(now, Task::NewChild);
        return;
    }
    let lowest = requested.nonce.as_slice().min(&seeds.nonce_r);
    let rival = requested
        .collision
        .as_ref()
        .filter(|rival| sa.child(rival.spi_in).is_some());
    let lost = rival.filter(|rival| lowest < rival.lowest_nonce.as_slice());
    let outbound = if lost.is_some() {
        Outbound::OnInbound
    } else {
        Outbound::Now
    };
    let key_seeds = KeySeeds {
        we_asked: true,
        nonce_i: &requested.nonce,
        nonce_r: &seeds.nonce_r,
        g_ir: seeds.g_ir.as_ref(),
    };
    let before = sa.slot_child(core);
    let replaces = requested
        .replaces
        .filter(|old| sa.child(*old).is_some())
        .or(before);
    sa.install(core, now, agreed, &key_seeds, outbound, replaces);
    if let Some(winner) = lost {
        core.trace(sa.id(), || {
            "both ends replaced the child SA: the peer's successor stays".to_owned()
        });
        sa.prefer_child(core, winner.spi_in);
        sa.delete_replaced(now, spi_in, Some(winner.spi_in));
        return;
    }
    if let Some(loser) = rival {
        core.trace(sa.id(), || {
            "both ends replaced the child SA: our successor stays".to_owned()
        });
        let until = now + SUPERSEDED;
        if let Some(child) = sa.child_mut(loser.spi_in) {
            child.state = ChildState::Replaced { by: spi_in, until };
        }
    }
    core.counters.child_rekeyed += u64::from(requested.replaces.is_some());
    if let Some(old) = requested.replaces {
        sa.delete_replaced(now, old, Some(spi_in));
    }
}

/// The peer did not agree.
fn refused(core: &mut Core, sa: &mut IkeSa, now: Instant, requested: &ChildRequested, kind: u16) {
    core.trace(sa.id(), || {
        format!("child SA refused: {}", super::notify_words(kind))
    });
    match kind {
        notify::TEMPORARY_FAILURE => {
            let wait = RETRY / 4 + core.numbers.part_of(RETRY);
            again(sa, now, requested, wait);
        }
        notify::CHILD_SA_NOT_FOUND => {
            let is_in_use = |old: &Spi| {
                sa.child(*old)
                    .is_some_and(|child| child.state == ChildState::InUse)
            };
            if requested.replaces.filter(is_in_use).is_some() {
                sa.ask(now, Task::NewChild);
            } else {
                without_child(sa, now, Duration::ZERO);
            }
        }
        notify::NO_ADDITIONAL_SAS => sa.ask(now, Task::RekeyIke),
        _ => again(sa, now, requested, RETRY_REFUSED),
    }
}

/// Asks again later, as long as there is something to replace or nothing in use.
fn again(sa: &mut IkeSa, now: Instant, requested: &ChildRequested, wait: Duration) {
    match requested.replaces.and_then(|old| sa.child(old)) {
        Some(old) if old.state == ChildState::InUse => {
            let task = if requested.is_rekey {
                Task::RekeyChild(old.spi_in)
            } else {
                Task::NewChild
            };
            sa.ask(now + wait, task);
        }
        Some(_) => {}
        None => without_child(sa, now, wait),
    }
}
