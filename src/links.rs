//! The link lane: the one thread that changes interfaces, addresses and routes, so that no worker waits for the kernel's RTNL lock.
//!
//! A verdict comes from a worker. All carriers of a batch of verdicts change first, then addresses, routes and the rest, so that
//! many tunnels that die together are all seen to be down before the first route is taken out.

mod assignment;
mod beside;
mod guards;
mod namespaces;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use adit_proto::liveness::{DownReason, Event};
use tokio::sync::{mpsc, oneshot};

use crate::config::OnDead;
use crate::control::report::micros;
use crate::dataplane::{Notice, Plane, TunnelId};
use crate::io::netlink::Netlink;
use crate::io::netns::NetnsId;
use crate::io::tun::{OffloadSwitches, TunDevice};

pub use assignment::Assignment;
pub use guards::GuardFate;
pub use namespaces::{Guarded, Namespaces};
pub use plan::{Plan, guarded};

use plan::LinkError;

/// Commands that may wait; a full lane makes the daemon wait and a worker keep its verdict for the next turn.
const QUEUED_COMMANDS: usize = 1024;

/// What the lane is asked to do.
#[derive(Debug)]
pub enum LinkCommand {
    /// Makes the interface, in the state of a dead peer.
    Create(
        TunnelId,
        Box<Plan>,
        oneshot::Sender<Result<OffloadSwitches, String>>,
    ),
    /// Takes the interface away, and then its guard routes, if they are to go.
    Destroy(TunnelId, GuardFate, oneshot::Sender<()>),
    /// What the peer assigned, instead of what it did before; the same again has what leads beside the tunnel looked at anew.
    Assign(TunnelId, Box<Assignment>),
    /// The peer assigns something: that the tunnel is up waits until it is in place.
    Await(TunnelId),
    /// It is in place.
    InPlace(TunnelId),
    /// All tunnels of the start are made: guard routes of adits that are gone are removed, in namespaces where no other adit is.
    Sweep,
    /// The peer is there (true) or not; a worker saw it at this time.
    Verdict(TunnelId, bool, Notice),
    /// What a worker saw is to be told to the daemon after the verdicts before it.
    Pass(TunnelId, Notice),
    /// The path's MTU changed.
    Mtu(TunnelId, u16),
    /// The interface was deleted by somebody else.
    Gone(TunnelId),
    /// How many packets the device's queue dropped is to be told.
    Dropped(TunnelId, oneshot::Sender<Option<u64>>),
}

/// What the lane tells the daemon.
#[derive(Debug)]
pub enum LinkNotice {
    /// A verdict was carried out as far as the carrier; so long after it was given.
    Carried {
        /// The tunnel.
        tunnel: TunnelId,
        /// What the worker saw.
        notice: Notice,
        /// From the verdict to the carrier's change, in microseconds.
        carrier_us: u64,
    },
    /// What a worker saw, from [`LinkCommand::Pass`].
    Passed(TunnelId, Notice),
    /// What the peer assigned is in place.
    InPlace(TunnelId),
    /// What an adit that is gone had guarded by its peer's word is this tunnel's until its peer says what it needs: guards, and what
    /// leaves beside it.
    TookOver(TunnelId, Box<Assignment>),
    /// Something could not be done.
    Failed(TunnelId, String),
    /// The interface was deleted by somebody else.
    Gone(TunnelId),
}

/// The sending end of the lane.
pub type LinkSender = SyncSender<LinkCommand>;

/// Makes the lane's queue; workers need its sending end before the lane runs.
#[must_use]
pub fn queue() -> (LinkSender, Receiver<LinkCommand>) {
    sync_channel(QUEUED_COMMANDS)
}

/// Runs the lane on a thread of its own until every sender is gone.
///
/// # Errors
/// What the system says when it gives no thread.
pub fn spawn(
    commands: Receiver<LinkCommand>,
    namespaces: Namespaces,
    plane: Plane,
    notices: mpsc::Sender<LinkNotice>,
) -> io::Result<()> {
    let mut lane = Lane {
        plane,
        notices,
        tunnels: BTreeMap::new(),
        namespaces,
    };
    std::thread::Builder::new()
        .name("adit-link".to_owned())
        .spawn(move || {
            while let Ok(first) = commands.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(commands.try_iter()).collect();
                lane.carry_out(batch);
            }
        })
        .map(drop)
}

struct Lane {
    plane: Plane,
    notices: mpsc::Sender<LinkNotice>,
    tunnels: BTreeMap<TunnelId, Interface>,
    namespaces: Namespaces,
}

struct Interface {
    plan: Plan,
    netns: NetnsId,
    device: Option<Arc<TunDevice>>,
    assignment: Assignment,
    /// The last verdict.
    alive: bool,
    awaits: Awaits,
    /// What was last told to be wrong with the assignment.
    told: Option<String>,
}

/// Whether a tunnel waits for what its peer assigns.
#[derive(Debug, Default)]
enum Awaits {
    #[default]
    Nothing,
    /// It does, and the verdict that it is up waits too, once there is one.
    Assignment(Option<Notice>),
}

impl Interface {
    /// Whether it has its routes: the kernel takes those of an interface that is set down or deleted, and none for one that is down already.
    fn has_routes(&self) -> bool {
        let on_dead = self.plan.on_dead;
        self.alive || !(on_dead.withdraw_routes || on_dead.admin_down || on_dead.delete)
    }

    /// Brings the interface from what was assigned before to what is.
    fn reassign(
        &self,
        before: &Assignment,
        netlink: &mut Netlink,
        index: u32,
    ) -> Result<(), LinkError> {
        let next = &self.assignment;
        // What the kernel refuses of it keeps nothing else from being done.
        let withdrawn = before.withdraw_routes(&next.routes, netlink, index);
        let added = next.add_address(netlink, index);
        let configured = self.configure(netlink, index);
        let configured = match before.remove_address(next.address, netlink, index) {
            Ok(true) => self.configure(netlink, index),
            Ok(false) => configured,
            Err(error) => configured.and(Err(error)),
        };
        withdrawn.and(added).and(configured)
    }

    fn configure(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        match self.has_routes() {
            true => self.plan.configure(netlink, index, &self.assignment),
            false => Ok(()),
        }
    }
}

impl Lane {
    fn carry_out(&mut self, batch: Vec<LinkCommand>) {
        let mut verdicts = Vec::new();
        for command in batch {
            match command {
                LinkCommand::Create(tunnel, plan, reply) => {
                    let result = self.create(tunnel, *plan);
                    // The daemon may have stopped waiting; then it is stopping, and the interface goes with it.
                    let _ = reply.send(result.map_err(|error| error.to_string()));
                }
                LinkCommand::Destroy(tunnel, fate, reply) => {
                    let done = self.destroy(tunnel, fate);
                    self.report(tunnel, &done);
                    let _ = reply.send(());
                }
                LinkCommand::Assign(tunnel, assignment) => {
                    let done = self.assign(tunnel, *assignment);
                    self.report_change(tunnel, &done);
                }
                LinkCommand::Sweep => self.finish_start(),
                LinkCommand::Await(tunnel) => self.set_awaits(tunnel),
                LinkCommand::InPlace(tunnel) => {
                    verdicts.extend(self.take_in_place(tunnel));
                }
                LinkCommand::Verdict(tunnel, alive, notice) => {
                    verdicts.extend(self.judge(tunnel, alive, notice));
                }
                LinkCommand::Pass(tunnel, notice) => {
                    self.notify(LinkNotice::Passed(tunnel, notice));
                }
                LinkCommand::Mtu(tunnel, octets) => {
                    let done = self.set_mtu(tunnel, octets);
                    self.report(tunnel, &done);
                }
                LinkCommand::Gone(tunnel) => {
                    if let Some(interface) = self.tunnels.get_mut(&tunnel) {
                        interface.device = None;
                    }
                    self.notify(LinkNotice::Gone(tunnel));
                }
                LinkCommand::Dropped(tunnel, reply) => {
                    // Nobody waits any more when the daemon is stopping.
                    let _ = reply.send(self.dropped(tunnel));
                }
            }
        }
        for (tunnel, alive) in verdicts {
            let done = self.change_rest(tunnel, alive);
            self.report(tunnel, &done);
        }
    }

    fn finish_start(&mut self) {
        for (tunnel, left) in self.namespaces.finish_start() {
            self.notify(LinkNotice::TookOver(tunnel, Box::new(left)));
        }
    }

    /// The first half of a verdict, and what is left of it to do; none where it waits for what the peer assigns.
    fn judge(&mut self, tunnel: TunnelId, alive: bool, notice: Notice) -> Option<(TunnelId, bool)> {
        if let Some(interface) = self.tunnels.get_mut(&tunnel)
            && let Awaits::Assignment(verdict) = &mut interface.awaits
        {
            *verdict = alive.then_some(notice);
            if alive {
                return None;
            }
        }
        let alive = alive || self.sleeps(tunnel, &notice);
        let done = self.change_carrier(tunnel, alive);
        self.report(tunnel, &done);
        let carrier_us = micros(Instant::now().saturating_duration_since(notice.at));
        self.notify(LinkNotice::Carried {
            tunnel,
            notice,
            carrier_us,
        });
        Some((tunnel, alive))
    }

    fn set_awaits(&mut self, tunnel: TunnelId) {
        if let Some(interface) = self.tunnels.get_mut(&tunnel)
            && matches!(interface.awaits, Awaits::Nothing)
        {
            interface.awaits = Awaits::Assignment(None);
        }
    }

    fn take_in_place(&mut self, tunnel: TunnelId) -> Option<(TunnelId, bool)> {
        let awaits = std::mem::take(&mut self.tunnels.get_mut(&tunnel)?.awaits);
        self.notify(LinkNotice::InPlace(tunnel));
        match awaits {
            Awaits::Assignment(Some(verdict)) => self.judge(tunnel, true, verdict),
            Awaits::Assignment(None) | Awaits::Nothing => None,
        }
    }

    /// Whether a tunnel that is down only sleeps, so that its interface has to take the traffic that wakes it.
    fn sleeps(&self, tunnel: TunnelId, notice: &Notice) -> bool {
        let wakes = self.tunnels.get(&tunnel).is_some_and(|it| it.plan.wakes);
        let sleeps = matches!(
            notice.event,
            Event::Down {
                reason: DownReason::NoSa | DownReason::Idle,
                ..
            }
        );
        wakes && sleeps
    }

    fn report(&self, tunnel: TunnelId, done: &Result<(), LinkError>) {
        if let Err(error) = done {
            self.notify(LinkNotice::Failed(tunnel, error.to_string()));
        }
    }

    /// Reports what is wrong with an assignment once, however often that is looked at.
    fn report_change(&mut self, tunnel: TunnelId, done: &Result<(), LinkError>) {
        let Some(interface) = self.tunnels.get_mut(&tunnel) else {
            return;
        };
        let why = done.as_ref().err().map(ToString::to_string);
        if std::mem::replace(&mut interface.told, why.clone()) != why {
            self.report(tunnel, done);
        }
    }

    fn notify(&self, notice: LinkNotice) {
        if let Err(error) = self.notices.try_send(notice) {
            tracing::warn!(%error, "a notice of the link lane was lost");
        }
    }

    fn dropped(&mut self, tunnel: TunnelId) -> Option<u64> {
        let interface = self.tunnels.get(&tunnel)?;
        let index = interface.device.as_ref()?.index();
        let netlink = self.namespaces.netlink(interface.netns)?;
        let link = netlink.link(index).ok()??;
        Some(link.statistics.tx_dropped)
    }

    fn create(&mut self, tunnel: TunnelId, plan: Plan) -> Result<OffloadSwitches, LinkError> {
        let alive = plan.wakes
            || plan.on_dead
                == OnDead {
                    hook: plan.on_dead.hook,
                    ..OnDead::default()
                };
        let netns = self.namespaces.enter(plan.netns.as_ref())?;
        let guarded = if plan.guard {
            let networks = guarded(&plan.routes, &plan.addresses);
            self.namespaces.add_guards(tunnel, netns, networks)
        } else {
            Ok(())
        };
        self.tunnels.insert(
            tunnel,
            Interface {
                plan,
                netns,
                device: None,
                assignment: Assignment::default(),
                alive,
                awaits: Awaits::Nothing,
                told: None,
            },
        );
        // Made once even where it is deleted until the peer is there: a name that is taken is better known now.
        let made = guarded
            .and_then(|()| self.make(tunnel))
            .and_then(|()| self.change_carrier(tunnel, alive))
            .and_then(|()| {
                let offload = self.offload(tunnel);
                self.change_rest(tunnel, alive).map(|()| offload)
            });
        self.namespaces.settle(netns);
        made.inspect_err(|_| {
            self.plane.detach(tunnel);
            // The guards stay: the tunnel is wanted, only its interface cannot be made.
            self.tunnels.remove(&tunnel);
        })
    }

    /// The guards go last: until then what the interface does not take is refused.
    fn destroy(&mut self, tunnel: TunnelId, fate: GuardFate) -> Result<(), LinkError> {
        self.tunnels.remove(&tunnel);
        match fate {
            GuardFate::Stay => Ok(()),
            GuardFate::Go => self.namespaces.remove_guards(tunnel),
        }
    }

    /// Makes the tunnel's device and gives it to its worker.
    fn make(&mut self, tunnel: TunnelId) -> Result<(), LinkError> {
        if let Some(interface) = self.tunnels.get_mut(&tunnel)
            && let Some(netlink) = self.namespaces.netlink(interface.netns)
        {
            let device = Arc::new(interface.plan.make(netlink, &interface.assignment)?);
            self.plane.attach(tunnel, device.clone());
            interface.device = Some(device);
        }
        Ok(())
    }

    fn offload(&self, tunnel: TunnelId) -> OffloadSwitches {
        let device = self
            .tunnels
            .get(&tunnel)
            .and_then(|interface| interface.device.as_ref());
        device.map(|device| device.offload()).unwrap_or_default()
    }

    /// The first half of a verdict, which others wait for: the carrier, and the device itself where it was deleted with the peer's
    /// death. One that somebody else deleted is made again by the daemon.
    fn change_carrier(&mut self, tunnel: TunnelId, alive: bool) -> Result<(), LinkError> {
        let Some(interface) = self.tunnels.get(&tunnel) else {
            return Ok(());
        };
        let on_dead = interface.plan.on_dead;
        if alive && on_dead.delete && interface.device.is_none() {
            self.make(tunnel)?;
        }
        let Some(interface) = self.tunnels.get(&tunnel) else {
            return Ok(());
        };
        let Some(netlink) = self.namespaces.netlink(interface.netns) else {
            return Ok(());
        };
        let Some(device) = &interface.device else {
            return Ok(());
        };
        if alive && on_dead.admin_down {
            netlink.set_up(device.index(), true)?;
        }
        device.set_carrier(alive || !on_dead.carrier)?;
        netlink.refresh_carrier(device.index())?;
        Ok(())
    }

    /// The second half: addresses and routes, or the administrative state or the interface itself taken away.
    fn change_rest(&mut self, tunnel: TunnelId, alive: bool) -> Result<(), LinkError> {
        let Some(interface) = self.tunnels.get_mut(&tunnel) else {
            return Ok(());
        };
        interface.alive = alive;
        let Some(netlink) = self.namespaces.netlink(interface.netns) else {
            return Ok(());
        };
        let Some(index) = interface.device.as_ref().map(|device| device.index()) else {
            return Ok(());
        };
        let on_dead = interface.plan.on_dead;
        interface.configure(netlink, index)?;
        if !interface.has_routes() && on_dead.withdraw_routes {
            interface
                .plan
                .withdraw(netlink, index, &interface.assignment)?;
        }
        if !alive && on_dead.admin_down {
            netlink.set_up(index, false)?;
        }
        if !alive && on_dead.delete {
            self.plane.detach(tunnel);
            interface.device = None;
        }
        Ok(())
    }

    /// Replaces what the peer assigned. What draws packets in goes first and comes last: the tunnel's own must leave beside it. On an
    /// error as much of it as can be.
    fn assign(&mut self, tunnel: TunnelId, mut next: Assignment) -> Result<(), LinkError> {
        let Some(interface) = self.tunnels.get_mut(&tunnel) else {
            return Ok(());
        };
        let index = interface.device.as_ref().map(|device| device.index());
        let mut before = std::mem::take(&mut interface.assignment);
        let (netns, mut done) = (interface.netns, Ok(()));
        if let (Some(index), Some(netlink)) = (index, self.namespaces.netlink(netns)) {
            done = before.withdraw_routes(&next.routes, netlink, index);
        }
        before.routes.retain(|it| next.routes.contains(it));
        let kept = self.namespaces.assign(netns, (tunnel, index), &mut next);
        interface.assignment = next;
        done = done.and(kept);
        // The kernel tells of what is made again as it is: that would have the ways looked at, and this asked for, without end.
        if before != interface.assignment
            && let (Some(index), Some(netlink)) = (index, self.namespaces.netlink(netns))
        {
            done = done.and(interface.reassign(&before, netlink, index));
        }
        done
    }

    fn set_mtu(&mut self, tunnel: TunnelId, octets: u16) -> Result<(), LinkError> {
        let Some(interface) = self.tunnels.get_mut(&tunnel) else {
            return Ok(());
        };
        interface.plan.mtu = octets;
        if let (Some(device), Some(netlink)) =
            (&interface.device, self.namespaces.netlink(interface.netns))
        {
            netlink.set_mtu(device.index(), u32::from(octets))?;
        }
        Ok(())
    }
}
