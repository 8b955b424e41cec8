//! The data path between network namespaces of the running kernel: what a tunnel delivers, refuses, answers and leaves behind.
//!
//! Needs root and /dev/net/tun.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of other crates' enumerations a test names what it wants"
)]

#[path = "../common/mod.rs"]
mod common;

mod delivery;
mod lifetime;
mod mss;
mod mtu;
mod outer;
mod packet;
mod placement;
mod reflector;
mod refused;
mod smoke;
mod traffic;
mod wire;

use std::net::IpAddr;
use std::time::Duration;

use common::{Delivery, Namespace};

/// The program under test.
const ADIT: &str = env!("CARGO_BIN_EXE_adit");

/// How long set-up may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// The tunnel `t` of site `number`, 1 or 2, on the interface `gre-t`.
fn config(delivery: Delivery, number: u8, more: &str) -> String {
    tunnel(
        "t",
        delivery.address(number),
        delivery.address(3 - number),
        9,
        number,
        more,
    )
}

/// A tunnel with 10.NET.0.NUMBER and fd00:NET::NUMBER inside.
fn tunnel(name: &str, local: IpAddr, remote: IpAddr, net: u8, number: u8, more: &str) -> String {
    format!(
        r#"
[tunnel.{name}]
mode = "gre"
interface = "gre-{name}"
local = "{local}"
remote = "{remote}"
addresses = ["10.{net}.0.{number}/30", "fd00:{net}::{number}/64"]
{more}
"#
    )
}

/// The MTU of an interface as the kernel shows it.
fn mtu_of(site: &Namespace, interface: &str) -> u16 {
    let shown = site.ip(&format!("-o link show {interface}"));
    let mut words = shown.split_whitespace().skip_while(|&word| word != "mtu");
    words.nth(1).unwrap().parse().unwrap()
}
