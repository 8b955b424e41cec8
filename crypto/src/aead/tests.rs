//! The initialization vectors of chained modes.

use std::collections::BTreeSet;

use super::*;

fn keymat(suite: Suite) -> Vec<u8> {
    (1..).take(suite.keymat_octets()).collect()
}

fn iv(aead: &Aead, seq: u64) -> Vec<u8> {
    let suite = aead.suite();
    let mut packet = vec![0; suite.iv_octets() + suite.align_octets() + suite.icv_octets()];
    let associated = Associated {
        spi: 7,
        seq,
        esn: true,
    };
    aead.seal(&associated, &mut packet).unwrap();
    packet[..suite.iv_octets()].to_vec()
}

#[test]
fn ivs_of_chained_modes_differ_in_every_packet_and_under_every_key() {
    let mut ivs = BTreeSet::new();
    let mut sealed = 0;
    let suites = Suite::ALL.iter().chain(Suite::INSECURE);
    for &suite in suites.filter(|suite| suite.is_slow()) {
        let mut other = keymat(suite);
        other[0] ^= 1;
        for keymat in [keymat(suite), other] {
            let aead = Aead::new(suite, &keymat).unwrap();
            for seq in (0..100).chain([1 << 32, u64::MAX]) {
                let iv = iv(&aead, seq);
                assert!(!iv.ends_with(&seq.to_be_bytes()));
                ivs.insert(iv);
                sealed += 1;
            }
        }
    }
    assert_eq!(ivs.len(), sealed);
}

#[test]
fn a_text_of_no_whole_blocks_is_not_sealed_under_a_chained_mode() {
    for suite in [Suite::Aes128CbcHmacSha256, Suite::TripleDesCbcHmacSha1] {
        let aead = Aead::new(suite, &keymat(suite)).unwrap();
        let associated = Associated {
            spi: 7,
            seq: 1,
            esn: false,
        };
        for octets in 1..suite.align_octets() {
            let mut packet = vec![0; suite.iv_octets() + octets + suite.icv_octets()];
            assert_eq!(aead.seal(&associated, &mut packet), Err(Refused));
        }
    }
}
