//! What was forwarded, and the one reason for each packet that was not.
//!
//! A cell has one writer, the worker that owns the tunnel; it adds by a relaxed load and a relaxed store. Readers sum the
//! cells and may see a packet's octets before its packet, never a torn number.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped. Each dropped packet adds one to exactly one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $variant,)+ }

        impl DropReason {
            /// Every reason, in the order in which it is shown.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in counters, `status` and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the reason means, in a sentence.
            #[must_use]
            pub fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_start(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// Inbound: the datagram did not fit into the receive slot.
    Truncated = "truncated",
    /// Inbound: the outer IP header is inconsistent.
    OuterMalformed = "outer_malformed",
    /// Inbound: shorter than the GRE header that its flags announce (RFC 2784 section 2).
    GreShort = "gre_short",
    /// Inbound: GRE version other than 0 (RFC 2784 section 2.3; version 1 is PPTP).
    GreVersion = "gre_version",
    /// Inbound: the routing bit of RFC 1701 is set (RFC 2784 section 2.3).
    GreRouting = "gre_routing",
    /// Inbound: a reserved bit that RFC 2784 section 2.3 says to refuse is set.
    GreReserved = "gre_reserved",
    /// Inbound: the GRE checksum is wrong.
    GreChecksum = "gre_checksum",
    /// Inbound: no GRE checksum on a tunnel that requires one.
    GreChecksumMissing = "gre_checksum_missing",
    /// Inbound: no sequence number on a tunnel that requires one.
    SequenceMissing = "sequence_missing",
    /// Inbound: the sequence number is not newer than the last one accepted (RFC 2890 section 2.2).
    SequenceOld = "sequence_old",
    /// Inbound: shorter than an ESP header, IV, trailer and ICV (RFC 4303 section 2).
    EspShort = "esp_short",
    /// Inbound: no security association has this SPI.
    UnknownSpi = "unknown_spi",
    /// Inbound: the ESP sequence number came before, or is left of the window (RFC 4303 section 3.4.3).
    Replayed = "replayed",
    /// Inbound: the integrity check failed (RFC 4303 section 3.4.4).
    BadIcv = "bad_icv",
    /// Inbound: the ESP trailer is inconsistent, or names a payload that the mode does not carry (RFC 4303 sections 2.4 to 2.6).
    EspTrailer = "esp_trailer",
    /// Either way: the inner addresses are outside the security association's selectors (RFC 4301 section 5.2).
    Selector = "selector",
    /// Outbound: there is no security association.
    NoSa = "no_sa",
    /// Either way: the security association has reached a hard limit (RFC 4301 section 4.4.2.1).
    SaExpired = "sa_expired",
    /// Outbound: no sequence number is left that may be used (RFC 4303 section 3.3.3).
    SequenceExhausted = "sequence_exhausted",
    /// Inbound: a clear packet for a tunnel that asks for ESP.
    ClearText = "clear_text",
    /// Inbound: a UDP-encapsulated packet that is neither ESP, IKE nor a NAT keepalive (RFC 3948 section 2).
    NattMalformed = "natt_malformed",
    /// Inbound: an IKE message, and no tunnel speaks IKE.
    IkeUnexpected = "ike_unexpected",
    /// Inbound: no tunnel has this source address.
    UnknownPeer = "unknown_peer",
    /// Inbound: a tunnel has this source address, none this key.
    UnknownKey = "unknown_key",
    /// Inbound: the GRE protocol type is neither IPv4 nor IPv6.
    UnknownProtocol = "unknown_protocol",
    /// Either way: the inner packet is no consistent IPv4 or IPv6 packet.
    InnerMalformed = "inner_malformed",
    /// Inbound: the outer header says congestion experienced, the inner one has no ECN (RFC 6040 section 4.2).
    EcnUnusable = "ecn_unusable",
    /// Either way: the tunnel is not up.
    TunnelDown = "tunnel_down",
    /// Inbound: a keepalive whose inner packet has a wrong version, length or checksum.
    KeepaliveMalformed = "keepalive_malformed",
    /// Inbound: a keepalive whose inner addresses are not the outer ones exchanged, nor accepted by configuration.
    KeepaliveForeign = "keepalive_foreign",
    /// Inbound: a keepalive answer to no outstanding request, or with a wrong digest.
    KeepaliveStale = "keepalive_stale",
    /// Inbound: keepalive requests beyond the answering rate.
    KeepaliveRate = "keepalive_rate",
    /// Inbound: a keepalive request while answering is switched off.
    KeepaliveUnanswered = "keepalive_unanswered",
    /// Inbound: the TUN device refused the packet.
    TunRefused = "tun_refused",
    /// Outbound: the packet is this tunnel's own outer packet, routed back into it.
    Recursion = "recursion",
    /// Outbound: an offloaded packet whose virtio-net header contradicts it.
    OffloadMalformed = "offload_malformed",
    /// Outbound: larger than the path takes and not to be fragmented.
    TooBig = "too_big",
    /// Outbound: no route to the peer.
    NoRoute = "no_route",
    /// Outbound: the socket's or the device's queue is full.
    QueueFull = "queue_full",
    /// Outbound: the kernel refused the packet for another reason.
    SendRefused = "send_refused",
}

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the cell's owner may call it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` of what was added back; only the cell's owner may call it.
    #[inline]
    pub fn take_back(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The number as last written.
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! traffic {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// One tunnel's counters on one worker, on cache lines of its own.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct Counters { $($(#[doc = $doc])+ pub $field: Counter,)+ drops: [Counter; DropReason::COUNT] }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($field: Counter::default(),)+ drops: std::array::from_fn(|_| Counter::default()) }
            }
        }

        /// The sum of a tunnel's cells at one time.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Snapshot { $($(#[doc = $doc])+ pub $field: u64,)+ drops: [u64; DropReason::COUNT] }

        impl Default for Snapshot {
            fn default() -> Self { Self { $($field: 0,)+ drops: [0; DropReason::COUNT] } }
        }

        impl Snapshot {
            /// Adds the numbers of one cell.
            pub fn add(&mut self, cell: &Counters) {
                $(self.$field = self.$field.wrapping_add(cell.$field.load());)+
                for (sum, drops) in self.drops.iter_mut().zip(&cell.drops) {
                    *sum = sum.wrapping_add(drops.load());
                }
            }

            /// Name and value of each traffic counter, in order.
            pub fn traffic(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }
        }
    };
}

traffic! {
    /// User packets delivered to the interface.
    inbound_packets,
    /// Octets of those packets, without tunnel headers.
    inbound_octets,
    /// User packets sent to the peer.
    outbound_packets,
    /// Octets of those packets, without tunnel headers.
    outbound_octets,
    /// Keepalive requests sent.
    keepalive_requests_sent,
    /// Keepalive requests received.
    keepalive_requests_received,
    /// Keepalive responses sent.
    keepalive_responses_sent,
    /// Keepalive responses received and believed.
    keepalive_responses_received,
    /// NAT keepalives sent (RFC 3948 section 2.3).
    nat_keepalives_sent,
    /// NAT keepalives received.
    nat_keepalives_received,
    /// Packets sent only to keep the tunnel in use.
    warm_sent,
    /// Packets received that served only to keep the tunnel in use.
    warm_received,
    /// Dummy packets sent (RFC 4303 section 2.6).
    dummies_sent,
    /// Dummy packets received.
    dummies_received,
    /// Times that the peer's address was followed.
    peer_moves,
    /// Packets by an association that a rekey replaced that never came, or came after its time of grace.
    rekey_lost_packets,
    /// Outer fragments sent.
    fragments_sent,
    /// Inner packets that came with ECN that RFC 6040 section 4.2 calls unusual.
    ecn_unusual,
    /// Sequence numbers taken as a peer's restart.
    sequence_restarts,
    /// Coalesced writes that the TUN device refused and that were written packet by packet.
    coalesce_fallbacks,
}

impl Counters {
    /// Counts one dropped packet.
    #[inline]
    pub fn drop_packet(&self, reason: DropReason) {
        self.drop_packets(reason, 1);
    }

    /// Counts `n` packets dropped for one reason.
    #[inline]
    pub fn drop_packets(&self, reason: DropReason, n: u64) {
        if let Some(counter) = self.drops.get(reason as usize) {
            counter.add(n);
        }
    }
}

impl Snapshot {
    /// How many packets were dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Name and value of each drop reason that occurred.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason.name(), self.dropped(reason)))
            .filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_order_of_the_discriminants() {
        let names: std::collections::BTreeSet<_> =
            DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn each_drop_counts_under_exactly_one_reason() {
        let cell = Counters::default();
        for &reason in DropReason::ALL {
            cell.drop_packet(reason);
        }
        let mut snapshot = Snapshot::default();
        snapshot.add(&cell);
        assert_eq!(snapshot.drops().count(), DropReason::COUNT);
        assert!(snapshot.drops().all(|(_, count)| count == 1));
    }

    #[test]
    fn a_snapshot_is_the_sum_of_its_cells() {
        let (a, b) = (Counters::default(), Counters::default());
        a.inbound_packets.add(3);
        b.inbound_packets.add(4);
        let mut snapshot = Snapshot::default();
        snapshot.add(&a);
        snapshot.add(&b);
        assert_eq!(snapshot.inbound_packets, 7);
        assert_eq!(snapshot.traffic().next(), Some(("inbound_packets", 7)));
    }
}
