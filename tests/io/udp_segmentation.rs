//! Segmentation by the kernel: where the device does not do it, and where the kernel refuses it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use adit::io::ethtool;
use adit::io::raw::Family;
use adit::io::udp::{Segmentation, UdpSocket};
use rustix::io::Errno;

use crate::site::{Site, ip, pair};
use crate::udp::{FAMILIES, open, packets, payload, payloads, receive, send_at, send_udp, sender};

fn set_udp_segmentation(site: &Site, on: bool) {
    site.run(|| ethtool::set_feature("wire", "tx-udp-segmentation", on))
        .unwrap();
}

#[test]
fn a_device_that_does_not_segment_is_sent_single_packets_unless_asked_otherwise() {
    for (family, near, far) in FAMILIES {
        let (one, two) = pair();
        assert!(one.run(|| ethtool::segments_udp("wire")).unwrap());
        set_udp_segmentation(&one, false);
        assert!(!one.run(|| ethtool::segments_udp("wire")).unwrap());
        let receiver = open(&two, family);
        let sent: Vec<Vec<u8>> = (0..30).map(|n| payload(n, 1400)).collect();
        for segmentation in [Segmentation::Auto, Segmentation::On] {
            let (_, mut sender) = sender(&one, near, far, segmentation);
            assert_eq!(send_udp(&mut sender, &packets(near, far, &sent)), []);
            let received = receive(&receiver, 30);
            assert!(received.iter().all(|(train, _)| train.range.len() == 1400));
            assert_eq!(payloads(received), sent);
        }
    }
}

/// Makes the kernel refuse UDP_SEGMENT by this socket, but nothing else.
fn refuse_segmentation(socket: &UdpSocket) {
    let socket = socket.fd().try_clone_to_owned().unwrap();
    // SO_NO_CHECK and UDP_NO_CHECK6_TX: no checksum can be left to whoever segments.
    let script =
        r#"setsockopt(STDIN, $_->[0], $_->[1], pack("i", 1)) or die for [1, 11], [17, 101]"#;
    let mut perl = Command::new("perl");
    let status = perl
        .args(["-e", script])
        .stdin(Stdio::from(socket))
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_second_refusal_at_a_legal_size_pauses_segmentation_and_loses_no_packet() {
    for (family, near, far) in FAMILIES {
        let (one, two) = pair();
        let (receiver, (socket, mut sender)) = (
            open(&two, family),
            sender(&one, near, far, Segmentation::On),
        );
        refuse_segmentation(&socket);
        let sent: Vec<Vec<u8>> = (0..20).map(|n| payload(n, 1000)).collect();
        let train = packets(near, far, &sent);
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let events = [None, Some(false), None, Some(true), Some(false)];
        let times = [
            start,
            start,
            start + minute / 2,
            start + minute,
            start + minute,
        ];
        for (time, event) in times.into_iter().zip(events) {
            assert_eq!(send_at(&mut sender, time, &train), []);
            assert_eq!(payloads(receive(&receiver, 20)), sent);
            assert_eq!(sender.take_change(), event);
        }
        assert_eq!(sender.fallbacks(), 2);
    }
}

#[test]
fn a_local_address_that_is_not_there_is_no_fault_of_segmentation() {
    let (mut one, two) = pair();
    let receiver = open(&two, Family::V4);
    let (_, mut sender) = sender(&one, "192.0.2.77", "192.0.2.2", Segmentation::On);
    let sent = vec![payload(0, 100), payload(1, 100)];
    let train = packets("192.0.2.77", "192.0.2.2", &sent);
    for _ in 0..3 {
        assert_eq!(
            send_udp(&mut sender, &train),
            [0, 1].map(|index| (index, Errno::NETUNREACH))
        );
    }
    let wire = one.index("wire");
    one.netlink
        .add_address(wire, crate::site::prefix("192.0.2.77/24"))
        .unwrap();
    assert_eq!(send_udp(&mut sender, &train), []);
    let received = receive(&receiver, 2);
    assert_eq!(received[0].0.source.ip(), ip("192.0.2.77"));
    assert_eq!((payloads(received), sender.fallbacks()), (sent, 0));
}

#[test]
fn features_of_what_is_not_there_are_refused() {
    let (one, _two) = pair();
    let code = |error: std::io::Error| error.raw_os_error();
    for name in ["absent", "", "a-name-beyond-15-octets"] {
        let error = one.run(|| ethtool::segments_udp(name)).unwrap_err();
        assert_eq!(code(error), Some(libc::ENODEV), "{name:?}");
    }
    let unknown = one
        .run(|| ethtool::set_feature("wire", "tx-nothing", true))
        .unwrap_err();
    assert_eq!(code(unknown), Some(libc::ENOENT));
    let fixed = one
        .run(|| ethtool::set_feature("lo", "loopback", false))
        .unwrap_err();
    assert_eq!(code(fixed), Some(libc::EOPNOTSUPP));
}
