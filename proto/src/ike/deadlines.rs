//! When an endpoint has to be called, and for what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// The next deadline of each `Of` that has one, in the order in which they are due; a `Timer` says what it is for.
pub(crate) struct Deadlines<Of, Timer> {
    queue: BTreeSet<(Instant, Of, Timer)>,
    next: BTreeMap<Of, (Instant, Timer)>,
}

impl<Of: Copy + Ord, Timer: Copy + Ord> Deadlines<Of, Timer> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: BTreeSet::new(),
            next: BTreeMap::new(),
        }
    }

    /// From here on the next deadline of `of` is this one, or it has none.
    pub(crate) fn set(&mut self, of: Of, deadline: Option<(Instant, Timer)>) {
        let before = match deadline {
            Some(deadline) => self.next.insert(of, deadline),
            None => self.next.remove(&of),
        };
        if before != deadline {
            let entry = |(at, timer)| (at, of, timer);
            if let Some(before) = before {
                self.queue.remove(&entry(before));
            }
            self.queue.extend(deadline.map(entry));
        }
    }

    pub(crate) fn first(&self) -> Option<(Instant, Of, Timer)> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Instant, Of, Timer)> {
        self.queue.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's start may be any instant"
    )]
    fn a_deadline_takes_the_place_of_the_one_before() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Some((at(1), "rekey")));
        deadlines.set('b', Some((at(2), "rekey")));
        assert_eq!(deadlines.first(), Some((at(1), 'a', "rekey")));
        deadlines.set('a', Some((at(3), "expire")));
        let all: Vec<_> = deadlines.iter().collect();
        assert_eq!(all, [(at(2), 'b', "rekey"), (at(3), 'a', "expire")]);
        deadlines.set('b', None);
        deadlines.set('a', None);
        assert_eq!(deadlines.first(), None);
    }
}
