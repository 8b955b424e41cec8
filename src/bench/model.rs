//! What a bench found: the numbers of each round, subject by subject, as the reports read them and `--json` prints them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The size of the packets of the load beside which round trips are measured, in octets.
pub const LOAD_OCTETS: u16 = 1400;

/// Everything that one run found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where it ran.
    pub machine: Machine,
    /// How it ran.
    pub settings: Settings,
    /// The mode that was asked for, then what it is held against; `none` is the bare wire.
    pub subjects: Vec<Subject>,
    /// How long it all took, in seconds.
    pub took_seconds: f64,
    /// Why the rounds ended before their end.
    pub ended: Option<String>,
}

impl Results {
    /// Whether nothing was measured, nor failed to be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let told = |one: &Subject| {
            !one.rows.is_empty() || !one.histograms.is_empty() || one.error.is_some()
        };
        !self.subjects.iter().any(told)
    }
}

/// The machine and the program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs that the bench might use.
    pub cpus: usize,
    /// Their model.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
    /// adit's version; a debug build says so.
    pub adit: String,
}

/// How the bench ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Rounds; each measures every subject once.
    pub rounds: usize,
    /// How long one throughput measurement takes, in seconds.
    pub seconds: u64,
    /// The wire's MTU in octets.
    pub mtu: u32,
    /// The wire takes UDP super-packets whole, as a veth does and hardware does not.
    pub udp_gso: bool,
    /// How TCP controlled congestion, by the kernel's name; none where it does not say.
    pub congestion_control: Option<String>,
    /// Workers of each endpoint.
    pub workers: usize,
    /// The command line that does the same again.
    pub command: String,
}

/// One thing that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name: a mode, or that of a baseline's command.
    pub name: String,
    /// The main mode is held against it.
    pub is_baseline: bool,
    /// What was measured, in the order in which it is shown.
    pub rows: Vec<Row>,
    /// Where the packets of the UDP floods went; none where nobody counts.
    pub accounting: Option<Accounting>,
    /// Round-trip times.
    pub histograms: Vec<Histogram>,
    /// Why it was not measured to the end.
    pub error: Option<String>,
}

impl Subject {
    /// The numbers of a metric, one a round; none where it was not measured.
    #[must_use]
    pub fn samples(&self, metric: Metric) -> Option<&[Option<f64>]> {
        let row = self.rows.iter().find(|row| row.metric == metric)?;
        Some(&row.samples)
    }
}

/// The numbers of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub metric: Metric,
    /// One number a round, in [`Metric::unit`]; none where that round has none.
    pub samples: Vec<Option<f64>>,
}

/// What is measured. Sizes are those of inner IP packets in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// What so many TCP streams together receive.
    Tcp {
        /// How many.
        streams: u16,
    },
    /// Packets of this size that arrive of a flood.
    Udp {
        /// The size.
        octets: u16,
    },
    /// The UDP payload in those packets.
    UdpRate {
        /// The size.
        octets: u16,
    },
    /// The highest rate that was found to lose at most one packet in a thousand.
    LossFree {
        /// The size.
        octets: Size,
    },
    /// The round-trip time of UDP echoes.
    Latency {
        /// Beside a paced load.
        load: bool,
        /// Which part of those that were asked for came back within it; no number where it takes a lost one to make up that part.
        percentile: Percentile,
    },
    /// What all tunnel processes spend on a gigabyte received, one TCP stream.
    CpuPerGb,
    /// The memory of all tunnel processes.
    Rss,
}

impl Metric {
    /// The unit of its numbers.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Tcp { .. } | Self::UdpRate { .. } => "Gb/s",
            Self::Udp { .. } | Self::LossFree { .. } => "kpps",
            Self::Latency { .. } => "µs",
            Self::CpuPerGb => "s",
            Self::Rss => "MiB",
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Tcp { streams: 1 } => "TCP, one stream".to_owned(),
            Self::Tcp { streams } => format!("TCP, {streams} streams"),
            Self::Udp { octets } => format!("UDP flood, {octets} octets"),
            Self::UdpRate { octets } => format!("UDP flood, {octets} octets, payload"),
            Self::LossFree { octets } => format!("loss-free, {octets}"),
            Self::Latency { load, percentile } => {
                let when = if *load { "under load" } else { "idle" };
                format!("round trip, {when}, {percentile}")
            }
            Self::CpuPerGb => "CPU for a GB, both ends".to_owned(),
            Self::Rss => "memory of both ends".to_owned(),
        }
    }

    /// Whether more is better.
    #[must_use]
    pub fn higher_is_better(&self) -> bool {
        match self {
            Self::Tcp { .. } | Self::Udp { .. } | Self::UdpRate { .. } | Self::LossFree { .. } => {
                true
            }
            Self::Latency { .. } | Self::CpuPerGb | Self::Rss => false,
        }
    }
}

/// The size of the packets of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// All of this size.
    Octets(u16),
    /// 64, 576 and 1400 octets in the proportion 7 : 4 : 1.
    Imix,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octets(octets) => write!(f, "{octets} octets"),
            Self::Imix => f.write_str("IMIX"),
        }
    }
}

/// Which part of the echoes that were asked for, those that were lost among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Percentile {
    /// Half of them.
    P50,
    /// All but one in a hundred.
    P99,
    /// All but one in a thousand.
    P999,
}

impl Percentile {
    /// Each.
    pub const ALL: [Self; 3] = [Self::P50, Self::P99, Self::P999];

    /// As a number of percent.
    #[must_use]
    pub fn percent(self) -> f64 {
        match self {
            Self::P50 => 50.0,
            Self::P99 => 99.0,
            Self::P999 => 99.9,
        }
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.percent())
    }
}

/// Where the packets of all UDP floods of a subject went: sent = received + drops + tun_tx_dropped + socket_overflow + unexplained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    /// Packets that the kernel took from the sender.
    pub sent: u64,
    /// Packets that the receiver got, duplicates not counted.
    pub received: u64,
    /// Packets dropped, by reason, at both ends.
    pub drops: BTreeMap<String, u64>,
    /// Packets that nobody read from the TUN device in time.
    pub tun_tx_dropped: u64,
    /// Packets that found a socket's buffer full: an endpoint's or the receiver's.
    pub socket_overflow: u64,
    /// What is left over.
    pub unexplained: i64,
}

/// Round-trip times of all rounds together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Beside a paced load.
    pub load: bool,
    /// Packets of [`LOAD_OCTETS`] a second that were offered as that load, one number a round that measured it; empty where idle.
    pub load_pps: Vec<f64>,
    /// How many echoes were answered.
    pub answered: u64,
    /// How many were not.
    pub lost: u64,
    /// Rising: so many percent of the echoes that were asked for were answered within so many microseconds. With lost ones it ends
    /// below 100 %.
    pub points: Vec<(f64, f64)>,
}
