//! A message as it came: header, payloads, and what is looked for in them.

use super::chain::Iv;
use super::core::Core;
use crate::ike::{ConnectionId, Identity};
use crate::wire::isakmp::{
    Attributes, Delete, Header, Id, Notify, Payload, SaPayload, VendorId, opened, payloads, summary,
};

/// A message whose payloads were read; they are not believed before a HASH was verified.
pub(super) struct Contents<'a> {
    pub(super) header: Header,
    pub(super) payloads: Vec<Payload<'a>>,
    /// The payloads' octets, without padding.
    pub(super) chain: &'a [u8],
    /// The whole datagram, as it came.
    pub(super) octets: &'a [u8],
    /// The IV of the message after it, if it was encrypted.
    pub(super) next_iv: Option<Iv>,
}

impl<'a> Contents<'a> {
    /// A message in the clear.
    pub(super) fn plain(header: Header, octets: &'a [u8]) -> Option<Self> {
        let chain = octets.get(crate::wire::isakmp::HEADER_OCTETS..)?;
        let payloads = payloads(header.next_payload, chain).ok()?;
        Some(Self {
            header,
            payloads,
            chain,
            octets,
            next_iv: None,
        })
    }

    /// A message that was decrypted to `chain`.
    pub(super) fn decrypted(
        header: Header,
        octets: &'a [u8],
        chain: &'a [u8],
        next_iv: Iv,
    ) -> Option<Self> {
        let opened = opened(header.next_payload, chain).ok()?;
        Some(Self {
            header,
            payloads: opened.payloads,
            chain: opened.chain,
            octets,
            next_iv: Some(next_iv),
        })
    }

    /// The SA payload, which there has to be one of.
    pub(super) fn sa(&self) -> Option<(&SaPayload<'a>, &'a [u8])> {
        let mut all = self.payloads.iter().filter_map(|payload| {
            let Payload::Sa { sa, body } = payload else {
                return None;
            };
            Some((sa, *body))
        });
        all.next().filter(|_| all.next().is_none())
    }

    pub(super) fn ke(&self) -> Option<&'a [u8]> {
        self.payloads.iter().find_map(|payload| {
            let Payload::Ke(public) = payload else {
                return None;
            };
            Some(*public)
        })
    }

    pub(super) fn nonce(&self) -> Option<&'a [u8]> {
        self.payloads.iter().find_map(|payload| {
            let Payload::Nonce(nonce) = payload else {
                return None;
            };
            Some(*nonce)
        })
    }

    pub(super) fn hash(&self) -> Option<&'a [u8]> {
        self.payloads.iter().find_map(|payload| {
            let Payload::Hash(hash) = payload else {
                return None;
            };
            Some(*hash)
        })
    }

    /// The identities, in their order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &Id<'a>> {
        self.payloads.iter().filter_map(|payload| {
            let Payload::Id(id) = payload else {
                return None;
            };
            Some(id)
        })
    }

    pub(super) fn vendor_ids(&self) -> impl Iterator<Item = &'a [u8]> {
        self.payloads.iter().filter_map(|payload| {
            let Payload::VendorId(octets) = payload else {
                return None;
            };
            Some(*octets)
        })
    }

    pub(super) fn knows(&self, vendor: VendorId) -> bool {
        self.vendor_ids()
            .any(|octets| VendorId::recognise(octets) == Some(vendor))
    }

    /// The hashes of addresses of RFC 3947.
    pub(super) fn nat_d(&self) -> Vec<&'a [u8]> {
        let of = |payload: &Payload<'a>| {
            let Payload::NatD { is_draft, hash } = payload else {
                return None;
            };
            (!is_draft).then_some(*hash)
        };
        self.payloads.iter().filter_map(of).collect()
    }

    pub(super) fn notifies(&self) -> impl Iterator<Item = &Notify<'a>> {
        self.payloads.iter().filter_map(|payload| {
            let Payload::Notify(notify) = payload else {
                return None;
            };
            Some(notify)
        })
    }

    pub(super) fn has_notify(&self, kind: u16) -> bool {
        self.notifies().any(|notify| notify.kind == kind)
    }

    pub(super) fn deletes(&self) -> impl Iterator<Item = &Delete> {
        self.payloads.iter().filter_map(|payload| {
            let Payload::Delete(delete) = payload else {
                return None;
            };
            Some(delete)
        })
    }

    pub(super) fn attributes(&self) -> Option<&Attributes<'a>> {
        self.payloads.iter().find_map(|payload| {
            let Payload::Attributes(attributes) = payload else {
                return None;
            };
            Some(attributes)
        })
    }
}

/// Who a peer says it is.
pub(super) fn identity(id: &Id<'_>) -> Option<Identity> {
    let id = crate::wire::ike::Id {
        kind: id.kind,
        data: id.data,
    };
    Identity::from_wire(id).ok()
}

/// The line of a message of ours.
pub(super) fn trace_sent(
    core: &mut Core,
    id: Option<ConnectionId>,
    header: &Header,
    first: u8,
    chain: &[u8],
) {
    core.trace(id, || {
        let payloads = opened(first, chain).map(|opened| summary(&opened.payloads));
        let words = payloads.unwrap_or_default();
        format!("→ {} {}: {words}", header.exchange, message_words(header))
    });
}

/// A message's ID as routers write it.
pub(super) fn message_words(header: &Header) -> String {
    format!("{:08x}", header.message_id)
}
