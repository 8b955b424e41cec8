//! The two sites: a network namespace each, the wire between them, and the endpoint that runs in each.
//!
//! What is made here is taken away when it is dropped, whichever way the demo ends: endpoints first, then namespaces (with them their
//! interfaces), then the folder.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::endpoint::Endpoint;
use super::error::DemoError;
use super::plan::WIRE;
use crate::io::address::Prefix;
use crate::io::netlink::{Netlink, NetlinkError};
use crate::io::netns;
use crate::sites::{Folder, Side};

/// An Ethernet address that neither end of the wire has.
const NOBODY: [u8; 6] = [0x02, 0, 0, 0, 0xde, 0xad];

/// Both sites and what they share.
#[derive(Debug)]
pub(super) struct Sites {
    west: Site,
    east: Site,
    folder: Folder,
}

/// One site.
pub(super) struct Site {
    endpoint: Option<Endpoint>,
    netlink: Netlink,
    wire: u32,
    namespace: Namespace,
}

impl Sites {
    /// Makes the namespaces, `named` so that `ip netns` knows them or else without a name, and joins them by a wire.
    pub(super) fn make(named: bool) -> Result<Self, DemoError> {
        let folder = Folder::make("adit-demo").map_err(DemoError::of("a folder"))?;
        let mut west = Namespace::make(Side::West, named)?;
        let east = Namespace::make(Side::East, west.name.is_some())?;
        if east.name.is_none() {
            west.forget_name();
        }
        let mut near = west.netlink()?;
        near.create_veth(WIRE, WIRE, Some(east.fd.as_fd()))?;
        Ok(Self {
            west: Site::furnish(Side::West, west)?,
            east: Site::furnish(Side::East, east)?,
            folder,
        })
    }

    /// Starts an endpoint in each site, each on its own CPU if `cpus` says so.
    pub(super) fn start(
        &mut self,
        cpus: Option<[usize; 2]>,
        die_with_us: bool,
    ) -> Result<(), DemoError> {
        for (index, side) in Side::BOTH.into_iter().enumerate() {
            let cpu = cpus.and_then(|cpus| cpus.get(index).copied());
            let namespace = self
                .site(side)
                .namespace
                .fd
                .try_clone()
                .map_err(DemoError::of("namespace"))?;
            let endpoint = Endpoint::start(side, self.folder.path(), namespace, cpu, die_with_us)?;
            self.site_mut(side).endpoint = Some(endpoint);
        }
        Ok(())
    }

    /// Fails when an endpoint has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), DemoError> {
        for side in Side::BOTH {
            if let Some(endpoint) = &mut self.site_mut(side).endpoint {
                endpoint.check()?;
            }
        }
        Ok(())
    }

    /// Makes the wire a black hole: both ends keep their carrier and send to an Ethernet address that nobody has.
    pub(super) fn cut(&mut self) -> Result<(), NetlinkError> {
        Side::BOTH.into_iter().try_for_each(|side| {
            let site = self.site_mut(side);
            site.netlink
                .set_neighbour(site.wire, side.other().outer(), NOBODY)
        })
    }

    /// Makes it a wire again.
    pub(super) fn mend(&mut self) -> Result<(), NetlinkError> {
        Side::BOTH.into_iter().try_for_each(|side| {
            let site = self.site_mut(side);
            site.netlink
                .forget_neighbour(site.wire, side.other().outer())
        })
    }

    /// Stops the endpoints and says in a sentence each what they left undone.
    pub(super) fn stop(&mut self) -> Result<Vec<String>, DemoError> {
        let mut complaints = Vec::new();
        for side in Side::BOTH {
            let site = self.site_mut(side);
            if let Some(mut endpoint) = site.endpoint.take() {
                complaints.extend(endpoint.stop()?);
            }
            if site.netlink.find_link(side.tunnel())?.is_some() {
                let (name, tunnel) = (side.name(), side.tunnel());
                complaints.push(format!(
                    "{name}: the endpoint left interface {tunnel} behind"
                ));
            }
        }
        Ok(complaints)
    }

    /// Leaves everything as it is when the demo ends.
    pub(super) fn keep(&mut self) {
        self.folder.keep();
        for side in Side::BOTH {
            let site = self.site_mut(side);
            site.namespace.kept = true;
            if let Some(endpoint) = &mut site.endpoint {
                endpoint.keep();
            }
        }
    }

    /// Where configurations, sockets and logs are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of the sites.
    pub(super) fn site(&self, side: Side) -> &Site {
        match side {
            Side::West => &self.west,
            Side::East => &self.east,
        }
    }

    fn site_mut(&mut self, side: Side) -> &mut Site {
        match side {
            Side::West => &mut self.west,
            Side::East => &mut self.east,
        }
    }
}

impl Site {
    /// Sets up the loopback with the site's hosts, and the site's end of the wire.
    fn furnish(side: Side, namespace: Namespace) -> Result<Self, DemoError> {
        let mut netlink = namespace.netlink()?;
        let loopback = index_of(&mut netlink, "lo")?;
        netlink.set_up(loopback, true)?;
        for host in side.hosts() {
            netlink.add_address(loopback, Prefix::host(host))?;
        }
        let wire = index_of(&mut netlink, WIRE)?;
        netlink.add_address(wire, side.outer_prefix())?;
        netlink.set_up(wire, true)?;
        Ok(Self {
            endpoint: None,
            netlink,
            wire,
            namespace,
        })
    }

    /// Its network namespace.
    pub(super) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.fd.as_fd()
    }

    /// The name of that, where it has one.
    pub(super) fn namespace_name(&self) -> Option<&str> {
        self.namespace.name.as_deref()
    }

    /// The endpoint that runs there.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site")
            .field("endpoint", &self.endpoint)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn index_of(netlink: &mut Netlink, name: &str) -> Result<u32, DemoError> {
    let link = netlink.find_link(name)?;
    link.map(|link| link.index)
        .ok_or_else(|| DemoError::System(format!("a fresh namespace has no interface {name}")))
}

/// A network namespace, and its name if it has one.
#[derive(Debug)]
struct Namespace {
    fd: OwnedFd,
    name: Option<String>,
    kept: bool,
}

impl Namespace {
    /// Makes one; without a name where the system allows none, as in a user namespace.
    fn make(side: Side, named: bool) -> Result<Self, DemoError> {
        if named {
            let name = format!("adit-demo-{}", side.name());
            match netns::create_named(&name) {
                Ok(fd) => {
                    return Ok(Self {
                        fd,
                        name: Some(name),
                        kept: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(DemoError::Taken(name));
                }
                Err(error) => tracing::debug!(%error, "no named namespace"),
            }
        }
        let fd = netns::create_anonymous().map_err(DemoError::of("network namespace"))?;
        Ok(Self {
            fd,
            name: None,
            kept: false,
        })
    }

    fn netlink(&self) -> Result<Netlink, DemoError> {
        let opened = netns::within(Some(self.fd.as_fd()), Netlink::open);
        Ok(opened.map_err(DemoError::of("netlink"))??)
    }

    fn forget_name(&mut self) {
        if let Some(name) = self.name.take()
            && let Err(error) = netns::delete_named(&name)
        {
            tracing::warn!(%error, "a namespace's name is left over");
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.kept {
            self.forget_name();
        }
    }
}
