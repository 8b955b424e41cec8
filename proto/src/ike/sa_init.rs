//! The initiator's half of IKE_SA_INIT, with COOKIE and INVALID_KE_PAYLOAD answered (RFC 7296 sections 1.2, 2.6 and 2.23).

use std::sync::Arc;
use std::time::Instant;

use adit_crypto::{Group, KeyPair};

use super::awaited::{Awaited, SaInitSent};
use super::connection::{Connection, ConnectionId, Path};
use super::core::Core;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::half_open::detect_nat;
use super::keys::{IkeKeys, Seeds};
use super::message::Contents;
use super::proposal::{IkeProposal, accept_ike, ike_to_wire};
use super::sa::{End, IkeSa, SaKeys, peer_abilities};
use super::timer::{REFUSED, Timer};
use super::{ike_auth, natd};
use crate::wire::ike::{ExchangeType, SaPayload, Transform, TransformKind, Writer, notify};

/// The encoding of CERT and CERTREQ payloads: X.509 certificate, signature (RFC 7296 section 3.6).
pub(super) const CERT_X509: u8 = 4;
/// SHA2-256, SHA2-384 and the identity, of Ed25519 (RFC 7427 section 7, RFC 8420).
pub(super) const HASHES: [u8; 6] = [0, 2, 0, 3, 0, 5];
/// COOKIE and INVALID_KE_PAYLOAD answers that an attempt follows.
const ROUNDS_MAX: u32 = 4;
/// Public values that an attempt finds useless at the cost of a key exchange; the next one ends it.
const USELESS_MAX: u32 = 8;

/// Starts an attempt.
pub(super) fn initiate(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    connection: Arc<Connection>,
    path: Path,
) {
    let core = &mut endpoint.core;
    let local_spi = core.numbers.ike_spi();
    let mut sa = Box::new(IkeSa::new(local_spi, true, path, now));
    sa.tunnel = Some((id, connection));
    let nonce = core.numbers.nonce();
    let group = sa.connection().and_then(|c| groups(c).next());
    let is_forced = sa.connection().is_some_and(|c| c.force_udp);
    let forced_source = is_forced.then(|| core.numbers.octets());
    match group.and_then(|group| KeyPair::generate(group).ok()) {
        Some(key_pair) => {
            let sent = SaInitSent {
                key_pair,
                nonce,
                forced_source,
                cookie: None,
                rounds: 0,
                earlier: Vec::new(),
                useless: 0,
                refusal: None,
            };
            send(core, &mut sa, now, sent);
        }
        None => sa.fail(Failure::Local("no key pair could be made")),
    }
    endpoint.insert(now, sa);
}

/// Gives up the tunnel's attempts that no answer was taken of once the IKE SA that the peer initiated is in use with a child: repeated,
/// they would only make one that is too many.
pub(super) fn give_way(endpoint: &mut Endpoint, now: Instant, local_spi: u64) {
    let works = |sa: &&IkeSa| {
        !sa.initiator
            && sa.is_established()
            && sa.is_in_use(&endpoint.core)
            && sa.child_in_use().is_some()
    };
    let Some(id) = endpoint.sa(local_spi).filter(works).and_then(IkeSa::id) else {
        return;
    };
    let others: Vec<u64> = endpoint
        .core
        .slots
        .get(&id)
        .map(|slot| slot.sas.iter().copied().collect())
        .unwrap_or_default();
    for spi in others {
        endpoint.with(now, spi, |core, sa| {
            if sa.awaits(|awaited| matches!(awaited, Awaited::SaInit(_))) {
                core.trace(Some(id), || {
                    "the peer was first: our IKE_SA_INIT is not repeated".to_owned()
                });
                sa.dead(End::Silent);
            }
        });
    }
}

/// The groups of all offers, best first.
fn groups(connection: &Connection) -> impl Iterator<Item = Group> + '_ {
    connection
        .ike
        .iter()
        .flat_map(|offer| offer.groups().iter().copied())
}

fn send(core: &mut Core, sa: &mut IkeSa, now: Instant, sent: SaInitSent) {
    let Some((_, connection)) = sa.tunnel.clone() else {
        return;
    };
    let mut writer = Writer::new();
    if let Some(cookie) = &sent.cookie {
        writer.notify(0, &[], notify::COOKIE, cookie);
    }
    writer
        .sa(&ike_to_wire(&connection.ike, None))
        .ke(sent.key_pair.group().iana(), sent.key_pair.public())
        .nonce(&sent.nonce);
    nat_payloads(&mut writer, sa.path, (sa.local_spi, 0), sent.forced_source);
    writer
        .notify(0, &[], notify::IKEV2_FRAGMENTATION_SUPPORTED, &[])
        .notify(0, &[], notify::SIGNATURE_HASH_ALGORITHMS, &HASHES);
    sa.window.next_request = 0;
    sa.request(
        core,
        now,
        ExchangeType::IkeSaInit,
        &mut writer,
        Awaited::SaInit(Box::new(sent)),
    );
}

/// Both NAT detection payloads; `forced` in place of our source, where UDP encapsulation is to be had without a NAT.
pub(super) fn nat_payloads(
    writer: &mut Writer,
    path: Path,
    (spi_i, spi_r): (u64, u64),
    forced: Option<[u8; natd::HASH_OCTETS]>,
) {
    let source = forced.unwrap_or_else(|| natd::hash(spi_i, spi_r, path.local));
    let destination = natd::hash(spi_i, spi_r, path.remote);
    writer
        .notify(0, &[], notify::NAT_DETECTION_SOURCE_IP, &source)
        .notify(0, &[], notify::NAT_DETECTION_DESTINATION_IP, &destination);
}

/// The same proposals with `group` for the only one where they have it, so that the KE payload that is there is used if it may be.
pub(super) fn prefer_group(sa: &SaPayload, group: u16) -> SaPayload {
    let is_other =
        |transform: &Transform| transform.kind == TransformKind::Ke && transform.id != group;
    let mut preferred = sa.clone();
    for proposal in &mut preferred.proposals {
        proposal.transforms.retain(|transform| !is_other(transform));
    }
    preferred
}

/// What a response is to the attempt. Nobody has proved to have sent it: whoever saw the request may have.
enum Verdict {
    /// Once more what was followed already.
    Known,
    /// It refuses, or cannot be used.
    Refused(Failure),
    /// The same request is wanted with this cookie.
    Cookie(Vec<u8>),
    /// Another request is wanted, with a key pair of this group.
    Group(Group),
    /// It can be gone on with.
    Good(IkeProposal),
}

/// A response. Only one that can be used ends the exchange: any other may be forged, and the peer's own still to come. A refusal is
/// remembered therefore and the request repeated as before; the attempt fails with the first refusal [`REFUSED`] (3 s) after it, or
/// when the request was repeated often enough if that is earlier.
pub(super) fn response(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    datagram: &[u8],
    contents: &Contents<'_>,
) {
    match judge(sa, contents) {
        Verdict::Known => core.counters.unexpected += 1,
        Verdict::Refused(failure) => remember(core, sa, now, failure),
        Verdict::Cookie(cookie) => again(core, sa, now, |sent, _| {
            sent.cookie = Some(cookie);
            Some(())
        }),
        Verdict::Group(group) => again(core, sa, now, |sent, octets| sent.change(group, octets)),
        Verdict::Good(proposal) if is_useless(sa, proposal.group, contents) => {
            remember(core, sa, now, Failure::KeyExchange);
        }
        Verdict::Good(proposal) => {
            if let Err(failure) = accept(core, sa, now, proposal, datagram, contents) {
                sa.fail(failure);
            }
        }
    }
}

fn judge(sa: &mut IkeSa, contents: &Contents<'_>) -> Verdict {
    let connection = sa.tunnel.as_ref().map(|(_, connection)| connection.clone());
    let (Some(connection), Some((sent, repeated))) = (connection, sa.sa_init_sent()) else {
        return Verdict::Known;
    };
    if contents.sa().is_some() {
        return match usable(&connection, sent, contents) {
            Ok(proposal) => Verdict::Good(proposal),
            Err(failure) => Verdict::Refused(failure),
        };
    }
    match wish(&connection, contents) {
        Verdict::Group(group) if group == sent.key_pair.group() => Verdict::Known,
        // What the request before this one was answered with may come more than once, and a cookie need not be the same each time.
        Verdict::Cookie(cookie)
            if sent.cookie.as_ref() == Some(&cookie)
                || (sent.cookie.is_some() && repeated == 0) =>
        {
            Verdict::Known
        }
        Verdict::Cookie(_) | Verdict::Group(_) if sent.rounds >= ROUNDS_MAX => {
            let why = "it goes on asking for another IKE_SA_INIT";
            Verdict::Refused(Failure::Protocol(why))
        }
        verdict @ (Verdict::Known
        | Verdict::Refused(_)
        | Verdict::Cookie(_)
        | Verdict::Group(_)
        | Verdict::Good(_)) => verdict,
    }
}

/// What a response without SA wants: COOKIE and INVALID_KE_PAYLOAD can be followed.
fn wish(connection: &Connection, contents: &Contents<'_>) -> Verdict {
    if let Some(cookie) = contents.notify(notify::COOKIE) {
        if !(1..=64).contains(&cookie.data.len()) {
            let why = "its cookie is not of 1 to 64 octets";
            return Verdict::Refused(Failure::Protocol(why));
        }
        return Verdict::Cookie(cookie.data.to_vec());
    }
    let Some(error) = contents.error() else {
        let why = "it answers IKE_SA_INIT with nothing";
        return Verdict::Refused(Failure::Protocol(why));
    };
    match error.kind {
        notify::INVALID_KE_PAYLOAD => {
            other_group(connection, error.data).map_or_else(Verdict::Refused, Verdict::Group)
        }
        notify::NO_PROPOSAL_CHOSEN => Verdict::Refused(Failure::ProposalsRefused {
            child: false,
            offered: super::offered_ike(connection),
        }),
        kind => Verdict::Refused(Failure::Notified(kind)),
    }
}

fn other_group(connection: &Connection, data: &[u8]) -> Result<Group, Failure> {
    let wanted = group_number(data)?;
    Group::from_iana(wanted)
        .filter(|group| groups(connection).any(|ours| ours == *group))
        .ok_or(Failure::GroupRefused(wanted))
}

/// What a response with SA chose, if it can be gone on with as far as that shows without a key exchange.
fn usable(
    connection: &Connection,
    sent: &SaInitSent,
    contents: &Contents<'_>,
) -> Result<IkeProposal, Failure> {
    let missing = Failure::Protocol("its IKE_SA_INIT lacks SPI, SA, KE or nonce");
    let (Some(answer), Some((group, public)), Some(_)) =
        (contents.sa(), contents.ke(), contents.nonce())
    else {
        return Err(missing);
    };
    if contents.header.spi_r == 0 {
        return Err(missing);
    }
    let proposal = accept_ike(&connection.ike, answer).map_err(Failure::NotOffered)?;
    if proposal.group.iana() != group || !sent.has(proposal.group) {
        return Err(Failure::GroupRefused(group));
    }
    if public.len() != proposal.group.public_octets() {
        return Err(Failure::KeyExchange);
    }
    Ok(proposal)
}

/// Whether no secret can be agreed on with the peer's public value. A key pair agrees once, so that another one finds it out: ours is
/// still needed if so. What that costs whoever forges is bounded.
fn is_useless(sa: &mut IkeSa, group: Group, contents: &Contents<'_>) -> bool {
    let (Some((sent, _)), Some((_, public))) = (sa.sa_init_sent(), contents.ke()) else {
        return false;
    };
    let is_useless = sent.useless < USELESS_MAX
        && KeyPair::generate(group).is_ok_and(|trial| trial.agree(public).is_err());
    sent.useless += u32::from(is_useless);
    is_useless
}

/// Keeps the first refusal, and waits for something better.
fn remember(core: &mut Core, sa: &mut IkeSa, now: Instant, failure: Failure) {
    core.counters.unexpected += 1;
    core.trace(sa.id(), || {
        format!("not authenticated, so IKE_SA_INIT is still repeated: {failure}")
    });
    if let Some((sent, _)) = sa.sa_init_sent()
        && sent.refusal.is_none()
    {
        sent.refusal = Some(failure);
        sa.deadline = Some((now + REFUSED, Timer::Refused));
    }
}

/// Sends the request again as `change` makes it; with the octets of the one before.
fn again(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    change: impl FnOnce(&mut SaInitSent, Vec<u8>) -> Option<()>,
) {
    let Some((mut sent, octets)) = sa.take_sa_init_sent() else {
        return;
    };
    sent.rounds += 1;
    match change(&mut sent, octets) {
        Some(()) => send(core, sa, now, sent),
        None => sa.fail(Failure::Local("no key pair could be made")),
    }
}

impl IkeSa {
    /// What is under way, and how often it was repeated.
    fn sa_init_sent(&mut self) -> Option<(&mut SaInitSent, u32)> {
        let request = self.window.outstanding.as_mut()?;
        if let Awaited::SaInit(sent) = &mut request.awaited {
            Some((sent, request.sent.repeated))
        } else {
            None
        }
    }

    /// What is under way, with the octets that were sent.
    fn take_sa_init_sent(&mut self) -> Option<(SaInitSent, Vec<u8>)> {
        let mut request = self.window.take(0, ExchangeType::IkeSaInit)?;
        let octets = request.sent.octets.pop()?;
        if let Awaited::SaInit(sent) = request.awaited {
            Some((*sent, octets))
        } else {
            None
        }
    }

    /// The attempt got no answer that it could use: the first refusal, if there was one, else that there was none.
    pub(super) fn sa_init_failure(&mut self) -> Failure {
        let sent = self.take_sa_init_sent();
        sent.and_then(|(sent, _)| sent.refusal)
            .unwrap_or(Failure::NotAnswering(ExchangeType::IkeSaInit))
    }
}

impl SaInitSent {
    /// Goes on with a key pair of that group, and keeps the one of the request that these octets are; none if none could be made.
    fn change(&mut self, group: Group, octets: Vec<u8>) -> Option<()> {
        let kept = self
            .earlier
            .iter()
            .position(|(ours, _)| ours.group() == group);
        let key_pair = match kept {
            Some(place) => self.earlier.swap_remove(place).0,
            None => KeyPair::generate(group).ok()?,
        };
        let before = std::mem::replace(&mut self.key_pair, key_pair);
        self.earlier.push((before, octets));
        Some(())
    }

    fn has(&self, group: Group) -> bool {
        let earlier = self.earlier.iter().map(|(key_pair, _)| key_pair.group());
        std::iter::once(self.key_pair.group())
            .chain(earlier)
            .any(|ours| ours == group)
    }

    /// The key pair of that group, and the request that it was sent in where that is not the last one.
    fn into_key_pair(self, group: Group) -> Option<(KeyPair, Option<Vec<u8>>)> {
        if self.key_pair.group() == group {
            return Some((self.key_pair, None));
        }
        let mut earlier = self.earlier.into_iter();
        let (key_pair, octets) = earlier.find(|(key_pair, _)| key_pair.group() == group)?;
        Some((key_pair, Some(octets)))
    }
}

/// The data of INVALID_KE_PAYLOAD.
pub(super) fn group_number(data: &[u8]) -> Result<u16, Failure> {
    let octets = data
        .first_chunk::<2>()
        .ok_or(Failure::Protocol("INVALID_KE_PAYLOAD names no group"))?;
    Ok(u16::from_be_bytes(*octets))
}

/// Agrees on keys and goes on with IKE_AUTH, with the key pair of the group that was chosen.
fn accept(
    core: &mut Core,
    sa: &mut IkeSa,
    now: Instant,
    proposal: IkeProposal,
    sa_init_response: &[u8],
    contents: &Contents<'_>,
) -> Result<(), Failure> {
    let (Some((_, public)), Some(nonce_r)) = (contents.ke(), contents.nonce()) else {
        return Err(Failure::KeyExchange);
    };
    let (_, connection) = sa.tunnel.clone().ok_or(Failure::Cancelled)?;
    let (sent, last_request) = sa.take_sa_init_sent().ok_or(Failure::Cancelled)?;
    sa.deadline = None;
    let nonce_i = sent.nonce.clone();
    let (key_pair, request) = sent
        .into_key_pair(proposal.group)
        .ok_or(Failure::KeyExchange)?;
    let g_ir = key_pair.agree(public).map_err(|_| Failure::KeyExchange)?;
    sa.remote_spi = contents.header.spi_r;
    let seeds = Seeds {
        ni: &nonce_i,
        nr: nonce_r,
        spi_i: sa.local_spi,
        spi_r: sa.remote_spi,
    };
    let keys = IkeKeys::derive(&proposal, &seeds, &g_ir);
    let keys = SaKeys::new(proposal, keys, true);
    sa.keys = Some(keys.ok_or(Failure::Local("the keys do not fit the cipher"))?);
    sa.lowest_nonce = nonce_i.as_slice().min(nonce_r).to_vec();
    sa.peer = peer_abilities(contents);
    detect_nat(sa, contents, connection.force_udp);
    if sa.udp {
        sa.path.local.set_port(core.config.nat_port);
        sa.path.remote.set_port(core.config.peer_nat_port);
    }
    let messages = ike_auth::SaInitMessages {
        request: &request.unwrap_or(last_request),
        response: sa_init_response,
        nonce_i,
        nonce_r: nonce_r.to_vec(),
    };
    ike_auth::send(core, sa, now, messages)
}
