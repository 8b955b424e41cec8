use super::*;
use crate::liveness::testing::{address, epoch};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn config(kind: WarmKind, family: usize) -> WarmConfig {
    let [source, destination] = [["10.9.1.1", "10.9.1.2"], ["fd00:9::1", "fd00:9::2"]][family];
    WarmConfig {
        interval: SECOND * 10,
        kind,
        source: address(source),
        destination: address(destination),
    }
}

fn packet(kind: WarmKind, family: usize) -> WarmPacket {
    let start = epoch();
    let mut warm = Warm::new(config(kind, family), start);
    assert_eq!(warm.poll_timeout(), Some(start + SECOND * 10));
    assert_eq!(warm.handle_timeout(start + SECOND * 9), None);
    warm.handle_timeout(start + SECOND * 10).unwrap()
}

#[test]
fn udp9_is_an_empty_datagram_between_discard_ports() {
    for (family, protocol, octets) in [(0, 0x0800, 28), (1, 0x86dd, 48)] {
        let packet = packet(WarmKind::Udp9, family);
        assert_eq!(packet.protocol(), Some(protocol));
        let inner = packet.inner().unwrap();
        assert_eq!(inner.len(), octets);
        let sliced = etherparse::SlicedPacket::from_ip(inner).unwrap();
        let Some(etherparse::TransportSlice::Udp(udp)) = &sliced.transport else {
            panic!("a UDP datagram");
        };
        assert_eq!((udp.source_port(), udp.destination_port()), (9, 9));
        assert!(udp.payload().is_empty());
        let header = udp.to_header();
        let computed = match sliced.net.as_ref().unwrap() {
            etherparse::NetSlice::Ipv4(ip) => {
                let ip = ip.header().to_header();
                assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                header.calc_checksum_ipv4(&ip, udp.payload())
            }
            etherparse::NetSlice::Ipv6(ip) => {
                header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
            }
            etherparse::NetSlice::Arp(_) => panic!("an IP packet"),
        };
        assert_eq!(header.checksum, computed.unwrap());
    }
}

#[test]
fn a_dummy_has_no_octets_and_an_echo_request_is_marked_and_numbered() {
    let dummy = packet(WarmKind::Dummy59, 0);
    assert_eq!((dummy.inner(), dummy.protocol()), (None, None));
    let start = epoch();
    for family in 0..2 {
        let mut warm = Warm::new(config(WarmKind::Icmp, family), start);
        for n in 0..3_u16 {
            let now = start + SECOND * 10 * u32::from(n + 1);
            let packet = warm.handle_timeout(now).unwrap();
            let echo = Echo::parse(packet.inner().unwrap(), 4).unwrap();
            assert!(echo.is_request);
            assert_eq!((echo.sequence, echo.data), (n, &b"warm"[..]));
        }
    }
}

#[test]
fn an_interval_of_zero_is_off_and_addresses_of_two_families_give_no_packet() {
    let start = epoch();
    let off = WarmConfig {
        interval: Duration::ZERO,
        ..config(WarmKind::Udp9, 0)
    };
    assert_eq!(Warm::new(off, start).poll_timeout(), None);
    for kind in [WarmKind::Udp9, WarmKind::Icmp] {
        let mixed = WarmConfig {
            destination: address("fd00:9::2"),
            ..config(kind, 0)
        };
        let mut warm = Warm::new(mixed, start);
        assert_eq!(warm.handle_timeout(start + SECOND * 10), None);
        assert_eq!(warm.poll_timeout(), Some(start + SECOND * 20));
    }
}

#[test]
fn user_data_starts_the_interval_anew() {
    let start = epoch();
    let mut warm = Warm::new(config(WarmKind::Udp9, 0), start);
    let mut sent = Vec::new();
    for second in 0..60 {
        let now = start + SECOND * second;
        if second == 4 || second == 9 || second == 31 {
            warm.note_sent(now);
        }
        if warm.handle_timeout(now).is_some() {
            sent.push(second);
        }
    }
    assert_eq!(sent, [19, 29, 41, 51]);
}

#[test]
fn the_receiver_knows_warm_packets_and_the_answers_of_a_kernel_to_them() {
    for family in 0..2 {
        for kind in [WarmKind::Udp9, WarmKind::Icmp] {
            let packet = packet(kind, family);
            assert!(is_warm(packet.inner().unwrap()));
        }
        let request = packet(WarmKind::Icmp, family);
        let request = Echo::parse(request.inner().unwrap(), 4).unwrap();
        let mut reply = [0; OCTETS_MAX];
        let octets = Echo {
            is_request: false,
            source: request.destination,
            destination: request.source,
            ..request
        }
        .write(&mut reply);
        assert!(is_warm(&reply[..octets]));
    }
}

#[test]
fn user_data_is_not_warm_traffic() {
    let udp = |family, at: usize, octet| {
        let mut octets = packet(WarmKind::Udp9, family).inner().unwrap().to_vec();
        octets[at] = octet;
        octets
    };
    assert!(!is_warm(&udp(0, 23, 53)), "another port");
    assert!(!is_warm(&udp(0, 22, 1)), "another port");
    assert!(!is_warm(&udp(1, 43, 53)), "another port");
    assert!(!is_warm(&udp(0, 6, 0x20)), "a first fragment");
    assert!(!is_warm(&udp(0, 7, 1)), "a later fragment");
    assert!(!is_warm(&udp(0, 9, 6)), "TCP to port 9");
    assert!(!is_warm(&udp(1, 6, 6)), "TCP to port 9");
    assert!(!is_warm(&udp(1, 6, 44)), "an IPv6 fragment");
    assert!(is_warm(&udp(0, 21, 53)), "the source port is anyone's");
    let mut ping = packet(WarmKind::Icmp, 0).inner().unwrap().to_vec();
    ping[31] = b'n';
    assert!(!is_warm(&ping), "an echo request with other data");
    ping[31] = b'm';
    ping.push(0);
    assert!(!is_warm(&ping), "a longer one");
    let mut options = packet(WarmKind::Udp9, 0).inner().unwrap().to_vec();
    options[0] = 0x46;
    options.splice(20..20, [1, 1, 1, 0]);
    assert!(is_warm(&options), "IPv4 options move the ports");
}

/// What an end that is no adit does with a packet to it.
fn kernel_answer(inner: &[u8]) -> Option<Vec<u8>> {
    let echo = Echo::parse(inner, 4)?;
    let mut out = [0; OCTETS_MAX];
    let octets = Echo {
        is_request: false,
        source: echo.destination,
        destination: echo.source,
        ..echo
    }
    .write(&mut out);
    echo.is_request.then(|| out[..octets].to_vec())
}

/// Two ends, each with a kernel behind it that answers whatever reaches it.
struct Ends {
    warm: [Warm; 2],
    filters: [bool; 2],
    in_flight: [Vec<Vec<u8>>; 2],
    sent: [usize; 2],
    to_kernel: [usize; 2],
}

impl Ends {
    fn turn(&mut self, end: usize, now: Instant) {
        let arrived = std::mem::take(&mut self.in_flight[end]);
        for inner in arrived {
            if self.filters[end] && is_warm(&inner) {
                continue;
            }
            self.to_kernel[end] += 1;
            if let Some(answer) = kernel_answer(&inner) {
                self.warm[end].note_sent(now);
                self.send(end, answer);
            }
        }
        if let Some(packet) = self.warm[end].handle_timeout(now) {
            self.send(end, packet.inner().unwrap_or_default().to_vec());
        }
    }

    fn send(&mut self, end: usize, inner: Vec<u8>) {
        self.sent[end] += 1;
        if !inner.is_empty() {
            self.in_flight[1 - end].push(inner);
        }
    }
}

proptest! {
    #[test]
    fn two_idle_ends_send_what_their_intervals_say_and_nothing_reaches_a_kernel(
        intervals in prop::array::uniform2(1_u64..30), kinds in prop::array::uniform2(0..3_usize), family in 0..2_usize,
    ) {
        let start = epoch();
        let kind = |end: usize| [WarmKind::Udp9, WarmKind::Icmp, WarmKind::Dummy59][kinds[end]];
        let warm = [0, 1].map(|end| {
            let config = config(kind(end), family);
            let interval = Duration::from_secs(intervals[end]);
            Warm::new(WarmConfig { interval, ..config }, start)
        });
        let mut ends = Ends {
            warm,
            filters: [true; 2],
            in_flight: [Vec::new(), Vec::new()],
            sent: [0; 2],
            to_kernel: [0; 2],
        };
        for second in 0..=600 {
            let now = start + Duration::from_secs(second);
            ends.turn(0, now);
            ends.turn(1, now);
        }
        for (sent, interval) in ends.sent.iter().zip(intervals) {
            prop_assert_eq!(*sent as u64, 600 / interval);
        }
        prop_assert_eq!(ends.to_kernel, [0; 2]);
    }

    #[test]
    fn an_end_that_answers_warm_traffic_gets_no_answer_to_its_answers(
        interval in 2_u64..30, family in 0..2_usize,
    ) {
        let start = epoch();
        let config = config(WarmKind::Icmp, family);
        let on = WarmConfig { interval: Duration::from_secs(interval), ..config };
        let off = WarmConfig { interval: Duration::ZERO, ..config };
        let mut ends = Ends {
            warm: [Warm::new(on, start), Warm::new(off, start)],
            filters: [true, false],
            in_flight: [Vec::new(), Vec::new()],
            sent: [0; 2],
            to_kernel: [0; 2],
        };
        for second in 0..=600 {
            let now = start + Duration::from_secs(second);
            ends.turn(0, now);
            ends.turn(1, now);
        }
        let count = usize::try_from(600 / interval).unwrap();
        prop_assert_eq!(ends.sent, [count, count]);
        prop_assert_eq!(ends.to_kernel, [0, count]);
    }

    #[test]
    fn octets_of_any_kind_are_judged_without_a_panic_and_a_flipped_marker_is_not_ours(
        octets in prop::collection::vec(any::<u8>(), 0..80), family in 0..2_usize, bit in 0..32_usize,
    ) {
        let is_udp = octets.len() >= 24 && (octets[6] == UDP || octets[9] == UDP);
        prop_assert!(!is_warm(&octets) || is_udp || octets.ends_with(&MARKER));
        let mut inner = packet(WarmKind::Icmp, family).inner().unwrap().to_vec();
        let at = inner.len() - 4 + bit / 8;
        inner[at] ^= 1 << (bit % 8);
        prop_assert!(!is_warm(&inner));
    }
}

#[test]
fn what_wakes_a_machine_is_no_warm_traffic() {
    for family in 0..2 {
        let mut inner = packet(WarmKind::Udp9, family).inner().unwrap().to_vec();
        inner.extend([0xff; 6]);
        inner.extend([2, 0, 0, 0, 0, 1]);
        assert!(!is_warm(&inner));
        let payload = inner.len() - 12;
        inner[payload] = 0xfe;
        assert!(is_warm(&inner));
    }
}
