//! The AUTH payload: made, and the peer's checked (RFC 7296 section 2.15, RFC 7427).

use std::time::Instant;

use adit_crypto::{Certificate, TrustAnchors, verify_signature};

use super::Identity;
use super::auth::{Signature, psk_auth, psk_is_proven};
use super::connection::{Connection, LocalAuth, RemoteAuth};
use super::core::Core;
use super::failure::{Failure, PeerRefused};
use super::message::Contents;
use super::sa::PeerAbilities;
use super::sa_init::CERT_X509;
use crate::wire::ike::Writer;
use adit_crypto::Prf;

/// Shared Key Message Integrity Code (RFC 7296 section 3.8).
const METHOD_SHARED_KEY: u8 = 2;
/// Digital Signature (RFC 7427).
const METHOD_SIGNATURE: u8 = 14;
/// Certificates of a chain, the peer's own not counted.
const INTERMEDIATES_MAX: usize = 8;

/// CERT payloads, where we prove ourselves with a certificate.
pub(super) fn write_certificates(connection: &Connection, writer: &mut Writer) {
    if let LocalAuth::Certificate { chain, .. } = &connection.local_auth {
        for certificate in chain {
            writer.cert(CERT_X509, certificate.der());
        }
    }
}

/// CERTREQ, where the peer has to.
pub(super) fn write_request(connection: &Connection, writer: &mut Writer) {
    if let RemoteAuth::Certificate(anchors) = &connection.remote_auth {
        writer.cert_req(CERT_X509, &anchors.key_ids().concat());
    }
}

/// AUTH over our octets.
pub(super) fn write_auth(
    connection: &Connection,
    peer: &PeerAbilities,
    prf: Prf,
    octets: &[u8],
    writer: &mut Writer,
) -> Result<(), Failure> {
    match &connection.local_auth {
        LocalAuth::Psk(psk) => {
            writer.auth(METHOD_SHARED_KEY, psk_auth(prf, psk, octets).expose());
        }
        LocalAuth::Certificate { key, .. } => {
            if !peer.signature_hashes.contains(&key.hash_id()) {
                return Err(Failure::Local(
                    "the peer does not verify signatures of our key's algorithm",
                ));
            }
            let (algorithm, signature) = key
                .sign(octets)
                .map_err(|_| Failure::Local("our key does not sign"))?;
            let signature = Signature {
                algorithm: &algorithm,
                signature: &signature,
            };
            let data = signature
                .to_wire()
                .ok_or(Failure::Local("our signature does not fit"))?;
            writer.auth(METHOD_SIGNATURE, &data);
        }
    }
    Ok(())
}

/// Whether the AUTH payload proves that the peer is `identity`, by the method that the tunnel asks for and no other. What we
/// proved ourselves, sent back to us, proves nothing: nobody else is who we are.
pub(super) fn verify(
    core: &Core,
    now: Instant,
    connection: &Connection,
    identity: &Identity,
    prf: Prf,
    octets: &[u8],
    contents: &Contents<'_>,
) -> Result<(), PeerRefused> {
    let (method, data) = contents.auth().ok_or(PeerRefused::Method(0))?;
    if *identity == connection.local_id {
        return Err(PeerRefused::Ourselves);
    }
    match &connection.remote_auth {
        RemoteAuth::Psk(psk) => {
            if method != METHOD_SHARED_KEY {
                return Err(PeerRefused::Method(method));
            }
            if !psk_is_proven(prf, psk, octets, data) {
                return Err(PeerRefused::Psk);
            }
            Ok(())
        }
        RemoteAuth::Certificate(anchors) => {
            if method != METHOD_SIGNATURE {
                return Err(PeerRefused::Method(method));
            }
            let unix_time = core.unix_time(now).ok_or(PeerRefused::NoTime)?;
            let certificate = certificate(anchors, identity, unix_time, contents)?;
            let signature = Signature::parse(data).ok_or(PeerRefused::Signature)?;
            verify_signature(
                certificate.spki(),
                signature.algorithm,
                octets,
                signature.signature,
            )
            .map_err(|_| PeerRefused::Signature)
        }
    }
}

/// The peer's certificate, once it leads to an anchor and is of that identity.
fn certificate(
    anchors: &TrustAnchors,
    identity: &Identity,
    unix_time: u64,
    contents: &Contents<'_>,
) -> Result<Certificate, PeerRefused> {
    let mut chain = contents
        .certificates(CERT_X509)
        .take(INTERMEDIATES_MAX + 1)
        .map(|der| Certificate::from_der(der).map_err(|_| PeerRefused::CertificateMalformed));
    let own = chain.next().ok_or(PeerRefused::NoCertificate)??;
    let intermediates = chain.collect::<Result<Vec<_>, _>>()?;
    anchors
        .verify_chain(&own, &intermediates, unix_time)
        .map_err(PeerRefused::Certificate)?;
    if !identity.is_certified_by(&own) {
        return Err(PeerRefused::CertificateIdentity(identity.clone()));
    }
    Ok(own)
}
