//! Whatever comes out of the tunnel is a consistent packet within its octets, and goes back in and out unchanged.
//!
//! Input: parameters 1 | outer TOS 1 | GRE header and payload.

use adit_proto::counters::Counters;
use adit_proto::offload::{VnetHeader, split};
use adit_proto::tunnel::{
    Decap, Df, DscpIn, DscpOut, Ecn, Encap, Mode, MssClamp, Parameters, Train, Ttl, icmp,
};
use adit_proto::wire::{gre, ip::Ip};

fn parameters(bits: u8) -> Parameters {
    let bit = |n: u8| bits >> n & 1 == 1;
    Parameters {
        local: if bit(0) {
            [0xfd; 16].into()
        } else {
            [192, 0, 2, 1].into()
        },
        remote: if bit(0) {
            [0xfe; 16].into()
        } else {
            [192, 0, 2, 2].into()
        },
        key_out: bit(1).then_some(gre::GreKey(42)),
        key_in: bit(1).then_some(gre::GreKey(42)),
        checksum: bit(2),
        sequence: bit(3),
        ttl: if bit(4) { Ttl::Inherit } else { Ttl::Fixed(64) },
        dscp_out: if bit(5) {
            DscpOut::Inherit
        } else {
            DscpOut::Fixed(46)
        },
        dscp_in: if bit(5) { DscpIn::Copy } else { DscpIn::Keep },
        ecn: if bit(6) {
            Ecn::Normal
        } else {
            Ecn::Compatibility
        },
        df: if bit(7) { Df::Copy } else { Df::Clear },
        mss_clamp: bit(6).then_some(MssClamp {
            v4: Some(1200),
            v6: Some(1220),
        }),
        mode: Mode::Gre,
        udp: None,
        tfc_octets: 0,
        gre_ends: None,
    }
}

/// The inbound half of a tunnel with a clamp and nothing else that is unusual.
pub(crate) fn tunnel() -> Decap {
    Decap::new(&parameters(1 << 6))
}

/// Replays one input.
pub fn run(input: &[u8]) {
    let [bits, outer_tos, gre @ ..] = input else {
        return;
    };
    let parameters = parameters(*bits);
    let quoted = icmp::Quotation {
        source: parameters.local,
        destination: parameters.remote,
        payload: gre,
    };
    let believed = icmp::too_big(
        parameters.local,
        parameters.remote,
        icmp::Sent::Gre(parameters.key_out),
        &quoted,
        1400,
    );
    assert!(matches!(believed, None | Some(1400)));
    let Ok(header) = gre::parse(gre) else { return };
    let counters = Counters::default();
    let mut gre = gre.to_vec();
    let mut decap = Decap::new(&parameters);
    let Ok(range) = decap.decapsulate(&header, &mut gre, *outer_tos, &counters) else {
        return;
    };
    let inner = &gre[range];
    assert_eq!(Ip::parse(inner).unwrap().total_octets(), inner.len());

    let mut encap = Encap::new(&parameters);
    let mut train = Train::new(1, 1 << 16);
    let Ok(mut segments) = split(VnetHeader::default(), inner) else {
        return;
    };
    if encap
        .encapsulate(&mut train, 0, &segments.next().unwrap())
        .is_err()
    {
        return;
    }
    let (outer, _) = train.packets().next().unwrap();
    let outer = Ip::parse(outer).unwrap();
    let mut gre = outer.payload().to_vec();
    let header = gre::parse(&gre).unwrap();
    let mut decap = Decap::new(&Parameters {
        dscp_in: DscpIn::Keep,
        ..parameters
    });
    let range = decap
        .decapsulate(&header, &mut gre, outer.tos(), &counters)
        .unwrap();
    assert_eq!(&gre[range], inner);
}
