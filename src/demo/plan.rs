//! The two sites: their addresses, and the configuration that each gives to its endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::io::address::Prefix;
use crate::sites::Side;

/// Name of each end of the wire.
pub(super) const WIRE: &str = "wire";
/// Time from one keepalive request to the next.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Unanswered requests that declare the peer dead.
pub(super) const RETRIES: u32 = 3;
/// The tunnel's GRE key.
pub(super) const KEY: u32 = 42;

impl Side {
    /// The name of its tunnel and of the tunnel's interface.
    pub(super) const fn tunnel(self) -> &'static str {
        match self {
            Self::West => "to-east",
            Self::East => "to-west",
        }
    }

    /// Its address on the wire (RFC 5737).
    pub(super) const fn outer(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, self.number()))
    }

    /// The same with the wire's network.
    pub(super) const fn outer_prefix(self) -> Prefix {
        Prefix {
            address: self.outer(),
            length: 30,
        }
    }

    /// The addresses of its tunnel interface.
    pub(super) const fn inner(self) -> [Prefix; 2] {
        let v4 = IpAddr::V4(Ipv4Addr::new(10, 9, 0, self.number()));
        let v6 = IpAddr::V6(Ipv6Addr::new(
            0xfd00,
            9,
            0,
            0,
            0,
            0,
            0,
            self.number() as u16,
        ));
        [
            Prefix {
                address: v4,
                length: 30,
            },
            Prefix {
                address: v6,
                length: 64,
            },
        ]
    }

    /// A host in its networks, IPv4 and IPv6: what the other site reaches through the tunnel only.
    pub(super) const fn hosts(self) -> [IpAddr; 2] {
        let v4 = Ipv4Addr::new(10, self.number() * 10, 0, 1);
        let v6 = match self {
            Self::West => Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 1),
            Self::East => Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, 0, 1),
        };
        [IpAddr::V4(v4), IpAddr::V6(v6)]
    }

    /// Its networks, which the other site routes into the tunnel.
    pub(super) const fn networks(self) -> [Prefix; 2] {
        let v4 = IpAddr::V4(Ipv4Addr::new(10, self.number() * 10, 0, 0));
        let v6 = match self {
            Self::West => Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 0),
            Self::East => Ipv6Addr::new(0xfd00, 0x20, 0, 0, 0, 0, 0, 0),
        };
        [
            Prefix {
                address: v4,
                length: 16,
            },
            Prefix {
                address: IpAddr::V6(v6),
                length: 64,
            },
        ]
    }

    /// The configuration of its endpoint.
    pub(super) fn configuration(self) -> String {
        let list = |prefixes: [Prefix; 2]| {
            let [v4, v6] = prefixes;
            format!("[\"{v4}\", \"{v6}\"]")
        };
        format!(
            "[tunnel.{}]
mode      = \"gre\"
local     = \"{}\"
remote    = \"{}\"
addresses = {}
routes    = {}
gre       = {{ key = {KEY}, checksum = true, sequence = true }}
keepalive = {{ period = \"{}ms\", retries = {RETRIES} }}
on-dead   = [\"carrier\", \"withdraw-routes\"]
",
            self.tunnel(),
            self.outer(),
            self.other().outer(),
            list(self.inner()),
            list(self.other().networks()),
            PERIOD.as_millis(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_routes_the_other_sites_networks_and_names_it_as_its_peer() {
        let west = Side::West.configuration();
        assert!(west.starts_with("[tunnel.to-east]\n"), "{west}");
        for line in [
            "local     = \"192.0.2.1\"",
            "remote    = \"192.0.2.2\"",
            "addresses = [\"10.9.0.1/30\", \"fd00:9::1/64\"]",
            "routes    = [\"10.20.0.0/16\", \"fd00:20::/64\"]",
            "keepalive = { period = \"1000ms\", retries = 3 }",
        ] {
            assert!(west.lines().any(|shown| shown == line), "{line}\n{west}");
        }
    }

    #[test]
    fn each_site_has_a_host_in_each_of_its_networks() {
        for side in Side::BOTH {
            let [v4, v6] = side.hosts();
            let [net4, net6] = side.networks();
            let (IpAddr::V4(host), IpAddr::V4(net)) = (v4, net4.address) else {
                panic!()
            };
            assert_eq!(host.to_bits() >> 16, net.to_bits() >> 16);
            let (IpAddr::V6(host), IpAddr::V6(net)) = (v6, net6.address) else {
                panic!()
            };
            assert_eq!(host.to_bits() >> 64, net.to_bits() >> 64);
        }
    }
}
