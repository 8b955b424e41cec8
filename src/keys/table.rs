//! The text of a state file: one number for each key that was ever in the key file.
//!
//! `adit out 1` or `adit in 1`, then for each key `ID NUMBER` (16 hexadecimal digits and a decimal number), then `digest HEX` over all
//! before it: not against a forger, who would need to write the file, but against one that was cut off or edited.

use std::collections::BTreeMap;
use std::fmt;

use adit_crypto::{Secret, SipHash24};

/// How many keys one file remembers.
pub(super) const KEYS_MAX: usize = 64;
/// Octets that the text of [`KEYS_MAX`] keys stays below.
pub(super) const TEXT_OCTETS_MAX: usize = 4096;

const DIGEST_KEY: [u8; 16] = *b"adit key state 1";
const DIGEST: &str = "digest ";

/// Tells keys apart; of no use to find one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyId(pub(super) [u8; 8]);

/// Which number of a key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Outbound,
    Inbound,
}

/// What is wrong with a state file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// It is empty, cut off, or no text.
    CutOff,
    /// Its digest is not that of its lines.
    Digest,
    /// Its first line is not that of a state of this direction.
    Header,
    /// This line is no `ID NUMBER`, or has a key a second time.
    Entry(usize),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutOff => f.write_str("it does not end with a digest"),
            Self::Digest => f.write_str("its digest is not that of its lines"),
            Self::Header => f.write_str("its first line is another file's"),
            Self::Entry(line) => write!(f, "line {line} is no key and number"),
        }
    }
}

/// The numbers of one direction by key; none is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table(BTreeMap<KeyId, u64>);

impl Direction {
    /// The word in names of files and in the first line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Outbound => "out",
            Self::Inbound => "in",
        }
    }

    fn header(self) -> String {
        format!("adit {} 1\n", self.word())
    }
}

impl Table {
    pub(super) fn parse(direction: Direction, octets: &[u8]) -> Result<Self, Corrupt> {
        let text = str::from_utf8(octets).map_err(|_| Corrupt::CutOff)?;
        let end = text.rfind(DIGEST).ok_or(Corrupt::CutOff)?;
        let (body, last) = text.split_at(end);
        if !last.ends_with('\n') {
            return Err(Corrupt::CutOff);
        }
        if last != digest_line(body) {
            return Err(Corrupt::Digest);
        }
        let entries = body
            .strip_prefix(&direction.header())
            .ok_or(Corrupt::Header)?;
        let mut table = BTreeMap::new();
        for (line, text) in (2..).zip(entries.lines()) {
            let (id, number) = parse_entry(text).ok_or(Corrupt::Entry(line))?;
            if table.insert(id, number).is_some() {
                return Err(Corrupt::Entry(line));
            }
        }
        Ok(Self(table))
    }

    pub(super) fn emit(&self, direction: Direction) -> String {
        let mut text = direction.header();
        for (&KeyId(id), number) in &self.0 {
            text.push_str(&format!("{:016x} {number}\n", u64::from_be_bytes(id)));
        }
        let last = digest_line(&text);
        text.push_str(&last);
        text
    }

    pub(super) fn number(&self, key: KeyId) -> Option<u64> {
        self.0.get(&key).copied()
    }

    /// The table with the number of one key replaced or added.
    pub(super) fn with(&self, key: KeyId, number: u64) -> Self {
        let mut table = self.clone();
        table.0.insert(key, number);
        table
    }

    pub(super) fn has_room_for(&self, key: KeyId) -> bool {
        self.0.contains_key(&key) || self.0.len() < KEYS_MAX
    }
}

fn parse_entry(text: &str) -> Option<(KeyId, u64)> {
    let (id, number) = text.split_once(' ')?;
    let id = u64::from_str_radix(id, 16).ok()?;
    let number: u64 = number.parse().ok()?;
    (number > 0).then_some((KeyId(id.to_be_bytes()), number))
}

fn digest_line(body: &str) -> String {
    let digest = SipHash24::new(&Secret::new(&mut DIGEST_KEY.clone())).digest(&[body.as_bytes()]);
    format!("{DIGEST}{:016x}\n", u64::from_be_bytes(digest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full() -> Table {
        let mut table = Table::default();
        for at in 0..u64::try_from(KEYS_MAX).unwrap() {
            table = table.with(KeyId((!at).to_be_bytes()), u64::MAX);
        }
        table
    }

    #[test]
    fn a_full_table_has_room_for_its_own_keys_only_and_fits_the_file() {
        let table = full();
        assert!(table.has_room_for(KeyId((!0_u64).to_be_bytes())));
        assert!(!table.has_room_for(KeyId([0; 8])));
        assert!(table.emit(Direction::Outbound).len() < TEXT_OCTETS_MAX);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_corrupt() {
        let table = Table::default()
            .with(KeyId([1; 8]), 1)
            .with(KeyId([2; 8]), 33_554_433);
        let text = table.emit(Direction::Outbound).into_bytes();
        assert_eq!(Table::parse(Direction::Outbound, &text), Ok(table));
        for end in 0..text.len() {
            assert!(Table::parse(Direction::Outbound, &text[..end]).is_err());
        }
        for bit in 0..8 * text.len() {
            let mut changed = text.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Table::parse(Direction::Outbound, &changed).is_err());
        }
    }

    #[test]
    fn a_state_of_the_other_direction_is_no_state() {
        let text = Table::default()
            .with(KeyId([1; 8]), 9)
            .emit(Direction::Inbound);
        assert_eq!(
            Table::parse(Direction::Outbound, text.as_bytes()),
            Err(Corrupt::Header)
        );
    }

    #[test]
    fn an_entry_that_counts_from_zero_or_comes_twice_is_corrupt() {
        for (entries, line) in [
            ("0101010101010101 0\n", 2),
            ("0101010101010101 5\n0101010101010101 6\n", 3),
            ("0101010101010101\n", 2),
            ("0101010101010101 18446744073709551616\n", 2),
            ("x 5\n", 2),
        ] {
            let mut text = format!("adit in 1\n{entries}");
            text.push_str(&digest_line(&text.clone()));
            assert_eq!(
                Table::parse(Direction::Inbound, text.as_bytes()),
                Err(Corrupt::Entry(line))
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(entries in prop::collection::btree_map(any::<[u8; 8]>(), 1_u64.., 0..KEYS_MAX)) {
            let table = Table(entries.into_iter().map(|(id, number)| (KeyId(id), number)).collect());
            let text = table.emit(Direction::Inbound);
            prop_assert_eq!(Table::parse(Direction::Inbound, text.as_bytes()), Ok(table));
        }
    }
}
