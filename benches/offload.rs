//! How long split, coalesce and checksum take for a packet, and how long tun-rs takes for the same in the same run.
//!
//! One flow of 1400-octet packets (1448 and less of payload do not change the picture), 46 to a super-packet. Times are per
//! super-packet or batch; the throughput column is packets.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench of fixed packets"
)]

use std::hint::black_box;
use std::ops::Range;
use std::time::Duration;

use adit_proto::offload::{
    Coalescer, Coalescing, GSO_TCPV4, GSO_UDP, NEEDS_CHECKSUM, VnetHeader, checksum, split,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etherparse::PacketBuilder;
use tun_rs::{GROTable, VIRTIO_NET_HDR_LEN, VirtioNetHdr, gso_split};

const PACKETS: usize = 46;
const PACKET_OCTETS: usize = 1400;
/// The distance of the slots in a receive buffer.
const SLOT_OCTETS: usize = 65_536;

fn payload(octets: usize) -> Vec<u8> {
    (0u32..)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .take(octets)
        .collect()
}

fn tcp(seq: u32, octets: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(4000, 5000, seq, 512)
        .ack(1)
        .options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        .unwrap()
        .write(&mut packet, &payload(octets))
        .unwrap();
    packet
}

fn udp(octets: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(4000, 5000);
    builder.write(&mut packet, &payload(octets)).unwrap();
    packet
}

/// A super-packet of TCP or UDP, whose segments are of [`PACKET_OCTETS`].
fn super_packet(gso_type: u8) -> (VnetHeader, Vec<u8>) {
    let (headers, checksum_offset) = if gso_type == GSO_UDP {
        (28, 6)
    } else {
        (52, 16)
    };
    let payload = PACKET_OCTETS - headers;
    let packet = if gso_type == GSO_UDP {
        udp(payload * PACKETS)
    } else {
        tcp(1, payload * PACKETS)
    };
    let vnet = VnetHeader {
        flags: NEEDS_CHECKSUM,
        gso_type,
        header_octets: u16::try_from(headers).unwrap(),
        gso_octets: u16::try_from(payload).unwrap(),
        checksum_start: 20,
        checksum_offset,
    };
    (vnet, packet)
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksum_1400");
    let octets = payload(PACKET_OCTETS);
    let mut out = octets.clone();
    group.bench_function("adit", |b| b.iter(|| checksum::sum(black_box(&octets), 0)));
    group.bench_function("adit_with_copy", |b| {
        b.iter(|| checksum::copy_sum(black_box(&mut out), black_box(&octets), 0));
    });
    group.bench_function("tun_rs", |b| {
        b.iter(|| tun_rs::checksum(black_box(&octets), 0))
    });
    group.bench_function("copy_only", |b| {
        b.iter(|| black_box(&mut out).copy_from_slice(black_box(&octets)));
    });
    group.finish();
}

fn splits(c: &mut Criterion) {
    for (name, gso_type) in [("split_tcp", GSO_TCPV4), ("split_udp", GSO_UDP)] {
        let (vnet, mut packet) = super_packet(gso_type);
        let header = VirtioNetHdr::decode(&vnet.emit()).unwrap();
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(PACKETS as u64));
        let mut train = vec![0; 128 * 1024];
        group.bench_function("adit", |b| {
            b.iter(|| {
                let mut at = 0;
                for segment in split(vnet, black_box(&packet)).unwrap() {
                    at += segment.write_into(&mut train[at..]);
                }
                at
            });
        });
        let mut out = vec![vec![0; PACKET_OCTETS]; PACKETS];
        let mut sizes = vec![0; PACKETS];
        group.bench_function("tun_rs", |b| {
            b.iter(|| {
                gso_split(
                    black_box(&mut packet),
                    header,
                    &mut out,
                    &mut sizes,
                    0,
                    false,
                )
                .unwrap()
            });
        });
        group.finish();
    }
}

/// Packets of `flows` flows in turn, each flow's in sequence.
fn batch(flows: usize) -> Vec<Vec<u8>> {
    let payload = PACKET_OCTETS - 52;
    let packet = |index: usize| {
        let mut packet = tcp(u32::try_from(index / flows * payload).unwrap(), payload);
        // Ports may be exchanged without a change of the checksum.
        let port = u16::try_from(index % flows).unwrap();
        packet[20..22].copy_from_slice(&(4000 + port).to_be_bytes());
        packet[22..24].copy_from_slice(&(5000 - port).to_be_bytes());
        packet
    };
    (0..PACKETS).map(packet).collect()
}

fn bench_adit(group: &mut Group<'_>, name: &str, packets: &[Vec<u8>], slot: usize) {
    let mut buffer = vec![0; slot * packets.len()];
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let start = index * slot;
        buffer[start..start + packet.len()].copy_from_slice(packet);
        ranges.push(start..start + packet.len());
    }
    let mut coalescer = Coalescer::new(
        packets.len(),
        Coalescing {
            tcp: true,
            udp: true,
        },
    );
    group.bench_function(name, |b| {
        b.iter(|| {
            coalescer.coalesce(black_box(&mut buffer), &ranges);
            let mut pieces = 0;
            for run in coalescer.runs() {
                pieces += run.pieces.len();
                // Restores the one packet whose headers were rewritten.
                let head = run.pieces[0].start;
                buffer[head..head + 52].copy_from_slice(&packets[head / slot][..52]);
            }
            pieces
        });
    });
}

fn bench_tun_rs(group: &mut Group<'_>, packets: &[Vec<u8>]) {
    let framed = |packet: &Vec<u8>| {
        let mut buffer = Vec::with_capacity(VIRTIO_NET_HDR_LEN + 65_535);
        buffer.resize(VIRTIO_NET_HDR_LEN, 0);
        buffer.extend_from_slice(packet);
        buffer
    };
    let mut buffers: Vec<_> = packets.iter().map(framed).collect();
    let mut table = GROTable::new();
    group.bench_function("tun_rs", |b| {
        b.iter(|| {
            table
                .apply_gro(black_box(&mut buffers), VIRTIO_NET_HDR_LEN, true)
                .unwrap();
            for (buffer, packet) in buffers.iter_mut().zip(packets) {
                let octets = VIRTIO_NET_HDR_LEN + packet.len();
                if buffer.len() > octets {
                    buffer.truncate(octets);
                    buffer[VIRTIO_NET_HDR_LEN..][..52].copy_from_slice(&packet[..52]);
                }
            }
        });
    });
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn coalesces(c: &mut Criterion) {
    for (name, flows) in [("coalesce_1_flow", 1), ("coalesce_8_flows", 8)] {
        let packets = batch(flows);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(packets.len() as u64));
        bench_adit(&mut group, "adit", &packets, PACKET_OCTETS);
        bench_adit(&mut group, "adit_in_receive_slots", &packets, SLOT_OCTETS);
        bench_tun_rs(&mut group, &packets);
        group.finish();
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = offload;
    config = short();
    targets = checksums, splits, coalesces
}
criterion_main!(offload);
