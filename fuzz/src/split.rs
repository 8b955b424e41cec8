//! A virtio-net header and a packet, both of any octets: `split` refuses or gives segments of the length that they announce.

use adit_proto::offload::{VNET_HEADER_OCTETS, VnetHeader, split};

/// Replays one input.
pub fn run(data: &[u8]) {
    let Some((header, packet)) = data.split_at_checked(VNET_HEADER_OCTETS) else {
        return;
    };
    let Some(vnet) = VnetHeader::parse(header) else {
        return;
    };
    let Ok(segments) = split(vnet, packet) else {
        return;
    };
    let mut out = vec![0; packet.len()];
    let mut payload = 0;
    let expected = segments.len();
    let mut count = 0;
    for segment in segments {
        assert_eq!(segment.write_into(&mut out), segment.len());
        let headers = segment.head().len();
        assert!(headers >= 20 && headers <= segment.len());
        payload += segment.len() - headers;
        count += 1;
        if let Some(short) = out.get_mut(..segment.len() - 1) {
            assert_eq!(segment.write_into(short), 0);
        }
    }
    assert!(payload <= packet.len());
    assert_eq!(count, expected);
}
