//! Quick mode: a pair of IPsec SAs (RFC 2409 section 5.5).
//!
//! Three messages, each with a HASH. Both ends repeat: the initiator its first message, the responder its answer; who has nothing to wait
//! for any more repeats its last message when the peer's comes again.

use std::time::Instant;

use super::chain::Iv;
use super::child::{self, Agreed};
use super::connection::Connection;
use super::core::Core;
use super::hash::Which;
use super::informational;
use super::last_answer::LastAnswer;
use super::message::Contents;
use super::offers;
use super::pair::{Made, Selectors, exchange_keys, made, proposed};
use super::proposal::Life;
use super::quick_asked::{self, Asked};
use super::receive;
use super::responder_lifetime;
use super::sa::{End, Sa};
use super::task::Task;
use super::timer::LINGER;
use crate::ike::{ConnectionId, DownWhy, Event, Failure, Outstanding, Path, Retired};
use crate::wire::esp::Spi;
use crate::wire::isakmp::{ExchangeType, Header, Writer, kind, notify};

/// Quick modes of one ISAKMP SA that are remembered: under way, or just complete.
pub(super) const QUICKS_MAX: usize = 32;

/// One exchange.
pub(super) struct Quick {
    pub(super) step: Step,
    pub(super) iv: Iv,
    pub(super) last: LastAnswer,
    pub(super) outstanding: Option<Outstanding<Vec<u8>>>,
    /// When what is complete is forgotten.
    pub(super) until: Instant,
}

pub(super) enum Step {
    /// We sent the first message.
    Asked(Box<Asked>),
    /// We sent the second.
    Answered {
        nonce_i: Vec<u8>,
        nonce_r: Vec<u8>,
        spi_in: Spi,
    },
    /// Complete.
    Done,
}

impl Quick {
    pub(super) fn next_at(&self) -> Instant {
        self.outstanding
            .as_ref()
            .map_or(self.until, |message| message.repeat_at)
    }

    /// Whether we asked, and the peer has not answered.
    pub(super) const fn is_asked(&self) -> bool {
        matches!(self.step, Step::Asked(_))
    }

    const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }
}

/// A message of quick mode.
pub(super) fn message(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    message: (Header, &[u8]),
) {
    let message_id = message.0.message_id;
    let way = (sa.id(), sa.path);
    let known = sa.quicks.get_mut(&message_id);
    if known.is_some_and(|quick| quick.last.repeats(core, now, way, message)) {
        return;
    }
    let known = sa.quicks.get(&message_id);
    let which = match known.map(|quick| &quick.step) {
        None => Which::First,
        Some(Step::Asked(asked)) => Which::Second { ni: &asked.nonce_i },
        Some(Step::Answered {
            nonce_i, nonce_r, ..
        }) => Which::Third {
            ni: nonce_i,
            nr: nonce_r,
        },
        Some(Step::Done) => {
            core.counters.unexpected += 1;
            return;
        }
    };
    let iv = known.map(|quick| quick.iv.clone());
    let mut chain = Vec::new();
    let Some(contents) = receive::proven(core, sa, iv, which, message, &mut chain) else {
        return;
    };
    core.trace_received(sa.id(), &contents);
    proven(core, sa, now, path, &contents);
}

/// The HASH of the message verified.
fn proven(core: &mut Core, sa: &mut Sa, now: Instant, path: Path, contents: &Contents<'_>) {
    let message_id = contents.header.message_id;
    let Some(id) = sa.id() else {
        return;
    };
    match sa.quicks.remove(&message_id) {
        None => request(core, sa, now, path, contents),
        Some(quick) => {
            sa.follow(core, path);
            core.event(Event::Alive(id));
            match quick.step {
                Step::Asked(asked) => quick_asked::answer(core, sa, now, contents, *asked),
                Step::Answered { spi_in, .. } => {
                    let done = done(now, contents, None);
                    sa.quicks.insert(message_id, done);
                    child::take_over(core, id, now, spi_in);
                }
                Step::Done => {}
            }
        }
    }
}

pub(super) fn done(now: Instant, contents: &Contents<'_>, answer: Option<(Vec<u8>, Iv)>) -> Quick {
    let (answer, iv) = answer.unzip();
    Quick {
        step: Step::Done,
        iv: iv.or(contents.next_iv.clone()).unwrap_or_default(),
        last: LastAnswer::new(contents.octets, answer),
        outstanding: None,
        until: now + LINGER,
    }
}

/// The first message of a peer.
fn request(core: &mut Core, sa: &mut Sa, now: Instant, path: Path, contents: &Contents<'_>) {
    let message_id = contents.header.message_id;
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    if !may_begin(core, sa, now, id, contents) {
        return;
    }
    let spi_in = core.numbers.child_spi();
    match agree(core, sa, &connection, contents, spi_in) {
        Ok(mut agreed) => {
            let Some(iv) = &contents.next_iv else {
                core.numbers.release(spi_in);
                return;
            };
            let header = (ExchangeType::Quick, message_id);
            let which = Which::Second {
                ni: &agreed.nonce_i,
            };
            let Some(sealed) = sa.seal_hashed(core, header, iv, which, &mut agreed.writer) else {
                core.numbers.release(spi_in);
                return;
            };
            sa.follow(core, path);
            core.event(Event::Alive(id));
            child::install(core, id, now, agreed.child);
            core.transmit(sa.path, sealed.octets.clone());
            let quick = Quick {
                step: Step::Answered {
                    nonce_i: agreed.nonce_i,
                    nonce_r: agreed.nonce_r,
                    spi_in,
                },
                iv: sealed.iv,
                last: LastAnswer::new(contents.octets, Some(sealed.octets.clone())),
                outstanding: Some(Outstanding::new(now, sealed.octets, &connection.retransmit)),
                until: now,
            };
            sa.quicks.insert(message_id, quick);
        }
        Err((notification, why)) => {
            core.numbers.release(spi_in);
            informational::send_notify(core, sa, notification);
            core.event(Event::Refused(id, why));
        }
    }
}

/// Whether a first message is one, and there is room for what it asks for.
fn may_begin(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    id: ConnectionId,
    contents: &Contents<'_>,
) -> bool {
    if contents.sa().is_none() || contents.nonce().is_none() {
        // It may be a message of another exchange under this type: to be neither answered nor believed.
        core.counters.unexpected += 1;
        return false;
    }
    if sa.message_ids.is_full() {
        core.ask(id, now, Task::Phase1);
        return false;
    }
    if !sa.message_ids.take(contents.header.message_id) {
        core.counters.message_id += 1;
        return false;
    }
    if sa.quicks.len() >= QUICKS_MAX || !child::make_room(core, id) {
        core.counters.unexpected += 1;
        return false;
    }
    true
}

/// What the answer to a first message is made of.
struct Answer {
    child: Agreed,
    nonce_i: Vec<u8>,
    nonce_r: Vec<u8>,
    writer: Writer,
}

/// Chooses, and makes the keys; the error with what the peer is told.
fn agree(
    core: &mut Core,
    sa: &Sa,
    connection: &Connection,
    contents: &Contents<'_>,
    spi_in: Spi,
) -> Result<Answer, (u16, Failure)> {
    let broken = |why| (notify::PAYLOAD_MALFORMED, Failure::Protocol(why));
    let (Some((offered, _)), Some(nonce_i)) = (contents.sa(), contents.nonce()) else {
        return Err(broken("quick mode without SA or nonce"));
    };
    let (choice, body) = offers::choose_esp(connection, offered, spi_in, sa.udp())
        .map_err(|why| (notify::NO_PROPOSAL_CHOSEN, why))?;
    let ours = Selectors::ours(sa, connection);
    let theirs =
        proposed(sa, contents, false).map_err(|why| (notify::INVALID_ID_INFORMATION, why))?;
    let selectors = ours.within(theirs).ok_or_else(|| {
        let proposed = theirs.map_or_else(String::new, |theirs| {
            format!("{} === {}", theirs.remote, theirs.local)
        });
        (
            notify::INVALID_ID_INFORMATION,
            Failure::NoSelectors { proposed },
        )
    })?;
    let (ours_public, g_xy) = match choice.proposal.group {
        Some(group) => {
            let (public, g_xy) = exchange_keys(group, contents.ke())
                .map_err(|why| (notify::INVALID_KEY_INFORMATION, why))?;
            (Some(public), Some(g_xy))
        }
        None => (None, None),
    };
    let nonce_r = core.numbers.nonce();
    let child = made(
        sa,
        connection,
        &Made {
            spi_in,
            spi_out: choice.spi,
            proposal: choice.proposal,
            selectors,
            life: choice.life,
            nonces: (nonce_i, &nonce_r),
            g_xy: g_xy.as_ref(),
            we_asked: false,
        },
    )
    .ok_or_else(|| broken("no keys"))?;
    let mut writer = Writer::new();
    writer.raw(kind::SA, &body).nonce(&nonce_r);
    if let Some(public) = &ours_public {
        writer.ke(public);
    }
    write_rest(&mut writer, connection, contents, spi_in, &choice.life);
    Ok(Answer {
        child,
        nonce_i: nonce_i.to_vec(),
        nonce_r,
        writer,
    })
}

/// The peer's identities, as they came, and our life of the pair.
fn write_rest(
    writer: &mut Writer,
    connection: &Connection,
    contents: &Contents<'_>,
    spi_in: Spi,
    offered: &Life,
) {
    for id in contents.ids() {
        writer.raw(kind::ID, &id.body());
    }
    let life = offers::esp_life(connection);
    responder_lifetime::write(writer, spi_in, &life, offered);
}

/// Drops an exchange, with what it would have made.
pub(super) fn forget(core: &mut Core, sa: &mut Sa, message_id: u32) {
    let id = sa.id();
    match sa.quicks.remove(&message_id).map(|quick| quick.step) {
        Some(Step::Asked(asked)) => core.numbers.release(asked.spi_in),
        Some(Step::Answered { spi_in, .. }) => {
            if let Some(id) = id {
                child::retire(core, id, spi_in, Retired::Deleted);
            }
        }
        Some(Step::Done) | None => {}
    }
}

/// Drops all exchanges of an SA that is over.
pub(super) fn forget_all(core: &mut Core, sa: &mut Sa) {
    while let Some(message_id) = sa.quicks.keys().next().copied() {
        forget(core, sa, message_id);
    }
}

/// Repeats what was not answered, gives up what was repeated often enough, and forgets what is long complete.
pub(super) fn expired(core: &mut Core, sa: &mut Sa, now: Instant) {
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    let due: Vec<u32> = sa
        .quicks
        .iter()
        .filter(|(_, quick)| quick.next_at() <= now)
        .map(|(message_id, _)| *message_id)
        .collect();
    for message_id in due {
        let Some(quick) = sa.quicks.get_mut(&message_id) else {
            continue;
        };
        if quick.is_done() {
            sa.quicks.remove(&message_id);
            continue;
        }
        let again = quick
            .outstanding
            .as_mut()
            .and_then(|message| message.repeat(now, &connection.retransmit));
        if let Some(octets) = again {
            core.counters.retransmits += 1;
            core.trace(Some(id), || format!("→ QUICK {message_id:08x} again"));
            core.transmit(sa.path, octets);
            continue;
        }
        if quick.is_asked() {
            forget(core, sa, message_id);
            sa.delete(core, End::Down(DownWhy::NotAnswering));
            continue;
        }
        if let Step::Answered { spi_in, .. } = quick.step {
            // The peer may have it: only its last message may have been lost.
            informational::delete_esp(core, sa, &[spi_in]);
        }
        forget(core, sa, message_id);
        core.ask(id, now, Task::QuickIfNone);
    }
}
