//! What each command does.

use std::time::Instant;

use super::core::{Core, Slot};
use super::endpoint::Endpoint;
use super::informational;
use super::main_mode;
use super::sa::{End, Phase, Sa};
use super::task::Task;
use crate::ike::{Command, CommandError, ConnectionId, DownWhy, Failure, Path, What};
use crate::wire::esp::Spi;

pub(super) fn run(
    endpoint: &mut Endpoint,
    now: Instant,
    command: Command,
) -> Result<(), CommandError> {
    match command {
        Command::Add(..) => Err(CommandError::OtherVersion),
        Command::Remove(id) => {
            end(endpoint, now, id, DownWhy::Cleared)?;
            endpoint.core.remove(id);
            Ok(())
        }
        Command::SetRemotes(id, remotes) => {
            known(endpoint, id)?;
            endpoint.core.set_remotes(id, remotes);
            Ok(())
        }
        Command::Initiate(id, path) => initiate(endpoint, now, id, path),
        Command::Clear(id) => end(endpoint, now, id, DownWhy::Cleared),
        Command::Dead(id) => end(endpoint, now, id, DownWhy::Dead),
        Command::Rekey(id, What::Ike) => {
            current(endpoint, id)?;
            endpoint.core.ask(id, now, Task::Phase1);
            Ok(())
        }
        Command::Rekey(id, What::Child) | Command::RebuildChild(id) => {
            replace_child(endpoint, now, id, None)
        }
        Command::ChildAged(id, spi_in) => replace_child(endpoint, now, id, Some(spi_in)),
        Command::Probe(id) => probe(endpoint, now, id),
        Command::Moved(id, remote) => {
            let cookie = current(endpoint, id)?;
            endpoint.with(now, cookie, |core, sa| {
                if sa.nat.peer && sa.path.remote != remote {
                    sa.path.remote = remote;
                    core.trace(Some(id), || format!("peer moved to {remote}"));
                }
            });
            Ok(())
        }
    }
}

fn known(endpoint: &Endpoint, id: ConnectionId) -> Result<(), CommandError> {
    let slot = endpoint.core.slots.get(&id);
    slot.map(|_| ()).ok_or(CommandError::UnknownConnection)
}

/// The ISAKMP SA in use.
fn current(endpoint: &Endpoint, id: ConnectionId) -> Result<u64, CommandError> {
    let slot = endpoint.core.slots.get(&id);
    let slot = slot.ok_or(CommandError::UnknownConnection)?;
    slot.current.ok_or(CommandError::NotEstablished)
}

fn initiate(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    path: Path,
) -> Result<(), CommandError> {
    let Some(slot) = endpoint.core.slots.get(&id) else {
        return Err(CommandError::UnknownConnection);
    };
    if path.local.is_ipv4() != path.remote.is_ipv4() {
        return Err(CommandError::FamiliesDiffer);
    }
    if slot.current.is_some() || endpoint.is_opening(slot) {
        return Err(CommandError::AlreadyActive);
    }
    let connection = slot.connection.clone();
    main_mode::initiate(&mut endpoint.core, now, id, connection, path);
    Ok(())
}

/// Deletes everything of a tunnel: the peer is told once, and does not answer.
fn end(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    why: DownWhy,
) -> Result<(), CommandError> {
    let Some(slot) = endpoint.core.slots.get_mut(&id) else {
        return Err(CommandError::UnknownConnection);
    };
    slot.tasks.clear();
    let pairs: Vec<Spi> = slot.children.iter().map(|child| child.spi_in).collect();
    let current = slot.current;
    let cookies: Vec<u64> = slot
        .sas
        .iter()
        .copied()
        .filter(|cookie| Some(*cookie) != current)
        .chain(current)
        .collect();
    for cookie in cookies {
        endpoint.with(now, cookie, |core, sa| {
            if Some(cookie) == current {
                informational::delete_esp(core, sa, &pairs);
            }
            end_sa(core, sa, why);
        });
    }
    endpoint.down(id, why);
    Ok(())
}

fn end_sa(core: &mut Core, sa: &mut Sa, why: DownWhy) {
    match sa.phase {
        Phase::Opening => sa.dead(End::Failed(Failure::Cancelled)),
        Phase::Configuring => sa.delete(core, End::Failed(Failure::Cancelled)),
        Phase::HalfOpen(_) => sa.dead(End::Silent),
        Phase::Established => sa.delete(core, End::Down(why)),
        Phase::Superseded => sa.delete(core, End::Silent),
        Phase::Dead => {}
    }
}

/// Asks for another pair in place of the one in use, which is the one meant where one is.
fn replace_child(
    endpoint: &mut Endpoint,
    now: Instant,
    id: ConnectionId,
    meant: Option<Spi>,
) -> Result<(), CommandError> {
    current(endpoint, id)?;
    let slot = endpoint.core.slots.get(&id);
    let spi_in = slot
        .and_then(Slot::spi_in_use)
        .filter(|spi| meant.is_none_or(|meant| meant == *spi))
        .ok_or(CommandError::NotEstablished)?;
    endpoint.core.ask(id, now, Task::Quick(Some(spi_in)));
    Ok(())
}

/// R-U-THERE, to a peer that said that it answers.
fn probe(endpoint: &mut Endpoint, now: Instant, id: ConnectionId) -> Result<(), CommandError> {
    let cookie = current(endpoint, id)?;
    let is_asked = endpoint.with(now, cookie, |core, sa| {
        if sa.peer.dpd {
            informational::ask_alive(core, sa, now);
        }
        sa.peer.dpd
    });
    match is_asked {
        Some(true) => Ok(()),
        _ => Err(CommandError::NotProbed),
    }
}
