//! One IKE SA: its numbers, keys, phase and children, and how its messages leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::{SecretBytes, SkKey};

use super::awaited::Awaited;
use super::child::Child;
use super::connection::{Connection, ConnectionId, Path};
use super::core::Core;
use super::failure::{DownWhy, Failure};
use super::half_open::HalfOpen;
use super::keys::IkeKeys;
use super::message::Contents;
use super::natd::Nat;
use super::partial::Partial;
use super::task::Task;
use super::timer::{DELETING, LINGER, Timer};
use super::window::Window;
use super::{Identity, IkeProposal};
use crate::wire::ike::{
    ExchangeType, Flags, Header, Writer, notify, payloads, sk, summary, write_message,
};

/// No fragment is cut smaller than this, whatever the configuration says.
const FRAGMENT_OCTETS_MIN: usize = 256;
/// Vendor IDs of a peer that are kept, and octets of each.
const VENDORS_MAX: usize = 8;
const VENDOR_OCTETS_MAX: usize = 32;

/// What the peer's IKE_SA_INIT message said of it.
#[derive(Clone, Default)]
pub(super) struct PeerAbilities {
    pub(super) fragmentation: bool,
    /// Hash algorithms of RFC 7427 signatures that it verifies.
    pub(super) signature_hashes: Vec<u16>,
    pub(super) vendors: Vec<String>,
}

/// How far an IKE SA has come.
pub(super) enum Phase {
    /// Our IKE_SA_INIT or IKE_AUTH request is under way.
    Initiating,
    /// We answered IKE_SA_INIT; nothing of the peer is authenticated.
    HalfOpen(Box<HalfOpen>),
    /// Both ends are authenticated.
    Established,
    /// The peer made a successor and has to delete this one.
    Superseded,
    /// Deleted here; the peer is being told.
    Deleting,
    /// Both know that it is over; the last response is still repeated.
    Gone,
    /// To be forgotten.
    Dead,
}

/// What keeps an SA's messages secret, and its children's keys.
pub(super) struct SaKeys {
    pub(super) proposal: IkeProposal,
    pub(super) sk_d: SecretBytes,
    pub(super) sk_pi: SecretBytes,
    pub(super) sk_pr: SecretBytes,
    outbound: SkKey,
    pub(super) inbound: SkKey,
}

impl SaKeys {
    /// The keys as the initiator or the responder of the SA uses them.
    pub(super) fn new(proposal: IkeProposal, keys: IkeKeys, initiator: bool) -> Option<Self> {
        let i_to_r = keys.i_to_r.sk_key(&proposal).ok()?;
        let r_to_i = keys.r_to_i.sk_key(&proposal).ok()?;
        let (outbound, inbound) = if initiator {
            (i_to_r, r_to_i)
        } else {
            (r_to_i, i_to_r)
        };
        Some(Self {
            proposal,
            sk_d: keys.sk_d,
            sk_pi: keys.sk_pi,
            sk_pr: keys.sk_pr,
            outbound,
            inbound,
        })
    }
}

/// How an SA ended, as far as anybody is to be told.
#[derive(Debug)]
pub(super) enum End {
    /// An attempt failed.
    Failed(Failure),
    /// It was up and is not any more.
    Down(DownWhy),
    /// A successor goes on, or nothing had begun.
    Silent,
}

/// See the module.
pub(super) struct IkeSa {
    pub(super) local_spi: u64,
    /// 0 until the responder chose one.
    pub(super) remote_spi: u64,
    /// We are its original initiator.
    pub(super) initiator: bool,
    pub(super) tunnel: Option<(ConnectionId, Arc<Connection>)>,
    pub(super) remote_id: Option<Identity>,
    pub(super) path: Path,
    pub(super) nat: Nat,
    /// ESP is encapsulated in UDP.
    pub(super) udp: bool,
    pub(super) peer: PeerAbilities,
    pub(super) phase: Phase,
    pub(super) keys: Option<SaKeys>,
    pub(super) window: Window,
    pub(super) requests: Partial,
    pub(super) responses: Partial,
    pub(super) children: Vec<Child>,
    pub(super) tasks: Vec<(Instant, Task)>,
    pub(super) born: Instant,
    /// None before it is established.
    pub(super) rekey_at: Option<Instant>,
    /// The end of its present phase.
    pub(super) deadline: Option<(Instant, Timer)>,
    /// The peer made it in the place of that SA, for which we had asked for a successor as well.
    pub(super) heir_of: Option<u64>,
    /// It ends then if it has no child by that time.
    pub(super) childless_until: Option<Instant>,
    /// Its tunnel works with another SA, which it replaces once it has a child itself and not before.
    pub(super) is_aside: bool,
    /// The lowest of the nonces that it was made from.
    pub(super) lowest_nonce: Vec<u8>,
    pub(super) established_at: Option<Instant>,
    pub(super) end: Option<End>,
}

impl IkeSa {
    pub(super) fn new(local_spi: u64, initiator: bool, path: Path, now: Instant) -> Self {
        Self {
            local_spi,
            remote_spi: 0,
            initiator,
            tunnel: None,
            remote_id: None,
            path,
            nat: Nat::default(),
            udp: false,
            peer: PeerAbilities::default(),
            phase: Phase::Initiating,
            keys: None,
            window: Window::default(),
            requests: Partial::default(),
            responses: Partial::default(),
            children: Vec::new(),
            tasks: Vec::new(),
            born: now,
            rekey_at: None,
            deadline: None,
            heir_of: None,
            childless_until: None,
            is_aside: false,
            lowest_nonce: Vec::new(),
            established_at: None,
            end: None,
        }
    }

    pub(super) fn id(&self) -> Option<ConnectionId> {
        self.tunnel.as_ref().map(|(id, _)| *id)
    }

    pub(super) fn spi_i(&self) -> u64 {
        if self.initiator {
            self.local_spi
        } else {
            self.remote_spi
        }
    }

    pub(super) fn spi_r(&self) -> u64 {
        if self.initiator {
            self.remote_spi
        } else {
            self.local_spi
        }
    }

    pub(super) const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Whether it is the one that its tunnel works with.
    pub(super) fn is_in_use(&self, core: &Core) -> bool {
        let slot = self.id().and_then(|id| core.slots.get(&id));
        slot.is_some_and(|slot| slot.current == Some(self.local_spi))
    }

    /// Whether what is to be asked of the peer may be asked, once nothing else is under way.
    pub(super) const fn asks(&self) -> bool {
        matches!(self.phase, Phase::Established | Phase::Deleting)
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        self.tunnel.as_ref().map(|(_, connection)| &**connection)
    }

    /// The attempt failed: it is forgotten.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.dead(End::Failed(failure));
    }

    /// It is forgotten at once.
    pub(super) fn dead(&mut self, end: End) {
        self.phase = Phase::Dead;
        self.end.get_or_insert(end);
    }

    /// It is over, and the peer knows; the last response may have been lost.
    pub(super) fn linger(&mut self, core: &mut Core, now: Instant, end: End) {
        self.phase = Phase::Gone;
        self.forget_plans();
        self.window.drop_outstanding(core);
        self.deadline = Some((now + LINGER, Timer::Deleted));
        self.end.get_or_insert(end);
    }

    /// It is over, and the peer is told as soon as the window allows.
    pub(super) fn close(&mut self, now: Instant, end: End) {
        self.phase = Phase::Deleting;
        self.forget_plans();
        self.ask(now, Task::DeleteIke);
        self.deadline = Some((now + DELETING, Timer::Deleted));
        self.end.get_or_insert(end);
    }

    fn forget_plans(&mut self) {
        self.tasks.clear();
        self.rekey_at = None;
        self.childless_until = None;
        self.requests.clear();
        self.responses.clear();
    }

    /// Drops fragments that came `age` ago or earlier.
    pub(super) fn forget_fragments(&mut self, now: Instant, age: Duration) {
        for partial in [&mut self.requests, &mut self.responses] {
            if partial.since().is_some_and(|since| since + age <= now) {
                partial.clear();
            }
        }
    }

    fn header(&self, exchange: ExchangeType, response: bool, message_id: u32) -> Header {
        let flags = Flags {
            initiator: self.initiator,
            version: false,
            response,
        };
        Header::new(self.spi_i(), self.spi_r(), exchange, flags, message_id)
    }

    /// Sends a request in the clear or sealed, as far as there are keys, and waits for `awaited`.
    pub(super) fn request(
        &mut self,
        core: &mut Core,
        now: Instant,
        exchange: ExchangeType,
        writer: &mut Writer,
        awaited: Awaited,
    ) {
        let Some((_, connection)) = self.tunnel.clone() else {
            return;
        };
        let (first, chain) = writer.finish();
        let name = (exchange, false, self.window.next_request);
        let octets = self.datagrams(core, name, first, &chain);
        for datagram in &octets {
            core.transmit(self.path, datagram.clone());
        }
        self.window
            .sent(now, exchange, octets, awaited, &connection.retransmit);
    }

    /// Answers the request of that number, which was the expected one, over the path that it came by.
    pub(super) fn respond(
        &mut self,
        core: &mut Core,
        path: Path,
        exchange: ExchangeType,
        writer: &mut Writer,
    ) {
        let (first, chain) = writer.finish();
        let name = (exchange, true, self.window.expected);
        let octets = self.datagrams(core, name, first, &chain);
        for datagram in &octets {
            core.transmit(path, datagram.clone());
        }
        self.window.answered(octets);
    }

    /// Sends a request that nothing is waited for.
    pub(super) fn tell(&mut self, core: &mut Core, writer: &mut Writer) {
        let id = self.window.next_request;
        self.window.next_request = id.saturating_add(1);
        let (first, chain) = writer.finish();
        let name = (ExchangeType::Informational, false, id);
        for datagram in self.datagrams(core, name, first, &chain) {
            core.transmit(self.path, datagram);
        }
    }

    /// The datagrams of one message, in the clear as long as there are no keys; none if it cannot be sealed.
    pub(super) fn datagrams(
        &mut self,
        core: &mut Core,
        (exchange, response, message_id): (ExchangeType, bool, u32),
        first: u8,
        chain: &[u8],
    ) -> Vec<Vec<u8>> {
        let header = self.header(exchange, response, message_id);
        trace_sent(core, self.id(), &header, first, chain);
        let fragment_octets = self.fragment_octets();
        let Some(keys) = &mut self.keys else {
            return vec![write_message(&header, first, chain)];
        };
        let whole = sk::message_octets(chain.len(), &keys.outbound);
        let sealed = match fragment_octets.filter(|most| whole > *most) {
            Some(most) => {
                let next_iv = || core.numbers.octets();
                sk::seal_fragments(&header, first, chain, &mut keys.outbound, most, next_iv)
            }
            None => sk::seal_message(
                &header,
                first,
                chain,
                &mut keys.outbound,
                core.numbers.octets(),
            )
            .map(|octets| vec![octets]),
        };
        sealed.unwrap_or_else(|fault| {
            core.trace(self.id(), || {
                format!("{} is not sent: {fault}", title(&header))
            });
            Vec::new()
        })
    }

    fn fragment_octets(&self) -> Option<usize> {
        let (_, connection) = self.tunnel.as_ref()?;
        let most = usize::from(connection.fragment_octets).max(FRAGMENT_OCTETS_MIN);
        self.peer.fragmentation.then_some(most)
    }
}

/// What an IKE_SA_INIT message says of who sent it.
pub(super) fn peer_abilities(contents: &Contents<'_>) -> PeerAbilities {
    let hashes = contents.notify(notify::SIGNATURE_HASH_ALGORITHMS);
    PeerAbilities {
        fragmentation: contents.has(notify::IKEV2_FRAGMENTATION_SUPPORTED),
        signature_hashes: hashes
            .map(|hashes| hashes.data.as_chunks::<2>().0)
            .unwrap_or_default()
            .iter()
            .map(|hash| u16::from_be_bytes(*hash))
            .collect(),
        vendors: contents.vendors().take(VENDORS_MAX).map(vendor).collect(),
    }
}

/// A vendor ID as text where it is, else in hexadecimal; its first octets.
fn vendor(id: &[u8]) -> String {
    let id = id.get(..VENDOR_OCTETS_MAX).unwrap_or(id);
    match str::from_utf8(id) {
        Ok(text)
            if !text.is_empty()
                && text
                    .bytes()
                    .all(|octet| octet.is_ascii_graphic() || octet == b' ') =>
        {
            text.to_owned()
        }
        _ => id.iter().map(|octet| format!("{octet:02x}")).collect(),
    }
}

pub(super) fn trace_sent(
    core: &mut Core,
    id: Option<ConnectionId>,
    header: &Header,
    first: u8,
    chain: &[u8],
) {
    core.trace(id, || {
        let what = payloads(first, chain)
            .map_or_else(|fault| fault.to_string(), |all| summary(header, &all));
        format!("→ {}: {what}", title(header))
    });
}

/// `IKE_AUTH request 1`.
pub(super) fn title(header: &Header) -> String {
    let kind = if header.flags.response {
        "response"
    } else {
        "request"
    };
    format!("{} {kind} {}", header.exchange, header.message_id)
}
