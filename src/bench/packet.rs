//! The packets of the traffic generators, and which of them arrived.
//!
//! UDP payload: `Marker 4 | Stream 4 | Seq 8 | Time 8`, then octets that say nothing; big-endian, Seq from 0, Time in nanoseconds.

use super::model::Size;

/// IPv4 and UDP header.
pub(super) const HEADERS_OCTETS: usize = 28;
/// The smallest packet that holds what is above.
pub const MIN_OCTETS: u16 = 64;
/// The largest that is asked for.
pub const MAX_OCTETS: u16 = 9_000;

const MARKER: [u8; 4] = *b"adit";
const STAMP_OCTETS: usize = 24;
/// 7 : 4 : 1, the larger ones as evenly among the smaller as they go.
const IMIX: [u16; 12] = [64, 576, 64, 576, 64, 1400, 64, 576, 64, 576, 64, 64];

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// To which measurement it belongs.
    pub(super) stream: u32,
    /// Its position in the stream.
    pub(super) seq: u64,
    /// When it was sent.
    pub(super) time_ns: u64,
}

impl Stamp {
    /// Writes it at the beginning of a payload.
    pub(super) fn write(&self, payload: &mut [u8]) {
        let fields = MARKER
            .into_iter()
            .chain(self.stream.to_be_bytes())
            .chain(self.seq.to_be_bytes())
            .chain(self.time_ns.to_be_bytes());
        for (octet, value) in payload.iter_mut().zip(fields) {
            *octet = value;
        }
    }

    /// Reads it from a payload; none when it is not of a generator.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let stamp: &[u8; STAMP_OCTETS] = payload.first_chunk()?;
        let (marker, rest) = stamp.split_first_chunk::<4>()?;
        let (stream, rest) = rest.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        (*marker == MARKER).then_some(Self {
            stream: u32::from_be_bytes(*stream),
            seq: u64::from_be_bytes(*seq),
            time_ns: u64::from_be_bytes(*rest.first_chunk()?),
        })
    }
}

impl Size {
    /// The payload's length of the packet at this position of a stream, in octets.
    pub(super) fn payload_octets(self, seq: u64) -> usize {
        let packet = match self {
            Self::Octets(octets) => octets,
            Self::Imix => {
                let position = usize::try_from(seq % IMIX.len() as u64).unwrap_or(0);
                IMIX.get(position).copied().unwrap_or(MIN_OCTETS)
            }
        };
        usize::from(packet).saturating_sub(HEADERS_OCTETS)
    }
}

/// Which sequence numbers of a stream arrived.
#[derive(Debug, Default)]
pub(super) struct Seen {
    words: Vec<u64>,
}

impl Seen {
    /// Sequence numbers beyond this are not ours: more than an hour of a flood.
    const LIMIT: u64 = 1 << 33;

    /// Notes one; false when it had arrived before or cannot be.
    pub(super) fn insert(&mut self, seq: u64) -> bool {
        if seq >= Self::LIMIT {
            return false;
        }
        let Ok(index) = usize::try_from(seq / 64) else {
            return false;
        };
        if index >= self.words.len() {
            self.words.resize((index + 1).next_power_of_two(), 0);
        }
        let bit = 1 << (seq % 64);
        self.words.get_mut(index).is_some_and(|word| {
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        })
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.words.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_foreign_is_not() {
        let stamp = Stamp {
            stream: 7,
            seq: 1 << 40,
            time_ns: 123_456_789,
        };
        let mut payload = [0xff; 36];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[24..], [0xff; 12]);
        assert_eq!(Stamp::read(&payload[..23]), None);
        payload[0] = b'x';
        assert_eq!(Stamp::read(&payload), None);
    }

    #[test]
    fn imix_holds_its_sizes_in_the_proportion_7_4_1() {
        let count = |octets: usize| {
            let sizes = (0..1200).map(|seq| Size::Imix.payload_octets(seq) + HEADERS_OCTETS);
            sizes.filter(|size| *size == octets).count()
        };
        assert_eq!([count(64), count(576), count(1400)], [700, 400, 100]);
    }

    #[test]
    fn the_smallest_packet_holds_a_stamp() {
        assert!(Size::Octets(MIN_OCTETS).payload_octets(0) >= STAMP_OCTETS);
    }

    #[test]
    fn each_sequence_number_counts_once_in_whatever_order() {
        let mut seen = Seen::default();
        assert!(
            [5, 0, 1_000_000, 63, 64]
                .into_iter()
                .all(|seq| seen.insert(seq))
        );
        assert!(![64, 5, 1_000_000].into_iter().any(|seq| seen.insert(seq)));
        assert!(!seen.insert(u64::MAX));
        seen.clear();
        assert!(seen.insert(5));
    }
}
