//! The lane with a real interface in a network namespace, and no daemon.

mod beside;
mod crash;

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use adit_proto::liveness::Evidence;

use super::namespaces::Learns;
use super::*;
use crate::config::Pin;
use crate::dataplane::ike_queue;
use crate::io::address::Prefix;
use crate::io::netlink::Netlink;
use crate::io::netns;
use crate::io::route::{ROUTE_PROTOCOL, Route, RouteFilter, RouteKind};

const TUNNEL: TunnelId = TunnelId(0);
const PATIENCE: Duration = Duration::from_secs(10);

/// A lane, and a namespace with its tunnel's interface `easy` and `wire`: 192.0.2.1/24, from which a default route leads to 192.0.2.254.
struct Site {
    lane: LinkSender,
    notices: mpsc::Receiver<LinkNotice>,
    netns: Arc<OwnedFd>,
    netlink: Netlink,
    wire: u32,
}

impl Site {
    fn new(on_dead: OnDead) -> Self {
        let netns = Arc::new(netns::create_anonymous().unwrap());
        let (wire, mut netlink) = netns::within(Some(netns.as_fd()), || {
            let wire = TunDevice::create("wire", OffloadSwitches::default()).unwrap();
            (wire, Netlink::open().unwrap())
        })
        .unwrap();
        let index = wire.index();
        netlink.set_up(index, true).unwrap();
        netlink.add_address(index, prefix("192.0.2.1/24")).unwrap();
        // The namespace has it as long as the lane's threads run.
        std::mem::forget(wire);
        let (lane, notices) = start(&[]);
        let mut site = Self {
            lane,
            notices,
            netns,
            netlink,
            wire: index,
        };
        let default = site.default_route();
        site.netlink.add_route(&default).unwrap();
        site.create(on_dead);
        site
    }

    fn default_route(&self) -> Route {
        Route {
            gateway: Some([192, 0, 2, 254].into()),
            protocol: 4,
            ..Route::through(prefix("0.0.0.0/0"), self.wire)
        }
    }

    fn create(&mut self, on_dead: OnDead) {
        let plan = Plan {
            interface: "easy".to_owned(),
            netns: Some(self.netns.clone()),
            addresses: Vec::new(),
            routes: vec![prefix("10.99.0.0/16")],
            guard: true,
            on_dead,
            wakes: false,
            offload: OffloadSwitches::default(),
            mtu: 1400,
        };
        let (reply, created) = oneshot::channel();
        self.send(LinkCommand::Create(TUNNEL, Box::new(plan), reply));
        created.blocking_recv().unwrap().unwrap();
    }

    fn destroy(&self, fate: GuardFate) {
        let (done, destroyed) = oneshot::channel();
        self.send(LinkCommand::Destroy(TUNNEL, fate, done));
        destroyed.blocking_recv().unwrap();
    }

    /// Ends the lane as a crash would and starts another one, of a tunnel that learns this; gives what that takes over.
    fn crash(&mut self, learns: Learns) -> Option<Assignment> {
        self.destroy(GuardFate::Stay);
        rustix::fs::flock(&*self.netns, rustix::fs::FlockOperation::Unlock).unwrap();
        let netns = std::os::fd::AsRawFd::as_raw_fd(&*self.netns);
        let guarded = Guarded {
            tunnel: TUNNEL,
            name: "t".to_owned(),
            netns: netns::Netns::Path(format!("/proc/self/fd/{netns}").into()),
            networks: prefixes(&["10.99.0.0/16"]),
            learns,
        };
        (self.lane, self.notices) = start(&[guarded]);
        self.send(LinkCommand::Sweep);
        self.pause();
        match self.notices.try_recv() {
            Ok(LinkNotice::TookOver(TUNNEL, left)) => Some(*left),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    fn send(&self, command: LinkCommand) {
        self.lane.send(command).unwrap();
    }

    /// Waits until all commands before are carried out.
    fn pause(&self) {
        // The second half of a verdict comes after all commands that the lane found with it.
        for _ in 0..2 {
            let (reply, told) = oneshot::channel();
            self.send(LinkCommand::Dropped(TUNNEL, reply));
            told.blocking_recv().unwrap();
        }
    }

    /// The same, and gives what failed.
    fn settled(&mut self) -> Vec<String> {
        self.pause();
        let mut failed = Vec::new();
        while let Ok(notice) = self.notices.try_recv() {
            if let LinkNotice::Failed(_, why) = notice {
                failed.push(why);
            }
        }
        failed
    }

    fn verdict(&mut self, alive: bool) {
        self.post_verdict(alive);
        assert_eq!(self.settled(), [""; 0]);
    }

    fn post_verdict(&self, alive: bool) {
        let evidence = Evidence::default();
        let event = if alive {
            Event::Up {
                path: None,
                evidence,
            }
        } else {
            Event::Down {
                from: adit_proto::liveness::State::Up,
                reason: DownReason::DpdTimeout,
                path: None,
                evidence,
            }
        };
        let at = Instant::now();
        self.send(LinkCommand::Verdict(TUNNEL, alive, Notice { event, at }));
        self.pause();
    }

    fn assign(&mut self, assignment: &Assignment) -> Vec<String> {
        self.send(LinkCommand::Assign(TUNNEL, Box::new(assignment.clone())));
        self.settled()
    }

    fn easy(&mut self) -> Option<u32> {
        let easy = self.netlink.find_link("easy").unwrap();
        easy.map(|link| link.index)
    }

    /// IPv4 addresses of the interface.
    fn addresses(&mut self) -> Vec<String> {
        let easy = self.easy().unwrap();
        let addresses = self.netlink.addresses(easy).unwrap();
        let addresses = addresses.iter().filter(|it| it.address.is_ipv4());
        addresses.map(ToString::to_string).collect()
    }

    /// Our IPv4 routes: each network with what becomes of it.
    fn routes(&mut self) -> Vec<String> {
        let easy = self.easy();
        let filter = RouteFilter {
            protocol: Some(ROUTE_PROTOCOL),
            family: Some(crate::io::raw::Family::V4),
            ..RouteFilter::default()
        };
        let name = |route: &Route| match (route.kind, route.interface) {
            (RouteKind::Unreachable, _) => "guard".to_owned(),
            (RouteKind::Unicast, index) if index == easy => "easy".to_owned(),
            (RouteKind::Unicast, _) => route
                .gateway
                .map_or("wire".to_owned(), |gateway| gateway.to_string()),
        };
        let routes = self.netlink.routes(filter).unwrap();
        let routes = routes
            .iter()
            .map(|route| format!("{} {}", route.destination, name(route)));
        let mut routes: Vec<_> = routes.collect();
        routes.sort();
        routes
    }

    /// The interface by which packets to `address` leave; none when they are refused.
    fn way(&mut self, address: &str) -> Option<&'static str> {
        let route = self.netlink.route_to(address.parse().unwrap(), None);
        let way = route.ok()?.interface;
        Some(if way == self.wire { "wire" } else { "easy" })
    }
}

fn start(guarded: &[Guarded]) -> (LinkSender, mpsc::Receiver<LinkNotice>) {
    let (lane, commands) = queue();
    let (worker_notices, _) = mpsc::channel(16);
    let (to_ike, _) = ike_queue().unwrap();
    let plane = Plane::start(
        1,
        &Pin::Off,
        Duration::ZERO,
        &lane,
        &worker_notices,
        &to_ike,
    )
    .unwrap();
    let (sender, notices) = mpsc::channel(1024);
    let namespaces = Namespaces::guard(guarded).unwrap();
    spawn(commands, namespaces, plane, sender).unwrap();
    (lane, notices)
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| prefix(text)).collect()
}

/// An assignment with these routes, guarded.
fn assignment(address: [u8; 4], routes: &[&str]) -> Assignment {
    Assignment {
        address: Some(address.into()),
        routes: prefixes(routes),
        guards: prefixes(routes),
        ..Assignment::default()
    }
}

fn withdrawing() -> OnDead {
    OnDead {
        carrier: true,
        withdraw_routes: true,
        ..OnDead::default()
    }
}

#[test]
fn an_assigned_network_is_routed_while_the_tunnel_is_up_and_guarded_all_the_time() {
    let mut site = Site::new(withdrawing());
    let ours = assignment([10, 1, 2, 3], &["10.2.0.0/16"]);
    assert_eq!(site.assign(&ours), [""; 0]);
    assert_eq!(site.addresses(), ["10.1.2.3/32"]);
    let down = ["10.2.0.0/16 guard", "10.99.0.0/16 guard"];
    assert_eq!(site.routes(), down);
    assert_eq!(site.way("10.2.0.1"), None);
    site.verdict(true);
    let up = [
        "10.2.0.0/16 easy",
        "10.2.0.0/16 guard",
        "10.99.0.0/16 easy",
        "10.99.0.0/16 guard",
    ];
    assert_eq!(site.routes(), up);
    assert_eq!(site.way("10.2.0.1"), Some("easy"));
    site.verdict(false);
    assert_eq!(site.routes(), down);
    assert_eq!(site.addresses(), ["10.1.2.3/32"]);
}

#[test]
fn a_tunnel_is_up_when_what_its_peer_assigns_is_in_place_and_down_at_once() {
    let mut site = Site::new(withdrawing());
    let is_told = |site: &mut Site| {
        let mut told = Vec::new();
        while let Ok(notice) = site.notices.try_recv() {
            if let LinkNotice::Carried { notice, .. } = notice {
                told.push(matches!(notice.event, Event::Up { .. }));
            }
        }
        told
    };
    site.send(LinkCommand::Await(TUNNEL));
    site.post_verdict(true);
    assert_eq!(is_told(&mut site), [true; 0]);
    assert_eq!(site.routes(), ["10.99.0.0/16 guard"]);
    site.post_verdict(false);
    assert_eq!(is_told(&mut site), [false]);
    site.post_verdict(true);
    assert_eq!(is_told(&mut site), [true; 0]);
    let ours = assignment([10, 1, 2, 3], &[]);
    site.send(LinkCommand::Assign(TUNNEL, Box::new(ours)));
    site.send(LinkCommand::InPlace(TUNNEL));
    site.pause();
    assert_eq!(is_told(&mut site), [true]);
    assert_eq!(site.addresses(), ["10.1.2.3/32"]);
    assert_eq!(site.routes(), ["10.99.0.0/16 easy", "10.99.0.0/16 guard"]);
    site.post_verdict(false);
    site.post_verdict(true);
    assert_eq!(is_told(&mut site), [false, true]);
}

#[test]
fn a_new_assignment_takes_the_place_of_the_one_before() {
    let mut site = Site::new(withdrawing());
    site.verdict(true);
    site.assign(&assignment([10, 1, 2, 3], &["10.2.0.0/16", "10.3.0.0/16"]));
    assert_eq!(site.way("10.2.0.1"), Some("easy"));
    site.assign(&assignment([10, 1, 2, 4], &["10.3.0.0/16", "10.4.0.0/16"]));
    assert_eq!(site.addresses(), ["10.1.2.4/32"]);
    let expected = [
        "10.3.0.0/16 easy",
        "10.3.0.0/16 guard",
        "10.4.0.0/16 easy",
        "10.4.0.0/16 guard",
        "10.99.0.0/16 easy",
        "10.99.0.0/16 guard",
    ];
    assert_eq!(site.routes(), expected);
    let source = site.netlink.route_to([10, 3, 0, 1].into(), None).unwrap();
    assert_eq!(source.source, IpAddr::from([10, 1, 2, 4]));
    assert_eq!(site.assign(&Assignment::default()), [""; 0]);
    assert_eq!(site.addresses(), [""; 0]);
    assert_eq!(
        site.routes(),
        ["10.99.0.0/16 easy", "10.99.0.0/16 guard"],
        "what is configured stays"
    );
}

#[test]
fn what_the_kernel_refuses_of_an_assignment_keeps_nothing_else_from_being_done() {
    let mut site = Site::new(withdrawing());
    site.verdict(true);
    // No network: the kernel neither makes nor removes such a route.
    let bad = Prefix::new([10, 7, 0, 1].into(), 16);
    let mut first = assignment([10, 1, 2, 3], &["10.2.0.0/16"]);
    first.routes.insert(0, bad);
    assert_eq!(site.assign(&first).len(), 1);
    assert_eq!(site.way("10.2.0.1"), Some("easy"));
    let mut second = assignment([10, 1, 2, 4], &["10.3.0.0/16"]);
    second.beside = vec![bad];
    assert_eq!(site.assign(&second).len(), 1);
    assert_eq!(site.addresses(), ["10.1.2.4/32"]);
    let expected = [
        "10.3.0.0/16 easy",
        "10.3.0.0/16 guard",
        "10.99.0.0/16 easy",
        "10.99.0.0/16 guard",
    ];
    assert_eq!(site.routes(), expected);
}

#[test]
fn an_interface_that_is_deleted_with_the_peer_has_it_all_again_when_it_is_made_again() {
    let mut site = Site::new(OnDead {
        delete: true,
        ..OnDead::default()
    });
    site.verdict(true);
    site.assign(&assignment([10, 1, 2, 3], &["10.2.0.0/16"]));
    site.verdict(false);
    let deadline = Instant::now() + PATIENCE;
    // The worker lets go of the device, which is what deletes it.
    while site.easy().is_some() {
        assert!(Instant::now() < deadline, "the interface is deleted");
        std::thread::yield_now();
    }
    assert_eq!(site.way("10.2.0.1"), None);
    site.verdict(true);
    assert_eq!(site.addresses(), ["10.1.2.3/32"]);
    assert_eq!(site.way("10.2.0.1"), Some("easy"));
}

#[test]
fn an_interface_is_made_again_for_a_peer_that_comes_back_before_it_is_gone() {
    let mut site = Site::new(OnDead {
        delete: true,
        ..OnDead::default()
    });
    site.verdict(true);
    for _ in 0..5 {
        let before = site.easy();
        site.verdict(false);
        site.verdict(true);
        assert_ne!(site.easy(), None);
        assert_ne!(site.easy(), before);
    }
}
