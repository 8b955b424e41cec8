//! The responder's half of IKE_AUTH: nothing that the initiator says counts before its AUTH verified (RFC 7296 section 1.2).

use std::sync::Arc;
use std::time::Instant;

use super::Identity;
use super::auth::signed_octets;
use super::child::KeySeeds;
use super::child_answer::{self, Refusal};
use super::connection::{Connection, ConnectionId, Path};
use super::core::Core;
use super::event::{Event, Outbound};
use super::failure::{Failure, PeerRefused};
use super::half_open::HalfOpen;
use super::identity;
use super::message::Contents;
use super::proof;
use super::proposal::{IkeProposal, choose_ike};
use super::sa::{End, IkeSa};
use super::timer::CHILDLESS;
use crate::wire::ike::{ExchangeType, Id, Writer, notify};

/// The initiator, once it is known who it is.
struct Peer {
    id: ConnectionId,
    connection: Arc<Connection>,
    identity: Identity,
}

/// An IKE_AUTH request on a half-open SA.
pub(super) fn request(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    half_open: &HalfOpen,
    contents: &Contents<'_>,
) {
    sa.path = path;
    let peer = match authenticate(core, sa, now, half_open, contents) {
        Ok(peer) => peer,
        Err((id, failure)) => {
            refuse(core, sa, now, path, id, failure);
            return;
        }
    };
    sa.tunnel = Some((peer.id, Arc::clone(&peer.connection)));
    sa.remote_id = Some(peer.identity.clone());
    let mut writer = match our_proof(sa, half_open, &peer.connection) {
        Ok(writer) => writer,
        Err(failure) => {
            sa.tunnel = None;
            refuse(core, sa, now, path, Some(peer.id), failure);
            return;
        }
    };
    if let Some(slot) = core.slots.get_mut(&peer.id) {
        slot.sas.insert(sa.local_spi);
    }
    let replaces = sa.slot_child(core);
    sa.establish(core, now);
    let initial_contact = contents.has(notify::INITIAL_CONTACT);
    match child_answer::answer(core, sa, &peer.connection, contents, true) {
        Ok(answer) => {
            core.established(sa, initial_contact);
            answer.write(None, &mut writer);
            let seeds = KeySeeds {
                we_asked: false,
                nonce_i: &half_open.nonce_i,
                nonce_r: &half_open.nonce_r,
                g_ir: None,
            };
            sa.install(
                core,
                now,
                answer.agreed,
                &seeds,
                Outbound::OnInbound,
                replaces,
            );
        }
        Err(Refusal { notify, data, why }) => {
            writer.notify(0, &[], notify, &data);
            sa.childless_until = Some(now + CHILDLESS);
            sa.is_aside = replaces.is_some() && !initial_contact;
            if !sa.is_aside {
                core.established(sa, initial_contact);
            }
            core.event(Event::Refused(peer.id, why));
        }
    }
    sa.respond(core, path, ExchangeType::IkeAuth, &mut writer);
}

/// Which tunnel the initiator is of, after it proved so; which one it is about otherwise, where that is known.
fn authenticate(
    core: &mut Core,
    sa: &IkeSa,
    now: Instant,
    half_open: &HalfOpen,
    contents: &Contents<'_>,
) -> Result<Peer, (Option<ConnectionId>, Failure)> {
    let broken = |what| (None, Failure::Protocol(what));
    let id_i = contents
        .id_i()
        .ok_or(broken("its IKE_AUTH has no identity"))?;
    if contents.auth().is_none() {
        return Err(broken("its IKE_AUTH has no AUTH"));
    }
    let claimed = Identity::from_wire(id_i).map_err(|_| broken("its identity does not read"))?;
    let keys = sa.keys.as_ref().ok_or((None, Failure::Cancelled))?;
    let Some((id, connection)) = tunnel(core, half_open, &claimed, contents.id_r(), &keys.proposal)
    else {
        core.counters.auth_failed += 1;
        let (id, why) = mismatch(core, half_open, claimed, contents.id_r());
        return Err((id, Failure::PeerRefused(why)));
    };
    let prf = keys.proposal.prf;
    let octets = signed_octets(
        &half_open.sa_init_request,
        &half_open.nonce_r,
        prf,
        &keys.sk_pi,
        &identity::body(id_i),
    );
    let proven = proof::verify(core, now, &connection, &claimed, prf, &octets, contents);
    if let Err(why) = proven.and_then(|()| core.vacancy(id, &claimed)) {
        core.counters.auth_failed += 1;
        return Err((Some(id), Failure::PeerRefused(why)));
    }
    Ok(Peer {
        id,
        connection,
        identity: claimed,
    })
}

/// Which tunnel the initiator is likely about, and what keeps it from being that one's peer.
fn mismatch(
    core: &Core,
    half_open: &HalfOpen,
    claimed: Identity,
    asked: Option<Id<'_>>,
) -> (Option<ConnectionId>, PeerRefused) {
    let nearest = core.candidates(half_open.source.ip()).next();
    let Some((id, connection)) = nearest else {
        let expected = None;
        return (None, PeerRefused::Identity { expected, claimed });
    };
    let expected = connection.remote_id.clone();
    let is_peer = expected.as_ref().is_none_or(|id| *id == claimed);
    let wanted = asked.and_then(|asked| Identity::from_wire(asked).ok());
    let why = match wanted.filter(|wanted| is_peer && *wanted != connection.local_id) {
        Some(wanted) => PeerRefused::Addressee {
            ours: connection.local_id.clone(),
            wanted,
        },
        None => PeerRefused::Identity { expected, claimed },
    };
    (Some(id), why)
}

/// The tunnel of an initiator that calls itself so: one of its address before others, one with that very identity before any.
fn tunnel(
    core: &Core,
    half_open: &HalfOpen,
    claimed: &Identity,
    asked: Option<Id<'_>>,
    proposal: &IkeProposal,
) -> Option<(ConnectionId, Arc<Connection>)> {
    let asked = asked.map(Identity::from_wire).transpose().ok()?;
    let fits = |connection: &Connection| {
        let is_peer = connection.remote_id.as_ref().is_none_or(|id| id == claimed);
        let is_us = asked.as_ref().is_none_or(|id| *id == connection.local_id);
        let allowed = choose_ike(&connection.ike, &proposal.to_wire(1, None)).is_ok();
        is_peer && is_us && allowed
    };
    let mut any = None;
    for (id, connection) in core
        .candidates(half_open.source.ip())
        .filter(|(_, connection)| fits(connection))
    {
        if connection.remote_id.is_some() {
            return Some((id, Arc::clone(connection)));
        }
        any = any.or(Some((id, connection)));
    }
    any.map(|(id, connection)| (id, Arc::clone(connection)))
}

/// IDr, CERT and AUTH.
fn our_proof(sa: &IkeSa, half_open: &HalfOpen, connection: &Connection) -> Result<Writer, Failure> {
    let keys = sa.keys.as_ref().ok_or(Failure::Cancelled)?;
    let prf = keys.proposal.prf;
    let octets = signed_octets(
        &half_open.sa_init_response,
        &half_open.nonce_i,
        prf,
        &keys.sk_pr,
        &connection.local_id.body(),
    );
    let mut writer = Writer::new();
    let (kind, data) = connection.local_id.to_wire();
    writer.id_r(kind, &data);
    proof::write_certificates(connection, &mut writer);
    proof::write_auth(connection, &sa.peer, prf, &octets, &mut writer)?;
    Ok(writer)
}

/// Tells the initiator no more than that it is refused, and ends the SA.
fn refuse(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    id: Option<ConnectionId>,
    failure: Failure,
) {
    let kind = if matches!(failure, Failure::Protocol(_)) {
        notify::INVALID_SYNTAX
    } else {
        notify::AUTHENTICATION_FAILED
    };
    let mut writer = Writer::new();
    writer.notify(0, &[], kind, &[]);
    sa.respond(core, path, ExchangeType::IkeAuth, &mut writer);
    match id {
        Some(id) => core.event(Event::Refused(id, failure)),
        None => core.trace(None, || format!("refused {}: {failure}", path.remote)),
    }
    sa.linger(core, now, End::Silent);
}
