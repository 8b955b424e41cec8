//! The keys of IKE and of dead peer detection.

use adit::config::{Config, DpdConfig, IkeConfig, IkeV2, IkeVersion, Section};

use super::Row;

/// Mode `esp` with what it needs but IKE.
const ESP: &str = "mode = \"esp\"\naddresses = [\"10.9.0.1/30\"]\n";
/// Mode `esp` with IKE.
const ESP_IKE: &str = "mode = \"esp\"\naddresses = [\"10.9.0.1/30\"]\nike = { psk-file = \"a.psk\", local-id = \"a.example\", remote-id = \"b.example\" }\n";
/// The same, the peer beginning.
const PASSIVE: &str = "mode = \"esp\"\naddresses = [\"10.9.0.1/30\"]\nstart = \"passive\"\nike = { psk-file = \"a.psk\", local-id = \"a.example\", remote-id = \"b.example\" }\n";
const GRE_ESP: &str = "mode = \"gre-esp\"\n";

/// `ike` with one key given and what it needs filled in.
pub(super) fn table(key: &str, entry: &str) -> String {
    let (psk, certificate) = (
        [("psk-file", "\"a.psk\"")].as_slice(),
        [
            ("cert-file", "\"a.pem\""),
            ("key-file", "\"k.pem\""),
            ("ca-file", "\"ca.pem\""),
        ]
        .as_slice(),
    );
    let credentials = if certificate.iter().any(|(name, _)| *name == key) {
        certificate
    } else {
        psk
    };
    let identities = [
        ("local-id", "\"a.example\""),
        ("remote-id", "\"b.example\""),
    ];
    let filled: String = credentials
        .iter()
        .chain(&identities)
        .filter(|(name, _)| *name != key)
        .map(|(name, value)| format!(", {name} = {value}"))
        .collect();
    format!("ike = {{ {entry}{filled} }}")
}

/// `dpd` with one key given and its interval filled in.
pub(super) fn dpd(key: &str, entry: &str) -> String {
    let filled = if key == "interval" {
        ""
    } else {
        ", interval = \"10s\""
    };
    format!("dpd = {{ {entry}{filled} }}")
}

fn ike(config: &Config) -> IkeConfig {
    config.tunnels[0].ike.clone().unwrap()
}

fn v2(config: &Config) -> IkeV2 {
    match ike(config).version {
        IkeVersion::V2(v2) => v2,
        IkeVersion::V1(v1) => panic!("version 1: {v1:?}"),
    }
}

fn probes(config: &Config) -> DpdConfig {
    config.tunnels[0].dpd.unwrap()
}

fn id(identity: Option<adit::config::Identity>) -> String {
    identity.map_or("none".to_owned(), |id| id.to_string())
}

fn shown(offers: &[impl ToString]) -> String {
    offers
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row!(Top, "ike", "", |c| (c.ike.port, c.ike.nat_port, c.ike.half_open), [("{}", "(500, 4500, 1000)"), ("{ port = 501 }", "(501, 4500, 1000)")], [
        ("true", "ike is a boolean, expected a table with port, nat-port, half-open, half-open-per-source, cookie-threshold"),
        ("{ psk-file = \"a\" }", "unknown key \"ike.psk-file\" | \"psk-file\" is a key of [tunnel.NAME.ike]"),
    ]),
    row!(IkeEndpoint, "port", "", |c| c.ike.port, [("1", "1"), ("65535", "65535")], [
        ("0", "ike.port 0 below minimum 1"),
        ("65536", "ike.port 65536 above maximum 65535"),
        ("4500", "ike.nat-port 4500 is also ike.port"),
    ]),
    row!(IkeEndpoint, "nat-port", "", |c| c.ike.nat_port, [("4501", "4501")], [
        ("500", "ike.nat-port 500 is also ike.port"),
        ("\"4500\"", "ike.nat-port is a string, expected an integer 1..=65535 | write 4500 without quotes"),
    ]),
    row!(IkeEndpoint, "half-open", "", |c| c.ike.half_open, [("1", "1"), ("100000", "100000")], [
        ("0", "ike.half-open 0 below minimum 1"),
        ("100001", "ike.half-open 100001 above maximum 100000"),
    ]),
    row!(IkeEndpoint, "half-open-per-source", "", |c| c.ike.half_open_per_source, [("1", "1"), ("100000", "100000")], [
        ("0", "ike.half-open-per-source 0 below minimum 1"),
        ("100001", "ike.half-open-per-source 100001 above maximum 100000"),
    ]),
    row!(IkeEndpoint, "cookie-threshold", "", |c| c.ike.cookie_threshold, [("0", "0"), ("100000", "100000")], [
        ("-1", "ike.cookie-threshold -1 below minimum 0"),
        ("100001", "ike.cookie-threshold 100001 above maximum 100000"),
    ]),
    row!(Tunnel, "ike", ESP, |c| ike(c).credentials, [
        ("{ psk-file = \"a.psk\", local-id = \"a\" }", "Psk(\"a.psk\")"),
    ], [
        ("{}", "tunnel \"a\": ike has neither psk-file nor cert-file, key-file and ca-file | add psk-file = \"FILE\", made by adit keygen psk FILE"),
        ("\"a.psk\"", "tunnel \"a\": ike is a string, expected a table with version, psk-file, cert-file, key-file, ca-file, local-id, remote-id, proposals, esp-proposals, child-mode, rekey, child-rekey, child-packets, child-octets, rekey-jitter, replay-window, retransmit, fragment-octets, encap, nat-keepalive"),
        ("{ psk = \"a.psk\", psk-file = \"a.psk\", local-id = \"a\" }", "tunnel \"a\": unknown key \"ike.psk\" | the keys here are version, psk-file, cert-file, key-file, ca-file, local-id, remote-id, proposals, esp-proposals, child-mode, rekey, child-rekey, child-packets, child-octets, rekey-jitter, replay-window, retransmit, fragment-octets, encap, nat-keepalive"),
    ]),
    row!(Tunnel, "dpd", ESP_IKE, |c| c.tunnels[0].dpd.map(|d| (d.mode, d.interval, d.retry, d.attempts, d.no_data)), [
        ("false", "None"),
        ("{ interval = \"10s\" }", "Some((OnDemand, 10s, 2s, 5, None))"),
    ], [
        ("true", "tunnel \"a\": dpd is a boolean, expected false, or a table with mode, interval, retry, attempts, profile, no-data"),
        ("{}", "tunnel \"a\": dpd.interval missing | add interval = \"10s\""),
        ("{ mode = \"periodic\" }", "tunnel \"a\": dpd.interval missing | add interval = \"10s\""),
    ]),
    row!(Tunnel, "start", ESP_IKE, |c| c.tunnels[0].start, [("\"auto\"", "Auto"), ("\"on-traffic\"", "OnTraffic"), ("\"passive\"", "Passive")], [
        ("\"on_traffic\"", "tunnel \"a\": start \"on_traffic\" unknown, expected \"auto\", \"on-traffic\" or \"passive\" | did you mean \"on-traffic\"?"),
        ("false", "tunnel \"a\": start is a boolean, expected \"auto\", \"on-traffic\" or \"passive\""),
    ]),
    row!(Tunnel, "idle-timeout", PASSIVE, |c| c.tunnels[0].idle_timeout, [("\"0s\"", "None"), ("\"24h\"", "Some(86400s)")], [
        ("\"25h\"", "tunnel \"a\": idle-timeout 25h above maximum 24h"),
        ("60", "tunnel \"a\": idle-timeout 60 has no unit | write \"60s\""),
    ]),
    row!(Ike, "version", ESP, |c| ike(c).v1().is_some(), [("2", "false"), ("1", "true"), ("0x1", "true")], [
        ("0", "tunnel \"a\": ike.version 0 below minimum 1"),
        ("3", "tunnel \"a\": ike.version 3 above maximum 2"),
        ("\"2\"", "tunnel \"a\": ike.version is a string, expected an integer 1..=2 | write 2 without quotes"),
    ]),
    row!(Ike, "psk-file", ESP, |c| ike(c).credentials, [("\"/etc/adit/a.psk\"", "Psk(\"/etc/adit/a.psk\")"), ("\"./a.psk\"", "Psk(\"a.psk\")")], [
        ("\"keys/\"", "tunnel \"a\": ike.psk-file \"keys/\" is not the path of a file"),
        ("12345", "tunnel \"a\": ike.psk-file is an integer, expected the path of a file"),
    ]),
    row!(Ike, "cert-file", ESP, |c| ike(c).credentials, [("\"a.pem\"", "Certificate { chain: \"a.pem\", key: \"k.pem\", anchors: \"ca.pem\" }")], [
        ("\"\"", "tunnel \"a\": ike.cert-file \"\" is not the path of a file"),
    ]),
    row!(Ike, "key-file", ESP, |c| ike(c).credentials, [("\"/k.pem\"", "Certificate { chain: \"a.pem\", key: \"/k.pem\", anchors: \"ca.pem\" }")], [
        ("[]", "tunnel \"a\": ike.key-file is an array, expected the path of a file"),
    ]),
    row!(Ike, "ca-file", ESP, |c| ike(c).credentials, [("\"ca/all.pem\"", "Certificate { chain: \"a.pem\", key: \"k.pem\", anchors: \"ca/all.pem\" }")], [
        ("\"\\u0000\"", "tunnel \"a\": ike.ca-file \"\\0\" holds a zero octet"),
    ]),
    row!(Ike, "local-id", ESP, |c| id(ike(c).local_id), [
        ("\"A.example\"", "\"A.example\""),
        ("\"gw@example.net\"", "\"gw@example.net\""),
        ("\"192.0.2.1\"", "\"192.0.2.1\""),
        ("\"2001:db8::1\"", "\"2001:db8::1\""),
        ("\"keyid:0x0a0b\"", "\"keyid:0x0a0b\""),
        ("\"keyid:west\"", "\"keyid:west\""),
        ("\"CN=gw, O=Example\"", "\"CN=gw, O=Example\""),
    ], [
        ("\"\"", "tunnel \"a\": ike.local-id \"\": identity is empty"),
        ("\"a b\"", "tunnel \"a\": ike.local-id \"a b\": name with an octet that is not printable ASCII"),
        ("\"keyid:0xabc\"", "tunnel \"a\": ike.local-id \"keyid:0xabc\": key ID after 0x is not pairs of hexadecimal digits"),
        ("\"XY=gw\"", "tunnel \"a\": ike.local-id \"XY=gw\": no distinguished name: \"C=…, O=…, OU=…, CN=…\" is one"),
        ("7", "tunnel \"a\": ike.local-id is an integer, expected a host name, user@host, an IP address, keyid:TEXT or a distinguished name"),
    ]),
    row!(Ike, "remote-id", ESP, |c| id(ike(c).remote_id), [("\"b.example\"", "\"b.example\"")], [
        ("\"\"", "tunnel \"a\": ike.remote-id \"\": identity is empty"),
        ("\"A.EXAMPLE\"", "tunnel \"a\": ike.remote-id A.EXAMPLE is also what we call ourselves"),
    ]),
    row!(Ike, "proposals", ESP, |c| shown(&v2(c).proposals), [
        ("[\"aes256gcm16-prfsha384-ecp384\"]", "\"aes256gcm16-prfsha384-ecp384\""),
        ("[\"aes256-sha256-ecp256\", \"chacha20poly1305-prfsha512-curve25519\"]", "\"aes256-sha256-prfsha256-ecp256 chacha20poly1305-prfsha512-x25519\""),
    ], [
        ("[]", "tunnel \"a\": ike.proposals of 0 elements below minimum 1"),
        ("[\"aes256-sha256-modp2048\"]", "tunnel \"a\": ike.proposals \"aes256-sha256-modp2048\": \"modp2048\" is not available as a key exchange group; there is ecp256, ecp384, x25519"),
        ("[\"aes256gcm16-prfsha384\"]", "tunnel \"a\": ike.proposals \"aes256gcm16-prfsha384\": a key exchange group is missing; there is ecp256, ecp384, x25519"),
        ("[\"aes256gcm16-prfsha384-ecp384\", \"aes256gcm16-prfsha384-ecp384\"]", "tunnel \"a\": ike.proposals has \"aes256gcm16-prfsha384-ecp384\" twice"),
        ("\"aes256gcm16-prfsha384-ecp384\"", "tunnel \"a\": ike.proposals is a string, expected an array of 1..=16, each a proposal such as \"aes256gcm16-prfsha384-ecp384\" | write [\"aes256gcm16-prfsha384-ecp384\"]"),
    ]),
    row!(Ike, "esp-proposals", ESP, |c| shown(&v2(c).esp_proposals), [
        ("[\"aes256gcm16-x25519\"]", "\"aes256gcm16-x25519\""),
        ("[\"aes128gcm16-noesn\"]", "\"aes128gcm16-noesn\""),
    ], [
        ("[\"3des-sha1\"]", "tunnel \"a\": ike.esp-proposals \"3des-sha1\": \"3des\" is not available as a cipher; there is aes128gcm16, aes256gcm16, chacha20poly1305, aes128, aes256"),
    ]),
    row!(Ike, "child-mode", GRE_ESP, |c| ike(c).child_mode, [("\"tunnel\"", "Tunnel"), ("\"transport\"", "Transport")], [
        ("\"beet\"", "tunnel \"a\": ike.child-mode \"beet\" unknown, expected \"tunnel\" or \"transport\""),
    ]),
    row!(Ike, "rekey", ESP, |c| (ike(c).rekey, ike(c).hard()), [("\"1s\"", "(1s, 83.53056s)"), ("\"168h\"", "(604800s, 665280s)")], [
        ("\"999ms\"", "tunnel \"a\": ike.rekey 999ms below minimum 1s"),
        ("\"169h\"", "tunnel \"a\": ike.rekey 169h above maximum 168h"),
    ]),
    row!(Ike, "child-rekey", ESP, |c| (ike(c).child_rekey, ike(c).child_hard()), [("\"2s\"", "(2s, 84.53056s)"), ("\"1h\"", "(3600s, 3960s)")], [
        ("\"0s\"", "tunnel \"a\": ike.child-rekey 0s below minimum 1s"),
        ("\"169h\"", "tunnel \"a\": ike.child-rekey 169h above maximum 168h"),
    ]),
    row!(Ike, "child-packets", ESP, |c| ike(c).child_packets, [("1", "Some(1)"), ("9223372036854775807", "Some(9223372036854775807)")], [
        ("0", "tunnel \"a\": ike.child-packets 0 below minimum 1"),
    ]),
    row!(Ike, "child-octets", ESP, |c| ike(c).child_octets, [("1_000_000", "Some(1000000)")], [
        ("\"1G\"", "tunnel \"a\": ike.child-octets is a string, expected an integer 1..=9223372036854775807"),
    ]),
    row!(Ike, "rekey-jitter", ESP, |c| ike(c).jitter_percent, [("0", "0"), ("50", "50")], [
        ("51", "tunnel \"a\": ike.rekey-jitter 51 above maximum 50"),
        ("\"10%\"", "tunnel \"a\": ike.rekey-jitter is a string, expected an integer 0..=50"),
    ]),
    row!(Ike, "replay-window", ESP, |c| ike(c).replay_window, [("64", "64"), ("65536", "65536")], [
        ("63", "tunnel \"a\": ike.replay-window 63 below minimum 64"),
        ("65537", "tunnel \"a\": ike.replay-window 65537 above maximum 65536"),
    ]),
    row!(Ike, "retransmit", ESP, |c| ike(c).retransmit, [
        ("{}", "Retransmit { first: 2s, base_percent: 180, tries: 5, most: 60s }"),
    ], [
        ("5", "tunnel \"a\": ike.retransmit is an integer, expected a table with first, base, tries, most"),
    ]),
    row!(Ike, "fragment-octets", ESP, |c| v2(c).fragment_octets, [("576", "576"), ("16384", "16384")], [
        ("575", "tunnel \"a\": ike.fragment-octets 575 below minimum 576"),
        ("16385", "tunnel \"a\": ike.fragment-octets 16385 above maximum 16384"),
    ]),
    row!(Ike, "encap", ESP, |c| ike(c).force_udp, [("\"auto\"", "false"), ("\"udp\"", "true")], [
        ("true", "tunnel \"a\": ike.encap is a boolean, expected \"auto\" or \"udp\""),
    ]),
    row!(Ike, "nat-keepalive", ESP, |c| ike(c).nat_keepalive, [("\"1s\"", "1s"), ("\"1h\"", "3600s")], [
        ("\"999ms\"", "tunnel \"a\": ike.nat-keepalive 999ms below minimum 1s"),
        ("\"61m\"", "tunnel \"a\": ike.nat-keepalive 61m above maximum 1h"),
    ]),
    row!(Retransmit, "first", ESP, |c| ike(c).retransmit.first, [("\"100ms\"", "100ms"), ("\"60s\"", "60s")], [
        ("\"99ms\"", "tunnel \"a\": ike.retransmit.first 99ms below minimum 100ms"),
        ("\"61s\"", "tunnel \"a\": ike.retransmit.first 61s above maximum 1m"),
    ]),
    row!(Retransmit, "base", ESP, |c| ike(c).retransmit.base_percent, [("100", "100"), ("500", "500")], [
        ("99", "tunnel \"a\": ike.retransmit.base 99 below minimum 100"),
        ("501", "tunnel \"a\": ike.retransmit.base 501 above maximum 500"),
        ("1.8", "tunnel \"a\": ike.retransmit.base is a float, expected an integer 100..=500"),
    ]),
    row!(Retransmit, "tries", ESP, |c| ike(c).retransmit.tries, [("1", "1"), ("20", "20")], [
        ("0", "tunnel \"a\": ike.retransmit.tries 0 below minimum 1"),
        ("21", "tunnel \"a\": ike.retransmit.tries 21 above maximum 20"),
    ]),
    row!(Retransmit, "most", ESP, |c| ike(c).retransmit.most, [("\"100ms\"", "100ms"), ("\"1h\"", "3600s")], [
        ("\"99ms\"", "tunnel \"a\": ike.retransmit.most 99ms below minimum 100ms"),
        ("\"61m\"", "tunnel \"a\": ike.retransmit.most 61m above maximum 1h"),
    ]),
    row!(Dpd, "mode", ESP_IKE, |c| probes(c).mode, [("\"periodic\"", "Periodic"), ("\"on-demand\"", "OnDemand")], [
        ("\"ondemand\"", "tunnel \"a\": dpd.mode \"ondemand\" unknown, expected \"periodic\" or \"on-demand\" | did you mean \"on-demand\"?"),
    ]),
    row!(Dpd, "interval", ESP_IKE, |c| probes(c).interval, [("\"1s\"", "1s"), ("\"3600s\"", "3600s")], [
        ("\"999ms\"", "tunnel \"a\": dpd.interval 999ms below minimum 1s"),
        ("\"3601s\"", "tunnel \"a\": dpd.interval 3601s above maximum 1h"),
        ("10", "tunnel \"a\": dpd.interval 10 has no unit | write \"10s\""),
    ]),
    row!(Dpd, "retry", ESP_IKE, |c| probes(c).retry, [("\"200ms\"", "200ms"), ("\"60s\"", "60s")], [
        ("\"199ms\"", "tunnel \"a\": dpd.retry 199ms below minimum 200ms"),
        ("\"61s\"", "tunnel \"a\": dpd.retry 61s above maximum 1m"),
    ]),
    row!(Dpd, "attempts", ESP_IKE, |c| probes(c).attempts, [("1", "1"), ("20", "20")], [
        ("0", "tunnel \"a\": dpd.attempts 0 below minimum 1"),
        ("21", "tunnel \"a\": dpd.attempts 21 above maximum 20"),
    ]),
    row!(Dpd, "profile", ESP_IKE, |c| (probes(c).interval, probes(c).retry), [("\"cisco\"", "(10s, 2s)")], [
        ("\"huawei\"", "tunnel \"a\": dpd.profile \"huawei\" unknown, expected \"cisco\""),
        ("5", "tunnel \"a\": dpd.profile is an integer, expected \"cisco\""),
    ]),
    row!(Dpd, "no-data", ESP_IKE, |c| probes(c).no_data, [("\"0s\"", "None"), ("\"1h\"", "Some(3600s)")], [
        ("\"61m\"", "tunnel \"a\": dpd.no-data 61m above maximum 1h"),
    ]),
];
