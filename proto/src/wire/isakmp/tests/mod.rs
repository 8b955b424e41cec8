//! What recorded exchanges, hostile octets and made-up messages are read as.

mod cve;
mod hostile;
mod recorded;
mod round_trip;

use super::*;

macro_rules! scenarios {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../../ikev1/vectors/", $name, ".vector.json")))),*]
    };
}

/// One message of the recorded exchanges.
struct Recorded {
    scenario: &'static str,
    sent: Vec<u8>,
    /// What was encrypted, with padding.
    plaintext: Option<Vec<u8>>,
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn recorded() -> Vec<Recorded> {
    let scenarios = scenarios!["v1psk" "v1x25519" "v1v-c" "shimv1" "lsv1" "xauth-yes" "xauth-no"];
    let mut all = Vec::new();
    for (scenario, text) in scenarios {
        let vector: serde_json::Value = serde_json::from_str(text).unwrap();
        for message in vector["messages"].as_array().unwrap() {
            let field = |name: &str| message[name].as_str().map(octets);
            all.push(Recorded {
                scenario,
                sent: field("hex").unwrap(),
                plaintext: field("plaintext"),
            });
        }
    }
    all
}

impl Recorded {
    fn header(&self) -> Header {
        Header::parse(&self.sent).unwrap()
    }

    /// The type of the first payload and the chain, with padding where it was encrypted.
    fn chain(&self) -> (u8, &[u8]) {
        let clear = &self.sent[HEADER_OCTETS..];
        (self.sent[16], self.plaintext.as_deref().unwrap_or(clear))
    }
}

/// The payloads through the writer again.
fn rewrite(payloads: &[Payload<'_>]) -> (u8, Vec<u8>) {
    let mut writer = Writer::new();
    for payload in payloads {
        match payload {
            Payload::Sa { sa, .. } => writer.sa(sa),
            Payload::Ke(public) => writer.ke(public),
            Payload::Id(id) => writer.id(id),
            Payload::Cert { encoding, data } => writer.cert(*encoding, data),
            Payload::CertRequest {
                encoding,
                authority,
            } => writer.cert_request(*encoding, authority),
            Payload::Hash(hash) => writer.hash(hash),
            Payload::Signature(signature) => writer.raw(kind::SIG, signature),
            Payload::Nonce(nonce) => writer.nonce(nonce),
            Payload::Notify(notify) => writer.notify(notify),
            Payload::Delete(Delete::Isakmp(cookies)) => writer.delete_isakmp(&cookies[0]),
            Payload::Delete(Delete::Ipsec { spis, .. }) => writer.delete_esp(spis),
            Payload::VendorId(id) => writer.vendor_id(id),
            Payload::Attributes(a) => writer.attributes(a.kind, a.identifier, &a.attributes),
            Payload::NatD { hash, .. } => writer.nat_d(hash),
            Payload::NatOa { address, .. } => writer.nat_oa(address.unwrap()),
            Payload::Unknown { kind, body } => writer.raw(*kind, body),
        };
    }
    writer.finish()
}
