//! The configuration file: TOML into a typed [`Config`], or a [`Report`] of everything that is wrong with it.
//!
//! [`KEYS`] is the table of every key; `reader` checks a parsed file against it, `tunnel` makes typed fields of the
//! values, `checks` looks at what one key demands of another.

mod checks;
mod document;
mod esp;
mod ike;
mod keys;
mod overhead;
mod reader;
mod report;
mod scalar;
mod time;
mod tunnel;
mod types;
mod value;

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use toml::de::DeTable;

pub use document::document;
pub use esp::{
    InSa, Limits, Nat, OutSa, Segmentation, StaticSas, Tfc, TfcPad, UdpConfig, Warm, WarmKind,
};
pub use ike::v1::{ClientMode, EasyVpn, EspProposal, IkeProposal, IkeV1};
pub use ike::{
    ChildMode, Credentials, IkeConfig, IkeEndpoint, IkeV2, IkeVersion, Retransmit, Start,
};
pub use keys::{Absent, BUSY_POLL_MAX, DEFAULT_SOCKET, KEYS, Key, Kind, List, Section};
pub use overhead::Overhead;
pub use report::{Problem, Report, Severity};
pub use types::{
    Family, Gre, Hook, Keepalive, Mode, MssClamp, Mtu, Offload, OnDead, Pin, Profile, Remote,
    TunnelConfig,
};

pub use adit_proto::ike::identity::Identity;
pub use adit_proto::ike::proposal::{EspOffer, IkeOffer};
pub use adit_proto::liveness::{DpdConfig, DpdMode, Initial};
pub use adit_proto::tunnel::{Df, DscpIn, DscpOut, Ecn, Ttl};
pub use adit_proto::wire::gre::GreKey;

pub use crate::io::address::Prefix;
pub use crate::io::netns::Netns;

use checks::Tunnel;
use reader::Reader;

/// The largest file that is read, in octets.
pub const FILE_OCTETS_MAX: usize = 1 << 20;
/// The stack for the TOML parser, in octets: 80 levels of tables with 80 dotted keys each are dropped one inside the other.
const PARSER_STACK_OCTETS: usize = 64 << 20;

/// What a valid file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads of the data plane, at least 1.
    pub workers: u16,
    /// The binding of workers to CPUs.
    pub pin: Pin,
    /// How long a worker asks for packets before it sleeps: 0 to 1 ms.
    pub busy_poll: Duration,
    /// The daemon's socket; [`DEFAULT_SOCKET`] when absent.
    pub socket: Option<PathBuf>,
    /// Ports and limits of IKE.
    pub ike: IkeEndpoint,
    /// At least one tunnel, in the file's order.
    pub tunnels: Vec<TunnelConfig>,
    /// What the operator should know.
    pub warnings: Report,
}

impl Config {
    /// Reads a file. The error holds every fault of the file, or why it cannot be read; nothing else is touched.
    pub fn load(path: &Path) -> Result<Self, Report> {
        let cannot = |what: String| Report::of_file(path, what);
        let file = std::fs::File::open(path)
            .map_err(|error| cannot(format!("cannot open the file: {error}")))?;
        let mut octets = Vec::new();
        let limit = u64::try_from(FILE_OCTETS_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        file.take(limit)
            .read_to_end(&mut octets)
            .map_err(|error| cannot(format!("cannot read the file: {error}")))?;
        match std::str::from_utf8(&octets) {
            Ok(text) => Self::parse(path, text),
            Err(error) => {
                let valid = octets.get(..error.valid_up_to()).unwrap_or(&[]);
                let text = String::from_utf8_lossy(valid);
                let problem =
                    Problem::error("not UTF-8".to_owned(), text.len()..text.len(), "not UTF-8");
                Err(Report::new(path, &text, vec![problem]))
            }
        }
    }

    /// Reads the text of a file; `path` is only its name. The error holds every fault of the text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Report> {
        if text.len() > FILE_OCTETS_MAX {
            return Err(Report::of_file(
                path,
                format!("the file has more than {FILE_OCTETS_MAX} octets"),
            ));
        }
        thread::scope(|scope| {
            let parser = thread::Builder::new()
                .name("config".to_owned())
                .stack_size(PARSER_STACK_OCTETS);
            match parser
                .spawn_scoped(scope, || read(path, text))
                .map(thread::ScopedJoinHandle::join)
            {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => Err(Report::of_file(
                    path,
                    format!("cannot start the parser: {error}"),
                )),
            }
        })
    }
}

fn read(path: &Path, text: &str) -> Result<Config, Report> {
    let (root, faults) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(text);
    let top = reader.file(root.get_ref());
    let mut problems = reader.problems;
    if !faults.is_empty() {
        return Err(Report::new(
            path,
            text,
            with_syntax(text, problems, &faults),
        ));
    }
    let tables = top.value("tunnel").tunnels().unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let build = |(name, table): (String, _)| Tunnel {
        config: tunnel::build(&name, &table, folder),
        table,
    };
    let tunnels: Vec<Tunnel> = tables.into_iter().map(build).collect();
    let (workers, pin) = (
        top.value("workers").narrow().unwrap_or(1),
        tunnel::pin(&top),
    );
    checks::top(&top, workers, &pin, &mut problems);
    ike::checks::top(&top, &mut problems);
    for tunnel in &tunnels {
        checks::within(tunnel, &mut problems);
        esp::checks::within(tunnel, &mut problems);
        ike::checks::within(tunnel, &mut problems);
        ike::v1::checks::within(tunnel, &mut problems);
    }
    checks::between(&tunnels, &mut problems);
    esp::checks::between(&tunnels, &mut problems);
    ike::checks::between(&tunnels, &top, &mut problems);
    ike::v1::checks::between(&tunnels, &mut problems);
    let report = Report::new(path, text, problems);
    if report
        .problems()
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(report);
    }
    let socket = top.value("socket").path();
    let busy_poll = top.value("busy-poll").time().unwrap_or_default();
    let tunnels = tunnels.into_iter().map(|tunnel| tunnel.config).collect();
    Ok(Config {
        workers,
        pin,
        busy_poll,
        socket,
        ike: ike::build::endpoint(&top),
        tunnels,
        warnings: report,
    })
}

/// The faults of syntax, and those of the other problems that a fault of syntax cannot have caused: about a value that is there, on
/// a line without such a fault.
fn with_syntax(text: &str, problems: Vec<Problem>, faults: &[toml::de::Error]) -> Vec<Problem> {
    let newlines: Vec<usize> = text
        .bytes()
        .enumerate()
        .filter(|(_, octet)| *octet == b'\n')
        .map(|(at, _)| at)
        .collect();
    let line_of = |span: &Range<usize>| newlines.partition_point(|newline| *newline < span.start);
    let mut all: Vec<Problem> = Vec::new();
    for fault in faults {
        let span = fault.span().unwrap_or(text.len()..text.len());
        let problem = Problem::error(fault.message().to_owned(), span, "");
        if all.last() != Some(&problem) {
            all.push(problem);
        }
    }
    let faulty: BTreeSet<usize> = all
        .iter()
        .filter_map(|problem| problem.span.as_ref())
        .map(line_of)
        .collect();
    let unrelated = |problem: &Problem| {
        let span = problem.span.as_ref();
        !problem.label.is_empty()
            && span.is_some_and(|span| !span.is_empty() && !faulty.contains(&line_of(span)))
    };
    all.extend(problems.into_iter().filter(unrelated));
    all
}
