//! XAUTH and Mode Config of an Easy VPN remote (draft-beaulieu-ike-xauth-02, draft-dukes-ike-mode-cfg-02).
//!
//! The server asks for the user and says how that went; then we ask for an address and what else it has for us. A refused password ends
//! the attempt and is not tried again, so that nobody is locked out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::Iv;
use super::config_payload::{self, Assigned};
use super::connection::Connection;
use super::core::Core;
use super::hash::Which;
use super::last_answer::LastAnswer;
use super::message::Contents;
use super::receive;
use super::sa::{End, Phase, Sa};
use super::xauth_message::{Challenge, status, status_ack};
use crate::ike::{Event, Failure, Outstanding, Path};
use crate::wire::ike::TrafficSelector;
use crate::wire::isakmp::{Attribute, Attributes, ConfigKind, ExchangeType, Header, Writer};

/// Exchanges of the server that are remembered.
const EXCHANGES_MAX: usize = 8;
/// An address that is ours for less is asked for again as if it were ours for so long.
const EXPIRY_MIN: Duration = Duration::from_secs(300);

/// How far it has come.
#[derive(Default)]
pub(super) struct Configuring {
    /// The server accepted the user.
    is_accepted: bool,
    /// The password was given.
    is_given: bool,
    /// The server's exchanges.
    answered: Vec<Exchange>,
    /// Our request.
    asked: Option<Asked>,
}

struct Exchange {
    message_id: u32,
    iv: Iv,
    last: LastAnswer,
}

struct Asked {
    message_id: u32,
    iv: Iv,
    outstanding: Outstanding<Vec<u8>>,
}

impl Configuring {
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.outstanding.repeat_at)
    }
}

/// A message of a transaction.
pub(super) fn message(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    message: (Header, &[u8]),
) {
    let message_id = message.0.message_id;
    let way = (sa.id(), sa.path);
    let Some(state) = sa.configuring.as_mut() else {
        core.counters.unexpected += 1;
        return;
    };
    let known = state
        .answered
        .iter_mut()
        .find(|exchange| exchange.message_id == message_id);
    let mut iv = None;
    if let Some(exchange) = known {
        if exchange.last.repeats(core, now, way, message) {
            return;
        }
        iv = Some(exchange.iv.clone());
    }
    let of_ours = state
        .asked
        .as_ref()
        .filter(|asked| asked.message_id == message_id)
        .map(|asked| asked.iv.clone());
    let is_ours = of_ours.is_some();
    let is_new = !is_ours && iv.is_none();
    if is_new && sa.message_ids.is_taken(message_id) {
        core.counters.message_id += 1;
        return;
    }
    let iv = of_ours.or(iv);
    let mut chain = Vec::new();
    let Some(contents) = receive::proven(core, sa, iv, Which::First, message, &mut chain) else {
        return;
    };
    core.trace_received(sa.id(), &contents);
    proven(core, sa, now, path, &contents, (is_new, is_ours));
}

/// The HASH verified; the message may begin an exchange, or be of ours.
fn proven(
    core: &mut Core,
    sa: &mut Sa,
    now: Instant,
    path: Path,
    contents: &Contents<'_>,
    (is_new, is_ours): (bool, bool),
) {
    let Some(attributes) = contents.attributes() else {
        core.counters.unexpected += 1;
        return;
    };
    let is_fitting = match (attributes.kind, is_ours) {
        (ConfigKind::Request | ConfigKind::Set, false) => true,
        (ConfigKind::Reply, true) => sa.phase == Phase::Configuring,
        _ => false,
    };
    if !is_fitting || (is_new && !sa.message_ids.take(contents.header.message_id)) {
        core.counters.unexpected += 1;
        return;
    }
    sa.follow(core, path);
    if is_ours {
        replied(core, sa, now, attributes);
    } else if attributes.kind == ConfigKind::Request {
        requested(core, sa, contents, attributes);
    } else {
        set(core, sa, now, contents, attributes);
    }
}

/// Answers an exchange of the server.
fn respond(
    core: &mut Core,
    sa: &mut Sa,
    contents: &Contents<'_>,
    kind: ConfigKind,
    (identifier, attributes): (u16, &[Attribute<'_>]),
) {
    let message_id = contents.header.message_id;
    let Some(iv) = &contents.next_iv else {
        return;
    };
    let mut writer = Writer::new();
    writer.attributes(kind, identifier, attributes);
    let header = (ExchangeType::Transaction, message_id);
    let Some(sealed) = sa.seal_hashed(core, header, iv, Which::First, &mut writer) else {
        return;
    };
    core.transmit(sa.path, sealed.octets.clone());
    if let Some(state) = sa.configuring.as_mut() {
        state
            .answered
            .retain(|exchange| exchange.message_id != message_id);
        if state.answered.len() >= EXCHANGES_MAX {
            state.answered.remove(0);
        }
        state.answered.push(Exchange {
            message_id,
            iv: sealed.iv,
            last: LastAnswer::new(contents.octets, Some(sealed.octets)),
        });
    }
}

/// The server asks for the user and the password.
fn requested(core: &mut Core, sa: &mut Sa, contents: &Contents<'_>, asked: &Attributes<'_>) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        return;
    };
    let Some(easy_vpn) = &connection.easy_vpn else {
        core.counters.unexpected += 1;
        return;
    };
    // Who is let in is asked nothing more: it may be our own request that somebody sends back.
    if sa
        .configuring
        .as_ref()
        .is_none_or(|state| state.is_accepted)
    {
        core.counters.unexpected += 1;
        return;
    }
    let challenge = match Challenge::read(&asked.attributes) {
        Ok(challenge) => challenge,
        Err(why) => {
            sa.delete(core, End::Failed(Failure::Xauth(why.to_string())));
            return;
        }
    };
    if let Some(message) = &challenge.message {
        core.trace(sa.id(), || format!("XAUTH: the server says \"{message}\""));
    }
    if let Some(state) = &mut sa.configuring
        && challenge.wants_password()
        && std::mem::replace(&mut state.is_given, true)
    {
        let why = "the server asks again: it refused user and password";
        sa.delete(core, End::Failed(Failure::Xauth(why.to_owned())));
        return;
    }
    let answer = challenge.answer(&easy_vpn.user, &easy_vpn.password);
    respond(
        core,
        sa,
        contents,
        ConfigKind::Reply,
        (asked.identifier, &answer),
    );
}

/// The server says how the authentication went.
fn set(core: &mut Core, sa: &mut Sa, now: Instant, contents: &Contents<'_>, told: &Attributes<'_>) {
    let status = status(&told.attributes);
    // Nothing else is taken of what nobody asked for.
    let status_ack = status_ack();
    let taken = if status.is_some() {
        &status_ack[..]
    } else {
        &[]
    };
    respond(
        core,
        sa,
        contents,
        ConfigKind::Ack,
        (told.identifier, taken),
    );
    match status {
        Some(true) => {
            if let Some(slot) = sa.id().and_then(|id| core.slots.get_mut(&id)) {
                slot.misses_verdict = false;
            }
            let was_accepted = sa
                .configuring
                .as_mut()
                .is_some_and(|state| std::mem::replace(&mut state.is_accepted, true));
            if !was_accepted {
                ask_config(core, sa, now);
            }
        }
        Some(false) => {
            let why = Failure::Xauth("the server refused user and password".to_owned());
            sa.delete(core, End::Failed(why));
        }
        None => {}
    }
}

/// Asks for an address and what else the server has for us.
fn ask_config(core: &mut Core, sa: &mut Sa, now: Instant) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        return;
    };
    let wants_address = connection
        .easy_vpn
        .as_ref()
        .is_some_and(|easy_vpn| easy_vpn.client_mode);
    let message_id = core.message_id();
    sa.message_ids.take(message_id);
    let identifier = u16::from_be_bytes(core.numbers.octets());
    let mut writer = Writer::new();
    let wanted = config_payload::request(wants_address);
    writer.attributes(ConfigKind::Request, identifier, &wanted);
    let sealed = sa.exchange_iv(message_id).and_then(|iv| {
        let header = (ExchangeType::Transaction, message_id);
        sa.seal_hashed(core, header, &iv, Which::First, &mut writer)
    });
    let (Some(sealed), Some(state)) = (sealed, sa.configuring.as_mut()) else {
        return;
    };
    state.asked = Some(Asked {
        message_id,
        iv: sealed.iv,
        outstanding: Outstanding::new(now, sealed.octets.clone(), &connection.retransmit),
    });
    core.transmit(sa.path, sealed.octets);
}

/// The failure of an attempt whose SA the server ended, which may be all that it says of user and password.
pub(super) fn ended_by_server(sa: &Sa) -> Failure {
    match awaits_verdict(sa) {
        true => Failure::Xauth("the server ended the SA when it had user and password".to_owned()),
        false => Failure::Protocol("the server ended the SA before it was complete"),
    }
}

/// The password was given, and not yet found right or wrong.
fn awaits_verdict(sa: &Sa) -> bool {
    sa.configuring
        .as_ref()
        .is_some_and(|state| state.is_given && !state.is_accepted)
}

/// XAUTH or Mode Config did not become complete. A server that says nothing more of user and password may have refused them: that is tried
/// once more and not again.
pub(super) fn timed_out(core: &mut Core, sa: &mut Sa) {
    let slot = sa.id().and_then(|id| core.slots.get_mut(&id));
    let is_again = slot
        .filter(|_| awaits_verdict(sa))
        .is_some_and(|slot| std::mem::replace(&mut slot.misses_verdict, true));
    let why = match is_again {
        true => Failure::Xauth(
            "the server had user and password twice and said nothing of them".to_owned(),
        ),
        false => Failure::Unanswered("XAUTH or Mode Config"),
    };
    sa.delete(core, End::Failed(why));
}

/// What the server has for us.
fn replied(core: &mut Core, sa: &mut Sa, now: Instant, told: &Attributes<'_>) {
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    let assigned = match Assigned::read(&told.attributes) {
        Ok(assigned) => assigned,
        Err(why) => {
            core.trace(Some(id), || why.to_string());
            let why = Failure::Protocol("what the server assigned cannot be read");
            sa.delete(core, End::Failed(why));
            return;
        }
    };
    let Some(connection) = with_assigned(sa, &connection, &assigned) else {
        let why = Failure::Protocol("the server assigned no address");
        sa.delete(core, End::Failed(why));
        return;
    };
    sa.tunnel = Some((id, Arc::new(connection)));
    if let Some(seconds) = assigned.expiry_seconds {
        // Phase 1 is what an address is asked for in, and it is asked for before its time is over.
        let time = Duration::from_secs(seconds.into())
            .max(EXPIRY_MIN)
            .mul_f64(0.8);
        sa.rekey_at = sa.rekey_at.map(|at| at.min(now + time));
    }
    if let Some(state) = sa.configuring.as_mut() {
        state.asked = None;
    }
    core.event(Event::Configured(id, Box::new(assigned)));
    sa.established(core, now, false);
}

/// What quick mode is to ask for; none when it needs an address and got none.
fn with_assigned(sa: &Sa, connection: &Connection, assigned: &Assigned) -> Option<Connection> {
    let mut connection = connection.clone();
    let wants_address = connection
        .easy_vpn
        .as_ref()
        .is_some_and(|easy_vpn| easy_vpn.client_mode);
    if wants_address {
        let address = IpAddr::V4(assigned.address?);
        connection.local_ts = TrafficSelector {
            start: address,
            end: address,
            ..connection.local_ts
        };
    }
    // A server that wants perfect forward secrecy names no group: that of phase 1 is known to be right.
    let group = sa.proposal.map(|proposal| proposal.group);
    if assigned.pfs == Some(true) && connection.esp.iter().all(|esp| esp.group.is_none()) {
        for esp in &mut connection.esp {
            esp.group = group;
        }
    }
    Some(connection)
}

/// Repeats our request, or gives up.
pub(super) fn expired(core: &mut Core, sa: &mut Sa, now: Instant) {
    let (Some((_, connection)), Some(state)) = (sa.tunnel.clone(), sa.configuring.as_mut()) else {
        return;
    };
    let Some(asked) = state
        .asked
        .as_mut()
        .filter(|asked| asked.outstanding.repeat_at <= now)
    else {
        return;
    };
    match asked.outstanding.repeat(now, &connection.retransmit) {
        Some(octets) => {
            core.counters.retransmits += 1;
            core.transmit(sa.path, octets);
        }
        None if sa.phase == Phase::Configuring => {
            let why = Failure::Unanswered("our Mode Config request");
            sa.delete(core, End::Failed(why));
        }
        None => state.asked = None,
    }
}
