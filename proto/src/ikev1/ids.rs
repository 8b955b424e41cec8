//! The identities of quick mode, which stand for what is in the tunnel (RFC 2407 section 4.6.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ike::selector::prefixes;
use crate::wire::ike::TrafficSelector;
use crate::wire::isakmp::Id;

const IPV4_ADDR: u8 = 1;
const IPV4_ADDR_SUBNET: u8 = 4;
const IPV6_ADDR: u8 = 5;
const IPV6_ADDR_SUBNET: u8 = 6;
const IPV4_ADDR_RANGE: u8 = 7;
const IPV6_ADDR_RANGE: u8 = 8;

/// The body of the ID payload of that selector: an address, a network, or a range.
pub(super) fn body(selector: &TrafficSelector) -> Vec<u8> {
    let (kind, data) = data(selector.start, selector.end);
    let port = match selector.start_port == selector.end_port {
        true => selector.start_port,
        false => 0,
    };
    Id {
        kind,
        protocol: selector.protocol,
        port,
        data: &data,
    }
    .body()
}

fn data(start: IpAddr, end: IpAddr) -> (u8, Vec<u8>) {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let of = |v4: u8, v6: u8| if start.is_ipv4() { v4 } else { v6 };
    if start == end {
        return (of(IPV4_ADDR, IPV6_ADDR), octets(start));
    }
    if let [network] = prefixes(start, end).as_slice() {
        let data = [octets(start), network.netmask()].concat();
        return (of(IPV4_ADDR_SUBNET, IPV6_ADDR_SUBNET), data);
    }
    let data = [octets(start), octets(end)].concat();
    (of(IPV4_ADDR_RANGE, IPV6_ADDR_RANGE), data)
}

/// What an identity of the peer stands for; none if it is not of addresses, or reads wrong.
pub(super) fn selector(id: &Id<'_>) -> Option<TrafficSelector> {
    let (start, end) = match id.kind {
        IPV4_ADDR => {
            let address = Ipv4Addr::from(<[u8; 4]>::try_from(id.data).ok()?);
            (address.into(), address.into())
        }
        IPV6_ADDR => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(id.data).ok()?);
            (address.into(), address.into())
        }
        IPV4_ADDR_SUBNET | IPV4_ADDR_RANGE => {
            let (first, second) = id.data.split_at_checked(4)?;
            let first = u32::from_be_bytes(first.try_into().ok()?);
            let second = u32::from_be_bytes(second.try_into().ok()?);
            let is_subnet = id.kind == IPV4_ADDR_SUBNET;
            let contiguous = (!second).wrapping_add(1) & !second == 0;
            let (start, end) = match is_subnet {
                true => contiguous.then_some((first & second, first | !second))?,
                false => (first, second),
            };
            (Ipv4Addr::from(start).into(), Ipv4Addr::from(end).into())
        }
        IPV6_ADDR_SUBNET | IPV6_ADDR_RANGE => {
            let (first, second) = id.data.split_at_checked(16)?;
            let first = u128::from_be_bytes(first.try_into().ok()?);
            let second = u128::from_be_bytes(second.try_into().ok()?);
            let is_subnet = id.kind == IPV6_ADDR_SUBNET;
            let contiguous = (!second).wrapping_add(1) & !second == 0;
            let (start, end) = match is_subnet {
                true => contiguous.then_some((first & second, first | !second))?,
                false => (first, second),
            };
            (Ipv6Addr::from(start).into(), Ipv6Addr::from(end).into())
        }
        _ => return None,
    };
    let (start_port, end_port) = match id.port {
        0 => (0, u16::MAX),
        port => (port, port),
    };
    (start <= end).then_some(TrafficSelector {
        protocol: id.protocol,
        start_port,
        end_port,
        start,
        end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> TrafficSelector {
        TrafficSelector::new(47, start.parse().unwrap(), end.parse().unwrap())
    }

    fn read(body: &[u8]) -> Option<TrafficSelector> {
        selector(&Id {
            kind: body[0],
            protocol: body[1],
            port: u16::from_be_bytes([body[2], body[3]]),
            data: &body[4..],
        })
    }

    #[test]
    fn a_selector_is_the_narrowest_kind_of_identity_and_reads_back() {
        for (start, end, kind, octets) in [
            ("192.0.2.1", "192.0.2.1", 1, 8),
            ("10.1.0.0", "10.1.255.255", 4, 12),
            ("0.0.0.0", "255.255.255.255", 4, 12),
            ("10.1.0.1", "10.1.0.3", 7, 12),
            ("2001:db8::1", "2001:db8::1", 5, 20),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6, 36),
            ("2001:db8::", "2001:db8::ffff", 6, 36),
            ("2001:db8::1", "2001:db8::2", 8, 36),
        ] {
            let selector = range(start, end);
            let body = body(&selector);
            assert_eq!((body[0], body[1], body.len()), (kind, 47, octets));
            assert_eq!(read(&body), Some(selector));
        }
    }

    #[test]
    fn a_port_is_kept_and_none_is_every_port() {
        let one = TrafficSelector {
            protocol: 17,
            start_port: 53,
            end_port: 53,
            ..range("192.0.2.1", "192.0.2.1")
        };
        assert_eq!(read(&body(&one)), Some(one));
    }

    #[test]
    fn identities_that_are_not_addresses_or_read_wrong_stand_for_nothing() {
        for body in [
            &[2, 0, 0, 0, b'a'][..],
            &[1, 0, 0, 0, 1, 2, 3],
            &[4, 0, 0, 0, 10, 0, 0, 0, 255, 0, 255, 0],
            &[7, 0, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1],
        ] {
            assert_eq!(read(body), None, "{body:?}");
        }
    }
}
