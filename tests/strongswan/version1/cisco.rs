//! The configurations of docs/cisco.md word for word, with charon as the router at the other end.

use std::os::unix::fs::PermissionsExt;

use super::easy_vpn_server::Server;
use crate::PATIENCE;
use crate::charon::Charon;
use crate::common::{Daemon, Namespace, wait_for};

const PAGE: &str = include_str!("../../../docs/cisco.md");

/// The configuration of the page that has this tunnel.
fn example(tunnel: &str) -> &'static str {
    let head = format!("[tunnel.{tunnel}]");
    let mut examples = PAGE.split("```toml\n").skip(1);
    let found = examples.find(|text| text.starts_with(&head)).expect(tunnel);
    found.split("```").next().unwrap()
}

/// Starts adit with an example and with secrets in the files that it names.
fn start(site: &Namespace, tunnel: &str, secrets: &[(&str, &str)]) -> Daemon {
    Daemon::start_with(site, example(tunnel), |folder| {
        for (name, secret) in secrets {
            let file = folder.join(name);
            std::fs::write(&file, format!("{secret}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        }
    })
}

/// A wire from `a` to the router's address, whatever their networks.
fn wired(near: &str, router: &str) -> [Namespace; 2] {
    let [a, b] = [Namespace::new(), Namespace::new()];
    a.ip(&format!(
        "link add wire type veth peer name wire netns {}",
        b.name
    ));
    for (site, address) in [(&a, near), (&b, router)] {
        site.ip("link set wire up");
        site.ip(&format!("addr add {address}/32 dev wire"));
        site.ip("route add default dev wire");
    }
    [a, b]
}

/// A router with a network of the page behind it.
fn router(
    site: &Namespace,
    [address, peer]: [&str; 2],
    [ike, esp]: [&str; 2],
    psk: &str,
) -> Charon {
    site.ip("addr add 192.168.2.1/32 dev lo");
    let swanctl = format!(
        r#"connections {{
  router {{
    version = 1
    local_addrs = {address}
    proposals = {ike}
    dpd_delay = 10s
    local {{
      auth = psk
    }}
    remote {{
      auth = psk
      id = {peer}
    }}
    children {{
      net {{
        local_ts = 192.168.2.0/24
        remote_ts = 192.168.1.0/24
        esp_proposals = {esp}
      }}
    }}
  }}
}}
secrets {{
  ike {{
    id = {peer}
    secret = "{psk}"
  }}
}}
"#
    );
    Charon::start(site, &swanctl, "")
}

fn wait_net_is_answered(a: &Namespace, adit: &Daemon) {
    a.ip("addr add 192.168.1.1/32 dev lo");
    wait_for(&format!("it carries\n{}", adit.log()), PATIENCE, || {
        let answered = a.pings("192.168.2.1", 5, &["-I", "192.168.1.1"]);
        answered.then_some(())
    });
}

#[test]
fn the_example_with_several_peers_comes_up() {
    let [a, b] = wired("192.0.2.1", "10.0.0.1");
    let psk = "Ohl3aeph9Pei7oomaeTh2ahT";
    let charon = router(&b, ["10.0.0.1", "192.0.2.1"], ["default"; 2], psk);
    let adit = start(&a, "green", &[("green.psk", psk)]);
    adit.wait_state("green", "up", PATIENCE);
    charon.wait_established();
    wait_net_is_answered(&a, &adit);
}

#[test]
fn the_site_to_site_example_comes_up_with_its_old_algorithms_and_its_short_key() {
    let [a, b] = wired("10.1.32.14", "10.2.80.209");
    let algorithms = ["3des-sha1-modp1024", "3des-sha1"];
    let charon = router(&b, ["10.2.80.209", "10.1.32.14"], algorithms, "kd94j1ksldz");
    let adit = start(&a, "test", &[("test.psk", "kd94j1ksldz")]);
    adit.wait_state("test", "up", PATIENCE);
    let sa = charon.wait_established();
    assert_eq!(sa["encr-alg"], "3DES_CBC", "{sa}");
    assert_eq!(sa["dh-group"], "MODP_1024", "{sa}");
    wait_net_is_answered(&a, &adit);
}

#[test]
fn the_easy_vpn_example_comes_up() {
    let [a, b] = wired("10.1.32.14", "10.10.10.10");
    let charon = Server::default().start(&b);
    let secrets = [
        ("unity.key", super::easy_vpn_server::GROUP_KEY),
        ("alice.pw", super::easy_vpn_server::PASSWORD),
    ];
    let adit = start(&a, "ezvpn-config", &secrets);
    adit.wait_state("ezvpn-config", "up", PATIENCE);
    charon.wait_established();
    wait_for("it carries", PATIENCE, || {
        a.pings("10.77.2.1", 5, &[]).then_some(())
    });
}
