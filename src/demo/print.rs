//! What the demo tells people: a picture, a line for each step with the time on the left, small tables.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use adit_proto::counters::DropReason;

use super::measure::{Kept, Outage, Recovery};
use super::ping::Pinged;
use crate::cli::table::{Align, Table};
use crate::cli::units;
use crate::control::TunnelStatus;
use crate::sites::Moved;
use crate::sites::Side;

const PICTURE: &str = "\
adit demo: two sites, a GRE tunnel, a wire that is cut and mended

  .------ site west ------.                           .------ site east ------.
  |      10.10.0.0/16     |                           |      10.20.0.0/16     |
  |      fd00:10::/64     |                           |      fd00:20::/64     |
  |           |           |                           |           |           |
  | to-east   10.9.0.1    |==== GRE with key 42, =====|    10.9.0.2   to-west |
  |           fd00:9::1   |==== checksum, sequence ===|    fd00:9::2          |
  | wire      192.0.2.1   |---------- veth -----------|    192.0.2.2  wire    |
  '-----------------------'                           '-----------------------'

";
const INDENT: usize = 11;
const TWO_SITES: [(&str, Align); 3] = [
    ("", Align::Left),
    ("west", Align::Right),
    ("east", Align::Right),
];

/// Tells the story as it happens; says nothing at all when machines listen.
pub(super) struct Teller<'a> {
    out: &'a mut dyn Write,
    silent: bool,
    terminal: bool,
    started: Instant,
}

impl<'a> Teller<'a> {
    /// Tells it to `out`; the time on the left runs from here.
    pub(super) fn new(out: &'a mut dyn Write, silent: bool, terminal: bool) -> Self {
        Self {
            out,
            silent,
            terminal,
            started: Instant::now(),
        }
    }

    /// How long it has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows who is connected to whom.
    pub(super) fn picture(&mut self) -> io::Result<()> {
        self.write(PICTURE)
    }

    /// Tells one step.
    pub(super) fn say(&mut self, what: impl Display) -> io::Result<()> {
        let seconds = self.elapsed().as_secs_f64();
        self.write(&format!("{}{seconds:7.2} s  {what}\n", self.over()))
    }

    /// Tells more of the last step.
    pub(super) fn detail(&mut self, what: impl Display) -> io::Result<()> {
        self.write(&format!("{:INDENT$}{what}\n", ""))
    }

    /// Shows how a step goes on, on a terminal and until the next line.
    pub(super) fn progress(&mut self, what: impl Display) -> io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        let seconds = self.elapsed().as_secs_f64();
        self.write(&format!("{}{seconds:7.2} s  {what}", self.over()))
    }

    /// Shows each round trip.
    pub(super) fn pings(&mut self, pings: &[Pinged]) -> io::Result<()> {
        let columns = [("", Align::Left), ("", Align::Right), ("", Align::Right)];
        let mut table = Table::new(&columns);
        for ping in pings {
            let mean = ping.mean_us().map_or_else(|| "-".to_owned(), units::micros);
            table.row([
                format!("{} -> {}", ping.source, ping.destination),
                format!("{} of {} answered", ping.rtt_us.len(), ping.sent),
                format!("in {mean}"),
            ]);
        }
        self.table(&table)
    }

    /// Shows when each site noticed the cut.
    pub(super) fn outage(&mut self, outage: &BTreeMap<Side, Outage>) -> io::Result<()> {
        let mut table = Table::new(&[
            ("", Align::Left),
            ("west", Align::Right),
            ("east", Align::Right),
            ("computed worst case", Align::Right),
        ]);
        let bound = outage
            .values()
            .map(|outage| outage.worst_case_ms)
            .max()
            .unwrap_or(0);
        let bound = units::millis(bound);
        let mut row = |what: &str, after: &dyn Fn(&Outage) -> Option<u64>| {
            let [west, east] = two(outage, |_, outage| after(outage));
            table.row([what.to_owned(), west, east, bound.clone()]);
        };
        row("forwarding stopped after", &|outage| outage.forwarding_us);
        row("carrier dropped after", &|outage| outage.carrier_us);
        for (is_v6, family) in [(false, "IPv4"), (true, "IPv6")] {
            let after = |outage: &Outage| route_of(&outage.routes_us, is_v6);
            row(&format!("{family} route left the table after"), &after);
        }
        self.table(&table)?;
        for (side, outage) in outage {
            if let (Some(reason), Some(proof)) = (&outage.reason, outage.since_last_proof_ms) {
                let proof = units::millis(proof);
                self.detail(format!(
                    "{}: {reason}, last answer {proof} before",
                    side.name()
                ))?;
            }
            if let Some(refused) = &outage.refused {
                let destination = side
                    .other()
                    .hosts()
                    .map(|host| host.to_string())
                    .join(" or ");
                self.detail(format!(
                    "{}: a packet to {destination} is refused: {refused}",
                    side.name()
                ))?;
            }
        }
        Ok(())
    }

    /// Shows when each site noticed that the wire was mended.
    pub(super) fn recovery(&mut self, recovery: &BTreeMap<Side, Recovery>) -> io::Result<()> {
        let mut table = Table::new(&TWO_SITES);
        let mut row = |what: &str, after: &dyn Fn(&Recovery) -> Option<u64>| {
            let [west, east] = two(recovery, |_, recovery| after(recovery));
            table.row([what.to_owned(), west, east]);
        };
        row("forwarding again after", &|recovery| recovery.forwarding_us);
        row("carrier back after", &|recovery| recovery.carrier_us);
        for (is_v6, family) in [(false, "IPv4"), (true, "IPv6")] {
            let after = |recovery: &Recovery| route_of(&recovery.routes_us, is_v6);
            row(&format!("{family} route back after"), &after);
        }
        self.table(&table)
    }

    /// Shows both sites' counters, and what each drop reason means that occurred.
    pub(super) fn counters(&mut self, tunnels: &BTreeMap<Side, TunnelStatus>) -> io::Result<()> {
        let mut table = Table::new(&TWO_SITES);
        let mut row = |what: &str, number: &dyn Fn(&TunnelStatus) -> u64| {
            let [west, east] =
                Side::BOTH.map(|side| tunnels.get(&side).map_or(0, number).to_string());
            table.row([what.to_owned(), west, east]);
        };
        for name in [
            "outbound_packets",
            "outbound_octets",
            "inbound_packets",
            "inbound_octets",
            "keepalive_requests_sent",
            "keepalive_responses_received",
            "keepalive_requests_received",
            "keepalive_responses_sent",
        ] {
            let number = |tunnel: &TunnelStatus| tunnel.counters.get(name).copied().unwrap_or(0);
            row(&name.replace('_', " "), &number);
        }
        let mut occurred = Vec::new();
        for reason in DropReason::ALL {
            let number =
                |tunnel: &TunnelStatus| tunnel.drops.get(reason.name()).copied().unwrap_or(0);
            if tunnels.values().any(|tunnel| number(tunnel) > 0) {
                row(&format!("dropped: {}", reason.name()), &number);
                occurred.push(format!("{}: {}", reason.name(), reason.describe()));
            }
        }
        row("dropped by the kernel", &|tunnel| {
            tunnel.kernel_drops.values().sum()
        });
        self.table(&table)?;
        occurred
            .into_iter()
            .try_for_each(|meaning| self.detail(meaning))
    }

    /// Says how to play with what `--keep` left, and how to remove it.
    pub(super) fn kept(&mut self, kept: &Kept) -> io::Result<()> {
        let program = std::env::current_exe().unwrap_or_else(|_| "adit".into());
        let adit = program.display();
        self.write("\nBoth sites are still up. To play with them:\n")?;
        for (side, site) in &kept.sites {
            let [v4, v6] = side.other().hosts();
            let (enter, socket) = (&site.enter, site.socket.display());
            let tunnel = side.tunnel();
            self.write(&format!(
                "\n  site {}\n    {enter} ping {v4}\n    {enter} ping {v6}\n    {enter} ip route\n    {adit} status --watch \
                 --socket {socket}\n    {adit} counters {tunnel} --socket {socket}\n    {adit} events --socket {socket}\n",
                side.name()
            ))?;
        }
        if let Some(east) = kept.sites.get(&Side::East) {
            let enter = &east.enter;
            self.write(&format!(
                "\n  cut the wire, and mend it\n    {enter} ip link set wire down\n    {enter} ip link set wire up\n"
            ))?;
        }
        self.write(&format!("\nTo remove them:\n    {}\n", kept.remove))
    }

    fn table(&mut self, table: &Table) -> io::Result<()> {
        let mut text = Vec::new();
        table.print(INDENT, &mut text)?;
        self.write(&String::from_utf8_lossy(&text))
    }

    /// Back over a progress line.
    fn over(&self) -> &'static str {
        if self.terminal { "\r\x1b[K" } else { "" }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// `12.3 Gb/s, 6.15 GB in 4.00 s`.
pub(super) fn throughput(moved: &Moved) -> String {
    let time = Duration::from_micros(moved.time_us);
    format!(
        "{}, {} in {}",
        units::bit_rate(moved.octets, time),
        units::octets(moved.octets),
        units::duration(time),
    )
}

fn two<T>(sites: &BTreeMap<Side, T>, time: impl Fn(Side, &T) -> Option<u64>) -> [String; 2] {
    Side::BOTH.map(|side| {
        let us = sites.get(&side).and_then(|site| time(side, site));
        us.map_or_else(|| "never".to_owned(), units::micros)
    })
}

fn route_of(routes: &BTreeMap<String, u64>, is_v6: bool) -> Option<u64> {
    let mut of_family = routes
        .iter()
        .filter(|(route, _)| route.contains(':') == is_v6);
    of_family.next().map(|(_, us)| *us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(terminal: bool, silent: bool, tell: impl FnOnce(&mut Teller<'_>)) -> String {
        let mut out = Vec::new();
        tell(&mut Teller::new(&mut out, silent, terminal));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn progress_is_for_terminals_and_silence_for_machines() {
        let tell = |teller: &mut Teller<'_>| {
            teller.progress("going on").unwrap();
            teller.detail("detail").unwrap();
        };
        assert_eq!(told(false, false, tell), "           detail\n");
        assert!(told(true, false, tell).starts_with("\r\x1b[K   0.00 s  going on"));
        assert_eq!(told(true, true, tell), "");
    }

    #[test]
    fn an_outage_stands_beside_its_bound_and_what_never_came_says_so() {
        let west = Outage {
            worst_case_ms: 4_010,
            reason: Some("keepalive-unanswered".to_owned()),
            since_last_proof_ms: Some(3_900),
            forwarding_us: Some(3_412_000),
            carrier_us: Some(3_413_000),
            routes_us: [("10.20.0.0/16".to_owned(), 3_414_000)].into(),
            refused: Some("network is unreachable".to_owned()),
        };
        let text = told(false, false, |teller| {
            teller.outage(&[(Side::West, west)].into()).unwrap();
        });
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(
            lines,
            [
                "west   east  computed worst case",
                "forwarding stopped after         3.41 s  never               4.01 s",
                "carrier dropped after            3.41 s  never               4.01 s",
                "IPv4 route left the table after  3.41 s  never               4.01 s",
                "IPv6 route left the table after   never  never               4.01 s",
                "west: keepalive-unanswered, last answer 3.90 s before",
                "west: a packet to 10.20.0.1 or fd00:20::1 is refused: network is unreachable",
            ]
        );
    }

    #[test]
    fn throughput_is_in_bits_and_octets() {
        let moved = Moved {
            octets: 6_150_000_000,
            time_us: 4_000_000,
            bits_per_second: 12_300_000_000,
        };
        assert_eq!(throughput(&moved), "12.3 Gb/s, 6.15 GB in 4.00 s");
    }
}
