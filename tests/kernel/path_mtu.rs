//! A kernel as the router in the way, whose next link takes less than the first.

use crate::common::{Daemon, wait_for};
use crate::peer::{PATIENCE, Peer};

/// The narrow link's MTU.
const NARROW: u64 = 1400;

#[test]
fn a_routers_too_big_message_lowers_the_tunnels_mtu_and_large_packets_pass() {
    let peer = Peer::boot();
    // The guest's own namespace routes; the tunnel ends in one behind it.
    peer.exec(&format!(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
         ip netns add behind
         ip link add narrow mtu {NARROW} type veth peer name narrow mtu {NARROW} netns behind
         ip addr add 198.51.100.1/24 dev narrow; ip addr add 2001:db8:1::1/64 dev narrow nodad; ip link set narrow up
         ip netns exec behind bash -ec '
           ip addr add 198.51.100.2/24 dev narrow; ip addr add 2001:db8:1::2/64 dev narrow nodad; ip link set narrow up
           ip route add default via 198.51.100.1; ip route add default via 2001:db8:1::1
           ip link add g4 type gre local 198.51.100.2 remote 192.0.2.1
           ip link add g6 type ip6gre local 2001:db8:1::2 remote 2001:db8::1 encaplimit none
           ip addr add 10.9.4.2/24 dev g4; ip addr add 10.9.6.2/24 dev g6; ip link set g4 up; ip link set g6 up'"
    ));
    peer.near.ip("route add 198.51.100.0/24 via 192.0.2.2");
    peer.near.ip("route add 2001:db8:1::/64 via 2001:db8::2");
    for (number, remote, overhead) in [(4, "198.51.100.2", 24), (6, "2001:db8:1::2", 44)] {
        let adit = Daemon::start(&peer.near, &config(number, remote));
        peer.wait_ready(&adit);
        let far = format!("10.9.{number}.2");
        peer.assert_pings(&far, 1, &[]);
        assert_eq!(adit.tunnel("t")["mtu"], 1500 - overhead, "{remote}");
        // The first is lost on the way; its sender learns nothing before adit does.
        peer.near.output(
            "ping",
            &["-q", "-c", "1", "-W", "0.2", "-M", "do", "-s", "1420", &far],
        );
        wait_for("the tunnel's MTU follows", PATIENCE, || {
            (adit.tunnel("t")["mtu"] == NARROW - overhead).then_some(())
        });
        assert_eq!(adit.tunnel("t")["path_mtu"], NARROW, "{remote}");
        let fits = (NARROW - overhead - 28).to_string();
        peer.assert_pings(&far, 2, &["-M", "do", "-s", &fits]);
        peer.assert_pings(&far, 2, &["-M", "dont", "-s", "7972"]);
    }
}

fn config(number: u8, remote: &str) -> String {
    format!(
        r#"
[tunnel.t]
mode = "gre"
interface = "tun-t"
remote = "{remote}"
addresses = ["10.9.{number}.1/24"]
"#
    )
}
