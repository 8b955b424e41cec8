//! One TCP stream from a site to the other.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::control::report::micros;
use crate::io::netns;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a thread waits for the tunnel before it looks whether it is to stop.
const LOOK_AFTER: Duration = Duration::from_millis(200);
const ARRIVES_WITHIN: Duration = Duration::from_secs(1);
const CHUNK_OCTETS: usize = 128 << 10;

/// What a stream moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    /// Octets that the receiver got.
    pub(crate) octets: u64,
    /// In this time.
    pub(crate) time_us: u64,
    /// Which is so much.
    pub(crate) bits_per_second: u64,
}

/// A stream that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Flow {
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    started: Instant,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

impl Flow {
    /// Starts a stream from `source` in one namespace to `destination` in another.
    ///
    /// # Errors
    /// What the system says; TimedOut when an end has no connection within 3 s.
    pub(crate) fn start(
        (from, source): (BorrowedFd<'_>, IpAddr),
        (to, destination): (BorrowedFd<'_>, IpAddr),
    ) -> io::Result<Self> {
        let listener = netns::within(Some(to), || {
            TcpListener::bind(SocketAddr::new(destination, 0))
        })??;
        let address = listener.local_addr()?;
        let mut sender = netns::within(Some(from), || connect(source, address))??;
        let mut receiver = accept(&listener)?;
        sender.set_write_timeout(Some(LOOK_AFTER))?;
        receiver.set_read_timeout(Some(LOOK_AFTER))?;

        let mut flow = Self {
            stop_sending: Arc::default(),
            stop_receiving: Arc::default(),
            received: Arc::default(),
            started: Instant::now(),
            sender: None,
            receiver: None,
        };
        let (stop, received) = (flow.stop_receiving.clone(), flow.received.clone());
        flow.receiver = Some(spawn("receiver", move || {
            let mut chunk = vec![0; CHUNK_OCTETS];
            let count = |octets| {
                received.fetch_add(octets, Relaxed);
            };
            repeat(&stop, || receiver.read(&mut chunk), count);
        })?);
        let stop = flow.stop_sending.clone();
        flow.sender = Some(spawn("sender", move || {
            let chunk = vec![0xad; CHUNK_OCTETS];
            repeat(&stop, || sender.write(&chunk), |_| {});
        })?);
        Ok(flow)
    }

    /// Ends the stream in order: what was sent arrives, if it does within a second.
    pub(crate) fn finish(mut self) {
        self.stop_sending.store(true, Relaxed);
        join(self.sender.take());
        let sent = Instant::now();
        let arriving = || {
            self.receiver
                .as_ref()
                .is_some_and(|receiver| !receiver.is_finished())
        };
        while arriving() && sent.elapsed() < ARRIVES_WITHIN {
            thread::sleep(ARRIVES_WITHIN / 100);
        }
    }

    /// What was moved so far.
    pub(crate) fn moved(&self) -> Moved {
        let octets = self.received.load(Relaxed);
        let time_us = micros(self.started.elapsed());
        let bits = u128::from(octets) * 8 * 1_000_000 / u128::from(time_us.max(1));
        Moved {
            octets,
            time_us,
            bits_per_second: u64::try_from(bits).unwrap_or(u64::MAX),
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stop_sending.store(true, Relaxed);
        self.stop_receiving.store(true, Relaxed);
        join(self.sender.take());
        join(self.receiver.take());
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // A thread that panicked moved what it had counted.
        let _ = thread.join();
    }
}

fn connect(source: IpAddr, destination: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    socket.connect_timeout(&SockAddr::from(destination), CONNECT_WITHIN)?;
    Ok(socket.into())
}

/// Accepts within [`CONNECT_WITHIN`]: the connection of a peer whose last ACK was lost may never come.
fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let began = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        let left = CONNECT_WITHIN.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let patience = Timespec::try_from(left).ok();
        // A signal that ends the wait early is as good as a connection.
        let _ = poll(
            &mut [PollFd::new(listener, PollFlags::IN)],
            patience.as_ref(),
        );
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Does `once` until it is to stop, the other end is gone, or the connection broke.
fn repeat(
    stop: &AtomicBool,
    mut once: impl FnMut() -> io::Result<usize>,
    mut done: impl FnMut(u64),
) {
    while !stop.load(Relaxed) {
        match once() {
            Ok(0) => return,
            Ok(octets) => done(octets as u64),
            Err(error) if is_passing(&error) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_never_comes_is_waited_for_in_vain_and_not_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        let error = accept(&listener).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= CONNECT_WITHIN);
    }
}
