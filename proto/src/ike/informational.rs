//! INFORMATIONAL: deletions, errors, and nothing at all (RFC 7296 sections 1.4 and 2.25).

use std::time::{Duration, Instant};

use super::awaited::Awaited;
use super::child::ChildState;
use super::connection::Path;
use super::core::Core;
use super::create_child::CHILDREN_MAX;
use super::event::{Event, Retired};
use super::failure::DownWhy;
use super::message::Contents;
use super::rekey_ike;
use super::sa::{End, IkeSa, Phase};
use super::task::Task;
use super::timer::CHILDLESS;
use crate::wire::esp::Spi;
use crate::wire::ike::{ExchangeType, Writer, notify};

/// A request.
pub(super) fn request(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) {
    if contents.deletes_ike() {
        deleted(core, sa, now, path);
        return;
    }
    let mut writer = Writer::new();
    let ours: Vec<u32> = contents
        .deletes_esp()
        .into_iter()
        .filter_map(|spi| deleted_child(core, sa, now, spi))
        .map(Spi::get)
        .collect();
    if !ours.is_empty() {
        writer.delete_esp(&ours);
    }
    sa.respond(core, path, ExchangeType::Informational, &mut writer);
    for notification in contents.notifies() {
        match notification.kind {
            notify::AUTHENTICATION_FAILED | notify::INVALID_SYNTAX => {
                sa.linger(core, now, End::Down(DownWhy::PeerFault(notification.kind)));
                return;
            }
            notify::INVALID_SPI => lost_by_peer(core, sa, now, notification.data),
            _ => {}
        }
    }
}

/// The peer deletes the IKE SA, which is answered with nothing.
fn deleted(core: &mut Core, sa: &mut IkeSa, now: Instant, path: Path) {
    sa.respond(core, path, ExchangeType::Informational, &mut Writer::new());
    if let Some(Awaited::IkeRekey(ours)) = sa.window.drop_outstanding(core)
        && let Some(rival) = ours.collision
    {
        rekey_ike::hand_over(core, sa, now, rival.local_spi);
    }
    let end = if matches!(sa.phase, Phase::Superseded) {
        End::Silent
    } else {
        End::Down(DownWhy::PeerDeleted)
    };
    sa.linger(core, now, end);
}

/// The peer deletes the pair that it receives by `spi_out`: ours of it, to be deleted in the answer (RFC 7296 section 1.4.1).
fn deleted_child(core: &mut Core, sa: &mut IkeSa, now: Instant, spi_out: u32) -> Option<Spi> {
    let known = sa
        .children
        .iter()
        .find(|child| child.spi_out.get() == spi_out);
    let Some(child) = known else {
        deleted_early(sa, spi_out);
        return None;
    };
    let (spi_in, state) = (child.spi_in, child.state);
    let under_way =
        sa.awaits(|awaited| matches!(awaited, Awaited::DeleteChild(spi) if *spi == spi_in));
    let by = match state {
        ChildState::InUse => None,
        ChildState::Replaced { by, .. } => Some(by),
        ChildState::Deleting { by } => by,
    };
    let in_use = by.filter(|by| {
        sa.child(*by)
            .is_some_and(|child| child.state == ChildState::InUse)
    });
    if let (Some(id), Some(by)) = (sa.id(), in_use) {
        core.event(Event::SwitchOutbound(id, by));
    }
    let why = if by.is_some() {
        Retired::Rekeyed
    } else {
        Retired::Deleted
    };
    sa.retire(core, spi_in, why);
    sa.tasks.retain(|(_, task)| {
        *task != Task::DeleteChild(spi_in) && *task != Task::RekeyChild(spi_in)
    });
    without_child(sa, now, Duration::ZERO);
    (!under_way).then_some(spi_in)
}

/// The pair may be the one that our request under way is about to make.
fn deleted_early(sa: &mut IkeSa, spi_out: u32) {
    if let Some(request) = &mut sa.window.outstanding
        && let Awaited::Child(requested) = &mut request.awaited
        && requested.deleted.len() < CHILDREN_MAX
    {
        requested.deleted.push(spi_out);
    }
}

/// Who made the IKE SA makes another pair when none is left, or is being made; else the IKE SA ends after a while.
pub(super) fn without_child(sa: &mut IkeSa, now: Instant, wait: Duration) {
    let is_coming = sa.awaits(|awaited| matches!(awaited, Awaited::Child(_)));
    if !sa.is_established() || is_coming || sa.child_in_use().is_some() {
        return;
    }
    if sa.initiator {
        sa.ask(now + wait, Task::NewChild);
    }
    sa.childless_until.get_or_insert(now + CHILDLESS);
}

/// The peer got packets of a pair that it does not have.
fn lost_by_peer(core: &mut Core, sa: &mut IkeSa, now: Instant, data: &[u8]) {
    let Some(child) = sa.child_in_use() else {
        return;
    };
    if data == child.spi_out.get().to_be_bytes() && !sa.is_rekeying(child.spi_in) {
        core.trace(sa.id(), || {
            "peer has lost the child SA: another is made".to_owned()
        });
        sa.ask(now, Task::NewChild);
    }
}

/// The response to the deletion of a pair.
pub(super) fn child_is_deleted(core: &mut Core, sa: &mut IkeSa, now: Instant, spi_in: Spi) {
    let by = sa.child(spi_in).and_then(|child| match child.state {
        ChildState::Deleting { by } => by,
        ChildState::InUse | ChildState::Replaced { .. } => None,
    });
    let why = if by.is_some() {
        Retired::Rekeyed
    } else {
        Retired::Deleted
    };
    sa.retire(core, spi_in, why);
    without_child(sa, now, Duration::ZERO);
}
