//! A daemon of canned answers on a socket of its own, and what the commands print.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;
use crate::control::report::KeepaliveStatus;
use crate::control::{Event, TunnelStatus};

struct Canned {
    _folder: tempfile::TempDir,
    asked: JoinHandle<Vec<Request>>,
    client: Client,
}

/// Gives `answers` in order: one for each request, and all that remain after [`Request::Events`].
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
            let n = if request == Request::Events {
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
