//! What the keys of IKE demand of each other.

use std::collections::BTreeMap;
use std::time::Duration;

use adit_crypto::Suite;
use adit_proto::ike::identity::Identity;
use adit_proto::ike::proposal::EspOffer;

use super::{ChildMode, Credentials, Start};
use crate::config::checks::Tunnel;
use crate::config::esp::checks::{error, given, span, stands, warning};
use crate::config::keys::{DPD_PROFILE_INTERVAL_MIN, DPD_PROFILE_RETRY_MIN, Section};
use crate::config::report::Problem;
use crate::config::time::show_time;
use crate::config::tunnel::is_word;
use crate::config::types::{Mode, Remote};
use crate::config::value::{Table, Value};
use crate::io::netns::Netns;

/// What certificates take, in the order in which a missing one is named.
const CERTIFICATE_FILES: [&str; 3] = ["cert-file", "key-file", "ca-file"];
/// Keys of a tunnel that say how IKE is used.
const NEED_IKE: [&str; 3] = ["dpd", "start", "idle-timeout"];

/// The checks of the keys at the top of the file.
pub(in crate::config) fn top(table: &Table, problems: &mut Vec<Problem>) {
    let Some(ike) = table.given("ike") else {
        return;
    };
    let Some(keys) = ike.value.clone().table() else {
        return;
    };
    let (port, nat_port) = (keys.value("port"), keys.value("nat-port"));
    if let (Value::Integer(port), Value::Integer(nat_port)) = (port, nat_port)
        && port == nat_port
    {
        let place = keys.given("nat-port").or_else(|| keys.given("port"));
        let words = format!("ike.nat-port {nat_port} is also ike.port");
        let span = place.map_or_else(|| ike.span.clone(), |node| node.span.clone());
        problems.push(Problem::error(words, span, "the same port"));
    }
}

/// The checks within one tunnel.
pub(in crate::config) fn within(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    any_remote(tunnel, problems);
    if tunnel.table.given("ike").is_none() {
        return without_ike(tunnel, problems);
    }
    if !tunnel.table.valid(&["ike", "mode"]) || !tunnel.config.mode.has_esp() {
        return;
    }
    others(tunnel, problems);
    credentials(tunnel, problems);
    identities(tunnel, problems);
    child(tunnel, problems);
    slow_suites(tunnel, problems);
    dpd(tunnel, problems);
    start(tunnel, problems);
}

/// Whoever comes can be told apart by what it proves only.
fn any_remote(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let remotes = &tunnel.config.remotes;
    if !remotes.contains(&Remote::Any) {
        return;
    }
    if remotes.len() > 1 {
        let words = "remote \"any\" stands beside other remotes";
        let problem = error(tunnel, &["remote"], words, "\"any\" stands alone");
        problems.push(problem.help("write remote = \"any\", or leave it out"));
    }
    if tunnel.table.given("ike").is_none() {
        let words = "remote \"any\" needs ike: nothing else tells who the peer is";
        problems.push(error(tunnel, &["remote"], words, "needs ike"));
    } else if tunnel.table.valid(&["ike"]) && given(&tunnel.table, &["ike", "remote-id"]).is_none()
    {
        let words = "remote \"any\" needs ike.remote-id: nothing else tells who the peer is";
        let problem = error(tunnel, &["ike"], words, "no remote-id");
        problems.push(
            problem
                .related(span(tunnel, &["remote"]), "any peer")
                .help("add remote-id = \"b.example\""),
        );
    }
}

fn without_ike(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let says_nothing = |key: &&str| match given(&tunnel.table, &[key]).map(|node| node.value) {
        None | Some(Value::Flag(false) | Value::Invalid) => true,
        Some(Value::Time(time)) => time == Duration::ZERO,
        Some(_) => false,
    };
    for key in NEED_IKE.into_iter().filter(|key| !says_nothing(key)) {
        let words = format!("{key} needs ike");
        let problem = error(tunnel, &[key], &words, "needs ike");
        problems.push(match key {
            "dpd" => problem.help("keepalive finds a dead peer without ike"),
            _ => problem.help("leave it out"),
        });
    }
}

/// Keys that say otherwise what IKE settles.
fn others(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let ike = || span(tunnel, &["ike"]);
    if tunnel.table.given("sa").is_some() {
        let words = "sa stands beside ike, which makes the SAs";
        let problem = error(tunnel, &["sa"], words, "sa or ike");
        problems.push(problem.related(ike(), "ike").help("leave one of them out"));
    }
    let no_udp = matches!(given(&tunnel.table, &["udp"]), Some(node) if matches!(node.value, Value::Flag(false)));
    if stands(tunnel, &["udp"]) && !no_udp {
        let words = "udp stands beside ike, whose NAT detection decides on it";
        let problem = error(tunnel, &["udp"], words, "settled by ike");
        let help = "leave udp out; ike = { encap = \"udp\" } forces it";
        problems.push(problem.related(ike(), "ike").help(help));
    }
    if is_word(&tunnel.table, "initial", "up") {
        let words = "initial has no effect with ike: the tunnel is up once data passes";
        problems.push(warning(tunnel, &["initial"], words, "no effect"));
    }
}

/// A pre-shared key, or all that certificates take.
fn credentials(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let ike = tunnel.table.value("ike").table();
    if ike.is_some_and(|ike| ike.section == Section::IkeV1) {
        return;
    }
    let has = |key: &str| given(&tunnel.table, &["ike", key]).is_some();
    let psk = has("psk-file");
    if !psk && !CERTIFICATE_FILES.iter().any(|key| has(key)) {
        let words = "ike has neither psk-file nor cert-file, key-file and ca-file";
        let problem = error(tunnel, &["ike"], words, "no credentials");
        let help = "add psk-file = \"FILE\", made by adit keygen psk FILE";
        problems.push(problem.help(help));
        return;
    }
    for key in CERTIFICATE_FILES {
        if psk && has(key) {
            let words = format!("ike.{key} stands beside ike.psk-file");
            let problem = error(tunnel, &["ike", key], &words, "one or the other");
            let first = span(tunnel, &["ike", "psk-file"]);
            problems.push(
                problem
                    .related(first, "the pre-shared key")
                    .help("leave one of them out: both ends prove themselves in the same way"),
            );
        } else if !psk && !has(key) {
            let words =
                format!("ike.{key} missing: certificates take cert-file, key-file and ca-file");
            let problem = error(tunnel, &["ike"], &words, "");
            problems.push(problem.help(format!("add {key} = \"FILE.pem\"")));
        }
    }
}

fn identities(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Some(ike) = &tunnel.config.ike else {
        return;
    };
    let refused =
        |key| !stands(tunnel, &["ike", key]) && given(&tunnel.table, &["ike", key]).is_some();
    match ike.credentials {
        Credentials::Psk(_)
            if ike.local_id.is_none() && !refused("local-id") && !is_easy(tunnel) =>
        {
            let words = "ike.local-id missing: neither local nor a certificate says who we are";
            let problem = error(tunnel, &["ike"], words, "");
            problems.push(problem.help("add local-id = \"a.example\""));
        }
        Credentials::Certificate { .. }
            if ike.remote_id.is_none()
                && !refused("remote-id")
                && !tunnel.config.remotes.contains(&Remote::Any) =>
        {
            let words =
                "without ike.remote-id whoever has a certificate of ca-file is taken for the peer";
            let path = ["ike", "ca-file"];
            let problem = warning(tunnel, &path, words, "any of its certificates");
            problems.push(problem.help("add remote-id = \"b.example\""));
        }
        Credentials::Psk(_) | Credentials::Certificate { .. } => {}
    }
    for (key, id) in [("local-id", &ike.local_id), ("remote-id", &ike.remote_id)] {
        if let (Credentials::Certificate { .. }, Some(Identity::KeyId(_))) = (&ike.credentials, id)
        {
            let words = format!("ike.{key} is a key ID, which no certificate holds");
            let problem = error(tunnel, &["ike", key], &words, "a key ID");
            problems.push(
                problem.help("write a name or an address of the certificate, or its subject"),
            );
        }
    }
    if let (Some(ours), Some(theirs)) = (&ike.local_id, &ike.remote_id)
        && ours == theirs
    {
        let words = format!("ike.remote-id {theirs} is also what we call ourselves");
        problems.push(error(tunnel, &["ike", "remote-id"], &words, "our own"));
    }
}

/// Whether it is to be an Easy VPN remote, which has keys of its own for what these say.
fn is_easy(tunnel: &Tunnel) -> bool {
    given(&tunnel.table, &["ike", "easy-vpn"]).is_some()
}

fn child(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Some(ike) = &tunnel.config.ike else {
        return;
    };
    if tunnel.config.mode == Mode::Esp && ike.child_mode == ChildMode::Transport {
        let path = ["ike", "child-mode"];
        let words = "ike.child-mode \"transport\" has no meaning with mode \"esp\", which carries whole packets";
        problems.push(
            error(tunnel, &path, words, "needs mode \"gre-esp\"")
                .related(span(tunnel, &["mode"]), "the mode")
                .help("leave it out, or set mode to \"gre-esp\""),
        );
    }
}

fn slow_suites(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let nodes = given(&tunnel.table, &["ike", "esp-proposals"]);
    let nodes = nodes.and_then(|node| node.value.list()).unwrap_or_default();
    for node in nodes {
        let offer: Option<EspOffer> = node.value.esp_offer();
        let suites = offer.iter().flat_map(|offer| offer.suites());
        let Some(slow) = suites.copied().find(|suite| Suite::is_slow(*suite)) else {
            continue;
        };
        let words = format!(
            "{}: ike.esp-proposals {slow} takes several times the CPU time of aes128gcm16",
            tunnel.place()
        );
        let problem = Problem::warning(words, node.span, "slow");
        problems.push(problem.help("leave it out unless the peer has nothing else"));
    }
}

fn dpd(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let Some(node) = given(&tunnel.table, &["dpd"]) else {
        return;
    };
    if matches!(node.value, Value::Flag(false)) {
        let words = if tunnel.config.keepalive.is_some() {
            "dpd = false: only keepalive finds a dead peer, and IKE not before its next rekey"
        } else {
            "dpd = false: a dead peer is not found before the next rekey"
        };
        let problem = warning(tunnel, &["dpd"], words, "off");
        problems.push(problem.help("leave dpd out: by default a dead peer is found within 20 s"));
        return;
    }
    let minima = [
        ("interval", DPD_PROFILE_INTERVAL_MIN),
        ("retry", DPD_PROFILE_RETRY_MIN),
    ];
    let Some(profile) = given(&tunnel.table, &["dpd", "profile"]) else {
        return;
    };
    let Value::Word(name) = profile.value else {
        return;
    };
    for (key, min) in minima {
        let path = ["dpd", key];
        if let Some(Value::Time(time)) = given(&tunnel.table, &path).map(|node| node.value)
            && time < min
        {
            let (time, min) = (show_time(time), show_time(min));
            let words = format!("dpd.{key} {time} below minimum {min} of profile {name:?}");
            problems.push(
                error(tunnel, &path, &words, &format!("minimum {min}"))
                    .related(profile.span.clone(), "the profile")
                    .help("leave the profile out to go below a router's range"),
            );
        }
    }
}

fn start(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let config = &tunnel.config;
    if !tunnel.table.valid(&["start", "remote"]) {
        return;
    }
    let passive = config.start == Start::Passive;
    if config.remotes.contains(&Remote::Any) && !passive {
        let words = "start is not \"passive\", but remote \"any\" tells nobody whom to ask";
        let problem = error(tunnel, &["start"], words, "needs \"passive\"");
        problems.push(problem.help("leave start out, or write \"passive\""));
    }
    let is_easy = config
        .ike
        .as_ref()
        .is_some_and(|ike| ike.easy_vpn().is_some());
    if config.start == Start::Auto && config.idle_timeout.is_some() && !is_easy {
        let words = "idle-timeout deletes SAs that start \"auto\" brings up again at once";
        let problem = error(tunnel, &["idle-timeout"], words, "needs another start");
        problems.push(problem.help("add start = \"on-traffic\""));
    }
    if passive && stands(tunnel, &["failback"]) {
        let words =
            "failback has no effect with start \"passive\": the peer decides where it comes from";
        problems.push(warning(tunnel, &["failback"], words, "no effect"));
    }
}

/// What tells initiators apart: namespace, version 1 or not, remote, and what they call us and themselves.
type Peers<'a> = BTreeMap<(&'a Netns, bool, String, String), BTreeMap<Option<String>, &'a Tunnel>>;

/// The checks between tunnels: whose peer it is, and whose port.
pub(in crate::config) fn between(tunnels: &[Tunnel], top: &Table, problems: &mut Vec<Problem>) {
    let mut peers = Peers::new();
    for tunnel in tunnels {
        let config = &tunnel.config;
        if !tunnel.table.valid(&["remote", "outer-netns", "ike"]) {
            continue;
        }
        // An Easy VPN remote answers nobody.
        let Some(ike) = config.ike.as_ref().filter(|ike| ike.easy_vpn().is_none()) else {
            continue;
        };
        let is_v1 = ike.v1().is_some();
        // What an initiator of main mode calls us is not among its messages (RFC 2409 section 5).
        let ours = ike.local_id.as_ref().filter(|_| !is_v1);
        let ours = ours.map_or(String::new(), comparable);
        let theirs = ike.remote_id.as_ref().map(comparable);
        for remote in &config.remotes {
            let same = (&config.outer_netns, is_v1, remote.to_string(), ours.clone());
            let known = peers.entry(same).or_default();
            let first = match &theirs {
                Some(_) => known.get(&theirs).or_else(|| known.get(&None)),
                None => known.values().next(),
            };
            if let Some(first) = first {
                problems.push(same_peer(tunnel, first, remote));
            }
            known.entry(theirs.clone()).or_insert(tunnel);
        }
    }
    ports(tunnels, top, problems);
}

/// The same text for the same identity.
fn comparable(identity: &Identity) -> String {
    match identity {
        Identity::Fqdn(name) => name.to_ascii_lowercase(),
        Identity::Email(_)
        | Identity::Ipv4(_)
        | Identity::Ipv6(_)
        | Identity::Dn(_)
        | Identity::KeyId(_) => identity.to_string(),
    }
}

fn same_peer(tunnel: &Tunnel, first: &Tunnel, remote: &Remote) -> Problem {
    let words = format!(
        "a peer from {remote} may also be that of {}: neither ike.local-id nor ike.remote-id tells them apart",
        first.place()
    );
    error(tunnel, &["ike"], &words, "again")
        .related(span(first, &["ike"]), "first here")
        .help("give each tunnel its own remote-id")
}

/// UDP ports of tunnels without IKE that IKE has in the same namespace. ESP may share the one that goes through NATs.
fn ports(tunnels: &[Tunnel], top: &Table, problems: &mut Vec<Problem>) {
    let endpoint = super::build::endpoint(top);
    let mut with_ike: BTreeMap<&Netns, &Tunnel> = BTreeMap::new();
    for tunnel in tunnels.iter().filter(|tunnel| tunnel.config.ike.is_some()) {
        with_ike.entry(&tunnel.config.outer_netns).or_insert(tunnel);
    }
    for tunnel in tunnels {
        let config = &tunnel.config;
        let (Some(udp), Some(first)) = (config.udp, with_ike.get(&config.outer_netns)) else {
            continue;
        };
        let shares = udp.port == endpoint.nat_port && config.mode.has_esp();
        if config.ike.is_some() || shares || ![endpoint.port, endpoint.nat_port].contains(&udp.port)
        {
            continue;
        }
        let words = format!("udp.port {} is that of IKE for {}", udp.port, first.place());
        problems.push(
            error(tunnel, &["udp", "port"], &words, "again")
                .related(span(first, &["ike"]), "first here")
                .help("choose another port here, or for ike at the top of the file"),
        );
    }
}
