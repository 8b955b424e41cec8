//! GRE sequence numbers at the receiver (RFC 2890 section 2.2).
//!
//! A packet is accepted if its number is newer than the last one accepted, that is 1 to 2^31 ahead modulo 2^32, so that a wrap
//! needs no care. A peer that restarts counts from 0 again and would not be heard for up to 2^31 packets; so [`RESTART_RUN`]
//! old packets that follow each other without a gap and without a newer one between are a restart, and the last of them is
//! accepted. A late or repeated stretch of that length would be taken for one too: its remainder gets through, once.

/// How many old packets in a row, numbered n, n + 1, …, show that the peer counts anew.
pub const RESTART_RUN: u8 = 8;

/// What became of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The first, or newer than the last one accepted.
    Newer,
    /// Accepted as a restart of the peer.
    Restarted,
    /// Not newer than the last one accepted.
    Old,
}

/// The receiver's state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inbound {
    last: Option<u32>,
    /// Old packets in a row, and the number that would follow them.
    run: u8,
    run_next: u32,
}

impl Inbound {
    #[inline]
    pub(super) fn accept(&mut self, seq: u32) -> Verdict {
        let verdict = self.observe(seq);
        if verdict == Verdict::Newer {
            self.last = Some(seq);
        }
        verdict
    }

    /// Takes the number of a packet that is not dropped for it, as a keepalive: it may show a restart, but a newer one does not
    /// make old what it overtook.
    #[inline]
    pub(super) fn observe(&mut self, seq: u32) -> Verdict {
        let newer = self.last.is_none_or(|last| {
            let ahead = seq.wrapping_sub(last);
            (1..=1 << 31).contains(&ahead)
        });
        if newer {
            self.run = 0;
            return Verdict::Newer;
        }
        self.old(seq)
    }

    #[cold]
    fn old(&mut self, seq: u32) -> Verdict {
        let follows = self.run > 0 && seq == self.run_next;
        self.run = if follows { self.run + 1 } else { 1 };
        self.run_next = seq.wrapping_add(1);
        if self.run < RESTART_RUN {
            return Verdict::Old;
        }
        *self = Self {
            last: Some(seq),
            ..Self::default()
        };
        Verdict::Restarted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(inbound: &mut Inbound, seqs: impl IntoIterator<Item = u32>) -> Vec<u32> {
        seqs.into_iter()
            .filter(|&seq| inbound.accept(seq) != Verdict::Old)
            .collect()
    }

    #[test]
    fn equal_and_older_numbers_are_old_up_to_half_the_number_space() {
        for last in [0, 5, u32::MAX] {
            for (ahead, newer) in [
                (0, false),
                (1, true),
                (1 << 31, true),
                ((1 << 31) + 1, false),
                (u32::MAX, false),
            ] {
                let mut inbound = Inbound::default();
                assert_eq!(inbound.accept(last), Verdict::Newer);
                let verdict = inbound.accept(last.wrapping_add(ahead));
                assert_eq!(verdict == Verdict::Newer, newer, "{last} + {ahead}");
            }
        }
    }

    #[test]
    fn numbers_wrap_without_loss() {
        let mut inbound = Inbound::default();
        let seqs = [u32::MAX - 1, u32::MAX, 0, 1];
        assert_eq!(accepted(&mut inbound, seqs), seqs);
    }

    #[test]
    fn a_restarted_peer_is_heard_from_its_eighth_packet_on() {
        let mut inbound = Inbound::default();
        inbound.accept(1_000_000);
        for seq in 0..7 {
            assert_eq!(inbound.accept(seq), Verdict::Old);
        }
        assert_eq!(inbound.accept(7), Verdict::Restarted);
        assert_eq!(inbound.accept(8), Verdict::Newer);
        assert_eq!(inbound.accept(1_000_000), Verdict::Newer);
    }

    #[test]
    fn keepalives_among_the_packets_of_a_restarted_peer_belong_to_the_run() {
        let mut inbound = Inbound::default();
        inbound.accept(1_000);
        for seq in 0..7 {
            let verdict = if seq % 2 == 0 {
                inbound.observe(seq)
            } else {
                inbound.accept(seq)
            };
            assert_eq!(verdict, Verdict::Old);
        }
        assert_eq!(inbound.observe(7), Verdict::Restarted);
        assert_eq!(inbound.accept(8), Verdict::Newer);
    }

    #[test]
    fn a_keepalive_that_overtakes_packets_does_not_make_them_old() {
        let mut inbound = Inbound::default();
        inbound.accept(1);
        assert_eq!(inbound.observe(9), Verdict::Newer);
        assert_eq!(accepted(&mut inbound, 2..9), [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn late_packets_between_new_ones_are_no_restart() {
        let mut inbound = Inbound::default();
        inbound.accept(1_000);
        for late in 0..100 {
            assert_eq!(inbound.accept(900 + late), Verdict::Old);
            assert_eq!(inbound.accept(1_001 + late), Verdict::Newer);
        }
    }

    #[test]
    fn a_repeated_number_breaks_the_run() {
        let mut inbound = Inbound::default();
        inbound.accept(1_000);
        for _ in 0..20 {
            assert_eq!(accepted(&mut inbound, [1, 2, 3, 4, 5, 6, 7, 7]), [0_u32; 0]);
        }
    }

    /// What the channel does to the next packet.
    #[derive(Clone, Debug)]
    enum Fate {
        Deliver,
        Lose,
        Duplicate,
        /// Comes that many packets late.
        Delay(usize),
    }

    fn any_fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            6 => Just(Fate::Deliver),
            1 => Just(Fate::Lose),
            1 => Just(Fate::Duplicate),
            2 => (1..6_usize).prop_map(Fate::Delay),
        ]
    }

    /// The numbers as they arrive, as steps since the peer's start.
    fn arrivals(fates: &[Fate]) -> Vec<u64> {
        let mut slots: Vec<(usize, u64)> = Vec::new();
        for (sent, fate) in fates.iter().enumerate() {
            let (copies, delay) = match fate {
                Fate::Lose => (0, 0),
                Fate::Deliver => (1, 0),
                Fate::Duplicate => (2, 0),
                Fate::Delay(by) => (1, *by),
            };
            slots.extend((0..copies).map(|_| (sent + delay, sent as u64)));
        }
        slots.sort_by_key(|&(at, _)| at);
        slots.into_iter().map(|(_, step)| step).collect()
    }

    proptest! {
        /// The channel delays by fewer than [`RESTART_RUN`] packets, so exactly the running maxima are accepted, wherever the
        /// count starts, and so across a wrap.
        #[test]
        fn what_is_accepted_is_strictly_increasing_and_nothing_newer_is_lost(
            start in prop_oneof![any::<u32>(), (u32::MAX - 100)..=u32::MAX],
            fates in prop::collection::vec(any_fate(), 1..300),
        ) {
            let mut inbound = Inbound::default();
            let mut newest: Option<u64> = None;
            for step in arrivals(&fates) {
                let seq = start.wrapping_add(u32::try_from(step).unwrap());
                let expected = if newest.is_none_or(|newest| step > newest) {
                    newest = Some(step);
                    Verdict::Newer
                } else {
                    Verdict::Old
                };
                prop_assert_eq!(inbound.accept(seq), expected);
            }
        }

        #[test]
        fn a_restart_is_noticed_within_eight_packets_in_order_and_once(
            before in 20..u32::MAX / 2,
            restart_at in 0..10_u32,
            late in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut inbound = Inbound::default();
            inbound.accept(before);
            for index in late {
                inbound.accept(before - u32::try_from(index.index(10)).unwrap());
            }
            let restarts = (restart_at..restart_at + 40)
                .map(|seq| inbound.accept(seq))
                .filter(|&verdict| verdict == Verdict::Restarted)
                .count();
            prop_assert_eq!(restarts, 1);
            prop_assert_eq!(inbound.last, Some(restart_at + 39));
        }
    }
}
