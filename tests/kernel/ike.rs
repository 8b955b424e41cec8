//! IKE with a strongSwan in the guest, whose ESP is the kernel's: no UDP around it, transport mode, ESN, acquires.
//!
//! ```text
//! namespace near                               the guest
//! adit, tunnel t on tun-t                      charon, connection s2s with child net; the kernel's ESP and GRE
//! a.example, 10.77.1.1, or GRE with 10.9.0.1   b.example, 10.77.2.1, or GRE with 10.9.0.2 on g
//! wire 192.0.2.1, 2001:db8::1 ──────────────── eth0 192.0.2.2, 2001:db8::2
//! ```

mod acquire;
mod charon;
mod dead;
mod gre;
mod one_way;
mod raw;
mod rekey;
mod version1;

use serde_json::Value;

use crate::adit_end::Adit;
use crate::esp::{Errors, errors, errors_since};
use crate::link::Link;
use crate::peer::{Delivery, Options, PATIENCE, Peer};
use crate::traffic::{octets, transfers};
use charon::Charon;

/// Which end begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initiator {
    Adit,
    Charon,
}

impl Initiator {
    const BOTH: [Self; 2] = [Self::Adit, Self::Charon];

    /// adit's `start`.
    const fn start(self) -> &'static str {
        match self {
            Self::Adit => "auto",
            Self::Charon => "passive",
        }
    }
}

/// Both ends of a link, and what either had counted against it when they came up.
#[derive(Debug)]
struct Pair<'a> {
    adit: Adit,
    charon: Charon<'a>,
    peer: &'a Peer,
    errors: Errors,
    drops: Value,
}

impl<'a> Pair<'a> {
    /// Starts both, has `initiator` begin, and waits until the tunnel is up at both ends.
    fn start(peer: &'a Peer, link: &Link<'_>, initiator: Initiator) -> Self {
        let mut pair = Self::idle(peer, link, initiator.start());
        pair.begin(initiator);
        pair
    }

    /// Starts both with this value of adit's `start`.
    fn idle(peer: &'a Peer, link: &Link<'_>, start: &str) -> Self {
        if link.gre {
            let delivery = if link.outer[0].contains(':') {
                Delivery::V6
            } else {
                Delivery::V4
            };
            peer.tunnel(delivery, Options::default(), "");
            // It answers the keepalive that adit asks by whether data flows.
            peer.exec(
                "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.g.accept_local=1 net.ipv4.conf.g.rp_filter=0 net.ipv6.conf.all.forwarding=1",
            );
        }
        // What the interface says of itself to all is no packet for these selectors.
        peer.near.run(
            "nft",
            &["table inet quiet { chain out { type filter hook output priority 0; oifname tun-t ip6 daddr ff00::/8 drop; }; }"],
        );
        let charon = Charon::start(peer, link);
        Self {
            adit: link.start_adit(&peer.near, 1, start),
            charon,
            peer,
            errors: Errors::new(),
            drops: Value::Null,
        }
    }

    /// Has charon begin if it is to, and waits until the tunnel is up at both ends.
    fn begin(&mut self, initiator: Initiator) {
        if initiator == Initiator::Charon {
            let (installed, said) = self.charon.initiate();
            assert!(installed, "{said}\n{}", self.charon.log());
        }
        self.wait_up();
    }

    /// Waits until the tunnel is up at both ends; what was under way before may have found one end without the other.
    fn wait_up(&mut self) {
        self.adit.wait_state("t", "up", PATIENCE);
        self.charon.wait_established();
        self.errors = errors(self.peer);
        self.drops = self.drops();
    }

    fn drops(&self) -> Value {
        self.adit.tunnel("t")["drops"].clone()
    }

    /// adit's only child.
    fn child(&self) -> Value {
        self.adit.tunnel("t")["ike"]["children"][0].clone()
    }

    /// Echo requests to both inner addresses are answered, and neither kernel nor adit has anything to say against it.
    fn assert_carries(&self, gre: bool) {
        let [near, far] = inner(gre);
        self.peer.assert_pings(far, 10, &["-I", near]);
        self.peer
            .exec(&format!("ping -q {AT_ONCE} -I {far} {near}"));
        self.assert_no_complaint();
    }

    /// So are packets of the whole MTU, and of 8000 octets in fragments, and a mebibyte each way at a time is what was sent.
    fn assert_carries_much(&self, gre: bool) {
        self.assert_carries(gre);
        let [near, far] = inner(gre);
        let whole = self.adit.tunnel("t")["mtu"].as_u64().unwrap() - 28;
        for (octets, fragments) in [(whole, "do"), (8000, "dont")] {
            let octets = octets.to_string();
            let more = ["-I", near, "-s", &octets, "-M", fragments];
            self.peer.assert_pings(far, 5, &more);
            self.peer.exec(&format!(
                "ping -q {AT_ONCE} -s {octets} -M {fragments} -I {far} {near}"
            ));
        }
        transfers(self.peer, &[octets(1), octets(2)], near);
        self.assert_no_complaint();
    }

    fn assert_no_complaint(&self) {
        assert_eq!(errors_since(self.peer, &self.errors), []);
        assert_eq!(self.drops(), self.drops);
    }
}

/// The addresses of IPv4 inside, the near one first.
fn inner(gre: bool) -> [&'static str; 2] {
    if gre {
        ["10.9.0.1", "10.9.0.2"]
    } else {
        ["10.77.1.1", "10.77.2.1"]
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (_, guest) = self.peer.guest.attempt(
                "ip -s xfrm state; ip xfrm policy; ip route show table all; grep -v ' 0$' /proc/net/xfrm_stat || true",
            );
            eprintln!("--- IPsec in the guest\n{guest}");
            let near = self.peer.near.ip("-s addr show");
            eprintln!("--- interfaces of the near site\n{near}");
            eprintln!("--- the tunnel\n{:#}", self.adit.tunnel("t"));
        }
    }
}

/// For the guest's ping: as [`Peer::assert_pings`] does it.
const AT_ONCE: &str = "-c 5 -l 5 -i 2 -W 2";

/// The addresses of the outer header.
const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];
