//! The wire between two endpoints, and what each side's data path would hold.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::SecretBytes;

use super::super::*;
use crate::wire::esp::Spi;
use crate::wire::ike::{ExchangeType, Flags, Header, TrafficSelector, Writer, write_message};

pub(super) const TUNNEL: ConnectionId = ConnectionId(7);
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const PSK: &[u8] = b"correct horse battery staple, twice";

/// A generator of test octets (SplitMix64).
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let octets = self.next().to_le_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's start may be any instant"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}

pub(super) fn address(side: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, if side == A { 1 } else { 2 }], port))
}

pub(super) fn path(from: usize, port: u16) -> Path {
    Path {
        local: address(from, port),
        remote: address(1 - from, port),
    }
}

pub(super) fn selector(text: &str) -> TrafficSelector {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    TrafficSelector {
        protocol: 0,
        start_port: 0,
        end_port: u16::MAX,
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
    }
}

/// What side `A` or `B` is configured with.
pub(super) fn connection(side: usize) -> Connection {
    let ids = ["a.example", "b.example"];
    let id = |side: usize| Identity::Fqdn(ids[side].to_owned());
    let lans = ["10.1.0.0-10.1.255.255", "10.2.0.0-10.2.255.255"];
    let psk = Arc::new(SecretBytes::from_slice(PSK));
    let times = |rekey| RekeyTimes {
        rekey: Duration::from_secs(rekey),
        jitter: Duration::ZERO,
        hard: Duration::from_secs(rekey * 2),
    };
    Connection {
        remotes: Some(vec![address(1 - side, 0).ip()]),
        local_id: id(side),
        remote_id: Some(id(1 - side)),
        local_auth: LocalAuth::Psk(psk.clone()),
        remote_auth: RemoteAuth::Psk(psk),
        ike: IkeOffer::defaults(),
        esp: EspOffer::defaults(),
        mode: ChildMode::Tunnel,
        local_ts: vec![selector(lans[side])],
        remote_ts: vec![selector(lans[1 - side])],
        ike_lifetime: times(14_400),
        child_lifetime: times(3_600),
        retransmit: Retransmit {
            first: Duration::from_secs(2),
            base_per_mille: 1800,
            tries: 5,
            most: Duration::from_secs(30),
        },
        fragment_octets: 1280,
        force_udp: false,
    }
}

/// The same in transport mode, for packets of GRE from and to anywhere.
pub(super) fn transport(side: usize) -> Connection {
    let gre = || TrafficSelector {
        protocol: 47,
        ..selector("0.0.0.0-255.255.255.255")
    };
    Connection {
        mode: ChildMode::Transport,
        local_ts: vec![gre()],
        remote_ts: vec![gre()],
        ..connection(side)
    }
}

/// A child SA as the data path holds it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) sa: ChildSa,
    /// Packets leave through it.
    pub(super) sends: bool,
}

pub(super) struct Side {
    pub(super) endpoint: Endpoint,
    /// Inbound SAs, by SPI.
    pub(super) held: BTreeMap<Spi, Held>,
    pub(super) events: Vec<Event>,
    pub(super) up: bool,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) at: Instant,
    pub(super) to: usize,
    pub(super) path: Path,
    pub(super) octets: Vec<u8>,
}

/// What becomes of a datagram: the delays after which it arrives, none if it is lost.
pub(super) type Weather = Box<dyn FnMut(usize, &[u8]) -> Vec<Duration>>;

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) sides: [Side; 2],
    pub(super) flights: Vec<Flight>,
    /// All that was sent: by whom, and the octets.
    pub(super) sent: VecDeque<(usize, Vec<u8>)>,
    pub(super) weather: Weather,
    /// What `B` sees of `A`'s address and port, if a NAT is between.
    pub(super) nat: Option<SocketAddr>,
}

pub(super) const LATENCY: Duration = Duration::from_millis(10);

impl Net {
    pub(super) fn new() -> Self {
        Self::with(connection(A), connection(B))
    }

    pub(super) fn with(a: Connection, b: Connection) -> Self {
        Self::seeded(1, a, b)
    }

    pub(super) fn seeded(seed: u64, a: Connection, b: Connection) -> Self {
        let now = start();
        let side = |seed, connection| {
            let mut endpoint = Endpoint::new(EndpointConfig::default(), Box::new(Seeded(seed)));
            endpoint
                .handle_command(now, Command::Add(TUNNEL, Box::new(connection)))
                .unwrap();
            Side {
                endpoint,
                held: BTreeMap::new(),
                events: Vec::new(),
                up: false,
            }
        };
        Self {
            now,
            sides: [side(seed * 2 + 100, a), side(seed * 2 + 101, b)],
            flights: Vec::new(),
            sent: VecDeque::new(),
            weather: Box::new(|_, _| vec![LATENCY]),
            nat: None,
        }
    }

    /// An established pair, initiated by `A`.
    pub(super) fn established() -> Self {
        let mut net = Self::new();
        net.initiate(A);
        net.run(Duration::from_secs(1));
        net.assert_agree();
        net
    }

    pub(super) fn initiate(&mut self, side: usize) {
        self.command(side, Command::Initiate(TUNNEL, path(side, 500)));
    }

    pub(super) fn command(&mut self, side: usize, command: Command) {
        self.sides[side]
            .endpoint
            .handle_command(self.now, command)
            .unwrap();
        self.drain(side);
    }

    /// Lets time pass, with everything that is due in it.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            steps += 1;
            assert!(steps < 100_000, "the endpoints never come to rest");
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    fn next_at(&self) -> Option<Instant> {
        let timers = self
            .sides
            .iter()
            .filter_map(|side| side.endpoint.poll_timeout());
        let flights = self.flights.iter().map(|flight| flight.at);
        timers.map(|(at, _)| at).chain(flights).min()
    }

    fn step(&mut self) {
        while let Some(place) = self.flights.iter().position(|flight| flight.at <= self.now) {
            let flight = self.flights.remove(place);
            self.deliver(&flight);
        }
        for side in [A, B] {
            self.sides[side].endpoint.handle_timeout(self.now);
            self.drain(side);
        }
    }

    pub(super) fn deliver(&mut self, flight: &Flight) {
        let endpoint = &mut self.sides[flight.to].endpoint;
        endpoint.handle_datagram(self.now, flight.path, &flight.octets);
        self.drain(flight.to);
    }

    /// One notification in the clear for the IKE_SA_INIT of `A`, as whoever saw it can send one.
    pub(super) fn forge(&mut self, kind: u16, data: &[u8]) {
        self.forge_payloads(Writer::new().notify(0, &[], kind, data), 0);
    }

    /// Those payloads for the IKE_SA_INIT of `A`, in the name of a responder with that SPI.
    pub(super) fn forge_payloads(&mut self, writer: &mut Writer, spi_r: u64) {
        let status = self.sides[A].endpoint.status(TUNNEL, self.now).unwrap();
        let flags = Flags {
            response: true,
            ..Flags::default()
        };
        let header = Header::new(status.spi_i, spi_r, ExchangeType::IkeSaInit, flags, 0);
        let (first, chain) = writer.finish();
        self.deliver(&Flight {
            at: self.now,
            to: A,
            path: path(A, 500),
            octets: write_message(&header, first, &chain),
        });
    }

    /// Events first, then datagrams, as the lane does.
    pub(super) fn drain(&mut self, side: usize) {
        while let Some(event) = self.sides[side].endpoint.poll_event() {
            self.sides[side].take(event);
        }
        while let Some(transmit) = self.sides[side].endpoint.poll_transmit() {
            self.sent.push_back((side, transmit.octets.clone()));
            for delay in (self.weather)(side, &transmit.octets) {
                self.flights.push(Flight {
                    at: self.now + delay,
                    to: 1 - side,
                    path: self.seen(side, transmit.path),
                    octets: transmit.octets.clone(),
                });
            }
        }
    }

    /// The addresses as the receiver sees them.
    fn seen(&self, from: usize, path: Path) -> Path {
        let mut seen = Path {
            local: path.remote,
            remote: path.local,
        };
        if let Some(outside) = self.nat {
            if from == A {
                seen.remote = outside;
            } else {
                seen.local = address(A, path.local.port());
            }
        }
        seen
    }

    pub(super) fn assert_agree(&self) {
        self.agree().unwrap();
    }

    /// Both ends hold the same pairs with the same keys, and send through one that the other receives by.
    pub(super) fn agree(&self) -> Result<(), String> {
        for side in [A, B] {
            let (own, other) = (&self.sides[side], &self.sides[1 - side]);
            if own.held.len() != 1 {
                return Err(format!("side {side} holds {} pairs", own.held.len()));
            }
            for held in own.held.values() {
                let peer = other
                    .held
                    .get(&held.sa.spi_out)
                    .ok_or("a pair that the other has not")?;
                let keys = (held.sa.keys_out.expose(), held.sa.keys_in.expose());
                if keys != (peer.sa.keys_in.expose(), peer.sa.keys_out.expose()) {
                    return Err("keys differ".to_owned());
                }
                if (held.sa.suite, held.sa.esn, held.sa.mode)
                    != (peer.sa.suite, peer.sa.esn, peer.sa.mode)
                {
                    return Err("algorithms differ".to_owned());
                }
                if (&held.sa.local_ts, &held.sa.remote_ts)
                    != (&peer.sa.remote_ts, &peer.sa.local_ts)
                {
                    return Err("selectors differ".to_owned());
                }
            }
        }
        let ike = |side: usize| {
            let status = self.sides[side].endpoint.status(TUNNEL, self.now);
            status.map(|status| {
                (
                    status.state,
                    status.spi_i,
                    status.spi_r,
                    status.children.len(),
                )
            })
        };
        let (a, b) = (ike(A), ike(B));
        if a != b || a.is_none_or(|(state, ..)| state != IkeState::Established) {
            return Err(format!("IKE SAs differ: {a:?}, {b:?}"));
        }
        Ok(())
    }

    /// One packet each way: it goes through a pair that the other end has, and the other end learns from it.
    pub(super) fn exchange_data(&mut self) -> bool {
        let mut arrived = true;
        for side in [A, B] {
            let spi_out = self.sides[side].sending().map(|held| held.sa.spi_out);
            let other = &mut self.sides[1 - side];
            match spi_out.filter(|spi| other.held.contains_key(spi)) {
                Some(spi) => other.switch(spi),
                None => arrived = false,
            }
        }
        arrived
    }

    /// What each end did, for a test that failed.
    pub(super) fn story(&self) -> String {
        let of = |side: &Side| {
            let lines = side.events.iter().map(|event| {
                if let Event::Trace(_, line) = event {
                    return line.clone();
                }
                format!("{event:?}").chars().take(100).collect()
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        format!("A:\n{}\nB:\n{}", of(&self.sides[A]), of(&self.sides[B]))
    }

    /// Headers of what was sent by `side` since the last call for it.
    pub(super) fn headers(&mut self, side: usize) -> Vec<Header> {
        let of = |(from, octets): &(usize, Vec<u8>)| {
            (*from == side).then(|| Header::parse(octets).unwrap())
        };
        let headers = self.sent.iter().filter_map(of).collect();
        self.sent.retain(|(from, _)| *from != side);
        headers
    }

    /// Requests of that exchange that `side` sent.
    pub(super) fn requests(&mut self, side: usize, exchange: ExchangeType) -> usize {
        let is_meant = |header: &&Header| header.exchange == exchange && !header.flags.response;
        self.headers(side).iter().filter(is_meant).count()
    }
}

impl Side {
    fn take(&mut self, event: Event) {
        if let Event::ChildInstalled(_, sa) = event {
            let (spi, now) = (sa.spi_in, sa.outbound == Outbound::Now);
            let sends = self.held.values().all(|held| !held.sends);
            self.held.insert(spi, Held { sa: *sa, sends });
            if now {
                self.switch(spi);
            }
            return;
        }
        match &event {
            Event::SwitchOutbound(_, spi) => self.switch(*spi),
            Event::ChildRetired(_, spi, _) => {
                let gone = self.held.remove(spi).expect("a pair that was installed");
                if gone.sends
                    && let Some(other) = self.held.values_mut().last()
                {
                    other.sends = true;
                }
            }
            Event::Established(..) => self.up = true,
            Event::Down(..) => self.up = false,
            Event::ChildInstalled(..)
            | Event::Alive(_)
            | Event::Failed(..)
            | Event::Refused(..)
            | Event::PeerMoved(..)
            | Event::Trace(..) => {}
        }
        self.events.push(event);
    }

    /// Packets leave through that pair from here on.
    pub(super) fn switch(&mut self, spi_in: Spi) {
        assert!(self.held.contains_key(&spi_in), "a pair that is held");
        for (spi, held) in &mut self.held {
            held.sends = *spi == spi_in;
        }
    }

    pub(super) fn sending(&self) -> Option<&Held> {
        self.held.values().find(|held| held.sends)
    }

    pub(super) fn only(&self) -> &ChildSa {
        assert_eq!(self.held.len(), 1);
        &self.held.values().next().unwrap().sa
    }

    pub(super) fn count(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is_meant(event)).count()
    }

    /// The traces that hold these words.
    pub(super) fn traced(&self, words: &str) -> usize {
        self.count(|event| matches!(event, Event::Trace(_, line) if line.contains(words)))
    }

    pub(super) fn failures(&self) -> Vec<String> {
        let words = |event: &Event| {
            if let Event::Failed(_, why) | Event::Refused(_, why) = event {
                return Some(why.to_string());
            }
            None
        };
        self.events.iter().filter_map(words).collect()
    }

    pub(super) fn downs(&self) -> Vec<DownWhy> {
        let why = |event: &Event| {
            if let Event::Down(_, why) = event {
                return Some(*why);
            }
            None
        };
        self.events.iter().filter_map(why).collect()
    }
}

/// Where a datagram of nobody comes from.
pub(super) fn stranger(last: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, last])
}
