//! Network namespaces with unique names, and the two sites that most tests need.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// First part of the name of every namespace that tests make; the process number and a counter follow.
const PREFIX: &str = "adit-t";

static COUNTER: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// A network namespace that goes with this value, and every process in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// As `ip netns` knows it.
    pub(crate) name: String,
}

impl Namespace {
    /// A fresh one with its loopback up.
    pub(crate) fn new() -> Self {
        SWEEP.call_once(sweep);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        // Addresses are usable at once: nobody else is on these links.
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0");
        namespace
    }

    /// Runs `ip` with `words` in the namespace.
    pub(crate) fn ip(&self, words: &str) -> String {
        let mut all = vec!["-n", &self.name];
        all.extend(words.split_whitespace());
        run("ip", &all)
    }

    /// Runs a command in the namespace and gives what it printed; fails if it failed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{text}{errors}",
            output.status
        );
        text
    }

    /// Runs a command in the namespace, whatever becomes of it.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program)
            .args(arguments)
            .output()
            .expect(program)
    }

    /// Starts a command in the namespace; the caller ends it, or the end of the namespace does.
    pub(crate) fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        let mut command = self.command(program);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().expect(program)
    }

    /// A command that will run in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .stdin(Stdio::null());
        command
    }

    /// Sets a sysctl of the namespace.
    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        self.run("sysctl", &["-qw", &format!("{key}={value}")]);
    }

    /// Whether all of `count` echo requests to `address`, sent at once, are answered within two seconds.
    pub(crate) fn pings(&self, address: &str, count: u32, more: &[&str]) -> bool {
        let count = count.to_string();
        // After the last request ping waits for `-W` only if nothing was answered at all, else for the interval or two round trips.
        let mut arguments = vec!["-q", "-c", &count, "-l", &count, "-i", "2", "-W", "2"];
        arguments.extend(more);
        arguments.push(address);
        let output = self.output("ping", &arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        output.status.success() && text.contains(" 0% packet loss")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Two namespaces joined by a veth, `wire` in each: 192.0.2.1 and 2001:db8::1 in `a`, 192.0.2.2 and 2001:db8::2 in `b`.
#[derive(Debug)]
pub(crate) struct Sites {
    /// The near site.
    pub(crate) a: Namespace,
    /// The far site.
    pub(crate) b: Namespace,
}

impl Sites {
    /// Makes them.
    pub(crate) fn new() -> Self {
        let sites = Self {
            a: Namespace::new(),
            b: Namespace::new(),
        };
        let (a, b) = (&sites.a, &sites.b);
        run(
            "ip",
            &[
                "link", "add", "wire", "netns", &a.name, "type", "veth", "peer", "name", "wire",
                "netns", &b.name,
            ],
        );
        for (site, number) in [(a, 1), (b, 2)] {
            site.ip("link set wire up");
            site.ip(&format!("addr add 192.0.2.{number}/24 dev wire"));
            site.ip(&format!("addr add 2001:db8::{number}/64 dev wire nodad"));
        }
        sites
    }

    /// From here on nothing from `a` reaches `b` (`towards_b`) or nothing from `b` reaches `a`; no link goes down to say so.
    pub(crate) fn black_hole(&self, towards_b: bool) {
        let receiver = if towards_b { &self.b } else { &self.a };
        super::impair(receiver, "drop");
    }

    /// Ends what [`Sites::black_hole`] began, both ways.
    pub(crate) fn mend(&self) {
        for site in [&self.a, &self.b] {
            site.output("nft", &["delete", "table", "netdev", "hole"]);
        }
    }
}

/// Runs a command and gives what it printed; fails if it failed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect(program);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{errors}",
        output.status
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn remove(name: &str) {
    // Whatever is still to be removed is named by the next run's sweep; a failing test must show its own failure.
    if let Ok(pids) = Command::new("ip").args(["netns", "pids", name]).output() {
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", pid]).output();
        }
    }
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

/// Removes the namespaces of test processes that are no more.
fn sweep() {
    let listed = run("ip", &["netns", "list"]);
    for name in listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
    {
        let mut parts = name
            .strip_prefix(PREFIX)
            .unwrap_or_default()
            .split('-')
            .skip(1);
        if let Some(pid) = parts.next()
            && !Path::new("/proc").join(pid).exists()
        {
            remove(name);
        }
    }
}
