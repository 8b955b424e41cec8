//! Round-trip times of UDP echoes that leave by the clock, whether the earlier ones have come back or not.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::BenchError;
use super::interrupt::Interrupt;
use super::model::Percentile;
use super::packet::{HEADERS_OCTETS, Stamp};
use crate::io::netns;

/// From one echo request to the next.
const EVERY: Duration = Duration::from_millis(2);
/// How long the last answers may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// From one attempt to the next while a tunnel comes up.
const ATTEMPT_EVERY: Duration = Duration::from_millis(50);
const LOOK_AFTER: Duration = Duration::from_millis(100);
/// An inner packet as large as that of `ping`.
const PACKET_OCTETS: usize = 84;
const LARGEST_NS: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;
/// 99.9 % of 1000 shall be 999, although 99.9 has no exact double.
const COUNT_IS_EXACT_TO: f64 = 1e-6;

/// A socket that sends back what it gets, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// An echo in a namespace, reached at `address`.
    pub(super) fn open(namespace: BorrowedFd<'_>, address: IpAddr) -> io::Result<Self> {
        let socket = netns::within(Some(namespace), || UdpSocket::bind(("0.0.0.0", 0)))??;
        socket.set_read_timeout(Some(LOOK_AFTER))?;
        let address = SocketAddr::new(address, socket.local_addr()?.port());
        let stop = Arc::new(AtomicBool::new(false));
        let its_stop = stop.clone();
        let thread = thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || {
                let mut buffer = [0; 2048];
                while !its_stop.load(Relaxed) {
                    if let Ok((octets, from)) = socket.recv_from(&mut buffer) {
                        let octets = buffer.get(..octets).unwrap_or_default();
                        // An answer that cannot be sent is one that was lost.
                        let _ = socket.send_to(octets, from);
                    }
                }
            })?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// The round trips of some echoes.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// Of those that were answered, in nanoseconds.
    pub(super) histogram: Histogram<u64>,
    /// How many were not.
    pub(super) lost: u64,
    /// Packets a second that were offered beside them, one number a measurement under load.
    pub(super) load_pps: Vec<f64>,
}

impl Times {
    /// None yet.
    pub(super) fn new() -> Result<Self, BenchError> {
        let histogram = Histogram::new_with_bounds(1, LARGEST_NS, SIGNIFICANT_DIGITS)
            .map_err(BenchError::of("histogram"))?;
        Ok(Self {
            histogram,
            lost: 0,
            load_pps: Vec::new(),
        })
    }

    /// How many echoes were asked for.
    pub(super) fn asked(&self) -> u64 {
        self.histogram.len() + self.lost
    }

    /// The time, in nanoseconds, within which that part of the echoes that were asked for came back. One that was lost took longer than
    /// any that came back: none where it takes a lost one to make up that part.
    pub(super) fn within(&self, percentile: Percentile) -> Option<u64> {
        let wanted = self.asked() as f64 * percentile.percent() / 100.0 - COUNT_IS_EXACT_TO;
        let mut answered = 0;
        let mut times = self.histogram.iter_recorded();
        times.find_map(|value| {
            answered += value.count_since_last_iteration();
            (answered as f64 >= wanted).then(|| value.value_iterated_to())
        })
    }

    /// Adds those of another round.
    pub(super) fn add(&mut self, other: &Self) -> Result<(), BenchError> {
        self.lost += other.lost;
        self.load_pps.extend(&other.load_pps);
        self.histogram
            .add(&other.histogram)
            .map_err(BenchError::of("histogram"))
    }
}

/// Asks an echo every 2 ms for so long.
pub(super) fn measure(
    namespace: BorrowedFd<'_>,
    echo: SocketAddr,
    time: Duration,
    interrupt: &Interrupt,
) -> Result<Times, BenchError> {
    let mut asker = Asker::open(namespace, echo).map_err(BenchError::of("echo"))?;
    let mut times = Times::new()?;
    let mut next = Duration::ZERO;
    let mut sent = 0;
    while next < time {
        interrupt.check()?;
        asker.listen(next, &mut times)?;
        asker.ask(sent);
        sent += 1;
        next += EVERY;
    }
    let end = time + ANSWER_WITHIN;
    while times.histogram.len() < sent && asker.origin.elapsed() < end {
        interrupt.check()?;
        asker.listen(asker.origin.elapsed() + EVERY, &mut times)?;
    }
    times.lost = sent.saturating_sub(times.histogram.len());
    Ok(times)
}

/// Whether an echo answers; asks only once.
pub(super) fn answers(namespace: BorrowedFd<'_>, echo: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut asker = Asker::open(namespace, echo)?;
        let mut times = Times::new().map_err(|error| io::Error::other(error.to_string()))?;
        asker.ask(0);
        asker
            .listen(ATTEMPT_EVERY, &mut times)
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(!times.histogram.is_empty())
    };
    // Without a route the socket cannot even be connected.
    ask().unwrap_or(false)
}

/// The asking socket.
struct Asker {
    socket: UdpSocket,
    origin: Instant,
}

impl Asker {
    fn open(namespace: BorrowedFd<'_>, echo: SocketAddr) -> io::Result<Self> {
        let socket = netns::within(Some(namespace), || {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.connect(echo)?;
            Ok::<_, io::Error>(socket)
        })??;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            origin: Instant::now(),
        })
    }

    fn ask(&mut self, seq: u64) {
        let mut payload = [0; PACKET_OCTETS - HEADERS_OCTETS];
        let stamp = Stamp {
            stream: 0,
            seq,
            time_ns: self.now(),
        };
        stamp.write(&mut payload);
        // A request that cannot be sent is one that is not answered.
        let _ = self.socket.send(&payload);
    }

    /// Notes the answers that come until a time since the origin.
    fn listen(&mut self, until: Duration, times: &mut Times) -> Result<(), BenchError> {
        let mut buffer = [0; 2048];
        loop {
            while let Ok(octets) = self.socket.recv(&mut buffer) {
                let now = self.now();
                if let Some(stamp) = buffer.get(..octets).and_then(Stamp::read) {
                    let time = now.saturating_sub(stamp.time_ns).clamp(1, LARGEST_NS);
                    times
                        .histogram
                        .record(time)
                        .map_err(BenchError::of("histogram"))?;
                }
            }
            let left = until.saturating_sub(self.origin.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            let patience = Timespec::try_from(left).ok();
            // A signal that ends the wait early is as good as an answer.
            let _ = poll(
                &mut [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)],
                patience.as_ref(),
            );
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::mode::outer;
    use crate::bench::wire::Wire;
    use crate::sites::Side;

    /// Answered after 1 µs, 2 µs and so on, and lost.
    fn times(answered: u64, lost: u64) -> Times {
        let mut times = Times::new().unwrap();
        times.lost = lost;
        for us in 1..=answered {
            times.histogram.record(us * 1000).unwrap();
        }
        times
    }

    #[test]
    fn a_lost_echo_counts_as_longer_than_any_that_was_answered() {
        let us = |answered, lost| {
            let times = times(answered, lost);
            Percentile::ALL.map(|part| times.within(part).map(|ns| ns / 1000))
        };
        assert_eq!(us(1000, 0), [Some(500), Some(990), Some(999)]);
        assert_eq!(us(999, 1), [Some(500), Some(990), Some(999)]);
        assert_eq!(us(998, 2), [Some(500), Some(990), None]);
        assert_eq!(us(500, 500), [Some(500), None, None]);
        assert_eq!(us(499, 501), [None; 3]);
        assert_eq!(us(0, 10), [None; 3]);
        assert_eq!(us(0, 0), [None; 3]);
    }

    #[test]
    fn each_echo_over_a_wire_is_answered_and_timed() {
        let wire = Wire::make(1500, true, None).unwrap();
        let echo = Echo::open(wire.namespace(Side::East), outer(Side::East)).unwrap();
        let west = wire.namespace(Side::West);
        let time = Duration::from_millis(200);
        let times = measure(west, echo.address(), time, &Interrupt::default()).unwrap();
        assert_eq!((times.histogram.len(), times.lost), (100, 0));
        assert!(times.histogram.min() > 0);
        assert!(answers(west, echo.address()));
    }

    #[test]
    fn echoes_that_nobody_answers_are_lost() {
        let wire = Wire::make(1500, true, None).unwrap();
        let nobody = SocketAddr::new(outer(Side::East), 9);
        let west = wire.namespace(Side::West);
        assert!(!answers(west, nobody));
        let time = Duration::from_millis(20);
        let times = measure(west, nobody, time, &Interrupt::default()).unwrap();
        assert_eq!((times.histogram.len(), times.lost), (0, 10));
    }
}
