//! The namespaces where sockets live: the way to each peer there, and word of its changes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use adit_proto::liveness::Path;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::Message;
use crate::config::{self, Mode, TunnelConfig, UdpConfig};
use crate::dataplane::{Carries, Kind, Receiver, Sender, SocketOffer};
use crate::io::monitor::{Groups, Monitor};
use crate::io::netlink::Netlink;
use crate::io::netns::{self, Netns, NetnsId};
use crate::io::raw::{Family, RawProtocol, RawSocket, SendSocket};
use crate::io::route::RouteTo;
use crate::io::udp::{Segmentation, UdpSender, UdpSocket};

/// Changes come in bursts: the paths are looked at again once a burst is over.
const SETTLE: Duration = Duration::from_millis(20);

/// A namespace of sockets; none is the daemon's own.
pub(super) type OuterId = Option<NetnsId>;

/// Which namespace a descriptor is of; none is the daemon's own, also where the configuration names it.
pub(super) fn identity(netns: Option<&Arc<OwnedFd>>) -> io::Result<OuterId> {
    let Some(netns) = netns else { return Ok(None) };
    let (named, own) = (NetnsId::of(netns)?, Netns::Current.id()?);
    Ok((named != own).then_some(named))
}

/// One namespace of sockets.
pub(super) struct Outer {
    pub(super) netns: Option<Arc<OwnedFd>>,
    netlink: Netlink,
}

#[derive(Default)]
struct Remembered {
    routes: BTreeMap<(OuterId, Option<IpAddr>, IpAddr), RouteTo>,
    interfaces: BTreeMap<(OuterId, u32), String>,
}

/// All of them.
pub(super) struct Outers {
    outers: BTreeMap<OuterId, Outer>,
    /// What the kernel said since [`Outers::remember`], while that is asked of many tunnels that may have the same way.
    remembered: Option<Remembered>,
    udp: BTreeMap<(OuterId, Family, u16), Weak<UdpSocket>>,
    messages: mpsc::Sender<Message>,
}

impl Outers {
    pub(super) fn new(messages: mpsc::Sender<Message>) -> Self {
        Self {
            outers: BTreeMap::new(),
            remembered: None,
            udp: BTreeMap::new(),
            messages,
        }
    }

    /// Opens the namespace unless it is open already, and gives a warning where its kernel owns protocol 47 too.
    pub(super) fn open(&mut self, netns: &Netns) -> io::Result<(OuterId, Option<String>)> {
        let fd = match netns {
            Netns::Current => None,
            Netns::Named(_) | Netns::Path(_) => Some(Arc::new(netns.open()?)),
        };
        let id = identity(fd.as_ref())?;
        let fd = fd.filter(|_| id.is_some());
        if self.outers.contains_key(&id) {
            return Ok((id, None));
        }
        let inside = fd.as_ref().map(AsFd::as_fd);
        let (netlink, monitor, owner) = netns::within(inside, || {
            let mut netlink = Netlink::open().map_err(io::Error::other)?;
            let owner = netlink.kernel_gre().map_err(io::Error::other)?;
            let monitor = Monitor::open(Groups::ALL).map_err(io::Error::other)?;
            Ok::<_, io::Error>((netlink, monitor, owner))
        })??;
        let messages = self.messages.clone();
        std::thread::Builder::new()
            .name("adit-monitor".to_owned())
            .spawn(move || watch(id, monitor, &messages))?;
        self.outers.insert(id, Outer { netns: fd, netlink });
        let warning = owner.map(|owner| kernel_gre_warning(netns, &owner));
        Ok((id, warning))
    }

    /// The namespace's handle.
    pub(super) fn netns(&self, id: OuterId) -> Option<Arc<OwnedFd>> {
        self.outers.get(&id).and_then(|outer| outer.netns.clone())
    }

    /// Asks the kernel for each route and interface only once until [`Outers::forget`].
    pub(super) fn remember(&mut self) {
        self.remembered = Some(Remembered::default());
    }

    /// Asks the kernel each time again.
    pub(super) fn forget(&mut self) {
        self.remembered = None;
    }

    /// The route to `remote`: the address that it is reached from and the path's MTU.
    pub(super) fn route(
        &mut self,
        id: OuterId,
        local: Option<IpAddr>,
        remote: IpAddr,
    ) -> io::Result<RouteTo> {
        let key = (id, local, remote);
        let known = self.remembered.as_ref();
        if let Some(&route) = known.and_then(|known| known.routes.get(&key)) {
            return Ok(route);
        }
        let route = self
            .outers
            .get_mut(&id)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
            .netlink
            .route_to(remote, local)
            .map_err(io::Error::other)?;
        if let Some(known) = &mut self.remembered {
            known.routes.insert(key, route);
        }
        Ok(route)
    }

    /// The interface by which a route leaves.
    pub(super) fn interface(&mut self, id: OuterId, route: &RouteTo) -> Option<String> {
        let key = (id, route.interface);
        let known = self.remembered.as_ref();
        if let Some(name) = known.and_then(|known| known.interfaces.get(&key)) {
            return Some(name.clone());
        }
        let outer = self.outers.get_mut(&id)?;
        let name = outer.netlink.link(route.interface).ok()??.name;
        if let Some(known) = &mut self.remembered {
            known.interfaces.insert(key, name.clone());
        }
        Some(name)
    }

    /// Sockets there for a path that leaves by `interface`, as far as that is known.
    pub(super) fn sockets(
        &mut self,
        id: OuterId,
        path: Path,
        config: &TunnelConfig,
        interface: Option<&str>,
    ) -> io::Result<SocketOffer> {
        let netns = self.netns(id);
        let family = Family::of(path.remote);
        let carries = if config.mode.has_esp() {
            Carries::Esp
        } else {
            Carries::Gre
        };
        let inside = netns.as_ref().map(AsFd::as_fd);
        let known = config
            .udp
            .and_then(|udp| self.known_udp(id, family, udp.port));
        let (receivers, sender) = netns::within(inside, || {
            let ((socket, sender), port) = match config.udp {
                None => (raw(path, carries)?, None),
                Some(udp) => {
                    let wanted = segmentation(config.offload.udp_segmentation);
                    let ways = in_udp(path, &udp, known, wanted, interface)?;
                    (ways, Some(udp.port))
                }
            };
            let mut receivers = vec![(Kind { carries, port }, socket)];
            if config.mode == Mode::GreEsp || config.mode == Mode::Gre && port.is_some() {
                // What the peer sends in clear is counted; a router's answer to a keepalive in UDP comes without UDP.
                let kind = Kind {
                    carries: Carries::Gre,
                    port: None,
                };
                let socket = RawSocket::open(family, RawProtocol::Gre)?;
                receivers.push((kind, Receiver::Raw(socket)));
            }
            Ok::<_, io::Error>((receivers, sender))
        })??;
        if let [(kind, Receiver::Udp(socket)), ..] = &*receivers
            && let Some(port) = kind.port
        {
            self.udp.insert((id, family, port), Arc::downgrade(socket));
        }
        Ok(SocketOffer {
            netns: id,
            family,
            receivers,
            sender,
        })
    }

    /// The UDP socket of a port there, opened if it is not.
    pub(super) fn udp(
        &mut self,
        id: OuterId,
        family: Family,
        port: u16,
    ) -> io::Result<Arc<UdpSocket>> {
        if let Some(known) = self.known_udp(id, family, port) {
            return Ok(known);
        }
        let netns = self.netns(id);
        let inside = netns.as_ref().map(AsFd::as_fd);
        let socket = netns::within(inside, || UdpSocket::open(family, port))??;
        let socket = Arc::new(socket);
        self.udp.insert((id, family, port), Arc::downgrade(&socket));
        Ok(socket)
    }

    /// A UDP socket that is open already: a port has one.
    fn known_udp(&self, id: OuterId, family: Family, port: u16) -> Option<Arc<UdpSocket>> {
        self.udp.get(&(id, family, port))?.upgrade()
    }
}

/// A raw socket, and the way to the peer of `path`.
fn raw(path: Path, carries: Carries) -> io::Result<(Receiver, Sender)> {
    let protocol = match carries {
        Carries::Esp => RawProtocol::Esp,
        Carries::Gre => RawProtocol::Gre,
    };
    let socket = RawSocket::open(Family::of(path.remote), protocol)?;
    let sender = SendSocket::open(path.local, path.remote)?;
    Ok((Receiver::Raw(socket), Sender::Raw(Box::new(sender))))
}

/// The known UDP socket or a new one, and the way to the peer of `path`.
fn in_udp(
    path: Path,
    udp: &UdpConfig,
    known: Option<Arc<UdpSocket>>,
    segmentation: Segmentation,
    interface: Option<&str>,
) -> io::Result<(Receiver, Sender)> {
    let socket = match known {
        Some(socket) => socket,
        None => Arc::new(UdpSocket::open(Family::of(path.remote), udp.port)?),
    };
    let local = SocketAddr::new(path.local, udp.port);
    let remote = SocketAddr::new(path.remote, udp.remote_port);
    let sender = UdpSender::open(socket.clone(), local, remote, segmentation, interface)?;
    Ok((Receiver::Udp(socket), Sender::Udp(Box::new(sender))))
}

fn segmentation(wanted: config::Segmentation) -> Segmentation {
    match wanted {
        config::Segmentation::Auto => Segmentation::Auto,
        config::Segmentation::On => Segmentation::On,
        config::Segmentation::Off => Segmentation::Off,
    }
}

/// What an operator should know of a namespace whose kernel takes GRE packets too.
fn kernel_gre_warning(netns: &Netns, owner: &str) -> String {
    let place = match netns {
        Netns::Current => "this network namespace".to_owned(),
        Netns::Named(name) => format!("network namespace {name}"),
        Netns::Path(path) => path.display().to_string(),
    };
    // The octet behind `@th` is the protocol of the packet that the message quotes: other messages still leave.
    format!(
        "{place}: the kernel handles GRE there too ({owner}): it answers our peers' packets with ICMP \"port unreachable\". \
         Remove its tunnels and unload it (`modprobe -r ip_gre ip6_gre`), or keep these messages from leaving \
         (`nft add rule inet filter output icmp code port-unreachable @th,136,8 47 drop`, for IPv6 \
         `nft add rule inet filter output icmpv6 code port-unreachable @th,112,8 47 drop`)"
    )
}

/// Waits for changes on a thread of its own, and reports each burst once, until the daemon stops listening.
fn watch(id: OuterId, mut monitor: Monitor, messages: &mpsc::Sender<Message>) {
    loop {
        let mut waiting = [PollFd::new(&monitor, PollFlags::IN)];
        if let Err(error) = poll(&mut waiting, None)
            && error != Errno::INTR
        {
            return tracing::error!(%error, "changes of routes are not seen any more");
        }
        std::thread::sleep(SETTLE);
        while let Ok(Some(_)) = monitor.next_change() {}
        if messages.blocking_send(Message::PathsChanged(id)).is_err() {
            return;
        }
    }
}
