//! NAT-D: hashes of addresses and ports as each end sees them, with the negotiated hash (RFC 3947 section 3.2).

use std::net::{IpAddr, SocketAddr};

use adit_crypto::v1::Hash;

/// `HASH(CKY-I | CKY-R | address | port)`: the address as 4 or 16 octets, an IPv4 one mapped into IPv6 as 4.
#[must_use]
pub fn hash(hash: Hash, (cky_i, cky_r): (u64, u64), at: SocketAddr) -> Vec<u8> {
    let (cky_i, cky_r) = (cky_i.to_be_bytes(), cky_r.to_be_bytes());
    let port = at.port().to_be_bytes();
    match at.ip().to_canonical() {
        IpAddr::V4(address) => hash.digest(&[&cky_i, &cky_r, &address.octets(), &port]),
        IpAddr::V6(address) => hash.digest(&[&cky_i, &cky_r, &address.octets(), &port]),
    }
}
