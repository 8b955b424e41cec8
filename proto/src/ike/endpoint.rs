//! All IKE SAs of one network namespace behind one contract: octets, time and commands in; octets, deadlines and events out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::command::{Command, CommandError};
use super::connection::{ConnectionId, Path};
use super::core::{Action, Core};
use super::deadlines::Deadlines;
use super::event::{Event, Retired};
use super::half_open_count::Opener;
use super::sa::{End, IkeSa, Phase};
use super::status::{IkeCounters, IkeStatus};
use super::task::Task;
use super::timer::Timer;
use super::{command_run, duplicate, receive, sa_init, task};

/// Where random octets come from.
pub trait Random {
    /// Fills all of `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// Limits and ports.
#[derive(Clone, Copy, Debug)]
pub struct EndpointConfig {
    /// Half-open IKE SAs of peers that initiate, in all.
    pub half_open_max: usize,
    /// Half-open IKE SAs of one address: with so many of it another initiator has to return a cookie first, and those that did are no more
    /// than these.
    pub half_open_per_source: usize,
    /// From this many half-open ones on an initiator has to return a cookie first (RFC 7296 section 2.6).
    pub cookie_threshold: usize,
    /// Our port for IKE and ESP in UDP when there is a NAT (RFC 7296 section 2.23).
    pub nat_port: u16,
    /// The peer's.
    pub peer_nat_port: u16,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            half_open_max: 1000,
            half_open_per_source: 50,
            cookie_threshold: 100,
            nat_port: 4500,
            peer_nat_port: 4500,
        }
    }
}

/// One datagram to be sent, without the non-ESP marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From and to where.
    pub path: Path,
    /// The IKE message.
    pub octets: Vec<u8>,
}

/// See the module.
pub struct Endpoint {
    pub(super) core: Core,
    sas: BTreeMap<u64, Entry>,
    /// SAs that peers initiated, by where from and the SPI that they chose.
    initiated: BTreeMap<(SocketAddr, u64), u64>,
    deadlines: Deadlines<u64, Timer>,
}

/// An SA, and what the endpoint's tables hold of it.
struct Entry {
    sa: Box<IkeSa>,
    listed: Listed,
}

#[derive(Default)]
struct Listed {
    half_open: Option<Opener>,
    initiated: Option<(SocketAddr, u64)>,
}

impl Endpoint {
    /// An endpoint without tunnels.
    #[must_use]
    pub fn new(config: EndpointConfig, random: Box<dyn Random + Send>) -> Self {
        Self {
            core: Core::new(config, random),
            sas: BTreeMap::new(),
            initiated: BTreeMap::new(),
            deadlines: Deadlines::new(),
        }
    }

    /// Says what time of day `now` is, in seconds since 1970: certificates are checked against it. Without it none is accepted.
    pub fn set_unix_time(&mut self, now: Instant, seconds: u64) {
        self.core.set_unix_time(now, seconds);
    }

    /// Takes an IKE message that came over `path`, without the non-ESP marker. What is wrong with it is counted.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        receive::datagram(self, now, path, datagram);
        self.settle(now);
    }

    /// Does what is due; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, local_spi, timer)) = self.deadlines.first()
            && at <= now
        {
            self.with(now, local_spi, |core, sa| {
                super::expire::expired(core, sa, now, timer)
            });
            self.settle(now);
        }
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// Those of [`CommandError`]; nothing has changed then.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        let result = command_run::run(self, now, command);
        self.settle(now);
        result
    }

    /// The next datagram to send. Events are to be polled first: a peer may use a new child SA as soon as it has our answer.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.core.outbox.poll_transmit()
    }

    /// When [`Self::handle_timeout`] is to be called, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.deadlines.first().map(|(at, _, timer)| (at, timer))
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.outbox.poll_event()
    }

    /// A tunnel's IKE SA and children; none for an unknown tunnel.
    #[must_use]
    pub fn status(&self, id: ConnectionId, now: Instant) -> Option<IkeStatus> {
        let slot = self.core.slots.get(&id)?;
        let attempts = slot.sas.iter().rev();
        let shown = slot
            .current
            .iter()
            .chain(attempts)
            .find_map(|spi| self.sas.get(spi));
        Some(super::status_of::status(
            &slot.connection,
            shown.map(|entry| &*entry.sa),
            now,
        ))
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> IkeCounters {
        IkeCounters {
            half_open: u64::try_from(self.core.half_open.total()).unwrap_or(u64::MAX),
            ..self.core.counters
        }
    }

    /// IKE SAs of every phase.
    #[must_use]
    pub fn sas(&self) -> usize {
        self.sas.len()
    }

    /// The SA that a peer at that address initiated with that SPI.
    pub(super) fn initiated_by(&self, remote: SocketAddr, spi_i: u64) -> Option<u64> {
        self.initiated.get(&(remote, spi_i)).copied()
    }

    pub(super) fn sa(&self, local_spi: u64) -> Option<&IkeSa> {
        self.sas.get(&local_spi).map(|entry| &*entry.sa)
    }

    /// Lets `act` work on an SA, starts what it has to ask of the peer, and brings the tables up to date.
    pub(super) fn with<T>(
        &mut self,
        now: Instant,
        local_spi: u64,
        act: impl FnOnce(&mut Core, &mut IkeSa) -> T,
    ) -> Option<T> {
        let mut entry = self.sas.remove(&local_spi)?;
        let result = act(&mut self.core, &mut entry.sa);
        task::advance(&mut self.core, &mut entry.sa, now);
        self.put(entry);
        Some(result)
    }

    /// Takes in a new SA.
    pub(super) fn insert(&mut self, now: Instant, sa: Box<IkeSa>) {
        if let Some(id) = sa.id()
            && let Some(slot) = self.core.slots.get_mut(&id)
        {
            slot.sas.insert(sa.local_spi);
        }
        let mut entry = Entry {
            sa,
            listed: Listed::default(),
        };
        task::advance(&mut self.core, &mut entry.sa, now);
        self.put(entry);
    }

    fn put(&mut self, mut entry: Entry) {
        let local_spi = entry.sa.local_spi;
        if let Some(end) = entry.sa.end.take() {
            self.leave(&mut entry.sa, end);
        }
        let is_dead = matches!(entry.sa.phase, Phase::Dead);
        if is_dead {
            entry.sa.window.drop_outstanding(&mut self.core);
        }
        self.list(&mut entry, is_dead);
        if is_dead {
            if let Some(id) = entry.sa.id()
                && let Some(slot) = self.core.slots.get_mut(&id)
            {
                slot.sas.remove(&local_spi);
            }
            return;
        }
        self.sas.insert(local_spi, entry);
    }

    /// Takes an SA that ended out of its tunnel, and says so.
    fn leave(&mut self, sa: &mut IkeSa, end: End) {
        let Some(id) = sa.id() else {
            return;
        };
        let was_in_use =
            self.core.slots.get(&id).and_then(|slot| slot.current) == Some(sa.local_spi);
        // A silent end is followed by what hands its place over.
        let was_in_use = was_in_use && !matches!(end, End::Silent);
        let goes_on = was_in_use && duplicate::take_over(self, id, sa.local_spi);
        if goes_on {
            self.keep_current(id);
        }
        while let Some(child) = sa.children.last() {
            let spi_in = child.spi_in;
            sa.retire(&mut self.core, spi_in, Retired::IkeGone);
        }
        match end {
            End::Down(why) if was_in_use && !goes_on => self.core.event(Event::Down(id, why)),
            End::Down(why) => self
                .core
                .trace(Some(id), || format!("an IKE SA not in use is gone: {why}")),
            End::Failed(failure) => {
                self.core.counters.failed += 1;
                self.core.event(Event::Failed(id, failure));
            }
            End::Silent => {}
        }
    }

    /// The SA in use is not one too many any more: both ends may have chosen differently which of two goes.
    fn keep_current(&mut self, id: ConnectionId) {
        let current = self.core.slots.get(&id).and_then(|slot| slot.current);
        if let Some(entry) = current.and_then(|spi| self.sas.get_mut(&spi)) {
            entry.sa.tasks.retain(|(_, task)| *task != Task::DeleteIke);
        }
    }

    /// Brings the deadline, half-open counts and the index of initiators in line with the SA.
    fn list(&mut self, entry: &mut Entry, is_dead: bool) {
        let (sa, listed) = (&entry.sa, &mut entry.listed);
        let local_spi = sa.local_spi;
        let deadline = sa.next_deadline().filter(|_| !is_dead);
        self.deadlines.set(local_spi, deadline);
        let half_open = match &sa.phase {
            Phase::HalfOpen(half_open) => Some(half_open.opener()),
            // Refused, and to be refused again if the answer was lost: as much of a burden as before.
            Phase::Gone if sa.established_at.is_none() => listed.half_open,
            Phase::Initiating
            | Phase::Established
            | Phase::Superseded
            | Phase::Deleting
            | Phase::Gone
            | Phase::Dead => None,
        };
        if half_open != listed.half_open {
            self.core.half_open.change(listed.half_open, half_open);
            listed.half_open = half_open;
        }
        if let Phase::HalfOpen(half_open) = &sa.phase
            && listed.initiated.is_none()
        {
            let key = (half_open.source, sa.remote_spi);
            self.initiated.insert(key, local_spi);
            listed.initiated = Some(key);
        }
        if is_dead && let Some(key) = listed.initiated.take() {
            self.initiated.remove(&key);
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(action) = self.core.actions.pop_front() {
            match action {
                Action::Spawn(sa) => self.insert(now, sa),
                Action::Inherit { from, to, estate } => {
                    duplicate::inherit(self, now, from, to, estate);
                }
                Action::Wait { old, heir } => duplicate::wait(self, now, old, heir),
                Action::Adopt { old, heir } => duplicate::adopt(self, now, old, heir),
                Action::Established {
                    local_spi,
                    initial_contact,
                } => {
                    duplicate::established(self, now, local_spi, initial_contact);
                    sa_init::give_way(self, now, local_spi);
                }
            }
        }
    }
}
