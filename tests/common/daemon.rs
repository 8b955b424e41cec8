//! `adit run` as a child process, with its configuration, status and events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Namespace, wait_for};

/// The binary under test.
pub(crate) const ADIT: &str = env!("CARGO_BIN_EXE_adit");

/// A daemon that ends with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts a daemon with this configuration in `namespace`, and waits until it listens.
    pub(crate) fn start(namespace: &Namespace, config: &str) -> Self {
        let mut daemon = Self::launch(namespace, config);
        daemon.wait_until_it_listens();
        daemon
    }

    /// The same with other files that `prepare` writes into the folder of the configuration.
    pub(crate) fn start_with(
        namespace: &Namespace,
        config: &str,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let mut daemon = Self::launch_with(namespace, config, prepare);
        daemon.wait_until_it_listens();
        daemon
    }

    /// The same without waiting until it listens.
    pub(crate) fn launch_with(
        namespace: &Namespace,
        config: &str,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        Self::launch_in(folder, namespace, config)
    }

    /// Starts a daemon without waiting for it.
    pub(crate) fn launch(namespace: &Namespace, config: &str) -> Self {
        Self::launch_in(tempfile::tempdir().unwrap(), namespace, config)
    }

    fn launch_in(folder: tempfile::TempDir, namespace: &Namespace, config: &str) -> Self {
        std::fs::write(folder.path().join("adit.toml"), config).unwrap();
        let child = spawn(namespace, folder.path());
        Self { child, folder }
    }

    /// Starts it again with the same files, and waits until it listens.
    pub(crate) fn restart(&mut self, namespace: &Namespace) {
        self.kill();
        self.child = spawn(namespace, self.folder.path());
        self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&mut self) {
        wait_for("the daemon listens", Duration::from_secs(10), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended: {status}\n{}", self.log());
            }
            UnixStream::connect(self.socket()).ok()
        });
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs a client command, such as `["up", "t"]`, against it.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(ADIT);
        command.args(arguments).arg("--socket").arg(self.socket());
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Starts a client command that goes on, such as `["debug", "t"]`, with its output in a pipe.
    pub(crate) fn client_that_goes_on(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(ADIT);
        command.args(arguments).arg("--socket").arg(self.socket());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The status of all tunnels, as `adit status --json` prints it.
    pub(crate) fn status(&self) -> Value {
        let output = self.client(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "status: {error}\n{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.log()
            )
        })
    }

    /// The status of one tunnel.
    pub(crate) fn tunnel(&self, name: &str) -> Value {
        let status = self.status();
        let tunnels = status["tunnels"].as_array().unwrap();
        let found = tunnels.iter().find(|tunnel| tunnel["name"] == name);
        found
            .unwrap_or_else(|| panic!("no tunnel {name} in {status}"))
            .clone()
    }

    /// A traffic counter of one tunnel.
    pub(crate) fn counter(&self, tunnel: &str, name: &str) -> u64 {
        self.tunnel(tunnel)["counters"][name].as_u64().unwrap()
    }

    /// How many packets of one tunnel were dropped for a reason.
    pub(crate) fn drops(&self, tunnel: &str, reason: &str) -> u64 {
        self.tunnel(tunnel)["drops"][reason].as_u64().unwrap_or(0)
    }

    /// Waits until a tunnel is in a state, and gives its status then.
    pub(crate) fn wait_state(&self, tunnel: &str, state: &str, patience: Duration) -> Value {
        wait_for(
            &format!("tunnel {tunnel} is {state}\n{}", self.log()),
            patience,
            || Some(self.tunnel(tunnel)).filter(|tunnel| tunnel["state"] == state),
        )
    }

    /// Events from here on.
    pub(crate) fn events(&self) -> Events {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(b"{\"command\":\"events\"}\n").unwrap();
        let mut events = Events {
            stream: BufReader::new(stream),
        };
        assert_eq!(
            events.line(Duration::from_secs(5)).as_deref(),
            Some("\"done\"\n")
        );
        events
    }

    /// Sends a signal by name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        super::namespace::run("kill", &[&format!("-{name}"), &self.pid().to_string()]);
    }

    /// Sends SIGTERM and gives how long it took to end, and how.
    pub(crate) fn terminate(&mut self) -> (Duration, std::process::ExitStatus) {
        let start = Instant::now();
        self.signal("TERM");
        let status = wait_for("the daemon ends", Duration::from_secs(10), || {
            self.child.try_wait().unwrap()
        });
        (start.elapsed(), status)
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        wait_for("the daemon ends", Duration::from_secs(10), || {
            self.child.try_wait().unwrap()
        })
    }

    /// Sends SIGKILL and waits.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(namespace: &Namespace, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = namespace.command(ADIT);
    command
        .args(["run", "--log", "debug", "-c"])
        .arg(folder.join("adit.toml"));
    command.arg("--socket").arg(folder.join("socket"));
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}", self.log());
        }
    }
}

/// A daemon's events as they come.
#[derive(Debug)]
pub(crate) struct Events {
    stream: BufReader<UnixStream>,
}

impl Events {
    /// The next event called `name` of `tunnel`; others are passed over.
    pub(crate) fn next(&mut self, tunnel: &str, name: &str, patience: Duration) -> Value {
        self.find(&format!("event {name:?} of {tunnel}"), patience, |event| {
            event["tunnel"] == tunnel && event["event"] == name
        })
    }

    /// The next event called `name`, of whichever tunnel; others are passed over.
    pub(crate) fn any(&mut self, name: &str, patience: Duration) -> Value {
        let what = format!("event {name:?}");
        self.find(&what, patience, |event| event["event"] == name)
    }

    fn find(&mut self, what: &str, patience: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            let Some(line) = self.line(left) else {
                panic!("no {what} within {patience:?}");
            };
            let event = serde_json::from_str::<Value>(&line).unwrap()["event"].clone();
            if is_it(&event) {
                return event;
            }
        }
    }

    fn line(&mut self, patience: Duration) -> Option<String> {
        let patience = patience.max(Duration::from_millis(1));
        self.stream
            .get_ref()
            .set_read_timeout(Some(patience))
            .unwrap();
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .ok()
            .filter(|&octets| octets > 0)
            .map(|_| line)
    }
}
