//! Quick mode and informational messages of a peer that has the keys, in any order: nothing panics, what is installed is what was
//! configured, with the keys that the peer makes of the same nonces, no more pairs are kept than may be, and nothing outlives the SA.
//!
//! Input: steps of `what 1 | of 1 | octets 1 | that many`; see [`Play::step`].

use std::collections::BTreeMap;
use std::time::Duration;

use adit_crypto::constant_time_eq;
use adit_crypto::v1::Hash;
use adit_proto::ike::{ChildSa, Command, Event, What};
use adit_proto::ikev1::chain::Iv;
use adit_proto::ikev1::hash::Which;
use adit_proto::ikev1::keys::{ChildSeeds, child_keymat};
use adit_proto::wire::esp::Spi;
use adit_proto::wire::isakmp::{ExchangeType, Header, Payload, payloads};

use super::isakmp_peer::{ID, Peer, connection, step};

const STEPS_MAX: usize = 60;
/// Pairs of one tunnel.
const PAIRS_MAX: usize = 8;

/// An exchange under way.
struct Exchange {
    message_id: u32,
    iv: Iv,
    ni: Vec<u8>,
    nr: Vec<u8>,
}

struct Play {
    peer: Peer,
    pairs: BTreeMap<Spi, Box<ChildSa>>,
    /// The last one that the peer began and the endpoint answered.
    begun: Option<Exchange>,
    /// The last one that the endpoint began.
    asked: Option<Exchange>,
    last: Vec<u8>,
}

fn nonce(read: &[Payload<'_>]) -> Vec<u8> {
    let of = |payload: &Payload<'_>| {
        let Payload::Nonce(nonce) = payload else {
            return None;
        };
        Some(nonce.to_vec())
    };
    read.iter().find_map(of).unwrap_or_default()
}

impl Play {
    /// `what` says which message comes, whose payloads begin with the type `of` and are `chain`, or what else happens.
    fn step(&mut self, what: u8, of: u8, chain: &[u8]) {
        match what % 8 {
            0 | 1 => self.begin(of, chain),
            2 => self.answer(of, chain),
            3 => self.complete(of, chain),
            4 => {
                let message_id = self.peer.message_id();
                let iv = self.peer.iv(message_id);
                let header = (ExchangeType::Informational, message_id);
                let (octets, _) = self.peer.seal(header, &iv, Which::First, (of, chain));
                self.deliver(octets);
            }
            5 => {
                let command = if of & 1 == 0 {
                    Command::Rekey(ID, What::Child)
                } else {
                    Command::Probe(ID)
                };
                // There may be no pair to replace.
                let _ = self.peer.endpoint.handle_command(self.peer.now, command);
                self.drain();
            }
            6 => self.pass(of),
            _ => self.deliver(self.last.clone()),
        }
    }

    /// The first message of an exchange.
    fn begin(&mut self, of: u8, chain: &[u8]) {
        let message_id = self.peer.message_id();
        let iv = self.peer.iv(message_id);
        let header = (ExchangeType::Quick, message_id);
        let (octets, iv) = self.peer.seal(header, &iv, Which::First, (of, chain));
        self.begun = Some(Exchange {
            message_id,
            iv,
            ni: payloads(of, chain)
                .map(|read| nonce(&read))
                .unwrap_or_default(),
            nr: Vec::new(),
        });
        self.deliver(octets);
    }

    /// The answer to the endpoint's own.
    fn answer(&mut self, of: u8, chain: &[u8]) {
        let Some(asked) = &mut self.asked else {
            return;
        };
        asked.nr = payloads(of, chain)
            .map(|read| nonce(&read))
            .unwrap_or_default();
        let header = (ExchangeType::Quick, asked.message_id);
        let which = Which::Second { ni: &asked.ni };
        let (octets, iv) = self.peer.seal(header, &asked.iv, which, (of, chain));
        asked.iv = iv;
        self.deliver(octets);
    }

    /// The third message.
    fn complete(&mut self, of: u8, chain: &[u8]) {
        let Some(begun) = &self.begun else {
            return;
        };
        let header = (ExchangeType::Quick, begun.message_id);
        let which = Which::Third {
            ni: &begun.ni,
            nr: &begun.nr,
        };
        let (octets, _) = self.peer.seal(header, &begun.iv, which, (of, chain));
        self.deliver(octets);
    }

    fn pass(&mut self, seconds: u8) {
        let until = self.peer.now + Duration::from_secs(seconds.into());
        while self.peer.pass(until) {
            self.drain();
        }
    }

    fn deliver(&mut self, octets: Vec<u8>) {
        self.peer.deliver(&octets);
        self.last = octets;
        self.drain();
    }

    fn drain(&mut self) {
        let (events, sent) = self.peer.drain();
        let mut installed = Vec::new();
        for event in events {
            if let Event::ChildInstalled(_, sa) = event {
                installed.push(sa.spi_in);
                self.install(sa);
            } else if let Event::ChildRetired(_, spi_in, _) = event {
                assert!(self.pairs.remove(&spi_in).is_some(), "a pair that is not");
            } else if let Event::SwitchOutbound(_, spi_in) = event {
                assert!(self.pairs.contains_key(&spi_in), "a pair that is not");
            }
        }
        let status = self.peer.endpoint.status(ID, self.peer.now).unwrap();
        assert_eq!(status.children.len(), self.pairs.len());
        for (header, octets) in sent {
            if self.peer.is_of_sa(&header) && header.exchange == ExchangeType::Quick {
                self.sent(&header, &octets, &installed);
            }
        }
    }

    fn install(&mut self, sa: Box<ChildSa>) {
        let ours = connection(None);
        assert!(ours.esp.iter().any(|offered| offered.suite == sa.suite));
        assert_eq!(sa.keys_in.len(), sa.suite.keymat_octets());
        assert_eq!(sa.keys_out.len(), sa.suite.keymat_octets());
        assert_eq!((sa.mode, sa.udp, sa.pfs), (ours.mode, None, None));
        for (agreed, ours) in [
            (&sa.local_ts, ours.local_ts),
            (&sa.remote_ts, ours.remote_ts),
        ] {
            assert!(agreed[0].start >= ours.start && agreed[0].end <= ours.end);
        }
        assert!(sa.rekey_at >= self.peer.now && sa.octets_max != Some(0));
        self.pairs.insert(sa.spi_in, sa);
        assert!(self.pairs.len() <= PAIRS_MAX);
    }

    /// A message of quick mode of the endpoint: an answer, or one of its own.
    fn sent(&mut self, header: &Header, octets: &[u8], installed: &[Spi]) {
        let message_id = header.message_id;
        if let Some(begun) = self
            .begun
            .as_mut()
            .filter(|begun| begun.message_id == message_id)
        {
            if begun.nr.is_empty() {
                let which = Which::Second { ni: &begun.ni };
                let (nr, iv) = self.peer.open(&begun.iv, which, octets, nonce);
                (begun.nr, begun.iv) = (nr, iv);
                let nonces = (begun.ni.clone(), begun.nr.clone());
                self.check_keys(installed, &nonces);
            }
            return;
        }
        match &self.asked {
            Some(asked) if asked.message_id == message_id => {
                let nonces = (asked.ni.clone(), asked.nr.clone());
                self.check_keys(installed, &nonces);
            }
            _ => {
                let iv = self.peer.iv(message_id);
                let (ni, iv) = self.peer.open(&iv, Which::First, octets, nonce);
                self.asked = Some(Exchange {
                    message_id,
                    iv,
                    ni,
                    nr: Vec::new(),
                });
            }
        }
    }

    fn check_keys(&self, installed: &[Spi], (ni, nr): &(Vec<u8>, Vec<u8>)) {
        for spi_in in installed {
            let sa = &self.pairs[spi_in];
            for (spi, keys) in [(sa.spi_in, &sa.keys_in), (sa.spi_out, &sa.keys_out)] {
                let seeds = ChildSeeds {
                    g_xy: None,
                    protocol: 3,
                    spi: spi.get(),
                    ni,
                    nr,
                };
                let octets = sa.suite.keymat_octets();
                let made = child_keymat(Hash::Sha256, &self.peer.keys.skeyid_d, &seeds, octets);
                assert!(constant_time_eq(made.expose(), keys.expose()));
            }
        }
    }
}

/// Takes the steps, then lets all time pass without an answer: nothing is left of any SA.
pub fn run(mut input: &[u8]) {
    let mut play = Play {
        peer: Peer::initiator(),
        pairs: BTreeMap::new(),
        begun: None,
        asked: None,
        last: Vec::new(),
    };
    play.drain();
    for _ in 0..STEPS_MAX {
        let Some((what, of, chain)) = step(&mut input) else {
            break;
        };
        play.step(what, of, chain);
    }
    for _ in 0..20 {
        play.pass(u8::MAX);
    }
    assert!(play.pairs.is_empty(), "a pair that outlives its SA");
    assert_eq!(play.peer.endpoint.sas(), 0, "an SA that outlives its peer");
    assert_eq!(play.peer.endpoint.poll_timeout(), None);
}
