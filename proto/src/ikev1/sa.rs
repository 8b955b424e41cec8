//! One ISAKMP SA, from its first message to its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use adit_crypto::v1::KeyPair;

use super::chain::Iv;
use super::connection::Connection;
use super::core::{Action, Core};
use super::dpd::Dpd;
use super::hash::Which;
use super::last_answer::LastAnswer;
use super::message;
use super::message_ids::MessageIds;
use super::proposal::IkeProposal;
use super::quick::Quick;
use super::session::{Sealed, Session};
use super::timer::Timer;
use super::xauth::Configuring;
use crate::ike::natd::Nat;
use crate::ike::{ConnectionId, DownWhy, Event, Failure, Identity, Outstanding, Path};
use crate::wire::isakmp::{ExchangeType, Flags, Header, Writer, kind, write_message};

/// See the module.
pub(super) struct Sa {
    pub(super) local_cookie: u64,
    pub(super) remote_cookie: u64,
    pub(super) initiator: bool,
    pub(super) tunnel: Option<(ConnectionId, Arc<Connection>)>,
    pub(super) path: Path,
    pub(super) nat: Nat,
    pub(super) peer: Peer,
    pub(super) phase: Phase,
    /// While phase 1 is under way.
    pub(super) exchange: Option<Box<Phase1>>,
    pub(super) proposal: Option<IkeProposal>,
    pub(super) keys: Option<Session>,
    /// The last encrypted block of phase 1, or what comes before the first.
    pub(super) iv: Iv,
    pub(super) remote_id: Option<Identity>,
    pub(super) born: Instant,
    pub(super) established_at: Option<Instant>,
    pub(super) rekey_at: Option<Instant>,
    pub(super) hard_at: Option<Instant>,
    /// The deadline of the phase that it is in.
    pub(super) deadline: Option<(Instant, Timer)>,
    /// Of phase 1.
    pub(super) last: LastAnswer,
    /// Our message of phase 1 without an answer.
    pub(super) outstanding: Option<Outstanding<Vec<u8>>>,
    pub(super) quicks: BTreeMap<u32, Quick>,
    pub(super) message_ids: MessageIds,
    pub(super) configuring: Option<Box<Configuring>>,
    pub(super) dpd: Dpd,
    /// The peer said that it has no other one.
    pub(super) is_sole: bool,
    pub(super) end: Option<End>,
    /// The failure that a refusal in the clear gives if nothing better comes.
    pub(super) refused: Option<Failure>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// We initiated, and phase 1 is under way.
    Opening,
    /// A peer at that address did.
    HalfOpen(SocketAddr),
    /// Phase 1 is complete, but XAUTH or Mode Config is under way.
    Configuring,
    /// In use, or able to be.
    Established,
    /// Another took its place.
    Superseded,
    /// To be forgotten.
    Dead,
}

impl Phase {
    /// Where the peer of a half-open SA began it.
    pub(super) const fn opener(self) -> Option<SocketAddr> {
        if let Self::HalfOpen(source) = self {
            return Some(source);
        }
        None
    }
}

/// What of a phase 1 both ends hash at its end.
#[derive(Default)]
pub(super) struct Phase1 {
    pub(super) step: Step,
    /// The body of the initiator's SA payload.
    pub(super) sa_i: Vec<u8>,
    pub(super) nonce_i: Vec<u8>,
    pub(super) nonce_r: Vec<u8>,
    pub(super) g_xi: Vec<u8>,
    pub(super) g_xr: Vec<u8>,
    pub(super) key_pair: Option<KeyPair>,
    /// The peer said that it has no other SA with us.
    pub(super) initial_contact: bool,
    /// The peer's messages that could not be taken.
    pub(super) wrong: u8,
}

/// The message that is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    /// The responder's choice: message 2.
    #[default]
    Choice,
    /// A public value: message 3 or 4.
    Public,
    /// A proof: message 5 or 6.
    Proof,
    /// The responder's part of aggressive mode.
    Aggressive,
}

impl Step {
    /// What a peer that does not answer leaves open, in words.
    pub(super) const fn unanswered(self) -> &'static str {
        match self {
            Self::Choice => "main mode",
            Self::Public => "our public value of main mode",
            Self::Proof => "our proof of main mode: the pre-shared keys or identities may differ",
            Self::Aggressive => "aggressive mode: the group, its key or the proposal may be wrong",
        }
    }
}

/// What the peer's vendor IDs say that it understands.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) nat_t: bool,
    pub(super) dpd: bool,
    pub(super) vendors: Vec<String>,
}

/// How an SA ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// It was established.
    Down(DownWhy),
    /// It was to be.
    Failed(Failure),
    /// Nobody is to know.
    Silent,
}

impl Sa {
    pub(super) fn new(local_cookie: u64, initiator: bool, path: Path, now: Instant) -> Self {
        Self {
            local_cookie,
            remote_cookie: 0,
            initiator,
            tunnel: None,
            path,
            nat: Nat::default(),
            peer: Peer::default(),
            phase: Phase::Opening,
            exchange: None,
            proposal: None,
            keys: None,
            iv: Iv::default(),
            remote_id: None,
            born: now,
            established_at: None,
            rekey_at: None,
            hard_at: None,
            deadline: None,
            last: LastAnswer::default(),
            outstanding: None,
            quicks: BTreeMap::new(),
            message_ids: MessageIds::default(),
            configuring: None,
            dpd: Dpd::default(),
            is_sole: false,
            end: None,
            refused: None,
        }
    }

    pub(super) fn id(&self) -> Option<ConnectionId> {
        self.tunnel.as_ref().map(|(id, _)| *id)
    }

    pub(super) const fn cookies(&self) -> (u64, u64) {
        if self.initiator {
            (self.local_cookie, self.remote_cookie)
        } else {
            (self.remote_cookie, self.local_cookie)
        }
    }

    /// Whether phase 2 may use it.
    pub(super) const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Whether the peer's proof was seen.
    pub(super) const fn is_authenticated(&self) -> bool {
        matches!(
            self.phase,
            Phase::Established | Phase::Superseded | Phase::Configuring
        )
    }

    /// Whether ESP travels in UDP.
    pub(super) const fn udp(&self) -> bool {
        self.peer.nat_t && self.nat.is_present()
    }

    fn header(&self, exchange: ExchangeType, message_id: u32) -> Header {
        let (cky_i, cky_r) = self.cookies();
        Header::new(cky_i, cky_r, exchange, Flags::CLEAR, message_id)
    }

    /// A message in the clear.
    pub(super) fn plain(
        &self,
        core: &mut Core,
        exchange: ExchangeType,
        writer: &mut Writer,
    ) -> Vec<u8> {
        let header = self.header(exchange, 0);
        let (first, chain) = writer.finish();
        message::trace_sent(core, self.id(), &header, first, &chain);
        write_message(&header, first, &chain)
    }

    /// An encrypted message of phase 1.
    pub(super) fn seal(
        &self,
        core: &mut Core,
        exchange: ExchangeType,
        writer: &mut Writer,
    ) -> Option<Sealed> {
        let header = self.header(exchange, 0);
        let (first, chain) = writer.finish();
        message::trace_sent(core, self.id(), &header, first, &chain);
        self.keys.as_ref()?.seal(&self.iv, &header, first, chain)
    }

    /// An encrypted message behind phase 1, with that HASH in front.
    pub(super) fn seal_hashed(
        &self,
        core: &mut Core,
        (exchange, message_id): (ExchangeType, u32),
        iv: &Iv,
        which: Which<'_>,
        writer: &mut Writer,
    ) -> Option<Sealed> {
        let session = self.keys.as_ref()?;
        let header = self.header(exchange, message_id);
        let chain = session.hashed(message_id, which, writer);
        message::trace_sent(core, self.id(), &header, kind::HASH, &chain);
        session.seal(iv, &header, kind::HASH, chain)
    }

    /// The IV of the first message of an exchange behind phase 1.
    pub(super) fn exchange_iv(&self, message_id: u32) -> Option<Iv> {
        Some(self.keys.as_ref()?.exchange_iv(&self.iv, message_id))
    }

    /// Sends a message of phase 1 that waits for an answer.
    pub(super) fn ask(&mut self, core: &mut Core, now: Instant, octets: Vec<u8>) {
        if let Some((_, connection)) = &self.tunnel {
            self.outstanding = Some(Outstanding::new(
                now,
                octets.clone(),
                &connection.retransmit,
            ));
        }
        core.transmit(self.path, octets);
    }

    /// The next deadline; an SA without one would never end.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Timer)> {
        let repeat = self
            .outstanding
            .as_ref()
            .map(|message| (message.repeat_at, Timer::Retransmit));
        let quicks = self
            .quicks
            .values()
            .map(|quick| (quick.next_at(), Timer::Exchange));
        let configuring = self
            .configuring
            .as_ref()
            .and_then(|configuring| configuring.next_at())
            .map(|at| (at, Timer::Exchange));
        let rekey = self
            .rekey_at
            .filter(|_| self.is_established())
            .map(|at| (at, Timer::IkeRekey));
        let hard = self
            .hard_at
            .filter(|_| self.is_authenticated())
            .map(|at| (at, Timer::IkeExpire));
        [self.deadline, repeat, configuring, rekey, hard]
            .into_iter()
            .flatten()
            .chain(quicks)
            .min()
    }

    /// Over, without a word to the peer.
    pub(super) fn dead(&mut self, end: End) {
        if self.phase != Phase::Dead {
            self.phase = Phase::Dead;
            self.end = Some(end);
        }
    }

    /// Over, after a DELETE of it, which nobody answers.
    pub(super) fn delete(&mut self, core: &mut Core, end: End) {
        if self.is_authenticated() {
            super::informational::delete_isakmp(core, self);
        }
        self.dead(end);
    }

    /// Phase 1 is complete and the peer proved to be who it has to be.
    pub(super) fn authenticated(&mut self, core: &mut Core, now: Instant) {
        let initial_contact = self
            .exchange
            .take()
            .is_some_and(|exchange| exchange.initial_contact);
        self.refused = None;
        let is_remote = self
            .tunnel
            .as_ref()
            .is_some_and(|(_, connection)| connection.easy_vpn.is_some());
        if is_remote {
            self.phase = Phase::Configuring;
            self.deadline = Some((now + super::timer::CONFIGURING, Timer::Configuring));
            self.configuring = Some(Box::default());
            return;
        }
        self.established(core, now, initial_contact);
    }

    /// It may be used for phase 2.
    pub(super) fn established(&mut self, core: &mut Core, now: Instant, initial_contact: bool) {
        self.phase = Phase::Established;
        self.deadline = None;
        self.established_at = Some(now);
        core.actions.push_back(Action::Established {
            local_cookie: self.local_cookie,
            initial_contact,
        });
    }

    /// A message of the peer was found authentic: its address is followed where a NAT may change it (RFC 3947 section 5).
    pub(super) fn follow(&mut self, core: &mut Core, path: Path) {
        if path == self.path || !self.peer.nat_t || self.nat.local {
            return;
        }
        if self.nat.peer {
            self.path = path;
            if let Some(id) = self.id().filter(|_| self.is_authenticated()) {
                core.event(Event::PeerMoved(id, path));
            }
        }
    }
}
