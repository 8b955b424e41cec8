//! adit at one end of a link.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use crate::common::{Daemon, Namespace};
use crate::link::Link;

/// How long an attempt may take that is to fail.
const PATIENCE: Duration = Duration::from_secs(20);

impl Link<'_> {
    /// Starts adit at an end. It listens when this returns.
    pub(crate) fn start_adit(&self, namespace: &Namespace, end: usize, start: &str) -> Adit {
        self.start_adit_as(namespace, end, start, |config| config)
    }

    /// The same with a configuration that is changed before.
    pub(crate) fn start_adit_as(
        &self,
        namespace: &Namespace,
        end: usize,
        start: &str,
        change: impl FnOnce(String) -> String,
    ) -> Adit {
        let files = tempfile::tempdir().unwrap();
        let config = change(self.adit_toml(end, start, files.path()));
        let daemon = Daemon::start(namespace, &config);
        // It answers once its tunnels are there: a peer that begins earlier waits for its own retransmission.
        daemon.status();
        Adit {
            daemon,
            _files: files,
        }
    }
}

/// A daemon and the files that its configuration names.
#[derive(Debug)]
pub(crate) struct Adit {
    daemon: Daemon,
    _files: tempfile::TempDir,
}

impl Adit {
    /// Starts it again with the same files.
    pub(crate) fn restart(&mut self, namespace: &Namespace) {
        self.daemon.restart(namespace);
        self.daemon.status();
    }

    /// Waits until the last error of IKE has all these words, and gives it.
    pub(crate) fn wait_last_error(&self, words: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let tunnel = self.tunnel("t");
            let error = tunnel["ike"]["last_error"].as_str().unwrap_or_default();
            let lower = error.to_lowercase();
            if words
                .iter()
                .all(|word| lower.contains(&word.to_lowercase()))
            {
                return error.to_owned();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "no error with {words:?}: {tunnel}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a client command that has to succeed.
    pub(crate) fn succeeds(&self, arguments: &[&str]) {
        let output = self.client(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "adit {arguments:?}: {errors}\n{}",
            self.log()
        );
    }

    /// The SPIs of the child SAs that it has, of what comes in.
    pub(crate) fn spis(&self) -> Vec<u64> {
        let tunnel = self.tunnel("t");
        let children = tunnel["ike"]["children"].as_array();
        let spis = children.into_iter().flatten().map(|child| &child["spi_in"]);
        spis.map(|spi| spi.as_u64().unwrap()).collect()
    }
}

impl Deref for Adit {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for Adit {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
