//! Rules of `Coalescer` and of taking a run apart.

use super::*;
use std::ops::Range;

pub(super) const BOTH: Coalescing = Coalescing {
    tcp: true,
    udp: true,
};

/// A batch as it lies in a receive buffer: packets with other octets between them.
pub(super) struct Batch {
    buffer: Vec<u8>,
    ranges: Vec<Range<usize>>,
    pub(super) coalescer: Coalescer,
}

impl Batch {
    pub(super) fn new(packets: &[Vec<u8>], what: Coalescing) -> Self {
        let (mut buffer, mut ranges) = (vec![0xee; 24], Vec::new());
        for packet in packets {
            let start = buffer.len();
            buffer.extend_from_slice(packet);
            ranges.push(start..buffer.len());
            buffer.extend_from_slice(&[0xee; 13]);
        }
        let mut coalescer = Coalescer::new(packets.len(), what);
        coalescer.coalesce(&mut buffer, &ranges);
        Self {
            buffer,
            ranges,
            coalescer,
        }
    }

    /// Each run as the device gets it.
    pub(super) fn written(&self) -> Vec<(VnetHeader, Vec<u8>)> {
        let gather = |run: Run<'_>| {
            let pieces = run.pieces.iter().map(|piece| &self.buffer[piece.clone()]);
            (run.vnet, pieces.collect::<Vec<_>>().concat())
        };
        self.coalescer.runs().map(gather).collect()
    }

    /// The packets that the device makes of the runs.
    pub(super) fn arriving(&self) -> Vec<Vec<u8>> {
        let mut arriving = Vec::new();
        for (vnet, packet) in self.written() {
            for segment in split(vnet, &packet).expect("a consistent run") {
                let mut out = vec![0; segment.len()];
                segment.write_into(&mut out);
                arriving.push(out);
            }
        }
        arriving
    }

    pub(super) fn separated(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for run in self.coalescer.runs() {
            run.separate(&mut self.buffer, |packet| packets.push(packet.to_vec()));
        }
        packets
    }

    fn run_lengths(&self) -> Vec<u32> {
        self.coalescer.runs().map(|run| run.packets).collect()
    }
}

fn run_lengths(packets: &[Vec<u8>]) -> Vec<u32> {
    Batch::new(packets, BOTH).run_lengths()
}

/// `count` packets that follow one another.
fn train(first: &Spec, count: u16) -> Vec<Vec<u8>> {
    let mut next = first.clone();
    (0..count)
        .map(|index| {
            next.payload = payload(first.payload.len(), u32::from(index) * 977);
            let packet = next.build();
            next.seq = next
                .seq
                .wrapping_add(u32::try_from(next.payload.len()).unwrap());
            next.id = next.id.wrapping_add(1);
            packet
        })
        .collect()
}

pub(super) fn fix_ipv4_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 0x0f) * 4;
    let sum = checksum::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

pub(super) fn make_fragment(packet: &mut [u8], value: u8) {
    packet[6] |= 0x20;
    packet[7] = value;
    fix_ipv4_checksum(packet);
}

#[test]
fn segments_that_follow_one_another_are_one_run_in_each_family_and_protocol() {
    for (ipv6, udp, df) in [
        (false, false, true),
        (false, false, false),
        (true, false, false),
        (false, true, true),
        (false, true, false),
        (true, true, false),
    ] {
        let spec = Spec {
            ipv6,
            udp,
            df,
            payload: vec![0; 1000],
            seq: u32::MAX - 1500,
            id: 0xfffe,
            options: vec![1; if udp { 0 } else { 12 }],
            ..Spec::default()
        };
        let packets = train(&spec, 40);
        let batch = Batch::new(&packets, BOTH);
        assert_eq!(batch.run_lengths(), [40]);
        assert_eq!(batch.arriving(), packets);
        let (vnet, _) = spec.super_packet(1000);
        assert_eq!(batch.written()[0].0, vnet);
    }
}

#[test]
fn atomic_ipv4_packets_join_whatever_their_ids() {
    let spec = Spec::default();
    let second = Spec {
        seq: spec.seq + 100,
        ..spec.clone()
    };
    assert_eq!(run_lengths(&[spec.build(), second.build()]), [2]);
    let [first, second] = [spec, second].map(|spec| Spec { df: false, ..spec }.build());
    assert_eq!(run_lengths(&[first, second]), [1, 1]);
}

#[test]
fn a_run_has_at_most_65535_octets_and_64_datagrams() {
    let packets = train(
        &Spec {
            payload: vec![0; 1400],
            ..Spec::default()
        },
        100,
    );
    assert_eq!(run_lengths(&packets), [46, 46, 8]);
    let packets = train(
        &Spec {
            udp: true,
            ..Spec::default()
        },
        129,
    );
    assert_eq!(run_lengths(&packets), [64, 64, 1]);
    let packets = train(
        &Spec {
            payload: vec![0; 10],
            ..Spec::default()
        },
        300,
    );
    assert_eq!(run_lengths(&packets), [128, 128, 44]);
}

#[test]
fn a_shorter_packet_and_psh_and_fin_end_a_run() {
    let changes: [fn(&mut Spec); 3] = [
        |spec| spec.payload.truncate(50),
        |spec| spec.flags |= PSH,
        |spec| spec.flags |= FIN,
    ];
    for change in changes {
        let mut packets = train(&Spec::default(), 3);
        let mut last = Spec {
            seq: 1300,
            id: 10,
            payload: vec![1; 100],
            ..Spec::default()
        };
        change(&mut last);
        packets.push(last.build());
        let next = Spec {
            seq: 1300 + u32::try_from(last.payload.len()).unwrap(),
            id: 11,
            ..Spec::default()
        };
        packets.extend(train(&next, 2));
        let batch = Batch::new(&packets, BOTH);
        assert_eq!(batch.run_lengths(), [4, 2]);
        assert_eq!(batch.arriving(), packets);
    }
}

#[test]
fn a_packet_that_differs_in_what_a_run_shares_begins_another() {
    let changes: [fn(&mut Spec); 11] = [
        |spec| spec.tos = 3,
        |spec| spec.ttl = 63,
        |spec| spec.df = false,
        |spec| spec.ack += 1,
        |spec| spec.window += 1,
        |spec| spec.flags |= 0x40,
        |spec| spec.flags |= CWR,
        |spec| spec.options = vec![1; 4],
        |spec| spec.ports.0 += 1,
        |spec| spec.seq += 1,
        |spec| spec.payload.push(0),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut second = Spec {
            seq: 1100,
            id: 8,
            ..Spec::default()
        };
        change(&mut second);
        let packets = [Spec::default().build(), second.build()];
        assert_eq!(run_lengths(&packets), [1, 1], "change {index}");
    }
}

#[test]
fn options_of_the_same_length_must_be_the_same() {
    let first = Spec {
        options: vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        ..Spec::default()
    };
    let mut second = Spec {
        seq: 1100,
        ..first.clone()
    };
    assert_eq!(run_lengths(&[first.build(), second.build()]), [2]);
    second.options[7] = 9;
    assert_eq!(run_lengths(&[first.build(), second.build()]), [1, 1]);
}

#[test]
fn a_damaged_packet_stays_alone_and_is_handed_on_as_it_is() {
    for damaged in 0..4 {
        for at in [25, 60, 10] {
            let mut packets = train(&Spec::default(), 4);
            packets[damaged][at] ^= 1;
            let batch = Batch::new(&packets, BOTH);
            let expected: &[u32] = match damaged {
                0 => &[1, 3],
                1 => &[1, 1, 2],
                2 => &[2, 1, 1],
                _ => &[3, 1],
            };
            assert_eq!(batch.run_lengths(), expected);
            assert_eq!(batch.arriving(), packets);
        }
    }
}

#[test]
fn interleaved_flows_have_a_run_each() {
    let flows = [4000, 4001, 4002].map(|port| {
        train(
            &Spec {
                ports: (port, 5000),
                ..Spec::default()
            },
            10,
        )
    });
    let packets: Vec<_> = (0..10)
        .flat_map(|index| flows.iter().map(move |flow| flow[index].clone()))
        .collect();
    assert_eq!(run_lengths(&packets), [10, 10, 10]);
}

#[test]
fn a_packet_alone_closes_the_run_of_its_flow_and_a_fragment_every_run() {
    let bulk = train(&Spec::default(), 4);
    let other = train(
        &Spec {
            ports: (4001, 5000),
            ..Spec::default()
        },
        4,
    );
    let syn = Spec {
        flags: 0x02,
        ..Spec::default()
    }
    .build();
    let packets = [
        &bulk[0], &other[0], &bulk[1], &syn, &bulk[2], &other[1], &bulk[3],
    ]
    .map(Clone::clone);
    assert_eq!(run_lengths(&packets), [2, 2, 1, 2]);

    let mut fragment = Spec {
        ports: (4002, 5000),
        ..Spec::default()
    }
    .build();
    make_fragment(&mut fragment, 0);
    let packets = [&bulk[0], &other[0], &fragment, &bulk[1], &other[1]].map(Clone::clone);
    assert_eq!(run_lengths(&packets), [1; 5]);
}

#[test]
fn a_packet_of_another_protocol_closes_nothing() {
    let mut packets = train(&Spec::default(), 2);
    let mut icmp = packets[0].clone();
    icmp[9] = 1;
    packets.insert(1, icmp);
    assert_eq!(run_lengths(&packets), [2, 1]);
}

#[test]
fn a_datagram_without_checksum_stays_alone() {
    let mut packets = train(
        &Spec {
            udp: true,
            ..Spec::default()
        },
        3,
    );
    for packet in &mut packets {
        packet[26..28].fill(0);
    }
    let batch = Batch::new(&packets, BOTH);
    assert_eq!(batch.run_lengths(), [1, 1, 1]);
    assert_eq!(batch.arriving(), packets);
}

#[test]
fn a_batch_forgets_the_one_before() {
    let packets = train(&Spec::default(), 4);
    let mut batch = Batch::new(&packets, BOTH);
    assert_eq!(batch.separated(), packets);
    let ranges = batch.ranges.split_off(2);
    batch.coalescer.coalesce(&mut batch.buffer, &ranges);
    assert_eq!(batch.run_lengths(), [2]);
    assert_eq!(batch.arriving(), packets[2..]);
    batch.coalescer.set(Coalescing {
        tcp: false,
        udp: false,
    });
    batch.separated();
    batch.coalescer.coalesce(&mut batch.buffer, &ranges);
    assert_eq!(batch.run_lengths(), [1, 1]);
}
