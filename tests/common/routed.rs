//! A router on the way.

use std::net::IpAddr;

use super::{Delivery, Namespace};

/// Two sites with a router between them.
///
/// ```text
///    a  wire ---------- west  router  east ---------- wire  b
///       192.0.2.1       .254          .254  198.51.100.2
///       2001:db8:1::1   ::fe          ::fe 2001:db8:2::2
/// ```
#[derive(Debug)]
pub(crate) struct Routed {
    /// The near site.
    pub(crate) a: Namespace,
    /// Between them.
    pub(crate) router: Namespace,
    /// The far site.
    pub(crate) b: Namespace,
}

impl Routed {
    /// Makes them.
    pub(crate) fn new() -> Self {
        let routed = Self {
            a: Namespace::new(),
            router: Namespace::new(),
            b: Namespace::new(),
        };
        let router = &routed.router;
        for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            router.sysctl(key, "1");
        }
        for (site, link, net4, net6, number) in [
            (&routed.a, "west", "192.0.2", "2001:db8:1", 1),
            (&routed.b, "east", "198.51.100", "2001:db8:2", 2),
        ] {
            router.ip(&format!(
                "link add {link} type veth peer name wire netns {}",
                site.name
            ));
            for (place, end, v4, v6) in [
                (router, link, 254, "fe"),
                (site, "wire", number, &*number.to_string()),
            ] {
                place.ip(&format!("link set {end} up"));
                place.ip(&format!("addr add {net4}.{v4}/24 dev {end}"));
                place.ip(&format!("addr add {net6}::{v6}/64 dev {end} nodad"));
            }
            site.ip(&format!("route add default via {net4}.254"));
            site.ip(&format!("-6 route add default via {net6}::fe"));
        }
        routed
    }

    /// The outer address of an end, 1 or 2, with that much added to its last octet.
    pub(crate) fn address(delivery: Delivery, end: u8, more: u8) -> IpAddr {
        let number = end + more;
        let text = match (delivery, end) {
            (Delivery::V4, 1) => format!("192.0.2.{number}"),
            (Delivery::V4, _) => format!("198.51.100.{number}"),
            (Delivery::V6, 1) => format!("2001:db8:1::{number}"),
            (Delivery::V6, _) => format!("2001:db8:2::{number}"),
        };
        text.parse().unwrap()
    }

    /// The outer addresses of both ends.
    pub(crate) fn ends(delivery: Delivery, more: u8) -> [IpAddr; 2] {
        [1, 2].map(|end| Self::address(delivery, end, more))
    }
}
