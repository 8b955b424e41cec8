//! `adit bench`: what a tunnel costs and carries, held against others in the same run.
//!
//! Each round measures every subject (subject.rs) on a fresh pair of namespaces (wire.rs) with generators of its own: TCP streams
//! (src/sites/flow.rs), UDP floods and paced streams (datagrams.rs), the search for a loss-free rate (search.rs), echoes (latency.rs).
//! course.rs puts them in order, runner.rs the rounds.

mod congestion;
mod course;
mod datagrams;
mod error;
mod interrupt;
mod latency;
mod machine;
mod mode;
pub mod model;
mod packet;
mod process;
mod progress;
pub mod report;
mod runner;
mod search;
mod subject;
mod wire;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use adit_crypto::Suite;
use clap::ValueEnum;

use self::error::BenchError;
pub use self::mode::{Endpoints, Mode, Offload};
use self::model::{Results, Size};
pub use self::packet::{MAX_OCTETS, MIN_OCTETS};
use self::report::file::PageFile;

/// What to measure, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The tunnel in question.
    pub mode: Mode,
    /// How its endpoints, and those of baselines that are adit's, are configured.
    pub endpoints: Endpoints,
    /// What it is held against; empty means the bare wire.
    pub baselines: Vec<Baseline>,
    /// How often everything is measured.
    pub rounds: usize,
    /// How long one throughput or latency measurement takes, in seconds.
    pub seconds: u64,
    /// Numbers of TCP streams.
    pub streams: Vec<u16>,
    /// Packet sizes of UDP floods.
    pub udp: Vec<u16>,
    /// Packet sizes for which a loss-free rate is searched.
    pub loss_free: Vec<Size>,
    /// Which measurements are made.
    pub tests: Vec<Test>,
    /// The wire's MTU in octets.
    pub mtu: u32,
    /// The wire takes UDP super-packets whole.
    pub udp_gso: bool,
    /// How TCP controls congestion, by the kernel's name; none is the system's way.
    pub congestion_control: Option<String>,
    /// Print JSON instead of a table.
    pub json: bool,
    /// Where a page with plots is written.
    pub html: Option<PathBuf>,
    /// The width of the terminal that gets the table; none where it is no terminal.
    pub columns: Option<usize>,
    /// The width of the terminal that shows the progress; none where there is none.
    pub progress: Option<usize>,
    /// The command line that led here.
    pub command: String,
}

/// Something to hold a mode against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Another mode, or the same for its noise.
    Mode(Mode),
    /// The tunnel that a shell command brings up when it is run at both ends.
    Command {
        /// What it is called.
        name: String,
        /// The command.
        command: String,
    },
}

/// A kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Test {
    /// TCP streams
    Tcp,
    /// UDP floods
    Udp,
    /// The highest rate with at most 0.1 % loss
    LossFree,
    /// Round-trip times, idle and under load
    Latency,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Gre,
            endpoints: Endpoints {
                suite: Suite::Aes128Gcm16,
                without: Vec::new(),
                workers: None,
                busy_poll: None,
            },
            baselines: Vec::new(),
            rounds: 3,
            seconds: 3,
            streams: vec![1, 4],
            udp: vec![64, 1400],
            loss_free: vec![
                Size::Octets(64),
                Size::Octets(512),
                Size::Octets(1400),
                Size::Imix,
            ],
            tests: Test::value_variants().to_vec(),
            mtu: 1500,
            udp_gso: true,
            congestion_control: None,
            json: false,
            html: None,
            columns: None,
            progress: None,
            command: String::new(),
        }
    }
}

/// Runs the bench and prints what it found to `out`, errors to stderr; of an interrupted one, what it had found. The process must
/// have one thread. The code is 0 when everything was measured and written, 1 when not, and that of a shell for a signal.
pub fn run(options: &Options, out: &mut dyn Write) -> ExitCode {
    let page = options.html.as_deref().map(PageFile::open).transpose();
    let page = match page {
        Ok(page) => page,
        Err(error) => return fail(&error.into()),
    };
    let (results, ended) = runner::run(options);
    let written = if results.is_empty() && ended.is_err() {
        vec![page.map_or(Ok(()), PageFile::discard).map_err(Into::into)]
    } else {
        vec![
            // The page first, which a reader of the output does not wait for.
            page.map_or(Ok(()), |page| page.write(&report::html::page(&results)))
                .map_err(Into::into),
            print(options, &results, out).map_err(BenchError::Output),
        ]
    };
    let mut code = ExitCode::SUCCESS;
    if results.subjects.iter().any(|one| one.error.is_some()) {
        code = ExitCode::FAILURE;
    }
    // The code is that of the last one: a signal's.
    for error in written.into_iter().chain([ended]).filter_map(Result::err) {
        code = fail(&error);
    }
    code
}

fn print(options: &Options, results: &Results, out: &mut dyn Write) -> io::Result<()> {
    if options.json {
        report::json::write(results, out)?;
    } else {
        report::table::print(results, options.columns, out)?;
    }
    out.flush()
}

fn fail(error: &BenchError) -> ExitCode {
    // Nobody is left to tell if stderr is gone too.
    let _ = writeln!(io::stderr(), "adit bench: {error}");
    match error {
        BenchError::Interrupted("SIGHUP") => ExitCode::from(129),
        BenchError::Interrupted("SIGINT") => ExitCode::from(130),
        BenchError::Interrupted(_) => ExitCode::from(143),
        BenchError::Missing(_)
        | BenchError::Died { .. }
        | BenchError::Late(_)
        | BenchError::System(_)
        | BenchError::Output(_) => ExitCode::FAILURE,
    }
}
