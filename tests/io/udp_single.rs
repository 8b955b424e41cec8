//! Single datagrams of a UDP socket, as IKE sends them.

use std::net::SocketAddr;

use adit::io::udp::UdpReceiveBatch;

use crate::site::{ip, pair, wait_for};
use crate::udp::{FAMILIES, PORT, open, payload};

#[test]
fn a_message_leaves_from_the_address_that_it_is_to_leave_from_and_in_fragments_where_it_is_too_large()
 {
    let (a, b) = pair();
    for (family, near, far) in FAMILIES {
        let (ours, theirs) = (open(&a, family), open(&b, family));
        let mut batch = UdpReceiveBatch::new();
        for octets in [1, 1200, 4000] {
            let sent = payload(octets, octets);
            let (first, rest) = sent.split_at(1);
            ours.send_from(ip(near), SocketAddr::new(ip(far), PORT), &[first, rest])
                .unwrap();
            wait_for(theirs.fd(), || {
                (theirs.receive(&mut batch).unwrap() == 1).then_some(())
            });
            let train = batch.train(0).unwrap();
            assert_eq!(train.source, SocketAddr::new(ip(near), PORT));
            assert_eq!(
                &batch.buffer()[train.range],
                sent,
                "{octets} octets over {family:?}"
            );
        }
    }
}
