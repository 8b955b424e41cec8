//! The link lane: the one thread that changes interfaces, addresses and routes, so that no worker waits for the kernel's RTNL lock.
//!
//! A verdict comes from a worker. All carriers of a batch of verdicts change first, then addresses, routes and the rest, so that
//! many tunnels that die together are all seen to be down before the first route is taken out.

mod guards;
mod namespaces;
mod plan;

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
use crate::io::netns::NetnsId;
use crate::io::tun::{OffloadSwitches, TunDevice};

pub use guards::GuardFate;
pub use namespaces::{Guarded, Namespaces};
pub use plan::Plan;

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
                LinkCommand::Sweep => self.namespaces.finish_start(),
                LinkCommand::Verdict(tunnel, alive, notice) => {
                    let alive = alive || self.sleeps(tunnel, &notice);
                    let done = self.change_carrier(tunnel, alive);
                    self.report(tunnel, &done);
                    let carrier_us = micros(Instant::now().saturating_duration_since(notice.at));
                    self.notify(LinkNotice::Carried {
                        tunnel,
                        notice,
                        carrier_us,
                    });
                    verdicts.push((tunnel, alive));
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
            let networks = plan::guarded(&plan.routes, &plan.addresses);
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
            let device = Arc::new(interface.plan.make(netlink)?);
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
        let Some(netlink) = self.namespaces.netlink(interface.netns) else {
            return Ok(());
        };
        let Some(index) = interface.device.as_ref().map(|device| device.index()) else {
            return Ok(());
        };
        let on_dead = interface.plan.on_dead;
        // The kernel takes the routes of an interface that is set down or deleted, and none for one that is down already.
        let keeps_routes = !(on_dead.withdraw_routes || on_dead.admin_down || on_dead.delete);
        if alive || keeps_routes {
            interface.plan.configure(netlink, index)?;
        } else if on_dead.withdraw_routes {
            interface.plan.withdraw(netlink, index)?;
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
