use proptest::prelude::*;

use super::*;

const FIRST: u8 = 35;

/// A fragment of message 7, which holds its number twice.
fn fragment(number: u16, total: u16) -> (u16, u16, Vec<u8>) {
    let octet = u8::try_from(number).unwrap();
    (number, total, vec![octet; 2])
}

fn add_to(
    reassembly: &mut Reassembly,
    message_id: u32,
    (number, total, octets): &(u16, u16, Vec<u8>),
) -> Result<Option<Whole>, FragmentRefused> {
    let next_payload = if *number == 1 { FIRST } else { 0 };
    reassembly.add(&Fragment {
        message_id,
        next_payload,
        number: *number,
        total: *total,
        octets,
    })
}

fn whole(octets: &[u8]) -> Result<Option<Whole>, FragmentRefused> {
    Ok(Some(Whole {
        next_payload: FIRST,
        octets: octets.to_vec(),
    }))
}

#[test]
fn a_message_is_whole_with_its_last_missing_fragment() {
    let mut reassembly = Reassembly::default();
    assert_eq!(add_to(&mut reassembly, 7, &fragment(2, 3)), Ok(None));
    assert_eq!(add_to(&mut reassembly, 7, &fragment(3, 3)), Ok(None));
    assert_eq!(
        add_to(&mut reassembly, 7, &fragment(1, 3)),
        whole(&[1, 1, 2, 2, 3, 3])
    );
    assert!(reassembly.slots.is_empty());
}

#[test]
fn one_fragment_may_be_all_of_a_message() {
    let mut reassembly = Reassembly::default();
    assert_eq!(add_to(&mut reassembly, 7, &fragment(1, 1)), whole(&[1, 1]));
}

/// CVE-2013-6076: a fragment number that points nowhere was used all the same.
#[test]
fn a_number_of_0_or_beyond_the_total_is_refused() {
    let mut reassembly = Reassembly::default();
    for (number, total) in [
        (0, 0),
        (0, 1),
        (0, 64),
        (1, 0),
        (2, 1),
        (65, 64),
        (65535, 64),
    ] {
        let refused = add_to(&mut reassembly, 7, &(number, total, vec![0]));
        assert_eq!(refused, Err(FragmentRefused::Number), "{number} of {total}");
    }
    for total in [FRAGMENTS_MAX + 1, u16::MAX] {
        let refused = add_to(&mut reassembly, 7, &(1, total, vec![0]));
        assert_eq!(refused, Err(FragmentRefused::Total));
    }
    assert!(reassembly.slots.is_empty());
}

#[test]
fn a_repeated_fragment_changes_nothing_whatever_it_holds() {
    let mut reassembly = Reassembly::default();
    add_to(&mut reassembly, 7, &fragment(1, 2)).unwrap();
    let again = (1, 2, vec![9; 9]);
    assert_eq!(
        add_to(&mut reassembly, 7, &again),
        Err(FragmentRefused::Duplicate)
    );
    assert_eq!(
        add_to(&mut reassembly, 7, &fragment(2, 2)),
        whole(&[1, 1, 2, 2])
    );
}

#[test]
fn the_same_message_in_more_fragments_takes_the_place_of_fewer() {
    let mut reassembly = Reassembly::default();
    add_to(&mut reassembly, 7, &fragment(1, 2)).unwrap();
    add_to(&mut reassembly, 7, &fragment(2, 3)).unwrap();
    assert_eq!(
        add_to(&mut reassembly, 7, &fragment(2, 2)),
        Err(FragmentRefused::Stale)
    );
    add_to(&mut reassembly, 7, &fragment(3, 3)).unwrap();
    assert_eq!(
        add_to(&mut reassembly, 7, &fragment(1, 3)),
        whole(&[1, 1, 2, 2, 3, 3])
    );
}

#[test]
fn a_later_message_takes_the_place_of_an_earlier_one_and_not_the_other_way_round() {
    let mut reassembly = Reassembly::default();
    add_to(&mut reassembly, 7, &fragment(1, 3)).unwrap();
    add_to(&mut reassembly, 8, &fragment(1, 2)).unwrap();
    assert_eq!(
        add_to(&mut reassembly, 7, &fragment(2, 3)),
        Err(FragmentRefused::Stale)
    );
    assert_eq!(
        add_to(&mut reassembly, 8, &fragment(2, 2)),
        whole(&[1, 1, 2, 2])
    );
}

#[test]
fn more_octets_than_a_message_may_have_are_forgotten() {
    let mut reassembly = Reassembly::default();
    let half = vec![0; OCTETS_MAX / 2];
    add_to(&mut reassembly, 7, &(1, 3, half.clone())).unwrap();
    add_to(&mut reassembly, 7, &(2, 3, half)).unwrap();
    let more = add_to(&mut reassembly, 7, &(3, 3, vec![0]));
    assert_eq!(more, Err(FragmentRefused::Octets));
    assert!(reassembly.slots.is_empty() && reassembly.octets == 0);
}

/// CVE-2016-1344: messages that never became whole were kept for ever.
#[test]
fn messages_that_never_become_whole_are_held_one_at_a_time() {
    let mut reassembly = Reassembly::default();
    for message_id in 0..100_000 {
        let kept = add_to(&mut reassembly, message_id, &(2, 64, vec![0; 16]));
        assert_eq!(kept, Ok(None));
        assert!(held(&reassembly) <= 16);
    }
}

/// Octets that are held, counted.
fn held(reassembly: &Reassembly) -> usize {
    let held = reassembly.slots.iter().flatten().map(Vec::len).sum();
    assert_eq!(reassembly.octets, held);
    let missing = reassembly
        .slots
        .iter()
        .filter(|slot| slot.is_none())
        .count();
    assert_eq!(reassembly.missing, missing);
    assert!(reassembly.slots.len() <= usize::from(FRAGMENTS_MAX));
    held
}

prop_compose! {
    /// A message's parts, and the order in which they arrive, each at least once.
    fn any_arrival()(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=64))(
        order in Just((0..parts.len()).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec((0..parts.len(), any::<prop::sample::Index>()), 0..100),
        parts in Just(parts),
    ) -> (Vec<Vec<u8>>, Vec<usize>) {
        let mut order = order;
        for (part, place) in again {
            order.insert(place.index(order.len() + 1), part);
        }
        (parts, order)
    }
}

proptest! {
    /// CVE-2016-10396: the order of arrival decided what a fragment cost.
    #[test]
    fn a_message_comes_back_whole_once_in_any_order_of_arrival_with_any_repetition((parts, order) in any_arrival()) {
        let mut reassembly = Reassembly::default();
        let total = u16::try_from(parts.len()).unwrap();
        let mut came = vec![false; parts.len()];
        for part in order {
            let is_repeated = came[part];
            let number = u16::try_from(part + 1).unwrap();
            let added = add_to(&mut reassembly, 7, &(number, total, parts[part].clone()));
            came[part] = true;
            held(&reassembly);
            if is_repeated {
                prop_assert_eq!(added, Err(FragmentRefused::Duplicate));
            } else if came.iter().all(|came| *came) {
                prop_assert_eq!(added, whole(&parts.concat()));
                break;
            } else {
                prop_assert_eq!(added, Ok(None));
            }
        }
    }

    #[test]
    fn whatever_arrives_at_most_one_message_is_held_within_its_bounds(
        arrivals in prop::collection::vec((0..3_u32, 0..70_u16, 0..70_u16, 0..20_000_usize), 0..200),
    ) {
        let mut reassembly = Reassembly::default();
        for (message_id, number, total, octets) in arrivals {
            let added = add_to(&mut reassembly, message_id, &(number, total, vec![0; octets]));
            prop_assert!(held(&reassembly) <= OCTETS_MAX);
            if let Ok(Some(whole)) = added {
                prop_assert!(whole.octets.len() <= OCTETS_MAX);
                prop_assert!(reassembly.slots.is_empty());
            }
        }
    }
}
