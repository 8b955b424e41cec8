//! One tunnel as its worker holds it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::{Duration, Instant};

use adit_proto::counters::{Counters, DropReason};
use adit_proto::liveness::{Answerer, Event, Liveness, Path};
use adit_proto::offload::{Coalescer, Coalescing, Run, VNET_HEADER_OCTETS};
use adit_proto::tunnel::{Decap, Encap, Parameters};
use rustix::io::Errno;

use super::children::Children;
use super::idle::Idle;
use super::worker::{BATCH_PACKETS, WorkerConfig};
use super::{FromWorker, NewTunnel, Notice, TunnelId, WorkerNotice};
use crate::io::tun::TunDevice;
use crate::links::LinkCommand;

/// How long a device that refused a coalesced packet gets packets one by one.
const SEPARATE_FOR: Duration = Duration::from_secs(60);
/// How soon a verdict that found the link lane full is posted again.
const REPOST_AFTER: Duration = Duration::from_millis(1);

/// A tunnel, owned by one worker.
pub(super) struct Tunnel {
    pub(super) id: TunnelId,
    pub(super) parameters: Parameters,
    pub(super) encap: Encap,
    pub(super) decap: Decap,
    pub(super) liveness: Liveness,
    pub(super) answerer: Answerer,
    pub(super) device: Option<Arc<TunDevice>>,
    /// The worker's sockets of the path: that by which its packets come, then those by which others of the peer may come.
    pub(super) sockets: Vec<usize>,
    /// The security associations of a tunnel that asks for ESP.
    pub(super) ipsec: Option<Children>,
    pub(super) idle: Idle,
    /// Keepalive answers that came in clear though the tunnel asks for ESP.
    pub(super) clear_answers: u64,
    /// The preferred peer that is probed beside the one in use.
    pub(super) preferred: Option<Preferred>,
    pub(super) counters: Arc<Counters>,
    /// Inner packets of this batch, in the receive buffer, not yet written to the device.
    pub(super) pending: Vec<Range<usize>>,
    /// The timer that stands in the worker's list for this tunnel.
    pub(super) scheduled: Option<Instant>,
    coalescing: Coalescing,
    /// Until when the device gets packets one by one.
    separate_until: Option<Instant>,
    /// A verdict that the link lane has not taken yet; a newer one replaces it.
    unposted: Option<(bool, Notice)>,
}

/// A peer that only keepalives go to.
pub(super) struct Preferred {
    pub(super) path: Path,
    pub(super) sockets: Vec<usize>,
    pub(super) encap: Encap,
}

impl Tunnel {
    pub(super) fn new(new: NewTunnel, now: Instant) -> Self {
        let mut tunnel = Self {
            id: new.id,
            encap: Encap::new(&new.parameters),
            decap: Decap::new(&new.parameters),
            ipsec: new.ipsec.map(Children::new),
            idle: Idle::new(&new.idle, now),
            clear_answers: 0,
            liveness: Liveness::new(new.liveness, &new.secret, None, now),
            answerer: Answerer::new(new.answers_keepalives, new.accept_inner),
            parameters: new.parameters,
            device: None,
            sockets: Vec::new(),
            preferred: None,
            counters: new.counters,
            pending: Vec::with_capacity(BATCH_PACKETS),
            scheduled: None,
            coalescing: new.coalescing,
            separate_until: None,
            unposted: None,
        };
        if let Some(pair) = new.pair {
            tunnel.install(*pair, now);
        }
        tunnel
    }

    /// When the worker has to look at the tunnel again.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let repost = self.unposted.map(|_| now + REPOST_AFTER);
        let timers = [
            self.liveness.poll_timeout(),
            repost,
            self.separate_until,
            self.idle.poll_timeout(),
            self.associations_due(),
        ];
        timers.into_iter().flatten().min()
    }

    /// Hands the liveness' events on: verdicts to the link lane, the rest to the daemon.
    pub(super) fn post_events(&mut self, now: Instant, config: &WorkerConfig) {
        let mut exhausted = None;
        while let Some(event) = self.liveness.poll_event() {
            let notice = Notice { event, at: now };
            match event {
                Event::Up { .. } => self.unposted = Some((true, notice)),
                Event::Down { .. } => {
                    // Who comes back may count anew.
                    self.decap.forget_sequence();
                    self.unposted = Some((false, notice));
                }
                Event::Exhausted { .. } => exhausted = Some(notice),
                Event::NoData => {
                    config.ike.give(FromWorker::Rebuild(self.id));
                    config.notify(WorkerNotice::Seen(self.id, notice));
                }
                Event::Suspect { .. }
                | Event::Recovered { .. }
                | Event::Probing { .. }
                | Event::DpdProbe { .. }
                | Event::DpdAnswered
                | Event::DpdMiss { .. }
                | Event::PreferredSteady { .. }
                | Event::PreferredSilent { .. } => {
                    config.notify(WorkerNotice::Seen(self.id, notice));
                }
            }
        }
        if let Some((alive, notice)) = self.unposted.take()
            && let Err(TrySendError::Full(_)) = config
                .links
                .try_send(LinkCommand::Verdict(self.id, alive, notice))
        {
            self.unposted = Some((alive, notice));
        }
        // Behind the verdict of the same tick: the search for another peer follows the death of this one.
        if let Some(notice) = exhausted
            && config
                .links
                .try_send(LinkCommand::Pass(self.id, notice))
                .is_err()
        {
            config.notify(WorkerNotice::Seen(self.id, notice));
        }
        if self.separate_until.is_some_and(|until| until <= now) {
            self.separate_until = None;
            config.notify(WorkerNotice::Coalescing(self.id, true));
        }
    }

    /// Drops the packets of this batch for want of a device.
    fn discard(&mut self) {
        let dropped = self.pending.drain(..).count();
        self.counters
            .drop_packets(DropReason::TunnelDown, dropped as u64);
    }

    /// Writes the packets of this batch, coalesced as far as the device takes it.
    pub(super) fn deliver(
        &mut self,
        coalescer: &mut Coalescer,
        buffer: &mut [u8],
        now: Instant,
        config: &WorkerConfig,
    ) {
        let Some(device) = self.device.clone() else {
            return self.discard();
        };
        let singly = Coalescing {
            tcp: false,
            udp: false,
        };
        coalescer.set(if self.separate_until.is_some() {
            singly
        } else {
            self.coalescing
        });
        coalescer.coalesce(buffer, &self.pending);
        self.pending.clear();
        let (mut packets, mut octets) = (0, 0);
        for run in coalescer.runs() {
            match device.write_run(&run.vnet.emit(), buffer, run.pieces) {
                Ok(_) => {
                    packets += u64::from(run.packets);
                    octets += run.octets;
                }
                Err(Errno::INVAL | Errno::IO) if run.packets > 1 => {
                    if write_singly(&device, &run, buffer, &self.counters) {
                        self.counters.coalesce_fallbacks.add(1);
                        self.separate_until = Some(now + SEPARATE_FOR);
                        config.notify(WorkerNotice::Coalescing(self.id, false));
                    }
                }
                Err(_) => self
                    .counters
                    .drop_packets(DropReason::TunRefused, u64::from(run.packets)),
            }
        }
        self.idle.note_used(now);
        self.counters.inbound_packets.add(packets);
        self.counters.inbound_octets.add(octets);
    }
}

/// The virtio-net header of a packet that is complete as it is.
const NOTHING_OFFLOADED: [u8; VNET_HEADER_OCTETS] = [0; VNET_HEADER_OCTETS];

/// Writes the packets of a refused run one by one; whether any was taken.
fn write_singly(device: &TunDevice, run: &Run<'_>, buffer: &mut [u8], counters: &Counters) -> bool {
    let mut taken = false;
    run.separate(buffer, |packet| {
        match device.write_run(
            &NOTHING_OFFLOADED,
            packet,
            std::slice::from_ref(&(0..packet.len())),
        ) {
            Ok(_) => {
                taken = true;
                counters.inbound_packets.add(1);
                counters.inbound_octets.add(packet.len() as u64);
            }
            Err(_) => counters.drop_packet(DropReason::TunRefused),
        }
    });
    taken
}
