//! A datagram's way in: header, SA, encryption, HASH, exchange. Nothing of an SA changes before what the message is verified by is verified.

use std::time::Instant;

use super::chain::Iv;
use super::core::Core;
use super::endpoint::Endpoint;
use super::hash::Which;
use super::message::{Contents, message_words};
use super::sa::{Phase, Sa, Step};
use super::{aggressive, informational, main_mode, phase_1, quick, xauth};
use crate::ike::Path;
use crate::wire::isakmp::{ExchangeType, Header};

/// The only major version.
const MAJOR: u8 = 1;

/// One datagram, without the non-ESP marker.
pub(super) fn datagram(endpoint: &mut Endpoint, now: Instant, path: Path, octets: &[u8]) {
    let Ok(header) = Header::parse(octets) else {
        endpoint.core.counters.malformed += 1;
        return;
    };
    if header.major != MAJOR {
        endpoint.core.counters.version += 1;
        return;
    }
    let opens = header.cky_r == 0 && header.message_id == 0;
    let local = if opens {
        endpoint.initiated_by(path.remote, header.cky_i)
    } else {
        find(endpoint, &header)
    };
    match local {
        Some(local) => {
            endpoint.with(now, local, |core, sa| {
                of_sa(core, sa, now, path, (header, octets));
            });
        }
        None if opens => first(endpoint, now, path, header, octets),
        None => {
            endpoint.core.counters.unknown_spi += 1;
            endpoint.core.trace(None, || {
                format!(
                    "dropped {} of {}: no such ISAKMP SA",
                    header.exchange, path.remote
                )
            });
        }
    }
}

/// The SA that a message's cookies name.
fn find(endpoint: &Endpoint, header: &Header) -> Option<u64> {
    let is_of = |cookie: u64| {
        let sa = endpoint.sa(cookie)?;
        let (cky_i, cky_r) = sa.cookies();
        let awaits_choice = sa.initiator && sa.remote_cookie == 0;
        let is_same = (header.cky_i, header.cky_r) == (cky_i, cky_r);
        (is_same || (awaits_choice && header.cky_i == cky_i)).then_some(cookie)
    };
    is_of(header.cky_i).or_else(|| is_of(header.cky_r))
}

/// The first message of a peer.
fn first(endpoint: &mut Endpoint, now: Instant, path: Path, header: Header, octets: &[u8]) {
    if header.flags.encryption {
        endpoint.core.counters.unexpected += 1;
        return;
    }
    let Some(contents) = Contents::plain(header, octets) else {
        endpoint.core.counters.malformed += 1;
        return;
    };
    match header.exchange {
        ExchangeType::IdentityProtection => main_mode::request(endpoint, now, path, &contents),
        ExchangeType::Aggressive => {
            // Its answer would let anybody guess at the key without being seen (CVE-2023-30570).
            endpoint.core.counters.unexpected += 1;
            endpoint.core.trace(None, || {
                format!(
                    "refused aggressive mode of {}: it exposes the pre-shared key",
                    path.remote
                )
            });
        }
        ExchangeType::Informational
        | ExchangeType::Transaction
        | ExchangeType::Quick
        | ExchangeType::Other(_) => endpoint.core.counters.unexpected += 1,
    }
}

fn of_sa(core: &mut Core, sa: &mut Sa, now: Instant, path: Path, message: (Header, &[u8])) {
    let (header, _) = message;
    match header.exchange {
        ExchangeType::IdentityProtection | ExchangeType::Aggressive if header.message_id == 0 => {
            phase_1(core, sa, now, path, message);
        }
        ExchangeType::Informational => informational::message(core, sa, now, path, message),
        ExchangeType::Quick
            if header.message_id != 0
                && matches!(sa.phase, Phase::Established | Phase::Superseded) =>
        {
            quick::message(core, sa, now, path, message);
        }
        ExchangeType::Transaction if header.message_id != 0 && sa.is_authenticated() => {
            xauth::message(core, sa, now, path, message);
        }
        ExchangeType::IdentityProtection
        | ExchangeType::Aggressive
        | ExchangeType::Quick
        | ExchangeType::Transaction
        | ExchangeType::Other(_) => core.counters.unexpected += 1,
    }
}

/// A message behind phase 1, decrypted into `chain`: with `iv` where its exchange has begun. None where its HASH does not verify, which is
/// counted: nothing of such a message is to be believed.
pub(super) fn proven<'a>(
    core: &mut Core,
    sa: &Sa,
    iv: Option<Iv>,
    which: Which<'_>,
    message: (Header, &'a [u8]),
    chain: &'a mut Vec<u8>,
) -> Option<Contents<'a>> {
    let (header, _) = message;
    // The message ID 0 is phase 1's, which has no such HASH.
    let session = sa.keys.as_ref().filter(|_| header.message_id != 0);
    let contents = session.and_then(|session| {
        let iv = iv.or_else(|| sa.exchange_iv(header.message_id))?;
        let contents = session.open(&iv, message, chain)?;
        session.proves(which, &contents).then_some(contents)
    });
    if contents.is_none() {
        core.counters.not_authentic += 1;
        core.trace(sa.id(), || {
            let words = message_words(&header);
            format!("dropped {} {words}: not authentic", header.exchange)
        });
    }
    contents
}

/// Main or aggressive mode.
fn phase_1(core: &mut Core, sa: &mut Sa, now: Instant, path: Path, message: (Header, &[u8])) {
    let (header, octets) = message;
    let way = (sa.id(), sa.path);
    if sa.last.repeats(core, now, way, message) {
        return;
    }
    let step = sa.exchange.as_ref().map(|exchange| exchange.step);
    let is_aggressive = header.exchange == ExchangeType::Aggressive;
    let fits = match step {
        None => false,
        Some(Step::Aggressive) => is_aggressive && !header.flags.encryption,
        Some(Step::Choice | Step::Public) => !is_aggressive && !header.flags.encryption,
        Some(Step::Proof) => !is_aggressive && header.flags.encryption,
    };
    if !fits {
        core.counters.unexpected += 1;
        return;
    }
    if !header.flags.encryption {
        match Contents::plain(header, octets) {
            Some(contents) => {
                core.trace_received(sa.id(), &contents);
                if is_aggressive {
                    aggressive::answer(core, sa, now, path, &contents);
                } else {
                    main_mode::message(core, sa, now, path, &contents);
                }
            }
            None => core.counters.malformed += 1,
        }
        return;
    }
    let mut chain = Vec::new();
    let opened = sa
        .keys
        .as_ref()
        .and_then(|session| session.open(&sa.iv, message, &mut chain));
    match opened {
        Some(contents) => {
            core.trace_received(sa.id(), &contents);
            main_mode::message(core, sa, now, path, &contents);
        }
        None => {
            core.counters.not_authentic += 1;
            phase_1::unreadable(core, sa);
        }
    }
}
