//! TUN to wire: one read, its segments straight into the send train, the train to the socket.
//!
//! Itinerary: [`TunDevice::read`](crate::io::tun::TunDevice::read) → `proto/offload/split.rs` → `proto/tunnel/encap.rs` into the train →
//! [`SendSocket::send`](crate::io::raw::SendSocket::send). One device is one tunnel, so nothing is looked up.

use adit_proto::counters::DropReason;
use adit_proto::offload::{VNET_HEADER_OCTETS, VnetHeader, split};
use rustix::io::Errno;

use super::FromWorker;
use super::outbox::{Kind, Outbox, destination};
use super::tunnel::Tunnel;
use super::worker::{TURN_PACKETS, Worker};

/// Octets of the largest TUN read: the virtio-net header and an IP packet.
pub(super) const READ_OCTETS: usize = VNET_HEADER_OCTETS + 65_535;

impl Worker {
    /// Reads the device of `slot` until it is empty or its turn is over.
    pub(super) fn read_from(&mut self, slot: usize) {
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        self.outbox.use_peer(slot, Kind::User);
        let (mut packets, mut wakes) = (0, false);
        let sent_before = tunnel.counters.outbound_packets.load();
        let lost = loop {
            let Some(device) = &tunnel.device else { return };
            match device.read(&mut self.read) {
                Ok(octets) => {
                    let read = self.read.get_mut(..octets).unwrap_or_default();
                    if !tunnel.liveness.may_forward() {
                        let packet = read.get(VNET_HEADER_OCTETS..).unwrap_or_default();
                        wakes |= tunnel.idle.wakes(packet, self.outbox.now);
                    }
                    packets += forward(tunnel, slot, read, &mut self.outbox);
                    self.outbox.send_if_large();
                }
                Err(Errno::AGAIN | Errno::INTR) => break None,
                Err(error) => break Some(error),
            }
            if packets >= TURN_PACKETS {
                break None;
            }
        };
        if packets > 0 {
            let now = self.outbox.now;
            tunnel.check_associations(now, &self.config);
            // What was dropped is nothing that the peer could answer.
            if tunnel.counters.outbound_packets.load() != sent_before {
                tunnel.liveness.handle_outbound(now);
            }
            if wakes {
                self.config.ike.give(FromWorker::Traffic(tunnel.id));
            }
            self.attend_if_changed(slot, now);
        }
        if let Some(error) = lost {
            self.lose_device(slot, error);
        }
    }
}

/// Puts the segments of one read into the train; gives how many there were.
fn forward(tunnel: &mut Tunnel, slot: usize, read: &mut [u8], outbox: &mut Outbox) -> usize {
    let segments = read
        .split_at_mut_checked(VNET_HEADER_OCTETS)
        .and_then(|(header, packet)| Some((VnetHeader::parse(header)?, packet)))
        .ok_or(DropReason::OffloadMalformed)
        .and_then(|(vnet, packet)| split(vnet, packet));
    let segments = match segments {
        Ok(segments) => segments,
        Err(reason) => {
            tunnel.counters.drop_packet(reason);
            return 1;
        }
    };
    if !tunnel.liveness.may_forward() {
        let dropped = segments.len();
        tunnel
            .counters
            .drop_packets(DropReason::TunnelDown, dropped as u64);
        return dropped;
    }
    let user = destination(slot, Kind::User);
    let (mut packets, mut sent, mut octets) = (0, 0_u64, 0_u64);
    for segment in segments {
        packets += 1;
        match outbox.encapsulate(|train| tunnel.encap.encapsulate(train, user, &segment)) {
            Ok(outer) => {
                if outer > 1 {
                    tunnel.counters.fragments_sent.add(outer as u64);
                }
                sent += 1;
                octets += segment.len() as u64;
            }
            Err(reason) => tunnel.counters.drop_packet(reason),
        }
    }
    if sent > 0 {
        tunnel.idle.note_sent(outbox.now);
    }
    tunnel.counters.outbound_packets.add(sent);
    tunnel.counters.outbound_octets.add(octets);
    packets
}
