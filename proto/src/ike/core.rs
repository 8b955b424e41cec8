//! What all IKE SAs of an endpoint share: tunnels, randomness, time of day, and what waits to be polled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Identity;
use super::awaited::Estate;
use super::connection::{Connection, ConnectionId, Path, RekeyTimes};
use super::cookie::Cookies;
use super::endpoint::{EndpointConfig, Random, Transmit};
use super::event::{Event, IkeInfo, Retired};
use super::failure::{DownWhy, PeerRefused};
use super::half_open_count::HalfOpenCount;
use super::message::Contents;
use super::numbers::Numbers;
use super::outbox::Outbox;
use super::remote_index::RemoteIndex;
use super::sa::{IkeSa, title};
use super::status::{IkeAlgorithms, IkeCounters};
use adit_crypto::Secret;

use crate::wire::esp::Spi;
use crate::wire::ike::summary;

/// A tunnel.
pub(super) struct Slot {
    pub(super) connection: Arc<Connection>,
    /// All its IKE SAs, by local SPI.
    pub(super) sas: BTreeSet<u64>,
    /// The established one in use.
    pub(super) current: Option<u64>,
    /// Who the peer of that one, or of the last one, proved to be.
    pub(super) peer: Option<Identity>,
    /// The inbound SPI of the pair in use.
    pub(super) child: Option<Spi>,
}

/// What one SA wants done to another, or to the set of them.
pub(super) enum Action {
    /// An SA that came to be.
    Spawn(Box<IkeSa>),
    /// What one SA left goes to another.
    Inherit { from: u64, to: u64, estate: Estate },
    /// A successor has waited long for what its predecessor leaves.
    Wait { old: u64, heir: u64 },
    /// The peer uses the successor already: it takes over.
    Adopt { old: u64, heir: u64 },
    /// This SA is established, and not as another's successor.
    Established {
        local_spi: u64,
        initial_contact: bool,
    },
}

/// See the module.
pub(super) struct Core {
    pub(super) config: EndpointConfig,
    pub(super) numbers: Numbers,
    unix_time: Option<(Instant, u64)>,
    pub(super) slots: BTreeMap<ConnectionId, Slot>,
    by_remote: RemoteIndex,
    cookies: Option<Cookies>,
    pub(super) half_open: HalfOpenCount,
    pub(super) counters: IkeCounters,
    pub(super) actions: VecDeque<Action>,
    pub(super) outbox: Outbox,
}

impl Core {
    pub(super) fn new(config: EndpointConfig, random: Box<dyn Random + Send>) -> Self {
        Self {
            config,
            cookies: None,
            half_open: HalfOpenCount::default(),
            numbers: Numbers::new(random),
            unix_time: None,
            slots: BTreeMap::new(),
            by_remote: RemoteIndex::default(),
            counters: IkeCounters::default(),
            actions: VecDeque::new(),
            outbox: Outbox::default(),
        }
    }

    pub(super) fn set_unix_time(&mut self, now: Instant, seconds: u64) {
        self.unix_time = Some((now, seconds));
    }

    /// Seconds since 1970, as far as known.
    pub(super) fn unix_time(&self, now: Instant) -> Option<u64> {
        let (then, seconds) = self.unix_time?;
        Some(seconds + now.saturating_duration_since(then).as_secs())
    }

    /// What makes cookies, with a secret that is not too old.
    pub(super) fn cookies(&mut self, now: Instant) -> &Cookies {
        let cookies = match self.cookies.take() {
            Some(cookies) if !cookies.is_due(now) => cookies,
            Some(mut cookies) => {
                cookies.rotate(now, Secret::new(&mut self.numbers.octets()));
                cookies
            }
            None => Cookies::new(now, Secret::new(&mut self.numbers.octets())),
        };
        self.cookies.insert(cookies)
    }

    /// When something of those times is to be replaced, jitter subtracted.
    pub(super) fn rekey_at(&mut self, now: Instant, times: &RekeyTimes) -> Instant {
        let jitter = self.numbers.part_of(times.jitter);
        now + times.rekey.saturating_sub(jitter)
    }

    /// A tunnel's one peer at a time: who else proves to be one waits until it is gone.
    ///
    /// # Errors
    /// [`PeerRefused::InUse`].
    pub(super) fn vacancy(&self, id: ConnectionId, peer: &Identity) -> Result<(), PeerRefused> {
        let slot = self.slots.get(&id).filter(|slot| slot.current.is_some());
        match slot.and_then(|slot| slot.peer.as_ref()) {
            Some(by) if by != peer => Err(PeerRefused::InUse(by.clone())),
            _ => Ok(()),
        }
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
            format!(
                "← {}: {}",
                title(header),
                summary(header, &contents.payloads)
            )
        });
    }

    /// An SA came to be by IKE_AUTH, and is one that its tunnel may work with.
    pub(super) fn established(&mut self, sa: &IkeSa, initial_contact: bool) {
        self.counters.established += 1;
        self.announce(sa);
        self.actions.push_back(Action::Established {
            local_spi: sa.local_spi,
            initial_contact,
        });
    }

    /// A new SA takes the place of `old`.
    pub(super) fn succeeded(&mut self, old: &IkeSa, new: Box<IkeSa>) {
        self.announce_successor(&new, old.local_spi);
        self.actions.push_back(Action::Spawn(new));
    }

    /// As [`Self::succeeded`], of an SA that was there before it took over.
    pub(super) fn announce_successor(&mut self, new: &IkeSa, old: u64) {
        if let Some(id) = new.id()
            && let Some(slot) = self.slots.get_mut(&id)
            && slot.current == Some(old)
        {
            slot.current = Some(new.local_spi);
        }
        self.counters.ike_rekeyed += 1;
        self.announce(new);
    }

    fn announce(&mut self, sa: &IkeSa) {
        if sa.is_aside {
            return;
        }
        let (Some((id, connection)), Some(keys)) = (&sa.tunnel, &sa.keys) else {
            return;
        };
        let (Some(remote_id), Some(rekey_at)) = (sa.remote_id.clone(), sa.rekey_at) else {
            return;
        };
        let info = IkeInfo {
            local_id: connection.local_id.clone(),
            remote_id,
            path: sa.path,
            nat_local: sa.nat.local,
            nat_peer: sa.nat.peer,
            proposal: IkeAlgorithms::V2(keys.proposal),
            spi_i: sa.spi_i(),
            spi_r: sa.spi_r(),
            we_initiated: sa.initiator,
            rekey_at,
            peer_vendor: sa.peer.vendors.clone(),
            answers_probes: true,
        };
        self.event(Event::Established(*id, Box::new(info)));
    }

    /// What an SA left has nobody to go to.
    pub(super) fn abandon(&mut self, id: ConnectionId, old: u64, estate: Estate) {
        for child in estate.children {
            self.numbers.release(child.spi_in);
            self.event(Event::ChildRetired(id, child.spi_in, Retired::IkeGone));
        }
        if let Some(slot) = self.slots.get_mut(&id)
            && slot.current.take_if(|spi| *spi == old).is_some()
        {
            slot.child = None;
            self.event(Event::Down(id, DownWhy::PeerDeleted));
        }
    }

    pub(super) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        self.by_remote.insert(id, connection.remotes.as_deref());
        let slot = Slot {
            connection: Arc::new(connection),
            sas: BTreeSet::new(),
            current: None,
            peer: None,
            child: None,
        };
        self.slots.insert(id, slot);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.by_remote
            .remove(id, slot.connection.remotes.as_deref());
        Some(slot)
    }

    pub(super) fn set_remotes(&mut self, id: ConnectionId, remotes: Option<Vec<IpAddr>>) {
        if let Some(slot) = self.slots.get_mut(&id) {
            let connection = Arc::make_mut(&mut slot.connection);
            self.by_remote.remove(id, connection.remotes.as_deref());
            connection.remotes = remotes;
            self.by_remote.insert(id, connection.remotes.as_deref());
        }
    }

    /// Whether no other tunnel has an IKE SA, or is making one, between the same two identities: INITIAL-CONTACT would have the peer
    /// give that up (RFC 7296 section 2.4).
    pub(super) fn is_only_of_identities(&self, id: ConnectionId, connection: &Connection) -> bool {
        let remote_id = connection.remote_id.as_ref();
        !self.slots.iter().any(|(other, slot)| {
            let theirs = slot.peer.as_ref().or(slot.connection.remote_id.as_ref());
            let is_same = slot.connection.local_id == connection.local_id
                && (remote_id.is_none() || theirs.is_none() || remote_id == theirs);
            *other != id && is_same && !slot.sas.is_empty()
        })
    }

    /// The tunnels that a peer at that address may mean, those of the address first.
    pub(super) fn candidates(
        &self,
        address: IpAddr,
    ) -> impl Iterator<Item = (ConnectionId, &Arc<Connection>)> {
        self.by_remote
            .candidates(address)
            .filter_map(|id| Some((id, &self.slots.get(&id)?.connection)))
    }
}
