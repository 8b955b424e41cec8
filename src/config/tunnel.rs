//! A tunnel's table as typed fields.

use std::path::Path;

use adit_proto::liveness::Initial;
use adit_proto::tunnel::{self, Df, DscpIn, DscpOut, Ecn, Ttl};
use adit_proto::wire::gre::GreKey;

use super::esp::{Segmentation, build as esp};
use super::ike::build as ike;
use super::ike::v1::build as v1;
use super::keys::Section;
use super::types::{
    Gre, Hook, Keepalive, Mode, MssClamp, Mtu, Offload, OnDead, Pin, Profile, Remote, TunnelConfig,
};
use super::value::{Node, Table, Value};
use crate::io::address::Prefix;
use crate::io::netns::Netns;

/// The least MSS that every IPv6 path carries: 1280 minus an IPv6 and a TCP header, in octets.
const MSS_V6_MIN: u16 = 1220;

/// The typed tunnel; a refused value counts as absent, for the checks that still run. Relative files are in `folder`.
pub(super) fn build(name: &str, table: &Table, folder: &Path) -> TunnelConfig {
    let on_dead = on_dead(table);
    let mode = esp::mode(table);
    let addresses = prefixes(table, "addresses");
    let remotes = remotes(table);
    let (local_ts, remote_ts) = selectors(table);
    TunnelConfig {
        name: name.to_owned(),
        mode,
        udp: esp::udp(table, mode),
        sa: esp::static_sas(table, folder),
        ike: ike::ike(table, mode, folder),
        dpd: ike::dpd(table),
        start: ike::start(table, &remotes),
        idle_timeout: ike::idle_timeout(table),
        local_ts,
        remote_ts,
        interface: table
            .value("interface")
            .text()
            .unwrap_or_else(|| name.to_owned()),
        local: table.value("local").address(),
        remotes,
        routes: prefixes(table, "routes"),
        leak_guard: esp::leak_guard(table, mode),
        netns: table.value("netns").netns().unwrap_or(Netns::Current),
        outer_netns: table.value("outer-netns").netns().unwrap_or(Netns::Current),
        mtu: table.value("mtu").narrow().map_or(Mtu::Auto, Mtu::Fixed),
        ttl: table.value("ttl").narrow().map_or(Ttl::Inherit, Ttl::Fixed),
        dscp: table
            .value("dscp")
            .narrow()
            .map_or(DscpOut::Inherit, DscpOut::Fixed),
        dscp_decap: if is_word(table, "dscp-decap", "copy") {
            DscpIn::Copy
        } else {
            DscpIn::Keep
        },
        ecn: ecn(table),
        df: df(table),
        mss_clamp: mss_clamp(table),
        gre: gre(table),
        warm: esp::warm(table, &addresses),
        tfc: esp::tfc(table),
        keepalive: keepalive(table, mode, &addresses),
        addresses,
        answer_keepalives: flag(table, "answer-keepalives"),
        on_dead,
        hook: if on_dead.hook { hook(table) } else { None },
        failback: table.value("failback").time(),
        damping: flag(table, "damping"),
        initial: if is_word(table, "initial", "up") {
            Initial::Up
        } else {
            Initial::Probing
        },
        offload: offload(table),
    }
}

/// The workers' binding to CPUs.
pub(super) fn pin(table: &Table) -> Pin {
    match table.value("pin").list() {
        Some(cpus) => Pin::Cpus(
            cpus.into_iter()
                .filter_map(|node| node.value.narrow())
                .collect(),
        ),
        None if is_word(table, "pin", "auto") => Pin::Auto,
        None => Pin::Off,
    }
}

pub(super) fn flag(table: &Table, key: &str) -> bool {
    table.value(key).flag().unwrap_or(false)
}

pub(super) fn is_word(table: &Table, key: &str, word: &str) -> bool {
    table.value(key).word() == Some(word)
}

/// The content of each element of the array.
pub(super) fn list<T>(table: &Table, key: &str, content: impl Fn(Value) -> Option<T>) -> Vec<T> {
    let nodes = table.value(key).list().unwrap_or_default();
    nodes
        .into_iter()
        .filter_map(|Node { value, .. }| content(value))
        .collect()
}

fn prefixes(table: &Table, key: &str) -> Vec<Prefix> {
    list(table, key, Value::prefix)
}

fn remotes(table: &Table) -> Vec<Remote> {
    match table.value("remote").remote() {
        Some(remote) => vec![remote],
        None => list(table, "remote", Value::remote),
    }
}

/// The networks of our side and of the peer's.
fn selectors(table: &Table) -> (Vec<Prefix>, Vec<Prefix>) {
    let given = || (prefixes(table, "local-ts"), prefixes(table, "remote-ts"));
    v1::selectors(table).unwrap_or_else(given)
}

fn ecn(table: &Table) -> Ecn {
    match table.value("ecn").word() {
        Some("compatibility") => Ecn::Compatibility,
        Some(_) | None => Ecn::Normal,
    }
}

fn df(table: &Table) -> Df {
    match table.value("df").word() {
        Some("clear") => Df::Clear,
        Some("copy") => Df::Copy,
        Some(_) | None => Df::Set,
    }
}

fn mss_clamp(table: &Table) -> MssClamp {
    let value = || table.value("mss-clamp");
    if let Some(families) = value().table() {
        return MssClamp::Fixed(tunnel::MssClamp {
            v4: families.value("ipv4").narrow(),
            v6: families.value("ipv6").narrow(),
        });
    }
    match value().narrow::<u16>() {
        Some(octets) => MssClamp::Fixed(tunnel::MssClamp {
            v4: Some(octets),
            v6: Some(octets.max(MSS_V6_MIN)),
        }),
        None if is_word(table, "mss-clamp", "auto") => MssClamp::Auto,
        None => MssClamp::Off,
    }
}

fn gre(table: &Table) -> Gre {
    let gre = table
        .value("gre")
        .table()
        .unwrap_or_else(|| Table::empty(Section::Gre));
    let key = |value: Value| value.narrow().map(GreKey);
    let (key_in, key_out) = match gre.value("key").table() {
        Some(keys) => (key(keys.value("in")), key(keys.value("out"))),
        None => (key(gre.value("key")), key(gre.value("key"))),
    };
    Gre {
        key_in,
        key_out,
        checksum: flag(&gre, "checksum"),
        sequence: flag(&gre, "sequence"),
    }
}

fn keepalive(table: &Table, mode: Mode, addresses: &[Prefix]) -> Option<Keepalive> {
    let keepalive = match table.value("keepalive").table() {
        Some(keepalive) => keepalive,
        None if flag(table, "keepalive") => Table::empty(Section::Keepalive),
        None => return None,
    };
    let profile = if is_word(&keepalive, "profile", "cisco") {
        Profile::Cisco
    } else {
        Profile::Huawei
    };
    Some(Keepalive {
        profile,
        period: keepalive
            .value("period")
            .time()
            .unwrap_or_else(|| profile.pace().period()),
        retries: keepalive
            .value("retries")
            .narrow()
            .unwrap_or(profile.pace().retries()),
        payload: flag(&keepalive, "payload"),
        accept_inner: list(&keepalive, "accept-inner", Value::address),
        target: esp::target(&keepalive, mode, addresses),
        accept_clear: flag(&keepalive, "accept-clear"),
    })
}

fn on_dead(table: &Table) -> OnDead {
    let words = list(table, "on-dead", Value::word);
    let has = |word| words.contains(&word);
    OnDead {
        carrier: has("carrier"),
        withdraw_routes: has("withdraw-routes"),
        admin_down: has("admin-down"),
        delete: has("delete"),
        hook: has("hook"),
    }
}

fn hook(table: &Table) -> Option<Hook> {
    let mut words = list(table, "hook", Value::text).into_iter();
    let program = words.next()?.into();
    Some(Hook {
        program,
        arguments: words.collect(),
        timeout: table.value("hook-timeout").time()?,
    })
}

fn offload(table: &Table) -> Offload {
    let Some(switches) = table.value("offload").table() else {
        let on = flag(table, "offload");
        return Offload {
            tso: on,
            uso: on,
            tcp_coalesce: on,
            udp_coalesce: on,
            udp_segmentation: if on {
                Segmentation::Auto
            } else {
                Segmentation::Off
            },
        };
    };
    Offload {
        tso: flag(&switches, "tso"),
        uso: flag(&switches, "uso"),
        tcp_coalesce: flag(&switches, "tcp-coalesce"),
        udp_coalesce: flag(&switches, "udp-coalesce"),
        udp_segmentation: esp::segmentation(&switches),
    }
}
