//! The namespaces where sockets live: the way to each peer there, and word of its changes.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use adit_proto::liveness::Path;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::Message;
use crate::dataplane::SocketOffer;
use crate::io::monitor::{Groups, Monitor};
use crate::io::netlink::Netlink;
use crate::io::netns::{self, Netns, NetnsId};
use crate::io::raw::{Family, RawSocket, SendSocket};
use crate::io::route::RouteTo;

/// Changes come in bursts: the paths are looked at again once a burst is over.
const SETTLE: Duration = Duration::from_millis(20);

/// A namespace of sockets; none is the daemon's own.
pub(super) type OuterId = Option<NetnsId>;

/// Which namespace a descriptor is of; none is the daemon's own, also where the configuration names it.
pub(super) fn identity(netns: Option<&Arc<OwnedFd>>) -> io::Result<OuterId> {
    let Some(netns) = netns else { return Ok(None) };
    let (named, own) = (NetnsId::of(netns)?, NetnsId::of(Netns::Current.open()?)?);
    Ok((named != own).then_some(named))
}

/// One namespace of sockets.
pub(super) struct Outer {
    pub(super) netns: Option<Arc<OwnedFd>>,
    netlink: Netlink,
}

/// All of them.
pub(super) struct Outers {
    outers: BTreeMap<OuterId, Outer>,
    messages: mpsc::Sender<Message>,
}

impl Outers {
    pub(super) fn new(messages: mpsc::Sender<Message>) -> Self {
        Self {
            outers: BTreeMap::new(),
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

    /// The route to `remote`: the address that it is reached from and the path's MTU.
    pub(super) fn route(
        &mut self,
        id: OuterId,
        local: Option<IpAddr>,
        remote: IpAddr,
    ) -> io::Result<RouteTo> {
        self.outers
            .get_mut(&id)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?
            .netlink
            .route_to(remote, local)
            .map_err(io::Error::other)
    }

    /// Whether a route leaves by the interface of that name.
    pub(super) fn leaves_by(&mut self, id: OuterId, route: &RouteTo, interface: &str) -> bool {
        let outer = self.outers.get_mut(&id);
        let link = outer.and_then(|outer| outer.netlink.link(route.interface).ok()?);
        link.is_some_and(|link| link.name == interface)
    }

    /// Sockets there for a path.
    pub(super) fn sockets(&self, id: OuterId, path: Path) -> io::Result<SocketOffer> {
        let netns = self.netns(id);
        let family = Family::of(path.remote);
        netns::within(netns.as_ref().map(AsFd::as_fd), || {
            Ok(SocketOffer {
                netns: id,
                family,
                raw: RawSocket::open(family)?,
                sender: SendSocket::open(path.local, path.remote)?,
            })
        })?
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
