//! The responder's half of IKE_SA_INIT: no state before a cookie is proven where one is asked for, little and bounded state after
//! (RFC 7296 sections 1.2 and 2.6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use adit_crypto::KeyPair;

use super::child_answer::Refusal;
use super::connection::{Connection, ConnectionId, Path, RemoteAuth};
use super::core::Core;
use super::endpoint::Endpoint;
use super::event::Event;
use super::failure::Failure;
use super::half_open_count::Opener;
use super::keys::{IkeKeys, Seeds};
use super::message::Contents;
use super::natd::{HASH_OCTETS, Nat};
use super::proposal::{IkeProposal, NoProposal, choose_ike};
use super::sa::{IkeSa, Phase, SaKeys, peer_abilities, trace_sent};
use super::sa_init::{CERT_X509, HASHES, prefer_group};
use super::timer::{HALF_OPEN, Timer};
use crate::wire::ike::{Flags, Header, SaPayload, Writer, notify, write_message};

/// What an SA remembers until IKE_AUTH.
pub(super) struct HalfOpen {
    /// Where IKE_SA_INIT came from.
    pub(super) source: SocketAddr,
    /// The cookie that was returned proved so.
    pub(super) source_is_proven: bool,
    pub(super) sa_init_request: Vec<u8>,
    pub(super) sa_init_response: Vec<u8>,
    pub(super) nonce_i: Vec<u8>,
    pub(super) nonce_r: Vec<u8>,
}

impl HalfOpen {
    pub(super) const fn opener(&self) -> Opener {
        Opener {
            source: self.source.ip(),
            is_proven: self.source_is_proven,
        }
    }
}

/// What the responder makes of a request before it keeps anything.
struct Offered<'a> {
    path: Path,
    header: Header,
    datagram: &'a [u8],
    cookie_is_proven: bool,
    nonce_i: &'a [u8],
}

/// An IKE_SA_INIT request.
pub(super) fn request(
    endpoint: &mut Endpoint,
    now: Instant,
    path: Path,
    datagram: &[u8],
    contents: &Contents<'_>,
) {
    let header = contents.header;
    let core = &mut endpoint.core;
    let Some((id, _)) = core.candidates(path.remote.ip()).next() else {
        core.counters.no_connection += 1;
        core.trace(None, || {
            format!(
                "dropped IKE_SA_INIT of {}: no tunnel to this address",
                path.remote
            )
        });
        return;
    };
    core.trace_received(Some(id), contents);
    let (Some(sa), Some((group, public)), Some(nonce_i)) =
        (contents.sa(), contents.ke(), contents.nonce())
    else {
        refuse(core, path, &header, notify::INVALID_SYNTAX, &[]);
        return;
    };
    let mut offered = Offered {
        path,
        header,
        datagram,
        cookie_is_proven: false,
        nonce_i,
    };
    offered.cookie_is_proven = contents.notify(notify::COOKIE).is_some_and(|shown| {
        core.cookies(now)
            .check(now, shown.data, nonce_i, path.remote.ip(), header.spi_i)
    });
    if !may_open(core, now, &offered) {
        return;
    }
    match agree_on(core, id, &offered, (sa, group, public)) {
        Ok(answer) => open(endpoint, now, &offered, contents, &answer, public),
        Err(Refusal { notify, data, why }) => {
            refuse(core, path, &header, notify, &data);
            if notify != notify::INVALID_KE_PAYLOAD {
                core.event(Event::Refused(id, why));
            }
        }
    }
}

/// Algorithms, as far as the peer's public value is of the length that they ask for.
fn agree_on(
    core: &mut Core,
    id: ConnectionId,
    offered: &Offered<'_>,
    (sa, group, public): (&SaPayload, u16, &[u8]),
) -> Result<Answer, Refusal> {
    let source = offered.path.remote.ip();
    let (connection, proposal, number) = choose(core, source, &prefer_group(sa, group))
        .or_else(|_| choose(core, source, sa))
        .map_err(|why| Refusal::new(notify::NO_PROPOSAL_CHOSEN, Failure::NoProposal(why)))?;
    if proposal.group.iana() != group {
        let mut refusal = Refusal::new(notify::INVALID_KE_PAYLOAD, Failure::GroupRefused(group));
        refusal.data = proposal.group.iana().to_be_bytes().to_vec();
        return Err(refusal);
    }
    if public.len() != proposal.group.public_octets() {
        return Err(Refusal::new(notify::INVALID_SYNTAX, Failure::KeyExchange));
    }
    Ok(Answer {
        id,
        spi_r: core.numbers.ike_spi(),
        nonce_r: core.numbers.nonce(),
        forced_source: connection.force_udp.then(|| core.numbers.octets()),
        connection,
        proposal,
        number,
    })
}

/// The first tunnel whose algorithms fit, what was chosen, and the number of the peer's proposal.
fn choose(
    core: &Core,
    address: IpAddr,
    sa: &SaPayload,
) -> Result<(Arc<Connection>, IkeProposal, u8), NoProposal> {
    let mut fault = None;
    for (_, connection) in core.candidates(address) {
        match choose_ike(&connection.ike, sa) {
            Ok((proposal, number)) => return Ok((Arc::clone(connection), proposal, number)),
            Err(why) => fault = fault.or(Some(why)),
        }
    }
    Err(fault.unwrap_or(NoProposal {
        offered: super::proposal::describe(sa),
        missing: Vec::new(),
    }))
}

/// Whether the limits allow another half-open SA; asks for a cookie where one is due. What comes without one may be in another's name,
/// so that it never takes the place of what has one.
fn may_open(core: &mut Core, now: Instant, offered: &Offered<'_>) -> bool {
    let of_source = core.half_open.of(offered.path.remote.ip());
    let (total, config) = (core.half_open.total(), core.config);
    if offered.cookie_is_proven {
        core.counters.cookies_good += 1;
    } else if total >= config.cookie_threshold || of_source.all >= config.half_open_per_source {
        ask_cookie(core, now, offered);
        return false;
    }
    if total >= config.half_open_max {
        core.counters.half_open_full += 1;
        return false;
    }
    if of_source.proven >= config.half_open_per_source {
        core.counters.half_open_source += 1;
        return false;
    }
    true
}

fn ask_cookie(core: &mut Core, now: Instant, offered: &Offered<'_>) {
    let (header, path) = (&offered.header, offered.path);
    let cookie = core
        .cookies(now)
        .make(offered.nonce_i, path.remote.ip(), header.spi_i);
    core.counters.cookies_sent += 1;
    refuse(core, path, header, notify::COOKIE, &cookie);
}

/// A response in the clear.
struct Response {
    header: Header,
    first: u8,
    chain: Vec<u8>,
    octets: Vec<u8>,
}

impl Response {
    fn new(request: &Header, spi_r: u64, writer: &mut Writer) -> Self {
        let flags = Flags {
            initiator: false,
            version: false,
            response: true,
        };
        let header = Header::new(
            request.spi_i,
            spi_r,
            request.exchange,
            flags,
            request.message_id,
        );
        let (first, chain) = writer.finish();
        let octets = write_message(&header, first, &chain);
        Self {
            header,
            first,
            chain,
            octets,
        }
    }

    /// With one notification.
    fn refusal(request: &Header, kind: u16, data: &[u8]) -> Self {
        Self::new(request, 0, Writer::new().notify(0, &[], kind, data))
    }

    fn send(&self, core: &mut Core, path: Path, id: Option<ConnectionId>) {
        trace_sent(core, id, &self.header, self.first, &self.chain);
        core.transmit(path, self.octets.clone());
    }
}

/// Answers in the clear with one notification, unless that is longer than the request.
pub(super) fn refuse(core: &mut Core, path: Path, request: &Header, kind: u16, data: &[u8]) {
    let refusal = Response::refusal(request, kind, data);
    if refusal.octets.len() <= usize::try_from(request.length).unwrap_or(0) {
        refusal.send(core, path, None);
    }
}

/// What a request is answered with, but for a public value.
struct Answer {
    id: ConnectionId,
    connection: Arc<Connection>,
    proposal: IkeProposal,
    number: u8,
    spi_r: u64,
    nonce_r: Vec<u8>,
    forced_source: Option<[u8; HASH_OCTETS]>,
}

/// Answers, and keeps a half-open SA. A public value that no secret can be agreed on with is refused and counts as long as another, since
/// it cost as much.
fn open(
    endpoint: &mut Endpoint,
    now: Instant,
    offered: &Offered<'_>,
    contents: &Contents<'_>,
    answer: &Answer,
    public: &[u8],
) {
    let (path, header) = (offered.path, &offered.header);
    let core = &mut endpoint.core;
    let with = |core: &Core, ours: &[u8]| {
        let mut writer = answer_payloads(core, offered, contents, answer, ours);
        Response::new(header, answer.spi_r, &mut writer)
    };
    // An address that may be forged never makes us send more than it sent, nor work before that is known.
    let octets = with(core, &vec![0; public.len()]).octets.len();
    if octets > offered.datagram.len() && !offered.cookie_is_proven {
        ask_cookie(core, now, offered);
        return;
    }
    let mut sa = IkeSa::new(answer.spi_r, false, path, now);
    sa.remote_spi = header.spi_i;
    sa.deadline = Some((now + HALF_OPEN, Timer::HalfOpen));
    let response = match keys(answer, offered, public) {
        Ok((ours, keys)) => {
            detect_nat(&mut sa, contents, answer.connection.force_udp);
            sa.peer = peer_abilities(contents);
            sa.keys = Some(keys);
            sa.lowest_nonce = offered.nonce_i.min(&answer.nonce_r).to_vec();
            with(core, &ours)
        }
        Err(failure) => {
            core.event(Event::Refused(answer.id, failure));
            Response::refusal(header, notify::INVALID_SYNTAX, &[])
        }
    };
    response.send(core, path, Some(answer.id));
    sa.window.answered(vec![response.octets.clone()]);
    sa.phase = Phase::HalfOpen(Box::new(HalfOpen {
        source: path.remote,
        source_is_proven: offered.cookie_is_proven,
        sa_init_request: offered.datagram.to_vec(),
        sa_init_response: response.octets,
        nonce_i: offered.nonce_i.to_vec(),
        nonce_r: answer.nonce_r.clone(),
    }));
    endpoint.insert(now, Box::new(sa));
}

/// Our public value, and the keys of the SA.
fn keys(
    answer: &Answer,
    offered: &Offered<'_>,
    public: &[u8],
) -> Result<(Vec<u8>, SaKeys), Failure> {
    let key_pair = KeyPair::generate(answer.proposal.group)
        .map_err(|_| Failure::Local("no key pair could be made"))?;
    let ours = key_pair.public().to_vec();
    let g_ir = key_pair.agree(public).map_err(|_| Failure::KeyExchange)?;
    let seeds = Seeds {
        ni: offered.nonce_i,
        nr: &answer.nonce_r,
        spi_i: offered.header.spi_i,
        spi_r: answer.spi_r,
    };
    let keys = IkeKeys::derive(&answer.proposal, &seeds, &g_ir);
    let keys = SaKeys::new(answer.proposal, keys, false)
        .ok_or(Failure::Local("the keys do not fit the cipher"))?;
    Ok((ours, keys))
}

fn answer_payloads(
    core: &Core,
    offered: &Offered<'_>,
    contents: &Contents<'_>,
    answer: &Answer,
    public: &[u8],
) -> Writer {
    let path = offered.path;
    let mut writer = Writer::new();
    writer
        .sa(&answer.proposal.to_wire(answer.number, None))
        .ke(answer.proposal.group.iana(), public)
        .nonce(&answer.nonce_r);
    if contents.has(notify::NAT_DETECTION_SOURCE_IP) {
        let spis = (offered.header.spi_i, answer.spi_r);
        super::sa_init::nat_payloads(&mut writer, path, spis, answer.forced_source);
    }
    let asks_certificate = core
        .candidates(path.remote.ip())
        .find_map(|(_, connection)| match &connection.remote_auth {
            RemoteAuth::Certificate(anchors) => Some(anchors.key_ids().concat()),
            RemoteAuth::Psk(_) => None,
        });
    if let Some(authorities) = asks_certificate {
        writer.cert_req(CERT_X509, &authorities);
    }
    if contents.has(notify::IKEV2_FRAGMENTATION_SUPPORTED) {
        writer.notify(0, &[], notify::IKEV2_FRAGMENTATION_SUPPORTED, &[]);
    }
    if contents.has(notify::SIGNATURE_HASH_ALGORITHMS) {
        writer.notify(0, &[], notify::SIGNATURE_HASH_ALGORITHMS, &HASHES);
    }
    writer
}

/// What the NAT detection payloads of a peer's message say; with `forced` ESP is in UDP also where they see no NAT.
pub(super) fn detect_nat(sa: &mut IkeSa, contents: &Contents<'_>, forced: bool) {
    let of = |kind| {
        contents
            .notifies()
            .filter(move |notify| notify.kind == kind)
            .map(|notify| notify.data)
    };
    sa.nat = Nat::detect(
        (contents.header.spi_i, contents.header.spi_r),
        (sa.path.local, sa.path.remote),
        of(notify::NAT_DETECTION_SOURCE_IP),
        of(notify::NAT_DETECTION_DESTINATION_IP),
    );
    let understands = contents.has(notify::NAT_DETECTION_SOURCE_IP);
    sa.udp = sa.nat.is_present() || (forced && understands);
}
