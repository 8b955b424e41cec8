//! GRE in ESP's tunnel mode with selectors of GRE alone, from host to host.
//!
//! ```text
//! namespace a                         namespace b
//! adit: GRE in ESP, 10.9.0.1 on tun-t charon: ESP; adit: GRE in clear, 10.9.0.2 on gre
//! ```
//! charon sends everything between the outer addresses into its device but what it marks itself: IKE and ESP.

use serde_json::json;

use crate::PATIENCE;
use crate::common::{Daemon, Sites};
use crate::flood::Flood;
use crate::link::Link;
use crate::pair::Initiator;

pub(crate) const HOST_TO_HOST: &str = "plugins {
    kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
  }";

/// GRE beside charon, which seals it.
const GRE: &str = r#"
[tunnel.gre]
mode = "gre"
local = "192.0.2.2"
remote = "192.0.2.1"
addresses = ["10.9.0.2/24"]
mtu = 1300
"#;

#[test]
fn gre_between_the_hosts_passes_in_tunnel_mode_and_survives_rekeys() {
    let link = Link {
        gre: true,
        ..Link::new()
            .adit("mtu = 1300", "child-mode = \"tunnel\"")
            .charon(HOST_TO_HOST, "", "")
    };
    for initiator in Initiator::BOTH {
        let sites = Sites::new();
        let charon = link.start_charon(&sites.b, 2);
        let far = Daemon::start(&sites.b, GRE);
        let adit = link.start_adit(&sites.a, 1, initiator.start());
        if initiator == Initiator::Charon {
            let (installed, said) = charon.initiate();
            assert!(installed, "{said}\n{}", adit.log());
        }
        adit.wait_state("t", "up", PATIENCE);
        far.wait_state("gre", "up", PATIENCE);
        let child = &charon.children()[0];
        assert_eq!(child["local-ts"], json!(["192.0.2.2/32[gre]"]), "{child}");
        assert_eq!(child["remote-ts"], json!(["192.0.2.1/32[gre]"]), "{child}");
        assert_eq!(child["mode"], "TUNNEL", "{child}");
        let status = adit.tunnel("t");
        assert_eq!(status["ike"]["children"][0]["mode"], "tunnel", "{status}");
        assert!(sites.a.pings("10.9.0.2", 10, &[]), "{initiator:?}");
        assert!(sites.b.pings("10.9.0.1", 10, &[]), "{initiator:?}");
        let mut flood = Flood::start(&sites.a, "10.9.0.1", "10.9.0.2", 4);
        for what in ["child", "ike"] {
            adit.succeeds(&["rekey", "t", what]);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        charon.swanctl_succeeds(&["--rekey", "--child", "net"]);
        assert!(flood.goes_on());
        let (sent, answered) = flood.finish();
        assert_eq!(sent, answered, "{initiator:?}\n{}", charon.log());
        assert_eq!(
            far.counter("gre", "inbound_packets"),
            adit.counter("t", "outbound_packets")
        );
    }
}
