//! The link lane: the one thread that changes interfaces, addresses and routes, so that no worker waits for the kernel's RTNL lock.
//!
//! A verdict comes from a worker. All carriers of a batch of verdicts change first, then addresses, routes and the rest, so that
//! many tunnels that die together are all seen to be down before the first route is taken out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};

use crate::config::OnDead;
use crate::control::report::micros;
use crate::dataplane::{Notice, Plane, TunnelId};
use crate::io::address::Prefix;
use crate::io::link;
use crate::io::netlink::{Netlink, NetlinkError};
use crate::io::netns::{self, NetnsId};
use crate::io::raw::Family;
use crate::io::route::Route;
use crate::io::tun::{OffloadSwitches, TunDevice, TunError};

/// Commands that may wait; a full lane makes the daemon wait and a worker keep its verdict for the next turn.
const QUEUED_COMMANDS: usize = 1024;

/// What an interface is to look like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The interface's name.
    pub interface: String,
    /// Where it lives; none is the daemon's own namespace.
    pub netns: Option<Arc<OwnedFd>>,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// What is routed through it while the tunnel is up.
    pub routes: Vec<Prefix>,
    /// What happens to it while the peer is dead.
    pub on_dead: OnDead,
    /// What it does in one piece.
    pub offload: OffloadSwitches,
    /// Its MTU.
    pub mtu: u16,
}

/// What the lane is asked to do.
#[derive(Debug)]
pub enum LinkCommand {
    /// Makes the interface, in the state of a dead peer.
    Create(
        TunnelId,
        Box<Plan>,
        oneshot::Sender<Result<OffloadSwitches, String>>,
    ),
    /// Takes the interface away.
    Destroy(TunnelId, oneshot::Sender<()>),
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
    plane: Plane,
    notices: mpsc::Sender<LinkNotice>,
) -> io::Result<()> {
    let mut lane = Lane {
        plane,
        notices,
        tunnels: BTreeMap::new(),
        netlinks: BTreeMap::new(),
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
    netlinks: BTreeMap<Option<NetnsId>, Netlink>,
}

struct Interface {
    plan: Plan,
    netns: Option<NetnsId>,
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
                LinkCommand::Destroy(tunnel, reply) => {
                    self.tunnels.remove(&tunnel);
                    let _ = reply.send(());
                }
                LinkCommand::Verdict(tunnel, alive, notice) => {
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
        let link = self
            .netlinks
            .get_mut(&interface.netns)?
            .link(index)
            .ok()??;
        Some(link.statistics.tx_dropped)
    }

    fn create(&mut self, tunnel: TunnelId, plan: Plan) -> Result<OffloadSwitches, LinkError> {
        let netns = plan.netns.as_ref().map(NetnsId::of).transpose()?;
        if let Entry::Vacant(free) = self.netlinks.entry(netns) {
            free.insert(netns::within(
                plan.netns.as_ref().map(AsFd::as_fd),
                Netlink::open,
            )??);
        }
        let alive = plan.on_dead
            == OnDead {
                hook: plan.on_dead.hook,
                ..OnDead::default()
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
        self.make(tunnel)
            .and_then(|()| self.change_carrier(tunnel, alive))
            .and_then(|()| {
                let offload = self.offload(tunnel);
                self.change_rest(tunnel, alive).map(|()| offload)
            })
            .inspect_err(|_| {
                self.plane.detach(tunnel);
                self.tunnels.remove(&tunnel);
            })
    }

    /// Makes the tunnel's device and gives it to its worker.
    fn make(&mut self, tunnel: TunnelId) -> Result<(), LinkError> {
        if let Some(interface) = self.tunnels.get_mut(&tunnel)
            && let Some(netlink) = self.netlinks.get_mut(&interface.netns)
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
        let Some(netlink) = self.netlinks.get_mut(&interface.netns) else {
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
        let Some(netlink) = self.netlinks.get_mut(&interface.netns) else {
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
            (&interface.device, self.netlinks.get_mut(&interface.netns))
        {
            netlink.set_mtu(device.index(), u32::from(octets))?;
        }
        Ok(())
    }
}

impl Plan {
    /// Makes the device: up, with addresses, without carrier and routes.
    fn make(&self, netlink: &mut Netlink) -> Result<TunDevice, LinkError> {
        let inside = self.netns.as_ref().map(AsFd::as_fd);
        let device = netns::within(inside, || {
            let device = TunDevice::create(&self.interface, self.offload)?;
            if self.on_dead.carrier && !self.on_dead.withdraw_routes {
                for family in [Family::V4, Family::V6] {
                    if let Err(error) = link::ignore_routes_with_linkdown(family, &self.interface) {
                        tracing::warn!(
                            interface = self.interface, ?family, %error,
                            "routes stay usable without carrier: ignore_routes_with_linkdown could not be set"
                        );
                    }
                }
            }
            Ok::<_, LinkError>(device)
        })??;
        netlink.set_mtu(device.index(), u32::from(self.mtu))?;
        netlink.set_up(device.index(), true)?;
        self.add_addresses(netlink, device.index())?;
        Ok(device)
    }

    fn add_addresses(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        for &address in &self.addresses {
            netlink.replace_address(index, address)?;
        }
        Ok(())
    }

    /// Brings the interface to what is configured, whatever of it is there already.
    fn configure(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        netlink.set_mtu(index, u32::from(self.mtu))?;
        self.add_addresses(netlink, index)?;
        for &route in &self.routes {
            netlink.replace_route(&Route::through(route, index))?;
        }
        Ok(())
    }

    fn withdraw(&self, netlink: &mut Netlink, index: u32) -> Result<(), LinkError> {
        for &route in &self.routes {
            match netlink.remove_route(&Route::through(route, index)) {
                Err(error) if error.errno() != Errno::SRCH => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Why an interface is not as it should be.
#[derive(Debug)]
enum LinkError {
    Netlink(NetlinkError),
    Tun(TunError),
    System(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netlink(error) => error.fmt(f),
            Self::Tun(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl From<NetlinkError> for LinkError {
    fn from(error: NetlinkError) -> Self {
        Self::Netlink(error)
    }
}

impl From<TunError> for LinkError {
    fn from(error: TunError) -> Self {
        Self::Tun(error)
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Errno> for LinkError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}
