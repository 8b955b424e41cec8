//! What main mode and aggressive mode have in common: keys, proofs and where NATs are (RFC 2409 section 5, RFC 3947).

use std::time::Instant;

use adit_crypto::constant_time_eq;
use adit_crypto::v1::{Group, KeyPair};

use super::connection::Connection;
use super::core::Core;
use super::message::Contents;
use super::proposal::IkeProposal;
use super::responder_lifetime;
use super::sa::Sa;
use super::session::Session;
use crate::ike::natd::Nat;
use crate::ike::{ConnectionId, Event, Failure, Identity, Path, PeerRefused};
use crate::wire::isakmp::{Writer, notify};

/// So many wrong messages of who initiated, each a guess at the key, and no other is looked at.
const WRONG_MAX: u8 = 8;

/// Why a message was not taken; the SA waits on for a better one, since anybody may have sent this one.
pub(super) enum Taken {
    /// It lacks what has to be in it.
    No,
    /// The peer would be somebody else, or broke the protocol.
    Refused(Failure),
}

/// Says once why an SA does not come to be.
pub(super) fn reported(core: &mut Core, sa: &mut Sa, why: Failure) {
    let Some(id) = sa.id() else {
        return;
    };
    core.counters.auth_failed += u64::from(matches!(why, Failure::PeerRefused(_)));
    let wrong = sa.exchange.as_mut().map_or(0, |exchange| {
        exchange.wrong = exchange.wrong.saturating_add(1);
        exchange.wrong
    });
    if sa.initiator {
        core.trace(Some(id), || format!("dropped: {why}"));
        sa.refused = Some(why);
        return;
    }
    if wrong == 1 {
        core.event(Event::Refused(id, why));
    }
    if wrong >= WRONG_MAX {
        sa.exchange = None;
    }
}

pub(super) fn key_pair(group: Group) -> Result<KeyPair, Taken> {
    KeyPair::generate(group)
        .map_err(|_| Taken::Refused(Failure::Local("no key pair could be made")))
}

/// A peer's public value, of the length that it has to have, and its nonce.
pub(super) fn public_and_nonce<'a>(
    sa: &Sa,
    contents: &Contents<'a>,
) -> Result<(&'a [u8], &'a [u8]), Taken> {
    let group = sa.proposal.as_ref().ok_or(Taken::No)?.group;
    let public = contents.ke().ok_or(Taken::No)?;
    let nonce = contents.nonce().ok_or(Taken::No)?;
    if public.len() != group.public_octets() {
        return Err(Taken::Refused(Failure::KeyExchange));
    }
    Ok((public, nonce))
}

/// The keys of the SA, of what the exchange has so far.
pub(super) fn agree(sa: &mut Sa, connection: &Connection, theirs: &[u8]) -> Result<(), Taken> {
    let (proposal, cookies) = (sa.proposal.ok_or(Taken::No)?, sa.cookies());
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    let key_pair = exchange.key_pair.take().ok_or(Taken::No)?;
    let g_xy = key_pair
        .agree(theirs)
        .map_err(|_| Taken::Refused(Failure::KeyExchange))?;
    let session = Session::new(&proposal, &connection.psk, exchange, cookies, &g_xy)
        .ok_or(Taken::Refused(Failure::Local("no keys could be made")))?;
    sa.iv = session.first_iv(exchange);
    sa.keys = Some(session);
    Ok(())
}

/// INITIAL-CONTACT, unless there is an SA with the peer or something that one made.
pub(super) fn write_initial_contact(core: &Core, id: ConnectionId, sa: &Sa, writer: &mut Writer) {
    let is_first = core.slots.get(&id).is_some_and(|slot| {
        let has_none = slot.current.is_none() && slot.children.is_empty();
        has_none && core.is_only_of_identities(id, &slot.connection)
    });
    if is_first {
        super::informational::write_initial_contact(writer, sa.cookies());
    }
}

/// Both go on with the ports of NAT traversal where there is a NAT (RFC 3947 section 4).
pub(super) fn float(core: &mut Core, sa: &mut Sa) {
    // Where it is there already, the peer's port is what its NAT makes of it.
    if sa.udp() && sa.path.local.port() != core.config.nat_port {
        sa.path.local.set_port(core.config.nat_port);
        sa.path.remote.set_port(core.config.peer_nat_port);
    }
}

/// HASH_I or HASH_R.
pub(super) fn proof(
    sa: &Sa,
    of_initiator: bool,
    id_body: &[u8],
) -> Option<adit_crypto::SecretBytes> {
    let exchange = sa.exchange.as_deref()?;
    let session = sa.keys.as_ref()?;
    Some(session.proof(exchange, sa.cookies(), of_initiator, id_body))
}

/// The peer's identity, with its proof.
pub(super) fn verify(sa: &Sa, contents: &Contents<'_>) -> Result<Identity, Taken> {
    let psk = || Taken::Refused(Failure::PeerRefused(PeerRefused::Psk));
    let (Some(id), Some(hash)) = (contents.ids().next(), contents.hash()) else {
        return Err(psk());
    };
    let wanted = proof(sa, !sa.initiator, &id.body()).ok_or(Taken::No)?;
    if !constant_time_eq(wanted.expose(), hash) {
        return Err(psk());
    }
    super::message::identity(id).ok_or(Taken::Refused(Failure::Protocol(
        "its identity does not read",
    )))
}

/// Why that identity is not the one that the peer has to have.
pub(super) fn stranger(connection: &Connection, claimed: &Identity) -> Option<PeerRefused> {
    if *claimed == connection.local_id {
        return Some(PeerRefused::Ourselves);
    }
    let expected = connection.remote_id.as_ref()?;
    (expected != claimed).then(|| PeerRefused::Identity {
        expected: Some(expected.clone()),
        claimed: claimed.clone(),
    })
}

/// The SA is up, as far as phase 1 goes.
pub(super) fn complete(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    connection: &Connection,
    contents: &Contents<'_>,
) {
    if let Some(exchange) = &mut sa.exchange {
        exchange.initial_contact = contents.has_notify(notify::INITIAL_CONTACT);
    }
    let told = responder_lifetime::of_isakmp(sa, contents).duration();
    let told_at = told.map(|life| now + life);
    let ours = now + connection.ike_lifetime.hard;
    let theirs = sa.hard_at.into_iter().chain(told_at);
    let hard_at = theirs.fold(ours, Instant::min);
    sa.hard_at = Some(hard_at);
    let hard = hard_at.saturating_duration_since(now);
    sa.rekey_at = Some(core.rekey_at(now, &connection.ike_lifetime, hard));
    sa.authenticated(core, now);
}

/// Our hashes of addresses and ports, the peer's first (RFC 3947 section 3.2).
pub(super) fn nat_payloads(
    core: &mut Core,
    sa: &Sa,
    connection: &Connection,
    proposal: &IkeProposal,
    writer: &mut Writer,
) {
    if !(sa.peer.nat_t && connection.nat_traversal) {
        return;
    }
    let of = |at| super::natd::hash(proposal.hash, sa.cookies(), at);
    writer.nat_d(&of(sa.path.remote));
    if connection.force_udp {
        // Nobody's address: it looks as if a NAT had changed ours.
        let mut random = core.numbers.octets::<64>().to_vec();
        random.truncate(proposal.hash.octets());
        writer.nat_d(&random);
    } else {
        writer.nat_d(&of(sa.path.local));
    }
}

/// What the peer's hashes say of NATs: the first is of us, the others are of the peer.
pub(super) fn detect_nat(sa: &mut Sa, proposal: &IkeProposal, path: Path, contents: &Contents<'_>) {
    let said = contents.nat_d();
    let offers = sa
        .tunnel
        .as_ref()
        .is_some_and(|(_, connection)| connection.nat_traversal);
    let Some((of_us, of_peer)) = said.split_first().filter(|_| offers && sa.peer.nat_t) else {
        // A peer that understands it would have said where it is.
        sa.peer.nat_t = false;
        return;
    };
    let of = |at| super::natd::hash(proposal.hash, sa.cookies(), at);
    let forced = sa
        .tunnel
        .as_ref()
        .is_some_and(|(_, connection)| connection.force_udp);
    sa.nat = Nat {
        local: !constant_time_eq(&of(path.local), of_us) || forced,
        peer: !of_peer
            .iter()
            .any(|hash| constant_time_eq(&of(path.remote), hash)),
    };
}

/// What should be the peer's proof does not decrypt to payloads: with another key it does not.
pub(super) fn unreadable(core: &mut Core, sa: &mut Sa) {
    reported(core, sa, Failure::PeerRefused(PeerRefused::Psk));
}
