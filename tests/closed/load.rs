//! Marked traffic between the insides of two sites, all the time and both ways.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::common::{Namespace, wait_for, within, within_named};
use crate::site::{PATIENCE, Pair};

/// In every packet of the load.
pub(crate) const MARK: &[u8; 16] = b"adit test secret";

const UDP_PORT: u16 = 7777;
const TCP_PORT: u16 = 7778;
const PAYLOAD_OCTETS: usize = 600;
const PACE: Duration = Duration::from_millis(2);
const POLL: Duration = Duration::from_millis(50);

/// Flows each way: to the networks behind the tunnel and to its own addresses, by IPv4 and by IPv6.
const FLOWS: usize = 4;

/// Traffic until this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// Packets that came by flow, at `a` and at `b`; octets by TCP at `b`.
    delivered: [Arc<[AtomicU64; FLOWS]>; 2],
    streamed: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Both ways, with a TCP stream from `a` to `b`.
    pub(crate) fn start(pair: &Pair) -> Self {
        let mut load = Self::idle(pair);
        load.send(&pair.a, 1);
        load.send(&pair.b, 2);
        let sent = within(&pair.b, || TcpListener::bind(("::", TCP_PORT))).unwrap();
        load.run(|stop, load| {
            let streamed = load.streamed.clone();
            move || sink(&sent, &streamed, &stop)
        });
        let site = pair.a.name.clone();
        load.run(|stop, _| move || stream(&site, &stop));
        load
    }

    /// From `b` to `a` alone.
    pub(crate) fn towards_a(pair: &Pair) -> Self {
        let mut load = Self::idle(pair);
        load.send(&pair.b, 2);
        load
    }

    fn idle(pair: &Pair) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            delivered: [Arc::default(), Arc::default()],
            streamed: Arc::default(),
            threads: Vec::new(),
        };
        for (site, index) in [(&pair.a, 0), (&pair.b, 1)] {
            let socket = within(site, || UdpSocket::bind(("::", UDP_PORT))).unwrap();
            let delivered = load.delivered[index].clone();
            load.run(|stop, _| move || count(&socket, &delivered, &stop));
        }
        load
    }

    fn send(&mut self, site: &Namespace, number: u8) {
        let peer = 3 - number;
        let flows: [(String, String); FLOWS] = [
            (format!("10.77.{number}.7"), format!("10.77.{peer}.7")),
            (format!("fd00:77:{number}::7"), format!("fd00:77:{peer}::7")),
            ("0.0.0.0".to_owned(), format!("10.9.0.{peer}")),
            ("::".to_owned(), format!("fd00:9::{peer}")),
        ];
        let flows = flows.map(|(from, to)| {
            let bind = || UdpSocket::bind(SocketAddr::new(from.parse().unwrap(), 0));
            let socket = within(site, bind).unwrap();
            socket.set_nonblocking(true).unwrap();
            (socket, SocketAddr::new(to.parse().unwrap(), UDP_PORT))
        });
        self.run(|stop, _| move || send(&flows, &stop));
    }

    fn run<F: FnOnce() + Send + 'static>(&mut self, f: impl FnOnce(Arc<AtomicBool>, &Self) -> F) {
        let work = f(self.stop.clone(), self);
        self.threads.push(std::thread::spawn(work));
    }

    /// Packets that came at a site so far, by flow: 1 is `a`, 2 is `b`.
    pub(crate) fn delivered(&self, number: u8) -> [u64; FLOWS] {
        let counts = &self.delivered[usize::from(number) - 1];
        std::array::from_fn(|flow| counts[flow].load(Ordering::Relaxed))
    }

    /// Waits until more of each flow has come at a site.
    pub(crate) fn await_delivery(&self, number: u8) {
        let before = self.delivered(number);
        wait_for(&format!("traffic to {number} again"), PATIENCE, || {
            let after = self.delivered(number);
            let all = before.iter().zip(after).all(|(&it, after)| after > it + 5);
            all.then_some(())
        });
    }

    /// Waits until packets to the network behind the tunnel's far end come by the wire.
    pub(crate) fn await_delivery_in_clear(&self, number: u8) {
        let before = self.delivered(number)[0];
        wait_for("traffic in clear", PATIENCE, || {
            (self.delivered(number)[0] > before + 10).then_some(())
        });
    }

    /// Waits until more of the TCP stream has come.
    pub(crate) fn await_stream(&self) {
        let before = self.streamed.load(Ordering::Relaxed);
        wait_for("the stream goes on", PATIENCE, || {
            (self.streamed.load(Ordering::Relaxed) > before).then_some(())
        });
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It panics by itself and is reported.
            let _ = thread.join();
        }
    }
}

fn payload() -> Vec<u8> {
    MARK.iter().copied().cycle().take(PAYLOAD_OCTETS).collect()
}

fn send(flows: &[(UdpSocket, SocketAddr); FLOWS], stop: &AtomicBool) {
    let mut payload = payload();
    while !stop.load(Ordering::Relaxed) {
        for (flow, (socket, to)) in flows.iter().enumerate() {
            payload[PAYLOAD_OCTETS - 1] = u8::try_from(flow).unwrap();
            // Where a guard or nothing stands the kernel refuses; that is what the load is for.
            let _ = socket.send_to(&payload, to);
        }
        std::thread::sleep(PACE);
    }
}

fn count(socket: &UdpSocket, delivered: &[AtomicU64; FLOWS], stop: &AtomicBool) {
    socket.set_read_timeout(Some(POLL)).unwrap();
    let mut packet = [0; PAYLOAD_OCTETS];
    while !stop.load(Ordering::Relaxed) {
        if socket.recv(&mut packet).is_ok() {
            assert_eq!(&packet[..MARK.len()], MARK);
            let flow = usize::from(packet[PAYLOAD_OCTETS - 1]);
            delivered[flow].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Sends a slow stream, over a new connection where one broke.
fn stream(site: &str, stop: &AtomicBool) {
    let from: SocketAddr = "10.77.1.7:0".parse().unwrap();
    let to = SocketAddr::new("10.77.2.7".parse().unwrap(), TCP_PORT);
    let chunk = payload().repeat(4);
    while !stop.load(Ordering::Relaxed) {
        let open = || Socket::new(Domain::IPV4, Type::STREAM, None);
        let socket = within_named(site, open).unwrap();
        socket.bind(&from.into()).unwrap();
        if socket.connect_timeout(&to.into(), POLL * 4).is_err() {
            std::thread::sleep(PACE);
            continue;
        }
        let mut stream = TcpStream::from(socket);
        stream.set_write_timeout(Some(POLL)).unwrap();
        while !stop.load(Ordering::Relaxed) {
            match stream.write(&chunk) {
                Ok(_) => std::thread::sleep(PACE),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
}

fn sink(listener: &TcpListener, streamed: &AtomicU64, stop: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    let mut streams = Vec::new();
    let mut octets = [0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            streams.push(stream);
        }
        for stream in &mut streams {
            while let Ok(read @ 1..) = stream.read(&mut octets) {
                streamed.fetch_add(u64::try_from(read).unwrap(), Ordering::Relaxed);
            }
        }
        std::thread::sleep(PACE);
    }
}
