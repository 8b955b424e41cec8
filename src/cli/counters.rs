//! What `adit counters` prints: every number of a tunnel, and what each drop reason means.

use std::collections::BTreeMap;
use std::io::{self, Write};

use adit_proto::counters::{DropReason, Snapshot};
use serde::Serialize;

use super::table::{Align, Table};
use crate::control::{Status, TunnelStatus};

/// What `adit counters` shows of a tunnel.
#[derive(Debug, Serialize)]
pub(super) struct TunnelCounters<'a> {
    tunnel: &'a str,
    counters: &'a BTreeMap<String, u64>,
    drops: BTreeMap<&'static str, u64>,
    kernel_drops: &'a BTreeMap<String, u64>,
    dialects: &'a BTreeMap<String, u64>,
    unassigned_drops: &'a BTreeMap<String, u64>,
    ike: &'a BTreeMap<String, u64>,
}

impl<'a> TunnelCounters<'a> {
    /// Of one of the daemon's tunnels.
    pub(super) fn of(tunnel: &'a TunnelStatus, status: &'a Status) -> Self {
        let drops = DropReason::ALL.iter().map(|reason| {
            let count = tunnel.drops.get(reason.name()).copied().unwrap_or(0);
            (reason.name(), count)
        });
        Self {
            tunnel: &tunnel.name,
            counters: &tunnel.counters,
            drops: drops.collect(),
            kernel_drops: &tunnel.kernel_drops,
            dialects: &tunnel.dialects,
            unassigned_drops: &status.unassigned_drops,
            ike: &status.ike,
        }
    }

    /// Prints them for people.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.tunnel)?;
        let columns = [("", Align::Left), ("", Align::Right), ("", Align::Left)];
        let mut table = Table::new(&columns);
        let known = Snapshot::default();
        let (keepalives, traffic): (Vec<_>, Vec<_>) = known
            .traffic()
            .map(|(name, _)| (name, self.counters.get(name).copied().unwrap_or(0)))
            .partition(|(name, _)| name.starts_with("keepalive_"));
        section(&mut table, "keepalives", keepalives);
        section(&mut table, "traffic", traffic);
        section(
            &mut table,
            "dropped by the kernel",
            named(self.kernel_drops),
        );
        section(&mut table, "keepalive dialects", named(self.dialects));
        table.row(["dropped packets"]);
        for reason in DropReason::ALL {
            let count = self.drops.get(reason.name()).copied().unwrap_or(0);
            table.row([
                &format!("  {}", reason.name()),
                &count.to_string(),
                reason.describe(),
            ]);
        }
        section(
            &mut table,
            "dropped packets of no tunnel",
            named(self.unassigned_drops),
        );
        section(&mut table, "IKE of all tunnels", named(self.ike));
        table.print(2, out)
    }
}

fn named(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    counts
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect()
}

fn section(table: &mut Table, title: &str, numbers: Vec<(&str, u64)>) {
    if numbers.is_empty() {
        return;
    }
    table.row([title]);
    for (name, number) in numbers {
        table.row([format!("  {name}"), number.to_string()]);
    }
}
