//! Explicit congestion notification across a tunnel (RFC 6040).

use super::Ecn;

/// The bits of TOS or traffic class that are ECN (RFC 3168 section 5); the others are DSCP.
pub const MASK: u8 = 0b11;
/// Not ECN-capable transport.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable transport, codepoint 1.
pub const ECT_1: u8 = 0b01;
/// ECN-capable transport, codepoint 0.
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// What an egress makes of an inner and an outer field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The outgoing field.
    Forward(u8),
    /// The outgoing field; the combination is none that a correct ingress and path produce.
    Unusual(u8),
    /// Congestion was experienced by a packet that cannot carry the mark.
    Drop,
}

/// RFC 6040 section 4.2, figure 4: by inner field, then by outer field, both in the order of their values.
const ARRIVALS: [[Arrival; 4]; 4] = {
    use Arrival::{Drop, Forward, Unusual};
    [
        [Forward(NOT_ECT), Unusual(NOT_ECT), Unusual(NOT_ECT), Drop],
        [Forward(ECT_1), Forward(ECT_1), Unusual(ECT_1), Forward(CE)],
        [Forward(ECT_0), Forward(ECT_1), Forward(ECT_0), Forward(CE)],
        [Forward(CE), Unusual(CE), Forward(CE), Forward(CE)],
    ]
};

/// The ECN field of the packet that leaves the tunnel; other bits of the arguments are ignored (RFC 6040 section 4.2).
#[inline]
#[must_use]
pub fn decapsulate(inner_tos: u8, outer_tos: u8) -> Arrival {
    let row = ARRIVALS.get(usize::from(inner_tos & MASK));
    row.and_then(|row| row.get(usize::from(outer_tos & MASK)))
        .copied()
        .unwrap_or(Arrival::Drop)
}

/// Which bits of the inner field an ingress copies to the outer one (RFC 6040 section 4.1).
#[must_use]
pub const fn copied_outbound(mode: Ecn) -> u8 {
    match mode {
        Ecn::Normal => MASK,
        Ecn::Compatibility => NOT_ECT,
    }
}

#[cfg(test)]
mod tests {
    use super::Arrival::{Drop, Forward, Unusual};
    use super::*;

    #[test]
    fn all_sixteen_combinations_arrive_as_in_figure_4() {
        let outer = [NOT_ECT, ECT_0, ECT_1, CE];
        let figure = [
            (
                NOT_ECT,
                [Forward(NOT_ECT), Unusual(NOT_ECT), Unusual(NOT_ECT), Drop],
            ),
            (
                ECT_0,
                [Forward(ECT_0), Forward(ECT_0), Forward(ECT_1), Forward(CE)],
            ),
            (
                ECT_1,
                [Forward(ECT_1), Unusual(ECT_1), Forward(ECT_1), Forward(CE)],
            ),
            (CE, [Forward(CE), Forward(CE), Unusual(CE), Forward(CE)]),
        ];
        for (inner, row) in figure {
            for (outer, expected) in outer.into_iter().zip(row) {
                assert_eq!(
                    decapsulate(inner, outer),
                    expected,
                    "{inner:02b} in {outer:02b}"
                );
                assert_eq!(decapsulate(inner | 0xb8, outer | 0x28), expected);
            }
        }
    }

    #[test]
    fn a_mark_set_on_the_way_survives_the_normal_mode_and_is_lost_in_compatibility() {
        for inner in [ECT_0, ECT_1, CE] {
            assert_eq!(inner & copied_outbound(Ecn::Normal), inner);
            assert_eq!(inner & copied_outbound(Ecn::Compatibility), NOT_ECT);
            assert_eq!(decapsulate(inner, NOT_ECT), Forward(inner));
        }
    }
}
