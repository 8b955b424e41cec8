//! The Internet checksum (RFC 1071): summed, summed while copied, updated (RFC 1624).
//!
//! A sum is kept unfolded and in the host's byte order, where octets are summed as they lie in memory; only [`fold`] turns it
//! into the value that a header field holds. Sums of parts add up as long as each part but the last has an even length.

use pulp::{Arch, Simd, WithSimd, bytemuck};

/// Below this many octets the plain loop wins over the jump into the vector one.
const VECTOR_OCTETS_MIN: usize = 128;
/// The 32-bit lanes of a vector take the 16-bit halves of that many octets without overflow.
const BLOCK_OCTETS: usize = 1 << 16;

/// Adds `octets` to `initial`, the sum of what stands before them (0, another sum, or [`word`]s).
#[must_use]
#[inline]
pub fn sum(octets: &[u8], initial: u64) -> u64 {
    if octets.len() < VECTOR_OCTETS_MIN {
        return plain(octets, initial, &mut Nowhere);
    }
    Arch::new().dispatch(Pass {
        octets,
        initial,
        sink: Nowhere,
    })
}

/// Copies `octets` to the start of `out` and adds them to `initial` in the same pass. What `out` has no room for is summed
/// but not copied.
#[inline]
pub fn copy_sum(out: &mut [u8], octets: &[u8], initial: u64) -> u64 {
    if octets.len() < VECTOR_OCTETS_MIN {
        return plain(octets, initial, &mut Out(out));
    }
    Arch::new().dispatch(Pass {
        octets,
        initial,
        sink: Out(out),
    })
}

/// The addend for a 16-bit header word of this value (as read big-endian).
#[must_use]
#[inline]
pub const fn word(value: u16) -> u64 {
    value.to_be() as u64
}

/// The ones' complement sum, as read big-endian; the checksum is its complement. A region that holds a right checksum
/// folds to 0xffff.
#[must_use]
#[inline]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let [low, high, ..] = ((sum & 0xffff) + (sum >> 16)).to_le_bytes();
    u16::from_le_bytes([low, high]).to_be()
}

/// The checksum of `octets`, as read big-endian.
#[must_use]
pub fn checksum(octets: &[u8]) -> u16 {
    !fold(sum(octets, 0))
}

/// The checksum after one 16-bit word changed from `old` to `new` (RFC 1624 equation 3); all three as read big-endian.
#[must_use]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(word(!checksum) + word(!old) + word(new))
}

/// Where summed octets go.
trait Sink {
    fn take(&mut self, octets: &[u8]);
}

struct Nowhere;

impl Sink for Nowhere {
    #[inline(always)]
    fn take(&mut self, _octets: &[u8]) {}
}

struct Out<'a>(&'a mut [u8]);

impl Sink for Out<'_> {
    #[inline(always)]
    fn take(&mut self, octets: &[u8]) {
        if let Some((here, rest)) = std::mem::take(&mut self.0).split_at_mut_checked(octets.len()) {
            here.copy_from_slice(octets);
            self.0 = rest;
        }
    }
}

struct Pass<'a, S> {
    octets: &'a [u8],
    initial: u64,
    sink: S,
}

impl<K: Sink> WithSimd for Pass<'_, K> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> u64 {
        if S::IS_SCALAR {
            return plain(self.octets, self.initial, &mut self.sink);
        }
        let mut total = self.initial;
        for block in self.octets.chunks(BLOCK_OCTETS) {
            total = vector_block(simd, block, total, &mut self.sink);
        }
        total
    }
}

/// Sums the low and the high halves of 32-bit lanes apart, two vectors a turn.
#[inline(always)]
fn vector_block<S: Simd>(simd: S, block: &[u8], initial: u64, sink: &mut impl Sink) -> u64 {
    let width = size_of::<S::u32s>();
    let zero = simd.splat_u32s(0);
    let (mut even, mut odd) = ((zero, zero), (zero, zero));
    let mut pairs = block.chunks_exact(2 * width);
    for pair in &mut pairs {
        let (first, second) = pair.split_at(width);
        even = add(simd, even, bytemuck::pod_read_unaligned(first));
        odd = add(simd, odd, bytemuck::pod_read_unaligned(second));
        sink.take(pair);
    }
    let mut singles = pairs.remainder().chunks_exact(width);
    for single in &mut singles {
        even = add(simd, even, bytemuck::pod_read_unaligned(single));
        sink.take(single);
    }
    let lanes = simd.add_u32s(simd.add_u32s(even.0, even.1), simd.add_u32s(odd.0, odd.1));
    let (lanes, _) = bytemuck::bytes_of(&lanes).as_chunks::<4>();
    let vectors: u64 = lanes
        .iter()
        .map(|lane| u64::from(u32::from_ne_bytes(*lane)))
        .sum();
    plain(singles.remainder(), initial + vectors, sink)
}

/// Adds the low halves of `lanes` to the first of `sums`, the high ones to the second.
#[inline(always)]
fn add<S: Simd>(simd: S, sums: (S::u32s, S::u32s), lanes: S::u32s) -> (S::u32s, S::u32s) {
    let low = simd.and_u32s(lanes, simd.splat_u32s(0xffff));
    let high = simd.wrapping_dyn_shr_u32s(lanes, simd.splat_u32s(16));
    (simd.add_u32s(sums.0, low), simd.add_u32s(sums.1, high))
}

#[inline(always)]
fn plain(octets: &[u8], initial: u64, sink: &mut impl Sink) -> u64 {
    let (chunks, rest) = octets.as_chunks::<8>();
    let mut total = initial;
    for chunk in chunks {
        let lanes = u64::from_ne_bytes(*chunk);
        total += (lanes & 0xffff_ffff) + (lanes >> 32);
        sink.take(chunk);
    }
    let rest = match rest.split_first_chunk::<4>() {
        Some((lane, rest)) => {
            total += u64::from(u32::from_ne_bytes(*lane));
            sink.take(lane);
            rest
        }
        None => rest,
    };
    sink.take(rest);
    total
        + match *rest {
            [a] => u64::from(u16::from_ne_bytes([a, 0])),
            [a, b] => u64::from(u16::from_ne_bytes([a, b])),
            [a, b, c] => u64::from(u32::from_ne_bytes([a, b, c, 0])),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 1, word by word.
    fn by_the_rfc(octets: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in octets.chunks(2) {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            sum += u32::from(word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn example_of_rfc_1071_section_3_sums_to_ddf2() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&octets, 0)), 0xddf2);
        assert_eq!(checksum(&octets), !0xddf2);
    }

    #[test]
    fn example_of_rfc_1624_section_4_gives_zero() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn all_ones_do_not_overflow_the_lanes_however_long() {
        let octets = vec![0xff; 5 * BLOCK_OCTETS + 6];
        assert_eq!(fold(sum(&octets, 0)), 0xffff);
        let mut out = vec![0; octets.len()];
        assert_eq!(fold(copy_sum(&mut out, &octets, 0)), 0xffff);
        assert_eq!(out, octets);
    }

    #[test]
    fn sums_of_every_length_and_alignment_are_those_of_the_rfc() {
        let octets: Vec<u8> = (0..700u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 11).to_le_bytes()[0])
            .collect();
        for start in 0..40 {
            for end in start..octets.len() {
                let part = &octets[start..end];
                assert_eq!(fold(sum(part, 0)), by_the_rfc(part), "{start}..{end}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_copied_sum_is_the_sum_and_copies_every_octet(octets in proptest::collection::vec(any::<u8>(), 0..3000), initial in any::<u32>()) {
            let mut out = vec![0; octets.len() + 3];
            let total = copy_sum(&mut out, &octets, u64::from(initial));
            prop_assert_eq!(fold(total), fold(sum(&octets, u64::from(initial))));
            prop_assert_eq!(&out[..octets.len()], &octets[..]);
            prop_assert_eq!(&out[octets.len()..], &[0, 0, 0]);
        }

        #[test]
        fn an_updated_checksum_is_the_one_computed_anew(mut octets in proptest::collection::vec(any::<u8>(), 2..200), at in any::<prop::sample::Index>(), new in any::<u16>()) {
            octets[0] |= 1;
            let at = at.index(octets.len() / 2) * 2;
            let before = checksum(&octets);
            let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
            octets[at..at + 2].copy_from_slice(&new.to_be_bytes());
            prop_assume!(octets.iter().any(|&octet| octet != 0));
            prop_assert_eq!(update(before, old, new), checksum(&octets));
        }
    }
}
