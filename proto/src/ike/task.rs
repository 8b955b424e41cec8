//! What is to be asked of the peer when the window is free.

use std::time::Instant;

use super::awaited::Awaited;
use super::child::ChildState;
use super::core::Core;
use super::failure::DownWhy;
use super::sa::IkeSa;
use super::{rekey_child, rekey_ike};
use crate::wire::esp::Spi;
use crate::wire::ike::{ExchangeType, Writer};

/// One request to come; the order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// D of the IKE SA.
    DeleteIke,
    /// D of a pair, by its inbound SPI.
    DeleteChild(Spi),
    /// Another pair in its place.
    RekeyChild(Spi),
    /// Another pair that names none.
    NewChild,
    /// A successor of the IKE SA.
    RekeyIke,
    /// Nothing: is the peer there.
    Probe,
}

impl IkeSa {
    /// Puts a request on the list, once.
    pub(super) fn ask(&mut self, at: Instant, task: Task) {
        if !self.has_task(|listed| *listed == task) {
            self.tasks.push((at, task));
        }
    }

    pub(super) fn has_task(&self, is_meant: impl Fn(&Task) -> bool) -> bool {
        self.tasks.iter().any(|(_, task)| is_meant(task))
    }

    /// Whether such a request is under way.
    pub(super) fn awaits(&self, is_meant: impl Fn(&Awaited) -> bool) -> bool {
        self.window
            .outstanding
            .as_ref()
            .is_some_and(|request| is_meant(&request.awaited))
    }

    /// Whether a successor of that pair is asked for or to be.
    pub(super) fn is_rekeying(&self, spi: Spi) -> bool {
        self.has_task(|task| *task == Task::RekeyChild(spi) || *task == Task::NewChild)
            || self.awaits(
                |awaited| matches!(awaited, Awaited::Child(child) if child.replaces == Some(spi)),
            )
    }

    fn take_task(&mut self, now: Instant) -> Option<Task> {
        let due = self.tasks.iter().filter(|(at, _)| *at <= now);
        let (_, task) = *due.min_by_key(|(_, task)| *task)?;
        self.tasks.retain(|(_, listed)| *listed != task);
        Some(task)
    }
}

/// Sends what is due while nothing is under way.
pub(super) fn advance(core: &mut Core, sa: &mut IkeSa, now: Instant) {
    while sa.window.outstanding.is_none() && sa.asks() {
        let Some(task) = sa.take_task(now) else {
            return;
        };
        match task {
            Task::DeleteIke if sa.is_established() => superfluous(core, sa, now),
            Task::DeleteIke => {
                let mut writer = Writer::new();
                writer.delete_ike();
                sa.request(
                    core,
                    now,
                    ExchangeType::Informational,
                    &mut writer,
                    Awaited::DeleteIke,
                );
            }
            Task::DeleteChild(spi_in) => delete_child(core, sa, now, spi_in),
            Task::RekeyChild(spi_in) => rekey_child::rekey(core, sa, now, spi_in),
            Task::NewChild => rekey_child::create(core, sa, now),
            Task::RekeyIke => rekey_ike::ask(core, sa, now),
            Task::Probe => {
                let awaited = Awaited::Probe;
                sa.request(
                    core,
                    now,
                    ExchangeType::Informational,
                    &mut Writer::new(),
                    awaited,
                );
            }
        }
    }
}

/// Ends an SA that was one too many, unless it has become the one in use: both ends may have chosen differently which of two goes.
fn superfluous(core: &Core, sa: &mut IkeSa, now: Instant) {
    if sa.is_in_use(core) {
        return;
    }
    sa.down(now, DownWhy::Superfluous);
}

fn delete_child(core: &mut Core, sa: &mut IkeSa, now: Instant, spi_in: Spi) {
    if let Some(child) = sa.child_mut(spi_in)
        && !matches!(child.state, ChildState::Deleting { .. })
    {
        child.state = ChildState::Deleting { by: None };
    }
    let mut writer = Writer::new();
    writer.delete_esp(&[spi_in.get()]);
    let awaited = Awaited::DeleteChild(spi_in);
    sa.request(core, now, ExchangeType::Informational, &mut writer, awaited);
}
