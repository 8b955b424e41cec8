//! `adit bench`: its options, and what they mean where they are not given.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adit_crypto::Suite;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser as _};

use crate::bench::model::Size;
use crate::bench::{
    self, Baseline, Endpoints, MAX_OCTETS, MIN_OCTETS, Mode, Offload, Options, Test,
};
use crate::config::BUSY_POLL_MAX;

/// `adit bench`
///
/// Every round measures the mode and each baseline once, each on a fresh pair of network namespaces; the table shows medians, and
/// medians of the ratios inside a round. Sizes are those of inner IP packets in octets.
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// The tunnel to measure; none is the bare wire
    #[arg(long, value_enum, default_value = "gre")]
    pub mode: Mode,
    /// The cipher of the ESP modes
    #[arg(long, value_parser = suite_parser(), default_value = Suite::Aes128Gcm16.name())]
    pub suite: Suite,
    /// Another mode to hold it against, repeatable [default: none, where no other baseline is given]
    #[arg(long, value_enum, value_name = "MODE")]
    pub baseline: Vec<Mode>,
    /// A shell command that brings up another tunnel to hold it against, repeatable
    ///
    /// It is run once at each end, and has to bring up interface $DEVICE with address $INNER (the other end's is $PEER_INNER) between
    /// $LOCAL and $REMOTE. $SIDE is west or east, $MTU the wire's, $STATE an empty folder of this end, $SHARED one of both. All that
    /// it started is ended. NAME= before it, in lower-case letters, digits, - and ., names it.
    #[arg(long, value_name = "[NAME=]COMMAND")]
    pub baseline_cmd: Vec<String>,
    /// How often everything is measured [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: Option<u16>,
    /// How long a measurement of throughput or round trips takes [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub seconds: Option<u16>,
    /// Numbers of TCP streams [default: 1,4]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=128))]
    pub streams: Vec<u16>,
    /// Sizes of the inner IP packets of UDP floods [default: 64,1400]
    #[arg(long, value_name = "OCTETS,...", value_delimiter = ',', value_parser = octets_parser())]
    pub udp: Vec<u16>,
    /// Sizes of inner IP packets, or imix, for which the highest rate with at most 0.1 % loss is searched [default: 64,512,1400,imix]
    #[arg(long, value_name = "OCTETS,...", value_delimiter = ',', value_parser = parse_size)]
    pub loss_free: Vec<Size>,
    /// Which measurements are made [default: all]
    #[arg(long, value_enum, value_name = "TEST,...", value_delimiter = ',')]
    pub tests: Vec<Test>,
    /// The wire's MTU
    #[arg(long, value_name = "OCTETS", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=65535))]
    pub mtu: u16,
    /// Make the wire refuse UDP super-packets, as hardware does and a veth does not
    #[arg(long)]
    pub no_udp_gso: bool,
    /// How TCP controls congestion: cubic, bbr, or what else the kernel has [default: as the system]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub congestion_control: Option<String>,
    /// Offloads to switch off in adit
    #[arg(long, value_enum, value_name = "OFFLOAD,...", value_delimiter = ',')]
    pub no_offload: Vec<Offload>,
    /// Workers of each endpoint of adit [default: as adit run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    /// How long a worker of adit spins before it sleeps, up to 10ms [default: as adit run]
    #[arg(long, value_name = "TIME", value_parser = parse_busy_poll)]
    pub busy_poll: Option<Duration>,
    /// One round of one second: one TCP stream, 1400 octets
    #[arg(long)]
    pub quick: bool,
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
    /// Also write one self-contained page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(command: &Bench) -> ExitCode {
    bench::run(&options(command), &mut io::stdout())
}

fn options(command: &Bench) -> Options {
    let default = Options::default();
    let (rounds, seconds) = if command.quick { (1, 1) } else { (3, 3) };
    let or = |given: &[u16], quick: u16, default: Vec<u16>| match given {
        [] if command.quick => vec![quick],
        [] => default,
        given => given.to_vec(),
    };
    let loss_free = match command.loss_free.as_slice() {
        [] if command.quick => vec![Size::Octets(1400)],
        [] => default.loss_free,
        given => given.to_vec(),
    };
    let tests = match command.tests.as_slice() {
        [] => default.tests,
        given => given.to_vec(),
    };
    let modes = command.baseline.iter().copied().map(Baseline::Mode);
    let commands = command.baseline_cmd.iter().map(|text| {
        let (name, command) = name_and_command(text);
        Baseline::Command {
            name: name.to_owned(),
            command: command.to_owned(),
        }
    });
    Options {
        mode: command.mode,
        endpoints: Endpoints {
            suite: command.suite,
            without: command.no_offload.clone(),
            workers: command.workers,
            busy_poll: command.busy_poll,
        },
        baselines: modes.chain(commands).collect(),
        rounds: usize::from(command.rounds.unwrap_or(rounds)),
        seconds: u64::from(command.seconds.unwrap_or(seconds)),
        streams: or(&command.streams, 1, default.streams),
        udp: or(&command.udp, 1400, default.udp),
        loss_free,
        tests,
        mtu: u32::from(command.mtu),
        udp_gso: !command.no_udp_gso,
        congestion_control: command.congestion_control.clone(),
        json: command.json,
        html: command.html.clone(),
        columns: columns(io::stdout()),
        progress: columns(io::stderr()),
        command: command_line(std::env::args_os().skip(1)),
    }
}

/// The width of a terminal, if it is one.
fn columns(terminal: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The name before the first `=`, if it looks like one: an assignment of a shell has capitals or `_`.
fn name_and_command(text: &str) -> (&str, &str) {
    let is_name = |name: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        !name.is_empty() && name.chars().all(allowed)
    };
    match text.split_once('=') {
        Some((name, command)) if is_name(name) => (name, command),
        _ => ("baseline", text),
    }
}

/// As a shell takes it, but for octets that are no UTF-8.
fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    let quote = |argument: OsString| {
        let argument = argument.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+%@".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    };
    let words: Vec<String> = std::iter::once("adit".to_owned())
        .chain(arguments.map(quote))
        .collect();
    words.join(" ")
}

fn suite_parser() -> impl clap::builder::TypedValueParser<Value = Suite> {
    PossibleValuesParser::new(Suite::COMBINED.iter().map(|suite| suite.name()))
        .try_map(|name| Suite::parse(&name).ok_or("no such suite"))
}

fn octets_parser() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(i64::from(MIN_OCTETS)..=i64::from(MAX_OCTETS))
}

fn parse_size(text: &str) -> Result<Size, String> {
    let octets = || {
        text.parse()
            .ok()
            .filter(|octets| (MIN_OCTETS..=MAX_OCTETS).contains(octets))
    };
    match text {
        "imix" => Ok(Size::Imix),
        _ => octets()
            .map(Size::Octets)
            .ok_or_else(|| format!("want imix or {MIN_OCTETS} to {MAX_OCTETS} octets")),
    }
}

fn parse_busy_poll(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time <= BUSY_POLL_MAX {
        Ok(time)
    } else {
        Err(format!("want at most {BUSY_POLL_MAX:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::Parser;

    use super::*;
    use crate::cli::{Args, Command};

    fn parsed(arguments: &[&str]) -> Options {
        let all = ["adit", "bench"].iter().chain(arguments);
        let Command::Bench(bench) = Args::try_parse_from(all).unwrap().command else {
            panic!("another command");
        };
        options(&bench)
    }

    fn refused(arguments: &[&str]) -> bool {
        let all = ["adit", "bench"].iter().chain(arguments);
        Args::try_parse_from(all).is_err()
    }

    #[test]
    fn without_options_it_is_the_default() {
        let options = parsed(&[]);
        let default = Options {
            columns: options.columns,
            progress: options.progress,
            command: options.command.clone(),
            ..Options::default()
        };
        assert_eq!(options, default);
    }

    #[test]
    fn quick_is_short_where_nothing_else_is_said() {
        let quick = parsed(&["--quick"]);
        assert_eq!((quick.rounds, quick.seconds), (1, 1));
        assert_eq!((quick.streams, quick.udp), (vec![1], vec![1400]));
        assert_eq!(quick.loss_free, [Size::Octets(1400)]);
        let named = parsed(&["--quick", "--rounds", "2", "--loss-free", "64,imix"]);
        assert_eq!((named.rounds, named.seconds), (2, 1));
        assert_eq!(named.loss_free, [Size::Octets(64), Size::Imix]);
    }

    #[test]
    fn baselines_keep_their_names_and_assignments_of_the_shell_are_no_names() {
        let options = parsed(&[
            "--baseline",
            "none",
            "--baseline-cmd",
            "wireguard-go=exec wg $DEVICE",
            "--baseline-cmd",
            "A=1 exec relay",
        ]);
        let command = |name: &str, command: &str| Baseline::Command {
            name: name.to_owned(),
            command: command.to_owned(),
        };
        let wanted = [
            Baseline::Mode(Mode::None),
            command("wireguard-go", "exec wg $DEVICE"),
            command("baseline", "A=1 exec relay"),
        ];
        assert_eq!(options.baselines, wanted);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for arguments in [
            ["--udp", "63"],
            ["--loss-free", "9001"],
            ["--loss-free", "large"],
            ["--busy-poll", "11ms"],
            ["--congestion-control", ""],
            ["--suite", "des"],
            ["--rounds", "0"],
            ["--mtu", "1279"],
        ] {
            assert!(refused(&arguments), "{arguments:?}");
        }
        let poll = parsed(&["--busy-poll", "50us"]).endpoints.busy_poll;
        assert_eq!(poll, Some(Duration::from_micros(50)));
    }

    #[test]
    fn the_command_line_is_one_that_a_shell_takes() {
        let words = ["bench", "--baseline-cmd", "exec it's $DEVICE"];
        let line = command_line(words.iter().map(OsString::from));
        assert_eq!(line, r"adit bench --baseline-cmd 'exec it'\''s $DEVICE'");
        let odd = OsString::from_vec(vec![b'a', 0xff]);
        assert_eq!(command_line(std::iter::once(odd)), "adit 'a\u{fffd}'");
    }
}
