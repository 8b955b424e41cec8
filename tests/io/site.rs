//! Namespaces joined by virtual Ethernet, which vanish with the test.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use adit::io::address::Prefix;
use adit::io::netlink::Netlink;
use adit::io::netns;
use rustix::event::{PollFd, PollFlags, poll};

/// How long a test waits for what the kernel does at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A namespace and its netlink socket.
pub(crate) struct Site {
    pub(crate) fd: OwnedFd,
    pub(crate) netlink: Netlink,
}

impl Site {
    pub(crate) fn new() -> Self {
        let fd = netns::create_anonymous().unwrap();
        let netlink = netns::within(Some(fd.as_fd()), Netlink::open)
            .unwrap()
            .unwrap();
        let mut site = Self { fd, netlink };
        // Neighbours are asked from a link-local address, and no longer than the search for its duplicates may take.
        let searches = "/proc/sys/net/ipv6/conf/default/accept_dad";
        site.run(|| fs::write(searches, "0")).unwrap();
        let loopback = site.index("lo");
        site.netlink.set_up(loopback, true).unwrap();
        site
    }

    /// Runs `f` inside.
    pub(crate) fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        netns::within(Some(self.fd.as_fd()), f).unwrap()
    }

    pub(crate) fn index(&mut self, name: &str) -> u32 {
        self.netlink.find_link(name).unwrap().unwrap().index
    }

    /// Waits until an interface whose peer has just come up carries packets and its addresses receive them.
    ///
    /// The kernel does both in the background. To ask for the interface makes it act on the carrier; until then it swallows what is
    /// sent. The local routes of IPv6 addresses it announces to nobody.
    pub(crate) fn settle(&mut self, name: &str) {
        let index = self.index(name);
        let link = self.netlink.refresh_carrier(index).unwrap().unwrap();
        assert!(link.running, "{link:?}");
        let deadline = Instant::now() + PATIENCE;
        for address in self.netlink.addresses(index).unwrap() {
            let local = |site: &mut Self| {
                let way = site.netlink.route_to(address.address, None);
                way.is_ok_and(|way| way.local)
            };
            // Link-local addresses, which are looked up per interface, are not what the tests ask for.
            while !is_link_local(address.address) && !local(self) {
                assert!(Instant::now() < deadline, "{address} is not local");
                std::thread::yield_now();
            }
        }
    }

    /// Gives an interface its addresses and sets it up.
    pub(crate) fn configure(&mut self, name: &str, addresses: &[&str]) -> u32 {
        let index = self.index(name);
        for address in addresses {
            self.netlink.add_address(index, prefix(address)).unwrap();
        }
        self.netlink.set_up(index, true).unwrap();
        index
    }
}

/// Joins two sites by a pair of virtual Ethernet interfaces of these names.
pub(crate) fn join(one: &mut Site, name: &str, two: &Site, peer: &str) {
    one.netlink
        .create_veth(name, peer, Some(two.fd.as_fd()))
        .unwrap();
}

/// Two sites on one link: 192.0.2.1 and fd00::1, 192.0.2.2 and fd00::2.
pub(crate) fn pair() -> (Site, Site) {
    let (mut one, mut two) = (Site::new(), Site::new());
    join(&mut one, "wire", &two, "wire");
    one.configure("wire", &["192.0.2.1/24", "fd00::1/64"]);
    two.configure("wire", &["192.0.2.2/24", "fd00::2/64"]);
    one.settle("wire");
    two.settle("wire");
    (one, two)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// "10.0.0.0/8" as a prefix.
pub(crate) fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(ip(address), length.parse().unwrap())
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many of `fds` are ready within `patience`.
pub(crate) fn ready(fds: &[BorrowedFd<'_>], patience: Duration) -> usize {
    let mut waiting: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect();
    poll(&mut waiting, Some(&patience.try_into().unwrap())).unwrap()
}

/// Calls `attempt` whenever `fd` is ready, until it yields something.
pub(crate) fn wait_for<T>(fd: BorrowedFd<'_>, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing came within {PATIENCE:?}");
        ready(&[fd], left);
    }
}
