//! The anti-replay window of one inbound security association (RFC 4303 section 3.4.3, appendix A2; ring of words as in RFC 6479).

/// The least window, in packets (RFC 4303 section 3.4.3 asks for 32 and prefers 64).
pub const WINDOW_MIN: u32 = 64;
/// The largest window, in packets.
pub const WINDOW_MAX: u32 = 65_536;
/// The window of a security association that names none.
pub const WINDOW_DEFAULT: u32 = 4096;

const WORD_BITS: u64 = 64;

/// Which sequence numbers have come. A number counts once, and none to the left of the window.
#[derive(Clone, Debug)]
pub struct Window {
    /// A power of two of words, one more than the window needs, so that clearing ahead never clears what is inside.
    words: Box<[u64]>,
    size: u64,
    /// The right edge: the greatest number accepted.
    edge: u64,
}

impl Window {
    /// A window of `size` packets, taken into [`WINDOW_MIN`]..=[`WINDOW_MAX`], in which every number up to `edge` has come: 0 for a new
    /// security association.
    #[must_use]
    pub fn new(size: u32, edge: u64) -> Self {
        let size = u64::from(size.clamp(WINDOW_MIN, WINDOW_MAX));
        let words = (size / WORD_BITS + 2).next_power_of_two();
        let words = vec![u64::MAX; usize::try_from(words).unwrap_or(usize::MAX)];
        let mut window = Self {
            words: words.into_boxed_slice(),
            size,
            edge,
        };
        // Of the edge's word, what lies beyond the edge has not come.
        let beyond = u64::MAX.checked_shl(bit(edge) + 1).unwrap_or(0);
        if let Some(word) = window.word_mut(edge) {
            *word &= !beyond;
        }
        window
    }

    /// The greatest number accepted, 0 for none.
    #[inline]
    #[must_use]
    pub fn edge(&self) -> u64 {
        self.edge
    }

    /// The whole number of a packet whose low half is `seq_lo`, with extended sequence numbers (RFC 4303 appendix A2.2); none if it
    /// would need more than 64 bits.
    #[inline]
    #[must_use]
    pub fn infer(&self, seq_lo: u32) -> Option<u64> {
        let bottom = self.edge.saturating_sub(self.size - 1);
        // The candidate in the half that the window's left end is in; below that end it is of the next one.
        let candidate = bottom & !u64::from(u32::MAX) | u64::from(seq_lo);
        if candidate >= bottom {
            Some(candidate)
        } else {
            candidate.checked_add(1 << 32)
        }
    }

    /// Whether a packet of this number may still be accepted. Nothing changes.
    #[inline]
    #[must_use]
    pub fn admits(&self, seq: u64) -> bool {
        if seq > self.edge {
            return true;
        }
        if seq == 0 || self.edge - seq >= self.size {
            return false;
        }
        self.word(seq) & 1 << bit(seq) == 0
    }

    /// Takes the number of an authenticated packet; whether it is the greatest so far. The packet was admitted.
    #[inline]
    pub fn accept(&mut self, seq: u64) -> bool {
        let is_newest = seq > self.edge;
        if is_newest {
            self.advance(seq);
        }
        if let Some(word) = self.word_mut(seq) {
            *word |= 1 << bit(seq);
        }
        is_newest
    }

    /// Moves the right edge to `seq`; the words that it enters are empty.
    #[inline]
    fn advance(&mut self, seq: u64) {
        let (from, to) = (self.edge / WORD_BITS, seq / WORD_BITS);
        let entered = (to - from).min(self.words.len() as u64);
        for index in 0..entered {
            if let Some(word) = self.word_mut((to - index) * WORD_BITS) {
                *word = 0;
            }
        }
        self.edge = seq;
    }

    #[inline]
    fn place(&self, seq: u64) -> usize {
        // The mask is below the number of words, so nothing is cut off.
        usize::try_from((seq / WORD_BITS) & (self.words.len() as u64 - 1)).unwrap_or(0)
    }

    #[inline]
    fn word(&self, seq: u64) -> u64 {
        self.words.get(self.place(seq)).copied().unwrap_or(u64::MAX)
    }

    #[inline]
    fn word_mut(&mut self, seq: u64) -> Option<&mut u64> {
        let place = self.place(seq);
        self.words.get_mut(place)
    }
}

/// The number's bit in its word.
#[inline]
fn bit(seq: u64) -> u32 {
    // At most 63.
    u32::try_from(seq % WORD_BITS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The window as a set.
    struct Model {
        come: BTreeSet<u64>,
        edge: u64,
        size: u64,
    }

    impl Model {
        fn admits(&self, seq: u64) -> bool {
            seq > self.edge || (seq > 0 && self.edge - seq < self.size && !self.come.contains(&seq))
        }

        fn accept(&mut self, seq: u64) {
            self.come.insert(seq);
            self.edge = self.edge.max(seq);
        }
    }

    fn sizes() -> impl Strategy<Value = u32> {
        prop_oneof![
            Just(64),
            Just(65),
            Just(127),
            Just(128),
            Just(4096),
            64..=65_536_u32
        ]
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(size in sizes(), start in prop_oneof![Just(0), 0..u64::MAX / 2], steps in prop::collection::vec((any::<bool>(), 0..20_000_u64), 1..400)) {
            let mut window = Window::new(size, start);
            let mut model = Model { come: (start.saturating_sub(200_000)..=start).collect(), edge: start, size: u64::from(size) };
            for (back, step) in steps {
                let seq = if back { model.edge.saturating_sub(step) } else { model.edge + step % 300 };
                prop_assert_eq!(window.admits(seq), model.admits(seq), "{} at edge {}", seq, model.edge);
                if model.admits(seq) {
                    prop_assert_eq!(window.accept(seq), seq > model.edge);
                    model.accept(seq);
                }
                prop_assert_eq!(window.edge(), model.edge);
            }
        }

        #[test]
        fn a_number_is_inferred_from_its_low_half_anywhere_around_the_window(size in sizes(), edge in 0..u64::MAX / 2, back in 0..65_536_u64, ahead in 0..1_u64 << 31) {
            let window = Window::new(size, edge);
            for seq in [edge.saturating_sub(back % u64::from(size)), edge + ahead] {
                let seq_lo = u32::try_from(seq & 0xffff_ffff).unwrap();
                prop_assert_eq!(window.infer(seq_lo), Some(seq));
            }
        }
    }

    #[test]
    fn duplicate_sequence_number_is_refused_and_window_unchanged() {
        let mut window = Window::new(64, 0);
        assert!(window.accept(5));
        assert!(!window.admits(5));
        assert!(window.admits(4) && window.admits(6));
        assert!(!window.accept(4));
        assert_eq!(window.edge(), 5);
    }

    #[test]
    fn zero_is_no_sequence_number() {
        assert!(!Window::new(64, 0).admits(0));
    }

    #[test]
    fn a_number_below_the_window_never_takes_the_place_of_one_inside() {
        let mut window = Window::new(64, 0);
        window.accept(1000);
        for seq in 0..=1000 - 64 {
            assert!(!window.admits(seq), "{seq}");
        }
        assert!(window.admits(1000 - 63));
    }

    #[test]
    fn a_window_resumed_at_an_edge_refuses_everything_up_to_it() {
        let mut window = Window::new(4096, 70_000);
        assert!((1..=70_000).all(|seq| !window.admits(seq)));
        assert!(window.admits(70_001));
        window.accept(70_010);
        assert!(window.admits(70_005) && !window.admits(70_000));
    }

    #[test]
    fn the_numbers_cross_the_32_bit_boundary_both_ways() {
        let edge = (1 << 32) - 2;
        let mut window = Window::new(64, edge);
        assert_eq!(window.infer(u32::MAX), Some(u64::from(u32::MAX)));
        assert_eq!(window.infer(1), Some((1 << 32) + 1));
        window.accept((1 << 32) + 1);
        assert_eq!(window.infer(u32::MAX), Some(u64::from(u32::MAX)));
        assert!(window.admits(u64::from(u32::MAX)));
    }

    #[test]
    fn before_the_window_has_filled_a_large_low_half_is_a_number_ahead() {
        let window = Window::new(64, 3);
        assert_eq!(window.infer(u32::MAX), Some(u64::from(u32::MAX)));
        assert_eq!(window.infer(0), Some(0));
    }
}
