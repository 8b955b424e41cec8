//! The ESP header: `SPI 4 | sequence number, low half 4` (RFC 4303 section 2); IV, ciphertext and ICV follow.

use crate::counters::DropReason;

/// ESP as IPv4's protocol and IPv6's next header.
pub const IP_PROTOCOL: u8 = 50;
/// Octets of the header.
pub const HEADER_OCTETS: usize = 8;
/// Octets of the trailer behind the padding: `pad length 1 | next header 1`.
pub const TRAILER_OCTETS: usize = 2;
/// The next header of a dummy packet (RFC 4303 section 2.6).
pub const NEXT_DUMMY: u8 = 59;
/// The next header of a tunnelled IPv4 packet.
pub const NEXT_IPV4: u8 = 4;
/// The next header of a tunnelled IPv6 packet.
pub const NEXT_IPV6: u8 = 41;
/// The next header of GRE in transport mode.
pub const NEXT_GRE: u8 = 47;

/// A security parameters index that may stand on the wire: 256 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(u32);

impl Spi {
    /// The least one: 1 to 255 are reserved, 0 never leaves a host (RFC 4303 section 2.1).
    pub const MIN: u32 = 256;

    /// The index of that value; none below [`Self::MIN`].
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value < Self::MIN {
            None
        } else {
            Some(Self(value))
        }
    }

    /// The value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The header of a packet that is not authenticated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which security association it claims to be of.
    pub spi: Spi,
    /// The low half of its sequence number.
    pub seq_lo: u32,
}

/// Reads the header.
///
/// # Errors
/// [`DropReason::EspShort`], [`DropReason::UnknownSpi`] (0 to 255: no security association has it).
#[inline]
pub fn parse(packet: &[u8]) -> Result<Header, DropReason> {
    let &[a, b, c, d, e, f, g, h] = packet.first_chunk().ok_or(DropReason::EspShort)?;
    let spi = Spi::new(u32::from_be_bytes([a, b, c, d])).ok_or(DropReason::UnknownSpi)?;
    let seq_lo = u32::from_be_bytes([e, f, g, h]);
    Ok(Header { spi, seq_lo })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_in_network_order() {
        let header = parse(&[0, 0, 0x12, 0x34, 0, 0, 0, 9, 0xff]).unwrap();
        assert_eq!((header.spi.get(), header.seq_lo), (0x1234, 9));
    }

    #[test]
    fn reserved_indices_and_short_packets_are_refused() {
        for value in [0, 1, 255] {
            let [a, b, c, d] = u32::to_be_bytes(value);
            let packet = [a, b, c, d, 0, 0, 0, 1];
            assert_eq!(parse(&packet), Err(DropReason::UnknownSpi));
        }
        assert!(parse(&[0, 0, 1, 0, 0, 0, 0, 1]).is_ok());
        assert_eq!(parse(&[0; 7]), Err(DropReason::EspShort));
    }
}
