//! The parts of the demo in real namespaces (root needed), over the bare wire.

use std::time::{Duration, Instant};

use super::error::DemoError;
use super::ping::ping;
use super::plan::WIRE;
use super::sites::Sites;
use super::watch::{Watch, unix_us};
use crate::io::netlink::Netlink;
use crate::io::netns;
use crate::sites::Flow;
use crate::sites::Side;

fn echo(sites: &Sites, from: Side) -> super::ping::Pinged {
    let namespace = sites.site(from).namespace();
    ping(namespace, from.outer(), from.other().outer(), 1).unwrap()
}

fn wire_has_carrier(sites: &Sites, side: Side) -> bool {
    let look = || {
        Netlink::open()
            .unwrap()
            .find_link(WIRE)
            .unwrap()
            .unwrap()
            .running
    };
    netns::within(Some(sites.site(side).namespace()), look).unwrap()
}

#[test]
fn a_cut_wire_swallows_packets_and_keeps_its_carrier_and_a_mended_one_works_again() {
    let mut sites = Sites::make(false).unwrap();
    assert!(
        Side::BOTH
            .into_iter()
            .all(|side| echo(&sites, side).complete())
    );
    sites.cut().unwrap();
    for side in Side::BOTH {
        assert!(echo(&sites, side).rtt_us.is_empty());
        assert!(wire_has_carrier(&sites, side));
    }
    sites.mend().unwrap();
    assert!(
        Side::BOTH
            .into_iter()
            .all(|side| echo(&sites, side).complete())
    );
}

#[test]
fn a_host_behind_no_route_is_refused_at_once() {
    let sites = Sites::make(false).unwrap();
    let namespace = sites.site(Side::West).namespace();
    for (source, destination) in Side::West.hosts().into_iter().zip(Side::East.hosts()) {
        let error = ping(namespace, source, destination, 1).unwrap_err();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::NetworkUnreachable,
            "{error}"
        );
    }
}

#[test]
fn a_stream_moves_octets_and_ends_when_it_is_dropped_also_over_a_cut_wire() {
    let mut sites = Sites::make(false).unwrap();
    let end = |side: Side| (sites.site(side).namespace(), side.outer());
    let flow = Flow::start(end(Side::West), end(Side::East)).unwrap();
    let started = Instant::now();
    while flow.moved().octets < 1 << 20 && started.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    assert!(flow.moved().octets >= 1 << 20);
    sites.cut().unwrap();
    let dropped = Instant::now();
    drop(flow);
    assert!(dropped.elapsed() < Duration::from_secs(2));
}

#[test]
fn sites_leave_neither_folder_nor_process_behind() {
    let mut sites = Sites::make(false).unwrap();
    let folder = sites.folder().to_owned();
    sites.start(None, true).unwrap();
    let pids = Side::BOTH.map(|side| sites.site(side).endpoint().unwrap().pid());
    assert!(folder.join("west.toml").exists());
    drop(sites);
    assert!(!folder.exists());
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

/// The test's own program takes no `run`, so it ends at once with a complaint.
#[test]
fn an_endpoint_that_ends_by_itself_is_reported_with_its_last_words() {
    let mut sites = Sites::make(false).unwrap();
    sites.start(super::endpoint::two_cpus(), true).unwrap();
    let mut watch = Watch::start().unwrap();
    let error = watch
        .wait(&mut sites, Duration::from_secs(5), |_, _| false)
        .unwrap_err();
    let DemoError::Died {
        status, last_words, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(!status.success());
    assert!(
        last_words.concat().contains("Unrecognized option"),
        "{last_words:?}"
    );
}

#[test]
fn the_first_change_of_an_interface_and_of_each_route_is_seen_with_its_time() {
    let mut sites = Sites::make(false).unwrap();
    let mut watch = Watch::start().unwrap();
    watch.monitor(&sites).unwrap();
    let before = unix_us();
    let [network, _] = Side::East.networks();
    let change = || {
        let mut netlink = Netlink::open().unwrap();
        netlink
            .create_veth(Side::West.tunnel(), "far", None)
            .unwrap();
        let far = netlink.find_link("far").unwrap().unwrap().index;
        let near = netlink
            .find_link(Side::West.tunnel())
            .unwrap()
            .unwrap()
            .index;
        netlink.set_up(near, true).unwrap();
        netlink.set_up(far, true).unwrap();
        let route = crate::io::route::Route::through(network, near);
        netlink.add_route(&route).unwrap();
        netlink.remove_route(&route).unwrap();
    };
    netns::within(Some(sites.site(Side::West).namespace()), change).unwrap();
    let seen_all = watch
        .wait(&mut sites, Duration::from_secs(5), |side, seen| {
            side == Side::East || (seen.carrier_on.is_some() && !seen.routes_removed.is_empty())
        })
        .unwrap();
    let seen = watch.seen(Side::West);
    assert!(seen_all, "{seen:?}");
    assert!(seen.carrier_on >= Some(before));
    assert!(seen.routes_added[&network] <= seen.routes_removed[&network]);
    watch.forget().unwrap();
    assert_eq!(watch.seen(Side::West).carrier_on, None);
}

#[test]
fn a_stream_that_is_finished_leaves_nothing_on_its_way() {
    let sites = Sites::make(false).unwrap();
    let end = |side: Side| (sites.site(side).namespace(), side.outer());
    let flow = Flow::start(end(Side::West), end(Side::East)).unwrap();
    flow.finish();
    let octets = |side: Side| {
        let look = || {
            Netlink::open()
                .unwrap()
                .find_link(WIRE)
                .unwrap()
                .unwrap()
                .statistics
        };
        netns::within(Some(sites.site(side).namespace()), look)
            .unwrap()
            .tx_octets
    };
    let finished = Side::BOTH.map(octets);
    std::thread::sleep(Duration::from_millis(500));
    let later = Side::BOTH.map(octets);
    // The last acknowledgements and neighbour discovery may still come, a segment full of data may not.
    assert!(
        later
            .iter()
            .zip(finished)
            .all(|(later, finished)| later - finished < 1000),
        "{finished:?} {later:?}"
    );
}
