//! Quick mode of the end that asks (RFC 2409 section 5.5).

use std::time::Instant;

use adit_crypto::v1::KeyPair;

use super::child::{self, Agreed};
use super::connection::Connection;
use super::core::{Core, Slot};
use super::hash::Which;
use super::ids;
use super::informational;
use super::last_answer::LastAnswer;
use super::message::Contents;
use super::offers;
use super::pair::{Made, Selectors, made, proposed};
use super::quick::{QUICKS_MAX, Quick, Step, done, forget};
use super::responder_lifetime;
use super::sa::{End, Sa};
use super::task::Task;
use super::timer::AGAIN;
use crate::ike::{DownWhy, Event, Failure, Outstanding};
use crate::wire::esp::Spi;
use crate::wire::isakmp::{ExchangeType, Writer, kind, notify};

/// What the first message said.
pub(super) struct Asked {
    pub(super) spi_in: Spi,
    pub(super) nonce_i: Vec<u8>,
    pub(super) key_pair: Option<KeyPair>,
    pub(super) selectors: Selectors,
}

/// Asks for a pair. False if there is a reason to wait.
pub(super) fn ask(core: &mut Core, sa: &mut Sa, now: Instant) -> bool {
    let Some((id, connection)) = sa.tunnel.clone() else {
        return false;
    };
    if sa.quicks.values().any(Quick::is_asked) || sa.quicks.len() >= QUICKS_MAX {
        return false;
    }
    if sa.message_ids.is_full() {
        core.ask(id, now, Task::Phase1);
        return false;
    }
    let group = connection.esp.first().and_then(|proposal| proposal.group);
    let Ok(key_pair) = group.map(KeyPair::generate).transpose() else {
        let why = Failure::Local("no key pair could be made");
        core.event(Event::Refused(id, why));
        return false;
    };
    let (spi_in, nonce_i) = (core.numbers.child_spi(), core.numbers.nonce());
    let message_id = loop {
        let drawn = core.message_id();
        if sa.message_ids.take(drawn) {
            break drawn;
        }
    };
    let selectors = Selectors::ours(sa, &connection);
    let mut writer = Writer::new();
    writer
        .raw(kind::SA, &offers::esp(&connection, spi_in, sa.udp()))
        .nonce(&nonce_i);
    if let Some(key_pair) = &key_pair {
        writer.ke(key_pair.public());
    }
    writer
        .raw(kind::ID, &ids::body(&selectors.local))
        .raw(kind::ID, &ids::body(&selectors.remote));
    let header = (ExchangeType::Quick, message_id);
    let sealed = sa
        .exchange_iv(message_id)
        .and_then(|iv| sa.seal_hashed(core, header, &iv, Which::First, &mut writer));
    let Some(sealed) = sealed else {
        core.numbers.release(spi_in);
        return false;
    };
    core.transmit(sa.path, sealed.octets.clone());
    let asked = Asked {
        spi_in,
        nonce_i,
        key_pair,
        selectors,
    };
    let quick = Quick {
        step: Step::Asked(Box::new(asked)),
        iv: sealed.iv,
        last: LastAnswer::default(),
        outstanding: Some(Outstanding::new(now, sealed.octets, &connection.retransmit)),
        until: now,
    };
    sa.quicks.insert(message_id, quick);
    true
}

/// The second message: the peer's choice, answered with the third.
pub(super) fn answer(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    contents: &Contents<'_>,
    asked: Asked,
) {
    let message_id = contents.header.message_id;
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    let spi_in = asked.spi_in;
    let nonce_i = asked.nonce_i.clone();
    let agreed = accept(sa, &connection, contents, asked);
    let (agreed, nonce_r) = match agreed {
        Ok(agreed) => agreed,
        Err(why) => {
            core.numbers.release(spi_in);
            informational::send_notify(core, sa, notification(&why));
            refused(core, sa, now, why);
            return;
        }
    };
    let which = Which::Third {
        ni: &nonce_i,
        nr: &nonce_r,
    };
    let header = (ExchangeType::Quick, message_id);
    let sealed = contents
        .next_iv
        .as_ref()
        .and_then(|iv| sa.seal_hashed(core, header, iv, which, &mut Writer::new()));
    let Some(sealed) = sealed else {
        core.numbers.release(spi_in);
        return;
    };
    child::install(core, id, now, agreed);
    core.transmit(sa.path, sealed.octets.clone());
    let done = done(now, contents, Some((sealed.octets, sealed.iv)));
    sa.quicks.insert(message_id, done);
    child::take_over(core, id, now, spi_in);
}

/// What the peer is told of an answer that cannot be taken.
const fn notification(why: &Failure) -> u16 {
    if matches!(why, Failure::NoneFits(_)) {
        notify::BAD_PROPOSAL_SYNTAX
    } else if matches!(why, Failure::SelectorsRefused) {
        notify::INVALID_ID_INFORMATION
    } else if matches!(why, Failure::KeyExchange) {
        notify::INVALID_KEY_INFORMATION
    } else {
        notify::PAYLOAD_MALFORMED
    }
}

pub(super) fn accept(
    sa: &Sa,
    connection: &Connection,
    contents: &Contents<'_>,
    asked: Asked,
) -> Result<(Agreed, Vec<u8>), Failure> {
    let (Some((chosen, _)), Some(nonce_r)) = (contents.sa(), contents.nonce()) else {
        return Err(Failure::Protocol("quick mode without SA or nonce"));
    };
    let choice = offers::chosen_esp(connection, chosen, sa.udp())?;
    let theirs = proposed(sa, contents, true)?;
    let selectors = asked
        .selectors
        .within(theirs)
        .ok_or(Failure::SelectorsRefused)?;
    let g_xy = match asked.key_pair {
        Some(key_pair) => {
            let theirs = contents.ke().ok_or(Failure::Protocol(
                "quick mode lacks the public value of its group",
            ))?;
            Some(key_pair.agree(theirs).map_err(|_| Failure::KeyExchange)?)
        }
        None => None,
    };
    let made = made(
        sa,
        connection,
        &Made {
            spi_in: asked.spi_in,
            spi_out: choice.spi,
            proposal: choice.proposal,
            selectors,
            life: choice
                .life
                .least(responder_lifetime::of_pair(contents, choice.spi)),
            nonces: (&asked.nonce_i, nonce_r),
            g_xy: g_xy.as_ref(),
            we_asked: true,
        },
    );
    let agreed = made.ok_or(Failure::Local("no keys could be made"))?;
    Ok((agreed, nonce_r.to_vec()))
}

/// The peer refused the pair that we asked for.
pub(super) fn refused_by_peer(core: &mut Core, sa: &mut Sa, now: Instant, why: Failure) {
    let Some(message_id) = sa
        .quicks
        .iter()
        .find_map(|(message_id, quick)| quick.is_asked().then_some(*message_id))
    else {
        return;
    };
    forget(core, sa, message_id);
    refused(core, sa, now, why);
}

/// No pair came to be: with another in use it is tried again, without one the ISAKMP SA is of no use.
pub(super) fn refused(core: &mut Core, sa: &mut Sa, now: Instant, why: Failure) {
    let Some(id) = sa.id() else {
        return;
    };
    core.event(Event::Refused(id, why));
    match core.slots.get(&id).and_then(Slot::spi_in_use) {
        Some(spi_in) => core.ask(id, now + AGAIN, Task::Quick(Some(spi_in))),
        None => sa.delete(core, End::Down(DownWhy::NoChild)),
    }
}
