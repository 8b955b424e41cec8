//! The keys of IKEv1 as typed fields.

use std::path::{Path, PathBuf};

use adit_proto::ike::identity::Identity;

use super::{ClientMode, EasyVpn, EspProposal, IkeProposal, IkeV1};
use crate::config::esp::build::key_file;
use crate::config::ike::Start;
use crate::config::ike::build::offers;
use crate::config::keys::Section;
use crate::config::tunnel::{is_word, list};
use crate::config::types::Family;
use crate::config::value::{Table, Value};
use crate::io::address::Prefix;

/// What only version 1 has; none when a value that it needs is missing or refused.
pub(in crate::config) fn v1(ike: &Table, folder: &Path) -> Option<IkeV1> {
    let easy_vpn = match ike.given("easy-vpn") {
        Some(_) => Some(easy_vpn(&ike.value("easy-vpn").table()?, folder)?),
        None => None,
    };
    let defaults = match easy_vpn {
        Some(_) => IkeProposal::aggressive_defaults,
        None => IkeProposal::defaults,
    };
    Some(IkeV1 {
        proposals: offers(ike, "proposals", Value::ike_v1, defaults),
        esp_proposals: offers(ike, "esp-proposals", Value::esp_v1, EspProposal::defaults),
        child_kilobytes: ike.value("child-kilobytes").narrow(),
        easy_vpn,
    })
}

fn easy_vpn(table: &Table, folder: &Path) -> Option<EasyVpn> {
    Some(EasyVpn {
        user: table.value("user").text()?,
        password_file: key_file(table, "password-file", folder)?,
        client_mode: if is_word(table, "client-mode", "network-extension") {
            ClientMode::NetworkExtension
        } else {
            ClientMode::Client
        },
    })
}

/// What an Easy VPN remote calls itself.
pub(in crate::config) fn group(ike: &Table) -> Option<Identity> {
    let group = ike.value("easy-vpn").table()?.value("group").text()?;
    Some(Identity::KeyId(group.into_bytes()))
}

/// The file of an Easy VPN remote's pre-shared key.
pub(in crate::config) fn group_key(ike: &Table, folder: &Path) -> Option<PathBuf> {
    key_file(&ike.value("easy-vpn").table()?, "group-key-file", folder)
}

/// Who brings the SAs of an Easy VPN remote up.
pub(in crate::config) fn start(tunnel: &Table) -> Option<Start> {
    let easy_vpn = tunnel.value("ike").table()?.value("easy-vpn").table()?;
    Some(match is_word(&easy_vpn, "connect", "manual") {
        true => Start::Manual,
        false => Start::Auto,
    })
}

/// The networks of `local-ts` and `remote-ts`. Quick mode names one pair, so that without them it is all addresses of one family: that
/// of the network which is given for the other end, or else of the interface's address, or else IPv4.
pub(in crate::config) fn selectors(tunnel: &Table) -> Option<(Vec<Prefix>, Vec<Prefix>)> {
    let ike = tunnel.value("ike").table()?;
    if ike.section != Section::IkeV1 {
        return None;
    }
    let given = |key| match tunnel.given(key) {
        Some(_) => list(tunnel, key, Value::prefix),
        None => Vec::new(),
    };
    let (local, remote) = (given("local-ts"), given("remote-ts"));
    let addresses = list(tunnel, "addresses", Value::prefix);
    let mut known = remote.iter().chain(&local).chain(&addresses);
    let family = known
        .next()
        .map_or(Family::Ipv4, |known| Family::of(known.address));
    let all = Prefix::new(family.unspecified(), 0);
    let or_all = |given: Vec<Prefix>| match given.is_empty() {
        true => vec![all],
        false => given,
    };
    Some((or_all(local), or_all(remote)))
}
