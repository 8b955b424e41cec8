//! RESPONDER-LIFETIME: the responder keeps an SA for less than was offered, and says so (RFC 2407 sections 4.5.4 and 4.6.3.1).

use std::time::Instant;

use super::child;
use super::core::Core;
use super::informational::cookies;
use super::message::Contents;
use super::proposal::Life;
use super::sa::Sa;
use crate::wire::esp::Spi;
use crate::wire::isakmp::attribute::attributes;
use crate::wire::isakmp::{DOI_IPSEC, Notify, Protocol, Writer, notify};

/// Tells the initiator of a pair of our life of it, where that is shorter than what was offered.
pub(super) fn write(writer: &mut Writer, spi: Spi, ours: &Life, offered: &Life) {
    let is_less = |ours: Option<u32>, offered: Option<u32>| {
        ours.is_some_and(|ours| offered.is_none_or(|offered| ours < offered))
    };
    if is_less(ours.seconds, offered.seconds) || is_less(ours.kilobytes, offered.kilobytes) {
        writer.notify(&Notify {
            doi: DOI_IPSEC,
            protocol: Protocol::Esp,
            spi: &spi.get().to_be_bytes(),
            kind: notify::RESPONDER_LIFETIME,
            data: &ours.notification(),
        });
    }
}

/// What the responder's message of quick mode says of the pair that it receives by `spi_out`.
pub(super) fn of_pair(contents: &Contents<'_>, spi_out: Spi) -> Life {
    let is_of = |notify: &&Notify<'_>| is_of_pair(notify, spi_out.get());
    let said = contents.notifies().filter(is_of).map(pair_life);
    said.fold(Life::default(), Life::least)
}

/// What an encrypted message of phase 1 says of the SA that it makes, whose responder sent it.
pub(super) fn of_isakmp(sa: &Sa, contents: &Contents<'_>) -> Life {
    if !sa.initiator || contents.next_iv.is_none() {
        return Life::default();
    }
    let is_of = |notify: &&Notify<'_>| is_of_isakmp(notify, sa);
    let said = contents.notifies().filter(is_of).map(isakmp_life);
    said.fold(Life::default(), Life::least)
}

/// A message of its own, whose HASH verified. Of a pair that is installed only the seconds count: its octets were agreed upon.
pub(super) fn told(core: &mut Core, sa: &mut Sa, now: Instant, notify: &Notify<'_>) {
    let Some((id, connection)) = sa.tunnel.clone() else {
        return;
    };
    if is_of_isakmp(notify, sa) && sa.initiator {
        let since = sa.established_at.unwrap_or(sa.born);
        let hard_at = isakmp_life(notify).duration().map(|life| since + life);
        if let Some(hard_at) = hard_at.filter(|at| sa.hard_at.is_none_or(|ours| *at < ours)) {
            let left = hard_at.saturating_duration_since(now);
            let rekey_at = core.rekey_at(now, &connection.ike_lifetime, left);
            sa.hard_at = Some(hard_at);
            sa.rekey_at = sa.rekey_at.map(|at| at.min(rekey_at));
        }
        return;
    }
    let spi_out = notify.spi.try_into().map(u32::from_be_bytes);
    if let (Ok(spi_out), Some(life)) = (spi_out, pair_life(notify).duration())
        && is_of_pair(notify, spi_out)
    {
        child::shorten(core, id, now, spi_out, life);
    }
}

fn is_of_pair(notify: &Notify<'_>, spi_out: u32) -> bool {
    notify.kind == notify::RESPONDER_LIFETIME
        && notify.protocol == Protocol::Esp
        && notify.spi == spi_out.to_be_bytes()
}

fn is_of_isakmp(notify: &Notify<'_>, sa: &Sa) -> bool {
    let is_named = notify.spi.is_empty() || notify.spi == cookies(sa.cookies());
    notify.kind == notify::RESPONDER_LIFETIME && notify.protocol == Protocol::Isakmp && is_named
}

fn pair_life(notify: &Notify<'_>) -> Life {
    Life::of_notification(&attributes(notify.data).unwrap_or_default())
}

fn isakmp_life(notify: &Notify<'_>) -> Life {
    Life::of_isakmp_notification(&attributes(notify.data).unwrap_or_default())
}
