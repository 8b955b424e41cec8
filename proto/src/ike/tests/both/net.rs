//! Two endpoints of either version on a wire in memory, on a clock that tests move.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::configured::{A, B, Seeded, TUNNEL, address, path, start};
use super::side::Side;
use crate::ike::{Command, CommandError, Event, IkeState, IkeStatus, Path, Transmit};

/// An endpoint of either version.
pub(crate) trait Speaker: Sized {
    type Connection;
    type Header;

    /// An endpoint with one tunnel.
    fn with_tunnel(now: Instant, random: Seeded, connection: Self::Connection) -> Self;
    /// What side `A` or `B` is configured with.
    fn connection(side: usize) -> Self::Connection;
    fn header(octets: &[u8]) -> Self::Header;
    fn datagram(&mut self, now: Instant, path: Path, octets: &[u8]);
    fn timeout(&mut self, now: Instant);
    fn command(&mut self, now: Instant, command: Command) -> Result<(), CommandError>;
    fn event(&mut self) -> Option<Event>;
    fn transmit(&mut self) -> Option<Transmit>;
    fn deadline(&self) -> Option<Instant>;
    fn status(&self, now: Instant) -> Option<IkeStatus>;
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) at: Instant,
    pub(crate) to: usize,
    pub(crate) path: Path,
    pub(crate) octets: Vec<u8>,
}

/// What becomes of a datagram: the delays after which it arrives, none if it is lost.
pub(crate) type Weather = Box<dyn FnMut(usize, &[u8]) -> Vec<Duration>>;

pub(crate) struct Net<E> {
    pub(crate) now: Instant,
    pub(crate) sides: [Side<E>; 2],
    pub(crate) flights: Vec<Flight>,
    /// All that was sent: by whom, and the octets.
    pub(crate) sent: VecDeque<(usize, Vec<u8>)>,
    pub(crate) weather: Weather,
    /// What `B` sees of `A`'s address and port, if a NAT is between.
    pub(crate) nat: Option<SocketAddr>,
}

/// Octets that somebody sends to `to` as if they were its peer's.
pub(crate) fn flight<E>(net: &Net<E>, to: usize, octets: Vec<u8>) -> Flight {
    Flight {
        at: net.now,
        to,
        path: path(to, 500),
        octets,
    }
}

/// The last message that `side` sent.
pub(crate) fn last<E>(net: &Net<E>, side: usize) -> Vec<u8> {
    let of_side = net.sent.iter().rev().find(|(from, _)| *from == side);
    of_side.unwrap().1.clone()
}

pub(crate) const LATENCY: Duration = Duration::from_millis(10);

impl<E: Speaker> Net<E> {
    pub(crate) fn new() -> Self {
        Self::with(E::connection(A), E::connection(B))
    }

    pub(crate) fn with(a: E::Connection, b: E::Connection) -> Self {
        Self::seeded(1, a, b)
    }

    pub(crate) fn seeded(seed: u64, a: E::Connection, b: E::Connection) -> Self {
        let now = start();
        let side = |seed, connection| Side::of(E::with_tunnel(now, Seeded(seed), connection));
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
    pub(crate) fn established() -> Self {
        let mut net = Self::new();
        net.initiate(A);
        net.run(Duration::from_secs(1));
        net.assert_agree();
        net
    }

    pub(crate) fn initiate(&mut self, side: usize) {
        self.command(side, Command::Initiate(TUNNEL, path(side, 500)));
    }

    pub(crate) fn command(&mut self, side: usize, command: Command) {
        self.sides[side]
            .endpoint
            .command(self.now, command)
            .unwrap();
        self.drain(side);
    }

    /// Lets time pass, with everything that is due in it.
    pub(crate) fn run(&mut self, time: Duration) {
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
            .filter_map(|side| side.endpoint.deadline());
        let flights = self.flights.iter().map(|flight| flight.at);
        timers.chain(flights).min()
    }

    fn step(&mut self) {
        while let Some(place) = self.flights.iter().position(|flight| flight.at <= self.now) {
            let flight = self.flights.remove(place);
            self.deliver(&flight);
        }
        for side in [A, B] {
            self.sides[side].endpoint.timeout(self.now);
            self.drain(side);
        }
    }

    pub(crate) fn deliver(&mut self, flight: &Flight) {
        let endpoint = &mut self.sides[flight.to].endpoint;
        endpoint.datagram(self.now, flight.path, &flight.octets);
        self.drain(flight.to);
    }

    /// Events first, then datagrams, as the lane does.
    pub(crate) fn drain(&mut self, side: usize) {
        while let Some(event) = self.sides[side].endpoint.event() {
            self.sides[side].take(event);
        }
        while let Some(transmit) = self.sides[side].endpoint.transmit() {
            self.sent.push_back((side, transmit.octets.clone()));
            // A NAT lets nothing in but to what it made of A's port.
            if side == B
                && self
                    .nat
                    .is_some_and(|outside| outside != transmit.path.remote)
            {
                continue;
            }
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

    pub(crate) fn assert_agree(&self) {
        self.agree().unwrap();
    }

    /// Both ends hold the same pairs with the same keys, and send through one that the other receives by.
    pub(crate) fn agree(&self) -> Result<(), String> {
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
            let status = self.sides[side].endpoint.status(self.now);
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
    pub(crate) fn exchange_data(&mut self) -> bool {
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
    pub(crate) fn story(&self) -> String {
        let of = |side: &Side<E>| {
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
    pub(crate) fn headers(&mut self, side: usize) -> Vec<E::Header> {
        let of = |(from, octets): &(usize, Vec<u8>)| (*from == side).then(|| E::header(octets));
        let headers = self.sent.iter().filter_map(of).collect();
        self.sent.retain(|(from, _)| *from != side);
        headers
    }
}
