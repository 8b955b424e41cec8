//! The example of the README, as it stands there.

use std::os::unix::fs::PermissionsExt;

use crate::PATIENCE;
use crate::charon::Charon;
use crate::common::{Daemon, Sites};

const ADIT: &str = include_str!("site-to-site/adit.toml");
const SWANCTL: &str = include_str!("site-to-site/swanctl.conf");

#[test]
fn the_configurations_in_the_readme_bring_up_a_tunnel() {
    let sites = Sites::new();
    sites.b.ip("addr add 10.77.2.1/32 dev lo");
    let charon = Charon::start(&sites.b, SWANCTL, "");
    // The file is named as from the configuration's folder.
    let folder = tempfile::tempdir().unwrap();
    let psk = folder.path().join("hq.psk");
    std::fs::write(&psk, "the content of hq.psk\n").unwrap();
    std::fs::set_permissions(&psk, PermissionsExt::from_mode(0o600)).unwrap();
    let config = ADIT.replace("\"hq.psk\"", &format!("{psk:?}"));
    let adit = Daemon::start(&sites.a, &config);
    adit.wait_state("hq", "up", PATIENCE);
    charon.wait_established();
    assert!(sites.a.pings("10.77.2.1", 10, &[]));
    assert!(sites.b.pings("10.77.1.1", 10, &["-I", "10.77.2.1"]));
}

#[test]
fn the_readme_has_them_word_for_word() {
    let readme = include_str!("../../README.md");
    for example in [ADIT, SWANCTL] {
        assert!(readme.contains(example.trim_end()), "{example}");
    }
}
