//! Whole IP packets put on the wire as they stand.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::common::Namespace;
use crate::load::within;

/// A raw socket of this protocol takes whole IP packets and receives none.
const IPPROTO_RAW: i32 = 255;

/// Sends whole IP packets from a namespace, whatever their source says.
#[derive(Debug)]
pub(crate) struct Injector {
    v4: Socket,
    v6: Socket,
}

impl Injector {
    pub(crate) fn new(site: &Namespace) -> Self {
        within(site, || {
            let open =
                |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).unwrap();
            Self {
                v4: open(Domain::IPV4),
                v6: open(Domain::IPV6),
            }
        })
    }

    /// Sends a packet to the destination that its header names.
    pub(crate) fn send(&self, packet: &[u8]) {
        let (socket, to) = match packet[0] >> 4 {
            4 => (
                &self.v4,
                IpAddr::from(*packet[16..].first_chunk::<4>().unwrap()),
            ),
            _ => (
                &self.v6,
                IpAddr::from(*packet[24..].first_chunk::<16>().unwrap()),
            ),
        };
        let to = SockAddr::from(SocketAddr::new(to, 0));
        assert_eq!(socket.send_to(packet, &to).unwrap(), packet.len());
    }
}

/// Packets sent over and over until this is dropped.
#[derive(Debug)]
pub(crate) struct Repeat {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Repeat {
    /// Sends all of `packets` from `site` every `interval`.
    pub(crate) fn start(site: &Namespace, packets: Vec<Vec<u8>>, interval: Duration) -> Self {
        let injector = Injector::new(site);
        let stop = Arc::<AtomicBool>::default();
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for packet in &packets {
                    injector.send(packet);
                }
                std::thread::sleep(interval);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Repeat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics by itself and is reported.
            let _ = thread.join();
        }
    }
}
