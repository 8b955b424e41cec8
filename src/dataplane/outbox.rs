//! The send train of a worker and what became of its packets.

use std::net::SocketAddr;
use std::time::Instant;

use adit_proto::counters::DropReason;
use adit_proto::tunnel::{Label, Refused, Train};
use rustix::io::Errno;

use super::socket::Sender;
use super::worker::Slots;
use crate::io::raw::SendBatch;

/// Room of the train: one TUN super-packet of usual segments, or two of the largest packets.
const TRAIN_PACKETS: usize = 64;
const TRAIN_OCTETS: usize = 160 * 1024;
/// Half of a super-packet.
const LARGE_OCTETS: usize = 32 * 1024;
/// What is moved to the front of the train at most, to leave with what follows.
const REST_OCTETS: usize = 16 * 1024;

/// What a packet in the train is, so that a refused one is counted where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Request,
    Answer,
    /// A request to the preferred peer that is probed beside the one in use.
    PreferredRequest,
    /// An inner packet that keeps the tunnel in use.
    Warm,
    Dummy,
    NatKeepalive,
}

/// The train's number for a packet of this kind of the tunnel in `slot`.
pub(super) fn destination(slot: usize, kind: Kind) -> u32 {
    let kind = match kind {
        Kind::User => 0,
        Kind::Request => 1,
        Kind::Answer => 2,
        Kind::PreferredRequest => 3,
        Kind::Warm => 4,
        Kind::Dummy => 5,
        Kind::NatKeepalive => 6,
    };
    u32::try_from(slot).unwrap_or(u32::MAX) << 3 | kind
}

fn owner(destination: u32) -> (usize, Kind) {
    let kind = match destination & 7 {
        0 => Kind::User,
        1 => Kind::Request,
        2 => Kind::Answer,
        3 => Kind::PreferredRequest,
        4 => Kind::Warm,
        5 => Kind::Dummy,
        _ => Kind::NatKeepalive,
    };
    ((destination >> 3) as usize, kind)
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
    /// The worker's time, read once a turn.
    pub(super) now: Instant,
    peer: usize,
    batch: SendBatch,
    refused: Vec<Unsent>,
    /// The path of that slot refused UDP segmentation (false), or is tried again (true).
    pub(super) segmentation: Option<(usize, bool)>,
    /// Of each slot the way to its peer and to its preferred peer, one after the other.
    peers: Vec<Option<Sender>>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            train: Train::new(TRAIN_PACKETS, TRAIN_OCTETS),
            now: Instant::now(),
            peer: 0,
            batch: SendBatch::new(),
            refused: Vec::with_capacity(TRAIN_PACKETS),
            segmentation: None,
            peers: Vec::new(),
        }
    }

    /// Says by which socket packets of `slot` go: `kind` tells the peer in use from the preferred one.
    pub(super) fn set_peer(&mut self, slot: usize, kind: Kind, socket: Option<Sender>) {
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
        let label = Label {
            destination,
            inner_octets: u32::try_from(packet.len()).unwrap_or(u32::MAX),
        };
        self.train.commit(packet.len(), label);
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

    /// Sends what is in the train if that is half a super-packet or more, whose octets are still in the cache. Of UDP the few packets that fill no
    /// message, since ESP makes a super-packet larger than one, stay for the next read or [`Self::send`].
    #[inline]
    pub(super) fn send_if_large(&mut self) {
        if self.train.octets() < LARGE_OCTETS {
            return;
        }
        let all = self.train.packets().len();
        let settled = match self.peers.get(self.peer) {
            Some(Some(peer)) => peer.settled(self.train.packets().map(|(packet, _)| packet)),
            _ => all,
        };
        let rest = self.train.packets().skip(settled);
        let rest_octets: usize = rest.map(|(packet, _)| packet.len()).sum();
        self.send_first(if rest_octets <= REST_OCTETS {
            settled
        } else {
            all
        });
    }

    /// How often the path of `slot` refused UDP segmentation; none without UDP.
    pub(super) fn gso_fallbacks(&self, slot: usize) -> Option<u64> {
        self.peers
            .get(place(slot, Kind::User))?
            .as_ref()?
            .gso_fallbacks()
    }

    /// What the sender of `slot` knows of its path.
    fn sender(&mut self, slot: usize) -> Option<&mut Sender> {
        self.peers.get_mut(place(slot, Kind::User))?.as_mut()
    }

    /// Sends packets of `slot` to another address of its peer from here on.
    pub(super) fn move_peer(&mut self, slot: usize, remote: SocketAddr) {
        self.send();
        if let Some(sender) = self.sender(slot) {
            sender.set_remote(remote);
        }
    }

    /// Sends what is in the train and notes what was refused.
    pub(super) fn send(&mut self) {
        let all = self.train.packets().len();
        self.send_first(all);
    }

    fn send_first(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let (train, refused) = (&self.train, &mut self.refused);
        let mut failed = |index, error| {
            if let Some((_, label)) = train.packets().nth(index) {
                note(refused, label, reason(error));
            }
        };
        match self.peers.get_mut(self.peer).and_then(Option::as_mut) {
            Some(sender) => {
                let packets = train.packets().take(count).map(|(packet, _)| packet);
                sender.send(&mut self.batch, self.now, packets, failed);
                if let Some(on) = sender.take_change() {
                    self.segmentation = Some((self.peer / 2, on));
                }
            }
            None => (0..count).for_each(|index| failed(index, Errno::NETUNREACH)),
        }
        self.train.remove_first(count);
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
                    counters.outbound_packets.take_back(refused.packets);
                    counters.outbound_octets.take_back(refused.octets);
                }
                Kind::Request | Kind::PreferredRequest => {
                    counters.keepalive_requests_sent.take_back(refused.packets)
                }
                Kind::Answer => counters.keepalive_responses_sent.take_back(refused.packets),
                Kind::Warm => counters.warm_sent.take_back(refused.packets),
                Kind::Dummy => counters.dummies_sent.take_back(refused.packets),
                Kind::NatKeepalive => counters.nat_keepalives_sent.take_back(refused.packets),
            }
        }
    }
}

fn note(refused: &mut Vec<Unsent>, label: Label, reason: DropReason) {
    let octets = u64::from(label.inner_octets);
    // Of the fragments of a packet the first counts for it.
    let packets = u64::from(octets > 0);
    match refused.last_mut() {
        Some(last) if last.destination == label.destination && last.reason == reason => {
            last.packets += packets;
            last.octets += octets;
        }
        _ => refused.push(Unsent {
            destination: label.destination,
            reason,
            packets,
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
            Kind::Warm,
            Kind::Dummy,
            Kind::NatKeepalive,
        ] {
            assert_eq!(owner(destination(1000, kind)), (1000, kind));
        }
    }

    #[test]
    fn refusals_of_one_tunnel_for_one_reason_are_noted_together() {
        let mut refused = Vec::new();
        let label = |slot, inner_octets| Label {
            destination: destination(slot, Kind::User),
            inner_octets,
        };
        note(&mut refused, label(0, 100), DropReason::NoRoute);
        note(&mut refused, label(0, 50), DropReason::NoRoute);
        note(&mut refused, label(1, 1), DropReason::NoRoute);
        note(&mut refused, label(1, 1), DropReason::TooBig);
        let counts: Vec<_> = refused.iter().map(|r| (r.packets, r.octets)).collect();
        assert_eq!(counts, [(2, 150), (1, 1), (1, 1)]);
    }
}
