//! Namespaces by name, by path and without either.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::process::Command;

use adit::io::netlink::Netlink;
use adit::io::netns::{self, Netns, NetnsId};
use adit::io::tun::{OffloadSwitches, TunDevice};

/// Deletes a named namespace when the test ends.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = netns::delete_named(self.0);
    }
}

fn current() -> NetnsId {
    NetnsId::of(Netns::Current.open().unwrap()).unwrap()
}

#[test]
fn work_within_a_namespace_leaves_the_caller_in_its_own() {
    let before = current();
    let fd = netns::create_anonymous().unwrap();
    let inside = netns::within(Some(fd.as_fd()), current).unwrap();
    assert_eq!(inside, NetnsId::of(&fd).unwrap());
    assert_ne!(inside, before);
    assert_eq!(current(), before);
    assert_eq!(netns::within(None, current).unwrap(), before);
}

#[test]
fn a_named_namespace_is_usable_by_iproute2_and_opens_by_name_and_path() {
    let name = Named("io-named");
    let fd = netns::create_named(name.0).unwrap();
    let taken = netns::create_named(name.0).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert!(taken.to_string().contains("io-named"), "{taken}");
    let by_name = Netns::Named(name.0.to_owned()).open().unwrap();
    let by_path = Netns::parse("/run/netns/io-named").open().unwrap();
    assert_eq!(NetnsId::of(by_name).unwrap(), NetnsId::of(&fd).unwrap());
    assert_eq!(NetnsId::of(by_path).unwrap(), NetnsId::of(&fd).unwrap());
    let tun = netns::within(Some(fd.as_fd()), || {
        TunDevice::create("io-tun", OffloadSwitches::default())
    });
    let tun = tun.unwrap().unwrap();
    let output = Command::new("ip")
        .args(["netns", "exec", name.0, "ip", "-br", "link"])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(
        listed.contains("io-tun"),
        "{listed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    drop(tun);
    netns::delete_named(name.0).unwrap();
    assert_eq!(
        netns::delete_named(name.0).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let gone = Netns::Named(name.0.to_owned()).open().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(gone.to_string().contains("/run/netns/io-named"), "{gone}");
}

#[test]
fn a_namespace_that_iproute2_made_opens_by_name() {
    let name = Named("io-iproute2");
    assert!(
        Command::new("ip")
            .args(["netns", "add", name.0])
            .status()
            .unwrap()
            .success()
    );
    let fd = Netns::parse(name.0).open().unwrap();
    let links = netns::within(Some(fd.as_fd()), || Netlink::open().unwrap().links())
        .unwrap()
        .unwrap();
    assert!(
        links
            .iter()
            .all(|link| link.kind.is_none() || link.name != "wire")
    );
    assert!(links.iter().any(|link| link.name == "lo"));
    netns::delete_named(name.0).unwrap();
    let listed = Command::new("ip")
        .args(["netns", "list"])
        .output()
        .unwrap()
        .stdout;
    assert!(!String::from_utf8(listed).unwrap().contains(name.0));
}

#[test]
fn names_that_are_not_file_names_are_refused() {
    for name in ["", ".", "..", "a/b"] {
        assert_eq!(
            netns::create_named(name).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
        assert_eq!(
            netns::delete_named(name).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{name:?}"
        );
    }
}

#[test]
fn a_path_that_is_no_namespace_is_refused_on_entry() {
    let fd = Netns::Path("/proc/self/status".into()).open().unwrap();
    assert_eq!(
        netns::within(Some(fd.as_fd()), || ()).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_process_with_several_threads_cannot_enter_a_user_namespace() {
    let before = current();
    let error = netns::enter_user_namespace().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(current(), before);
}
