//! What a quick mode makes: the selectors that both ends have, and the keys (RFC 2409 section 5.5).

use adit_crypto::SecretBytes;
use adit_crypto::v1::{Group, KeyPair};

use super::child::Agreed;
use super::connection::Connection;
use super::ids;
use super::message::Contents;
use super::proposal::{EspProposal, Life};
use super::sa::Sa;
use crate::ike::{ChildMode, Failure};
use crate::wire::esp::Spi;
use crate::wire::ike::TrafficSelector;

/// Those of both sides.
#[derive(Clone, Copy)]
pub(super) struct Selectors {
    pub(super) local: TrafficSelector,
    pub(super) remote: TrafficSelector,
}

impl Selectors {
    /// Ours: in transport mode those of the SA's own addresses, unless a NAT changes them.
    pub(super) fn ours(sa: &Sa, connection: &Connection) -> Self {
        let (local, remote) = (connection.local_ts, connection.remote_ts);
        if connection.mode == ChildMode::Tunnel || sa.nat.is_present() {
            return Self { local, remote };
        }
        let host = |selector: &TrafficSelector, host: std::net::IpAddr| TrafficSelector {
            start: host.to_canonical(),
            end: host.to_canonical(),
            ..*selector
        };
        Self {
            local: host(&local, sa.path.local.ip()),
            remote: host(&remote, sa.path.remote.ip()),
        }
    }

    /// What the peer's identities stand for, where it is no more than ours: quick mode cannot narrow.
    pub(super) fn within(self, theirs: Option<Self>) -> Option<Self> {
        let theirs = theirs.unwrap_or(self);
        let is_held = crate::ike::selector::cover(&[self.local], &[theirs.local])
            && crate::ike::selector::cover(&[self.remote], &[theirs.remote]);
        is_held.then_some(theirs)
    }
}

/// The peer's identities as ours: of the initiator first. Without any, the hosts themselves.
pub(super) fn proposed(
    sa: &Sa,
    contents: &Contents<'_>,
    we_asked: bool,
) -> Result<Option<Selectors>, Failure> {
    let of = |id| {
        ids::selector(id).ok_or(Failure::Protocol(
            "an identity of quick mode is no address, network or range",
        ))
    };
    let mut ids = contents.ids();
    let (Some(first), Some(second)) = (ids.next(), ids.next()) else {
        let host = |at: std::net::SocketAddr| {
            let address = at.ip().to_canonical();
            TrafficSelector::new(0, address, address)
        };
        let hosts = Selectors {
            local: host(sa.path.local),
            remote: host(sa.path.remote),
        };
        return Ok((!we_asked).then_some(hosts));
    };
    let (first, second) = (of(first)?, of(second)?);
    let (local, remote) = if we_asked {
        (first, second)
    } else {
        (second, first)
    };
    Ok(Some(Selectors { local, remote }))
}

pub(super) fn exchange_keys(
    group: Group,
    theirs: Option<&[u8]>,
) -> Result<(Vec<u8>, SecretBytes), Failure> {
    let theirs = theirs.ok_or(Failure::Protocol(
        "quick mode lacks the public value of its group",
    ))?;
    let key_pair =
        KeyPair::generate(group).map_err(|_| Failure::Local("no key pair could be made"))?;
    let ours = key_pair.public().to_vec();
    let g_xy = key_pair.agree(theirs).map_err(|_| Failure::KeyExchange)?;
    Ok((ours, g_xy))
}

/// What a pair is made of.
pub(super) struct Made<'a> {
    pub(super) spi_in: Spi,
    pub(super) spi_out: Spi,
    pub(super) proposal: EspProposal,
    pub(super) selectors: Selectors,
    pub(super) life: Life,
    pub(super) nonces: (&'a [u8], &'a [u8]),
    pub(super) g_xy: Option<&'a SecretBytes>,
    pub(super) we_asked: bool,
}

pub(super) fn made(sa: &Sa, connection: &Connection, made: &Made<'_>) -> Option<Agreed> {
    let session = sa.keys.as_ref()?;
    let keys = |spi: Spi| session.keymat(made.proposal.suite, spi.get(), made.nonces, made.g_xy);
    Some(Agreed {
        spi_in: made.spi_in,
        spi_out: made.spi_out,
        proposal: made.proposal,
        mode: connection.mode,
        local_ts: made.selectors.local,
        remote_ts: made.selectors.remote,
        keys_in: keys(made.spi_in),
        keys_out: keys(made.spi_out),
        life: made.life,
        udp: sa.udp(),
        path: sa.path,
        we_asked: made.we_asked,
    })
}
