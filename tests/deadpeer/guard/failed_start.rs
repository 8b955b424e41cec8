//! A start that fails leaves what is routed into its tunnels refused, as a crash does.

use std::collections::BTreeSet;

use super::{RouteMonitor, await_guards, default_routes, guarded, guards, of, refused, ways};
use crate::common::{Daemon, Namespace};
use crate::interface::Interface;
use crate::site::{Pair, Tunnel};

/// Makes a start fail that wants the interface of tunnel 1.
fn take_name(site: &Namespace) {
    site.ip("link add gre-1 type veth peer name other");
}

/// The near end of a tunnel with ESP and no key files, which no start reads.
fn without_keys(tunnel: &Tunnel) -> String {
    let files = r#"sa = { out = { spi = 0x1001, key-file = "no-out.key" }, in = { spi = 0x1002, key-file = "no-in.key" } }"#;
    let near = tunnel.clone().with(files).near();
    near.replace("mode = \"gre\"", "mode = \"gre-esp\"")
}

/// Starts a daemon that ends by itself, saying `why`.
fn fail(site: &Namespace, config: &str, why: &str) {
    let mut daemon = Daemon::launch(site, config);
    assert!(!daemon.wait().success());
    let log = daemon.log();
    assert!(log.contains(why), "{log}");
}

#[test]
fn a_start_that_fails_leaves_the_guards_of_all_tunnels_and_the_next_takes_them_over() {
    let sites = Pair::new();
    default_routes(&sites);
    let (tunnel, other) = (guarded(1), guarded(2));
    take_name(&sites.a);
    let both = tunnel.near() + &other.near();
    fail(&sites.a, &both, "gre-1");
    assert_eq!(guards(&sites.a), of(&[&tunnel, &other]));
    assert_eq!(ways(&sites.a, &tunnel), refused());
    assert_eq!(ways(&sites.a, &other), refused());

    let _near = Daemon::start(&sites.a, &other.near());
    await_guards(&sites.a, &of(&[&other]));
}

#[test]
fn all_tunnels_are_guarded_before_a_key_file_is_read() {
    let sites = Pair::new();
    let (tunnel, other) = (guarded(1), guarded(2));
    let both = without_keys(&tunnel) + &other.near();
    fail(&sites.a, &both, "no-out.key");
    assert_eq!(guards(&sites.a), of(&[&tunnel, &other]));
}

#[test]
fn a_tunnel_that_cannot_be_guarded_leaves_the_others_guarded() {
    let sites = Pair::new();
    let (tunnel, other) = (guarded(1).with("netns = \"no-such\""), guarded(2));
    fail(&sites.a, &(tunnel.near() + &other.near()), "no-such");
    assert_eq!(guards(&sites.a), of(&[&other]));
}

#[test]
fn guards_that_a_crash_left_hold_through_starts_that_fail() {
    let sites = Pair::new();
    default_routes(&sites);
    let (tunnel, other) = (guarded(1), guarded(2));
    let both = tunnel.near() + &other.near();
    let all = of(&[&tunnel, &other]);
    let mut near = Daemon::start(&sites.a, &both);
    await_guards(&sites.a, &all);
    let watch = RouteMonitor::start(&sites.a);
    near.kill();
    Interface::GONE.await_at(&sites.a, &tunnel, "killed");

    fail(
        &sites.a,
        &(without_keys(&tunnel) + &other.near()),
        "no-out.key",
    );
    assert_eq!(guards(&sites.a), all, "no key");
    take_name(&sites.a);
    fail(&sites.a, &both, "gre-1");
    assert_eq!(guards(&sites.a), all, "name taken");
    // A start that does not even want them sweeps only when it is through.
    fail(&sites.a, &Tunnel::new(1).near(), "gre-1");
    assert_eq!(guards(&sites.a), all, "not wanted");
    assert_eq!(ways(&sites.a, &tunnel), refused());
    assert_eq!(ways(&sites.a, &other), refused());
    assert_eq!(watch.deleted_guards(), [""; 0]);
}

#[test]
fn an_interface_that_cannot_be_made_when_the_operator_wants_it_has_guards_until_he_does_not() {
    let sites = Pair::new();
    let tunnel = guarded(1);
    let near = Daemon::start(&sites.a, &tunnel.near());
    assert!(near.client(&["down", "t1"]).status.success());
    take_name(&sites.a);
    assert!(!near.client(&["up", "t1"]).status.success());
    assert_eq!(guards(&sites.a), of(&[&tunnel]));
    assert!(near.client(&["down", "t1"]).status.success());
    assert_eq!(guards(&sites.a), BTreeSet::new());
}
