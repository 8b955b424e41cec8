//! The send train of a worker and what became of its packets.

use adit_proto::counters::DropReason;
use adit_proto::tunnel::{Refused, Train};
use rustix::io::Errno;

use super::worker::Slots;
use crate::io::raw::{SendBatch, SendSocket};

/// Room of the train: one TUN super-packet of usual segments, or two of the largest packets.
const TRAIN_PACKETS: usize = 64;
const TRAIN_OCTETS: usize = 160 * 1024;

/// What a packet in the train is, so that a refused one is counted where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Request,
    Answer,
    /// A request to the preferred peer that is probed beside the one in use.
    PreferredRequest,
}

/// The train's number for a packet of this kind of the tunnel in `slot`.
pub(super) fn destination(slot: usize, kind: Kind) -> u32 {
    let kind = match kind {
        Kind::User => 0,
        Kind::Request => 1,
        Kind::Answer => 2,
        Kind::PreferredRequest => 3,
    };
    u32::try_from(slot).unwrap_or(u32::MAX) << 2 | kind
}

fn owner(destination: u32) -> (usize, Kind) {
    let kind = match destination & 3 {
        0 => Kind::User,
        1 => Kind::Request,
        2 => Kind::Answer,
        _ => Kind::PreferredRequest,
    };
    ((destination >> 2) as usize, kind)
}

/// The place of a peer among the peers.
fn place(slot: usize, kind: Kind) -> usize {
    slot * 2 + usize::from(kind == Kind::PreferredRequest)
}

/// Packets of one tunnel, one after the other, that the kernel refused for one reason.
#[derive(Debug)]
struct Unsent {
    destination: u32,
    reason: DropReason,
    packets: u64,
    octets: u64,
}

/// Packets on their way out to one peer at a time.
pub(super) struct Outbox {
    train: Train,
    peer: usize,
    batch: SendBatch,
    refused: Vec<Unsent>,
    /// Of each slot the way to its peer and to its preferred peer, one after the other.
    peers: Vec<Option<SendSocket>>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            train: Train::new(TRAIN_PACKETS, TRAIN_OCTETS),
            peer: 0,
            batch: SendBatch::new(),
            refused: Vec::with_capacity(TRAIN_PACKETS),
            peers: Vec::new(),
        }
    }

    /// Says by which socket packets of `slot` go: `kind` tells the peer in use from the preferred one.
    pub(super) fn set_peer(&mut self, slot: usize, kind: Kind, socket: Option<SendSocket>) {
        self.send();
        let place = place(slot, kind);
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        if let Some(peer) = self.peers.get_mut(place) {
            *peer = socket;
        }
    }

    /// Makes the peer of `slot`, or its preferred one, the one that packets go to; what waits for another one leaves first.
    #[inline]
    pub(super) fn use_peer(&mut self, slot: usize, kind: Kind) {
        let place = place(slot, kind);
        if self.peer != place {
            self.send();
            self.peer = place;
        }
    }

    /// Puts a whole outer packet into the train; false when it is larger than the train.
    pub(super) fn put(&mut self, packet: &[u8], destination: u32) -> bool {
        if self.train.reserve(packet.len()).is_none() {
            self.send();
        }
        let Some(room) = self.train.reserve(packet.len()) else {
            return false;
        };
        room.copy_from_slice(packet);
        self.train.commit(packet.len(), destination);
        true
    }

    /// Lets `write` put packets into the train, and once more into an empty one when it was full; gives how many packets that were.
    #[inline]
    pub(super) fn encapsulate(
        &mut self,
        mut write: impl FnMut(&mut Train) -> Result<usize, Refused>,
    ) -> Result<usize, DropReason> {
        let mut written = write(&mut self.train);
        if matches!(written, Err(Refused::Full)) {
            self.send();
            written = write(&mut self.train);
        }
        written.map_err(|error| match error {
            Refused::Full => DropReason::TooBig,
            Refused::Dropped(reason) => reason,
        })
    }

    /// Sends what is in the train and notes what was refused.
    pub(super) fn send(&mut self) {
        if self.train.is_empty() {
            return;
        }
        let (train, refused) = (&self.train, &mut self.refused);
        let mut failed = |index, error| {
            if let Some((packet, destination)) = train.packets().nth(index) {
                note(refused, destination, reason(error), packet.len() as u64);
            }
        };
        match self.peers.get(self.peer).and_then(Option::as_ref) {
            Some(socket) => {
                let packets = train.packets().map(|(packet, _)| packet);
                socket.send(&mut self.batch, packets, failed);
            }
            None => (0..train.packets().len()).for_each(|index| failed(index, Errno::NETUNREACH)),
        }
        self.train.clear();
    }

    /// Counts what was refused, each packet under its tunnel's reason instead of its tunnel's traffic.
    pub(super) fn settle(&mut self, tunnels: &Slots) {
        for refused in self.refused.drain(..) {
            let (slot, kind) = owner(refused.destination);
            let Some(tunnel) = tunnels.get(slot).and_then(Option::as_ref) else {
                continue;
            };
            let counters = &tunnel.counters;
            counters.drop_packets(refused.reason, refused.packets);
            match kind {
                Kind::User => {
                    let overhead = refused.packets * tunnel.encap.overhead() as u64;
                    counters.outbound_packets.take_back(refused.packets);
                    counters
                        .outbound_octets
                        .take_back(refused.octets.saturating_sub(overhead));
                }
                Kind::Request | Kind::PreferredRequest => {
                    counters.keepalive_requests_sent.take_back(refused.packets)
                }
                Kind::Answer => counters.keepalive_responses_sent.take_back(refused.packets),
            }
        }
    }
}

fn note(refused: &mut Vec<Unsent>, destination: u32, reason: DropReason, octets: u64) {
    match refused.last_mut() {
        Some(last) if last.destination == destination && last.reason == reason => {
            last.packets += 1;
            last.octets += octets;
        }
        _ => refused.push(Unsent {
            destination,
            reason,
            packets: 1,
            octets,
        }),
    }
}

fn reason(error: Errno) -> DropReason {
    match error {
        Errno::MSGSIZE => DropReason::TooBig,
        Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::NODEV => {
            DropReason::NoRoute
        }
        Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => DropReason::QueueFull,
        _ => DropReason::SendRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_names_its_tunnel_and_kind() {
        for kind in [
            Kind::User,
            Kind::Request,
            Kind::Answer,
            Kind::PreferredRequest,
        ] {
            assert_eq!(owner(destination(1000, kind)), (1000, kind));
        }
    }

    #[test]
    fn refusals_of_one_tunnel_for_one_reason_are_noted_together() {
        let mut refused = Vec::new();
        let (a, b) = (destination(0, Kind::User), destination(1, Kind::User));
        note(&mut refused, a, DropReason::NoRoute, 100);
        note(&mut refused, a, DropReason::NoRoute, 50);
        note(&mut refused, b, DropReason::NoRoute, 1);
        note(&mut refused, b, DropReason::TooBig, 1);
        let counts: Vec<_> = refused.iter().map(|r| (r.packets, r.octets)).collect();
        assert_eq!(counts, [(2, 150), (1, 1), (1, 1)]);
    }
}
