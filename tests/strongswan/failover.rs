//! Two charons for one tunnel: the second when the first is dead, and the first again.

use crate::PATIENCE;
use crate::common::{Namespace, Sites};
use crate::link::Link;

const DPD: &str = "failback = \"2s\"
dpd = { mode = \"periodic\", interval = \"1s\", retry = \"200ms\", attempts = 3 }";
const EAGER: &str = "retransmit = { first = \"200ms\", base = 100, tries = 3 }";

#[test]
fn the_next_gateway_takes_over_and_the_first_one_gets_the_tunnel_back() {
    let sites = Sites::new();
    let third = Namespace::new();
    sites.a.ip(&format!(
        "link add other type veth peer name wire netns {}",
        third.name
    ));
    for (site, device, number) in [(&sites.a, "other", 1), (&third, "wire", 3)] {
        site.ip(&format!("link set {device} up"));
        site.ip(&format!("addr add 198.51.100.{number}/24 dev {device}"));
    }
    // What is only asked whether it is there is left with half an IKE SA.
    let first = Link::new().charon("half_open_timeout = 3", "", "");
    let second = Link {
        outer: ["198.51.100.1", "198.51.100.3"],
        ..first
    };
    let mut far = first.start_charon(&sites.b, 2);
    let spare = second.start_charon(&third, 2);
    let both = first.adit(DPD, EAGER);
    let adit = both.start_adit_as(&sites.a, 1, "auto", |config| {
        config.replace("local = \"192.0.2.1\"\n", "").replace(
            "remote = \"192.0.2.2\"",
            "remote = [\"192.0.2.2\", \"198.51.100.3\"]",
        )
    });
    adit.wait_state("t", "up", PATIENCE);
    assert_eq!(adit.tunnel("t")["remote_index"], 0);
    assert!(spare.sas().is_empty());
    let mut events = adit.events();
    far.kill();
    events.next("t", "failover", PATIENCE);
    adit.wait_state("t", "up", PATIENCE);
    assert_eq!(adit.tunnel("t")["remote_index"], 1);
    spare.wait_established();
    assert!(sites.a.pings("10.77.2.1", 5, &["-I", "10.77.1.1"]));
    far.restart(&sites.b);
    events.next("t", "failback", PATIENCE);
    adit.wait_state("t", "up", PATIENCE);
    assert_eq!(adit.tunnel("t")["remote_index"], 0);
    far.wait_established();
    assert!(sites.a.pings("10.77.2.1", 5, &["-I", "10.77.1.1"]));
    // Nobody is left behind with an IKE SA that the other end knows nothing of.
    spare.wait_logged("received DELETE for IKE_SA", PATIENCE);
}
