//! What the keys of IKEv1 demand of each other, and the warnings.

use std::path::Path;

use adit::config::{
    ClientMode, Config, Credentials, EspProposal, IkeConfig, IkeProposal, IkeVersion, Start,
};

use crate::{parse, problems, shown, valid, warnings};

const DEPRECATED: &str = "ike.version 1 is deprecated by RFC 9395: its algorithms and messages are those of 1998 | write version = 2 once the peer has it";
const EASY: &str = r#"[tunnel.easy]
mode   = "esp"
remote = ["vpn1.example.net", "203.0.113.9", "203.0.113.10"]
[tunnel.easy.ike]
version = 1
easy-vpn = { group = "unity", group-key-file = "unity.key", user = "alice", password-file = "alice.pw", client-mode = "client", connect = "auto" }
"#;

/// A tunnel `a` of mode `esp` with version 1 and this entry more in `ike`, on the fourth line.
fn with(entry: &str) -> String {
    let more = match entry {
        "" => String::new(),
        entry => format!(", {entry}"),
    };
    format!(
        "[tunnel.a]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = {{ version = 1, psk-file = \"a.psk\", local-id = \"a.example\"{more} }}\n"
    )
}

/// The same with these lines behind.
fn and(lines: &str) -> String {
    format!("{}{lines}\n", with(""))
}

/// The example of Easy VPN with these lines before its `ike`, on the fourth line.
fn easy_and(lines: &str) -> String {
    EASY.replace("[tunnel.easy.ike]", &format!("{lines}\n[tunnel.easy.ike]"))
}

/// The same with one entry more in `ike`, on the sixth line.
fn easy_with(entry: &str) -> String {
    EASY.replace("version = 1\n", &format!("version = 1\n{entry}\n"))
}

/// The errors of a file that is refused.
fn errors(text: &str) -> Vec<String> {
    let mut problems = problems(text);
    problems.retain(|problem| !problem.contains("RFC 9395"));
    problems
}

/// The warnings besides that of the version.
fn other_warnings(text: &str) -> Vec<String> {
    let mut warnings = warnings(text);
    warnings.retain(|warning| !warning.contains("RFC 9395"));
    warnings
}

fn ike(config: &Config) -> &IkeConfig {
    config.tunnels[0].ike.as_ref().unwrap()
}

fn proposals(config: &Config) -> (&[IkeProposal], &[EspProposal]) {
    match &ike(config).version {
        IkeVersion::V1(v1) => (&v1.proposals, &v1.esp_proposals),
        IkeVersion::V2(v2) => panic!("version 2: {v2:?}"),
    }
}

#[test]
fn version_1_is_warned_of_with_the_rfc_that_deprecates_it_and_version_2_is_not() {
    assert_eq!(
        warnings(&with("")),
        [format!("4:19: tunnel \"a\": {DEPRECATED}")]
    );
    for version in ["", "version = 2, "] {
        let text = with("").replace("version = 1, ", version);
        assert_eq!(warnings(&text), [""; 0]);
        assert!(ike(&valid(&text)).v1().is_none());
    }
}

#[test]
fn by_default_nothing_insecure_is_offered() {
    for text in [&with(""), EASY] {
        let config = valid(text);
        let (phase_1, phase_2) = proposals(&config);
        assert!(!phase_1.is_empty() && !phase_2.is_empty());
        assert!(
            phase_1
                .iter()
                .all(|proposal| proposal.insecure().count() == 0)
        );
        assert!(
            phase_2
                .iter()
                .all(|proposal| proposal.insecure().count() == 0)
        );
        let allowed = text.replace("version = 1", "version = 1, allow-insecure = [\"3des\"]");
        if let Ok(allowed) = parse(&allowed) {
            assert_eq!(proposals(&allowed), (phase_1, phase_2));
        }
    }
}

#[test]
fn every_word_of_the_defaults_is_read_back_as_it_is_shown() {
    for text in [&with(""), EASY] {
        let config = valid(text);
        let (phase_1, phase_2) = proposals(&config);
        for proposal in phase_1 {
            assert_eq!(proposal.to_string().parse().as_ref(), Ok(proposal));
        }
        for proposal in phase_2 {
            assert_eq!(proposal.to_string().parse().as_ref(), Ok(proposal));
        }
    }
}

#[test]
fn aggressive_mode_offers_one_group() {
    let config = valid(EASY);
    let groups: Vec<_> = proposals(&config).0.iter().map(|one| one.group).collect();
    assert!(groups.windows(2).all(|pair| pair[0] == pair[1]));
    let both = "proposals = [\"aes256-sha256-modp2048\", \"aes256-sha256-ecp256\"]";
    assert_eq!(
        errors(&easy_with(both)),
        [
            "6:40: tunnel \"easy\": ike.proposals has the groups modp2048 and ecp256, but aggressive mode has one for all its proposals | give all of them the same group"
        ]
    );
    assert_eq!(other_warnings(&with(both)), [""; 0]);
}

#[test]
fn what_is_insecure_is_taken_only_when_allowed_and_each_word_is_warned_of() {
    let proposals = "proposals = [\"3des-sha1-modp1024\"], esp-proposals = [\"3des-md5\"]";
    let all = format!("{proposals}, allow-insecure = [\"3des\", \"sha1\", \"md5\", \"modp1024\"]");
    assert_eq!(
        other_warnings(&with(&all)),
        [
            "4:150: tunnel \"a\": ike.allow-insecure \"3des\": its blocks of 64 bits give data away after some gigabytes under a key (RFC 8221 §5)",
            "4:158: tunnel \"a\": ike.allow-insecure \"sha1\": its collisions are made at will, and new tunnels are to do without it (RFC 8247 §2.3)",
            "4:166: tunnel \"a\": ike.allow-insecure \"md5\": it is broken, and no tunnel is to have it (RFC 8247 §2.3)",
            "4:173: tunnel \"a\": ike.allow-insecure \"modp1024\": keys agreed upon in it are within reach of those who can pay for it (RFC 8247 §2.4)",
        ]
    );
    let words = ["3des", "sha1", "md5", "modp1024"];
    for missing in words {
        let others = words.iter().filter(|word| **word != missing);
        let others: Vec<_> = others.map(|word| format!("{word:?}")).collect();
        let most = format!("{proposals}, allow-insecure = [{}]", others.join(", "));
        let refused = errors(&with(&most));
        let refusals = refused.iter().filter(|problem| {
            problem.contains(missing) && problem.contains("allow-insecure does not allow")
        });
        assert_ne!(refusals.count(), 0, "{missing}: {refused:?}");
    }
}

#[test]
fn an_allowed_word_that_no_proposal_has_is_warned_of() {
    assert_eq!(
        other_warnings(&with("allow-insecure = [\"sha1\"]")),
        ["4:84: tunnel \"a\": ike.allow-insecure \"sha1\": no proposal has sha1"]
    );
}

#[test]
fn keys_of_the_other_version_are_refused_with_a_sentence() {
    for (entry, words) in [
        (
            "cert-file = \"a.pem\"",
            "ike.cert-file has no meaning with version 1, where both ends prove themselves by a pre-shared key | leave it out",
        ),
        (
            "key-file = \"a.pem\"",
            "ike.key-file has no meaning with version 1, where both ends prove themselves by a pre-shared key | leave it out",
        ),
        (
            "ca-file = \"a.pem\"",
            "ike.ca-file has no meaning with version 1, where both ends prove themselves by a pre-shared key | leave it out",
        ),
        (
            "fragment-octets = 1280",
            "ike.fragment-octets has no meaning with version 1, whose messages leave in one piece | leave it out",
        ),
        (
            "child-octets = 1000",
            "ike.child-octets has no meaning with version 1, whose lives are in kilobytes: see child-kilobytes | leave it out",
        ),
    ] {
        assert_eq!(
            errors(&with(entry)),
            [format!("4:66: tunnel \"a\": {words}")]
        );
    }
    for key in [
        "easy-vpn = {}",
        "allow-insecure = [\"3des\"]",
        "child-kilobytes = 4000",
    ] {
        let name = key.split(' ').next().unwrap();
        let text = with(key).replace("version = 1, ", "");
        assert_eq!(
            problems(&text),
            [format!(
                "4:53: tunnel \"a\": ike.{name} needs version 1 | leave it out, or add version = 1"
            )]
        );
    }
}

#[test]
fn version_1_needs_a_pre_shared_key() {
    let text = with("").replace("psk-file = \"a.psk\", ", "");
    assert_eq!(
        errors(&text),
        [
            "4:7: tunnel \"a\": ike has neither psk-file nor easy-vpn, one of which version 1 takes | add psk-file = \"FILE\", made by adit keygen psk FILE"
        ]
    );
    let text = with("").replace(", local-id = \"a.example\"", "");
    assert_eq!(
        errors(&text),
        [
            "4:7: tunnel \"a\": ike.local-id missing: neither local nor a certificate says who we are | add local-id = \"a.example\""
        ]
    );
}

#[test]
fn a_peer_from_anywhere_needs_version_2() {
    let text = with("remote-id = \"b.example\"").replace("198.51.100.2", "any");
    assert_eq!(
        errors(&text),
        [
            "3:10: tunnel \"a\": remote \"any\" needs ike.version 2: with version 1 the peer's address tells its pre-shared key (RFC 2409 §5.4)"
        ]
    );
}

#[test]
fn quick_mode_names_one_network_for_each_end() {
    let selectors = |lines: &str| {
        let config = valid(&and(lines));
        let tunnel = &config.tunnels[0];
        (tunnel.local_ts.clone(), tunnel.remote_ts.clone())
    };
    let network = |text: &str| {
        let (address, length) = text.split_once('/').unwrap();
        adit::config::Prefix::new(address.parse().unwrap(), length.parse().unwrap())
    };
    for (lines, local, remote) in [
        ("", "0.0.0.0/0", "0.0.0.0/0"),
        ("addresses = [\"fd00::1/64\"]", "::/0", "::/0"),
        ("remote-ts = [\"fd00::/64\"]", "::/0", "fd00::/64"),
        ("local-ts = [\"10.1.0.0/16\"]", "10.1.0.0/16", "0.0.0.0/0"),
    ] {
        assert_eq!(
            selectors(lines),
            (vec![network(local)], vec![network(remote)]),
            "{lines}"
        );
    }
    assert_eq!(
        errors(&and("remote-ts = [\"10.1.0.0/16\", \"10.3.0.0/16\"]")),
        [
            "5:13: tunnel \"a\": remote-ts of 2 networks above maximum 1 with ike.version 1: its quick mode names one | write one network that holds them"
        ]
    );
    assert_eq!(
        errors(&and(
            "local-ts = [\"10.1.0.0/16\"]\nremote-ts = [\"fd00::/64\"]"
        )),
        ["6:13: tunnel \"a\": remote-ts fd00::/64 is IPv6, but local-ts 10.1.0.0/16 is IPv4"]
    );
}

#[test]
fn the_easy_vpn_of_the_documentation_is_valid_and_warns_of_its_version_alone() {
    assert_eq!(
        warnings(EASY),
        [format!("5:11: tunnel \"easy\": {DEPRECATED}")]
    );
    let config = valid(EASY);
    let tunnel = &config.tunnels[0];
    assert_eq!((tunnel.remotes.len(), tunnel.start), (3, Start::Auto));
    let ike = ike(&config);
    assert_eq!(
        ike.credentials,
        Credentials::Psk(Path::new("unity.key").to_owned())
    );
    assert_eq!(ike.local_id.as_ref().unwrap().to_string(), "keyid:unity");
    let easy = ike.easy_vpn().unwrap();
    assert_eq!(
        (easy.user.as_str(), easy.client_mode),
        ("alice", ClientMode::Client)
    );
    assert_eq!(easy.password_file, Path::new("alice.pw"));
}

#[test]
fn what_easy_vpn_settles_stands_nowhere_else() {
    for (entry, words) in [
        (
            "psk-file = \"a.psk\"",
            "6:12: tunnel \"easy\": ike.psk-file stands beside ike.easy-vpn, whose group-key-file takes its place | leave it out",
        ),
        (
            "local-id = \"a\"",
            "6:12: tunnel \"easy\": ike.local-id stands beside ike.easy-vpn, whose group takes its place | leave it out",
        ),
        (
            "child-mode = \"tunnel\"",
            "6:14: tunnel \"easy\": ike.child-mode stands beside ike.easy-vpn, which is always in tunnel mode | leave it out",
        ),
    ] {
        assert_eq!(errors(&easy_with(entry)), [words]);
    }
    for (line, words) in [
        (
            "start = \"auto\"",
            "4:9: tunnel \"easy\": start stands beside ike.easy-vpn, whose connect takes its place | leave it out",
        ),
        (
            "idle-timeout = \"1m\"",
            "4:16: tunnel \"easy\": idle-timeout stands beside ike.easy-vpn, whose connect says when there are SAs | leave it out",
        ),
        (
            "remote-ts = [\"10.0.0.0/8\"]",
            "4:13: tunnel \"easy\": remote-ts stands beside ike.easy-vpn, whose server says which networks it has | leave it out",
        ),
        (
            "local-ts = [\"10.0.0.0/8\"]",
            "4:12: tunnel \"easy\": local-ts stands beside ike.easy-vpn in client mode, where the server assigns our address | leave it out, or add client-mode = \"network-extension\"",
        ),
        (
            "addresses = [\"10.9.0.1/32\"]",
            "4:13: tunnel \"easy\": addresses stands beside ike.easy-vpn in client mode, where the server assigns our address | leave it out, or add client-mode = \"network-extension\"",
        ),
        (
            "interface = \"e*sy\"",
            "4:13: tunnel \"easy\": interface \"e*sy\" holds '*', which no table of nftables may in its name, and in client mode one has the interface's | write an interface of letters, digits, `-`, `_` and `.`",
        ),
    ] {
        assert_eq!(errors(&easy_and(line)), [words]);
    }
    let gre = EASY.replace("\"esp\"", "\"gre-esp\"");
    assert_eq!(
        errors(&gre),
        [
            "6:12: tunnel \"easy\": ike.easy-vpn has no meaning with mode \"gre-esp\": its server carries IP packets | set mode to \"esp\""
        ]
    );
}

#[test]
fn network_extension_announces_the_network_of_local_ts() {
    let network = EASY.replace("\"client\"", "\"network-extension\"");
    assert_eq!(
        errors(&network),
        [
            "6:119: tunnel \"easy\": local-ts missing: with client-mode \"network-extension\" it is the network that is announced | add local-ts = [\"NETWORK\"]"
        ]
    );
    let announced =
        easy_and("local-ts = [\"10.1.0.0/16\"]").replace("\"client\"", "\"network-extension\"");
    let config = valid(&announced);
    assert_eq!(
        ike(&config).easy_vpn().unwrap().client_mode,
        ClientMode::NetworkExtension
    );
    assert_eq!(config.tunnels[0].local_ts.len(), 1);
}

#[test]
fn a_pre_shared_key_belongs_to_one_version_of_ike() {
    let b = |ike: &str| {
        format!(
            "{}[tunnel.b]\nmode = \"esp\"\nremote = \"198.51.100.3\"\nike = {{ {ike} }}\n",
            with("")
        )
    };
    assert_eq!(
        errors(&b("psk-file = \"./a.psk\", local-id = \"a.example\"")),
        [
            "8:20: tunnel \"b\": ike.psk-file \"a.psk\" is also that of tunnel \"a\", which has another version of IKE: whoever guesses it in the weaker one has it in both | make a key for each version: adit keygen psk FILE"
        ]
    );
    let v1 = "version = 1, psk-file = \"a.psk\", local-id = \"a.example\"";
    assert_eq!(other_warnings(&b(v1)), [""; 0]);
    let v2 = "psk-file = \"b.psk\", local-id = \"a.example\"";
    assert_eq!(other_warnings(&b(v2)), [""; 0]);
    let group = EASY.replace("unity.key", "hq.psk");
    let group = format!(
        "[tunnel.hq]\nmode = \"esp\"\nremote = \"198.51.100.3\"\nike = {{ psk-file = \"hq.psk\", local-id = \"a.example\" }}\n{group}"
    );
    assert_eq!(
        errors(&group),
        [
            "10:48: tunnel \"easy\": ike.easy-vpn.group-key-file \"hq.psk\" is also that of tunnel \"hq\", which has another version of IKE: whoever guesses it in the weaker one has it in both | make a key for each version: adit keygen psk FILE"
        ]
    );
}

#[test]
fn main_mode_has_one_key_for_one_address() {
    let second = |psk: &str, id: &str| {
        format!(
            "{}[tunnel.b]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = {{ version = 1, psk-file = {psk:?}, local-id = \"b.example\", remote-id = {id:?} }}\n",
            with("remote-id = \"c.example\"")
        )
    };
    assert_eq!(
        errors(&second("b.psk", "d.example")),
        [
            "8:33: tunnel \"b\": ike.psk-file is another one than that of tunnel \"a\", but main mode tells them apart by nothing but the remote 198.51.100.2 | use one key for one peer"
        ]
    );
    assert_eq!(other_warnings(&second("a.psk", "d.example")), [""; 0]);
    assert_eq!(
        errors(&second("a.psk", "c.example")),
        [
            "8:7: tunnel \"b\": a peer from 198.51.100.2 may also be that of tunnel \"a\": neither ike.local-id nor ike.remote-id tells them apart | give each tunnel its own remote-id"
        ]
    );
}

#[test]
fn a_peer_may_have_a_tunnel_of_each_version_and_users_of_one_group() {
    let both = format!(
        "{}[tunnel.b]\nmode = \"esp\"\nremote = \"198.51.100.2\"\nike = {{ psk-file = \"b.psk\", local-id = \"a.example\" }}\n",
        with("")
    );
    assert_eq!(other_warnings(&both), [""; 0]);
    let users = format!(
        "{EASY}{}",
        EASY.replace("tunnel.easy", "tunnel.bob")
            .replace("alice", "bob")
    );
    assert_eq!(shown(&valid(&users).warnings).len(), 2);
}
