//! The command line: every command and its options.

use std::path::PathBuf;

use adit_crypto::Suite;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::bench::Bench;
use crate::control::What;

/// Userspace GRE and IPsec tunnels that drop their interface when the peer stops answering.
#[derive(Clone, Debug, Parser)]
#[command(name = "adit", version, max_term_width = 100)]
pub struct Args {
    /// The daemon's socket [default: the configuration's, or /run/adit.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show two sites, a tunnel, traffic, a dead peer and the recovery, in network namespaces
    Demo(Demo),
    /// Measure a tunnel against others: throughput, loss-free rate, round-trip times, CPU, memory
    Bench(Bench),
    /// Run the tunnels of a configuration in the foreground
    Run(Run),
    /// Set a tunnel up
    Up(Tunnel),
    /// Take a tunnel down until the next `up`
    Down(Tunnel),
    /// Delete a tunnel's security associations and make them anew
    Clear(Tunnel),
    /// Replace a tunnel's child SA, or its IKE SA
    Rekey(Rekey),
    /// Follow what IKE and dead peer detection do for a tunnel
    Debug(Debug),
    /// Show the tunnels' states
    Status(Status),
    /// Show a tunnel's counters
    Counters(Counters),
    /// Follow the tunnels' events, one JSON object a line
    Events,
    /// Check a configuration and show what it means
    Check(Check),
    /// Make key files for static security associations, or pre-shared keys for IKE
    Keygen(Keygen),
    /// Print a shell's completions
    Completions(Completions),
    /// Print the manual page, or write the pages of all commands
    Man(Man),
}

/// `adit demo`
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// Leave the sites up and print the commands to play with them
    #[arg(long)]
    pub keep: bool,
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
    /// How long TCP traffic is moved
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub seconds: u16,
}

/// `adit run`
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// What is logged: a level (error, warn, info, debug, trace) or a filter
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// `adit up`, `adit down`, `adit clear`
#[derive(Clone, Debug, clap::Args)]
pub struct Tunnel {
    /// The tunnel's name
    pub name: String,
}

/// `adit rekey`
#[derive(Clone, Debug, clap::Args)]
pub struct Rekey {
    /// The tunnel's name
    pub name: String,
    /// What is replaced
    #[arg(value_enum, default_value_t = RekeyWhat::Child)]
    pub what: RekeyWhat,
}

/// What `adit rekey` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RekeyWhat {
    /// The IKE SA
    Ike,
    /// The child SA, which carries the traffic
    Child,
}

impl From<RekeyWhat> for What {
    fn from(what: RekeyWhat) -> Self {
        match what {
            RekeyWhat::Ike => Self::Ike,
            RekeyWhat::Child => Self::Child,
        }
    }
}

/// `adit debug`
#[derive(Clone, Debug, clap::Args)]
pub struct Debug {
    /// The tunnel's name
    pub name: String,
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
}

/// `adit status`
#[derive(Clone, Debug, clap::Args)]
pub struct Status {
    /// The tunnel's name; without it, all tunnels
    pub name: Option<String>,
    /// Print JSON for machines
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Draw it anew each second until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// `adit counters`
#[derive(Clone, Debug, clap::Args)]
pub struct Counters {
    /// The tunnel's name
    pub name: String,
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
}

/// `adit check`
#[derive(Clone, Debug, clap::Args)]
pub struct Check {
    /// The configuration
    pub file: PathBuf,
}

/// `adit keygen`
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Keygen {
    /// What the keys are for
    #[arg(long, value_name = "SUITE", default_value = Suite::Aes256Gcm16.name(), value_parser = suites())]
    pub suite: Suite,
    /// The files to make; none may exist
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Another sort of key
    #[command(subcommand)]
    pub sort: Option<KeygenSort>,
}

/// What `adit keygen` makes besides the keys of static security associations.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeygenSort {
    /// Makes pre-shared keys for IKE
    Psk {
        /// The files to make; none may exist
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

fn suites() -> impl TypedValueParser<Value = Suite> {
    let names = Suite::COMBINED.iter().map(|suite| suite.name());
    PossibleValuesParser::new(names)
        .try_map(|name| Suite::parse(&name).ok_or("no suite of that name"))
}

/// `adit completions`
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// `adit man`
#[derive(Clone, Debug, clap::Args)]
pub struct Man {
    /// Where the pages are written; without it, adit(1) is printed
    pub dir: Option<PathBuf>,
}
