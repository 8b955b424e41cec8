//! What the mode and the keys of IPsec demand of each other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use super::build::{source_for, warm_addresses};
use crate::config::checks::Tunnel;
use crate::config::report::Problem;
use crate::config::scalar::{one_of, quoted};
use crate::config::time::show_time;
use crate::config::types::{Family, Mode};
use crate::config::value::{Node, Table, Value};
use crate::io::address::Prefix;
use crate::io::netns::Netns;

const GRE: &[&str] = &["gre"];
const ESP: &[&str] = &["esp"];
const GRE_ESP: &[&str] = &["gre-esp"];
const WITH_ESP: &[&str] = &["esp", "gre-esp"];
const WITH_GRE: &[&str] = &["gre", "gre-esp"];

/// Keys that only some modes have.
const KEYS_OF_MODES: &[(&[&str], &[&str])] = &[
    (&["sa"], WITH_ESP),
    (&["ike"], WITH_ESP),
    (&["local-ts"], ESP),
    (&["remote-ts"], ESP),
    (&["failback"], GRE),
    (&["warm"], WITH_ESP),
    (&["tfc"], ESP),
    (&["udp", "nat"], WITH_ESP),
    (&["udp", "nat-keepalive"], WITH_ESP),
    (&["gre"], WITH_GRE),
    (&["keepalive", "profile"], WITH_GRE),
    (&["keepalive", "payload"], WITH_GRE),
    (&["keepalive", "accept-inner"], WITH_GRE),
    (&["keepalive", "target"], ESP),
    (&["keepalive", "accept-clear"], GRE_ESP),
];
const TWO_ENDS: &str = "no /30, /31, /126 or /127 of addresses tells the peer's address";

/// The checks within one tunnel.
pub(in crate::config) fn within(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    if tunnel.table.given("mode").is_none() || !tunnel.table.valid(&["mode"]) {
        return;
    }
    let misplaced = misplaced(tunnel, problems);
    static_sas(tunnel, problems);
    limits(tunnel, problems);
    tfc(tunnel, problems);
    without_effect(tunnel, problems);
    guard(tunnel, problems);
    if !misplaced && tunnel.table.valid(&["addresses"]) {
        target(tunnel, problems);
        warm(tunnel, problems);
        selectors(tunnel, problems);
    }
}

/// The value under this path of keys, if the file has it.
pub(in crate::config) fn given(table: &Table, path: &[&str]) -> Option<Node> {
    let (key, rest) = path.split_first()?;
    let node = table.given(key)?;
    if rest.is_empty() {
        return Some(node.clone());
    }
    given(&node.value.clone().table()?, rest)
}

/// Where the value under this path stands, or the nearest table around it that the file has.
pub(in crate::config) fn span(tunnel: &Tunnel, path: &[&str]) -> Range<usize> {
    let mut path = path;
    while let Some((_, around)) = path.split_last() {
        if let Some(node) = given(&tunnel.table, path) {
            return node.span;
        }
        path = around;
    }
    tunnel.table.span.clone()
}

pub(in crate::config) fn error(
    tunnel: &Tunnel,
    path: &[&str],
    words: &str,
    label: &str,
) -> Problem {
    let message = format!("{}: {words}", tunnel.place());
    Problem::error(message, span(tunnel, path), label)
}

pub(in crate::config) fn warning(
    tunnel: &Tunnel,
    path: &[&str],
    words: &str,
    label: &str,
) -> Problem {
    let message = format!("{}: {words}", tunnel.place());
    Problem::warning(message, span(tunnel, path), label)
}

/// Whether a key is there that the mode does not have.
fn misplaced(tunnel: &Tunnel, problems: &mut Vec<Problem>) -> bool {
    let mode = tunnel.config.mode.to_string();
    let mut found = false;
    for (path, modes) in KEYS_OF_MODES {
        if modes.contains(&mode.as_str()) || given(&tunnel.table, path).is_none() {
            continue;
        }
        // IKE asks the preferred remote whatever the mode.
        if *path == ["failback"] && tunnel.table.given("ike").is_some() {
            continue;
        }
        let words = format!("{} has no meaning with mode {mode:?}", path.join("."));
        let label = format!("needs mode {}", one_of(modes));
        problems.push(
            error(tunnel, path, &words, &label)
                .related(tunnel.span("mode"), "the mode")
                .help(format!("leave it out, or set mode to {}", one_of(modes))),
        );
        found = true;
    }
    found
}

fn static_sas(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let mode = tunnel.config.mode;
    if !mode.has_esp() {
        return;
    }
    if tunnel.table.given("ike").is_some() {
        return;
    }
    if tunnel.table.given("sa").is_none() {
        let words = format!("mode \"{mode}\" needs ike, or sa with static keys");
        let help = "add ike = { psk-file = \"FILE\", local-id = \"a.example\", remote-id = \"b.example\" }, with a key from adit keygen psk FILE";
        problems.push(error(tunnel, &["mode"], &words, "needs ike or sa").help(help));
    } else if tunnel.table.valid(&["sa"]) {
        let words = "static keys are never renewed: they are for benchmarks and tests";
        let help = "for other use write ike instead";
        problems.push(warning(tunnel, &["sa"], words, "static keys").help(help));
    }
    if let Some(sa) = &tunnel.config.sa
        && sa.out.key_file == sa.inbound.key_file
    {
        let words = format!(
            "sa.in.key-file {} is also sa.out.key-file: both directions count their nonces under one key",
            shown(&sa.inbound.key_file)
        );
        problems.push(
            error(tunnel, &["sa", "in", "key-file"], &words, "again")
                .related(span(tunnel, &["sa", "out", "key-file"]), "first here")
                .help("make a key for each direction: adit keygen FILE FILE"),
        );
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// A soft limit that the hard one does not let be reached.
fn limits(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    for key in ["packets", "octets", "time"] {
        let (soft, hard) = (["sa", "out", "soft", key], ["sa", "out", "hard", key]);
        let (Some(low), Some(high)) = (given(&tunnel.table, &soft), given(&tunnel.table, &hard))
        else {
            continue;
        };
        let (reached, low_shown, high_shown) = match (&low.value, &high.value) {
            (Value::Integer(low), Value::Integer(high)) => {
                (low < high, low.to_string(), high.to_string())
            }
            (Value::Time(low), Value::Time(high)) => {
                (low < high, show_time(*low), show_time(*high))
            }
            // A refused value is reported already.
            _ => continue,
        };
        if !reached {
            let words = format!(
                "sa.out.soft.{key} {low_shown} is not below sa.out.hard.{key} {high_shown}"
            );
            let problem = error(tunnel, &soft, &words, "never reached before the hard limit");
            problems.push(problem.related(high.span, "the hard limit"));
        }
    }
}

fn tfc(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let tfc = tunnel.table.value("tfc").table();
    if tfc.is_some_and(|tfc| tfc.entries.is_empty()) {
        let words = "tfc has neither pad nor dummies";
        problems.push(error(tunnel, &["tfc"], words, "pad, dummies or both"));
    }
}

fn without_effect(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let path = ["offload", "udp-segmentation"];
    let in_udp = tunnel.config.udp.is_some() || tunnel.table.given("ike").is_some();
    if !in_udp && stands(tunnel, &path) {
        let words = "offload.udp-segmentation has no effect without udp";
        problems.push(warning(tunnel, &path, words, "no effect"));
    }
    let path = ["udp", "nat-keepalive"];
    let ours = tunnel.config.udp.is_some_and(|udp| udp.nat.is_local());
    if tunnel.config.mode.has_esp() && !ours && stands(tunnel, &path) {
        let words = "udp.nat-keepalive has no effect unless udp.nat is \"local\" or \"both\"";
        problems.push(warning(tunnel, &path, words, "no effect"));
    }
}

fn guard(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let refused = tunnel.config.mode.has_esp() && !tunnel.config.leak_guard;
    if refused && tunnel.table.valid(&["leak-guard"]) {
        let words = "without leak-guard the traffic of routes may leave another way in clear while the tunnel is down";
        problems
            .push(warning(tunnel, &["leak-guard"], words, "no guard").help("leave leak-guard out"));
    }
}

/// Whom the echo probes go to, and from which of our addresses.
fn target(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let config = &tunnel.config;
    let Some(keepalive) = config.keepalive.as_ref() else {
        return;
    };
    if config.mode != Mode::Esp || !tunnel.table.valid(&["keepalive"]) {
        return;
    }
    let path = ["keepalive", "target"];
    let refused = given(&tunnel.table, &path).is_some_and(|node| is_refused(&node));
    if refused {
        return;
    }
    let Some(target) = keepalive.target else {
        let words = format!("keepalive.target missing: {TWO_ENDS}");
        problems.push(error(tunnel, &path, &words, "").help(
            "add keepalive = { target = \"ADDRESS\" }, an address of the peer inside the tunnel",
        ));
        return;
    };
    if let Err(words) = inside(
        &config.addresses,
        target,
        source_for(&config.addresses, target),
    ) {
        problems.push(error(
            tunnel,
            &path,
            &format!("keepalive.target {words}"),
            "",
        ));
    }
}

/// Whether the file has a value here that its kind admits.
pub(in crate::config) fn stands(tunnel: &Tunnel, path: &[&str]) -> bool {
    given(&tunnel.table, path).is_some_and(|node| !is_refused(&node))
}

fn is_refused(node: &Node) -> bool {
    matches!(node.value, Value::Invalid)
}

/// Whether `destination` is an address that can be reached from `source`, our own.
fn inside(addresses: &[Prefix], destination: IpAddr, source: Option<IpAddr>) -> Result<(), String> {
    if addresses.iter().any(|own| own.address == destination) {
        return Err(format!("{destination} is an address of the interface"));
    }
    let family = Family::of(destination);
    match source {
        Some(source) if Family::of(source) == family => Ok(()),
        Some(source) => Err(format!(
            "{destination} is {family}, but the source {source} is {}",
            Family::of(source)
        )),
        None => Err(format!(
            "{destination} is {family}, but addresses has no {family} address"
        )),
    }
}

/// Between whom warm packets go.
fn warm(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Some(warm) = tunnel.table.value("warm").table() else {
        return;
    };
    if !warm.valid(&["kind", "source", "destination"]) {
        return;
    }
    if warm.value("kind").word() == Some("dummy59") {
        for key in ["source", "destination"] {
            if warm.given(key).is_some() {
                let words = format!("warm.{key} has no effect with kind \"dummy59\"");
                problems.push(warning(tunnel, &["warm", key], &words, "no effect"));
            }
        }
        return;
    }
    let path = ["warm", "destination"];
    match warm_addresses(&warm, &tunnel.config.addresses) {
        (_, None) => {
            let words = format!("warm.destination missing: {TWO_ENDS}");
            problems.push(
                error(tunnel, &path, &words, "").help(
                    "add destination = \"ADDRESS\", an address of the peer inside the tunnel",
                ),
            );
        }
        (source, Some(destination)) => {
            if let Err(words) = inside(&tunnel.config.addresses, destination, source) {
                let words = format!("warm.destination {words}");
                problems.push(error(tunnel, &path, &words, ""));
            }
        }
    }
}

/// What is routed into the tunnel or sent by itself, and what its selectors let through.
fn selectors(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let config = &tunnel.config;
    if config.mode != Mode::Esp || !tunnel.table.valid(&["local-ts", "remote-ts", "routes"]) {
        return;
    }
    let holds = |selectors: &[Prefix], prefix: &Prefix| {
        selectors
            .iter()
            .any(|selector| selector.length <= prefix.length && selector.contains(prefix.address))
    };
    for route in &config.routes {
        if !holds(&config.remote_ts, route) {
            let words =
                format!("routes {route} is not within remote-ts: what leaves it is dropped");
            problems.push(warning(tunnel, &["routes"], &words, "not within remote-ts"));
        }
    }
    let keepalive = config.keepalive.as_ref();
    if let Some(target) = keepalive.and_then(|keepalive| keepalive.target) {
        if !holds(&config.remote_ts, &Prefix::host(target)) {
            let words = format!(
                "keepalive.target {target} is not within remote-ts: the peer never answers"
            );
            problems.push(error(
                tunnel,
                &["keepalive", "target"],
                &words,
                "not within remote-ts",
            ));
        }
        if let Some(source) = config.source_for(target)
            && !holds(&config.local_ts, &Prefix::host(source))
        {
            let words = format!(
                "addresses {source} sends keepalives, but is not within local-ts: the peer never answers"
            );
            problems.push(error(tunnel, &["addresses"], &words, "not within local-ts"));
        }
    }
}

/// The checks between tunnels: what tells their packets apart, and what each has for itself.
pub(in crate::config) fn between(tunnels: &[Tunnel], problems: &mut Vec<Problem>) {
    let mut spis: BTreeMap<(&Netns, u32), &Tunnel> = BTreeMap::new();
    let mut key_files: BTreeMap<&Path, (&Tunnel, Range<usize>)> = BTreeMap::new();
    let mut ports: BTreeMap<(&Netns, u16), &Tunnel> = BTreeMap::new();
    for tunnel in tunnels {
        let config = &tunnel.config;
        if tunnel.table.valid(&["mode", "udp", "outer-netns"])
            && let Some(udp) = config.udp
        {
            let first = *ports
                .entry((&config.outer_netns, udp.port))
                .or_insert(tunnel);
            if first.config.mode.has_esp() != config.mode.has_esp() {
                problems.push(shared_port(tunnel, first, udp.port));
            }
        }
        let Some(sa) = &config.sa else { continue };
        let path = ["sa", "in", "spi"];
        if tunnel.table.valid(&["outer-netns"])
            && let Some(first) = spis.insert((&config.outer_netns, sa.inbound.spi), tunnel)
        {
            let words = format!(
                "sa.in.spi {:#x} is also that of {}",
                sa.inbound.spi,
                first.place()
            );
            let problem = error(tunnel, &path, &words, "again");
            problems.push(problem.related(span(first, &path), "first here"));
        }
        let (out, inbound) = (["sa", "out", "key-file"], ["sa", "in", "key-file"]);
        for (path, file) in [(out, &sa.out.key_file), (inbound, &sa.inbound.key_file)] {
            let here = span(tunnel, &path);
            let Some((first, there)) = key_files.insert(file, (tunnel, here)) else {
                continue;
            };
            if !std::ptr::eq(first, tunnel) {
                let words = format!(
                    "{} {} is also a key file of {}",
                    path.join("."),
                    shown(file),
                    first.place()
                );
                problems.push(
                    error(tunnel, &path, &words, "again")
                        .related(there, "first here")
                        .help("make a key for each direction of each tunnel: adit keygen FILE"),
                );
            }
        }
    }
}

fn shared_port(tunnel: &Tunnel, first: &Tunnel, port: u16) -> Problem {
    let carries = |tunnel: &Tunnel| match tunnel.config.mode {
        Mode::Gre => "GRE",
        Mode::Esp | Mode::GreEsp => "ESP",
    };
    let words = format!(
        "udp.port {port} is to carry {}, but carries {} for {}",
        carries(tunnel),
        carries(first),
        first.place()
    );
    error(tunnel, &["udp", "port"], &words, "again")
        .related(span(first, &["udp", "port"]), "first here")
        .help("give ESP and GRE a port each")
}
