//! TUN devices: names, carrier, super-packets in both directions.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use adit::io::tun::{MAX_PIECES, OffloadSwitches, TunDevice, TunError};
use rustix::io::Errno;

use crate::site::{PATIENCE, Site, ready, wait_for};

const ALL: OffloadSwitches = OffloadSwitches {
    tso: true,
    uso: true,
};
const NONE: OffloadSwitches = OffloadSwitches {
    tso: false,
    uso: false,
};
const VNET: usize = 10;
const GSO_TCPV4: u8 = 1;
const GSO_UDP_L4: u8 = 5;

fn create(site: &Site, name: &str, offload: OffloadSwitches) -> Result<TunDevice, TunError> {
    site.run(|| TunDevice::create(name, offload))
}

#[test]
fn a_name_that_is_taken_is_said_so_whoever_took_it() {
    let mut site = Site::new();
    let _held = create(&site, "tun-a", NONE).unwrap();
    site.netlink.create_veth("veth-a", "veth-b", None).unwrap();
    for name in ["tun-a", "veth-a", "lo"] {
        let error = create(&site, name, NONE).unwrap_err();
        assert!(
            matches!(&error, TunError::NameTaken { name: taken } if taken == name),
            "{error}"
        );
        assert!(
            error.to_string().contains(name) && error.to_string().contains("exists"),
            "{error}"
        );
    }
}

#[test]
fn names_that_the_kernel_refuses_or_reads_as_patterns_are_invalid() {
    let site = Site::new();
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a:b",
        "a b",
        "tun%d",
        "sixteen-octets-x",
    ] {
        let error = create(&site, name, NONE).unwrap_err();
        assert!(
            matches!(error, TunError::NameInvalid { .. }),
            "{name:?}: {error}"
        );
    }
    assert_eq!(
        create(&site, "fifteen-octets-", NONE).unwrap().name(),
        "fifteen-octets-"
    );
}

#[test]
fn a_new_device_is_down_without_carrier_and_goes_with_its_descriptor() {
    let mut site = Site::new();
    let device = create(&site, "tun-a", ALL).unwrap();
    let link = site.netlink.find_link("tun-a").unwrap().unwrap();
    assert_eq!(
        (link.index, link.kind.as_deref()),
        (device.index(), Some("tun"))
    );
    assert!(!link.up);
    site.netlink.set_up(link.index, true).unwrap();
    let link = site.netlink.refresh_carrier(link.index).unwrap().unwrap();
    assert!(link.up && !link.running);
    device.set_carrier(true).unwrap();
    assert!(
        site.netlink
            .refresh_carrier(link.index)
            .unwrap()
            .unwrap()
            .running
    );
    drop(device);
    assert_eq!(site.netlink.find_link("tun-a").unwrap(), None);
}

#[test]
fn accepted_offloads_are_told_and_can_be_changed() {
    let site = Site::new();
    let mut device = create(&site, "tun-a", ALL).unwrap();
    assert_eq!(device.offload(), ALL);
    for wanted in [
        OffloadSwitches {
            tso: true,
            uso: false,
        },
        OffloadSwitches {
            tso: false,
            uso: true,
        },
        NONE,
        ALL,
    ] {
        assert_eq!(device.set_offload(wanted).unwrap(), wanted);
        assert_eq!(device.offload(), wanted);
    }
}

#[test]
fn reading_an_empty_device_does_not_wait_and_a_deleted_one_is_an_error() {
    let mut site = Site::new();
    let device = create(&site, "tun-a", ALL).unwrap();
    let mut buffer = [0; 2048];
    site.configure("tun-a", &[]);
    while device.read(&mut buffer) != Err(Errno::AGAIN) {}
    let deleted = site.run(|| Command::new("ip").args(["link", "del", "tun-a"]).status());
    assert!(deleted.unwrap().success());
    assert_eq!(device.read(&mut buffer), Err(Errno::BADFD));
    assert_eq!(ready(&[device.fd()], PATIENCE), 1);
}

/// An IPv4/UDP packet from 10.0.0.2:2 to 10.0.0.1:`port` without UDP checksum.
fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).udp(2, port);
    let mut out = Vec::new();
    builder.write(&mut out, payload).unwrap();
    out
}

#[test]
fn pieces_of_a_buffer_are_written_as_one_packet() {
    let mut site = Site::new();
    let device = create(&site, "tun-a", NONE).unwrap();
    device.set_carrier(true).unwrap();
    site.configure("tun-a", &["10.0.0.1/24"]);
    let socket = site.run(|| UdpSocket::bind("10.0.0.1:0")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    for count in [1, 2, 7, 8, 9, MAX_PIECES] {
        let payload = [u8::try_from(count % 256).unwrap(); 1000];
        let whole = datagram(port, &payload);
        // Every second octet of the buffer is between two pieces, so they are written in the given order and no other.
        let piece = whole.len().div_ceil(count);
        let (mut buffer, mut pieces) = (Vec::new(), Vec::new());
        for octets in whole.chunks(piece) {
            pieces.push(buffer.len()..buffer.len() + octets.len());
            buffer.extend_from_slice(octets);
            buffer.push(0xff);
        }
        assert_eq!(
            device.write_run(&[0; VNET], &buffer, &pieces),
            Ok(VNET + whole.len())
        );
        let mut received = [0; 2000];
        assert_eq!(socket.recv(&mut received).unwrap(), 1000, "{count} pieces");
        assert_eq!(received[..1000], payload);
    }
    let outside = [0..20, 90..101];
    assert_eq!(
        device.write_run(&[0; VNET], &[0x45; 100], &outside),
        Err(Errno::FAULT)
    );
    let many = vec![0..1; MAX_PIECES + 1];
    assert_eq!(
        device.write_run(&[0; VNET], &[0x45; 100], &many),
        Err(Errno::MSGSIZE)
    );
}

#[test]
fn a_write_to_an_interface_that_is_down_is_an_error() {
    let site = Site::new();
    let device = create(&site, "tun-a", NONE).unwrap();
    let whole = datagram(9, b"x");
    assert_eq!(
        device.write_run(&[0; VNET], &whole, &[0..20, 20..whole.len()]),
        Err(Errno::IO)
    );
}

/// Largest packet seen for each GSO type, by [`forward`].
#[derive(Debug, Default)]
struct Seen {
    tcp_super: usize,
    udp_super: usize,
    plain: usize,
    checksum_left: bool,
}

/// Carries packets between two devices, virtio-net headers included, until told to stop.
fn forward(one: &TunDevice, two: &TunDevice, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut buffer = vec![0; VNET + 65_536];
    while !stop.load(Ordering::Relaxed) {
        let ready = ready(&[one.fd(), two.fd()], Duration::from_millis(20));
        for (from, to) in [(one, two), (two, one)].into_iter().filter(|_| ready > 0) {
            while let Ok(octets) = from.read(&mut buffer) {
                let (vnet, packet) = buffer.split_at(VNET);
                let vnet: [u8; VNET] = vnet.try_into().unwrap();
                let octets = octets - VNET;
                let largest = match vnet[1] & 0x7f {
                    GSO_TCPV4 => &mut seen.tcp_super,
                    GSO_UDP_L4 => &mut seen.udp_super,
                    0 => &mut seen.plain,
                    other => panic!("gso type {other}"),
                };
                *largest = octets.max(*largest);
                seen.checksum_left |= vnet[0] != 0;
                // Two pieces, as a coalesced run has.
                let result = to.write_run(&vnet, packet, &[0..20, 20..octets]);
                assert_eq!(result, Ok(VNET + octets));
            }
        }
    }
    seen
}

/// Two sites whose TUN devices, with these offloads, are joined while `f` runs with their namespaces.
fn joined(offload: OffloadSwitches, f: impl FnOnce(&Site, &Site)) -> Seen {
    let (mut one, mut two) = (Site::new(), Site::new());
    let (tun_one, tun_two) = (
        create(&one, "tun-a", offload).unwrap(),
        create(&two, "tun-b", offload).unwrap(),
    );
    tun_one.set_carrier(true).unwrap();
    tun_two.set_carrier(true).unwrap();
    one.configure("tun-a", &["10.0.0.1/24"]);
    two.configure("tun-b", &["10.0.0.2/24"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let forwarder = scope.spawn(|| forward(&tun_one, &tun_two, &stop));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&one, &two)));
        stop.store(true, Ordering::Relaxed);
        let seen = forwarder.join().unwrap();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        seen
    })
}

fn tcp_transfer(one: &Site, two: &Site) {
    let listener = one.run(|| TcpListener::bind("10.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 253) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = two
                .run(|| TcpStream::connect_timeout(&address, PATIENCE))
                .unwrap();
            stream.write_all(&sent).unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == sent);
    });
}

#[test]
fn tcp_crosses_two_devices_in_super_packets_and_arrives_whole() {
    let seen = joined(ALL, tcp_transfer);
    assert!(seen.tcp_super > 10_000, "{seen:?}");
}

#[test]
fn with_offload_off_packets_fit_the_mtu_and_have_their_checksums() {
    let seen = joined(NONE, tcp_transfer);
    assert_eq!(
        (seen.tcp_super, seen.udp_super, seen.checksum_left),
        (0, 0, false)
    );
    assert_eq!(seen.plain, 1500);
}

/// Virtio-net header and packet of `octets` of UDP payload, from 10.0.0.2 to 10.0.1.2, in segments of 1000.
fn udp_super_packet(octets: usize) -> ([u8; VNET], Vec<u8>) {
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 1, 2], 64).udp(1, 2);
    let mut packet = Vec::new();
    builder.write(&mut packet, &vec![9; octets]).unwrap();
    // With NEEDS_CSUM the field holds the sum of the pseudo-header, not complemented.
    let words = [
        0x0a00,
        0x0002,
        0x0a00,
        0x0102,
        17,
        u32::try_from(octets + 8).unwrap(),
    ];
    let sum: u32 = words.iter().sum();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[26..28].copy_from_slice(&folded.to_be_bytes());
    let mut vnet = [0; VNET];
    vnet[..2].copy_from_slice(&[1, GSO_UDP_L4]);
    for (field, value) in [28u16, 1000, 20, 6].into_iter().enumerate() {
        vnet[2 + 2 * field..4 + 2 * field].copy_from_slice(&value.to_ne_bytes());
    }
    (vnet, packet)
}

#[test]
fn a_coalesced_udp_write_crosses_whole_to_a_device_with_uso_and_in_segments_to_one_without() {
    for (offload, expected) in [
        (ALL, vec![10_528]),
        (NONE, [vec![1028; 10], vec![528]].concat()),
    ] {
        let mut site = Site::new();
        let (from, to) = (
            create(&site, "tun-a", ALL).unwrap(),
            create(&site, "tun-b", offload).unwrap(),
        );
        from.set_carrier(true).unwrap();
        to.set_carrier(true).unwrap();
        site.configure("tun-a", &["10.0.0.1/24"]);
        site.configure("tun-b", &["10.0.1.1/24"]);
        site.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .unwrap();
        let (vnet, packet) = udp_super_packet(10_500);
        let pieces = [0..1028, 1028..5000, 5000..packet.len()];
        assert_eq!(
            from.write_run(&vnet, &packet, &pieces),
            Ok(VNET + packet.len())
        );
        let mut buffer = vec![0; VNET + 65_536];
        let mut sizes = Vec::new();
        wait_for(to.fd(), || {
            while let Ok(octets) = to.read(&mut buffer) {
                // The kernel's own IPv6 chatter on the new interface is not of interest.
                if buffer[VNET] == 0x45 {
                    sizes.push(octets - VNET);
                    let gso_type = if offload.uso { GSO_UDP_L4 } else { 0 };
                    assert_eq!(buffer[1], gso_type);
                }
            }
            (sizes.iter().sum::<usize>() >= expected.iter().sum()).then_some(())
        });
        assert_eq!(sizes, expected);
    }
}

#[test]
fn what_a_full_queue_loses_is_counted_by_the_interface() {
    let mut site = Site::new();
    // Its own chatter would be counted too.
    site.run(|| std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"))
        .unwrap();
    site.run(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"))
        .unwrap();
    let device = create(&site, "tun-a", NONE).unwrap();
    device.set_carrier(true).unwrap();
    site.configure("tun-a", &["10.0.0.1/24"]);
    let socket = site.run(|| UdpSocket::bind("10.0.0.1:0")).unwrap();
    for _ in 0..2000 {
        let _ = socket.send_to(b"x", "10.0.0.2:9");
    }
    let mut buffer = [0; 2048];
    let mut read = 0;
    while device.read(&mut buffer).is_ok() {
        read += u64::from(buffer[VNET] == 0x45);
    }
    let link = site.netlink.link(device.index()).unwrap().unwrap();
    assert!(read < 2000);
    assert_eq!(read + link.statistics.tx_dropped, 2000);
}
