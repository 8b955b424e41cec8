//! The GRE header: RFC 2784, with the key and the sequence number of RFC 2890.
//!
//! `flags and version 2 | protocol type 2 | [checksum 2 | reserved 2] | [key 4] | [sequence number 4]`, big-endian.

use crate::counters::DropReason;

/// The protocol type of an IPv4 payload (RFC 2784 section 2.4).
pub const PROTOCOL_IPV4: u16 = 0x0800;
/// The protocol type of an IPv6 payload (RFC 7676 section 3).
pub const PROTOCOL_IPV6: u16 = 0x86dd;
/// The protocol type of the GRE header inside a router's keepalive.
pub const PROTOCOL_KEEPALIVE: u16 = 0;
/// IP's number for GRE.
pub const IP_PROTOCOL: u8 = 47;
/// The length of a header with checksum, key and sequence number.
pub const MAX_OCTETS: usize = 16;

const CHECKSUM_PRESENT: u16 = 0x8000;
const ROUTING_PRESENT: u16 = 0x4000;
const KEY_PRESENT: u16 = 0x2000;
const SEQUENCE_PRESENT: u16 = 0x1000;
/// Bits 4 and 5, which RFC 2784 section 2.3 says to refuse; bits 6 to 12 are to be ignored.
const REFUSED: u16 = 0x0c00;
const VERSION: u16 = 0x0007;

/// The key that tells one tunnel between two addresses from another (RFC 2890 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GreKey(pub u32);

/// A GRE header of version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// EtherType of the payload.
    pub protocol: u16,
    /// Whether a checksum is present; it stands at octets 4 and 5.
    pub checksum: bool,
    /// The key, if present.
    pub key: Option<GreKey>,
    /// The sequence number, if present.
    pub seq: Option<u32>,
    /// The length of the header, 4 to 16 octets.
    pub octets: usize,
}

impl Header {
    /// A header with these fields, its length computed.
    #[must_use]
    pub const fn new(protocol: u16, checksum: bool, key: Option<GreKey>, seq: Option<u32>) -> Self {
        let words = 1 + checksum as usize + key.is_some() as usize + seq.is_some() as usize;
        Self {
            protocol,
            checksum,
            key,
            seq,
            octets: words * 4,
        }
    }

    /// Writes the header at the start of `out` and says how many octets it took: [`Header::octets`], or 0 if `out` is shorter.
    ///
    /// The checksum is left 0, since it covers the payload too.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let mut flags = 0;
        let mut words = [0_u32; MAX_OCTETS / 4];
        let mut slots = words.iter_mut().skip(1);
        let mut put = |present: bool, flag: u16, word: u32| {
            if present && let Some(slot) = slots.next() {
                flags |= flag;
                *slot = word;
            }
        };
        put(self.checksum, CHECKSUM_PRESENT, 0);
        put(
            self.key.is_some(),
            KEY_PRESENT,
            self.key.map_or(0, |key| key.0),
        );
        put(self.seq.is_some(), SEQUENCE_PRESENT, self.seq.unwrap_or(0));
        words[0] = u32::from(flags) << 16 | u32::from(self.protocol);
        let Some(out) = out.get_mut(..self.octets) else {
            return 0;
        };
        for (octets, word) in out.chunks_exact_mut(4).zip(words) {
            octets.copy_from_slice(&word.to_be_bytes());
        }
        self.octets
    }
}

/// Reads the header at the start of `octets`.
///
/// # Errors
/// [`DropReason::GreShort`], [`DropReason::GreVersion`], [`DropReason::GreRouting`] and [`DropReason::GreReserved`]
/// (RFC 2784 section 2.3: bits 1 to 5, less those that RFC 2890 took for key and sequence number).
#[inline]
pub fn parse(octets: &[u8]) -> Result<Header, DropReason> {
    let (first, mut rest) = take_word(octets)?;
    let [a, b, c, d] = first.to_be_bytes();
    let flags = u16::from_be_bytes([a, b]);
    if flags & VERSION != 0 {
        return Err(DropReason::GreVersion);
    }
    if flags & ROUTING_PRESENT != 0 {
        return Err(DropReason::GreRouting);
    }
    if flags & REFUSED != 0 {
        return Err(DropReason::GreReserved);
    }
    let mut optional = |flag: u16| -> Result<Option<u32>, DropReason> {
        if flags & flag == 0 {
            return Ok(None);
        }
        let (word, after) = take_word(rest)?;
        rest = after;
        Ok(Some(word))
    };
    let checksum = optional(CHECKSUM_PRESENT)?.is_some();
    let key = optional(KEY_PRESENT)?.map(GreKey);
    let seq = optional(SEQUENCE_PRESENT)?;
    Ok(Header::new(u16::from_be_bytes([c, d]), checksum, key, seq))
}

#[inline]
fn take_word(octets: &[u8]) -> Result<(u32, &[u8]), DropReason> {
    octets
        .split_first_chunk::<4>()
        .map(|(word, rest)| (u32::from_be_bytes(*word), rest))
        .ok_or(DropReason::GreShort)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_header() -> impl Strategy<Value = Header> {
        (
            any::<u16>(),
            any::<bool>(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
        )
            .prop_map(|(protocol, checksum, key, seq)| {
                Header::new(protocol, checksum, key.map(GreKey), seq)
            })
    }

    proptest! {
        #[test]
        fn a_written_header_reads_back(header in any_header(), payload in any::<[u8; 3]>()) {
            let mut octets = [0; MAX_OCTETS + 3];
            let end = header.write(&mut octets);
            prop_assert_eq!(end, header.octets);
            octets[end..end + 3].copy_from_slice(&payload);
            prop_assert_eq!(parse(&octets[..end + 3]), Ok(header));
        }

        #[test]
        fn a_header_that_was_read_writes_back_to_its_octets_but_for_checksum_and_ignored_bits(
            octets in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            if let Ok(header) = parse(&octets) {
                let mut written = [0; MAX_OCTETS];
                let end = header.write(&mut written);
                let mut expected = octets[..end].to_vec();
                expected[0] &= 0xb0;
                expected[1] = 0;
                if header.checksum {
                    expected[4..8].fill(0);
                }
                prop_assert_eq!(&written[..end], &expected[..]);
            }
        }
    }

    #[test]
    fn a_captured_keyed_keepalive_header_reads_as_key_42() {
        let header = parse(&[0x20, 0, 0x08, 0, 0, 0, 0, 0x2a]).unwrap();
        assert_eq!(
            header,
            Header::new(PROTOCOL_IPV4, false, Some(GreKey(42)), None)
        );
        assert_eq!(header.octets, 8);
    }

    #[test]
    fn each_reserved_bit_has_the_reason_of_the_rfc() {
        for bit in 0..16_u16 {
            let [high, low] = (0x8000_u16 >> bit).to_be_bytes();
            let mut octets = [0; MAX_OCTETS];
            (octets[0], octets[1]) = (high, low);
            let reason = parse(&octets).err();
            let expected = match bit {
                1 => Some(DropReason::GreRouting),
                4 | 5 => Some(DropReason::GreReserved),
                13..16 => Some(DropReason::GreVersion),
                _ => None,
            };
            assert_eq!(reason, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_header_shorter_than_its_flags_say_is_short() {
        let mut octets = [0; MAX_OCTETS];
        let end = Header::new(PROTOCOL_IPV6, true, Some(GreKey(1)), Some(2)).write(&mut octets);
        for cut in 0..end {
            assert_eq!(parse(&octets[..cut]), Err(DropReason::GreShort));
        }
        assert!(parse(&octets).is_ok());
    }

    #[test]
    fn a_header_is_not_written_into_too_little_room() {
        let header = Header::new(PROTOCOL_IPV4, true, None, Some(9));
        let mut octets = [0xaa; 11];
        assert_eq!(header.write(&mut octets), 0);
        assert_eq!(octets, [0xaa; 11]);
    }
}
