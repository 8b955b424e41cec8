//! The secrets of a tunnel's IKE, read from their files.

use std::sync::Arc;

use adit_crypto::{Certificate, SecretBytes, SigningKey, TrustAnchors};

use crate::config::{self, IkeConfig};
use crate::keys;

/// What a tunnel proves itself with, and its peer.
#[derive(Debug)]
pub(super) enum Credentials {
    /// By a pre-shared key, which with Easy VPN is the group's.
    Psk {
        psk: Arc<SecretBytes>,
        /// That of an Easy VPN user.
        password: Option<Arc<SecretBytes>>,
    },
    /// By certificates.
    Certificate {
        chain: Vec<Certificate>,
        key: Arc<SigningKey>,
        anchors: Arc<TrustAnchors>,
    },
}

impl Credentials {
    /// Reads the files.
    pub(super) fn read(tunnel: &str, ike: &IkeConfig) -> Result<Self, String> {
        match &ike.credentials {
            config::Credentials::Psk(file) => {
                let psk = keys::read_psk(file).map_err(|error| error.to_string())?;
                if keys::is_weak_psk(&psk) {
                    tracing::warn!(
                        tunnel,
                        "{}: who records one attempt can guess so weak a key: `adit keygen psk FILE` draws a strong one",
                        ike.psk_key().join(".")
                    );
                }
                let password = ike
                    .easy_vpn()
                    .map(|it| keys::read_password(&it.password_file));
                let password = password.transpose().map_err(|error| error.to_string())?;
                Ok(Self::Psk {
                    psk: Arc::new(psk),
                    password: password.map(Arc::new),
                })
            }
            config::Credentials::Certificate {
                chain,
                key,
                anchors,
            } => {
                let (chain, key) =
                    keys::read_certificate(chain, key).map_err(|error| error.to_string())?;
                let anchors = keys::read_anchors(anchors).map_err(|error| error.to_string())?;
                Ok(Self::Certificate {
                    chain,
                    key: Arc::new(key),
                    anchors: Arc::new(anchors),
                })
            }
        }
    }

    /// Whether both are by the same pre-shared key.
    pub(super) fn is_same_psk(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Psk { psk: one, .. }, Self::Psk { psk: other, .. }) => {
                keys::is_same_psk(one, other)
            }
            (Self::Psk { .. } | Self::Certificate { .. }, _) => false,
        }
    }
}
