//! What each command does.

use std::time::Instant;

use super::command::{Command, CommandError, What};
use super::connection::{Connection, ConnectionId, LocalAuth, Path, RemoteAuth};
use super::core::Core;
use super::endpoint::Endpoint;
use super::failure::{DownWhy, Failure};
use super::sa::{End, IkeSa, Phase};
use super::sa_init;
use super::task::Task;
use crate::wire::esp::Spi;
use crate::wire::ike::Writer;

pub(super) fn run(
    endpoint: &mut Endpoint,
    now: Instant,
    command: Command,
) -> Result<(), CommandError> {
    match command {
        Command::Add(id, connection) => add(endpoint, now, id, *connection),
        Command::Remove(id) => remove(endpoint, now, id),
        Command::SetRemotes(id, remotes) => {
            known(endpoint, id)?;
            endpoint.core.set_remotes(id, remotes);
            Ok(())
        }
        Command::Initiate(id, path) => initiate(endpoint, now, id, path),
        Command::Clear(id) => each(endpoint, now, id, |_, sa| clear(sa, now)),
        Command::Dead(id) => each(endpoint, now, id, dead),
        Command::Rekey(id, What::Ike) => current(endpoint, now, id, |_, sa| {
            sa.ask(now, Task::RekeyIke);
            Ok(())
        }),
        Command::Rekey(id, What::Child) | Command::RebuildChild(id) => {
            current(endpoint, now, id, |_, sa| replace_child(sa, now, None))
        }
        Command::ChildAged(id, spi_in) => current(endpoint, now, id, |_, sa| {
            replace_child(sa, now, Some(spi_in))
        }),
        Command::Probe(id) => current(endpoint, now, id, |core, sa| {
            probe(core, sa, now);
            Ok(())
        }),
        Command::Moved(id, remote) => current(endpoint, now, id, |core, sa| {
            if sa.nat.peer && sa.path.remote != remote {
                sa.path.remote = remote;
                core.trace(Some(id), || format!("peer moved to {remote}"));
            }
            Ok(())
        }),
    }
}

fn known(endpoint: &Endpoint, id: ConnectionId) -> Result<(), CommandError> {
    let slot = endpoint.core.slots.get(&id);
    slot.map(|_| ()).ok_or(CommandError::UnknownConnection)
}

fn add(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    connection: Connection,
) -> Result<(), CommandError> {
    let psk = |has_psk: Option<bool>| has_psk == Some(true);
    let local = match &connection.local_auth {
        LocalAuth::Psk(psk) => Some(psk.is_empty()),
        LocalAuth::Certificate { chain, .. } if chain.is_empty() => {
            return Err(CommandError::NoCertificate);
        }
        LocalAuth::Certificate { .. } => None,
    };
    let remote = match &connection.remote_auth {
        RemoteAuth::Psk(psk) => Some(psk.is_empty()),
        RemoteAuth::Certificate(_) => None,
    };
    if psk(local) || psk(remote) {
        return Err(CommandError::EmptyPsk);
    }
    let lists = [connection.ike.is_empty(), connection.esp.is_empty()];
    let selectors = [
        connection.local_ts.is_empty(),
        connection.remote_ts.is_empty(),
    ];
    if lists.into_iter().chain(selectors).any(|is_empty| is_empty) {
        return Err(CommandError::NothingToOffer);
    }
    if known(endpoint, id).is_ok() {
        remove(endpoint, now, id)?;
    }
    endpoint.core.insert(id, connection);
    Ok(())
}

fn remove(endpoint: &mut Endpoint, now: Instant, id: ConnectionId) -> Result<(), CommandError> {
    each(endpoint, now, id, |_, sa| clear(sa, now))?;
    endpoint.core.remove(id);
    Ok(())
}

fn initiate(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    path: Path,
) -> Result<(), CommandError> {
    let slot = endpoint
        .core
        .slots
        .get(&id)
        .ok_or(CommandError::UnknownConnection)?;
    if path.local.is_ipv4() != path.remote.is_ipv4() {
        return Err(CommandError::FamiliesDiffer);
    }
    let is_attempt = |spi: &u64| {
        let sa = endpoint.sa(*spi);
        sa.is_some_and(|sa| matches!(sa.phase, Phase::Initiating))
    };
    if slot.current.is_some() || slot.sas.iter().any(is_attempt) {
        return Err(CommandError::AlreadyActive);
    }
    let connection = slot.connection.clone();
    sa_init::initiate(endpoint, now, id, connection, path);
    Ok(())
}

/// Lets `act` work on every IKE SA of a tunnel.
fn each(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    act: impl Fn(&mut Core, &mut IkeSa),
) -> Result<(), CommandError> {
    let slot = endpoint
        .core
        .slots
        .get(&id)
        .ok_or(CommandError::UnknownConnection)?;
    let others = slot
        .sas
        .iter()
        .copied()
        .filter(|spi| Some(*spi) != slot.current);
    // The one in use last, so that no other takes its place.
    let spis: Vec<u64> = others.chain(slot.current).collect();
    for spi in spis {
        endpoint.with(now, spi, &act);
    }
    Ok(())
}

/// Lets `act` work on the IKE SA in use.
fn current(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    act: impl FnOnce(&mut Core, &mut IkeSa) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let slot = endpoint
        .core
        .slots
        .get(&id)
        .ok_or(CommandError::UnknownConnection)?;
    let spi = slot.current.ok_or(CommandError::NotEstablished)?;
    endpoint
        .with(now, spi, act)
        .unwrap_or(Err(CommandError::NotEstablished))
}

fn clear(sa: &mut IkeSa, now: Instant) {
    match sa.phase {
        Phase::Initiating => sa.fail(Failure::Cancelled),
        Phase::Established => sa.down(now, DownWhy::Cleared),
        Phase::Superseded => sa.close(now, End::Silent),
        Phase::HalfOpen(_) | Phase::Deleting | Phase::Gone | Phase::Dead => {}
    }
}

/// One DELETE, no waiting; a request under way had its chance.
fn dead(core: &mut Core, sa: &mut IkeSa) {
    match sa.phase {
        Phase::Initiating => sa.fail(Failure::Cancelled),
        Phase::Established => {
            let mut writer = Writer::new();
            writer.delete_ike();
            sa.tell(core, &mut writer);
            sa.dead(End::Down(DownWhy::Dead));
        }
        Phase::Superseded | Phase::Deleting => sa.dead(End::Silent),
        Phase::HalfOpen(_) | Phase::Gone | Phase::Dead => {}
    }
}

/// Asks for another pair in place of the one in use, which is the one meant where one is.
fn replace_child(sa: &mut IkeSa, now: Instant, meant: Option<Spi>) -> Result<(), CommandError> {
    let spi_in = sa
        .child_in_use()
        .map(|child| child.spi_in)
        .filter(|spi| meant.is_none_or(|meant| meant == *spi))
        .ok_or(CommandError::NotEstablished)?;
    if !sa.is_rekeying(spi_in) {
        sa.ask(now, Task::RekeyChild(spi_in));
    }
    Ok(())
}

/// With a request under way that one is repeated at the pace of the probes, since the window is 1.
fn probe(core: &mut Core, sa: &mut IkeSa, now: Instant) {
    let path = sa.path;
    let Some(request) = &mut sa.window.outstanding else {
        sa.ask(now, Task::Probe);
        return;
    };
    let sent = &mut request.sent;
    sent.repeat_at = sent.repeat_at.max(now + sent.wait);
    core.counters.retransmits += 1;
    let (exchange, number) = (request.exchange, request.message_id);
    for octets in &sent.octets {
        core.transmit(path, octets.clone());
    }
    core.trace(sa.id(), || {
        format!("→ {exchange} request {number} again (probe)")
    });
}
