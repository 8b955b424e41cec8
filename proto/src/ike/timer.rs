//! Why the endpoint wants to be called: one variant a deadline.

use std::time::{Duration, Instant};

use super::sa::IkeSa;
use super::task::Task;

/// A half-open SA is given up after this.
pub(super) const HALF_OPEN: Duration = Duration::from_secs(30);
/// An attempt whose IKE_SA_INIT was refused, by the peer or by somebody else, waits this long for a better answer.
pub(super) const REFUSED: Duration = Duration::from_secs(3);
/// A successor's predecessor, or a pair that was replaced, is deleted by us if the peer has not done it by then.
pub(super) const SUPERSEDED: Duration = Duration::from_secs(30);
/// An SA that is over repeats its last response for so long.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// An established SA without a child ends after this.
pub(super) const CHILDLESS: Duration = Duration::from_secs(30);
/// The deletion of an IKE SA is given up after this.
pub(super) const DELETING: Duration = Duration::from_secs(20);
/// Fragments of a message that is not complete are dropped after this.
pub(super) const FRAGMENTS: Duration = Duration::from_secs(20);

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A request is repeated, or given up.
    Retransmit,
    /// Something waits to be asked of the peer.
    Task,
    /// Our IKE_SA_INIT was refused, and no better answer came.
    Refused,
    /// IKE_AUTH did not follow IKE_SA_INIT.
    HalfOpen,
    /// The IKE SA is to be replaced.
    IkeRekey,
    /// The IKE SA reached its hard lifetime.
    IkeExpire,
    /// A child SA is to be replaced.
    ChildRekey,
    /// A child SA reached its hard lifetime.
    ChildExpire,
    /// The peer has not deleted a child SA that it replaced.
    ReplacedChild,
    /// The peer has not deleted the IKE SA that it replaced.
    Superseded,
    /// An IKE SA has had no child SA for long.
    Childless,
    /// An IKE SA was deleted: the peer has not answered, or has had time to ask again.
    Deleted,
    /// Fragments wait for others.
    Fragments,
}

impl IkeSa {
    /// The next deadline; an SA without one would never end.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Timer)> {
        let request = self
            .window
            .outstanding
            .as_ref()
            .map(|request| (request.sent.repeat_at, Timer::Retransmit));
        let tasks = (self.window.outstanding.is_none() && self.asks())
            .then(|| self.tasks.iter().map(|(at, _)| (*at, Timer::Task)).min())
            .flatten();
        let rekey = self
            .rekey_at
            .filter(|_| {
                self.is_established() && !self.has_task(|task| matches!(task, Task::RekeyIke))
            })
            .map(|at| (at, Timer::IkeRekey));
        let children = self
            .children
            .iter()
            .filter_map(|child| self.child_deadline(child));
        let childless = self.childless_until.map(|at| (at, Timer::Childless));
        let fragments = [&self.requests, &self.responses]
            .into_iter()
            .filter_map(|partial| Some((partial.since()? + FRAGMENTS, Timer::Fragments)));
        [self.deadline, request, tasks, rekey, childless]
            .into_iter()
            .flatten()
            .chain(children)
            .chain(fragments)
            .min()
    }
}
