//! A kernel that asks for SAs when it has a packet for them.

use super::{Initiator, Pair};
use crate::common::wait_for;
use crate::link::Link;
use crate::peer::{PATIENCE, Peer};

#[test]
fn a_packet_in_the_guest_brings_the_tunnel_up() {
    let peer = Peer::lent();
    let link = Link::new().charon("", "", "start_action = trap");
    let mut pair = Pair::idle(&peer, &link, Initiator::Charon.start());
    assert_ne!(pair.adit.tunnel("t")["state"], "up");
    wait_for("the guest is answered", PATIENCE, || {
        let (answered, _) = peer
            .guest
            .attempt("ping -q -c 1 -W 1 -I 10.77.2.1 10.77.1.1");
        answered.then_some(())
    });
    pair.wait_up();
    pair.assert_carries(false);
}
