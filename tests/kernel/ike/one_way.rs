//! Datagrams that pass one way only while keys are renewed: who has nothing to send learns from IKE alone when to change its own.

use std::collections::HashSet;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use adit::io::datagram;
use adit::io::netns::{self, Netns};

use super::rekey::{renew, spis_of};
use super::{Initiator, Pair};
use crate::common::wait_for;
use crate::ledger::Ledger;
use crate::link::Link;
use crate::peer::{PATIENCE, Peer};

const NEAR: &str = "10.77.1.1";
const FAR: &str = "10.77.2.1";
const PACE: Duration = Duration::from_millis(4);
/// From one rekey to the next.
const EVERY: Duration = Duration::from_secs(2);
/// The guest's port.
const PORT: u16 = 4242;

/// Who begins.
const WHO: [&[Initiator]; 3] = [
    &[Initiator::Adit],
    &[Initiator::Charon],
    &[Initiator::Adit, Initiator::Charon],
];

/// Ends the datagrams with this value: either end looks for the file.
struct Running(PathBuf);

impl Running {
    fn start(peer: &Peer) -> Self {
        for file in ["stop", "listening"] {
            let _ = fs::remove_file(peer.guest.shared(file));
        }
        Self(peer.guest.shared("stop"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        fs::write(&self.0, "").unwrap();
    }
}

fn near_socket(peer: &Peer) -> UdpSocket {
    let near = Netns::Named(peer.near.name.clone()).open().unwrap();
    let bound = netns::within(Some(near.as_fd()), || UdpSocket::bind((NEAR, 0)));
    let socket = bound.unwrap().unwrap();
    datagram::enlarge_receive_buffer(&socket, 16 << 20).unwrap();
    socket
}

/// How many numbered datagrams left for the guest during `meanwhile`, and how many came.
fn to_the_guest(peer: &Peer, meanwhile: impl FnOnce()) -> (u64, u64) {
    let running = Running::start(peer);
    let socket = near_socket(peer);
    thread::scope(move |scope| {
        let receiver = scope.spawn(|| {
            peer.exec(&format!(
                r#"exec perl -MIO::Socket -e '
                    my $socket = IO::Socket::INET->new(Proto => "udp", LocalAddr => "{FAR}", LocalPort => {PORT}) or die $!;
                    # Room for all, by SO_RCVBUFFORCE: a guest that waits for its turn loses none.
                    setsockopt $socket, SOL_SOCKET, 33, pack("l", 16 << 20) or die $!;
                    setsockopt $socket, SOL_SOCKET, SO_RCVTIMEO, pack("l!l!", 0, 100_000) or die $!;
                    open my $listening, ">", "/mnt/listening" or die $!;
                    my (%seen, $quiet);
                    for ($quiet = 0; $quiet < 10;) {{
                      if (defined $socket->recv(my $number, 64)) {{ $seen{{$number}}++ && die "twice" }}
                      else {{ $quiet = -e "/mnt/stop" ? $quiet + 1 : 0 }}
                    }}
                    print scalar keys %seen'"#
            ))
        });
        let listening = peer.guest.shared("listening");
        wait_for("the guest listens", PATIENCE, || {
            listening.exists().then_some(())
        });
        let stop = running.0.clone();
        let sender = scope.spawn(move || send(&socket, &stop));
        meanwhile();
        drop(running);
        let sent = sender.join().unwrap();
        (sent, receiver.join().unwrap().trim().parse().unwrap())
    })
}

/// How many the guest sent during `meanwhile`, and how many came.
fn from_the_guest(peer: &Peer, meanwhile: impl FnOnce()) -> (u64, u64) {
    let running = Running::start(peer);
    let socket = near_socket(peer);
    let port = socket.local_addr().unwrap().port();
    thread::scope(move |scope| {
        let stop = running.0.clone();
        let receiver = scope.spawn(move || receive(&socket, &stop));
        let sender = scope.spawn(move || {
            peer.exec(&format!(
                r#"exec perl -MIO::Socket -e '
                    my $socket = IO::Socket::INET->new(Proto => "udp", LocalAddr => "{FAR}", PeerAddr => "{NEAR}", PeerPort => {port}) or die $!;
                    my $number = 0;
                    until (-e "/mnt/stop") {{
                      $number++ if $socket->send(pack "Q>", $number);
                      select undef, undef, undef, {pace};
                    }}
                    print $number'"#,
                pace = PACE.as_secs_f32()
            ))
        });
        meanwhile();
        drop(running);
        let sent = sender.join().unwrap().trim().parse().unwrap();
        (sent, receiver.join().unwrap())
    })
}

fn send(socket: &UdpSocket, stop: &Path) -> u64 {
    let mut number = 0_u64;
    while !stop.exists() {
        let sent = socket.send_to(&number.to_be_bytes(), (FAR, PORT));
        number += u64::from(sent.is_ok());
        sleep(PACE);
    }
    number
}

fn receive(socket: &UdpSocket, stop: &Path) -> u64 {
    let look_after = Duration::from_millis(100);
    socket.set_read_timeout(Some(look_after)).unwrap();
    let (mut seen, mut quiet) = (HashSet::new(), 0);
    while quiet < 10 {
        let mut number = [0; 8];
        if socket.recv(&mut number).is_ok() {
            assert!(seen.insert(number), "{number:?} came twice");
        } else {
            quiet = if stop.exists() { quiet + 1 } else { 0 };
        }
    }
    seen.len() as u64
}

/// Has both renew `what` at once: each has asked before it hears of the other's request, and has heard of it before it is answered.
fn renew_by_both(pair: &Pair<'_>, what: &str) {
    /// Of IKE's header, behind that of UDP, the flag of a response (RFC 7296 section 3.1).
    const IS_RESPONSE: &str = "@th,216,8 & 32 == 32";
    let near = &pair.peer.near;
    let heard = || {
        [pair.adit.log(), pair.charon.log()].map(|log| {
            let lines = [
                "← CREATE_CHILD_SA request",
                "parsed CREATE_CHILD_SA request",
            ];
            lines
                .map(|line| log.matches(line).count())
                .iter()
                .sum::<usize>()
        })
    };
    let before = heard();
    let mute = Ledger::open(near);
    for chain in ["arriving", "leaving"] {
        mute.change(chain, &format!("udp dport 500 {IS_RESPONSE} drop"));
    }
    near.run(
        "nft",
        &["table inet mute { chain arriving { type filter hook prerouting priority -300; udp dport 500 drop; }; chain leaving { type filter hook postrouting priority -300; udp dport 500 drop; }; }"],
    );
    for who in [Initiator::Charon, Initiator::Adit] {
        renew(pair, who, what);
    }
    near.run("nft", &["delete table inet mute"]);
    wait_for("both hear of the other's request", PATIENCE, || {
        let now = heard();
        (now[0] > before[0] && now[1] > before[1]).then_some(())
    });
    Ledger::open(near);
}

/// The SPIs at both ends, once they agree and neither has an exchange under way.
fn settled(pair: &Pair<'_>) -> [String; 2] {
    wait_for("both ends are at rest", PATIENCE, || {
        let sa = pair.charon.wait_established();
        let spis = spis_of(&sa);
        let tasks = ["tasks-active", "tasks-passive", "tasks-queued"];
        let ike = &pair.adit.tunnel("t")["ike"];
        let child = &ike["children"][0];
        let same = format!("{:08x}", child["spi_in"].as_u64()?) == spis[1];
        let at_rest = ike["state"] == "established" && !child["rekey_in_ms"].is_null();
        (same
            && at_rest
            && tasks
                .iter()
                .all(|task| sa[task].as_array().is_none_or(Vec::is_empty)))
        .then_some(spis)
    })
}

fn renew_everything(pair: &Pair<'_>) {
    for who in WHO {
        for what in ["child", "ike"] {
            let (started, before) = (Instant::now(), settled(pair));
            match who {
                [who] => renew(pair, *who, what),
                _ => renew_by_both(pair, what),
            }
            let place = usize::from(what == "child");
            wait_for(&format!("{who:?} renew {what}"), PATIENCE, || {
                (settled(pair)[place] != before[place]).then_some(())
            });
            sleep(EVERY.saturating_sub(started.elapsed()));
        }
    }
    let log = pair.adit.log();
    assert!(log.contains("both ends replaced the child SA"), "{log}");
}

#[test]
fn datagrams_that_pass_one_way_only_all_arrive_whoever_renews_what() {
    let peer = Peer::lent();
    let link = Link::new()
        .adit("", "retransmit = { first = \"500ms\" }")
        .charon("retransmit_timeout = 0.7", "", "");
    let pair = Pair::start(&peer, &link, Initiator::Adit);
    let ways = [
        to_the_guest(&peer, || renew_everything(&pair)),
        from_the_guest(&peer, || renew_everything(&pair)),
    ];
    for (sent, arrived) in ways {
        assert!(sent > 2000, "{ways:?}");
        assert_eq!(sent, arrived, "{ways:?}\n{}", pair.charon.log());
    }
    let status = pair.adit.tunnel("t");
    assert_eq!(status["ike"]["rekey_lost_packets"], 0, "{status}");
    assert_eq!(status["deaths"], 0, "{status}");
    pair.assert_no_complaint();
}
