//! The keys of IKE as typed fields.

use std::path::Path;
use std::time::Duration;

use adit_proto::ike::identity::Identity;
use adit_proto::ike::proposal::{EspOffer, IkeOffer};
use adit_proto::liveness::{DpdConfig, DpdMode};

use super::v1;
use super::{ChildMode, Credentials, IkeConfig, IkeEndpoint, IkeV2, IkeVersion, Retransmit, Start};
use crate::config::esp::build::key_file;
use crate::config::keys::Section;
use crate::config::tunnel::{is_word, list};
use crate::config::types::{Mode, Remote};
use crate::config::value::{Table, Value};

/// What the top of the file says of IKE.
pub(in crate::config) fn endpoint(top: &Table) -> IkeEndpoint {
    let ike = table(top, "ike", Section::IkeEndpoint);
    let number = |key: &str| ike.value(key).narrow().unwrap_or_default();
    let port = |key: &str| ike.value(key).narrow().unwrap_or_default();
    IkeEndpoint {
        port: port("port"),
        nat_port: port("nat-port"),
        half_open: number("half-open"),
        half_open_per_source: number("half-open-per-source"),
        cookie_threshold: number("cookie-threshold"),
    }
}

/// IKE of a tunnel; none when a value that it needs is missing or refused. Relative files are in `folder`.
pub(in crate::config) fn ike(tunnel: &Table, mode: Mode, folder: &Path) -> Option<IkeConfig> {
    let ike = tunnel.value("ike").table()?;
    let own_address = || tunnel.value("local").address().map(Identity::from);
    let credentials = credentials(&ike, folder)?;
    let fallback = match credentials {
        Credentials::Psk(_) => own_address(),
        Credentials::Certificate { .. } => None,
    };
    let version = if ike.section == Section::IkeV1 {
        IkeVersion::V1(v1::build::v1(&ike, folder)?)
    } else {
        IkeVersion::V2(v2(&ike)?)
    };
    let group = v1::build::group(&ike);
    Some(IkeConfig {
        local_id: group.or_else(|| ike.value("local-id").id()).or(fallback),
        remote_id: ike.value("remote-id").id(),
        credentials,
        version,
        child_mode: child_mode(&ike, mode),
        rekey: ike.value("rekey").time()?,
        child_rekey: ike.value("child-rekey").time()?,
        child_packets: ike.value("child-packets").integer(),
        child_octets: ike.value("child-octets").integer(),
        jitter_percent: ike.value("rekey-jitter").narrow()?,
        replay_window: ike.value("replay-window").narrow()?,
        retransmit: retransmit(&ike)?,
        force_udp: is_word(&ike, "encap", "udp"),
        nat_keepalive: ike.value("nat-keepalive").time()?,
    })
}

fn v2(ike: &Table) -> Option<IkeV2> {
    Some(IkeV2 {
        proposals: offers(ike, "proposals", Value::ike_offer, IkeOffer::defaults),
        esp_proposals: offers(ike, "esp-proposals", Value::esp_offer, EspOffer::defaults),
        fragment_octets: ike.value("fragment-octets").narrow()?,
    })
}

fn table(around: &Table, key: &str, section: Section) -> Table {
    let table = around.value(key).table();
    table.unwrap_or_else(|| Table::empty(section))
}

pub(super) fn offers<T>(
    ike: &Table,
    key: &str,
    content: fn(Value) -> Option<T>,
    defaults: fn() -> Vec<T>,
) -> Vec<T> {
    match list(ike, key, content) {
        given if given.is_empty() => defaults(),
        given => given,
    }
}

fn credentials(ike: &Table, folder: &Path) -> Option<Credentials> {
    let file = |key| key_file(ike, key, folder);
    if let Some(psk) = v1::build::group_key(ike, folder).or_else(|| file("psk-file")) {
        return Some(Credentials::Psk(psk));
    }
    Some(Credentials::Certificate {
        chain: file("cert-file")?,
        key: file("key-file")?,
        anchors: file("ca-file")?,
    })
}

fn child_mode(ike: &Table, mode: Mode) -> ChildMode {
    match (ike.value("child-mode").word(), mode) {
        (Some("transport"), _) | (None, Mode::Gre | Mode::GreEsp) => ChildMode::Transport,
        (Some(_), _) | (None, Mode::Esp) => ChildMode::Tunnel,
    }
}

fn retransmit(ike: &Table) -> Option<Retransmit> {
    let retransmit = table(ike, "retransmit", Section::Retransmit);
    Some(Retransmit {
        first: retransmit.value("first").time()?,
        base_percent: retransmit.value("base").narrow()?,
        tries: retransmit.value("tries").narrow()?,
        most: retransmit.value("most").time()?,
    })
}

/// Dead peer detection of a tunnel; none without IKE, and where it is off or lacks its interval.
pub(in crate::config) fn dpd(tunnel: &Table) -> Option<DpdConfig> {
    tunnel.given("ike")?;
    if tunnel.given("dpd").is_none() {
        return Some(DpdConfig::default());
    }
    let dpd = tunnel.value("dpd").table()?;
    let no_data = dpd.value("no-data").time();
    Some(DpdConfig {
        mode: if is_word(&dpd, "mode", DpdMode::Periodic.name()) {
            DpdMode::Periodic
        } else {
            DpdMode::OnDemand
        },
        interval: dpd.value("interval").time()?,
        retry: dpd.value("retry").time()?,
        attempts: dpd.value("attempts").narrow()?,
        no_data: no_data.filter(|time| *time > Duration::ZERO),
    })
}

/// Who brings the SAs up: nobody but the peer can where its address is not known.
pub(in crate::config) fn start(tunnel: &Table, remotes: &[Remote]) -> Start {
    if let Some(start) = v1::build::start(tunnel) {
        return start;
    }
    match tunnel.value("start").word() {
        Some("passive") => Start::Passive,
        Some("on-traffic") => Start::OnTraffic,
        Some(_) => Start::Auto,
        None if remotes.contains(&Remote::Any) => Start::Passive,
        None => Start::Auto,
    }
}

pub(in crate::config) fn idle_timeout(tunnel: &Table) -> Option<Duration> {
    let time = tunnel.value("idle-timeout").time()?;
    (time > Duration::ZERO).then_some(time)
}
