//! adit and charon at the ends of a link.

use std::fs;

use crate::PATIENCE;
use crate::adit_end::Adit;
use crate::charon::Charon;
use crate::common::{Namespace, Sites, wait_for};
use crate::link::{Auth, Link};

/// Which end begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    Adit,
    Charon,
}

impl Initiator {
    pub(crate) const BOTH: [Self; 2] = [Self::Adit, Self::Charon];

    /// adit's `start`.
    pub(crate) const fn start(self) -> &'static str {
        match self {
            Self::Adit => "auto",
            Self::Charon => "passive",
        }
    }
}

impl Link<'_> {
    /// Starts charon at an end. Its inner address answers there.
    pub(crate) fn start_charon(&self, namespace: &Namespace, end: usize) -> Charon {
        for address in [format!("10.77.{end}.1/32"), format!("fd00:77:{end}::1/128")] {
            namespace.ip(&format!("addr replace {address} dev lo nodad"));
        }
        let auth = self.auth;
        Charon::with_files(
            namespace,
            &self.swanctl_conf(end),
            self.charon[0],
            |swanctl| {
                if let Auth::Certificates(made) = auth {
                    for (folder, from, to) in [
                        ("x509ca", "ca.pem".to_owned(), "ca.pem"),
                        ("x509", format!("{end}.pem"), "own.pem"),
                        ("private", format!("{end}.key"), "own.key"),
                        ("x509ca", "far.pem".to_owned(), "far.pem"),
                    ] {
                        // The authority between it and the root, where there is one: charon sends those that it has itself.
                        if !made.join(&from).exists() {
                            continue;
                        }
                        fs::create_dir_all(swanctl.join(folder)).unwrap();
                        fs::copy(made.join(from), swanctl.join(folder).join(to)).unwrap();
                    }
                }
            },
        )
    }
}

/// adit in `a` and charon in `b`.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) adit: Adit,
    pub(crate) charon: Charon,
    pub(crate) sites: Sites,
}

impl Pair {
    /// Starts both, has `initiator` begin, and waits until the tunnel is up at both ends.
    pub(crate) fn start(link: &Link<'_>, initiator: Initiator) -> Self {
        let pair = Self::of(link, link, initiator);
        pair.begin(initiator);
        pair.wait_up();
        pair
    }

    /// Starts both, told different things; adit begins at once if it is to.
    pub(crate) fn of(near: &Link<'_>, far: &Link<'_>, initiator: Initiator) -> Self {
        Self::told(near, far, initiator.start())
    }

    /// Starts both with this value of adit's `start`.
    pub(crate) fn starting(link: &Link<'_>, start: &str) -> Self {
        Self::told(link, link, start)
    }

    fn told(near: &Link<'_>, far: &Link<'_>, start: &str) -> Self {
        let sites = Sites::new();
        let charon = far.start_charon(&sites.b, 2);
        Self {
            adit: near.start_adit(&sites.a, 1, start),
            charon,
            sites,
        }
    }

    /// Starts both; neither begins by itself.
    pub(crate) fn idle(link: &Link<'_>) -> Self {
        Self::of(link, link, Initiator::Charon)
    }

    /// Starts both, and has both begin in the same moment.
    pub(crate) fn crossing(link: &Link<'_>) -> Self {
        let pair = Self::starting(link, "auto");
        pair.wait_up();
        pair.adit.succeeds(&["down", "t"]);
        wait_for("charon has nothing left", PATIENCE, || {
            pair.charon.sas().is_empty().then_some(())
        });
        std::thread::scope(|scope| {
            scope.spawn(|| pair.attempt(Initiator::Charon));
            scope.spawn(|| pair.adit.succeeds(&["up", "t"]));
        });
        pair
    }

    /// Has one of them begin, whatever becomes of it.
    pub(crate) fn attempt(&self, initiator: Initiator) {
        match initiator {
            Initiator::Adit => self.adit.succeeds(&["clear", "t"]),
            Initiator::Charon => {
                self.charon
                    .swanctl(&["--initiate", "--child", "net", "--timeout", "1"]);
            }
        }
    }

    /// Has charon begin if it is to.
    pub(crate) fn begin(&self, initiator: Initiator) {
        if initiator == Initiator::Charon {
            let (installed, said) = self.charon.initiate();
            assert!(installed, "{said}\n{}", self.charon.log());
        }
    }

    pub(crate) fn wait_up(&self) {
        self.adit.wait_state("t", "up", PATIENCE);
        self.charon.wait_established();
    }

    /// adit dropped nothing but what the selectors exclude: the system sends that by itself from an interface with IPv6.
    pub(crate) fn assert_no_drops(&self) {
        let status = self.adit.tunnel("t");
        let drops = status["drops"].as_object().unwrap();
        assert!(drops.keys().all(|reason| reason == "selector"), "{status}");
    }

    /// Ten echo requests each way are answered.
    pub(crate) fn assert_carries(&self) {
        for (site, from, to) in [
            (&self.sites.a, "10.77.1.1", "10.77.2.1"),
            (&self.sites.b, "10.77.2.1", "10.77.1.1"),
        ] {
            assert!(
                site.pings(to, 10, &["-I", from]),
                "{to} does not answer\n{}\n{}",
                self.adit.status(),
                self.charon.log()
            );
        }
    }
}
