//! What a tunnel offers and accepts, in the terms of its configuration.

use std::time::Duration;

use super::connection::Connection;
use super::proposal::{
    Authentication, Encapsulation, EspProposal, IkeProposal, Life, accept_esp, accept_ike,
    choose_esp as choose_of_esp, choose_ike as choose_of_ike, esp_offer, ike_offer,
};
use crate::ike::{ChildMode, Failure};
use crate::wire::esp::Spi;
use crate::wire::isakmp::SaPayload;

/// The algorithms of an ISAKMP SA that we answer with.
pub(super) struct IkeChoice {
    pub(super) proposal: IkeProposal,
    /// The body of our SA payload.
    pub(super) answer: Vec<u8>,
    pub(super) lifetime: Option<Duration>,
}

/// Those of a pair, on either side.
pub(super) struct EspChoice {
    pub(super) proposal: EspProposal,
    /// The SPI that the peer receives by.
    pub(super) spi: Spi,
    /// What the transform says of its life.
    pub(super) life: Life,
}

fn seconds(duration: Duration) -> Option<u32> {
    Some(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
}

/// A responder never asks for a user, so that only initiators of Easy VPN have the other one.
const fn authentication(connection: &Connection) -> Authentication {
    match connection.easy_vpn {
        Some(_) => Authentication::XauthInitPreShared,
        None => Authentication::PreShared,
    }
}

const fn encapsulation(connection: &Connection, udp: bool) -> Encapsulation {
    match (connection.mode, udp) {
        (ChildMode::Tunnel, false) => Encapsulation::Tunnel,
        (ChildMode::Tunnel, true) => Encapsulation::UdpTunnel,
        (ChildMode::Transport, false) => Encapsulation::Transport,
        (ChildMode::Transport, true) => Encapsulation::UdpTransport,
    }
}

/// The body of our SA payload of phase 1.
pub(super) fn ike(connection: &Connection) -> Vec<u8> {
    let life = Life {
        seconds: seconds(connection.ike_lifetime.hard),
        kilobytes: None,
    };
    let authentication = authentication(connection);
    if connection.easy_vpn.is_some() {
        // Aggressive mode has one public value, which is of one group.
        let ours = IkeProposal::of_one_group(&connection.ike);
        return ike_offer(ours, authentication, &life);
    }
    ike_offer(&connection.ike, authentication, &life)
}

/// Chooses of what a peer offers for phase 1.
pub(super) fn choose_ike(
    connection: &Connection,
    offered: &SaPayload<'_>,
) -> Result<IkeChoice, Failure> {
    let choice = choose_of_ike(&connection.ike, Authentication::PreShared, offered)
        .map_err(|why| Failure::NoneFits(why.to_string()))?;
    Ok(IkeChoice {
        proposal: choice.proposal,
        answer: choice.answer,
        lifetime: choice.life.duration(),
    })
}

/// What the peer chose of our offer for phase 1.
pub(super) fn chosen_ike(
    connection: &Connection,
    answer: &SaPayload<'_>,
) -> Result<(IkeProposal, Option<Duration>), Failure> {
    let (proposal, life) = accept_ike(&connection.ike, authentication(connection), answer)
        .map_err(|why| Failure::NoneFits(why.to_string()))?;
    Ok((proposal, life.duration()))
}

/// The life of a pair that we want.
pub(super) fn esp_life(connection: &Connection) -> Life {
    Life {
        seconds: seconds(connection.child_lifetime.hard),
        kilobytes: connection.child_kilobytes,
    }
}

/// The body of our SA payload of quick mode.
pub(super) fn esp(connection: &Connection, spi: Spi, udp: bool) -> Vec<u8> {
    let mode = encapsulation(connection, udp);
    esp_offer(&connection.esp, mode, spi.get(), &esp_life(connection))
}

/// Chooses of what a peer offers for a pair; with the body of the SA payload that answers, where we receive by `spi`.
pub(super) fn choose_esp(
    connection: &Connection,
    offered: &SaPayload<'_>,
    spi: Spi,
    udp: bool,
) -> Result<(EspChoice, Vec<u8>), Failure> {
    let mode = encapsulation(connection, udp);
    let (choice, theirs) = choose_of_esp(&connection.esp, mode, spi.get(), offered)
        .map_err(|why| Failure::NoneFits(why.to_string()))?;
    let made = EspChoice {
        proposal: choice.proposal,
        spi: Spi::new(theirs).ok_or(Failure::Protocol("SPI 0"))?,
        life: choice.life,
    };
    Ok((made, choice.answer))
}

/// What the peer chose of our offer for a pair.
pub(super) fn chosen_esp(
    connection: &Connection,
    answer: &SaPayload<'_>,
    udp: bool,
) -> Result<EspChoice, Failure> {
    let mode = encapsulation(connection, udp);
    let (proposal, life, spi) = accept_esp(&connection.esp, mode, answer)
        .map_err(|why| Failure::NoneFits(why.to_string()))?;
    Ok(EspChoice {
        proposal,
        spi: Spi::new(spi).ok_or(Failure::Protocol("SPI 0"))?,
        life,
    })
}
