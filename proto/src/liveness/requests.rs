//! A tunnel's requests, of whichever kind.

use std::net::IpAddr;

use adit_crypto::{Secret, SipHash24};

use super::config::{LivenessConfig, Probe};
use super::echo::{EchoCodec, PROBE_OCTETS_MAX};
use super::{Answer, Codec, Path, REQUEST_OCTETS_MAX};
use crate::counters::DropReason;
use crate::wire::gre;

const OCTETS_MAX: usize = PROBE_OCTETS_MAX;
const _: () = assert!(OCTETS_MAX >= REQUEST_OCTETS_MAX);

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A request through the tunnel.
    Keepalive(KeepaliveRequest),
    /// A probe over IKE (RFC 7296 section 2.4): whatever request is without an answer once more, or an empty INFORMATIONAL.
    IkeProbe,
}

/// A keepalive request to encapsulate and send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepaliveRequest {
    /// Where to: the tunnel's remote, or the preferred one that is probed beside it.
    pub path: Path,
    /// Whether it goes to the preferred remote beside the one in use.
    pub is_preferred: bool,
    /// GRE protocol type of the inner packet; for an echo probe it tells the IP version.
    pub protocol: u16,
    /// TOS of the outer header.
    pub tos: u8,
    octets: [u8; OCTETS_MAX],
    len: usize,
}

impl KeepaliveRequest {
    /// The inner packet: the payload of the GRE or the ESP packet to send.
    #[must_use]
    pub fn inner(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// Makes the requests and knows their answers.
#[derive(Debug)]
pub(super) enum Requests {
    Gre(Codec),
    Echo(EchoCodec),
    None,
}

impl Requests {
    /// As `config` asks; `key` is the secret of this run.
    pub(super) fn new(config: &LivenessConfig, key: &Secret<16>) -> Self {
        match config.probe {
            Probe::GreKeepalive => {
                let has_payload = config.keepalive.unwrap_or_default().payload;
                let mac = has_payload.then(|| SipHash24::new(key));
                Self::Gre(Codec::new(config.key_in, config.tunnel_id, mac))
            }
            Probe::Echo { source, target } => {
                let mac = SipHash24::new(key);
                Self::Echo(EchoCodec::new(source, target, config.tunnel_id, mac))
            }
            Probe::None => Self::None,
        }
    }

    /// Request `seq` over `path`, sent at `time_us`.
    pub(super) fn transmit(
        &self,
        path: Path,
        is_preferred: bool,
        seq: u32,
        time_us: u32,
    ) -> KeepaliveRequest {
        let mut octets = [0; OCTETS_MAX];
        let (len, protocol, tos) = match self {
            Self::Gre(codec) => {
                let len = match octets.first_chunk_mut() {
                    Some(out) => codec.request(path, seq, time_us, out),
                    None => 0,
                };
                (len, Codec::protocol(path), codec.tos())
            }
            Self::Echo(codec) => {
                let protocol = match codec.target() {
                    IpAddr::V4(_) => gre::PROTOCOL_IPV4,
                    IpAddr::V6(_) => gre::PROTOCOL_IPV6,
                };
                let len = codec.request(seq, time_us, &mut octets);
                (len, protocol, codec.tos())
            }
            Self::None => (0, 0, 0),
        };
        KeepaliveRequest {
            path,
            is_preferred,
            protocol,
            tos,
            octets,
            len,
        }
    }

    /// Which request a GRE packet answers: see [`Codec::answer`].
    pub(super) fn gre_answer(&self, header: &gre::Header, body: &[u8]) -> Option<Answer> {
        match self {
            Self::Gre(codec) => codec.answer(header, body),
            Self::Echo(_) | Self::None => None,
        }
    }

    /// Which request an inner packet answers: see [`EchoCodec::answer`].
    #[inline]
    pub(super) fn echo_answer(&self, inner: &[u8]) -> Result<Option<Answer>, DropReason> {
        match self {
            Self::Gre(_) | Self::None => Ok(None),
            Self::Echo(codec) => codec.answer(inner),
        }
    }
}
