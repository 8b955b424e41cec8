//! Version 1 of IKE: main mode and quick mode, R-U-THERE, and adit as an Easy VPN remote.

mod cisco;
mod dead;
mod easy_vpn;
mod easy_vpn_routes;
mod easy_vpn_server;
mod listing;
mod nat;
mod refused;
mod rekey;
mod restart;
mod suites;
mod two_charons;
