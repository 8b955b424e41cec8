//! Each segment of a train that came to the UDP encapsulation's port is what it is by itself: two associations, IKE, NAT keepalives and
//! octets of no meaning stand side by side, and opening one leaves its neighbours as they came.
//!
//! Input: words of four octets in a segment, less 10, at most 127 of them: 1 | segments: what they are 1 | octets of the last one, which may be shorter.

use adit_crypto::{Aead, Suite};
use adit_proto::counters::DropReason;
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, OutboundSa, packet_octets, prefix_octets};
use adit_proto::wire::esp::{self, NEXT_DUMMY, NEXT_IPV4, Spi};
use adit_proto::wire::natt::{self, Content};

use super::clock::epoch;

const SPIS: [u32; 2] = [256, 0xff00_0001];
const SEGMENTS_MAX: usize = 20;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Opened by the association of this place.
    Opened(usize),
    Ike,
    NatKeepalive,
    Dropped(DropReason),
}

struct Ends {
    senders: Vec<OutboundSa>,
    receivers: Vec<InboundSa>,
}

impl Ends {
    fn new() -> Self {
        let lifetime = Lifetime::new(Limits::default(), Limits::default(), epoch());
        let aead = |suite: Suite| {
            let keymat: Vec<u8> = (1..).take(suite.keymat_octets()).collect();
            Aead::new(suite, &keymat).unwrap()
        };
        let both = || {
            let suites = [Suite::Aes128Gcm16, Suite::ChaCha20Poly1305];
            SPIS.map(|spi| Spi::new(spi).unwrap())
                .into_iter()
                .zip(suites)
        };
        let sender = |(spi, suite)| OutboundSa::new(spi, aead(suite), true, 1..=u64::MAX, lifetime);
        let receiver =
            |(spi, suite)| InboundSa::new(spi, aead(suite), true, Window::new(64, 0), lifetime);
        Self {
            senders: both().map(sender).collect(),
            receivers: both().map(receiver).collect(),
        }
    }

    /// A segment of about that many octets, and what ought to become of it.
    fn segment(&mut self, what: u8, octets: usize, earlier: &[(Vec<u8>, Fate)]) -> (Vec<u8>, Fate) {
        match what % 8 {
            place @ 0..=1 => {
                let place = usize::from(place);
                (self.seal(place, octets, NEXT_IPV4), Fate::Opened(place))
            }
            2 => (self.seal(0, octets, NEXT_DUMMY), Fate::Opened(0)),
            3 => ([vec![0; 4], vec![0x29; octets - 4]].concat(), Fate::Ike),
            4 => {
                let mut changed = self.seal(1, octets, NEXT_IPV4);
                let at = usize::from(what) % 16 + 8;
                changed[at] ^= 0x40;
                (changed, Fate::Dropped(DropReason::BadIcv))
            }
            5 => {
                let unknown = [what, 0, 0, 77].repeat(octets / 4);
                (unknown, Fate::Dropped(DropReason::UnknownSpi))
            }
            6 => {
                let reserved = [0, 0, 0, what.max(1)].repeat(octets / 4);
                (reserved, Fate::Dropped(DropReason::UnknownSpi))
            }
            _ => match earlier
                .iter()
                .find(|(_, fate)| matches!(fate, Fate::Opened(_)))
            {
                Some((again, _)) => (again.clone(), Fate::Dropped(DropReason::Replayed)),
                None => (self.seal(0, octets, NEXT_IPV4), Fate::Opened(0)),
            },
        }
    }

    fn seal(&mut self, place: usize, octets: usize, next_header: u8) -> Vec<u8> {
        let sender = &mut self.senders[place];
        let suite = sender.suite();
        let payload_octets = (0..octets)
            .rev()
            .find(|&payload| packet_octets(suite, payload) == octets)
            .unwrap();
        let mut packet = vec![0x11; octets];
        packet[prefix_octets(suite) - suite.iv_octets()..].fill(0x5a);
        let sealed = sender.seal(&mut packet, payload_octets, next_header);
        assert_eq!(sealed, Ok(()));
        packet
    }

    fn take(&mut self, segment: &mut [u8]) -> Fate {
        match natt::classify(segment) {
            Ok(Content::Ike) => Fate::Ike,
            Ok(Content::NatKeepalive) => Fate::NatKeepalive,
            Ok(Content::Esp) => self.open(segment).unwrap_or_else(Fate::Dropped),
            Err(reason) => Fate::Dropped(reason),
        }
    }

    fn open(&mut self, segment: &mut [u8]) -> Result<Fate, DropReason> {
        let spi = esp::parse(segment)?.spi;
        let place = SPIS.iter().position(|&known| known == spi.get());
        let place = place.ok_or(DropReason::UnknownSpi)?;
        let opened = self.receivers[place].open(segment)?;
        assert!(segment[opened.payload].iter().all(|&octet| octet == 0x5a));
        Ok(Fate::Opened(place))
    }
}

/// The last segment, cut to that many octets or something short.
fn tail(octets: u8) -> (Vec<u8>, Fate) {
    match octets {
        1 => (vec![0xff], Fate::NatKeepalive),
        2 | 3 => (
            vec![0xff; usize::from(octets)],
            Fate::Dropped(DropReason::NattMalformed),
        ),
        4..=7 => (
            vec![0xff; usize::from(octets)],
            Fate::Dropped(DropReason::EspShort),
        ),
        8..=16 => (
            [vec![0; 4], vec![7; usize::from(octets) - 4]].concat(),
            Fate::Ike,
        ),
        _ => {
            let mut short = SPIS[0].to_be_bytes().to_vec();
            short.resize(17, 0x77);
            (short, Fate::Dropped(DropReason::EspShort))
        }
    }
}

/// What [`natt::classify`] ought to say.
fn model(payload: &[u8]) -> Result<Content, DropReason> {
    if payload == natt::KEEPALIVE {
        Ok(Content::NatKeepalive)
    } else if payload.len() < natt::MARKER_OCTETS {
        Err(DropReason::NattMalformed)
    } else if payload
        .iter()
        .take(natt::MARKER_OCTETS)
        .all(|&octet| octet == 0)
    {
        Ok(Content::Ike)
    } else {
        Ok(Content::Esp)
    }
}

/// Replays one input.
pub fn run(input: &[u8]) {
    assert_eq!(natt::classify(input), model(input));
    let [words, kinds @ .., last] = input else {
        return;
    };
    let octets = 4 * (10 + usize::from(*words & 127));
    let mut ends = Ends::new();
    let mut made: Vec<(Vec<u8>, Fate)> = Vec::new();
    for what in kinds.iter().take(SEGMENTS_MAX - 1) {
        let segment = ends.segment(*what, octets, &made);
        assert_eq!(segment.0.len(), octets);
        made.push(segment);
    }
    made.extend((*last > 0).then(|| tail(*last)));

    let mut train: Vec<u8> = made
        .iter()
        .flat_map(|(segment, _)| segment.clone())
        .collect();
    for (place, (_, fate)) in made.iter().enumerate() {
        let range = place * octets..train.len().min((place + 1) * octets);
        let came = train.clone();
        assert_eq!(
            ends.take(&mut train[range.clone()]),
            *fate,
            "segment {place}"
        );
        assert_eq!(train[..range.start], came[..range.start]);
        assert_eq!(train[range.end..], came[range.end..]);
    }
}
