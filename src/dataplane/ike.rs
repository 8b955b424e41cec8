//! What a worker hands to the IKE lane: datagrams of the port that ESP and IKE share, and what it sees of associations that IKE made.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use adit_proto::wire::esp::Spi;
use rustix::event::{EventfdFlags, eventfd};

use super::TunnelId;
use crate::io::netns::NetnsId;

/// Messages that may wait for the IKE lane; more are dropped, and IKE sends them again.
const QUEUED_DATAGRAMS: usize = 1024;
/// Wishes of the worker itself that may wait: a few of each tunnel.
const QUEUED_WISHES: usize = 8192;

/// What a worker tells the IKE lane.
#[derive(Debug)]
pub enum FromWorker {
    /// An IKE message that came on the port of UDP encapsulation, without the non-ESP marker (RFC 3948 section 2.2).
    Datagram(IkeDatagram),
    /// The peer of this tunnel is to be probed.
    Probe(TunnelId),
    /// The pair with this inbound index has passed a soft limit.
    Aged(TunnelId, Spi),
    /// Nothing comes through the tunnel though its peer answers: its associations are to be made anew.
    Rebuild(TunnelId),
    /// There is user data for a tunnel that is down.
    Traffic(TunnelId),
    /// No user data passed the tunnel for as long as it may be unused.
    Unused(TunnelId),
    /// The data path follows the peer of this tunnel there.
    Moved(TunnelId, SocketAddr),
}

/// An IKE message as it came.
#[derive(Debug)]
pub struct IkeDatagram {
    /// Where the socket lives; none is the daemon's own namespace.
    pub netns: Option<NetnsId>,
    /// Our address, where the system told it.
    pub local: Option<IpAddr>,
    /// Our port.
    pub port: u16,
    /// The sender.
    pub remote: SocketAddr,
    /// From the IKE header on.
    pub octets: Box<[u8]>,
}

/// A worker's way to the IKE lane. Who floods the port with messages crowds out no wish of the worker, such as a probe.
#[derive(Clone, Debug)]
pub struct IkeSink {
    datagrams: SyncSender<FromWorker>,
    wishes: SyncSender<FromWorker>,
    wake: Arc<OwnedFd>,
}

/// The lane's end.
#[derive(Debug)]
pub struct IkeSource {
    datagrams: Receiver<FromWorker>,
    wishes: Receiver<FromWorker>,
    wake: Arc<OwnedFd>,
}

/// Both ends of a bounded queue, which gives wishes before datagrams.
///
/// # Errors
/// What the system says when it gives no eventfd.
pub fn ike_queue() -> io::Result<(IkeSink, IkeSource)> {
    let (datagrams, arrived) = sync_channel(QUEUED_DATAGRAMS);
    let (wishes, wished) = sync_channel(QUEUED_WISHES);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let sink = IkeSink {
        datagrams,
        wishes,
        wake: wake.clone(),
    };
    let source = IkeSource {
        datagrams: arrived,
        wishes: wished,
        wake,
    };
    Ok((sink, source))
}

impl IkeSink {
    /// Hands something over without waiting; false when the queue is full or the lane gone.
    pub fn give(&self, what: FromWorker) -> bool {
        let queue = match what {
            FromWorker::Datagram(_) => &self.datagrams,
            FromWorker::Probe(_)
            | FromWorker::Aged(..)
            | FromWorker::Rebuild(_)
            | FromWorker::Traffic(_)
            | FromWorker::Unused(_)
            | FromWorker::Moved(..) => &self.wishes,
        };
        let taken = queue.try_send(what).is_ok();
        if taken {
            // A full counter wakes the lane as well as one more.
            let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        }
        taken
    }
}

impl IkeSource {
    /// The descriptor to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes the wake-up; to be called before [`Self::take`] until that has nothing more.
    pub fn acknowledge(&self) {
        let mut count = [0; 8];
        // Nothing to read means that it was taken before: the queue tells what is there.
        let _ = rustix::io::read(&*self.wake, &mut count);
    }

    /// What waits: wishes, then datagrams, each in their order.
    pub fn take(&self) -> Option<FromWorker> {
        let wish = self.wishes.try_recv();
        wish.or_else(|_| self.datagrams.try_recv()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn datagram() -> FromWorker {
        FromWorker::Datagram(IkeDatagram {
            netns: None,
            local: None,
            port: 4500,
            remote: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 4500),
            octets: Box::new([]),
        })
    }

    #[test]
    fn a_flood_of_messages_crowds_out_no_probe() {
        let (sink, source) = ike_queue().unwrap();
        let taken = (0..QUEUED_DATAGRAMS + 1).filter(|_| sink.give(datagram()));
        assert_eq!(taken.count(), QUEUED_DATAGRAMS);
        assert!(sink.give(FromWorker::Probe(TunnelId(7))));
        assert!(matches!(
            source.take(),
            Some(FromWorker::Probe(TunnelId(7)))
        ));
        assert!(matches!(source.take(), Some(FromWorker::Datagram(_))));
    }
}
