//! What `adit status` prints: a block for one tunnel, a line each for many.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::ike;
use super::table::{Align, Table};
use super::units;
use crate::control::report::{EspStatus, KeepaliveStatus};
use crate::control::{Status, TunnelStatus};

/// Traffic counters at an earlier time, by tunnel, from which rates are computed.
#[derive(Clone, Debug, Default)]
pub(super) struct Earlier {
    /// How long ago.
    pub age: Duration,
    /// The daemon's answer of that time.
    pub tunnels: Vec<TunnelStatus>,
}

/// Prints the daemon's line, then its only tunnel (or each, where `in_full`) as a block, or a table of many.
///
/// # Errors
/// Those of `out`.
pub(super) fn print_status(
    status: &Status,
    in_full: bool,
    earlier: Option<&Earlier>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let tunnels = units::count(status.tunnels.len() as u64, "tunnel");
    writeln!(
        out,
        "adit {}, process {}, {tunnels}",
        status.version, status.pid
    )?;
    for warning in &status.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    if !status.unassigned_drops.is_empty() {
        let drops = listed(&status.unassigned_drops);
        writeln!(out, "dropped packets of no tunnel: {drops}")?;
    }
    if in_full || status.tunnels.len() < 2 {
        for tunnel in &status.tunnels {
            let before = earlier.and_then(|earlier| {
                let same = earlier
                    .tunnels
                    .iter()
                    .find(|before| before.name == tunnel.name)?;
                Some((same, earlier.age))
            });
            writeln!(out)?;
            print_tunnel(tunnel, before, out)?;
        }
        return Ok(());
    }
    writeln!(out)?;
    print_overview(status, out)
}

fn print_overview(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        ("TUNNEL", Align::Left),
        ("STATE", Align::Left),
        ("FOR", Align::Right),
        ("PEER", Align::Left),
        ("RTT", Align::Right),
        ("LOST", Align::Right),
        ("MTU", Align::Right),
        ("DETECTS IN", Align::Right),
        ("DROPS", Align::Right),
        ("WHY", Align::Left),
    ]);
    for tunnel in &status.tunnels {
        let keepalive = tunnel.keepalive.as_ref();
        let drops: u64 = tunnel
            .drops
            .values()
            .chain(tunnel.kernel_drops.values())
            .sum();
        table.row([
            tunnel.name.clone(),
            tunnel.state.clone(),
            units::millis(tunnel.state_ms),
            peer(tunnel),
            or_dash(
                keepalive
                    .and_then(|keepalive| keepalive.rtt_us)
                    .map(units::micros),
            ),
            or_dash(keepalive.map(loss)),
            or_dash(tunnel.mtu.map(|mtu| mtu.to_string())),
            tunnel
                .worst_case_ms
                .map_or_else(|| "never".to_owned(), units::millis),
            drops.to_string(),
            tunnel
                .reason
                .clone()
                .or_else(|| tunnel.last_error.clone())
                .unwrap_or_default(),
        ]);
    }
    table.print(0, out)
}

fn print_tunnel(
    tunnel: &TunnelStatus,
    before: Option<(&TunnelStatus, Duration)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}  {}", tunnel.name, state(tunnel))?;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
    table.row(["interface", &interface(tunnel)]);
    table.row(["peer", &full_peer(tunnel)]);
    table.row(["MTU", &mtu(tunnel)]);
    if let Some(esp) = &tunnel.esp {
        table.row(["ESP", &esp_line(esp)]);
    }
    if let Some(ike) = &tunnel.ike {
        ike::rows(ike, &mut table);
    }
    match &tunnel.keepalive {
        Some(keepalive) => {
            table.row(["keepalive", &keepalive_line(keepalive)]);
            if let Some(rtt) = round_trips(keepalive) {
                table.row(["round trip", &rtt]);
            }
        }
        None if watches_by_dpd(tunnel) => table.row(["keepalive", "off"]),
        None => table.row(["keepalive", "off: a dead peer is not noticed"]),
    }
    if let Some(worst) = tunnel.worst_case_ms {
        let deaths = match tunnel.deaths {
            0 => "none so far".to_owned(),
            n => format!("{} so far", units::count(n, "death")),
        };
        table.row([
            "detection",
            &format!(
                "{} after the peer's death at worst; {deaths}",
                units::millis(worst)
            ),
        ]);
    }
    table.row(["inbound", &traffic(tunnel, before, "inbound")]);
    table.row(["outbound", &traffic(tunnel, before, "outbound")]);
    if !tunnel.offload.is_empty() {
        table.row(["offload", &offload(tunnel)]);
    }
    table.row(["dropped", &or_none(&tunnel.drops)]);
    table.row(["by kernel", &or_none(&tunnel.kernel_drops)]);
    if !tunnel.dialects.is_empty() {
        table.row(["dialects", &listed(&tunnel.dialects)]);
    }
    if let Some(error) = &tunnel.last_error {
        table.row(["last error", error]);
    }
    table.print(2, out)
}

fn watches_by_dpd(tunnel: &TunnelStatus) -> bool {
    tunnel.ike.as_ref().is_some_and(|ike| ike.dpd.is_some())
}

/// The state, since when, and why.
pub(super) fn state(tunnel: &TunnelStatus) -> String {
    let mut text = format!("{} for {}", tunnel.state, units::millis(tunnel.state_ms));
    if let Some(reason) = &tunnel.reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}

fn interface(tunnel: &TunnelStatus) -> String {
    let mut text = format!("{}, {}", tunnel.interface, tunnel.mode);
    if let Some(netns) = &tunnel.netns {
        text.push_str(&format!(", in namespace {netns}"));
    }
    if tunnel.outer_netns != tunnel.netns {
        match &tunnel.outer_netns {
            Some(outer) => text.push_str(&format!(", sockets in namespace {outer}")),
            None => text.push_str(", sockets in the daemon's namespace"),
        }
    }
    text
}

fn peer(tunnel: &TunnelStatus) -> String {
    let configured = tunnel.remotes.get(tunnel.remote_index).cloned();
    or_dash(
        tunnel
            .remote
            .map(|remote| remote.to_string())
            .or(configured),
    )
}

fn full_peer(tunnel: &TunnelStatus) -> String {
    let local = tunnel
        .local
        .map_or_else(|| "no address".to_owned(), |local| local.to_string());
    let mut text = format!("{} from {local}", peer(tunnel));
    if tunnel.remotes.len() > 1 {
        let (index, all) = (tunnel.remote_index + 1, tunnel.remotes.join(", "));
        text.push_str(&format!("; number {index} of {all}"));
    }
    text
}

fn mtu(tunnel: &TunnelStatus) -> String {
    let inner = or_dash(tunnel.mtu.map(|mtu| mtu.to_string()));
    let path = tunnel
        .path_mtu
        .map_or_else(|| "unknown".to_owned(), |mtu| mtu.to_string());
    format!("{inner}; path {path}, overhead {}", tunnel.overhead)
}

fn esp_line(esp: &EspStatus) -> String {
    let mut text = format!(
        "{}, SPI out {:#x} next {}, SPI in {:#x} newest {}",
        esp.suite, esp.spi_out, esp.next_seq, esp.spi_in, esp.newest_seq
    );
    if let Some(peer) = esp.peer {
        text.push_str(&format!("; the peer is at {peer}"));
    }
    text
}

fn keepalive_line(keepalive: &KeepaliveStatus) -> String {
    let proof = keepalive.since_last_proof_ms.map_or_else(
        || "never answered".to_owned(),
        |ago| format!("last answer {} ago", units::millis(ago)),
    );
    format!(
        "every {}, dead after {} unanswered, {proof}, lost {}",
        units::millis(keepalive.period_ms),
        keepalive.retries,
        loss(keepalive),
    )
}

fn loss(keepalive: &KeepaliveStatus) -> String {
    let permille = keepalive
        .lost
        .saturating_mul(1000)
        .checked_div(keepalive.sent)
        .unwrap_or(0);
    format!(
        "{} of {} ({}.{} %)",
        keepalive.lost,
        keepalive.sent,
        permille / 10,
        permille % 10
    )
}

fn round_trips(keepalive: &KeepaliveStatus) -> Option<String> {
    let known = [
        ("last", keepalive.rtt_us),
        ("min", keepalive.rtt_min_us),
        ("mean", keepalive.rtt_mean_us),
        ("max", keepalive.rtt_max_us),
    ];
    let shown: Vec<String> = known
        .iter()
        .filter_map(|(name, rtt)| rtt.map(|rtt| format!("{name} {}", units::micros(rtt))))
        .collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn traffic(
    tunnel: &TunnelStatus,
    before: Option<(&TunnelStatus, Duration)>,
    direction: &str,
) -> String {
    let (packets, octets) = (
        format!("{direction}_packets"),
        format!("{direction}_octets"),
    );
    let mut text = format!(
        "{}, {}",
        units::count(counter(tunnel, &packets), "packet"),
        units::octets(counter(tunnel, &octets)),
    );
    if let Some((before, age)) = before {
        let since = |name: &str| counter(tunnel, name).saturating_sub(counter(before, name));
        let rate = u128::from(since(&packets)) * 1000 / age.as_millis().max(1);
        text.push_str(&format!(
            "; {rate} packets/s, {}",
            units::bit_rate(since(&octets), age)
        ));
    }
    text
}

fn counter(tunnel: &TunnelStatus, name: &str) -> u64 {
    tunnel.counters.get(name).copied().unwrap_or(0)
}

fn offload(tunnel: &TunnelStatus) -> String {
    let switches: Vec<String> = tunnel
        .offload
        .iter()
        .map(|(name, on)| format!("{name} {}", if *on { "on" } else { "off" }))
        .collect();
    switches.join(", ")
}

fn or_none(counts: &BTreeMap<String, u64>) -> String {
    match listed(counts) {
        text if text.is_empty() => "none".to_owned(),
        text => text,
    }
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    counts.join(", ")
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
