//! How many half-open ISAKMP SAs there are, and from where: what a stranger can make us keep is bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Half-open SAs that peers initiated.
#[derive(Default)]
pub(super) struct HalfOpenCount {
    total: usize,
    by_source: BTreeMap<IpAddr, usize>,
}

impl HalfOpenCount {
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    pub(super) fn of(&self, source: IpAddr) -> usize {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    /// An SA that counted for `from` counts for `to`.
    pub(super) fn change(&mut self, from: Option<IpAddr>, to: Option<IpAddr>) {
        if let Some(source) = from
            && let Some(count) = self.by_source.get_mut(&source)
        {
            self.total -= 1;
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
        if let Some(source) = to {
            self.total += 1;
            *self.by_source.entry(source).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_half_open_any_more_counts_no_more() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let source = Some(address);
        let mut count = HalfOpenCount::default();
        count.change(None, source);
        count.change(None, source);
        count.change(source, None);
        assert_eq!((count.total(), count.of(address)), (1, 1));
        count.change(source, None);
        assert_eq!((count.total(), count.of(address)), (0, 0));
    }
}
