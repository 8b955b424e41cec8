//! An inbound association accepts each packet of its peer once, whatever is lost, repeated, delayed, changed or made up in between, and
//! what it refuses before it is authenticated changes nothing.
//!
//! Input: options 1 (suite, extended sequence numbers, window) | the number before the first 6 | steps of `what 1 | argument 1`.

use std::collections::BTreeSet;

use adit_crypto::{Aead, Suite};
use adit_proto::counters::DropReason;
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, OutboundSa, packet_octets, prefix_octets};
use adit_proto::wire::esp::{NEXT_IPV4, Spi};

use super::clock::epoch;

const SPI: u32 = 0x0bad_5b1d;
/// More than the largest window that is tried.
const PACKETS_MAX: usize = 600;

/// Both ends of one association, and what the receiver ought to know.
struct Course {
    sender: OutboundSa,
    receiver: InboundSa,
    esn: bool,
    window: u64,
    /// The number before the first of `packets`: everything up to it has come.
    before: u64,
    edge: u64,
    come: BTreeSet<u64>,
    packets: Vec<Vec<u8>>,
    /// Packets and the octets of their payloads.
    opened: (u64, u64),
}

impl Course {
    fn new(options: u8, before: u64) -> Self {
        let suite = Suite::ALL[usize::from(options & 3) % Suite::ALL.len()];
        let esn = options & 4 != 0;
        let window = [64, 65, 128, 500][usize::from(options >> 3 & 3)];
        // Room for every number that an input can use.
        let before = if esn { before } else { before & 0x7fff_ffff };
        let spi = Spi::new(SPI).unwrap();
        let aead = || {
            let keymat: Vec<u8> = (1..).take(suite.keymat_octets()).collect();
            Aead::new(suite, &keymat).unwrap()
        };
        let lifetime = Lifetime::new(Limits::default(), Limits::default(), epoch());
        let numbers = before + 1..=u64::MAX;
        Self {
            sender: OutboundSa::new(spi, aead(), esn, numbers, lifetime),
            receiver: InboundSa::new(spi, aead(), esn, Window::new(window, before), lifetime),
            esn,
            window: u64::from(window),
            before,
            edge: before,
            come: BTreeSet::new(),
            packets: Vec::new(),
            opened: (0, 0),
        }
    }

    /// Seals the next packet, whose payload tells its place.
    fn seal(&mut self, padding: u8) {
        let suite = self.sender.suite();
        let payload = payload(self.packets.len(), padding);
        let mut packet = vec![0xee; packet_octets(suite, payload.len())];
        packet[prefix_octets(suite)..][..payload.len()].copy_from_slice(&payload);
        let sealed = self.sender.seal(&mut packet, payload.len(), NEXT_IPV4);
        assert_eq!(sealed, Ok(()));
        self.packets.push(packet);
    }

    fn admits(&self, seq: u64) -> bool {
        seq > self.edge || self.edge - seq < self.window && !self.come.contains(&seq)
    }

    /// A packet as it was sent.
    fn deliver(&mut self, place: usize) {
        let Some(packet) = self.packets.get(place) else {
            return;
        };
        let mut octets = packet.clone();
        let seq = self.before + 1 + place as u64;
        let is_newest = seq > self.edge;
        let was_admitted = self.admits(seq);
        let is_left = !is_newest && self.edge - seq >= self.window;
        match self.receiver.open(&mut octets) {
            Ok(opened) => {
                assert!(was_admitted, "{seq} was accepted again");
                assert_eq!(opened.next_header, NEXT_IPV4);
                assert_eq!(opened.is_newest, is_newest);
                let payload_is = &octets[opened.payload];
                assert_eq!(payload_is, payload(place, padding_of(payload_is)));
                self.come.insert(seq);
                self.edge = self.edge.max(seq);
                self.opened.0 += 1;
                self.opened.1 += payload_is.len() as u64;
            }
            // Left of the window an extended number is taken for one of the next 2³².
            Err(DropReason::BadIcv) => assert!(is_left && self.esn, "{seq} was not authentic"),
            Err(reason) => {
                assert_eq!(reason, DropReason::Replayed);
                assert!(!was_admitted, "{seq} never came");
            }
        }
        self.check();
    }

    /// Octets that nobody who knows the key sent.
    fn refuse(&mut self, mut octets: Vec<u8>) {
        let refused = self.receiver.open(&mut octets).unwrap_err();
        assert!(
            matches!(
                refused,
                DropReason::EspShort
                    | DropReason::UnknownSpi
                    | DropReason::Replayed
                    | DropReason::BadIcv
            ),
            "{refused:?}"
        );
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.receiver.edge(), self.edge);
        assert_eq!(self.receiver.lifetime().used(), self.opened);
    }
}

fn payload(place: usize, padding: u8) -> Vec<u8> {
    let mut payload = vec![padding; 9 + usize::from(padding)];
    payload[1..9].copy_from_slice(&(place as u64).to_be_bytes());
    payload
}

fn padding_of(payload: &[u8]) -> u8 {
    payload.first().copied().unwrap_or_default()
}

/// Replays one input.
pub fn run(input: &[u8]) {
    let [options, a, b, c, d, e, f, steps @ ..] = input else {
        return;
    };
    let before = u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]);
    let mut course = Course::new(*options, before);
    let mut steps = steps;
    while course.packets.len() < PACKETS_MAX
        && let [what, argument, rest @ ..] = steps
    {
        steps = rest;
        let place = course
            .packets
            .len()
            .wrapping_sub(1 + usize::from(*argument));
        let chosen = course.packets.get(place).cloned();
        match (what % 6, chosen) {
            (0, _) => {
                course.seal(*argument);
                course.deliver(course.packets.len() - 1);
            }
            (1, _) => (0..=*argument).for_each(|_| course.seal(*argument & 7)),
            (2, Some(_)) => course.deliver(place),
            (3, Some(mut octets)) => {
                let [at, bits, rest @ ..] = steps else { return };
                steps = rest;
                let at = usize::from(*at) % octets.len();
                octets[at] ^= bits.max(&1);
                course.refuse(octets);
            }
            (4, Some(mut octets)) => {
                let [less, rest @ ..] = steps else { return };
                steps = rest;
                octets.truncate(octets.len().saturating_sub(1 + usize::from(*less)));
                course.refuse(octets);
            }
            (5, _) => {
                let (octets, rest) = steps.split_at(steps.len().min(usize::from(*argument)));
                steps = rest;
                course.refuse(octets.to_vec());
            }
            _ => {}
        }
    }
    // What was lost is delivered at last.
    (0..course.packets.len()).for_each(|place| course.deliver(place));
}
