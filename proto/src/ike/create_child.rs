//! CREATE_CHILD_SA requests of the peer: which of the three kinds it is, and whether this is the moment for it
//! (RFC 7296 sections 1.3 and 2.25).

use std::time::Instant;

use super::awaited::{Awaited, ChildCollision};
use super::child::{Agreed, ChildState, KeySeeds};
use super::child_answer::{self, Refusal};
use super::connection::Path;
use super::core::Core;
use super::event::{Event, Outbound};
use super::failure::Failure;
use super::message::Contents;
use super::rekey_ike;
use super::sa::IkeSa;
use super::selector::cover;
use super::timer::SUPERSEDED;
use crate::wire::esp::Spi;
use crate::wire::ike::{ExchangeType, Protocol, Writer, notify};

/// Pairs of one IKE SA, those on their way out among them.
pub(super) const CHILDREN_MAX: usize = 8;

/// A request.
pub(super) fn request(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) {
    let is_ike = contents
        .sa()
        .and_then(|sa| sa.proposals.first())
        .is_some_and(|proposal| proposal.protocol == Protocol::Ike);
    let mut writer = Writer::new();
    let result = if !sa.is_established() {
        Err(temporary())
    } else if is_ike {
        rekey_ike::answer(core, sa, now, contents, &mut writer)
    } else {
        child(core, sa, now, contents, &mut writer)
    };
    if let Err(refusal) = result {
        let Refusal { notify, data, why } = refusal;
        writer = Writer::new();
        match rekeyed_spi(contents).filter(|_| notify == notify::CHILD_SA_NOT_FOUND) {
            Some(spi) => writer.notify(Protocol::Esp.into(), spi, notify, &data),
            None => writer.notify(0, &[], notify, &data),
        };
        core.trace(sa.id(), || format!("refused CREATE_CHILD_SA: {why}"));
    }
    sa.respond(core, path, ExchangeType::CreateChildSa, &mut writer);
}

/// The request collides with something that is under way: the peer tries again (RFC 7296 section 2.25).
pub(super) fn temporary() -> Refusal {
    Refusal::new(
        notify::TEMPORARY_FAILURE,
        Failure::Notified(notify::TEMPORARY_FAILURE),
    )
}

/// The SPI in N(REKEY_SA).
fn rekeyed_spi<'a>(contents: &Contents<'a>) -> Option<&'a [u8]> {
    contents.notify(notify::REKEY_SA).map(|notify| notify.spi)
}

/// A child SA in place of another: of the one that it names, else of the one in use, of which a tunnel has one at a time.
fn child(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    contents: &Contents<'_>,
    writer: &mut Writer,
) -> Result<(), Refusal> {
    if sa.awaits(|awaited| matches!(awaited, Awaited::IkeRekey(_))) {
        return Err(temporary());
    }
    let replaces = match contents.notify(notify::REKEY_SA) {
        Some(rekey) => Some(rekeyable(sa, rekey.protocol, rekey.spi)?),
        None => sa.child_in_use().map(|child| child.spi_in),
    };
    if sa.children.len() >= CHILDREN_MAX {
        let notify = notify::NO_ADDITIONAL_SAS;
        return Err(Refusal::new(notify, Failure::Notified(notify)));
    }
    let Some(nonce_i) = contents.nonce() else {
        return Err(Refusal::new(
            notify::INVALID_SYNTAX,
            Failure::Protocol("its request lacks a nonce"),
        ));
    };
    let Some((id, connection)) = sa.tunnel.clone() else {
        return Err(temporary());
    };
    let answer =
        child_answer::answer(core, sa, &connection, contents, false).inspect_err(|refusal| {
            if refusal.notify != notify::INVALID_KE_PAYLOAD {
                core.event(Event::Refused(id, refusal.why.clone()));
            }
        })?;
    let is_rekey = contents.has(notify::REKEY_SA);
    if !is_rekey && !replaces.is_none_or(|old| is_held(sa, old, &answer.agreed)) {
        core.numbers.release(answer.agreed.spi_in);
        let (ts_i, ts_r) = (&answer.agreed.remote_ts, &answer.agreed.local_ts);
        let wanted = super::selectors_in_words(ts_i, ts_r);
        let why = Failure::SecondChild { wanted };
        core.event(Event::Refused(id, why.clone()));
        return Err(Refusal::new(notify::NO_ADDITIONAL_SAS, why));
    }
    let nonce_r = core.numbers.nonce();
    answer.write(Some(&nonce_r), writer);
    let spi_in = answer.agreed.spi_in;
    if let Some(old) = replaces {
        replace(sa, now, old, spi_in, nonce_i.min(&nonce_r));
    }
    let (key, agreed) = answer.into_parts();
    let seeds = KeySeeds {
        we_asked: false,
        nonce_i,
        nonce_r: &nonce_r,
        g_ir: key.as_ref(),
    };
    // Without one of its own the SA may be another's successor that the peer has authenticated anew.
    let in_place_of = replaces.or(sa.slot_child(core));
    sa.install(core, now, agreed, &seeds, Outbound::OnInbound, in_place_of);
    core.counters.child_rekeyed += u64::from(replaces.is_some());
    Ok(())
}

/// Whether the new pair takes all that the old one does, in whose place it comes although the peer did not say so.
fn is_held(sa: &IkeSa, old: Spi, new: &Agreed) -> bool {
    sa.child(old).is_none_or(|old| {
        cover(&new.local_ts, &old.local_ts) && cover(&new.remote_ts, &old.remote_ts)
    })
}

/// The inbound SPI of the pair that the peer wants replaced, if it may be.
fn rekeyable(sa: &IkeSa, protocol: u8, spi: &[u8]) -> Result<Spi, Refusal> {
    let unknown = || {
        // It may be the pair that our own request under way is about to make.
        if sa.awaits(|awaited| matches!(awaited, Awaited::Child(_))) {
            return temporary();
        }
        let notify = notify::CHILD_SA_NOT_FOUND;
        Refusal::new(notify, Failure::Notified(notify))
    };
    let spi = spi
        .first_chunk::<4>()
        .filter(|_| spi.len() == 4)
        .ok_or_else(unknown)?;
    let spi = u32::from_be_bytes(*spi);
    let child = sa
        .children
        .iter()
        .find(|child| child.spi_out.get() == spi && protocol == u8::from(Protocol::Esp))
        .ok_or_else(unknown)?;
    match child.state {
        ChildState::InUse => Ok(child.spi_in),
        ChildState::Replaced { .. } | ChildState::Deleting { .. } => Err(temporary()),
    }
}

/// The pair `by` of the peer's exchange comes in the place of `old`, unless our own exchange for it wins.
fn replace(sa: &mut IkeSa, now: Instant, old: Spi, by: Spi, lowest_nonce: &[u8]) {
    if let Some(child) = sa.child_mut(old) {
        let until = now + SUPERSEDED;
        child.state = ChildState::Replaced { by, until };
    }
    if let Some(request) = &mut sa.window.outstanding
        && let Awaited::Child(ours) = &mut request.awaited
        && ours.replaces == Some(old)
    {
        ours.collision = Some(ChildCollision {
            lowest_nonce: lowest_nonce.to_vec(),
            spi_in: by,
        });
    }
}
