//! What the keys of IKEv1 demand of each other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::{EspProposal, IkeProposal};
use crate::config::checks::Tunnel;
use crate::config::esp::checks::{error, given, span, stands, warning};
use crate::config::ike::{Credentials, IkeConfig};
use crate::config::keys::Section;
use crate::config::report::Problem;
use crate::config::scalar::quoted;
use crate::config::types::{Family, Mode, Remote};
use crate::config::value::{Node, Value};
use crate::io::netns::Netns;

const EASY_VPN: [&str; 2] = ["ike", "easy-vpn"];
/// Keys of a tunnel that Easy VPN settles, and how.
const SETTLED: [(&[&str], &str); 6] = [
    (&["ike", "psk-file"], "whose group-key-file takes its place"),
    (&["ike", "local-id"], "whose group takes its place"),
    (&["ike", "child-mode"], "which is always in tunnel mode"),
    (&["start"], "whose connect takes its place"),
    (&["idle-timeout"], "whose connect says when there are SAs"),
    (&["remote-ts"], "whose server says which networks it has"),
];

/// The checks within one tunnel.
pub(in crate::config) fn within(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let ike = tunnel.table.value("ike").table();
    if !ike.is_some_and(|ike| ike.section == Section::IkeV1) || !tunnel.config.mode.has_esp() {
        return;
    }
    deprecated(tunnel, problems);
    any_remote(tunnel, problems);
    credentials(tunnel, problems);
    insecure(tunnel, problems);
    groups(tunnel, problems);
    easy_vpn(tunnel, problems);
    selectors(tunnel, problems);
}

fn deprecated(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let words =
        "ike.version 1 is deprecated by RFC 9395: its algorithms and messages are those of 1998";
    let problem = warning(tunnel, &["ike", "version"], words, "deprecated");
    problems.push(problem.help("write version = 2 once the peer has it"));
}

fn any_remote(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    if !tunnel.config.remotes.contains(&Remote::Any) {
        return;
    }
    let words = "remote \"any\" needs ike.version 2: with version 1 the peer's address tells its pre-shared key (RFC 2409 §5.4)";
    let problem = error(tunnel, &["remote"], words, "needs version 2");
    let version = span(tunnel, &["ike", "version"]);
    problems.push(problem.related(version, "the version"));
}

fn credentials(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let has = |key| given(&tunnel.table, &["ike", key]).is_some();
    if has("psk-file") || has("easy-vpn") {
        return;
    }
    let words = "ike has neither psk-file nor easy-vpn, one of which version 1 takes";
    let problem = error(tunnel, &["ike"], words, "no credentials");
    problems.push(problem.help("add psk-file = \"FILE\", made by adit keygen psk FILE"));
}

/// Insecure algorithms that are offered without being allowed, and those that are allowed.
fn insecure(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let allowed = nodes(tunnel, "allow-insecure");
    let is_allowed = |word: &str| allowed.iter().any(|node| is(node, word));
    let mut used = Vec::new();
    for key in ["proposals", "esp-proposals"] {
        for node in nodes(tunnel, key) {
            let words = insecure_words(&node.value);
            if !words.iter().all(|word| is_allowed(word))
                && tunnel.table.valid(&["ike"])
                && !refused(tunnel, "allow-insecure")
            {
                problems.push(not_allowed(tunnel, key, &node, &words));
            }
            used.extend(words);
        }
    }
    for node in &allowed {
        let Some(word) = node.value.clone().word() else {
            continue;
        };
        let (why, label) = if used.contains(&word)
            || refused(tunnel, "proposals")
            || refused(tunnel, "esp-proposals")
        {
            (danger(word).to_owned(), "insecure")
        } else {
            (format!("no proposal has {word}"), "no effect")
        };
        let words = format!("{}: ike.allow-insecure {word:?}: {why}", tunnel.place());
        problems.push(Problem::warning(words, node.span.clone(), label));
    }
}

/// The elements of an array of `ike`, if it was accepted.
fn nodes(tunnel: &Tunnel, key: &str) -> Vec<Node> {
    let node = given(&tunnel.table, &["ike", key]);
    node.and_then(|node| node.value.list()).unwrap_or_default()
}

fn refused(tunnel: &Tunnel, key: &str) -> bool {
    let path = ["ike", key];
    given(&tunnel.table, &path).is_some() && !stands(tunnel, &path)
}

fn is(node: &Node, word: &str) -> bool {
    matches!(node.value, Value::Word(allowed) if allowed == word)
}

fn insecure_words(value: &Value) -> Vec<&'static str> {
    let ike = value.clone().ike_v1();
    let esp = value.clone().esp_v1();
    let ike = ike.iter().flat_map(IkeProposal::insecure);
    ike.chain(esp.iter().flat_map(EspProposal::insecure))
        .collect()
}

fn not_allowed(tunnel: &Tunnel, key: &str, node: &Node, words: &[&str]) -> Problem {
    let shown = node.value.identity().unwrap_or_default();
    let (verb, them) = match words {
        [_] => ("is", "it"),
        _ => ("are", "them"),
    };
    let message = format!(
        "{}: ike.{key} {shown:?}: {} {verb} insecure, and allow-insecure does not allow {them}",
        tunnel.place(),
        words.join(" and ")
    );
    let problem = Problem::error(message, node.span.clone(), "insecure");
    let help = format!(
        "leave the proposal out unless the peer has nothing else, or write allow-insecure = {words:?}"
    );
    problem.help(help)
}

/// What is wrong with an algorithm.
fn danger(word: &str) -> &'static str {
    match word {
        "3des" => {
            "its blocks of 64 bits give data away after some gigabytes under a key (RFC 8221 §5)"
        }
        "sha1" => {
            "its collisions are made at will, and new tunnels are to do without it (RFC 8247 §2.3)"
        }
        "md5" => "it is broken, and no tunnel is to have it (RFC 8247 §2.3)",
        _ => "keys agreed upon in it are within reach of those who can pay for it (RFC 8247 §2.4)",
    }
}

/// The one group that a message with several proposals has a public value for.
fn groups(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let of_esp = |node: &Node| {
        let proposal = node.value.clone().esp_v1()?;
        Some(proposal.group.map_or("none", |group| group.name()))
    };
    one_group(tunnel, "esp-proposals", of_esp, "quick mode", problems);
    if given(&tunnel.table, &EASY_VPN).is_some() {
        let of_ike = |node: &Node| Some(node.value.clone().ike_v1()?.group.name());
        one_group(tunnel, "proposals", of_ike, "aggressive mode", problems);
    }
}

fn one_group(
    tunnel: &Tunnel,
    key: &str,
    group: impl Fn(&Node) -> Option<&'static str>,
    exchange: &str,
    problems: &mut Vec<Problem>,
) {
    let nodes = nodes(tunnel, key);
    let Some((first, known)) = nodes.first().and_then(|node| Some((node, group(node)?))) else {
        return;
    };
    let other = nodes
        .iter()
        .find_map(|node| Some((node, group(node)?)).filter(|(_, group)| *group != known));
    let Some((node, group)) = other else { return };
    let message = format!(
        "{}: ike.{key} has the groups {known} and {group}, but {exchange} has one for all its proposals",
        tunnel.place()
    );
    problems.push(
        Problem::error(message, node.span.clone(), "another group")
            .related(first.span.clone(), "the first")
            .help("give all of them the same group"),
    );
}

fn easy_vpn(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    if given(&tunnel.table, &EASY_VPN).is_none() {
        return;
    }
    let here = || span(tunnel, &EASY_VPN);
    if tunnel.config.mode == Mode::GreEsp {
        let words =
            "ike.easy-vpn has no meaning with mode \"gre-esp\": its server carries IP packets";
        let problem = error(tunnel, &EASY_VPN, words, "needs mode \"esp\"");
        problems.push(
            problem
                .related(tunnel.span("mode"), "the mode")
                .help("set mode to \"esp\""),
        );
    }
    for (path, how) in SETTLED {
        if stands(tunnel, path) {
            let words = format!("{} stands beside ike.easy-vpn, {how}", path.join("."));
            let problem = error(tunnel, path, &words, "settled by easy-vpn");
            problems.push(problem.related(here(), "easy-vpn").help("leave it out"));
        }
    }
    let is_client = given(&tunnel.table, &["ike", "easy-vpn", "client-mode"])
        .is_none_or(|node| is(&node, "client"));
    if is_client {
        client(tunnel, problems);
    } else if tunnel.table.given("local-ts").is_none() {
        let words = "local-ts missing: with client-mode \"network-extension\" it is the network that is announced";
        let path = ["ike", "easy-vpn", "client-mode"];
        let problem = error(tunnel, &path, words, "needs local-ts");
        problems.push(problem.help("add local-ts = [\"NETWORK\"]"));
    }
}

/// The server assigns our one address, to which a table of nftables translates that has the interface's name in its own.
fn client(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    for key in ["local-ts", "addresses"] {
        let is_empty = key == "addresses" && tunnel.config.addresses.is_empty();
        if stands(tunnel, &[key]) && !is_empty {
            let words = format!(
                "{key} stands beside ike.easy-vpn in client mode, where the server assigns our address"
            );
            let problem = error(tunnel, &[key], &words, "assigned");
            problems.push(
                problem
                    .related(span(tunnel, &EASY_VPN), "easy-vpn")
                    .help("leave it out, or add client-mode = \"network-extension\""),
            );
        }
    }
    let interface = &tunnel.config.interface;
    let forbidden = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.');
    if let Some(character) = interface.chars().find(forbidden) {
        let words = format!(
            "interface {} holds {character:?}, which no table of nftables may in its name, and in client mode one has the interface's",
            quoted(interface)
        );
        let problem = error(tunnel, &["interface"], &words, "not of nftables");
        problems.push(problem.help("write an interface of letters, digits, `-`, `_` and `.`"));
    }
}

/// Quick mode names one network for each end, of the same family.
fn selectors(tunnel: &Tunnel, problems: &mut Vec<Problem>) {
    let config = &tunnel.config;
    if config.mode != Mode::Esp || !tunnel.table.valid(&["local-ts", "remote-ts", "ike"]) {
        return;
    }
    for (key, networks) in [
        ("local-ts", &config.local_ts),
        ("remote-ts", &config.remote_ts),
    ] {
        let count = networks.len();
        if count > 1 {
            let words = format!(
                "{key} of {count} networks above maximum 1 with ike.version 1: its quick mode names one"
            );
            let problem = error(tunnel, &[key], &words, "maximum 1");
            problems.push(problem.help("write one network that holds them"));
        }
    }
    if let ([local], [remote]) = (config.local_ts.as_slice(), config.remote_ts.as_slice())
        && Family::of(local.address) != Family::of(remote.address)
    {
        let words = format!(
            "remote-ts {remote} is {}, but local-ts {local} is {}",
            Family::of(remote.address),
            Family::of(local.address)
        );
        problems.push(error(tunnel, &["remote-ts"], &words, "another family"));
    }
}

/// The checks between tunnels: a pre-shared key has one version, and an address one key.
pub(in crate::config) fn between(tunnels: &[Tunnel], problems: &mut Vec<Problem>) {
    let mut versions: BTreeMap<&Path, (&Tunnel, bool)> = BTreeMap::new();
    let mut keys: BTreeMap<(&Netns, Option<IpAddr>, String), (&Tunnel, &Path)> = BTreeMap::new();
    for tunnel in tunnels {
        let config = &tunnel.config;
        let Some((ike, file)) = config.ike.as_ref().and_then(pre_shared) else {
            continue;
        };
        let is_v1 = ike.v1().is_some();
        let (first, first_is_v1) = *versions.entry(file).or_insert((tunnel, is_v1));
        if first_is_v1 != is_v1 {
            problems.push(other_version(tunnel, first, file));
        }
        // An Easy VPN remote answers nobody.
        if !is_v1
            || ike.easy_vpn().is_some()
            || !tunnel.table.valid(&["remote", "local", "outer-netns"])
        {
            continue;
        }
        for remote in &config.remotes {
            let same = (&config.outer_netns, config.local, remote.to_string());
            let (first, known) = *keys.entry(same).or_insert((tunnel, file));
            if known != file {
                problems.push(other_key(tunnel, first, remote));
            }
        }
    }
}

fn pre_shared(ike: &IkeConfig) -> Option<(&IkeConfig, &Path)> {
    match &ike.credentials {
        Credentials::Psk(file) => Some((ike, file)),
        Credentials::Certificate { .. } => None,
    }
}

/// Where the pre-shared key of a tunnel is named.
fn key_place(tunnel: &Tunnel) -> &'static [&'static str] {
    let ike = tunnel.config.ike.as_ref();
    ike.map_or(&["ike"], IkeConfig::psk_key)
}

fn other_version(tunnel: &Tunnel, first: &Tunnel, file: &Path) -> Problem {
    let path = key_place(tunnel);
    let words = format!(
        "{} {} is also that of {}, which has another version of IKE: whoever guesses it in the weaker one has it in both",
        path.join("."),
        quoted(&file.to_string_lossy()),
        first.place()
    );
    error(tunnel, path, &words, "again")
        .related(span(first, key_place(first)), "first here")
        .help("make a key for each version: adit keygen psk FILE")
}

fn other_key(tunnel: &Tunnel, first: &Tunnel, remote: &Remote) -> Problem {
    let path = key_place(tunnel);
    let words = format!(
        "{} is another one than that of {}, but main mode tells them apart by nothing but the remote {remote}",
        path.join("."),
        first.place()
    );
    error(tunnel, path, &words, "another key")
        .related(span(first, key_place(first)), "the other")
        .help("use one key for one peer")
}
