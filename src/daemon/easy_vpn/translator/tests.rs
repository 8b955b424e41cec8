//! Packets through real tables: a host of a LAN, a router with the interface `easy`, and who is behind the server.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::*;
use crate::io::address::Prefix;
use crate::io::route::Route;
use crate::links;

const TUNNEL: TunnelId = TunnelId(0);
const PATIENCE: Duration = Duration::from_secs(10);

struct Namespace {
    fd: OwnedFd,
    netlink: Netlink,
}

impl Namespace {
    fn new() -> Self {
        let fd = netns::create_anonymous().unwrap();
        let netlink = netns::within(Some(fd.as_fd()), Netlink::open).unwrap();
        let netlink = netlink.unwrap();
        Self { fd, netlink }
    }

    fn within<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        netns::within(Some(self.fd.as_fd()), f).unwrap()
    }

    fn index(&mut self, link: &str) -> u32 {
        self.netlink.find_link(link).unwrap().unwrap().index
    }

    fn join(&mut self, link: &str, other: &mut Self) {
        let there = Some(other.fd.as_fd());
        self.netlink.create_veth(link, link, there).unwrap();
        for end in [self, other] {
            let index = end.index(link);
            end.netlink.set_up(index, true).unwrap();
        }
    }

    fn address(&mut self, link: &str, address: &str) {
        let index = self.index(link);
        self.netlink.add_address(index, prefix(address)).unwrap();
    }

    fn route(&mut self, link: &str, to: &str, gateway: Option<&str>) {
        let route = Route {
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            ..Route::through(prefix(to), self.index(link))
        };
        self.netlink.add_route(&route).unwrap();
    }

    /// A socket at this address.
    fn socket(&self, address: &str) -> UdpSocket {
        let socket = self.within(|| UdpSocket::bind(address)).unwrap();
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    fn tables(&self) -> Vec<String> {
        nft::tables(Some(self.fd.as_fd())).unwrap()
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

/// 10.9.0.2 in the LAN; 10.2.0.1 far, which knows the way to 10.1.0.0/16 alone; between them the router, without an assigned address.
struct Site {
    lan: Namespace,
    router: Namespace,
    far: Namespace,
    translator: Translator,
    lane: Receiver<LinkCommand>,
    messages: mpsc::Receiver<Message>,
}

impl Site {
    fn new() -> Self {
        let (mut lan, mut router) = (Namespace::new(), Namespace::new());
        let mut far = Namespace::new();
        router.join("lan", &mut lan);
        router.join("easy", &mut far);
        router.address("lan", "10.9.0.1/24");
        lan.address("lan", "10.9.0.2/24");
        lan.route("lan", "0.0.0.0/0", Some("10.9.0.1"));
        far.address("easy", "10.2.0.1/16");
        far.route("easy", "10.1.0.0/16", None);
        router.route("easy", "10.2.0.0/16", None);
        let forward = || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        router.within(forward).unwrap();
        let (links, lane) = links::queue();
        let (sender, messages) = mpsc::channel(16);
        Self {
            lan,
            router,
            far,
            translator: Translator::start(links, sender).unwrap(),
            lane,
            messages,
        }
    }

    /// What a start asks for that made the interface.
    fn prepare(&self) {
        let netns = Arc::new(self.router.fd.try_clone().unwrap());
        let job = Job::Prepare(TUNNEL, Some(netns.clone()), "easy".to_owned());
        self.translator.post(job);
        let job = Job::Sweep(Some(netns), vec!["easy".to_owned()]);
        self.translator.post(job);
    }

    /// Has the address translated to, and does on the interface what the lane would.
    fn apply(&mut self, address: &str) {
        let assignment = Assignment {
            address: Some(address.parse().unwrap()),
            ..Assignment::default()
        };
        self.translator
            .post(Job::Apply(TUNNEL, Box::new(assignment.clone())));
        assert_eq!(self.assigned(), assignment);
        let then = self.lane.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(then, LinkCommand::InPlace(TUNNEL)), "{then:?}");
        let index = self.router.index("easy");
        for before in self.router.netlink.addresses(index).unwrap() {
            if before.address.is_ipv4() {
                self.router.netlink.remove_address(index, before).unwrap();
            }
        }
        self.router.address("easy", &format!("{address}/32"));
        let route = Route::through(prefix("10.2.0.0/16"), index);
        self.router.netlink.replace_route(&route).unwrap();
    }

    /// What the lane is told next.
    fn assigned(&self) -> Assignment {
        let command = self.lane.recv_timeout(PATIENCE).unwrap();
        let LinkCommand::Assign(TUNNEL, assignment) = command else {
            panic!("{command:?}");
        };
        *assignment
    }
}

/// As whom `near` is heard at `far`, once somebody is, and with an answer that comes back.
fn heard(near: &UdpSocket, far: &UdpSocket, wanted: impl Fn(SocketAddr) -> bool) -> SocketAddr {
    let deadline = Instant::now() + PATIENCE;
    let mut octets = [0; 16];
    loop {
        // The first packets may be refused while a neighbour is looked for.
        let _ = near.send_to(b"question", "10.2.0.1:7000");
        if let Ok((_, from)) = far.recv_from(&mut octets)
            && wanted(from)
        {
            far.send_to(b"answer", from).unwrap();
            if near.recv(&mut octets).is_ok_and(|octets| octets == 6) {
                return from;
            }
        }
        assert!(Instant::now() < deadline, "heard at 10.2.0.1");
    }
}

#[test]
fn what_comes_from_elsewhere_gets_the_assigned_address_and_what_has_it_stays_as_it_is() {
    let mut site = Site::new();
    site.prepare();
    site.apply("10.1.2.3");
    assert_eq!(site.router.tables(), ["adit-easy-vpn-easy"]);
    let far = site.far.socket("10.2.0.1:7000");
    let host = site.lan.socket("10.9.0.2:6000");
    let from = heard(&host, &far, |_| true);
    assert_eq!(from.ip(), IpAddr::from([10, 1, 2, 3]));
    let own = site.router.socket("10.1.2.3:6001");
    let from = heard(&own, &far, |from| from.port() == 6001);
    assert_eq!(from, "10.1.2.3:6001".parse().unwrap());
    assert!(site.messages.try_recv().is_err());
}

#[test]
fn a_flow_goes_on_from_the_address_that_takes_the_place_of_the_one_before() {
    let mut site = Site::new();
    site.prepare();
    site.apply("10.1.2.3");
    let far = site.far.socket("10.2.0.1:7000");
    let host = site.lan.socket("10.9.0.2:6000");
    heard(&host, &far, |from| from.ip() == IpAddr::from([10, 1, 2, 3]));
    site.apply("10.1.7.7");
    heard(&host, &far, |from| from.ip() == IpAddr::from([10, 1, 7, 7]));
}

#[test]
fn a_table_goes_with_the_assignment_and_those_of_a_crash_at_the_next_start() {
    let mut site = Site::new();
    let left = "table ip adit-easy-vpn-easy\ntable ip adit-easy-vpn-gone\ntable ip adit-easy-vpn-lan\ntable ip other\n";
    nft::load(Some(site.router.fd.as_fd()), left).unwrap();
    site.prepare();
    site.apply("10.1.2.3");
    let with = ["adit-easy-vpn-lan", "other", "adit-easy-vpn-easy"];
    assert_eq!(site.router.tables(), with);
    let (done, withdrawn) = oneshot::channel();
    let job = Job::Withdraw(TUNNEL, Box::default(), done);
    site.translator.post(job);
    withdrawn.blocking_recv().unwrap();
    assert_eq!(site.assigned(), Assignment::default());
    assert_eq!(site.router.tables(), ["adit-easy-vpn-lan", "other"]);
}

#[test]
fn a_start_removes_what_a_crash_left_of_its_interfaces_and_of_those_that_are_gone() {
    let site = Site::new();
    let left = "table ip adit-easy-vpn-easy\ntable ip adit-easy-vpn-gone\ntable ip adit-easy-vpn-lan\ntable ip other\n";
    nft::load(Some(site.router.fd.as_fd()), left).unwrap();
    let netns = Arc::new(site.router.fd.try_clone().unwrap());
    let job = Job::Sweep(Some(netns), vec!["easy".to_owned()]);
    site.translator.post(job);
    // What is asked for next comes after it.
    let (done, withdrawn) = oneshot::channel();
    site.translator
        .post(Job::Withdraw(TUNNEL, Box::default(), done));
    withdrawn.blocking_recv().unwrap();
    assert_eq!(site.router.tables(), ["adit-easy-vpn-lan", "other"]);
}

#[test]
fn what_nft_refuses_is_told_and_the_rest_is_done() {
    let mut site = Site::new();
    let netns = site.router.fd.try_clone().unwrap();
    let name = "not a name".to_owned();
    let job = Job::Prepare(TUNNEL, Some(Arc::new(netns)), name);
    site.translator.post(job);
    site.apply("10.1.2.3");
    let Some(Message::EasyVpn(TUNNEL, why)) = site.messages.blocking_recv() else {
        panic!("nothing was told");
    };
    let begins = "nothing is translated to the assigned address: nft: ";
    assert!(why.starts_with(begins), "{why}");
}
