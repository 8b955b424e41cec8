//! Aggressive mode, as initiator only (RFC 2409 section 5.4): the responder's proof comes before ours, so that who answers shows what a
//! key can be guessed by. We never answer.

use std::sync::Arc;
use std::time::Instant;

use adit_crypto::v1::KeyPair;

use super::connection::Connection;
use super::core::{Action, Core};
use super::message::Contents;
use super::offers;
use super::phase_1::{
    Taken, agree, complete, detect_nat, float, nat_payloads, proof, public_and_nonce, reported,
    stranger, verify, write_initial_contact,
};
use super::sa::{End, Phase1, Sa, Step};
use super::timer::{REFUSED, Timer};
use super::vendor;
use crate::ike::{ConnectionId, Event, Failure, Path, PeerRefused};
use crate::wire::isakmp::{ExchangeType, Writer, kind};

/// Begins an SA of ours.
pub(super) fn initiate(
    core: &mut Core,
    now: Instant,
    id: ConnectionId,
    connection: Arc<Connection>,
    path: Path,
) {
    let group = connection.ike.first().map(|proposal| proposal.group);
    let Some(Ok(key_pair)) = group.map(KeyPair::generate) else {
        let why = Failure::Local("no key pair could be made");
        core.event(Event::Failed(id, why));
        return;
    };
    let mut sa = Sa::new(core.numbers.ike_spi(), true, path, now);
    let (offer, nonce) = (offers::ike(&connection), core.numbers.nonce());
    let mut writer = Writer::new();
    writer
        .raw(kind::SA, &offer)
        .ke(key_pair.public())
        .nonce(&nonce)
        .raw(kind::ID, &connection.local_id.body());
    vendor::write(&mut writer, &connection);
    sa.exchange = Some(Box::new(Phase1 {
        step: Step::Aggressive,
        sa_i: offer,
        nonce_i: nonce,
        g_xi: key_pair.public().to_vec(),
        key_pair: Some(key_pair),
        ..Phase1::default()
    }));
    sa.tunnel = Some((id, connection));
    let octets = sa.plain(core, ExchangeType::Aggressive, &mut writer);
    sa.ask(core, now, octets);
    core.actions.push_back(Action::Spawn(Box::new(sa)));
}

/// The responder's message, with its proof.
pub(super) fn answer(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) {
    match taken(core, sa, now, path, contents) {
        Ok(answer) => sa.last.set(contents.octets, Some(answer)),
        Err(why) => {
            // It may be anybody's, so that a better one is waited for; but when the key pair was used up there is no second try with it.
            match why {
                Taken::No => core.counters.unexpected += 1,
                Taken::Refused(why) => {
                    reported(core, sa, why.clone());
                    let is_used_up = sa
                        .exchange
                        .as_ref()
                        .is_none_or(|exchange| exchange.key_pair.is_none());
                    if is_used_up {
                        sa.dead(End::Failed(why));
                    } else {
                        sa.deadline.get_or_insert((now + REFUSED, Timer::Refused));
                    }
                }
            }
        }
    }
}

fn taken(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
) -> Result<Vec<u8>, Taken> {
    let (Some((chosen, _)), Some((id, connection))) = (contents.sa(), sa.tunnel.clone()) else {
        return Err(Taken::No);
    };
    if contents.hash().is_none() || contents.ids().next().is_none() {
        return Err(Taken::No);
    }
    let (proposal, lifetime) = offers::chosen_ike(&connection, chosen).map_err(Taken::Refused)?;
    sa.proposal = Some(proposal);
    let (public, nonce) = public_and_nonce(sa, contents)?;
    sa.remote_cookie = contents.header.cky_r;
    sa.hard_at = lifetime.map(|lifetime| now + lifetime);
    sa.peer = vendor::read(contents);
    let exchange = sa.exchange.as_mut().ok_or(Taken::No)?;
    exchange.nonce_r = nonce.to_vec();
    exchange.g_xr = public.to_vec();
    agree(sa, &connection, public)?;
    let remote_id = verify(sa, contents)?;
    if let Some(why) = stranger(&connection, &remote_id) {
        super::informational::refuse_identity(core, sa);
        return Err(Taken::Refused(Failure::PeerRefused(why)));
    }
    detect_nat(sa, &proposal, path, contents);
    sa.remote_id = Some(remote_id);
    let ours = proof(sa, true, &connection.local_id.body()).ok_or(Taken::No)?;
    let mut writer = Writer::new();
    writer.hash(ours.expose());
    nat_payloads(core, sa, &connection, &proposal, &mut writer);
    write_initial_contact(core, id, sa, &mut writer);
    float(core, sa);
    let sealed = sa
        .seal(core, ExchangeType::Aggressive, &mut writer)
        .ok_or(Taken::Refused(Failure::PeerRefused(PeerRefused::Psk)))?;
    sa.iv = sealed.iv;
    sa.outstanding = None;
    core.transmit(sa.path, sealed.octets.clone());
    complete(core, sa, now, &connection, contents);
    Ok(sealed.octets)
}
