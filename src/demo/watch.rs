//! What is seen of the sites from outside: the endpoints' events, carriers and routes as any listener of the kernel sees them, signals.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{SignalKind, signal};

use super::error::DemoError;
use super::sites::Sites;
use crate::control::report::micros;
use crate::control::{Client, Event, Request, Response};
use crate::io::address::Prefix;
use crate::io::monitor::{Change, Groups, Monitor};
use crate::io::netns;
use crate::sites::Side;

/// How long a wait goes on before it looks after the endpoints.
const LOOK_AFTER: Duration = Duration::from_millis(20);
const STOP_WITHIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

enum News {
    Interrupted(&'static str),
    Event(Side, Box<Event>),
    Change(Side, u64, Change),
    Broken(DemoError),
}

/// What was seen of a site since a moment; times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The event that the tunnel is up.
    pub(super) up: Option<Event>,
    /// The event that the peer is dead.
    pub(super) down: Option<Event>,
    /// The tunnel interface got its carrier.
    pub(super) carrier_on: Option<u64>,
    /// The tunnel interface lost its carrier.
    pub(super) carrier_off: Option<u64>,
    /// Routes to the other site came.
    pub(super) routes_added: BTreeMap<Prefix, u64>,
    /// Routes to the other site went.
    pub(super) routes_removed: BTreeMap<Prefix, u64>,
}

/// Listens to everything until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    news: Receiver<News>,
    sender: Sender<News>,
    stop: Arc<AtomicBool>,
    seen: BTreeMap<Side, Seen>,
}

impl Watch {
    /// Listens to the signals that ask a process to end: they do not end it, they are a [`DemoError::Interrupted`] of whoever waits.
    pub(super) fn start() -> Result<Self, DemoError> {
        let (sender, news) = channel();
        let (ready, caught) = channel();
        let to = sender.clone();
        spawn("demo-signals", move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let ended = runtime.and_then(|runtime| runtime.block_on(wait_for_signals(&to, &ready)));
            if let Err(error) = ended {
                let _ = ready.send(Err(error));
            }
        })?;
        match caught.recv() {
            Ok(result) => result.map_err(DemoError::of("signals"))?,
            Err(_) => return Err(DemoError::System("signals: their thread ended".to_owned())),
        }
        let seen = Side::BOTH.map(|side| (side, Seen::default()));
        Ok(Self {
            news,
            sender,
            stop: Arc::default(),
            seen: seen.into(),
        })
    }

    /// Listens to what the kernel says of both sites' interfaces and routes.
    pub(super) fn monitor(&self, sites: &Sites) -> Result<(), DemoError> {
        let mut monitors = Vec::new();
        for side in Side::BOTH {
            let open = || Monitor::open(Groups::ALL);
            let opened = netns::within(Some(sites.site(side).namespace()), open);
            monitors.push((side, opened.map_err(DemoError::of("netlink"))??));
        }
        let (to, stop) = (self.sender.clone(), self.stop.clone());
        spawn("demo-monitor", move || {
            if let Err(error) = listen(&mut monitors, &to, &stop) {
                let _ = to.send(News::Broken(error));
            }
        })
    }

    /// Listens to the events of the endpoint at `socket`.
    pub(super) fn subscribe(&self, side: Side, socket: &Path) -> Result<(), DemoError> {
        let mut client = Client::connect(socket)?;
        if client.ask(&Request::Events)? != Response::Done {
            let text = format!("{}: the endpoint gives no events", side.name());
            return Err(DemoError::System(text));
        }
        let to = self.sender.clone();
        spawn("demo-events", move || {
            // Whoever ends the endpoint knows; whoever else does is found by looking after the child.
            while let Ok(Response::Event(event)) = client.receive() {
                if to.send(News::Event(side, event)).is_err() {
                    return;
                }
            }
        })
    }

    /// What was seen of a site since the last [`Watch::forget`].
    pub(super) fn seen(&self, side: Side) -> Seen {
        self.seen.get(&side).cloned().unwrap_or_default()
    }

    /// Adds an event that came before anybody listened.
    pub(super) fn note(&mut self, side: Side, event: Event) {
        if let Some(seen) = self.seen.get_mut(&side) {
            seen.note_event(event);
        }
    }

    /// Forgets what was seen so far. Fails as [`Watch::wait`] does.
    pub(super) fn forget(&mut self) -> Result<(), DemoError> {
        while let Ok(news) = self.news.try_recv() {
            self.take(news)?;
        }
        for seen in self.seen.values_mut() {
            *seen = Seen::default();
        }
        Ok(())
    }

    /// Waits until `done` of what was seen of each site, at most for `limit`; says whether it came to that. Fails when the user
    /// interrupts or an endpoint ends.
    pub(super) fn wait(
        &mut self,
        sites: &mut Sites,
        limit: Duration,
        done: impl Fn(Side, &Seen) -> bool,
    ) -> Result<bool, DemoError> {
        let started = Instant::now();
        loop {
            while let Ok(news) = self.news.try_recv() {
                self.take(news)?;
            }
            if self.seen.iter().all(|(side, seen)| done(*side, seen)) {
                return Ok(true);
            }
            let left = limit.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            sites.check()?;
            match self.news.recv_timeout(left.min(LOOK_AFTER)) {
                Ok(news) => self.take(news)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn take(&mut self, news: News) -> Result<(), DemoError> {
        match news {
            News::Interrupted(signal) => return Err(DemoError::Interrupted(signal)),
            News::Broken(error) => return Err(error),
            News::Event(side, event) => self.note(side, *event),
            News::Change(side, at, change) => {
                if let Some(seen) = self.seen.get_mut(&side) {
                    seen.note_change(side, at, change);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

impl Seen {
    fn note_event(&mut self, event: Event) {
        match event.event.as_str() {
            "up" => self.up = self.up.take().or(Some(event)),
            "down" => self.down = self.down.take().or(Some(event)),
            _ => {}
        }
    }

    /// The first of each kind counts.
    fn note_change(&mut self, side: Side, at: u64, change: Change) {
        match change {
            Change::Link { name, carrier, .. } if name == side.tunnel() => {
                let first = if carrier {
                    &mut self.carrier_on
                } else {
                    &mut self.carrier_off
                };
                first.get_or_insert(at);
            }
            Change::Route { added, route }
                if side.other().networks().contains(&route.destination) =>
            {
                let first = if added {
                    &mut self.routes_added
                } else {
                    &mut self.routes_removed
                };
                first.entry(route.destination).or_insert(at);
            }
            Change::Link { .. }
            | Change::Route { .. }
            | Change::Address { .. }
            | Change::Overrun => {}
        }
    }
}

/// The time, in microseconds since 1970.
pub(super) fn unix_us() -> u64 {
    micros(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), DemoError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(DemoError::of("thread"))
}

fn listen(
    monitors: &mut [(Side, Monitor)],
    to: &Sender<News>,
    stop: &AtomicBool,
) -> Result<(), DemoError> {
    while !stop.load(Relaxed) {
        for (side, monitor) in monitors.iter_mut() {
            while let Some(change) = monitor.next_change()? {
                if change == Change::Overrun {
                    return Err(DemoError::System(
                        "the kernel's notifications overran".to_owned(),
                    ));
                }
                let _ = to.send(News::Change(*side, unix_us(), change));
            }
        }
        let fds: Vec<BorrowedFd<'_>> = monitors
            .iter()
            .map(|(_, monitor)| monitor.as_fd())
            .collect();
        let mut fds: Vec<PollFd<'_>> = fds
            .iter()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, Some(&STOP_WITHIN)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(DemoError::of("poll")(errno.into())),
        }
    }
    Ok(())
}

async fn wait_for_signals(to: &Sender<News>, ready: &Sender<io::Result<()>>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let _ = ready.send(Ok(()));
    loop {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        };
        if to.send(News::Interrupted(name)).is_err() {
            return Ok(());
        }
    }
}
