//! A datagram's way in: header, SA, window, seal, fragments, exchange. Nothing of an SA changes before the seal is found whole.

use std::time::Instant;

use super::awaited::Awaited;
use super::connection::Path;
use super::core::{Action, Core};
use super::endpoint::Endpoint;
use super::event::Event;
use super::failure::{DownWhy, Failure};
use super::fragment::{Fragment, Whole};
use super::informational::child_is_deleted;
use super::message::Contents;
use super::sa::{End, IkeSa, Phase, title};
use super::window::Number;
use super::{
    auth_answer, create_child, half_open, ike_auth, informational, rekey_child, rekey_ike, sa_init,
};
use crate::wire::ike::header::MAJOR;
use crate::wire::ike::sk::{self, NotOpened, Opened};
use crate::wire::ike::{
    ExchangeType, HEADER_OCTETS, Header, Writer, notify, opened_payloads, payloads,
    unsupported_critical,
};

/// A datagram without the non-ESP marker.
pub(super) fn datagram(endpoint: &mut Endpoint, now: Instant, path: Path, datagram: &[u8]) {
    let core = &mut endpoint.core;
    let header = match Header::parse(datagram) {
        Ok(header) => header,
        Err(fault) => {
            core.counters.malformed += 1;
            core.trace(None, || {
                format!("dropped a datagram of {}: {fault}", path.remote)
            });
            return;
        }
    };
    if header.major != MAJOR {
        core.counters.version += 1;
        if header.major > MAJOR && !header.flags.response {
            half_open::refuse(core, path, &header, notify::INVALID_MAJOR_VERSION, &[]);
        }
        return;
    }
    if header.exchange == ExchangeType::IkeSaInit {
        sa_init_message(endpoint, now, path, datagram, header);
        return;
    }
    let local_spi = if header.flags.initiator {
        header.spi_r
    } else {
        header.spi_i
    };
    let is_of = |sa: &IkeSa| {
        sa.initiator != header.flags.initiator
            && (sa.spi_i(), sa.spi_r()) == (header.spi_i, header.spi_r)
    };
    if !endpoint.sa(local_spi).is_some_and(is_of) {
        let core = &mut endpoint.core;
        core.counters.unknown_spi += 1;
        core.trace(None, || {
            format!(
                "dropped {} of {}: no such IKE SA",
                title(&header),
                path.remote
            )
        });
        return;
    }
    endpoint.with(now, local_spi, |core, sa| {
        sealed(core, sa, now, path, datagram, &header)
    });
}

/// A message in the clear: IKE_SA_INIT.
fn sa_init_message(
    endpoint: &mut Endpoint,
    now: Instant,
    path: Path,
    datagram: &[u8],
    header: Header,
) {
    let core = &mut endpoint.core;
    let chain = datagram.get(HEADER_OCTETS..).unwrap_or_default();
    let contents = match payloads(header.next_payload, chain) {
        Ok(payloads) => Contents { header, payloads },
        Err(fault) => {
            core.counters.malformed += 1;
            core.trace(None, || {
                format!("dropped {} of {}: {fault}", title(&header), path.remote)
            });
            return;
        }
    };
    if header.message_id != 0 {
        core.counters.message_id += 1;
        return;
    }
    if header.flags.response {
        sa_init_response(endpoint, now, path, datagram, &contents);
    } else {
        sa_init_request(endpoint, now, path, datagram, &contents);
    }
}

fn sa_init_response(
    endpoint: &mut Endpoint,
    now: Instant,
    path: Path,
    datagram: &[u8],
    contents: &Contents<'_>,
) {
    let header = contents.header;
    let is_awaited = |sa: &IkeSa| {
        sa.initiator
            && !header.flags.initiator
            && sa.path.remote.ip() == path.remote.ip()
            && sa.window.awaits(0, ExchangeType::IkeSaInit)
    };
    if !endpoint.sa(header.spi_i).is_some_and(is_awaited) {
        endpoint.core.counters.unexpected += 1;
        return;
    }
    if unsupported_critical(&contents.payloads).is_some() {
        endpoint.core.counters.unexpected += 1;
        return;
    }
    endpoint.with(now, header.spi_i, |core, sa| {
        core.trace_received(sa.id(), contents);
        sa_init::response(core, sa, now, datagram, contents);
    });
}

fn sa_init_request(
    endpoint: &mut Endpoint,
    now: Instant,
    path: Path,
    datagram: &[u8],
    contents: &Contents<'_>,
) {
    let header = contents.header;
    if header.spi_i == 0 || header.spi_r != 0 || !header.flags.initiator {
        endpoint.core.counters.unexpected += 1;
        return;
    }
    if endpoint.sa(header.spi_i).is_some_and(|sa| sa.initiator) {
        // Our own request, sent back to us: whoever does so wants us to prove to ourselves who we are.
        endpoint.core.counters.unexpected += 1;
        endpoint.core.trace(None, || {
            format!(
                "dropped IKE_SA_INIT of {}: it is our own request",
                path.remote
            )
        });
        return;
    }
    if let Some(local_spi) = endpoint.initiated_by(path.remote, header.spi_i) {
        endpoint.with(now, local_spi, |core, sa| {
            repeat_sa_init(core, sa, path, datagram)
        });
        return;
    }
    if let Some(kind) = unsupported_critical(&contents.payloads) {
        let kind_notify = notify::UNSUPPORTED_CRITICAL_PAYLOAD;
        half_open::refuse(&mut endpoint.core, path, &header, kind_notify, &[kind]);
        return;
    }
    half_open::request(endpoint, now, path, datagram, contents);
}

/// The same request again gets the same response; another one of that SPI gets nothing.
fn repeat_sa_init(core: &mut Core, sa: &IkeSa, path: Path, datagram: &[u8]) {
    if let Phase::HalfOpen(half_open) = &sa.phase
        && half_open.sa_init_request == datagram
    {
        core.counters.repeated_responses += 1;
        core.transmit(path, half_open.sa_init_response.clone());
    } else {
        core.counters.unexpected += 1;
    }
}

/// A message that has to be sealed.
fn sealed(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    datagram: &[u8],
    header: &Header,
) {
    if !comes_from_its_initiator(core, sa, path) {
        core.counters.unexpected += 1;
        core.trace(sa.id(), || {
            format!(
                "dropped {} of {}: not where IKE_SA_INIT came from",
                title(header),
                path.remote
            )
        });
        return;
    }
    if !is_in_window(core, sa, header) {
        return;
    }
    let Some(keys) = &sa.keys else {
        core.counters.unexpected += 1;
        return;
    };
    let (first, chain) = match sk::open(datagram, &keys.inbound) {
        Ok(Opened::Whole { first, chain }) => {
            if is_repeated(sa, header) {
                repeat(core, sa, now, path, header);
                return;
            }
            (first, chain)
        }
        Ok(Opened::Fragment {
            first,
            number,
            total,
            part,
        }) => {
            let fragment = Fragment {
                message_id: header.message_id,
                next_payload: first,
                number,
                total,
                octets: &part,
            };
            match fragment_in(core, sa, now, path, header, &fragment) {
                Some(whole) => (whole.next_payload, whole.octets),
                None => return,
            }
        }
        Err(fault) => {
            match fault {
                NotOpened::NotAuthentic => core.counters.not_authentic += 1,
                NotOpened::Malformed(_) => core.counters.malformed += 1,
                NotOpened::Clear => core.counters.unexpected += 1,
            }
            core.trace(sa.id(), || {
                format!("dropped {} of {}: {fault}", title(header), path.remote)
            });
            return;
        }
    };
    authentic(core, sa, now, path, header, first, &chain);
}

/// Whether a half-open SA's initiator may be there. Its IKE_AUTH request proves the same when somebody on the way copies it to another
/// source address: only behind a NAT may that be another one, and before none the port is the one of IKE_SA_INIT or the one for NAT.
fn comes_from_its_initiator(core: &Core, sa: &IkeSa, path: Path) -> bool {
    let Phase::HalfOpen(half_open) = &sa.phase else {
        return true;
    };
    let ports = [half_open.source.port(), core.config.peer_nat_port];
    sa.nat.peer
        || (path.remote.ip() == half_open.source.ip() && ports.contains(&path.remote.port()))
}

fn is_repeated(sa: &IkeSa, header: &Header) -> bool {
    !header.flags.response && sa.window.number(header.message_id) == Number::Repeated
}

/// Whether the number is one that is waited for, or the last one again.
fn is_in_window(core: &mut Core, sa: &IkeSa, header: &Header) -> bool {
    let is_open = !matches!(sa.phase, Phase::Gone | Phase::Dead);
    let fits = if header.flags.response {
        is_open && sa.window.awaits(header.message_id, header.exchange)
    } else {
        match sa.window.number(header.message_id) {
            Number::Fresh => is_open,
            Number::Repeated => true,
            Number::Outside => false,
        }
    };
    if !fits {
        core.counters.message_id += 1;
    }
    fits
}

/// The same request again, whole or its first fragment, gets the same response (RFC 7296 section 2.1, RFC 7383 section 2.6.1). Who copied
/// it cannot have that sent elsewhere, unless a NAT may have moved the peer there, nor more often than a peer would ask.
fn repeat(core: &mut Core, sa: &mut IkeSa, now: Instant, path: Path, header: &Header) {
    let is_there = sa.nat.peer || path.remote.ip() == sa.path.remote.ip();
    if !is_there || !sa.window.may_repeat(now) {
        core.counters.unexpected += 1;
        core.trace(sa.id(), || {
            let again = title(header);
            format!("dropped {again} of {}: answered before", path.remote)
        });
        return;
    }
    core.counters.repeated_responses += 1;
    core.trace(sa.id(), || {
        format!("← {} again: answered as before", title(header))
    });
    for octets in sa.window.last_response() {
        core.transmit(path, octets.clone());
    }
}

fn fragment_in(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    header: &Header,
    fragment: &Fragment<'_>,
) -> Option<Whole> {
    if is_repeated(sa, header) {
        if fragment.number == 1 {
            repeat(core, sa, now, path, header);
        }
        return None;
    }
    let partial = if header.flags.response {
        &mut sa.responses
    } else {
        &mut sa.requests
    };
    match partial.add(now, fragment) {
        Ok(whole) => whole,
        Err(why) => {
            core.counters.fragments += 1;
            core.trace(sa.id(), || {
                format!("dropped a fragment of {}: {why}", title(header))
            });
            None
        }
    }
}

/// A fresh message whose seal was whole.
fn authentic(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    header: &Header,
    first: u8,
    chain: &[u8],
) {
    let contents = match opened_payloads(first, chain) {
        Ok(payloads) => Contents {
            header: *header,
            payloads,
        },
        Err(fault) => {
            core.counters.malformed += 1;
            core.trace(sa.id(), || {
                format!("{} does not read: {fault}", title(header))
            });
            unreadable(core, sa, now, path, header);
            return;
        }
    };
    core.trace_received(sa.id(), &contents);
    if let Some(old) = sa.heir_of
        && !header.flags.response
        && !contents.deletes_ike()
    {
        // It is about what the heir has yet to get: to be answered when it is repeated.
        let heir = sa.local_spi;
        core.actions.push_back(Action::Adopt { old, heir });
        return;
    }
    if let (Some(id), true) = (sa.id(), sa.established_at.is_some()) {
        core.event(Event::Alive(id));
        follow(core, sa, path);
    }
    let critical = unsupported_critical(&contents.payloads);
    if header.flags.response {
        if critical.is_some() {
            unreadable(core, sa, now, path, header);
            return;
        }
        response(core, sa, now, &contents);
    } else if let Some(kind) = critical {
        let mut writer = Writer::new();
        writer.notify(0, &[], notify::UNSUPPORTED_CRITICAL_PAYLOAD, &[kind]);
        refuse_request(core, sa, now, path, header, &mut writer);
    } else {
        request(core, sa, now, path, &contents);
    }
}

/// An authentic message that breaks the protocol ends the IKE SA (RFC 7296 section 2.21.3). The tunnel hears of it where it is the SA's end
/// that ends something: a successor of the SA goes on without it.
fn unreadable(core: &mut Core, sa: &mut IkeSa, now: Instant, path: Path, header: &Header) {
    if header.flags.response {
        match sa.phase {
            Phase::Established => {
                sa.window.drop_outstanding(core);
                sa.down(now, DownWhy::Protocol);
            }
            Phase::Initiating => sa.fail(Failure::Protocol("its answer does not read")),
            Phase::HalfOpen(_)
            | Phase::Superseded
            | Phase::Deleting
            | Phase::Gone
            | Phase::Dead => sa.dead(End::Silent),
        }
        return;
    }
    let mut writer = Writer::new();
    writer.notify(0, &[], notify::INVALID_SYNTAX, &[]);
    let end = if sa.is_established() {
        End::Down(DownWhy::Protocol)
    } else {
        End::Silent
    };
    sa.respond(core, path, header.exchange, &mut writer);
    sa.linger(core, now, end);
}

/// Refuses a request; IKE_AUTH is not tried twice.
fn refuse_request(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    path: Path,
    header: &Header,
    writer: &mut Writer,
) {
    sa.respond(core, path, header.exchange, writer);
    if matches!(sa.phase, Phase::HalfOpen(_)) {
        sa.linger(core, now, End::Silent);
    }
}

/// The peer is behind a NAT that gave it another address or port (RFC 7296 section 2.23).
fn follow(core: &mut Core, sa: &mut IkeSa, path: Path) {
    if path == sa.path || !sa.nat.peer || sa.nat.local {
        return;
    }
    sa.path = path;
    if let Some(id) = sa.id() {
        core.trace(Some(id), || format!("peer moved to {}", path.remote));
        core.event(Event::PeerMoved(id, path));
    }
}

fn request(core: &mut Core, sa: &mut IkeSa, now: Instant, path: Path, contents: &Contents<'_>) {
    let header = contents.header;
    match (&sa.phase, header.exchange) {
        (Phase::HalfOpen(_), ExchangeType::IkeAuth) => {
            let Phase::HalfOpen(half_open) = std::mem::replace(&mut sa.phase, Phase::Gone) else {
                return;
            };
            auth_answer::request(core, sa, now, path, &half_open, contents);
        }
        (Phase::Established | Phase::Superseded | Phase::Deleting, ExchangeType::CreateChildSa) => {
            create_child::request(core, sa, now, path, contents);
        }
        (Phase::Established | Phase::Superseded | Phase::Deleting, ExchangeType::Informational) => {
            informational::request(core, sa, now, path, contents);
        }
        _ => {
            core.counters.unexpected += 1;
            core.trace(sa.id(), || {
                format!("dropped {}: not at this moment", title(&header))
            });
        }
    }
}

fn response(core: &mut Core, sa: &mut IkeSa, now: Instant, contents: &Contents<'_>) {
    let header = contents.header;
    let Some(request) = sa.window.take(header.message_id, header.exchange) else {
        return;
    };
    match request.awaited {
        Awaited::SaInit(_) => {}
        Awaited::Auth(sent) => ike_auth::response(core, sa, now, &sent, contents),
        Awaited::Child(requested) if sa.is_established() => {
            rekey_child::response(core, sa, now, *requested, contents);
        }
        Awaited::Child(requested) => core.numbers.release(requested.spi_in),
        Awaited::IkeRekey(requested) if sa.is_established() => {
            rekey_ike::response(core, sa, now, *requested, contents);
        }
        Awaited::DeleteChild(spi_in) => child_is_deleted(core, sa, now, spi_in),
        Awaited::DeleteIke => sa.linger(core, now, End::Silent),
        Awaited::IkeRekey(_) | Awaited::Probe => {}
    }
}
