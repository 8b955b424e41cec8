//! One worker: a thread, an epoll, and everything that its tunnels own.
//!
//! A turn: sockets (at most [`TURN_PACKETS`] packets each) with their keepalives, devices (as many), flush, timers, mailbox.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use adit_proto::counters::Counters;
use adit_proto::offload::{Coalescer, Coalescing};
use rustix::event::{Timespec, epoll};
use tokio::sync::mpsc;

use super::inbound::Receive;
use super::outbound::READ_OCTETS;
use super::outbox::Outbox;
use super::socket::OuterSocket;
use super::table::Table;
use super::tunnel::Tunnel;
use super::{Claim, Command, IkeSink, TunnelId, WorkerNotice};
use crate::io::raw::ErrorBuffer;
use crate::links::LinkSender;

/// Packets taken from one source before the others get their turn.
pub(super) const TURN_PACKETS: usize = 256;
/// Packets of one receive call.
pub(super) const BATCH_PACKETS: usize = 64;
/// A timer this late may have missed answers that wait in the sockets: they are read before anything is judged.
const LATE: Duration = Duration::from_millis(10);
/// Readiness that one `epoll_wait` reports.
const EVENTS: usize = 64;

/// What epoll says of a descriptor: below [`DEVICE`] a socket's index, above it a tunnel's slot, and the mailbox.
const WAKE: u64 = u64::MAX;
pub(super) const DEVICE: u64 = 1 << 31;

/// A worker's tunnels by slot.
pub(super) type Slots = Vec<Option<Box<Tunnel>>>;

/// Where a worker gets its work and leaves its findings.
#[derive(Debug)]
pub(super) struct WorkerConfig {
    pub(super) commands: Receiver<Command>,
    pub(super) wake: OwnedFd,
    pub(super) links: LinkSender,
    pub(super) notices: mpsc::Sender<WorkerNotice>,
    pub(super) unassigned: Arc<Counters>,
    /// What is IKE's goes there.
    pub(super) ike: IkeSink,
    /// Whether commands wait.
    pub(super) has_mail: Arc<AtomicBool>,
    /// How long the worker looks for more work before it sleeps.
    pub(super) busy_poll: Duration,
}

impl WorkerConfig {
    /// Tells the daemon, unless it has stopped listening or is far behind; whether it was told.
    pub(super) fn notify(&self, notice: WorkerNotice) -> bool {
        let told = self.notices.try_send(notice);
        if let Err(error) = &told {
            tracing::warn!(%error, "a worker's notice was lost");
        }
        told.is_ok()
    }
}

/// One worker's possessions.
pub(super) struct Worker {
    pub(super) epoll: OwnedFd,
    pub(super) config: WorkerConfig,
    pub(super) sockets: Vec<Option<OuterSocket>>,
    pub(super) tunnels: Slots,
    pub(super) slots: BTreeMap<TunnelId, usize>,
    pub(super) table: Table,
    /// Tunnels of other workers, which get copies of their own of the packets that arrive here too.
    pub(super) foreign: BTreeSet<Claim>,
    pub(super) timers: BTreeSet<(Instant, usize)>,
    pub(super) receive: Receive,
    pub(super) errors: ErrorBuffer,
    /// Tunnels with packets of this batch that are not yet written.
    pub(super) touched: Vec<usize>,
    pub(super) coalescer: Coalescer,
    pub(super) read: Box<[u8]>,
    pub(super) outbox: Outbox,
    stopping: bool,
}

impl Worker {
    /// Prepares the buffers: their memory is touched only as packets come.
    ///
    /// # Errors
    /// What the system says when it gives no epoll.
    pub(super) fn new(config: WorkerConfig) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &config.wake, data, epoll::EventFlags::IN)?;
        let nothing = Coalescing {
            tcp: false,
            udp: false,
        };
        Ok(Self {
            epoll,
            config,
            sockets: Vec::new(),
            tunnels: Vec::new(),
            slots: BTreeMap::new(),
            table: Table::default(),
            foreign: BTreeSet::new(),
            timers: BTreeSet::new(),
            receive: Receive::new(),
            errors: ErrorBuffer::new(),
            touched: Vec::with_capacity(BATCH_PACKETS),
            coalescer: Coalescer::new(TURN_PACKETS, nothing),
            read: vec![0; READ_OCTETS].into_boxed_slice(),
            outbox: Outbox::new(),
            stopping: false,
        })
    }

    /// Turns until told to stop.
    pub(super) fn run(mut self) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        let mut now = Instant::now();
        let mut worked = now;
        while !self.stopping {
            let spins = now.saturating_duration_since(worked) < self.config.busy_poll;
            let timeout = if spins {
                Some(Timespec::default())
            } else {
                self.until_next_timer(now)
            };
            match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
                Ok(([], _)) if spins => {
                    // Where CPUs are few, the one whose packet is awaited may need this one.
                    rustix::thread::sched_yield();
                    now = self.expire_timers();
                }
                Ok((ready, _)) => {
                    now = self.turn(ready);
                    worked = now;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "epoll failed: the tunnels of this worker stop");
                    return;
                }
            }
        }
    }

    /// One turn; gives the time at its end.
    fn turn(&mut self, ready: &[epoll::Event]) -> Instant {
        self.outbox.now = Instant::now();
        let mut woken = false;
        for event in ready {
            match event.data.u64() {
                WAKE => woken = true,
                socket if socket < DEVICE => self.receive_from(index(socket), event.flags),
                _ => {}
            }
        }
        for event in ready {
            let data = event.data.u64();
            if data != WAKE && data >= DEVICE {
                self.read_from(index(data - DEVICE));
            }
        }
        self.flush();
        if woken {
            self.empty_mailbox();
        }
        self.expire_timers()
    }

    /// Sends what waits, and counts what the kernel refused.
    pub(super) fn flush(&mut self) {
        self.outbox.send();
        self.outbox.settle(&self.tunnels);
        if let Some((slot, on)) = self.outbox.segmentation.take()
            && let Some(tunnel) = self.tunnels.get(slot).and_then(Option::as_deref)
        {
            let notice = WorkerNotice::Segmentation(tunnel.id, on);
            self.config.notify(notice);
        }
    }

    fn until_next_timer(&self, now: Instant) -> Option<Timespec> {
        let &(deadline, _) = self.timers.first()?;
        let left = deadline.saturating_duration_since(now);
        Timespec::try_from(left).ok()
    }

    /// Does what is due; gives the time that it went by.
    fn expire_timers(&mut self) -> Instant {
        let mut now = Instant::now();
        match self.timers.first() {
            Some(&(first, _)) if first <= now => {
                if now.saturating_duration_since(first) > LATE {
                    self.drain_sockets();
                    now = Instant::now();
                }
            }
            _ => return now,
        }
        while let Some(&(deadline, slot)) = self.timers.first() {
            if deadline > now {
                break;
            }
            self.timers.pop_first();
            if let Some(tunnel) = self.tunnel_mut(slot) {
                tunnel.scheduled = None;
                tunnel.liveness.handle_timeout(now);
                self.send_probes(slot);
                self.remove_pairs(slot, now);
                self.tell_unused(slot, now);
                self.send_idle(slot, now);
                self.attend(slot, now);
            }
        }
        self.flush();
        now
    }

    /// After anything that may have moved a tunnel's liveness: sends its probes, posts its verdicts, sets its timer.
    pub(super) fn attend(&mut self, slot: usize, now: Instant) {
        self.send_probes(slot);
        let Some(tunnel) = self.tunnels.get_mut(slot).and_then(Option::as_deref_mut) else {
            return;
        };
        tunnel.check_associations(now, &self.config);
        tunnel.post_events(now, &self.config);
        let due = tunnel.due(now);
        if due != tunnel.scheduled {
            if let Some(old) = tunnel.scheduled {
                self.timers.remove(&(old, slot));
            }
            if let Some(new) = due {
                self.timers.insert((new, slot));
            }
            tunnel.scheduled = due;
        }
    }

    /// The same where nothing but an event would need it.
    #[inline]
    pub(super) fn attend_if_changed(&mut self, slot: usize, now: Instant) {
        let changed = self
            .tunnels
            .get(slot)
            .and_then(Option::as_deref)
            .is_some_and(|tunnel| tunnel.liveness.needs_turn());
        if changed {
            self.attend(slot, now);
        }
    }

    /// Does what was asked before this call.
    pub(super) fn empty_mailbox(&mut self) {
        let mut count = [0; 8];
        // Nothing to read means that another turn has read it: the mailbox tells what is there.
        let _ = rustix::io::read(&self.config.wake, &mut count);
        // After the read: who finds the flag set does not wake the worker again. It takes the place of the poster's last store, so
        // that what was sent before that is seen.
        self.config.has_mail.swap(false, Ordering::AcqRel);
        while let Ok(command) = self.config.commands.try_recv() {
            self.obey(command);
        }
        self.flush();
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Add(tunnel) => self.add(*tunnel, now),
            Command::Remove(id, done) => {
                self.remove(id, now);
                // Nobody waits any more when the daemon is stopping.
                let _ = done.send(());
            }
            Command::Read(id, reply) => self.with(id, |worker, slot| {
                if let Some(reading) = worker.read(slot) {
                    // The one who asked may have lost patience.
                    let _ = reply.send(reading);
                }
            }),
            Command::Attach(id, device) => {
                self.with(id, |worker, slot| worker.attach(slot, device))
            }
            Command::Detach(id) => self.with(id, Self::detach),
            Command::SetPath(id, path) => {
                self.with(id, |worker, slot| worker.set_path(slot, path, now))
            }
            Command::ProbePreferred(id, path, steady, socket) => {
                self.with(id, |worker, slot| {
                    worker.probe_preferred(slot, path, steady, socket, now)
                });
            }
            Command::SetPathMtu(id, octets) => self.with(id, |worker, slot| {
                if let Some(tunnel) = worker.tunnel_mut(slot) {
                    tunnel.encap.set_path_mtu(octets);
                }
            }),
            Command::SetMssClamp(id, clamp) => self.with(id, |worker, slot| {
                if let Some(tunnel) = worker.tunnel_mut(slot) {
                    tunnel.encap.set_mss_clamp(Some(clamp));
                    tunnel.decap.set_mss_clamp(Some(clamp));
                }
            }),
            Command::SetTfc(id, octets) => self.with(id, |worker, slot| {
                if let Some(tunnel) = worker.tunnel_mut(slot) {
                    tunnel.encap.set_tfc_octets(octets);
                }
            }),
            Command::ExtendSequence(id, last) => {
                self.with(id, |worker, slot| worker.extend_sequence(slot, last, now));
            }
            Command::Ike(id, command) => {
                self.with(id, |worker, slot| worker.obey_ike(slot, command, now));
            }
            Command::Listen(netns, family, port, socket) => {
                self.listen(netns, family, port, socket);
            }
            Command::Foreign(claim, true) => {
                self.foreign.insert(claim);
            }
            Command::Foreign(claim, false) => {
                self.foreign.remove(&claim);
            }
            Command::Stop => self.stopping = true,
        }
    }

    fn with(&mut self, id: TunnelId, act: impl FnOnce(&mut Self, usize)) {
        if let Some(&slot) = self.slots.get(&id) {
            act(self, slot);
        }
    }
}

/// The index in what epoll reports; one that fits nowhere finds nothing.
fn index(data: u64) -> usize {
    usize::try_from(data).unwrap_or(usize::MAX)
}
