//! What a server assigned, in the words of the link lane and of a hook.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use adit_proto::ikev1::config_payload::{Assigned, is_host};
use adit_proto::wire::ike::TrafficSelector;

use super::Held;
use crate::io::address::Prefix;
use crate::links::Assignment;

/// How packets find into a tunnel that is not in client mode.
pub(super) const EXTENSION: &str = "`routes`";

/// What of a tunnel bears on its routes.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// Addresses of servers, as far as the tunnel's own packets go by the routes of its interface's namespace.
    pub(super) peers: Vec<IpAddr>,
    /// The configuration says what is routed into the tunnel when the server does not.
    pub(super) has_routes: bool,
    /// What the configuration has leave by the tunnel or not at all.
    pub(super) configured: Vec<Prefix>,
    /// Names of servers have to be resolved by these routes.
    pub(super) has_names: bool,
    /// What is routed into the tunnel is to leave by it or not at all.
    pub(super) leak_guard: bool,
}

/// An address that no interface can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadAddress(Option<Ipv4Addr>);

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(
                f,
                "the server assigned {address}, which is not ours to have"
            ),
            None => f.write_str("the server assigned no IPv4 address"),
        }
    }
}

/// What the interface is to have.
pub(super) fn plan(assigned: &Assigned, around: &Surroundings) -> Result<Held, BadAddress> {
    let address = assigned.address.ok_or(BadAddress(None))?;
    let is_peer = around.peers.contains(&IpAddr::V4(address));
    if !is_host(address.into()) || is_peer {
        return Err(BadAddress(Some(address)));
    }
    let wanted = Wanted::of(assigned, around.has_routes);
    let routes = wanted.networks();
    let is_guarded = around.leak_guard && !(wanted == Wanted::Everything && around.has_names);
    let beside = assigned.split_exclude.iter().filter_map(network);
    // Routers write a network of zeros for the networks that they are in, which have better routes anyway.
    let beside = unique(beside.filter(|network| !network.address.is_unspecified()));
    let is_ours = |network: &Prefix| around.configured.iter().any(|it| it.overlaps(*network));
    let (ours, beside): (Vec<_>, Vec<_>) = beside.into_iter().partition(is_ours);
    let mut routing = wanted.to_string();
    if around.has_routes && wanted != Wanted::Configured {
        routing.push_str(" and `routes`");
    }
    if !beside.is_empty() {
        routing = format!("{routing}, but not {}", list(&beside));
    }
    if !ours.is_empty() {
        let refused = "; the server excludes, and the configuration does not";
        routing = format!("{routing}{refused}, {}", list(&ours));
    }
    if around.leak_guard && !is_guarded {
        routing.push_str("; not guarded while down: `remote` has names to resolve");
    }
    Ok(Held {
        assignment: Assignment {
            address: Some(address.into()),
            guards: routes.iter().filter(|_| is_guarded).copied().collect(),
            routes,
            peers: around.peers.clone(),
            beside,
        },
        routing: Some(routing),
        is_in_place: false,
    })
}

/// What goes through the tunnel, besides what is configured.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// The networks that the server names.
    Named(Vec<Prefix>),
    /// It names none, and neither does the configuration.
    Everything,
    /// It names none.
    Configured,
}

impl Wanted {
    fn of(assigned: &Assigned, has_routes: bool) -> Self {
        let named = assigned.split_include.iter().filter_map(network);
        let named: Vec<_> = named.collect();
        let is_everything = named.is_empty() || named.iter().any(|network| network.length == 0);
        match (is_everything, has_routes) {
            (true, true) => Self::Configured,
            (true, false) => Self::Everything,
            (false, _) => {
                let behind = assigned.subnets.iter().filter_map(network);
                Self::Named(unique(named.into_iter().chain(behind)))
            }
        }
    }

    /// Everything is two halves, so that no default route of the host is in the way.
    fn networks(&self) -> Vec<Prefix> {
        let halves = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(128, 0, 0, 0)];
        match self {
            Self::Named(networks) => networks.clone(),
            Self::Everything => halves.map(|half| Prefix::new(half.into(), 1)).to_vec(),
            Self::Configured => Vec::new(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(networks) => f.write_str(&list(networks)),
            Self::Everything => f.write_str("all of IPv4 that has no route of its own"),
            Self::Configured => f.write_str("`routes`: the server names no networks"),
        }
    }
}

fn list(networks: &[Prefix]) -> String {
    let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
    networks.join(", ")
}

/// What a hook is told in its environment; of several values each but the first has a blank before it.
pub(in crate::daemon) fn environment(assigned: &Assigned) -> Vec<(&'static str, String)> {
    let address = assigned.address.map(|address| address.to_string());
    let dns: Vec<_> = assigned.dns.iter().map(ToString::to_string).collect();
    vec![
        ("ADIT_ADDRESS", address.unwrap_or_default()),
        ("ADIT_DNS", dns.join(" ")),
        (
            "ADIT_DOMAIN",
            assigned.default_domain.clone().unwrap_or_default(),
        ),
        ("ADIT_SPLIT_DNS", assigned.split_dns.join(" ")),
    ]
}

/// The network of IPv4 that has exactly these addresses.
fn network(selector: &TrafficSelector) -> Option<Prefix> {
    let (IpAddr::V4(first), IpAddr::V4(last)) = (selector.start, selector.end) else {
        return None;
    };
    let host_bits = first.to_bits() ^ last.to_bits();
    let length = u8::try_from(host_bits.leading_zeros()).ok()?;
    let is_network = host_bits.count_ones() == host_bits.trailing_ones() && first <= last;
    let network = Prefix::new(first.into(), length);
    (is_network && network.network() == IpAddr::V4(first)).then_some(network)
}

fn unique(networks: impl Iterator<Item = Prefix>) -> Vec<Prefix> {
    let mut networks: Vec<_> = networks.collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned() -> Assigned {
        Assigned {
            address: Some(Ipv4Addr::new(10, 1, 2, 3)),
            ..Assigned::default()
        }
    }

    fn networks(networks: &[&str]) -> Vec<TrafficSelector> {
        let network = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            let first: Ipv4Addr = address.parse().unwrap();
            let hosts = u32::MAX.checked_shr(length.parse().unwrap()).unwrap_or(0);
            let last = Ipv4Addr::from_bits(first.to_bits() | hosts);
            TrafficSelector::new(0, first.into(), last.into())
        };
        networks.iter().map(network).collect()
    }

    fn around() -> Surroundings {
        Surroundings {
            peers: vec![[192, 0, 2, 2].into()],
            leak_guard: true,
            ..Surroundings::default()
        }
    }

    /// What is routed, what is guarded, and the words for it.
    fn planned(assigned: &Assigned, around: &Surroundings) -> (String, String, String) {
        let held = plan(assigned, around).unwrap();
        assert_eq!(held.assignment.address, Some([10, 1, 2, 3].into()));
        assert_eq!(held.assignment.peers, around.peers);
        let (routes, guards) = (&held.assignment.routes, &held.assignment.guards);
        (list(routes), list(guards), held.routing.unwrap())
    }

    #[test]
    fn networks_that_the_server_names_are_routed_once_and_guarded() {
        let assigned = Assigned {
            split_include: networks(&["10.2.0.0/16", "10.2.0.0/16", "10.0.5.7/32"]),
            subnets: networks(&["10.3.0.0/24"]),
            split_exclude: networks(&["10.2.9.0/24", "0.0.0.0/32"]),
            ..assigned()
        };
        let routes = "10.0.5.7/32, 10.2.0.0/16, 10.3.0.0/24".to_owned();
        let words = format!("{routes}, but not 10.2.9.0/24");
        assert_eq!(
            planned(&assigned, &around()),
            (routes.clone(), routes, words)
        );
    }

    #[test]
    fn a_server_that_names_no_networks_or_the_whole_gets_everything_in_two_halves() {
        let halves = "0.0.0.0/1, 128.0.0.0/1".to_owned();
        let words = "all of IPv4 that has no route of its own".to_owned();
        let expected = (halves.clone(), halves, words);
        assert_eq!(planned(&assigned(), &around()), expected);
        let whole = Assigned {
            split_include: networks(&["10.2.0.0/16", "0.0.0.0/0"]),
            ..assigned()
        };
        assert_eq!(planned(&whole, &around()), expected);
    }

    #[test]
    fn routes_of_the_configuration_take_the_place_of_everything_and_stand_beside_named_networks() {
        let around = Surroundings {
            has_routes: true,
            ..around()
        };
        let (routes, guards, words) = planned(&assigned(), &around);
        assert_eq!((&*routes, &*guards), ("", ""));
        assert_eq!(words, "`routes`: the server names no networks");
        let named = Assigned {
            split_include: networks(&["10.2.0.0/16"]),
            ..assigned()
        };
        let (routes, _, words) = planned(&named, &around);
        assert_eq!(routes, "10.2.0.0/16");
        assert_eq!(words, "10.2.0.0/16 and `routes`");
    }

    #[test]
    fn a_server_excludes_nothing_that_the_configuration_has_go_through_the_tunnel() {
        let around = Surroundings {
            has_routes: true,
            configured: vec![Prefix::new([10, 0, 0, 0].into(), 8)],
            ..around()
        };
        let excludes = |list: &[&str]| Assigned {
            split_exclude: networks(list),
            ..assigned()
        };
        for inside in ["10.0.0.0/8", "10.0.0.0/9", "10.1.0.0/16", "8.0.0.0/6"] {
            let held = plan(&excludes(&[inside, "192.168.0.0/16"]), &around).unwrap();
            let beside = list(&held.assignment.beside);
            assert_eq!(beside, "192.168.0.0/16", "{inside}");
        }
        let words = planned(&excludes(&["10.1.0.0/16"]), &around).2;
        assert_eq!(
            words,
            "`routes`: the server names no networks; the server excludes, and the configuration does not, 10.1.0.0/16"
        );
    }

    #[test]
    fn everything_is_not_guarded_where_names_of_servers_must_be_resolved_by_it() {
        let around = Surroundings {
            has_names: true,
            ..around()
        };
        let (routes, guards, words) = planned(&assigned(), &around);
        assert_eq!((&*routes, &*guards), ("0.0.0.0/1, 128.0.0.0/1", ""));
        assert!(words.ends_with("; not guarded while down: `remote` has names to resolve"));
        let named = Assigned {
            split_include: networks(&["10.2.0.0/16"]),
            ..assigned()
        };
        assert_eq!(planned(&named, &around).1, "10.2.0.0/16");
    }

    #[test]
    fn an_address_that_no_host_has_or_a_server_has_is_refused() {
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.2",
        ] {
            let bad = Assigned {
                address: Some(address.parse().unwrap()),
                ..Assigned::default()
            };
            let refused = plan(&bad, &around()).unwrap_err().to_string();
            assert_eq!(
                refused,
                format!("the server assigned {address}, which is not ours to have")
            );
        }
        let none = plan(&Assigned::default(), &around()).unwrap_err();
        assert_eq!(none.to_string(), "the server assigned no IPv4 address");
    }

    #[test]
    fn a_hook_is_told_the_address_and_what_resolves_names() {
        let assigned = Assigned {
            dns: vec![[10, 2, 0, 1].into(), [10, 2, 0, 2].into()],
            default_domain: Some("example.net".to_owned()),
            ..assigned()
        };
        let expected = [
            ("ADIT_ADDRESS", "10.1.2.3"),
            ("ADIT_DNS", "10.2.0.1 10.2.0.2"),
            ("ADIT_DOMAIN", "example.net"),
            ("ADIT_SPLIT_DNS", ""),
        ];
        let expected = expected.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(environment(&assigned), expected);
    }
}
