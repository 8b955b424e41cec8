//! adit's split and coalesce against those of tun-rs, which share no code with them.
//!
//! Segments must be the same, octet for octet. Runs may differ (adit follows the kernel's rules, and its bounds), so after
//! coalescing what is compared is what arrives: for TCP the octet at each sequence number, for UDP the datagrams in order.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: what is unexpected shall fail it"
)]

use std::collections::BTreeMap;
use std::ops::Range;

use adit_proto::offload::{
    Coalescer, Coalescing, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, NEEDS_CHECKSUM, VnetHeader,
    checksum, split,
};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use tun_rs::{VIRTIO_NET_HDR_LEN, VirtioNetHdr, gso_split, handle_gro};

/// One packet of one of four flows.
#[derive(Clone, Debug)]
struct Packet {
    ipv6: bool,
    udp: bool,
    seq: u32,
    ack: u32,
    psh: bool,
    fin: bool,
    ttl: u8,
    options: usize,
    payload: Vec<u8>,
}

impl Packet {
    fn build(&self) -> Vec<u8> {
        let ip = if self.ipv6 {
            PacketBuilder::ipv6([0xfd; 16], [0xfe; 16], self.ttl)
        } else {
            PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], self.ttl)
        };
        let mut packet = Vec::new();
        if self.udp {
            ip.udp(4000, 5000)
                .write(&mut packet, &self.payload)
                .unwrap();
        } else {
            let mut tcp = ip
                .tcp(4000, 5000, self.seq, 512)
                .ack(self.ack)
                .options_raw(&vec![1; self.options * 4])
                .unwrap();
            if self.psh {
                tcp = tcp.psh();
            }
            if self.fin {
                tcp = tcp.fin();
            }
            tcp.write(&mut packet, &self.payload).unwrap();
        }
        packet
    }

    fn transport(&self) -> usize {
        if self.ipv6 { 40 } else { 20 }
    }

    fn headers(&self) -> usize {
        self.transport() + if self.udp { 8 } else { 20 + self.options * 4 }
    }

    /// As the kernel hands a super-packet over: its checksum is the sum of the pseudo-header.
    fn super_packet(&self, gso_octets: u16) -> (VnetHeader, Vec<u8>) {
        let mut packet = self.build();
        let (protocol, offset) = if self.udp { (17, 6) } else { (6, 16) };
        let length = u16::try_from(packet.len() - self.transport()).unwrap();
        let addresses = if self.ipv6 { 8..40 } else { 12..20 };
        let pseudo = checksum::word(protocol) + checksum::word(length);
        let sum = checksum::fold(checksum::sum(&packet[addresses], pseudo));
        let at = self.transport() + usize::from(offset);
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        let vnet = VnetHeader {
            flags: NEEDS_CHECKSUM,
            gso_type: match (self.udp, self.ipv6) {
                (true, _) => GSO_UDP,
                (false, true) => GSO_TCPV6,
                (false, false) => GSO_TCPV4,
            },
            header_octets: u16::try_from(self.headers()).unwrap(),
            gso_octets,
            checksum_start: u16::try_from(self.transport()).unwrap(),
            checksum_offset: offset,
        };
        (vnet, packet)
    }
}

fn payload(length: usize, fill: u32) -> Vec<u8> {
    let octet = |i: u32| (i.wrapping_add(fill).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0];
    (0u32..).map(octet).take(length).collect()
}

prop_compose! {
    fn packets(octets: usize)(
        (ipv6, udp, psh, fin) in any::<(bool, bool, bool, bool)>(),
        (seq, ack, ttl) in (any::<u32>(), any::<u32>(), 1u8..),
        options in 0usize..=10,
        (length, fill) in (1..=octets, any::<u32>()),
    ) -> Packet {
        Packet { ipv6, udp, psh, fin, seq, ack, ttl, options, payload: payload(length, fill) }
    }
}

fn adit_split(vnet: VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let segments = split(vnet, packet).unwrap();
    segments
        .map(|segment| {
            let mut out = vec![0; segment.len()];
            segment.write_into(&mut out);
            out
        })
        .collect()
}

fn tun_rs_split(vnet: VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let header = VirtioNetHdr::decode(&vnet.emit()).unwrap();
    if header.gso_type == GSO_NONE {
        return vec![packet.to_vec()];
    }
    let mut packet = packet.to_vec();
    let count = packet.len() / usize::from(vnet.gso_octets) + 1;
    let mut out = vec![vec![0; packet.len()]; count];
    let mut sizes = vec![0; count];
    let ipv6 = packet[0] >> 4 == 6;
    let count = gso_split(&mut packet, header, &mut out, &mut sizes, 0, ipv6).unwrap();
    out.truncate(count);
    for (segment, size) in out.iter_mut().zip(sizes) {
        segment.truncate(size);
    }
    out
}

/// What adit writes to the device for a batch.
fn adit_runs(packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>)> {
    let mut buffer = Vec::new();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for packet in packets {
        ranges.push(buffer.len()..buffer.len() + packet.len());
        buffer.extend_from_slice(packet);
    }
    let mut coalescer = Coalescer::new(
        packets.len(),
        Coalescing {
            tcp: true,
            udp: true,
        },
    );
    coalescer.coalesce(&mut buffer, &ranges);
    let gather = |pieces: &[Range<usize>]| -> Vec<u8> {
        pieces
            .iter()
            .flat_map(|piece| buffer[piece.clone()].iter().copied())
            .collect()
    };
    coalescer
        .runs()
        .map(|run| (run.vnet, gather(run.pieces)))
        .collect()
}

/// What tun-rs writes to the device for a batch.
fn tun_rs_runs(packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>)> {
    let framed = |packet: &Vec<u8>| {
        // The capacity is what bounds a super-packet of tun-rs.
        let mut buffer = Vec::with_capacity(VIRTIO_NET_HDR_LEN + 65_535);
        buffer.resize(VIRTIO_NET_HDR_LEN, 0);
        buffer.extend_from_slice(packet);
        buffer
    };
    let mut buffers: Vec<_> = packets.iter().map(framed).collect();
    let mut written = Vec::new();
    let (mut tcp, mut udp) = Default::default();
    handle_gro(
        &mut buffers,
        VIRTIO_NET_HDR_LEN,
        &mut tcp,
        &mut udp,
        true,
        &mut written,
    )
    .unwrap();
    let frame = |index: usize| {
        let (vnet, packet) = buffers[index].split_at(VIRTIO_NET_HDR_LEN);
        (VnetHeader::parse(vnet).unwrap(), packet.to_vec())
    };
    written.into_iter().map(frame).collect()
}

fn adit_round_trip(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    adit_runs(packets)
        .iter()
        .flat_map(|(vnet, packet)| adit_split(*vnet, packet))
        .collect()
}

fn tun_rs_round_trip(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    tun_rs_runs(packets)
        .iter()
        .flat_map(|(vnet, packet)| tun_rs_split(*vnet, packet))
        .collect()
}

/// What the applications get: TCP octets by sequence number, UDP datagrams in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arrived {
    tcp: BTreeMap<(bool, u32), u8>,
    udp: BTreeMap<bool, Vec<Vec<u8>>>,
}

/// A receiver that discards what has a wrong checksum.
fn received(packets: &[Vec<u8>]) -> Arrived {
    let mut arrived = Arrived::default();
    for packet in packets {
        let sliced = SlicedPacket::from_ip(packet).unwrap();
        let net = sliced.net.unwrap();
        let ipv6 = matches!(net, NetSlice::Ipv6(_));
        let transport = if ipv6 { 40 } else { 20 };
        let protocol = u16::from(packet[if ipv6 { 6 } else { 9 }]);
        let length = u16::try_from(packet.len() - transport).unwrap();
        let pseudo = checksum::word(protocol) + checksum::word(length);
        let checked = &packet[if ipv6 { 8 } else { 12 }..];
        if checksum::fold(checksum::sum(checked, pseudo)) != 0xffff {
            continue;
        }
        match sliced.transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                let numbers = (0u32..).map(|i| (ipv6, tcp.sequence_number().wrapping_add(i)));
                arrived
                    .tcp
                    .extend(numbers.zip(tcp.payload().iter().copied()));
            }
            TransportSlice::Udp(udp) => {
                arrived
                    .udp
                    .entry(ipv6)
                    .or_default()
                    .push(udp.payload().to_vec());
            }
            TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_) => {
                panic!("no such packet was made")
            }
        }
    }
    arrived
}

fn is_empty_datagram(packet: &[u8]) -> bool {
    let (protocol, empty) = if packet[0] >> 4 == 4 {
        (packet[9], 28)
    } else {
        (packet[6], 48)
    };
    protocol == 17 && packet.len() == empty
}

/// Four flows interleaved, each step a packet with what may go wrong on the way.
fn stream(steps: &[(usize, u8, u8)]) -> Vec<Vec<u8>> {
    let flow = |ipv6, udp| Packet {
        ipv6,
        udp,
        seq: u32::MAX - 2000,
        ack: 1,
        psh: false,
        fin: false,
        ttl: 64,
        options: 0,
        payload: Vec::new(),
    };
    let mut flows = [
        flow(false, false),
        flow(true, false),
        flow(false, true),
        flow(true, true),
    ];
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for (fill, &(index, event, value)) in (0u32..).zip(steps) {
        let packet = &mut flows[index];
        packet.psh = event == 1;
        packet.fin = event == 2;
        match event {
            3 => packet.ack += u32::from(value),
            4 => packet.ttl = value.max(1),
            5 => packet.options = usize::from(value % 11),
            6 => packet.seq = packet.seq.wrapping_add(u32::from(value)),
            _ => {}
        }
        let length = if event == 7 { usize::from(value) } else { 300 };
        packet.payload = payload(length, fill * 1009);
        let mut octets = packet.build();
        if event == 8 {
            *octets.last_mut().unwrap() ^= value;
        }
        packets.push(octets);
        packet.seq = packet.seq.wrapping_add(u32::try_from(length).unwrap());
        if event == 9 && packets.len() > 1 {
            let last = packets.len() - 1;
            packets.swap(last - 1, last);
        }
    }
    packets
}

proptest! {
    #[test]
    fn segments_are_those_of_tun_rs(packet in packets(9000), gso_octets in 1u16..2000) {
        let (vnet, octets) = packet.super_packet(gso_octets);
        prop_assert_eq!(adit_split(vnet, &octets), tun_rs_split(vnet, &octets));
    }

    #[test]
    fn what_arrives_after_coalescing_is_what_arrives_with_tun_rs_and_without(
        steps in proptest::collection::vec((0usize..4, 0u8..30, any::<u8>()), 1..100)
    ) {
        let packets = stream(&steps);
        prop_assert_eq!(received(&adit_round_trip(&packets)), received(&packets));
        // tun-rs loses an empty datagram behind another of its flow.
        let filled: Vec<_> = packets.into_iter().filter(|packet| !is_empty_datagram(packet)).collect();
        prop_assert_eq!(received(&tun_rs_round_trip(&filled)), received(&filled));
    }
}

#[test]
fn a_whole_batch_of_four_flows_becomes_as_few_writes_as_with_tun_rs() {
    let steps: Vec<_> = (0..200).map(|index| (index % 4, u8::MAX, 0)).collect();
    let packets = stream(&steps);
    assert_eq!(adit_runs(&packets).len(), 4);
    assert_eq!(tun_rs_runs(&packets).len(), 4);
}
