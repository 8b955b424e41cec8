//! A daemon of canned answers on a socket of its own, and what the commands print.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;
use crate::cli::ike::{clear, debug, rekey};
use crate::control::ike::{ChildStatus, DpdStatus, EasyVpnStatus, IkeStatus};
use crate::control::report::KeepaliveStatus;
use crate::control::{Event, TraceLine, TunnelStatus, What};

struct Canned {
    _folder: tempfile::TempDir,
    asked: JoinHandle<Vec<Request>>,
    client: Client,
}

/// Gives `answers` in order: one for each request, and all that remain after [`Request::Events`] and [`Request::Debug`].
fn daemon(answers: Vec<Response>) -> Canned {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("adit.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut answers = answers.into_iter();
        let mut asked = Vec::new();
        while answers.len() > 0 {
            let request: Request = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            let n = if matches!(request, Request::Events | Request::Debug { .. }) {
                answers.len()
            } else {
                1
            };
            for answer in answers.by_ref().take(n) {
                writeln!(stream, "{}", serde_json::to_string(&answer).unwrap()).unwrap();
            }
            asked.push(request);
        }
        asked
    });
    let client = Client::connect(&socket).unwrap();
    Canned {
        _folder: folder,
        asked,
        client,
    }
}

fn names(counts: &[(&str, u64)]) -> std::collections::BTreeMap<String, u64> {
    counts
        .iter()
        .map(|&(name, count)| (name.to_owned(), count))
        .collect()
}

fn tunnel() -> TunnelStatus {
    TunnelStatus {
        name: "branch".to_owned(),
        mode: "gre".to_owned(),
        interface: "branch0".to_owned(),
        netns: Some("blue".to_owned()),
        outer_netns: None,
        state: "down".to_owned(),
        reason: Some("keepalive-unanswered".to_owned()),
        state_ms: 4_010,
        local: Some([192, 0, 2, 1].into()),
        remote: Some([198, 51, 100, 2].into()),
        remotes: vec!["198.51.100.2".to_owned(), "gw2.example.net".to_owned()],
        remote_index: 0,
        mtu: Some(1464),
        overhead: 36,
        path_mtu: Some(1500),
        worst_case_ms: Some(20_010),
        keepalive: Some(KeepaliveStatus {
            period_ms: 5_000,
            retries: 3,
            sent: 120,
            answered: 117,
            rtt_us: Some(210),
            rtt_min_us: Some(180),
            rtt_mean_us: Some(200),
            rtt_max_us: Some(1_300),
            lost: 3,
            since_last_proof_ms: Some(20_002),
        }),
        esp: None,
        ike: None,
        segmentation_fallbacks: None,
        offload: [("tso".to_owned(), true), ("uso".to_owned(), false)].into(),
        counters: names(&[
            ("inbound_packets", 12),
            ("inbound_octets", 3_400),
            ("outbound_packets", 1),
            ("outbound_octets", 84),
            ("keepalive_requests_sent", 120),
            ("keepalive_responses_received", 117),
        ]),
        drops: names(&[("tunnel_down", 7), ("gre_checksum", 1)]),
        kernel_drops: names(&[("socket_buffer", 0), ("device_queue", 2)]),
        dialects: names(&[]),
        deaths: 1,
        last_error: Some("hook /bin/x: exit status 3".to_owned()),
    }
}

fn status_of(tunnels: Vec<TunnelStatus>) -> Response {
    Response::Status(Box::new(Status {
        version: "0.1.0".to_owned(),
        pid: 42,
        warnings: vec!["the kernel also owns protocol 47".to_owned()],
        unassigned_drops: names(&[("unknown_peer", 5)]),
        ike: names(&[("router_keepalives", 3)]),
        tunnels,
    }))
}

fn text(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap()
}

#[test]
fn status_of_one_tunnel_says_everything_about_it() {
    let mut daemon = daemon(vec![status_of(vec![tunnel()])]);
    let mut out = Vec::new();
    status(&mut daemon.client, Some("branch"), false, &mut out).unwrap();
    assert_eq!(
        text(out),
        "\
adit 0.1.0, process 42, 1 tunnel
warning: the kernel also owns protocol 47
dropped packets of no tunnel: 5 unknown_peer

branch  down for 4.01 s: keepalive-unanswered
  interface   branch0, gre, in namespace blue, sockets in the daemon's namespace
  peer        198.51.100.2 from 192.0.2.1; number 1 of 198.51.100.2, gw2.example.net
  MTU         1464; path 1500, overhead 36
  keepalive   every 5.00 s, dead after 3 unanswered, last answer 20.0 s ago, lost 3 of 120 (2.5 %)
  round trip  last 210 µs, min 180 µs, mean 200 µs, max 1.30 ms
  detection   20.0 s after the peer's death at worst; 1 death so far
  inbound     12 packets, 3.40 kB
  outbound    1 packet, 84 B
  offload     tso on, uso off
  dropped     1 gre_checksum, 7 tunnel_down
  by kernel   2 device_queue
  last error  hook /bin/x: exit status 3
"
    );
    let asked = daemon.asked.join().unwrap();
    assert_eq!(
        asked,
        [Request::Status {
            tunnel: Some("branch".to_owned())
        }]
    );
}

#[test]
fn status_of_many_tunnels_is_a_line_each() {
    let unwatched = TunnelStatus {
        name: "hq".to_owned(),
        state: "up".to_owned(),
        reason: None,
        last_error: None,
        keepalive: None,
        worst_case_ms: None,
        remote: None,
        ..tunnel()
    };
    let mut daemon = daemon(vec![status_of(vec![tunnel(), unwatched])]);
    let mut out = Vec::new();
    status(&mut daemon.client, None, false, &mut out).unwrap();
    let text = text(out);
    let lines: Vec<&str> = text.lines().skip(4).collect();
    assert_eq!(
        lines,
        [
            "TUNNEL  STATE     FOR  PEER             RTT              LOST   MTU  DETECTS IN  DROPS  WHY",
            "branch  down   4.01 s  198.51.100.2  210 µs  3 of 120 (2.5 %)  1464      20.0 s     10  keepalive-unanswered",
            "hq      up     4.01 s  198.51.100.2       -                 -  1464       never     10",
        ]
    );
}

#[test]
fn status_for_machines_is_the_daemons_answer() {
    let answer = status_of(vec![tunnel()]);
    let mut daemon = daemon(vec![answer.clone()]);
    let mut out = Vec::new();
    status(&mut daemon.client, None, true, &mut out).unwrap();
    let read: Status = serde_json::from_slice(&out).unwrap();
    assert_eq!(Response::Status(Box::new(read)), answer);
}

#[test]
fn counters_show_each_drop_reason_with_its_meaning_also_those_that_never_happened() {
    let mut daemon = daemon(vec![status_of(vec![tunnel()])]);
    let mut out = Vec::new();
    counters(&mut daemon.client, "branch", false, &mut out).unwrap();
    let text = text(out);
    let words = |name: &str| -> Vec<String> {
        let line = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    for reason in adit_proto::counters::DropReason::ALL {
        let count = tunnel()
            .drops
            .get(reason.name())
            .copied()
            .unwrap_or(0)
            .to_string();
        let shown = words(reason.name());
        assert!(shown.contains(&count), "{shown:?}");
        assert!(text.contains(reason.describe()), "{text}");
    }
    assert_eq!(
        words("keepalive_requests_sent"),
        ["keepalive_requests_sent", "120"]
    );
    assert_eq!(words("sequence_restarts"), ["sequence_restarts", "0"]);
    assert_eq!(words("device_queue"), ["device_queue", "2"]);
    assert_eq!(words("router_keepalives"), ["router_keepalives", "3"]);
}

#[test]
fn counters_for_machines_hold_each_drop_reason() {
    let mut daemon = daemon(vec![status_of(vec![tunnel()])]);
    let mut out = Vec::new();
    counters(&mut daemon.client, "branch", true, &mut out).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(read["drops"]["tunnel_down"], 7);
    assert_eq!(read["drops"]["recursion"], 0);
    assert_eq!(read["counters"]["keepalive_requests_sent"], 120);
    assert_eq!(read["ike"]["router_keepalives"], 3);
}

#[test]
fn events_are_a_json_object_a_line_and_end_with_the_daemon() {
    let event = Event::new("branch", "down", std::time::Instant::now()).because("x");
    let mut daemon = daemon(vec![
        Response::Done,
        Response::Event(Box::new(event.clone())),
    ]);
    let mut out = Vec::new();
    events(&mut daemon.client, &mut out).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text(out)).unwrap(), event);
}

#[test]
fn a_refusal_is_the_daemons_sentence() {
    let mut daemon = daemon(vec![Response::Refused("no tunnel \"x\"".to_owned())]);
    let error = down(&mut daemon.client, "x", &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "no tunnel \"x\"");
    assert_eq!(
        daemon.asked.join().unwrap(),
        [Request::Down {
            tunnel: "x".to_owned()
        }]
    );
}

#[test]
fn up_says_the_state_that_the_tunnel_then_has() {
    let mut daemon = daemon(vec![Response::Done, status_of(vec![tunnel()])]);
    let mut out = Vec::new();
    up(&mut daemon.client, "branch", &mut out).unwrap();
    assert_eq!(text(out), "branch: down for 4.01 s: keepalive-unanswered\n");
}

fn established() -> IkeStatus {
    IkeStatus {
        version: 2,
        state: "established".to_owned(),
        local_id: "a.example".to_owned(),
        remote_id: Some("b.example".to_owned()),
        local: Some(([192, 0, 2, 1], 4500).into()),
        remote: Some(([198, 51, 100, 2], 4500).into()),
        nat: Some("peer".to_owned()),
        proposal: Some("aes256gcm16-prfsha384-ecp384".to_owned()),
        spi_i: Some("1b76cb757f6ad4a1".to_owned()),
        spi_r: Some("f9bcc697c90a134b".to_owned()),
        initiator: Some(true),
        age_ms: Some(7_500_000),
        rekey_in_ms: Some(192_000),
        dpd: Some(DpdStatus {
            mode: "periodic".to_owned(),
            interval_ms: 10_000,
            retry_ms: 2_000,
            attempts: 5,
            outstanding: 1,
            sent: 12,
            answered: 11,
            peer_answers: true,
            next_ms: Some(1_500),
        }),
        easy_vpn: None,
        proof: Some("data".to_owned()),
        children: vec![ChildStatus {
            spi_in: 0xc0de_0001,
            spi_out: 0xc0de_0002,
            suite: "aes128gcm16".to_owned(),
            esn: true,
            mode: "tunnel".to_owned(),
            age_ms: 60_000,
            rekey_in_ms: None,
            local_ts: vec!["10.0.0.0/8".to_owned(), "2001:db8::/32".to_owned()],
            remote_ts: vec!["10.1.0.0/16[gre]".to_owned()],
            udp: true,
        }],
        rekey_lost_packets: 0,
        last_error: None,
    }
}

fn shown(ike: IkeStatus) -> String {
    let with_ike = TunnelStatus {
        keepalive: None,
        ike: Some(ike),
        ..tunnel()
    };
    let mut daemon = daemon(vec![status_of(vec![with_ike])]);
    let mut out = Vec::new();
    status(&mut daemon.client, Some("branch"), false, &mut out).unwrap();
    text(out)
}

#[test]
fn status_says_what_ike_and_dead_peer_detection_know() {
    let shown = shown(established());
    let rows: Vec<&str> = shown.lines().skip(8).take(9).collect();
    assert_eq!(
        rows,
        [
            "  IKE         established for 2 h 5 min, initiated by us, rekeyed in 3 min 12 s",
            "  identities  we are a.example, the peer is b.example",
            "  IKE path    192.0.2.1:4500 to 198.51.100.2:4500, a NAT in front of the peer",
            "  IKE SA      aes256gcm16-prfsha384-ecp384, SPIs 1b76cb757f6ad4a1 (initiator) f9bcc697c90a134b (responder)",
            "  child SA    aes128gcm16, tunnel mode in UDP, SPI out 0xc0de0002, SPI in 0xc0de0001, for 1 min 0 s",
            "  selectors   10.0.0.0/8 2001:db8::/32 to 10.1.0.0/16[gre]",
            "  DPD         periodic after 10.0 s of silence, dead after 5 unanswered at 2.00 s; 12 sent, 11 answered, 1 outstanding, \
             next in 1.50 s",
            "  proof       data passed",
            "  keepalive   off",
        ]
    );
}

#[test]
fn status_without_an_ike_sa_says_who_is_waited_for_and_what_failed() {
    let shown = shown(IkeStatus {
        state: "idle".to_owned(),
        local_id: "a.example".to_owned(),
        last_error: Some("peer refused our proposals".to_owned()),
        rekey_lost_packets: 1,
        ..IkeStatus::default()
    });
    let rows: Vec<&str> = shown.lines().skip(8).take(6).collect();
    assert_eq!(
        rows,
        [
            "  IKE         idle",
            "  identities  we are a.example, the peer is anybody who proves it",
            "  DPD         off",
            "  rekeys      lost 1 packet",
            "  IKE error   peer refused our proposals",
            "  keepalive   off: a dead peer is not noticed",
        ]
    );
}

#[test]
fn status_for_machines_holds_ike_and_one_without_it_reads() {
    let with_ike = TunnelStatus {
        ike: Some(established()),
        ..tunnel()
    };
    let json = serde_json::to_value(&with_ike).unwrap();
    assert_eq!(json["ike"]["children"][0]["spi_in"], 0xc0de_0001_u32);
    assert_eq!(json["ike"]["spi_i"], "1b76cb757f6ad4a1");
    assert_eq!(json["ike"]["dpd"]["interval_ms"], 10_000);
    assert_eq!(
        serde_json::from_value::<TunnelStatus>(json).unwrap(),
        with_ike
    );
    let without = serde_json::to_value(tunnel()).unwrap();
    assert!(without.get("ike").is_none());
    assert_eq!(
        serde_json::from_value::<TunnelStatus>(without).unwrap(),
        tunnel()
    );
}

#[test]
fn clear_and_rekey_ask_for_what_they_say() {
    let mut daemon = daemon(vec![Response::Done, Response::Done, Response::Done]);
    let mut out = Vec::new();
    clear(&mut daemon.client, "branch", &mut out).unwrap();
    rekey(&mut daemon.client, "branch", What::Ike, &mut out).unwrap();
    rekey(&mut daemon.client, "branch", What::Child, &mut out).unwrap();
    assert_eq!(
        text(out),
        "\
branch: its security associations are deleted
branch: the IKE SA is being replaced; `adit debug branch` shows the exchange
branch: the child SA is being replaced; `adit debug branch` shows the exchange
"
    );
    let tunnel = || "branch".to_owned();
    let rekey = |what| Request::Rekey {
        tunnel: tunnel(),
        what,
    };
    assert_eq!(
        daemon.asked.join().unwrap(),
        [
            Request::Clear { tunnel: tunnel() },
            rekey(What::Ike),
            rekey(What::Child)
        ]
    );
}

#[test]
fn debug_prints_each_line_with_its_time_and_ends_with_the_daemon() {
    let at = std::time::Instant::now();
    let line = TraceLine::new(Some("branch"), "→ INFORMATIONAL request 7: no payloads", at);
    for json in [false, true] {
        let mut daemon = daemon(vec![
            Response::Done,
            Response::Trace(Box::new(line.clone())),
        ]);
        let mut out = Vec::new();
        debug(&mut daemon.client, "branch", json, &mut out).unwrap();
        let text = text(out);
        if json {
            assert_eq!(serde_json::from_str::<TraceLine>(&text).unwrap(), line);
        } else {
            assert_eq!(text, format!("{} {}\n", line.time, line.line));
        }
    }
}

#[test]
fn debug_of_a_tunnel_without_ike_is_the_daemons_refusal() {
    let mut daemon = daemon(vec![Response::Refused(
        "tunnel \"x\" has no IKE".to_owned(),
    )]);
    let error = debug(&mut daemon.client, "x", false, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "tunnel \"x\" has no IKE");
}

#[test]
fn status_says_what_an_easy_vpn_server_assigned_and_that_its_peer_is_not_asked() {
    let easy_vpn = EasyVpnStatus {
        client_mode: "client".to_owned(),
        addresses: vec![[10, 64, 0, 7].into()],
        dns: vec![[10, 64, 0, 1].into(), [10, 64, 0, 2].into()],
        default_domain: Some("corp.example".to_owned()),
        banner: Some("be\r\n\nkind\n".to_owned()),
        save_password: Some(false),
        backup_servers: vec!["203.0.113.9".to_owned()],
        ..EasyVpnStatus::default()
    };
    let dpd = established().dpd.map(|dpd| DpdStatus {
        peer_answers: false,
        ..dpd
    });
    let shown = shown(IkeStatus {
        version: 1,
        easy_vpn: Some(easy_vpn),
        dpd,
        ..established()
    });
    let shown: Vec<_> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "Easy VPN client mode, we are 10.64.0.7",
        "name servers 10.64.0.1 10.64.0.2",
        "domain corp.example",
        "more servers 203.0.113.9",
        "banner be / kind",
        "password the server does not let it be kept",
        "DPD the peer did not say that it answers: it is never asked, and never dead for its silence",
    ] {
        assert!(shown.iter().any(|line| line == row), "{row}: {shown:#?}");
    }
    assert!(
        shown
            .iter()
            .any(|line| line.starts_with("IKEv1 established"))
    );
}
