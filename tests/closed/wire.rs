//! Whole IP packets put on the wire over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::{Injector, Namespace};

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
