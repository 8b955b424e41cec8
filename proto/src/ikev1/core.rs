//! What all ISAKMP SAs of an endpoint share: tunnels with their pairs, randomness, and what waits to be polled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::child::Child;
use super::connection::Connection;
use super::message::{Contents, message_words};
use super::sa::Sa;
use super::task::Task;
use crate::ike::{
    ConnectionId, EndpointConfig, Event, HalfOpenCount, Identity, IkeCounters, Numbers, Outbox,
    Path, Random, RekeyTimes, RemoteIndex, Transmit,
};
use crate::wire::isakmp::summary;

/// A tunnel.
pub(super) struct Slot {
    pub(super) connection: Arc<Connection>,
    /// All its ISAKMP SAs, by our cookie.
    pub(super) sas: BTreeSet<u64>,
    /// The established one in use.
    pub(super) current: Option<u64>,
    /// Where the peer was last.
    pub(super) path: Option<Path>,
    /// Established was said, and Down not yet.
    pub(super) is_up: bool,
    /// The last server that had user and password said nothing of them.
    pub(super) misses_verdict: bool,
    /// Who the peer proved to be.
    pub(super) peer: Option<Identity>,
    /// Pairs of IPsec SAs: they outlive the ISAKMP SA that made them (RFC 2408 section 2.1).
    pub(super) children: Vec<Child>,
    /// What is to be asked of the peer, and when.
    pub(super) tasks: Vec<(Instant, Task)>,
}

impl Slot {
    pub(super) fn ask(&mut self, at: Instant, task: Task) {
        if !self.tasks.iter().any(|(_, waits)| *waits == task) {
            self.tasks.push((at, task));
        }
    }
}

/// What one SA wants done to the set of them.
pub(super) enum Action {
    /// An SA that came to be.
    Spawn(Box<Sa>),
    /// This SA is established.
    Established {
        local_cookie: u64,
        initial_contact: bool,
    },
    /// The peer of this SA has no older one, nor what they made.
    InitialContact(u64),
    /// What the tunnel asks of the peer, or its deadlines, may have changed.
    Touched(ConnectionId),
}

/// See the module.
pub(super) struct Core {
    pub(super) config: EndpointConfig,
    pub(super) numbers: Numbers,
    pub(super) slots: BTreeMap<ConnectionId, Slot>,
    by_remote: RemoteIndex,
    pub(super) half_open: HalfOpenCount,
    pub(super) counters: IkeCounters,
    pub(super) actions: VecDeque<Action>,
    pub(super) outbox: Outbox,
}

impl Core {
    pub(super) fn new(config: EndpointConfig, random: Box<dyn Random + Send>) -> Self {
        Self {
            config,
            numbers: Numbers::new(random),
            slots: BTreeMap::new(),
            by_remote: RemoteIndex::default(),
            half_open: HalfOpenCount::default(),
            counters: IkeCounters::default(),
            actions: VecDeque::new(),
            outbox: Outbox::default(),
        }
    }

    /// A message ID, which is never 0.
    pub(super) fn message_id(&mut self) -> u32 {
        u32::from_be_bytes(self.numbers.octets()).max(1)
    }

    /// When something of those times is to be replaced, jitter subtracted, and never after `hard`.
    pub(super) fn rekey_at(&mut self, now: Instant, times: &RekeyTimes, hard: Duration) -> Instant {
        let mut jitter = self.numbers.part_of(times.jitter);
        // A peer that keeps its SAs for less than ours still finds them replaced in time, and not at once.
        let rekey = times.rekey.min(hard.mul_f64(0.8));
        if rekey < times.rekey {
            jitter = jitter.mul_f64(rekey.as_secs_f64() / times.rekey.as_secs_f64());
        }
        now + rekey.saturating_sub(jitter)
    }

    pub(super) fn transmit(&mut self, path: Path, octets: Vec<u8>) {
        self.outbox.transmit(Transmit { path, octets });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outbox.event(event);
    }

    /// One line for the log and `adit debug`.
    pub(super) fn trace(&mut self, id: Option<ConnectionId>, line: impl FnOnce() -> String) {
        self.outbox.trace(id, line);
    }

    /// The line of a message that came.
    pub(super) fn trace_received(&mut self, id: Option<ConnectionId>, contents: &Contents<'_>) {
        self.trace(id, || {
            let header = &contents.header;
            let words = summary(&contents.payloads);
            format!("← {} {}: {words}", header.exchange, message_words(header))
        });
    }

    /// The tunnel's deadlines or wishes may have changed.
    pub(super) fn touched(&mut self, id: ConnectionId) {
        self.actions.push_back(Action::Touched(id));
    }

    /// Asks something of the tunnel's peer at `at`.
    pub(super) fn ask(&mut self, id: ConnectionId, at: Instant, task: Task) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.ask(at, task);
            self.touched(id);
        }
    }

    pub(super) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        self.by_remote.insert(id, connection.remotes.as_deref());
        let slot = Slot {
            connection: Arc::new(connection),
            sas: BTreeSet::new(),
            current: None,
            path: None,
            is_up: false,
            misses_verdict: false,
            peer: None,
            children: Vec::new(),
            tasks: Vec::new(),
        };
        self.slots.insert(id, slot);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        if let Some(slot) = self.slots.remove(&id) {
            self.by_remote
                .remove(id, slot.connection.remotes.as_deref());
        }
        self.touched(id);
    }

    pub(super) fn set_remotes(&mut self, id: ConnectionId, remotes: Option<Vec<IpAddr>>) {
        if let Some(slot) = self.slots.get_mut(&id) {
            let connection = Arc::make_mut(&mut slot.connection);
            self.by_remote.remove(id, connection.remotes.as_deref());
            connection.remotes = remotes;
            self.by_remote.insert(id, connection.remotes.as_deref());
        }
    }

    /// Whether no other tunnel has an SA, or is making one, between the same two identities: INITIAL-CONTACT would have the peer
    /// give that up (RFC 2407 section 4.6.3.3).
    pub(super) fn is_only_of_identities(&self, id: ConnectionId, connection: &Connection) -> bool {
        let remote_id = connection.remote_id.as_ref();
        !self.slots.iter().any(|(other, slot)| {
            let theirs = slot.peer.as_ref().or(slot.connection.remote_id.as_ref());
            let is_same = slot.connection.local_id == connection.local_id
                && (remote_id.is_none() || theirs.is_none() || remote_id == theirs);
            *other != id && is_same && (!slot.sas.is_empty() || !slot.children.is_empty())
        })
    }

    /// The tunnels that a peer at that address may mean, those of the address first. Easy VPN remotes never answer.
    pub(super) fn candidates(
        &self,
        address: IpAddr,
    ) -> impl Iterator<Item = (ConnectionId, &Arc<Connection>)> {
        self.by_remote
            .candidates(address)
            .filter_map(|id| Some((id, &self.slots.get(&id)?.connection)))
            .filter(|(_, connection)| connection.easy_vpn.is_none())
    }
}
