//! What the primes are, and which private values are drawn.

use super::*;

const ALL: [Modulus; 4] = [
    Modulus::Bits1024,
    Modulus::Bits2048,
    Modulus::Bits3072,
    Modulus::Bits4096,
];

impl Modulus {
    /// The prime in network order.
    pub(in crate::v1) fn prime(self) -> Vec<u8> {
        match self {
            Self::Bits1024 => octets(PRIME_1024.modulus().as_ref()),
            Self::Bits2048 => octets(PRIME_2048.modulus().as_ref()),
            Self::Bits3072 => octets(PRIME_3072.modulus().as_ref()),
            Self::Bits4096 => octets(PRIME_4096.modulus().as_ref()),
        }
    }
}

/// Fermat's test of `p` and of `(p - 1) / 2`, and Euler's criterion that 2 is a square: its order is then `(p - 1) / 2`.
fn is_of_a_safe_prime<const LIMBS: usize>(prime: &FixedMontyParams<LIMBS>) {
    let one = Uint::ONE;
    let less = prime.modulus().as_ref().wrapping_sub(&one);
    let half = less.shr_vartime(1);
    let two = FixedMontyForm::new(&Uint::from_u8(2), prime);
    assert_eq!(two.pow_vartime(&half).retrieve(), one);
    let base = FixedMontyForm::new(&Uint::from_u8(11), prime);
    assert_eq!(base.pow_vartime(&less).retrieve(), one);
    let of_half = FixedMontyParams::new_vartime(Odd::new(half).unwrap());
    let base = FixedMontyForm::new(&Uint::from_u8(3), &of_half);
    let less = half.wrapping_sub(&one);
    assert_eq!(base.pow_vartime(&less).retrieve(), one);
}

#[test]
fn each_prime_is_a_safe_one_and_2_generates_its_subgroup_of_prime_order() {
    is_of_a_safe_prime(&PRIME_1024);
    is_of_a_safe_prime(&PRIME_2048);
    is_of_a_safe_prime(&PRIME_3072);
    is_of_a_safe_prime(&PRIME_4096);
}

#[test]
fn each_prime_holds_the_digits_of_pi_between_64_ones_and_64_ones() {
    // floor(2^126 * pi), without the digits that the shortest prime's constant might change.
    let pi = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1_u128.to_be_bytes();
    for modulus in ALL {
        let prime = modulus.prime();
        assert_eq!(prime.len(), modulus.octets());
        assert_eq!(prime[..8], [0xff; 8]);
        assert_eq!(prime[8..24], pi);
        assert_eq!(prime[prime.len() - 8..], [0xff; 8]);
    }
}

#[test]
fn a_private_value_has_all_bits_of_its_group_and_the_highest_is_set() {
    for modulus in ALL {
        let bits = modulus.exponent_bits();
        let least = modulus.exponent(&[0; EXPONENT_OCTETS]);
        assert_eq!(*least.0, U512::ONE.shl_vartime(bits - 1));
        let most = modulus.exponent(&[0xff; EXPONENT_OCTETS]);
        assert_eq!(*most.0, U512::MAX.shr_vartime(U512::BITS - bits));
        let [a, b] = [(); 2].map(|()| modulus.draw().unwrap());
        assert_eq!([a.0.bits_vartime(), b.0.bits_vartime()], [bits; 2]);
        assert_ne!(*a.0, *b.0);
    }
}
