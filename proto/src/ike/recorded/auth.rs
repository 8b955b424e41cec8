//! What the ends signed, and with what.

use adit_crypto::{Certificate, verify_signature};

use super::super::auth::{
    METHOD_DIGITAL_SIGNATURE, METHOD_SHARED_KEY, Signature, psk_auth, psk_is_proven, signed_octets,
};
use super::super::identity::{self, Identity};
use super::{Message, RecordedSa, Scenario, first, octets};
use crate::wire::ike::{ExchangeType, Id, Payload};

/// Each end's identity, what it signed, and the method and data of its AUTH payload.
struct Proof {
    of: &'static str,
    id: Identity,
    id_body: Vec<u8>,
    signed: Vec<u8>,
    method: u8,
    data: Vec<u8>,
    certificate: Option<Certificate>,
}

fn id(message: &Message) -> Option<Id<'_>> {
    first!(message, Payload::IdI(id) | Payload::IdR(id) => id)
}

fn auth(message: &Message) -> Option<(u8, Vec<u8>)> {
    first!(message, Payload::Auth { method, data } => (method, data.to_vec()))
}

fn certificate(message: &Message) -> Option<Certificate> {
    first!(message, Payload::Cert { encoding: 4, data } => Certificate::from_der(data).unwrap())
}

/// What the initiator and then the responder proved in IKE_AUTH, as far as each did.
fn proofs(scenario: &Scenario, sa: &RecordedSa) -> Vec<Proof> {
    let keys = sa.keys(scenario);
    let (request, response) = scenario.init(sa);
    let ends = [
        ("initiator", request, response, &keys.sk_pi),
        ("responder", response, request, &keys.sk_pr),
    ];
    let mut proofs = Vec::new();
    for (of, own, other, sk_p) in ends {
        let is_own = |m: &&Message| m.header.flags.response == own.header.flags.response;
        let own_auth: Vec<_> = scenario
            .exchange(ExchangeType::IkeAuth, sa.spi_i)
            .filter(is_own)
            .collect();
        let Some(id) = own_auth.iter().find_map(|message| id(message)) else {
            continue;
        };
        let id_body = identity::body(id);
        for message in &own_auth {
            let Some((method, data)) = auth(message) else {
                continue;
            };
            proofs.push(Proof {
                of,
                id: Identity::from_wire(id).unwrap(),
                id_body: id_body.clone(),
                signed: signed_octets(&own.octets, &other.nonce(), sa.proposal.prf, sk_p, &id_body),
                method,
                data,
                certificate: certificate(message),
            });
        }
    }
    proofs
}

#[test]
fn every_end_signed_its_first_message_the_others_nonce_and_its_identity() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for sa in scenario.sas.iter().filter(|sa| sa.nonces.is_some()) {
            let recorded = sa.value["auth"].as_array().unwrap();
            for proof in proofs(&scenario, sa) {
                let is_it = recorded.iter().any(|one| {
                    octets(&one["octets"]) == proof.signed
                        && octets(&one["IDx_rest"]) == proof.id_body
                });
                assert!(is_it, "{} {}", scenario.name, proof.of);
                assert_eq!(proof.id.body(), proof.id_body);
                count += 1;
            }
        }
    }
    assert_eq!(count, 42);
}

#[test]
fn every_pre_shared_key_is_proven_except_another_one() {
    let mut count = 0;
    for scenario in Scenario::all() {
        if scenario.name == "mobike" {
            continue;
        }
        for sa in scenario.sas.iter().filter(|sa| sa.nonces.is_some()) {
            let shared = |proof: &Proof| proof.method == METHOD_SHARED_KEY;
            for proof in proofs(&scenario, sa).into_iter().filter(shared) {
                let prf = sa.proposal.prf;
                let computed = psk_auth(prf, &scenario.psk, &proof.signed);
                let is_proven = psk_is_proven(prf, &scenario.psk, &proof.signed, &proof.data);
                assert_eq!(is_proven, scenario.name != "authfail", "{}", scenario.name);
                assert_eq!(computed.expose() == proof.data, is_proven);
                let recorded = sa.value["auth"].as_array().unwrap();
                assert!(
                    recorded
                        .iter()
                        .any(|one| octets(&one["AUTH"]) == proof.data)
                );
                count += 1;
            }
        }
    }
    assert_eq!(count, 37);
}

#[test]
fn every_signature_is_that_of_the_certificate_of_its_identity() {
    let mut count = 0;
    for scenario in Scenario::all() {
        for sa in scenario.sas.iter().filter(|sa| sa.nonces.is_some()) {
            let signed = |proof: &Proof| proof.method == METHOD_DIGITAL_SIGNATURE;
            for mut proof in proofs(&scenario, sa).into_iter().filter(signed) {
                let certificate = proof.certificate.unwrap();
                let Signature {
                    algorithm,
                    signature,
                } = Signature::parse(&proof.data).unwrap();
                let verify = |octets: &[u8]| {
                    verify_signature(certificate.spki(), algorithm, octets, signature).is_ok()
                };
                assert!(verify(&proof.signed), "{} {}", scenario.name, proof.of);
                proof.signed[0] ^= 1;
                assert!(!verify(&proof.signed));
                assert!(proof.id.is_certified_by(&certificate));
                let subject = certificate.subject_display();
                assert_ne!(subject, proof.id.to_string());
                let others = [
                    "c.ik.test",
                    "ik.test",
                    "*.ik.test",
                    "a@ik.test",
                    "10.77.0.1",
                    "keyid:a.ik.test",
                    "CN=a.ik.test",
                ];
                for other in others {
                    assert!(
                        !other
                            .parse::<Identity>()
                            .unwrap()
                            .is_certified_by(&certificate)
                    );
                }
                let name = format!("C=XX, O=IK Lab, CN={}", proof.id);
                assert!(
                    name.parse::<Identity>()
                        .unwrap()
                        .is_certified_by(&certificate)
                );
                count += 1;
            }
        }
    }
    assert_eq!(count, 3);
}
