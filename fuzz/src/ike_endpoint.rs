//! Sequences of commands, datagrams and time between two endpoints on a wire that loses, doubles, reorders and changes what it carries:
//! nothing panics, every SA has a deadline, time that passes is used up, and no pair of child SAs is installed that the other end does
//! not hold with the same keys.
//!
//! The input is steps of two octets, what to do and with what; see [`Wire::step`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::{SecretBytes, constant_time_eq};
use adit_proto::ike::{
    ChildMode, ChildSa, Command, Connection, ConnectionId, Endpoint, EndpointConfig, EspOffer,
    Event, Identity, IkeOffer, LocalAuth, Path, Random, RekeyTimes, RemoteAuth, Retransmit, What,
};
use adit_proto::wire::esp::Spi;
use adit_proto::wire::ike::TrafficSelector;

use super::clock::epoch;

const ID: ConnectionId = ConnectionId(1);
/// Datagrams under way; beyond that the wire loses them.
const FLIGHTS_MAX: usize = 64;
const STEPS_MAX: usize = 200;
/// IKE SAs of one end at once, which only those two make.
const SAS_MAX: usize = 400;

struct Counter(u64);

impl Random for Counter {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *octet = self.0.to_be_bytes()[0];
        }
    }
}

fn address(end: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, if end == 0 { 1 } else { 2 }))
}

fn identity(end: usize) -> Identity {
    Identity::Fqdn(if end == 0 { "a.example" } else { "b.example" }.to_owned())
}

fn connection(end: usize) -> Connection {
    let psk = Arc::new(SecretBytes::from_slice(b"a key that both ends have"));
    let everything = TrafficSelector {
        protocol: 0,
        start_port: 0,
        end_port: u16::MAX,
        start: Ipv4Addr::UNSPECIFIED.into(),
        end: Ipv4Addr::BROADCAST.into(),
    };
    let times = |rekey| RekeyTimes {
        rekey: Duration::from_secs(rekey),
        jitter: Duration::from_secs(rekey / 10),
        hard: Duration::from_secs(rekey * 2),
    };
    Connection {
        remotes: Some(vec![address(1 - end)]),
        local_id: identity(end),
        remote_id: Some(identity(1 - end)),
        local_auth: LocalAuth::Psk(psk.clone()),
        remote_auth: RemoteAuth::Psk(psk),
        ike: IkeOffer::defaults(),
        esp: EspOffer::defaults(),
        mode: ChildMode::Tunnel,
        local_ts: vec![everything],
        remote_ts: vec![everything],
        ike_lifetime: times(300),
        child_lifetime: times(60),
        retransmit: Retransmit {
            first: Duration::from_secs(1),
            base_per_mille: 1500,
            tries: 4,
            most: Duration::from_secs(10),
        },
        fragment_octets: 300,
        force_udp: false,
    }
}

/// A datagram to an end.
struct Flight {
    to: usize,
    path: Path,
    octets: Vec<u8>,
}

struct Wire {
    now: Instant,
    ends: [Endpoint; 2],
    /// Every pair that was ever installed at an end, by its inbound SPI.
    pairs: [BTreeMap<Spi, Box<ChildSa>>; 2],
    flights: Vec<Flight>,
}

impl Wire {
    fn new() -> Self {
        let now = epoch();
        let end = |end| {
            let mut endpoint =
                Endpoint::new(EndpointConfig::default(), Box::new(Counter(end as u64 + 1)));
            endpoint
                .handle_command(now, Command::Add(ID, Box::new(connection(end))))
                .expect("a tunnel that may be added");
            endpoint
        };
        Self {
            now,
            ends: [end(0), end(1)],
            pairs: [BTreeMap::new(), BTreeMap::new()],
            flights: Vec::new(),
        }
    }

    /// `what`: the low bit is the end; the rest picks a command, what becomes of a datagram, or time.
    fn step(&mut self, what: u8, with: u8) {
        let end = usize::from(what & 1);
        let path = Path {
            local: SocketAddr::new(address(end), 500),
            remote: SocketAddr::new(address(1 - end), 500),
        };
        let pick = usize::from(with) % self.flights.len().max(1);
        match what >> 1 & 0x0f {
            0 => self.command(end, Command::Initiate(ID, path)),
            1 => self.command(end, Command::Rekey(ID, What::Child)),
            2 => self.command(end, Command::Rekey(ID, What::Ike)),
            3 => self.command(end, Command::Probe(ID)),
            4 => self.command(end, Command::RebuildChild(ID)),
            5 => self.command(end, Command::Clear(ID)),
            6 => self.command(end, Command::Dead(ID)),
            7 => drop((!self.flights.is_empty()).then(|| self.flights.remove(pick))),
            8 => self.deliver_changed(pick, with),
            9 => self.deliver(pick, false),
            10 => self.pass(Duration::from_millis(u64::from(with) * 50)),
            11 => self.pass(Duration::from_secs(u64::from(with))),
            _ => {
                for _ in 0..=with % 4 {
                    self.deliver(0, true);
                }
            }
        }
        self.check();
    }

    fn command(&mut self, end: usize, command: Command) {
        let before = self.ends[end].sas();
        if self.ends[end].handle_command(self.now, command).is_err() {
            assert_eq!(
                self.ends[end].sas(),
                before,
                "what is refused changes nothing"
            );
        }
        self.drain(end);
    }

    fn deliver(&mut self, at: usize, is_removed: bool) {
        let Some(Flight { to, path, octets }) = self.flights.get(at) else {
            return;
        };
        let to = *to;
        self.ends[to].handle_datagram(self.now, *path, octets);
        if is_removed {
            self.flights.remove(at);
        }
        self.drain(to);
    }

    fn deliver_changed(&mut self, at: usize, with: u8) {
        if let Some(flight) = self.flights.get_mut(at) {
            let place = usize::from(with) * flight.octets.len() / 256;
            flight.octets[place] ^= 1 << (with & 7);
        }
        self.deliver(at, true);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for end in 0..2 {
            let mut calls = 0;
            while let Some((at, _)) = self.ends[end].poll_timeout().filter(|(at, _)| *at <= until) {
                calls += 1;
                assert!(calls < 10_000, "a deadline that is never used up");
                self.ends[end].handle_timeout(at.max(self.now));
                self.drain(end);
            }
        }
        self.now = until;
    }

    fn drain(&mut self, end: usize) {
        while let Some(event) = self.ends[end].poll_event() {
            if let Event::Established(_, info) = event {
                assert_eq!(info.remote_id, identity(1 - end));
            } else if let Event::ChildInstalled(_, sa) = event {
                self.pairs[end].insert(sa.spi_in, sa);
            }
        }
        while let Some(transmit) = self.ends[end].poll_transmit() {
            if self.flights.len() < FLIGHTS_MAX {
                self.flights.push(Flight {
                    to: 1 - end,
                    path: Path {
                        local: transmit.path.remote,
                        remote: transmit.path.local,
                    },
                    octets: transmit.octets,
                });
            }
        }
    }

    fn check(&self) {
        for (end, endpoint) in self.ends.iter().enumerate() {
            assert_eq!(endpoint.sas() > 0, endpoint.poll_timeout().is_some());
            assert!(endpoint.sas() < SAS_MAX);
            for sa in self.pairs[end].values() {
                let Some(peer) = self.pairs[1 - end].get(&sa.spi_out) else {
                    continue;
                };
                if peer.spi_out == sa.spi_in {
                    assert!(constant_time_eq(
                        sa.keys_out.expose(),
                        peer.keys_in.expose()
                    ));
                    assert_eq!((sa.suite, sa.esn), (peer.suite, peer.esn));
                }
            }
        }
    }

    /// The initiator of a pair installs it last, so that whoever sends at once is heard.
    fn check_pairs(&self) {
        for (end, pairs) in self.pairs.iter().enumerate() {
            for sa in pairs
                .values()
                .filter(|sa| sa.outbound == adit_proto::ike::Outbound::Now)
            {
                assert!(
                    self.pairs[1 - end].contains_key(&sa.spi_out),
                    "a pair of one end alone"
                );
            }
        }
    }
}

/// Takes the steps, then lets all time pass without a wire: nothing is left of any SA.
pub fn run(octets: &[u8]) {
    let mut wire = Wire::new();
    for step in octets.chunks_exact(2).take(STEPS_MAX) {
        wire.step(step[0], step[1]);
    }
    wire.check_pairs();
    wire.flights.clear();
    for _ in 0..40 {
        wire.pass(Duration::from_secs(60));
        wire.flights.clear();
    }
    wire.check();
    for endpoint in &wire.ends {
        assert_eq!(endpoint.sas(), 0, "an SA that outlives its peer");
    }
}
