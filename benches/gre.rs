//! How long a packet takes into the tunnel and out of it: headers alone, then with checksum and sequence number.

#![expect(clippy::unwrap_used, reason = "a bench of fixed packets")]

use std::hint::black_box;

use adit_proto::counters::Counters;
use adit_proto::offload::{VnetHeader, split};
use adit_proto::tunnel::{Decap, Df, DscpIn, DscpOut, Ecn, Encap, Mode, Parameters, Train, Ttl};
use adit_proto::wire::gre::{self, GreKey};
use adit_proto::wire::ip::IPV4_OCTETS;
use criterion::{Criterion, criterion_group, criterion_main};
use etherparse::PacketBuilder;

fn packet(octets: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(4000, 5000)
        .write(&mut packet, &vec![0x5a; octets - 28])
        .unwrap();
    packet
}

fn parameters(checked: bool) -> Parameters {
    Parameters {
        local: [192, 0, 2, 1].into(),
        remote: [192, 0, 2, 2].into(),
        key_out: Some(GreKey(42)),
        key_in: Some(GreKey(42)),
        checksum: checked,
        sequence: checked,
        ttl: Ttl::Fixed(64),
        dscp_out: DscpOut::Inherit,
        dscp_in: DscpIn::Keep,
        ecn: Ecn::Normal,
        df: Df::Set,
        mss_clamp: None,
        mode: Mode::Gre,
        udp: None,
        tfc_octets: 0,
        gre_ends: None,
    }
}

fn encapsulate(encap: &mut Encap, train: &mut Train, packet: &[u8]) {
    train.clear();
    for segment in split(VnetHeader::default(), packet).unwrap() {
        encap.encapsulate(train, 0, &segment).unwrap();
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gre");
    for (octets, checked) in [(64, false), (1400, false), (64, true), (1400, true)] {
        let inner = packet(octets);
        let parameters = parameters(checked);
        let mut train = Train::new(64, 160 * 1024);
        let mut encap = Encap::new(&parameters);
        encap.set_path_mtu(1500);
        let kind = if checked {
            "checksum_and_sequence"
        } else {
            "key"
        };
        group.bench_function(format!("encapsulate_{octets}_{kind}"), |bencher| {
            bencher.iter(|| encapsulate(&mut encap, &mut train, black_box(&inner)));
        });
        let outer = train.packets().next().unwrap().0.to_vec();
        let (counters, mut arrived) = (Counters::default(), outer);
        group.bench_function(format!("decapsulate_{octets}_{kind}"), |bencher| {
            bencher.iter(|| {
                // A fresh half each time: the same sequence number again would be old.
                let mut decap = Decap::new(&parameters);
                let gre = arrived.get_mut(IPV4_OCTETS..).unwrap();
                let header = gre::parse(black_box(gre)).unwrap();
                decap.decapsulate(&header, gre, 0, &counters).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
