//! The signals that ask a bench to end: they do not end it, whoever measures looks whether one came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::error::BenchError;

const NAMES: [&str; 3] = ["SIGHUP", "SIGINT", "SIGTERM"];
const LOOK_AFTER: Duration = Duration::from_millis(20);

/// Whether a signal came.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    /// 0, or the position of the signal's name counted from 1.
    came: Arc<AtomicU8>,
}

impl Interrupt {
    /// Listens from here on.
    pub(super) fn listen() -> Result<Self, BenchError> {
        let interrupt = Self::default();
        let came = interrupt.came.clone();
        let (ready, listening) = channel();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let listened = runtime.and_then(|runtime| {
                    runtime.block_on(listen(&came, || {
                        // Nobody waits any more if the bench is ending.
                        let _ = ready.send(Ok(()));
                    }))
                });
                if let Err(error) = listened {
                    let _ = ready.send(Err(error));
                }
            })?;
        match listening.recv() {
            Ok(result) => result.map_err(BenchError::of("signals"))?,
            Err(error) => return Err(BenchError::of("signals")(error)),
        }
        Ok(interrupt)
    }

    /// Fails when a signal came.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        let came = usize::from(self.came.load(Relaxed));
        match came.checked_sub(1).and_then(|index| NAMES.get(index)) {
            Some(name) => Err(BenchError::Interrupted(name)),
            None => Ok(()),
        }
    }

    /// Whether one came.
    pub(super) fn came(&self) -> bool {
        self.came.load(Relaxed) != 0
    }

    /// Sleeps, and fails when a signal comes.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), BenchError> {
        let started = Instant::now();
        loop {
            self.check()?;
            let left = time.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK_AFTER));
        }
    }
}

async fn listen(came: &AtomicU8, ready: impl FnOnce()) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    ready();
    loop {
        let which = tokio::select! {
            _ = hangup.recv() => 1,
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 3,
        };
        came.store(which, Relaxed);
    }
}
