//! Every algorithm of version 1, begun by either end: a tunnel for each, all of one adit and one charon under the same names.
//!
//! Tunnel `t5` has the outer addresses 192.0.2.15 and 192.0.2.115, and the inner networks 10.77.5.0/24 and 10.78.5.0/24.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::PATIENCE;
use crate::charon::Charon;
use crate::common::{Daemon, Sites, wait_for};
use crate::link::Link;
use crate::pair::{Initiator, Pair};

/// Phase 1 and phase 2 as both ends write them, and what `allow-insecure` has to say.
const SUITES: [[&str; 3]; 11] = [
    ["aes128-sha256-ecp256", "aes128gcm16", ""],
    ["aes256-sha384-ecp384", "aes256gcm16-ecp384", ""],
    ["aes256-sha512-x25519", "aes256-sha384-x25519", ""],
    ["aes128-sha384-ecp256", "aes128-sha256-ecp256", ""],
    ["aes256-sha256-modp2048", "aes256-sha256-modp2048", ""],
    ["aes128-sha512-modp3072", "aes128gcm16-modp3072", ""],
    ["aes256-sha256-modp4096", "aes256gcm16-modp4096", ""],
    [
        "3des-sha1-modp1024",
        "3des-sha1",
        r#""3des", "sha1", "modp1024""#,
    ],
    [
        "aes128-sha1-modp1024",
        "aes128-sha1-modp1024",
        r#""sha1", "modp1024""#,
    ],
    [
        "3des-md5-modp1024",
        "3des-md5",
        r#""3des", "md5", "modp1024""#,
    ],
    ["aes256-sha1-modp2048", "aes256-sha1-modp2048", r#""sha1""#],
];

fn adit_toml(psk: &Path, start: &str) -> String {
    let mut config = String::new();
    for (number, [ike, esp, insecure]) in SUITES.iter().enumerate() {
        let allowed = match insecure.is_empty() {
            true => String::new(),
            false => format!("allow-insecure = [{insecure}]"),
        };
        write!(
            config,
            r#"
[tunnel.t{number}]
mode = "esp"
local = "192.0.2.{local}"
remote = "192.0.2.{remote}"
addresses = ["10.77.{number}.1/24"]
routes = ["10.78.{number}.0/24"]
local-ts = ["10.77.{number}.0/24"]
remote-ts = ["10.78.{number}.0/24"]
start = "{start}"
[tunnel.t{number}.ike]
version = 1
psk-file = {psk:?}
local-id = "a.example"
remote-id = "b.example"
proposals = ["{ike}"]
esp-proposals = ["{esp}"]
{allowed}
"#,
            local = 10 + number,
            remote = 110 + number
        )
        .unwrap();
    }
    config
}

fn swanctl_conf() -> String {
    let mut connections = String::new();
    for (number, [ike, esp, _]) in SUITES.iter().enumerate() {
        write!(
            connections,
            r#"
  t{number} {{
    version = 1
    local_addrs = 192.0.2.{local}
    remote_addrs = 192.0.2.{remote}
    proposals = {ike}
    local {{
      auth = psk
      id = b.example
    }}
    remote {{
      auth = psk
      id = a.example
    }}
    children {{
      t{number} {{
        local_ts = 10.78.{number}.0/24
        remote_ts = 10.77.{number}.0/24
        esp_proposals = {esp}
      }}
    }}
  }}"#,
            local = 110 + number,
            remote = 10 + number
        )
        .unwrap();
    }
    format!(
        "connections {{{connections}\n}}\nsecrets {{\n  ike {{\n    id-1 = a.example\n    id-2 = b.example\n    secret = {}\n  }}\n}}\n",
        Link::PSK
    )
}

fn addresses(sites: &Sites) {
    for number in 0..SUITES.len() {
        sites
            .a
            .ip(&format!("addr add 192.0.2.{}/24 dev wire", 10 + number));
        sites
            .b
            .ip(&format!("addr add 192.0.2.{}/24 dev wire", 110 + number));
        sites.b.ip(&format!("addr add 10.78.{number}.1/32 dev lo"));
    }
}

/// What charon calls encryption and key size of these words.
fn encryption(words: &str) -> [&'static str; 2] {
    match words.split('-').next().unwrap() {
        "aes128" => ["AES_CBC", "128"],
        "aes256" => ["AES_CBC", "256"],
        "aes128gcm16" => ["AES_GCM_16", "128"],
        "aes256gcm16" => ["AES_GCM_16", "256"],
        "3des" => ["3DES_CBC", ""],
        other => panic!("{other}"),
    }
}

/// What charon calls the hash of these words, as a pseudorandom function and for integrity, and their group.
fn hash_and_group(words: &str) -> [&'static str; 3] {
    let find = |names: &[(&str, &'static str)]| {
        let of_word = |word| names.iter().find(|(ours, _)| *ours == word);
        words
            .split('-')
            .find_map(of_word)
            .map_or("", |(_, name)| *name)
    };
    let hashes = |names: [&'static str; 5]| {
        let ours = ["md5", "sha1", "sha256", "sha384", "sha512"];
        find(&ours.into_iter().zip(names).collect::<Vec<_>>())
    };
    let prf = hashes([
        "PRF_HMAC_MD5",
        "PRF_HMAC_SHA1",
        "PRF_HMAC_SHA2_256",
        "PRF_HMAC_SHA2_384",
        "PRF_HMAC_SHA2_512",
    ]);
    let integrity = hashes([
        "HMAC_MD5_96",
        "HMAC_SHA1_96",
        "HMAC_SHA2_256_128",
        "HMAC_SHA2_384_192",
        "HMAC_SHA2_512_256",
    ]);
    let group = find(&[
        ("modp1024", "MODP_1024"),
        ("modp2048", "MODP_2048"),
        ("modp3072", "MODP_3072"),
        ("modp4096", "MODP_4096"),
        ("ecp256", "ECP_256"),
        ("ecp384", "ECP_384"),
        ("x25519", "CURVE_25519"),
    ]);
    [prf, integrity, group]
}

/// The values that charon lists under these names; empty where it lists none.
fn listed<const COUNT: usize>(sa: &Value, names: [&str; COUNT]) -> [String; COUNT] {
    names.map(|name| sa[name].as_str().unwrap_or_default().to_owned())
}

/// What charon has agreed on for a tunnel.
fn assert_charon_has(all: &[Value], number: usize) {
    let [ike, esp, _] = SUITES[number];
    let host = format!("192.0.2.{}", 10 + number);
    let of_tunnel: Vec<_> = all.iter().filter(|sa| sa["remote-host"] == host).collect();
    let [sa] = of_tunnel[..] else {
        panic!("not one ISAKMP SA with {host}: {all:?}")
    };
    assert_eq!(sa["version"], "1", "{sa}");
    let names = ["encr-alg", "encr-keysize"];
    assert_eq!(listed(sa, names), encryption(ike), "{sa}");
    let names = ["prf-alg", "integ-alg", "dh-group"];
    assert_eq!(listed(sa, names), hash_and_group(ike), "{sa}");
    let children: Vec<_> = sa["child-sas"].as_object().unwrap().values().collect();
    let [child] = children[..] else {
        panic!("not one pair of IPsec SAs: {sa}")
    };
    let names = ["encr-alg", "encr-keysize"];
    assert_eq!(listed(child, names), encryption(esp), "{child}");
    let names = ["integ-alg", "dh-group"];
    // It lists no group where phase 2 has none of its own.
    assert_eq!(listed(child, names), hash_and_group(esp)[1..], "{child}");
}

fn assert_adit_has(adit: &Daemon, number: usize, initiator: Initiator) {
    let [ike, esp, insecure] = SUITES[number];
    let status = adit.tunnel(&format!("t{number}"));
    assert_eq!(status["ike"]["version"], 1, "{status}");
    assert_eq!(status["ike"]["proposal"], ike, "{status}");
    let begun = json!(initiator == Initiator::Adit);
    assert_eq!(status["ike"]["initiator"], begun, "{status}");
    let suite = &status["ike"]["children"][0]["suite"];
    assert!(esp.starts_with(suite.as_str().unwrap()), "{status}");
    let log = adit.log();
    for word in insecure.split(", ").filter(|word| !word.is_empty()) {
        let place = format!("tunnel \"t{number}\": ike.allow-insecure {word}");
        assert!(log.contains(&place), "{place}\n{log}");
    }
}

fn every_suite_is_agreed_on(initiator: Initiator) {
    let sites = Sites::new();
    addresses(&sites);
    let charon = Charon::start(&sites.b, &swanctl_conf(), "");
    let folder = tempfile::tempdir().unwrap();
    let psk = folder.path().join("psk");
    std::fs::write(&psk, format!("{}\n", Link::PSK)).unwrap();
    std::fs::set_permissions(&psk, PermissionsExt::from_mode(0o600)).unwrap();
    let adit = Daemon::start(&sites.a, &adit_toml(&psk, initiator.start()));
    adit.status();
    for number in 0..SUITES.len() {
        if initiator == Initiator::Charon {
            let child = format!("t{number}");
            charon.swanctl_succeeds(&["--initiate", "--child", &child, "--timeout", "15"]);
        }
    }
    for number in 0..SUITES.len() {
        adit.wait_state(&format!("t{number}"), "up", PATIENCE);
    }
    let all = charon.sas();
    for (number, suite) in SUITES.iter().enumerate() {
        assert_charon_has(&all, number);
        assert_adit_has(&adit, number, initiator);
        let (near, far) = (format!("10.77.{number}.1"), format!("10.78.{number}.1"));
        assert!(sites.a.pings(&far, 5, &["-I", &near]), "{suite:?}");
        assert!(sites.b.pings(&near, 5, &["-I", &far]), "{suite:?}");
        let drops = adit.tunnel(&format!("t{number}"))["drops"].clone();
        let drops = drops.as_object().unwrap();
        assert!(drops.keys().all(|reason| reason == "selector"), "{drops:?}");
    }
}

#[test]
fn every_suite_is_agreed_on_when_adit_begins() {
    every_suite_is_agreed_on(Initiator::Adit);
}

#[test]
fn every_suite_is_agreed_on_when_charon_begins() {
    every_suite_is_agreed_on(Initiator::Charon);
}

#[test]
fn outer_and_inner_addresses_of_ipv6_are_agreed_on() {
    let link = Link {
        outer: ["2001:db8::1", "2001:db8::2"],
        nets: ["fd00:77:1::/64", "fd00:77:2::/64"],
        ..Link::version_1()
    };
    for initiator in Initiator::BOTH {
        let pair = Pair::start(&link, initiator);
        let (a, b) = (&pair.sites.a, &pair.sites.b);
        wait_for("both are answered", PATIENCE, || {
            let near = a.pings("fd00:77:2::1", 5, &["-I", "fd00:77:1::1"]);
            (near && b.pings("fd00:77:1::1", 5, &["-I", "fd00:77:2::1"])).then_some(())
        });
        let sa = pair.charon.wait_established();
        assert_eq!(sa["remote-host"], "2001:db8::1", "{sa}");
    }
}
