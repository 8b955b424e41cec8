//! A NAT on the way: either end behind it, either beginning where it can, and a NAT that forgets.

use serde_json::Value;

use crate::PATIENCE;
use crate::adit_end::Adit;
use crate::charon::Charon;
use crate::common::{Namespace, wait_for};
use crate::link::Link;
use crate::pair::Initiator;
use crate::routed::{INSIDE, OUTSIDE, ROUTER, Routed};

/// Ports that the NAT gives, before and after it forgets.
const FIRST_PORTS: &str = "20000-20099";
const LATER_PORTS: &str = "30000-30099";

/// An end behind the NAT begins; the other one cannot.
pub(crate) struct Translated {
    pub(crate) adit: Adit,
    pub(crate) charon: Charon,
    pub(crate) routed: Routed,
    inner: Initiator,
}

impl Translated {
    pub(crate) fn start(link: &Link<'_>, inner: Initiator) -> Self {
        let routed = Routed::behind_a_nat(FIRST_PORTS);
        let inside = Link {
            outer: [INSIDE, OUTSIDE],
            ..*link
        };
        let outside = Link {
            outer: [ROUTER, OUTSIDE],
            ..*link
        };
        let (adit, charon) = match inner {
            Initiator::Adit => {
                let charon = outside.start_charon(&routed.b, 2);
                (inside.start_adit(&routed.a, 1, "auto"), charon)
            }
            Initiator::Charon => {
                // In version 1 the address tells whose secret it is.
                let peer = if link.version == 1 { ROUTER } else { "any" };
                let anyone = Link {
                    outer: [peer, OUTSIDE],
                    ..outside
                };
                let adit = anyone.start_adit(&routed.b, 2, "passive");
                let charon = inside.start_charon(&routed.a, 1);
                let (installed, said) = charon.initiate();
                assert!(installed, "{said}\n{}", adit.log());
                (adit, charon)
            }
        };
        let translated = Self {
            adit,
            charon,
            routed,
            inner,
        };
        translated.adit.wait_state("t", "up", PATIENCE);
        translated.charon.wait_established();
        translated
    }

    /// Whether the end behind the NAT gets answers.
    pub(crate) fn carries(&self) -> bool {
        self.routed.a.pings("10.77.2.1", 5, &["-I", "10.77.1.1"])
    }

    /// Where the end outside sees the other.
    pub(crate) fn port_seen(&self) -> u64 {
        match self.inner {
            Initiator::Adit => {
                let sas = self.charon.sas();
                let newest = sas.iter().filter(|sa| sa["state"] == "ESTABLISHED");
                let sa = newest.max_by_key(|sa| sa["uniqueid"].as_str()).unwrap();
                sa["remote-port"].as_str().unwrap().parse().unwrap()
            }
            Initiator::Charon => port(&self.adit.tunnel("t")["ike"]["remote"]),
        }
    }
}

fn port(address: &Value) -> u64 {
    let text = address.as_str().unwrap();
    text.rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn either_end_works_from_behind_a_nat() {
    for inner in Initiator::BOTH {
        let translated = Translated::start(&Link::new(), inner);
        assert!(translated.carries(), "{inner:?}");
        assert!(
            (20000..20100).contains(&translated.port_seen()),
            "{inner:?}"
        );
        assert!(outside_reaches_inside(&translated.routed.b), "{inner:?}");
    }
}

pub(crate) fn outside_reaches_inside(outside: &Namespace) -> bool {
    outside.pings("10.77.1.1", 5, &["-I", "10.77.2.1"])
}

#[test]
fn a_nat_that_forgets_and_gives_other_ports_is_survived_without_a_new_ike_sa() {
    for inner in Initiator::BOTH {
        let link = Link::new()
            .adit(
                "dpd = { mode = \"periodic\", interval = \"1s\", retry = \"500ms\", attempts = 10 }",
                "",
            )
            .charon("retransmit_timeout = 0.5", "dpd_delay = 1s", "");
        let translated = Translated::start(&link, inner);
        assert!(translated.carries(), "{inner:?}");
        let before = translated.charon.wait_established();
        translated.routed.masquerade(LATER_PORTS);
        wait_for("the inner end is answered again", PATIENCE, || {
            translated.carries().then_some(())
        });
        wait_for("the outer end sees the new port", PATIENCE, || {
            (30000..30100)
                .contains(&translated.port_seen())
                .then_some(())
        });
        let after = translated.charon.wait_established();
        assert_eq!(before["initiator-spi"], after["initiator-spi"]);
        assert!(outside_reaches_inside(&translated.routed.b), "{inner:?}");
        assert_eq!(translated.adit.tunnel("t")["deaths"], 0);
    }
}

#[test]
fn rekeys_pass_a_nat_from_either_end() {
    for inner in Initiator::BOTH {
        let translated = Translated::start(&Link::new(), inner);
        for what in ["child", "ike"] {
            translated.adit.succeeds(&["rekey", "t", what]);
            wait_for("its rekey is done", PATIENCE, || {
                translated.carries().then_some(())
            });
        }
        for what in [["--child", "net"], ["--ike", "s2s"]] {
            translated
                .charon
                .swanctl_succeeds(&[&["--rekey"][..], &what].concat());
            assert!(translated.carries(), "{inner:?} {what:?}");
        }
        assert!((20000..20100).contains(&translated.port_seen()));
    }
}
