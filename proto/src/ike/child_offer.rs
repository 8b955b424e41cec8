//! The initiator's half of what makes a child SA, in IKE_AUTH and in CREATE_CHILD_SA (RFC 7296 sections 1.3.1, 2.7 and 2.9).

use super::child::Agreed;
use super::child_selectors::{self, Both};
use super::connection::{ChildMode, Connection};
use super::failure::Failure;
use super::message::Contents;
use super::proposal::{accept_esp, esp_to_wire};
use super::sa::IkeSa;
use crate::wire::esp::Spi;
use crate::wire::ike::{Notify, Writer, notify};

/// What we ask for.
pub(super) struct Wanted {
    pub(super) spi_in: Spi,
    pub(super) mode: ChildMode,
    pub(super) in_ike_auth: bool,
}

/// SA.
pub(super) fn write_sa(connection: &Connection, wanted: &Wanted, writer: &mut Writer) {
    writer.sa(&esp_to_wire(
        &connection.esp,
        wanted.spi_in.get(),
        wanted.in_ike_auth,
    ));
}

/// TSi, TSr and the mode.
pub(super) fn write_selectors(ours: &Both, wanted: &Wanted, writer: &mut Writer) {
    writer.ts_i(&ours.local).ts_r(&ours.remote);
    if wanted.mode == ChildMode::Transport {
        writer.notify(0, &[], notify::USE_TRANSPORT_MODE, &[]);
    }
}

/// What the responder made of it.
pub(super) fn accept(
    sa: &IkeSa,
    connection: &Connection,
    wanted: &Wanted,
    contents: &Contents<'_>,
) -> Result<Agreed, Failure> {
    let Some(answered) = contents.sa() else {
        return Err(contents.error().map_or(
            Failure::Protocol("it answers neither with a child SA nor with an error"),
            |error| refusal(connection, error),
        ));
    };
    let (proposal, spi_out) =
        accept_esp(&connection.esp, answered, wanted.in_ike_auth).map_err(Failure::NotOffered)?;
    let spi_out = Spi::new(spi_out).ok_or(Failure::Protocol("its SPI is a reserved one"))?;
    let (Some(ts_i), Some(ts_r)) = (contents.ts_i(), contents.ts_r()) else {
        return Err(Failure::Protocol("its answer lacks traffic selectors"));
    };
    let ours = child_selectors::ours(sa, connection, wanted.mode)?;
    let Some(both) = child_selectors::common(connection, &ours, ts_i, ts_r) else {
        return Err(Failure::NoSelectors {
            proposed: super::selectors_in_words(ts_i, ts_r),
        });
    };
    let transport = contents.has(notify::USE_TRANSPORT_MODE);
    if transport != (wanted.mode == ChildMode::Transport) {
        return Err(Failure::Mode(wanted.mode));
    }
    Ok(Agreed {
        spi_in: wanted.spi_in,
        spi_out,
        proposal,
        mode: wanted.mode,
        local_ts: both.local,
        remote_ts: both.remote,
    })
}

fn refusal(connection: &Connection, error: &Notify<'_>) -> Failure {
    match error.kind {
        notify::NO_PROPOSAL_CHOSEN => Failure::ProposalsRefused {
            child: true,
            offered: super::offered_esp(connection),
        },
        notify::TS_UNACCEPTABLE => Failure::SelectorsRefused,
        kind => Failure::Notified(kind),
    }
}
