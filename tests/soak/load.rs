//! TCP streams and UDP datagrams between two inner addresses, all of whose octets are checked.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adit::io::datagram;

use super::common::Namespace;
use super::common::stream::{BLOCK_OCTETS, block, connect};
use super::{PATIENCE, within};

/// Calls without progress that are a stall: on a busy machine loss after loss doubles TCP's patience beyond one interval.
const STALL_CALLS: u32 = 4;
const RECEIVE_BUFFER_OCTETS: usize = 16 << 20;
/// Time from one datagram to the next.
const PACE: Duration = Duration::from_millis(2);
const LOOK_AFTER: Duration = Duration::from_millis(50);
const NUMBER_OCTETS: usize = 8;

/// A way through a tunnel: a site and its inner address at each end.
pub(crate) type Way<'a> = [(&'a Namespace, IpAddr); 2];

/// A TCP stream that goes on until it is finished.
#[derive(Debug)]
pub(crate) struct Stream {
    name: String,
    stop: Arc<AtomicBool>,
    octets: Arc<AtomicU64>,
    before: u64,
    idle_calls: u32,
    threads: Vec<JoinHandle<()>>,
}

impl Stream {
    /// Sends a block, rests for `pause`, sends the next.
    pub(crate) fn start(name: &str, [(near, _), (far, address)]: Way<'_>, pause: Duration) -> Self {
        let [sender, receiver] = connect(near, far, address, PATIENCE);
        let (stop, octets) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (its_stop, its_octets) = (Arc::clone(&stop), Arc::clone(&octets));
        let threads = vec![
            thread::spawn(move || send(sender, pause, &its_stop)),
            thread::spawn(move || receive(receiver, &its_octets)),
        ];
        Self {
            name: name.to_owned(),
            stop,
            octets,
            before: 0,
            idle_calls: 0,
            threads,
        }
    }

    /// Octets that arrived since the last call: none in [`STALL_CALLS`] calls is a stall.
    pub(crate) fn progress(&mut self) -> u64 {
        let octets = self.octets.load(Relaxed);
        let progress = octets - self.before;
        self.before = octets;
        self.idle_calls = if progress > 0 { 0 } else { self.idle_calls + 1 };
        let stalls = self.idle_calls >= STALL_CALLS;
        assert!(!stalls, "{} stalls after {octets} octets", self.name);
        progress
    }

    /// Ends it, and fails if an octet was not what was sent.
    pub(crate) fn finish(self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            assert!(thread.join().is_ok(), "{} failed", self.name);
        }
    }
}

fn send(mut stream: TcpStream, pause: Duration, stop: &AtomicBool) {
    let block = block();
    while !stop.load(Relaxed) {
        stream.write_all(&block).expect("the stream goes on");
        thread::sleep(pause);
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

fn receive(mut stream: TcpStream, octets: &AtomicU64) {
    let block = block();
    let mut got = vec![0; BLOCK_OCTETS];
    let mut at = 0;
    loop {
        let received = match stream.read(&mut got) {
            Ok(0) => return,
            // The process was stopped and goes on.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("the stream goes on"),
        };
        let (first, rest) = got[..received].split_at(received.min(BLOCK_OCTETS - at));
        assert!(first == &block[at..at + first.len()] && rest == &block[..rest.len()]);
        at = (at + received) % BLOCK_OCTETS;
        octets.fetch_add(received as u64, Relaxed);
    }
}

/// Datagrams of these sizes in turn until they are finished.
#[derive(Debug)]
pub(crate) struct Datagrams {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<(u64, u64)>,
}

/// What came of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Taken by the kernel.
    pub(crate) sent: u64,
    /// Arrived, each once.
    pub(crate) received: u64,
    /// Found the receiver's buffer full.
    pub(crate) overflow: u64,
}

impl Datagrams {
    pub(crate) fn start([(near, from), (far, to)]: Way<'_>, sizes: &'static [usize]) -> Self {
        let receiver = within(far, || UdpSocket::bind((to, 0))).unwrap();
        datagram::enlarge_receive_buffer(&receiver, RECEIVE_BUFFER_OCTETS).unwrap();
        receiver.set_read_timeout(Some(LOOK_AFTER)).unwrap();
        let sender = within(near, || UdpSocket::bind((from, 0))).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (its_stop, also_its) = (stop.clone(), stop.clone());
        Self {
            stop,
            sender: thread::spawn(move || send_datagrams(&sender, sizes, &its_stop)),
            receiver: thread::spawn(move || count_datagrams(&receiver, &also_its)),
        }
    }

    /// Ends them and waits for what is under way.
    pub(crate) fn finish(self) -> Delivered {
        self.stop.store(true, Relaxed);
        let sent = self.sender.join().expect("the sender goes on");
        let (received, overflow) = self.receiver.join().expect("what arrives is what was sent");
        Delivered {
            sent,
            received,
            overflow,
        }
    }
}

/// The payload of a datagram: its number, then octets that follow from it.
fn payload(number: u64, octets: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend((0..octets.saturating_sub(NUMBER_OCTETS) as u64).map(|at| (at ^ number) as u8));
    payload
}

fn send_datagrams(socket: &UdpSocket, sizes: &[usize], stop: &AtomicBool) -> u64 {
    let started = Instant::now();
    let mut sent = 0;
    for (number, &octets) in (0..).zip(sizes.iter().cycle()) {
        if stop.load(Relaxed) {
            break;
        }
        // A full queue refuses: what was refused was not sent.
        sent += u64::from(socket.send(&payload(number, octets)).is_ok());
        let due = PACE * u32::try_from(number).unwrap();
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    sent
}

fn count_datagrams(socket: &UdpSocket, stop: &AtomicBool) -> (u64, u64) {
    let mut got = vec![0; 65_536];
    let (mut seen, mut received) = (Vec::new(), 0);
    let mut quiet = 0;
    while quiet < 10 {
        let octets = match socket.recv(&mut got) {
            Ok(octets) => octets,
            Err(error) => {
                let kinds = [
                    ErrorKind::WouldBlock,
                    ErrorKind::TimedOut,
                    ErrorKind::Interrupted,
                ];
                assert!(kinds.contains(&error.kind()), "{error}");
                quiet = if stop.load(Relaxed) { quiet + 1 } else { 0 };
                continue;
            }
        };
        let number = u64::from_be_bytes(*got.first_chunk().unwrap());
        assert!(got[..octets] == payload(number, octets), "{number} differs");
        let place = usize::try_from(number).unwrap();
        if seen.len() <= place {
            seen.resize(place + 1, false);
        }
        assert!(!seen[place], "{number} was delivered twice");
        seen[place] = true;
        received += 1;
    }
    (received, datagram::dropped(socket).unwrap().into())
}
