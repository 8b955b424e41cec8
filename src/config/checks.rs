//! What one key demands of another: within a tunnel, between tunnels, and the warnings.

use std::collections::BTreeMap;
use std::ops::Range;

use adit_proto::wire::gre::GreKey;

use super::keys::PROFILE_PERIOD_MIN;
use super::report::Problem;
use super::scalar::{self, quoted};
use super::time::show_time;
use super::types::{Family, Mode, Mtu, Pin, Remote, TunnelConfig};
use super::value::{Table, Value};
use crate::io::netns::Netns;

/// The largest IP packet without jumbograms: IPv4's total length and IPv6's payload length (RFC 791 §3.1, RFC 8200 §3), in octets.
const LENGTH_MAX: usize = 65_535;

/// A tunnel and the table that it comes from.
pub(super) struct Tunnel {
    pub(super) config: TunnelConfig,
    pub(super) table: Table,
}

impl Tunnel {
    pub(super) fn place(&self) -> String {
        format!("tunnel {}", quoted(&self.config.name))
    }

    /// Where the key stands, or the tunnel's heading.
    pub(super) fn span(&self, key: &str) -> Range<usize> {
        self.table
            .given(key)
            .map_or_else(|| self.table.span.clone(), |node| node.span.clone())
    }

    /// Where this remote stands.
    fn remote_span(&self, remote: &Remote) -> Range<usize> {
        let nodes = self.table.value("remote").list().unwrap_or_default();
        let node = nodes
            .into_iter()
            .find(|node| node.value.identity() == Some(remote.to_string()));
        node.map_or_else(|| self.span("remote"), |node| node.span)
    }

    fn error(&self, key: &str, words: &str, label: &str) -> Problem {
        Problem::error(format!("{}: {words}", self.place()), self.span(key), label)
    }

    fn warning(&self, key: &str, words: &str, label: &str) -> Problem {
        Problem::warning(format!("{}: {words}", self.place()), self.span(key), label)
    }
}

/// The checks of the keys at the top of the file.
pub(super) fn top(table: &Table, workers: u16, pin: &Pin, problems: &mut Vec<Problem>) {
    let Pin::Cpus(cpus) = pin else { return };
    if !table.valid(&["workers", "pin"]) || cpus.len() == usize::from(workers) {
        return;
    }
    if let Some(node) = table.given("pin") {
        let message = format!("pin names {} CPUs, workers is {workers}", cpus.len());
        problems.push(Problem::error(
            message,
            node.span.clone(),
            "one CPU for each worker",
        ));
    }
}

/// The checks within one tunnel.
pub(super) fn within(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    interface(tunnel, problems);
    families(tunnel, problems);
    mtu(tunnel, problems);
    empty_tables(tunnel, problems);
    period(tunnel, problems);
    hook(tunnel, problems);
    failback(tunnel, problems);
    recursion(tunnel, problems);
    liveness(tunnel, problems);
}

fn interface(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let name = &tunnel.config.name;
    if tunnel.table.given("interface").is_some() {
        return;
    }
    if let Err(fault) = scalar::interface(name) {
        let words = format!("interface {}", fault.words);
        problems.push(
            tunnel
                .error("interface", &words, "")
                .help("the tunnel's name does not do: add interface = \"NAME\""),
        );
    }
}

fn families(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Some(local) = tunnel.config.local else {
        return;
    };
    for remote in &tunnel.config.remotes {
        let span = tunnel.remote_span(remote);
        let Remote::Address(remote) = remote else {
            continue;
        };
        if *remote == local {
            let message = format!("{}: remote {remote} is the local address", tunnel.place());
            problems.push(Problem::error(message, span, "the local address"));
        } else if Family::of(*remote) != Family::of(local) {
            let (theirs, ours) = (
                Family::of(*remote).to_string(),
                Family::of(local).to_string(),
            );
            let message = format!(
                "{}: remote {remote} is {theirs}, but local {local} is {ours}",
                tunnel.place()
            );
            problems
                .push(Problem::error(message, span, theirs).related(tunnel.span("local"), ours));
        }
    }
}

fn mtu(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Mtu::Fixed(mtu) = tunnel.config.mtu else {
        return;
    };
    for family in tunnel.config.outer_families() {
        let overhead = tunnel.config.overhead(family);
        let path = match family {
            Family::Ipv4 => LENGTH_MAX,
            // IPv6's length does not count its header.
            Family::Ipv6 => LENGTH_MAX + family.header_octets(),
        };
        let maximum = overhead.inner_max(path);
        if usize::from(mtu) > maximum {
            let words = format!(
                "mtu {mtu} above maximum {maximum}: {} octets of overhead over {family}",
                overhead.octets()
            );
            problems.push(tunnel.error("mtu", &words, &format!("maximum {maximum}")));
        }
    }
}

/// Tables that say nothing without a key, where a user meant something.
fn empty_tables(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let empty = |value: Value| value.table().is_some_and(|table| table.entries.is_empty());
    if let Some(gre) = tunnel.table.value("gre").table()
        && empty(gre.value("key"))
    {
        problems.push(tunnel.error("gre", "gre.key has neither in nor out", "in, out or both"));
    }
    if empty(tunnel.table.value("mss-clamp")) {
        problems.push(tunnel.error(
            "mss-clamp",
            "mss-clamp has neither ipv4 nor ipv6",
            "ipv4, ipv6 or both",
        ));
    }
}

fn period(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Some(keepalive) = tunnel.table.value("keepalive").table() else {
        return;
    };
    let (Some(profile), Some(period)) = (keepalive.given("profile"), keepalive.given("period"))
    else {
        return;
    };
    if let (Value::Word(name), Value::Time(time)) = (&profile.value, &period.value)
        && *time < PROFILE_PERIOD_MIN
    {
        let (place, time, min) = (
            tunnel.place(),
            show_time(*time),
            show_time(PROFILE_PERIOD_MIN),
        );
        let message =
            format!("{place}: keepalive.period {time} below minimum {min} of profile {name:?}");
        let problem = Problem::error(message, period.span.clone(), format!("minimum {min}"));
        let problem = problem.related(profile.span.clone(), "the profile");
        problems.push(problem.help("leave the profile out to go below a router's range"));
    }
}

fn hook(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let table = &tunnel.table;
    if !table.valid(&["on-dead", "hook"]) {
        return;
    }
    let needed = tunnel.config.on_dead.hook;
    if needed && table.given("hook").is_none() {
        let problem = tunnel.error(
            "on-dead",
            "on-dead has \"hook\", but hook is missing",
            "needs hook",
        );
        problems.push(problem.help("add hook = [\"/path/to/program\"]"));
    }
    for key in ["hook", "hook-timeout"] {
        if !needed && table.given(key).is_some() {
            let words = format!("{key} is set, but on-dead does not have \"hook\"");
            problems.push(
                tunnel
                    .error(key, &words, "never runs")
                    .help("add \"hook\" to on-dead"),
            );
        }
    }
    if let Some(hook) = &tunnel.config.hook
        && let Err(fault) =
            scalar::absolute_path(&hook.program.to_string_lossy(), scalar::PATH_OCTETS)
    {
        problems.push(tunnel.error("hook", &format!("hook {}", fault.words), &fault.label));
    }
}

fn failback(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let remotes = tunnel.config.remotes.len();
    if tunnel.table.given("failback").is_some() && remotes == 1 {
        problems.push(tunnel.error(
            "failback",
            "failback needs 2 remotes, there is 1",
            "minimum 2 remotes",
        ));
    }
}

/// A route into the tunnel that its own packets would take; only where interface and sockets share a namespace.
fn recursion(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let config = &tunnel.config;
    if config.netns != config.outer_netns {
        return;
    }
    for (key, prefixes) in [("routes", &config.routes), ("addresses", &config.addresses)] {
        for remote in &config.remotes {
            let span = tunnel.remote_span(remote);
            let Remote::Address(remote) = remote else {
                continue;
            };
            if let Some(prefix) = prefixes.iter().find(|prefix| prefix.contains(*remote)) {
                let words = format!(
                    "{key} {prefix} holds the remote {remote}: the tunnel's own packets may be routed into it"
                );
                let problem = tunnel
                    .warning(key, &words, "holds the remote")
                    .related(span, "the remote");
                problems.push(
                    problem.help("keep a more specific route to the remote, or set outer-netns"),
                );
            }
        }
    }
}

fn liveness(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    if tunnel.config.keepalive.is_some() || !tunnel.table.valid(&["keepalive"]) {
        return;
    }
    if tunnel.table.given("ike").is_some() {
        return;
    }
    let words = "without keepalive the tunnel goes up at once and never drops when the peer dies";
    problems.push(
        tunnel
            .warning("keepalive", words, "no keepalive")
            .help("add keepalive = true"),
    );
    for key in ["on-dead", "failback", "damping", "initial"] {
        if tunnel.table.given(key).is_some() && tunnel.table.valid(&[key]) {
            let words = format!("{key} has no effect without keepalive");
            problems.push(tunnel.warning(key, &words, "no effect"));
        }
    }
    let remotes = tunnel.config.remotes.len();
    if remotes > 1 {
        let words = format!("{remotes} remotes, but without keepalive the first is never left");
        problems.push(tunnel.warning("remote", &words, "no failover"));
    }
}

/// What tells GRE packets apart: namespace, UDP port, remote and key.
type Inbound<'a> = (&'a Netns, Option<u16>, String, Option<GreKey>);

/// The checks between tunnels: interfaces, and what tells their packets apart.
pub(super) fn between(tunnels: &[Tunnel], problems: &mut Vec<Problem>) {
    let mut interfaces: BTreeMap<(&Netns, &str), &Tunnel> = BTreeMap::new();
    let mut inbound: BTreeMap<Inbound<'_>, &Tunnel> = BTreeMap::new();
    for tunnel in tunnels {
        let config = &tunnel.config;
        if tunnel.table.valid(&["interface", "netns"])
            && let Some(first) =
                interfaces.insert((&config.netns, config.interface.as_str()), tunnel)
        {
            let words = format!(
                "interface {} is also that of {}",
                quoted(&config.interface),
                first.place()
            );
            problems.push(
                tunnel
                    .error("interface", &words, "again")
                    .related(first.span("interface"), "first here"),
            );
        }
        // ESP is told apart by its SPI.
        if config.mode != Mode::Gre
            || !tunnel
                .table
                .valid(&["mode", "remote", "gre", "udp", "outer-netns"])
        {
            continue;
        }
        let port = config.udp.map(|udp| udp.port);
        for remote in &config.remotes {
            let same = (
                &config.outer_netns,
                port,
                remote.to_string(),
                config.gre.key_in,
            );
            if let Some(first) = inbound.insert(same, tunnel) {
                problems.push(same_inbound(tunnel, first, remote));
            }
        }
    }
}

fn same_inbound(tunnel: &Tunnel, first: &Tunnel, remote: &Remote) -> Problem {
    let key = tunnel
        .config
        .gre
        .key_in
        .map_or("no key".to_owned(), |key| format!("key {}", key.0));
    let words = format!(
        "packets from {remote} with {key} also belong to {}",
        first.place()
    );
    let message = format!("{}: {words}", tunnel.place());
    let problem = Problem::error(message, tunnel.remote_span(remote), "again");
    problem
        .related(first.remote_span(remote), "first here")
        .help("give each tunnel its own gre.key")
}
