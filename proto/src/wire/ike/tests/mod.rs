//! What recorded exchanges, hostile octets and made-up messages are read as.

mod cve;
mod hostile;
mod recorded;
mod round_trip;
mod sealed;

use super::*;

/// One message of the recorded exchanges, or the payloads that were sealed in one.
struct Chain {
    scenario: &'static str,
    first: u8,
    octets: Vec<u8>,
}

macro_rules! scenarios {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../../ike/vectors/", $name, ".vector.json")))),*]
    };
}

const SCENARIOS: [(&str, &str); 20] = scenarios!(
    "authfail" "cbc" "cert" "chacha" "childless" "cookie" "gremark" "gretun2" "invke" "lsw" "mobike" "netlink" "noprop" "psk1"
    "shimt" "transp" "tsbad" "tsnarrow" "v2v-c" "v2v-r"
);

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn recorded() -> Vec<(&'static str, serde_json::Value)> {
    let parse = |(name, text)| (name, serde_json::from_str(text).unwrap());
    SCENARIOS.into_iter().map(parse).collect()
}

/// Every recorded message as it was sent.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let mut messages = Vec::new();
    for (scenario, vector) in recorded() {
        for message in vector["messages"].as_array().unwrap() {
            messages.push((scenario, octets(message["hex"].as_str().unwrap())));
        }
    }
    messages
}

/// Every recorded chain of payloads, sealed ones as they were before.
fn chains() -> Vec<Chain> {
    let mut chains = Vec::new();
    for (scenario, vector) in recorded() {
        for message in vector["messages"].as_array().unwrap() {
            let hex = message["hex"].as_str().unwrap();
            let sent = octets(hex);
            chains.push(Chain {
                scenario,
                first: sent[16],
                octets: sent[HEADER_OCTETS..].to_vec(),
            });
            if let Some(inside) = message["sk_plaintext"].as_str() {
                let first = message["sk_first_payload"].as_u64().unwrap();
                chains.push(Chain {
                    scenario,
                    first: u8::try_from(first).unwrap(),
                    octets: octets(inside),
                });
            }
        }
    }
    chains
}

/// The payloads through the writer again.
fn rewrite(payloads: &[Payload<'_>]) -> (u8, Vec<u8>) {
    let mut writer = Writer::new();
    for payload in payloads {
        match payload {
            Payload::Sa(sa) => writer.sa(sa),
            Payload::Ke { group, data } => writer.ke(*group, data),
            Payload::IdI(id) => writer.id_i(id.kind, id.data),
            Payload::IdR(id) => writer.id_r(id.kind, id.data),
            Payload::Cert { encoding, data } => writer.cert(*encoding, data),
            Payload::CertReq {
                encoding,
                authorities,
            } => writer.cert_req(*encoding, authorities),
            Payload::Auth { method, data } => writer.auth(*method, data),
            Payload::Nonce(nonce) => writer.nonce(nonce),
            Payload::Notify(n) => writer.notify(n.protocol, n.spi, n.kind, n.data),
            Payload::Delete(delete) if delete.protocol == Protocol::Ike => writer.delete_ike(),
            Payload::Delete(delete) => writer.delete_esp(&delete.spis),
            Payload::VendorId(id) => writer.vendor_id(id),
            Payload::TsI(selectors) => writer.ts_i(selectors),
            Payload::TsR(selectors) => writer.ts_r(selectors),
            Payload::Sk { body, .. } => writer.raw(kind::SK, body),
            Payload::Skf {
                number,
                total,
                body,
                ..
            } => {
                let numbers = [number.to_be_bytes(), total.to_be_bytes()].concat();
                writer.raw(kind::SKF, &[&numbers, *body].concat())
            }
            Payload::Configuration(body) => writer.raw(kind::CONFIGURATION, body),
            Payload::Eap(body) => writer.raw(kind::EAP, body),
            Payload::Unknown { kind, body, .. } => writer.raw(*kind, body),
        };
    }
    writer.finish()
}

/// A header that reads what the tests make.
fn header(response: bool) -> Header {
    let flags = Flags {
        initiator: !response,
        response,
        version: false,
    };
    Header::new(1, 2, ExchangeType::IkeSaInit, flags, 0)
}
