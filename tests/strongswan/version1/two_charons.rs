//! The harness by itself with version 1: a charon at either end, so that what fails elsewhere is adit's.

use crate::charon::Charon;
use crate::common::Sites;
use crate::flood::Flood;
use crate::link::Link;

#[test]
fn two_charons_with_main_mode_carry_pings_and_go_on_through_their_rekeys() {
    let sites = Sites::new();
    let link = Link::version_1();
    let [far, near]: [Charon; 2] =
        [(&sites.b, 2), (&sites.a, 1)].map(|(site, end)| link.start_charon(site, end));
    let (installed, said) = near.initiate();
    assert!(installed, "{said}");
    let sa = far.wait_established();
    assert_eq!(sa["version"], "1", "{sa}");
    assert_eq!(far.children()[0]["dh-group"], "ECP_256");
    let mut flood = Flood::start(&sites.a, "10.77.1.1", "10.77.2.1", 4);
    for what in [["--child", "net"], ["--ike", "s2s"]] {
        for who in [&near, &far] {
            who.swanctl_succeeds(&[&["--rekey"][..], &what].concat());
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    }
    assert!(flood.goes_on());
    let (sent, answered) = flood.finish();
    // Who begins a quick mode sends by the new pair before the other one has it.
    assert!(sent - answered <= 10, "{sent} {answered}\n{}", near.log());
}
