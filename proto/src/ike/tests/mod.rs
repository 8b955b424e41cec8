//! Two endpoints over a wire in memory on a virtual clock.

pub(crate) mod both;
mod certificates;
mod collisions;
mod establish;
mod hostile;
mod limits;
mod lossy;
mod net;
mod refusals;
mod rekeys;
mod selectors;
mod together;
mod trusted;
mod unauthenticated;

use std::time::Instant;

use super::event::Retired;
use super::{ConnectionId, Endpoint};
use crate::wire::esp::Spi;

impl Endpoint {
    fn current_of(&self, id: ConnectionId) -> u64 {
        self.core.slots[&id].current.expect("an established IKE SA")
    }

    /// Every SA of a tunnel has a deadline, and none is before the next call.
    fn assert_timers(&self) {
        for spi in self.core.slots.values().flat_map(|slot| &slot.sas) {
            let sa = self.sa(*spi).expect("an SA that its tunnel knows");
            let (at, _) = sa.next_deadline().expect("a deadline");
            assert!(self.poll_timeout().is_some_and(|(next, _)| next <= at));
        }
    }

    /// Loses a pair without telling the peer.
    fn forget_child(&mut self, id: ConnectionId, spi_in: Spi) {
        let spi = self.current_of(id);
        let core_and_sa = |core: &mut super::core::Core, sa: &mut super::sa::IkeSa| {
            sa.retire(core, spi_in, Retired::Deleted);
        };
        let now = self
            .sa(spi)
            .and_then(|sa| sa.established_at)
            .expect("established");
        self.with(now, spi, core_and_sa);
    }

    /// Deletes the pair in use, as an administrator of another program may.
    fn delete_child(&mut self, now: Instant, id: ConnectionId) {
        let spi = self.current_of(id);
        self.with(now, spi, |_, sa| {
            if let Some(child) = sa.child_in_use().map(|child| child.spi_in) {
                sa.delete_replaced(now, child, None);
            }
        });
    }
}

#[test]
fn an_idle_ike_sa_is_small() {
    assert!(
        size_of::<super::sa::IkeSa>() <= 1024,
        "{}",
        size_of::<super::sa::IkeSa>()
    );
}
