//! What a datagram on the UDP encapsulation's port is (RFC 3948 section 2): ESP, IKE behind a marker of four zero octets, or a NAT
//! keepalive of one octet 0xFF.

use crate::counters::DropReason;

/// The port of IKE and ESP in UDP (RFC 3948 section 2).
pub const PORT: u16 = 4500;
/// The port of GRE in UDP (RFC 8086 section 8.1).
pub const GRE_PORT: u16 = 4754;
/// A NAT keepalive's payload.
pub const KEEPALIVE: [u8; 1] = [0xff];
/// Octets of the non-ESP marker before an IKE message.
pub const MARKER_OCTETS: usize = 4;
/// Octets of a UDP header: `source port 2 | destination port 2 | length 2 | checksum 2` (RFC 768).
pub const UDP_OCTETS: usize = 8;
/// UDP as IPv4's protocol and IPv6's next header.
pub const UDP_PROTOCOL: u8 = 17;

/// What a datagram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// An ESP packet from its first octet on.
    Esp,
    /// An IKE message behind [`MARKER_OCTETS`].
    Ike,
    /// A NAT keepalive: no packet, and no sign of life.
    NatKeepalive,
}

/// Tells what a datagram's payload is.
///
/// # Errors
/// [`DropReason::NattMalformed`]: shorter than an SPI and no keepalive.
#[inline]
pub fn classify(payload: &[u8]) -> Result<Content, DropReason> {
    match *payload {
        [0, 0, 0, 0, ..] => Ok(Content::Ike),
        [_, _, _, _, ..] => Ok(Content::Esp),
        [0xff] => Ok(Content::NatKeepalive),
        _ => Err(DropReason::NattMalformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_four_octets_tell_ike_from_esp() {
        assert_eq!(classify(&[0, 0, 0, 0, 1]), Ok(Content::Ike));
        assert_eq!(classify(&[0, 0, 0, 1, 1]), Ok(Content::Esp));
        assert_eq!(classify(&[0xff; 4]), Ok(Content::Esp));
    }

    #[test]
    fn one_octet_ff_is_a_keepalive_and_what_is_shorter_than_an_spi_is_nothing() {
        assert_eq!(classify(&KEEPALIVE), Ok(Content::NatKeepalive));
        for short in [&[][..], &[0], &[0xff, 0xff], &[0, 0, 0]] {
            assert_eq!(classify(short), Err(DropReason::NattMalformed));
        }
    }
}
