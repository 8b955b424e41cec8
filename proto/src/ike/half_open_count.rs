//! How many half-open SAs there are, and from where: what a stranger can make us keep is bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Whom a half-open SA counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opener {
    pub(crate) source: IpAddr,
    /// It showed by a cookie of IKEv2 that it receives there; who did not may be anybody.
    pub(crate) is_proven: bool,
}

/// The half-open SAs of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfSource {
    pub(crate) all: usize,
    pub(crate) proven: usize,
}

/// Half-open SAs that peers initiated.
#[derive(Default)]
pub(crate) struct HalfOpenCount {
    total: usize,
    by_source: BTreeMap<IpAddr, OfSource>,
}

impl HalfOpenCount {
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn of(&self, source: IpAddr) -> OfSource {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    /// An SA that counted for `from` counts for `to`.
    pub(crate) fn change(&mut self, from: Option<Opener>, to: Option<Opener>) {
        if let Some(opener) = from
            && let Some(count) = self.by_source.get_mut(&opener.source)
        {
            self.total -= 1;
            count.all -= 1;
            count.proven -= usize::from(opener.is_proven);
            if count.all == 0 {
                self.by_source.remove(&opener.source);
            }
        }
        if let Some(opener) = to {
            self.total += 1;
            let count = self.by_source.entry(opener.source).or_default();
            count.all += 1;
            count.proven += usize::from(opener.is_proven);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_half_open_any_more_counts_no_more() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let source = Some(Opener {
            source: address,
            is_proven: false,
        });
        let mut count = HalfOpenCount::default();
        count.change(None, source);
        count.change(None, source);
        count.change(source, None);
        assert_eq!((count.total(), count.of(address).all), (1, 1));
        count.change(source, None);
        assert_eq!((count.total(), count.of(address).all), (0, 0));
    }
}
