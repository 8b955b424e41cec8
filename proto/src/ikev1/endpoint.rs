//! All ISAKMP SAs of one network namespace behind one contract: octets, time and commands in; octets, deadlines and events out.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::child;
use super::connection::Connection;
use super::core::{Action, Core, Slot};
use super::established;
use super::sa::{End, Phase, Sa, Step};
use super::task::Task;
use super::timer::{AGAIN, Timer};
use super::{command_run, expire, quick, receive, xauth};
use crate::ike::{
    Command, CommandError, ConnectionId, Deadlines, DownWhy, EndpointConfig, Event, Failure,
    IkeCounters, Opener, Path, Random, Retired, Transmit,
};

/// See the module.
pub struct Endpoint {
    pub(super) core: Core,
    sas: BTreeMap<u64, Entry>,
    /// SAs that peers initiated, by where from and the cookie that they chose.
    initiated: BTreeMap<(SocketAddr, u64), u64>,
    deadlines: Deadlines<Whose, Timer>,
}

/// What a deadline is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Sa(u64),
    Tunnel(ConnectionId),
}

/// An SA, and what the endpoint's tables hold of it.
struct Entry {
    sa: Box<Sa>,
    listed: Listed,
}

#[derive(Default)]
struct Listed {
    half_open: Option<Opener>,
    initiated: Option<(SocketAddr, u64)>,
}

impl Endpoint {
    /// An endpoint without tunnels. Of the configuration the cookies' threshold has no meaning: IKEv1 has none to ask for.
    #[must_use]
    pub fn new(config: EndpointConfig, random: Box<dyn Random + Send>) -> Self {
        Self {
            core: Core::new(config, random),
            sas: BTreeMap::new(),
            initiated: BTreeMap::new(),
            deadlines: Deadlines::new(),
        }
    }

    /// Adds a tunnel: nothing is sent before [`Command::Initiate`], but the peer may initiate. One of the same number is replaced, its SAs
    /// deleted.
    ///
    /// # Errors
    /// [`CommandError::EmptyPsk`] and [`CommandError::NothingToOffer`]; nothing has changed then.
    pub fn add(
        &mut self,
        now: Instant,
        id: ConnectionId,
        connection: Connection,
    ) -> Result<(), CommandError> {
        if let Some(fault) = connection.fault() {
            return Err(fault);
        }
        if self.core.slots.contains_key(&id) {
            self.handle_command(now, Command::Remove(id))?;
        }
        self.core.insert(id, connection);
        Ok(())
    }

    /// Takes an IKE message that came over `path`, without the non-ESP marker. What is wrong with it is counted.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        receive::datagram(self, now, path, datagram);
        self.settle(now);
    }

    /// Does what is due; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, whose, timer)) = self.deadlines.first()
            && at <= now
        {
            match whose {
                Whose::Sa(cookie) => {
                    self.with(now, cookie, |core, sa| {
                        expire::expired(core, sa, now, timer);
                    });
                }
                Whose::Tunnel(id) => {
                    expire::of_tunnel(self, now, id);
                    self.core.touched(id);
                }
            }
            self.settle(now);
        }
    }

    /// Does what is asked. [`Command::Add`] is of the other version: [`Self::add`] is this one's.
    ///
    /// # Errors
    /// Those of [`CommandError`]; nothing has changed then.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        let result = command_run::run(self, now, command);
        self.settle(now);
        result
    }

    /// The next datagram to send. Events are to be polled first: a peer may use a new pair as soon as it has our answer.
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

    /// A tunnel's ISAKMP SA and pairs; none for an unknown tunnel.
    #[must_use]
    pub fn status(&self, id: ConnectionId, now: Instant) -> Option<crate::ike::IkeStatus> {
        let slot = self.core.slots.get(&id)?;
        let shown = slot
            .current
            .iter()
            .chain(slot.sas.iter().rev())
            .find_map(|cookie| self.sas.get(cookie));
        Some(super::status_of::status(
            slot,
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

    /// ISAKMP SAs of every phase.
    #[must_use]
    pub fn sas(&self) -> usize {
        self.sas.len()
    }

    /// Forgets the oldest half-open SA of that address, or of all, whose peer has not shown yet that it hears us: who only writes to us from
    /// an address that is not its own keeps nobody else out. False if there is none.
    pub(super) fn make_room(&mut self, now: Instant, source: Option<IpAddr>) -> bool {
        let is_unheard = |cookie: &u64| {
            let exchange = self.sa(*cookie).and_then(|sa| sa.exchange.as_deref());
            exchange.is_some_and(|exchange| exchange.step == Step::Public)
        };
        let oldest = match source {
            Some(source) => {
                let first = (SocketAddr::new(source, 0), 0);
                let last = (SocketAddr::new(source, u16::MAX), u64::MAX);
                let of_source = self
                    .initiated
                    .range(first..=last)
                    .map(|(_, cookie)| *cookie);
                let unheard = of_source.filter(is_unheard);
                unheard.min_by_key(|cookie| self.sa(*cookie).map(|sa| sa.born))
            }
            None => self
                .deadlines
                .iter()
                .find_map(|(_, whose, timer)| match whose {
                    Whose::Sa(cookie) if timer == Timer::HalfOpen && is_unheard(&cookie) => {
                        Some(cookie)
                    }
                    Whose::Sa(_) | Whose::Tunnel(_) => None,
                }),
        };
        let Some(oldest) = oldest else {
            return false;
        };
        self.with(now, oldest, |_, sa| sa.dead(End::Silent));
        true
    }

    /// The SA that a peer at that address initiated with that cookie.
    pub(super) fn initiated_by(&self, remote: SocketAddr, cookie: u64) -> Option<u64> {
        self.initiated.get(&(remote, cookie)).copied()
    }

    pub(super) fn sa(&self, cookie: u64) -> Option<&Sa> {
        self.sas.get(&cookie).map(|entry| &*entry.sa)
    }

    /// Whether an attempt at a phase 1 of this tunnel is under way.
    pub(super) fn is_opening(&self, slot: &Slot) -> bool {
        let mut sas = slot.sas.iter().filter_map(|cookie| self.sa(*cookie));
        sas.any(|sa| matches!(sa.phase, Phase::Opening | Phase::Configuring))
    }

    /// Lets `act` work on an SA, and brings the tables up to date.
    pub(super) fn with<T>(
        &mut self,
        now: Instant,
        cookie: u64,
        act: impl FnOnce(&mut Core, &mut Sa) -> T,
    ) -> Option<T> {
        let mut entry = self.sas.remove(&cookie)?;
        let result = act(&mut self.core, &mut entry.sa);
        self.put(now, entry);
        Some(result)
    }

    /// Takes in a new SA.
    pub(super) fn insert(&mut self, now: Instant, sa: Box<Sa>) {
        let listed = Listed::default();
        self.put(now, Entry { sa, listed });
    }

    fn put(&mut self, now: Instant, mut entry: Entry) {
        let cookie = entry.sa.local_cookie;
        let is_dead = entry.sa.phase == Phase::Dead;
        if let Some(id) = entry.sa.id()
            && let Some(slot) = self.core.slots.get_mut(&id)
        {
            if slot.current == Some(cookie) {
                slot.path = Some(entry.sa.path);
            }
            if !is_dead {
                slot.sas.insert(cookie);
            }
        }
        if is_dead {
            quick::forget_all(&mut self.core, &mut entry.sa);
        }
        if let Some(end) = entry.sa.end.take() {
            self.leave(now, &entry.sa, end);
        }
        self.list(&mut entry, is_dead);
        if !is_dead {
            self.sas.insert(cookie, entry);
        }
    }

    /// Takes an SA that ended out of its tunnel, and says so.
    fn leave(&mut self, now: Instant, sa: &Sa, end: End) {
        let Some(id) = sa.id() else {
            return;
        };
        let cookie = sa.local_cookie;
        let Some(slot) = self.core.slots.get_mut(&id) else {
            return;
        };
        slot.sas.remove(&cookie);
        let was_in_use = slot.current.take_if(|current| *current == cookie).is_some();
        if was_in_use {
            slot.current = slot.sas.iter().copied().find(|other| {
                self.sas
                    .get(other)
                    .is_some_and(|entry| entry.sa.is_established())
            });
        }
        let slot_has_current = slot.current.is_some();
        let has_pair = slot.child_in_use().is_some();
        match end {
            End::Failed(failure) => {
                self.core.counters.failed += 1;
                self.failed(now, id, failure, slot_has_current);
            }
            End::Down(_) if sa.initiator && sa.established_at.is_none() => {
                self.core.counters.failed += 1;
                let failure = xauth::ended_by_server(sa);
                self.failed(now, id, failure, slot_has_current);
            }
            End::Down(_) | End::Silent if !was_in_use || slot_has_current => self
                .core
                .trace(Some(id), || "an ISAKMP SA not in use is gone".to_owned()),
            End::Down(DownWhy::PeerDeleted) if has_pair => {
                // Some peers delete an ISAKMP SA that is idle and keep what it made: so does the next one of ours.
                self.core.trace(Some(id), || {
                    "peer deleted the ISAKMP SA and not what it made: making another".to_owned()
                });
                // One that ends at once would be made again and again.
                let made_at = sa.established_at.unwrap_or(sa.born);
                let at = if now < made_at + AGAIN {
                    now + AGAIN
                } else {
                    now
                };
                self.core.ask(id, at, Task::Phase1);
            }
            End::Down(why) => self.down(id, why),
            End::Silent => self.down(id, DownWhy::Superfluous),
        }
    }

    /// An attempt ended without an SA.
    fn failed(&mut self, now: Instant, id: ConnectionId, failure: Failure, has_current: bool) {
        let is_up = self.core.slots.get(&id).is_some_and(|slot| slot.is_up);
        match (is_up, has_current) {
            // Trying a password again may lock the user out.
            (true, true) if matches!(failure, Failure::Xauth(_)) => {
                self.core.event(Event::Failed(id, failure));
            }
            (true, true) => {
                self.core.trace(Some(id), || {
                    format!("no ISAKMP SA to take over, trying again: {failure}")
                });
                self.core.ask(id, now + AGAIN, Task::Phase1);
            }
            (true, false) if matches!(failure, Failure::Xauth(_)) => {
                self.core.event(Event::Failed(id, failure));
                self.down(id, DownWhy::NotAnswering);
            }
            (true, false) => self.down(id, DownWhy::NotAnswering),
            (false, _) => self.core.event(Event::Failed(id, failure)),
        }
    }

    /// The tunnel has no ISAKMP SA any more, and nothing of what they made.
    pub(super) fn down(&mut self, id: ConnectionId, why: DownWhy) {
        child::retire_all(&mut self.core, id, Retired::IkeGone);
        let Some(slot) = self.core.slots.get_mut(&id) else {
            return;
        };
        slot.tasks.clear();
        slot.current = None;
        if std::mem::take(&mut slot.is_up) {
            self.core.event(Event::Down(id, why));
        }
    }

    /// Brings the deadline, half-open counts and the index of initiators in line with the SA.
    fn list(&mut self, entry: &mut Entry, is_dead: bool) {
        let (sa, listed) = (&entry.sa, &mut entry.listed);
        let cookie = sa.local_cookie;
        let deadline = sa.next_deadline().filter(|_| !is_dead);
        self.deadlines.set(Whose::Sa(cookie), deadline);
        let source = sa.phase.opener();
        let half_open = source.map(|source| Opener {
            source: source.ip(),
            is_proven: false,
        });
        if half_open != listed.half_open {
            self.core.half_open.change(listed.half_open, half_open);
            listed.half_open = half_open;
        }
        if let Some(source) = source
            && listed.initiated.is_none()
        {
            let key = (source, sa.remote_cookie);
            self.initiated.insert(key, cookie);
            listed.initiated = Some(key);
        }
        if is_dead && let Some(key) = listed.initiated.take() {
            self.initiated.remove(&key);
        }
    }

    /// Brings a tunnel's deadline in line with it.
    fn list_tunnel(&mut self, id: ConnectionId) {
        let slot = self.core.slots.get(&id);
        let deadline = slot.and_then(|slot| slot.next_deadline());
        self.deadlines.set(Whose::Tunnel(id), deadline);
    }

    fn settle(&mut self, now: Instant) {
        while let Some(action) = self.core.actions.pop_front() {
            match action {
                Action::Spawn(sa) => self.insert(now, sa),
                Action::Touched(id) => self.list_tunnel(id),
                Action::InitialContact(cookie) => established::sole(self, now, cookie),
                Action::Established {
                    local_cookie,
                    initial_contact,
                } => established::established(self, now, local_cookie, initial_contact),
            }
        }
    }

    /// Lets an SA be replaced, after a while.
    pub(super) fn supersede(&mut self, now: Instant, cookie: u64, after: Duration) {
        self.with(now, cookie, |_, sa| {
            sa.phase = Phase::Superseded;
            sa.deadline = Some((now + after, Timer::Superseded));
        });
    }
}
