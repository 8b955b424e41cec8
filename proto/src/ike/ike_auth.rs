//! The initiator's half of IKE_AUTH (RFC 7296 section 1.2).

use std::time::Instant;

use super::Identity;
use super::auth::signed_octets;
use super::awaited::{AuthSent, Awaited};
use super::child::KeySeeds;
use super::child_offer::{self, Wanted};
use super::child_selectors;
use super::connection::Connection;
use super::core::Core;
use super::event::Outbound;
use super::failure::{DownWhy, Failure, PeerRefused};
use super::identity;
use super::message::Contents;
use super::proof;
use super::sa::{End, IkeSa, Phase};
use crate::wire::ike::{ExchangeType, Writer, notify};

/// What IKE_SA_INIT leaves to IKE_AUTH.
pub(super) struct SaInitMessages<'a> {
    pub(super) request: &'a [u8],
    pub(super) response: &'a [u8],
    pub(super) nonce_i: Vec<u8>,
    pub(super) nonce_r: Vec<u8>,
}

/// Proves ourselves and asks for the child SA.
pub(super) fn send(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    messages: SaInitMessages<'_>,
) -> Result<(), Failure> {
    let (id, connection) = sa.tunnel.clone().ok_or(Failure::Cancelled)?;
    let keys = sa.keys.as_ref().ok_or(Failure::Cancelled)?;
    let prf = keys.proposal.prf;
    let octets = signed_octets(
        messages.request,
        &messages.nonce_r,
        prf,
        &keys.sk_pi,
        &connection.local_id.body(),
    );
    let mut writer = Writer::new();
    let (kind, data) = connection.local_id.to_wire();
    writer.id_i(kind, &data);
    proof::write_certificates(&connection, &mut writer);
    let is_first = core
        .slots
        .get(&id)
        .is_some_and(|slot| slot.current.is_none());
    if is_first && core.is_only_of_identities(id, &connection) {
        writer.notify(0, &[], notify::INITIAL_CONTACT, &[]);
    }
    proof::write_request(&connection, &mut writer);
    if let Some(remote_id) = &connection.remote_id {
        let (kind, data) = remote_id.to_wire();
        writer.id_r(kind, &data);
    }
    proof::write_auth(&connection, &sa.peer, prf, &octets, &mut writer)?;
    let ours = child_selectors::ours(sa, &connection, connection.mode)?;
    let spi_in = core.numbers.child_spi();
    let wanted = Wanted {
        spi_in,
        mode: connection.mode,
        in_ike_auth: true,
    };
    child_offer::write_sa(&connection, &wanted, &mut writer);
    child_offer::write_selectors(&ours, &wanted, &mut writer);
    let sent = AuthSent {
        sa_init_response: messages.response.to_vec(),
        nonce_i: messages.nonce_i,
        nonce_r: messages.nonce_r,
        spi_in,
    };
    let awaited = Awaited::Auth(Box::new(sent));
    sa.request(core, now, ExchangeType::IkeAuth, &mut writer, awaited);
    Ok(())
}

/// The response: everything in it counts only once the responder's AUTH verified.
pub(super) fn response(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    sent: &AuthSent,
    contents: &Contents<'_>,
) {
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    let remote_id = match authenticate(core, sa, now, &connection, sent, contents) {
        Ok(remote_id) => remote_id,
        Err(failure) => {
            core.numbers.release(sent.spi_in);
            refuse_peer(core, sa, &failure);
            sa.fail(failure);
            return;
        }
    };
    sa.remote_id = Some(remote_id);
    let wanted = Wanted {
        spi_in: sent.spi_in,
        mode: connection.mode,
        in_ike_auth: true,
    };
    let agreed = match child_offer::accept(sa, &connection, &wanted, contents) {
        Ok(agreed) => agreed,
        Err(failure) => {
            core.numbers.release(sent.spi_in);
            core.event(super::Event::Failed(id, failure));
            core.counters.failed += 1;
            sa.close(now, End::Silent);
            return;
        }
    };
    let replaces = sa.slot_child(core);
    sa.establish(core, now);
    core.established(sa, false);
    let seeds = KeySeeds {
        we_asked: true,
        nonce_i: &sent.nonce_i,
        nonce_r: &sent.nonce_r,
        g_ir: None,
    };
    sa.install(core, now, agreed, &seeds, Outbound::Now, replaces);
}

/// Who the responder proved to be.
fn authenticate(
    core: &mut Core,
    sa: &IkeSa,
    now: Instant,
    connection: &Connection,
    sent: &AuthSent,
    contents: &Contents<'_>,
) -> Result<Identity, Failure> {
    let Some(id_r) = contents.id_r() else {
        return Err(match contents.error().map(|error| error.kind) {
            Some(notify::AUTHENTICATION_FAILED) => Failure::WeAreRefused,
            Some(kind) => Failure::Notified(kind),
            None => Failure::Protocol("its IKE_AUTH has no identity"),
        });
    };
    let claimed =
        Identity::from_wire(id_r).map_err(|_| Failure::Protocol("its identity does not read"))?;
    if let Some(expected) = &connection.remote_id
        && *expected != claimed
    {
        return Err(Failure::PeerRefused(PeerRefused::Identity {
            expected: Some(expected.clone()),
            claimed,
        }));
    }
    let keys = sa.keys.as_ref().ok_or(Failure::Cancelled)?;
    let prf = keys.proposal.prf;
    let octets = signed_octets(
        &sent.sa_init_response,
        &sent.nonce_i,
        prf,
        &keys.sk_pr,
        &identity::body(id_r),
    );
    let proven = proof::verify(core, now, connection, &claimed, prf, &octets, contents);
    let vacancy = || sa.id().map_or(Ok(()), |id| core.vacancy(id, &claimed));
    if let Err(why) = proven.and_then(|()| vacancy()) {
        core.counters.auth_failed += 1;
        return Err(Failure::PeerRefused(why));
    }
    Ok(claimed)
}

/// Tells a responder that did not prove itself, once (RFC 7296 section 2.21.2).
fn refuse_peer(core: &mut Core, sa: &mut IkeSa, failure: &Failure) {
    if matches!(failure, Failure::PeerRefused(_)) {
        let mut writer = Writer::new();
        writer.notify(0, &[], notify::AUTHENTICATION_FAILED, &[]);
        sa.tell(core, &mut writer);
    }
}

impl IkeSa {
    /// Begins its life as an established SA.
    pub(super) fn establish(&mut self, core: &mut Core, now: Instant) {
        let Some((_, connection)) = &self.tunnel else {
            return;
        };
        self.phase = Phase::Established;
        self.established_at = Some(now);
        self.rekey_at = Some(core.rekey_at(now, &connection.ike_lifetime));
        let expire = now + connection.ike_lifetime.hard;
        self.deadline = Some((expire, super::Timer::IkeExpire));
    }

    /// Ends it for a reason that the whole tunnel is told.
    pub(super) fn down(&mut self, now: Instant, why: DownWhy) {
        self.close(now, End::Down(why));
    }
}
