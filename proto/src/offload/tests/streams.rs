//! Whole streams through `Coalescer` and back.

use super::coalescing::{BOTH, Batch, fix_ipv4_checksum, make_fragment};
use super::*;

/// What happens to one packet of a stream.
#[derive(Clone, Copy, Debug)]
struct Step {
    flow: usize,
    event: u8,
    value: u8,
}

prop_compose! {
    fn steps()(steps in proptest::collection::vec((0usize..4, 0u8..60, any::<u8>()), 1..150)) -> Vec<Step> {
        steps.into_iter().map(|(flow, event, value)| Step { flow, event, value }).collect()
    }
}

/// Four interleaved flows (TCP and UDP, IPv4 and IPv6) in which anything may change at any packet.
fn stream(steps: &[Step], df: bool) -> Vec<Vec<u8>> {
    let mut flows: Vec<Spec> = (0u16..4)
        .map(|index| Spec {
            ipv6: index & 1 != 0,
            udp: index & 2 != 0,
            ports: (100 + index, 9),
            df,
            ..Spec::default()
        })
        .collect();
    let mut packets = Vec::new();
    for (fill, step) in (0u32..).zip(steps) {
        let spec = &mut flows[step.flow];
        spec.flags = ACK;
        let length = match step.event {
            0 => usize::from(step.value),
            1 => 0,
            _ => 200,
        };
        match step.event {
            2 => spec.tos = step.value,
            3 => spec.ttl = step.value,
            4 => spec.ack += u32::from(step.value),
            5 => spec.window = u16::from(step.value),
            6 => spec.flags |= step.value,
            7 => spec.flags |= PSH,
            8 => spec.flags = step.value,
            9 => spec.seq = spec.seq.wrapping_add(u32::from(step.value)),
            10 => spec.id = spec.id.wrapping_add(u16::from(step.value)),
            11 => spec.options = vec![1; usize::from(step.value % 4) * 4],
            12 => spec.options.fill(step.value & 1),
            13 => spec.df = !spec.df,
            _ => {}
        }
        spec.payload = payload(length, fill * 1009);
        let mut packet = spec.build();
        match step.event {
            14 => *packet.last_mut().unwrap() ^= step.value,
            15 if !spec.ipv6 => make_fragment(&mut packet, step.value),
            16 if !spec.ipv6 => add_ipv4_options(&mut packet),
            17 if spec.udp && !spec.ipv6 => packet[26..28].fill(0),
            18 if !spec.ipv6 => packet[10] ^= step.value,
            _ => {}
        }
        packets.push(packet);
        spec.seq = spec.seq.wrapping_add(u32::try_from(length).unwrap());
        spec.id = spec.id.wrapping_add(1);
    }
    packets
}

fn add_ipv4_options(packet: &mut Vec<u8>) {
    packet.splice(20..20, [1; 4]);
    packet[0] = 0x46;
    let octets = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&octets.to_be_bytes());
    fix_ipv4_checksum(packet);
}

/// Version, protocol and ports, wherever the options of the tests put them.
fn flow_of(packet: &[u8]) -> (u8, u8, Vec<u8>) {
    let (protocol, transport) = match packet[0] >> 4 {
        4 => (packet[9], usize::from(packet[0] & 0x0f) * 4),
        _ => (packet[6], 40),
    };
    (
        packet[0] >> 4,
        protocol,
        packet[transport..transport + 4].to_vec(),
    )
}

/// With DF set the IPv4 ID means nothing (RFC 6864), and a device that segments counts it up.
fn without_atomic_id(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 && packet[6] & 0x40 != 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

fn in_flow(packets: &[Vec<u8>], flow: &(u8, u8, Vec<u8>)) -> Vec<Vec<u8>> {
    let packets = packets.iter().filter(|packet| flow_of(packet) == *flow);
    packets.cloned().map(without_atomic_id).collect()
}

proptest! {
    /// Byte stream, ECN marks, flags, options and order at once.
    #[test]
    fn in_each_flow_the_device_makes_the_packets_that_arrived_of_the_runs(steps in steps(), df in any::<bool>()) {
        let packets = stream(&steps, df);
        let arriving = Batch::new(&packets, BOTH).arriving();
        prop_assert_eq!(arriving.len(), packets.len());
        for packet in &packets {
            let flow = flow_of(packet);
            prop_assert_eq!(in_flow(&arriving, &flow), in_flow(&packets, &flow));
        }
    }

    #[test]
    fn separating_every_run_gives_every_packet_as_it_arrived(steps in steps(), df in any::<bool>()) {
        let packets = stream(&steps, df);
        let mut batch = Batch::new(&packets, BOTH);
        let (mut separated, mut expected) = (batch.separated(), packets);
        prop_assert_eq!(&batch.separated(), &separated, "a second time gives the same");
        separated.sort();
        expected.sort();
        prop_assert_eq!(separated, expected);
    }

    #[test]
    fn runs_account_for_every_packet_and_octet(steps in steps()) {
        let packets = stream(&steps, true);
        let batch = Batch::new(&packets, BOTH);
        let mut seen = (0, 0);
        for (run, (vnet, written)) in batch.coalescer.runs().zip(batch.written()) {
            prop_assert_eq!(run.packets as usize, run.pieces.len());
            prop_assert_eq!(vnet == VnetHeader::default(), run.packets == 1);
            prop_assert!(written.len() as u64 <= run.octets);
            seen = (seen.0 + run.packets as usize, seen.1 + run.octets);
        }
        let octets = packets.iter().map(|packet| packet.len() as u64).sum();
        prop_assert_eq!(seen, (packets.len(), octets));
    }

    #[test]
    fn what_is_switched_off_is_left_as_it_is(steps in steps(), tcp in any::<bool>(), udp in any::<bool>()) {
        let packets = stream(&steps, true);
        let batch = Batch::new(&packets, Coalescing { tcp, udp });
        for (vnet, _) in batch.written().iter().filter(|(vnet, _)| vnet.gso_type != GSO_NONE) {
            let on = if vnet.gso_type == GSO_UDP { udp } else { tcp };
            prop_assert!(on);
        }
    }

    #[test]
    fn no_octets_and_no_ranges_make_coalesce_panic(
        mut buffer in proptest::collection::vec(any::<u8>(), 0..400),
        ranges in proptest::collection::vec((0usize..450, 0usize..120, 0u8..6), 0..40),
    ) {
        let mut packets = Vec::new();
        for (start, length, kind) in ranges {
            if let Some(packet) = buffer.get_mut(start..start + length) {
                plausible(packet, kind);
            }
            packets.push(start..start + length);
        }
        #[expect(clippy::reversed_empty_ranges, reason = "also what no caller should give")]
        packets.push(9..3);
        let mut coalescer = Coalescer::new(2, BOTH);
        coalescer.coalesce(&mut buffer, &packets);
        prop_assert_eq!(coalescer.runs().map(|run| run.packets as usize).sum::<usize>(), packets.len());
        for run in coalescer.runs() {
            run.separate(&mut buffer, |packet| packet.reverse());
        }
    }
}

/// Makes octets look enough like a packet to come past the first questions.
fn plausible(packet: &mut [u8], kind: u8) {
    let octets = u16::try_from(packet.len()).unwrap();
    if let [first, _, l0, l1, f0, f1, p6, _, _, p4, ..] = packet {
        let protocol = if kind & 1 == 0 { TCP } else { UDP };
        match kind {
            0 | 1 => {
                (*first, *p6, *p4) = (0x45, 0x40, protocol);
                [*l0, *l1] = octets.to_be_bytes();
            }
            2 | 3 => {
                (*first, *p6) = (0x60, protocol);
                [*f0, *f1] = octets.saturating_sub(40).to_be_bytes();
            }
            _ => {}
        }
    }
}
