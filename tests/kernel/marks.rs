//! DSCP, ECN and TTL between inner and outer header, where one end is a kernel (RFC 2983, RFC 6040).

use crate::common::{Daemon, wait_for};
use crate::ledger::Ledger;
use crate::peer::{Delivery, Options, PATIENCE, Peer};

/// Echo requests of one case.
const COUNT: u32 = 3;

#[test]
fn the_outer_tos_that_a_kernel_inherits_is_the_one_that_adit_inherits() {
    let peer = Peer::lent();
    for (delivery, family) in [(Delivery::V4, "ip"), (Delivery::V6, "ip6")] {
        peer.tunnel(delivery, Options::default(), "tos inherit");
        let _adit = peer.ready_adit(delivery, Options::default(), r#"dscp = "inherit""#);
        let ledger = Ledger::open(&peer.near);
        let marked = format!("{} {family} dscp ef {family} ecn ect0", echo(delivery));
        ledger.count_in("from_kernel", &marked);
        ledger.count_out("from_adit", &marked);
        // DSCP EF and ECT(0): an answer has the TOS of its request.
        peer.assert_pings("10.9.0.2", COUNT, &["-Q", "0xba"]);
        let counted = [ledger.packets("from_adit"), ledger.packets("from_kernel")];
        assert_eq!(counted, [u64::from(COUNT); 2], "{delivery:?}");
    }
}

#[test]
fn an_outer_dscp_of_the_kernels_reaches_the_inner_packet_only_where_it_is_to_be_copied() {
    let peer = Peer::lent();
    peer.tunnel(Delivery::V4, Options::default(), "tos 0x28");
    for (dscp_decap, copied) in [("keep", 0), ("copy", u64::from(COUNT))] {
        let more = format!("dscp-decap = \"{dscp_decap}\"");
        let _adit = peer.ready_adit(Delivery::V4, Options::default(), &more);
        let ledger = Ledger::open(&peer.near);
        ledger.count_in("outer", &format!("{} ip dscp af11", echo(Delivery::V4)));
        ledger.count_in("inner", "iifname tun-t ip protocol icmp ip dscp af11");
        peer.assert_pings("10.9.0.2", COUNT, &[]);
        assert_eq!(ledger.packets("outer"), u64::from(COUNT));
        assert_eq!(ledger.packets("inner"), copied, "{dscp_decap}");
    }
}

#[test]
fn a_congestion_mark_on_the_way_from_the_kernel_reaches_an_inner_packet_that_takes_it_and_drops_one_that_cannot()
 {
    let peer = Peer::lent();
    for (delivery, family) in [(Delivery::V4, "ip"), (Delivery::V6EncapLimit, "ip6")] {
        peer.tunnel(delivery, Options::default(), "tos inherit");
        let adit = peer.ready_adit(delivery, Options::default(), "");
        let ledger = congested(&peer, "arriving", delivery, family);
        assert!(pings_marked(&peer), "{delivery:?}");
        assert_eq!(ledger.packets("inner_ce"), u64::from(COUNT), "{delivery:?}");
        assert!(
            !peer.near.pings("10.9.0.2", COUNT, &["-W", "0.2"]),
            "{delivery:?}"
        );
        wait_for("drops at adit", PATIENCE, || {
            (adit.drops("t", "ecn_unusable") == u64::from(COUNT)).then_some(())
        });
    }
}

#[test]
fn a_congestion_mark_on_the_way_to_the_kernel_comes_back_in_the_answer_of_the_inner_packet() {
    let peer = Peer::lent();
    for (delivery, family) in [(Delivery::V4, "ip"), (Delivery::V6, "ip6")] {
        peer.tunnel(delivery, Options::default(), "tos inherit");
        let adit = peer.ready_adit(delivery, Options::default(), "");
        let ledger = congested(&peer, "leaving", delivery, family);
        assert!(pings_marked(&peer), "{delivery:?}");
        assert_eq!(ledger.packets("inner_ce"), u64::from(COUNT), "{delivery:?}");
        assert_eq!(peer.errors(), [], "{delivery:?}");
        assert!(
            !peer.near.pings("10.9.0.2", COUNT, &["-W", "0.2"]),
            "{delivery:?}"
        );
        wait_for("drops at the kernel", PATIENCE, || {
            let refused = ("rx errors".to_owned(), u64::from(COUNT));
            peer.errors().contains(&refused).then_some(())
        });
        assert_eq!(adit.drops("t", "ecn_unusable"), 0, "{delivery:?}");
    }
}

#[test]
fn outer_ttls_are_fixed_or_inherited_at_each_end_by_itself() {
    let peer = Peer::lent();
    for (kernel, adit, outer) in [
        ("ttl 99", "77", [77, 99]),
        ("ttl inherit nopmtudisc", r#""inherit""#, [33, 64]),
    ] {
        peer.tunnel(Delivery::V4, Options::default(), kernel);
        let _adit: Daemon =
            peer.ready_adit(Delivery::V4, Options::default(), &format!("ttl = {adit}"));
        let ledger = Ledger::open(&peer.near);
        ledger.count_out(
            "from_adit",
            &format!("{} ip ttl {}", echo(Delivery::V4), outer[0]),
        );
        ledger.count_in(
            "from_kernel",
            &format!("{} ip ttl {}", echo(Delivery::V4), outer[1]),
        );
        // The answer leaves with the guest's default, 64.
        peer.assert_pings("10.9.0.2", COUNT, &["-t", "33"]);
        let counted = [ledger.packets("from_adit"), ledger.packets("from_kernel")];
        assert_eq!(counted, [u64::from(COUNT); 2], "{kernel}");
    }
}

/// What tells the outer packets of echo requests and answers from what the interfaces say of themselves.
fn echo(delivery: Delivery) -> String {
    let outer_octets = match delivery {
        Delivery::V4 => 24,
        Delivery::V6 => 44,
        Delivery::V6EncapLimit => 52,
    };
    format!("meta l4proto gre meta length {}", 84 + outer_octets)
}

/// Marks every echo's outer packet one way as a congested router does, and counts inner packets with the mark as `inner_ce`.
fn congested<'a>(peer: &'a Peer, chain: &str, delivery: Delivery, family: &str) -> Ledger<'a> {
    let ledger = Ledger::open(&peer.near);
    ledger.change(chain, &format!("{} {family} ecn set ce", echo(delivery)));
    ledger.count_in("inner_ce", "iifname tun-t ip protocol icmp ip ecn ce");
    ledger
}

/// Whether echo requests with ECT(0) are answered.
fn pings_marked(peer: &Peer) -> bool {
    peer.near.pings("10.9.0.2", COUNT, &["-Q", "0x02"])
}
