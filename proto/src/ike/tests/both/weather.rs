//! Bad weather, and what is asked in it.

use std::time::Duration;

use proptest::prelude::*;

use super::{Seeded, TUNNEL, Weather};
use crate::ike::{Command, What};

/// A wire that loses `loss`, doubles `double` of a hundred datagrams, and delays each by up to `delay` ms.
pub(crate) fn weather(seed: u64, loss: u64, double: u64, delay: u64) -> Weather {
    let mut random = Seeded(seed);
    Box::new(move |_, _| {
        let once = |random: &mut Seeded| Duration::from_millis(1 + random.next() % delay.max(1));
        if random.next() % 100 < loss {
            return Vec::new();
        }
        let copies = if random.next() % 100 < double { 3 } else { 1 };
        (0..copies).map(|_| once(&mut random)).collect()
    })
}

/// What may be asked of an end in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    RekeyChild,
    RekeyIke,
    Probe,
    Rebuild,
    Wait,
}

pub(crate) fn act() -> impl Strategy<Value = (usize, Act, u64)> {
    let acts = prop_oneof![
        Just(Act::RekeyChild),
        Just(Act::RekeyIke),
        Just(Act::Probe),
        Just(Act::Rebuild),
        Just(Act::Wait),
    ];
    (0..2_usize, acts, 0..3000_u64)
}

pub(crate) fn command(act: Act) -> Option<Command> {
    match act {
        Act::RekeyChild => Some(Command::Rekey(TUNNEL, What::Child)),
        Act::RekeyIke => Some(Command::Rekey(TUNNEL, What::Ike)),
        Act::Probe => Some(Command::Probe(TUNNEL)),
        Act::Rebuild => Some(Command::RebuildChild(TUNNEL)),
        Act::Wait => None,
    }
}
