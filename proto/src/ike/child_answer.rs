//! The responder's half of what makes a child SA, in IKE_AUTH and in CREATE_CHILD_SA (RFC 7296 sections 1.3.1, 2.7, 2.9 and 2.23.1).

use std::net::IpAddr;

use adit_crypto::{KeyPair, SecretBytes};

use super::child::Agreed;
use super::child_selectors::{self, Both};
use super::connection::{ChildMode, Connection};
use super::core::Core;
use super::failure::Failure;
use super::message::Contents;
use super::proposal::choose_esp;
use super::sa::IkeSa;
use super::sa_init::prefer_group;
use crate::wire::esp::Spi;
use crate::wire::ike::{SaPayload, TrafficSelector, Writer, notify};

/// A child SA that we agree to.
pub(super) struct Answer {
    pub(super) agreed: Agreed,
    number: u8,
    /// TSi and TSr as the initiator knows the addresses.
    shown: (Vec<TrafficSelector>, Vec<TrafficSelector>),
    /// Our public value and the shared secret of a key exchange of its own.
    key: Option<(Vec<u8>, SecretBytes)>,
}

/// Why we do not: what the initiator is told, and what the log is.
pub(super) struct Refusal {
    pub(super) notify: u16,
    pub(super) data: Vec<u8>,
    pub(super) why: Failure,
}

impl Refusal {
    pub(super) fn new(notify: u16, why: Failure) -> Self {
        Self {
            notify,
            data: Vec::new(),
            why,
        }
    }
}

impl Answer {
    /// The shared secret of a key exchange of its own, and what was agreed.
    pub(super) fn into_parts(self) -> (Option<SecretBytes>, Agreed) {
        (self.key.map(|(_, g_ir)| g_ir), self.agreed)
    }

    /// SA, with `nonce_r` that and KE, TSi, TSr and the mode.
    pub(super) fn write(&self, nonce_r: Option<&[u8]>, writer: &mut Writer) {
        let agreed = &self.agreed;
        writer.sa(&agreed.proposal.to_wire(self.number, agreed.spi_in.get()));
        if let Some(nonce_r) = nonce_r {
            writer.nonce(nonce_r);
        }
        if let (Some(group), Some((public, _))) = (agreed.proposal.group, &self.key) {
            writer.ke(group.iana(), public);
        }
        writer.ts_i(&self.shown.0).ts_r(&self.shown.1);
        if agreed.mode == ChildMode::Transport {
            writer.notify(0, &[], notify::USE_TRANSPORT_MODE, &[]);
        }
    }
}

/// Agrees to what a request asks for, as far as the tunnel allows.
pub(super) fn answer(
    core: &mut Core,
    sa: &IkeSa,
    connection: &Connection,
    contents: &Contents<'_>,
    in_ike_auth: bool,
) -> Result<Answer, Refusal> {
    let lacks = || {
        Refusal::new(
            notify::INVALID_SYNTAX,
            Failure::Protocol("its request lacks a payload"),
        )
    };
    let (Some(offered), Some(ts_i), Some(ts_r)) = (contents.sa(), contents.ts_i(), contents.ts_r())
    else {
        return Err(lacks());
    };
    let mode = mode(connection, contents)?;
    let (proposal, number, spi_out) = choose(connection, offered, contents, in_ike_auth)?;
    let spi_out = Spi::new(spi_out).ok_or_else(lacks)?;
    let seen = seen(sa, mode, ts_i, ts_r);
    let unacceptable = |why| Refusal::new(notify::TS_UNACCEPTABLE, why);
    let ours = child_selectors::ours(sa, connection, mode).map_err(unacceptable)?;
    let none = || {
        let proposed = super::selectors_in_words(ts_i, ts_r);
        unacceptable(Failure::NoSelectors { proposed })
    };
    let Both {
        local: local_ts,
        remote: remote_ts,
    } = child_selectors::common(connection, &ours, &seen.1, &seen.0).ok_or_else(none)?;
    let shown = (
        as_asked(&remote_ts, &seen.0, ts_i).ok_or_else(none)?,
        as_asked(&local_ts, &seen.1, ts_r).ok_or_else(none)?,
    );
    let key = proposal
        .group
        .map(|group| agree(group.iana(), contents))
        .transpose()?;
    Ok(Answer {
        agreed: Agreed {
            spi_in: core.numbers.child_spi(),
            spi_out,
            proposal,
            mode,
            local_ts,
            remote_ts,
        },
        number,
        shown,
        key,
    })
}

/// Transport mode only where both want it; a tunnel that is to be in transport mode takes no other.
fn mode(connection: &Connection, contents: &Contents<'_>) -> Result<ChildMode, Refusal> {
    let asked = contents.has(notify::USE_TRANSPORT_MODE);
    match connection.mode {
        ChildMode::Tunnel => Ok(ChildMode::Tunnel),
        ChildMode::Transport if asked => Ok(ChildMode::Transport),
        ours @ ChildMode::Transport => Err(Refusal::new(
            notify::NO_PROPOSAL_CHOSEN,
            Failure::Mode(ours),
        )),
    }
}

fn choose(
    connection: &Connection,
    offered: &SaPayload,
    contents: &Contents<'_>,
    in_ike_auth: bool,
) -> Result<(super::EspProposal, u8, u32), Refusal> {
    let preferred = contents
        .ke()
        .map(|(group, _)| prefer_group(offered, group))
        .and_then(|offered| choose_esp(&connection.esp, &offered, in_ike_auth).ok())
        .filter(|(proposal, _, _)| proposal.group.is_some());
    let chosen = match preferred {
        Some(chosen) => Ok(chosen),
        None => choose_esp(&connection.esp, offered, in_ike_auth),
    };
    chosen.map_err(|why| Refusal::new(notify::NO_PROPOSAL_CHOSEN, Failure::NoProposal(why)))
}

/// Our public value and the shared secret, if KE is of that group.
fn agree(group: u16, contents: &Contents<'_>) -> Result<(Vec<u8>, SecretBytes), Refusal> {
    let wrong = || Refusal {
        notify: notify::INVALID_KE_PAYLOAD,
        data: group.to_be_bytes().to_vec(),
        why: Failure::GroupRefused(contents.ke().map_or(0, |(group, _)| group)),
    };
    let (_, public) = contents
        .ke()
        .filter(|(theirs, _)| *theirs == group)
        .ok_or_else(wrong)?;
    let ours = adit_crypto::Group::from_iana(group).ok_or_else(wrong)?;
    let unusable = || Refusal::new(notify::INVALID_SYNTAX, Failure::KeyExchange);
    let key_pair = KeyPair::generate(ours).map_err(|_| unusable())?;
    let own = key_pair.public().to_vec();
    let g_ir = key_pair.agree(public).map_err(|_| unusable())?;
    Ok((own, g_ir))
}

/// The selectors with the addresses that we see: in transport mode a NAT changes those of the packets (RFC 7296 section 2.23.1).
fn seen(
    sa: &IkeSa,
    mode: ChildMode,
    ts_i: &[TrafficSelector],
    ts_r: &[TrafficSelector],
) -> (Vec<TrafficSelector>, Vec<TrafficSelector>) {
    let translated = |selectors: &[TrafficSelector], behind_nat: bool, seen: IpAddr| {
        let mut selectors = selectors.to_vec();
        if mode == ChildMode::Transport && behind_nat {
            for selector in selectors.iter_mut().filter(|selector| is_host(selector)) {
                selector.start = seen;
                selector.end = seen;
            }
        }
        selectors
    };
    (
        translated(ts_i, sa.nat.peer, sa.path.remote.ip()),
        translated(ts_r, sa.nat.local, sa.path.local.ip()),
    )
}

/// The agreed selectors with the addresses that the initiator asked for; none if it asked for others than hosts besides, since then it
/// could not be said which are meant.
fn as_asked(
    agreed: &[TrafficSelector],
    seen: &[TrafficSelector],
    asked: &[TrafficSelector],
) -> Option<Vec<TrafficSelector>> {
    if seen == asked {
        return Some(agreed.to_vec());
    }
    let first = asked.first()?;
    let shown = |agreed: &TrafficSelector| TrafficSelector {
        start: first.start,
        end: first.end,
        ..*agreed
    };
    asked
        .iter()
        .all(is_host)
        .then(|| agreed.iter().map(shown).collect())
}

fn is_host(selector: &TrafficSelector) -> bool {
    selector.start == selector.end
}
