//! A router between two sites, which may translate the addresses of the inner one.
//!
//! ```text
//!    a  wire ---------- west  router  east ---------- wire  b
//!       192.0.2.1       .254          .254   198.51.100.2
//! ```

use crate::common::Namespace;

pub(crate) const INSIDE: &str = "192.0.2.1";
pub(crate) const ROUTER: &str = "198.51.100.254";
pub(crate) const OUTSIDE: &str = "198.51.100.2";

#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) a: Namespace,
    pub(crate) router: Namespace,
    pub(crate) b: Namespace,
}

impl Routed {
    /// `b` has no way to `a` but through the router's translation.
    pub(crate) fn behind_a_nat(ports: &str) -> Self {
        let routed = Self {
            a: Namespace::new(),
            router: Namespace::new(),
            b: Namespace::new(),
        };
        let router = &routed.router;
        router.sysctl("net.ipv4.ip_forward", "1");
        for (site, link, net, number) in [
            (&routed.a, "west", "192.0.2", 1),
            (&routed.b, "east", "198.51.100", 2),
        ] {
            router.ip(&format!(
                "link add {link} type veth peer name wire netns {}",
                site.name
            ));
            for (place, end, number) in [(router, link, 254), (site, "wire", number)] {
                place.ip(&format!("link set {end} up"));
                place.ip(&format!("addr add {net}.{number}/24 dev {end}"));
            }
        }
        routed.a.ip("route add default via 192.0.2.254");
        routed.masquerade(ports);
        routed
    }

    /// From here on all flows, also those that were there, leave from these ports of the router.
    pub(crate) fn masquerade(&self, ports: &str) {
        self.router
            .output("nft", &["delete", "table", "ip", "translation"]);
        for command in [
            "add table ip translation",
            "add chain ip translation post { type nat hook postrouting priority 100; }",
            &format!(
                "add rule ip translation post oifname east ip protocol udp masquerade to :{ports}"
            ),
        ] {
            self.router.run("nft", &[command]);
        }
        self.router.run("conntrack", &["-F"]);
    }
}
