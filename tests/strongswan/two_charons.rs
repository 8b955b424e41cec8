//! The harness by itself: a charon at either end, so that what fails elsewhere is adit's.

use crate::charon::Charon;
use crate::common::Sites;
use crate::flood::Flood;
use crate::link::Link;

fn two(link: &Link<'_>) -> (Charon, Charon, Sites) {
    let sites = Sites::new();
    let far = link.start_charon(&sites.b, 2);
    let near = link.start_charon(&sites.a, 1);
    let (installed, said) = near.initiate();
    assert!(installed, "{said}");
    (near, far, sites)
}

#[test]
fn two_charons_with_one_psk_carry_pings_and_their_listings_are_understood() {
    let (near, far, sites) = two(&Link::new());
    let sa = far.wait_established();
    assert_eq!(sa["remote-id"], "a.example", "{sa}");
    assert_eq!(sa["encr-alg"], "AES_GCM_16", "{sa}");
    assert_eq!(sa["dh-group"], "CURVE_25519", "{sa}");
    let child = &far.children()[0];
    assert_eq!(child["local-ts"], serde_json::json!(["10.77.2.0/24"]));
    assert_eq!(child["spi-in"], near.children()[0]["spi-out"], "{child}");
    assert!(sites.a.pings("10.77.2.1", 10, &["-I", "10.77.1.1"]), "{sa}");
    assert_eq!(far.logged("parsed IKE_AUTH request 1"), 1);
}

#[test]
fn two_charons_lose_nothing_in_their_rekeys() {
    let (near, far, sites) = two(&Link::new());
    let mut flood = Flood::start(&sites.a, "10.77.1.1", "10.77.2.1", 3);
    for what in [["--child", "net"], ["--ike", "s2s"]] {
        for who in [&near, &far] {
            who.swanctl_succeeds(&[&["--rekey"][..], &what].concat());
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }
    assert!(flood.goes_on());
    let (sent, answered) = flood.finish();
    assert_eq!(sent, answered, "{}", near.log());
}

#[test]
fn a_killed_charon_comes_back_with_its_files_and_a_terminated_one_says_farewell() {
    let (mut near, mut far, sites) = two(&Link::new());
    far.kill();
    far.restart(&sites.b);
    assert_eq!(far.sas().len(), 0);
    near.restart(&sites.a);
    assert!(near.initiate().0);
    assert_eq!(far.wait_established()["remote-id"], "a.example");
    near.terminate();
    far.wait_logged("received DELETE for IKE_SA", crate::PATIENCE);
}
