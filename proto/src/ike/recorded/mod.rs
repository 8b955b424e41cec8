//! Every exchange of `vectors/`, computed again: keys, proofs, sealed messages, choices and hashes.

mod auth;
mod choices;
mod keys;

use std::net::SocketAddr;

use adit_crypto::{Group, IkeCipher, Integrity, Prf, SecretBytes};
use serde_json::Value;

use super::keys::{IkeKeys, Seeds};
use super::proposal::IkeProposal;
use crate::wire::ike::{ExchangeType, HEADER_OCTETS, Header, Notify, Payload, SaPayload, payloads};

macro_rules! scenarios {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../vectors/", $name, ".vector.json")))),*]
    };
}

/// What the first payload of a message that is of the pattern holds.
macro_rules! first {
    ($message:expr, $pattern:pat => $value:expr) => {
        $message.payloads().into_iter().find_map(|payload| {
            if let $pattern = payload {
                return Some($value);
            }
            None
        })
    };
}
use first;

/// A recorded exchange between two implementations.
struct Scenario {
    name: &'static str,
    psk: SecretBytes,
    sas: Vec<RecordedSa>,
    messages: Vec<Message>,
    children: Vec<Value>,
    esp: Vec<Value>,
}

/// An IKE SA as its own peers derived it.
struct RecordedSa {
    proposal: IkeProposal,
    spi_i: u64,
    spi_r: u64,
    g_ir: SecretBytes,
    /// Of IKE_SA_INIT; none when another IKE SA was rekeyed.
    nonces: Option<(Vec<u8>, Vec<u8>)>,
    value: Value,
}

/// A datagram without the non-ESP marker.
struct Message {
    source: SocketAddr,
    destination: SocketAddr,
    octets: Vec<u8>,
    header: Header,
    /// The type of the first payload and the chain, opened where it was sealed.
    chain: (u8, Vec<u8>),
}

impl Scenario {
    fn all() -> Vec<Self> {
        let recorded = scenarios![
            "psk1" "chacha" "cbc" "cert" "invke" "cookie" "noprop" "authfail" "tsbad" "tsnarrow" "childless" "mobike" "gretun2"
            "gremark" "transp" "netlink" "shimt" "v2v-c" "v2v-r" "lsw"
        ];
        let read = |(name, text): (&'static str, &str)| Self::read(name, text);
        recorded.into_iter().map(read).collect()
    }

    fn of(name: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|scenario| scenario.name == name).unwrap()
    }

    fn read(name: &'static str, text: &str) -> Self {
        let mut value: Value = serde_json::from_str(text).unwrap();
        let mut list = |name: &str| value[name].as_array_mut().map(std::mem::take).unwrap();
        let sas = list("ike_sas").into_iter().map(RecordedSa::read).collect();
        let messages = list("messages").iter().map(Message::read).collect();
        let (children, esp) = (list("child_sas"), list("esp"));
        let psk = value["psk"].as_str().unwrap();
        Self {
            name,
            psk: SecretBytes::from_slice(psk.as_bytes()),
            sas,
            messages,
            children,
            esp,
        }
    }

    /// The messages of an exchange, requests and responses, of the IKE SA of that initiator's SPI.
    fn exchange(&self, exchange: ExchangeType, spi_i: u64) -> impl Iterator<Item = &Message> {
        let is_of = move |message: &&Message| {
            (message.header.exchange, message.header.spi_i) == (exchange, spi_i)
        };
        self.messages.iter().filter(is_of)
    }

    /// The IKE_SA_INIT request and response that an IKE SA came from: the last ones.
    fn init(&self, sa: &RecordedSa) -> (&Message, &Message) {
        let of = |response| {
            let mut messages = self.exchange(ExchangeType::IkeSaInit, sa.spi_i);
            let is_of = |message: &&Message| message.header.flags.response == response;
            messages.by_ref().filter(is_of).last().unwrap()
        };
        (of(false), of(true))
    }

    /// The request of a response.
    fn request(&self, response: &Message) -> &Message {
        let mut messages = self.messages.iter();
        let is_it = |request: &&Message| {
            let is_answered = self
                .response(request)
                .map(|it| it.octets == response.octets);
            !request.header.flags.response && is_answered == Some(true)
        };
        messages.find(is_it).unwrap()
    }

    /// The response to a request.
    fn response(&self, request: &Message) -> Option<&Message> {
        let of = |header: &Header| (header.spi_i, header.exchange, header.message_id);
        self.messages.iter().find(|message| {
            let header = &message.header;
            let other_end = header.flags.initiator != request.header.flags.initiator;
            header.flags.response && other_end && of(header) == of(&request.header)
        })
    }
}

impl RecordedSa {
    fn read(value: Value) -> Self {
        let nonces = value
            .get("Ni")
            .map(|_| (octets(&value["Ni"]), octets(&value["Nr"])));
        Self {
            proposal: proposal(value["proposal"].as_str().unwrap()),
            spi_i: spi(&value["SPIi"]),
            spi_r: spi(&value["SPIr"]),
            g_ir: SecretBytes::new(octets(&value["g_ir"])),
            nonces,
            value,
        }
    }

    fn seeds<'a>(&self, (ni, nr): (&'a [u8], &'a [u8])) -> Seeds<'a> {
        Seeds {
            ni,
            nr,
            spi_i: self.spi_i,
            spi_r: self.spi_r,
        }
    }

    /// The keys from the recorded shared secret on; those of a rekeyed IKE SA from what was said on the first one.
    fn keys(&self, scenario: &Scenario) -> IkeKeys {
        if let Some((ni, nr)) = &self.nonces {
            return IkeKeys::derive(&self.proposal, &self.seeds((ni, nr)), &self.g_ir);
        }
        let old = &scenario.sas[0];
        let old_keys = old.keys(scenario);
        let spi = self.spi_i.to_be_bytes().to_vec();
        let offers = |message: &&Message| {
            !message.header.flags.response
                && message.sa().is_some_and(|sa| sa.proposals[0].spi == spi)
        };
        let mut messages = scenario.exchange(ExchangeType::CreateChildSa, old.spi_i);
        let request = messages.find(offers).unwrap();
        let response = scenario.response(request).unwrap();
        let nonces = (request.nonce(), response.nonce());
        let seeds = self.seeds((&nonces.0, &nonces.1));
        IkeKeys::rekey(
            &self.proposal,
            &seeds,
            &self.g_ir,
            old.proposal.prf,
            &old_keys.sk_d,
        )
    }
}

impl Message {
    fn read(value: &Value) -> Self {
        let message = octets(&value["hex"]);
        let header = Header::parse(&message).unwrap();
        let chain = match value.get("sk_plaintext") {
            Some(plaintext) => {
                let first = value["sk_first_payload"].as_u64().unwrap();
                (u8::try_from(first).unwrap(), octets(plaintext))
            }
            None => (header.next_payload, message[HEADER_OCTETS..].to_vec()),
        };
        let address = value["src"].as_str().unwrap();
        let other = match address {
            "10.77.0.2" => "10.77.0.1",
            _ => "10.77.0.2",
        };
        let at = |address: &str, port: &str| format!("{address}:{}", value[port]).parse().unwrap();
        Self {
            source: at(address, "sport"),
            destination: at(other, "dport"),
            octets: message,
            header,
            chain,
        }
    }

    fn payloads(&self) -> Vec<Payload<'_>> {
        payloads(self.chain.0, &self.chain.1).unwrap()
    }

    fn notifications(&self, kind: u16) -> Vec<Notify<'_>> {
        let notify = |payload| {
            if let Payload::Notify(notify) = payload {
                return Some(notify).filter(|notify| notify.kind == kind);
            }
            None
        };
        self.payloads().into_iter().filter_map(notify).collect()
    }

    fn nonce(&self) -> Vec<u8> {
        let nonce = first!(self, Payload::Nonce(nonce) => nonce.to_vec());
        nonce.unwrap()
    }

    fn sa(&self) -> Option<SaPayload> {
        first!(self, Payload::Sa(sa) => sa)
    }
}

fn octets(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let octet = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(octet).collect()
}

fn spi(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

/// Reads `"AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"`. A group that is not available stands for none: the shared secret is recorded.
fn proposal(words: &str) -> IkeProposal {
    let has = |word: &str| words.split('/').any(|part| part == word);
    let (cipher, integrity) = if has("AES_GCM_16_256") {
        (IkeCipher::Aes256Gcm16, None)
    } else if has("CHACHA20_POLY1305") {
        (IkeCipher::ChaCha20Poly1305, None)
    } else {
        assert!(has("AES_CBC_256") && has("HMAC_SHA2_256_128"), "{words}");
        (IkeCipher::Aes256Cbc, Some(Integrity::HmacSha256_128))
    };
    let prf = match words {
        _ if has("PRF_HMAC_SHA2_256") => Prf::HmacSha256,
        _ if has("PRF_HMAC_SHA2_384") => Prf::HmacSha384,
        _ if has("PRF_HMAC_SHA2_512") => Prf::HmacSha512,
        _ => panic!("{words}"),
    };
    let group = match words {
        _ if has("CURVE_25519") => Group::X25519,
        _ if has("ECP_384") || has("MODP_2048") => Group::EcpP384,
        _ => panic!("{words}"),
    };
    IkeProposal {
        cipher,
        integrity,
        prf,
        group,
    }
}
