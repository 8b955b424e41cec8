//! What a crash leaves.

use super::*;
use crate::config::Config;

#[test]
fn guards_and_what_leads_beside_them_stay_with_the_tunnel_and_the_next_start_removes_them() {
    let mut site = Site::new(withdrawing());
    let mut everything = assignment([10, 1, 2, 3], &["0.0.0.0/1", "128.0.0.0/1"]);
    everything.peers = vec![[198, 51, 100, 7].into()];
    site.assign(&everything);
    site.destroy(GuardFate::Stay);
    let left = [
        "0.0.0.0/1 guard",
        "10.99.0.0/16 guard",
        "128.0.0.0/1 guard",
        "198.51.100.7/32 192.0.2.254",
    ];
    assert_eq!(site.routes(), left);
    // Another lane, as of another process: the first one's locks end with it.
    let (lane, notices) = start(&[]);
    drop(std::mem::replace(&mut site.lane, lane));
    site.notices = notices;
    let deadline = Instant::now() + PATIENCE;
    site.create(withdrawing());
    site.send(LinkCommand::Sweep);
    site.settled();
    while site.routes() != ["10.99.0.0/16 guard"] {
        assert!(Instant::now() < deadline, "swept: {:?}", site.routes());
        std::thread::yield_now();
    }
}

/// Everything and a network, guarded, with a server, a network and one that the configuration routes beside it.
fn learned() -> Assignment {
    let networks = ["0.0.0.0/1", "10.2.0.0/16", "128.0.0.0/1"];
    Assignment {
        peers: vec![[198, 51, 100, 7].into()],
        beside: prefixes(&["10.99.5.0/24", "203.0.113.0/24"]),
        ..assignment([10, 1, 2, 3], &networks)
    }
}

#[test]
fn what_was_learned_before_a_crash_is_guarded_until_the_peer_says_again_what_is() {
    let mut site = Site::new(withdrawing());
    assert_eq!(site.assign(&learned()), [""; 0]);
    let left = site.crash(Learns::Everything).unwrap();
    assert_eq!(left.guards, learned().guards);
    assert_eq!(
        left.beside,
        prefixes(&["198.51.100.7/32", "203.0.113.0/24"])
    );
    site.create(withdrawing());
    let guarded = |site: &mut Site| {
        assert_eq!(site.way("8.8.8.8"), None);
        assert_eq!(site.way("10.2.0.1"), None);
        assert_eq!(site.way("10.99.5.1"), None, "what `routes` say");
    };
    guarded(&mut site);
    assert_eq!(site.way("198.51.100.7"), Some("wire"));
    // Another server, before anything is assigned.
    let other = Assignment {
        peers: vec![[198, 51, 100, 8].into()],
        ..left
    };
    assert_eq!(site.assign(&other), [""; 0]);
    guarded(&mut site);
    assert_eq!(site.way("198.51.100.8"), Some("wire"));
    assert_eq!(
        site.assign(&assignment([10, 1, 2, 3], &["10.2.0.0/16"])),
        [""; 0]
    );
    assert_eq!(site.routes(), ["10.2.0.0/16 guard", "10.99.0.0/16 guard"]);
}

#[test]
fn what_was_learned_before_a_crash_goes_when_the_operator_takes_the_tunnel_down() {
    let mut site = Site::new(withdrawing());
    assert_eq!(site.assign(&learned()), [""; 0]);
    assert!(site.crash(Learns::Everything).is_some());
    assert_eq!(site.way("8.8.8.8"), None);
    site.destroy(GuardFate::Go);
    assert_eq!(site.routes(), [""; 0]);
}

#[test]
fn a_tunnel_takes_over_no_more_than_it_could_have_learned() {
    let mut site = Site::new(withdrawing());
    assert_eq!(site.assign(&learned()), [""; 0]);
    let left = site.crash(Learns::Networks).unwrap();
    assert_eq!(left.guards, prefixes(&["10.2.0.0/16"]));
    assert_eq!(site.way("8.8.8.8"), Some("wire"));
    assert_eq!(site.way("10.2.0.1"), None);
    let mut site = Site::new(withdrawing());
    assert_eq!(site.assign(&learned()), [""; 0]);
    assert_eq!(site.crash(Learns::Nothing), None);
    assert_eq!(site.routes(), ["10.99.0.0/16 guard"]);
}

#[test]
fn two_names_of_one_namespace_tell_alike_what_a_client_can_have_learned() {
    let [inside, other] = [(); 2].map(|()| netns::create_anonymous().unwrap());
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd));
    let learns = |outer: &OwnedFd| {
        let text = format!(
            "[tunnel.easy]\nmode = \"esp\"\nremote = \"vpn.example\"\nnetns = {:?}\nouter-netns = {:?}\nike = {{ version = 1, easy-vpn = {{ group = \"unity\", group-key-file = \"unity.key\", user = \"alice\", password-file = \"alice.pw\" }} }}\n",
            path(&inside),
            path(outer)
        );
        let config = Config::parse("adit.toml".as_ref(), &text).unwrap();
        Guarded::new(TUNNEL, &config.tunnels[0]).unwrap().learns
    };
    assert_eq!(learns(&inside.try_clone().unwrap()), Learns::Networks);
    assert_eq!(learns(&other), Learns::Everything);
}
