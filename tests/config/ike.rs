//! What the keys of IKE demand of each other, and the warnings.

use std::path::Path;
use std::time::Duration;

use adit::config::{ChildMode, Config, Credentials, DpdMode, Family, Remote, Start};

use crate::{parse, problems, shown, valid, warnings};

const IKE: &str =
    "ike = { psk-file = \"a.psk\", local-id = \"a.example\", remote-id = \"b.example\" }";
const CERTIFICATE: &str = "ike = { cert-file = \"a.pem\", key-file = \"k.pem\", ca-file = \"ca.pem\", remote-id = \"b.example\" }";

/// A tunnel `a` of this mode with IKE on the fifth line.
fn of_mode(mode: &str) -> String {
    format!(
        "[tunnel.a]\nmode = \"{mode}\"\nremote = \"198.51.100.2\"\naddresses = [\"10.9.0.1/30\"]\n{IKE}\n"
    )
}

/// Mode `esp` with this line on the sixth.
fn and(line: &str) -> String {
    format!("{}{line}\n", of_mode("esp"))
}

/// Mode `esp` with this entry more in `ike`.
fn entry(entry: &str) -> String {
    of_mode("esp").replace(" }", &format!(", {entry} }}"))
}

/// A second tunnel with these lines.
fn and_b(lines: &str) -> String {
    format!(
        "{}[tunnel.b]\nmode = \"gre-esp\"\naddresses = [\"10.9.0.5/30\"]\n{lines}\n",
        of_mode("esp")
    )
}

fn all(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(config) => shown(&config.warnings),
        Err(report) => shown(&report),
    }
}

#[test]
fn a_tunnel_with_ike_needs_no_keepalive_and_warns_of_nothing() {
    for mode in ["esp", "gre-esp"] {
        let config = valid(&of_mode(mode));
        assert_eq!(shown(&config.warnings), [""; 0]);
        let tunnel = &config.tunnels[0];
        assert!(tunnel.sa.is_none() && tunnel.udp.is_none() && tunnel.keepalive.is_none());
        assert_eq!((tunnel.start, tunnel.idle_timeout), (Start::Auto, None));
        assert!(tunnel.leak_guard);
        let with = format!("{}keepalive = true\n", of_mode(mode));
        assert_eq!(warnings(&with), [""; 0]);
    }
}

#[test]
fn without_dpd_the_peer_is_asked_periodically_after_10_s() {
    let dpd = valid(&of_mode("esp")).tunnels[0].dpd.unwrap();
    assert_eq!(dpd.mode, DpdMode::Periodic);
    assert_eq!(
        (dpd.interval, dpd.retry),
        (Duration::from_secs(10), Duration::from_secs(2))
    );
    assert_eq!((dpd.attempts, dpd.no_data), (5, None));
    assert_eq!(valid(crate::TUNNEL).tunnels[0].dpd, None);
}

#[test]
fn dpd_that_is_off_is_warned_of() {
    assert_eq!(
        warnings(&and("dpd = false")),
        [
            "6:7: tunnel \"a\": dpd = false: a dead peer is not found before the next rekey | leave dpd out: by default a dead peer is found within 20 s"
        ]
    );
    assert_eq!(
        warnings(&and("keepalive = true\ndpd = false")),
        [
            "7:7: tunnel \"a\": dpd = false: only keepalive finds a dead peer, and IKE not before its next rekey | leave dpd out: by default a dead peer is found within 20 s"
        ]
    );
}

#[test]
fn the_cisco_profile_limits_dpd_to_what_the_router_takes() {
    assert_eq!(
        problems(&and(
            "dpd = { profile = \"cisco\", interval = \"9s\", retry = \"1999ms\" }"
        )),
        [
            "6:39: tunnel \"a\": dpd.interval 9s below minimum 10s of profile \"cisco\" | leave the profile out to go below a router's range",
            "6:53: tunnel \"a\": dpd.retry 1999ms below minimum 2s of profile \"cisco\" | leave the profile out to go below a router's range",
        ]
    );
    valid(&and("dpd = { interval = \"9s\", retry = \"1999ms\" }"));
}

#[test]
fn ike_belongs_to_the_modes_with_esp_and_what_needs_it_says_so() {
    assert_eq!(
        problems(&of_mode("gre")),
        [
            "5:7: tunnel \"a\": ike has no meaning with mode \"gre\" | leave it out, or set mode to \"esp\" or \"gre-esp\""
        ]
    );
    let gre = crate::TUNNEL;
    assert_eq!(
        problems(&format!(
            "{gre}dpd = {{ interval = \"10s\" }}\nstart = \"auto\"\nidle-timeout = \"1m\"\n"
        )),
        [
            "5:7: tunnel \"a\": dpd needs ike | keepalive finds a dead peer without ike",
            "6:9: tunnel \"a\": start needs ike | leave it out",
            "7:16: tunnel \"a\": idle-timeout needs ike | leave it out",
        ]
    );
    valid(&format!("{gre}dpd = false\nidle-timeout = \"0s\"\n"));
}

#[test]
fn ike_excludes_static_sas_and_udp() {
    let sa = "sa = { out = { spi = 0x1001, key-file = \"o.key\" }, in = { spi = 0x1002, key-file = \"i.key\" } }";
    assert_eq!(
        problems(&and(sa)),
        ["6:6: tunnel \"a\": sa stands beside ike, which makes the SAs | leave one of them out"]
    );
    for udp in ["true", "{ port = 4501 }"] {
        assert_eq!(
            problems(&and(&format!("udp = {udp}"))),
            [
                "6:7: tunnel \"a\": udp stands beside ike, whose NAT detection decides on it | leave udp out; ike = { encap = \"udp\" } forces it"
            ]
        );
    }
    valid(&and("udp = false"));
}

#[test]
fn selectors_are_of_mode_esp_only() {
    valid(&and(
        "local-ts = [\"10.0.0.0/8\"]\nremote-ts = [\"0.0.0.0/0\"]",
    ));
    let found = problems(&format!(
        "{}local-ts = [\"10.0.0.0/8\"]\n",
        of_mode("gre-esp")
    ));
    assert_eq!(
        found,
        [
            "6:12: tunnel \"a\": local-ts has no meaning with mode \"gre-esp\" | leave it out, or set mode to \"esp\""
        ]
    );
}

#[test]
fn whole_packets_need_tunnel_mode() {
    let mode = |text: &str| valid(text).tunnels[0].ike.as_ref().unwrap().child_mode;
    assert_eq!(mode(&of_mode("esp")), ChildMode::Tunnel);
    assert_eq!(mode(&of_mode("gre-esp")), ChildMode::Transport);
    assert_eq!(
        problems(&entry("child-mode = \"transport\"")),
        [
            "5:91: tunnel \"a\": ike.child-mode \"transport\" has no meaning with mode \"esp\", which carries whole packets | leave it out, or set mode to \"gre-esp\""
        ]
    );
}

#[test]
fn credentials_are_a_pre_shared_key_or_all_that_certificates_take() {
    assert_eq!(
        problems(&of_mode("esp").replace("psk-file", "cert-file")),
        [
            "5:7: tunnel \"a\": ike.key-file missing: certificates take cert-file, key-file and ca-file | add key-file = \"FILE.pem\"",
            "5:7: tunnel \"a\": ike.ca-file missing: certificates take cert-file, key-file and ca-file | add ca-file = \"FILE.pem\"",
        ]
    );
    assert_eq!(
        problems(&entry("ca-file = \"ca.pem\"")),
        [
            "5:88: tunnel \"a\": ike.ca-file stands beside ike.psk-file | leave one of them out: both ends prove themselves in the same way"
        ]
    );
}

#[test]
fn relative_files_are_in_the_folder_of_the_configuration() {
    let credentials = |ike: &str| {
        let text = of_mode("esp").replace(IKE, ike);
        let config = Config::parse(Path::new("/etc/adit/adit.toml"), &text).unwrap();
        config.tunnels[0].ike.clone().unwrap().credentials
    };
    assert_eq!(credentials(IKE), Credentials::Psk("/etc/adit/a.psk".into()));
    assert_eq!(
        credentials(&CERTIFICATE.replace("k.pem", "/keys/k.pem")),
        Credentials::Certificate {
            chain: "/etc/adit/a.pem".into(),
            key: "/keys/k.pem".into(),
            anchors: "/etc/adit/ca.pem".into(),
        }
    );
}

#[test]
fn who_we_are_is_said_or_follows_from_local_or_the_certificate() {
    let local_id = |text: &str| {
        let id = valid(text).tunnels[0].ike.clone().unwrap().local_id;
        id.map(|id| id.to_string())
    };
    let unnamed = of_mode("esp").replace("local-id = \"a.example\", ", "");
    assert_eq!(
        problems(&unnamed),
        [
            "5:7: tunnel \"a\": ike.local-id missing: neither local nor a certificate says who we are | add local-id = \"a.example\""
        ]
    );
    let from = format!("{unnamed}local = \"192.0.2.1\"\n");
    assert_eq!(local_id(&from).as_deref(), Some("192.0.2.1"));
    assert_eq!(local_id(&of_mode("esp").replace(IKE, CERTIFICATE)), None);
}

#[test]
fn any_certificate_of_the_authorities_is_warned_of() {
    let text = of_mode("esp").replace(IKE, &CERTIFICATE.replace(", remote-id = \"b.example\"", ""));
    assert_eq!(
        warnings(&text),
        [
            "5:60: tunnel \"a\": without ike.remote-id whoever has a certificate of ca-file is taken for the peer | add remote-id = \"b.example\""
        ]
    );
}

#[test]
fn a_key_id_is_no_identity_of_a_certificate() {
    let text = of_mode("esp").replace(IKE, &CERTIFICATE.replace("b.example", "keyid:b"));
    assert_eq!(
        problems(&text),
        [
            "5:82: tunnel \"a\": ike.remote-id is a key ID, which no certificate holds | write a name or an address of the certificate, or its subject"
        ]
    );
    valid(&of_mode("esp").replace("b.example", "keyid:b"));
}

#[test]
fn any_remote_stands_alone_with_ike_and_an_identity_and_waits() {
    let any = |text: &str| text.replace("\"198.51.100.2\"", "\"any\"");
    let config = valid(&any(&of_mode("esp")));
    let tunnel = &config.tunnels[0];
    assert_eq!(
        (&tunnel.remotes[..], tunnel.start),
        (&[Remote::Any][..], Start::Passive)
    );
    assert_eq!(tunnel.outer_families(), [Family::Ipv4, Family::Ipv6]);
    assert_eq!(shown(&config.warnings), [""; 0]);
    valid(&any(&and("start = \"passive\"")));
    let of_no_one = of_mode("esp").replace(", remote-id = \"b.example\"", "");
    assert_eq!(
        problems(&any(&of_no_one)),
        [
            "5:7: tunnel \"a\": remote \"any\" needs ike.remote-id: nothing else tells who the peer is | add remote-id = \"b.example\""
        ]
    );
    assert_eq!(
        problems(&any(&and("start = \"auto\""))),
        [
            "6:9: tunnel \"a\": start is not \"passive\", but remote \"any\" tells nobody whom to ask | leave start out, or write \"passive\""
        ]
    );
    assert_eq!(
        problems(&any(crate::TUNNEL)),
        ["3:10: tunnel \"a\": remote \"any\" needs ike: nothing else tells who the peer is"]
    );
    let beside = of_mode("esp").replace("\"198.51.100.2\"", "[\"any\", \"198.51.100.2\"]");
    assert_eq!(
        problems(&format!("{beside}start = \"passive\"\n")),
        [
            "3:10: tunnel \"a\": remote \"any\" stands beside other remotes | write remote = \"any\", or leave it out"
        ]
    );
}

#[test]
fn an_idle_tunnel_is_not_deleted_only_to_be_made_again() {
    assert_eq!(
        problems(&and("idle-timeout = \"5m\"")),
        [
            "6:16: tunnel \"a\": idle-timeout deletes SAs that start \"auto\" brings up again at once | add start = \"on-traffic\""
        ]
    );
    for start in ["on-traffic", "passive"] {
        let config = valid(&and(&format!("idle-timeout = \"5m\"\nstart = \"{start}\"")));
        assert_eq!(
            config.tunnels[0].idle_timeout,
            Some(Duration::from_secs(300))
        );
    }
}

#[test]
fn failback_is_for_who_chooses_the_remote() {
    let two = |line: &str| {
        and(&format!("failback = \"1m\"\n{line}")).replace("\"198.51.100.2\"", "[\"gw1\", \"gw2\"]")
    };
    assert_eq!(warnings(&two("")), [""; 0]);
    assert_eq!(
        warnings(&two("start = \"passive\"")),
        [
            "6:12: tunnel \"a\": failback has no effect with start \"passive\": the peer decides where it comes from"
        ]
    );
}

#[test]
fn initial_has_no_effect_since_data_decides() {
    assert_eq!(
        warnings(&and("initial = \"up\"")),
        ["6:11: tunnel \"a\": initial has no effect with ike: the tunnel is up once data passes"]
    );
    assert_eq!(warnings(&and("initial = \"probing\"")), [""; 0]);
}

#[test]
fn suites_that_are_slow_are_warned_of() {
    assert_eq!(
        warnings(&entry(
            "esp-proposals = [\"aes128gcm16\", \"aes256-sha256-ecp256\"]"
        )),
        [
            "5:110: tunnel \"a\": ike.esp-proposals aes256-sha256 takes several times the CPU time of aes128gcm16 | leave it out unless the peer has nothing else"
        ]
    );
}

#[test]
fn a_peer_belongs_to_one_tunnel() {
    let second = |ike: &str| {
        and_b(&format!(
            "remote = [\"198.51.100.9\", \"198.51.100.2\"]\n{ike}"
        ))
    };
    let message = "10:7: tunnel \"b\": a peer from 198.51.100.2 may also be that of tunnel \"a\": neither ike.local-id nor ike.remote-id tells them apart | give each tunnel its own remote-id";
    assert_eq!(all(&second(IKE)), [message]);
    assert_eq!(
        all(&second(&IKE.replace("b.example", "B.EXAMPLE"))),
        [message]
    );
    assert_eq!(
        all(&second(&IKE.replace(", remote-id = \"b.example\"", ""))),
        [message]
    );
    assert_eq!(
        all(&second(&IKE.replace("b.example", "c.example"))),
        [""; 0]
    );
    assert_eq!(
        all(&second(&IKE.replace("a.example", "c.example"))),
        [""; 0]
    );
    assert_eq!(
        all(&format!("{}outer-netns = \"red\"\n", second(IKE))),
        [""; 0]
    );
    let any = |ike: &str| {
        and_b(&format!("remote = \"any\"\n{ike}")).replace("\"198.51.100.2\"", "\"any\"")
    };
    assert_eq!(all(&any(IKE)), [message.replace("198.51.100.2", "any")]);
    assert_eq!(all(&any(&IKE.replace("b.example", "c.example"))), [""; 0]);
}

#[test]
fn the_ports_of_ike_carry_nothing_else_but_esp() {
    let second = |mode: &str, port: u16| {
        let (sa, mode) = match mode {
            "gre" => ("", "gre"),
            _ => (
                "sa = { out = { spi = 0x1001, key-file = \"o.key\" }, in = { spi = 0x1002, key-file = \"i.key\" } }\n",
                "gre-esp",
            ),
        };
        let lines =
            format!("remote = \"198.51.100.3\"\nkeepalive = true\nudp = {{ port = {port} }}\n{sa}");
        let mut found = all(&and_b(&lines).replace("gre-esp", mode));
        found.retain(|problem| !problem.contains("static keys"));
        found
    };
    assert_eq!(second("esp", 4500), [""; 0]);
    assert_eq!(second("gre", 4754), [""; 0]);
    for (mode, port) in [("esp", 500), ("gre", 500), ("gre", 4500)] {
        assert_eq!(
            second(mode, port),
            [format!(
                "11:16: tunnel \"b\": udp.port {port} is that of IKE for tunnel \"a\" | choose another port here, or for ike at the top of the file"
            )]
        );
    }
}

#[test]
fn the_two_ports_of_ike_differ() {
    let text = format!("ike = {{ port = 501, nat-port = 501 }}\n{}", of_mode("esp"));
    assert_eq!(problems(&text), ["1:32: ike.nat-port 501 is also ike.port"]);
}

#[test]
fn the_overhead_is_that_of_the_costliest_suite_and_mode() {
    let overhead = |mode: &str, entry: &str| {
        let text = of_mode(mode).replace(" }", &format!(", {entry} }}"));
        let overhead = valid(&text).tunnels[0].overhead(Family::Ipv4);
        (overhead.octets(), overhead.inner_max(1500))
    };
    assert_eq!(overhead("esp", "encap = \"auto\""), (54, 1446));
    assert_eq!(overhead("esp", "encap = \"udp\""), (62, 1438));
    assert_eq!(overhead("gre-esp", "encap = \"udp\""), (66, 1434));
    assert_eq!(overhead("gre-esp", "child-mode = \"tunnel\""), (78, 1422));
    let slow = "esp-proposals = [\"aes128gcm16\", \"aes256-sha384\"]";
    assert_eq!(overhead("esp", slow), (20 + 8 + 16 + 2 + 24, 1422));
}

#[test]
fn an_sa_ends_after_the_last_try_to_renew_it() {
    let retransmit = |entries: &str| {
        let text = entry(&format!("retransmit = {{ {entries} }}, rekey = \"1s\""));
        let ike = valid(&text).tunnels[0].ike.clone().unwrap();
        (ike.retransmit.patience(), ike.hard())
    };
    let (patience, hard) = retransmit("first = \"1s\", base = 200, tries = 3");
    assert_eq!(patience, Duration::from_secs(1 + 2 + 4 + 8));
    assert_eq!(hard, Duration::from_secs(16));
    let (patience, _) = retransmit("first = \"1s\", base = 200, tries = 5, most = \"5s\"");
    assert_eq!(patience, Duration::from_secs(1 + 2 + 4 + 5 + 5 + 5));
    let (patience, _) = retransmit("first = \"1m\", base = 500, tries = 20, most = \"1h\"");
    assert!(patience < Duration::from_secs(24 * 3600));
}
