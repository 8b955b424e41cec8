//! `adit check`: what a configuration means, or everything that is wrong with it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::config::{
    ChildMode, ClientMode, Config, Credentials, DpdConfig, DpdMode, IkeConfig, IkeVersion,
    Keepalive, MssClamp, Mtu, Netns, OnDead, Overhead, Profile, Report, Start, TunnelConfig,
};
use crate::keys;

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
        let ike = tunnel.ike.iter();
        for why in ike.flat_map(|ike| [credential_trouble(ike), password_trouble(ike)]) {
            why.iter().for_each(|why| line(&mut out, "warning", why));
        }
    }
    if let Some((one, other)) = key_of_both_versions(&config) {
        line(
            &mut out,
            "warning",
            &format!(
                "tunnels {one} and {other} have the same key in two versions of IKE: whoever guesses it in version 1 has it in both"
            ),
        );
    }
    io::stdout().write_all(out.as_bytes())?;
    print_report(&config.warnings)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print_report(report: &Report) -> io::Result<()> {
    io::stderr().write_all(report.render(super::stderr_takes_color()).as_bytes())
}

/// What is wrong with the files that a tunnel proves itself with, or weak about them.
fn credential_trouble(ike: &IkeConfig) -> Option<String> {
    match &ike.credentials {
        Credentials::Psk(file) => {
            let key = ike.psk_key().last()?;
            match keys::read_psk(file) {
                Ok(psk) if keys::is_weak_psk(&psk) => Some(format!(
                    "{key} {}: may be found by trying; adit keygen psk FILE makes a strong one",
                    file.display()
                )),
                Ok(_) => None,
                Err(error) => Some(format!("{key} {error}")),
            }
        }
        Credentials::Certificate {
            chain,
            key,
            anchors,
        } => {
            let ours = match keys::read_certificate(chain, key) {
                Ok((certificates, _)) => certificates.into_iter().next()?,
                Err(error) => return Some(error.to_string()),
            };
            let file = chain.display();
            if let Some(id) = &ike.local_id
                && !id.is_certified_by(&ours)
            {
                return Some(format!(
                    "cert-file {file}: the certificate does not hold local-id {id}"
                ));
            }
            if !ours.is_valid_at(SystemTime::now()) {
                return Some(format!(
                    "cert-file {file}: the certificate is not valid at present"
                ));
            }
            keys::read_anchors(anchors)
                .err()
                .map(|error| error.to_string())
        }
    }
}

/// Two tunnels of different versions of IKE whose files hold the same pre-shared key.
fn key_of_both_versions(config: &Config) -> Option<(&str, &str)> {
    let of = |is_v1: bool| {
        let psk = |tunnel: &TunnelConfig| {
            let ike = tunnel.ike.as_ref();
            match &ike.filter(|ike| ike.v1().is_some() == is_v1)?.credentials {
                Credentials::Psk(file) => keys::read_psk(file).ok(),
                Credentials::Certificate { .. } => None,
            }
        };
        let tunnels = config.tunnels.iter();
        let keys = tunnels.filter_map(|tunnel| Some((tunnel.name.as_str(), psk(tunnel)?)));
        keys.collect::<Vec<_>>()
    };
    let second = of(false);
    of(true).into_iter().find_map(|(name, psk)| {
        let mut second = second.iter();
        let same = second.find(|(_, other)| keys::is_same_psk(&psk, other));
        same.map(|(other, _)| (name, *other))
    })
}

/// What is wrong with the file of an Easy VPN user's password.
fn password_trouble(ike: &IkeConfig) -> Option<String> {
    let file = &ike.easy_vpn()?.password_file;
    let error = keys::read_password(file).err()?;
    Some(format!("password-file {error}"))
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
    if let Some(keepalive) = &tunnel.keepalive {
        line(&mut out, "keepalive", &pace(keepalive));
    }
    if let Some(dpd) = &tunnel.dpd {
        line(&mut out, "dpd", &probes(dpd));
    }
    line(&mut out, "detection", &detection(tunnel));
    if tunnel.keepalive.is_some() || tunnel.ike.is_some() {
        line(&mut out, "on dead", &actions(tunnel.on_dead));
    }
    out
}

/// The longest time from the peer's death to the verdict: that of the earlier of the two that may find it.
fn detection(tunnel: &TunnelConfig) -> String {
    let keepalive = tunnel
        .keepalive
        .as_ref()
        .map(|keepalive| keepalive.pace().worst_case());
    let dpd = tunnel.dpd.map(DpdConfig::worst_case);
    let waits = tunnel.dpd.is_some_and(|dpd| dpd.mode == DpdMode::OnDemand);
    let after = |time: Duration| {
        format!(
            "a dead peer is found after {:.2} s at worst",
            time.as_secs_f64()
        )
    };
    match (keepalive, dpd) {
        (None, None) if tunnel.ike.is_some() => "none before the next rekey".to_owned(),
        (None, None) => "none: the tunnel never drops when the peer dies".to_owned(),
        (None, Some(dpd)) if waits => {
            format!("{}, and the wait for data to send", after(dpd))
        }
        (Some(keepalive), Some(dpd)) if !waits => after(keepalive.min(dpd)),
        (Some(time), _) | (None, Some(time)) => after(time),
    }
}

fn probes(dpd: &DpdConfig) -> String {
    let when = match dpd.mode {
        DpdMode::Periodic => "periodic",
        DpdMode::OnDemand => "on demand",
    };
    let DpdConfig {
        interval,
        retry,
        attempts,
        ..
    } = dpd;
    let no_data = dpd.no_data.map_or(String::new(), |time| {
        format!("; a child SA that brings nothing for {time:?} is made anew")
    });
    format!("{when}: after {interval:?} of silence {attempts} attempts of {retry:?}{no_data}")
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
    if let Some(ike) = &tunnel.ike {
        keyed(out, tunnel, ike);
    }
    for family in tunnel.outer_families() {
        let overhead = tunnel.overhead(family);
        let parts = [
            ("UDP", overhead.udp),
            ("ESP", overhead.esp),
            ("IP", overhead.gre_ip),
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
        if tunnel.ike.as_ref().is_some_and(|ike| !ike.force_udp) {
            shown.push_str("; behind a NAT 8 more");
        }
        line(out, "overhead", &shown);
        line(out, "mtu", &mtu(tunnel.mtu, overhead));
    }
}

/// By what the SAs are made, and when they are renewed.
fn keyed(out: &mut String, tunnel: &TunnelConfig, ike: &IkeConfig) {
    let start = match tunnel.start {
        Start::Auto => "brought up at once",
        Start::OnTraffic => "brought up by traffic",
        Start::Passive => "brought up by the peer",
        Start::Manual => "brought up by adit up",
    };
    let idle = tunnel.idle_timeout.map_or(String::new(), |time| {
        format!(", deleted after {time:?} without data")
    });
    let mode = match ike.child_mode {
        ChildMode::Tunnel => "tunnel",
        ChildMode::Transport => "transport",
    };
    let version = match &ike.version {
        IkeVersion::V1(_) => 1,
        IkeVersion::V2(_) => 2,
    };
    line(
        out,
        "ike",
        &format!("version {version}, {mode} mode, {start}{idle}"),
    );
    let ours = ike.local_id.as_ref().map_or(
        "the subject of our certificate".to_owned(),
        ToString::to_string,
    );
    let theirs = ike
        .remote_id
        .as_ref()
        .map_or("whoever proves it".to_owned(), ToString::to_string);
    line(out, "identities", &format!("{ours}, to {theirs}"));
    proofs(out, ike);
    let (proposals, esp) = match &ike.version {
        IkeVersion::V1(v1) => (joined(&v1.proposals), joined(&v1.esp_proposals)),
        IkeVersion::V2(v2) => (joined(&v2.proposals), joined(&v2.esp_proposals)),
    };
    line(out, "proposals", &proposals);
    line(out, "esp", &esp);
    let (whole, child, jitter) = (ike.rekey, ike.child_rekey, ike.jitter_percent);
    line(
        out,
        "rekey",
        &format!("after {whole:?}, child SAs after {child:?}, up to {jitter} % earlier"),
    );
}

/// By what both ends prove themselves.
fn proofs(out: &mut String, ike: &IkeConfig) {
    match &ike.credentials {
        Credentials::Psk(file) => {
            line(out, "psk", &format!("in {}", file.display()));
        }
        Credentials::Certificate {
            chain,
            key,
            anchors,
        } => {
            let (chain, key, anchors) = (chain.display(), key.display(), anchors.display());
            line(
                out,
                "certificate",
                &format!("in {chain}, key in {key}, authorities in {anchors}"),
            );
        }
    }
    if let Some(easy_vpn) = ike.easy_vpn() {
        let (user, file) = (&easy_vpn.user, easy_vpn.password_file.display());
        let mode = match easy_vpn.client_mode {
            ClientMode::Client => "client mode",
            ClientMode::NetworkExtension => "network extension",
        };
        line(
            out,
            "easy vpn",
            &format!("{mode}, user {user:?}, password in {file}"),
        );
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
