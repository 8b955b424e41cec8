//! ESP packets of known plaintext, sealed and opened; and what each suite says of itself.
//!
//! An [`Aead`] takes the IV of what it seals from the sequence number, as no published packet does: those are opened only. One with a
//! chained mode takes it from a key that no other end has a need of: those of its packets are too.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod records;

use adit_crypto::{Aead, Associated, KeymatLength, Refused, Suite};
use records::Record;

/// A known packet: `IV | ciphertext | ICV` and what belongs to it.
#[derive(Debug)]
struct Packet {
    keymat: Vec<u8>,
    key_octets: usize,
    suite: Suite,
    associated: Associated,
    plaintext: Vec<u8>,
    sealed: Vec<u8>,
}

impl Packet {
    fn all() -> Vec<Self> {
        let records = Record::all(include_str!("vectors/esp.rsp"));
        assert_eq!(records.len(), 61);
        records.iter().map(Self::from_record).collect()
    }

    fn from_record(record: &Record) -> Self {
        let name = record.text("Suite").unwrap();
        let suite = Suite::parse(name).or_else(|| Suite::parse_insecure(name));
        let suite = suite.unwrap();
        let behind_key = if suite.is_slow() { "Integrity" } else { "Salt" };
        let spi = record.octets("SPI").try_into().unwrap();
        let seq = record.octets("Seq").try_into().unwrap();
        Self {
            keymat: [record.octets("Key"), record.octets(behind_key)].concat(),
            key_octets: record.octets("Key").len(),
            suite,
            associated: Associated {
                spi: u32::from_be_bytes(spi),
                seq: u64::from_be_bytes(seq),
                esn: record.text("ESN").unwrap().parse().unwrap(),
            },
            plaintext: record.octets("PT"),
            sealed: ["IV", "CT", "ICV"].map(|name| record.octets(name)).concat(),
        }
    }

    fn iv_is_sequence_number(&self) -> bool {
        self.sealed.starts_with(&self.associated.seq.to_be_bytes())
    }

    fn aead(&self) -> Aead {
        Aead::new(self.suite, &self.keymat).unwrap()
    }
}

fn suites() -> impl Iterator<Item = Suite> {
    Suite::ALL.iter().chain(Suite::INSECURE).copied()
}

fn open(aead: &Aead, associated: &Associated, sealed: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut packet = sealed.to_vec();
    let opened = aead.open(associated, &mut packet);
    opened.map(|plaintext| plaintext.to_vec())
}

#[test]
fn known_packets_open_to_their_plaintext() {
    for packet in Packet::all() {
        let opened = open(&packet.aead(), &packet.associated, &packet.sealed);
        assert_eq!(opened.as_ref(), Ok(&packet.plaintext), "{packet:?}");
    }
}

#[test]
fn packets_whose_iv_is_their_number_are_sealed_to_the_same_octets() {
    let packets = Packet::all();
    let own: Vec<_> = packets
        .iter()
        .filter(|packet| packet.iv_is_sequence_number())
        .collect();
    for suite in Suite::COMBINED {
        assert_eq!(own.iter().filter(|own| own.suite == *suite).count(), 4);
    }
    for packet in own {
        let iv_octets = packet.suite.iv_octets();
        let mut sealed = vec![0xee; packet.sealed.len()];
        sealed[iv_octets..][..packet.plaintext.len()].copy_from_slice(&packet.plaintext);
        assert_eq!(packet.aead().seal(&packet.associated, &mut sealed), Ok(()));
        assert_eq!(sealed, packet.sealed, "{packet:?}");
    }
}

#[test]
fn packets_of_every_suite_open_to_what_was_sealed() {
    for suite in suites() {
        let aead = Aead::new(suite, &vec![0xa5; suite.keymat_octets()]).unwrap();
        for seq in [1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            for esn in [false, true] {
                let associated = Associated { spi: 9, seq, esn };
                let plaintext = vec![0x3c; 5 * suite.align_octets()];
                let [iv, icv] =
                    [suite.iv_octets(), suite.icv_octets()].map(|octets| vec![0; octets]);
                let mut packet = [iv, plaintext.clone(), icv].concat();
                assert_eq!(aead.seal(&associated, &mut packet), Ok(()));
                assert_eq!(open(&aead, &associated, &packet), Ok(plaintext));
            }
        }
    }
}

#[test]
fn any_changed_octet_of_a_known_packet_is_refused() {
    for packet in Packet::all() {
        let aead = packet.aead();
        for at in 0..packet.sealed.len() {
            let mut changed = packet.sealed.clone();
            changed[at] ^= 1 << (at % 8);
            let opened = open(&aead, &packet.associated, &changed);
            assert_eq!(opened, Err(Refused), "octet {at} of {packet:?}");
        }
    }
}

#[test]
fn any_changed_bit_of_spi_and_number_is_refused() {
    for packet in Packet::all() {
        let (aead, associated) = (packet.aead(), packet.associated);
        let number_bits = if associated.esn { 64 } else { 32 };
        let spis = (0..32).map(|bit| Associated {
            spi: associated.spi ^ 1 << bit,
            ..associated
        });
        let numbers = (0..number_bits).map(|bit| Associated {
            seq: associated.seq ^ 1 << bit,
            ..associated
        });
        let esn = [Associated {
            esn: !associated.esn,
            ..associated
        }];
        for changed in spis.chain(numbers).chain(esn) {
            let opened = open(&aead, &changed, &packet.sealed);
            assert_eq!(opened, Err(Refused), "{changed:?} for {packet:?}");
        }
    }
}

#[test]
fn any_changed_bit_of_key_and_salt_is_refused() {
    for packet in Packet::all() {
        for bit in 0..packet.keymat.len() * 8 {
            let mut keymat = packet.keymat.clone();
            keymat[bit / 8] ^= 1 << (bit % 8);
            let aead = Aead::new(packet.suite, &keymat).unwrap();
            let opened = open(&aead, &packet.associated, &packet.sealed);
            // Triple-DES takes 7 bits of each octet.
            let is_parity = packet.suite.name().starts_with("3des") && bit % 8 == 0;
            // The integrity key of a chained mode tells nothing of the key before it.
            if is_parity && bit < packet.key_octets * 8 {
                assert_eq!(opened.as_ref(), Ok(&packet.plaintext));
            } else if packet.suite.is_slow() && bit < packet.key_octets * 8 {
                assert_ne!(opened, Ok(packet.plaintext.clone()));
            } else {
                assert_eq!(opened, Err(Refused), "bit {bit} of {packet:?}");
            }
        }
    }
}

#[test]
fn packets_cut_short_are_refused() {
    for packet in Packet::all() {
        let aead = packet.aead();
        for octets in 0..packet.sealed.len() {
            let opened = open(&aead, &packet.associated, &packet.sealed[..octets]);
            assert_eq!(opened, Err(Refused), "{octets} octets of {packet:?}");
        }
        for octets in 0..packet.suite.iv_octets() + packet.suite.icv_octets() {
            let sealed = aead.seal(&packet.associated, &mut vec![0; octets]);
            assert_eq!(sealed, Err(Refused), "{octets} octets");
        }
    }
}

#[test]
fn keying_material_of_any_other_length_is_refused() {
    for suite in suites() {
        let wanted = suite.keymat_octets();
        for octets in 0..=2 * wanted {
            let refused = Aead::new(suite, &vec![7; octets]).err();
            let expected = (octets != wanted).then_some(KeymatLength { octets, wanted });
            assert_eq!(refused, expected);
        }
    }
    let refused = KeymatLength {
        octets: 16,
        wanted: 20,
    };
    assert_eq!(
        refused.to_string(),
        "16 octets of keying material, 20 wanted"
    );
}

#[test]
fn what_it_shows_of_itself_is_its_suite() {
    for suite in suites() {
        let aead = Aead::new(suite, &vec![0xa5; suite.keymat_octets()]).unwrap();
        assert_eq!(aead.suite(), suite);
        for shown in [format!("{aead:?}"), format!("{aead:#?}")] {
            assert_eq!(shown, format!("Aead({suite})"));
        }
    }
}

#[test]
fn each_suite_is_the_one_of_its_name() {
    for &suite in Suite::ALL {
        assert_eq!(Suite::parse(suite.name()), Some(suite));
        assert_eq!(suite.to_string(), suite.name());
    }
    for other in [
        "",
        "aes128gcm",
        "aes192gcm16",
        "AES128GCM16",
        "aes128gcm16 ",
        "aes128-sha1",
        "3des-md5",
    ] {
        assert_eq!(Suite::parse(other), None, "{other}");
    }
}

#[test]
fn the_documented_table_gives_the_octets_of_each_suite() {
    let source = include_str!("../src/lib.rs");
    for suite in suites() {
        let start = format!("//! | {} | ", suite.name());
        let mut rows = source.lines().filter_map(|line| line.strip_prefix(&start));
        let row = rows.next().unwrap_or_else(|| panic!("no row of {suite}"));
        let cells: Vec<_> = row.split(" | ").collect();
        let octets = |cell: &str| -> Vec<usize> {
            let numbers = cell.split(", ").map(str::parse);
            numbers.map(Result::unwrap).collect()
        };
        let keymat = octets(cells[1].trim_end_matches(" (HMAC)"));
        assert_eq!(keymat.iter().sum::<usize>(), suite.keymat_octets());
        assert_eq!(octets(cells[2]), [suite.iv_octets(), suite.icv_octets()]);
    }
}
