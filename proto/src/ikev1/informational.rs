//! Informational messages: dead peer detection, deletions and errors (RFC 2408 section 4.8, RFC 2409 section 5.7, RFC 3706).
//!
//! Only what carries a HASH that verifies is believed (CVE-2019-10155), and nobody is answered but for R-U-THERE.

use std::time::Instant;

use super::child;
use super::core::{Action, Core};
use super::dpd::Question;
use super::dpd_message::DpdMessage;
use super::hash::Which;
use super::message::Contents;
use super::quick_asked;
use super::receive;
use super::responder_lifetime;
use super::sa::{End, Phase, Sa};
use super::task::Task;
use super::timer::{CHILDLESS, REFUSED, Timer};
use crate::ike::{ConnectionId, DownWhy, Event, Failure, Path, Retired};
use crate::wire::esp::Spi;
use crate::wire::isakmp::notify::{self, FIRST_STATUS, is_router_keepalive};
use crate::wire::isakmp::{
    DOI_IPSEC, Delete, ExchangeType, Header, Notify, Protocol, Writer, notify_name,
};

/// One message.
pub(super) fn message(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    message: (Header, &[u8]),
) {
    let (header, octets) = message;
    if !header.flags.encryption {
        match Contents::plain(header, octets) {
            Some(contents) => in_the_clear(core, sa, now, &contents),
            None => core.counters.malformed += 1,
        }
        return;
    }
    let mut chain = Vec::new();
    let Some(contents) = receive::proven(core, sa, None, Which::First, message, &mut chain) else {
        return;
    };
    if !is_dpd(&contents) && !sa.message_ids.is_full() && !sa.message_ids.take(header.message_id) {
        core.counters.message_id += 1;
        return;
    }
    core.trace_received(sa.id(), &contents);
    if sa.is_authenticated() {
        proven(core, sa, now, path, &contents);
    } else {
        refused(core, sa, now, &contents);
    }
}

/// Whether nothing is in it but what has numbers of its own.
fn is_dpd(contents: &Contents<'_>) -> bool {
    let is_dpd = |kind| matches!(kind, notify::R_U_THERE | notify::R_U_THERE_ACK);
    contents.notifies().all(|notify| is_dpd(notify.kind)) && contents.deletes().next().is_none()
}

/// Before there are keys a refusal may be anybody's.
fn in_the_clear(core: &mut Core, sa: &mut Sa, now: Instant, contents: &Contents<'_>) {
    if sa.phase != Phase::Opening {
        core.counters.unexpected += 1;
        return;
    }
    core.trace_received(sa.id(), contents);
    refused(core, sa, now, contents);
}

/// Phase 1 was refused. In the clear that may be anybody's word, and a better answer is waited for a while; only who has the key encrypts.
fn refused(core: &mut Core, sa: &mut Sa, now: Instant, contents: &Contents<'_>) {
    let error = contents
        .notifies()
        .find(|notify| notify.kind < FIRST_STATUS)
        .map(|notify| notify.kind);
    let (Some(kind), Phase::Opening) = (error, sa.phase) else {
        core.counters.unexpected += 1;
        return;
    };
    if contents.next_iv.is_some() {
        sa.dead(End::Failed(Failure::NotifiedV1(kind)));
    } else if sa.refused.is_none() {
        sa.refused = Some(Failure::NotifiedV1(kind));
        sa.deadline = Some((now + REFUSED, Timer::Refused));
    }
}

/// The HASH verified.
fn proven(core: &mut Core, sa: &mut Sa, now: Instant, path: Path, contents: &Contents<'_>) {
    for notify in contents.notifies() {
        notified(core, sa, now, path, notify);
    }
    for delete in contents.deletes() {
        if sa.phase == Phase::Dead {
            return;
        }
        deleted(core, sa, now, delete);
    }
}

fn notified(core: &mut Core, sa: &mut Sa, now: Instant, path: Path, notify: &Notify<'_>) {
    match notify.kind {
        notify::R_U_THERE | notify::R_U_THERE_ACK => dpd(core, sa, path, notify),
        notify::INITIAL_CONTACT => initial_contact(core, sa),
        kind if is_router_keepalive(kind) => {
            core.counters.router_keepalives += 1;
            core.trace(sa.id(), || {
                format!("router's own keepalive {kind}: not answered")
            });
        }
        notify::RESPONDER_LIFETIME => responder_lifetime::told(core, sa, now, notify),
        notify::INVALID_SPI => lost_by_peer(core, sa, now, notify),
        kind if kind < FIRST_STATUS => {
            quick_asked::refused_by_peer(core, sa, now, Failure::NotifiedV1(kind));
        }
        _ => {}
    }
}

fn dpd(core: &mut Core, sa: &mut Sa, path: Path, notify: &Notify<'_>) {
    let Some(id) = sa.id() else {
        return;
    };
    match DpdMessage::read(notify, &cookies(sa.cookies())) {
        Some(Ok(message)) if message.is_ack => answered(core, sa, path, id, message.sequence),
        Some(Ok(message)) => asked(core, sa, path, id, message.sequence),
        Some(Err(why)) => {
            core.counters.unexpected += 1;
            core.trace(Some(id), || format!("DPD: dropped: {why}"));
        }
        None => {}
    }
}

fn asked(core: &mut Core, sa: &mut Sa, path: Path, id: ConnectionId, number: u32) {
    let question = sa.dpd.question(number);
    core.trace(Some(id), || {
        let how = match question {
            Question::Fresh => "",
            Question::Repeated => " again",
            Question::Outside => ", which is out of place: dropped",
        };
        format!("DPD: R-U-THERE {number:#010x} received{how}")
    });
    match question {
        Question::Outside => {
            core.counters.message_id += 1;
            return;
        }
        Question::Fresh => {
            sa.follow(core, path);
            core.event(Event::Alive(id));
        }
        Question::Repeated => core.counters.repeated_responses += 1,
    }
    core.trace(Some(id), || {
        format!("DPD: sending R-U-THERE-ACK {number:#010x}")
    });
    send_dpd(core, sa, true, number);
}

fn answered(core: &mut Core, sa: &mut Sa, path: Path, id: ConnectionId, number: u32) {
    if !sa.dpd.answered(number) {
        core.counters.message_id += 1;
        core.trace(Some(id), || {
            format!("DPD: R-U-THERE-ACK {number:#010x} was not asked for")
        });
        return;
    }
    core.trace(Some(id), || {
        format!("DPD: R-U-THERE-ACK {number:#010x} received")
    });
    sa.follow(core, path);
    core.event(Event::Alive(id));
}

/// Asks whether the peer is alive. With a question just asked the same number is asked again.
pub(super) fn ask_alive(core: &mut Core, sa: &mut Sa, now: Instant) {
    let first = u32::from_be_bytes(core.numbers.octets());
    let number = sa.dpd.ask(now, first);
    core.trace(sa.id(), || format!("DPD: sending R-U-THERE {number:#010x}"));
    send_dpd(core, sa, false, number);
}

fn send_dpd(core: &mut Core, sa: &Sa, is_ack: bool, sequence: u32) {
    let mut writer = Writer::new();
    DpdMessage { is_ack, sequence }.write(&cookies(sa.cookies()), &mut writer);
    let message_id = core.message_id();
    send(core, sa, message_id, &mut writer);
}

/// The peer says that it has no other SA with us, which counts once: a repetition must not undo what was made since.
fn initial_contact(core: &mut Core, sa: &mut Sa) {
    if !sa.initiator && !std::mem::replace(&mut sa.is_sole, true) {
        core.actions
            .push_back(Action::InitialContact(sa.local_cookie));
    }
}

/// The peer got ESP for an SPI that it does not know: our pair of it is of no use any more.
fn lost_by_peer(core: &mut Core, sa: &Sa, now: Instant, notify: &Notify<'_>) {
    let spi = <[u8; 4]>::try_from(notify.spi).or_else(|_| notify.data.try_into());
    let (Ok(spi), Some(id)) = (spi, sa.id()) else {
        return;
    };
    let spi_in = core
        .slots
        .get(&id)
        .and_then(|slot| slot.child_in_use())
        .filter(|child| child.spi_out.get() == u32::from_be_bytes(spi))
        .map(|child| child.spi_in);
    if let Some(spi_in) = spi_in {
        core.ask(id, now, Task::Quick(Some(spi_in)));
    }
}

fn deleted(core: &mut Core, sa: &mut Sa, now: Instant, delete: &Delete) {
    match delete {
        Delete::Isakmp(cookies_of) => {
            // An SA is deleted by what it protects itself; others of the tunnel are not.
            if cookies_of.contains(&cookies(sa.cookies())) {
                core.trace(sa.id(), || "peer deletes the ISAKMP SA".to_owned());
                sa.dead(End::Down(DownWhy::PeerDeleted));
            }
        }
        Delete::Ipsec {
            protocol: Protocol::Esp,
            spis,
        } => {
            for spi in spis {
                deleted_child(core, sa, now, *spi);
            }
        }
        Delete::Ipsec { .. } => {}
    }
}

/// The peer deletes the pair that it receives by `spi_out`.
fn deleted_child(core: &mut Core, sa: &Sa, now: Instant, spi_out: u32) {
    let Some(id) = sa.id() else {
        return;
    };
    let found = core.slots.get(&id).and_then(|slot| {
        let child = slot
            .children
            .iter()
            .find(|child| child.spi_out.get() == spi_out)?;
        Some((child.spi_in, child.is_in_use()))
    });
    if let Some((spi_in, was_in_use)) = found {
        let why = if was_in_use {
            Retired::Deleted
        } else {
            Retired::Rekeyed
        };
        child::retire(core, id, spi_in, why);
        core.ask(id, now + CHILDLESS, Task::QuickIfNone);
    }
}

/// CKY-I | CKY-R, as an SPI.
pub(super) fn cookies((cky_i, cky_r): (u64, u64)) -> [u8; 16] {
    let mut all = [0; 16];
    let (front, back) = all.split_at_mut(8);
    front.copy_from_slice(&cky_i.to_be_bytes());
    back.copy_from_slice(&cky_r.to_be_bytes());
    all
}

/// A message that nobody answers.
fn tell(core: &mut Core, sa: &mut Sa, writer: &mut Writer) -> Option<Vec<u8>> {
    let message_id = core.message_id();
    sa.message_ids.take(message_id);
    send(core, sa, message_id, writer)
}

fn send(core: &mut Core, sa: &Sa, message_id: u32, writer: &mut Writer) -> Option<Vec<u8>> {
    let iv = sa.exchange_iv(message_id)?;
    let header = (ExchangeType::Informational, message_id);
    let sealed = sa.seal_hashed(core, header, &iv, Which::First, writer)?;
    core.transmit(sa.path, sealed.octets.clone());
    Some(sealed.octets)
}

/// Tells the peer of an error of a quick mode.
pub(super) fn send_notify(core: &mut Core, sa: &mut Sa, kind: u16) {
    let mut writer = Writer::new();
    writer.notify(&Notify {
        doi: DOI_IPSEC,
        protocol: Protocol::Esp,
        spi: &[],
        kind,
        data: &[],
    });
    tell(core, sa, &mut writer);
}

/// Tells a peer that has the key that it is not who it has to be; the message, to be repeated.
pub(super) fn refuse_identity(core: &mut Core, sa: &mut Sa) -> Option<Vec<u8>> {
    let mut writer = Writer::new();
    writer.notify(&Notify {
        doi: DOI_IPSEC,
        protocol: Protocol::Isakmp,
        spi: &cookies(sa.cookies()),
        kind: notify::INVALID_ID_INFORMATION,
        data: &[],
    });
    tell(core, sa, &mut writer)
}

/// Of an error in the clear.
pub(super) fn plain_notify(writer: &mut Writer, kind: u16) {
    writer.notify(&Notify {
        doi: DOI_IPSEC,
        protocol: Protocol::Isakmp,
        spi: &[],
        kind,
        data: &[],
    });
}

/// INITIAL-CONTACT (RFC 2407 section 4.6.3.3).
pub(super) fn write_initial_contact(writer: &mut Writer, of: (u64, u64)) {
    writer.notify(&Notify {
        doi: DOI_IPSEC,
        protocol: Protocol::Isakmp,
        spi: &cookies(of),
        kind: notify::INITIAL_CONTACT,
        data: &[],
    });
}

/// Tells the peer that the ISAKMP SA is deleted.
pub(super) fn delete_isakmp(core: &mut Core, sa: &mut Sa) {
    let mut writer = Writer::new();
    writer.delete_isakmp(&cookies(sa.cookies()));
    tell(core, sa, &mut writer);
}

/// Tells the peer that pairs are deleted.
pub(super) fn delete_esp(core: &mut Core, sa: &mut Sa, spis: &[Spi]) {
    if spis.is_empty() {
        return;
    }
    let spis: Vec<u32> = spis.iter().map(|spi| spi.get()).collect();
    let mut writer = Writer::new();
    writer.delete_esp(&spis);
    tell(core, sa, &mut writer);
}

/// The name of a notification, or its number.
pub(crate) fn words(kind: u16) -> String {
    notify_name(kind).map_or_else(|| format!("notification {kind}"), str::to_owned)
}
