//! How long a packet takes into ESP and out of it, headers, copy and cipher included, for each suite.

#![expect(clippy::unwrap_used, reason = "a bench of fixed packets")]

use std::hint::black_box;
use std::time::Instant;

use adit_crypto::{Aead, Suite};
use adit_proto::counters::Counters;
use adit_proto::esp::replay::Window;
use adit_proto::esp::{InboundSa, Lifetime, Limits, OutboundSa};
use adit_proto::offload::{VnetHeader, split};
use adit_proto::tunnel::{
    Decap, Df, DscpIn, DscpOut, Ecn, Encap, Mode, Parameters, Ports, Train, Ttl,
};
use adit_proto::wire::esp::Spi;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use etherparse::PacketBuilder;

const OUTER_OCTETS: usize = 28;

fn packet(octets: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(4000, 5000)
        .write(&mut packet, &vec![0x5a; octets - 28])
        .unwrap();
    packet
}

fn parameters(suite: Suite) -> Parameters {
    Parameters {
        local: [192, 0, 2, 1].into(),
        remote: [192, 0, 2, 2].into(),
        key_out: None,
        key_in: None,
        checksum: false,
        sequence: false,
        ttl: Ttl::Fixed(64),
        dscp_out: DscpOut::Inherit,
        dscp_in: DscpIn::Keep,
        ecn: Ecn::Normal,
        df: Df::Set,
        mss_clamp: None,
        mode: Mode::Esp(suite),
        udp: Some(Ports {
            local: 4500,
            remote: 4500,
        }),
        tfc_octets: 0,
        gre_ends: None,
    }
}

fn key(suite: Suite) -> (Spi, Aead, Lifetime) {
    let keymat = vec![7; suite.keymat_octets()];
    let unlimited = Limits::default();
    (
        Spi::new(0x1001).unwrap(),
        Aead::new(suite, &keymat).unwrap(),
        Lifetime::new(unlimited, unlimited, Instant::now()),
    )
}

fn encapsulate(encap: &mut Encap, train: &mut Train, packet: &[u8]) {
    train.clear();
    for segment in split(VnetHeader::default(), packet).unwrap() {
        encap.encapsulate(train, 0, &segment).unwrap();
    }
}

fn esp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("esp");
    for &suite in Suite::ALL {
        for octets in [64, 576, 1400] {
            let inner = packet(octets);
            let parameters = parameters(suite);
            let mut train = Train::new(64, 160 * 1024);
            let mut encap = Encap::new(&parameters);
            encap.set_path_mtu(1500);
            let (spi, aead, lifetime) = key(suite);
            encap.set_sa(Some(OutboundSa::new(
                spi,
                aead,
                true,
                1..=u64::MAX,
                lifetime,
            )));
            group.bench_function(format!("seal_{octets}_{suite}"), |bencher| {
                bencher.iter(|| encapsulate(&mut encap, &mut train, black_box(&inner)));
            });
            let (spi, aead, lifetime) = key(suite);
            let mut sa = InboundSa::new(spi, aead, true, Window::new(4096, 0), lifetime);
            let (counters, mut decap) = (Counters::default(), Decap::new(&parameters));
            let mut sealed = || {
                encapsulate(&mut encap, &mut train, &inner);
                train.packets().next().unwrap().0.to_vec()
            };
            group.bench_function(format!("open_{octets}_{suite}"), |bencher| {
                bencher.iter_batched(
                    &mut sealed,
                    |mut outer| {
                        let packet = outer.get_mut(OUTER_OCTETS..).unwrap();
                        let opened = sa.open(packet).unwrap();
                        let inner = packet.get_mut(opened.payload).unwrap();
                        decap.inner(inner, 4, 0, &counters).unwrap()
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, esp);
criterion_main!(benches);
