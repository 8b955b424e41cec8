//! What one message holds, payload by payload.

use crate::wire::ike::{Header, Id, Notify, Payload, Protocol, SaPayload, TrafficSelector};

/// The payloads of one message whose sender is known as far as its exchange makes it.
pub(super) struct Contents<'a> {
    /// Its header.
    pub(super) header: Header,
    /// Its payloads, those that were sealed in their place.
    pub(super) payloads: Vec<Payload<'a>>,
}

impl<'a> Contents<'a> {
    fn first<'b, T>(&'b self, pick: impl Fn(&'b Payload<'a>) -> Option<T>) -> Option<T> {
        self.payloads.iter().find_map(pick)
    }

    pub(super) fn sa(&self) -> Option<&SaPayload> {
        self.first(|payload| {
            if let Payload::Sa(sa) = payload {
                Some(sa)
            } else {
                None
            }
        })
    }

    /// KE: group and public value.
    pub(super) fn ke(&self) -> Option<(u16, &'a [u8])> {
        self.first(|payload| {
            if let Payload::Ke { group, data } = payload {
                Some((*group, *data))
            } else {
                None
            }
        })
    }

    pub(super) fn nonce(&self) -> Option<&'a [u8]> {
        self.first(|payload| {
            if let Payload::Nonce(nonce) = payload {
                Some(*nonce)
            } else {
                None
            }
        })
    }

    pub(super) fn id_i(&self) -> Option<Id<'a>> {
        self.first(|payload| {
            if let Payload::IdI(id) = payload {
                Some(*id)
            } else {
                None
            }
        })
    }

    pub(super) fn id_r(&self) -> Option<Id<'a>> {
        self.first(|payload| {
            if let Payload::IdR(id) = payload {
                Some(*id)
            } else {
                None
            }
        })
    }

    /// AUTH: method and data.
    pub(super) fn auth(&self) -> Option<(u8, &'a [u8])> {
        self.first(|payload| {
            if let Payload::Auth { method, data } = payload {
                Some((*method, *data))
            } else {
                None
            }
        })
    }

    pub(super) fn ts_i(&self) -> Option<&[TrafficSelector]> {
        self.first(|payload| {
            if let Payload::TsI(selectors) = payload {
                Some(selectors.as_slice())
            } else {
                None
            }
        })
    }

    pub(super) fn ts_r(&self) -> Option<&[TrafficSelector]> {
        self.first(|payload| {
            if let Payload::TsR(selectors) = payload {
                Some(selectors.as_slice())
            } else {
                None
            }
        })
    }

    /// CERT payloads of that encoding, in their order.
    pub(super) fn certificates(&self, wanted: u8) -> impl Iterator<Item = &'a [u8]> {
        self.payloads.iter().filter_map(move |payload| {
            if let Payload::Cert { encoding, data } = payload
                && *encoding == wanted
            {
                Some(*data)
            } else {
                None
            }
        })
    }

    pub(super) fn notifies(&self) -> impl Iterator<Item = &Notify<'a>> {
        self.payloads.iter().filter_map(|payload| {
            if let Payload::Notify(notify) = payload {
                Some(notify)
            } else {
                None
            }
        })
    }

    pub(super) fn notify(&self, kind: u16) -> Option<&Notify<'a>> {
        self.notifies().find(|notify| notify.kind == kind)
    }

    pub(super) fn has(&self, kind: u16) -> bool {
        self.notify(kind).is_some()
    }

    /// The first notification of an error (RFC 7296 section 3.10.1: below 16384).
    pub(super) fn error(&self) -> Option<&Notify<'a>> {
        self.notifies()
            .find(|notify| notify.kind < crate::wire::ike::notify::FIRST_STATUS)
    }

    /// Vendor IDs.
    pub(super) fn vendors(&self) -> impl Iterator<Item = &'a [u8]> {
        self.payloads.iter().filter_map(|payload| {
            if let Payload::VendorId(id) = payload {
                Some(*id)
            } else {
                None
            }
        })
    }

    /// Whether it deletes the IKE SA that it is of.
    pub(super) fn deletes_ike(&self) -> bool {
        self.payloads
            .iter()
            .any(|payload| matches!(payload, Payload::Delete(delete) if delete.protocol == Protocol::Ike))
    }

    /// The SPIs of the ESP SAs that it deletes.
    pub(super) fn deletes_esp(&self) -> Vec<u32> {
        self.payloads
            .iter()
            .filter_map(|payload| {
                if let Payload::Delete(delete) = payload
                    && delete.protocol == Protocol::Esp
                {
                    Some(delete.spis.clone())
                } else {
                    None
                }
            })
            .flatten()
            .collect()
    }
}
