//! `adit check`: what a configuration means, or everything that is wrong with it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use crate::config::{
    Config, Keepalive, MssClamp, Mtu, Netns, OnDead, Overhead, Profile, Report, TunnelConfig,
};

use super::args::Check;

/// The path on which the MTU `auto` is shown, in octets.
const EXAMPLE_PATH_OCTETS: usize = 1500;

/// Prints the tunnels to stdout and the problems to stderr; fails if the file has an error.
pub(super) fn run(command: &Check) -> io::Result<ExitCode> {
    let config = match Config::load(&command.file) {
        Ok(config) => config,
        Err(report) => {
            print_report(&report)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut out = String::new();
    for tunnel in &config.tunnels {
        out.push_str(&describe(tunnel));
        if let Some(hook) = &tunnel.hook
            && !is_executable(&hook.program)
        {
            line(
                &mut out,
                "warning",
                &format!("hook {} is not an executable file", hook.program.display()),
            );
        }
    }
    io::stdout().write_all(out.as_bytes())?;
    print_report(&config.warnings)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print_report(report: &Report) -> io::Result<()> {
    io::stderr().write_all(report.render(super::stderr_takes_color()).as_bytes())
}

fn is_executable(program: &Path) -> bool {
    program
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn describe(tunnel: &TunnelConfig) -> String {
    let mut out = format!("tunnel {} ({})\n", tunnel.name, tunnel.mode);
    line(
        &mut out,
        "interface",
        &format!("{} in {}", tunnel.interface, namespace(&tunnel.netns)),
    );
    line(
        &mut out,
        "sockets",
        &format!("in {}", namespace(&tunnel.outer_netns)),
    );
    line(&mut out, "remote", &joined(&tunnel.remotes));
    if !tunnel.addresses.is_empty() {
        line(&mut out, "addresses", &joined(&tunnel.addresses));
    }
    if !tunnel.routes.is_empty() {
        line(&mut out, "routes", &joined(&tunnel.routes));
    }
    if tunnel.leak_guard {
        line(
            &mut out,
            "leak guard",
            "routes and networks of addresses are unreachable by any other way",
        );
    }
    outer(&mut out, tunnel);
    if let MssClamp::Fixed(clamp) = tunnel.mss_clamp {
        let shown = |octets: Option<u16>| {
            octets.map_or("unchanged".to_owned(), |octets| octets.to_string())
        };
        line(
            &mut out,
            "mss",
            &format!("IPv4 {}, IPv6 {}", shown(clamp.v4), shown(clamp.v6)),
        );
    }
    match &tunnel.keepalive {
        Some(keepalive) => {
            line(&mut out, "keepalive", &pace(keepalive));
            let seconds = keepalive.pace().worst_case().as_secs_f64();
            line(
                &mut out,
                "detection",
                &format!("a dead peer is found after {seconds} s at worst"),
            );
            line(&mut out, "on dead", &actions(tunnel.on_dead));
        }
        None => line(
            &mut out,
            "detection",
            "none: the tunnel never drops when the peer dies",
        ),
    }
    out
}

/// How packets are encapsulated, and what that takes of them.
fn outer(out: &mut String, tunnel: &TunnelConfig) {
    if let Some(udp) = tunnel.udp {
        line(
            out,
            "udp",
            &format!("port {}, to port {}", udp.port, udp.remote_port),
        );
    }
    if let Some(sa) = &tunnel.sa {
        let (to, from) = (&sa.out, &sa.inbound);
        for (name, spi, file) in [
            ("sa out", to.spi, &to.key_file),
            ("sa in", from.spi, &from.key_file),
        ] {
            line(
                out,
                name,
                &format!("SPI {spi:#x}, key in {}", file.display()),
            );
        }
    }
    for family in tunnel.outer_families() {
        let overhead = tunnel.overhead(family);
        let parts = [
            ("UDP", overhead.udp),
            ("ESP", overhead.esp),
            ("GRE", overhead.gre),
        ];
        let mut shown = format!(
            "{} octets over {family}: {family} {}",
            overhead.octets(),
            overhead.ip
        );
        for (name, octets) in parts.iter().filter(|(_, octets)| *octets > 0) {
            // Writing to a String cannot fail.
            let _ = write!(shown, ", {name} {octets}");
        }
        line(out, "overhead", &shown);
        line(out, "mtu", &mtu(tunnel.mtu, overhead));
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {name:<10} {value}");
}

fn joined(values: &[impl ToString]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn namespace(netns: &Netns) -> String {
    match netns {
        Netns::Current => "the namespace of adit".to_owned(),
        Netns::Named(name) => format!("namespace {name}"),
        Netns::Path(path) => format!("namespace {}", path.display()),
    }
}

fn mtu(mtu: Mtu, overhead: Overhead) -> String {
    match mtu {
        Mtu::Auto => {
            let inner = overhead.inner_max(EXAMPLE_PATH_OCTETS);
            format!("auto: {inner} on a path of {EXAMPLE_PATH_OCTETS}")
        }
        Mtu::Fixed(octets) => {
            let outer = overhead.outer(usize::from(octets));
            format!("{octets}: needs a path of {outer} for packets without fragments")
        }
    }
}

fn pace(keepalive: &Keepalive) -> String {
    let profile = match keepalive.profile {
        Profile::Huawei => "huawei",
        Profile::Cisco => "cisco",
    };
    let payload = if keepalive.payload {
        "authenticated"
    } else {
        "without payload"
    };
    let pace = format!(
        "every {:?}, {} retries",
        keepalive.period, keepalive.retries
    );
    match keepalive.target {
        Some(target) => format!("{pace}, echo requests to {target}"),
        None => format!("{pace}, profile {profile}, {payload}"),
    }
}

fn actions(on_dead: OnDead) -> String {
    let named = [
        (on_dead.carrier, "carrier off"),
        (on_dead.withdraw_routes, "routes withdrawn"),
        (on_dead.admin_down, "interface down"),
        (on_dead.delete, "interface deleted"),
        (on_dead.hook, "hook runs"),
    ];
    let named: Vec<&str> = named
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
    named.join(", ")
}
