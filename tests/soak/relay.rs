//! A hop between two sites that loses, repeats and delays packets, and knows of each what became of it.
//!
//! Each of its two sockets is in the place of one site for the other one, in a namespace of its own, at its address.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adit::io::datagram;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::common::Namespace;
use super::within;

const ESP: i32 = 50;
const NATT_PORT: u16 = 4500;
const BUFFER_OCTETS: usize = 32 << 20;
const OCTETS_MAX: usize = 65_536;
/// Of a thousand packets.
const LOST: u64 = 3;
const REPEATED: u64 = 5;
const DELAYED: u64 = 20;
const DELAY_US_MAX: u64 = 15_000;
/// How long an idle hop waits before it looks whether it is to end.
const LOOK_AFTER: Duration = Duration::from_millis(1);

/// What became of the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Packets taken from the sender.
    pub(crate) received: u64,
    /// Of those, lost on purpose.
    pub(crate) lost: u64,
    /// Sent once more.
    pub(crate) repeated: u64,
    /// Sent after later ones.
    pub(crate) delayed: u64,
    /// Taken by the kernel towards the receiver.
    pub(crate) forwarded: u64,
    /// Refused by it.
    pub(crate) refused: u64,
    /// Lost before the relay, whose buffer was full.
    pub(crate) overflow: u64,
}

#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    lost: AtomicU64,
    repeated: AtomicU64,
    delayed: AtomicU64,
    forwarded: AtomicU64,
    refused: AtomicU64,
}

/// One socket for each site, and a thread for each direction, until it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    stop: Arc<AtomicBool>,
    sockets: [Arc<Socket>; 2],
    counts: [Arc<Counts>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// A relay of ESP, in UDP or raw, with an end for each site: where it is, its address there, the site's address.
    pub(crate) fn start(udp: bool, ends: [(&Namespace, IpAddr, IpAddr); 2]) -> Self {
        let sockets = ends.map(|(hop, own, site)| Arc::new(open(hop, udp, own, site)));
        let stop = Arc::new(AtomicBool::new(false));
        let counts = [(); 2].map(|()| Arc::new(Counts::default()));
        let threads = [(0, 1), (1, 0)].map(|(from, to)| {
            let mut hop = Hop {
                from: sockets[from].clone(),
                to: sockets[to].clone(),
                before: if udp { 0 } else { 20 },
                counts: counts[from].clone(),
                random: 0x9e37_79b9_7f4a_7c15 + from as u64,
                late: BTreeMap::new(),
            };
            let stop = stop.clone();
            thread::spawn(move || hop.run(&stop))
        });
        Self {
            stop,
            sockets,
            counts,
            threads: threads.into(),
        }
    }

    /// What became of the packets of each site so far.
    pub(crate) fn tallies(&self) -> [Tally; 2] {
        [0, 1].map(|site| {
            let counts = &self.counts[site];
            Tally {
                received: counts.received.load(Relaxed),
                lost: counts.lost.load(Relaxed),
                repeated: counts.repeated.load(Relaxed),
                delayed: counts.delayed.load(Relaxed),
                forwarded: counts.forwarded.load(Relaxed),
                refused: counts.refused.load(Relaxed),
                overflow: datagram::dropped(&*self.sockets[site]).unwrap().into(),
            }
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn open(hop: &Namespace, udp: bool, own: IpAddr, site: IpAddr) -> Socket {
    let (kind, protocol, port) = if udp {
        (Type::DGRAM, Protocol::UDP, NATT_PORT)
    } else {
        (Type::RAW, Protocol::from(ESP), 0)
    };
    let socket = within(hop, || Socket::new(Domain::IPV4, kind, Some(protocol))).unwrap();
    datagram::enlarge_receive_buffer(&socket, BUFFER_OCTETS).unwrap();
    let at = |address| SockAddr::from(SocketAddr::new(address, port));
    socket.bind(&at(own)).unwrap();
    socket.connect(&at(site)).unwrap();
    socket.set_read_timeout(Some(LOOK_AFTER)).unwrap();
    socket
}

/// One direction.
struct Hop {
    from: Arc<Socket>,
    to: Arc<Socket>,
    /// Octets of the IP header that a raw socket gives.
    before: usize,
    counts: Arc<Counts>,
    random: u64,
    late: BTreeMap<(Instant, u64), Vec<u8>>,
}

impl Hop {
    fn run(&mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; OCTETS_MAX];
        while !stop.load(Relaxed) {
            // An error is a time that is over, or what an ICMP message told of an earlier packet.
            if let Ok(octets) = (&*self.from).read(&mut buffer) {
                self.decide(&buffer[self.before..octets]);
            }
            self.release();
        }
    }

    fn decide(&mut self, packet: &[u8]) {
        let number = self.counts.received.fetch_add(1, Relaxed);
        match self.next() % 1000 {
            n if n < LOST => {
                self.counts.lost.fetch_add(1, Relaxed);
            }
            n if n < LOST + REPEATED => {
                self.counts.repeated.fetch_add(1, Relaxed);
                self.send(packet);
                self.send(packet);
            }
            n if n < LOST + REPEATED + DELAYED => {
                self.counts.delayed.fetch_add(1, Relaxed);
                let delay = Duration::from_micros(self.next() % DELAY_US_MAX);
                self.late
                    .insert((Instant::now() + delay, number), packet.to_vec());
            }
            _ => self.send(packet),
        }
    }

    fn release(&mut self) {
        while let Some(first) = self.late.first_entry() {
            if first.key().0 > Instant::now() {
                return;
            }
            let packet = first.remove();
            self.send(&packet);
        }
    }

    fn send(&self, packet: &[u8]) {
        let counter = match self.to.send(packet) {
            Ok(_) => &self.counts.forwarded,
            Err(_) => &self.counts.refused,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }
}
