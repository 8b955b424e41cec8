//! Every exchange of `vectors/`, computed again: keys, proofs, chains of encrypted messages.

mod chains;
mod keys;
mod messages;

use std::net::SocketAddr;

use adit_crypto::SecretBytes;
use adit_crypto::v1::{Cipher, Hash};
use serde_json::Value;

use super::hash::Exchanged;
use super::keys::{IsakmpKeys, Seeds};
use crate::wire::isakmp::{HEADER_OCTETS, Header, Opened, Payload, opened, payloads};

macro_rules! scenarios {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../vectors/", $name, ".vector.json")))),*]
    };
}

/// A recorded exchange between two implementations.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) psk: SecretBytes,
    pub(super) sas: Vec<RecordedSa>,
    pub(super) messages: Vec<Message>,
}

/// An ISAKMP SA as its own peers derived it.
pub(super) struct RecordedSa {
    pub(super) hash: Hash,
    pub(super) cipher: Cipher,
    pub(super) cky_i: u64,
    pub(super) cky_r: u64,
    pub(super) g_xy: SecretBytes,
    pub(super) ni: Vec<u8>,
    pub(super) nr: Vec<u8>,
    pub(super) value: Value,
}

/// A datagram without the non-ESP marker.
pub(super) struct Message {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) octets: Vec<u8>,
    pub(super) header: Header,
    /// The IV and what was encrypted, with padding.
    pub(super) encrypted: Option<(Vec<u8>, Vec<u8>)>,
}

impl Scenario {
    pub(super) fn all() -> Vec<Self> {
        let recorded =
            scenarios!["v1psk" "v1x25519" "v1v-c" "shimv1" "lsv1" "xauth-yes" "xauth-no"];
        let read = |(name, text): (&'static str, &str)| Self::read(name, text);
        recorded.into_iter().map(read).collect()
    }

    pub(super) fn of(name: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|scenario| scenario.name == name).unwrap()
    }

    fn read(name: &'static str, text: &str) -> Self {
        let mut value: Value = serde_json::from_str(text).unwrap();
        let mut list = |name: &str| value[name].as_array_mut().map(std::mem::take).unwrap();
        let sas = list("isakmp_sas").into_iter().map(RecordedSa::read);
        let sas = sas.collect();
        let messages = list("messages").iter().map(Message::read).collect();
        let psk = value["psk"].as_str().unwrap();
        Self {
            name,
            psk: SecretBytes::from_slice(psk.as_bytes()),
            sas,
            messages,
        }
    }

    /// The messages of an SA.
    pub(super) fn of_sa(&self, sa: &RecordedSa) -> Vec<&Message> {
        let is_of = |message: &&Message| message.header.cky_i == sa.cky_i;
        self.messages.iter().filter(is_of).collect()
    }
}

impl RecordedSa {
    fn read(value: Value) -> Self {
        let proposal = value["proposal"].as_str().unwrap();
        let hash = if proposal.contains("SHA2_384") {
            Hash::Sha384
        } else {
            Hash::Sha256
        };
        let cipher = if proposal.starts_with("AES_CBC_256") {
            Cipher::Aes256Cbc
        } else {
            panic!("{proposal}")
        };
        let field = |name: &str| octets(value[name].as_str().unwrap());
        let cookie = |name: &str| u64::from_be_bytes(field(name).try_into().unwrap());
        Self {
            hash,
            cipher,
            cky_i: cookie("CKY_I"),
            cky_r: cookie("CKY_R"),
            g_xy: SecretBytes::new(field("g_xy")),
            ni: field("Ni"),
            nr: field("Nr"),
            value,
        }
    }

    pub(super) fn field(&self, name: &str) -> Vec<u8> {
        octets(self.value[name].as_str().unwrap())
    }

    pub(super) fn keys(&self, psk: &SecretBytes) -> IsakmpKeys {
        let seeds = Seeds {
            ni: &self.ni,
            nr: &self.nr,
            cky_i: self.cky_i,
            cky_r: self.cky_r,
        };
        IsakmpKeys::derive(self.hash, psk, &seeds, &self.g_xy)
    }
}

/// What an SA's ends sent in the clear.
pub(super) struct Sent {
    pub(super) g_xi: Vec<u8>,
    pub(super) g_xr: Vec<u8>,
    pub(super) sai_b: Vec<u8>,
}

impl Sent {
    pub(super) fn of(messages: &[&Message]) -> Self {
        let clear = || messages.iter().filter(|m| m.encrypted.is_none());
        let mut publics = clear().filter_map(|message| {
            message.clear().into_iter().find_map(|payload| {
                if let Payload::Ke(public) = payload {
                    Some(public.to_vec())
                } else {
                    None
                }
            })
        });
        let (g_xi, g_xr) = (publics.next().unwrap(), publics.next().unwrap());
        let sai_b = clear().find_map(|message| {
            message.clear().into_iter().find_map(|payload| {
                if let Payload::Sa { body, .. } = payload {
                    Some(body.to_vec())
                } else {
                    None
                }
            })
        });
        Self {
            g_xi,
            g_xr,
            sai_b: sai_b.unwrap(),
        }
    }

    pub(super) fn exchanged(&self, sa: &RecordedSa) -> Exchanged<'_> {
        Exchanged {
            g_xi: &self.g_xi,
            g_xr: &self.g_xr,
            cky_i: sa.cky_i,
            cky_r: sa.cky_r,
            sai_b: &self.sai_b,
        }
    }
}

impl Message {
    fn read(value: &Value) -> Self {
        let octets_of = |name: &str| value[name].as_str().map(octets);
        let octets = octets_of("hex").unwrap();
        let header = Header::parse(&octets).unwrap();
        let port = |name: &str| u16::try_from(value[name].as_u64().unwrap()).unwrap();
        let source: std::net::IpAddr = value["src"].as_str().unwrap().parse().unwrap();
        let [a, b] = ["10.77.0.1", "10.77.0.2"].map(|end| end.parse::<std::net::IpAddr>().unwrap());
        let destination = if source == a { b } else { a };
        Self {
            source: (source, port("sport")).into(),
            destination: (destination, port("dport")).into(),
            header,
            encrypted: octets_of("iv").zip(octets_of("plaintext")),
            octets,
        }
    }

    /// The payloads of a message in the clear.
    pub(super) fn clear(&self) -> Vec<Payload<'_>> {
        assert!(!self.header.flags.encryption);
        payloads(self.header.next_payload, &self.octets[HEADER_OCTETS..]).unwrap()
    }

    /// The payloads of an encrypted message.
    pub(super) fn opened(&self) -> Opened<'_> {
        let (_, plaintext) = self.encrypted.as_ref().unwrap();
        opened(self.header.next_payload, plaintext).unwrap()
    }

    /// The payloads of any message.
    pub(super) fn payloads(&self) -> Vec<Payload<'_>> {
        match self.encrypted {
            Some(_) => self.opened().payloads,
            None => self.clear(),
        }
    }
}

pub(super) fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
