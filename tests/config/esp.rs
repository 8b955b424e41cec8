//! What the keys of IPsec demand of each other, and the warnings.

use std::path::Path;

use adit::config::{Config, Family, Overhead};

use crate::{TUNNEL, parse, problems, shown, valid};

const SA: &str = "sa = { out = { spi = 0x1001, key-file = \"o.key\" }, in = { spi = 0x1002, key-file = \"i.key\" } }";
const STATIC: &str = "static keys are never renewed";

/// A tunnel `a` of this mode on its first four lines, with SAs on the fifth if the mode has ESP.
fn of_mode(mode: &str) -> String {
    let sa = if mode == "gre" { "" } else { SA };
    format!(
        "[tunnel.a]\nmode = \"{mode}\"\nremote = \"198.51.100.2\"\naddresses = [\"10.9.0.1/30\"]\n{sa}\n"
    )
}

/// The same with keepalives on the sixth line.
fn alive(mode: &str) -> String {
    format!("{}keepalive = true\n", of_mode(mode))
}

/// A second tunnel with keys of its own.
fn b(lines: &str) -> String {
    format!(
        "[tunnel.b]\nremote = \"198.51.100.3\"\naddresses = [\"10.9.0.5/30\"]\nkeepalive = true\n{lines}\n"
    )
}

/// Errors and warnings but the one about static keys.
fn others(text: &str) -> Vec<String> {
    let mut all = match parse(text) {
        Ok(config) => shown(&config.warnings),
        Err(report) => shown(&report),
    };
    all.retain(|problem| !problem.contains(STATIC));
    all
}

#[test]
fn static_keys_are_warned_of_in_every_mode_that_has_them() {
    for mode in ["esp", "gre-esp"] {
        assert_eq!(
            shown(&valid(&alive(mode)).warnings),
            [
                "5:6: tunnel \"a\": static keys are never renewed: they are for benchmarks and tests | for other use write ike instead"
            ]
        );
    }
}

#[test]
fn esp_needs_ike_or_static_sas() {
    for mode in ["esp", "gre-esp"] {
        assert_eq!(
            problems(&alive(mode).replace(SA, "")),
            [format!(
                "2:8: tunnel \"a\": mode \"{mode}\" needs ike, or sa with static keys | add ike = {{ psk-file = \"FILE\", local-id = \"a.example\", remote-id = \"b.example\" }}, with a key from adit keygen psk FILE"
            )]
        );
    }
}

/// A mode, a line that it does not take, the key that is refused and the modes that have it.
#[rustfmt::skip]
const OF_MODES: &[(&str, &str, &str, &str)] = &[
    ("gre", SA, "sa", "\"esp\" or \"gre-esp\""),
    ("gre", "local-ts = [\"::/0\"]", "local-ts", "\"esp\""),
    ("gre", "warm = { interval = \"1s\" }", "warm", "\"esp\" or \"gre-esp\""),
    ("gre", "udp = { nat = \"local\" }", "udp.nat", "\"esp\" or \"gre-esp\""),
    ("gre", "udp = { nat-keepalive = \"9s\" }", "udp.nat-keepalive", "\"esp\" or \"gre-esp\""),
    ("gre", "keepalive = { accept-clear = true }", "keepalive.accept-clear", "\"gre-esp\""),
    ("gre", "keepalive = { target = \"10.9.0.2\" }", "keepalive.target", "\"esp\""),
    ("esp", "gre = { key = 1 }", "gre", "\"gre\" or \"gre-esp\""),
    ("esp", "keepalive = { payload = false }", "keepalive.payload", "\"gre\" or \"gre-esp\""),
    ("esp", "keepalive = { profile = \"cisco\" }", "keepalive.profile", "\"gre\" or \"gre-esp\""),
    ("esp", "keepalive = { accept-inner = [] }", "keepalive.accept-inner", "\"gre\" or \"gre-esp\""),
    ("esp", "keepalive = { accept-clear = true }", "keepalive.accept-clear", "\"gre-esp\""),
    ("gre-esp", "remote-ts = [\"::/0\"]", "remote-ts", "\"esp\""),
    ("gre-esp", "tfc = { pad = \"mtu\" }", "tfc", "\"esp\""),
    ("gre-esp", "keepalive = { target = \"10.9.0.2\" }", "keepalive.target", "\"esp\""),
];

#[test]
fn a_key_of_another_mode_is_refused_with_the_modes_that_have_it() {
    for (mode, line, key, modes) in OF_MODES {
        let alive = if line.starts_with("keepalive") {
            ""
        } else {
            "keepalive = true\n"
        };
        let found = others(&format!("{}{alive}{line}\n", of_mode(mode)));
        let [problem] = &found[..] else {
            panic!("{mode}, {line}: {found:#?}")
        };
        let words = format!(
            ": tunnel \"a\": {key} has no meaning with mode \"{mode}\" | leave it out, or set mode to {modes}"
        );
        assert!(problem.ends_with(&words), "{problem}");
    }
    valid(&format!(
        "{}gre = {{ key = 1, sequence = true }}\n",
        alive("gre-esp")
    ));
}

#[test]
fn a_key_serves_one_direction_of_one_tunnel() {
    let help = "make a key for each direction";
    assert_eq!(
        others(&alive("esp").replace("\"i.key\"", "\"./o.key\"")),
        [format!(
            "5:84: tunnel \"a\": sa.in.key-file \"o.key\" is also sa.out.key-file: both directions count their nonces under one key | {help}: adit keygen FILE FILE"
        )]
    );
    let other = SA.replace("0x1002", "0x1004");
    let second = |sa: &str| format!("{}{}", alive("esp"), b(&format!("mode = \"esp\"\n{sa}")));
    assert_eq!(
        others(&second(&other.replace("\"i.key\"", "\"j.key\""))),
        [format!(
            "12:41: tunnel \"b\": sa.out.key-file \"o.key\" is also a key file of tunnel \"a\" | {help} of each tunnel: adit keygen FILE"
        )]
    );
    assert_eq!(
        others(&second(&other.replace("\"o.key\"", "\"i.key\"").replace(
            "in = { spi = 0x1004, key-file = \"i.key\"",
            "in = { spi = 0x1004, key-file = \"j.key\""
        ))),
        [format!(
            "12:41: tunnel \"b\": sa.out.key-file \"i.key\" is also a key file of tunnel \"a\" | {help} of each tunnel: adit keygen FILE"
        )]
    );
    assert_eq!(
        others(&second(
            &other
                .replace("\"o.key\"", "\"p.key\"")
                .replace("\"i.key\"", "\"j.key\"")
        )),
        [""; 0]
    );
}

#[test]
fn a_relative_key_file_is_in_the_folder_of_the_configuration() {
    let files = |path: &str| {
        let text = alive("esp").replace("\"i.key\"", "\"/keys/i.key\"");
        let config = Config::parse(Path::new(path), &text).unwrap();
        let sa = config.tunnels[0].sa.clone().unwrap();
        [sa.out.key_file, sa.inbound.key_file].map(|file| file.to_str().unwrap().to_owned())
    };
    assert_eq!(
        files("/etc/adit/adit.toml"),
        ["/etc/adit/o.key", "/keys/i.key"]
    );
    assert_eq!(files("adit.toml"), ["o.key", "/keys/i.key"]);
    assert_eq!(files("sub/adit.toml"), ["sub/o.key", "/keys/i.key"]);
}

#[test]
fn an_inbound_spi_is_unique_among_the_sockets_that_may_receive_it() {
    let sa = SA
        .replace("\"o.key\"", "\"p.key\"")
        .replace("\"i.key\"", "\"j.key\"");
    let second = |lines: &str| {
        format!(
            "{}{}",
            alive("esp"),
            b(&format!("mode = \"gre-esp\"\n{lines}{sa}"))
        )
    };
    assert_eq!(
        others(&second("")),
        ["12:65: tunnel \"b\": sa.in.spi 0x1002 is also that of tunnel \"a\""]
    );
    assert_eq!(others(&second("outer-netns = \"red\"\n")), [""; 0]);
}

#[test]
fn tunnels_with_esp_are_told_apart_by_spi_and_not_by_remote() {
    let sa = SA
        .replace("0x1002", "0x1004")
        .replace("\"o.key\"", "\"p.key\"")
        .replace("\"i.key\"", "\"j.key\"");
    let second = b(&format!("mode = \"esp\"\n{sa}")).replace("100.3", "100.2");
    assert_eq!(others(&format!("{}{second}", alive("esp"))), [""; 0]);
}

#[test]
fn gre_in_udp_is_told_apart_by_its_port() {
    let second = |udp: &str| {
        format!(
            "{}udp = true\n{}",
            alive("gre"),
            b(&format!("mode = \"gre\"\n{udp}")).replace("100.3", "100.2")
        )
    };
    assert_eq!(others(&second("udp = { port = 4755 }")), [""; 0]);
    assert_eq!(others(&second("")), [""; 0]);
    assert_eq!(
        others(&second("udp = true")),
        [
            "9:10: tunnel \"b\": packets from 198.51.100.2 with no key also belong to tunnel \"a\" | give each tunnel its own gre.key"
        ]
    );
}

#[test]
fn gre_and_esp_do_not_share_a_udp_port() {
    let second = |udp: &str| {
        format!(
            "{}udp = true\n{}",
            alive("esp"),
            b(&format!("mode = \"gre\"\n{udp}"))
        )
    };
    assert_eq!(
        others(&second("udp = { port = 4500 }")),
        [
            "13:16: tunnel \"b\": udp.port 4500 is to carry GRE, but carries ESP for tunnel \"a\" | give ESP and GRE a port each"
        ]
    );
    assert_eq!(others(&second("udp = true")), [""; 0]);
    assert_eq!(
        others(&second("udp = { port = 4500 }\nouter-netns = \"red\"")),
        [""; 0]
    );
}

#[test]
fn a_soft_limit_is_below_its_hard_limit() {
    let with = |soft: &str, hard: &str| {
        let limits = format!("\"o.key\", soft = {{ {soft} }}, hard = {{ {hard} }}");
        others(&alive("esp").replace("\"o.key\"", &limits))
    };
    assert_eq!(
        with(
            "packets = 9, octets = 10, time = \"59s\"",
            "packets = 10, octets = 11, time = \"1m\""
        ),
        [""; 0]
    );
    assert_eq!(with("packets = 9", "octets = 1"), [""; 0]);
    for (key, value) in [("packets", "10"), ("octets", "10"), ("time", "\"10s\"")] {
        let limit = format!("{key} = {value}");
        let found = with(&limit, &limit);
        assert_eq!(found.len(), 1);
        let value = value.trim_matches('"');
        let words = format!(
            "tunnel \"a\": sa.out.soft.{key} {value} is not below sa.out.hard.{key} {value}"
        );
        assert!(found[0].ends_with(&words), "{found:?}");
    }
}

#[test]
fn the_peer_inside_the_tunnel_is_the_other_end_of_a_network_of_two() {
    let target = |addresses: &str| {
        let text = alive("esp").replace("[\"10.9.0.1/30\"]", addresses);
        parse(&text).map(|config| {
            let keepalive = config.tunnels[0].keepalive.clone().unwrap();
            keepalive.target.unwrap().to_string()
        })
    };
    let ends = [
        ("[\"10.9.0.1/30\"]", "10.9.0.2"),
        ("[\"10.9.0.6/30\"]", "10.9.0.5"),
        ("[\"10.9.0.4/31\"]", "10.9.0.5"),
        ("[\"10.9.0.5/31\"]", "10.9.0.4"),
        ("[\"fd00::1/126\"]", "fd00::2"),
        ("[\"fd00::2/126\"]", "fd00::1"),
        ("[\"fd00::4/127\"]", "fd00::5"),
        (
            "[\"10.0.0.1/24\", \"fd00::1/127\", \"10.9.0.1/30\"]",
            "fd00::",
        ),
    ];
    for (addresses, end) in ends {
        assert_eq!(target(addresses).unwrap(), end, "{addresses}");
    }
    for addresses in [
        "[]",
        "[\"10.9.0.1/29\"]",
        "[\"10.9.0.1/32\"]",
        "[\"10.9.0.3/30\"]",
        "[\"fd00::/126\"]",
    ] {
        let report = target(addresses).unwrap_err();
        assert!(
            report
                .to_string()
                .contains("tunnel \"a\": keepalive.target missing"),
            "{addresses}: {report}"
        );
    }
    assert!(
        valid(&alive("gre-esp")).tunnels[0]
            .keepalive
            .as_ref()
            .unwrap()
            .target
            .is_none()
    );
}

#[test]
fn probes_come_from_the_address_on_the_targets_network_or_the_first_of_its_family() {
    let config = valid(&alive("esp").replace("[\"10", "[\"fd00::1/64\", \"10.8.0.1/24\", \"10"));
    let from = |target: &str| {
        config.tunnels[0]
            .source_for(target.parse().unwrap())
            .unwrap()
            .to_string()
    };
    assert_eq!(from("10.9.0.2"), "10.9.0.1");
    assert_eq!(from("10.8.0.9"), "10.8.0.1");
    assert_eq!(from("192.0.2.1"), "10.8.0.1");
    assert_eq!(from("2001:db8::1"), "fd00::1");
}

#[test]
fn what_the_selectors_would_drop_is_said() {
    let found = others(&format!(
        "{}routes = [\"10.1.0.0/16\", \"10.2.0.0/16\", \"0.0.0.0/0\"]\nremote-ts = [\"10.1.0.0/16\", \"10.2.0.0/15\"]\nlocal-ts = [\"10.3.0.0/16\"]\n",
        alive("esp")
    ));
    assert_eq!(
        found,
        [
            "4:13: tunnel \"a\": addresses 10.9.0.1 sends keepalives, but is not within local-ts: the peer never answers",
            "6:13: tunnel \"a\": keepalive.target 10.9.0.2 is not within remote-ts: the peer never answers",
            "7:10: tunnel \"a\": routes 0.0.0.0/0 holds the remote 198.51.100.2: the tunnel's own packets may be routed into it | keep a more specific route to the remote, or set outer-netns",
            "7:10: tunnel \"a\": routes 0.0.0.0/0 is not within remote-ts: what leaves it is dropped",
        ]
    );
}

#[test]
fn routes_are_guarded_with_esp_and_a_guard_that_is_off_is_warned_of() {
    for (mode, guarded) in [("gre", false), ("esp", true), ("gre-esp", true)] {
        assert_eq!(valid(&alive(mode)).tunnels[0].leak_guard, guarded, "{mode}");
        let off = format!("{}leak-guard = false\n", alive(mode));
        assert!(!valid(&off).tunnels[0].leak_guard);
        let warned = others(&off).iter().any(|problem| {
            problem
                .contains("without leak-guard the traffic of routes may leave another way in clear")
        });
        assert_eq!(warned, guarded, "{mode}");
        assert!(valid(&format!("{}leak-guard = true\n", alive(mode))).tunnels[0].leak_guard);
    }
}

#[test]
fn without_keepalive_esp_is_warned_of_as_gre_is() {
    assert_eq!(
        others(&of_mode("esp")),
        [
            "1:1: tunnel \"a\": without keepalive the tunnel goes up at once and never drops when the peer dies | add keepalive = true"
        ]
    );
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let warned = |line: &str| others(&format!("{}{line}\n", alive("esp")));
    assert_eq!(
        warned("offload = { udp-segmentation = \"on\" }"),
        ["7:32: tunnel \"a\": offload.udp-segmentation has no effect without udp"]
    );
    assert_eq!(
        warned("udp = { nat = \"peer\", nat-keepalive = \"10s\" }"),
        [
            "7:39: tunnel \"a\": udp.nat-keepalive has no effect unless udp.nat is \"local\" or \"both\""
        ]
    );
    assert_eq!(
        warned("warm = { interval = \"1s\", kind = \"dummy59\", source = \"10.9.0.1\" }"),
        ["7:54: tunnel \"a\": warm.source has no effect with kind \"dummy59\""]
    );
}

#[test]
fn the_overhead_of_each_mode_leaves_the_mtu_that_the_headers_and_the_padding_leave() {
    let overhead = |mode: &str, udp: bool, family| {
        let text = format!("{}udp = {udp}\n", alive(mode));
        valid(&text).tunnels[0].overhead(family)
    };
    let cases = [
        ("esp", true, Family::Ipv4, 62, 1438),
        ("esp", false, Family::Ipv4, 54, 1446),
        ("esp", true, Family::Ipv6, 82, 1418),
        ("gre-esp", true, Family::Ipv4, 66, 1434),
        ("gre-esp", false, Family::Ipv6, 78, 1422),
        ("gre", true, Family::Ipv4, 32, 1468),
        ("gre", false, Family::Ipv4, 24, 1476),
    ];
    for (mode, udp, family, octets, inner) in cases {
        let overhead = overhead(mode, udp, family);
        assert_eq!(overhead.octets(), octets, "{mode} {udp} {family}");
        assert_eq!(overhead.inner_max(1500), inner, "{mode} {udp} {family}");
        assert_eq!(overhead.outer(inner), 1500);
    }
}

#[test]
fn the_largest_inner_packet_fits_and_one_octet_more_does_not() {
    let parts = [(0, 0), (34, 0), (34, 4), (34, 8), (0, 4)];
    for (esp, gre) in parts {
        for path in 100..2000 {
            let overhead = Overhead {
                ip: 20,
                udp: 8,
                esp,
                gre,
                esp_alignment: if esp == 0 { 1 } else { 4 },
                gre_ip: 0,
            };
            let inner = overhead.inner_max(path);
            assert!(overhead.outer(inner) <= path, "{overhead:?} {path}");
            assert!(overhead.outer(inner + 1) > path, "{overhead:?} {path}");
        }
    }
}

#[test]
fn the_mtu_leaves_room_for_esp_in_the_largest_packet() {
    assert_eq!(
        others(&format!("{}mtu = 65471\nudp = true\n", alive("esp"))),
        ["7:7: tunnel \"a\": mtu 65471 above maximum 65470: 62 octets of overhead over IPv4"]
    );
    let six =
        |mtu: u32| format!("{}mtu = {mtu}\n", alive("esp")).replace("198.51.100.2", "2001:db8::2");
    assert_eq!(others(&six(65_498)), [""; 0]);
    assert_eq!(
        others(&six(65_499)),
        ["7:7: tunnel \"a\": mtu 65499 above maximum 65498: 74 octets of overhead over IPv6"]
    );
}

#[test]
fn a_refused_mode_hides_nothing_and_invents_nothing() {
    assert_eq!(
        others(
            &TUNNEL
                .replace("\"gre\"", "\"ipsec\"")
                .replace("true", "{ target = \"x\" }")
        ),
        [
            "2:8: tunnel \"a\": mode \"ipsec\" unknown, expected \"gre\", \"esp\" or \"gre-esp\"",
            "4:24: tunnel \"a\": keepalive.target \"x\" is not an IP address",
        ]
    );
}
