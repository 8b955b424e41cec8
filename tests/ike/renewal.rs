//! New keys every other second, by one end, by the other and by both at once, under a load that counts its packets.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;
use super::common::{Daemon, wait_for};
use super::load::{Datagrams, Delivered, Stream, Way};
use super::site::{Pair, Tunnel};

const EVERY: Duration = Duration::from_secs(2);
const SIZES: &[usize] = &[8, 64, 576, 1300];
/// The ends that ask, by their place.
const ASKERS: [&[usize]; 3] = [&[0], &[1], &[0, 1]];
const ROUNDS: usize = 2;
/// So that what is kept from its receiver for a moment comes soon.
const SOON: &str = r#", retransmit = { first = "300ms" }"#;
/// Of IKE's header, behind that of UDP, the flag of a response (RFC 7296 section 3.1).
const IS_RESPONSE: &str = "@th,216,8 & 32 == 32";
/// After each block of a stream: some 1.5 MB/s, of which a busy machine loses nothing.
const PAUSE: Duration = Duration::from_millis(40);

/// Has each of the askers renew each kind of keys, and waits each time until both ends have the same new ones.
fn renew_everything(pair: &Pair, mut meanwhile: impl FnMut()) {
    let ends = [&pair.near, &pair.far];
    for _ in 0..ROUNDS {
        for askers in ASKERS {
            for what in ["child", "ike"] {
                let started = Instant::now();
                let before = wait_for("both ends agree", PATIENCE, || agreed(ends));
                renew(pair, askers, what);
                wait_for(&format!("{askers:?} renew {what}"), PATIENCE, || {
                    let now = agreed(ends)?;
                    let renewed = if what == "ike" {
                        now.ike != before.ike
                    } else {
                        now.pairs
                            .iter()
                            .zip(&before.pairs)
                            .all(|(now, before)| now != before)
                    };
                    renewed.then_some(())
                });
                sleep(EVERY.saturating_sub(started.elapsed()));
                meanwhile();
            }
        }
    }
}

/// Has the ends at these places renew `what`: if both do, each has asked before it hears of the other's request, and heard of it before it
/// is answered.
fn renew(pair: &Pair, askers: &[usize], what: &str) {
    let ends = [&pair.near, &pair.far];
    let ask = || {
        for &end in askers {
            let asked = ends[end].client(&["rekey", "t", what]);
            assert!(asked.status.success(), "{asked:?}");
        }
    };
    if let [_] = askers {
        return ask();
    }
    let request = request(pair, what);
    let logged = |words: [&str; 2]| [0, 1].map(|end| ends[end].log().matches(words[end]).count());
    let wait = |arrow: &str, before: [usize; 2]| {
        let words = format!("{arrow} {request}");
        wait_for(&format!("both log {words}"), PATIENCE, || {
            let now = logged([&words; 2]);
            (now[0] > before[0] && now[1] > before[1]).then_some(())
        });
    };
    let [sent, heard] = ["→", "←"].map(|arrow| logged([&format!("{arrow} {request}"); 2]));
    let nft = |what: &str| pair.sites.a.run("nft", &[what]);
    nft(&mute("all", "udp dport 500"));
    ask();
    wait("→", sent);
    let answers = Answers::of(pair, request);
    let signs = answers.signs.each_ref().map(String::as_str);
    let unanswered = logged(signs);
    nft(&mute("answers", &answers.expression));
    nft("delete table inet mute_all");
    wait("←", heard);
    assert_eq!(logged(signs), unanswered, "{what}: they did not cross");
    nft("delete table inet mute_answers");
}

/// What the log calls the message that asks for new keys.
fn request(pair: &Pair, what: &str) -> &'static str {
    match (version(&pair.near), what) {
        (1, "child") => "QUICK",
        (1, _) => "MAIN",
        (_, _) => "CREATE_CHILD_SA request",
    }
}

/// The answers to what both ends have asked.
struct Answers {
    /// What matches them, and no request.
    expression: String,
    /// What the log of each end says once it has one.
    signs: [String; 2],
}

impl Answers {
    fn of(pair: &Pair, request: &str) -> Self {
        let (expression, signs) = match request {
            "QUICK" => {
                let [near, far] = [&pair.near, &pair.far].map(message_id);
                // Of ISAKMP's header, behind that of UDP, the message ID.
                let answers = format!("{{ 192.0.2.2 . 0x{near}, 192.0.2.1 . 0x{far} }}");
                (
                    format!("ip saddr . @th,224,32 {answers}"),
                    [near, far].map(|id| format!("← QUICK {id}")),
                )
            }
            // The cookie of the responder, which the first message has not.
            "MAIN" => (
                "@th,128,64 != 0".to_owned(),
                ["→ MAIN 00000000: KE"; 2].map(str::to_owned),
            ),
            _ => (
                IS_RESPONSE.to_owned(),
                ["← CREATE_CHILD_SA response"; 2].map(str::to_owned),
            ),
        };
        Self {
            expression: format!("udp dport 500 {expression}"),
            signs,
        }
    }
}

/// The ID of the quick mode that this end began last.
fn message_id(end: &Daemon) -> String {
    let log = end.log();
    let (_, last) = log.rsplit_once("→ QUICK ").unwrap();
    last[..8].to_owned()
}

/// A table of nftables that drops what matches, coming and going.
fn mute(name: &str, expression: &str) -> String {
    let chain = |hook| {
        format!(
            "chain {hook}_chain {{ type filter hook {hook} priority -300; {expression} drop; }};"
        )
    };
    let [coming, going] = ["prerouting", "postrouting"].map(chain);
    format!("table inet mute_{name} {{ {coming} {going} }}")
}

fn version(end: &Daemon) -> u64 {
    end.tunnel("t")["ike"]["version"].as_u64().unwrap()
}

/// The indices of the IKE SA, and the inbound index of the pair of child SAs that each end sends by.
#[derive(Debug, PartialEq)]
struct Agreed {
    ike: [Value; 2],
    pairs: [Value; 2],
}

/// What both ends have, once that is settled. With version 2 there is one pair; with version 1, of two that crossed either end sends by the
/// one or the other.
fn agreed(ends: [&Daemon; 2]) -> Option<Agreed> {
    let statuses = ends.map(|end| end.tunnel("t"));
    let ike = |end: &Value| ["spi_i", "spi_r"].map(|name| end["ike"][name].clone());
    let spis = |name: &str| statuses.each_ref().map(|end| end["esp"][name].clone());
    let [near, far] = &statuses;
    let (received, mut sent) = (spis("spi_in"), spis("spi_out"));
    sent.reverse();
    let only = |end: &Value| {
        end["ike"]["children"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    };
    let is_one = received == sent && only(near) && only(far);
    let settled = ike(near) == ike(far) && (near["ike"]["version"] == 1 || is_one);
    settled.then(|| Agreed {
        ike: ike(near),
        pairs: received,
    })
}

fn assert_nothing_was_lost(pair: &Pair) {
    for end in [&pair.near, &pair.far] {
        let status = end.tunnel("t");
        assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status:#}");
        assert_eq!(end.counter("t", "rekey_lost_packets"), 0);
        assert_eq!(status["deaths"], 0, "{status:#}");
        assert_eq!(status["state"], "up", "{status:#}");
    }
    if version(&pair.near) == 1 {
        return;
    }
    for what in ["child", "IKE"] {
        let crossed = format!("both ends replaced the {what} SA");
        let logs = [&pair.near, &pair.far].map(|end| end.log().contains(&crossed));
        assert!(logs.contains(&true), "never: {crossed}");
    }
}

/// All arrived but what never left the sender's device, or was never taken from a socket, for want of time on a busy machine.
fn assert_all_arrived(pair: &Pair, delivered: Delivered) {
    assert!(delivered.sent > 5000, "{delivered:?}");
    let ends = [&pair.near, &pair.far].map(|end| end.tunnel("t"));
    let kernel = ends
        .iter()
        .flat_map(|end| end["kernel_drops"].as_object().unwrap());
    let unseen: u64 = kernel.map(|(_, number)| number.as_u64().unwrap()).sum();
    let lost = delivered.sent - delivered.received;
    assert!(
        lost <= delivered.overflow + unseen,
        "{delivered:?} {unseen}"
    );
    for end in ends {
        assert_eq!(end["drops"], json!({}), "{end:#}");
    }
}

/// The way from one end to the other.
fn way(pair: &Pair, from: usize) -> Way<'_> {
    let ends = [
        (&pair.sites.a, IpAddr::from([10, 9, 0, 1])),
        (&pair.sites.b, IpAddr::from([10, 9, 0, 2])),
    ];
    [ends[from], ends[1 - from]]
}

fn datagrams_one_way_all_arrive(tunnel: Tunnel<'_>, from: usize) {
    let pair = Pair::start(tunnel.with_ike(SOON));
    let datagrams = Datagrams::start(way(&pair, from), SIZES);
    renew_everything(&pair, || {});
    assert_all_arrived(&pair, datagrams.finish());
    assert_nothing_was_lost(&pair);
}

#[test]
fn datagrams_from_the_near_end_alone_all_arrive_whoever_renews_what() {
    datagrams_one_way_all_arrive(Tunnel::new("esp"), 0);
}

#[test]
fn datagrams_from_the_far_end_alone_all_arrive_whoever_renews_what() {
    datagrams_one_way_all_arrive(Tunnel::new("esp"), 1);
}

#[test]
fn with_version_1_datagrams_one_way_all_arrive_too() {
    datagrams_one_way_all_arrive(Tunnel::version_1("gre-esp"), 1);
}

#[test]
fn with_version_1_streams_and_datagrams_both_ways_all_arrive_too() {
    all_arrive_both_ways(Tunnel::version_1("gre-esp"));
}

#[test]
fn streams_and_datagrams_both_ways_all_arrive_whoever_renews_what() {
    all_arrive_both_ways(Tunnel::new("gre-esp"));
}

fn all_arrive_both_ways(tunnel: Tunnel<'_>) {
    let pair = Pair::start(tunnel.with_ike(SOON));
    let mut streams = [0, 1].map(|from| Stream::start("stream", way(&pair, from), PAUSE));
    let datagrams = [0, 1].map(|from| Datagrams::start(way(&pair, from), SIZES));
    renew_everything(&pair, || {
        for stream in &mut streams {
            stream.progress();
        }
    });
    for stream in streams {
        stream.finish();
    }
    for datagrams in datagrams {
        assert_all_arrived(&pair, datagrams.finish());
    }
    assert_nothing_was_lost(&pair);
}
