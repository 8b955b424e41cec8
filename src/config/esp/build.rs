//! The keys of IPsec as typed fields.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::{
    InSa, Limits, Nat, OutSa, Segmentation, StaticSas, Tfc, TfcPad, UdpConfig, Warm, WarmKind,
};
use crate::config::keys::Section;
use crate::config::tunnel::{flag, is_word};
use crate::config::types::{Family, Mode};
use crate::config::value::{Table, Value};
use crate::io::address::Prefix;

/// What nothing needs an address for.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

pub(in crate::config) fn mode(table: &Table) -> Mode {
    match table.value("mode").word() {
        Some("esp") => Mode::Esp,
        Some("gre-esp") => Mode::GreEsp,
        Some(_) | None => Mode::Gre,
    }
}

pub(in crate::config) fn udp(table: &Table, mode: Mode) -> Option<UdpConfig> {
    let udp = match table.value("udp").table() {
        Some(udp) => udp,
        None if flag(table, "udp") => Table::empty(Section::Udp),
        None => return None,
    };
    let port = |key| {
        let port = udp.value(key).narrow();
        port.unwrap_or_else(|| UdpConfig::default_port(mode))
    };
    Some(UdpConfig {
        port: port("port"),
        remote_port: port("remote-port"),
        nat: match udp.value("nat").word() {
            Some("local") => Nat::Local,
            Some("peer") => Nat::Peer,
            Some("both") => Nat::Both,
            Some(_) | None => Nat::None,
        },
        nat_keepalive: udp.value("nat-keepalive").time().unwrap_or_default(),
    })
}

/// The static SAs; none when a value that they need is missing or refused. Relative key files are in `folder`.
pub(in crate::config) fn static_sas(table: &Table, folder: &Path) -> Option<StaticSas> {
    let sa = table.value("sa").table()?;
    let (out, inbound) = (sa.value("out").table()?, sa.value("in").table()?);
    Some(StaticSas {
        out: OutSa {
            spi: out.value("spi").narrow()?,
            key_file: key_file(&out, "key-file", folder)?,
            esn: flag(&out, "esn"),
            soft: limits(&out, "soft"),
            hard: limits(&out, "hard"),
        },
        inbound: InSa {
            spi: inbound.value("spi").narrow()?,
            key_file: key_file(&inbound, "key-file", folder)?,
            esn: flag(&inbound, "esn"),
            replay_window: inbound.value("replay-window").narrow()?,
            hard: limits(&inbound, "hard"),
        },
    })
}

/// The path without `.`, so that one file has one name wherever no link is in the way.
pub(in crate::config) fn key_file(table: &Table, key: &str, folder: &Path) -> Option<PathBuf> {
    let path = folder.join(table.value(key).path()?);
    let parts = path.components();
    Some(parts.filter(|part| *part != Component::CurDir).collect())
}

fn limits(sa: &Table, key: &str) -> Limits {
    let Some(limits) = sa.value(key).table() else {
        return Limits::default();
    };
    Limits {
        packets: limits.value("packets").integer(),
        octets: limits.value("octets").integer(),
        time: limits.value("time").time(),
    }
}

/// The warm traffic; none when it is off or its addresses are not known.
pub(in crate::config) fn warm(table: &Table, addresses: &[Prefix]) -> Option<Warm> {
    let warm = table.value("warm").table()?;
    let interval = warm.value("interval").time()?;
    if interval == Duration::ZERO {
        return None;
    }
    let kind = match warm.value("kind").word() {
        Some("icmp") => WarmKind::Icmp,
        Some("dummy59") => {
            return Some(Warm {
                interval,
                kind: WarmKind::Dummy59,
                source: NOWHERE,
                destination: NOWHERE,
            });
        }
        Some(_) | None => WarmKind::Udp9,
    };
    let (source, destination) = warm_addresses(&warm, addresses);
    Some(Warm {
        interval,
        kind,
        source: source?,
        destination: destination?,
    })
}

/// Source and destination of warm packets, as given or as the interface's addresses tell them.
pub(super) fn warm_addresses(
    warm: &Table,
    addresses: &[Prefix],
) -> (Option<IpAddr>, Option<IpAddr>) {
    let given = |key| warm.value(key).address();
    let destination = given("destination").or_else(|| {
        let family = given("source").map(Family::of);
        other_end(
            addresses
                .iter()
                .filter(|prefix| family.is_none_or(|family| family == Family::of(prefix.address))),
        )
    });
    let source = given("source").or_else(|| destination.and_then(|to| source_for(addresses, to)));
    (source, destination)
}

pub(in crate::config) fn tfc(table: &Table) -> Option<Tfc> {
    let tfc = table.value("tfc").table()?;
    let pad = match tfc.value("pad").narrow() {
        Some(octets) => TfcPad::Octets(octets),
        None if is_word(&tfc, "pad", "mtu") => TfcPad::Mtu,
        None => TfcPad::None,
    };
    let dummies = tfc.value("dummies").time();
    Some(Tfc { pad, dummies })
}

pub(in crate::config) fn segmentation(offload: &Table) -> Segmentation {
    match offload.value("udp-segmentation").word() {
        Some("on") => Segmentation::On,
        Some("off") => Segmentation::Off,
        Some(_) | None => Segmentation::Auto,
    }
}

/// Whether routes are guarded: as the file says, or with ESP.
pub(in crate::config) fn leak_guard(table: &Table, mode: Mode) -> bool {
    let given = table.value("leak-guard").flag();
    given.unwrap_or_else(|| mode.has_esp())
}

/// The other address of the first network of these that holds only two: a /30, /31, /126 or /127.
pub(in crate::config) fn other_end<'a>(
    mut prefixes: impl Iterator<Item = &'a Prefix>,
) -> Option<IpAddr> {
    prefixes.find_map(|prefix| {
        let host_bits = Family::of(prefix.address)
            .bits()
            .saturating_sub(prefix.length);
        let last = match prefix.address {
            IpAddr::V4(address) => address.to_bits() & 3,
            IpAddr::V6(address) => u32::try_from(address.to_bits() & 3).ok()?,
        };
        // Of four addresses the first names the network or any router on it, and the last is the broadcast address.
        let flip = match (host_bits, last) {
            (1, _) => 1,
            (2, 1 | 2) => 3,
            _ => return None,
        };
        Some(match prefix.address {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() ^ flip).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() ^ u128::from(flip)).into()),
        })
    })
}

/// Our address towards `target`: that of its network, or the first of its family.
pub(in crate::config) fn source_for(addresses: &[Prefix], target: IpAddr) -> Option<IpAddr> {
    let same_family = |prefix: &&Prefix| Family::of(prefix.address) == Family::of(target);
    addresses
        .iter()
        .find(|prefix| prefix.contains(target))
        .or_else(|| addresses.iter().find(same_family))
        .map(|prefix| prefix.address)
}

/// Whom the echo probes of mode `esp` go to.
pub(in crate::config) fn target(
    keepalive: &Table,
    mode: Mode,
    addresses: &[Prefix],
) -> Option<IpAddr> {
    if mode != Mode::Esp {
        return None;
    }
    let given = Value::address(keepalive.value("target"));
    given.or_else(|| other_end(addresses.iter()))
}
