//! A charon in a network namespace, with its own folder, socket and log.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Namespace, wait_for};
use crate::conf;
use crate::vici;

/// How long charon may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// kernel-libipsec in the place of the kernel, which does the rest.
const KERNELS: &str = "kernel-libipsec kernel-netlink";

/// What the tests call, and the Debian package that brings it.
const NEEDED: [(&str, &str); 9] = [
    ("/usr/sbin/charon-systemd", "charon-systemd"),
    ("/usr/sbin/swanctl", "strongswan-swanctl"),
    (
        "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so",
        "libcharon-extra-plugins",
    ),
    (
        "/usr/lib/ipsec/plugins/libstrongswan-chapoly.so",
        "libstrongswan-extra-plugins",
    ),
    (
        "/usr/lib/ipsec/plugins/libstrongswan-openssl.so",
        "libstrongswan-standard-plugins",
    ),
    (
        "/usr/lib/ipsec/plugins/libstrongswan-xauth-generic.so",
        "libcharon-extauth-plugins",
    ),
    ("/usr/bin/pki", "strongswan-pki"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/conntrack", "conntrack"),
];

/// A charon that ends with this value.
#[derive(Debug)]
pub(crate) struct Charon {
    child: Child,
    folder: tempfile::TempDir,
}

impl Charon {
    /// Starts one with this swanctl.conf and these lines of strongswan.conf, and loads its connections.
    pub(crate) fn start(namespace: &Namespace, swanctl: &str, options: &str) -> Self {
        Self::with_files(namespace, swanctl, options, |_| {})
    }

    /// The same with more files in its swanctl folder, which `prepare` gets.
    pub(crate) fn with_files(
        namespace: &Namespace,
        swanctl: &str,
        options: &str,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        assert_installed();
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let [place, vici] = [at.to_owned(), at.join("vici")].map(|path| path.display().to_string());
        let text = conf::strongswan_conf(&place, &vici, KERNELS, options);
        fs::write(at.join("strongswan.conf"), text).unwrap();
        fs::create_dir(at.join("swanctl")).unwrap();
        fs::write(at.join("swanctl/swanctl.conf"), swanctl).unwrap();
        prepare(&at.join("swanctl"));
        let child = spawn(namespace, at);
        let mut charon = Self { child, folder };
        charon.load();
        charon
    }

    /// Starts it again with the same files; the log goes on.
    pub(crate) fn restart(&mut self, namespace: &Namespace) {
        self.kill();
        // What is left of a killed one would be connected to.
        let _ = fs::remove_file(self.vici());
        self.child = spawn(namespace, self.folder.path());
        self.load();
    }

    /// Changes its swanctl.conf, which it reads when it starts again.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let file = self.folder.path().join("swanctl/swanctl.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, change(text)).unwrap();
    }

    fn load(&mut self) {
        wait_for("charon listens", PATIENCE, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("charon ended: {status}\n{}", self.log());
            }
            // It is bound a moment before anybody is listened to.
            UnixStream::connect(self.vici()).ok()
        });
        self.swanctl_succeeds(&["--load-all"]);
    }

    fn vici(&self) -> PathBuf {
        self.folder.path().join("vici")
    }

    /// Runs swanctl, whatever becomes of it.
    pub(crate) fn swanctl(&self, arguments: &[&str]) -> Output {
        let folder = self.folder.path();
        let mut command = Command::new("/usr/sbin/swanctl");
        command
            .args(arguments)
            .args(["--uri", &format!("unix://{}", self.vici().display())])
            .env("STRONGSWAN_CONF", folder.join("strongswan.conf"))
            .env("SWANCTL_DIR", folder.join("swanctl"))
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs swanctl and gives what it printed; fails if it failed.
    pub(crate) fn swanctl_succeeds(&self, arguments: &[&str]) -> String {
        let output = self.swanctl(arguments);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(
            output.status.success(),
            "swanctl {arguments:?}: {}\n{text}",
            output.status
        );
        text
    }

    /// Initiates the child `net`: whether it was installed, and what was said meanwhile.
    pub(crate) fn initiate(&self) -> (bool, String) {
        let output = self.swanctl(&["--initiate", "--child", "net", "--timeout", "15"]);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    }

    /// The IKE SAs that it has, each under its own `uniqueid`, with `child-sas`.
    pub(crate) fn sas(&self) -> Vec<Value> {
        vici::sections(
            &self.swanctl_succeeds(&["--list-sas", "--pretty"]),
            "list-sa event",
        )
    }

    /// Its child SAs that are in use; others may be there to receive what is under way.
    pub(crate) fn children(&self) -> Vec<Value> {
        self.sas().iter().flat_map(installed).collect()
    }

    /// Its only IKE SA, once it is established and has one child in use.
    pub(crate) fn wait_established(&self) -> Value {
        let what = "charon has one IKE SA and one child";
        let start = Instant::now();
        loop {
            let mut all = self.sas();
            if let Some(sa) = all.pop()
                && all.is_empty()
                && sa["state"] == "ESTABLISHED"
                && installed(&sa).len() == 1
            {
                return sa;
            }
            assert!(start.elapsed() < PATIENCE, "not: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("charon.log")).unwrap_or_default()
    }

    /// How often a phrase stands in its log.
    pub(crate) fn logged(&self, phrase: &str) -> usize {
        self.log().matches(phrase).count()
    }

    /// Waits until a phrase stands in its log.
    pub(crate) fn wait_logged(&self, phrase: &str, patience: Duration) {
        let start = Instant::now();
        while self.logged(phrase) == 0 {
            assert!(
                start.elapsed() < patience,
                "not within {patience:?}: charon says {phrase:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as the machine's failure would: nobody hears of it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it in order: it deletes its SAs.
    pub(crate) fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        wait_for("charon ends", PATIENCE, || self.child.try_wait().unwrap());
    }
}

impl Drop for Charon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of charon\n{}", self.log());
        }
    }
}

fn installed(sa: &Value) -> Vec<Value> {
    let children = sa["child-sas"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    children
        .filter(|child| child["state"] == "INSTALLED")
        .cloned()
        .collect()
}

fn spawn(namespace: &Namespace, folder: &Path) -> Child {
    let output = fs::File::create(folder.join("output")).unwrap();
    let mut command = namespace.command("/usr/sbin/charon-systemd");
    command
        .env("STRONGSWAN_CONF", folder.join("strongswan.conf"))
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    command.spawn().unwrap()
}

fn assert_installed() {
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|&(file, package)| format!("no {file}: install {package}"))
        .collect();
    assert!(
        missing.is_empty(),
        "strongSwan is not complete (./ci.sh packages installs it): {missing:?}"
    );
}
