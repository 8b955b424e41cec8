//! Main mode of both ends, and what it shares with aggressive mode (RFC 2409 sections 5 and 5.4).
//!
//! Nothing of the SA changes before a message was read whole; what the proof covers is believed only with the proof.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::core::{Action, Core};
use super::endpoint::Endpoint;
use super::informational;
use super::message::Contents;
use super::offers::{self, IkeChoice};
use super::phase_1::{
    Taken, agree, complete, detect_nat, float, key_pair, nat_payloads, proof, public_and_nonce,
    reported, stranger, verify, write_initial_contact,
};
use super::sa::{End, Phase, Phase1, Sa, Step};
use super::timer::{HALF_OPEN, Timer};
use super::vendor;
use crate::ike::{ConnectionId, Event, Failure, Identity, Path, PeerRefused};
use crate::wire::isakmp::{ExchangeType, Flags, Header, Writer, kind, notify, write_message};

/// Octets of the longest offer that is kept for the proof.
const OFFER_OCTETS_MAX: usize = 4096;

/// Begins an SA of ours.
pub(super) fn initiate(
    core: &mut Core,
    now: Instant,
    id: ConnectionId,
    connection: Arc<Connection>,
    path: Path,
) {
    if connection.easy_vpn.is_some() {
        super::aggressive::initiate(core, now, id, connection, path);
        return;
    }
    let mut sa = Sa::new(core.numbers.ike_spi(), true, path, now);
    let offer = offers::ike(&connection);
    sa.exchange = Some(Box::new(Phase1 {
        step: Step::Choice,
        sa_i: offer.clone(),
        ..Phase1::default()
    }));
    let mut writer = Writer::new();
    writer.raw(kind::SA, &offer);
    vendor::write(&mut writer, &connection);
    sa.tunnel = Some((id, connection));
    let octets = sa.plain(core, ExchangeType::IdentityProtection, &mut writer);
    sa.ask(core, now, octets);
    core.actions.push_back(Action::Spawn(Box::new(sa)));
}

/// Message 1 of a peer: little and bounded state, and no arithmetic yet.
pub(super) fn request(endpoint: &mut Endpoint, now: Instant, path: Path, contents: &Contents<'_>) {
    let core = &mut endpoint.core;
    let source = path.remote.ip();
    let Some((first, _)) = core.candidates(source).next() else {
        core.counters.no_connection += 1;
        core.trace(None, || {
            format!(
                "dropped main mode of {}: no tunnel to this address",
                path.remote
            )
        });
        return;
    };
    core.trace_received(Some(first), contents);
    let Some((offered, body)) = contents
        .sa()
        .filter(|(_, body)| body.len() <= OFFER_OCTETS_MAX)
    else {
        core.counters.malformed += 1;
        return;
    };
    let chosen = core
        .candidates(source)
        .map(|(id, connection)| {
            let choice = offers::choose_ike(connection, offered)?;
            Ok((id, connection.clone(), choice))
        })
        .reduce(Result::or);
    match chosen {
        Some(Ok((id, connection, choice))) => {
            if !has_room(endpoint, now, source) {
                return;
            }
            let tunnel = (id, connection);
            let sa = open(
                &mut endpoint.core,
                now,
                path,
                contents,
                (tunnel, choice, body),
            );
            endpoint.insert(now, Box::new(sa));
        }
        Some(Err(why)) => {
            refuse_offer(core, path, contents, notify::NO_PROPOSAL_CHOSEN);
            core.event(Event::Refused(first, why));
        }
        None => {}
    }
}

/// Whether one more half-open SA of that address may be kept, if need be in place of an older one.
fn has_room(endpoint: &mut Endpoint, now: Instant, source: IpAddr) -> bool {
    let config = endpoint.core.config;
    if endpoint.core.half_open.of(source).all >= config.half_open_per_source {
        endpoint.core.counters.half_open_source += 1;
        return endpoint.make_room(now, Some(source));
    }
    if endpoint.core.half_open.total() >= config.half_open_max {
        endpoint.core.counters.half_open_full += 1;
        return endpoint.make_room(now, None);
    }
    true
}

/// Answers with message 2, and keeps a half-open SA.
fn open(
    core: &mut Core,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
    (tunnel, choice, sa_i): ((ConnectionId, Arc<Connection>), IkeChoice, &[u8]),
) -> Sa {
    let mut sa = Sa::new(core.numbers.ike_spi(), false, path, now);
    sa.remote_cookie = contents.header.cky_i;
    sa.phase = Phase::HalfOpen(path.remote);
    sa.deadline = Some((now + HALF_OPEN, Timer::HalfOpen));
    sa.peer = vendor::read(contents);
    sa.proposal = Some(choice.proposal);
    sa.hard_at = choice.lifetime.map(|lifetime| now + lifetime);
    sa.exchange = Some(Box::new(Phase1 {
        step: Step::Public,
        sa_i: sa_i.to_vec(),
        ..Phase1::default()
    }));
    let mut writer = Writer::new();
    writer.raw(kind::SA, &choice.answer);
    vendor::write(&mut writer, &tunnel.1);
    sa.tunnel = Some(tunnel);
    let octets = sa.plain(core, ExchangeType::IdentityProtection, &mut writer);
    core.transmit(path, octets.clone());
    sa.last.set(contents.octets, Some(octets));
    sa
}

/// One notification in the clear; what it answers is not shorter.
fn refuse_offer(core: &mut Core, path: Path, contents: &Contents<'_>, kind: u16) {
    let header = Header::new(
        contents.header.cky_i,
        core.numbers.ike_spi(),
        ExchangeType::Informational,
        Flags::CLEAR,
        0,
    );
    let mut writer = Writer::new();
    informational::plain_notify(&mut writer, kind);
    let (first, chain) = writer.finish();
    super::message::trace_sent(core, None, &header, first, &chain);
    core.transmit(path, write_message(&header, first, &chain));
}

/// A later message of main mode, decrypted where it has to be.
pub(super) fn message(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) {
    let Some(step) = sa.exchange.as_ref().map(|exchange| exchange.step) else {
        core.counters.unexpected += 1;
        return;
    };
    let result = match (step, sa.initiator) {
        (Step::Choice, true) => choice(core, sa, now, contents),
        (Step::Public, true) => public_of_responder(core, sa, now, contents),
        (Step::Public, false) => public_of_initiator(core, sa, path, contents),
        (Step::Proof, true) => proof_of_responder(core, sa, now, path, contents),
        (Step::Proof, false) => proof_of_initiator(core, sa, now, path, contents),
        (Step::Choice, false) | (Step::Aggressive, _) => Err(Taken::No),
    };
    match result {
        Ok(answer) => sa.last.set(contents.octets, answer),
        Err(Taken::No) => core.counters.unexpected += 1,
        Err(Taken::Refused(why)) => reported(core, sa, why),
    }
}

/// Message 2: the responder chose.
fn choice(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    contents: &Contents<'_>,
) -> Result<Option<Vec<u8>>, Taken> {
    let (Some((chosen, _)), Some((_, connection))) = (contents.sa(), sa.tunnel.clone()) else {
        return Err(Taken::No);
    };
    let (proposal, lifetime) = offers::chosen_ike(&connection, chosen).map_err(Taken::Refused)?;
    let key_pair = key_pair(proposal.group)?;
    let nonce = core.numbers.nonce();
    let mut writer = Writer::new();
    writer.ke(key_pair.public()).nonce(&nonce);
    sa.remote_cookie = contents.header.cky_r;
    sa.peer = vendor::read(contents);
    nat_payloads(core, sa, &connection, &proposal, &mut writer);
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    exchange.nonce_i = nonce;
    exchange.g_xi = key_pair.public().to_vec();
    exchange.key_pair = Some(key_pair);
    exchange.step = Step::Public;
    sa.proposal = Some(proposal);
    sa.hard_at = lifetime.map(|lifetime| now + lifetime);
    sa.refused = None;
    sa.deadline = None;
    let octets = sa.plain(core, ExchangeType::IdentityProtection, &mut writer);
    sa.ask(core, now, octets.clone());
    Ok(Some(octets))
}

/// Message 3: agrees on the keys and answers with message 4.
fn public_of_initiator(
    core: &mut Core,
    sa: &mut Sa,
    path: Path,
    contents: &Contents<'_>,
) -> Result<Option<Vec<u8>>, Taken> {
    let (public, nonce) = public_and_nonce(sa, contents)?;
    let (Some(proposal), Some((_, connection))) = (sa.proposal, sa.tunnel.clone()) else {
        return Err(Taken::No);
    };
    let key_pair = key_pair(proposal.group)?;
    let ours = key_pair.public().to_vec();
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    exchange.nonce_i = nonce.to_vec();
    exchange.nonce_r = core.numbers.nonce();
    exchange.g_xi = public.to_vec();
    exchange.g_xr.clone_from(&ours);
    exchange.key_pair = Some(key_pair);
    let result = agree(sa, &connection, public);
    if let Err(why) = result {
        // Another one would cost as much again, as would another SA in the place of this one.
        if let Taken::Refused(why) = why {
            reported(core, sa, why);
        }
        sa.exchange = None;
        return Err(Taken::No);
    }
    vendor::add(&mut sa.peer, contents);
    detect_nat(sa, &proposal, path, contents);
    let mut writer = Writer::new();
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    exchange.step = Step::Proof;
    writer.ke(&ours).nonce(&exchange.nonce_r);
    nat_payloads(core, sa, &connection, &proposal, &mut writer);
    let octets = sa.plain(core, ExchangeType::IdentityProtection, &mut writer);
    core.transmit(sa.path, octets.clone());
    Ok(Some(octets))
}

/// Message 4: agrees on the keys and proves who we are with message 5.
fn public_of_responder(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    contents: &Contents<'_>,
) -> Result<Option<Vec<u8>>, Taken> {
    let (public, nonce) = public_and_nonce(sa, contents)?;
    let (Some(proposal), Some((id, connection))) = (sa.proposal, sa.tunnel.clone()) else {
        return Err(Taken::No);
    };
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    exchange.nonce_r = nonce.to_vec();
    exchange.g_xr = public.to_vec();
    if let Err(why) = agree(sa, &connection, public) {
        sa.dead(End::Failed(Failure::KeyExchange));
        return Err(why);
    }
    vendor::add(&mut sa.peer, contents);
    detect_nat(sa, &proposal, sa.path, contents);
    float(core, sa);
    sa.refused = None;
    sa.deadline = None;
    let body = connection.local_id.body();
    let mut writer = Writer::new();
    let proof = proof(sa, true, &body).ok_or(Taken::No)?;
    writer.raw(kind::ID, &body).hash(proof.expose());
    write_initial_contact(core, id, sa, &mut writer);
    let sealed = sa
        .seal(core, ExchangeType::IdentityProtection, &mut writer)
        .ok_or(Taken::No)?;
    sa.iv = sealed.iv;
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    exchange.step = Step::Proof;
    sa.ask(core, now, sealed.octets.clone());
    Ok(Some(sealed.octets))
}

/// Message 6: the responder's proof.
fn proof_of_responder(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) -> Result<Option<Vec<u8>>, Taken> {
    let remote_id = verify(sa, contents)?;
    let connection = match &sa.tunnel {
        Some((_, connection)) => connection.clone(),
        None => return Err(Taken::No),
    };
    if let Some(why) = stranger(&connection, &remote_id) {
        sa.iv = contents.next_iv.clone().ok_or(Taken::No)?;
        informational::refuse_identity(core, sa);
        informational::delete_isakmp(core, sa);
        core.counters.auth_failed += 1;
        sa.dead(End::Failed(Failure::PeerRefused(why)));
        return Ok(None);
    }
    sa.outstanding = None;
    sa.iv = contents.next_iv.clone().ok_or(Taken::No)?;
    sa.remote_id = Some(remote_id);
    sa.follow(core, path);
    complete(core, sa, now, &connection, contents);
    Ok(None)
}

/// Message 5: the initiator's proof, answered with ours.
fn proof_of_initiator(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) -> Result<Option<Vec<u8>>, Taken> {
    let remote_id = verify(sa, contents)?;
    let from = if sa.udp() { path } else { sa.path };
    if from.remote.ip() != path.remote.ip() {
        return Err(Taken::No);
    }
    let (id, connection) = match tunnel_of(core, sa, &remote_id) {
        Err(Taken::Refused(why)) => return refuse(core, sa, contents, why),
        other => other?,
    };
    let in_use_by = core
        .slots
        .get(&id)
        .filter(|slot| slot.current.is_some())
        .and_then(|slot| slot.peer.clone())
        .filter(|by| *by != remote_id);
    if let Some(by) = in_use_by {
        let why = Failure::PeerRefused(PeerRefused::InUse(by));
        return refuse(core, sa, contents, why);
    }
    if let Some(first) = sa.id().filter(|first| *first != id)
        && let Some(slot) = core.slots.get_mut(&first)
    {
        slot.sas.remove(&sa.local_cookie);
    }
    sa.tunnel = Some((id, connection.clone()));
    sa.iv = contents.next_iv.clone().ok_or(Taken::No)?;
    sa.path = from;
    let body = connection.local_id.body();
    let proof = proof(sa, false, &body).ok_or(Taken::No)?;
    let mut writer = Writer::new();
    writer.raw(kind::ID, &body).hash(proof.expose());
    let sealed = sa
        .seal(core, ExchangeType::IdentityProtection, &mut writer)
        .ok_or(Taken::No)?;
    sa.iv = sealed.iv;
    sa.remote_id = Some(remote_id);
    complete(core, sa, now, &connection, contents);
    core.transmit(sa.path, sealed.octets.clone());
    Ok(Some(sealed.octets))
}

/// Tells an initiator that has the key, but must not be who it is; nothing more than that, again, becomes of the SA.
fn refuse(
    core: &mut Core,
    sa: &mut Sa,
    contents: &Contents<'_>,
    why: Failure,
) -> Result<Option<Vec<u8>>, Taken> {
    sa.iv = contents.next_iv.clone().ok_or(Taken::No)?;
    reported(core, sa, why);
    sa.exchange = None;
    Ok(informational::refuse_identity(core, sa))
}

/// The tunnel that the peer's identity means, among those of the same key and address.
fn tunnel_of(
    core: &Core,
    sa: &Sa,
    remote_id: &Identity,
) -> Result<(ConnectionId, Arc<Connection>), Taken> {
    let Some((id, connection)) = &sa.tunnel else {
        return Err(Taken::No);
    };
    let Some(why) = stranger(connection, remote_id) else {
        return Ok((*id, connection.clone()));
    };
    core.candidates(sa.path.remote.ip())
        .find(|(_, other)| {
            other.psk.expose() == connection.psk.expose()
                && other
                    .ike
                    .iter()
                    .any(|offered| Some(*offered) == sa.proposal)
                && other.remote_id.is_some()
                && stranger(other, remote_id).is_none()
        })
        .map(|(id, other)| (id, other.clone()))
        .ok_or(Taken::Refused(Failure::PeerRefused(why)))
}
