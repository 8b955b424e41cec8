//! What one key demands of another, and the warnings.

use std::time::Duration;

use adit::config::{Df, DscpIn, DscpOut, Ecn, Family, GreKey, Ttl};

use crate::{TUNNEL, problems, valid, warnings};

/// A second tunnel after [`TUNNEL`], with these lines.
fn and_b(lines: &str) -> String {
    format!("{TUNNEL}[tunnel.b]\nmode = \"gre\"\nkeepalive = true\n{lines}")
}

#[test]
fn families_of_local_and_remote_agree() {
    assert_eq!(
        problems(&format!("{TUNNEL}local = \"2001:db8::1\"\n")),
        ["3:10: tunnel \"a\": remote 198.51.100.2 is IPv4, but local 2001:db8::1 is IPv6"]
    );
    let mixed = TUNNEL.replace("\"198.51.100.2\"", "[\"gw.example\", \"2001:db8::2\"]");
    assert_eq!(
        problems(&format!("{mixed}local = \"192.0.2.1\"\n")),
        ["3:25: tunnel \"a\": remote 2001:db8::2 is IPv6, but local 192.0.2.1 is IPv4"]
    );
    // Without a local address each remote may have its own family.
    assert_eq!(warnings(&mixed), [""; 0]);
}

#[test]
fn a_tunnel_to_the_local_address_is_refused() {
    assert_eq!(
        problems(&format!("{TUNNEL}local = \"198.51.100.2\"\n")),
        ["3:10: tunnel \"a\": remote 198.51.100.2 is the local address"]
    );
}

#[test]
fn the_mtu_leaves_room_for_the_outer_header_in_the_largest_packet() {
    let keyed = "gre = { key = 1, checksum = true, sequence = true }\n";
    assert_eq!(
        problems(&format!("{TUNNEL}mtu = 65500\n{keyed}")),
        ["5:7: tunnel \"a\": mtu 65500 above maximum 65499: 36 octets of overhead over IPv4"]
    );
    valid(&format!("{TUNNEL}mtu = 65499\n{keyed}"));
    valid(
        &format!("{TUNNEL}mtu = 65511\n")
            .replace("198.51.100.2", "2001:db8::2")
            .replace("mtu", &format!("{keyed}mtu")),
    );
}

#[test]
fn a_profile_limits_the_period_to_what_the_router_takes() {
    let with = |keepalive: &str| TUNNEL.replace("= true", &format!("= {{ {keepalive} }}"));
    valid(&with("period = \"999ms\""));
    valid(&with("profile = \"cisco\", period = \"1s\""));
    assert_eq!(
        problems(&with("profile = \"huawei\", period = \"999ms\"")),
        [
            "4:44: tunnel \"a\": keepalive.period 999ms below minimum 1s of profile \"huawei\" | leave the profile out to go below a router's range"
        ]
    );
}

#[test]
fn a_hook_is_there_if_and_only_if_on_dead_runs_it() {
    assert_eq!(
        problems(&format!("{TUNNEL}on-dead = [\"hook\"]\n")),
        [
            "5:11: tunnel \"a\": on-dead has \"hook\", but hook is missing | add hook = [\"/path/to/program\"]"
        ]
    );
    assert_eq!(
        problems(&format!(
            "{TUNNEL}hook = [\"/bin/true\"]\nhook-timeout = \"1s\"\n"
        )),
        [
            "5:8: tunnel \"a\": hook is set, but on-dead does not have \"hook\" | add \"hook\" to on-dead",
            "6:16: tunnel \"a\": hook-timeout is set, but on-dead does not have \"hook\" | add \"hook\" to on-dead",
        ]
    );
    // A refused value is one fault, not two.
    assert_eq!(
        problems(&format!(
            "{TUNNEL}on-dead = [\"hok\"]\nhook = [\"/bin/true\"]\n"
        ))
        .len(),
        1
    );
    assert_eq!(
        problems(&format!("{TUNNEL}on-dead = [\"hook\"]\nhook = true\n")).len(),
        1
    );
}

#[test]
fn failback_needs_two_remotes() {
    assert_eq!(
        problems(&format!("{TUNNEL}failback = \"30s\"\n")),
        ["5:12: tunnel \"a\": failback needs 2 remotes, there is 1"]
    );
}

#[test]
fn an_interface_is_unique_within_its_namespace() {
    let remote = "remote = \"198.51.100.3\"\n";
    assert_eq!(
        problems(&and_b(&format!("{remote}interface = \"a\"\n"))),
        ["9:13: tunnel \"b\": interface \"a\" is also that of tunnel \"a\""]
    );
    valid(&and_b(&format!(
        "{remote}interface = \"a\"\nnetns = \"blue\"\n"
    )));
}

#[test]
fn two_tunnels_are_told_apart_by_namespace_remote_or_key() {
    let same = "remote = [\"198.51.100.9\", \"198.51.100.2\"]\n";
    assert_eq!(
        problems(&and_b(same)),
        [
            "8:27: tunnel \"b\": packets from 198.51.100.2 with no key also belong to tunnel \"a\" | give each tunnel its own gre.key"
        ]
    );
    for different in [
        "gre = { key = 0 }\n",
        "gre = { key = { in = 1 } }\n",
        "outer-netns = \"red\"\n",
    ] {
        valid(&and_b(&format!("{same}{different}")));
    }
    // Only the key that the peer sends tells them apart.
    assert_eq!(
        problems(&and_b(&format!("{same}gre = {{ key = {{ out = 1 }} }}\n"))).len(),
        1
    );
    let names = and_b("remote = \"GW.example.\"\n").replace("198.51.100.2", "gw.example");
    assert_eq!(
        problems(&names),
        [
            "8:10: tunnel \"b\": packets from gw.example with no key also belong to tunnel \"a\" | give each tunnel its own gre.key"
        ]
    );
}

#[test]
fn a_long_tunnel_name_needs_an_interface_name() {
    let text = TUNNEL.replace("tunnel.a", "tunnel.a-name-of-16-oct");
    assert_eq!(
        problems(&text),
        [
            "1:1: tunnel \"a-name-of-16-oct\": interface \"a-name-of-16-oct\" of 16 octets above maximum 15 | the tunnel's name does not do: add interface = \"NAME\""
        ]
    );
    assert_eq!(
        valid(&format!("{text}interface = \"gre0\"\n")).tunnels[0].interface,
        "gre0"
    );
}

#[test]
fn tunnel_names_have_1_to_64_plain_characters() {
    let named = |name: &str| {
        TUNNEL.replace(
            "[tunnel.a]",
            &format!("[tunnel.\"{name}\"]\ninterface = \"i\""),
        )
    };
    valid(&named("A.b_c-9"));
    valid(&named(&"n".repeat(64)));
    assert_eq!(
        problems(&named("")),
        ["1:9: tunnel \"\": name of 0 octets below minimum 1"]
    );
    assert_eq!(
        problems(&named("a b")),
        ["1:9: tunnel \"a b\": name holds ' '"]
    );
    assert_eq!(
        problems(&named(&"n".repeat(65))),
        [format!(
            "1:9: tunnel \"{}\"…: name of 65 octets above maximum 64",
            "n".repeat(64)
        )]
    );
    assert_eq!(
        problems("[tunnel]\na = 1\n"),
        ["2:5: tunnel \"a\" is an integer, expected a table"]
    );
}

#[test]
fn missing_keys_are_named_with_an_example() {
    assert_eq!(
        problems("[tunnel.a]\nkeepalive = true\n"),
        [
            "1:1: tunnel \"a\": mode missing | add mode = \"gre\"",
            "1:1: tunnel \"a\": remote missing | add remote = \"198.51.100.2\""
        ]
    );
}

#[test]
fn a_route_that_holds_the_remote_is_warned_of_where_the_sockets_share_its_namespace() {
    let text = format!(
        "{TUNNEL}addresses = [\"198.51.100.1/24\"]\nroutes = [\"0.0.0.0/0\", \"198.51.100.0/30\", \"::/0\"]\n"
    );
    let help = "keep a more specific route to the remote, or set outer-netns";
    assert_eq!(
        warnings(&text),
        [
            format!(
                "5:13: tunnel \"a\": addresses 198.51.100.1/24 holds the remote 198.51.100.2: the tunnel's own packets may be routed into it | {help}"
            ),
            format!(
                "6:10: tunnel \"a\": routes 0.0.0.0/0 holds the remote 198.51.100.2: the tunnel's own packets may be routed into it | {help}"
            ),
        ]
    );
    assert_eq!(warnings(&format!("{text}netns = \"blue\"\n")), [""; 0]);
    assert_eq!(
        warnings(&format!(
            "{TUNNEL}routes = [\"198.51.100.4/30\", \"::/0\"]\n"
        )),
        [""; 0]
    );
}

#[test]
fn without_keepalive_what_needs_it_is_warned_of() {
    let text = TUNNEL
        .replace("keepalive = true", "keepalive = false")
        .replace("\"198.51.100.2\"", "[\"gw1\", \"gw2\"]");
    assert_eq!(
        warnings(&format!(
            "{text}on-dead = [\"carrier\"]\nfailback = \"1m\"\ndamping = true\ninitial = \"up\"\n"
        )),
        [
            "3:10: tunnel \"a\": 2 remotes, but without keepalive the first is never left",
            "4:13: tunnel \"a\": without keepalive the tunnel goes up at once and never drops when the peer dies | add keepalive = true",
            "5:11: tunnel \"a\": on-dead has no effect without keepalive",
            "6:12: tunnel \"a\": failback has no effect without keepalive",
            "7:11: tunnel \"a\": damping has no effect without keepalive",
            "8:11: tunnel \"a\": initial has no effect without keepalive",
        ]
    );
}

#[test]
fn the_worst_case_is_one_period_more_than_the_retries_and_10_ms() {
    let worst = |keepalive: &str| {
        let config = valid(&TUNNEL.replace("= true", &format!("= {keepalive}")));
        config.tunnels[0]
            .keepalive
            .as_ref()
            .unwrap()
            .pace()
            .worst_case()
    };
    assert_eq!(worst("true"), Duration::from_millis(20_010));
    assert_eq!(
        worst("{ profile = \"cisco\" }"),
        Duration::from_millis(40_010)
    );
    assert_eq!(
        worst("{ period = \"100ms\", retries = 1 }"),
        Duration::from_millis(210)
    );
    assert_eq!(
        worst("{ period = \"32767s\", retries = 255 }"),
        Duration::from_millis(32_767_000 * 256 + 10)
    );
}

#[test]
fn the_overhead_is_the_outer_header_and_each_option_that_we_send() {
    let overhead = |gre: &str, family| {
        valid(&format!("{TUNNEL}gre = {gre}\n")).tunnels[0].overhead_octets(family)
    };
    assert_eq!(overhead("{}", Family::Ipv4), 24);
    assert_eq!(overhead("{}", Family::Ipv6), 44);
    assert_eq!(overhead("{ key = { in = 1 } }", Family::Ipv4), 24);
    assert_eq!(overhead("{ key = { out = 1 } }", Family::Ipv4), 28);
    assert_eq!(
        overhead(
            "{ checksum = true, sequence = true, key = 0 }",
            Family::Ipv6
        ),
        56
    );
}

#[test]
fn tunnels_keep_the_order_of_the_file() {
    let names = ["z", "a", "m"].map(|name| {
        TUNNEL
            .replace("tunnel.a", &format!("tunnel.{name}"))
            .replace(
                ".2\"",
                &format!(".{}\"", name.len() + usize::from(name.as_bytes()[0])),
            )
    });
    let config = valid(&names.concat());
    let order: Vec<_> = config
        .tunnels
        .iter()
        .map(|tunnel| tunnel.name.as_str())
        .collect();
    assert_eq!(order, ["z", "a", "m"]);
}

#[test]
fn an_automatic_mss_is_the_mtu_minus_the_headers_of_ip_and_tcp() {
    let config = valid(&format!("{TUNNEL}mss-clamp = \"auto\"\n"));
    let clamp = config.tunnels[0].mss_clamp.at(1476).unwrap();
    assert_eq!((clamp.v4, clamp.v6), (Some(1436), Some(1416)));
    assert_eq!(valid(TUNNEL).tunnels[0].mss_clamp.at(1476), None);
}

#[test]
fn the_packet_path_gets_what_the_file_says() {
    let lines = "gre = { key = { in = 1, out = 2 }, checksum = true }\nttl = 9\ndscp = 46\ndscp-decap = \"copy\"\ndf = \"clear\"\nmss-clamp = 1300\n";
    let config = valid(&format!("{TUNNEL}{lines}"));
    let [local, remote] = ["192.0.2.1", "198.51.100.2"].map(|address| address.parse().unwrap());
    let parameters = config.tunnels[0].parameters(local, remote, 1472, None);
    assert_eq!((parameters.local, parameters.remote), (local, remote));
    assert_eq!(
        (parameters.key_in, parameters.key_out),
        (Some(GreKey(1)), Some(GreKey(2)))
    );
    assert_eq!((parameters.checksum, parameters.sequence), (true, false));
    assert_eq!((parameters.ttl, parameters.df), (Ttl::Fixed(9), Df::Clear));
    assert_eq!(
        (parameters.dscp_out, parameters.dscp_in),
        (DscpOut::Fixed(46), DscpIn::Copy)
    );
    assert_eq!(parameters.ecn, Ecn::Normal);
    assert_eq!(parameters.mss_clamp.and_then(|clamp| clamp.v6), Some(1300));
}
