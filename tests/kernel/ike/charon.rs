//! A charon inside the guest, with the guest's kernel for its ESP.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::conf;
use crate::link::Link;
use crate::peer::{PATIENCE, Peer};
use crate::vici;

/// The guest's own: a socket cannot lie in a folder of the host.
const VICI: &str = "/run/charon.vici";
/// What the tests need in the host, whose files the guest sees.
const NEEDED: [&str; 3] = [
    "/usr/sbin/charon-systemd",
    "/usr/sbin/swanctl",
    "/usr/lib/ipsec/plugins/libstrongswan-openssl.so",
];

/// Has a guest that was just booted load what its ESP consists of, which takes seconds on a busy machine: charon and its packets would wait.
const WARM_UP: &str = "/run/modprobe -a xfrm_user esp4 esp6 gcm ghash_generic ctr seqiv echainiv authenc authencesn cbc sha512_generic drbg
     key=0x$(printf '%040d' 1)
     ip xfrm state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x1001 mode tunnel aead 'rfc4106(gcm(aes))' $key 128
     ip xfrm state flush";

/// A charon that ends with this value, and the state of the kernel that it made.
#[derive(Debug)]
pub(crate) struct Charon<'a> {
    peer: &'a Peer,
    folder: tempfile::TempDir,
}

impl<'a> Charon<'a> {
    /// Starts one at end 2 of a link; with an inner address there.
    pub(crate) fn start(peer: &'a Peer, link: &Link<'_>) -> Self {
        let missing: Vec<_> = NEEDED
            .into_iter()
            .filter(|file| !PathBuf::from(file).exists())
            .collect();
        assert!(
            missing.is_empty(),
            "strongSwan is not complete (./ci.sh packages installs it): no {missing:?}"
        );
        let folder = tempfile::tempdir_in(peer.guest.shared("")).unwrap();
        let charon = Self { peer, folder };
        let place = charon.place();
        let text = conf::strongswan_conf(&place, VICI, "kernel-netlink", link.charon[0]);
        fs::write(charon.folder.path().join("strongswan.conf"), text).unwrap();
        let swanctl = charon.folder.path().join("swanctl");
        fs::create_dir(&swanctl).unwrap();
        fs::write(swanctl.join("swanctl.conf"), link.swanctl_conf(2)).unwrap();
        peer.exec(WARM_UP);
        charon.begin();
        charon
    }

    /// The folder as the guest sees it.
    fn place(&self) -> String {
        let name = self.folder.path().file_name().unwrap();
        format!("/mnt/{}", name.to_str().unwrap())
    }

    /// Starts the process, which has ended or was killed, again.
    pub(crate) fn begin(&self) {
        let place = self.place();
        self.peer.exec(&format!(
            "rm -f {VICI}
             ip addr replace 10.77.2.1/32 dev lo; ip addr replace fd00:77:2::1/128 dev lo nodad
             STRONGSWAN_CONF={place}/strongswan.conf setsid charon-systemd >{place}/output 2>&1 </dev/null &
             echo $! >{place}/pid
             for try in $(seq 200); do [ ! -e {VICI} ] || break; sleep 0.05; done
             [ -e {VICI} ] || {{ cat {place}/output; exit 1; }}"
        ));
        self.swanctl("--load-all");
    }

    /// Runs swanctl and gives what it printed; fails if it failed.
    pub(crate) fn swanctl(&self, arguments: &str) -> String {
        self.peer.exec(&self.command(arguments))
    }

    fn command(&self, arguments: &str) -> String {
        let place = self.place();
        format!(
            "STRONGSWAN_CONF={place}/strongswan.conf SWANCTL_DIR={place}/swanctl swanctl {arguments} --uri unix://{VICI}"
        )
    }

    /// Initiates the child: whether it was installed, and what was said meanwhile.
    pub(crate) fn initiate(&self) -> (bool, String) {
        let command = self.command("--initiate --child net --timeout 10");
        self.peer.guest.attempt(&command)
    }

    /// Its only IKE SA, once it is established and has one child in use.
    pub(crate) fn wait_established(&self) -> Value {
        let start = Instant::now();
        loop {
            // An IKE SA that is at work is left out: asked to wait for it, charon was seen not to answer at all.
            let command = self.command("--list-sas --noblock --pretty");
            let (answered, text) = self.peer.guest.attempt(&format!("timeout 5 env {command}"));
            let mut all = vici::sections(&text, "list-sa event");
            if answered
                && let Some(sa) = all.pop()
                && all.is_empty()
                && sa["state"] == "ESTABLISHED"
                && installed(&sa).len() == 1
            {
                return sa;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "charon has not one IKE SA and one child: {text}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("charon.log")).unwrap_or_default()
    }

    /// Ends it by signal, such as `KILL`, and waits for that.
    pub(crate) fn end(&self, signal: &str) {
        let place = self.place();
        self.peer.exec(&format!(
            "pid=$(cat {place}/pid); kill -{signal} $pid 2>/dev/null || exit 0
             for try in $(seq 100); do kill -0 $pid 2>/dev/null || exit 0; sleep 0.05; done
             kill -KILL $pid"
        ));
    }
}

impl Drop for Charon<'_> {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("--- log of charon in the guest\n{}", self.log());
        }
        let place = self.place();
        let (ended, said) = self.peer.guest.attempt(&format!(
            "kill -KILL $(cat {place}/pid) 2>/dev/null || true
             ip xfrm state flush; ip xfrm policy flush; ip route flush table 220 || true
             ip rule del table 220 || true; ip -6 rule del table 220 || true
             ip addr del 10.77.2.1/32 dev lo; ip addr del fd00:77:2::1/128 dev lo"
        ));
        assert!(ended || failed, "{said}");
    }
}

/// The children of an IKE SA that are in use; others may be there to receive what is under way.
pub(crate) fn installed(sa: &Value) -> Vec<Value> {
    let children = sa["child-sas"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    children
        .filter(|child| child["state"] == "INSTALLED")
        .cloned()
        .collect()
}
