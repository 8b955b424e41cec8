//! Packets of any octets, each behind its length (2 octets, little-endian): `separate` gives back every one as it came, and
//! what is coalesced splits into as many packets as it was made of.

use adit_proto::offload::{Coalescer, Coalescing, PIECES_MAX, split};

/// Replays one input.
pub fn run(data: &[u8]) {
    let mut packets = Vec::new();
    let mut buffer = data.to_vec();
    let mut at = 0;
    while let Some(&[low, high]) = data.get(at..).and_then(<[u8]>::first_chunk) {
        let start = at + 2;
        let end = (start + usize::from(u16::from_le_bytes([low, high]))).min(data.len());
        packets.push(start..end);
        at = end;
    }
    let mut coalescer = Coalescer::new(
        packets.len(),
        Coalescing {
            tcp: true,
            udp: true,
        },
    );
    coalescer.coalesce(&mut buffer, &packets);
    let mut count = 0;
    for run in coalescer.runs() {
        assert_eq!(run.packets as usize, run.pieces.len());
        assert!(run.pieces.len() <= PIECES_MAX);
        count += run.pieces.len();
        if run.packets > 1 {
            let whole: Vec<u8> = run
                .pieces
                .iter()
                .flat_map(|piece| buffer[piece.clone()].to_vec())
                .collect();
            let segments = split(run.vnet, &whole).expect("a run is a consistent super-packet");
            assert_eq!(segments.len(), run.pieces.len());
        }
    }
    assert_eq!(count, packets.len());
    for run in coalescer.runs() {
        run.separate(&mut buffer, |_| {});
    }
    assert_eq!(buffer, data);
}
