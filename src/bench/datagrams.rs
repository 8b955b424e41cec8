//! UDP streams in one direction: a sender that floods or keeps a rate, and a receiver that counts each packet once.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::error::BenchError;
use super::interrupt::Interrupt;
use super::model::Size;
use super::packet::{MAX_OCTETS, Seen, Stamp};
use super::search::Trial;
use crate::io::datagram::{self, DatagramBatch};
use crate::io::netns;

const RECEIVE_BUFFER_OCTETS: usize = 4 << 20;
/// Packets handed over by one call.
const BATCH: u64 = 64;
/// How long a send waits for room before the sender looks at its clock.
const SEND_WAITS: Duration = Duration::from_millis(20);
/// A paced sender sleeps at least this long, and sends what is due then.
const NAP: Duration = Duration::from_micros(50);
/// A paced sender that was kept from running for longer gives up what it owes, rather than sending it as a burst that nobody asked for.
const FORGIVEN: Duration = Duration::from_millis(2);
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// What is still under way has arrived when nothing came for so long.
const QUIET: Duration = Duration::from_millis(100);
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// A socket that sends to a receiver.
#[derive(Debug)]
pub(super) struct Sender {
    socket: UdpSocket,
    payloads: Vec<Vec<u8>>,
}

/// What a sender did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sent {
    /// Packets that the kernel took.
    pub(super) packets: u64,
    /// In this time.
    pub(super) time: Duration,
}

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As fast as the kernel takes it.
    Flood,
    /// So many packets a second.
    Rate(f64),
}

impl Sender {
    /// A sender in a namespace, which needs a route to the receiver.
    pub(super) fn open(namespace: BorrowedFd<'_>, to: SocketAddr) -> io::Result<Self> {
        let socket = netns::within(Some(namespace), || {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.connect(to)?;
            Ok::<_, io::Error>(socket)
        })??;
        datagram::wait_at_most(&socket, SEND_WAITS)?;
        let payload = vec![0; usize::from(MAX_OCTETS)];
        Ok(Self {
            socket,
            payloads: vec![payload; usize::try_from(BATCH).unwrap_or(0)],
        })
    }

    /// Sends for so long, or until `stop` says so.
    pub(super) fn run(
        &mut self,
        (stream, size): (u32, Size),
        pace: Pace,
        time: Duration,
        stop: impl Fn() -> bool,
    ) -> io::Result<Sent> {
        let started = Instant::now();
        // What a paced sender owes is counted from here.
        let (mut origin, mut owed_from) = (started, 0);
        let mut packets = 0;
        while started.elapsed() < time && !stop() {
            let wanted = match pace {
                Pace::Flood => BATCH,
                Pace::Rate(rate) => {
                    let owed_since = due_at(packets - owed_from, rate).saturating_add(FORGIVEN);
                    if origin.elapsed() > owed_since {
                        (origin, owed_from) = (Instant::now(), packets);
                    }
                    let due = due(origin.elapsed(), rate).saturating_sub(packets - owed_from);
                    if due == 0 {
                        let next = due_at(packets - owed_from + 1, rate);
                        let left = next.saturating_sub(origin.elapsed());
                        thread::sleep(left.clamp(NAP, LOOK_AFTER));
                        continue;
                    }
                    due.min(BATCH)
                }
            };
            packets += self.send(stream, size, packets, wanted)?;
        }
        Ok(Sent {
            packets,
            time: started.elapsed(),
        })
    }

    /// Sends some packets from sequence number `seq` on and returns how many the kernel took.
    fn send(&mut self, stream: u32, size: Size, seq: u64, count: u64) -> io::Result<u64> {
        let numbered = || (seq..seq + count).map(|seq| (seq, size.payload_octets(seq)));
        for (payload, (seq, _)) in self.payloads.iter_mut().zip(numbered()) {
            let stamp = Stamp {
                stream,
                seq,
                time_ns: 0,
            };
            stamp.write(payload);
        }
        let datagrams = self.payloads.iter().zip(numbered());
        let datagrams = datagrams.filter_map(|(payload, (_, octets))| payload.get(..octets));
        match datagram::send(&self.socket, datagrams) {
            Ok(sent) => Ok(sent as u64),
            // A full buffer, a full queue, or what an ICMP message said about earlier packets: none was taken.
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::CONNREFUSED | Errno::INTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn due(elapsed: Duration, rate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and far below 2^53"
    )]
    let due = (elapsed.as_secs_f64() * rate) as u64;
    due
}

fn due_at(packets: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(packets as f64 / rate).unwrap_or(Duration::MAX)
}

/// A socket that counts what arrives, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// The stream to be counted.
    wanted: AtomicU32,
    /// The stream that is counted: the counts below belong to it once it is the one wanted.
    counted: AtomicU32,
    received: AtomicU64,
    /// When the last one arrived, in nanoseconds since `origin`.
    last_ns: AtomicU64,
    origin: Instant,
}

impl Receiver {
    /// A receiver in a namespace, at `address` there.
    pub(super) fn open(namespace: BorrowedFd<'_>, address: IpAddr) -> io::Result<Self> {
        let socket = netns::within(Some(namespace), || UdpSocket::bind(("0.0.0.0", 0)))??;
        datagram::enlarge_receive_buffer(&socket, RECEIVE_BUFFER_OCTETS)?;
        let address = SocketAddr::new(address, socket.local_addr()?.port());
        let socket = Arc::new(socket);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            wanted: AtomicU32::new(0),
            counted: AtomicU32::new(0),
            received: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            origin: Instant::now(),
        });
        let (its_socket, its_shared) = (socket.clone(), shared.clone());
        let thread = thread::Builder::new()
            .name("udp-receiver".to_owned())
            .spawn(move || count(&its_socket, &its_shared))?;
        Ok(Self {
            address,
            socket,
            shared,
            thread: Some(thread),
        })
    }

    /// Where to send to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Packets that found its buffer full since it was opened.
    pub(super) fn overflow(&self) -> io::Result<u64> {
        Ok(u64::from(datagram::dropped(&self.socket)?))
    }

    /// Counts a stream from here on, and nothing else.
    fn begin(&self, stream: u32) {
        // Release: with the acknowledgement it orders the counts behind it.
        self.shared.wanted.store(stream, Release);
        while self.shared.counted.load(Acquire) != stream {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all `sent` have arrived or nothing comes any more, and returns how many did.
    fn settle(&self, sent: u64, interrupt: &Interrupt) -> Result<u64, BenchError> {
        let began = Instant::now();
        let (mut received, mut since) = (self.received(), began);
        while received < sent && since.elapsed() < QUIET && began.elapsed() < SETTLES_WITHIN {
            interrupt.sleep(Duration::from_millis(2))?;
            let seen = self.received();
            if seen != received {
                (received, since) = (seen, Instant::now());
            }
        }
        Ok(received)
    }

    fn received(&self) -> u64 {
        self.shared.received.load(Relaxed)
    }

    fn last(&self) -> Instant {
        self.shared.origin + Duration::from_nanos(self.shared.last_ns.load(Relaxed))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its counts are in what is shared.
            let _ = thread.join();
        }
    }
}

/// The receiver's thread.
fn count(socket: &UdpSocket, shared: &Shared) {
    let mut batch = DatagramBatch::new();
    let mut seen = Seen::default();
    let (mut stream, mut received) = (0, 0);
    let patience = Timespec::try_from(LOOK_AFTER).ok();
    while !shared.stop.load(Relaxed) {
        let wanted = shared.wanted.load(Acquire);
        if wanted != stream {
            (stream, received) = (wanted, 0);
            seen.clear();
            shared.received.store(0, Relaxed);
            shared.counted.store(stream, Release);
        }
        let Ok(1..) = batch.receive(socket) else {
            // Nothing is there, or an error that only a sender's socket can explain: look again when something is.
            let _ = poll(
                &mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)],
                patience.as_ref(),
            );
            continue;
        };
        let stamps = batch.datagrams().filter_map(Stamp::read);
        let new = stamps
            .filter(|stamp| stamp.stream == stream && seen.insert(stamp.seq))
            .count();
        if new > 0 {
            received += new as u64;
            let last = u64::try_from(shared.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            shared.last_ns.store(last, Relaxed);
            shared.received.store(received, Relaxed);
        }
    }
}

/// A sender and a receiver, through which streams go one after the other.
#[derive(Debug)]
pub(super) struct Path {
    sender: Sender,
    receiver: Receiver,
    streams: u32,
}

/// What came of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delivered {
    /// Packets that the kernel took from the sender.
    pub(super) sent: u64,
    /// Packets that arrived.
    pub(super) received: u64,
    /// What that is in a second.
    pub(super) trial: Trial,
}

impl Path {
    /// From one namespace to an address in another.
    pub(super) fn open(
        from: BorrowedFd<'_>,
        (to, address): (BorrowedFd<'_>, IpAddr),
    ) -> io::Result<Self> {
        let receiver = Receiver::open(to, address)?;
        Ok(Self {
            sender: Sender::open(from, receiver.address())?,
            receiver,
            streams: 0,
        })
    }

    /// Sends a stream and waits for what is under way.
    pub(super) fn run(
        &mut self,
        size: Size,
        pace: Pace,
        time: Duration,
        interrupt: &Interrupt,
    ) -> Result<Delivered, BenchError> {
        self.streams += 1;
        self.receiver.begin(self.streams);
        let started = Instant::now();
        let sent = self
            .sender
            .run((self.streams, size), pace, time, || interrupt.came())
            .map_err(BenchError::of("UDP through the tunnel"))?;
        let received = self.receiver.settle(sent.packets, interrupt)?;
        let sending = sent.time.as_secs_f64();
        let arriving = self.receiver.last().saturating_duration_since(started);
        Ok(Delivered {
            sent: sent.packets,
            received,
            trial: Trial {
                offered: sent.packets as f64 / sending,
                delivered: received as f64 / arriving.as_secs_f64().max(sending),
                loss: 1.0 - received as f64 / sent.packets.max(1) as f64,
            },
        })
    }

    /// Packets that found the receiver's buffer full.
    pub(super) fn overflow(&self) -> io::Result<u64> {
        self.receiver.overflow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::mode::outer;
    use crate::bench::wire::Wire;
    use crate::sites::Side;

    fn path(wire: &Wire) -> Path {
        let to = (wire.namespace(Side::East), outer(Side::East));
        Path::open(wire.namespace(Side::West), to).unwrap()
    }

    #[test]
    fn a_paced_stream_keeps_its_rate_and_each_packet_is_counted() {
        let wire = Wire::make(1500, true, None).unwrap();
        let mut path = path(&wire);
        let interrupt = Interrupt::default();
        for size in [Size::Octets(64), Size::Octets(1400), Size::Imix] {
            let time = Duration::from_millis(300);
            let run = path
                .run(size, Pace::Rate(2000.0), time, &interrupt)
                .unwrap();
            assert_eq!(run.sent, run.received, "{size}");
            assert!(run.trial.passed());
            assert!((100..=610).contains(&run.sent), "{} packets", run.sent);
        }
        assert_eq!(path.overflow().unwrap(), 0);
    }

    #[test]
    fn a_flood_is_faster_than_a_paced_stream_and_accounts_for_its_packets() {
        let wire = Wire::make(1500, true, None).unwrap();
        let mut path = path(&wire);
        let interrupt = Interrupt::default();
        let time = Duration::from_millis(200);
        let run = path
            .run(Size::Octets(64), Pace::Flood, time, &interrupt)
            .unwrap();
        assert!(run.sent > 1000, "{} packets", run.sent);
        let overflow = path.overflow().unwrap();
        assert!(run.received + overflow <= run.sent);
        assert!(run.received > 0);
    }

    #[test]
    fn a_rate_of_nothing_sends_nothing_and_ends_in_time() {
        let wire = Wire::make(1500, true, None).unwrap();
        let mut path = path(&wire);
        let (pace, time) = (Pace::Rate(0.0), Duration::from_millis(50));
        let run = path
            .run(Size::Octets(64), pace, time, &Interrupt::default())
            .unwrap();
        assert_eq!((run.sent, run.received), (0, 0));
    }

    #[test]
    fn what_is_due_grows_with_time() {
        assert_eq!(due(Duration::from_millis(10), 1000.0), 10);
        assert_eq!(due_at(10, 1000.0), Duration::from_millis(10));
        assert_eq!(due_at(1, 0.0), Duration::MAX);
    }
}
